"""The house: settings, keys, databases and registry, opened once and passed to everything that works.

Invariant: nothing in the packages reaches for a global; what a function may touch is what it is given.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

from duckdb import DuckDBPyConnection

from exchange import engine
from exchange.databases import Databases
from exchange.errors import ExchangeError
from exchange.registry import Registry
from exchange.seal import Seal
from exchange.settings import Settings


def key_for(settings: Settings) -> Seal:
    """The master key, made on a first installation only: beside data that another key has sealed, none is made.

    Raises:
        KeyMissing: there is data and no key, or a spoilt one.
    """
    sealed = (settings.root / name for name in ("postgres/PG_VERSION", "postgres.port", "log/anchor"))
    if any(path.exists() for path in sealed):
        return Seal.open(settings.key_folder)
    return Seal.create(settings.key_folder)


@dataclass(frozen=True)
class House:
    """Everything the work needs."""

    settings: Settings
    seal: Seal
    databases: Databases
    registry: Registry

    @classmethod
    def open(cls, settings: Settings) -> Self:
        """Open an existing house.

        Raises:
            KeyMissing: no master key, or another one.
            Unavailable: the control database does not answer or is not migrated.
        """
        seal = Seal.open(settings.key_folder)
        databases = Databases.find(settings, seal)
        registry = Registry(databases.control)
        try:
            registry.check_key(seal, settings)
        except ExchangeError:
            registry.close()
            raise
        return cls(settings, seal, databases, registry)

    @contextmanager
    def duckdb(self) -> Iterator[DuckDBPyConnection]:
        """A bounded engine connection without the lake."""
        with engine.connect(self.settings, self.seal) as connection:
            yield connection

    @contextmanager
    def lake(self) -> Iterator[DuckDBPyConnection]:
        """A bounded engine connection with the lake attached as `lake`."""
        with engine.connect_lake(self.settings, self.seal, self.databases) as connection:
            yield connection
