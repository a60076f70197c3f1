"""The watched folder: a file and its manifest laid into a department's folder become a push.

Invariant: nothing is moved or removed before `landing` has committed its receipt; a kill at any step, and the next look
ends with the same receipt. Names and links lead nowhere out of the department's folder: whatever is opened is opened
inside it, never through a symbolic link. Who may write into a department's folder speaks for that department.

`FILE` and `FILE.manifest.json` (written last: resource, batch, mode, rows, digest) become `FILE.receipt.json`; or, refused,
`FILE.refused.json` in place of the manifest, and the file stays to be mended.
"""

import errno
import fcntl
import json
import logging
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from exchange import catalogue, faults
from exchange.callers import Caller
from exchange.errors import AccessRefused, DigestMismatch, ExchangeError, NotAFile, NotFound, ParcelRefused, WrongState
from exchange.house import House
from exchange.intake import landing, said
from exchange.intake.parcel import Declaration
from exchange.intake.pushes import CHINA, Receipt

DOOR = "folder"
MANIFEST, RECEIPT, REFUSED = ".manifest.json", ".receipt.json", ".refused.json"
_LOCK, _DRAFT = ".taking", ".draft"
_LARGEST = 64 << 10  # bytes of a manifest
_SETTLES = 5.0  # seconds in which a manifest that is no JSON may still be on its way
_PIECE = 1 << 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """What became of one pair: a receipt, or the code of a refusal (without a file: of the whole folder)."""

    department: str
    file: str
    receipt: str | None = None
    refused: str | None = None


def take(house: House) -> list[Taken]:
    """One look into every department's folder. Any number of processes may look at once.

    What nobody foresaw (the database going away, too) leaves its pair where it lies, and the others go on.
    """
    inbox = house.settings.inbox_folder
    if not inbox.is_dir():
        return []
    departments = {department.code for department in catalogue.current(house).departments}
    taken: list[Taken] = []
    for path in sorted(inbox.iterdir()):
        try:
            with _entered(path) as folder:
                pairs = [_Pair(house, folder, path.name, name, path.name in departments) for name in _complete(folder)]
                taken += [one for one in map(_taken, pairs) if one is not None]
        except NotADirectoryError:
            continue  # a file laid beside the folders, or a link: nobody's
        except OSError as error:
            taken.append(Taken(path.name, "", refused=f"folder: {_name_of(error)}"))
    return taken


def _taken(pair: "_Pair") -> Taken | None:
    try:
        return pair.take()
    except OSError as error:  # it cannot be read, or its folder not written to
        return pair.told(refused=f"folder: {_name_of(error)}")
    except Exception as error:  # noqa: BLE001 one pair must not keep the others from landing; its text may quote data
        log.error("a pair of the inbox was not taken: %s", faults.places(error))
        return None


def _name_of(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, "?")


class _Pair:
    """A file and its manifest."""

    def __init__(self, house: House, folder: int, department: str, name: str, known: bool) -> None:
        self._house = house
        self._folder = folder
        self._caller = Caller(None, department)
        self._name = name
        self._known = known

    def take(self) -> Taken | None:
        """Land it and leave the receipt, or leave the refusal; None when it is not complete yet."""
        try:
            manifest = os.lstat(self._name + MANIFEST, dir_fd=self._folder)
            words = self._words()
            if words is None and 0 <= time.time() - manifest.st_mtime < _SETTLES:
                return None
        except FileNotFoundError:  # taken back meanwhile
            return None
        except NotAFile as error:
            return self._leave_refusal(error, manifest)
        try:
            receipt, landed = self._land(words)
        except (ParcelRefused, AccessRefused, NotFound, WrongState) as error:
            return self._leave_refusal(error, manifest)
        return self._leave_receipt(receipt, landed, manifest)

    def told(self, *, receipt: str | None = None, refused: str | None = None) -> Taken:
        """What became of it."""
        return Taken(self._caller.department, self._name.encode("utf-8", "replace").decode(), receipt, refused)

    def _words(self) -> dict[str, Any] | None:
        """What the manifest says; None when it is no JSON object."""
        with self._recorded(""), _open(self._folder, self._name + MANIFEST) as file:
            data = file.read(_LARGEST + 1)
        try:
            words = json.loads(data) if len(data) <= _LARGEST else None
        except (ValueError, RecursionError):
            return None
        return words if isinstance(words, dict) else None

    def _land(self, words: dict[str, Any] | None) -> tuple[Receipt, os.stat_result | None]:
        """The receipt, and the file it was made from."""
        declaration = self._declared(words)
        try:
            with self._recorded(declaration.resource_id):
                file = _open(self._folder, self._name)
        except FileNotFoundError:
            return self._landed_before(declaration), None
        with file:
            before = os.fstat(file.fileno())
            return self._land_open(declaration, file, before), before

    def _land_open(self, declaration: Declaration, file: BinaryIO, before: os.stat_result) -> Receipt:
        try:
            with landing.begin(self._house, self._caller, declaration, length=before.st_size, door=DOOR) as one:
                while one.existing is None and (piece := file.read(_PIECE)):
                    one.write(piece)
                return one.finish()
        except DigestMismatch as error:
            if _same(before, os.fstat(file.fileno())):
                raise
            raise DigestMismatch(
                f"{error.zh}。文件在读取时仍在变化：请写完文件再放清单",
                f"{error.en}. The file changed while it was read: finish it before you lay down the manifest",
                **error.facts,
            ) from None

    def _landed_before(self, declaration: Declaration) -> Receipt:
        """The receipt of a pair whose file is gone because a look was killed after removing it."""
        with landing.begin(self._house, self._caller, declaration, length=0, door=DOOR) as one:
            if one.existing is not None:
                return one.finish()
        error = NotFound(
            "清单旁没有同名的数据文件，请先放数据文件再放清单",
            "there is no file of that name beside the manifest; lay down the file first, then the manifest",
        )
        self._record(declaration.resource_id, error)
        raise error

    def _declared(self, words: dict[str, Any] | None) -> Declaration:
        if not self._known:
            raise NotFound(
                "收件目录下的文件夹应以目录中的部门代码命名",
                "a folder of the inbox bears the code of a department of the catalogue",
            )
        try:
            if words is None:
                raise ParcelRefused(
                    f"清单不是 JSON 对象，或超过 {_LARGEST} 字节",
                    f"the manifest is no JSON object, or larger than {_LARGEST} bytes",
                )
            return said.declaration({**words, "filename": self._name})
        except ParcelRefused as error:
            self._record(said.resource_of(words or {}), error)
            raise

    @contextmanager
    def _recorded(self, resource_id: str) -> Iterator[None]:
        """A file that cannot be opened is a refusal on the record."""
        try:
            yield
        except NotAFile as error:
            self._record(resource_id, error)
            raise

    def _record(self, resource_id: str, error: ExchangeError) -> None:
        if not self._known:  # the folder's name may be anything
            return
        landing.record_refusal(self._house, self._caller, resource_id, error, door=DOOR)

    def _leave_receipt(self, receipt: Receipt, landed: os.stat_result | None, manifest: os.stat_result) -> Taken:
        _write(self._folder, self._name + RECEIPT, receipt.as_dict())
        with suppress(FileNotFoundError):
            os.unlink(self._name + REFUSED, dir_fd=self._folder)
        if landed is not None:
            _remove(self._folder, self._name, landed)
        _remove(self._folder, self._name + MANIFEST, manifest)  # last: while it is there, the next look ends this one
        return self.told(receipt=receipt.id)

    def _leave_refusal(self, error: ExchangeError, manifest: os.stat_result) -> Taken:
        at = datetime.now(UTC).astimezone(CHINA).isoformat(timespec="seconds")
        problem = {"code": error.code, "detail": error.zh, "detail_en": error.en, "facts": error.facts, "at": at}
        _write(self._folder, self._name + REFUSED, problem)
        _remove(self._folder, self._name + MANIFEST, manifest)
        return self.told(refused=error.code)


@contextmanager
def _entered(path: Path) -> Iterator[int]:
    """A department's folder, by descriptor, for one look at a time."""
    folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        # written to before anything is taken: a folder that takes no receipt must not be looked at again and again
        lock = os.open(_LOCK, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600, dir_fd=folder)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            for name in _names(folder):
                if name.startswith(".") and name.endswith(_DRAFT):  # of a killed look
                    os.unlink(name, dir_fd=folder)
            yield folder
        finally:
            os.close(lock)
    finally:
        os.close(folder)


def _complete(folder: int) -> list[str]:
    """Files whose manifest is here, the oldest manifest first: a later batch must not overtake an earlier one."""
    found = []
    for name in _names(folder):
        if name.endswith(MANIFEST) and not name.startswith("."):
            with suppress(FileNotFoundError):
                found.append((os.lstat(name, dir_fd=folder).st_mtime_ns, name.removesuffix(MANIFEST)))
    return [name for _, name in sorted(found)]


def _open(folder: int, name: str) -> BinaryIO:
    """A plain file of the folder.

    Raises:
        FileNotFoundError: there is none. NotAFile: something else bears the name, or we may not read it.
    """
    try:
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)  # a pipe would wait for ever
    except FileNotFoundError:
        raise
    except PermissionError:
        raise NotAFile("没有读取文件的权限，请修改文件权限", "no permission to read the file; change its mode") from None
    except OSError:
        raise _not_plain() from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_plain()
    return os.fdopen(descriptor, "rb")


def _not_plain() -> NotAFile:
    return NotAFile("不是普通文件（不接受链接、文件夹、管道）", "not a plain file (no links, folders or pipes)")


def _same(one: os.stat_result, other: os.stat_result) -> bool:
    names = ("st_dev", "st_ino", "st_size", "st_mtime_ns")
    return all(getattr(one, name) == getattr(other, name) for name in names)


def _remove(folder: int, name: str, read: os.stat_result) -> None:
    """Remove a file that is still the one that was read; a newer one of that name is somebody's next delivery."""
    with suppress(FileNotFoundError):
        if _same(read, os.lstat(name, dir_fd=folder)):
            os.unlink(name, dir_fd=folder)
            os.fsync(folder)


def _names(folder: int) -> list[str]:
    return os.listdir(folder)


def _write(folder: int, name: str, document: dict[str, Any]) -> None:
    """The whole document or none."""
    draft = f".{secrets.token_hex(8)}{_DRAFT}"
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=folder)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=False, default=str, indent=2)
        file.flush()
        os.fsync(descriptor)
    os.rename(draft, name, src_dir_fd=folder, dst_dir_fd=folder)
    os.fsync(folder)
