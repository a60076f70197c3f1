"""What a table may be packed in: gzip, or a ZIP that holds exactly one file.

Invariant: whatever its headers claim, at most as many bytes are unpacked as a parcel may have (EXCHANGE_MAX_PARCEL),
piece by piece, into a file without a name; nothing is ever written under a name from an archive.
"""

import gzip
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from exchange.errors import EmptyParcel, NoRoom, ParcelTooLarge, Truncated, Unreadable, UnsafeName
from exchange.intake.formats.format import Limits
from exchange.intake.formats.text import CHUNK, nameless

ZIP = b"PK\x03\x04"
_EMPTY_ZIP = b"PK\x05\x06"
_GZIP = b"\x1f\x8b"
_LOOK_EVERY = 64 << 20  # bytes between two looks at the free disk
_LONGEST_DIRECTORY = 4 << 20  # bytes of a ZIP's list of files: some 50,000 names
_BOOK = "[Content_Types].xml"  # every Office file has it
_ENCRYPTED = 0x1
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


class Sparing:
    """A file that refuses to be read in one large piece: a ZIP's list of files is read at once, as long as it says."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek = file.seek
        self.tell = file.tell
        self.seekable = file.seekable

    def read(self, size: int = -1) -> bytes:
        """As a file does it."""
        if size > _LONGEST_DIRECTORY:
            raise zipfile.BadZipFile
        return self._file.read(_LONGEST_DIRECTORY if size < 0 else size)


def open_zip(plain: BinaryIO) -> zipfile.ZipFile:
    """The ZIP, once its list of files was read.

    Raises:
        zipfile.BadZipFile and its like: no list, or an absurd one.
    """
    plain.seek(0)
    return zipfile.ZipFile(cast(BinaryIO, Sparing(plain)))


@contextmanager
def unpacked(plain: BinaryIO, scratch: Path, limits: Limits) -> Iterator[tuple[BinaryIO, str | None]]:
    """The table inside and what it was packed in: the file itself and None when it is not packed.

    Raises:
        Unreadable: several files, encrypted, packed twice, damaged. Truncated: cut off. EmptyParcel: nothing in it.
        UnsafeName: a file in it is called like a path. ParcelTooLarge, NoRoom: it unpacks to too much.
    """
    kind = _kind(plain)
    if kind is None:
        yield plain, None
        return
    with nameless(scratch) as copy:
        (_gunzip if kind == "gzip" else _unzip)(plain, copy, scratch, limits)
        copy.flush()
        if _kind(copy) is not None:
            raise Unreadable(
                "压缩包里又是压缩包：请只压缩一层，里面直接放一个表格文件",
                "an archive inside an archive: pack once, with one table directly inside",
            )
        yield copy, kind


def _kind(plain: BinaryIO) -> str | None:
    plain.seek(0)
    head = plain.read(64)
    if head.startswith(_GZIP):
        return "gzip"
    if not head.startswith((ZIP, _EMPTY_ZIP)):
        return None
    try:
        with open_zip(plain) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError):
        if _BOOK.encode() in head or b"xl/" in head or b"_rels/" in head:
            return None  # an XLSX, whose own reader has the words for what is wrong with it
        raise Truncated(
            "ZIP 压缩文件不完整（找不到末尾目录）：可能被截断，请重新压缩并推送",
            "the ZIP archive is incomplete (its closing directory is missing): it may be cut off; pack and push again",
        ) from None
    return None if _BOOK in names or "xl/workbook.xml" in names or "mimetype" in names else "zip"


def _gunzip(plain: BinaryIO, copy: BinaryIO, scratch: Path, limits: Limits) -> None:
    plain.seek(0)
    try:
        with gzip.GzipFile(fileobj=plain) as stream:
            _pour(cast(BinaryIO, stream), copy, scratch, limits)
    except EOFError:
        raise Truncated(
            "gzip 压缩文件不完整：可能被截断，请重新压缩并推送",
            "the gzip archive is incomplete: it may be cut off; pack and push again",
        ) from None
    except (gzip.BadGzipFile, zlib.error):
        raise _damaged("gzip") from None


def _unzip(plain: BinaryIO, copy: BinaryIO, scratch: Path, limits: Limits) -> None:
    with open_zip(plain) as archive:
        member = _only(archive)
        try:
            with archive.open(member) as stream:
                _pour(cast(BinaryIO, stream), copy, scratch, limits)
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError):
            raise _damaged("ZIP") from None


def _only(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one file of an archive. A name in it is never repeated: it may be anything, also a person's."""
    listed = archive.infolist()
    if any(_is_path(member) for member in listed):
        raise UnsafeName(
            "ZIP 里有文件名是绝对路径、含 ..、反斜杠或控制字符，或者是链接；请把表格文件直接压缩",
            "a name in the ZIP is an absolute path, holds .., a backslash or control characters, or is a link; "
            "pack the bare file",
        )
    files = [member for member in listed if not member.is_dir() and not member.filename.startswith("__MACOSX/")]
    if not files:
        raise EmptyParcel("ZIP 压缩文件里没有文件", "the ZIP archive holds no file")
    if len(files) > 1:
        raise Unreadable(
            f"ZIP 里有 {len(files)} 个文件，无法判断以哪个为准；请只放一个表格文件，其余的分别推送",
            f"the ZIP holds {len(files)} files and nobody can say which one counts; put one table in it, push the others apart",
            files=len(files),
        )
    if files[0].flag_bits & _ENCRYPTED:
        raise Unreadable(
            "ZIP 设有密码，平台不接收密码；请去掉密码后重新压缩，传输和存放由平台加密",
            "the ZIP is locked with a password, and we take none; pack it without one: the platform encrypts what it keeps",
        )
    if files[0].compress_type not in _METHODS:
        raise Unreadable(
            "ZIP 用了少见的压缩方法；请用系统自带的压缩（Deflate）重新压缩",
            "the ZIP uses a rare method of compression; pack it with the system's own (Deflate)",
        )
    return files[0]


def _is_path(member: zipfile.ZipInfo) -> bool:
    name = member.orig_filename
    parts = PurePosixPath(name).parts
    strange = any(character in name for character in "\\:") or any(ord(character) < 32 for character in name)
    return strange or name.startswith("/") or ".." in parts or stat.S_ISLNK(member.external_attr >> 16)


def _pour(stream: BinaryIO, copy: BinaryIO, scratch: Path, limits: Limits) -> None:
    done = looked_at = 0
    while piece := stream.read(CHUNK):
        done += len(piece)
        if done > limits.unpacked:
            raise ParcelTooLarge(
                f"压缩包解压后超过上限 {limits.unpacked} 字节（EXCHANGE_MAX_PARCEL）；请分批或联系平台运维",
                f"the archive unpacks to more than the limit of {limits.unpacked} bytes (EXCHANGE_MAX_PARCEL); "
                "split it or ask the operator",
                limit=limits.unpacked,
            )
        if done - looked_at >= _LOOK_EVERY:
            looked_at = done
            _refuse_full_disk(scratch, limits)
        copy.write(piece)


def _refuse_full_disk(scratch: Path, limits: Limits) -> None:
    free = shutil.disk_usage(scratch).free
    if free < limits.spare_disk:
        raise NoRoom(
            f"磁盘空间不足，无法继续解压：剩余 {free} 字节，须留 {limits.spare_disk} 字节；请联系平台运维",
            f"not enough disk to go on unpacking: {free} bytes are free and {limits.spare_disk} must stay so; "
            "ask the operator",
        )


def _damaged(kind: str) -> Unreadable:
    return Unreadable(
        f"{kind} 压缩文件已损坏（校验和不符），请重新压缩并推送",
        f"the {kind} archive is damaged (checksum); pack it again and push",
    )
