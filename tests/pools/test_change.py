"""What becomes of a pool when its catalogue entry changes: added and widened items go on; another key or type is a new pool."""

import asyncio
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from exchange import catalogue, grants
from exchange.callers import Caller
from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource, Item, Resource
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import BaselineNeeded
from exchange.house import House
from exchange.intake import pushes
from pools import index, lake, merge, pool, way
from pools.explain import explain
from pools.reader import IndexReader
from pools.withdraw import withdraw
from tests import make
from tests.pools.given import DEPARTMENT_CODES, accepted, entered, item, pooled, relation, resource
from tests.quality import kit

POLICE = resource("police", (item("id"), item("name", length=4), item("debt", DataType.NUMBER, length=5, scale=1)), ("id",))
OLD_ROWS = [{"id": "1", "name": "张三", "debt": "1.5"}, {"id": "2", "name": "李四", "debt": "2.5"}]
FIRST = "P261122-0000000001"
WHO = Caller("c-1", DEPARTMENT_CODES["民政局"], "李工")


def next_version(entry: Resource, *items: Item, **more: Any) -> Resource:
    return entry.model_copy(update={"version": entry.version + 1, "items": items or entry.items, **more})


def rows(house: House, columns: str, push: str | None = None) -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        return connection.execute(f"SELECT {columns} FROM {pool.rows_sql(house, 'police', push)} ORDER BY ALL").fetchall()


def figures(house: House) -> tuple[int | None, ...]:
    newest = pool.latest(house, "police")
    assert newest is not None
    return newest.rows, newest.inserted, newest.changed, newest.deleted


def answer(house: House, *fields: str, key: str = "1", as_of: str | None = None) -> dict[str, Any]:
    """What a department that was granted everything is told."""
    today = grants.today()
    given = grants.give(
        house, WHO.department or "", "pool:police", fields=list(fields), modes=["query"], purpose="核验",
        legal_basis="第一条", valid_from=today, valid_until=today + timedelta(days=1), unmasked=[],
    )  # fmt: skip

    async def run() -> dict[str, Any]:
        request = Request("pool:police", "query", (key,), fields, "核验", "李工", as_of)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), WHO, request)).as_dict()
        finally:
            await house.registry.aclose()

    told = asyncio.run(run())
    grants.revoke(house, given.id)
    return told


def test_an_added_and_a_widened_item_change_no_row_that_is_repeated(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, OLD_ROWS)
    wide = item("debt", DataType.NUMBER, length=9, scale=3)
    wider = next_version(POLICE, POLICE.items[0], item("name", length=8), wide, item("tel"))
    entered(house, wider)
    second = pooled(
        house, wider, 2, [OLD_ROWS[0], {"id": "2", "name": "李四是个长名字", "debt": "123456.789", "tel": "139"}]
    )
    assert figures(house) == (2, 0, 1, 0)
    assert rows(house, "id, name, debt, tel, _push") == [
        ("1", "张三", Decimal("1.500"), None, first),
        ("2", "李四是个长名字", Decimal("123456.789"), "139", second),
    ]
    assert rows(house, "*", first)[0][-3:] == ("1", "张三", Decimal("1.5"))


def test_an_increment_goes_on_after_an_item_was_added(house: House) -> None:
    entered(house, POLICE)
    pooled(house, POLICE, 1, OLD_ROWS)
    more = next_version(POLICE, *POLICE.items, item("tel"))
    entered(house, more)
    push = accepted(house, more, 2, 1, mode="incremental")
    one = f"(SELECT *, 'U' AS _op FROM {relation(more, [{'id': '2', 'name': '李四', 'debt': '2.5', 'tel': '139'}])})"
    pool.commit_relation(house, push, one)
    assert rows(house, "id, tel") == [("1", None), ("2", "139")]


def test_a_version_from_before_the_addition_answers_null_and_says_that_it_has_no_such_item(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, OLD_ROWS, push_id=FIRST)
    more = next_version(POLICE, *POLICE.items, item("tel"))
    entered(house, more)
    pooled(house, more, 2, [row | {"tel": "139"} for row in OLD_ROWS])
    index.swap(house, "pool:police")
    now, before = answer(house, "name", "tel"), answer(house, "name", "tel", as_of=first)
    assert (now["records"][0]["values"], now["not_in_version"]) == ({"name": "张三", "tel": "139"}, [])
    assert (before["records"][0]["values"], before["not_in_version"]) == ({"name": "张三", "tel": None}, ["tel"])
    assert before["records"][0]["sources"] == {"name": "S1"}


def test_another_type_begins_a_new_pool_and_the_old_one_stays_readable(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三", "debt": "1.5"}], push_id=FIRST)
    retyped = next_version(POLICE, *POLICE.items[:2], item("debt"))
    entered(house, retyped)
    index.swap(house, "pool:police")
    pooled(house, retyped, 2, [{"id": "1", "name": "张三", "debt": "一元五角"}, {"id": "2", "debt": "无"}])
    assert figures(house) == (2, 2, 0, 0), "nothing is compared with rows of another type"
    with lake.opened(house) as connection:
        assert connection.execute(f"SELECT * FROM {pool.changes_sql(house, 'police')}").fetchall() == []
    index.swap(house, "pool:police")
    assert answer(house, "debt")["records"][0]["values"] == {"debt": "一元五角"}
    assert answer(house, "debt", as_of=first)["records"][0]["values"] == {"debt": "1.5"}


def test_another_key_is_asked_by_from_the_first_push_on_and_the_old_one_until_then_and_as_of(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, OLD_ROWS, push_id=FIRST)
    index.swap(house, "pool:police")
    entered(house, next_version(POLICE, key=("id", "name")))
    assert answer(house, "debt", key="1")["records"][0]["values"] == {"debt": "1.5"}, "the old pool goes on"
    pooled(house, next_version(POLICE, key=("id", "name")), 2, OLD_ROWS)
    index.swap(house, "pool:police")
    assert answer(house, "debt", key="1|张三")["records"][0]["values"] == {"debt": "1.5"}
    assert answer(house, "debt", key="1", as_of=first)["records"][0]["values"] == {"debt": "1.5"}


def test_a_key_that_may_have_several_rows_no_more_is_another_key(house: House) -> None:
    several = POLICE.model_copy(update={"duplicates": "allow"})
    entered(house, several)
    pooled(house, several, 1, [OLD_ROWS[0], OLD_ROWS[0] | {"name": "张叁"}])
    entered(house, next_version(several, duplicates="quarantine"))
    pooled(house, next_version(several, duplicates="quarantine"), 2, [OLD_ROWS[0]])
    assert rows(house, "id, name") == [("1", "张三")]
    assert figures(house) == (1, 1, 0, 0)


def test_taking_back_the_first_push_of_a_new_pool_restores_the_old_one(house: House) -> None:
    entered(house, POLICE)
    pooled(house, POLICE, 1, OLD_ROWS)
    retyped = next_version(POLICE, *POLICE.items[:2], item("debt"))
    entered(house, retyped)
    wrong = pooled(house, retyped, 2, [{"id": "9", "debt": "无"}])
    withdraw(house, Caller("c", POLICE.department), wrong)
    assert rows(house, "id, debt") == [("1", Decimal("1.5")), ("2", Decimal("2.5"))]
    assert figures(house) == (2, 2, 0, 0)


CIVIL = resource("civil", (item("id"), item("name")), ("id",), "民政局")


def people(version: int, key_item: str, field_item: str, kind: DataType = DataType.TEXT, **more: Any) -> BaseDefinition:
    return BaseDefinition(
        id="people",
        version=version,
        title="人口",
        key="id",
        key_identifier="resident_number",
        key_sources=(FieldSource(resource="police", item=key_item), FieldSource(resource="civil", item="id")),
        fields=(
            BaseField(name="name", title="姓名", type=DataType.TEXT, sources=(FieldSource(resource="civil", item="name"),)),
            BaseField(
                name="debt", title="欠款", type=kind, sources=(FieldSource(resource="police", item=field_item),), **more
            ),
        ),
    )


def test_a_base_goes_on_with_the_old_pool_until_the_first_push_of_the_new_one(house: House) -> None:
    entered(house, POLICE, CIVIL, people(1, "id", "debt", DataType.NUMBER, length=5, scale=1))
    pooled(house, POLICE, 1, OLD_ROWS)
    way.rebuild(house, "people")
    renamed = next_version(POLICE, item("pid"), item("name"), item("owed"), key=("pid",))
    entered(house, renamed, people(2, "pid", "owed"))
    pooled(house, CIVIL, 1, [{"id": "1", "name": "张三"}])

    def base() -> list[tuple[object, ...]]:
        with lake.opened(house) as connection:
            return connection.execute("SELECT id, name, debt, _closed FROM lake.base_people ORDER BY id").fetchall()

    built = merge.build(house, "people")
    assert built is not None
    assert (built.base_version, base()) == (1, [("1", "张三", Decimal("1.5"), False), ("2", None, Decimal("2.5"), False)])
    pooled(house, renamed, 2, [{"pid": "1", "owed": "一元五角"}])
    built = merge.build(house, "people")
    assert built is not None
    assert (built.base_version, base()) == (2, [("1", "张三", "一元五角", False), ("2", None, "2.5", True)])
    (debt,) = explain(house, "people", "1", "debt").fields
    assert debt.source is not None
    assert (debt.value, debt.source.since_batch) == ("一元五角", 2)
    (debt,) = explain(house, "people", "2", "debt").fields
    assert debt.source is not None
    assert (debt.value, debt.source.batch) == ("2.5", 1), "who is gone is explained by the old pool"


HEADER = ["_op", "公民身份号码", "姓名", "性别"]


def test_an_increment_after_a_change_of_key_is_refused_until_there_is_a_new_baseline(house: House) -> None:
    make.small_city(house)
    people_ = [[make.resident(n), f"人{n}", "1"] for n in range(3)]
    way.process(house, kit.land(house, "police_household", HEADER[1:], people_))
    changed = make.police_household(key=["id_number", "name"])
    report = catalogue.load(
        house, make.write_catalogue(house.settings.root.parent / "catalogue", resources=[
            changed, make.civil_marriage(), make.market_entity(), make.tax_payer()]),
    )  # fmt: skip
    (effect,) = report.effects
    assert (effect["resource"], effect["effect"]) == ("police_household", "new pool")
    assert "主键由 id_number 改为 id_number、name：将建新的部门库，须先推送一次全量数据" in effect["zh"]
    assert "until then population go on with the old one" in effect["en"]

    def increment(batch: int) -> str:
        return kit.land(house, "police_household", HEADER, [["U", *people_[0][:2], "2"]], batch=batch, mode="incremental")

    with pytest.raises(BaselineNeeded, match=r"请先推送一次全量数据作为新的基线.*push the data in full first") as refused:
        increment(2)
    assert "its key was id_number and is now id_number, name" in refused.value.en
    assert pushes.list_pushes(house)[0].batch == 1, "nothing landed"
    baseline = kit.land(house, "police_household", HEADER[1:], people_, batch=2)
    waiting = increment(3)
    way.process(house, waiting)
    assert pushes.get(house, waiting).state == "accepted", "it waits for the full push before it"
    way.process(house, baseline)
    newest = pool.latest(house, "police_household")
    assert newest is not None
    assert (newest.push_id, newest.rows, newest.changed) == (waiting, 3, 1)


def test_a_load_says_what_becomes_of_a_pool_and_nothing_where_there_is_none(house: House) -> None:
    make.small_city(house)
    people_ = [[make.resident(n), f"人{n}", "1"] for n in range(3)]
    way.process(house, kit.land(house, "police_household", HEADER[1:], people_))
    entry = make.police_household()
    items = [part for part in entry["items"] if part["name"] != "mobile"]
    items[1] = items[1] | {"type": "C80"}
    items[4] = items[4] | {"type": "C100"}
    items.append(make.item("nation", "民族"))
    report = catalogue.load(
        house, make.write_catalogue(house.settings.root.parent / "catalogue", bases=[], resources=[
            {**entry, "items": items}, make.civil_marriage(duplicates="allow")]),
    )  # fmt: skip
    assert report.effects == (
        {
            "resource": "police_household",
            "effect": "added",
            "zh": "新增 民族（nation）：下次推送起生效，已有的行为空",
            "en": "added nation: from the next push on; empty in the rows there are",
        },
        {
            "resource": "police_household",
            "effect": "widened",
            "zh": "放宽 姓名（name）：已有的值不变",
            "en": "widened name: the values there are stay as they are",
        },
        {
            "resource": "police_household",
            "effect": "narrowed",
            "zh": "收窄 户籍地址（address）：已有的行不重新检查，下次推送起按新长度检查",
            "en": "narrowed address: the rows there are are not judged again, the next push is",
        },
        {
            "resource": "police_household",
            "effect": "removed",
            "zh": "去掉 mobile：下次推送起的版本不再含此项，此前的版本仍有",
            "en": "removed mobile: not in versions from the next push on; the versions before still have it",
        },
    )
