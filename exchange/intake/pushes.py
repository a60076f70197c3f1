"""Receipts: what was landed, by whom, and how far it got.

Invariant: a receipt is written once, with its parcel, in one transaction, and is kept for ever; only `state` moves.
"""

import re
from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from exchange.errors import NotFound
from exchange.events import Tag, record
from exchange.house import House
from exchange.intake import leftovers
from exchange.intake.places import landed_file, rows_file
from exchange.registry.models import Push

CHINA = ZoneInfo("Asia/Shanghai")
DECIDED = ("pooled", "rejected", "superseded", "withdrawn")  # nothing more comes of them; only people ask for the bytes
_ID = re.compile(r"P\d{6}-[0-9a-f]{10}")


@dataclass(frozen=True)
class Receipt:
    """回执. `digest` is of the bytes as sent; `rows` was counted here and agrees with the provider's own count."""

    id: str
    resource_id: str
    resource_version: int
    department: str
    batch: int
    mode: str
    rows: int
    bytes: int
    algorithm: str
    digest: str
    shape: dict[str, Any]
    state: str
    received_at: datetime

    @classmethod
    def of(cls, push: Push) -> "Receipt":
        """The receipt of a row of `push`."""
        return cls(
            id=push.id,
            resource_id=push.resource_id,
            resource_version=push.resource_version,
            department=push.department_code,
            batch=push.batch,
            mode=push.mode,
            rows=push.rows,
            bytes=push.bytes,
            algorithm=push.algorithm,
            digest=push.digest,
            shape=push.shape,
            state=push.state,
            received_at=push.received_at,
        )

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the time at +08:00."""
        return asdict(self) | {"received_at": self.received_at.astimezone(CHINA).isoformat(timespec="seconds")}


def is_id(text: str) -> bool:
    """Whether a text has the form of a receipt's number."""
    return _ID.fullmatch(text) is not None


def get(house: House, push_id: str) -> Receipt:
    """The receipt of a push.

    Raises:
        NotFound: no such push.
    """
    push = None
    if _ID.fullmatch(push_id):
        with house.registry.session() as session:
            push = session.get(Push, push_id)
    if push is None:
        raise NotFound("没有这个推送，请核对回执编号", "there is no such push; check the number on the receipt")
    return Receipt.of(push)


def list_pushes(house: House, department: str | None = None, resource: str | None = None, limit: int = 50) -> list[Receipt]:
    """Receipts, the newest first."""
    query = select(Push).order_by(Push.received_at.desc(), Push.batch.desc()).limit(limit)
    if department is not None:
        query = query.where(Push.department_code == department)
    if resource is not None:
        query = query.where(Push.resource_id == resource)
    with house.registry.session() as session:
        return [Receipt.of(push) for push in session.scalars(query)]


def age_out(house: House, now: datetime) -> int:
    """Remove landed bytes that no rule keeps any more, and what killed landings left. Returns how many pushes.

    Kept are the bytes of the last `keep_landed_pushes` of a resource, of the last `keep_landed_days`, and of every push
    that is not decided yet. Receipts are kept for ever. Safe to kill and to run again.
    """
    leftovers.sweep_all(house, now)
    with house.registry.session() as session:
        landed = list(session.scalars(select(Push).where(Push.landed_removed_at.is_(None)).order_by(Push.batch.desc())))
    aged = [push for push in _beyond_the_last(landed, house.settings.keep_landed_pushes) if _is_old(house, push, now)]
    for push in landed:
        if push.state in DECIDED:  # the table is derived: it comes back when somebody opens it
            rows_file(house.settings, push.id).unlink(missing_ok=True)
    for push in aged:
        landed_file(house.settings, push.resource_id, push.id).unlink(missing_ok=True)
        with house.registry.session() as session:
            session.get_one(Push, push.id).landed_removed_at = now
            facts = {"resource": push.resource_id, "batch": push.batch}
            record(session, Tag.LANDING_AGED_OUT, department=push.department_code, object_id=push.id, **facts)
    return len(aged)


def _beyond_the_last(newest_first: list[Push], kept: int) -> list[Push]:
    seen: Counter[str] = Counter()
    beyond = []
    for push in newest_first:
        seen[push.resource_id] += 1
        if seen[push.resource_id] > kept:
            beyond.append(push)
    return beyond


def _is_old(house: House, push: Push, now: datetime) -> bool:
    return push.state in DECIDED and now - push.received_at > timedelta(days=house.settings.keep_landed_days)
