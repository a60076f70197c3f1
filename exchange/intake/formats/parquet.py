"""Parquet, distrusted: flat columns only, statistics never used, what its footer counts compared with what it counts.

Invariant: a row is a row that was read; a footer that contradicts itself is refused.
"""

from pathlib import Path
from typing import BinaryIO

import duckdb
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal
from exchange.errors import Truncated, Unreadable
from exchange.intake.formats import columns
from exchange.intake.formats.format import Limits, Shape

_MAGIC = b"PAR1"
_WIDEST = 10_000  # columns


class Parquet:
    """See the module."""

    def claims(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(_MAGIC)

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
    ) -> tuple[Shape, int]:
        """See `Format`."""
        _refuse_cut(plain)
        path = literal(f"/proc/self/fd/{plain.fileno()}")
        relation = f"read_parquet({path}, binary_as_string = true)"
        try:
            names, rows = _names(connection, path), _counted(connection, path)
            types = [str(row[1]) for row in connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()]
        except (duckdb.Error, UnicodeDecodeError):
            raise columns.damaged("parquet") from None
        shape = columns.shape_of("parquet", resource, names, types)
        columns.refuse_many(rows, len(names), limits)
        read = columns.write(connection, relation, shape, types, resource, target, limits)
        if read != rows:
            raise _contradicts_itself()
        return shape, read


def _refuse_cut(plain: BinaryIO) -> None:
    plain.seek(max(0, plain.seek(0, 2) - len(_MAGIC)))
    if plain.read() != _MAGIC or plain.tell() < 3 * len(_MAGIC):
        raise Truncated(
            "Parquet 文件不完整（找不到末尾）：可能被截断，请重新导出并推送",
            "the Parquet file is incomplete (its end is missing): it may be cut off; export and push again",
        )


def _names(connection: DuckDBPyConnection, path: str) -> list[str]:
    """The columns' names as the file has them; a nested column once, by the name of the whole."""
    found = connection.execute(f"SELECT name, num_children FROM parquet_schema({path})").fetchall()
    if len(found) > _WIDEST:
        raise Unreadable(f"文件超过 {_WIDEST} 列", f"the file has more than {_WIDEST} columns")
    names: list[str] = []
    inside = 0
    for name, children in found[1:]:  # the first is the table itself; parts of a column follow it, depth first
        if inside == 0:
            names.append(str(name))
        else:
            inside -= 1
        inside += int(children or 0)
    return names


def _counted(connection: DuckDBPyConnection, path: str) -> int:
    """The rows the footer counts, if it counts the same everywhere."""
    stated = connection.execute(f"SELECT num_rows FROM parquet_file_metadata({path})").fetchone()
    summed, odd = connection.execute(
        "SELECT coalesce(sum(rows), 0), count(*) FILTER (odd) FROM (SELECT any_value(row_group_num_rows) AS rows, "
        "bool_or(num_values < row_group_num_rows) AS odd "
        f"FROM parquet_metadata({path}) GROUP BY row_group_id)"
    ).fetchall()[0]
    if stated is None or int(stated[0]) != int(summed) or odd:
        raise _contradicts_itself()
    return int(summed)


def _contradicts_itself() -> Unreadable:
    return Unreadable(
        "Parquet 文件自相矛盾：文件尾写的行数与各行组、各列的不一致；请重新导出",
        "the Parquet file contradicts itself: its footer counts other rows than its row groups and columns; export it again",
    )
