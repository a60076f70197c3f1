"""A landed parcel as a table of text, for whoever judges it.

Invariant: `_row` is the row as the officer sees it: in a spreadsheet its number in the margin, else the data row (the
header and blank lines not counted), whatever quoted line breaks and threads; every data row is there, broken ones with
their reason in `_broken`.
The table is a derived file: made at landing, made again from the sealed bytes whenever it is missing.
"""

import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from duckdb import DuckDBPyConnection

from exchange import catalogue
from exchange.catalogue.model import Resource
from exchange.errors import WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.form import form_of
from exchange.intake.formats import Limits, Shape, write_table
from exchange.intake.formats.format import rows_of
from exchange.intake.places import PURPOSE, landed_file, rows_file


@contextmanager
def open_table(house: House, connection: DuckDBPyConnection, push_id: str) -> Iterator[str]:
    """A relation (for use after FROM, in any of the house's connections) of a landed push's rows.

    Columns: `_row` BIGINT from 1; one VARCHAR per item of the parcel's form (`form_of` the resource's version in the
    receipt), by item name, NULL where the cell is empty or the file has no such column; `_broken` VARCHAR, NULL for a row
    that can be taken as it stands, and `_line` VARCHAR, all of one that can't.

    Raises:
        NotFound: no such push. WrongState: its landed bytes have been aged out.
    """
    path = rows_file(house.settings, push_id)
    if not path.exists() or not _is_current(connection, path):
        _make_again(house, push_id, path)
    yield rows_of(path)


def relation(house: House, push_id: str) -> str:
    """The same relation, of a table that is there (`exists`)."""
    return rows_of(rows_file(house.settings, push_id))


def exists(house: House, push_id: str) -> bool:
    """Whether the table is there, or has to be made again when it is opened."""
    return rows_file(house.settings, push_id).exists()


def write(house: House, plain: BinaryIO, resource: Resource, target: Path) -> tuple[Shape, int]:
    """Make the table of a plain file, at once or not at all. Returns its shape and the number of data rows.

    Raises:
        Unreadable, Truncated, MissingColumns, EmptyParcel, UnsafeName, ParcelTooLarge, NoRoom
    """
    draft = target.with_name(f".{target.name}.{secrets.token_hex(5)}.part")
    try:
        with house.duckdb() as connection:
            shape, rows = write_table(connection, plain, resource, draft, Limits.of(house.settings))
        with draft.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut could leave a name without its bytes
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return shape, rows


def drop(house: House, push_id: str) -> None:
    """Remove the derived table, once nobody needs the push's rows; it comes back when somebody opens it."""
    rows_file(house.settings, push_id).unlink(missing_ok=True)


def read_landed(house: House, push_id: str) -> Iterator[bytes]:
    """The bytes of a parcel exactly as they were sent.

    Raises:
        NotFound: no such push. WrongState: its landed bytes have been aged out.
    """
    push = pushes.get(house, push_id)
    try:
        file = landed_file(house.settings, push.resource_id, push.id).open("rb")
    except FileNotFoundError:
        raise WrongState(
            f"推送 {push.id} 的原始数据已按保留规则清除", f"the landed bytes of push {push.id} have been aged out"
        ) from None
    with file:
        yield from house.seal.read(file, PURPOSE)


def _is_current(connection: DuckDBPyConnection, path: Path) -> bool:
    """False for a table that an older release left."""
    return any(column[0] == "_line" for column in connection.execute(f"DESCRIBE FROM {rows_of(path)}").fetchall())


def _make_again(house: House, push_id: str, target: Path) -> None:
    with tempfile.TemporaryFile(dir=house.settings.folder("spill")) as plain:
        for piece in read_landed(house, push_id):
            plain.write(piece)
        plain.flush()
        push = pushes.get(house, push_id)
        resource = catalogue.resource_at(house, push.resource_id, push.resource_version)
        write(house, plain, form_of(resource, push.mode), target)
