"""The serving index: what is served for a target now, as one encrypted file that is swapped in whole.

Invariant: a file holds exactly one version and is never changed; which file counts is one row of `serving_index`. Records
lie in blocks of about forty, found by a keyed hash of the key; a block is compressed, then sealed under a key of its own
file, bound to its number. Without the master key a file tells how many blocks it has, and nothing else.
"""

import contextlib
import json
import os
import secrets
import threading
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

import lmdb
import pyarrow
import pyarrow.compute
import zstandard
from duckdb import DuckDBPyConnection
from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert

from exchange import events
from exchange.catalogue.sql import literal
from exchange.faults import disk_full, disk_full_is_said
from exchange.house import House
from exchange.progress import Progress, silent
from exchange.registry.models import ServingIndex
from exchange.seal import Seal
from pools import lake
from pools.shape import Refs, Shape, newest

BLOCK_RECORDS = 40  # fewer: larger files; more: slower look-ups
BATCH_RECORDS = 100_000  # records handed from the engine to the writer at once
_META = b"meta"
_SALT = b"salt"
_MAP_SIZE = 1 << 40  # the most a file may grow to; it takes only what it holds
_LEVEL = 3


def swap(house: House, target: str, progress: Progress = silent) -> str:
    """Serve the newest version of `pool:<resource>` or `base:<base>`; the version. Idempotent.

    Raises:
        NotFound: no such target, or nothing to serve yet.
        Unavailable: the lake failed, or the disk is full; what was served before still is.
    """
    with disk_full_is_said(), house.registry.session() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"index {target}"})
        shape = newest(house, session, target)
        served = session.get(ServingIndex, target)
        path = folder(house, target) / f"{shape.version}.lmdb"
        if served is not None and served.version == shape.version and path.exists():
            return shape.version
        _write(house, shape, path, progress)
        values = {
            "version": shape.version,
            "path": str(path.relative_to(house.settings.root)),
            "rows": shape.rows,
            "sources": list(shape.refs.values())[-1],
        }
        session.execute(
            insert(ServingIndex)
            .values(target=target, **values)
            .on_conflict_do_update(index_elements=["target"], set_=values | {"swapped_at": text("now()")})
        )
        session.execute(text("UPDATE standing SET version = version + 1"))  # the key of what is served may be another
        events.record(session, events.Tag.INDEX_SWAPPED, object_id=shape.version, target=target, rows=shape.rows)
        _remove_old(path.parent, {shape.version, None if served is None else served.version})
    os.utime(path.parent)  # readers notice at once; without it, within their refresh time
    return shape.version


def clean(house: House, *, before: datetime) -> int:
    """Remove files that are not served and older than a moment, and drafts of killed writers; how many."""
    removed = 0
    for place in house.settings.folder("index").iterdir():
        with house.registry.session() as session:
            lock = text("SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0))")
            if not session.scalar(lock, {"name": f"index {place.name}"}):
                continue  # it is being swapped this moment
            served = session.get(ServingIndex, place.name)
            kept = None if served is None else served.version
            for path in [*place.glob("*.lmdb"), *place.glob("*.part")]:
                if path.stem != kept and path.stat().st_mtime < before.timestamp():
                    path.unlink(missing_ok=True)
                    removed += 1
    return removed


def folder(house: House, target: str) -> Path:
    """Where the files of a target lie."""
    return house.settings.folder("index") / target


class IndexFile:
    """One version, opened read-only. Safe for threads.

    Raises:
        FileNotFoundError: there is no such file (any more).
    """

    def __init__(self, path: Path, seal: Seal) -> None:
        try:
            self._environment = lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False, create=False)
        except lmdb.Error:
            if path.exists():
                raise
            raise FileNotFoundError(path) from None
        salt = self._get(_SALT)
        self._cipher = seal.cipher("index", salt)
        self._secret = seal.derive("index buckets", salt).hex()
        self._thread = threading.local()
        meta = json.loads(self._unseal(_META, self._get(_META)))
        self.fields: list[str] = meta["fields"]
        self.refs: Refs = meta["refs"]
        self.satellites: dict[str, tuple[list[str], Refs]] = {
            name: (under["fields"], under["refs"]) for name, under in meta.get("satellites", {}).items()
        }  # a file of before had none
        self._blocks: int = meta["blocks"]

    def find(self, key: str) -> list[Any] | None:
        """[closed, build, values, places] of a key; None when there is none."""
        return next(self._lines(key, ""), None)

    def under(self, key: str, satellite: str) -> list[list[Any]]:
        """[row key, closed, build, values, places] of each row of a satellite under a key."""
        return sorted(self._lines(key, satellite), key=row_key)

    def _lines(self, key: str, satellite: str) -> Iterator[list[Any]]:
        name = _block_name(_block_number(self._secret, key, self._blocks))
        sealed = self._get(name)
        block = self._unseal(name, sealed) if sealed else b""
        wanted = b"\n" + json.dumps(key, ensure_ascii=False).encode() + satellite.encode() + b"\t"
        end = 0
        while (start := block.find(wanted, end)) >= 0:
            end = block.index(b"\n", start + 1)
            yield json.loads(block[start + len(wanted) : end])

    def close(self) -> None:
        self._environment.close()

    def _get(self, name: bytes) -> bytes:
        with self._environment.begin() as transaction:
            return transaction.get(name) or b""

    def _unseal(self, name: bytes, sealed: bytes) -> bytes:
        decompressor = getattr(self._thread, "decompressor", None)
        if decompressor is None:
            decompressor = self._thread.decompressor = zstandard.ZstdDecompressor()
        plain: bytes = decompressor.decompress(self._cipher.decrypt(_nonce(name), sealed, name))
        return plain


def _write(house: House, shape: Shape, path: Path, progress: Progress) -> None:
    """Write the file of a version under a temporary name, then give it its own."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_suffix(".part")
    for left in path.parent.glob("*.part"):  # by killed runs; the lock says nobody writes here now
        left.unlink()
    salt = secrets.token_bytes(16)  # of this very file: a nonce is never used twice with one key
    secret = house.seal.derive("index buckets", salt).hex()
    lines = shape.rows + shape.numbers + sum(under.rows for under in shape.satellites.values())
    blocks = max(1, -(-lines // BLOCK_RECORDS))
    cipher = house.seal.cipher("index", salt)
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    meta = {
        "target": shape.target,
        "version": shape.version,
        "fields": list(shape.columns),
        "refs": shape.refs,
        "satellites": {
            name: {"fields": list(under.columns), "refs": under.refs} for name, under in shape.satellites.items()
        },
        "blocks": blocks,
    }

    def sealed(name: bytes, plain: bytes) -> bytes:
        return cipher.encrypt(_nonce(name), compressor.compress(plain), name)

    try:
        environment = lmdb.open(str(draft), subdir=False, map_size=_MAP_SIZE, lock=False, metasync=False, sync=False)
        with contextlib.closing(environment), lake.opened(house) as connection:
            for batch in _blocks(connection, shape, secret, blocks):
                with environment.begin(write=True) as transaction:
                    for number, plain in batch:
                        name = _block_name(number)
                        transaction.put(name, sealed(name, plain), append=True)
                progress("index", batch[-1][0] + 1 if batch else 0, blocks)
            with environment.begin(write=True) as transaction:
                transaction.put(_META, sealed(_META, json.dumps(meta).encode()))
                transaction.put(_SALT, salt)
            environment.sync(True)
    except lmdb.DiskError:
        raise disk_full() from None
    _durably(draft, path)


def _blocks(connection: DuckDBPyConnection, shape: Shape, secret: str, blocks: int) -> Iterator[list[tuple[int, bytes]]]:
    """The plain blocks in rising order, in batches. The engine sorts lines by block; here whole runs are cut out."""
    reader = connection.execute(_lines(shape, secret, blocks)).to_arrow_reader(BATCH_RECORDS)
    open_number, open_lines = -1, b""
    for batch in reader:
        runs = pyarrow.compute.call_function("run_end_encode", [batch.column(0)])
        finished: list[tuple[int, bytes]] = []
        for number, lines in zip(runs.values.to_pylist(), _runs(batch.column(1), runs.run_ends.to_pylist()), strict=True):
            if number == open_number:
                open_lines += lines
                continue
            if open_number >= 0:
                finished.append((open_number, open_lines))
            open_number, open_lines = number, b"\n" + lines
        yield finished
    if open_number >= 0:
        yield [(open_number, open_lines)]


def _runs(lines: "pyarrow.Array[Any]", ends: list[int]) -> Iterator[bytes]:
    """The bytes of each run of strings: they lie side by side in Arrow's memory."""
    _, bounds, data = (memoryview(buffer) if buffer else memoryview(b"") for buffer in lines.buffers())
    offsets = bounds.cast("B").cast("i")
    start = lines.offset
    for end in ends:
        yield bytes(data[offsets[start] : offsets[lines.offset + end]])
        start = lines.offset + end


def _lines(shape: Shape, secret: str, blocks: int) -> str:
    """SQL: every line with its block. Rows of a satellite lie in the block of the record they are under."""
    said = [("", shape.records), *((name, under.records) for name, under in shape.satellites.items())]
    every = " UNION ALL ".join(
        f"SELECT key, {literal(name)} AS satellite, record FROM ({records})" for name, records in said
    )
    return f"""
        SELECT ('0x' || left(sha256('{secret}' || key), 8))::UINTEGER % {blocks} AS block,
               to_json(key) || satellite || chr(9) || record || chr(10) AS line
        FROM ({every})
        ORDER BY block
    """


def row_key(line: list[Any]) -> str:
    """By what the rows under one record are put in order."""
    return str(line[0])


def _block_number(secret: str, key: str, blocks: int) -> int:
    """The same as in `_lines`."""
    return int(sha256((secret + key).encode()).hexdigest()[:8], 16) % blocks


def _block_name(number: int) -> bytes:
    return b"b" + number.to_bytes(4, "big")


def _nonce(name: bytes) -> bytes:
    return name.rjust(12, b"\x00")


def _durably(draft: Path, path: Path) -> None:
    draft.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_old(folder: Path, kept: set[str | None]) -> None:
    """Readers that still have an old file open finish on it."""
    for path in folder.glob("*.lmdb"):
        if path.stem not in kept:
            path.unlink(missing_ok=True)
