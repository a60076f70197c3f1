"""Which value survives (一数一源), as SQL: the one definition of the merge, used by build and by explain.

Invariant: a field is the normalised, non-null value of the highest source in the order of its definition; within one
source the newest row that has one (by its own update time, nulls last, then batch, then row). Nothing here reads or
writes data: relations in, statements out. tests/reference.py says the same in plain Python.
"""

from dataclasses import dataclass

from exchange.catalogue.model import BaseDefinition, BaseField, Item, Resource
from exchange.catalogue.sql import literal, quoted, sql_type
from pools import lake, pool

# What every base row carries beside key and fields: closed (gone from every source), and the number of the build whose
# inputs its values and pointers come from (for a closed row: the last build that still saw it).
OWN_COLUMNS = {"_closed": "BOOLEAN", "_build": "INTEGER", "_bucket": "UTINYINT"}
CONFLICT_COLUMNS = {
    "key": "VARCHAR",
    "field": "VARCHAR",
    "winner": "UTINYINT",
    "loser": "UTINYINT",
    "winner_value": "VARCHAR",
    "loser_value": "VARCHAR",
}
_KEY = "_key"


@dataclass(frozen=True)
class Source:
    """One resource that feeds a base: its rows as a relation (SQL after FROM), and the resource as of those rows."""

    resource: Resource
    relation: str
    key_item: str

    def in_bucket(self, bucket: int, buckets: int) -> str:
        """Predicate: the rows whose key is in this bucket."""
        return lake.in_bucket(self.key_item, bucket, buckets, split_by_it=pool.bucket_item(self.resource) == self.key_item)

    @property
    def one_row_a_key(self) -> bool:
        """Whether the gate has already made sure of it; then nothing needs to be grouped."""
        return self.resource.key == (self.key_item,) and self.resource.duplicates != "allow"

    def item(self, name: str) -> Item | None:
        """The item of that name, None when this version of the resource has none."""
        return next((item for item in self.resource.items if item.name == name), None)


def field_type(field: BaseField) -> str:
    """The engine's type of a field: wide enough for every source, as load has computed it."""
    return sql_type(Item(name=field.name, title=field.title, type=field.type, length=field.length, scale=field.scale))


def pointer(name: str) -> str:
    """The column that says which source a field's value comes from: its place in the field's sources, from 0. The key
    has one too: the highest of the key's sources that has a row for it."""
    return f"{name}__src"


def base_columns(definition: BaseDefinition) -> dict[str, str]:
    """Columns of a base table and their types."""
    columns = {definition.key: "VARCHAR", pointer(definition.key): "UTINYINT"}
    for field in definition.fields:
        columns |= {field.name: field_type(field), pointer(field.name): "UTINYINT"}
    return columns | OWN_COLUMNS


def is_key(column: str) -> str:
    """Predicate: this one key, bound as a parameter."""
    return f"{quoted(column)} = ?"


def candidates(definition: BaseDefinition, source: Source, predicate: str) -> str:
    """One row per key: what this source says of every field it feeds, as columns `field:place`."""
    said = []
    for field in definition.fields:
        for place, origin in enumerate(field.sources):
            item = source.item(origin.item) if origin.resource == source.resource.id else None
            if item is not None:
                said.append((_newest(source, typed(item, field)), said_column(field, place)))
    known = f"true AS {_known_column(definition, source)}"
    columns = ", ".join([f"{quoted(source.key_item)} AS {_KEY}", known, *(f"{value} AS {name}" for value, name in said)])
    grouping = "" if source.one_row_a_key else f" GROUP BY {quoted(source.key_item)}"
    return f"SELECT {columns} FROM {source.relation} WHERE {quoted(source.key_item)} IS NOT NULL AND {predicate}{grouping}"


def said_name(field: BaseField, place: int) -> str:
    """The column that holds what the source at this place says of a field."""
    return f"{field.name}:{place}"


def said_column(field: BaseField, place: int) -> str:
    """The same, quoted."""
    return quoted(said_name(field, place))


def joined(definition: BaseDefinition, sources: list[Source], predicates: list[str]) -> str:
    """Every key of any source with everything that was said of it."""
    parts = [
        f"({candidates(definition, source, predicate)}) s{place}"
        for place, (source, predicate) in enumerate(zip(sources, predicates, strict=True))
    ]
    return "SELECT * FROM " + parts[0] + "".join(f" FULL JOIN {part} USING ({_KEY})" for part in parts[1:])


def winners(definition: BaseDefinition, sources: list[Source], relation: str, build: int) -> str:
    """The golden rows of a joined relation, columns in the order of `base_columns`."""
    known = " ".join(
        f"WHEN {_known_column(definition, source)} THEN {_key_place(definition, source)}" for source in sources
    )
    columns = [f"{_KEY} AS {quoted(definition.key)}", f"CASE {known} END::UTINYINT AS {quoted(pointer(definition.key))}"]
    for field in definition.fields:
        places = speaking(field, sources)
        values = ", ".join(said_column(field, place) for place in places)
        chosen = f"COALESCE({values})" if places else f"NULL::{field_type(field)}"
        whens = " ".join(f"WHEN {said_column(field, place)} IS NOT NULL THEN {place}" for place in places)
        which = f"CASE {whens} END::UTINYINT" if places else "NULL::UTINYINT"
        columns += [f"{chosen} AS {quoted(field.name)}", f"{which} AS {quoted(pointer(field.name))}"]
    return f"SELECT {', '.join(columns)}, false, {build}, {lake.bucket_of(_KEY)} FROM {relation}"


def conflicts(definition: BaseDefinition, sources: list[Source], relation: str) -> str | None:
    """One row per key, field and losing source with another value than the winner's; None when nothing can differ."""
    found = [
        _conflict(field, places, at)
        for field in definition.fields
        for places in [speaking(field, sources)]
        for at in range(1, len(places))
    ]
    return " UNION ALL ".join(f"{select} FROM {relation} WHERE {where}" for select, where in found) or None


def closed(definition: BaseDefinition, before: BaseDefinition, previous: str, relation: str, predicate: str) -> str:
    """The rows of the base before whose keys no source has any more: kept with their last values."""
    had = {field.name: field for field in before.fields}
    columns = [quoted(before.key), quoted(pointer(before.key))]
    for field in definition.fields:
        if field.name not in had:
            columns += [f"NULL::{field_type(field)}", "NULL::UTINYINT"]
        else:
            columns += [
                _cast(quoted(field.name), field_type(had[field.name]), field_type(field)),
                quoted(pointer(field.name)),
            ]
    listed = ", ".join(f"{value} AS {quoted(name)}" for value, name in zip(columns, base_columns(definition), strict=False))
    return (
        f"SELECT {listed}, true, _build, _bucket FROM {previous} p "
        f"WHERE {predicate} AND NOT EXISTS (SELECT 1 FROM {relation} j WHERE j.{_KEY} = p.{quoted(before.key)})"
    )


def speaking(field: BaseField, sources: list[Source]) -> list[int]:
    """The places of a field's sources that are there at all, in order of authority."""
    there = {source.resource.id: source for source in sources}
    return [
        place
        for place, origin in enumerate(field.sources)
        if origin.resource in there and there[origin.resource].item(origin.item) is not None
    ]


def age(resource: Resource) -> str:
    """How new a row says it is; a row that does not say is older than any other."""
    stamp = next((quoted(item.name) for item in resource.items if item.is_timestamp), "NULL")
    return f"COALESCE({stamp}::TIMESTAMP, '-infinity'::TIMESTAMP)"


def _key_place(definition: BaseDefinition, source: Source) -> int:
    return [origin.resource for origin in definition.key_sources].index(source.resource.id)


def _known_column(definition: BaseDefinition, source: Source) -> str:
    return quoted(f"{definition.key}:{_key_place(definition, source)}")


def _conflict(field: BaseField, places: list[int], at: int) -> tuple[str, str]:
    said = [said_column(field, place) for place in places]
    higher, loser = said[:at], said[at]
    winner = f"COALESCE({', '.join(higher)})"
    which = " ".join(f"WHEN {said_column(field, place)} IS NOT NULL THEN {place}" for place in places[:at])
    select = (
        f"SELECT {_KEY} AS key, {literal(field.name)} AS field, CASE {which} END::UTINYINT AS winner, "
        f"{places[at]}::UTINYINT AS loser, {winner}::VARCHAR AS winner_value, {loser}::VARCHAR AS loser_value"
    )
    return select, f"{loser} <> {winner}"  # NULL on either side is no conflict


def _newest(source: Source, value: str) -> str:
    """Among the rows of one key, the newest that has a value."""
    if source.one_row_a_key:
        return value
    return f"arg_max({value}, ROW({age(source.resource)}, _batch, _row)) FILTER (WHERE {value} IS NOT NULL)"


def typed(item: Item, field: BaseField) -> str:
    """SQL: an item's value as the field has it."""
    return _cast(quoted(item.name), sql_type(item), field_type(field))


def _cast(expression: str, found: str, wanted: str) -> str:
    return expression if found == wanted else f"TRY_CAST({expression} AS {wanted})"
