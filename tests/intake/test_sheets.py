"""What spreadsheets do to data that was good when it was typed: which row waits, which file is refused, in which words."""

import contextlib
import io
import random
import zipfile
from datetime import date, time
from pathlib import Path

import pytest
import xlsxwriter
from pydantic import ByteSize

from exchange.errors import CountMismatch, EmptyParcel, ExchangeError, Unreadable
from exchange.house import House
from exchange.intake.formats import cells
from exchange.intake.formats.old_cells import inspect_old
from tests.intake import boxes
from tests.intake.kit import land, publish, table

NAMES = ["公民身份号码", "姓名", "出生日期", "住址"]
WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
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
    assert found[0] == (2, "410802199001011000", None)
    assert found[1][2] == "单元格 A3 " + cells.LONG_NUMBER
    assert found[2] == (4, "41080219900101", None)
    assert found[3][2] == "单元格 D5 " + cells.LONG_NUMBER


def test_cells_are_named_as_in_the_sheet_whatever_stands_above_and_left(house: House, tmp_path: Path) -> None:
    rows = [[], [None, None, "某市户籍"], [None, None, *NAMES], [], [None, None, 410802199001011000, "甲"]]
    receipt = land(house, tmp_path, book(rows), 1)
    assert receipt.shape["header_row"] == 3
    assert table(house, receipt.id, "_row, name, _broken") == [(5, "甲", "单元格 C5 " + cells.LONG_NUMBER)]


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


def test_text_that_looks_like_a_date_stays_as_it_was_typed(house: House, tmp_path: Path) -> None:
    typed, clock = "2024-01-05 00:00:00", "1899-12-31 10:00:00"
    buffer = io.BytesIO()
    made = xlsxwriter.Workbook(buffer)
    sheet, day, hour = made.add_worksheet(), made.add_format({"num_format": 14}), made.add_format({"num_format": 21})
    rich = made.add_format({"bold": True})
    sheet.write_row(0, 0, NAMES)
    sheet.write_row(1, 0, ["P1", typed])
    sheet.write_datetime(1, 2, date(2024, 1, 5), day)
    sheet.write_row(2, 0, ["P2", clock])
    sheet.write_datetime(2, 2, time(10, 0), hour)
    sheet.write_rich_string(3, 0, "P3 ", rich, "x")
    sheet.write_rich_string(3, 1, "2024-01-05 ", rich, "00:00:00")
    sheet.write_formula(4, 0, '="P4"', None, "P4")
    sheet.write_formula(4, 1, '="x"', None, typed)
    sheet.write_formula(4, 2, "=C2", day, 45296)
    made.close()
    receipt = land(house, tmp_path, buffer.getvalue(), 4)
    assert table(house, receipt.id, "person_id, name, born") == [
        ("P1", typed, "2024-01-05"),
        ("P2", clock, "10:00:00"),
        ("P3 x", typed, None),
        ("P4", typed, "2024-01-05"),
    ]
    old = boxes.xls([NAMES, ["P1", typed, boxes.Day(45296)], ["P2", "乙", typed]])
    receipt = land(house, tmp_path, old, 2, 2)
    assert table(house, receipt.id, "person_id, name, born") == [("P1", typed, "2024-01-05"), ("P2", "乙", typed)]


BLANKS = [[], NAMES, ["P1", "甲"], [], ["", " ", "　"], ["P2", "乙"], [], ["P3", "丙"], [], []]


@pytest.mark.parametrize("kind", ["xlsx", "xls"])
def test_rows_are_numbered_as_in_the_margin_and_blank_ones_are_counted_apart(
    house: House, tmp_path: Path, kind: str
) -> None:
    data = book(BLANKS) if kind == "xlsx" else boxes.xls(BLANKS)
    receipt = land(house, tmp_path, data, 3)
    assert (receipt.rows, receipt.shape["blank_rows"], receipt.shape["header_row"]) == (3, 3, 2)
    assert table(house, receipt.id, "_row, person_id") == [(3, "P1"), (6, "P2"), (8, "P3")]
    with pytest.raises(CountMismatch) as caught:
        land(house, tmp_path, data, 6, 2)
    assert caught.value.zh == ("声明 6 行，实际收到 3 行（不计列名行和其间 3 个空白行）；请核对后用同一批次号重新推送")
    assert caught.value.en == (
        "6 rows declared, 3 found (the header and 3 blank rows between them not counted); check and push again under the "
        "same batch"
    )


VALID = 410102198801011000  # ends in three zeros and has a right check digit all the same


@pytest.mark.parametrize(
    "cell",
    [
        f'<c r="A2"><v>{VALID}</v></c>',
        f'<c r="A2" t="n" s="1"><v>{VALID}</v></c>',
        f'<c s="1" cm="1" r="A2" t="n" ><v xml:space="preserve">{VALID}</v></c>',
        f"<c r='A2'>\n <f>B1&gt;1</f>\n <v>{VALID}.0</v>\n</c>",
        '<c r="A2"><v>4.10102198801011E+17</v></c>',
        '<c r="A2"><v>4.10102198801011e017</v></c>',
    ],
)
def test_however_a_long_number_is_written_it_waits_even_with_a_right_check_digit(
    house: House, tmp_path: Path, cell: str
) -> None:
    assert sum(int(d) * w for d, w in zip(str(VALID)[:17], WEIGHTS, strict=True)) % 11 == 1, "the check digit is 0"
    plain = book([NAMES, [1, "甲"]])
    data = boxes.rezipped(plain, SHEET, b'<c r="A2"><v>1</v></c>', cell.encode())
    receipt = land(house, tmp_path, data, 1)
    assert table(house, receipt.id, "_row, _broken") == [(2, "单元格 A2 " + cells.LONG_NUMBER)]


def test_a_long_number_in_a_file_without_places_refuses_the_file(house: House, tmp_path: Path) -> None:
    bare = f"<c><v>{VALID}</v></c>".encode()
    data = boxes.rezipped(book([NAMES, [1, "甲"]]), SHEET, b'<c r="A2"><v>1</v></c>', bare)
    with pytest.raises(Unreadable) as caught:
        land(house, tmp_path, data, 1)
    assert caught.value.zh == "文件没有写明各单元格的位置，其中有单元格" + cells.LONG_NUMBER.split(" / ")[0]
    assert caught.value.en.startswith("the file does not say where its cells stand, and one of them is a number of more")


def test_text_of_eighteen_digits_is_no_long_number(house: House, tmp_path: Path) -> None:
    inline = f'<c r="A2" t="inlineStr"><is><t>{VALID}</t></is></c>'.encode()
    data = boxes.rezipped(book([NAMES, [1, "甲"]]), SHEET, b'<c r="A2"><v>1</v></c>', inline)
    data = boxes.rezipped(
        data,
        SHEET,
        b"</row></sheetData>",
        (
            f'</row><row r="3"><c r="A3" t="str"><f>A2&amp;""</f><v>{VALID}</v></c><c r="B3" t="inlineStr"><is><t>x</t></is></c>'
            "</row></sheetData>"
        ).encode(),
    )
    receipt = land(house, tmp_path, data, 2)
    assert table(house, receipt.id, "person_id, _broken") == [(str(VALID), None), (str(VALID), None)]


def test_an_old_workbook_says_as_much_of_its_cells(house: House, tmp_path: Path) -> None:
    rows = [[], [None, *NAMES], [None, VALID, "甲"], [None, "P2", "乙"], [None, None, "丙"], [None, 41080219900101, "丁"]]
    data = boxes.xls(rows, merged=[(3, 1, 4, 1), (0, 0, 0, 3)], hidden=[NAMES, ["P0", "旧"]])
    receipt = land(house, tmp_path, data, 4)
    assert (receipt.shape["format"], receipt.shape["sheet"], receipt.shape["header_row"]) == ("xls", "数据", 2)
    assert table(house, receipt.id, "_row, person_id, name, _broken")[1:] == [
        (4, "P2", "乙", None),
        (5, None, "丙", "单元格 B4:B5 " + cells.MERGED),
        (6, "41080219900101", "丁", None),
    ]
    assert table(house, receipt.id, "_row, name, _broken")[0] == (3, "甲", "单元格 B3 " + cells.LONG_NUMBER)


def test_an_old_workbook_with_a_password(house: House, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"设有密码的 Excel 文件.*a password-protected Excel file"):
        land(house, tmp_path, boxes.xls([NAMES, ["P1", "甲"]], locked=True), 1)


def test_whatever_bytes_of_an_old_workbook_are_turned_nothing_falls_over(house: House, tmp_path: Path) -> None:
    whole = boxes.xls([NAMES, *([f"P{n}", "甲", VALID] for n in range(40))], merged=[(1, 1, 3, 1)])
    dice = random.Random(5)
    for _ in range(300):
        data = bytearray(whole)
        for _ in range(dice.randint(1, 4)):
            data[dice.randrange(len(data))] = dice.choice([0, 1, 0x7F, 0xFE, 0xFF, dice.randrange(256)])
        with contextlib.suppress(Unreadable):
            inspect_old(io.BytesIO(data[: dice.choice([len(data), dice.randrange(len(data))])]))


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
