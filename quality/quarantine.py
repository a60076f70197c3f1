"""Rows that failed, with what they said and why: the only place that holds a rejected value.

Invariant: `<data>/quarantine/<push>.parquet` is encrypted; only the department that pushed reads it, and every reading
and every refused attempt is a record in the access log before a byte leaves.
One line per row and rule: `_row`, `rule`, `level`, `title`, `reason`, `value` (as sent, before normalising).
"""

from dataclasses import replace
from pathlib import Path

from duckdb import DuckDBPyConnection
from polars import DataFrame
from sqlalchemy import select

from exchange import access_log
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.catalogue.model import Level, Resource
from exchange.catalogue.sql import literal, quoted
from exchange.errors import AccessRefused, NotFound
from exchange.house import House
from exchange.intake import tables
from exchange.registry.models import Push
from quality import check
from quality.rules import Rule, fails, fails_any
from quality.subject import Subject

HEADER = {"_row": "行号", "title": "信息项", "rule": "规则", "reason": "原因", "value": "被拒绝的值"}
ACTION = "row_errors"


def quarantine_file(house: House, push_id: str) -> Path:
    """Where the failures of a push are kept."""
    return house.settings.folder("quarantine") / f"{push_id}.parquet"


def write(house: House, connection: DuckDBPyConnection, subject: Subject, failed: dict[str, int]) -> None:
    """Keep what the failing rows of a push said. `failed` counts the rows per rule; rules nobody fails cost nothing."""
    target = quarantine_file(house, subject.receipt.id)
    if target.exists():
        return
    broken = [(number, rule) for number, rule in enumerate(subject.rules) if failed[rule.id]]
    if not broken:
        check.write(connection, f"SELECT {_columns('NULL::BIGINT', *['NULL::VARCHAR'] * 5)} WHERE false", target)
        return
    originals = ", ".join(f"o.{quoted(i.name)} AS {quoted('_o_' + i.name)}" for i in subject.resource.items)
    staged = check.staged_sql(house, subject.receipt.id)
    with tables.open_table(house, connection, subject.receipt.id) as source:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE _failing AS SELECT s.*, o._broken, o._line, {originals} "
            f"FROM {staged} AS s JOIN {source} AS o ON s._row = o._row WHERE {fails_any(subject.rules, tuple(Level))}"
        )
    lines = " UNION ALL ".join(_lines(subject.resource, number, rule) for number, rule in broken)
    check.write(connection, f"SELECT * EXCLUDE (number) FROM ({lines}) ORDER BY _row, number", target)
    connection.execute("DROP TABLE _failing")


def row_errors(house: House, caller: Caller, push_id: str, *, warnings: bool = False) -> bytes:
    """The row-error file: CSV in UTF-8 with BOM, one line per rejected row and rule, in the order of the rows.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it. `warnings` adds what was only noted.

    Raises:
        NotFound: no such push, not judged yet, or aged out. AccessRefused: another department's push.
    """
    subject = Subject.of(house, push_id)
    entry = AccessEntry(
        department=caller.department,
        client=caller.client_id,
        person=caller.person,
        action=ACTION,
        target=f"push:{push_id}",
        version=str(subject.receipt.resource_version),
        decision="answered",
        fields=tuple(HEADER.values()),
    )
    if caller.department != subject.receipt.department:
        reason = "not the department that pushed"
        recorded = access_log.append(house, replace(entry, decision="refused", reason=reason))
        raise AccessRefused(
            f"行错误文件只给推送部门本身；推送 {push_id} 不是贵部门的",
            f"the row-error file is for the pushing department alone; push {push_id} is not yours",
            push=push_id,
            recorded=recorded,  # so that the door does not record it again
        )
    path = quarantine_file(house, push_id)
    if not path.exists():
        access_log.append(house, replace(entry, decision="not_found", reason="no row-error file"))
        raise NotFound(
            f"推送 {push_id} 没有行错误文件：尚未检查，或已随原始数据按保留规则清除",
            f"push {push_id} has no row-error file: not judged yet, or removed with its landed bytes by the retention rule",
        )
    content = _csv(house, path, warnings)
    digest = house.seal.keyed_hash("answer", content)
    access_log.append(house, replace(entry, answer_digest=digest))
    return content


def age_out(house: House) -> int:
    """Remove what is kept of pushes whose landed bytes have been aged out; how many files."""
    kept = {path.stem: path for path in house.settings.folder("quarantine").glob("P*.parquet")}
    query = select(Push.id).where(Push.id.in_(kept), Push.landed_removed_at.is_not(None))
    with house.registry.session() as session:
        gone = list(session.scalars(query))
    for push_id in gone:
        kept[push_id].unlink(missing_ok=True)
    return len(gone)


def _csv(house: House, path: Path, warnings: bool) -> bytes:
    safe = "CASE WHEN regexp_matches({0}, '^[=+\\-@\\t\\r]') THEN '''' || {0} ELSE {0} END AS {1}"
    cells = ", ".join(
        f"{quoted(name)} AS {quoted(title)}" if name == "_row" else safe.format(quoted(name), quoted(title))
        for name, title in HEADER.items()
    )
    where = "true" if warnings else f"level <> {literal(Level.WARN)}"
    with house.duckdb() as connection:
        frame: DataFrame = connection.execute(f"SELECT {cells} FROM {check.relation(path)} WHERE {where}").pl()
    return frame.write_csv(include_bom=True, line_terminator="\r\n").encode()


def _lines(resource: Resource, number: int, rule: Rule) -> str:
    titles = "、".join(resource.item(name).title for name in rule.items) or "整行"
    original = [quoted("_o_" + name) for name in rule.items]
    if len(original) == 1:
        value = original[0]
    else:
        named = [f"{literal(resource.item(n).title + '=')} || {cell}" for n, cell in zip(rule.items, original, strict=True)]
        value = f"concat_ws('；', {', '.join(named)})" if named else "_line"
    columns = _columns("_row", literal(rule.id), literal(rule.level), literal(titles), rule.reason, value)
    return f"SELECT {columns}, {number} AS number FROM _failing WHERE {fails(number)}"


def _columns(*values: str) -> str:
    return ", ".join(
        f"{value} AS {name}"
        for value, name in zip(values, ("_row", "rule", "level", "title", "reason", "value"), strict=True)
    )
