"""What goes with a base in the same commit: satellites, links, what is contested; and how explain shows them."""

from datetime import date

import pytest
from sqlalchemy import select

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource, Link, Order, Satellite
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import ConflictCount
from pools import aliases, index, lake, merge, satellites
from pools.contested import Contested, contested
from pools.explain import explain
from pools.links import LinkFollowed
from pools.reader import IndexReader
from pools.rows import RowExplained, RowField, Word
from tests.pools.given import DEPARTMENT_CODES, OPERATOR, aliased, entered, item, pooled, resource

POLICE = resource("police", (item("id"), item("name")), ("id",), "公安局")
MARKET = resource("market", (item("code"), item("name"), item("owner"), item("parent")), ("code",), "民政局")
TAX = resource("tax", (item("code"), item("name"), item("owner")), ("code",), "卫健委")
PERMITS = resource("permits", (item("no"), item("holder"), item("scope")), ("no",), "民政局")
COPIES = resource("copies", (item("no"), item("holder"), item("scope")), ("no",), "人社局")


def sources(*pairs: str) -> tuple[FieldSource, ...]:
    return tuple(FieldSource(resource=r, item=i) for r, i in (pair.split(".") for pair in pairs))


def field(name: str, *pairs: str, authority: tuple[Order, ...] = ()) -> BaseField:
    return BaseField(name=name, title=f"{name} 项", type=DataType.TEXT, sources=sources(*pairs), authority=authority)


PEOPLE = BaseDefinition(
    id="people",
    version=1,
    title="人口",
    key="id",
    key_identifier="resident_number",
    key_sources=sources("police.id"),
    fields=(field("name", "police.name"),),
)
TURN = Order(since=date(2026, 7, 1), sources=sources("tax.name", "market.name"))
COMPANIES = BaseDefinition(
    id="companies",
    version=1,
    title="法人",
    key="code",
    key_identifier="uscc",
    key_sources=sources("market.code", "tax.code"),
    fields=(
        field("name", "market.name", "tax.name", authority=(TURN,)),
        field("owner", "market.owner", "tax.owner"),
        field("parent", "market.parent"),
    ),
    satellites=(
        Satellite(
            id="permits",
            title="许可",
            parent_sources=sources("permits.holder", "copies.holder"),
            key=("no",),
            fields=(field("no", "permits.no", "copies.no"), field("scope", "permits.scope", "copies.scope")),
        ),
    ),
    links=(Link(field="owner", base=("people", "companies")), Link(field="parent", base=("companies",))),
)
BEFORE = date(2026, 6, 30)


def stocked(house: House) -> None:
    """Three companies, two people, permits of a company and of nobody; tax and the copies say otherwise in places."""
    entered(house, POLICE, MARKET, TAX, PERMITS, COPIES, PEOPLE, COMPANIES)
    pooled(house, POLICE, 1, [{"id": "1", "name": "甲"}, {"id": "2", "name": "乙"}])
    pooled(
        house,
        MARKET,
        1,
        [
            {"code": "A", "name": "一厂", "owner": "1"},
            {"code": "B", "name": "二厂", "owner": "A", "parent": "A"},
            {"code": "C", "name": "三厂", "owner": "9", "parent": "Z"},
        ],
    )
    pooled(house, TAX, 1, [{"code": "A", "name": "壹厂", "owner": "1"}, {"code": "B", "name": "二厂", "owner": "2"}])
    pooled(house, PERMITS, 1, [{"no": "n1", "holder": "A", "scope": "食品"}, {"no": "n2", "holder": "X", "scope": "药"}])
    pooled(house, COPIES, 1, [{"no": "n1", "holder": "A", "scope": "食品销售"}])


@pytest.fixture
def city(house: House) -> House:
    stocked(house)
    return house


def built(house: House, base: str = "companies", on: date = BEFORE) -> merge.BuildView:
    found = merge.build(house, base, on=on)
    assert found is not None
    return found


def test_links_are_counted_as_of_the_builds_that_there_are(city: House) -> None:
    alone = built(city)
    assert alone.links == {
        "owner": {"resolved": 1, "unresolved": 2, "builds": {}},  # of its own records, nobody is built yet
        "parent": {"resolved": 1, "unresolved": 1, "builds": {}},
    }
    people = built(city, "people")
    pooled(city, MARKET, 2, [{"code": "A", "owner": "1"}, {"code": "B", "owner": "A"}, {"code": "C", "owner": "9"}])
    again = built(city)
    assert again.links == {
        "owner": {"resolved": 2, "unresolved": 1, "builds": {"people": people.id}},
        "parent": {"resolved": 0, "unresolved": 0, "builds": {}},
    }


def test_explain_follows_links_as_of_now(city: House) -> None:
    built(city)
    assert explain(city, "companies", "A").links == (LinkFollowed("owner", None, closed=False),)
    built(city, "people")
    assert explain(city, "companies", "A").links == (LinkFollowed("owner", "people", closed=False),)
    pooled(city, POLICE, 2, [{"id": "2", "name": "乙"}])
    built(city, "people")
    assert explain(city, "companies", "A", "owner").links == (LinkFollowed("owner", "people", closed=True),)
    assert explain(city, "companies", "B").links == (
        LinkFollowed("owner", "companies", closed=False),
        LinkFollowed("parent", "companies", closed=False),
    )
    assert explain(city, "companies", "B", "name").links == ()


def test_a_link_by_a_number_that_stands_for_another_leads_to_who_it_is_now(city: House) -> None:
    aliased(city, "people", "9", "2")
    people = built(city, "people")
    assert built(city).links["owner"] == {"resolved": 3, "unresolved": 0, "builds": {"people": people.id}}
    assert explain(city, "companies", "C").links == (
        LinkFollowed("owner", "people", closed=False),
        LinkFollowed("parent", None, closed=False),
    )
    aliases.end(city, OPERATOR, aliases.listed(city, "people")[0].id, "登记有误")
    built(city, "people")
    assert explain(city, "companies", "C", "owner").links == (LinkFollowed("owner", None, closed=False),)


def test_explain_shows_the_rows_under_a_record_with_whose_word_they_are(city: House) -> None:
    made = built(city)
    assert made.satellites == {"permits": {"rows": 1, "closed": 0, "conflicts": 1, "orphans": 1}}

    def word(resource_id: str, department: str, value: str) -> Word:
        return Word(resource_id, DEPARTMENT_CODES[department], department, 1, f"P261122-{resource_id}-1", value)

    row = RowExplained(
        "permits",
        "许可",
        closed=False,
        fields=(
            RowField("no", "no 项", "n1", word("permits", "民政局", "n1"), ()),
            RowField(
                "scope", "scope 项", "食品", word("permits", "民政局", "食品"), (word("copies", "人社局", "食品销售"),)
            ),
        ),
    )
    assert explain(city, "companies", "A").rows == (row,)
    assert explain(city, "companies", "A", "name").rows == ()
    assert explain(city, "companies", "B").rows == ()
    pooled(city, PERMITS, 2, [])
    pooled(city, COPIES, 2, [])
    built(city)
    (gone,) = explain(city, "companies", "A").rows
    assert (gone.closed, [one.source for one in gone.fields]) == (True, [one.source for one in row.fields])


def test_satellites_are_of_the_same_commit_and_split_by_the_parents_key(city: House) -> None:
    made = built(city)
    with lake.opened(city) as connection:
        asked = "SELECT min(snapshot_id), max(snapshot_id) FROM lake.snapshots() WHERE changes::VARCHAR LIKE '%companies%'"
        assert connection.execute(asked).fetchone() == (made.snapshot, made.snapshot)
        rows = (
            f"SELECT count(*) FROM lake.{satellites.table('companies', 'permits')} WHERE _bucket = {lake.bucket_of('code')}"
        )
        assert connection.execute(rows).fetchone() == (1,)


@pytest.mark.parametrize("buckets", [1, 3, 16])
def test_the_number_of_buckets_changes_nothing(city: House, buckets: int) -> None:
    companies = [{"code": f"K{n}", "name": "厂", "owner": str(n % 3)} for n in range(40)]
    pooled(city, MARKET, 2, companies)
    pooled(city, PERMITS, 2, [{"no": f"n{n}", "holder": f"K{n % 50}", "scope": "甲"} for n in range(100)])
    pooled(city, COPIES, 2, [{"no": f"n{n}", "holder": f"K{n % 50}", "scope": "乙"} for n in range(0, 100, 2)])
    built(city, "people")
    settings = city.settings.model_copy(update={"merge_buckets": buckets})
    made = built(House(settings, city.seal, city.databases, city.registry))
    assert made.satellites == {"permits": {"rows": 80, "closed": 0, "conflicts": 40, "orphans": 20}}
    assert (made.links["owner"]["resolved"], made.links["owner"]["unresolved"]) == (28, 14)


def test_what_is_contested_is_counted_per_field_and_department(city: House) -> None:
    built(city)
    found = contested(city, "companies")
    assert found == [
        Contested("", "name", "name 项", "tax", "name", DEPARTMENT_CODES["卫健委"], "卫健委", compared=2, differing=1),
        Contested("", "owner", "owner 项", "tax", "owner", DEPARTMENT_CODES["卫健委"], "卫健委", compared=2, differing=1),
        Contested("permits", "scope", "许可 · scope 项", "copies", "scope", DEPARTMENT_CODES["人社局"], "人社局", 1, 1),
    ]
    assert contested(city, "companies", field="permits.scope") == [found[2]]
    assert contested(city, "companies", department=DEPARTMENT_CODES["卫健委"]) == found[:2]
    with pytest.raises(NotFound, match="has no field nmae; its fields are name, owner, parent, "):
        contested(city, "companies", field="nmae")
    with pytest.raises(NotFound, match="people was never built; run `exchange build people` first"):
        contested(city, "people")


def test_from_its_day_on_the_other_word_counts_and_as_of_answers_by_the_rules_of_then(city: House) -> None:
    first, second = built(city), built(city, on=date(2026, 7, 1))
    assert merge.build(city, "companies", on=date(2026, 7, 2)) is None, "nothing came into force since"
    assert (first.authority_on, second.authority_on) == (BEFORE, date(2026, 7, 1))
    index.swap(city, "base:companies")
    reader = IndexReader(city)
    now = reader.lookup("base:companies", ["A"]).records["A"]
    then = reader.earlier("base:companies", ["A"], first.id).records["A"]
    assert now is not None
    assert then is not None
    assert (now.values["name"], now.sources["name"].resource) == ("壹厂", "tax")
    assert (then.values["name"], then.sources["name"].resource) == ("一厂", "market")


def test_a_build_killed_before_it_was_written_down_is_adopted_with_its_counts(
    city: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(merge, "_record", _die)
        with pytest.raises(KeyboardInterrupt):
            merge.build(city, "companies", on=BEFORE)
    assert merge.build(city, "companies", on=BEFORE) is None
    with city.registry.session() as session:
        found = merge.last_build(session, "companies")
        counted = session.scalars(select(ConflictCount).order_by(ConflictCount.satellite, ConflictCount.field)).all()
    assert found is not None
    assert (found.authority_on, found.satellites["permits"]["rows"]) == (BEFORE, 1)
    assert [(one.build_id, one.field, one.differing) for one in counted] == [
        (found.id, "name", 1),
        (found.id, "owner", 1),
        (found.id, "scope", 1),
    ]


def _die(*_: object) -> None:
    raise KeyboardInterrupt


def test_a_satellite_that_the_definition_no_longer_has_stays_readable_as_of_the_builds_that_had_it(city: House) -> None:
    first = built(city)
    entered(city, COMPANIES.model_copy(update={"version": 2, "satellites": ()}))
    second = built(city)
    assert second.satellites == {}
    with lake.opened(city) as connection:
        table = satellites.table("companies", "permits")
        then = f"SELECT count(*) FROM {lake.version(table, first.snapshot)}"
        assert connection.execute(then).fetchone() == (1,)
        names = "SELECT count(*) FROM duckdb_tables() WHERE database_name = 'lake' AND table_name LIKE 'base_companies_permits%'"
        assert connection.execute(names).fetchone() == (0,)
