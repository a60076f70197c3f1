"""The quarantine desk: what waits where, what is returned, and who may do which of it. Values are never shown."""

import itertools
from typing import get_args

import pytest
from sqlalchemy import select

from exchange.callers import Caller
from exchange.errors import AccessRefused, NotFound, RequestInvalid, WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.ranges import count, islands, joined, parse, sql, written
from exchange.registry.models import Event
from pools import way
from quality import access, acts, corrections, gate, quarantine
from quality.access import Doing
from tests import make
from tests.api.commands import Terminal
from tests.delivery.kit import log
from tests.quality import kit

QUALITY = Caller("c-quality", make.CIVIL, role="quality")
PLACE = make.resource(
    "place",
    make.POLICE,
    [
        make.item("code", "编号", "C10", required=True),
        make.item("name", "名称", "C10", required=True),
        make.item("sex", "性别", "C1", code_table="sex"),
        make.item("since", "起始日期", "D"),
    ],
    ["code"],
    quarantine_threshold=1.0,
)
DRAWN = """
编号 | 名称     | 性别 | 起始日期
A1   | 金丝雀甲 | 1    | 2026-01-01
A2   |          | 7    | 2026-01-01
A3   | 金丝雀丙 | 8    | 2026-01-01
A4   | 金丝雀丁 | 1    | 金丝雀日
A5   |          | 1    |
"""


def pushed(house: House) -> str:
    kit.publish(house, PLACE)
    verdict = kit.judge(house, "place", DRAWN)
    assert verdict.decision == "accepted"
    return verdict.push_id


def told(house: House, push: str, caller: Caller = QUALITY) -> list[tuple[object, ...]]:
    return [(one.rule, one.field, one.state, one.rows, one.row_numbers) for one in acts.listed(house, caller, push=push)]


def test_the_list_names_rule_field_rows_and_state(house: House) -> None:
    push = pushed(house)
    waiting = [
        ("name.required", "名称", "waiting", 2, (2, 5)),
        ("sex.code", "性别", "waiting", 2, (2, 3)),
        ("since.type", "起始日期", "waiting", 1, (4,)),
    ]
    assert told(house, push) == waiting
    assert told(house, push, kit.POLICE) == waiting
    assert acts.listed(house, kit.POLICE, resource="place") == acts.listed(house, QUALITY) == acts.listed(house, kit.POLICE)
    assert acts.listed(house, kit.CIVIL) == acts.listed(house, QUALITY, resource="other") == []
    assert "金丝雀" not in str(acts.listed(house, QUALITY))


def test_rows_are_returned_and_every_act_is_an_event(house: House) -> None:
    push = pushed(house)
    act = acts.return_rows(house, QUALITY, push, parse("2, 4"), "请核对 13912345678")
    assert (act.id, act.rows, act.count, act.reason, act.by) == (f"{push}.returned-1", "2,4", 2, "请核对 …", "c-quality")
    assert told(house, push) == [
        ("name.required", "名称", "returned", 1, (2,)),
        ("sex.code", "性别", "returned", 1, (2,)),
        ("sex.code", "性别", "waiting", 1, (3,)),
        ("since.type", "起始日期", "returned", 1, (4,)),
        ("name.required", "名称", "waiting", 1, (5,)),
    ]
    rest = acts.return_rows(house, kit.POLICE, push, None)
    assert (rest.id, rest.rows, rest.by) == (f"{push}.returned-2", "3,5", "张三")
    assert {line[2] for line in told(house, push)} == {"returned"}
    with house.registry.session() as session:
        events = session.scalars(select(Event).where(Event.tag == "quarantine:rows:return").order_by(Event.id)).all()
    assert [event.facts for event in events] == [
        {"resource": "place", "rows": 2, "row_numbers": "2,4", "reason": "请核对 …", "by": "c-quality", "act": act.id},
        {"resource": "place", "rows": 2, "row_numbers": "3,5", "reason": None, "by": "张三", "act": rest.id},
    ]


def test_only_rows_that_wait_are_returned(house: House) -> None:
    push = pushed(house)
    acts.return_rows(house, kit.POLICE, push, parse("2-3"))
    with pytest.raises(WrongState) as refused:
        acts.return_rows(house, kit.POLICE, push, parse("1-4"))
    assert (refused.value.zh, refused.value.facts["rows"]) == (
        f"推送 {push} 的第 1、2、3 行不在隔离区待处理：没有失败，或已经放行、退回；请用 exchange quarantine list {push} 查看",
        [1, 2, 3],
    )
    acts.return_rows(house, kit.POLICE, push, None)
    with pytest.raises(WrongState, match=r"隔离区里没有待处理的行 / no row of push .* waits in quarantine"):
        acts.return_rows(house, kit.POLICE, push, None)
    unjudged = kit.land(house, "place", ["编号", "名称"], [["A1", ""]], batch=2)
    with pytest.raises(NotFound, match="尚未检查"):
        acts.return_rows(house, kit.POLICE, unjudged, None)
    way.withdraw(house, kit.POLICE, unjudged)
    with pytest.raises(WrongState, match="已撤回，其隔离行不再处理"):
        acts.return_rows(house, kit.POLICE, unjudged, None)


# rows: who; columns: what; from the policy as it is drawn in quality/access.py
POLICY = """
who                          | list | report | return | release | row_errors | candidates | confirm_key
provider                     | yes  | yes    | yes    | yes     | yes        | yes        | yes
other department             | no   | no     | no     | no      | no         | no         | no
quality team elsewhere       | yes  | yes    | yes    | no      | no         | no         | no
quality team of the provider | yes  | yes    | yes    | no      | no         | no         | no
"""
CALLERS = {
    "provider": kit.POLICE,
    "other department": kit.CIVIL,
    "quality team elsewhere": QUALITY,
    "quality team of the provider": Caller("c-quality", make.POLICE, role="quality"),
}
_LINES = [[cell.strip() for cell in line.split("|")] for line in POLICY.strip().splitlines()]
ALLOWED = {
    (line[0], doing): word == "yes" for line in _LINES[1:] for doing, word in zip(_LINES[0][1:], line[1:], strict=True)
}


def test_the_policy_is_what_is_drawn_and_every_refusal_is_on_record(house: House) -> None:
    receipt = pushes.get(house, pushed(house))
    doings: tuple[Doing, ...] = get_args(Doing)
    refused = []
    for (who, caller), doing in itertools.product(CALLERS.items(), doings):
        if ALLOWED[who, doing]:
            access.may(house, caller, receipt, doing)
            continue
        with pytest.raises(AccessRefused) as error:
            access.may(house, caller, receipt, doing)
        assert "recorded" in error.value.facts
        action = doing if doing in ("report", "row_errors") else f"quarantine_{doing}"
        refused.append((action, f"push:{receipt.id}", caller.department, caller.client_id, "refused"))
    assert [(r["action"], r["target"], r["department"], r["client"], r["decision"]) for r in log(house)] == refused
    assert len(refused) == list(ALLOWED.values()).count(False) == 15


@pytest.mark.parametrize("who", CALLERS)
def test_values_are_handed_to_the_provider_alone(house: House, who: str) -> None:
    push = pushed(house)
    if who == "provider":
        assert "金丝雀日" in quarantine.row_errors(house, CALLERS[who], push).decode()
        with corrections.correction_file(house, CALLERS[who], push) as made:
            assert "金丝雀丙" in made.read().decode()
        return
    with pytest.raises(AccessRefused, match="行错误文件只给推送部门本身"):
        quarantine.row_errors(house, CALLERS[who], push)
    with (
        pytest.raises(AccessRefused, match="行错误文件只给推送部门本身"),
        corrections.correction_file(house, CALLERS[who], push),
    ):
        pass
    assert [record["decision"] for record in log(house)] == ["refused", "refused"]


def test_row_numbers_are_read_as_people_write_them(house: House) -> None:
    assert parse("5-9, 1，3-4,9") == ((1, 1), (3, 9))
    assert (written(((1, 1), (3, 9))), count(((1, 1), (3, 9))), joined([(2, 3), (1, 1)])) == ("1,3-9", 8, ((1, 3),))
    with house.duckdb() as connection:
        rows = connection.execute(f"SELECT list(_row ORDER BY _row) FROM {sql(((1, 1), (3, 5)))}").fetchone()
        assert rows == ([1, 3, 4, 5],)
        again = connection.execute(islands(f"SELECT _row FROM {sql(((1, 1), (3, 5)))}")).fetchall()
        assert again == [(1, 1), (3, 5)]
    for wrong in ("", "0", "a", "3-1", "1-", "1;2"):
        with pytest.raises(RequestInvalid, match="行号应写成 1,5-9 的样子"):
            parse(wrong)


def test_the_commands_work_the_desk(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    push = pushed(house)
    way.process(house, push)
    terminal = Terminal(house, monkeypatch)
    assert [line["row_numbers"] for line in terminal.json("quarantine", "list", push)] == [[2, 5], [2, 3], [4]]
    shown = terminal.run("quarantine", "list", "place")
    assert "name.required" in shown
    assert "金丝雀" not in shown
    assert terminal.json("quarantine", "return", push, "--rows", "4")["count"] == 1
    told = terminal.json("quarantine", "release", push, "--rows", "2-3", "--reason", "属实")
    assert (told["inserted"], told["act"]["rows"]) == (2, "2-3")
    assert "第 4 行 since.type" in terminal.run("quarantine", "release", push, "--rows", "4", "--reason", "属实", code=8)
    assert "行号应写成" in terminal.run("quarantine", "return", push, "--rows", "x", code=2)
    assert gate.verdict(house, push).quarantined_rows == 4
