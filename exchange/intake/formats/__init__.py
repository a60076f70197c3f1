"""The formats a parcel may have: one file each, one dict to read them in.

Adding one: a module with a class that satisfies `Format`, a line in FORMATS (the first to claim a file reads it), its
spec in tests/intake/.
"""

from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.errors import EmptyParcel, Unreadable
from exchange.intake.formats.arrow import Arrow
from exchange.intake.formats.delimited import Delimited
from exchange.intake.formats.foreign import name_foreign
from exchange.intake.formats.format import Format, Limits, Shape
from exchange.intake.formats.jsonlines import JsonLines
from exchange.intake.formats.packed import unpacked
from exchange.intake.formats.parquet import Parquet
from exchange.intake.formats.workbook import OldWorkbook, Workbook

FORMATS: dict[str, Format] = {
    "xlsx": Workbook(),
    "xls": OldWorkbook(),
    "parquet": Parquet(),
    "arrow": Arrow(),
    "jsonl": JsonLines(),
    "csv": Delimited(),
}

__all__ = ["FORMATS", "Format", "Limits", "Shape", "detect", "write_table"]


def write_table(
    connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
) -> tuple[Shape, int]:
    """Unpack a parcel if it is packed, and write its plain table to `target`; see `Format`.

    Raises:
        EmptyParcel, MissingColumns, Unreadable, Truncated, UnsafeName, ParcelTooLarge, NoRoom
    """
    with unpacked(plain, target.parent, limits) as (table, packed):
        shape, rows = detect(table).write_table(connection, table, resource, target, limits)
    return replace(shape, packed=packed), rows


def detect(plain: BinaryIO) -> Format:
    """Which of FORMATS the first bytes are.

    Raises:
        EmptyParcel: no bytes at all.
        Unreadable: none of them; says which format it looks like.
    """
    plain.seek(0)
    head = plain.read(4096)
    if not head:
        raise EmptyParcel("文件是空的（0 字节）", "the file is empty (0 bytes)")
    foreign = name_foreign(head)
    if foreign is not None:
        raise Unreadable(
            f"这不是可接收的表格，而像是{foreign[0]}；请另存为 CSV（UTF-8）或 XLSX 后重新推送",
            f"not a table we accept: it looks like {foreign[1]}; save it as CSV (UTF-8) or XLSX and push again",
        )
    return next(format_ for format_ in FORMATS.values() if format_.claims(head))
