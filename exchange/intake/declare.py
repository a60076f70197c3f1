"""Doing a department's sums for it: the batch, row count and digest of a file that lies here, for a person to confirm.

Invariant: what the person gives is taken as given and checked by landing like everybody's; only what is missing is
computed, from the same bytes and by the same reading that landing uses.
"""

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from exchange.catalogue.model import Resource
from exchange.house import House
from exchange.intake import order, tables
from exchange.intake.form import form_of
from exchange.intake.parcel import Declaration, Mode, parse_digest
from exchange.progress import Progress, silent
from exchange.seal import new_digest

_PIECE = 1 << 20


def declare(
    house: House,
    resource: Resource,
    file: Path,
    *,
    mode: Mode = "full",
    batch: int | None = None,
    rows: int | None = None,
    digest: str | None = None,
    progress: Progress = silent,
) -> Declaration:
    """The whole declaration of a file; `digest` reads `sm3=<hex>` or `sha256=<hex>`.

    Raises:
        ParcelRefused: the digest's form, or whatever landing would refuse the file for.
    """
    with file.open("rb") as plain:
        return declare_open(
            house, resource, plain, filename=file.name, mode=mode, batch=batch, rows=rows, digest=digest, progress=progress
        )


def declare_open(
    house: House,
    resource: Resource,
    plain: BinaryIO,
    *,
    filename: str | None = None,
    mode: Mode = "full",
    batch: int | None = None,
    rows: int | None = None,
    digest: str | None = None,
    progress: Progress = silent,
) -> Declaration:
    """The same of a file that is open (and has a descriptor).

    Raises:
        ParcelRefused: as `declare`.
    """
    algorithm, expected = parse_digest(digest) if digest else ("sm3", _digest_of(plain, progress))
    return Declaration(
        resource_id=resource.id,
        batch=next_batch(house, resource.id) if batch is None else batch,
        mode=mode,
        rows=_count(house, form_of(resource, mode), plain, progress) if rows is None else rows,
        algorithm=algorithm,
        digest=expected,
        filename=filename,
    )


def next_batch(house: House, resource_id: str) -> int:
    """The number after the newest batch of a resource."""
    with house.registry.session() as session:
        return order.next_batch(session, resource_id)


def _digest_of(plain: BinaryIO, progress: Progress) -> str:
    running, done, size = new_digest("sm3"), 0, os.fstat(plain.fileno()).st_size
    plain.seek(0)
    while piece := plain.read(_PIECE):
        running.update(piece)
        done += len(piece)
        progress("摘要 digest", done, size)
    return running.finalize().hex()


def _count(house: House, resource: Resource, plain: BinaryIO, progress: Progress) -> int:
    progress("行数 rows", 0, 0)
    plain.seek(0)
    target = house.settings.folder("spill") / f".count-{secrets.token_hex(5)}"
    try:
        return tables.write(house, plain, resource, target)[1]
    finally:
        target.unlink(missing_ok=True)
