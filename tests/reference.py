"""The merge in plain Python: slow, obvious, and the oracle for the fast one.

Read it as the definition. A pool is a list of rows. A base remembers, per key, its golden row. Nothing is clever here.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from exchange.catalogue.model import BaseDefinition, BaseField, FieldSource, Resource

Value = Any


@dataclass(frozen=True)
class PoolRow:
    """One row of a pool."""

    batch: int
    row: int
    items: dict[str, Value]


@dataclass(frozen=True)
class Golden:
    """One row of a base: per field the value and the place of the source it comes from."""

    values: dict[str, Value]
    places: dict[str, int | None]
    closed: bool
    build: int


@dataclass(frozen=True, order=True)
class Conflict:
    key: str
    field: str
    winner: int
    loser: int
    winner_value: str
    loser_value: str


@dataclass
class ReferenceBase:
    """A base and the pools that feed it."""

    definition: BaseDefinition
    resources: dict[str, Resource]
    pools: dict[str, list[PoolRow]] = field(default_factory=dict)
    golden: dict[str, Golden] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    builds: int = 0

    def push(self, resource: str, batch: int, rows: list[dict[str, Value]]) -> None:
        """A full push: what the pool held before is gone from it."""
        self.pools[resource] = [PoolRow(batch, number, items) for number, items in enumerate(rows, 1)]

    def build(self) -> None:
        """Every key that any pool has is golden again; every other key that ever was is closed with its last values."""
        self.builds += 1
        self.conflicts = []
        here = {key for origin in self.definition.key_sources for key in self._keys(origin)}
        for key in sorted(here):
            self.golden[key] = self._golden(key)
        for key in set(self.golden) - here:
            last = self.golden[key]
            self.golden[key] = Golden(last.values, last.places, closed=True, build=last.build)

    def _keys(self, origin: FieldSource) -> set[str]:
        keys = {row.items.get(origin.item) for row in self.pools.get(origin.resource, [])}
        return {key for key in keys if key is not None}

    def _golden(self, key: str) -> Golden:
        values: dict[str, Value] = {}
        places: dict[str, int | None] = {}
        for wanted in self.definition.fields:
            said = self._said(key, wanted)
            winner = min(said, default=None)  # the highest source that has a value
            values[wanted.name] = None if winner is None else said[winner]
            places[wanted.name] = winner
            for loser in sorted(said):
                if winner is not None and loser > winner and said[loser] != said[winner]:
                    self.conflicts.append(Conflict(key, wanted.name, winner, loser, str(said[winner]), str(said[loser])))
        return Golden(values, places, closed=False, build=self.builds)

    def _said(self, key: str, wanted: BaseField) -> dict[int, Value]:
        """What each source says, by its place; a source without a value says nothing."""
        said = {}
        for place, origin in enumerate(wanted.sources):
            rows = [row for row in self._rows(origin.resource, key) if row.items.get(origin.item) is not None]
            if rows:
                newest = max(rows, key=lambda row: (self._updated(origin.resource, row), row.batch, row.row))
                said[place] = newest.items[origin.item]
        return said

    def _rows(self, resource: str, key: str) -> list[PoolRow]:
        key_item = {origin.resource: origin.item for origin in self.definition.key_sources}.get(resource)
        return [row for row in self.pools.get(resource, []) if key_item and row.items.get(key_item) == key]

    def _updated(self, resource: str, row: PoolRow) -> datetime:
        stamp = next((item.name for item in self.resources[resource].items if item.is_timestamp), None)
        found = row.items.get(stamp) if stamp else None
        return found if found is not None else datetime.min  # nulls last  # noqa: DTZ901
