"""Many rows under one golden record, merged by the same rule: visits of people, told by the register and by the clinic."""

from datetime import date

import pytest

from exchange.catalogue.model import DataType, FieldSource, Order, Satellite
from tests.drawn import drawn
from tests.pools.given import item, resource
from tests.spec.merge.cities import City
from tests.spec.merge.conftest import PEOPLE, POLICE, Make, field

REGISTER = resource(
    "register", (item("person"), item("no"), item("place"), item("result")), ("person", "no", "place"), "民政局"
)
CLINIC = resource(
    "clinic",
    (
        item("who"),
        item("visit"),
        item("room"),
        item("finding"),
        item("updated", DataType.TIMESTAMP, is_timestamp=True),
    ),
    ("visit",),
    "卫健委",
    duplicates="allow",
)
LATER = Order(
    since=date(2026, 7, 1),
    sources=(FieldSource(resource="clinic", item="finding"), FieldSource(resource="register", item="result")),
)
VISITS = Satellite(
    id="visits",
    title="就诊",
    parent_sources=(FieldSource(resource="register", item="person"), FieldSource(resource="clinic", item="who")),
    key=("no", "place"),
    fields=(
        field("no", "register.no", "clinic.visit"),
        field("place", "register.place", "clinic.room"),
        field("result", "register.result", "clinic.finding").model_copy(update={"authority": (LATER,)}),
    ),
)
SEEN = PEOPLE.model_copy(
    update={
        "key_sources": (FieldSource(resource="police", item="id"),),
        "fields": (field("name", "police.name"),),
        "satellites": (VISITS,),
    }
)
BEFORE = "2026-06-01"


@pytest.fixture
def city(make: Make) -> City:
    made = make(SEEN, [POLICE, REGISTER, CLINIC])
    made.push("police", drawn("id | name\n 1 | 甲\n 2 | 乙"))
    return made


def test_each_row_takes_per_field_the_highest_source_that_has_a_value(city: City) -> None:
    city.push("register", drawn("person | no | place | result\n 1 | A | x | 好\n 1 | A | y | \n 2 | A | x | "))
    city.push(
        "clinic", drawn("who | visit | room | finding | updated\n 1 | A | x | 坏 | \n 1 | A | y | 中 | \n 2 | B | x | 中 |")
    )
    city.build(on=BEFORE)
    assert city.satellite("visits") == drawn(
        """
        of | no | no from  | place | place from | result | result from | closed
        1  | A  | register | x     | register   | 好     | register    |
        1  | A  | register | y     | register   | 中     | clinic      |
        2  | A  | register | x     | register   |        |             |
        2  | B  | clinic   | x     | clinic     | 中     | clinic      |
        """
    )
    conflict = {
        "key": "1|A|x",
        "field": "visits.result",
        "winner": "register",
        "said": "好",
        "loser": "clinic",
        "but said": "坏",
    }
    assert city.conflicts() == [conflict]


def test_of_several_rows_of_one_source_the_newest_that_has_a_value_counts(city: City) -> None:
    city.push(
        "clinic",
        drawn(
            """
            who | visit | room | finding | updated
            1   | A     | x    | 旧      | 2026-01-01
            1   | A     | x    | 新      | 2026-02-01
            1   | A     | x    |         | 2026-03-01
            """
        ),
    )
    city.build(on=BEFORE)
    assert [(row["no"], row["result"]) for row in city.satellite("visits")] == [("A", "新")]
    assert city.conflicts() == []


def test_a_row_of_nobody_and_one_without_its_key_are_not_kept_until_they_have_one(city: City) -> None:
    city.push(
        "register", drawn("person | no | place | result\n 3 | A | x | 好\n | A | x | 好\n 1 | | x | 好\n 1 | B | x | 好")
    )
    city.build(on=BEFORE)
    assert [(row["of"], row["no"]) for row in city.satellite("visits")] == [("1", "B")]
    assert city.orphans("visits") == 1
    city.push("police", drawn("id | name\n 1 | 甲\n 3 | 丙"))
    city.build(on=BEFORE)
    assert [(row["of"], row["no"]) for row in city.satellite("visits")] == [("1", "B"), ("3", "A")]
    assert city.orphans("visits") == 0


def test_a_row_that_is_gone_is_closed_with_its_last_values_and_may_come_back(city: City) -> None:
    city.push("register", drawn("person | no | place | result\n 1 | A | x | 好\n 1 | B | x | 中"))
    city.build(on=BEFORE)
    city.push("register", drawn("person | no | place | result\n 1 | B | x | 中"))
    city.build(on=BEFORE)
    shown = [(row["no"], row["result"], row["closed"]) for row in city.satellite("visits")]
    assert shown == [("A", "好", "yes"), ("B", "中", None)]
    city.push("register", drawn("person | no | place | result\n 1 | A | x | 坏\n 1 | B | x | 中"))
    city.build(on=BEFORE)
    shown = [(row["no"], row["result"], row["closed"]) for row in city.satellite("visits")]
    assert shown == [("A", "坏", None), ("B", "中", None)]


def test_rows_of_a_closed_record_stay_under_it(city: City) -> None:
    city.push("register", drawn("person | no | place | result\n 2 | A | x | 好"))
    city.build(on=BEFORE)
    city.push("police", drawn("id | name\n 1 | 甲"))
    city.build(on=BEFORE)
    assert [(row["key"], row["closed"]) for row in city.base()] == [("1", None), ("2", "yes")]
    assert [(row["of"], row["closed"]) for row in city.satellite("visits")] == [("2", None)]


def test_dated_authority_holds_for_rows_too(city: City) -> None:
    city.push("register", drawn("person | no | place | result\n 1 | A | x | 好"))
    city.push("clinic", drawn("who | visit | room | finding | updated\n 1 | A | x | 坏 | "))
    city.build(on=BEFORE)
    assert [(row["result"], row["result from"]) for row in city.satellite("visits")] == [("好", "register")]
    city.build(on="2026-07-01")
    assert [(row["result"], row["result from"]) for row in city.satellite("visits")] == [("坏", "clinic")]


def test_keys_with_bars_are_not_taken_for_one_another(city: City) -> None:
    city.push("register", [{"person": "1", "no": "a|b", "place": "c"}, {"person": "1", "no": "a", "place": "b|c"}])
    city.build(on=BEFORE)
    assert sorted((str(row["no"]), str(row["place"])) for row in city.satellite("visits")) == [("a", "b|c"), ("a|b", "c")]
