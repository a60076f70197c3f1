"""Which value survives (一数一源), as SQL: the one definition of the merge, used by build and by explain.

Invariant: a field is the normalised, non-null value of the highest source in the order of its definition; within one
source the newest row that has one (by its own update time, nulls last, then batch, then row). Nothing here reads or
writes data: relations in, statements out. tests/reference.py says the same in plain Python.
"""

from dataclasses import dataclass

from exchange.catalogue.model import BaseDefinition, BaseField, Item, Resource
from exchange.catalogue.sql import literal, quoted, sql_type
from pools import lake, pool
from pools.part import Part

# What every base row carries beside key and fields: closed (gone from every source), and the number of the build whose
# inputs its values and pointers come from: for a closed row, the last one that still saw it. An open row is of the very build
# that is read, whichever wrote it: NULL, so that a build need not touch what is as it was (`seen`).
OWN_COLUMNS = {"_closed": "BOOLEAN", "_build": "INTEGER", "_bucket": "UTINYINT"}
# And what the sources said of it that does not count, by pair (`pairs`): a bit where a source and one above it both said something,
# in as many words as it takes, and what those said that said otherwise; so that one pass over the pools is enough.
WORD = 63
OTHERWISE = {"_otherwise": "STRUCT(pair USMALLINT, said VARCHAR)[]"}
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

    def within(self, part: Part) -> str:
        """Predicate: the rows whose key is one of these."""
        return part.of(self.key_item, split_by_it=pool.bucket_item(self.resource) == self.key_item)

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


def base_columns(definition: BaseDefinition, told: BaseDefinition | None = None) -> dict[str, str]:
    """Columns of a base table and their types. `told`: the same with those fields alone in which sources can differ; None: in all."""
    return _said_of(definition) | OWN_COLUMNS | dict.fromkeys(_words(told or definition), "BIGINT") | OTHERWISE


def _said_of(definition: BaseDefinition) -> dict[str, str]:
    """Key and fields, and of each whose word it is."""
    columns = {definition.key: "VARCHAR", pointer(definition.key): "UTINYINT"}
    for field in definition.fields:
        columns |= {field.name: field_type(field), pointer(field.name): "UTINYINT"}
    return columns


def pairs(definition: BaseDefinition) -> list[tuple[BaseField, int]]:
    """Each field with each place but the first: where a source may say otherwise. A pair is known by its number in this list."""
    return [(field, place) for field in definition.fields for place in range(1, len(field.sources))]


def compared(pair: int) -> str:
    """Predicate: in this row, both said something."""
    return f"(_compared_{pair // WORD} & {1 << pair % WORD}) <> 0"


def _words(definition: BaseDefinition) -> list[str]:
    return [f"_compared_{word}" for word in range(-(-len(pairs(definition)) // WORD))]


def seen(relation: str, build: int) -> str:
    """The rows of a base or a satellite as a build left them, each with the number of the build that it is of; SQL after FROM."""
    return f"(SELECT * REPLACE (coalesce(_build, {build}) AS _build) FROM {relation})"


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


def joined(said: list[str]) -> str:
    """Every key of any source with everything that was said of it. `said`: the candidates of each source, as relations."""
    return f"SELECT * FROM {said[0]}" + "".join(f" FULL JOIN {part} USING ({_KEY})" for part in said[1:])


def winners(definition: BaseDefinition, told: BaseDefinition, sources: list[Source], relation: str) -> str:
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
    listed = ", ".join(quoted(name) for name in _said_of(definition))
    beside = ", ".join([*_compared(told, sources), _otherwise(told, sources)])
    return (
        f"SELECT {listed}, false, NULL::INTEGER, {lake.bucket_of(_KEY)}, {beside} "
        f"FROM (SELECT *, {', '.join(columns)} FROM {relation})"
    )


def conflicts(definition: BaseDefinition, relation: str) -> str | None:
    """One row per key, field and losing source with another value than the winner's, out of golden rows; None when nothing can
    differ. The winner of a conflict is the one of the field: whoever stands highest and says something."""
    listed = pairs(definition)
    if not listed:
        return None
    fields = ", ".join(literal(field.name) for field, _ in listed)
    losers = ", ".join(str(place) for _, place in listed)
    values = " ".join(f"WHEN {at} THEN {quoted(field.name)}::VARCHAR" for at, (field, _) in enumerate(listed))
    places = " ".join(f"WHEN {at} THEN {quoted(pointer(field.name))}" for at, (field, _) in enumerate(listed))
    return (
        f"SELECT {quoted(definition.key)} AS key, ([{fields}])[o.pair + 1] AS field, CASE o.pair {places} END AS winner, "
        f"([{losers}])[o.pair + 1]::UTINYINT AS loser, CASE o.pair {values} END AS winner_value, o.said AS loser_value "
        f"FROM (SELECT *, unnest(_otherwise) AS o FROM {relation} WHERE _otherwise IS NOT NULL)"
    )


def _compared(definition: BaseDefinition, sources: list[Source]) -> list[str]:
    """The words of bits: it says something, and one above it does, whose word then counts."""
    bits: dict[int, list[str]] = {}
    for at, field, place in _heard(definition, sources):
        both = f"{said_column(field, place)} IS NOT NULL AND {quoted(pointer(field.name))} < {place}"
        bits.setdefault(at // WORD, []).append(f"(({both})::BIGINT << {at % WORD})")
    return [f"{' | '.join(bits.get(word, ['0::BIGINT']))} AS {name}" for word, name in enumerate(_words(definition))]


def _otherwise(definition: BaseDefinition, sources: list[Source]) -> str:
    """What is said otherwise than what counts, by pair; NULL in most rows, and then nothing is looked at twice."""
    kind = OTHERWISE["_otherwise"]
    differs = [  # NULL on either side is no conflict, and who is the highest to speak differs from nobody
        (at, f"{said_column(field, place)} <> {quoted(field.name)}", said_column(field, place))
        for at, field, place in _heard(definition, sources)
    ]
    if not differs:
        return f"NULL::{kind}"
    each = ", ".join(f"CASE WHEN {test} THEN {{pair: {at}, said: {said}::VARCHAR}} END" for at, test, said in differs)
    some = " OR ".join(test for _, test, _ in differs)
    return f"CASE WHEN {some} THEN list_filter([{each}], lambda one: one IS NOT NULL)::{kind} END"


def _heard(definition: BaseDefinition, sources: list[Source]) -> list[tuple[int, BaseField, int]]:
    """The pairs of which both are there at all: number, field and place."""
    return [
        (at, field, place) for at, (field, place) in enumerate(pairs(definition)) if place in speaking(field, sources)[1:]
    ]


def closed(definition: BaseDefinition, told: BaseDefinition, before: BaseDefinition, previous: str, predicate: str) -> str:
    """The rows of the base before that no source has any more: kept with their last values. `predicate`: which those are."""
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
    silent = ", ".join([*(f"0::BIGINT AS {word}" for word in _words(told)), "NULL AS _otherwise"])
    return f"SELECT {listed}, true, _build, _bucket, {silent} FROM {previous} p WHERE {predicate}"


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
