"""Explain: who said what, since when, and who said otherwise, for every field of one golden record.

Invariant: nothing is kept for explaining; everything is read again from the very versions of the pools that the record was
merged from, by the same SQL, so an explanation can't drift from the merge.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from duckdb import DuckDBPyConnection

from exchange import catalogue, keys
from exchange.catalogue.model import BaseDefinition, BaseField
from exchange.errors import NotFound
from exchange.house import House
from exchange.keys import KeyItem
from exchange.registry.models import BaseBuild
from pools import lake, merge, pool, survivorship
from pools.pool import PoolCommitView
from pools.survivorship import Source

Row = dict[str, Any]

_AT_ONCE = 16  # versions of a pool read in one statement while walking back


@dataclass(frozen=True)
class Said:
    """One source's word on a field. `since`: the first batch in which that source's row carried this value."""

    resource: str
    item: str
    department: str
    provider: str
    batch: int
    push: str
    value: str
    since_batch: int
    since_push: str
    differs: bool  # from the value that counts: then it is a conflict


@dataclass(frozen=True)
class FieldExplained:
    """A field: its value, whose word it is (None: nobody said anything), and what the others say, in order of authority."""

    field: str
    title: str
    value: str | None
    source: Said | None
    others: tuple[Said, ...]


@dataclass(frozen=True)
class Explanation:
    """A golden record explained. A closed one is explained as of the last build that still saw its key."""

    base: str
    build: str
    key: str
    closed: bool
    fields: tuple[FieldExplained, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(house: House, base_id: str, key: str, field: str | None = None) -> Explanation:
    """Explain one record of a base as built last, or one field of it.

    Raises:
        NotFound: no such base, build, key or field. The key is not repeated in the message.
    """
    newest = _newest(house, base_id)
    definition = catalogue.base_at(house, base_id, newest.base_version)
    key = keys.stored((KeyItem(definition.key, identifier=definition.key_identifier),), key)
    with lake.opened(house) as connection:
        row = _golden(house, connection, newest, key)
        seen = _build_of(house, base_id, row["_build"])
        definition = catalogue.base_at(house, base_id, seen.base_version)
        wanted = [kept for kept in _fields(definition, field) if survivorship.pointer(kept.name) in row]
        sources = merge.sources_of(house, definition, seen.inputs)
        history = {source.resource.id: _History(house, connection, definition, source, seen, key) for source in sources}
        explained = tuple(_explained(wanted_field, row, history) for wanted_field in wanted)
    return Explanation(base_id, newest.id, key, row["_closed"], explained)


class _History:
    """What one source says of one key, in the version that was merged and in those before it."""

    def __init__(
        self,
        house: House,
        connection: DuckDBPyConnection,
        definition: BaseDefinition,
        source: Source,
        seen: BaseBuild,
        key: str,
    ) -> None:
        self.house, self.connection, self.definition, self.key = house, connection, definition, key
        self.key_item = source.key_item
        self.facts = seen.inputs[source.resource.id]
        every = pool.versions(house, source.resource.id)
        self.versions = [view for view in every if view.snapshot <= self.facts["snapshot"]]
        self.read: list[Row] = []
        self.reading = self._walk()

    def value(self, column: str) -> Any:
        """What it says in the version that was merged."""
        return self._at(0).get(column)

    def since(self, column: str) -> PoolCommitView:
        """The first version that carries that value, also when others came between."""
        carrying = [place for place in range(len(self.versions)) if self._at(place).get(column) == self.value(column)]
        return self.versions[carrying[-1]]

    def _at(self, place: int) -> Row:
        while len(self.read) <= place:
            self.read += islice(self.reading, 1)
        return self.read[place]

    def _walk(self) -> Iterator[Row]:
        """The source's row of the key, version by version, newest first; {} where it had none."""
        for start in range(0, len(self.versions), _AT_ONCE):
            some = self.versions[start : start + _AT_ONCE]
            parts = [self._one(place, view) for place, view in enumerate(some)]
            asked = [part for part in parts if part is not None]
            found: dict[int, Row] = {}
            if asked:
                rows = self.connection.execute(" UNION ALL BY NAME ".join(asked), [self.key] * len(asked))
                names = [column[0] for column in rows.description]
                found = {row["_place"]: row for row in (dict(zip(names, cells, strict=True)) for cells in rows.fetchall())}
            yield from (found.get(place, {}) for place in range(len(some)))

    def _one(self, place: int, view: PoolCommitView) -> str | None:
        resource = catalogue.resource_at(self.house, view.resource_id, view.resource_version)
        source = Source(resource, lake.version(pool.table(resource.id), view.snapshot), self.key_item)
        if source.item(self.key_item) is None:
            return None
        said = survivorship.candidates(self.definition, source, survivorship.is_key(self.key_item))
        return f"SELECT {place} AS _place, * FROM ({said})"


def _explained(field: BaseField, row: Row, history: dict[str, _History]) -> FieldExplained:
    counts = row[survivorship.pointer(field.name)]
    source: Said | None = None
    others = []
    for place, origin in enumerate(field.sources):
        said = _said(field, place, history.get(origin.resource), row[field.name])
        if said is not None and place == counts:
            source = said
        elif said is not None:
            others.append(said)
    return FieldExplained(field.name, field.title, _text(row[field.name]), source, tuple(others))


def _said(field: BaseField, place: int, history: _History | None, counts: Any) -> Said | None:
    column = survivorship.said_name(field, place)
    value = None if history is None else history.value(column)
    if history is None or value is None:
        return None
    since = history.since(column)
    facts, origin = history.facts, field.sources[place]
    return Said(
        resource=origin.resource,
        item=origin.item,
        department=facts["department"],
        provider=facts["provider"],
        batch=facts["batch"],
        push=facts["push"],
        value=str(value),
        since_batch=since.batch,
        since_push=since.push_id,
        differs=value != counts,
    )


def _newest(house: House, base_id: str) -> BaseBuild:
    definition = catalogue.base(house, base_id)
    with house.registry.session() as session:
        built = merge.last_build(session, definition.id)
    if built is None:
        raise NotFound(
            f"基础库 {base_id} 还没有归并过，请先运行 exchange build {base_id}",
            f"base {base_id} was never built; run `exchange build {base_id}` first",
            base=base_id,
        )
    return built


def _golden(house: House, connection: DuckDBPyConnection, built: BaseBuild, key: str) -> Row:
    definition = catalogue.base_at(house, built.base_id, built.base_version)
    relation = lake.version(merge.table(built.base_id), built.snapshot)
    found = connection.execute(f"SELECT * FROM {relation} WHERE {survivorship.is_key(definition.key)}", [key])
    names = [column[0] for column in found.description]
    cells = found.fetchone()
    if cells is None:
        raise NotFound(
            f"基础库 {built.base_id}（构建 {built.id}）里没有这个主键",
            f"base {built.base_id} (build {built.id}) has no such key",
            base=built.base_id,
            build=built.id,
        )
    return dict(zip(names, cells, strict=True))


def _build_of(house: House, base_id: str, number: int) -> BaseBuild:
    with house.registry.session() as session:
        return merge.build_numbered(session, base_id, number)


def _fields(definition: BaseDefinition, field: str | None) -> list[BaseField]:
    wanted = [found for found in definition.fields if field in (None, found.name)]
    if not wanted:
        names = "、".join(found.name for found in definition.fields)
        raise NotFound(
            f"基础库 {definition.id} 没有字段 {field}；它的字段有：{names}",
            f"base {definition.id} has no field {field}; its fields are {names}",
            base=definition.id,
            field=field,
        )
    return wanted


def _text(value: Any) -> str | None:
    return None if value is None else str(value)
