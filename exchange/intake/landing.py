"""Landing: a parcel is written once, encrypted, and never changed; the receipt is the answer.

Invariant: a parcel is landed when, and only when, its row in `push` is committed; its sealed file is in place before.
Whatever was refused, or killed at any step, leaves no row, and no file that the next landing of that resource does
not remove (`leftovers`). The same batch with the same bytes always gives the same receipt. A batch that could never count
any more does not land (`order`).

The order is: checks before the body -> bytes in (digested, sealed, and in plain into a nameless file that dies with
the process) -> digest, header, rows -> sealed file in place -> one transaction: push row and event.
"""

import errno
import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from sqlalchemy import func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.callers import Caller
from exchange.catalogue.model import Resource
from exchange.errors import (
    AccessRefused,
    BatchReused,
    CountMismatch,
    DigestMismatch,
    EmptyParcel,
    ExchangeError,
    NoRoom,
    NotFound,
    ParcelRefused,
    ParcelTooLarge,
    Unavailable,
    WrongState,
)
from exchange.events import Tag, record
from exchange.house import House
from exchange.intake import leftovers, tables
from exchange.intake.form import form_of
from exchange.intake.formats.format import Shape
from exchange.intake.order import refuse_outdated, refuse_without_baseline
from exchange.intake.parcel import Declaration
from exchange.intake.places import PURPOSE, landed_file, part_file, rows_file
from exchange.intake.pushes import CHINA, Receipt
from exchange.registry.models import Push
from exchange.seal import Algorithm, Digest, new_digest, same

_COPIES = 3  # sealed, plain and as a table: what a parcel needs of the disk while it lands
_LOOK_EVERY = 64 << 20  # bytes between two looks at the free disk
_PIECE = 1 << 20
SLUG = re.compile(r"^[a-z][a-z0-9_]{1,47}$")


class Landing:
    """A parcel on its way in. Made by `begin`; write to it, then `finish` or `abandon` (leaving the block abandons)."""

    def __init__(self, house: House, caller: Caller, declaration: Declaration, resource: Resource, door: str) -> None:
        self.existing: Receipt | None = None
        self._house = house
        self._caller = caller
        self._declaration = declaration
        self._resource = resource
        self._door = door
        self._bytes = 0
        self._looked_at = 0
        self._digests: dict[str, Digest] = {declaration.algorithm: new_digest(declaration.algorithm)}
        self._id = ""
        self._placed = False
        self._committed = False
        self._part: BinaryIO | None = None
        self._plain: BinaryIO | None = None

    @property
    def fresh(self) -> bool:
        """After `finish`: was this landing the one that made the receipt?"""
        return self._committed

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.abandon()

    def write(self, data: bytes) -> None:
        """Take the next bytes.

        Raises:
            ParcelTooLarge, NoRoom: now it is too much (only when the length was not known before).
        """
        if self.existing is not None:
            return
        if self._part is None or self._plain is None:
            raise WrongState("这次落地已经结束", "this landing is over")
        self._bytes += len(data)
        with _told(self._house, self._caller, self._declaration, self._door):
            _check_size(self._house, self._bytes)
            if self._bytes - self._looked_at >= _LOOK_EVERY:
                self._looked_at = self._bytes
                _check_room(self._house, 0)
            for digest in self._digests.values():
                digest.update(data)
            with _disk_full_is_no_room(self._house):
                self._sealed.write(data)
                self._plain.write(data)

    def finish(self) -> Receipt:
        """Judge what arrived and land it.

        Raises:
            ParcelRefused: one of its kinds; nothing changed.
        """
        if self.existing is not None:
            return self.existing
        if self._part is None or self._plain is None:
            raise WrongState("这次落地已经结束", "this landing is over")
        try:
            with _told(self._house, self._caller, self._declaration, self._door), _disk_full_is_no_room(self._house):
                return self._finish(self._part, self._plain)
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Forget what was written. Does nothing after a successful `finish`."""
        plain, part = self._plain, self._part
        self._plain = self._part = None
        if plain is not None:
            plain.close()
        if part is None:
            return
        if not self._placed:
            leftovers.remove(self._house, self._resource.id, self._id)
        part.close()  # the lock on it tells others that this landing lives
        if self._placed:  # perhaps committed with the answer lost: the database knows, or the next landing asks it
            with suppress(DBAPIError, Unavailable):
                leftovers.sweep(self._house, self._resource.id)

    def _open(self) -> None:
        self._id = new_push_id(datetime.now(UTC))
        path = part_file(self._house.settings, self._resource.id, self._id)
        part = path.open("xb")
        fcntl.flock(part, fcntl.LOCK_EX)
        if not path.exists():  # swept between the two lines above
            part.close()
            self._open()
            return
        self._part = part
        self._sealed = self._house.seal.writer(part, PURPOSE)
        self._plain = tempfile.TemporaryFile(dir=self._house.settings.folder("spill"))  # noqa: SIM115 - closed by abandon

    def _also_digest(self, algorithm: Algorithm) -> None:
        self._digests.setdefault(algorithm, new_digest(algorithm))

    def _finish(self, part: BinaryIO, plain: BinaryIO) -> Receipt:
        self._sealed.close()
        plain.flush()
        found = {name: digest.finalize().hex() for name, digest in self._digests.items()}
        _check_digest(self._declaration, found[self._declaration.algorithm], self._bytes)
        shape, rows = self._judge(plain)
        place = landed_file(self._house.settings, self._resource.id, self._id)
        part_file(self._house.settings, self._resource.id, self._id).replace(place)
        self._placed = True
        _sync_folder(place.parent)
        receipt = self._commit(shape, rows, found)
        if receipt.id == self._id:
            self._committed = True
            self._part = None
            part.close()
        return receipt

    def _judge(self, plain: BinaryIO) -> tuple[Shape, int]:
        target = rows_file(self._house.settings, self._id)
        shape, rows = tables.write(self._house, plain, form_of(self._resource, self._declaration.mode), target)
        if rows == 0:
            raise EmptyParcel("文件只有列名，没有数据行", "the file has a header and no data rows")
        if rows != self._declaration.rows:
            declared = self._declaration.rows
            blank = shape.blank_rows
            also = f"和其间 {blank} 个空白行" if blank else ""
            also_en = f" and {blank} blank rows between them" if blank else ""
            raise CountMismatch(
                f"声明 {declared} 行，实际收到 {rows} 行（不计列名行{also}）；请核对后用同一批次号重新推送",
                f"{declared} rows declared, {rows} found (the header{also_en} not counted); check and push again under the "
                "same batch",
                declared=declared,
                found=rows,
            )
        return shape, rows

    def _commit(self, shape: Shape, rows: int, digests: dict[str, str]) -> Receipt:
        declaration, caller = self._declaration, self._caller
        with self._house.registry.session() as session:
            _one_at_a_time(session, self._resource.id)
            if _of_batch(session, declaration) is None:
                refuse_outdated(session, declaration)
                refuse_without_baseline(session, declaration, self._resource)
            push = session.scalars(
                insert(Push)
                .values(
                    id=self._id,
                    resource_id=self._resource.id,
                    resource_version=self._resource.version,
                    department_code=caller.department,
                    client_id=caller.client_id,
                    door=self._door,
                    batch=declaration.batch,
                    mode=declaration.mode,
                    rows=rows,
                    bytes=self._bytes,
                    algorithm=declaration.algorithm,
                    digest=declaration.digest,
                    shape=shape.as_dict(),
                )
                .on_conflict_do_nothing(index_elements=["resource_id", "batch"])
                .returning(Push)
            ).one_or_none()
            if push is not None:
                facts = {"resource": push.resource_id, "batch": push.batch, "rows": rows, "bytes": self._bytes}
                record(session, Tag.PARCEL_LANDED, department=caller.department, object_id=push.id, **facts)
                return Receipt.of(push)
        with self._house.registry.session() as session:
            existing = _of_batch(session, declaration)
        if existing is None or existing.digest != digests.get(existing.algorithm):
            raise _reused(declaration)
        return existing


def begin(house: House, caller: Caller, declaration: Declaration, *, length: int | None, door: str) -> Landing:
    """Everything that can be refused before the first byte of the body.

    Args:
        length: bytes to come, None when the door cannot know.
        door: `http`, `command`, …: for the record.

    When this batch with these bytes was landed before, the answer is in `Landing.existing` and no body is needed.

    Raises:
        NotFound: no such resource, or retired. AccessRefused: another department's.
        ParcelTooLarge, NoRoom, BatchReused, BatchOutdated, BatchTooFar, BaselineNeeded, CountMismatch: nothing changed.
    """
    with _told(house, caller, declaration, door):
        resource = _own(house, caller, declaration.resource_id)
        landing = Landing(house, caller, declaration, resource, door)
        with house.registry.session() as session:
            existing = _of_batch(session, declaration)
            if existing is None:
                refuse_outdated(session, declaration)
                refuse_without_baseline(session, declaration, resource)
        if existing is not None:
            if existing.algorithm == declaration.algorithm:
                landing.existing = _same_parcel(existing, declaration)
                return landing
            landing._also_digest(existing.algorithm)  # type: ignore[arg-type]
        _check_size(house, length or 0)
        _check_room(house, length or 0)
        leftovers.sweep(house, resource.id)
        landing._open()
    return landing


def land_file(house: House, caller: Caller, declaration: Declaration, source: Path | BinaryIO, door: str) -> Receipt:
    """Land a file that is already here.

    Raises:
        as `begin` and `Landing.finish`.
    """
    if isinstance(source, Path):
        with source.open("rb") as file:
            return land_file(house, caller, declaration, file, door)
    with begin(house, caller, declaration, length=_length(source), door=door) as landing:
        while landing.existing is None and (piece := source.read(_PIECE)):
            landing.write(piece)
        return landing.finish()


def new_push_id(now: datetime) -> str:
    """`P`, the day in China, and 10 random hex digits."""
    return f"P{now.astimezone(CHINA):%y%m%d}-{secrets.token_hex(5)}"


def _own(house: House, caller: Caller, resource_id: str) -> Resource:
    if not SLUG.fullmatch(resource_id):
        raise NotFound("目录中没有这个资源，请核对资源标识", "the catalogue has no such resource; check its id")
    resource = catalogue.resource(house, resource_id)
    if resource.department != caller.department:
        owner = catalogue.department(house, resource.department)
        raise AccessRefused(
            f"资源 {resource.id}（{resource.title}）由{owner.name}提供，{caller.department} 不能推送；如职责有变，请主管部门更新目录",
            f"resource {resource.id} is provided by {owner.name} ({owner.code}); {caller.department} may not push it. "
            "If that has changed, ask the data authority to update the catalogue",
            reason="other-department",
            resource=resource.id,
            ask=owner.contact,
        )
    return resource


def _of_batch(session: Session, declaration: Declaration) -> Receipt | None:
    push = session.scalar(select(Push).where(Push.resource_id == declaration.resource_id, Push.batch == declaration.batch))
    return Receipt.of(push) if push is not None else None


def _same_parcel(existing: Receipt, declaration: Declaration) -> Receipt:
    if not same(existing.digest, declaration.digest):
        raise _reused(declaration)
    if existing.rows != declaration.rows:
        raise CountMismatch(
            f"批次 {declaration.batch} 已收到，为 {existing.rows} 行，这次声明 {declaration.rows} 行",
            f"batch {declaration.batch} was received before with {existing.rows} rows; {declaration.rows} declared now",
            declared=declaration.rows,
            found=existing.rows,
        )
    return existing


def _reused(declaration: Declaration) -> BatchReused:
    return BatchReused(
        f"批次号 {declaration.batch} 已用于另一份数据；内容有变请使用新的批次号",
        f"batch {declaration.batch} already stands for other bytes; changed content needs a new batch number",
        batch=declaration.batch,
    )


def _one_at_a_time(session: Session, resource_id: str) -> None:
    """Two landings of one resource are written down one after the other; the lock goes with the transaction."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"landing:{resource_id}", 0))))


def _check_size(house: House, size: int) -> None:
    limit = int(house.settings.max_parcel)
    if size > limit:
        raise ParcelTooLarge(
            f"文件有 {size} 字节，超过上限 {limit} 字节（EXCHANGE_MAX_PARCEL）；请分批或联系平台运维",
            f"{size} bytes are more than the limit of {limit} (EXCHANGE_MAX_PARCEL); split it or ask the operator",
            size=size,
            limit=limit,
        )


def _check_room(house: House, size: int) -> None:
    free = shutil.disk_usage(house.settings.folder("landed")).free
    needed = size * _COPIES + int(house.settings.spare_disk)
    if free < needed:
        raise _no_room(free, needed)


def _no_room(free: int, needed: int) -> NoRoom:
    return NoRoom(
        f"平台磁盘空间不足：需要 {needed} 字节，剩余 {free} 字节；请稍后重试并联系平台运维",
        f"not enough disk: {needed} bytes needed, {free} free; try later and tell the operator",
        needed=needed,
        free=free,
    )


def _check_digest(declaration: Declaration, found: str, size: int) -> None:
    if same(declaration.digest, found):
        return
    name = declaration.algorithm
    raise DigestMismatch(
        f"{name} 摘要不符：声明 {declaration.digest}，实际 {found}（收到 {size} 字节）；文件可能在传输中改变或截断",
        f"{name} digest differs: declared {declaration.digest}, found {found} ({size} bytes received); "
        "the file may have changed or been cut off on its way",
        declared=declaration.digest,
        found=found,
        bytes=size,
    )


@contextmanager
def _told(house: House, caller: Caller, declaration: Declaration, door: str) -> Iterator[None]:
    """A refusal is recorded, in a transaction of its own, before the caller hears of it."""
    try:
        yield
    except (ParcelRefused, AccessRefused, NotFound, WrongState) as error:
        record_refusal(house, caller, declaration.resource_id, error, batch=declaration.batch, door=door)
        raise


def record_refusal(house: House, caller: Caller, resource_id: str, error: ExchangeError, **facts: object) -> None:
    """Record that a parcel was refused: why, with the error's own facts."""
    named = resource_id if _is_known(house, resource_id) else None  # anything may stand in an address, also a person
    known = {**(error.facts if named else {}), **facts, "code": error.code}
    with house.registry.session() as session:
        record(session, Tag.PARCEL_REFUSED, department=caller.department, object_id=named, **known)


def _is_known(house: House, resource_id: str) -> bool:
    try:
        return SLUG.fullmatch(resource_id) is not None and bool(catalogue.resource(house, resource_id))
    except NotFound:
        return False


@contextmanager
def _disk_full_is_no_room(house: House) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        free = shutil.disk_usage(house.settings.folder("landed")).free
        raise _no_room(free, int(house.settings.spare_disk)) from None


def _length(file: BinaryIO) -> int | None:
    try:
        return os.fstat(file.fileno()).st_size - file.tell()
    except OSError:  # not a file of the operating system, or a pipe
        return None


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
