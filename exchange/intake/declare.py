"""Doing a department's sums for it: the batch, row count and digest of a file that lies here, for a person to confirm.

Invariant: what the person gives is taken as given and checked by landing like everybody's; only what is missing is
computed, from the same bytes and by the same reading that landing uses.
"""

import secrets
from pathlib import Path

from exchange.catalogue.model import Resource
from exchange.house import House
from exchange.intake import tables
from exchange.intake.form import form_of
from exchange.intake.order import next_batch
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
    algorithm, expected = parse_digest(digest) if digest else ("sm3", _digest_of(file, progress))
    return Declaration(
        resource_id=resource.id,
        batch=_next_batch(house, resource.id) if batch is None else batch,
        mode=mode,
        rows=_count(house, form_of(resource, mode), file, progress) if rows is None else rows,
        algorithm=algorithm,
        digest=expected,
        filename=file.name,
    )


def _digest_of(file: Path, progress: Progress) -> str:
    running, done, size = new_digest("sm3"), 0, file.stat().st_size
    with file.open("rb") as source:
        while piece := source.read(_PIECE):
            running.update(piece)
            done += len(piece)
            progress("摘要 digest", done, size)
    return running.finalize().hex()


def _count(house: House, resource: Resource, file: Path, progress: Progress) -> int:
    progress("行数 rows", 0, 0)
    target = house.settings.folder("spill") / f".count-{secrets.token_hex(5)}"
    try:
        with file.open("rb") as plain:
            return tables.write(house, plain, resource, target)[1]
    finally:
        target.unlink(missing_ok=True)


def _next_batch(house: House, resource_id: str) -> int:
    with house.registry.session() as session:
        return next_batch(session, resource_id)
