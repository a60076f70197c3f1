"""Receipts: what was landed, by whom, and how far it got.

Invariant: a receipt is written once, with its parcel, in one transaction, and is kept for ever; only `state` moves.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import select

from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import Push

CHINA = ZoneInfo("Asia/Shanghai")


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


def get(house: House, push_id: str) -> Receipt:
    """The receipt of a push.

    Raises:
        NotFound: no such push.
    """
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
