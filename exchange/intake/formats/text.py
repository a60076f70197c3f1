"""Text encodings: UTF-8 (BOM or not) or GB18030, found out by decoding the whole file, never guessed from a sample.

GB18030 and not GBK: 生僻字 of names lie outside GBK, and a GBK decoder refuses them or puts a question mark.
"""

import codecs
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from exchange.errors import Truncated, Unreadable

CHUNK = 1 << 20
_SURELY_UTF8 = 8  # characters beyond ASCII: GB18030 text is rarely two of them UTF-8 by chance, never this many
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_CONTROLS = [bytes([code]) for code in (*range(0x09), *range(0x0E, 0x20), 0x7F)]  # one by one twenty times as fast
_LINE_END = re.compile(rb"\r\n|\r|\n")
# GB 18030-2022 gives these 18 codes to encoded characters; Python's codec still maps them to the private use area.
_PRIVATE = dict(
    zip(
        [*range(0xE78D, 0xE797), 0xE81E, 0xE826, 0xE82B, 0xE82C, 0xE832, 0xE843, 0xE854, 0xE864],
        [0xFE10, 0xFE12, 0xFE11, *range(0xFE13, 0xFE1A), *range(0x9FB4, 0x9FBC)],
        strict=True,
    )
)
_HAS_PRIVATE = re.compile(f"[{''.join(map(chr, _PRIVATE))}]")


@dataclass(frozen=True)
class Text:
    """A file of UTF-8 (its BOM, if any, still there), and the encoding it came in."""

    file: BinaryIO
    encoding: str  # utf-8 | utf-8-sig | gb18030


@contextmanager
def as_utf8(plain: BinaryIO, scratch: Path) -> Iterator[Text]:
    """The text of a file: the file itself when it is UTF-8, else a nameless transcoded copy in `scratch`.

    Raises:
        Unreadable: control bytes, or neither encoding.
        Truncated: the last character is cut.
    """
    _refuse_binary(plain)
    broken_at = _utf8_breaks_at(plain)
    if broken_at is None:
        plain.seek(0)
        yield Text(plain, "utf-8-sig" if plain.read(3) == codecs.BOM_UTF8 else "utf-8")
        return
    with nameless(scratch) as copy:
        _transcode(plain, copy, broken_at)
        yield Text(copy, "gb18030")


def nameless(scratch: Path) -> BinaryIO:
    """A temporary file without a name: nothing of it survives a kill."""
    return tempfile.TemporaryFile(dir=scratch)


def chunks(file: BinaryIO) -> Iterator[bytes]:
    """The file from its beginning, in pieces."""
    file.seek(0)
    while chunk := file.read(CHUNK):
        yield chunk


def _refuse_binary(plain: BinaryIO) -> None:
    at = 0
    for chunk in chunks(plain):
        if any(control in chunk for control in _CONTROLS) and (found := _CONTROL.search(chunk)):
            raise _binary(plain, at + found.start(), found[0][0])
        at += len(chunk)


def _line_of(plain: BinaryIO, place: int) -> int:
    """On which line of the file the byte at an offset lies, from 1."""
    line, at, carry = 1, 0, b""
    for chunk in chunks(plain):
        piece = carry + chunk[: max(0, place - at)]
        carry = b"\r" if piece.endswith(b"\r") and at + len(chunk) < place else b""  # its \n may come with the next piece
        line += sum(1 for _ in _LINE_END.finditer(piece[: len(piece) - len(carry)]))
        at += len(chunk)
        if at >= place:
            break
    return line


def _binary(plain: BinaryIO, place: int, code: int) -> Unreadable:
    line = _line_of(plain, place)
    return Unreadable(
        f"文件第 {line} 行（第 {place + 1} 个字节）有控制字符 0x{code:02X}：这不是文本表格，或导出时混入了二进制内容；"
        "请去掉后重新导出，推送 CSV（UTF-8 或 GB18030）或 XLSX",
        f"line {line} of the file (byte {place + 1}) holds the control character 0x{code:02X}: this is no table of text, or "
        "bytes got into it on export; export it again without them and push CSV (UTF-8 or GB18030) or XLSX",
        line=line,
        byte=place + 1,
    )


def _utf8_breaks_at(plain: BinaryIO) -> int | None:
    """None when the whole file is UTF-8, else the offset of the first byte that is not.

    Raises:
        Truncated: all of it is UTF-8 but for a last character that is cut.
        Unreadable: too much of it is UTF-8 to be anything else.
    """
    decoder = codecs.getincrementaldecoder("utf-8")()
    at = 0
    for chunk in chunks(plain):
        held = len(decoder.getstate()[0])
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError as error:
            broken_at = at - held + error.start
            if _wide_before(plain, broken_at) >= _SURELY_UTF8:
                line = _line_of(plain, broken_at)
                raise Unreadable(
                    f"是 UTF-8 文本，但第 {line} 行（第 {broken_at + 1} 个字节）损坏；请重新导出为 UTF-8（CSV UTF-8）",
                    f"UTF-8 text, but line {line} (byte {broken_at + 1}) is damaged; export it again as UTF-8 (CSV UTF-8)",
                    byte=broken_at + 1,
                    line=line,
                ) from None
            return broken_at
        at += len(chunk)
    left = len(decoder.getstate()[0])
    if not left:
        return None
    if _wide_before(plain, at - left):
        raise _cut("UTF-8")
    return at - left  # nothing but ASCII before: the stray bytes say nothing for UTF-8


def _wide_before(plain: BinaryIO, end: int) -> int:
    """How many characters beyond ASCII stand before an offset, up to a piece's worth."""
    for chunk in chunks(plain):
        if wide := sum(character > "\x7f" for character in chunk[:end].decode("utf-8", "ignore")):
            return wide
        end -= len(chunk)
        if end <= 0:
            break
    return 0


def _transcode(plain: BinaryIO, copy: BinaryIO, broken_at: int) -> None:
    decoder = codecs.getincrementaldecoder("gb18030")()
    at = 0
    try:
        for chunk in chunks(plain):
            held = len(decoder.getstate()[0])
            text = decoder.decode(chunk)
            if _HAS_PRIVATE.search(text):
                text = text.translate(_PRIVATE)
            copy.write(text.encode())
            at += len(chunk)
    except UnicodeDecodeError as error:
        other = at - held + error.start
        lines = _line_of(plain, broken_at), _line_of(plain, other)
        raise Unreadable(
            f"既不是 UTF-8（第 {lines[0]} 行、第 {broken_at + 1} 个字节处不符），"
            f"也不是 GB18030（第 {lines[1]} 行、第 {other + 1} 个字节处不符）；请另存为 UTF-8（CSV UTF-8）",
            f"neither UTF-8 (wrong on line {lines[0]}, byte {broken_at + 1}) nor GB18030 (wrong on line {lines[1]}, "
            f"byte {other + 1}); save it as UTF-8 (CSV UTF-8)",
            utf8=broken_at + 1,
            gb18030=other + 1,
        ) from None
    if decoder.getstate()[0]:
        raise _cut("GB18030")
    copy.flush()


def _cut(encoding: str) -> Truncated:
    return Truncated(
        f"文件在一个 {encoding} 字符中间中断：可能被截断，请重新导出并推送",
        f"the file ends in the middle of a {encoding} character: it may be cut off; export and push again",
    )
