"""What the gate decides, each situation drawn as a table."""

from datetime import datetime
from threading import Thread

import pytest
from sqlalchemy import select

from api.commands.push import _for_people
from exchange.callers import Caller
from exchange.errors import AccessRefused, NotFound, WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.pushes import CHINA
from exchange.registry.models import Event, Push, Verdict
from quality import check, expectations, gate, quarantine, staging
from quality.subject import Subject
from tests import make
from tests.quality import kit

PLACE = make.resource(
    "place",
    make.POLICE,
    [
        make.item("code", "编号", "C10", required=True),
        make.item("name", "名称", "C10"),
        make.item("rooms", "房间数", "I3"),
        make.item("area", "面积", "N6,2"),
        make.item("built", "建成日期", "D"),
        make.item("open", "是否开放", "L"),
        make.item("changed_at", "更新时间", "T", is_timestamp=True),
    ],
    ["code"],
    quarantine_threshold=0.5,
)
EMPTY_KEY = (
    "主键为空；如原表有合并单元格，只有第一格有值，请取消合并并逐行填写 / "
    "the key is empty; of merged cells only the first has a value: unmerge them and fill in every row"
)
HEADER = ["编号", "名称", "房间数", "面积", "建成日期", "是否开放", "更新时间"]


def accepted(house: House, push_id: str, columns: str = "* EXCLUDE (_hash)") -> list[tuple[object, ...]]:
    with house.duckdb() as connection:
        return connection.execute(f"SELECT {columns} FROM {staging.accepted_sql(house, push_id)} ORDER BY _row").fetchall()


def names(house: House, push_id: str) -> list[object]:
    return [name for (name,) in accepted(house, push_id, "name")]


def test_good_rows_pass_bad_rows_wait(house: House) -> None:
    make.small_city(house)
    people = [[make.resident(n), f"人{n}", "1", "19500101", "", "", "2026-01-01 08:00:00"] for n in range(60)]
    people[3][0] = people[3][0][:17] + ("0" if people[3][0][17] != "0" else "1")
    people[7][2] = "7"
    header = ["公民身份号码", "姓名", "性别", "出生日期", "户籍地址", "联系电话", "更新时间"]
    push = kit.land(house, "police_household", header, people)
    verdict = gate.check(house, push)
    assert (verdict.decision, verdict.rows, verdict.accepted_rows, verdict.quarantined_rows) == ("accepted", 60, 58, 2)
    assert kit.failed(verdict) == {"id_number.resident_number": 1, "sex_code.code": 1}
    assert [row for (row,) in accepted(house, push, "_row")] == [n for n in range(1, 61) if n not in (4, 8)]
    assert kit.row_errors(house, push) == [
        [
            "4",
            "公民身份号码",
            "id_number.resident_number",
            "校验码不符（GB 11643），有字符写错，请按证照核对 / the check character does not fit (GB 11643): a character is wrong; compare it with the document",
            people[3][0],
        ],
        [
            "8",
            "性别",
            "sex_code.code",
            "不是代码表 sex 中的代码（0、1、2、9），请按代码表填写 / no code of sex (0, 1, 2, 9); use one of its codes",
            "7",
        ],
    ]


def test_every_kind_of_failure_has_its_rule_and_its_line(house: House) -> None:
    kit.publish(house, {**PLACE, "quarantine_threshold": 1.0})
    verdict = kit.judge(
        house,
        "place",
        """
        编号 | 名称              | 房间数 | 面积     | 建成日期   | 是否开放 | 更新时间
        A1   | 好                | 3      | 10.50    | 2022-08-10 | 是       | 2026-01-01 08:00:00
             | 无编号            | 3      | 10       | 20220810   | 0        | 20260101080000
        A3   | 一二三四五六七八九十一 | 3 | 10       |            |          |
        A4   | 整数              | 3.5    |          |            |          |
        A5   | 太大              | 1000   |          |            |          |
        A6   | 小数太多          |        | 1.234    |            |          |
        A7   | 没有这天          |        |          | 2022-02-30 |          |
        A8   | 也许              |        |          |            | 也许     | 昨天
        """,
    )
    assert (verdict.decision, verdict.accepted_rows, verdict.quarantined_rows) == ("accepted", 1, 7)
    assert kit.row_errors(house, verdict.push_id) == [
        ["2", "编号", "code.required", EMPTY_KEY, ""],
        ["3", "名称", "name.length", "长度是 11 个字符，上限 10 / 11 characters, at most 10 fit", "一二三四五六七八九十一"],
        ["4", "房间数", "rooms.type", "应为整数，只写数字 / a whole number is expected, digits alone", "3.5"],
        [
            "5",
            "房间数",
            "rooms.length",
            "未通过规则「房间数不超过 3 位数字」 / fails the rule: rooms has at most 3 digits",
            "1000",
        ],
        [
            "6",
            "面积",
            "area.type",
            "应为数字，整数部分最多 4 位，小数最多 2 位 / a number is expected, of at most 4 digits before the point and 2 after it",
            "1.234",
        ],
        [
            "7",
            "建成日期",
            "built.type",
            "应为存在的日期，写成 2022-08-10 / a date of the calendar is expected, written 2022-08-10",
            "2022-02-30",
        ],
        ["8", "是否开放", "open.type", "应为 是 或 否（也可写 1/0、Y/N、TRUE/FALSE、√/×） / yes or no expected", "也许"],
        [
            "8",
            "更新时间",
            "changed_at.type",
            "应为存在的日期和时间，写成 2022-08-10 18:10:00 / a date and time is expected, written 2022-08-10 18:10:00",
            "昨天",
        ],
    ]


def test_above_the_threshold_the_push_is_rejected_and_nothing_is_for_the_pool(house: House) -> None:
    kit.publish(house, {**PLACE, "quarantine_threshold": 0.2})
    good = [[f"A{n}", "好", "1", "", "", "", ""] for n in range(8)]
    at_the_limit = gate.check(house, kit.land(house, "place", HEADER, [*good, *[["", "坏", "", "", "", "", ""]] * 2]))
    above = gate.check(house, kit.land(house, "place", HEADER, [*good, *[["", "坏", "", "", "", "", ""]] * 3], batch=2))
    assert (at_the_limit.decision, above.decision) == ("accepted", "rejected")
    (reason,) = above.reasons
    assert reason.code == "threshold"
    assert reason.zh == "11 行中有 3 行（27.27%）未通过，超过上限 20.00%，整批退回；请按行错误文件改正后用新批次号重新推送"
    assert reason.en.startswith("3 of 11 rows (27.27%) failed, above the limit of 20.00%, so the push is rejected")
    assert pushes.get(house, above.push_id).state == "rejected"
    with pytest.raises(WrongState, match="只有已接受的推送才有可入池的行"):
        staging.accepted_sql(house, above.push_id)
    assert len(kit.row_errors(house, above.push_id)) == 3
    assert not check.noted_file(house, above.push_id).exists()


def test_one_row_that_breaks_a_blocking_rule_rejects_the_push(house: House) -> None:
    rule = {
        "id": "small",
        "title": "房间数不超过 100",
        "title_en": "at most 100 rooms",
        "predicate": "rooms <= 100",
        "items": ["rooms", "name"],
        "level": "block",
        "indicator": "0104",
    }
    kit.publish(house, {**PLACE, "rules": [rule]})
    rows = [[f"A{n}", "好", str(n), "", "", "", ""] for n in range(102)]
    verdict = gate.check(house, kit.land(house, "place", HEADER, rows))
    assert (verdict.decision, [reason.code for reason in verdict.reasons]) == ("rejected", ["block-rule"])
    assert "有 1 行违反阻断规则 dept.small（房间数不超过 100）" in verdict.reasons[0].zh
    assert "break the blocking rule dept.small (at most 100 rooms)" in verdict.reasons[0].en
    assert kit.row_errors(house, verdict.push_id) == [
        [
            "102",
            "房间数、名称",
            "dept.small",
            "未通过规则「房间数不超过 100」 / fails the rule: at most 100 rooms",
            "房间数=101；名称=好",
        ]
    ]


def test_a_push_that_shrank_is_held_until_its_department_confirms(house: House) -> None:
    kit.publish(house, PLACE)
    rows = [[f"A{n}", "好", "", "", "", "", ""] for n in range(100)]
    assert gate.check(house, kit.land(house, "place", HEADER, rows)).decision == "accepted"
    assert gate.check(house, kit.land(house, "place", HEADER, rows[:70], batch=2)).decision == "accepted"
    held = gate.check(house, kit.land(house, "place", HEADER, rows[:48], batch=3))  # 70 % of 70 are 49
    assert (held.decision, [reason.code for reason in held.reasons]) == ("held", ["shrunk"])
    assert held.reasons[0].zh.startswith("全量推送只有 48 行可用，上次接受 70 行，低于 70%，暂挂待推送部门确认")
    assert pushes.get(house, held.push_id).state == "held"
    with pytest.raises(WrongState):
        staging.accepted_sql(house, held.push_id)
    with pytest.raises(AccessRefused, match="只有推送部门本身可以确认"):
        gate.confirm(house, kit.CIVIL, held.push_id)
    confirmed = gate.confirm(house, kit.POLICE, held.push_id)
    assert (confirmed.decision, confirmed.confirmed_by, confirmed.reasons) == ("accepted", "张三", held.reasons)
    assert len(accepted(house, held.push_id)) == 48
    with pytest.raises(WrongState, match="状态是 accepted"):
        gate.confirm(house, kit.POLICE, held.push_id)
    # what was confirmed is what the next one is measured by
    assert gate.check(house, kit.land(house, "place", HEADER, rows[:40], batch=4)).decision == "accepted"


@pytest.mark.parametrize(
    ("predicate", "stays"),
    [
        ("built <= today()", ["A1", "A2"]),
        ("built <= Current_Date", ["A1", "A2"]),
        ('built <= "today" ( )', ["A1", "A2"]),
        ("changed_at <= now()", ["A1"]),
        ("changed_at <= main.now()", ["A1"]),
        ("changed_at <= CURRENT_TIMESTAMP", ["A1"]),
        ("changed_at > now() - INTERVAL 1 HOUR", ["A2", "A3"]),
        ("name <> 'today()' AND year(built) = year(today())", ["A1", "A2", "A3"]),
    ],
)
def test_a_rule_s_today_is_the_day_the_push_came_whenever_it_is_judged(
    house: House, predicate: str, stays: list[str]
) -> None:
    words = {"title": "不晚于收到之时", "title_en": "not after the receipt"}
    named = {"items": ["built", "changed_at", "name"], "level": "quarantine", "indicator": "0104"}
    kit.publish(
        house, {**PLACE, "quarantine_threshold": 0.9, "rules": [{"id": "clock", "predicate": predicate, **words, **named}]}
    )
    days = [
        ("2020-05-01", "2020-05-02 08:00:00"),
        ("2020-05-02", "2020-05-02 09:30:00"),
        ("2020-05-03", "2020-05-03 00:00:00"),
    ]
    rows = [[f"A{n}", "好", "", "", built, "", changed] for n, (built, changed) in enumerate(days, 1)]
    push = kit.land(house, "place", HEADER, rows)
    with house.registry.session() as session:
        session.get_one(Push, push).received_at = datetime(2020, 5, 2, 9, tzinfo=CHINA)
    assert gate.check(house, push).decision == "accepted"
    assert accepted(house, push, "code") == [(code,) for code in stays]
    staging.drop(house, push)
    assert accepted(house, push, "code") == [(code,) for code in stays], "made again from the landed bytes"


def test_a_held_push_is_not_confirmed_after_a_newer_one_was_accepted(house: House) -> None:
    kit.publish(house, PLACE)
    rows = [[f"A{n}", "好", "", "", "", "", ""] for n in range(100)]
    gate.check(house, kit.land(house, "place", HEADER, rows))
    held = gate.check(house, kit.land(house, "place", HEADER, rows[:40], batch=2))
    gate.check(house, kit.land(house, "place", HEADER, rows[:90], batch=3))
    with pytest.raises(WrongState, match=r"不能再确认：这是第 2 批，其后的第 3 批已被接受.*under a new batch number"):
        gate.confirm(house, kit.POLICE, held.push_id)
    assert gate.verdict(house, held.push_id) == held


def test_a_push_judged_after_a_newer_one_was_accepted_is_rejected_as_outdated(house: House) -> None:
    kit.publish(house, PLACE)
    rows = [[f"A{n}", "好", "", "", "", "", ""] for n in range(100)]
    older = kit.land(house, "place", HEADER, rows)
    newer = kit.land(house, "place", HEADER, rows[:60], batch=2)
    assert gate.check(house, newer).decision == "accepted"
    late = gate.check(house, older)
    assert (late.decision, [reason.code for reason in late.reasons]) == ("rejected", ["outdated"])
    assert late.reasons[0].zh == ("这是第 1 批，其后的第 2 批已被接受，本批不再入池；如确需这份数据，请以新批次号重新推送")
    assert (
        gate.check(house, kit.land(house, "place", HEADER, rows[:45], batch=3)).decision == "accepted"
    )  # 70 % of 60 are 42


@pytest.mark.parametrize(
    ("policy", "stays", "decision"),
    [
        # 甲甲 identical twice, 乙 and 丙 share a key and differ, 丁 alone
        ("quarantine", ["甲", "丁"], "accepted"),
        ("keep_newest", ["甲", "丙", "丁"], "accepted"),
        ("allow", ["甲", "甲", "乙", "丙", "丁"], "accepted"),
        ("reject", None, "rejected"),
    ],
)
def test_duplicate_keys_by_policy(house: House, policy: str, stays: list[str] | None, decision: str) -> None:
    kit.publish(house, {**PLACE, "duplicates": policy, "quarantine_threshold": 0.9})
    verdict = kit.judge(
        house,
        "place",
        """
        编号 | 名称 | 更新时间
        1    | 甲   | 2026-01-01 00:00:00
        1    | 甲   | 2026-01-01 00:00:00
        2    | 乙   | 2026-01-01 00:00:00
        2    | 丙   | 2026-01-02 00:00:00
        3    | 丁   |
        """,
    )
    assert verdict.decision == decision
    if stays is not None:
        assert names(house, verdict.push_id) == stays
        assert verdict.quarantined_rows == 5 - len(stays)


def test_rows_that_gave_way_to_newer_ones_do_not_count_against_the_threshold(house: House) -> None:
    kit.publish(house, {**PLACE, "duplicates": "keep_newest", "quarantine_threshold": 0.05})
    rows = [["1", f"第{n}", "", "", "", "", f"2026-01-{n:02} 00:00:00"] for n in range(1, 21)]
    verdict = gate.check(house, kit.land(house, "place", HEADER, rows))
    assert (verdict.decision, verdict.accepted_rows, names(house, verdict.push_id)) == ("accepted", 1, ["第20"])
    assert kit.row_errors(house, verdict.push_id)[0] == [
        "1",
        "编号",
        "key.unique",
        "与更新的一行主键重复 / a newer row has the same key",
        "1",
    ]


def test_only_rows_that_are_otherwise_good_are_duplicates(house: House) -> None:
    kit.publish(house, PLACE)
    verdict = kit.judge(
        house,
        "place",
        """
        编号 | 名称 | 房间数
        1    | 甲   | 三
        １   | 乙   | 3
        2    | 丙   | 4
        """,
    )
    assert names(house, verdict.push_id) == ["乙", "丙"]
    assert kit.failed(verdict) == {"rooms.type": 1}


def test_a_row_with_too_many_cells_waits_with_its_number(house: House) -> None:
    kit.publish(house, PLACE)
    content = "编号,名称\n1,甲\n2,乙,多了\n3,丙\n".encode()
    verdict = gate.check(house, kit.land_bytes(house, "place", content, 3, caller=kit.POLICE))
    assert verdict.failed("row.shape") == 1
    assert [row for (row,) in accepted(house, verdict.push_id, "_row")] == [1, 3]
    ((row, title, rule, *_),) = kit.row_errors(house, verdict.push_id)
    assert (row, title, rule) == ("2", "整行", "row.shape")


def test_accepted_rows_are_typed_and_normalised_and_counted(house: House) -> None:
    kit.publish(house, PLACE)
    verdict = kit.judge(
        house,
        "place",
        """
        编号 | 名称       | 房间数 | 面积     | 建成日期      | 是否开放 | 更新时间
        ａ１ | 　（甲）　 | ３     | 1,234.50 | 2022年8月1日  | Y        | 2026/1/2 03:04:05
        a2   | 乙         | 4      | 5        | 20220802      | 否       | 20260102030405
        """,
    )
    rows = accepted(
        house, verdict.push_id, "_row, code, name, rooms, area::VARCHAR, built::VARCHAR, open, changed_at::VARCHAR"
    )
    assert rows == [
        (1, "a1", "（甲）", 3, "1234.50", "2022-08-01", True, "2026-01-02 03:04:05"),
        (2, "a2", "乙", 4, "5.00", "2022-08-02", False, "2026-01-02 03:04:05"),
    ]
    assert verdict.normalised_values == 6


def test_the_verdict_names_rules_versions_and_indicators_and_unknown_columns(house: House) -> None:
    kit.publish(house, PLACE)
    verdict = kit.judge(house, "place", "编号 | 名称 | 备注\n1 | 甲 | 不在目录里")
    assert verdict.unknown_columns == ("备注",)
    assert verdict.as_dict()["rules"][1] == {
        "id": "code.required",
        "version": 2,
        "level": "quarantine",
        "indicator": "0201",
        "title": "编号必填",
        "title_en": "code is given",
        "items": ("code",),
        "failed": 0,
        "passed": 1,
        "rows": (),
    }
    assert len(verdict.rules_digest) == 64
    assert (verdict.resource_id, verdict.resource_version) == ("place", 1)


def test_the_verdict_has_the_first_row_numbers_of_each_failed_rule(house: House) -> None:
    kit.publish(house, PLACE)
    good = [[str(n), "甲", "", "", "", "", ""] for n in range(1, 61)]
    rows = [*good, *[["", "甲", "", "", "", "", ""]] * 30, ["61", "甲", "x", "", "", "", ""]]
    verdict = gate.check(house, kit.land(house, "place", HEADER, rows))
    assert gate.verdict(house, verdict.push_id) == verdict
    assert verdict.decision == "accepted"
    shown = {rule["id"]: (rule["failed"], rule["rows"]) for rule in verdict.as_dict()["rules"] if rule["failed"]}
    (other,) = shown.keys() - {"code.required"}
    assert shown == {"code.required": (30, tuple(range(61, 81))), other: (1, (91,))}
    told = _for_people(verdict.as_dict())["未通过的规则 failed rules"]
    assert [(rule["行 rows"], rule["行号 row numbers"]) for rule in told] == [(30, "61, 62, 63, 64, 65 …"), (1, "91")]


def test_a_verdict_from_before_row_numbers_is_still_read(house: House) -> None:
    kit.publish(house, PLACE)
    verdict = kit.judge(house, "place", "编号 | 名称\n1 | 甲")
    with house.registry.session() as session:
        row = session.get_one(Verdict, verdict.push_id)
        row.rules = [{name: value for name, value in rule.items() if name != "rows"} for rule in row.rules]
    assert gate.verdict(house, verdict.push_id) == verdict


def test_a_push_is_judged_by_the_version_in_its_receipt(house: House) -> None:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", HEADER, [["1", "十个字以内", "", "", "", "", ""]])
    strict = {**PLACE, "items": [PLACE["items"][0], make.item("name", "名称", "C2"), *PLACE["items"][2:]]}
    kit.publish(house, strict)
    assert gate.check(house, push).accepted_rows == 1
    second = gate.check(house, kit.land(house, "place", HEADER, [["1", "十个字以内", "", "", "", "", ""]], batch=2))
    assert (second.resource_version, second.decision, second.accepted_rows) == (2, "rejected", 0)


def test_judging_twice_gives_one_verdict_and_one_event(house: House) -> None:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", HEADER, [["1", "甲", "", "", "", "", ""]])
    first = gate.check(house, push)
    assert gate.check(house, push) == first == gate.verdict(house, push)
    with house.registry.session() as session:
        events = list(session.scalars(select(Event.facts).where(Event.tag == "gate:push:decide")))
    assert events == [{"resource": "place", "decision": "accepted", "reasons": ["passed"], "rows": 1, "quarantined": 0}]


def test_two_workers_on_one_push_give_one_verdict(house: House) -> None:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", HEADER, [[f"{n}", "甲", "", "", "", "", ""] for n in range(500)])
    seen: list[object] = []
    workers = [Thread(target=lambda: seen.append(gate.check(house, push))) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(seen) == 2
    assert seen[0] == seen[1]


def test_a_gate_that_died_between_any_two_steps_is_done_again_with_the_same_result(house: House) -> None:
    kit.publish(house, PLACE)
    rows = [["1", "甲", "", "", "", "", ""], ["2", "乙", "x", "", "", "", ""], ["3", "丙", "", "", "", "", ""]]
    push = kit.land(house, "place", HEADER, rows)
    subject = Subject.of(house, push)

    def judged(until: int) -> None:
        with house.duckdb() as connection:
            counts = check.run(house, connection, push, subject.resource, subject.rules)
            if until > 1:
                failed = expectations.validate(house, connection, subject, counts.rows)
            if until > 2:
                quarantine.write(house, connection, subject, {rule: failure.count for rule, failure in failed.items()})

    def forget() -> None:
        with house.registry.session() as session:
            found = session.get(Verdict, push)
            if found is not None:
                session.delete(found)
            session.get_one(Push, push).state = "landed"
        for folder in ("staging", "quarantine"):
            (house.settings.folder(folder) / f"{push}.parquet").unlink(missing_ok=True)

    def world() -> tuple[object, ...]:
        view = gate.verdict(house, push).as_dict()
        del view["decided_at"]
        return view, accepted(house, push, "*"), kit.row_errors(house, push, warnings=True)

    gate.check(house, push)
    wanted = world()
    for until in (1, 2, 3):
        forget()
        judged(until)
        litter = house.settings.folder("staging") / f".{push}.parquet.999999.part"
        litter.write_bytes(b"half")
        gate.check(house, push)
        assert world() == wanted
        assert not litter.exists()


def test_dropped_rows_are_made_again(house: House) -> None:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", HEADER, [["1", "甲", "", "", "", "", ""], ["2", "乙", "x", "", "", "", ""]])
    gate.check(house, push)
    before = accepted(house, push, "*")
    staging.drop(house, push)
    assert not check.noted_file(house, push).exists()
    assert accepted(house, push, "*") == before


def test_no_push_no_verdict(house: House) -> None:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", HEADER, [["1", "甲", "", "", "", "", ""]])
    for push_id in ("P260101-0000000000", push):
        with pytest.raises(NotFound, match="尚未检查"):
            gate.verdict(house, push_id)
        with pytest.raises(NotFound, match="尚未检查"):
            gate.confirm(house, Caller(None, make.POLICE), push_id)
    with pytest.raises(NotFound):
        gate.check(house, "P260101-0000000000")
