"""Rows that failed, with what they said and why: the only place that holds a rejected value.

Invariant: `<data>/quarantine/<push>.parquet` is encrypted; only the department that pushed reads it, and every reading
and every refused attempt is a record in the access log before a byte leaves.
One line per row and rule: `_row`, `rule`, `level`, `title`, `reason`, `value` (as sent, before normalising).
"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from duckdb import DuckDBPyConnection
from polars import DataFrame
from sqlalchemy import func, select

from exchange import access_log, events
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.catalogue.model import Level, Resource
from exchange.catalogue.sql import literal, quoted
from exchange.errors import AgedOut, NotFound
from exchange.house import House
from exchange.intake import pushes, tables
from exchange.registry.models import Event, Verdict
from quality import access, check
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
    noted = check.noted_sql(house, subject.receipt.id)
    with tables.open_table(house, connection, subject.receipt.id) as source:
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE _failing AS SELECT s.*, o._broken, o._line, {originals} "
            f"FROM {noted} AS s JOIN {source} AS o ON s._row = o._row WHERE {fails_any(subject.rules, tuple(Level))}"
        )
    lines = " UNION ALL ".join(_lines(subject.resource, number, rule) for number, rule in broken)
    check.write(connection, f"SELECT * EXCLUDE (number) FROM ({lines}) ORDER BY _row, number", target)
    connection.execute("DROP TABLE _failing")


def row_errors(house: House, caller: Caller, push_id: str, *, warnings: bool = False, now: datetime | None = None) -> bytes:
    """The row-error file: CSV in UTF-8 with BOM, one line per rejected row and rule, in the order of the rows.

    A cell that a spreadsheet would run as a formula gets an apostrophe before it. `warnings` adds what was only noted.

    Raises:
        NotFound: no such push, or not judged yet. AgedOut: no setting keeps it any more; says when it went, and which.
        AccessRefused: another department's push.
    """
    subject = Subject.of(house, push_id)
    entry = asked(house, caller, subject, tuple(HEADER.values()), now)
    content = _csv(house, quarantine_file(house, push_id), warnings)
    digest = house.seal.keyed_hash("answer", content)
    access_log.append(house, replace(entry, answer_digest=digest))
    return content


def asked(
    house: House, caller: Caller, subject: Subject, fields: tuple[str, ...], now: datetime | None = None
) -> AccessEntry:
    """The record of handing out rejected values, to be completed with their digest and appended before they leave.

    Raises:
        AccessRefused: another department's push. NotFound, AgedOut: as `why_missing`. Each is recorded.
    """
    push_id = subject.receipt.id
    access.may(house, caller, subject.receipt, "row_errors")
    entry = AccessEntry(
        department=caller.department,
        client=caller.client_id,
        person=caller.person,
        action=ACTION,
        target=f"push:{push_id}",
        version=str(subject.receipt.resource_version),
        decision="answered",
        fields=fields,
    )
    missing = why_missing(house, push_id, now)
    if missing is not None:
        access_log.append(house, replace(entry, decision="not_found", reason="no row-error file"))
        raise missing
    return entry


def why_missing(house: House, push_id: str, now: datetime | None = None) -> NotFound | None:
    """Why no value of a push's quarantine can be handed out, yet or any more; None: it can."""
    if not quarantine_file(house, push_id).exists():
        return nothing_kept(house, push_id)
    with house.registry.session() as session:
        judged = session.scalar(select(Verdict.decided_at).where(Verdict.push_id == push_id))
    if judged is None:
        return _not_judged(push_id)
    days = house.settings.keep_row_errors
    until = judged + timedelta(days=days)
    too_late = (now or datetime.now(UTC)) > until
    return _aged_out(push_id, until, "EXCHANGE_KEEP_ROW_ERRORS", days) if too_late else None


def nothing_kept(house: House, push_id: str) -> NotFound:
    """There is no quarantine of this push: why."""
    aged_out = Event.object_id == push_id, Event.tag == events.Tag.QUARANTINE_AGED_OUT
    with house.registry.session() as session:
        went = session.scalar(select(func.min(Event.at)).where(*aged_out))
    if went is None:
        return _not_judged(push_id)
    return _aged_out(push_id, went, "EXCHANGE_KEEP_QUARANTINE", house.settings.keep_quarantine)


def _not_judged(push_id: str) -> NotFound:
    return NotFound(
        f"推送 {push_id} 没有行错误文件：尚未检查",
        f"push {push_id} has no row-error file: not judged yet",
    )


def _aged_out(push_id: str, when: datetime, setting: str, days: int) -> AgedOut:
    day = f"{when.astimezone(pushes.CHINA):%Y-%m-%d}"
    return AgedOut(
        f"推送 {push_id} 的行错误文件已于 {day} 按保留期清除（{setting}={days} 天）；质检报告仍在，"
        "如需改正请用原文件重新推送",
        f"the row-error file of push {push_id} went on {day}, when its time was over ({setting}={days} days); the report is "
        "still there: to mend rows, push the original file again",
        push=push_id,
        setting=setting,
        removed=day,
    )


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
