"""The courier carries landed pushes to Airflow: each push that nobody has dispatched becomes a run of its own DAG.

Invariant: the control database is the outbox. A push is marked dispatched only after Airflow has its run; the run's id
is the push's id, so carrying it twice changes nothing. While Airflow is down, pushes wait and nothing is lost. A push
whose DAG Airflow does not have rests longer after each try, and keeps nobody else from being carried.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import select, update

from exchange.errors import NotFound, Unavailable, WrongState
from exchange.house import House
from exchange.registry.models import Push, Verdict
from infra.airflow import Client

log = logging.getLogger(__name__)

AT_ONCE = 100
EVERY = 0.5  # seconds between two looks
REREAD = 3.0  # seconds between two requests to read the DAG file again
PATIENCE = 15.0  # seconds between two looks while Airflow does not answer
REST = 1.0  # seconds a push rests after Airflow did not have its DAG; twice as long each time
LONGEST_REST = 300.0


class Courier:
    """One per house. `carry` is one look; `running` looks until told to stop."""

    def __init__(self, house: House, client: Client) -> None:
        self._house = house
        self._client = client
        self._snapshot = house.settings.root / "catalogue.json"
        self._read: float | None = None  # the catalogue Airflow was last told about
        self._asked = -REREAD
        self._resting: dict[str, _Rest] = {}

    def carry(self) -> int:
        """Dispatch what waits; how many runs were started.

        Raises:
            Unavailable: Airflow does not answer; what was not carried still waits.
        """
        self._tell_of_a_new_catalogue()
        return sum(self._dispatch(*waiting) for waiting in self._waiting())

    def work(self, stop: threading.Event) -> None:
        """Carry until told to stop; Airflow being away is only worth a line, and patience."""
        pause = EVERY
        while not stop.wait(pause):
            try:
                self.carry()
                pause = EVERY
            except Unavailable as error:
                log.warning("%s", error)
                pause = min(pause * 2, PATIENCE)
            except Exception as error:
                log.exception("the courier stumbled: %s", type(error).__name__)
                pause = PATIENCE

    def _waiting(self) -> list[tuple[str, str, str]]:
        """Push, resource and run id. A push that was held and then confirmed goes a second time, under a second id."""
        resting = [push for push, rest in self._resting.items() if time.monotonic() < rest.until]
        query = (
            select(Push.id, Push.resource_id, Verdict.confirmed_by)
            .outerjoin(Verdict, Verdict.push_id == Push.id)
            .where(Push.dispatched_at.is_(None), Push.id.not_in(resting))
            .order_by(Push.received_at, Push.batch)
            .limit(AT_ONCE)
        )
        with self._house.registry.session() as session:
            found = session.execute(query).all()
        return [(push, resource, f"{push}.confirmed" if by else push) for push, resource, by in found]

    def _dispatch(self, push: str, resource: str, run: str) -> bool:
        try:
            started = self._client.trigger(f"push_{resource}", run, {"push_id": push})
        except (NotFound, WrongState) as error:
            self._ask_to_read_again()  # newer than the catalogue Airflow has read; a later look finds the DAG
            known = self._resting.get(push)
            rest = self._resting[push] = _Rest.after(known)
            if known is None or rest.seconds >= LONGEST_REST:
                log.warning("%s: %s; tried again in %.0f s", push, error.en, rest.seconds)
            return False
        self._resting.pop(push, None)
        with self._house.registry.session() as session:
            session.execute(update(Push).where(Push.id == push).values(dispatched_at=datetime.now(UTC)))
        return started

    def _tell_of_a_new_catalogue(self) -> None:
        changed = _changed_at(self._snapshot)
        if changed != self._read:
            self._client.read_again()
            self._read = changed
            self._resting.clear()  # perhaps it has their DAGs

    def _ask_to_read_again(self) -> None:
        if time.monotonic() - self._asked > REREAD:
            self._client.read_again()
            self._asked = time.monotonic()


@dataclass(frozen=True)
class _Rest:
    """How long a push is left alone, and until when (monotonic seconds)."""

    seconds: float
    until: float

    @classmethod
    def after(cls, before: "_Rest | None") -> "_Rest":
        seconds = REST if before is None else min(before.seconds * 2, LONGEST_REST)
        return cls(seconds, time.monotonic() + seconds)


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
