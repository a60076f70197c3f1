"""A clock that jumps back: nothing half, nothing twice, and the order of pushes stays that of their batches.

Only Python's own clock is moved; the database's goes on, as it does when one machine of several is set wrong.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
import time_machine

from exchange import access_log
from exchange.house import House
from exchange.intake import pushes
from pools import pool
from tests.faults.kit import STEPS, seen, small_city

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

JUMPS = (timedelta(hours=1), timedelta(days=400), timedelta(days=20 * 365))


@contextmanager
def clock(behind: timedelta) -> Iterator[None]:
    """Inside the block it is earlier."""
    with time_machine.travel(datetime.now(UTC) - behind, tick=True):
        yield


@pytest.mark.parametrize("behind", JUMPS, ids=str)
def test_between_any_two_steps(house: House, behind: timedelta) -> None:
    city = small_city(house)
    for city.batch, late in enumerate(STEPS, start=3):
        if late == "withdraw":
            continue
        for name, step in STEPS.items():
            if name == "withdraw":
                continue
            if name == late:
                with clock(behind):
                    step(city)
                    step(city)
            step(city)
        assert [view.batch for view in pool.versions(house, "police_household")] == list(range(city.batch, 0, -1))
        assert len(seen(house)["pushes"]) == city.batch  # type: ignore[arg-type]


def test_nothing_is_aged_out_by_a_clock_that_goes_back(house: House) -> None:
    city = small_city(house)
    with clock(timedelta(days=400)):
        assert pushes.age_out(house, datetime.now(UTC)) == 0
    STEPS["withdraw"](city)
    assert access_log.verify(house).whole
