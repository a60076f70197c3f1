"""Arrow IPC, file or stream: the batches as they follow each other; a file's own index at its end is not used.

Invariant: every batch was checked whole (offsets, lengths, UTF-8) before the engine sees one, because the engine
follows a batch's offsets wherever they point; nothing is decompressed that claims to become more than the settings
allow, and what becomes more than it claims is refused by the library.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import duckdb
import pyarrow as pa
import pyarrow.ipc
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.errors import Truncated, Unreadable
from exchange.intake.formats import columns
from exchange.intake.formats.format import Limits, Shape

_FILE = b"ARROW1"
_FILE_START = 8  # the magic, padded
_CONTINUATION = b"\xff\xff\xff\xff"
_DICTIONARY = "dictionary"
_WITH_PARTS = ("record batch", _DICTIONARY)
_VIEW = "_arrow"
_SHARE_OF_MEMORY = 4  # of EXCHANGE_MEMORY_LIMIT, for one decompressed batch


class Arrow:
    """See the module."""

    def claims(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(_FILE) or (head.startswith(_CONTINUATION) and head[7:8] == b"\x00")

    def write_table(
        self, connection: DuckDBPyConnection, plain: BinaryIO, resource: Resource, target: Path, limits: Limits
    ) -> tuple[Shape, int]:
        """See `Format`."""
        parcel = _Stream(plain, _start(plain))
        try:
            _refuse_bomb(parcel, limits)
            names = _checked(parcel, limits)
        except (pa.ArrowException, UnicodeDecodeError, struct.error, OSError, EOFError):
            raise columns.damaged("arrow") from None
        connection.register(_VIEW, parcel)
        try:
            types = [str(row[1]) for row in connection.execute(f"DESCRIBE {_VIEW}").fetchall()]
            shape = columns.shape_of("arrow", resource, names, types)
            return shape, columns.write(connection, _VIEW, shape, types, resource, target, limits)
        except (duckdb.Error, pa.ArrowException):
            raise columns.damaged("arrow") from None
        finally:
            connection.unregister(_VIEW)


class _Stream:
    """The batches of a parcel, from the first one each time somebody asks: the engine asks more than once."""

    def __init__(self, plain: BinaryIO, start: int) -> None:
        self._path = f"/proc/self/fd/{plain.fileno()}"
        self._start = start

    def open(self) -> pa.MemoryMappedFile:
        """At the first message."""
        mapped = pa.memory_map(self._path)
        mapped.seek(self._start)
        return mapped

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        reader: pa.RecordBatchReader = pa.ipc.open_stream(self.open())
        return reader.__arrow_c_stream__(requested_schema)  # type: ignore[no-untyped-call]


def _checked(parcel: _Stream, limits: Limits) -> list[str]:
    """Every batch, whole. Returns the columns' names."""
    rows = 0
    with parcel.open() as mapped, pa.ipc.open_stream(mapped) as reader:
        names = [str(name) for name in reader.schema.names]
        for batch in reader:
            batch.validate(full=True)
            rows += batch.num_rows
            columns.refuse_many(rows, len(names), limits)
    return names


def _start(plain: BinaryIO) -> int:
    plain.seek(0)
    if plain.read(len(_FILE)) != _FILE:
        return 0
    plain.seek(max(0, plain.seek(0, 2) - len(_FILE)))
    if plain.read() != _FILE or plain.tell() < 2 * _FILE_START:
        raise Truncated(
            "Arrow 文件不完整（找不到末尾）：可能被截断，请重新导出并推送",
            "the Arrow file is incomplete (its end is missing): it may be cut off; export and push again",
        )
    return _FILE_START


def _refuse_bomb(parcel: _Stream, limits: Limits) -> None:
    """Sum up what the messages' parts claim to become when decompressed, before any of them is."""
    total, most = 0, limits.memory // _SHARE_OF_MEMORY
    with parcel.open() as mapped:
        for message in _messages(pa.ipc.MessageReader.open_stream(mapped)):
            claimed = _claimed(message)
            total += claimed
            if claimed > most:
                raise Unreadable(
                    f"Arrow 文件的一批数据解压后有 {claimed} 字节，超过 {most} 字节；请以较小的批（如每批 1 万行）重新导出",
                    f"one batch of the Arrow file decompresses to {claimed} bytes, more than {most}; "
                    "export with smaller batches (10,000 rows, say)",
                )
            if total > limits.unpacked:
                raise columns.too_large(limits)


def _messages(reader: pa.ipc.MessageReader) -> Iterator[pa.Message]:
    with suppress(StopIteration):
        while True:
            yield reader.read_next_message()


def _claimed(message: pa.Message) -> int:
    """What the parts of a message claim to become: each compressed part begins with its length."""
    if message.type not in _WITH_PARTS or message.body is None:
        return 0
    head, body = memoryview(message.metadata), memoryview(message.body)
    batch = _table(head, _field(head, _table(head, 0), 2))
    if message.type == _DICTIONARY:
        batch = _table(head, _field(head, batch, 1))
    parts, compression = _field(head, batch, 2), _field(head, batch, 3)
    if not parts or not compression:
        return 0
    first = _table(head, parts)
    claimed = 0
    for number in range(_number("<I", head, first)):
        offset, length = struct.unpack_from("<qq", head, first + 4 + 16 * number)
        if length >= 8:
            claimed += max(_number("<q", body, offset), length if _number("<q", body, offset) < 0 else 0)
    return claimed


# Messages are flatbuffers, which the library has checked and does not show: a table begins with the distance back to
# the list of its fields' places; a reference is a distance forward.
def _table(head: memoryview, at: int) -> int:
    return at + _number("<I", head, at)


def _field(head: memoryview, table: int, index: int) -> int:
    fields = table - _number("<i", head, table)
    place = 4 + 2 * index
    inside = _number("<H", head, fields + place) if place < _number("<H", head, fields) else 0
    return table + inside if inside else 0


def _number(form: str, data: memoryview, at: int) -> int:
    return int(struct.unpack_from(form, data, at)[0])
