"""主题库 in the catalogue: is a theme's SELECT one that can be built, and what are its fields at least?

Invariant: a theme that passes names every column it touches, gives exactly the columns it declares, in their types, and no
field of it is laxer than what it is made of. Whether its department may read them is for exchange/themes.py: grants come
and go, the definition stays.
"""

import json
from collections.abc import Iterable, Mapping

from duckdb import DuckDBPyConnection
from duckdb import Error as EngineError
from sqlalchemy.orm import Session

from exchange.catalogue import lineage, rules
from exchange.catalogue.draft import Reading, ThemeDraft, ThemeFieldDraft, Written
from exchange.catalogue.findings import shown
from exchange.catalogue.lineage import Lineage, Made, relation_name
from exchange.catalogue.lookup import RETIRED, newest_themes
from exchange.catalogue.model import Item, Sensitivity, ThemeEntry, ThemeField
from exchange.catalogue.predicates import Unfit, first_line
from exchange.catalogue.relations import Relation, class_of, column, is_text, of_base, of_resource
from exchange.catalogue.rules.bases import MASKS
from exchange.catalogue.rules.common import near, no_draft, once
from exchange.catalogue.rules.sources import is_a
from exchange.catalogue.sql import quoted, sql_type
from exchange.house import House
from exchange.registry import models
from exchange.seal import digest_hex


def check(house: House, reading: Reading) -> tuple[ThemeEntry, ...]:
    """Add a finding for everything that is wrong with a theme; the themes that are right, complete.

    A theme over a base is read once the resources and bases have no findings: before, nobody knows what the base will hold.
    """
    if not reading.themes:
        return ()
    relations = {f"pool:{written.entry.id}": of_resource(written.entry) for written in reading.resources}
    whole = not reading.findings
    if whole:
        relations |= {
            f"base:{written.entry.id}": of_base(rules.complete(written.entry, reading)) for written in reading.bases
        }
    for written in reading.themes:
        _form(written, reading)
    with house.duckdb() as connection:
        read = [_read(connection, written, relations, reading) for written in reading.themes if whole]
    return tuple(entry for entry in read if entry is not None)


def field_type(field: ThemeField | ThemeFieldDraft) -> str:
    """The engine's type of a field."""
    return sql_type(Item(name=field.name, title=field.title, type=field.type, length=field.length, scale=field.scale))


def columns(theme: ThemeEntry) -> dict[str, str]:
    """The columns of a theme and their types, the key first."""
    return {theme.key: "VARCHAR"} | {field.name: field_type(field) for field in theme.fields}


def described(connection: DuckDBPyConnection, statement: str) -> dict[str, str]:
    """The columns a statement gives, and their types.

    Raises:
        duckdb.Error: it can't be bound to the relations there are.
    """
    return {name.lower(): kind for name, kind, *_ in connection.execute(f"DESCRIBE {statement}").fetchall()}


def store(session: Session, entries: Iterable[ThemeEntry], by: str | None) -> dict[str, str]:
    """Keep what changed as new versions; what became of each theme."""
    newest = {row.theme_id: row for row in newest_themes(session)}
    done = {entry.id: _store(session, entry, newest.get(entry.id), by) for entry in entries}
    for theme_id, row in newest.items():
        if theme_id not in done and row.digest != RETIRED:
            session.add(
                models.ThemeVersion(theme_id=theme_id, version=row.version + 1, definition={}, digest=RETIRED, loaded_by=by)
            )
            done[theme_id] = "retired"
    return dict(sorted(done.items()))


def _store(session: Session, entry: ThemeEntry, newest: models.ThemeVersion | None, by: str | None) -> str:
    definition = entry.model_dump(mode="json")
    digest = digest_hex(json.dumps(definition, ensure_ascii=False, sort_keys=True).encode())
    if newest is not None and newest.digest == digest:
        return "unchanged"
    version = 1 if newest is None else newest.version + 1
    definition["version"] = version
    session.add(models.ThemeVersion(theme_id=entry.id, version=version, definition=definition, digest=digest, loaded_by=by))
    return "loaded" if newest is None or newest.digest == RETIRED else "changed"


def _form(theme: Written[ThemeDraft], reading: Reading) -> None:
    entry = theme.entry
    no_draft(entry.id, theme.place("id"), reading)
    departments = [written.entry.code for written in reading.departments]
    if entry.department not in departments and entry.department not in reading.broken:
        hint = near(entry.department, departments)
        reading.findings.add(
            theme.place("department"),
            "department-known",
            f"部门 {shown(entry.department)} 不在 departments.yaml 中{hint[0]}",
            f"department {shown(entry.department)} is not in departments.yaml{hint[1]}",
        )
    names = [(field.name, theme.place("fields", n, "name", item=field.name)) for n, field in enumerate(entry.fields)]
    once([(entry.key, theme.place("key")), *names], "field-repeated", reading)
    for number, field in enumerate(entry.fields):
        if field.mask is not None and field.mask not in MASKS:
            reading.findings.add(
                theme.place("fields", number, "mask", item=field.name),
                "field-form",
                f"mask 是 {shown(field.mask)}，应为 {'、'.join(MASKS)} 之一",
                f"mask is {shown(field.mask)}; expected one of {', '.join(MASKS)}",
            )


def _read(
    connection: DuckDBPyConnection, theme: Written[ThemeDraft], relations: Mapping[str, Relation], reading: Reading
) -> ThemeEntry | None:
    """The theme with what its SELECT says about it; None, and a finding, when it can't be read."""
    try:
        found = lineage.read(connection, theme.entry.select, relations)
        types = _bound(connection, found, relations)
        _columns_declared(theme.entry, types)
    except Unfit as unfit:
        rule, zh, en = unfit.args
        reading.findings.add(theme.place("select"), rule, zh, en)
        return None
    complete = _complete(theme.entry, found)
    _key(theme, complete, found, relations, reading)
    for number, field in enumerate(complete.fields):
        _field_type(theme, number, field, types, reading)
        _field_class(theme, number, field, complete, relations, reading)
    return complete


def _bound(connection: DuckDBPyConnection, found: Lineage, relations: Mapping[str, Relation]) -> dict[str, str]:
    """Bind the statement where nothing exists but the columns that were found; what it gives, by name."""
    for relation, names in found.reads.items():
        listed = ", ".join(f"{quoted(name)} {relations[relation][name].kind}" for name in names)
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(relation_name(relation))} ({listed})")
    try:
        return described(connection, found.statement)
    except EngineError as error:
        said = first_line(error)
        raise Unfit("theme-parse", f"SQL 无法求值：{said}", f"the SQL can't be evaluated: {said}") from None
    finally:
        for relation in found.reads:
            connection.execute(f"DROP TABLE {quoted(relation_name(relation))}")


def _columns_declared(entry: ThemeDraft, types: Mapping[str, str]) -> None:
    declared = {entry.key, *(field.name for field in entry.fields)}
    if declared != set(types):
        lacking, beyond = sorted(declared - set(types)), sorted(set(types) - declared)
        raise Unfit(
            "theme-columns",
            f"SELECT 的列应恰好是 key 和 fields：缺 {'、'.join(lacking) or '无'}，多 {'、'.join(beyond) or '无'}",
            f"the SELECT must give exactly key and fields: lacking {', '.join(lacking) or 'none'}, "
            f"beyond them {', '.join(beyond) or 'none'}",
        )


def _complete(entry: ThemeDraft, found: Lineage) -> ThemeEntry:
    fields = tuple(_field(field, found.outputs[field.name]) for field in entry.fields)
    handed_on = {name for field in fields if field.as_is and is_text(field.type) for name in field.made_of}
    touched = {f"{relation}.{name}" for relation, names in found.reads.items() for name in names}
    plain = (touched - handed_on) | found.used | found.outputs[entry.key].columns
    plain |= {name for field in fields if not is_text(field.type) for name in field.made_of}
    return ThemeEntry(
        **{
            name: getattr(entry, name)
            for name in ("id", "title", "department", "purpose", "key", "key_identifier", "select")
        },
        fields=fields,
        key_made_of=tuple(sorted(found.outputs[entry.key].columns)),
        reads=dict(found.reads),
        deciding=tuple(sorted(found.deciding)),
        plain=tuple(sorted(plain)),
    )


def _field(field: ThemeFieldDraft, made: Made) -> ThemeField:
    return ThemeField(**field.model_dump(), made_of=tuple(sorted(made.columns)), as_is=made.as_is)


def _key(
    theme: Written[ThemeDraft], entry: ThemeEntry, found: Lineage, relations: Mapping[str, Relation], reading: Reading
) -> None:
    """By the key records are found, in the one spelling that the gate gives to identifiers."""
    made = found.outputs[entry.key]
    wrong = sorted(name for name in made.columns if not is_a(column(relations, name).identifier, entry.key_identifier))
    if wrong or not made.as_is or not made.columns:
        reading.findings.add(
            theme.place("key"),
            "theme-key",
            f"主键须原样取自 identifier: {entry.key_identifier} 的列（可用 COALESCE 取多列之一）"
            + (f"，{'、'.join(wrong)} 不是" if wrong else ""),
            f"the key must be a column with `identifier: {entry.key_identifier}` as it is (or a COALESCE of such)"
            + (f"; {', '.join(wrong)} is none" if wrong else ""),
        )


def _field_type(
    theme: Written[ThemeDraft], number: int, field: ThemeField, types: Mapping[str, str], reading: Reading
) -> None:
    wanted, found = field_type(field), types[field.name]
    if wanted != found:
        reading.findings.add(
            theme.place("fields", number, "type", item=field.name),
            "theme-type",
            f"声明的类型是 {wanted}，SQL 给出 {found}；请改类型，或在 SQL 中用 TRY_CAST",
            f"the type declared is {wanted}, the SQL gives {found}; change the type, or write TRY_CAST in the SQL",
        )


def _field_class(
    theme: Written[ThemeDraft],
    number: int,
    field: ThemeField,
    entry: ThemeEntry,
    relations: Mapping[str, Relation],
    reading: Reading,
) -> None:
    """No field is laxer than what it is made of."""
    least = class_of(field, entry, relations)
    sources = "、".join(field.made_of) or "–"
    listed = ", ".join(field.made_of) or "–"
    if field.share_type is not None and field.share_type < least.share:
        reading.findings.add(
            theme.place("fields", number, "share_type", item=field.name),
            "theme-share",
            f"共享类型 {int(field.share_type)} 宽于其来源和筛选条件（{int(least.share)}），请删除 share_type 或从严",
            f"share type {int(field.share_type)} is laxer than what it is made of and chosen by ({int(least.share)}); remove "
            "`share_type` or make it stricter",
        )
    if field.sensitivity is Sensitivity.NONE and least.sensitivity is not Sensitivity.NONE:
        reading.findings.add(
            theme.place("fields", number, "sensitivity", item=field.name),
            "theme-sensitivity",
            f"来源（{sources}）敏感，字段不能改为不敏感，请删除 sensitivity",
            f"what it is made of ({listed}) is sensitive, so the field is; remove `sensitivity`",
        )
    if field.mask in MASKS and least.mask is not None and field.mask not in (least.mask, "all"):
        allowed = sorted({least.mask, "all"})
        reading.findings.add(
            theme.place("fields", number, "mask", item=field.name),
            "theme-mask",
            f"mask 是 {field.mask}，按其来源（{sources}）应为 {'、'.join(allowed)}",
            f"mask is {field.mask}; by what it is made of ({listed}) it must be {' or '.join(allowed)}",
        )


__all__ = ["check", "columns", "described", "field_type", "store"]
