"""Uploads: a parcel that comes in parts, over hours and restarts, until it is whole and can be landed.

Invariant: `offset` counts only bytes that are sealed and on disk; nothing of an upload is a push before `landing` made
its receipt, and the same upload landed twice, or killed while it landed, has one receipt. An upload belongs to the
department that began it, and goes when it expires.

An upload is a folder: `info` (sealed) and pieces named by the offset at which they begin, each sealed and bound to its
place. The last piece is replaced by a longer one until it is full, so files are few and memory is one piece.
"""

import errno
import fcntl
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO

from exchange.callers import Caller
from exchange.errors import (
    AccessRefused,
    Busy,
    ExchangeError,
    NoRoom,
    NotFound,
    ParcelRefused,
    ParcelTooLarge,
    RequestInvalid,
    WrongState,
)
from exchange.house import House
from exchange.intake import landing, pushes
from exchange.intake.parcel import Declaration
from exchange.intake.places import UPLOAD, upload_folder, uploads_folder
from exchange.intake.pushes import CHINA, Receipt

PIECE = 4 << 20  # bytes of a full piece, and what an open upload needs of memory
_SEALED = 28  # bytes a sealed piece is longer than what is in it
_HALF_MADE = timedelta(days=1)  # after which a folder that never got its name belongs to nobody
_ID = re.compile(r"U\d{6}-[0-9a-f]{20}")
_LOCK, _INFO = "lock", "info"


@dataclass(frozen=True)
class Upload:
    """What is known of an upload.

    Args:
        length: bytes in all; None while nobody knows.
        declaration: None until somebody has said it.
        note: words of the door that began it, given back as they came.
        receipt: of the push it became. refused: why it became none. At most one of them.
    """

    id: str
    department: str
    resource_id: str
    length: int | None
    expires: datetime
    declaration: Declaration | None = None
    note: str = ""
    receipt: str | None = None
    refused: dict[str, Any] | None = None

    @property
    def over(self) -> bool:
        """Has it come to its end, well or not?"""
        return self.receipt is not None or self.refused is not None


def create(
    house: House,
    caller: Caller,
    declaration: Declaration,
    *,
    length: int | None,
    door: str,
    declared: bool = True,
    note: str = "",
    now: datetime | None = None,
) -> Upload:
    """Begin an upload, after everything that landing would refuse before the body.

    Args:
        length: bytes in all; about as many, when nothing is declared yet.
        declared: False when the declaration is only good for asking what can be refused now; `declare` gives the real one.

    Raises:
        as `landing.begin`.
    """
    now = now or datetime.now(UTC)
    sweep(house, now)
    with landing.begin(house, caller, declaration, length=length, door=door):
        pass  # left without finishing: it was only asked
    upload = Upload(
        id=f"U{now.astimezone(CHINA):%y%m%d}-{secrets.token_hex(10)}",
        department=caller.department,
        resource_id=declaration.resource_id,
        length=length if declared else None,
        expires=now + timedelta(hours=house.settings.upload_hours),
        declaration=declaration if declared else None,
        note=note,
    )
    draft = uploads_folder(house.settings) / f".{upload.id}"
    draft.mkdir(mode=0o700)
    (draft / _LOCK).touch()
    _write(draft / _INFO, _sealed_info(house, upload))
    draft.rename(upload_folder(house.settings, upload.id))
    _sync(uploads_folder(house.settings))
    return upload


def get(house: House, caller: Caller, upload_id: str, *, now: datetime | None = None) -> Upload:
    """An upload of the caller's department.

    Raises:
        NotFound: no such upload, or it has expired. AccessRefused: another department's.
    """
    upload = _read(house, upload_id) if _ID.fullmatch(upload_id) else None
    if upload is None or upload.expires <= (now or datetime.now(UTC)):
        raise NotFound(
            "没有这个上传，或已过期清除；请重新开始上传", "no such upload, or it has expired and was removed; begin again"
        )
    if upload.department != caller.department:
        raise AccessRefused(
            "上传只属于开始它的部门", "an upload belongs to the department that began it", reason="other-department"
        )
    return upload


def offset(house: House, upload: Upload) -> int:
    """How many bytes are safely here."""
    if upload.over and upload.length is not None:
        return upload.length
    return _end(upload_folder(house.settings, upload.id))


def outcome(house: House, upload: Upload) -> Receipt | None:
    """The receipt of an upload that was landed, None while it is open.

    Raises:
        ParcelRefused: one of its kinds: what landing said when it was whole.
    """
    if upload.refused is not None:
        raise _refusal(upload.refused)
    return pushes.get(house, upload.receipt) if upload.receipt else None


@contextmanager
def held(house: House, caller: Caller, upload_id: str, *, now: datetime | None = None) -> Iterator["Held"]:
    """An upload for this caller alone: to write to, to land, to remove. What was written is kept, however the block ends.

    Raises:
        Busy: somebody else holds it. NotFound, AccessRefused: as `get`.
    """
    get(house, caller, upload_id, now=now)
    with _locked(upload_folder(house.settings, upload_id)) as mine:
        if not mine:
            raise Busy("这个上传正由另一个请求写入，请稍后再试", "another request is writing to this upload; try again")
        one = Held(house, caller, get(house, caller, upload_id, now=now))  # again: it may have ended meanwhile
        try:
            yield one
        finally:
            one.keep()


class Held:
    """An upload while its lock is held."""

    def __init__(self, house: House, caller: Caller, upload: Upload) -> None:
        self.upload = upload
        self._house = house
        self._caller = caller
        self._folder = upload_folder(house.settings, upload.id)
        self._at = offset(house, upload)  # where the next piece begins
        self._buffer = bytearray()
        self._kept = 0  # bytes of the buffer that are on disk
        if not upload.over:
            self._take_up_the_tail()

    @property
    def offset(self) -> int:
        """Where the next byte goes."""
        return self._at + len(self._buffer)

    def must_be_at(self, begin: int) -> None:
        """Refuse to go on anywhere but at the end.

        Raises:
            WrongState: the caller and we do not agree.
        """
        if begin != self.offset:
            raise WrongState(
                f"应从第 {self.offset} 字节继续，请求从 {begin} 开始；请先查询 Upload-Offset",
                f"go on at byte {self.offset}, not {begin}; ask for the offset first",
                offset=self.offset,
            )

    def must_hold(self, size: int) -> None:
        """Refuse more than was announced.

        Raises:
            RequestInvalid: `size` bytes in all are too many.
        """
        length = self.upload.length
        if length is not None and size > length:
            raise RequestInvalid(
                f"超出声明的长度 {length} 字节", f"more than the {length} bytes announced", reason="too-long", length=length
            )

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            RequestInvalid: more than announced. ParcelTooLarge: more than allowed. NoRoom: the disk is full.
        """
        if self.upload.over:
            raise WrongState("这个上传已经结束", "this upload is over")
        self._refuse_too_much(self.offset + len(data))
        self._buffer += data
        while len(self._buffer) >= PIECE:
            self._put(bytes(self._buffer[:PIECE]))
            del self._buffer[:PIECE]
            self._at, self._kept = self._at + PIECE, 0

    def keep(self) -> None:
        """Bring to disk whatever was written."""
        if len(self._buffer) > self._kept:
            self._put(bytes(self._buffer))
            self._kept = len(self._buffer)

    def complete(self) -> None:
        """No more bytes will come; now the length is known."""
        self.keep()
        self._become(replace(self.upload, length=self.offset))

    def read(self) -> Iterator[bytes]:
        """The bytes that are here, piece by piece."""
        self.keep()
        for begin, path in _pieces(self._folder):
            yield _unsealed(self._house, self.upload.id, begin, path)

    def declare(self, declaration: Declaration) -> None:
        """Say what this parcel is, when it was not said before."""
        self._become(replace(self.upload, declaration=declaration))

    def land(self, door: str) -> Receipt | None:
        """Land it when it is whole; None while bytes or a declaration are missing.

        Raises:
            ParcelRefused: as `landing` says; the upload is over then, unless there was only no room.
        """
        self.keep()
        known = outcome(self._house, self.upload)
        if known is not None:
            return known
        if self.upload.declaration is None or self.offset != self.upload.length:
            return None
        try:
            receipt = self._land(self.upload.declaration, door)
        except NoRoom:
            raise
        except ParcelRefused as error:
            facts = json.loads(json.dumps(error.facts, default=str))
            self._end_as(replace(self.upload, refused={"code": error.code, "zh": error.zh, "en": error.en, "facts": facts}))
            raise
        self._end_as(replace(self.upload, receipt=receipt.id))
        return receipt

    def remove(self) -> None:
        """Forget it. What was landed stays landed."""
        self._buffer.clear()
        self._kept = 0
        _remove(self._folder)

    def _land(self, declaration: Declaration, door: str) -> Receipt:
        with landing.begin(self._house, self._caller, declaration, length=self.upload.length, door=door) as one:
            if one.existing is None:
                for piece in self.read():
                    one.write(piece)
            return one.finish()

    def _end_as(self, upload: Upload) -> None:
        self._become(upload)
        self._buffer.clear()
        self._kept, self._at = 0, upload.length or 0
        for _, path in _pieces(self._folder):
            path.unlink()

    def _become(self, upload: Upload) -> None:
        _write(self._folder / _INFO, _sealed_info(self._house, upload))
        self.upload = upload

    def _take_up_the_tail(self) -> None:
        pieces = _pieces(self._folder)
        if pieces and self._at - pieces[-1][0] < PIECE:
            self._at = pieces[-1][0]
            self._buffer += _unsealed(self._house, self.upload.id, *pieces[-1])
            self._kept = len(self._buffer)

    def _put(self, plain: bytes) -> None:
        sealed = self._house.seal.encrypt(UPLOAD, plain, _context(self.upload.id, self._at))
        try:
            _write(self._folder / f"{self._at:020}", sealed)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            raise NoRoom("平台磁盘空间不足，请稍后继续上传", "the disk is full; go on with the upload later") from None

    def _refuse_too_much(self, size: int) -> None:
        self.must_hold(size)
        limit = int(self._house.settings.max_parcel)
        if size > limit:
            raise ParcelTooLarge(
                f"文件超过上限 {limit} 字节（EXCHANGE_MAX_PARCEL）",
                f"more than {limit} bytes (EXCHANGE_MAX_PARCEL)",
                limit=limit,
            )


def sweep(house: House, now: datetime) -> int:
    """Remove what has expired, and what a kill left half made or half removed; how many folders went."""
    gone = 0
    for folder in uploads_folder(house.settings).iterdir():
        if folder.name.startswith("."):
            with suppress(FileNotFoundError):
                if now.timestamp() - folder.stat().st_mtime > _HALF_MADE.total_seconds():
                    _remove(folder)
                    gone += 1
            continue
        with _locked(folder) as mine:
            upload = _read(house, folder.name) if mine else None
            if mine and (upload is None or upload.expires <= now):
                _remove(folder)
                gone += 1
    return gone


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """The lock of an upload for the length of the block; False when another has it. It dies with its process."""
    try:
        file: BinaryIO = (folder / _LOCK).open("ab")
    except FileNotFoundError:  # just being removed
        yield True
        return
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def _read(house: House, upload_id: str) -> Upload | None:
    try:
        sealed = (upload_folder(house.settings, upload_id) / _INFO).read_bytes()
    except FileNotFoundError:
        return None
    known = json.loads(house.seal.decrypt(UPLOAD, sealed, upload_id.encode()))
    said = known["declaration"]
    parsed = {
        "expires": datetime.fromisoformat(known["expires"]),
        "declaration": Declaration(**said) if said is not None else None,
    }
    return Upload(**(known | parsed))


def _sealed_info(house: House, upload: Upload) -> bytes:
    known = asdict(upload) | {"expires": upload.expires.isoformat()}
    return house.seal.encrypt(UPLOAD, json.dumps(known).encode(), upload.id.encode())


def _context(upload_id: str, begin: int) -> bytes:
    return f"{upload_id}:{begin}".encode()


def _unsealed(house: House, upload_id: str, begin: int, path: Path) -> bytes:
    return house.seal.decrypt(UPLOAD, path.read_bytes(), _context(upload_id, begin))


def _pieces(folder: Path) -> list[tuple[int, Path]]:
    """Offset and file of each piece, in order."""
    return sorted((int(path.name), path) for path in folder.iterdir() if path.name.isdigit())


def _end(folder: Path) -> int:
    try:
        pieces = _pieces(folder)
        return pieces[-1][0] + pieces[-1][1].stat().st_size - _SEALED if pieces else 0
    except FileNotFoundError:
        return 0


def _write(path: Path, data: bytes) -> None:
    """The whole file or the one before, on disk when this returns."""
    draft = path.with_name(f".{path.name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    _sync(path.parent)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(folder: Path) -> None:
    (folder / _INFO).unlink(missing_ok=True)  # first: without it the rest is nobody's, whenever we are killed
    shutil.rmtree(folder, ignore_errors=True)


def _refusal(known: dict[str, Any]) -> ExchangeError:
    """An error as it was when it was kept."""
    kinds: list[type[ParcelRefused]] = [ParcelRefused, *ParcelRefused.__subclasses__()]
    kind = next(kind for kind in kinds if kind.code == known["code"])
    return kind(known["zh"], known["en"], **known["facts"])
