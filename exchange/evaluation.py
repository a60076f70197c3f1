"""Evaluation of departments over recorded facts. So far: is a resource as fresh as its update cycle promises?

Invariant: a figure here is a function of what is recorded and of the moment given; nothing reads the clock by itself.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from exchange import events
from exchange.house import House
from exchange.registry.models import Push, Resource, ResourceVersion

# The longest a resource may go without an accepted push. 每日 allows one working day more; 不定期 and 其他 promise nothing.
_LONGEST = {
    "realtime": timedelta(hours=1),
    "daily": timedelta(days=1),
    "weekly": timedelta(days=7),
    "monthly": timedelta(days=31),
    "quarterly": timedelta(days=92),
    "half_yearly": timedelta(days=184),
    "yearly": timedelta(days=366),
}
ACCEPTED = ("accepted", "pooled")  # states of a push that is data: what lateness is counted from
_SATURDAY = 5
_HERE = timedelta(hours=8)  # working days are counted in Chinese time


@dataclass(frozen=True)
class Freshness:
    """How fresh a resource in force is. `accepted`: when its last accepted push came, and `push` its receipt (None: never).
    `due`: when it is, or was, to be renewed; None: its update cycle promises nothing."""

    resource: str
    cycle: str
    accepted: datetime | None
    push: str | None
    counted_from: datetime
    due: datetime | None

    def late(self, now: datetime) -> timedelta | None:
        """By how much it is overdue; None when it is not."""
        return now - self.due if self.due is not None and self.due < now else None


def due(cycle: str, last: datetime) -> datetime | None:
    """When a resource of this update cycle becomes overdue after a push at `last`; None: never.

    `daily` is one day and then one working day (Monday to Friday; public holidays and 调休 are not known here).
    """
    longest = _LONGEST.get(cycle)
    if longest is None:
        return None
    moment = last + longest
    return _next_working_day(moment) if cycle == "daily" else moment


def mark_overdue(house: House, now: datetime) -> list[str]:
    """Set or clear the overdue flag of every resource in force, as of `now`.

    A resource counts from its last accepted push, or, before the first, from when it was first loaded. Every change of a
    flag is an event; running it again changes nothing.

    Returns:
        The ids of all resources that are overdue at `now`, in order.
    """
    with house.registry.session() as session:
        late = []
        for resource, fresh in _freshness(session, _in_force().with_for_update(of=Resource)):
            _mark(session, resource, fresh.due if fresh.late(now) is not None else None, now)
            if fresh.late(now) is not None:
                late.append(resource.id)
        return late


def freshness(house: House) -> list[Freshness]:
    """Every resource in force, by id. Changes nothing."""
    with house.registry.session() as session:
        return [fresh for _, fresh in _freshness(session, _in_force())]


InForce = Select[Resource, str, datetime | None, str | None, datetime]


def _in_force() -> InForce:
    """Resources in force: update cycle, the last accepted push, and when they were first loaded."""
    accepted = (
        select(Push.resource_id, Push.received_at.label("at"), Push.id.label("push"))
        .where(Push.state.in_(ACCEPTED))
        .ext(distinct_on(Push.resource_id))
        .order_by(Push.resource_id, Push.received_at.desc(), Push.id.desc())
        .subquery()
    )
    loaded = (
        select(ResourceVersion.resource_id, func.min(ResourceVersion.loaded_at).label("at"))
        .group_by(ResourceVersion.resource_id)
        .subquery()
    )
    return (
        select(
            Resource,
            ResourceVersion.definition["update_cycle"].astext,
            accepted.c.at,
            accepted.c.push,
            loaded.c.at,
        )
        .join(
            ResourceVersion,
            (ResourceVersion.resource_id == Resource.id) & (ResourceVersion.version == Resource.current),
        )
        .join(loaded, loaded.c.resource_id == Resource.id)
        .outerjoin(accepted, accepted.c.resource_id == Resource.id)
        .where(Resource.retired_at.is_(None))
        .order_by(Resource.id)
    )


def _freshness(session: Session, query: InForce) -> list[tuple[Resource, Freshness]]:
    found = []
    for resource, cycle, accepted, push, loaded in session.execute(query):
        counted = (accepted or loaded).astimezone(UTC)
        fresh = Freshness(resource.id, cycle, accepted, push, counted, due(cycle, counted))
        found.append((resource, fresh))
    return found


def _mark(session: Session, resource: Resource, since: datetime | None, now: datetime) -> None:
    if resource.overdue_since == since:
        return
    events.record(
        session,
        events.Tag.RESOURCE_OVERDUE,
        department=resource.department_code,
        object_id=resource.id,
        overdue=since is not None,
        since=since.isoformat() if since else None,
        was_since=resource.overdue_since.isoformat() if resource.overdue_since else None,
        looked_at=now.isoformat(),
    )
    resource.overdue_since = since


def _next_working_day(moment: datetime) -> datetime:
    moment += timedelta(days=1)
    while (moment + _HERE).weekday() >= _SATURDAY:
        moment += timedelta(days=1)
    return moment
