"""The one place that opens DuckDB: memory, threads, extensions, keys.

Invariant: every connection is bounded by settings, spills encrypted, and never reaches the network: extensions come
from installed wheels, automatic installing and loading is off. An extension's signature is checked when a process first
loads it, and again when its file has changed. An engine error that leaves a connection's block keeps its class and its
places; its text, which quotes values and statements, stays behind.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from pathlib import Path

import duckdb
from duckdb import DuckDBPyConnection

from exchange.catalogue.sql import literal
from exchange.databases import Databases
from exchange.faults import disk_full
from exchange.seal import Seal
from exchange.settings import Settings
from exchange.spill import own_folder

STAGING_KEY = "staging"
LAKE = ("httpfs", "postgres_scanner", "ducklake")
_checked: set[tuple[str, int, int, int]] = set()  # extension files whose signatures this process has seen to be right


@contextmanager
def connect(settings: Settings, seal: Seal, *, extensions: tuple[str, ...] = ("httpfs",)) -> Iterator[DuckDBPyConnection]:
    """An in-memory connection that spills, encrypted, into the data folder.

    `httpfs` is there for its OpenSSL: writing encrypted Parquet needs it. Parquet files under the key named
    STAGING_KEY are read and written with `ENCRYPTION_CONFIG {footer_key: 'staging'}`.

    Raises:
        duckdb.Error: of the class the engine raised, without its text. Unavailable: the disk is full.
    """
    with own_folder(settings) as spill, _without_words(_with_extensions(extensions)) as connection:
        connection.execute(f"SET memory_limit = '{int(settings.memory_limit)}B'")
        connection.execute(f"SET threads = {settings.threads}")
        connection.execute(f"SET temp_directory = {literal(str(spill))}")
        connection.execute("SET temp_file_encryption = true")
        connection.execute("SET TimeZone = 'Asia/Shanghai'")
        connection.execute("SET enable_progress_bar = false")
        key = seal.derive("staging files", length=16).hex()
        connection.execute(f"PRAGMA add_parquet_key('{STAGING_KEY}', '{key}')")
        yield connection


@contextmanager
def _without_words(connection: DuckDBPyConnection) -> Iterator[DuckDBPyConnection]:
    """An engine's errors, and the engine closed at the end."""
    try:
        yield connection
    except duckdb.Error as error:
        if is_disk_full(error):
            raise disk_full() from None
        # the same class, because whoever tries again asks for it (pools/lake.py)
        said = "the engine's own words are left out: they quote data"
        raise type(error)(said).with_traceback(error.__traceback__) from None
    finally:
        connection.close()


@contextmanager
def connect_lake(settings: Settings, seal: Seal, databases: Databases) -> Iterator[DuckDBPyConnection]:
    """The same with the lake attached as `lake`: encrypted Parquet in `<data>/lake`, catalogue in PostgreSQL."""
    with connect(settings, seal, extensions=LAKE) as connection:
        connection.execute(
            f"ATTACH {literal('ducklake:postgres:' + databases.lake.keywords())} AS lake "
            f"(DATA_PATH {literal(str(settings.folder('lake')) + '/')}, ENCRYPTED, DATA_INLINING_ROW_LIMIT 0)"
        )
        try:
            yield connection
        finally:
            # closed inside a transaction whose server has gone away, the engine would take the whole process with it
            with suppress(duckdb.Error):
                connection.execute("ROLLBACK")


def is_disk_full(error: BaseException) -> bool:
    """Whether the engine failed because it could not write; it has no class of its own for that."""
    return isinstance(error, duckdb.Error) and os.strerror(errno.ENOSPC) in str(error)


def preload() -> None:
    """Check the extensions now, so that processes forked from this one need not."""
    _with_extensions(LAKE).close()


def _with_extensions(names: tuple[str, ...]) -> DuckDBPyConnection:
    wanted = [_extension(name) for name in names]
    marks = {_mark(path) for path in wanted}
    # hashing 100 MB of extensions takes half a second, far more than all else that is done to open a lake
    connection = duckdb.connect(config={"allow_unsigned_extensions": str(marks <= _checked).lower()})
    connection.execute("SET autoinstall_known_extensions = false")
    connection.execute("SET autoload_known_extensions = false")
    for path in wanted:
        connection.execute(f"LOAD {literal(str(path))}")
    connection.execute("SET allow_unsigned_extensions = false")
    _checked.update(marks)
    return connection


@cache
def _extension(name: str) -> Path:
    """Where the wheel of an extension keeps it."""
    return (
        Path(str(files(f"duckdb_extension_{name}"))) / "extensions" / f"v{duckdb.__version__}" / f"{name}.duckdb_extension"
    )


def _mark(path: Path) -> tuple[str, int, int, int]:
    """What changes when somebody changes the file."""
    found = path.stat()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns
