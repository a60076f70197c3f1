"""Rows that the provider says are right after all: they enter the pool by their own batch, all or none, and on record."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import IntegrityError

from exchange.callers import Caller
from exchange.errors import AccessRefused, RequestInvalid, WrongState
from exchange.house import House
from exchange.ranges import Ranges, parse
from exchange.registry.models import Event, PoolCommit
from pools import lake, pool, way
from pools.reader import IndexReader
from pools.release import release
from quality import acts, gate
from quality.check import noted_file
from tests import make
from tests.quality import kit

OWNER = kit.POLICE
PLACE = make.resource(
    "place",
    make.POLICE,
    [
        make.item("code", "编号", "C4", required=True),
        make.item("name", "名称", "C10", required=True),
        make.item("rooms", "房间数", "I3"),
        make.item("sex", "性别", "C1", code_table="sex"),
    ],
    ["code"],
    quarantine_threshold=1.0,
    rules=[
        {
            "id": "short",
            "title": "名称至少两字",
            "title_en": "a name has two characters",
            "predicate": "length(name) >= 2",
            "items": ["name"],
            "level": "quarantine",
            "indicator": "0104",
        }
    ],
)
FULL = "编号 | 名称 | 房间数 | 性别\n A1 | 甲所 | 1 | \n A2 | 乙 | 2 | \n A3 | 丙 | 3 | 7\n A4 | | 4 |"


def land(house: House, batch: int, drawn: str, mode: str = "full") -> str:
    lines = [[cell.strip() for cell in line.split("|")] for line in drawn.strip().splitlines()]
    return kit.land(house, "place", lines[0], lines[1:], batch=batch, mode=mode)  # type: ignore[arg-type]


def pushed(house: House, batch: int, drawn: str = FULL, mode: str = "full") -> str:
    """Land, judge, pool."""
    push = land(house, batch, drawn, mode)
    assert way.process(house, push).decision == "accepted"
    return push


def rows(house: House, as_of: str | None = None) -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        found = pool.rows_sql(house, "place", as_of)
        return connection.execute(f"SELECT code, name, _batch, _row FROM {found} ORDER BY code, _row").fetchall()


def chosen(text: str) -> Ranges:
    return parse(text)


def test_released_rows_enter_the_pool_as_a_version_of_their_own(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    assert rows(house) == [("A1", "甲所", 1, 1)]
    done = release(house, OWNER, push, chosen("2-3"), "单字名称属实")
    assert rows(house) == [("A1", "甲所", 1, 1), ("A2", "乙", 1, 2), ("A3", "丙", 1, 3)]
    assert (done.inserted, done.changed, done.deleted, done.act.count, done.act.overtaken) == (2, 0, 0, 2, 0)
    newest = pool.versions(house, "place")[0]
    assert (newest.receipt, newest.push_id, newest.rows, newest.snapshot) == (done.receipt, push, 3, done.snapshot)
    assert done.receipt.startswith(f"{push}.released-")
    with house.registry.session() as session:
        event = session.scalars(select(Event).where(Event.tag == "quarantine:rows:release")).one()
    assert (event.object_id, event.department_code) == (push, make.POLICE)
    assert event.facts == {
        "resource": "place",
        "rows": 2,
        "row_numbers": "2-3",
        "reason": "单字名称属实",
        "by": "张三",
        "act": done.receipt,
        "overtaken": 0,
        "snapshot": done.snapshot,
        "inserted": 2,
        "changed": 0,
        "deleted": 0,
    }
    states = {(line.rule, line.state): line.row_numbers for line in acts.listed(house, OWNER, push=push)}
    assert states == {
        ("dept.short", "released"): (2, 3),
        ("sex.code", "released"): (3,),
        ("name.required", "waiting"): (4,),
    }
    assert not noted_file(house, push).exists()
    assert gate.verdict(house, push).quarantined_rows == 3


def test_the_way_serves_what_was_released(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    way.release(house, OWNER, push, None, "均属实")
    with house.registry.session() as session:
        version = session.scalar(select(PoolCommit.receipt).order_by(PoolCommit.snapshot.desc()).limit(1))
    found = IndexReader(house).lookup("pool:place", ["A2", "A4", "A5"])
    assert [key for key, record in found.records.items() if record is not None] == ["A2", "A4"]
    assert version is not None
    assert version.startswith(f"{push}.released-")


def test_the_same_release_again_gives_the_same_answer(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    first = release(house, OWNER, push, chosen("2"), "属实")
    assert release(house, OWNER, push, chosen("2"), "属实") == first
    assert len(pool.versions(house, "place")) == 2
    with pytest.raises(WrongState, match=r"第 2 行不在隔离区待处理.*these rows don't wait in quarantine: 2;"):
        release(house, OWNER, push, chosen("2-3"), "属实")
    with pytest.raises(WrongState, match="第 1、5 行不在隔离区待处理"):
        release(house, OWNER, push, chosen("1,5"), "属实")
    rest = release(house, OWNER, push, None, "属实")
    assert (rest.act.rows, release(house, OWNER, push, None, "属实")) == ("3-4", rest)


def test_a_row_without_key_type_or_identifier_can_not_enter_and_keeps_the_others_out(house: House) -> None:
    kit.publish(house, PLACE)
    drawn = "编号 | 名称 | 房间数 | 性别\n A1 | 甲所 | 1 |\n | 乙所 | 2 |\n A3 | 丙所 | 多 |\n A44444 | 丁所 | 4 |\n A5 | 戊 | 5 |"
    push = pushed(house, 1, drawn)
    with pytest.raises(WrongState) as refused:
        release(house, OWNER, push, None, "属实")
    assert refused.value.zh == (
        f"推送 {push} 的这些行不能放行：第 2 行 code.required（编号必填）；第 4 行 code.length（编号不超过 4 个字符）；"
        "第 3 行 rooms.type（房间数应为 I 型（BIGINT））。没有主键、类型或标识符不合格的行无法入库和查到，请改正后重新推送，"
        "或确认其主键（exchange quarantine confirm-key），或用 --rows 只放行其余的行"
    )
    assert refused.value.facts["rules"] == {"code.required": [2], "code.length": [4], "rooms.type": [3]}
    assert rows(house) == [("A1", "甲所", 1, 1)]
    release(house, OWNER, push, chosen("5"), "属实")
    assert [row[0] for row in rows(house)] == ["A1", "A5"]


def test_a_row_that_shares_its_key_with_another_of_its_push_can_not_enter(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1, "编号 | 名称\n A1 | 甲所\n A1 | 甲\n A2 | 乙\n A2 | 丙")
    for which, repeated in (("2", "2"), ("3-4", "3, 4")):
        with pytest.raises(WrongState, match=rf"第 {repeated} 行不能放行：与本批另一行主键重复（key.unique）"):
            release(house, OWNER, push, chosen(which), "属实")
    release(house, OWNER, push, chosen("3"), "属实")
    with pytest.raises(WrongState, match="第 4 行不能放行：与本批另一行主键重复"):
        release(house, OWNER, push, chosen("4"), "属实")
    assert rows(house) == [("A1", "甲所", 1, 1), ("A2", "乙", 1, 3)]


def test_where_a_key_may_have_several_rows_a_released_one_stands_beside_the_others(house: House) -> None:
    kit.publish(house, PLACE | {"duplicates": "allow"})
    push = pushed(house, 1, "编号 | 名称\n A1 | 甲所\n A1 | 甲\n A1 | 丙所\n A2 | 乙")
    assert release(house, OWNER, push, chosen("2"), "属实").inserted == 1
    assert release(house, OWNER, push, chosen("4"), "属实").inserted == 1
    assert rows(house) == [("A1", "甲所", 1, 1), ("A1", "甲", 1, 2), ("A1", "丙所", 1, 3), ("A2", "乙", 1, 4)]


def test_what_a_newer_push_said_of_a_key_stands(house: House) -> None:
    """Changed, deleted, repeated word for word, or deleted where there was nothing: the newer push was there last."""
    kit.publish(house, PLACE)
    pushed(house, 1, "编号 | 名称\n A1 | 甲所\n A3 | 丙所\n A5 | 戊所")
    drawn = "_op | 编号 | 名称\n" + "\n".join(f"U | A{n} | {name}" for n, name in enumerate("一二三四五六", 1))
    second = pushed(house, 2, drawn + "\n U | A7 | 庚所", "incremental")
    pushed(house, 3, "_op | 编号 | 名称\n U | A1 | 甲新\n D | A3 |\n U | A5 | 戊所\n D | A6 |", "incremental")
    done = release(house, OWNER, second, None, "属实")
    assert rows(house) == [
        ("A1", "甲新", 3, 1),
        ("A2", "二", 2, 2),
        ("A4", "四", 2, 4),
        ("A5", "戊所", 1, 3),
        ("A7", "庚所", 2, 7),
    ]
    assert (done.inserted, done.changed, done.act.count, done.act.overtaken) == (2, 0, 6, 4)
    assert pool.versions(house, "place")[0].batch == 3
    pushed(house, 4, "_op | 编号 | 名称\n U | A4 | 丁新", "incremental")
    assert rows(house)[2] == ("A4", "丁新", 4, 1)


def test_a_newer_release_of_a_key_stands_too(house: House) -> None:
    kit.publish(house, PLACE)
    first = pushed(house, 1, "编号 | 名称\n A0 | 零所\n A1 | 旧")
    second = pushed(house, 2, "_op | 编号 | 名称\n U | A1 | 新\n U | A2 | 乙所", "incremental")
    release(house, OWNER, second, None, "属实")
    with pytest.raises(WrongState, match="其后的批次已写过它们的主键，以新批次为准"):
        release(house, OWNER, first, None, "属实")
    assert rows(house)[1] == ("A1", "新", 2, 1)


def test_a_deletion_is_released_as_a_deletion(house: House) -> None:
    guarded = PLACE | {"rules": [PLACE["rules"][0] | {"predicate": "code <> 'A1'", "items": ["code"]}]}
    kit.publish(house, PLACE)
    pushed(house, 1, "编号 | 名称\n A1 | 甲所\n A2 | 乙所\n A3 | 丙所")
    kit.publish(house, guarded)
    gone = pushed(house, 2, "_op | 编号 | 名称\n D | A1 |\n D | A2 |", "incremental")
    assert [row[0] for row in rows(house)] == ["A1", "A3"]
    assert release(house, OWNER, gone, None, "确已注销").deleted == 1
    assert [row[0] for row in rows(house)] == ["A3"]
    listed = pushed(house, 3, "编号\n A1\n A3", "deletions")
    assert release(house, OWNER, listed, None, "确已注销").deleted == 0
    assert rows(house) == []


@pytest.mark.parametrize("state", ["held", "rejected", "waiting", "replaced", "withdrawn"])
def test_only_a_push_whose_rows_are_in_the_pool_has_rows_to_release(house: House, state: str) -> None:
    kit.publish(house, PLACE)
    good = "编号 | 名称\n" + "\n".join(f"B{n} | 好所" for n in range(9))
    bad = "编号 | 名称\n A1 | 甲"
    if state == "rejected":
        push = land(house, 1, bad)
        way.process(house, push)
    else:
        first = pushed(house, 1, good + "\n A1 | 甲")
    if state == "held":
        push = land(house, 2, bad + "\n A2 | 乙所")
        assert way.process(house, push).decision == "held"
    elif state == "waiting":
        push = land(house, 5, "_op | 编号 | 名称\n U | A1 | 甲\n U | A2 | 乙所", "incremental")
        way.process(house, push)
    elif state == "replaced":
        push = first
        newer = pushed(house, 2, good)
    elif state == "withdrawn":
        push = first
        way.withdraw(house, OWNER, push)
    with pytest.raises(WrongState) as refused:
        release(house, OWNER, push, None, "属实")
    expected = {
        "held": f"推送 {push} 的状态是 held，其隔离行还不能放行",
        "rejected": f"推送 {push} 的状态是 rejected，其隔离行还不能放行",
        "waiting": f"推送 {push} 的状态是 accepted，其隔离行还不能放行",
        "withdrawn": f"推送 {push} 的状态是 withdrawn，其隔离行还不能放行",
    }
    if state == "replaced":
        assert refused.value.zh.startswith(f"推送 {push} 已被第 2 批全量推送 {newer} 取代")
    else:
        assert refused.value.zh.startswith(expected[state])


def test_withdrawing_a_push_takes_back_what_was_released_of_it(house: House) -> None:
    kit.publish(house, PLACE)
    first = pushed(house, 1, "编号 | 名称\n A9 | 玖所")
    before = rows(house)
    second = pushed(house, 2)
    release(house, OWNER, second, chosen("2"), "属实")
    release(house, OWNER, second, chosen("3"), "属实")
    assert way.withdraw(house, OWNER, second) == "withdrawn"
    assert rows(house) == before
    newest = pool.versions(house, "place")[0]
    assert (newest.receipt, newest.push_id) == (f"{second}.withdrawn", first)


def test_an_older_push_is_not_withdrawn_because_something_of_it_was_released_last(house: House) -> None:
    kit.publish(house, PLACE)
    first = pushed(house, 1)
    pushed(house, 2, "_op | 编号 | 名称\n U | B1 | 新所", "incremental")
    release(house, OWNER, first, chosen("2"), "属实")
    with pytest.raises(WrongState, match="只能撤回最新的一批"):
        way.withdraw(house, OWNER, first)


@contextmanager
def not_written_down(house: House) -> Iterator[None]:
    """The lake takes what comes, and the control database refuses to write it down: as after a kill between the two."""
    with house.registry.session() as session:
        session.execute(text("ALTER TABLE quarantine_act ADD CONSTRAINT never CHECK (false) NOT VALID"))
    yield
    with house.registry.session() as session:
        session.execute(text("ALTER TABLE quarantine_act DROP CONSTRAINT never"))


def test_killed_between_commit_and_record_a_release_is_finished_and_not_repeated(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    with not_written_down(house), pytest.raises(IntegrityError):
        release(house, OWNER, push, chosen("2-3"), "属实")
    assert [row[0] for row in rows(house)] == ["A1"]
    with lake.opened(house) as connection:
        committed = lake.by_author(connection, pool.author("place"))[-1]
    done = release(house, OWNER, push, chosen("2-3"), "属实")
    assert (done.receipt, done.snapshot) == (committed.receipt, committed.snapshot)
    assert [row[0] for row in rows(house)] == ["A1", "A2", "A3"]


def test_killed_and_overtaken_by_another_push_a_release_is_done_anew_on_top_of_it(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    with not_written_down(house), pytest.raises(IntegrityError):
        release(house, OWNER, push, chosen("2-3"), "属实")
    pushed(house, 2, "_op | 编号 | 名称\n U | A2 | 乙新", "incremental")
    assert rows(house) == [("A1", "甲所", 1, 1), ("A2", "乙新", 2, 1)]
    done = release(house, OWNER, push, chosen("2-3"), "属实")
    assert rows(house) == [("A1", "甲所", 1, 1), ("A2", "乙新", 2, 1), ("A3", "丙", 1, 3)]
    assert (done.inserted, done.act.overtaken) == (1, 1)


def test_nobody_else_releases_and_nobody_without_a_reason(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1)
    for caller in (kit.CIVIL, Caller("c-quality", make.CIVIL, role="quality"), Caller("c", make.POLICE, role="quality")):
        with pytest.raises(AccessRefused, match="只有推送部门本身可以放行隔离行"):
            release(house, caller, push, None, "属实")
    with pytest.raises(RequestInvalid, match="放行须写明理由"):
        release(house, OWNER, push, None, "  ")
    assert len(rows(house)) == 1
