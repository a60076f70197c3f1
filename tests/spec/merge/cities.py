"""A city whose departments push and whose base is built: once by the engine, once by the reference.

Both answer in drawn tables, so a spec is written once and says nothing of how.
"""

from datetime import datetime
from typing import Any, Protocol

from exchange.catalogue.model import BaseDefinition, DataType, Resource
from exchange.house import House
from pools import aliases, lake, merge
from pools.explain import explain
from pools.survivorship import pointer
from tests.drawn import Row
from tests.pools import given
from tests.reference import ReferenceBase


class City(Protocol):
    """What a spec may do."""

    def push(self, resource: str, rows: list[Row]) -> None:
        """A full push of one resource becomes its pool."""

    def alias(self, old: str, new: str, *resources: str) -> None:
        """From today on `old` stands for `new`; with resources: in their rows alone."""

    def end_alias(self, old: str) -> None:
        """From the next build on it does not."""

    def build(self) -> None: ...

    def base(self) -> list[Row]:
        """key, per field its value and `<field> from` (the resource that said it), closed."""
        ...

    def conflicts(self) -> list[Row]:
        """key, field, winner, loser (resources) and their values."""
        ...

    def since(self) -> list[Row]:
        """key, field, source (resource), what it says, and the push in which it first said so."""
        ...


class EngineCity:
    """The real thing: pools in the lake, merged by SQL."""

    def __init__(self, house: House, definition: BaseDefinition, resources: list[Resource]) -> None:
        given.entered(house, *resources, definition)
        self.house = house
        self.definition = definition
        self.resources = {resource.id: resource for resource in resources}
        self.batches = 0
        self.aliases: dict[str, str] = {}

    def push(self, resource: str, rows: list[Row]) -> None:
        self.batches += 1
        given.pooled(self.house, self.resources[resource], self.batches, rows)

    def alias(self, old: str, new: str, *resources: str) -> None:
        self.aliases[old] = given.aliased(self.house, self.definition.id, old, new, *resources)

    def end_alias(self, old: str) -> None:
        aliases.end(self.house, given.OPERATOR, self.aliases.pop(old), "登记有误")

    def build(self) -> None:
        merge.build(self.house, self.definition.id)

    def base(self) -> list[Row]:
        found = []
        for row in self._rows(merge.table(self.definition.id), self.definition.key):
            shown = {"key": row[self.definition.key]}
            for field in self.definition.fields:
                place = row[pointer(field.name)]
                shown[field.name] = _text(row[field.name])
                shown[f"{field.name} from"] = None if place is None else field.sources[place].resource
            found.append(shown | {"closed": "yes" if row["_closed"] else None})
        return found

    def conflicts(self) -> list[Row]:
        fields = {field.name: field.sources for field in self.definition.fields}
        return [
            {
                "key": row["key"],
                "field": row["field"],
                "winner": fields[row["field"]][row["winner"]].resource,
                "said": row["winner_value"],
                "loser": fields[row["field"]][row["loser"]].resource,
                "but said": row["loser_value"],
            }
            for row in self._rows(merge.conflict_table(self.definition.id), "key, field, loser")
        ]

    def since(self) -> list[Row]:
        found: list[Row] = []
        for row in self._rows(merge.table(self.definition.id), self.definition.key):
            explained = explain(self.house, self.definition.id, row[self.definition.key])
            for field in explained.fields:
                said = [word for word in (field.source, *field.others) if word is not None]
                found += [_since(explained.key, field.field, word.resource, word.value, word.since_batch) for word in said]
        return sorted(found, key=str)

    def _rows(self, table: str, order: str) -> list[dict[str, Any]]:
        with lake.opened(self.house) as connection:
            found = connection.execute(f"SELECT * FROM lake.{table} ORDER BY {order}")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class ReferenceCity:
    """The same in plain Python."""

    def __init__(self, definition: BaseDefinition, resources: list[Resource]) -> None:
        self.reference = ReferenceBase(definition, {resource.id: resource for resource in resources})
        self.batches = 0

    def push(self, resource: str, rows: list[Row]) -> None:
        self.batches += 1
        kinds = {item.name: item.type for item in self.reference.resources[resource].items}
        typed = [{name: _typed(cell, kinds[name]) for name, cell in row.items()} for row in rows]
        self.reference.push(resource, self.batches, typed)

    def alias(self, old: str, new: str, *resources: str) -> None:
        self.reference.alias(old, new, resources)

    def end_alias(self, old: str) -> None:
        self.reference.end_alias(old)

    def build(self) -> None:
        self.reference.build()

    def base(self) -> list[Row]:
        found = []
        for key, golden in sorted(self.reference.golden.items()):
            shown: Row = {"key": key}
            for field in self.reference.definition.fields:
                place = golden.places[field.name]
                shown[field.name] = _text(golden.values[field.name])
                shown[f"{field.name} from"] = None if place is None else field.sources[place].resource
            found.append(shown | {"closed": "yes" if golden.closed else None})
        return found

    def conflicts(self) -> list[Row]:
        fields = {field.name: field.sources for field in self.reference.definition.fields}
        return [
            {
                "key": found.key,
                "field": found.field,
                "winner": fields[found.field][found.winner].resource,
                "said": found.winner_value,
                "loser": fields[found.field][found.loser].resource,
                "but said": found.loser_value,
            }
            for found in sorted(self.reference.conflicts, key=lambda found: (found.key, found.field, found.loser))
        ]

    def since(self) -> list[Row]:
        fields = {field.name: field.sources for field in self.reference.definition.fields}
        found = [
            _since(key, field, fields[field][place].resource, golden.said[field, place], batch)
            for key, golden in self.reference.golden.items()
            for (field, place), batch in golden.since.items()
        ]
        return sorted(found, key=str)


def _since(key: str, field: str, source: str, value: object, batch: int) -> Row:
    return {"key": key, "field": field, "source": source, "said": str(value), "since": str(batch)}


def _typed(cell: str | None, kind: DataType) -> object:
    if cell is None:
        return None
    return datetime.fromisoformat(cell) if kind in (DataType.DATE, DataType.TIMESTAMP) else cell


def _text(value: object) -> str | None:
    return None if value is None else str(value)
