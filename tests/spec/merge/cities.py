"""A city whose departments push and whose base is built: once by the engine, once by the reference.

Both answer in drawn tables, so a spec is written once and says nothing of how.
"""

from collections import Counter
from datetime import date, datetime
from typing import Any, Protocol

from sqlalchemy import select

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, Resource
from exchange.house import House
from exchange.registry.models import BaseBuild, ConflictCount
from pools import aliases, authority, lake, merge, satellites
from pools.contested import contested
from pools.explain import explain
from pools.reader import IndexReader
from pools.survivorship import pointer
from tests.drawn import Row
from tests.pools import given
from tests.reference import Golden, GoldenRow, ReferenceBase


class City(Protocol):
    """What a spec may do."""

    def push(self, resource: str, rows: list[Row]) -> None:
        """A full push of one resource becomes its pool."""

    def alias(self, old: str, new: str, *resources: str) -> None:
        """From today on `old` stands for `new`; with resources: in their rows alone."""

    def end_alias(self, old: str) -> None:
        """From the next build on it does not."""

    def build(self, on: str | None = None) -> None:
        """`on`: the day whose orders of authority count, where a spec is about them."""
        ...

    def base(self) -> list[Row]:
        """key, per field its value and `<field> from` (the resource that said it), closed."""
        ...

    def conflicts(self) -> list[Row]:
        """key, field, winner, loser (resources) and their values."""
        ...

    def satellite(self, name: str) -> list[Row]:
        """of (the parent's key), per field its value and `<field> from`, closed."""
        ...

    def orphans(self, name: str) -> int:
        """Rows of a satellite whose parent is no record of the base, as of the last build."""
        ...

    def since(self) -> list[Row]:
        """key, field, source (resource), what it says, and the push in which it first said so."""
        ...

    def answered(self, numbers: list[str]) -> dict[str, str | None]:
        """Under which key somebody is answered who asks by each of these numbers, as of the last build."""
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

    def build(self, on: str | None = None) -> None:
        merge.build(self.house, self.definition.id, on=_day(on))

    def base(self) -> list[Row]:
        return [
            {"key": row[self.definition.key]} | self._fields(row, self._made_by(row["_build"]).fields)
            for row in self._rows(merge.table(self.definition.id), self.definition.key)
        ]

    def satellite(self, name: str) -> list[Row]:
        table, key = satellites.table(self.definition.id, name), self.definition.key
        found = []
        for row in self._rows(table, satellites.ROW_KEY):
            made_by = next(each for each in self._made_by(row["_build"]).satellites if each.id == name)
            found.append({"of": row[key]} | self._fields(row, made_by.fields))
        return found

    def orphans(self, name: str) -> int:
        return self._last().satellites[name]["orphans"]

    def conflicts(self) -> list[Row]:
        made_by = authority.definition_of(self.house, self._last())
        shown = self._conflicts(merge.conflict_table(made_by.id), "", made_by.fields)
        for each in made_by.satellites:
            shown += self._conflicts(satellites.conflict_table(made_by.id, each.id), f"{each.id}.", each.fields)
        return shown

    def contested(self) -> Counter[tuple[str | None, str | None]]:
        """How often each source was found to differ, by field, as the build has counted it."""
        found: Counter[tuple[str | None, str | None]] = Counter()
        for one in contested(self.house, self.definition.id):
            if one.differing:
                found[f"{one.satellite}.{one.field}" if one.satellite else one.field, one.resource] += one.differing
        return found

    def _conflicts(self, table: str, prefix: str, fields: tuple[BaseField, ...]) -> list[Row]:
        sources = {field.name: field.sources for field in fields}
        return [
            {
                "key": row["key"],
                "field": prefix + row["field"],
                "winner": sources[row["field"]][row["winner"]].resource,
                "said": row["winner_value"],
                "loser": sources[row["field"]][row["loser"]].resource,
                "but said": row["loser_value"],
            }
            for row in self._rows(table, "key, field, loser")
        ]

    def _fields(self, row: dict[str, Any], fields: tuple[BaseField, ...]) -> Row:
        shown: Row = {}
        for field in fields:
            place = row[pointer(field.name)]
            shown[field.name] = _text(row[field.name])
            shown[f"{field.name} from"] = None if place is None else field.sources[place].resource
        return shown | {"closed": "yes" if row["_closed"] else None}

    def _made_by(self, number: int | None) -> BaseDefinition:
        """By which definition a row was made: a closed one by that of the build it names."""
        if number is None:
            return authority.definition_of(self.house, self._last())
        with self.house.registry.session() as session:
            return authority.definition_of(self.house, merge.build_numbered(session, self.definition.id, number))

    def _last(self) -> BaseBuild:
        with self.house.registry.session() as session:
            built = merge.last_build(session, self.definition.id)
        assert built is not None
        return built

    def since(self) -> list[Row]:
        found: list[Row] = []
        for row in self._rows(merge.table(self.definition.id), self.definition.key):
            explained = explain(self.house, self.definition.id, row[self.definition.key])
            for field in explained.fields:
                said = [word for word in (field.source, *field.others) if word is not None]
                found += [_since(explained.key, field.field, word.resource, word.value, word.since_batch) for word in said]
        return sorted(found, key=str)

    def answered(self, numbers: list[str]) -> dict[str, str | None]:
        found = IndexReader(self.house).earlier(f"base:{self.definition.id}", numbers, self._last().id)
        return {number: None if record is None else record.key for number, record in found.records.items()}

    def _rows(self, table: str, order: str) -> list[dict[str, Any]]:
        with lake.opened(self.house) as connection:
            found = connection.execute(f"SELECT * FROM lake.{table} ORDER BY {order}")
            names = [column[0] for column in found.description]
            return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


class TouchedCity(EngineCity):
    """The real thing, where every build makes as few keys anew as it may."""

    def __init__(self, house: House, definition: BaseDefinition, resources: list[Resource]) -> None:
        super().__init__(with_settings(house, merge_touched=1, merge_buckets=1), definition, resources)


class TwinCity(TouchedCity):
    """The same, and beside it a twin of the base, made whole every time, that must be the same in every row and every count."""

    def __init__(self, house: House, definition: BaseDefinition, resources: list[Resource]) -> None:
        super().__init__(house, definition, resources)
        self.whole = with_settings(house, merge_touched=0)
        self.twin = definition.model_copy(update={"id": f"{definition.id}_twin"})
        self.twin_aliases: dict[str, str] = {}
        given.entered(house, self.twin)

    def alias(self, old: str, new: str, *resources: str) -> None:
        super().alias(old, new, *resources)
        self.twin_aliases[old] = given.aliased(self.house, self.twin.id, old, new, *resources)

    def end_alias(self, old: str) -> None:
        super().end_alias(old)
        aliases.end(self.house, given.OPERATOR, self.twin_aliases.pop(old), "登记有误")

    def build(self, on: str | None = None) -> None:
        built = merge.build(self.house, self.definition.id, on=_day(on))
        twin = merge.build(self.whole, self.twin.id, on=_day(on))
        assert (built is None) == (twin is None)
        if built is None or twin is None:
            return
        assert twin.built == "whole"
        assert self._everything(built) == self._everything(twin)

    def _everything(self, view: merge.BuildView) -> dict[str, Any]:
        """All that a build left, but its own name and how it was made."""
        one = ("id", "base_id", "snapshot", "built", "because", "touched", "built_at", "links")
        with self.house.registry.session() as session:
            counted = session.scalars(select(ConflictCount).where(ConflictCount.build_id == view.id)).all()
        found: dict[str, Any] = {name: value for name, value in view.as_dict().items() if name not in one}
        found["links"] = {name: (link["resolved"], link["unresolved"]) for name, link in view.links.items()}
        found["contested"] = sorted((c.satellite, c.field, c.resource_id, c.item, c.compared, c.differing) for c in counted)
        found["base"] = self._rows(merge.table(view.base_id), "ALL")
        found["conflict"] = self._rows(merge.conflict_table(view.base_id), "ALL")
        for each in self.definition.satellites:
            found[each.id] = self._rows(satellites.table(view.base_id, each.id), "ALL")
            found[f"{each.id} conflict"] = self._rows(satellites.conflict_table(view.base_id, each.id), "ALL")
        return found


def with_settings(house: House, **settings: object) -> House:
    """The same house, set otherwise."""
    return House(house.settings.model_copy(update=settings), house.seal, house.databases, house.registry)


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

    def build(self, on: str | None = None) -> None:
        self.reference.build(_day(on) or date(2026, 11, 1))

    def base(self) -> list[Row]:
        return [
            {"key": key} | self._fields(golden, self.reference.in_force[golden.build - 1].fields)
            for key, golden in sorted(self.reference.golden.items())
        ]

    def satellite(self, name: str) -> list[Row]:
        found = []
        for key, row in sorted(self.reference.rows[name].items(), key=lambda pair: "|".join(map(str, pair[0]))):
            made_by = self.reference.in_force[row.build - 1].satellites
            found.append({"of": key[0]} | self._fields(row, next(each.fields for each in made_by if each.id == name)))
        return found

    def orphans(self, name: str) -> int:
        return self.reference.orphans[name]

    def _fields(self, row: Golden | GoldenRow, fields: tuple[BaseField, ...]) -> Row:
        shown: Row = {}
        for field in fields:
            place = row.places[field.name]
            shown[field.name] = _text(row.values[field.name])
            shown[f"{field.name} from"] = None if place is None else field.sources[place].resource
        return shown | {"closed": "yes" if row.closed else None}

    def conflicts(self) -> list[Row]:
        made_by = self.reference.in_force[-1]
        fields = {field.name: field.sources for field in made_by.fields}
        for each in made_by.satellites:
            fields |= {f"{each.id}.{field.name}": field.sources for field in each.fields}
        order = ["", *(each.id for each in made_by.satellites)]
        return [
            {
                "key": found.key,
                "field": found.field,
                "winner": fields[found.field][found.winner].resource,
                "said": found.winner_value,
                "loser": fields[found.field][found.loser].resource,
                "but said": found.loser_value,
            }
            for found in sorted(
                self.reference.conflicts,
                key=lambda found: (order.index(found.field.rpartition(".")[0]), found.key, found.field, found.loser),
            )
        ]

    def since(self) -> list[Row]:
        made_by = [{each.name: each.sources for each in base.fields} for base in self.reference.in_force]
        found = [
            _since(key, field, made_by[golden.build - 1][field][place].resource, golden.said[field, place], batch)
            for key, golden in self.reference.golden.items()
            for (field, place), batch in golden.since.items()
        ]
        return sorted(found, key=str)

    def answered(self, numbers: list[str]) -> dict[str, str | None]:
        return {number: self.reference.answered(number) for number in numbers}


def _since(key: str, field: str, source: str, value: object, batch: int) -> Row:
    return {"key": key, "field": field, "source": source, "said": str(value), "since": str(batch)}


def _typed(cell: str | None, kind: DataType) -> object:
    if cell is None:
        return None
    return datetime.fromisoformat(cell) if kind in (DataType.DATE, DataType.TIMESTAMP) else cell


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)


def _text(value: object) -> str | None:
    return None if value is None else str(value)
