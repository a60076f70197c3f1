"""What an XLSX says about its cells that its text does not: numbers with lost digits, formulas without a result, merges.

Invariant: every part of the file is unpacked once, checksum and all, piece by piece and counted, before the sheet's
reader sees the file. Formulas are never evaluated: their result as saved is the value. A number of more than 15 digits is
never taken, whatever its check digit says; `old_cells` looks for the same in an XLS.
"""

import html
import re
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import BinaryIO

from exchange.errors import Truncated, Unreadable
from exchange.intake.formats.format import Limits
from exchange.intake.formats.packed import open_zip
from exchange.intake.formats.text import CHUNK

MOST_MARKS = 100_000  # cells told one by one
_LONGEST_PART = 4 << 20  # of the small parts that say which sheet is which
_NEAR, _FAR = 300, 20_000  # bytes before a value in which its cell begins; a formula has at most 8192 characters
_CELL = rb"<(?:\w+:)?c((?:\s[^>]*[^>/])?)>\s*"
_PLACE = re.compile(rb'\sr\s*=\s*["\']([A-Z]{1,3})([0-9]{1,7})["\']')
_NO_NUMBER = re.compile(rb'\st\s*=\s*["\'](?!n["\'])')
_FORMULA = rb"<(?:\w+:)?f(?:[^>]*/>|[^>]*>[^<]*</(?:\w+:)?f>)\s*"
_FIRST = re.compile(_CELL + rb"<(?:\w+:)?(?:f|v|is)\b")
_LONG_VALUE = re.compile(
    rb"v(?:\s[^>]*)?>\s*-?"  # begins with a letter of its own, because the whole sheet is searched for it
    rb"(?:[0-9]{16,}(?:\.[0-9]*)?|[0-9.]+[Ee]\+?0*(?:1[5-9]|[2-9][0-9]|[1-9][0-9]{2}))\s*</"
)
_CELL_OF_VALUE = re.compile(_CELL + rb"(?:" + _FORMULA + rb")?<(?:\w+:)?\Z")
_NO_RESULT = re.compile(_CELL + _FORMULA + rb"(?:<(?:\w+:)?v\s*/>|<(?:\w+:)?v></(?:\w+:)?v>)?\s*</(?:\w+:)?c>")
_MERGE = re.compile(rb'<(?:\w+:)?mergeCell\s[^>]*?ref="([A-Z]{1,3})([0-9]{1,7}):([A-Z]{1,3})([0-9]{1,7})"')
# what a text must hold to look like a date as the reader writes one, or how it can be written so that it is not seen
_LIKE_A_DATE = (b"00:00:00", b"1899-12-3", b"<r>", b":r>", b"<r ", b":r ", b"&#", b"_x00")
_LONGEST_SIGN = 16
_SHEET = re.compile(r'<(?:\w+:)?sheet\b[^>]*?\br:id="([^"]+)"')
_RELATION = re.compile(r"<(?:\w+:)?Relationship\b[^>]*>")
_ATTRIBUTE = re.compile(r'\b(Id|Target)="([^"]+)"')

LONG_NUMBER = "是数字且超过 15 位，末几位已丢失；请把整列设为文本格式后重新填写 / is a number of more than 15 digits and has lost the last ones; make the column text and fill it in again"
NO_RESULT = "是公式但没有保存结果；请用电子表格软件打开、重新计算并保存 / is a formula without a saved result; open the file in a spreadsheet program, recalculate and save it"
MERGED = "是合并单元格，只有第一格有值；请取消合并并逐行填写 / is merged and only its first cell has a value; unmerge it and fill in every row"


@dataclass(frozen=True)
class Mark:
    """Something about the cells of one column in one row. Rows count from 1 as in the sheet, columns from 0."""

    row: int
    column: int
    reason: str


@dataclass
class Marks:
    """What is known of one sheet. `first`: (row, column) of its first cell with content, if the file says."""

    first: tuple[int, int] | None = None
    found: list[Mark] = field(default_factory=list)

    def add(self, row: int, column: int, cell: str, reason: str) -> None:
        """Take one more.

        Raises:
            Unreadable: too many of them for a list.
        """
        if len(self.found) >= MOST_MARKS:
            zh, en = reason.split(" / ")
            first = self.found[0].reason.split(" ")[1]
            raise Unreadable(
                f"超过 {MOST_MARKS} 个单元格有问题（第一个是 {first}），例如 {cell} {zh}",
                f"more than {MOST_MARKS} cells are wrong (the first is {first}): {cell}, say, {en}",
            )
        self.found.append(Mark(row, column, f"单元格 {cell} {reason}"))

    def merge(self, top: int, left: int, bottom: int, right: int) -> None:
        """Take every cell of a merged one but the first.

        Raises:
            Unreadable: too many of them for a list.
        """
        name = f"{cell_name(top, left)}:{cell_name(bottom, right)}"
        for row in range(top, bottom + 1):
            for column in range(left, right + 1):
                if (row, column) != (top, left):
                    self.add(row, column, name, MERGED)


@dataclass(frozen=True)
class Book:
    """What is known of a workbook: its sheets in order, and whether some text may look like a date without being one."""

    sheets: list[Marks]
    texts_like_dates: bool


def inspect(plain: BinaryIO, limits: Limits) -> Book:
    """Unpack every part once and return what was found.

    Raises:
        Truncated, Unreadable: no whole XLSX, or one that unpacks to too much.
    """
    try:
        archive = open_zip(plain)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError):
        raise Truncated(
            "XLSX 文件不完整（找不到末尾目录）：可能被截断，请重新导出并推送",
            "the XLSX file is incomplete (its closing directory is missing): it may be cut off; export and push again",
        ) from None
    with archive:
        _refuse_other(archive.namelist())
        try:
            return _inspect(archive, limits)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError):
            raise Unreadable(
                "XLSX 文件已损坏（校验和不符），请重新导出", "the XLSX file is damaged (checksum); export it again"
            ) from None


def _inspect(archive: zipfile.ZipFile, limits: Limits) -> Book:
    marks: dict[str, Marks] = {}
    left = limits.unpacked
    doubtful = False
    for member in archive.infolist():
        found = marks[member.filename] = Marks()
        wanted = member.filename.startswith("xl/worksheets/")
        carry = end = b""
        with archive.open(member) as stream:
            while piece := stream.read(CHUNK):
                left -= len(piece)
                _refuse_bomb(left, limits)
                doubtful = doubtful or any(sign in end + piece for sign in _LIKE_A_DATE)
                end = piece[-_LONGEST_SIGN:]
                if wanted:
                    carry = _look(carry + piece, found)
        if wanted:
            _look(carry + b"<c ", found)
    return Book([marks.get(part, Marks()) for part in _parts(archive)], doubtful)


def _look(text: bytes, marks: Marks) -> bytes:
    """Look at the whole cells of a piece; returns the rest, which begins with a cell."""
    end = text.rfind(b"<")
    starts = (text.rfind(b"<c ", 0, end), text.rfind(b"<c>", 0, end), text.rfind(b"<mergeCell ", 0, end))
    end = max(*starts, text.rfind(b":c ", 0, end) - 20, 0)
    whole = text if text.endswith(b"<c ") else text[:end]
    if marks.first is None and (cell := _FIRST.search(whole)) and (place := _PLACE.search(cell[1])):
        marks.first = (int(place[2]), column_of(place[1]))
    for value in _LONG_VALUE.finditer(whole):
        of = _CELL_OF_VALUE.search(whole, max(0, value.start() - _NEAR), value.start())
        of = of or _CELL_OF_VALUE.search(whole, max(0, value.start() - _FAR), value.start())
        if of is not None and not _NO_NUMBER.search(of[1]):
            _add_cell(of[1], LONG_NUMBER, marks)
    if b"<f" in whole or b":f" in whole:
        for cell in _NO_RESULT.finditer(whole):
            _add_cell(cell[1], NO_RESULT, marks)
    for merge in _MERGE.finditer(whole):
        _add_merge(merge, marks)
    return b"" if len(text) - len(whole) > CHUNK else text[len(whole) :]  # no cell is that long


def _add_cell(said: bytes, reason: str, marks: Marks) -> None:
    place = _PLACE.search(said)
    if place is None:
        zh, en = reason.split(" / ")
        raise Unreadable(
            f"文件没有写明各单元格的位置，其中有单元格{zh}",
            f"the file does not say where its cells stand, and one of them {en}",
        )
    marks.add(int(place[2]), column_of(place[1]), (place[1] + place[2]).decode(), reason)


def _add_merge(merge: re.Match[bytes], marks: Marks) -> None:
    marks.merge(int(merge[2]), column_of(merge[1]), int(merge[4]), column_of(merge[3]))


def cell_name(row: int, column: int) -> str:
    """As a spreadsheet writes it: row 2, column 0 is A2."""
    letters, left = "", column + 1
    while left:
        left, letter = divmod(left - 1, 26)
        letters = chr(65 + letter) + letters
    return f"{letters}{row}"


def column_of(letters: bytes) -> int:
    """A column's place from its letters: A is 0."""
    place = 0
    for letter in letters:
        place = place * 26 + letter - 64
    return place - 1


def _refuse_other(names: list[str]) -> None:
    if "xl/workbook.xml" in names:
        return
    kinds = {
        "xl/workbook.bin": "XLSB",
        "mimetype": "OpenDocument",
        "word/document.xml": "Word",
        "ppt/presentation.xml": "PPT",
    }
    kind = next((kind for part, kind in kinds.items() if part in names), None)
    if kind is not None:
        raise Unreadable(
            f"这是 {kind} 文件，不是 XLSX；请另存为 XLSX 或 CSV（UTF-8）后重新推送",
            f"this is a file of {kind}, no XLSX; save it as XLSX or CSV (UTF-8) and push again",
        )
    raise Unreadable(
        "这是 ZIP 文件，但不是 XLSX 工作簿；请先解压，推送其中的表格",
        "a ZIP archive but no XLSX workbook; unpack it and push the table inside",
    )


def _refuse_bomb(left: int, limits: Limits) -> None:
    if left < 0:
        raise Unreadable(
            f"XLSX 文件解压后超过 {limits.unpacked} 字节（EXCHANGE_MAX_PARCEL）；请改用 CSV",
            f"the XLSX file unpacks to more than {limits.unpacked} bytes (EXCHANGE_MAX_PARCEL); use CSV instead",
        )


def _parts(archive: zipfile.ZipFile) -> list[str]:
    """The sheets' parts, in the order of the book."""
    targets = {}
    for relation in _RELATION.finditer(_small(archive, "xl/_rels/workbook.xml.rels")):
        said = dict(_ATTRIBUTE.findall(relation[0]))
        targets[said.get("Id")] = html.unescape(said.get("Target", ""))
    parts = [targets.get(reference, "") for reference in _SHEET.findall(_small(archive, "xl/workbook.xml"))]
    return [part.removeprefix("/") if part.startswith("/") else f"xl/{part}" for part in parts]


def _small(archive: zipfile.ZipFile, name: str) -> str:
    if name not in archive.namelist():
        return ""
    with archive.open(name) as stream:
        return stream.read(_LONGEST_PART).decode("utf-8", "replace")
