"""Whose row it may be: records that are like a row which waits for want of a usable key, each with its score explained.

Invariant: nothing is merged by likeness, only shown; and only to the department that pushed the row, of its own pool, or of a base
in which it was granted the key and every field that is compared. What is shown of a record is its key and how far it agrees, never
a value of it; each is evidence under its key before a byte leaves.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy.orm import Session

from exchange import access_log, catalogue, grants, ranges, targets
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.catalogue.model import BaseDefinition, DataType, Item
from exchange.catalogue.sql import quoted
from exchange.errors import AccessRefused, NotFound, RequestInvalid
from exchange.grants import Need
from exchange.house import House
from exchange.intake import pushes
from exchange.ranges import Ranges
from exchange.registry.models import BaseBuild
from pools import lake, likeness, merge, pool
from pools.likeness import ID, Agreement, Kind, Pair
from quality import access, confirmed, staging
from quality.subject import Subject

AT_LEAST = 0.5  # likelier one than two
MOST = 5  # of one row
MOST_ROWS = 1_000  # at a time: a person looks at each
_NUMBERS = ("mobile", "phone", "bank_card", "plate")


@dataclass(frozen=True)
class Reason:
    """How far a candidate agrees in one item: 相同, 近似, 差一位 … 不同, 未填; and what that weighs (a power of two)."""

    item: str
    title: str
    degree: str
    weight: float


@dataclass(frozen=True)
class Candidate:
    """A record whose row it may be. `score`: how likely, from 0 to 1; the weights of its reasons, and of chance, make it up."""

    row: int
    key: str
    score: float
    reasons: tuple[Reason, ...]


@dataclass(frozen=True)
class Candidates:
    """What was found for the rows asked about, row by row, the likeliest first."""

    push_id: str
    target: str
    version: str
    rows: str
    found: tuple[Candidate, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class _Known:
    """What rows are compared with: a relation of key and columns, and the item behind each column."""

    target: str
    version: str
    relation: str
    key: str
    rows: int
    columns: dict[str, Item]


def find(
    house: House,
    caller: Caller,
    push_id: str,
    rows: Ranges | None = None,
    *,
    base: str | None = None,
    purpose: str | None = None,
) -> Candidates:
    """Look for whom rows of a push may be about: those given, or all that wait for want of a key. Compared with the department's
    own pool, or with a base.

    Raises:
        NotFound: no such push or base, nothing in quarantine, or nothing pooled or built yet.
        AccessRefused: another's push; or what it was granted of the base does not cover key and fields. Recorded.
        RequestInvalid: nothing can be compared. WrongState: the rows do not want a key; the landed bytes have been aged out.
        Unavailable: the lake failed.
    """
    receipt = pushes.get(house, push_id)
    access.may(house, caller, receipt, "candidates")
    subject = Subject.of(house, receipt)
    with house.registry.session() as session:
        item = confirmed.key_item(subject)
        known = _pool(house, subject, item) if base is None else _base(house, session, subject, base)
        entry = _entry(caller, known, purpose)
        if base is not None:
            _refuse_ungranted(house, session, entry, known, purpose or "")
        staging.judged_again(house, subject)
        with lake.opened(house) as connection:
            asked = confirmed.waiting(house, session, connection, subject, rows)
            _refuse_too_many(asked)
            pairs = _compare(house, connection, subject, item, known, asked)
    answer = _answer(push_id, item, known, asked, pairs)
    _leave_evidence(house, entry, answer)
    return answer


def _refuse_too_many(asked: Ranges) -> None:
    if ranges.count(asked) > MOST_ROWS:
        raise RequestInvalid(
            f"一次最多查找 {MOST_ROWS} 行的候选，现有 {ranges.count(asked)} 行；请用 --rows 分批",
            f"candidates are looked for {MOST_ROWS} rows at a time, these are {ranges.count(asked)}; name some with --rows",
        )


def _compare(
    house: House, connection: DuckDBPyConnection, subject: Subject, item: Item, known: _Known, asked: Ranges
) -> list[Pair]:
    kinds = {name: kind for name, one in known.columns.items() if (kind := _kind(one)) is not None}
    if not any(kind != "code" for kind in kinds.values()):
        raise RequestInvalid(
            f"没有可比对的信息项：{known.target} 与 {subject.resource.id} 没有共同的姓名、日期、号码或文字项",
            f"there is nothing to compare: {known.target} and {subject.resource.id} have no name, date, number or text in common",
        )
    mine = ", ".join(
        f"{quoted(one.name)}::VARCHAR AS {quoted(name)}" for name, one in known.columns.items() if name in kinds
    )
    sent = f"{quoted(item.name)} AS _key"
    rows = staging.rows_sql(house, subject, f"_row IN (FROM {ranges.sql(asked)})")
    waiting = f"(SELECT _row::VARCHAR AS {ID}, {sent}, {mine} FROM {rows})"
    theirs = ", ".join(f"{quoted(name)}::VARCHAR AS {quoted(name)}" for name in kinds)
    key = quoted(known.key)
    records = f"(SELECT {key} AS {ID}, {key} AS _key, {theirs} FROM {known.relation} WHERE {key} IS NOT NULL)"
    compared: Mapping[str, Kind] = {"_key": "number", **kinds}
    chance = 1 / max(known.rows, 2)
    return likeness.alike(connection, waiting, records, compared, chance=chance, at_least=AT_LEAST)


def _kind(item: Item) -> Kind | None:
    """How values of an item are compared; None: not at all."""
    if item.is_timestamp:
        return None
    if item.identifier is not None or item.mask in _NUMBERS:
        return "number"
    if item.code_table is not None:
        return "code"
    if item.type is DataType.DATE:
        return "day"
    if item.type is not DataType.TEXT:
        return None
    return "name" if item.mask == "name" else "text"


def _pool(house: House, subject: Subject, item: Item) -> _Known:
    resource_id = subject.resource.id
    newest = pool.latest(house, resource_id)
    if newest is None:
        raise NotFound(
            f"资源 {resource_id} 还没有入池的数据，无从比对",
            f"nothing of {resource_id} is in the pool yet, so there is nothing to compare with",
            resource=resource_id,
        )
    then = catalogue.resource_at(house, resource_id, newest.resource_version)
    had = {one.name for one in then.items}
    columns = {one.name: one for one in subject.resource.items if one.name in had and one.name not in subject.resource.key}
    one_each = f"(SELECT * FROM {lake.version(pool.table(resource_id), newest.snapshot)} QUALIFY {_newest_of(item.name)})"
    return _Known(f"pool:{resource_id}", newest.receipt, one_each, item.name, newest.rows, columns)


def _base(house: House, session: Session, subject: Subject, base_id: str) -> _Known:
    definition = catalogue.base(house, base_id)
    built = merge.last_build(session, base_id)
    if built is None:
        raise NotFound(
            f"基础库 {base_id} 还没有归并过，请先运行 exchange build {base_id}",
            f"base {base_id} was never built; run `exchange build {base_id}` first",
            base=base_id,
        )
    return _Known(
        target=f"base:{base_id}",
        version=built.id,
        relation=f"(SELECT * FROM {_open_rows(definition, built)})",
        key=definition.key,
        rows=built.rows,
        columns=_shared(house, definition, built, subject),
    )


def _open_rows(definition: BaseDefinition, built: BaseBuild) -> str:
    return f"{lake.version(merge.table(definition.id), built.snapshot)} WHERE NOT _closed"


def _shared(house: House, definition: BaseDefinition, built: BaseBuild, subject: Subject) -> dict[str, Item]:
    """The fields of a base that the resource has too: as one of their sources, or by the same name."""
    items = {item.name: item for item in subject.resource.items if item.name not in subject.resource.key}
    had = {field.name for field in catalogue.base_at(house, definition.id, built.base_version).fields}
    found: dict[str, Item] = {}
    for field in definition.fields:
        own = [source.item for source in field.sources if source.resource == subject.resource.id]
        item = items.get(own[0] if own else field.name)
        if item is not None and field.name in had and _kind(item) is not None:
            found[field.name] = item
    return found


def _newest_of(key: str) -> str:
    return f"row_number() OVER (PARTITION BY {quoted(key)} ORDER BY _batch DESC, _row DESC) = 1"


def _refuse_ungranted(house: House, session: Session, entry: AccessEntry, known: _Known, purpose: str) -> None:
    target = targets.load(session, known.target)
    given = grants.of(session, entry.department or "", known.target)
    need = Need(known.target, "query", (known.key, *known.columns), purpose)
    try:
        grants.covering(target, given, need, grants.today())
    except AccessRefused as refusal:
        said = f"{refusal.facts.get('reason', refusal.code)}: {refusal.zh}"
        refusal.facts["recorded"] = access_log.append(house, replace(entry, decision="refused", reason=said))
        raise


def _answer(push_id: str, item: Item, known: _Known, asked: Ranges, pairs: list[Pair]) -> Candidates:
    titles = {"_key": item, **known.columns}
    best: dict[int, list[Candidate]] = {}
    for pair in pairs:
        listed = best.setdefault(int(pair.waiting), [])
        if len(listed) < MOST:
            reasons = tuple(_reason(titles[one.column], one) for one in pair.agreements)
            listed.append(Candidate(int(pair.waiting), pair.known, round(pair.probability, 4), reasons))
    found = tuple(candidate for row in sorted(best) for candidate in best[row])
    return Candidates(push_id, known.target, known.version, ranges.written(asked), found)


def _reason(item: Item, agreement: Agreement) -> Reason:
    return Reason(item.name, item.title, agreement.degree, agreement.weight)


def _entry(caller: Caller, known: _Known, purpose: str | None) -> AccessEntry:
    return AccessEntry(
        department=caller.department,
        client=caller.client_id,
        person=caller.person,
        purpose=purpose,
        action="candidates",
        target=known.target,
        version=known.version,
        fields=(known.key, *known.columns),
        decision="not_found",
    )


def _leave_evidence(house: House, entry: AccessEntry, answer: Candidates) -> None:
    """One record for each record that is shown, or one that there was none."""
    digest = house.seal.keyed_hash("answer", json.dumps(answer.as_dict(), ensure_ascii=False).encode())
    named = replace(entry, answer_digest=digest, reason=f"push:{answer.push_id}")
    about = [replace(named, subject_key=key, decision="answered") for key in dict.fromkeys(one.key for one in answer.found)]
    access_log.append(house, *(about or [named]))
