"""The merge in plain Python: slow, obvious, and the oracle for the fast one.

Read it as the definition. A pool is a list of rows. A base remembers, per key, its golden row. Nothing is clever here.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from exchange.catalogue.model import BaseDefinition, BaseField, FieldSource, Resource, Satellite

Value = Any
OLDER = ("org_code", "registration_no")  # numbers of entities that 统一社会信用代码 took the place of


@dataclass(frozen=True)
class PoolRow:
    """One row of a pool."""

    batch: int
    row: int
    items: dict[str, Value]


@dataclass(frozen=True)
class Golden:
    """One row of a base: per field the value and the place of the source it comes from; `said` and `since`: per
    field and source that says something, what, and the first batch in which that source's row carried it."""

    values: dict[str, Value]
    places: dict[str, int | None]
    said: dict[tuple[str, int], Value]
    since: dict[tuple[str, int], int]
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


@dataclass(frozen=True)
class Alias:
    """A number that stands for another."""

    old: str
    new: str
    resources: tuple[str, ...]


@dataclass(frozen=True)
class GoldenRow:
    """One row of a satellite: as of a base, less what nobody asks of it."""

    values: dict[str, Value]
    places: dict[str, int | None]
    closed: bool
    build: int


RowKey = tuple[Value, ...]  # the parent's key, then the row's own


@dataclass
class ReferenceBase:
    """A base and the pools that feed it."""

    definition: BaseDefinition
    resources: dict[str, Resource]
    pools: dict[str, list[PoolRow]] = field(default_factory=dict)
    pushes: dict[str, list[list[PoolRow]]] = field(default_factory=dict)
    batches: dict[str, list[int]] = field(default_factory=dict)
    golden: dict[str, Golden] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    rows: dict[str, dict[RowKey, GoldenRow]] = field(default_factory=dict)
    orphans: dict[str, int] = field(default_factory=dict)
    in_force: list[BaseDefinition] = field(default_factory=list)
    aliases: list[Alias] = field(default_factory=list)

    def alias(self, old: str, new: str, resources: tuple[str, ...] = ()) -> None:
        """From now on `old` stands for `new`, in the rows of these resources; none named: in all, and it is no key any more."""
        self.aliases.append(Alias(old, new, resources))

    def end_alias(self, old: str) -> None:
        """From now on it does not."""
        self.aliases = [alias for alias in self.aliases if alias.old != old]

    def push(self, resource: str, batch: int, rows: list[dict[str, Value]]) -> None:
        """A full push: what it does not repeat is gone from the pool; what it repeats stays as it was, batch and row."""
        names = [item.name for item in self.resources[resource].items]
        left = sorted(self.pools.get(resource, []), key=lambda row: (row.batch, row.row))
        pool = []
        for number, said in enumerate(rows, 1):
            items = {name: said.get(name) for name in names}
            same = next((row for row in left if row.items == items), None)
            if same is not None:
                left.remove(same)
            pool.append(same or PoolRow(batch, number, items))
        self.pools[resource] = pool
        self.pushes.setdefault(resource, []).append(self.pools[resource])
        self.batches.setdefault(resource, []).append(batch)

    @property
    def builds(self) -> int:
        return len(self.in_force)

    def build(self, on: date) -> None:
        """Every key that any pool has is golden again, by the orders of the day; every other key that ever was is closed with
        its last values."""
        self.in_force.append(self.definition.on(on))
        self.conflicts = []
        self._rename_golden()
        here = {key for origin in self.definition.key_sources for key in self._keys(origin)}
        for key in sorted(here):
            self.golden[key] = self._golden(key)
        for key in set(self.golden) - here:
            last = self.golden[key]
            self.golden[key] = Golden(last.values, last.places, last.said, last.since, closed=True, build=last.build)
        for satellite in self.in_force[-1].satellites:
            self._satellite(satellite)

    def _satellite(self, satellite: Satellite) -> None:
        """The same for the rows under the golden records. A row whose parent is no golden record is nobody's."""
        before: dict[RowKey, GoldenRow] = {}
        was = self.rows.get(satellite.id, {})
        for key, row in sorted(was.items(), key=lambda one: (one[1].build, self._is_own(one[0][0]), one[0])):
            before[self.counts(key[0], None), *key[1:]] = row
        here = {key for origin in satellite.parent_sources for key in self._row_keys(satellite, origin)}
        self.orphans[satellite.id] = sum(key[0] not in self.golden for key in here)
        now = {key: self._row(satellite, key) for key in here if key[0] in self.golden}
        gone = {key: GoldenRow(row.values, row.places, closed=True, build=row.build) for key, row in before.items()}
        self.rows[satellite.id] = gone | now

    def _row_keys(self, satellite: Satellite, origin: FieldSource) -> set[RowKey]:
        return {
            key for row in self.pools.get(origin.resource, []) if (key := self._row_key(satellite, origin, row)) is not None
        }

    def _row_key(self, satellite: Satellite, origin: FieldSource, row: PoolRow) -> RowKey | None:
        """The parent's number that counts, and the row's own key; None where a part is missing."""
        parts = [row.items.get(item) for item in (origin.item, *self._own_items(satellite, origin.resource))]
        return None if None in parts else (self.counts(parts[0], origin.resource), *parts[1:])

    def _own_items(self, satellite: Satellite, resource: str) -> list[str]:
        fields = {wanted.name: wanted for wanted in satellite.fields}
        return [source.item for name in satellite.key for source in fields[name].sources if source.resource == resource]

    def _row(self, satellite: Satellite, key: RowKey) -> GoldenRow:
        values: dict[str, Value] = {}
        places: dict[str, int | None] = {}
        for wanted in satellite.fields:
            said = {place: self._row_word(satellite, key, origin) for place, origin in enumerate(wanted.sources)}
            winner = min((place for place, value in said.items() if value is not None), default=None)
            values[wanted.name], places[wanted.name] = (None if winner is None else said[winner]), winner
            for loser, value in sorted(said.items()):
                if winner is not None and loser > winner and value is not None and value != said[winner]:
                    named, at = f"{satellite.id}.{wanted.name}", "|".join(str(part) for part in key)
                    self.conflicts.append(Conflict(at, named, winner, loser, str(said[winner]), str(value)))
        return GoldenRow(values, places, closed=False, build=self.builds)

    def _row_word(self, satellite: Satellite, key: RowKey, origin: FieldSource) -> Value | None:
        parent = next(each for each in satellite.parent_sources if each.resource == origin.resource)
        pool = self.pools.get(origin.resource, [])
        return self._newest([row for row in pool if self._row_key(satellite, parent, row) == key], origin)

    def _keys(self, origin: FieldSource) -> set[str]:
        keys = {row.items.get(origin.item) for row in self.pools.get(origin.resource, [])}
        counting = {self._joins(key, origin) for key in keys if key is not None}
        return {key for key in counting if key is not None}

    def _joins(self, number: str, origin: FieldSource) -> str | None:
        """The key that a row of a source belongs to. One keyed by an older number of entities belongs to the code that has it,
        and to none when none has it or several have; a person's word comes first."""
        counts, kind = self.counts(number, origin.resource), self._kind(origin)
        if kind not in OLDER or counts != number:
            return counts
        have = {
            self.counts(row.items[other.item], other.resource)
            for other in self.definition.key_sources
            if self._kind(other) not in OLDER
            for row in self.pools.get(other.resource, [])
            if row.items.get(other.item) is not None and number in self._older_numbers(other, row, kind)
        }
        if kind == "org_code":  # inside a code that no longer counts, too
            have |= {self.counts(one.old, None) for one in self.aliases if not one.resources and one.old[8:17] == number}
        return have.pop() if len(have) == 1 else None

    def _older_numbers(self, origin: FieldSource, row: PoolRow, kind: str) -> list[str | None]:
        """What a row keyed by 统一社会信用代码 says of an older number: 组织机构代码 is inside the code, 注册号 beside it."""
        if kind == "org_code":
            return [self.counts(row.items[origin.item], origin.resource)[8:17]]
        return [row.items.get(item.name) for item in self.resources[origin.resource].items if item.identifier == kind]

    def _kind(self, origin: FieldSource) -> str | None:
        items = self.resources[origin.resource].items
        return next((item.identifier for item in items if item.name == origin.item), None)

    def answered(self, number: str) -> str | None:
        """Under which key somebody is answered who asks by a number. An older number is answered where every source that has it
        means the same one, and one of them by itself."""
        counting = self.counts(number, None)
        if counting != number or number in self.golden:
            return counting if counting in self.golden else None
        means, by_itself = set(), False
        for origin in self.definition.key_sources:
            said = self.counts(number, origin.resource)
            if said != number:
                means.add(said)
            elif self._kind(origin) in OLDER and self._has(origin, number):
                joins = self._joins(number, origin)
                means |= {joins} - {None}
                by_itself = by_itself or joins is not None
        return means.pop() if by_itself and len(means) == 1 else None

    def _has(self, origin: FieldSource, number: str) -> bool:
        return any(row.items.get(origin.item) == number for row in self.pools.get(origin.resource, []))

    def counts(self, number: str, resource: str | None) -> str:
        """The number that counts, as a resource means it; None: as all do."""
        for alias in self.aliases:
            if alias.old == number and (not alias.resources or resource in alias.resources):
                return self.counts(alias.new, resource)
        return number

    def _rename_golden(self) -> None:
        """What was known under an old number is the new one's; of several, what was seen last, of those its own."""
        was, self.golden = self.golden, {}
        for number, golden in sorted(was.items(), key=lambda one: (one[1].build, self._is_own(one[0]), one[0])):
            self.golden[self.counts(number, None)] = golden

    def _is_own(self, number: str) -> bool:
        return self.counts(number, None) == number

    def _golden(self, key: str) -> Golden:
        values: dict[str, Value] = {}
        places: dict[str, int | None] = {}
        words: dict[tuple[str, int], Value] = {}
        for wanted in self.in_force[-1].fields:
            said = self._said(key, wanted)
            winner = min(said, default=None)  # the highest source that has a value
            values[wanted.name] = None if winner is None else said[winner]
            places[wanted.name] = winner
            words |= {(wanted.name, place): value for place, value in said.items()}
            for loser in sorted(said):
                if winner is not None and loser > winner and said[loser] != said[winner]:
                    self.conflicts.append(Conflict(key, wanted.name, winner, loser, str(said[winner]), str(said[loser])))
        origins = {wanted.name: wanted.sources for wanted in self.in_force[-1].fields}
        since = {(name, place): self._since(key, origins[name][place], word) for (name, place), word in words.items()}
        return Golden(values, places, words, since, closed=False, build=self.builds)

    def _said(self, key: str, wanted: BaseField) -> dict[int, Value]:
        """What each source says, by its place; a source without a value says nothing."""
        said = {
            place: self._word(key, origin, self.pools.get(origin.resource, []))
            for place, origin in enumerate(wanted.sources)
        }
        return {place: value for place, value in said.items() if value is not None}

    def _word(self, key: str, origin: FieldSource, pool: list[PoolRow]) -> Value | None:
        """What a pool says of a key."""
        key_item = {origin.resource: origin.item for origin in self.definition.key_sources}.get(origin.resource)
        if key_item is None:
            return None
        item = FieldSource(resource=origin.resource, item=key_item)
        rows = [row for row in pool if row.items.get(key_item) is not None]
        return self._newest([row for row in rows if self._joins(row.items[key_item], item) == key], origin)

    def _newest(self, mine: list[PoolRow], origin: FieldSource) -> Value | None:
        """What rows say: ties go to the newest update, then batch, then row."""
        rows = [row for row in mine if row.items.get(origin.item) is not None]
        newest = max(rows, key=lambda row: (self._updated(origin.resource, row), row.batch, row.row), default=None)
        return None if newest is None else newest.items[origin.item]

    def _since(self, key: str, origin: FieldSource, value: Value) -> int:
        """The first batch whose pool said so."""
        pushed = zip(self.batches[origin.resource], self.pushes[origin.resource], strict=True)
        return next(batch for batch, pool in pushed if self._word(key, origin, pool) == value)

    def _updated(self, resource: str, row: PoolRow) -> datetime:
        stamp = next((item.name for item in self.resources[resource].items if item.is_timestamp), None)
        found = row.items.get(stamp) if stamp else None
        return found if found is not None else datetime.min  # nulls last  # noqa: DTZ901
