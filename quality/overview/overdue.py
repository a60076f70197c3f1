"""What is overdue by its update cycle, the longest first.

Invariant: the same arithmetic as the nightly flag (exchange/evaluation.py), at the moment that is given.
"""

from datetime import datetime, timedelta

from exchange.evaluation import Freshness
from quality.overview.facts import Known
from quality.overview.model import Asked, Late, Overdue


def overdue(asked: Asked, known: list[Known], fresh: dict[str, Freshness], now: datetime) -> Overdue:
    """The whole answer. A retired resource is never overdue and is not counted."""
    in_force = [(one, fresh[one.id]) for one in known if one.id in fresh]
    late = sorted(((one, found) for one, found in in_force if found.late(now) is not None), key=_longest)
    silent = sum(found.due is None for _, found in in_force)
    return Overdue(
        asked=asked,
        looked_at=now,
        in_time=len(in_force) - len(late) - silent,
        without_promise=silent,
        overdue=tuple(_late(one, found, now) for one, found in late),
    )


def _longest(one: tuple[Known, Freshness]) -> tuple[datetime | None, str]:
    return one[1].due, one[0].id


def _late(one: Known, fresh: Freshness, now: datetime) -> Late:
    by = fresh.late(now) or timedelta()
    return Late(
        resource=one.id,
        title=one.title,
        department=one.department,
        department_name=one.department_name,
        update_cycle=fresh.cycle,
        last_accepted=fresh.accepted,
        last_push=fresh.push,
        counted_from=fresh.counted_from,
        due=fresh.due or now,
        days_overdue=round(by / timedelta(days=1), 1),
    )
