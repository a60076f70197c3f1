"""The row-error file comes back corrected: handed out whole, mended, pushed as an incremental push, judged and pooled."""

import csv
import hashlib
import io
from collections.abc import Iterable

import pytest
from fastexcel import read_excel
from xlsxwriter import Workbook

from exchange.errors import NotFound, RequestInvalid
from exchange.house import House
from exchange.intake import pushes
from exchange.ranges import parse
from pools import pool, way
from quality import acts, corrections, gate
from quality.corrections import Kind, correction_file
from tests import make
from tests.api.kit import bearer, opened
from tests.delivery.kit import log
from tests.quality import kit

ERRORS = ["错误行号", "错误状态", "错误信息项", "错误说明"]
NOTE = make.resource(
    "note",
    make.POLICE,
    [
        make.item("code", "编号", "C6", required=True),
        make.item("text", "说明", "C30"),
        make.item("rooms", "房间数", "I3"),
    ],
    ["code"],
    quarantine_threshold=1.0,
)
HEADER = ["编号", "说明", "房间数"]
ROWS = [
    ["A1", "好", "1"],
    ["A2", "=cmd|' /C calc'!A0", "多"],
    ["A3", "'=1+1", "3间"],
    ["A4", "@SUM(A1)", "-5-"],
    ["A5", "-", "很多"],
    ["A6", "'平常", "六"],
    ["A7", "007", "\t=7"],
    ["A8", 'a"b,c\nd', "八"],
]


def fetched(house: House, push: str, kind: Kind = "csv") -> bytes:
    with correction_file(house, kit.POLICE, push, kind) as made:
        return made.read()


def table_of(content: bytes, kind: Kind = "csv") -> list[list[str]]:
    if kind == "csv":
        assert content.startswith(b"\xef\xbb\xbf")
        return list(csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    sheet = read_excel(content).load_sheet(0, header_row=None, dtypes="string").to_polars()
    return [["" if cell is None else cell for cell in row] for row in sheet.rows()]


def file_of(rows: Iterable[list[str]], kind: Kind) -> bytes:
    """What an officer's spreadsheet saves."""
    if kind == "csv":
        text = io.StringIO()
        csv.writer(text).writerows(rows)
        return text.getvalue().encode("utf-8-sig")
    buffer = io.BytesIO()
    with Workbook(buffer, {"in_memory": True, "strings_to_formulas": False}) as book:
        sheet = book.add_worksheet()
        for number, row in enumerate(rows):
            for place, cell in enumerate(row):
                sheet.write_string(number, place, cell)
    return buffer.getvalue()


def pooled(house: House) -> list[tuple[object, ...]]:
    with house.lake() as connection:
        found = pool.rows_sql(house, "note")
        return connection.execute(f"SELECT code, text, rooms, _batch FROM {found} ORDER BY code").fetchall()


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_what_was_wrong_is_mended_and_pushed_again(house: House, kind: Kind) -> None:
    kit.publish(house, NOTE)
    first = kit.land(house, "note", HEADER, ROWS)
    assert way.process(house, first).quarantined_rows == 7
    header, *wrong = table_of(fetched(house, first, kind), kind)
    assert header == ["操作", *HEADER, *ERRORS]
    assert [row[0] for row in wrong] == ["U"] * 7
    for number, row in enumerate(wrong, 2):
        assert (row[4], row[5], row[6]) == (str(number), "待处理", "房间数")
        row[3] = str(number)  # the correction
    content = file_of([header, *wrong], kind)
    with opened(house) as door:
        said = {
            "X-Batch": "2",
            "X-Mode": "incremental",
            "X-Rows": "7",
            "X-Digest": f"sha256={hashlib.sha256(content).hexdigest()}",
        }
        answer = door.http.post(
            "/v1/resources/note/pushes", content=content, headers=bearer(door.token(make.POLICE)) | said
        )
    assert answer.status_code == 201, answer.text
    second = answer.json()["id"]
    verdict = way.process(house, second)
    assert (verdict.decision, verdict.quarantined_rows, verdict.unknown_columns) == ("accepted", 0, tuple(ERRORS))
    assert pooled(house) == [("A1", "好", 1, 1)] + [(row[0], row[1], number, 2) for number, row in enumerate(ROWS[1:], 2)]


@pytest.mark.parametrize("kind", ["csv", "xlsx"])
def test_nothing_in_the_file_runs_in_a_spreadsheet_and_pushed_unchanged_it_fails_as_before(
    house: House, kind: Kind
) -> None:
    kit.publish(house, NOTE)
    first = kit.land(house, "note", HEADER, ROWS)
    before = way.process(house, first)
    content = fetched(house, first, kind)
    cells = [cell for row in table_of(content, kind) for cell in row]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
    assert "'=cmd|' /C calc'!A0" in cells
    second = kit.land_bytes(house, "note", content, 7, caller=kit.POLICE, batch=2, mode="incremental")
    again = way.process(house, second)
    assert [(r.id, r.failed) for r in again.rules if r.failed] == [(r.id, r.failed) for r in before.rules if r.failed]
    assert [row[1:4] for row in table_of(fetched(house, second, kind), kind)] == [
        row[1:4] for row in table_of(content, kind)
    ]


def test_a_number_with_a_sign_is_left_as_it_is(house: House) -> None:
    kit.publish(house, NOTE)
    push = kit.land(house, "note", HEADER, [["A1", "好", "1"], ["A2222222", "+86", "-7"]])
    gate.check(house, push)
    assert table_of(fetched(house, push))[1] == [
        "U",
        "A2222222",
        "+86",
        "-7",
        "2",
        "待处理",
        "编号",
        "编号：长度是 8 个字符，上限 6 / 8 characters, at most 6 fit",
    ]


def test_returned_rows_say_so_and_released_ones_are_gone(house: House) -> None:
    kit.publish(house, NOTE | {"rules": [RULE]})
    push = kit.land(house, "note", HEADER, [["A1", "好", "1"], ["A2", "坏", "2"], ["A3", "坏", "3"], ["A4", "坏", "四"]])
    way.process(house, push)
    acts.return_rows(house, kit.POLICE, push, parse("4"))
    way.release(house, kit.POLICE, push, parse("2"), "属实")
    assert [row[1:] for row in table_of(fetched(house, push))[1:]] == [
        ["A3", "坏", "3", "3", "待处理", "说明", "说明：未通过规则「不坏」 / fails the rule: is not bad"],
        [
            "A4",
            "坏",
            "四",
            "4",
            "已退回",
            "房间数、说明",
            "说明：未通过规则「不坏」 / fails the rule: is not bad；房间数：应为整数，只写数字 / a whole number is expected, digits alone",
        ],
    ]


RULE = {
    "id": "fine",
    "title": "不坏",
    "title_en": "is not bad",
    "predicate": "text <> '坏'",
    "items": ["text"],
    "level": "quarantine",
    "indicator": "0104",
}


def test_an_incremental_push_keeps_its_operations_and_a_list_of_deletions_has_none(house: House) -> None:
    kit.publish(house, NOTE)
    way.process(house, kit.land(house, "note", HEADER, ROWS[:1]))
    changes = kit.land(
        house, "note", ["_op", *HEADER], [["X", "A1", "好", "1"], ["D", "", "", ""]], batch=2, mode="incremental"
    )
    way.process(house, changes)
    assert [row[:2] for row in table_of(fetched(house, changes))] == [["操作", "编号"], ["X", "A1"], ["D", ""]]
    gone = kit.land(house, "note", ["编号"], [["A1111111"]], batch=3, mode="deletions")
    way.process(house, gone)
    assert [row[:2] for row in table_of(fetched(house, gone))] == [["编号", "错误行号"], ["A1111111", "1"]]


def test_each_fetch_is_on_record_and_what_is_not_there_is_told(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.publish(house, NOTE)
    push = kit.land(house, "note", HEADER, ROWS)
    with pytest.raises(NotFound, match="没有行错误文件：尚未检查"):
        fetched(house, push)
    gate.check(house, push)
    fetched(house, push)
    assert [(record["action"], record["target"], record["decision"]) for record in log(house)] == [
        ("row_errors", f"push:{push}", "not_found"),
        ("row_errors", f"push:{push}", "answered"),
    ]
    assert log(house)[1]["fields"] == ["操作", *HEADER, *ERRORS]
    assert pushes.get(house, push).state == "accepted"
    monkeypatch.setattr(corrections, "MOST_IN_XLSX", 6)
    with pytest.raises(RequestInvalid, match="有 7 行待改正，超过 XLSX 的上限 6 行；请改取 CSV"):
        fetched(house, push, "xlsx")
