"""What Parquet and Arrow share: columns with names and types of their own become the text an officer would have typed.

Invariant: only values that were read decide: statistics, counts and sizes that a file states about itself are at most
a reason to refuse it. A column that holds tables or bytes is refused, by its name.
"""

from collections.abc import Sequence
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal
from exchange.errors import ParcelTooLarge, Unreadable
from exchange.intake.formats import header
from exchange.intake.formats.format import Limits, Shape, copy_rows, select_items

_NESTED = ("STRUCT", "MAP", "UNION", "VARIANT", "GEOMETRY")
_FLOATS = ("FLOAT", "DOUBLE")
# the steps of the engine's planning that believe a file's statistics
_BELIEVING = (
    "statistics_propagation,compressed_materialization,filter_pushdown,join_filter_pushdown,top_n_window_elimination"
)


def write(
    connection: DuckDBPyConnection,
    relation: str,
    shape: Shape,
    types: Sequence[str],
    resource: Resource,
    target: Path,
    limits: Limits,
) -> int:
    """Write the plain table of a relation with one column per name. Returns how many rows there were.

    Raises:
        Unreadable: it cannot be read to its end. ParcelTooLarge: its text is more than a parcel may have.
    """
    cells = {number: _text(kind, f"x{number}") for number, kind in enumerate(types) if number in shape.matched.values()}
    named = f"{relation} AS t({', '.join(f'x{number}' for number in range(len(types)))})"
    texts = ", ".join(f"{cell} AS c{number}" for number, cell in cells.items())
    length = " + ".join(f"coalesce(strlen({cell}), 0)" for cell in cells.values())
    try:
        connection.execute(f"SET disabled_optimizers = {literal(_BELIEVING)}")
        found = connection.execute(f"SELECT coalesce(sum({length} + {len(types)}), 0) FROM {named}").fetchone()
        if found is not None and found[0] > limits.unpacked:
            raise too_large(limits)
        select = (
            f"SELECT {select_items(resource, shape)}, NULL::VARCHAR AS _broken, NULL::VARCHAR AS _line "
            f"FROM (SELECT {texts} FROM {named})"
        )
        return copy_rows(connection, select, target)
    except duckdb.OutOfMemoryException:
        raise Unreadable(
            "文件的行组太大，超出 EXCHANGE_MEMORY_LIMIT；请以较小的行组（如每组 10 万行）重新导出",
            "the file's row groups are too large for EXCHANGE_MEMORY_LIMIT; export with smaller ones (100,000 rows, say)",
        ) from None
    except (duckdb.Error, UnicodeDecodeError):
        raise damaged(shape.format) from None
    finally:
        connection.execute("RESET disabled_optimizers")


def shape_of(kind: str, resource: Resource, names: Sequence[str], types: Sequence[str]) -> Shape:
    """How a file of these columns is read.

    Raises:
        MissingColumns. Unreadable: a column that is no column of plain values.
    """
    match = header.match(resource, names, row=None)
    for number, type_ in enumerate(types):
        if type_.startswith(_NESTED) or type_.endswith("]"):
            raise _no_plain_values(names[number], number, "嵌套的列表或结构", "nested values (lists or structures)")
        if type_ in {"BLOB", "BIT"}:
            raise _no_plain_values(names[number], number, "二进制内容", "bytes")
    return Shape(kind, len(names), match.columns, match.unknown)


def refuse_many(rows: int, width: int, limits: Limits) -> None:
    """Rows of nothing take no room in a file, but do in a table.

    Raises:
        ParcelTooLarge
    """
    if rows * max(width, 1) > limits.unpacked:
        raise too_large(limits)


def damaged(kind: str) -> Unreadable:
    """The engine cannot read it to its end; what it says may quote data."""
    name = kind.capitalize()
    return Unreadable(
        f"{name} 文件已损坏，或其中的文字不是 UTF-8；请重新导出并推送",
        f"the {name} file is damaged, or its text is not UTF-8; export it again and push",
    )


def too_large(limits: Limits) -> ParcelTooLarge:
    """What it unpacks to is more than a parcel may have."""
    return ParcelTooLarge(
        f"文件展开后超过上限 {limits.unpacked} 字节（EXCHANGE_MAX_PARCEL）；请分批或联系平台运维",
        f"the file expands to more than the limit of {limits.unpacked} bytes (EXCHANGE_MAX_PARCEL); split it or ask the operator",
        limit=limits.unpacked,
    )


def _text(kind: str, column: str) -> str:
    """SQL of a value as it would have been typed: China's time, whole numbers without a point, no exponents."""
    if kind == "TIMESTAMP WITH TIME ZONE":
        return f"CAST(CAST({column} AS TIMESTAMP) AS VARCHAR)"
    if kind in _FLOATS:
        plain = f"CAST({column} AS VARCHAR)"
        small = f"rtrim(CAST(TRY_CAST({column} AS DECIMAL(38, 20)) AS VARCHAR), '0')"
        return (
            f"CASE WHEN {column} = trunc({column}) AND abs({column}) < 1e15 THEN CAST(TRY_CAST({column} AS BIGINT) AS VARCHAR) "
            f"WHEN contains({plain}, 'e-') AND abs({column}) >= 1e-9 THEN {small} ELSE {plain} END"
        )
    return f"CAST({column} AS VARCHAR)"


def _no_plain_values(name: str, number: int, zh: str, en: str) -> Unreadable:
    shown = header.shown(name, number)
    return Unreadable(
        f"列“{shown}”是{zh}，不是普通的值；请拆成普通的列，或去掉这一列后重新导出",
        f"the column “{shown}” holds {en}, no plain values; make plain columns of it or leave it out, and export again",
        column=number + 1,
    )
