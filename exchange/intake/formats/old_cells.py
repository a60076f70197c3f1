"""What an XLS says about its cells that its text does not: numbers with lost digits, merges, where the sheet begins.

Invariant: only the heads of records are looked at, one after the other, and every place in the file is checked before it
is read; whatever is odd ends the looking, because it is for the sheet's reader to say that a file is bad. A formula of an
XLS always has a saved result.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from exchange.errors import Unreadable
from exchange.intake.formats.cells import LONG_NUMBER, Book, Marks, cell_name

_FREE = 0xFFFFFFFA  # and above: the end of a chain, or no sector
_HEAD = 512
_NAMES = ("Workbook", "Book", "WORKBOOK", "BOOK")
_BEGIN, _END, _LOCKED, _SHEET, _MERGES = 0x809, 0x00A, 0x02F, 0x085, 0x0E5
_NUMBER, _FORMULA, _RK, _MANY_RK = 0x203, 0x006, 0x27E, 0x0BD
_TEXTS = {0x204, 0x0FD, 0x205, 0x0D6}  # a text, a shared text, a truth or an error, a text with its fonts
_LOST = 1e15  # the first number of sixteen digits


def inspect_old(plain: BinaryIO) -> Book:
    """What was found, sheet by sheet in the order of the book.

    Raises:
        Unreadable: locked with a password, or too many cells are wrong.
    """
    try:
        stream = _Stream(plain)
        starts = list(_sheets(stream))
        return Book([_sheet(stream, start) for start in starts], texts_like_dates=True)
    except (struct.error, IndexError, ValueError, OverflowError, MemoryError):
        return Book([], texts_like_dates=True)


@dataclass(frozen=True)
class _Record:
    kind: int
    at: int
    size: int


class _Stream:
    """The workbook inside a compound file (MS-CFB): its sectors in order, mapped to their places in the file."""

    def __init__(self, plain: BinaryIO) -> None:
        self._file = plain
        head = self._at(0, _HEAD)
        self._sector: int = 1 << struct.unpack_from("<H", head, 30)[0]
        if self._sector not in {512, 4096}:
            raise ValueError
        self._most = plain.seek(0, 2) // self._sector
        self._table = self._allocation(head)
        self._places, self.size = self._find(struct.unpack_from("<I", head, 48)[0], head)
        self._kept, self._from = b"", 0

    def read(self, at: int, size: int) -> bytes:
        """So many bytes of the workbook."""
        if not self._from <= at or at + size > self._from + len(self._kept):
            self._kept, self._from = self._piece(at, max(size, 1 << 18)), at
        return self._kept[at - self._from : at - self._from + size]

    def _piece(self, at: int, size: int) -> bytes:
        first, last = at // self._sector, min((at + size) // self._sector + 1, len(self._places))
        text = b"".join(self._at(place, self._sector) for place in self._places[first:last])
        return text[at - first * self._sector :]

    def _at(self, place: int, size: int) -> bytes:
        self._file.seek(place)
        return self._file.read(size)

    def _place(self, sector: int) -> int:
        if sector >= self._most:
            raise ValueError
        return int(sector + 1) * self._sector

    def _allocation(self, head: bytes) -> list[int]:
        """Which sector follows which."""
        lists = list(struct.unpack_from("<109I", head, 76))
        more = struct.unpack_from("<I", head, 68)[0]
        per = self._sector // 4
        while more < _FREE and len(lists) <= self._most:
            part = struct.unpack(f"<{per}I", self._at(self._place(more), self._sector))
            lists += part[:-1]
            more = part[-1]
        table: list[int] = []
        for sector in lists:
            if sector < _FREE and len(table) <= self._most + per:
                table += struct.unpack(f"<{per}I", self._at(self._place(sector), self._sector))
        return table

    def _chain(self, sector: int) -> list[int]:
        places: list[int] = []
        while sector < _FREE:
            if len(places) > self._most:
                raise ValueError
            places.append(self._place(sector))
            sector = self._table[sector]
        return places

    def _find(self, directory: int, head: bytes) -> tuple[list[int], int]:
        for place in self._chain(directory):
            entries = self._at(place, self._sector)
            for at in range(0, len(entries), 128):
                length = struct.unpack_from("<H", entries, at + 64)[0]
                if entries[at : at + max(0, length - 2)].decode("utf-16-le", "replace") in _NAMES:
                    start, size = struct.unpack_from("<II", entries, at + 116)
                    if size < struct.unpack_from("<I", head, 56)[0]:
                        raise ValueError  # kept among the small streams: no workbook is that small
                    return self._chain(start), size
        raise ValueError


def _records(stream: _Stream, at: int) -> Iterator[_Record]:
    """The records from here to the end of this part of the workbook; parts inside it (charts) are passed over."""
    depth = 0
    while at + 4 <= stream.size:
        kind, size = struct.unpack("<HH", stream.read(at, 4))
        depth += (kind == _BEGIN) - (kind == _END)
        if depth <= 1 and kind not in {_BEGIN, _END}:
            yield _Record(kind, at + 4, size)
        if depth <= 0:
            return
        at += 4 + size


def _sheets(stream: _Stream) -> Iterator[int]:
    for record in _records(stream, 0):
        if record.kind == _LOCKED:
            raise Unreadable(
                "这是设有密码的 Excel 文件，平台不接收密码；请去掉密码后另存，传输和存放由平台加密",
                "a password-protected Excel file, and we take no passwords; save it without one: the platform encrypts "
                "what it keeps",
            )
        if record.kind == _SHEET:
            yield struct.unpack("<I", stream.read(record.at, 4))[0]


def _sheet(stream: _Stream, start: int) -> Marks:
    marks = Marks()
    for record in _records(stream, start):
        if record.kind == _MERGES:
            _add_merges(stream.read(record.at, record.size), marks)
        elif record.kind in _TEXTS:
            _begin_at(marks, *struct.unpack("<HH", stream.read(record.at, 4)))
        else:
            for row, column, value in _numbers(record.kind, stream, record):
                _begin_at(marks, row, column)
                if abs(value) >= _LOST:
                    marks.add(row + 1, column, cell_name(row + 1, column), LONG_NUMBER)
    return marks


def _begin_at(marks: Marks, row: int, column: int) -> None:
    if marks.first is None or (row + 1, column) < marks.first:
        marks.first = (row + 1, column)


def _numbers(kind: int, stream: _Stream, record: _Record) -> Iterator[tuple[int, int, float]]:
    if kind in {_NUMBER, _FORMULA}:
        row, column, _, value = struct.unpack("<HHHd", stream.read(record.at, 14))
        text_follows = kind == _FORMULA and stream.read(record.at + 12, 2) == b"\xff\xff"
        yield row, column, 0.0 if text_follows else value
    elif kind == _RK:
        row, column, _, packed = struct.unpack("<HHHI", stream.read(record.at, 10))
        yield row, column, _unpacked(packed)
    elif kind == _MANY_RK:
        body = stream.read(record.at, record.size)
        row, first = struct.unpack_from("<HH", body)
        for number in range((len(body) - 6) // 6):
            yield row, first + number, _unpacked(struct.unpack_from("<I", body, 6 + 6 * number)[0])


def _unpacked(packed: int) -> float:
    """An RK: thirty bits of a whole number or of a double, perhaps a hundredfold."""
    if packed & 2:
        value = float(struct.unpack("<i", struct.pack("<I", packed))[0] >> 2)
    else:
        value = struct.unpack("<d", struct.pack("<II", 0, packed & ~3))[0]
    return value / 100 if packed & 1 else value


def _add_merges(body: bytes, marks: Marks) -> None:
    for number in range(struct.unpack_from("<H", body)[0]):
        top, bottom, left, right = struct.unpack_from("<HHHH", body, 2 + 8 * number)
        marks.merge(top + 1, left, bottom + 1, right)
