"""What a file looks like never changes what its rows say: one table in, the same table out, whatever the format."""

import io
from datetime import date, datetime
from pathlib import Path

import polars
import pytest
import xlsxwriter

from exchange.errors import MissingColumns
from exchange.house import House
from exchange.intake import tables
from tests.intake.kit import HEADER, HOUSEHOLD, POLICE, declare, land, landing_of, publish, table
from tests.make import item, resource

Rows = list[tuple[object, ...]]

# 䶮 is in GBK's extension only, 𠮷 and 𫍯 need four bytes in GB18030, 龴 has a two-byte code that is new since 2022
RARE = "䶮𠮷𫍯龴€"


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


def read(house: House, folder: Path, data: bytes | str, rows: int) -> Rows:
    return table(house, land(house, folder, data, rows).id, "_row, person_id, name, address, _broken")


PLAIN = f"身份证号,姓名,住址\nP1,{RARE},一号\nP2,乙,\n"
WANTED: Rows = [(1, "P1", RARE, "一号", None), (2, "P2", "乙", None, None)]


@pytest.mark.parametrize(
    ("data", "encoding", "delimiter"),
    [
        (PLAIN.encode(), "utf-8", ","),
        (PLAIN.encode("utf-8-sig"), "utf-8-sig", ","),
        (PLAIN.encode("gb18030"), "gb18030", ","),
        (PLAIN.replace("\n", "\r\n").encode("gb18030"), "gb18030", ","),
        (PLAIN.replace(",", ";").encode(), "utf-8", ";"),
        (PLAIN.replace(",", "\t").encode("utf-8-sig"), "utf-8-sig", "\t"),
        (PLAIN.replace(",", "|").encode("gb18030"), "gb18030", "|"),
        (PLAIN.replace("\n", "\r\n").encode(), "utf-8", ","),
        (PLAIN.replace("\n", "\r").encode(), "utf-8", ","),
        (PLAIN.replace("\n", "\r\n", 2).encode(), "utf-8", ","),
        (PLAIN.strip().encode() + "三".encode(), "utf-8", ","),
    ],
    ids=[
        "utf-8",
        "BOM",
        "gb18030",
        "gb18030 crlf",
        "semicolon",
        "tab BOM",
        "bar gb18030",
        "crlf",
        "cr",
        "mixed",
        "no last line end",
    ],
)
def test_encodings_delimiters_and_line_ends(
    house: House, tmp_path: Path, data: bytes, encoding: str, delimiter: str
) -> None:
    receipt = land(house, tmp_path, data, rows=2)
    assert (receipt.shape["encoding"], receipt.shape["delimiter"]) == (encoding, delimiter)
    wanted = WANTED if data[-3:] != "三".encode() else [WANTED[0], (2, "P2", "乙", "三", None)]
    assert table(house, receipt.id, "_row, person_id, name, address, _broken") == wanted


def test_the_18_characters_that_gb18030_2022_moved_out_of_private_use(house: House, tmp_path: Path) -> None:
    moved = bytes.fromhex("A6D9A6DAA6DBA6DCA6DDA6DEA6DFA6ECA6EDA6F3FE59FE61FE66FE67FE6DFE7EFE90FEA0")
    data = "身份证号,姓名,住址\nP1,甲,".encode("gb18030") + moved + b"\n"
    assert read(house, tmp_path, data, 1)[0][3] == "︐︒︑︓︔︕︖︗︘︙龴龵龶龷龸龹龺龻"


def test_gb18030_characters_across_pieces(house: House, tmp_path: Path) -> None:
    """Two- and four-byte characters end up on every side of the 1 MiB pieces."""
    names = [("𠮷", "龍")[number % 3 == 0] * (number % 5 + 1) for number in range(300_000)]
    text = "身份证号,姓名\n" + "".join(f"P{number},{name}\n" for number, name in enumerate(names))
    receipt = land(house, tmp_path, text.encode("gb18030"), rows=len(names))
    assert [row[0] for row in table(house, receipt.id, "name")] == names


@pytest.mark.parametrize(
    ("header", "matched", "unknown"),
    [
        ("公民身份号码,姓名", {"person_id": 0, "name": 1}, []),
        ("name,PERSON_ID", {"name": 0, "person_id": 1}, []),
        ("　身份证号 ,姓　名", {"person_id": 0, "name": 1}, []),
        ("\u200b公民身份号码,姓名", {"person_id": 0, "name": 1}, []),
        ('"公民身份号码","姓\n名"', {"person_id": 0, "name": 1}, []),
        ("备注,公民身份号码,姓名,,410105199001010013", {"person_id": 1, "name": 2}, ["备注", "第 4 列", "第 5 列"]),
        ("公民身份号码,身份证号,姓名", {"person_id": 0, "name": 2}, ["身份证号"]),
    ],
)
def test_headers(house: House, tmp_path: Path, header: str, matched: dict[str, int], unknown: list[str]) -> None:
    width = 5 if "备注" in header else 3 if "身份证号,姓" in header and "公民" in header else 2
    receipt = land(house, tmp_path, f"{header}\n{','.join(['x'] * width)}\n", rows=1)
    assert (receipt.shape["matched"], receipt.shape["unknown"]) == (matched, unknown)


ROWS: list[tuple[str, str, Rows]] = [
    ("a line break in quotes", 'P1,"甲\n乙",,\nP2,丙,,\n', [(1, "P1", "甲\n乙", None, None), (2, "P2", "丙", None, None)]),
    ("quotes in quotes", 'P1,"甲""乙"",丙",,\n', [(1, "P1", '甲"乙",丙', None, None)]),
    ("a quote inside a bare cell", 'P1,5" 管,,\n', [(1, "P1", '5" 管', None, None)]),
    (
        "blank lines in between and at the end",
        "P1,甲,,\n\n\nP2,乙,,\n\n\n\n",
        [(1, "P1", "甲", None, None), (2, "P2", "乙", None, None)],
    ),
    ("an empty string is no value", 'P1,"",,""\n', [(1, "P1", None, None, None)]),
    ("blanks are kept for the gate", "P1,  甲 ,,\n", [(1, "P1", "  甲 ", None, None)]),
    (
        "short, long and good rows, with line breaks",
        'P1,"甲\n甲"\nP2,乙,,\nP3,丙,,一,二\nP4,"丁\n",,一\n,,,\nP6\nP7,,,\n',
        [
            (1, "P1", "甲\n甲", None, "列数不足，应为 4 列 / fewer than 4 columns"),
            (2, "P2", "乙", None, None),
            (3, "P3", "丙", "一", "列数过多，应为 4 列 / more than 4 columns"),
            (4, "P4", "丁\n", "一", None),
            (5, None, None, None, None),
            (6, "P6", None, None, "列数不足，应为 4 列 / fewer than 4 columns"),
            (7, "P7", None, None, None),
        ],
    ),
]


@pytest.mark.parametrize(("text", "wanted"), [case[1:] for case in ROWS], ids=[case[0] for case in ROWS])
def test_rows(house: House, tmp_path: Path, text: str, wanted: Rows) -> None:
    assert read(house, tmp_path, HEADER + text, len(wanted)) == wanted


HEADER_ROWS: list[tuple[str, str, int | None]] = [
    ("in the first", HEADER, None),
    ("under a title", f"某市户籍人口情况表,,,\n{HEADER}", 2),
    ("under a title and a date, quoted over two lines", f'某市户籍人口情况表\n"填表日期：\n2026年11月",,\n{HEADER}', 3),
    ("under blank lines", f"\n\n{HEADER}", 3),
]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gb18030"])
@pytest.mark.parametrize(("above", "row"), [case[1:] for case in HEADER_ROWS], ids=[case[0] for case in HEADER_ROWS])
def test_the_header_is_found_in_the_first_three_rows(
    house: House, tmp_path: Path, above: str, row: int | None, encoding: str
) -> None:
    receipt = land(house, tmp_path, f"{above}P1,{RARE},2001-01-01,一号\nP2,乙\n".encode(encoding), 2)
    assert (receipt.shape.get("header_row"), "declared" in receipt.shape) == (row, False)
    assert table(house, receipt.id, "_row, person_id, name, _broken") == [
        (1, "P1", RARE, None),
        (2, "P2", "乙", "列数不足，应为 4 列 / fewer than 4 columns"),
    ]


def test_a_header_further_down_must_be_declared(house: House, tmp_path: Path) -> None:
    data = "题\n注\n日期\n单位\n" + HEADER + "P1,甲,,\n"
    with pytest.raises(MissingColumns, match="第一行有 1 列，认出：无。第一行应为列名"):
        land(house, tmp_path, data, 1)
    publish(house, {**HOUSEHOLD, "header_row": 5})
    receipt = land(house, tmp_path, data, 1)
    assert (receipt.shape["header_row"], receipt.shape["declared"]) == (5, ["header_row"])
    assert table(house, receipt.id, "person_id") == [("P1",)]


def test_what_the_catalogue_declares_wins_over_what_is_found(house: House, tmp_path: Path) -> None:
    publish(house, {**HOUSEHOLD, "header_row": 1, "delimiter": "tab"})
    with pytest.raises(MissingColumns, match="第一行有 1 列"):
        land(house, tmp_path, f"题\n{HEADER}P1,甲,,\n", 1)
    receipt = land(house, tmp_path, "姓名\t身份证号\n甲,乙,丙\tP1\n", 1)
    assert (receipt.shape["header_row"], receipt.shape["delimiter"]) == (1, "\t")
    assert receipt.shape["declared"] == ["header_row", "delimiter"]
    assert table(house, receipt.id, "person_id, name") == [("P1", "甲,乙,丙")]


def test_one_column(house: House, tmp_path: Path) -> None:
    publish(
        house,
        resource("ids", HOUSEHOLD["department"], [item("person_id", "身份证号", required=True)], ["person_id"]),
        HOUSEHOLD,
    )
    data = "身份证号\nP1\n\nP2\n\n\n".encode()
    receipt = landing_of(house, POLICE, declare(data, 2, resource="ids"), data)
    assert table(house, receipt.id) == [(1, "P1"), (2, "P2")]


def test_broken_rows_keep_their_numbers_in_a_large_file(house: House, tmp_path: Path) -> None:
    count = 150_000
    lines = [
        f"P{n},甲" if n % 1000 == 7 else f'P{n},"甲\n",,,多' if n % 1000 == 8 else f"P{n},甲,," for n in range(1, count + 1)
    ]
    receipt = land(house, tmp_path, HEADER + "\n".join(lines) + "\n", rows=count)
    with house.duckdb() as connection, tables.open_table(house, connection, receipt.id) as rows:
        found = connection.execute(
            f"SELECT count(*) FILTER (person_id <> 'P' || _row), "
            f"list(DISTINCT _row % 1000) FILTER (_broken LIKE '列数不足%'), count(*) FILTER (_broken LIKE '列数不足%'), "
            f"list(DISTINCT _row % 1000) FILTER (_broken LIKE '列数过多%'), count(*) FILTER (_broken LIKE '列数过多%') FROM {rows}"
        ).fetchone()
    assert found == (0, [7], 150, [8], 150)


def workbook() -> bytes:
    """A hidden sheet first; dates, numbers, blanks and a stray cell on the visible one."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    book.add_worksheet("说明").write(0, 0, "不是数据")
    book.worksheets()[0].hide()
    sheet = book.add_worksheet("数据")
    sheet.activate()
    sheet.set_first_sheet()
    day, moment = book.add_format({"num_format": "yyyy-mm-dd"}), book.add_format({"num_format": "yyyy/m/d hh:mm"})
    chinese = book.add_format({"num_format": 'yyyy"年"m"月"d"日"'})
    sheet.write_row(0, 0, ["公民身份号码", "姓名", "出生日期", "住址"])
    sheet.write_row(1, 0, [410802, RARE])
    sheet.write(1, 2, date(1990, 1, 2), day)
    sheet.write(2, 0, "P2")
    sheet.write(2, 1, 3.5)
    sheet.write(2, 2, datetime(1990, 1, 2, 3, 4), moment)  # noqa: DTZ001 - a sheet knows no zones
    sheet.write(4, 0, "P3")
    sheet.write(4, 1, "一\n二")
    sheet.write(4, 2, date(1990, 1, 2), chinese)
    sheet.write_row(5, 0, ["P4", "丁", None, None, "多出"])
    sheet.write(6, 0, 12345678901234)
    sheet.write(6, 1, True)
    sheet.set_row(9, None, day)
    book.close()
    return buffer.getvalue()


def test_line_ends_inside_cells_stay_as_they_are_also_beside_broken_rows(house: House, tmp_path: Path) -> None:
    """Rows end in one way or in several; what stands in quotes is never touched."""
    cell = "甲\r\n乙\n丙\r丁"
    for batch, (one, other) in enumerate([("\n", "\n"), ("\r\n", "\r\n"), ("\r", "\r"), ("\r\n", "\n"), ("\n", "\r\n")], 1):
        good = f'公民身份号码,姓名,出生日期,住址{one}P1,"{cell}",,一{other}'
        broken = f'P2,乙{one}P3,"{cell}",,"""三""",多{other}P4,丁,,四,,{one}'
        first = land(house, tmp_path, good, 1, 2 * batch)
        second = land(house, tmp_path, good + broken, 4, 2 * batch + 1)
        assert table(house, first.id, "_row, person_id, name, address") == [(1, "P1", cell, "一")]
        assert table(house, second.id, "_row, person_id, name, address, _broken, _line") == [
            (1, "P1", cell, "一", None, None),
            (2, "P2", "乙", None, "列数不足，应为 4 列 / fewer than 4 columns", "P2,乙"),
            (
                3,
                "P3",
                cell,
                '"三"',
                "列数过多，应为 4 列 / more than 4 columns",
                f'P3,"{cell}",,"""三""",多',
            ),
            (4, "P4", "丁", "四", None, None),  # cells too many that are empty: as in a file without broken rows
        ]


def test_a_row_far_too_wide_is_shown_as_far_as_it_helps(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, f"{HEADER}P1,甲,,一\nP2,乙,,二{',三' * 5000}\n", 2)
    found = table(house, receipt.id, "person_id, _broken IS NULL, _line")
    assert found == [("P1", True, None), ("P2", False, "P2,乙,,二" + ",三" * 256)]


def test_a_workbook_as_the_officer_sees_it(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, workbook(), rows=5)
    assert receipt.shape == {
        "format": "xlsx",
        "width": 4,
        "matched": {"person_id": 0, "name": 1, "born": 2, "address": 3},
        "unknown": [],
        "sheet": "数据",
        "blank_rows": 1,
    }
    assert table(house, receipt.id, "_row, person_id, name, born, _broken, _line") == [
        (2, "410802", RARE, "1990-01-02", None, None),
        (3, "P2", "3.5", "1990-01-02 03:04:00", None, None),
        (5, "P3", "一\n二", "1990-01-02", None, None),
        (6, "P4", "丁", None, "列数过多，应为 4 列 / more than 4 columns", "P4,丁,,,多出"),
        (7, "12345678901234", "true", None, None, None),
    ]


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "count"), [("legal_entity_jiaozuo.csv", 5219), ("legal_entity_jiangsu_2002_messy.csv", 4863)]
)
def test_real_registers_are_the_same_row_for_row_in_every_format(
    house: House, tmp_path: Path, registry_files: Path, name: str, count: int
) -> None:
    raw = (registry_files / name).read_bytes()
    frame = polars.read_csv(raw, infer_schema=False)
    book = io.BytesIO()
    frame.write_excel(book)
    items = [item(f"c{number}", title, required=number == 0) for number, title in enumerate(frame.columns)]
    publish(house, {**HOUSEHOLD, "items": items, "key": ["c0"]})
    wanted = [(number, *(cell or None for cell in row), None, None) for number, row in enumerate(frame.iter_rows(), 1)]
    assert len(wanted) == count
    for batch, data in enumerate([raw, raw.decode("utf-8-sig").encode("gb18030"), book.getvalue()], 1):
        found = table(house, land(house, tmp_path, data, count, batch).id, "*")
        margin = found[0][0] - 1
        assert ([(row[0] - margin, *row[1:]) for row in found], margin) == (wanted, int(batch == 3))
