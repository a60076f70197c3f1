"""Incremental pushes before the gate: what is asked of a row that changes, and of one that only says which key went."""

import pytest

from exchange.errors import BaselineNeeded, BatchOutdated, MissingColumns
from exchange.house import House
from pools import pool, way
from quality import gate
from tests import make
from tests.quality import kit

EMPTY_KEY = (
    "主键为空；如原表有合并单元格，只有第一格有值，请取消合并并逐行填写 / "
    "the key is empty; of merged cells only the first has a value: unmerge them and fill in every row"
)
PLACE = make.resource(
    "place",
    make.POLICE,
    [
        make.item("code", "编号", "C10", required=True),
        make.item("name", "名称", "C10", required=True),
        make.item("rooms", "房间数", "I3"),
    ],
    ["code"],
    quarantine_threshold=1.0,
)
FULL = "编号 | 名称 | 房间数\n A1 | 甲 | 1\n A2 | 乙 | 2\n A3 | 丙 | 3"


def pooled(house: House) -> list[tuple[object, ...]]:
    with house.lake() as connection:
        return connection.execute(
            f"SELECT code, name, rooms, _batch FROM {pool.rows_sql(house, 'place')} ORDER BY code"
        ).fetchall()


def pushed(house: House, batch: int, drawn: str, mode: str) -> str:
    """Land, judge and pool; the decision."""
    lines = [[cell.strip() for cell in line.split("|")] for line in drawn.strip().splitlines()]
    push = kit.land(house, "place", lines[0], lines[1:], batch=batch, mode=mode)  # type: ignore[arg-type]
    return way.process(house, push).decision


def test_rows_that_delete_are_asked_for_their_key_alone(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 1, FULL, "full")
    verdict = kit.judge(
        house,
        "place",
        """
        操作 | 编号 | 名称 | 房间数
        U    | A1   | 甲甲 | 9
        U    | A4   |      | 4
        D    | A2   |      | 很多
        D    |      |      |
        X    | A3   | 丙   | 3
        """,
        batch=2,
        mode="incremental",
    )
    assert (verdict.decision, kit.failed(verdict)) == (
        "accepted",
        {"code.required": 1, "name.required": 1, "_op.code": 1},
    )
    assert kit.row_errors(house, verdict.push_id) == [
        ["2", "名称", "name.required", "未通过规则「名称必填」 / fails the rule: name is given", ""],
        ["4", "编号", "code.required", EMPTY_KEY, ""],
        [
            "5",
            "操作",
            "_op.code",
            "不是代码表 _op 中的代码（U、D），请按代码表填写 / no code of _op (U, D); use one of its codes",
            "X",
        ],
    ]
    way.process(house, verdict.push_id)
    assert pooled(house) == [("A1", "甲甲", 9, 2), ("A3", "丙", 3, 1)]


def test_a_list_of_deletions_needs_the_key_column_alone(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 1, FULL, "full")
    assert pushed(house, 2, "编号 | 备注\n A1 | 注销\n A9 | 注销", "deletions") == "accepted"
    assert pooled(house) == [("A2", "乙", 2, 1), ("A3", "丙", 3, 1)]
    view = pool.latest(house, "place")
    assert view is not None
    assert (view.deleted, view.absent) == (1, 1)


def test_an_incremental_push_without_its_operation_column_is_refused(house: House) -> None:
    kit.publish(house, PLACE)
    with pytest.raises(MissingColumns, match=r"缺少必填列：操作.*required column\(s\) missing: 操作 \(_op\)"):
        kit.judge(house, "place", FULL, batch=2, mode="incremental")


def test_changes_to_nothing_are_rejected(house: House) -> None:
    kit.publish(house, PLACE)
    verdict = kit.judge(house, "place", "_op | 编号 | 名称\n U | A1 | 甲", mode="incremental")
    assert (verdict.decision, [reason.code for reason in verdict.reasons]) == ("rejected", ["no-baseline"])
    assert "请先推送一次全量（full）" in verdict.reasons[0].zh


def test_changes_by_a_catalogue_whose_types_changed_need_a_full_push_first(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 1, FULL, "full")
    items = [*PLACE["items"][:2], make.item("rooms", "房间数", "C3")]
    kit.publish(house, {**PLACE, "items": items})
    with pytest.raises(BaselineNeeded, match=r"请先推送一次全量数据.*push the data in full first"):
        kit.judge(house, "place", "_op | 编号 | 名称 | 房间数\n U | A1 | 甲 | 一", batch=2, mode="incremental")


def test_a_gap_waits_until_it_is_closed_and_then_everything_is_pooled_in_order(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 1, FULL, "full")
    assert pushed(house, 4, "_op | 编号 | 名称\n U | A1 | 四", "incremental") == "accepted"
    assert pushed(house, 3, "_op | 编号 | 名称\n U | A1 | 三\n U | A2 | 三", "incremental") == "accepted"
    assert [row[1] for row in pooled(house)] == ["甲", "乙", "丙"]
    assert pushed(house, 2, "_op | 编号 | 名称\n U | A1 | 二\n D | A3 |", "incremental") == "accepted"
    assert pooled(house) == [("A1", "四", None, 4), ("A2", "三", None, 3)]


def test_a_rejected_batch_closes_a_gap_too(house: House) -> None:
    kit.publish(house, {**PLACE, "quarantine_threshold": 0.05})
    pushed(house, 1, FULL, "full")
    assert pushed(house, 3, "_op | 编号 | 名称\n U | A1 | 三", "incremental") == "accepted"
    assert pushed(house, 2, "_op | 编号 | 名称\n U | A1 |", "incremental") == "rejected"
    assert pooled(house)[0] == ("A1", "三", None, 3)


def test_an_older_batch_is_refused_naming_the_expected_one(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 2, FULL, "full")
    for batch in (3, 4):
        pushed(house, batch, f"_op | 编号 | 名称\n U | A1 | 第{batch}", "incremental")
    with pytest.raises(BatchOutdated, match=r"下一批应为第 5 批.*the batch expected next is 5") as refused:
        kit.land(house, "place", ["_op", "编号", "名称"], [["U", "A1", "迟"]], batch=1, mode="incremental")
    assert refused.value.facts["expected"] == 5


def test_a_full_push_is_a_new_baseline_whatever_waits(house: House) -> None:
    kit.publish(house, PLACE)
    pushed(house, 1, FULL, "full")
    waiting = kit.land(house, "place", ["_op", "编号", "名称"], [["U", "A1", "等"]], batch=5, mode="incremental")
    way.process(house, waiting)
    assert pushed(house, 9, FULL, "full") == "accepted"
    assert [row[1] for row in pooled(house)] == ["甲", "乙", "丙"]
    assert gate.verdict(house, waiting).decision == "accepted"
    assert pushed(house, 10, "_op | 编号 | 名称\n D | A1 |", "incremental") == "accepted"
    assert [row[0] for row in pooled(house)] == ["A2", "A3"]


def test_a_full_push_is_measured_by_what_the_pool_holds(house: House) -> None:
    """After nine of ten rows were deleted one by one, a full push of two rows has not shrunk."""
    kit.publish(house, PLACE)
    rows = [[f"A{n}", "甲", ""] for n in range(10)]
    way.process(house, kit.land(house, "place", ["编号", "名称", "房间数"], rows))
    way.process(house, kit.land(house, "place", ["编号"], [[row[0]] for row in rows[1:]], batch=2, mode="deletions"))
    last = kit.land(house, "place", ["编号", "名称", "房间数"], rows[:2], batch=3)
    assert gate.check(house, last).decision == "accepted"
