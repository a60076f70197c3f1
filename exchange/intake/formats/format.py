"""What every format can do: recognise itself, and turn its rows into one plain table of text.

Invariant: whatever the format, the table it writes has one row per data row in the provider's order, one VARCHAR
column per item of the resource (NULL where the cell is empty or the column missing), `_broken`, the reason why a row
can't be taken as it stands (NULL for a good row), and `_line`, all of a broken row as it came. Blank lines are not rows.
"""

import errno
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, Self

from duckdb import DuckDBPyConnection
from duckdb import Error as DuckDBError

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal, quoted
from exchange.engine import STAGING_KEY, is_disk_full
from exchange.intake.form import ERROR_COLUMNS, GUARDED
from exchange.settings import Settings

NOT_A_ROW = ""  # as `_broken`: only keeps the place of a row of the sheet that holds no data


@dataclass(frozen=True)
class Limits:
    """What reading one parcel may cost, in bytes. What a parcel unpacks to may be no more than a parcel may be."""

    memory: int
    unpacked: int
    spare_disk: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As set."""
        return cls(int(settings.memory_limit), int(settings.max_parcel), int(settings.spare_disk))


@dataclass(frozen=True)
class Shape:
    """How a parcel was read. `matched` maps item names to 0-based columns; `unknown` names the other columns.

    `packed`: gzip or zip, around the table. `header_row` counts from 1 and is given when it is not the first row, or
    when the catalogue states it. `declared`: which of these the catalogue states; the rest was found out.
    `blank_rows`: rows of a sheet without any value, between those with data; they are not counted as rows.
    """

    format: str
    width: int
    matched: dict[str, int]
    unknown: list[str] = field(default_factory=list)
    encoding: str | None = None
    delimiter: str | None = None
    sheet: str | None = None
    packed: str | None = None
    header_row: int | None = None
    declared: list[str] | None = None
    blank_rows: int | None = None

    def as_dict(self) -> dict[str, Any]:
        """For the receipt: without what does not apply."""
        return {key: value for key, value in asdict(self).items() if value is not None}


class Format(Protocol):
    """A format."""

    def claims(self, head: bytes) -> bool:
        """Do these first bytes look like this format?"""
        ...

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
    ) -> tuple[Shape, int]:
        """Read `plain` (a file with a descriptor) and write the plain table to `target`, encrypted Parquet.

        Returns the shape and the number of data rows.

        Raises:
            MissingColumns, Unreadable, Truncated: nothing usable; `target` may be half written.
        """
        ...


def select_items(resource: Resource, shape: Shape) -> str:
    """The items out of columns c0, c1, …: an empty cell is NULL; what was guarded for a spreadsheet is as it was."""
    read = _unguarded if set(ERROR_COLUMNS) <= set(shape.unknown) else _given
    cells = [(read(f"c{shape.matched[i.name]}") if i.name in shape.matched else "NULL::VARCHAR", i) for i in resource.items]
    return ", ".join(f"{cell} AS {quoted(item.name)}" for cell, item in cells)


def _given(cell: str) -> str:
    return f"nullif({cell}, '')"


def _unguarded(cell: str) -> str:
    risky = f"starts_with({cell}, '''') AND regexp_matches({cell}, '{GUARDED}')"
    return f"CASE WHEN {risky} THEN substr({cell}, 2) ELSE {_given(cell)} END"


def whole_line(cells: Sequence[str], delimiter: str) -> str:
    """SQL of a broken row's cells as one line, quoted where they have to be; cells the row does not have are left out."""
    special = literal(f'["\\r\\n{delimiter}]')
    quote, doubled = literal('"'), literal('""')
    marked = [
        f"CASE WHEN regexp_matches({cell}, {special}) THEN {quote} || replace({cell}, {quote}, {doubled}) || {quote} ELSE {cell} END"
        for cell in cells
    ]
    return f"concat_ws({literal(delimiter)}, {', '.join(marked)})"


def copy_rows(connection: DuckDBPyConnection, select: str, target: Path) -> int:
    """Write a query's rows, in order, to encrypted Parquet. Returns how many.

    Raises:
        OSError: the disk is full, which must not be taken for a fault of the file.
    """
    options = f"FORMAT parquet, ENCRYPTION_CONFIG {{footer_key: '{STAGING_KEY}'}}"
    try:
        row = connection.execute(f"COPY ({select}) TO {literal(str(target))} ({options})").fetchone()
    except DuckDBError as error:
        if is_disk_full(error):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        raise
    return int(row[0]) if row else 0


def rows_of(target: Path) -> str:
    """The plain table of `copy_rows` as a relation, `_row` counting from 1, also what is no row."""
    options = f"file_row_number = true, encryption_config = {{footer_key: '{STAGING_KEY}'}}"
    return (
        f"(SELECT file_row_number + 1 AS _row, * EXCLUDE (file_row_number) "
        f"FROM read_parquet({literal(str(target))}, {options}) WHERE _broken IS DISTINCT FROM {literal(NOT_A_ROW)})"
    )
