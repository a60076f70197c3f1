"""The rows under one golden record explained: per field its value, whose word it is, and who says otherwise.

Invariant: read from the satellites as the build left them; a row that is closed is explained by the build that saw it last.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseDefinition, BaseField, Satellite
from exchange.registry.models import BaseBuild
from pools import lake, satellites, survivorship

Made = Callable[[int], tuple[BaseDefinition, BaseBuild]]  # a build by its number, and the definition it was made by


@dataclass(frozen=True)
class Word:
    """What one source says."""

    resource: str
    department: str
    provider: str
    batch: int
    push: str
    value: str


@dataclass(frozen=True)
class RowField:
    """A field of a row: its value, whose word it is (None: nobody said anything), and what others say otherwise."""

    field: str
    title: str
    value: str | None
    source: Word | None
    others: tuple[Word, ...]


@dataclass(frozen=True)
class RowExplained:
    """One row of a satellite."""

    satellite: str
    title: str
    closed: bool
    fields: tuple[RowField, ...]


def explained(
    connection: DuckDBPyConnection, definition: BaseDefinition, newest: BaseBuild, key: str, made: Made
) -> tuple[RowExplained, ...]:
    """Every row under one record as of a build, satellite by satellite."""
    return tuple(row for each in definition.satellites for row in _rows(connection, definition, each, newest, key, made))


def _rows(
    connection: DuckDBPyConnection, base: BaseDefinition, satellite: Satellite, newest: BaseBuild, key: str, made: Made
) -> list[RowExplained]:
    rows = _read(connection, satellites.table(base.id, satellite.id), newest, survivorship.is_key(base.key), [key])
    otherwise: dict[tuple[str, str], list[dict[str, Any]]] = {}
    wanted = [row[satellites.ROW_KEY] for row in rows if not row["_closed"]]
    differing = satellites.conflict_table(base.id, satellite.id)
    for conflict in _read(connection, differing, newest, "list_contains(?, key)", [wanted]) if wanted else ():
        otherwise.setdefault((conflict["key"], conflict["field"]), []).append(conflict)
    shown = []
    for row in sorted(rows, key=lambda row: str(row[satellites.ROW_KEY])):
        definition, seen = made(row["_build"] or newest.number)
        fields = next(each.fields for each in definition.satellites if each.id == satellite.id)
        told = tuple(_field(each, row, seen, otherwise.get((row[satellites.ROW_KEY], each.name), [])) for each in fields)
        shown.append(RowExplained(satellite.id, satellite.title, row["_closed"], told))
    return shown


def _read(
    connection: DuckDBPyConnection, table: str, built: BaseBuild, predicate: str, bound: list[Any]
) -> list[dict[str, Any]]:
    found = connection.execute(f"SELECT * FROM {lake.version(table, built.snapshot)} WHERE {predicate}", bound)
    names = [column[0] for column in found.description]
    return [dict(zip(names, cells, strict=True)) for cells in found.fetchall()]


def _field(field: BaseField, row: dict[str, Any], seen: BaseBuild, conflicts: list[dict[str, Any]]) -> RowField:
    value, place = row.get(field.name), row.get(survivorship.pointer(field.name))
    source = None if place is None else _word(field, place, seen, str(value))
    conflicts = sorted(conflicts, key=lambda conflict: int(conflict["loser"]))
    others = tuple(_word(field, conflict["loser"], seen, conflict["loser_value"]) for conflict in conflicts)
    return RowField(field.name, field.title, None if value is None else str(value), source, others)


def _word(field: BaseField, place: int, seen: BaseBuild, value: str) -> Word:
    resource = field.sources[place].resource
    facts = seen.inputs[resource]
    return Word(resource, facts["department"], facts["provider"], facts["batch"], facts["push"], value)
