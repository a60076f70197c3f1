"""PostgreSQL stopped at once and started again in the middle of every step: an answer in words, and the same result when it is
run again.

The server is this test's own, and is stopped without ceremony (`immediate`), as by a power cut.
"""

import random
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.databases import Databases
from exchange.errors import ExchangeError, Unavailable
from exchange.house import House
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import read_settings
from infra import postgres
from tests.faults.kit import STEPS, City, seen, small_city

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

AGAIN = 4  # stops in the middle of each step, at random moments


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    """An empty house with a server of its own."""
    settings = read_settings(
        _env_file=None, data=tmp_path / "var", keys=tmp_path / "keys", memory_limit="1GB", spare_disk="1MiB"
    )
    seal = Seal.create(settings.key_folder)
    with postgres.running(settings, seal):
        migrate(Databases.find(settings, seal), seal, settings)
        opened = House.open(settings)
        yield opened
        opened.registry.close()


def restart(house: House) -> None:
    """Pull the plug, and put it in again."""
    server = postgres._Server(house.settings, house.seal)
    server._command("pg_ctl", "stop", "-w", "-m", "immediate")
    server.start_if_stopped()


def disturbed(city: City, name: str, moment: float) -> BaseException | None:
    """Take a step, and restart the server after so many seconds; what the step said."""
    said: list[BaseException | None] = []

    def take() -> None:
        try:
            STEPS[name](city)
            said.append(None)
        except BaseException as error:  # noqa: BLE001 - it is looked at by the test
            said.append(error)

    step = threading.Thread(target=take)
    step.start()
    time.sleep(moment)
    restart(city.house)
    step.join()
    return said[0]


def test_in_the_middle_of_every_step(house: House) -> None:
    chance = random.Random(11)
    city = small_city(house)
    heard = dict.fromkeys(STEPS, 0)
    for city.batch in range(3, 3 + AGAIN):
        for name, step in STEPS.items():
            if name == "withdraw" and city.batch < 2 + AGAIN:
                continue  # the next push must find this one in the pool
            before = seen(house)
            error = disturbed(city, name, chance.uniform(0, 0.5))
            if error is not None:
                heard[name] += 1
                assert isinstance(error, Unavailable), (name, error)
            between = seen(house)
            step(city)
            after = seen(house)
            assert after != before, name
            assert all(between[key] in (before[key], after[key]) for key in before), name
            step(city)
            assert seen(house) == after, name
    assert sum(heard.values()) > len(STEPS), f"hardly any step was disturbed: {heard}"


def test_what_asks_while_it_is_away_is_told_so(house: House) -> None:
    city = small_city(house)
    server = postgres._Server(house.settings, house.seal)
    server._command("pg_ctl", "stop", "-w", "-m", "immediate")
    city.batch = 3
    for name, step in STEPS.items():
        with pytest.raises(ExchangeError) as error:
            step(city)
        assert isinstance(error.value, Unavailable), name
    server.start_if_stopped()
    for step in STEPS.values():
        step(city)
