"""XLSX and XLS: one visible sheet, every cell as text, as the officer sees it: dates without an empty time, whole
numbers without a decimal point, formulas as their saved results. What was typed as text stays as it was typed.

Invariant: a row has the number that stands in the sheet's margin; wholly blank rows are no data rows, and counted apart;
a row with cells beyond the header is broken, and so is one whose cell cannot mean what it says (see `cells`).
"""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal
from exchange.errors import EmptyParcel, Unreadable
from exchange.intake.formats import header
from exchange.intake.formats.cells import MERGED, Book, Marks, inspect
from exchange.intake.formats.format import NOT_A_ROW, Limits, Shape, copy_rows, rows_of, select_items, whole_line
from exchange.intake.formats.old_cells import inspect_old
from exchange.intake.formats.packed import ZIP
from exchange.intake.formats.text import CHUNK, nameless
from exchange.intake.sheets import Sheet, visible_sheets
from exchange.keys import BLANKS

_OLD = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_LOCKED = "EncryptedPackage".encode("utf-16-le")  # the part of a locked XLSX that holds the real one
_BOOKS = tuple(name.encode("utf-16-le") for name in ("Workbook", "Book", "WORKBOOK", "BOOK"))


class Workbook:
    """XLSX; see the module."""

    def claims(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(ZIP)

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
    ) -> tuple[Shape, int]:
        """See `Format`."""
        return _write("xlsx", inspect(plain, limits), connection, plain, resource, target, limits)


class OldWorkbook:
    """XLS; see the module."""

    def claims(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(_OLD)

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
    ) -> tuple[Shape, int]:
        """See `Format`."""
        _refuse_locked(plain)
        return _write("xls", inspect_old(plain), connection, plain, resource, target, limits)


def _refuse_locked(plain: BinaryIO) -> None:
    plain.seek(0)
    carry, book = b"", False
    while piece := plain.read(CHUNK):
        text = carry + piece
        if _LOCKED in text:
            raise Unreadable(
                "这是设有密码的 Excel 文件，平台不接收密码；请去掉密码后另存，传输和存放由平台加密",
                "a password-protected Excel file, and we take no passwords; save it without one: the platform encrypts "
                "what it keeps",
            )
        book = book or any(name in text for name in _BOOKS)
        carry = text[-64:]
    if not book:
        raise Unreadable(
            "这是旧版 Office 文件，但不是旧版 Excel（.xls）工作簿，或已不完整；请另存为 XLSX 后重新推送",
            "an old Office file but no old Excel (.xls) workbook, or an incomplete one; save it as XLSX and push again",
        )


def _write(
    kind: str,
    book: Book,
    connection: DuckDBPyConnection,
    plain: BinaryIO,
    resource: Resource,
    target: Path,
    limits: Limits,
) -> tuple[Shape, int]:
    reading = visible_sheets(plain, (copy := nameless(target.parent)), limits.memory, dates=book.texts_like_dates)
    with copy, reading as sheets:
        sheet = _the_one(kind, sheets, resource)
        known = book.sheets[sheet.number] if sheet.number < len(book.sheets) else Marks()
        first_row = known.first[0] if known.first else 1
        at = _header_at(resource, sheet, first_row)
        titles = _trim(sheet.row(at))
        row = first_row + at
        if not titles:
            raise EmptyParcel(
                f"工作表“{_name(sheet)}”的第 {row} 行是空的：这一行应为列名",
                f"row {row} of sheet “{_name(sheet)}” is empty: it must hold the column names",
            )
        match = header.match(resource, titles, row)
        declared = ["header_row"] if resource.header_row else None
        shape = Shape(
            kind,
            len(titles),
            match.columns,
            match.unknown,
            sheet=_name(sheet),
            header_row=row if declared or row > 1 else None,
            declared=declared,
        )
        cells = _with_marks(sheet, at, first_row, known, set(match.columns.values()))
        connection.register("_sheet", cells)
        try:
            copy_rows(connection, _rows(resource, shape, sheet, row), target)
        finally:
            connection.unregister("_sheet")
        return _counted(connection, shape, row, target)


def _the_one(kind: str, sheets: list[Sheet], resource: Resource) -> Sheet:
    """The only visible sheet with data, or the only one of them with this resource's columns."""
    if not sheets:
        name = kind.upper()
        raise EmptyParcel(
            f"{name} 文件中没有可见的、有数据的工作表（隐藏的不读取）",
            f"the {name} file has no visible sheet with data (hidden ones are not read)",
        )
    matching = [sheet for sheet in sheets if header.complete(resource, [sheet.row(at) for at in range(header.LOOKED_AT)])]
    if len(sheets) == 1 or len(matching) == 1:
        return (matching or sheets)[0]
    several = matching or sheets
    names = "、".join(f"“{_name(sheet)}”" for sheet in several)
    if not matching:
        raise Unreadable(
            f"有 {len(several)} 个可见的工作表有数据：{names}，其中没有一个含有全部必填列；请只保留要推送的一个",
            f"{len(several)} visible sheets hold data: {names}, and none of them has all required columns; "
            "keep the one to push",
        )
    raise Unreadable(
        f"有 {len(several)} 个可见的工作表都像要推送的表：{names}；请合并为一个，或删除、隐藏其余的",
        f"{len(several)} visible sheets all look like the table to push: {names}; make one of them, or delete or hide the others",
    )


def _name(sheet: Sheet) -> str:
    """As a receipt may repeat it: a sheet may be named like a person."""
    return header.shown(sheet.name, sheet.number, "张工作表")


def _header_at(resource: Resource, sheet: Sheet, first_row: int) -> int:
    if resource.header_row:
        return max(0, resource.header_row - first_row)
    return header.find(resource, [sheet.row(at) for at in range(header.LOOKED_AT)])


def _with_marks(sheet: Sheet, header_at: int, first_row: int, marks: Marks, wanted: set[int]) -> pa.Table:
    """The data rows with a column `_mark`: why a row cannot be taken as it stands."""
    rows = sheet.cells.slice(header_at + 1)
    reasons: list[str | None] = [None] * (len(rows) if marks.found else 0)
    filled = [number for number, cell in enumerate(sheet.row(0)) if cell]
    shift = marks.first[1] - filled[0] if marks.first and filled else 0  # the reader leaves empty columns at the left out
    for mark in marks.found:
        place = mark.row - first_row - header_at - 1
        if 0 <= place < len(reasons) and mark.column - shift in wanted and reasons[place] is None:
            reasons[place] = mark.reason
    column = pa.array(reasons, pa.string()) if marks.found else pa.nulls(len(rows), pa.string())
    for place, dated in (sheet.dated or {}).items():
        rows = rows.append_column(f"d{place}", dated.slice(header_at + 1))
    return rows.append_column("_mark", column)


def _trim(titles: list[str]) -> list[str]:
    while titles and not titles[-1].strip():
        titles.pop()
    return titles


def _rows(resource: Resource, shape: Shape, sheet: Sheet, header_row: int) -> str:
    """SQL of the table: every row of the sheet from its first on, so that a row's number is the one in the margin."""
    names = [f"x{number}" for number in range(sheet.cells.num_columns)]
    cells = ", ".join(f"{_as_seen(number, sheet)} AS c{number}" for number in range(len(names)))
    dated = [f"d{number}" for number in sheet.dated or {}]
    beyond = " OR ".join(f"{name} IS NOT NULL" for name in names[shape.width :]) or "false"
    wide = literal(f"列数过多，应为 {shape.width} 列 / more than {shape.width} columns")
    values = ", ".join(f"nullif(trim({name}, {literal(BLANKS)}), '')" for name in names)
    blank = f"coalesce({values}) IS NULL AND (_mark IS NULL OR ends_with(_mark, {literal(MERGED)}))"
    broken = f"CASE WHEN {blank} THEN {literal(NOT_A_ROW)} WHEN {beyond} THEN {wide} ELSE _mark END"
    whole = whole_line([f"coalesce(c{number}, '')" for number in range(len(names))], ",")
    line = f"CASE WHEN _broken <> {literal(NOT_A_ROW)} THEN rtrim({whole}, ',') END"
    nothing = select_items(resource, replace(shape, matched={}))
    return (
        f"SELECT {nothing}, {literal(NOT_A_ROW)} AS _broken, NULL::VARCHAR AS _line FROM range({header_row}) "
        f"UNION ALL SELECT {select_items(resource, shape)}, _broken, {line} AS _line "
        f"FROM (SELECT {cells}, {broken} AS _broken FROM _sheet AS t({', '.join([*names, *dated, '_mark'])}))"
    )


def _counted(connection: DuckDBPyConnection, shape: Shape, header_row: int, target: Path) -> tuple[Shape, int]:
    found = connection.execute(f"SELECT count(*), max(_row) FROM {rows_of(target)}").fetchone()
    rows, last = found if found and found[0] else (0, header_row)
    return replace(shape, blank_rows=(last - header_row - rows) or None), rows


def _as_seen(number: int, sheet: Sheet) -> str:
    """The reader gives every date a time and every time a date."""
    cell = f"x{number}"
    seen = rf"regexp_replace(regexp_replace({cell}, '^(\d{{4}}-\d\d-\d\d) 00:00:00$', '\1'), '^1899-12-3[01] (\d\d:\d\d:\d\d)$', '\1')"
    if sheet.dated is None:
        return seen
    return f"CASE WHEN d{number} THEN {seen} ELSE {cell} END" if number in sheet.dated else cell
