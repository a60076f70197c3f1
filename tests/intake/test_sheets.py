"""What spreadsheets do to data that was good when it was typed: which row waits, which file is refused, in which words."""

import io
import zipfile
from pathlib import Path

import pytest
import xlsxwriter
from pydantic import ByteSize

from exchange.errors import EmptyParcel, ExchangeError, Unreadable
from exchange.house import House
from exchange.intake.formats import cells
from tests.intake import boxes
from tests.intake.kit import land, publish, table

NAMES = ["公民身份号码", "姓名", "出生日期", "住址"]
SHEET = "xl/worksheets/sheet1.xml"


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


def book(rows: boxes.Cells, merged: str | None = None) -> bytes:
    buffer = io.BytesIO()
    made = xlsxwriter.Workbook(buffer)
    sheet = made.add_worksheet("数据")
    for number, row in enumerate(rows):
        for place, cell in enumerate(row):
            if isinstance(cell, str) and cell.startswith("="):
                sheet.write_formula(number, place, cell, None, "算出的结果")
            else:
                sheet.write(number, place, cell)
    if merged:
        sheet.merge_range(merged, "合并的")
    made.close()
    return buffer.getvalue()


def test_a_long_number_that_was_kept_as_a_number_has_lost_digits(house: House, tmp_path: Path) -> None:
    rows = [
        NAMES,
        ["410802199001011000", "甲"],
        [410802199001011000, "乙"],
        [41080219900101, "丙"],
        ["P4", "丁", None, 6.2e18],
    ]
    receipt = land(house, tmp_path, book(rows), 4)
    found = table(house, receipt.id, "_row, person_id, _broken")
    assert found[0] == (1, "410802199001011000", None)
    assert found[1][2] == "单元格 A3 " + cells.LONG_NUMBER
    assert found[2] == (3, "41080219900101", None)
    assert found[3][2] == "单元格 D5 " + cells.LONG_NUMBER


def test_cells_are_named_as_in_the_sheet_whatever_stands_above_and_left(house: House, tmp_path: Path) -> None:
    rows = [[], [None, None, "某市户籍"], [None, None, *NAMES], [], [None, None, 410802199001011000, "甲"]]
    receipt = land(house, tmp_path, book(rows), 1)
    assert receipt.shape["header_row"] == 3
    assert table(house, receipt.id, "_row, name, _broken") == [(1, "甲", "单元格 C5 " + cells.LONG_NUMBER)]


def test_a_formula_is_its_saved_result_and_never_run(house: House, tmp_path: Path) -> None:
    data = book([NAMES, ["P1", '=HYPERLINK("http://x")'], ["P2", "乙"]])
    receipt = land(house, tmp_path, data, 2)
    assert table(house, receipt.id, "person_id, name, _broken") == [("P1", "算出的结果", None), ("P2", "乙", None)]


def test_a_formula_without_a_saved_result_is_told(house: House, tmp_path: Path) -> None:
    data = boxes.rezipped(book([NAMES, ["P1", "=1+1"], ["P2", "乙"]]), SHEET, "<v>算出的结果</v>".encode(), b"")
    receipt = land(house, tmp_path, data, 2)
    assert table(house, receipt.id, "person_id, _broken") == [("P1", "单元格 B2 " + cells.NO_RESULT), ("P2", None)]


def test_rows_of_a_merged_cell_wait_but_the_first(house: House, tmp_path: Path) -> None:
    rows = [NAMES, ["", "甲"], ["", "乙"], ["", "丙"], ["P4", "丁"]]
    receipt = land(house, tmp_path, book(rows, merged="A2:A4"), 4)
    why = "单元格 A2:A4 " + cells.MERGED
    assert table(house, receipt.id, "person_id, name, _broken") == [
        ("合并的", "甲", None),
        (None, "乙", why),
        (None, "丙", why),
        ("P4", "丁", None),
    ]


def test_a_title_merged_over_the_header_breaks_no_row(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, book([[], NAMES, ["P1", "甲"]], merged="A1:D1"), 1)
    assert (receipt.shape["header_row"], table(house, receipt.id, "person_id, _broken")) == (2, [("P1", None)])


def test_the_only_visible_sheet_that_has_the_columns_is_read(house: House, tmp_path: Path) -> None:
    data = boxes.xlsx(填写说明=[["请逐行填写"], ["不要合并单元格"]], _旧=[NAMES, ["P0", "旧"]], 数据=[NAMES, ["P1", "甲"]])
    receipt = land(house, tmp_path, data, 1)
    assert (receipt.shape["sheet"], table(house, receipt.id, "person_id")) == ("数据", [("P1",)])


def test_a_sheet_named_like_a_person_s_number_is_told_by_its_place(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, boxes.xlsx(张三11010119491231002X=[NAMES, ["P1", "甲"]]), 1)
    assert receipt.shape["sheet"] == "第 1 张工作表"


CORNERS = boxes.rezipped(
    book([NAMES, ["P1", "甲"]]),
    SHEET,
    b"</sheetData>",
    b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>',
)
BAD: dict[str, tuple[bytes, type[ExchangeError], str, str]] = {
    "two sheets that could be it": (
        boxes.xlsx(一月=[NAMES, ["P1", "甲"]], 二月=[NAMES, ["P2", "乙"]]),
        Unreadable,
        "有 2 个可见的工作表都像要推送的表：“一月”、“二月”；请合并为一个",
        "2 visible sheets all look like the table to push: “一月”、“二月”",
    ),
    "two sheets and neither": (
        boxes.xlsx(甲表=[["a"], ["1"]], 乙表=[["b"], ["2"]]),
        Unreadable,
        "有 2 个可见的工作表有数据：“甲表”、“乙表”，其中没有一个含有全部必填列",
        "none of them has all required columns",
    ),
    "only hidden data": (
        boxes.xlsx(空=[], _藏=[NAMES, ["P1", "甲"]]),
        EmptyParcel,
        "没有可见的、有数据的工作表",
        "no visible sheet",
    ),
    "two cells at the corners of the sheet": (
        CORNERS,
        Unreadable,
        "（EXCHANGE_MEMORY_LIMIT）；请另存为 CSV",
        "takes more memory than",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_book_nobody_can_be_sure_of_is_refused(house: House, tmp_path: Path, name: str) -> None:
    data, kind, zh, en = BAD[name]
    with pytest.raises(kind) as caught:
        land(house, tmp_path, data, 1)
    assert type(caught.value) is kind
    assert zh in caught.value.zh
    assert en in caught.value.en


def test_a_book_that_unpacks_to_more_than_a_parcel_may_have(house: House, tmp_path: Path) -> None:
    from dataclasses import replace

    small = replace(house, settings=house.settings.model_copy(update={"max_parcel": ByteSize(1 << 20)}))
    data = boxes.rezipped(book([NAMES, ["P1", "甲"]]), SHEET, b"<sheetData>", b"<sheetData>" + b" " * (2 << 20))
    assert zipfile.is_zipfile(io.BytesIO(data))
    with pytest.raises(Unreadable, match=rf"解压后超过 {1 << 20} 字节（EXCHANGE_MAX_PARCEL）"):
        land(small, tmp_path, data, 1)
