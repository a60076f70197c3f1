"""Satellites (附表): many rows under one golden record, merged by the same rule as the record itself.

One idea: a satellite is a base whose key is the parent's key and its own key items, written as `exchange.keys` writes them; so
`survivorship` says what a row is, per field, with its provenance. Invariant: a row belongs to a record of the base as built in
the same lake commit; rows of nobody are counted, not kept. A row that is gone from every source is closed, not dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from duckdb import DuckDBPyConnection

from exchange import catalogue, keys
from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource, Satellite
from exchange.catalogue.sql import quoted
from exchange.house import House
from pools import aliases, contested, golden, lake, part, pool, renumber
from pools.aliases import Alias
from pools.golden import Golden, Last
from pools.part import Listed, Part
from pools.survivorship import Source

ROW_KEY = "row_key"  # the parent's key and the row's own, in one text
Inputs = dict[str, dict[str, Any]]


def table(base_id: str, satellite: str) -> str:
    """The lake table of a satellite."""
    return f"base_{base_id}_{satellite}"


def conflict_table(base_id: str, satellite: str) -> str:
    """The lake table of the conflicts of a satellite's newest build; their `key` is the row's."""
    return f"{table(base_id, satellite)}_conflict"


def as_base(definition: BaseDefinition, satellite: Satellite) -> BaseDefinition:
    """A satellite as a base of its own: keyed by `row_key`, the parent's key its first field."""
    parent = BaseField(name=definition.key, title=definition.key, type=DataType.TEXT, sources=satellite.parent_sources)
    return definition.model_copy(
        update={
            "id": f"{definition.id}_{satellite.id}",
            "title": satellite.title,
            "key": ROW_KEY,
            "key_sources": tuple(FieldSource(resource=each.resource, item=ROW_KEY) for each in satellite.parent_sources),
            "fields": (parent, *satellite.fields),
            "satellites": (),
            "links": (),
        }
    )


@dataclass(frozen=True)
class RowSource(Source):
    """A resource that feeds a satellite: its rows with their `row_key`, bucketed by the parent's key."""

    parent: str = ""
    own: tuple[str, ...] = ()
    moved: bool = False  # rows of other numbers are among them

    def within(self, part: Part) -> str:
        return part.of(self.parent, split_by_it=pool.bucket_item(self.resource) == self.parent)

    @property
    def one_row_a_key(self) -> bool:
        once = set(self.resource.key) <= {self.parent, *self.own} and self.resource.duplicates != "allow"
        return once and not self.moved


@dataclass(frozen=True)
class _Several(Source):
    """A resource of which a record has several rows, whatever its key says."""

    @property
    def one_row_a_key(self) -> bool:
        return False


def sources_of(house: House, satellite: Satellite, inputs: Inputs) -> list[RowSource]:
    """The inputs of a satellite as relations, in the order of its definition; those of versions that lack its keys are left out."""
    found: list[RowSource] = []
    for origin in satellite.parent_sources:
        if origin.resource not in inputs:
            continue
        facts = inputs[origin.resource]
        resource = catalogue.resource_at(house, origin.resource, facts["resource_version"])
        own = tuple(_item_of(satellite, name, origin.resource) for name in satellite.key)
        if not {origin.item, *own} <= {item.name for item in resource.items}:
            continue
        rows = lake.version(pool.table(origin.resource), facts["snapshot"])
        found.append(RowSource(resource, rows, ROW_KEY, parent=origin.item, own=own))
    return found


def _keyed(connection: DuckDBPyConnection, source: RowSource, numbers: Sequence[Alias]) -> Source:
    """Its rows with their `row_key`, under the numbers that count."""
    told = aliases.meaning(numbers, source.resource.id)
    (rows,) = renumber.sources(connection, [_Several(source.resource, source.relation, source.parent)], numbers)
    row_key = keys.sql((source.parent, *source.own))
    relation = f"(SELECT *, {row_key} AS {quoted(ROW_KEY)} FROM {rows.relation})"
    return replace(source, relation=relation, moved=bool(told))


def _renumbered(connection: DuckDBPyConnection, relation: str, key: str, numbers: Sequence[Alias]) -> str:
    """The rows before, under the numbers that count now; of several that become one, the last that was seen counts."""
    told = aliases.meaning(numbers, None)
    if not told:
        return relation
    touched = renumber.touch(connection, "renumbered_rows_before", told)
    old, new = f"p.{quoted(key)}", f"coalesce(t._key, p.{quoted(key)})"
    row_key = f"{keys.escaped(new)} || substr(p.{ROW_KEY}, length({keys.escaped(old)}) + 1)"
    place = f"({lake.hashed_sql(new)} % {lake.FILES})::UTINYINT"
    return (
        f"(SELECT p.* REPLACE ({new} AS {quoted(key)}, {row_key} AS {ROW_KEY}, {place} AS _bucket) FROM {relation} p "
        f"LEFT JOIN {touched} t ON {old} = t._number "
        f"QUALIFY row_number() OVER (PARTITION BY {row_key} ORDER BY _build DESC, t._key IS NULL DESC, {old} DESC) = 1)"
    )


def readable(house: House, definition: BaseDefinition, inputs: Inputs) -> bool:
    """Whether every pool that feeds a satellite has the items it is keyed by."""
    return all(
        len(sources_of(house, each, inputs)) == sum(origin.resource in inputs for origin in each.parent_sources)
        for each in definition.satellites
    )


class Merging:
    """All satellites of one build, inside its lake transaction."""

    def __init__(
        self,
        house: House,
        connection: DuckDBPyConnection,
        definition: BaseDefinition,
        last: Last | None,
        numbers: Sequence[Alias],
        inputs: Inputs,
    ) -> None:
        self.house, self.connection, self.definition, self.inputs = house, connection, definition, inputs
        self.last, self.numbers = last, numbers
        self.golden = {each.id: self._golden(each) for each in definition.satellites}

    def whole(self, parents: str) -> dict[str, golden.Counts]:
        """Merge them all; rows, closed, conflicts and rows of nobody of each. `parents`: the base as it is being built."""
        self._drop_retired()
        buckets = part.buckets(self.house.settings.merge_buckets)
        return {
            each.id: self.golden[each.id].whole(self._sources(each, self.inputs), self._before(each), buckets, parents)
            for each in self.definition.satellites
        }

    def nobody(self, touched: dict[str, Listed], parents: str, inputs: Inputs) -> golden.Counts:
        """How many rows under the touched keys of each satellite are nobody's, as of some inputs and the base of then."""
        return {
            each.id: self.golden[each.id].nobody(self._sources(each, inputs), touched[each.id], parents)
            for each in self.definition.satellites
            if each.id in touched
        }

    def remake(self, touched: dict[str, Listed], parents: str, nobody: golden.Counts) -> dict[str, golden.Counts]:
        """Merge the rows under the touched keys anew, once the base is there. `nobody`: as the last build had them."""
        assert self.last is not None  # noqa: S101 - the caller has what it touches since then
        counts = dict(self.last.satellites)
        for each in self.definition.satellites:
            if each.id in touched:
                one = self.golden[each.id]
                before = golden.Before(one.base, self.last.version(one.table))  # by the same definition and numbers as now
                found = one.remake(self._sources(each, self.inputs), before, touched[each.id], parents)
                found["orphans"] += counts[each.id]["orphans"] - nobody[each.id]
                counts[each.id] = found
        return counts

    def facts(self) -> contested.Facts:
        """What was contested, as the build carries it."""
        return [line for name, one in self.golden.items() for line in one.facts(name)]

    def _golden(self, satellite: Satellite) -> Golden:
        base, named = as_base(self.definition, satellite), (self.definition.id, satellite.id)
        told = _without_keys(base, satellite)
        return Golden(self.connection, base, told, table(*named), conflict_table(*named), self.definition.key)

    def _sources(self, satellite: Satellite, inputs: Inputs) -> list[Source]:
        return [_keyed(self.connection, source, self.numbers) for source in sources_of(self.house, satellite, inputs)]

    def _before(self, satellite: Satellite) -> golden.Before | None:
        """The rows there were before. A satellite that is keyed otherwise now begins anew."""
        if self.last is None:
            return None
        definition = self.last.definition
        had = next((each for each in definition.satellites if each.id == satellite.id), None)
        if had is None or had.key != satellite.key:
            return None
        was = self.last.version(table(definition.id, satellite.id))
        return golden.Before(as_base(definition, had), _renumbered(self.connection, was, definition.key, self.numbers))

    def _drop_retired(self) -> None:
        """A satellite that the definition no longer has is not there from this build on."""
        kept = {each.id for each in self.definition.satellites}
        for each in self.last.definition.satellites if self.last is not None else ():
            if each.id not in kept:
                for name in (table, conflict_table):
                    self.connection.execute(f"DROP TABLE IF EXISTS lake.{quoted(name(self.definition.id, each.id))}")


def _without_keys(base: BaseDefinition, satellite: Satellite) -> BaseDefinition:
    """What sources can differ in: rows that differ in a key are not the same row."""
    told = tuple(field for field in base.fields[1:] if field.name not in satellite.key)
    return base.model_copy(update={"fields": told})


def _item_of(satellite: Satellite, field: str, resource: str) -> str:
    """The item that a resource gives for a key field; load has seen to it that there is one."""
    wanted = next(each for each in satellite.fields if each.name == field)
    return next(source.item for source in wanted.sources if source.resource == resource)
