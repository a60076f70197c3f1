"""Explain: who said what, since when, and who said otherwise, for every field of one golden record.

Invariant: what is said is read again from the very versions of the pools that the record was merged from, by the same SQL,
so an explanation can't drift from the merge. `since` reaches further back than versions are kept: a row carries its first
batch, and `pools/said.py` knows what aged versions said first. What was said under a number that stands for the record's own
is part of its history, and both numbers are shown.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from datetime import date
from itertools import islice
from typing import Any

from duckdb import DuckDBPyConnection

from exchange import catalogue, keys
from exchange.catalogue.model import BaseDefinition, BaseField
from exchange.catalogue.sql import quoted
from exchange.errors import NotFound
from exchange.house import House
from exchange.keys import KeyItem
from exchange.registry.models import BaseBuild
from pools import aliases, authority, lake, links, merge, pool, renumber, rows, said, survivorship
from pools.aliases import AliasView
from pools.links import LinkFollowed
from pools.pool import PoolCommitView
from pools.rows import RowExplained
from pools.said import First
from pools.survivorship import Source

Row = dict[str, Any]

_AT_ONCE = 16  # versions of a pool read in one statement while walking back


@dataclass(frozen=True)
class Said:
    """One source's word on a field. `since`: the first batch in which that source's row carried this value; None where that
    is no longer known."""

    resource: str
    item: str
    department: str
    provider: str
    batch: int
    push: str
    value: str
    since_batch: int | None
    since_push: str | None
    differs: bool  # from the value that counts: then it is a conflict
    number: str | None = None  # under which it was said, where that is not the record's own


@dataclass(frozen=True)
class FieldExplained:
    """A field: its value, whose word it is (None: nobody said anything), and what the others say, in order of authority."""

    field: str
    title: str
    value: str | None
    source: Said | None
    others: tuple[Said, ...]


@dataclass(frozen=True)
class Number:
    """A number that stands for another, `key`: since when, of which kind (变更, 错号, 重号), by whom and on which basis; or an
    older one (组织机构代码, 注册号) by which a source knows the record. `resources`: whose rows of it are meant; none named:
    everybody's."""

    number: str
    key: str
    alias: str | None
    kind: str
    since: date | None
    resources: tuple[str, ...]
    by: str | None
    basis: str | None


@dataclass(frozen=True)
class Explanation:
    """A golden record explained. A closed one is explained as of the last build that still saw its key. `forgotten`: sources
    whose version of then is no longer kept, so that only what counts is known of their word. `asked`: the number it was asked
    for by, where that stands for `key`; `numbers`: every one that does, and where `key` itself does for some sources, that too."""

    base: str
    build: str
    key: str
    closed: bool
    fields: tuple[FieldExplained, ...]
    forgotten: tuple[str, ...] = ()
    asked: str | None = None
    numbers: tuple[Number, ...] = ()
    rows: tuple[RowExplained, ...] = ()  # of its satellites
    links: tuple[LinkFollowed, ...] = ()  # where they lead now

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(house: House, base_id: str, key: str, field: str | None = None) -> Explanation:
    """Explain one record of a base as built last, or one field of it.

    Raises:
        NotFound: no such base, build, key or field. The key is not repeated in the message.
    """
    newest = _newest(house, base_id)
    definition = authority.definition_of(house, newest)
    asked = keys.stored((KeyItem.of_base(definition),), key)
    with lake.opened(house) as connection:
        known = _Numbers(house, connection, newest, asked)
        key = known.key
        row = _golden(house, connection, newest, key)
        seen = _build_of(house, base_id, row["_build"])
        definition = authority.definition_of(house, seen)
        wanted = [kept for kept in _fields(definition, field) if survivorship.pointer(kept.name) in row]
        sources = merge.sources_of(house, definition, seen.inputs)
        then = _last_seen(house, connection, known, seen) if row["_closed"] else known
        history = {
            source.resource.id: _History(house, connection, definition, source, seen, then, key) for source in sources
        }
        explained = tuple(_explained(wanted_field, row, history) for wanted_field in wanted)
        forgotten = tuple(sorted(name for name, one in history.items() if one.forgotten))
        under = () if field is not None else _rows_under(house, connection, newest, key)
        linked = _linked(house, connection, definition, row, field)
    other = None if asked == key else asked
    return Explanation(base_id, newest.id, key, row["_closed"], explained, forgotten, other, known.shown(), under, linked)


def _rows_under(house: House, connection: DuckDBPyConnection, newest: BaseBuild, key: str) -> tuple[RowExplained, ...]:
    def made(number: int) -> tuple[BaseDefinition, BaseBuild]:
        built = _build_of(house, newest.base_id, number)
        return authority.definition_of(house, built), built

    return rows.explained(connection, authority.definition_of(house, newest), newest, key, made)


def _linked(
    house: House, connection: DuckDBPyConnection, definition: BaseDefinition, row: Row, field: str | None
) -> tuple[LinkFollowed, ...]:
    wanted = definition.model_copy(
        update={"links": tuple(link for link in definition.links if field in (None, link.field))}
    )
    with house.registry.session() as session:
        found = links.targets(house, session, wanted)
    return links.follow(connection, wanted, row, found)


class _Numbers:
    """Which number counts for the one that was asked for, and which others stand for it, as a build had it."""

    def __init__(self, house: House, connection: DuckDBPyConnection, built: BaseBuild, asked: str) -> None:
        self.house, self.connection, self.key = house, connection, asked
        self.rows: list[Row] = []
        self.particular: set[tuple[str, str]] = set()
        if built.aliases is None:
            return
        relation = lake.version(aliases.table(built.base_id), built.snapshot)
        answering = aliases.answering(relation)
        found = connection.execute(f"SELECT key FROM ({answering}) WHERE alias = ?", [asked]).fetchone()
        self.key = asked if found is None else str(found[0])
        either = "$1 IN (key, alias) ORDER BY alias, resource NULLS FIRST"
        rows = connection.execute(f"SELECT * FROM {relation} WHERE {either}", [self.key])
        names = [column[0] for column in rows.description]
        self.rows = [dict(zip(names, cells, strict=True)) for cells in rows.fetchall()]
        every = [self.key, *(row["alias"] for row in self.rows)]
        particular = f"SELECT alias, resource FROM {relation} WHERE resource IS NOT NULL AND list_contains(?, alias)"
        self.particular = set(connection.execute(particular, [every]).fetchall())

    def of(self, resource_id: str) -> list[str]:
        """The numbers by which one resource means this record, its own first."""
        others = [
            row["alias"]
            for row in self.rows
            if row["key"] == self.key
            and (row["resource"] or resource_id) == resource_id
            and (row["resource"] is not None or (row["alias"], resource_id) not in self.particular)
        ]
        return others if (self.key, resource_id) in self.particular else [self.key, *others]

    def shown(self) -> tuple[Number, ...]:
        """For the explanation."""
        with self.house.registry.session() as session:
            views = aliases.views(session, {row["id"] for row in self.rows if row["id"] is not None})
        distinct = {(row["alias"], row["key"]): row for row in reversed(self.rows)}
        return tuple(_number(row, views.get(row["id"])) for _, row in sorted(distinct.items()))


def _number(row: Row, view: AliasView | None) -> Number:
    if view is None:
        return Number(row["alias"], row["key"], None, row["kind"], None, (row["resource"],), None, None)
    return Number(row["alias"], row["key"], view.id, row["kind"], row["since"], view.resources, view.by, view.basis)


def _last_seen(house: House, connection: DuckDBPyConnection, known: _Numbers, seen: BaseBuild) -> _Numbers:
    """The numbers of a closed record as the last build had them that saw it, maybe under another of them."""
    if seen.aged_at is not None:
        return known
    every = [known.key, *(row["alias"] for row in known.rows if row["key"] == known.key and row["resource"] is None)]
    definition = catalogue.base_at(house, seen.base_id, seen.base_version)
    key = quoted(definition.key)
    found = connection.execute(
        f"SELECT {key} FROM {lake.version(merge.table(seen.base_id), seen.snapshot)} "
        f"WHERE list_contains($1, {key}) AND NOT _closed ORDER BY {key} = $2 DESC, {key} DESC LIMIT 1",
        [every, known.key],
    ).fetchone()
    return _Numbers(house, connection, seen, known.key if found is None else str(found[0]))


class _History:
    """What one source says of one key, in the version that was merged and in those before it."""

    def __init__(
        self,
        house: House,
        connection: DuckDBPyConnection,
        definition: BaseDefinition,
        source: Source,
        seen: BaseBuild,
        then: _Numbers,
        record: str,
    ) -> None:
        self.house, self.connection, self.definition, self.key = house, connection, definition, then.key
        self.key_item = source.key_item
        self.record = record
        self.numbers = then.of(source.resource.id)
        self.renumbered = self.numbers != [record]
        if self.renumbered:
            self.touched = renumber.touch(
                connection, f"numbers_{source.resource.id}", dict.fromkeys(self.numbers, self.key)
            )
        self.facts = seen.inputs[source.resource.id]
        every = pool.versions(house, source.resource.id)
        merged = [view for view in every if view.snapshot <= self.facts["snapshot"]]
        self.versions = [view for view in merged if view.aged_at is None]
        self.whole = len(self.versions) == len(merged)
        self.forgotten = not self.whole and merged[0].aged_at is not None
        self.read: list[Row] = []
        self.reading = self._walk()

    def value(self, column: str) -> Any:
        """What it says in the version that was merged."""
        return self._at(0).get(column)

    def number(self, field: BaseField, place: int) -> str | None:
        """Under which other number it says so; None: under the record's own."""
        if not self.renumbered:
            return None
        column, value = survivorship.said_name(field, place), self.value(survivorship.said_name(field, place))
        source = self._source(self.versions[0])
        asked = survivorship.candidates(self.definition, source, survivorship.is_key(self.key_item))
        for number in self.numbers:
            found = self.connection.execute(f"SELECT {quoted(column)} FROM ({asked})", [number]).fetchone()
            if found is not None and found[0] == value:
                return None if number == self.record else number
        return None

    def since(self, field: BaseField, place: int) -> First:
        """The first batch that carried that value, also when others came between."""
        column, value = survivorship.said_name(field, place), self.value(survivorship.said_name(field, place))
        carrying = [at for at in range(len(self.versions)) if self._at(at).get(column) == value]
        first = self.versions[carrying[-1]]
        known: list[First | None] = [(first.batch, first.push_id)]
        if not self.whole:
            known += [self._of_row(first, field, place, value), self.aged(field, place, value)]
        return min(one for one in known if one is not None)

    def aged(self, field: BaseField, place: int, value: Any) -> First | None:
        """The first batch, among versions that are no longer kept, in which it said a value."""
        resource_id, item = field.sources[place].resource, field.sources[place].item
        kind = survivorship.field_type(field)
        every = (
            said.first(self.house, self.connection, resource_id, item, kind, number, str(value)) for number in self.numbers
        )
        return min((one for one in every if one is not None), default=None)

    def _of_row(self, view: PoolCommitView, field: BaseField, place: int, value: Any) -> First | None:
        """The batch that a row itself came with, which may be older than any version that is kept."""
        resource = catalogue.resource_at(self.house, view.resource_id, view.resource_version)
        typed = survivorship.typed(resource.item(field.sources[place].item), field)
        pooled = lake.version(pool.table(resource.id), view.snapshot)
        found = self.connection.execute(
            f"SELECT _batch, _push FROM {pooled} WHERE list_contains(?, {quoted(self.key_item)}) AND {typed} = ? "
            "ORDER BY 1 LIMIT 1",
            [self.numbers, value],
        ).fetchone()
        return None if found is None else (int(found[0]), str(found[1]))

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
                answered = self.connection.execute(" UNION ALL BY NAME ".join(asked), [self.key] * len(asked))
                names = [column[0] for column in answered.description]
                found = {
                    row["_place"]: row for row in (dict(zip(names, cells, strict=True)) for cells in answered.fetchall())
                }
            yield from (found.get(place, {}) for place in range(len(some)))

    def _one(self, place: int, view: PoolCommitView) -> str | None:
        source = self._source(view)
        if source.item(self.key_item) is None:
            return None
        if self.renumbered:
            source = replace(source, relation=f"({renumber.moved(source, self.touched)})")
        candidates = survivorship.candidates(self.definition, source, survivorship.is_key(self.key_item))
        return f"SELECT {place} AS _place, * FROM ({candidates})"

    def _source(self, view: PoolCommitView) -> Source:
        resource = catalogue.resource_at(self.house, view.resource_id, view.resource_version)
        return Source(resource, lake.version(pool.table(resource.id), view.snapshot), self.key_item)


def _explained(field: BaseField, row: Row, history: dict[str, _History]) -> FieldExplained:
    counts = row[survivorship.pointer(field.name)]
    source: Said | None = None
    others = []
    for place, origin in enumerate(field.sources):
        one = history.get(origin.resource)
        if one is not None and one.forgotten:
            source = _forgotten(field, place, one, row[field.name]) if place == counts else source
            continue
        word = _said(field, place, one, row[field.name])
        if word is not None and place == counts:
            source = word
        elif word is not None:
            others.append(word)
    return FieldExplained(field.name, field.title, _text(row[field.name]), source, tuple(others))


def _said(field: BaseField, place: int, history: _History | None, counts: Any) -> Said | None:
    column = survivorship.said_name(field, place)
    value = None if history is None else history.value(column)
    if history is None or value is None:
        return None
    word = _word(field, place, history, value, history.since(field, place), differs=value != counts)
    return replace(word, number=history.number(field, place))


def _forgotten(field: BaseField, place: int, history: _History, value: Any) -> Said:
    """Whose word counted when it was last seen: the record keeps the value, the registry who said it."""
    return _word(field, place, history, value, history.aged(field, place, value), differs=False)


def _word(field: BaseField, place: int, history: _History, value: Any, since: First | None, *, differs: bool) -> Said:
    facts, origin = history.facts, field.sources[place]
    return Said(
        resource=origin.resource,
        item=origin.item,
        department=facts["department"],
        provider=facts["provider"],
        batch=facts["batch"],
        push=facts["push"],
        value=str(value),
        since_batch=None if since is None else since[0],
        since_push=None if since is None else since[1],
        differs=differs,
    )


def _newest(house: House, base_id: str) -> BaseBuild:
    definition = catalogue.base(house, base_id)
    with house.registry.session() as session:
        built = merge.last_build(session, definition.id)
    if built is None:
        raise merge.never_built(base_id)
    return built


def _golden(house: House, connection: DuckDBPyConnection, built: BaseBuild, key: str) -> Row:
    definition = catalogue.base_at(house, built.base_id, built.base_version)
    relation = merge.rows_of(built)
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
