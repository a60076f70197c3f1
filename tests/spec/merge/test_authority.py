"""The order of authority is dated: a build goes by the order of its day, and what was built before keeps its own."""

from datetime import date

import pytest

from exchange.catalogue.model import FieldSource, Order
from tests.drawn import drawn
from tests.spec.merge.cities import City
from tests.spec.merge.conftest import CIVIL, HEALTH, PEOPLE, POLICE, Make, field

TURNED = (
    Order(
        since=date(2026, 7, 1),
        sources=(FieldSource(resource="civil", item="name"), FieldSource(resource="police", item="name")),
    ),
    Order(since=date(2026, 9, 1), sources=(FieldSource(resource="health", item="full_name"),)),
)


@pytest.fixture
def city(make: Make) -> City:
    name = field("name", "police.name", "civil.name").model_copy(update={"authority": TURNED})
    made = make(PEOPLE.model_copy(update={"fields": (name,)}), [POLICE, HEALTH, CIVIL])
    made.push("police", drawn("id | name\n 1 | 甲\n 2 | 丁"))
    made.push("civil", drawn("id | name\n 1 | 乙"))
    made.push("health", drawn("person | full_name\n 1 | 丙"))
    return made


def test_before_the_first_day_the_first_order_counts(city: City) -> None:
    city.build(on="2026-06-30")
    assert city.base() == drawn("key | name | name from | closed\n 1 | 甲 | police | \n 2 | 丁 | police | ")
    assert city.conflicts() == drawn("key | field | winner | said | loser | but said\n 1 | name | police | 甲 | civil | 乙")


def test_from_its_day_on_another_order_counts_though_nothing_was_pushed(city: City) -> None:
    city.build(on="2026-06-30")
    city.build(on="2026-07-01")
    assert city.base() == drawn("key | name | name from | closed\n 1 | 乙 | civil | \n 2 | 丁 | police | ")
    assert city.conflicts() == drawn("key | field | winner | said | loser | but said\n 1 | name | civil | 乙 | police | 甲")
    city.build(on="2026-09-01")
    assert city.base() == drawn("key | name | name from | closed\n 1 | 丙 | health | \n 2 | | | ")
    assert city.conflicts() == []


def test_who_is_gone_keeps_the_word_of_whom_it_was(city: City) -> None:
    city.build(on="2026-06-30")
    city.push("police", drawn("id | name\n 1 | 甲"))
    city.build(on="2026-07-01")
    assert city.base() == drawn("key | name | name from | closed\n 1 | 乙 | civil | \n 2 | 丁 | police | yes")


def test_since_goes_by_the_build_that_saw_the_record(city: City) -> None:
    city.build(on="2026-07-01")
    assert city.since() == drawn(
        """
        key | field | source | said | since
        1   | name  | civil  | 乙   | 2
        1   | name  | police | 甲   | 1
        2   | name  | police | 丁   | 1
        """
    )
