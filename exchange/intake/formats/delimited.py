"""CSV: UTF-8 (with or without BOM) or GB18030; comma, semicolon, tab or bar; quotes doubled inside quotes (RFC 4180).

The header is the first row, or the second or third when that one names the items, or where the catalogue says.

Invariant: every data row comes out exactly once and in order. Good files are read strictly and in parallel; a file
with rows of a wrong width is read again, leniently, and those rows carry their reason in `_broken`; a file whose
quotes do not pair is refused, because after them nobody can say where a row ends.
"""

import codecs
import csv
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import duckdb
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal
from exchange.errors import Truncated, Unreadable
from exchange.intake.formats import header
from exchange.intake.formats.format import Limits, Shape, copy_rows, rows_of, select_items, whole_line
from exchange.intake.formats.text import CHUNK, as_utf8, chunks, nameless

DELIMITERS = [",", ";", "\t", "|"]
_TAB = "\t"
_HEADER_BYTES = 1 << 20  # a header row longer than this is no header
_ENDLESS = 4  # pieces of a megabyte without a line end: the engine reads lines of 2 MB
_ABSENT = "\x01absent\x01"  # no cell has this text, so with it as the null string NULL means: the row has no such cell
_UNPAIRED = "UNQUOTED VALUE"  # the engine's name for it
# The engine's message quotes the row, so it goes no further; when the quote is cut in a character, it can't even be read.
_ENGINE_ERRORS = (duckdb.Error, UnicodeDecodeError)
_WIDTH = {"MISSING COLUMNS", "TOO MANY COLUMNS"}
_MOST_BEYOND = 256  # cells beyond the header that the row-error file still shows


class Delimited:
    """See the module."""

    def claims(self, head: bytes) -> bool:  # noqa: ARG002 - text has no magic bytes: the format of last resort
        return True

    def write_table(
        self,
        connection: DuckDBPyConnection,
        plain: BinaryIO,
        resource: Resource,
        target: Path,
        limits: Limits,  # noqa: ARG002 - text is never longer than the parcel
    ) -> tuple[Shape, int]:
        """See `Format`."""
        with as_utf8(plain, target.parent) as text:
            shape, above = _inspect(text.file, text.encoding, resource)
            _refuse_endless_line(text.file)
            with _from_header(text.file, above, target.parent) as table:
                try:
                    rows = copy_rows(connection, _strict(table, resource, shape), target)
                except _ENGINE_ERRORS:
                    rows = _write_carefully(connection, table, resource, shape, target, above.lines)
        return shape, rows


@dataclass(frozen=True)
class _Above:
    """What stands above the header."""

    lines: int
    bytes: int


def _inspect(text: BinaryIO, encoding: str, resource: Resource) -> tuple[Shape, _Above]:
    text.seek(0)
    raw = text.read(_HEADER_BYTES)
    if len(raw) == _HEADER_BYTES and b"\n" not in raw and b"\r" not in raw:
        raise Unreadable(
            f"文件开头 {_HEADER_BYTES >> 20} MB 里没有一个换行：这不是逐行的表格，请检查导出时的换行设置",
            f"the first {_HEADER_BYTES >> 20} MB of the file hold no line end: no table of rows; check the line ends it is "
            "exported with",
        )
    head = raw.decode("utf-8-sig", "ignore")
    delimiters = [_TAB if resource.delimiter == "tab" else resource.delimiter] if resource.delimiter else DELIMITERS
    looked_at = resource.header_row or header.LOOKED_AT
    found = {each: _first_rows(head, each, looked_at) for each in delimiters}
    at = {each: _header_at(resource, [row for row, _ in rows]) for each, rows in found.items()}
    rows = {each: found[each][place][0] if place < len(found[each]) else [] for each, place in at.items()}
    delimiter = max(rows, key=lambda each: (header.score(resource, rows[each]), -at[each], len(rows[each])))
    row = at[delimiter] + 1
    match = header.match(resource, rows[delimiter], row)
    declared = [name for name in ("header_row", "delimiter") if getattr(resource, name) is not None]
    shape = Shape(
        "csv",
        len(rows[delimiter]),
        match.columns,
        match.unknown,
        encoding,
        delimiter,
        header_row=row if row > 1 or resource.header_row else None,
        declared=declared or None,
    )
    lines = found[delimiter][row - 2][1] if row > 1 else 0
    above = "".join(islice(io.StringIO(head, newline=""), lines))
    return shape, _Above(lines, len(above.encode()) + (3 if lines and raw.startswith(codecs.BOM_UTF8) else 0))


def _refuse_endless_line(text: BinaryIO) -> None:
    """The engine takes a line of thousands of millions of bytes for no row at all, without a word."""
    without = 0
    for chunk in chunks(text):
        without = 0 if b"\n" in chunk or b"\r" in chunk else without + 1
        if without >= _ENDLESS:
            raise _unreadable()


def _first_rows(text: str, delimiter: str, count: int) -> list[tuple[list[str], int]]:
    """The first rows, each with the number of lines it and those before it take."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[list[str], int]] = []
    with suppress(csv.Error):  # a cell beyond what the module takes is no name of a column
        rows.extend((row, reader.line_num) for row in islice(reader, count))
    return rows


def _header_at(resource: Resource, rows: list[list[str]]) -> int:
    return resource.header_row - 1 if resource.header_row else header.find(resource, rows)


@contextmanager
def _from_header(text: BinaryIO, above: _Above, scratch: Path) -> Iterator[BinaryIO]:
    """The file from its header on: itself, or a nameless copy without what stands above."""
    if not above.bytes:
        yield text
        return
    with nameless(scratch) as rest:
        text.seek(above.bytes)
        shutil.copyfileobj(text, rest, CHUNK)
        rest.flush()
        yield rest


def _read_csv(text: BinaryIO, shape: Shape, width: int, **options: str) -> str:
    columns = ", ".join(f"'c{number}': 'VARCHAR'" for number in range(width))
    given = {
        "auto_detect": "false",
        "header": "true",
        "delim": literal(shape.delimiter or ","),
        "quote": "'\"'",
        "escape": "'\"'",
        "columns": f"{{{columns}}}",
    } | options
    listed = ", ".join(f"{name} = {value}" for name, value in given.items())
    return f"read_csv('/proc/self/fd/{text.fileno()}', {listed})"


def _strict(text: BinaryIO, resource: Resource, shape: Shape) -> str:
    blank = " WHERE c0 IS NOT NULL" if shape.width == 1 else ""  # with one column a blank line would be a row
    source = _read_csv(text, shape, shape.width)
    none = "NULL::VARCHAR AS _broken, NULL::VARCHAR AS _line"
    return f"SELECT {select_items(resource, shape)}, {none} FROM {source}{blank}"


def _lenient(text: BinaryIO, resource: Resource, shape: Shape, widest: int) -> str:
    width = shape.width
    names = [f"c{number}" for number in range(max(widest, width + 1))]
    blank = " WHERE c0 <> ''" if width == 1 else ""
    source = _read_csv(
        text, shape, len(names), strict_mode="false", null_padding="true", parallel="false", nullstr=literal(_ABSENT)
    )
    beyond = ", ".join(f"nullif({name}, '')" for name in names[width:])  # empty cells too many break no row, as above
    broken = (
        f"CASE WHEN coalesce({beyond}) IS NOT NULL THEN '列数过多，应为 {width} 列 / more than {width} columns' "
        f"WHEN c{width - 1} IS NULL THEN '列数不足，应为 {width} 列 / fewer than {width} columns' END"
    )
    line = f"CASE WHEN _broken IS NOT NULL THEN {whole_line(names, shape.delimiter or ',')} END"
    return (
        f"SELECT {select_items(resource, shape)}, _broken, {line} AS _line "
        f"FROM (SELECT *, {broken} AS _broken FROM {source}{blank})"
    )


def _write_carefully(
    connection: DuckDBPyConnection, text: BinaryIO, resource: Resource, shape: Shape, target: Path, above: int
) -> int:
    with nameless(target.parent) as even:
        _even_line_ends(text, even)
        widest = _refuse_unpaired_quotes(connection, even, shape, above)
    try:
        rows = copy_rows(connection, _lenient(text, resource, shape, widest), target)
    except _ENGINE_ERRORS:
        raise _unreadable() from None
    _refuse_cut_row(connection, text, target, rows)
    return rows


def _even_line_ends(text: BinaryIO, even: BinaryIO) -> None:
    """For the search for quotes, which is led astray by mixed line ends; what is read is the file itself."""
    carry = b""
    for chunk in chunks(text):
        piece = carry + chunk
        carry = b"\r" if piece.endswith(b"\r") else b""
        even.write(piece[: len(piece) - len(carry)].replace(b"\r\n", b"\n"))
    even.write(carry)
    even.flush()


def _refuse_unpaired_quotes(connection: DuckDBPyConnection, text: BinaryIO, shape: Shape, above: int) -> int:
    """Returns how many cells a row has at most."""
    delimiter = literal(shape.delimiter or ",")
    source = _read_csv(text, shape, shape.width, store_rejects="true", rejects_limit="0")
    try:
        connection.execute(f"SELECT count(*) FROM {source}").fetchall()  # the tables of rejects come with the last row
        found = connection.execute(
            "SELECT error_type::VARCHAR, min(line), arg_min(line_byte_position, line), "
            "arg_min(octet_length(encode(csv_line)), line), "
            f"max(length(csv_line) - length(replace(csv_line, {delimiter}, ''))) FROM reject_errors GROUP BY ALL"
        ).fetchall()
        connection.execute("DROP TABLE reject_errors; DROP TABLE reject_scans")
    except _ENGINE_ERRORS:
        raise _unreadable() from None
    kinds = {str(kind): (int(line), int(position) - 1 + int(length)) for kind, line, position, length, _ in found}
    if _UNPAIRED in kinds:
        line, end = kinds[_UNPAIRED]
        line += above
        if end >= text.seek(0, io.SEEK_END) - 1:
            raise Truncated(
                f"文件第 {line} 行起的引号直到文件末尾都没有闭合：该行单元格里可能多了一个引号（请删去或写成两个），"
                "或文件被截断（请重新导出并推送）",
                f"a quote opened on line {line} of the file is never closed: a cell of that line may hold a stray quote "
                "(remove or double it), or the file may be cut off (export and push again)",
                line=line,
            )
        raise Unreadable(
            f"文件第 {line} 行的引号不成对，其后各行无法可靠划分；单元格内的引号应写成两个",
            f"the quotes on line {line} of the file do not pair, so the rows after it cannot be told apart; "
            "double a quote inside a cell",
            line=line,
        )
    if not kinds.keys() <= _WIDTH:
        raise _unreadable()
    return min(max((int(row[4]) + 1 for row in found), default=0), shape.width + _MOST_BEYOND)


def _refuse_cut_row(connection: DuckDBPyConnection, text: BinaryIO, target: Path, rows: int) -> None:
    text.seek(max(0, text.seek(0, io.SEEK_END) - 1))
    if text.read(1) in {b"\n", b"\r"}:
        return
    last = connection.execute(f"SELECT _broken FROM {rows_of(target)} WHERE _row = {rows}").fetchone()
    if last is not None and last[0] is not None and "不足" in last[0]:
        raise Truncated(
            f"最后一行（第 {rows} 行数据）在中间中断：文件可能被截断，请重新导出并推送",
            f"the last row (data row {rows}) ends in the middle: the file may be cut off; export and push again",
            row=rows,
        )


def _unreadable() -> Unreadable:
    return Unreadable(
        "不是可以逐行读取的 CSV：请检查换行、引号和分隔符是否一致，单元格是否超长（2 MB）",
        "not a CSV that can be read row by row: check line ends, quotes and delimiters, and cells beyond 2 MB",
    )
