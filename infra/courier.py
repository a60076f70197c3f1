"""The courier carries landed pushes to Airflow: each push that nobody has dispatched becomes a run of its own DAG.

Invariant: the control database is the outbox. A push is marked dispatched only after Airflow has its run; the run's id
is the push's id, so carrying it twice changes nothing. While Airflow is down, pushes wait and nothing is lost.
"""

import logging
import threading
import time
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


class Courier:
    """One per house. `carry` is one look; `running` looks until told to stop."""

    def __init__(self, house: House, client: Client) -> None:
        self._house = house
        self._client = client
        self._snapshot = house.settings.root / "catalogue.json"
        self._read: float | None = None  # the catalogue Airflow was last told about
        self._asked = -REREAD

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
        query = (
            select(Push.id, Push.resource_id, Verdict.confirmed_by)
            .outerjoin(Verdict, Verdict.push_id == Push.id)
            .where(Push.dispatched_at.is_(None))
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
            log.info("%s: %s", push, error.en)
            return False
        with self._house.registry.session() as session:
            session.execute(update(Push).where(Push.id == push).values(dispatched_at=datetime.now(UTC)))
        return started

    def _tell_of_a_new_catalogue(self) -> None:
        changed = _changed_at(self._snapshot)
        if changed != self._read:
            self._client.read_again()
            self._read = changed

    def _ask_to_read_again(self) -> None:
        if time.monotonic() - self._asked > REREAD:
            self._client.read_again()
            self._asked = time.monotonic()


def _changed_at(path: Path) -> float | None:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None
