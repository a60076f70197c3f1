"""XLSX: the first visible sheet, every cell as text, as the officer sees it: dates without an empty time, whole
numbers without a decimal point.

Invariant: rows keep the sheet's order; wholly empty rows are not rows; cells beyond the header make a row broken.
"""

import zipfile
import zlib
from pathlib import Path
from typing import BinaryIO

import fastexcel
import polars
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.errors import EmptyParcel, Truncated, Unreadable
from exchange.intake.formats import header
from exchange.intake.formats.format import Shape, copy_rows, select_items

MOST_UNPACKED = 2 << 30  # a full sheet (1,048,576 rows) of a dozen columns is under 1 GiB; its reader holds it in memory


class Workbook:
    """See the module."""

    def claims(self, head: bytes) -> bool:
        return head.startswith(b"PK\x03\x04")

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path
    ) -> tuple[Shape, int]:
        """See `Format`."""
        _refuse_cut(plain)
        name, cells = _first_visible(plain)
        titles = _trim([cell or "" for cell in cells.row(0)]) if cells.height else []
        if not titles:
            raise EmptyParcel(
                f"工作表“{name}”的第一行是空的：第一行应为列名",
                f"the first row of sheet “{name}” is empty: it must hold the column names",
            )
        match = header.match(resource, titles)
        shape = Shape("xlsx", len(titles), match.columns, match.unknown, sheet=name)
        connection.register("_sheet", cells.slice(1).to_arrow())
        try:
            return shape, copy_rows(connection, _rows(resource, shape, cells.width), target)
        finally:
            connection.unregister("_sheet")


def _refuse_cut(plain: BinaryIO) -> None:
    try:
        with zipfile.ZipFile(plain) as archive:
            names = archive.namelist()
            _refuse_bomb(sum(member.file_size for member in archive.infolist()))
            damaged = archive.testzip()
    except zlib.error:
        raise _damaged() from None
    except (zipfile.BadZipFile, EOFError, OSError):
        raise Truncated(
            "XLSX 文件不完整（找不到末尾目录）：可能被截断，请重新导出并推送",
            "the XLSX file is incomplete (its closing directory is missing): it may be cut off; export and push again",
        ) from None
    except (ValueError, NotImplementedError, RuntimeError):
        damaged, names = "", []
    if "xl/workbook.xml" not in names:
        raise Unreadable(
            "这是 ZIP 文件，但不是 XLSX 工作簿；请先解压，推送其中的表格",
            "a ZIP archive but no XLSX workbook; unpack it and push the table inside",
        )
    if damaged is not None:
        raise _damaged()


def _refuse_bomb(unpacked: int) -> None:
    if unpacked > MOST_UNPACKED:
        raise Unreadable(
            f"XLSX 文件解压后有 {unpacked} 字节，超过 {MOST_UNPACKED} 字节；请改用 CSV",
            f"the XLSX file unpacks to {unpacked} bytes, more than {MOST_UNPACKED}; use CSV instead",
        )


def _damaged() -> Unreadable:
    return Unreadable("XLSX 文件已损坏（校验和不符），请重新导出", "the XLSX file is damaged (checksum); export it again")


def _first_visible(plain: BinaryIO) -> tuple[str, polars.DataFrame]:
    try:
        book = fastexcel.read_excel(f"/proc/self/fd/{plain.fileno()}")
        for number in range(len(book.sheet_names)):
            sheet = book.load_sheet(number, header_row=None, dtypes="string")
            if sheet.visible == "visible":
                return sheet.name, sheet.to_polars()
    except fastexcel.FastExcelError:
        raise Unreadable(
            "XLSX 文件无法读取，请用电子表格软件打开并另存后重新推送",
            "the XLSX file cannot be read; open it in a spreadsheet program, save it anew and push again",
        ) from None
    raise EmptyParcel("XLSX 文件中没有可见的工作表", "the XLSX file has no visible sheet")


def _trim(titles: list[str]) -> list[str]:
    while titles and not titles[-1].strip():
        titles.pop()
    return titles


def _rows(resource: Resource, shape: Shape, width: int) -> str:
    names = [f'"{name}"' for name in _names(width)]
    seen = ", ".join(f"{_as_seen(name)} AS c{number}" for number, name in enumerate(names[: shape.width]))
    beyond = " OR ".join(f"{name} IS NOT NULL" for name in names[shape.width :]) or "false"
    broken = f"CASE WHEN {beyond} THEN '列数过多，应为 {shape.width} 列 / more than {shape.width} columns' END"
    return (
        f"SELECT {select_items(resource, shape.matched)}, _broken FROM "
        f"(SELECT {seen}, {broken} AS _broken FROM _sheet WHERE coalesce({', '.join(names)}) IS NOT NULL)"
    )


def _names(width: int) -> list[str]:
    return [f"__UNNAMED__{number}" for number in range(width)]


def _as_seen(name: str) -> str:
    """The reader gives every date a time and every time a date."""
    return rf"regexp_replace(regexp_replace({name}, '^(\d{{4}}-\d\d-\d\d) 00:00:00$', '\1'), '^1899-12-3[01] (\d\d:\d\d:\d\d)$', '\1')"
