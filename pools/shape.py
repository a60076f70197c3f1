"""The shape of a version: which rows it holds, how its keys and fields are written, and who said what.

Invariant: what is served now and what is read of an earlier version are written by the same SQL, so they can't differ.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import catalogue, keys
from exchange.catalogue import themes
from exchange.catalogue.lookup import theme_defined
from exchange.catalogue.model import BaseDefinition, BaseField, FieldSource, Resource, Satellite
from exchange.catalogue.sql import quoted, sql_type
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import BaseBuild, Department, PoolCommit, Push, ThemeBuild
from pools import aliases, authority, lake, merge, pool, satellites, survivorship, theme

Refs = dict[str, dict[str, list[dict[str, Any] | None]]]  # build number -> field -> place -> who said it
Origins = Mapping[str, Sequence[FieldSource]]  # field -> who stands at each place


@dataclass(frozen=True)
class Under:
    """Rows under the records of a base: those of one satellite, as `Shape` has the records themselves."""

    relation: str
    rows: int
    key: str  # SQL text of the record's key
    columns: dict[str, str]
    refs: Refs

    @property
    def records(self) -> str:
        """SQL: `key` and `record`, the JSON [row key, closed, build, values, places] of each row."""
        said = _said(self.columns, {name: quoted(survivorship.pointer(name)) for name in self.columns})
        record = f"json_array({satellites.ROW_KEY}, _closed, _build, {said})"
        return f"SELECT {self.key} AS key, {record} AS record FROM {self.relation}"


@dataclass(frozen=True)
class Shape:
    """What a version holds: rows as a relation, how a key and each field are written, and who said what; and so again for the
    rows under them, by satellite. `numbers`: how many stand for another."""

    target: str
    version: str
    relation: str
    rows: int
    key: str  # SQL text of the key
    columns: dict[str, str]  # field -> its type
    pointers: dict[str, str]  # field -> SQL of its source's place
    closed: str  # SQL
    build: str  # SQL
    refs: Refs
    aliases: str | None = None  # the numbers that stand for another, as a relation
    numbers: int = 0
    satellites: dict[str, Under] = field(default_factory=dict)

    @property
    def records(self) -> str:
        """SQL: `key` and `record`, the JSON [closed, build, values, places]; of a number that stands for another, that number,
        the kind of alias, and since when."""
        record = f"json_array({self.closed}, {self.build}, {_said(self.columns, self.pointers)})"
        own = f"SELECT {self.key} AS key, {record} AS record FROM {self.relation}"
        if self.aliases is None:
            return own
        elsewhere = "json_array(key, kind, since::VARCHAR)"
        return f"{own} UNION ALL SELECT alias AS key, {elsewhere} AS record FROM ({aliases.answering(self.aliases)})"


def newest(house: House, session: Session, target: str) -> Shape:
    """The newest version of a target.

    Raises:
        NotFound: no such target, or it has no version yet.
    """
    shape = _make(house, session, target, None)
    if shape is None:
        raise NotFound(f"{target} 还没有可供查询的版本", f"{target} has no version to serve yet", target=target)
    return shape


def earlier(house: House, session: Session, target: str, version: str) -> Shape:
    """A target as a push left its pool, or as a build left its base.

    Raises:
        NotFound: no such target, or that is no version of it. AgedOut: it was one, and is no longer kept.
    """
    shape = _make(house, session, target, version)
    if shape is None:
        raise NotFound(
            f"{target} 没有这个版本；版本是池的推送编号（P…）或基础库、主题库的构建编号（B…）",
            f"{target} has no such version; a version is the push (P…) of a pool, or the build (B…) of a base or theme",
            reason="no-such-version",
            target=target,
        )
    return shape


def _make(house: House, session: Session, target: str, version: str | None) -> Shape | None:
    kind, _, name = target.partition(":")
    makers = {"pool": _pool_shape, "base": _base_shape, "theme": _theme_shape}
    if kind not in makers:
        raise NotFound(
            f"没有 {target} 这样的对象，应写作 pool:<资源>、base:<基础库> 或 theme:<主题库>",
            f"there is no target {target}; write pool:<resource>, base:<base> or theme:<theme>",
            target=target,
        )
    return makers[kind](house, session, name, version)


def _pool_shape(house: House, session: Session, name: str, version: str | None) -> Shape | None:
    query = (
        select(PoolCommit, Push, Department.name)
        .join(Push, Push.id == PoolCommit.push_id)
        .join(Department, Department.code == Push.department_code)
        .where(PoolCommit.resource_id == name)
        .order_by(PoolCommit.snapshot.desc())
        .limit(1)
    )
    found = session.execute(query if version is None else query.where(PoolCommit.receipt == version)).first()
    if found is None:
        return None
    commit, push, provider = found
    if commit.aged_at is not None:
        raise pool.aged_out(house, f"pool:{name}", commit.aged_at, pool.oldest(house, name))
    resource = catalogue.resource_at(house, name, push.resource_version)
    columns = {item.name: sql_type(item) for item in resource.items}
    said = {"resource": name} | merge.source_facts(commit, push, provider)
    relation = lake.version(pool.table(name), commit.snapshot)
    if resource.duplicates == "allow":
        relation = _newest_rows(relation, resource)
    return Shape(
        target=f"pool:{name}",
        version=commit.receipt,
        relation=relation,
        rows=commit.rows,
        key=keys.sql(resource.key),
        columns=columns,
        pointers=dict.fromkeys(columns, "0"),
        closed="false",
        build="0",
        refs={"0": {field: [said] for field in columns}},
    )


def _base_shape(house: House, session: Session, name: str, version: str | None) -> Shape | None:
    built = merge.last_build(session, name) if version is None else session.get(BaseBuild, version)
    if built is None or built.base_id != name:
        return None
    if built.aged_at is not None:
        raise merge.aged_out(house, session, built)
    definition = authority.definition_of(house, built)
    relation = merge.rows_of(built)
    lines = None if built.aliases is None else lake.version(aliases.table(name), built.snapshot)
    made = _Made(house, session, built)
    with lake.opened(house) as connection:
        builds = made.builds_in(connection, relation)
        under = {each.id: _under(connection, made, definition, each) for each in definition.satellites}
        numbers = 0 if lines is None else _count(connection, aliases.answering(lines))
    columns = {definition.key: "VARCHAR"} | _types(definition.fields)
    return Shape(
        target=f"base:{name}",
        version=built.id,
        relation=relation,
        rows=built.rows,
        key=quoted(definition.key),
        columns=columns,
        pointers={field: quoted(survivorship.pointer(field)) for field in columns},
        closed="_closed",
        build="_build",
        refs={str(number): made.refs(number, _origins) for number in builds},
        aliases=lines,
        numbers=numbers,
        satellites=under,
    )


def _under(connection: DuckDBPyConnection, made: "_Made", definition: BaseDefinition, satellite: Satellite) -> Under:
    written = lake.version(satellites.table(definition.id, satellite.id), made.built.snapshot)
    relation = survivorship.seen(written, made.built.number)

    def origins(then: BaseDefinition) -> Origins:
        return {field.name: field.sources for each in then.satellites if each.id == satellite.id for field in each.fields}

    return Under(
        relation=relation,
        rows=made.built.satellites[satellite.id]["rows"],
        key=quoted(definition.key),
        columns=_types(satellite.fields),
        refs={str(number): made.refs(number, origins) for number in made.builds_in(connection, relation)},
    )


class _Made:
    """The builds that rows of one build come from: a closed row is of the last that saw it."""

    def __init__(self, house: House, session: Session, built: BaseBuild) -> None:
        self.house, self.session, self.built = house, session, built

    def builds_in(self, connection: DuckDBPyConnection, relation: str) -> list[int]:
        """The numbers of those that rows of a relation come from."""
        found = connection.execute(f"SELECT DISTINCT _build FROM {relation}").fetchall()
        return sorted({self.built.number, *(row[0] for row in found)})

    def refs(self, number: int, origins: Callable[[BaseDefinition], Origins]) -> dict[str, list[dict[str, Any] | None]]:
        """Who stood at each place of each field when that build was made."""
        built = merge.build_numbered(self.session, self.built.base_id, number)
        return {
            name: [
                {"resource": source.resource} | built.inputs[source.resource] if source.resource in built.inputs else None
                for source in sources
            ]
            for name, sources in origins(authority.definition_of(self.house, built)).items()
        }


def _origins(definition: BaseDefinition) -> Origins:
    return {definition.key: definition.key_sources} | {field.name: field.sources for field in definition.fields}


def _types(fields: Sequence[BaseField]) -> dict[str, str]:
    return {field.name: survivorship.field_type(field) for field in fields}


def _count(connection: DuckDBPyConnection, relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM ({relation})").fetchone()
    return int(row[0]) if row else 0


def _theme_shape(house: House, session: Session, name: str, version: str | None) -> Shape | None:
    built = theme.last_build(session, name) if version is None else session.get(ThemeBuild, version)
    if built is None or built.theme_id != name:
        return None
    if built.aged_at is not None:
        raise theme.aged_out(house, session, built)
    definition = theme_defined(session, name, built.theme_version)
    columns = themes.columns(definition)
    return Shape(
        target=f"theme:{name}",
        version=built.id,
        relation=lake.version(theme.table(name), built.snapshot),
        rows=built.rows,
        key=quoted(definition.key),
        columns=columns,
        pointers=dict.fromkeys(columns, "0"),
        closed="false",
        build=str(built.number),
        refs={str(built.number): {field: [said] for field, said in theme.sources(session, definition, built).items()}},
    )


def _newest_rows(relation: str, resource: Resource) -> str:
    """One row a key, where the resource allows several: the newest, as in the merge."""
    keys = ", ".join(quoted(name) for name in resource.key)
    age = survivorship.age(resource)
    return f"(SELECT * FROM {relation} QUALIFY row_number() OVER (PARTITION BY {keys} ORDER BY {age} DESC, _batch DESC, _row DESC) = 1)"


def _said(columns: Mapping[str, str], pointers: Mapping[str, str]) -> str:
    """SQL: the values of these columns, then the places of those who said them."""
    values = ", ".join(_as_json(quoted(name), kind) for name, kind in columns.items())
    places = ", ".join(pointers[name] for name in columns)
    return f"json_array({values}), json_array({places})"


def _as_json(expression: str, kind: str) -> str:
    """A value as JSON holds it: decimals as text, so that no digit is lost; times by ISO 8601."""
    if kind.startswith("DECIMAL"):
        return f"{expression}::VARCHAR"
    if kind == "TIMESTAMP":
        seconds = f"strftime({expression}, '%Y-%m-%dT%H:%M:%S')"
        parts = f"rtrim(strftime({expression}, '%Y-%m-%dT%H:%M:%S.%f'), '0')"
        return f"CASE WHEN microsecond({expression}) % 1000000 = 0 THEN {seconds} ELSE {parts} END"
    return expression
