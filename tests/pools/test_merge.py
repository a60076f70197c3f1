"""A build: when there is one, what it is made from, and that nothing depends on how many buckets it goes through."""

import pytest
from sqlalchemy import select

from exchange.catalogue.model import BaseField, DataType, FieldSource
from exchange.delivery.mode import Found
from exchange.errors import NotFound, Unavailable
from exchange.house import House
from exchange.registry.models import Event
from pools import index, lake, merge, pool, way
from pools.reader import IndexReader
from tests.pools.given import DEPARTMENT_CODES, entered, item, pooled, resource
from tests.pools.test_index import CIVIL, PEOPLE, POLICE


@pytest.fixture
def city(house: House) -> House:
    entered(house, POLICE, CIVIL, PEOPLE)
    return house


def rows(house: House, columns: str = "id, name, tel, _closed", table: str = "base_people") -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        return connection.execute(f"SELECT {columns} FROM lake.{table} ORDER BY ALL").fetchall()


def with_buckets(house: House, buckets: int) -> House:
    settings = house.settings.model_copy(update={"merge_buckets": buckets})
    return House(settings, house.seal, house.databases, house.registry)


def test_a_base_waits_for_the_first_push_of_any_source(city: House) -> None:
    assert (merge.build(city, "people"), merge.waits(city, "people")) == (None, True)
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": "李四"}])
    assert merge.build(city, "people") is not None
    assert (merge.build(city, "people"), merge.waits(city, "people")) == (None, False)


def test_a_first_authority_that_comes_last_wins_and_closes_nobody(city: House) -> None:
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": "李四"}])
    merge.build(city, "people")
    pooled(city, POLICE, 1, [{"id": "1", "name": "张山"}])
    assert merge.build(city, "people") is not None
    assert rows(city, "id, name, _closed") == [("1", "张山", False), ("2", "李四", False)]


def test_a_base_whose_new_first_authority_has_pooled_nothing_is_still_built(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "甲"}, {"id": "2", "name": "乙"}])
    merge.build(city, "people")
    health = resource("health", POLICE.items, ("id",), "卫健委")
    first = FieldSource(resource="health", item="id")
    entered(city, health, PEOPLE.model_copy(update={"version": 2, "key_sources": (first, *PEOPLE.key_sources)}))
    pooled(city, POLICE, 2, [{"id": "1", "name": "丙"}])
    built = merge.build(city, "people")
    assert built is not None
    assert (built.base_version, built.rows, built.closed) == (2, 2, 1), (
        "who is gone from every source is closed, not dropped"
    )
    assert rows(city, "id, name, _closed") == [("1", "丙", False), ("2", "乙", True)]


def test_nothing_is_built_when_no_input_changed(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "张三"}])
    first = merge.build(city, "people")
    assert first is not None
    assert merge.build(city, "people") is None
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三"}])
    second = merge.build(city, "people")
    assert second is not None
    assert (first.number, second.number) == (1, 2)


def test_a_build_says_what_it_was_made_from(city: House) -> None:
    police = pooled(city, POLICE, 1, [{"id": "1", "name": "甲"}, {"id": "2", "name": "乙"}])
    merge.build(city, "people")
    police = pooled(city, POLICE, 2, [{"id": "1", "name": "甲"}])
    civil = pooled(city, CIVIL, 1, [{"id": "1", "name": "丙"}])
    built = merge.build(city, "people")
    assert built is not None
    assert (built.number, built.base_version, built.rows, built.closed, built.conflicts) == (2, 1, 2, 1, 1)
    views = {name: pool.versions(city, name)[0] for name in ("police", "civil")}
    assert built.inputs == {
        name: {
            "push": push,
            "snapshot": views[name].snapshot,
            "batch": batch,
            "resource_version": 1,
            "department": DEPARTMENT_CODES[department],
            "provider": department,
            "source_date": "2026-11-01",
        }
        for name, push, batch, department in (("police", police, 2, "公安局"), ("civil", civil, 1, "民政局"))
    }
    with city.registry.session() as session:
        facts = session.scalars(select(Event.facts).where(Event.object_id == built.id)).all()
    assert facts == [{"base": "people", "number": 2, "rows": 2, "closed": 1, "conflicts": 1, "snapshot": built.snapshot}]


def test_base_and_conflicts_are_one_commit(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "甲"}])
    pooled(city, CIVIL, 1, [{"id": "1", "name": "丙"}])
    built = merge.build(city, "people")
    assert built is not None
    with lake.opened(city) as connection:
        made = "SELECT min(snapshot_id), max(snapshot_id) FROM lake.snapshots() WHERE changes::VARCHAR LIKE '%base_people%'"
        assert connection.execute(made).fetchone() == (built.snapshot, built.snapshot)
        assert lake.snapshot_of(connection, built.id) == built.snapshot


@pytest.mark.parametrize("buckets", [1, 3, 4, 16])
def test_the_number_of_buckets_changes_nothing(city: House, buckets: int) -> None:
    """Some bases have been built with another number before: closing goes through the old rows by the new buckets."""
    people = [{"id": f"{n}", "name": f"甲{n % 3}"} for n in range(40)]
    pooled(city, POLICE, 1, people[:30])
    pooled(city, CIVIL, 1, [{"id": f"{n}", "name": "甲1", "tel": f"{n}"} for n in range(20, 40)])
    merge.build(city, "people")
    pooled(city, POLICE, 2, people[5:30])
    built = merge.build(with_buckets(city, buckets), "people")
    assert built is not None
    assert (built.rows, built.closed) == (40, 5)
    expected = [(str(n), f"甲{n % 3}" if n < 30 else "甲1", str(n) if n >= 20 else None, n < 5) for n in range(40)]
    assert rows(city) == sorted(expected)
    assert built.conflicts == sum(1 for n in range(20, 30) if n % 3 != 1)


def test_a_pool_whose_files_are_split_by_another_item_is_merged_all_the_same(house: House) -> None:
    visits = resource("civil", (item("no"), item("id"), item("name"), item("tel")), ("no",), "民政局")
    entered(house, POLICE, visits, PEOPLE)
    pooled(house, POLICE, 1, [{"id": "1", "name": "甲"}])
    pooled(house, visits, 1, [{"no": str(n), "id": str(n % 5), "tel": f"1{n:02}"} for n in range(50)])
    merge.build(house, "people")
    assert rows(house, "id, tel") == [("0", "145"), ("1", "146"), ("2", "147"), ("3", "148"), ("4", "149")]


def test_a_changed_definition_is_built_anew_and_closed_keys_keep_what_still_is_a_field(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "甲"}, {"id": "2", "name": "乙"}])
    pooled(city, CIVIL, 1, [{"id": "1", "name": "甲", "tel": "139"}])
    merge.build(city, "people")
    turned = PEOPLE.model_copy(
        update={
            "version": 2,
            "fields": (
                BaseField(
                    name="name",
                    title="姓名",
                    type=DataType.TEXT,
                    sources=(FieldSource(resource="civil", item="name"), FieldSource(resource="police", item="name")),
                ),
                BaseField(
                    name="phone", title="电话", type=DataType.TEXT, sources=(FieldSource(resource="civil", item="tel"),)
                ),
            ),
        }
    )
    entered(city, turned)
    pooled(city, POLICE, 2, [{"id": "2", "name": "乙"}])
    pooled(city, CIVIL, 2, [{"id": "2", "name": "丙", "tel": "138"}])
    built = merge.build(city, "people")
    assert built is not None
    assert built.base_version == 2
    assert rows(city, "id, name, name__src, phone, phone__src, _closed, _build") == [
        ("1", "甲", 0, None, None, True, 1),
        ("2", "丙", 0, "138", 0, False, None),  # an open row is of the very build that is read
    ]
    index.swap(city, "base:people")
    found = IndexReader(city).lookup("base:people", ["1", "2"])
    assert said(found, "1") == "police"  # by the definition its value was merged by
    assert said(found, "2") == "civil"


def said(found: Found, key: str) -> str:
    record = found.records[key]
    assert record is not None
    return record.sources["name"].resource


def test_sources_declared_narrower_or_otherwise_are_compared_as_the_field_is(house: House) -> None:
    amount = {"type": DataType.NUMBER}
    police = resource("police", (item("id"), item("sum", DataType.NUMBER, length=10, scale=2)), ("id",))
    civil = resource(
        "civil", (item("id"), item("sum", DataType.NUMBER, length=18, scale=6), item("text")), ("id",), "民政局"
    )
    places = (("police", "sum"), ("civil", "sum"), ("civil", "text"))
    base = PEOPLE.model_copy(
        update={
            "fields": (
                BaseField(
                    name="total", title="金额", sources=tuple(FieldSource(resource=r, item=i) for r, i in places), **amount
                ),
            )
        }
    )
    entered(house, police, civil, base)
    pooled(house, police, 1, [{"id": "1", "sum": "1.50"}, {"id": "2"}, {"id": "3", "sum": "7"}])
    pooled(
        house,
        civil,
        1,
        [
            {"id": "1", "sum": "1.500000", "text": "不详"},
            {"id": "2", "sum": "0.000001"},
            {"id": "3", "sum": "8", "text": "7.0"},
        ],
    )
    merge.build(house, "people")
    assert rows(house, "id, total::VARCHAR, total__src") == [
        ("1", "1.500000", 0),
        ("2", "0.000001", 1),
        ("3", "7.000000", 0),
    ]
    assert rows(house, "key, loser, loser_value", "base_people_conflict") == [("3", 1, "8.000000")]


def test_a_build_that_fails_leaves_the_one_before_and_says_no_value(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "CANARY"}])
    first = merge.build(city, "people")
    pooled(city, POLICE, 2, [{"id": "2", "name": "CANARY"}])
    for path in (city.settings.root / "lake").rglob("*.parquet"):
        if "pool_police" in str(path):
            path.write_bytes(b"PAR1 damaged")
    with pytest.raises(Unavailable, match="committing the lake failed") as failed:
        merge.build(city, "people")
    assert "CANARY" not in repr(failed.value)
    assert first is not None
    with city.registry.session() as session:
        last = merge.last_build(session, "people")
        assert last is not None
        assert last.id == first.id
    assert rows(city) == [("1", "CANARY", None, False)]


def test_an_unknown_base_is_named(city: House) -> None:
    with pytest.raises(NotFound, match="there is no base peopel; near it are people"):
        merge.build(city, "peopel")


def test_a_run_killed_between_merge_and_swap_is_finished_by_the_next(city: House) -> None:
    pooled(city, POLICE, 1, [{"id": "1", "name": "甲"}])
    assert way.rebuild(city, "people") is not None
    pooled(city, POLICE, 2, [{"id": "1", "name": "乙"}])
    built = merge.build(city, "people")  # and dies here
    assert built is not None
    assert way.rebuild(city, "people") is None  # nothing to merge …
    assert IndexReader(city).lookup("base:people", ["1"]).version == built.id  # … but something to serve
