"""What every workload needs: what one is, a house in the bench's folder, and resident numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from exchange.databases import Databases
from exchange.house import House
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import read_settings
from infra import postgres
from pools import lake

Details = dict[str, Any] | None


class Workload(Protocol):
    """What the harness needs."""

    compared_with: str
    reach: float | None  # ratio of seconds, ours to the other's
    reach_mb: int | None  # resident memory of ours
    rows: int

    def shape(self, scale: int) -> str: ...

    def prepare(self, scale: int, folder: Path) -> Details: ...

    def ours(self, scale: int, folder: Path) -> Details: ...

    def compared(self, scale: int, folder: Path) -> Details: ...


@contextmanager
def opened(folder: Path, **settled: object) -> Iterator[House]:
    """A house in the bench's folder, made on first use. `settled`: settings that are not the usual ones."""
    settings = read_settings(_env_file=None, data=folder / "var", keys=folder / "keys", **settled)
    seal = Seal.create(settings.key_folder)
    with postgres.running(settings, seal):
        migrate(Databases.find(settings, seal), seal, settings)
        house = House.open(settings)
        lake.prepare(house)
        try:
            yield house
        finally:
            house.registry.close()


WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
# A valid, distinct resident number for every i below 18,250,000, in SQL: born 1955 + i days, sequence from the rest.
RESIDENT = (
    "SELECT i, p || substr('10X98765432', 1 + ("
    + " + ".join(f"{weight} * substr(p, {place}, 1)::int" for place, weight in enumerate(WEIGHTS, start=1))
    + ") % 11, 1) AS id FROM (SELECT i, '410802' || strftime(DATE '1955-01-01' + (i % 18250)::int, '%Y%m%d')"
    " || lpad((i // 18250 + 1)::varchar, 3, '0') AS p FROM range({rows}) t(i))"
)
