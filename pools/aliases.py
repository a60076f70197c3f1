"""Numbers that stand for another (主键别名): changed (变更), wrong (错号), given twice (重号); dated, and one list for each base.

Invariant: the control database knows both numbers by the keyed hashes that evidence has of them, and holds them sealed. A line
is never changed, only ended. Of those not ended, a number stands for one other at most, and no way along them leads back.
A build takes the lines in force on its day and keeps what they came to beside its rows (`table`), so that an answer as of that
build is given by the numbers of then.
"""

import json
import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from exchange import access_log, catalogue, events, keys
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.catalogue.model import BaseDefinition, KeyIdentifier
from exchange.catalogue.sql import quoted
from exchange.errors import NotFound, RequestInvalid, WrongState
from exchange.house import House
from exchange.intake.pushes import CHINA
from exchange.keys import KeyItem
from exchange.registry.models import KeyAlias
from exchange.seal import digest_hex
from quality import identifiers

Kind = Literal["changed", "wrong", "duplicate"]
WORDS: dict[Kind, str] = {"changed": "变更", "wrong": "错号", "duplicate": "重号"}
COLUMNS = {"alias": "VARCHAR", "key": "VARCHAR", "resource": "VARCHAR", "kind": "VARCHAR", "since": "DATE", "id": "VARCHAR"}
_PURPOSE = "key alias"


@dataclass(frozen=True)
class Alias:
    """One line, its numbers plain. `resources`: whose rows of that number are meant; none named: everybody's, and then the
    number is no key of its own any more."""

    id: str
    alias: str
    key: str
    kind: Kind
    since: date
    resources: tuple[str, ...] = ()


@dataclass(frozen=True)
class AliasView:
    """One line as it may be shown: without its numbers."""

    id: str
    base: str
    kind: Kind
    resources: tuple[str, ...]
    valid_from: date
    basis: str
    by: str
    recorded_at: datetime
    ended_at: datetime | None
    ended_by: str | None
    ended_why: str | None

    @classmethod
    def of(cls, row: KeyAlias) -> "AliasView":
        shown = {name: getattr(row, name) for name in cls.__dataclass_fields__ if name not in ("base", "resources")}
        return cls(base=row.base_id, resources=tuple(row.resources), **shown)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; times at +08:00."""
        said: dict[str, Any] = {name: getattr(self, name) for name in self.__dataclass_fields__}
        times = {name: said[name] and said[name].astimezone(CHINA).isoformat() for name in ("recorded_at", "ended_at")}
        return said | times | {"kind": WORDS[self.kind], "valid_from": self.valid_from.isoformat()}


# ---- the list ------------------------------------------------------------------------------------------------------------


def record(
    house: House,
    caller: Caller,
    base_id: str,
    old: str,
    new: str,
    *,
    kind: Kind,
    basis: str,
    since: date | None = None,
    resources: Sequence[str] = (),
) -> AliasView:
    """Write down that `old` stands for `new` from a day on (None: today). The same again gives the same line.

    A number given twice (重号) stays the key of whoever keeps it: `resources` say whose rows of it mean the other one.

    Raises:
        NotFound: no such base.
        RequestInvalid: the numbers are one and the same; the new one is not well formed; no basis; `resources` are missing,
        not allowed, or do not feed the base. No message repeats a number.
        WrongState: the old number stands for another already, or the new one, along such lines, for the old one.
    """
    definition = catalogue.base(house, base_id)
    spelling = (KeyItem.of_base(definition),)
    alias, key = keys.stored(spelling, old), keys.stored(spelling, new)
    wanted = Alias(new_id(), alias, key, kind, since or today(), tuple(sorted(set(resources))))
    _refuse_unfit(house, definition, wanted, basis)
    return enter(house, caller, base_id, wanted, basis)


def enter(house: House, caller: Caller, base_id: str, wanted: Alias, basis: str) -> AliasView:
    """Write a line down that is fit.

    Raises:
        WrongState: as `record`.
    """
    with house.registry.session() as session:
        _one_at_a_time(session, base_id)
        there = {alias.alias: alias for alias in _open(house, session, base_id)}
        same = there.get(wanted.alias)
        if same is not None:
            return _the_same(session, same, wanted)
        _refuse_a_circle(there, wanted)
        row = _row(house, base_id, wanted, basis, _who(caller))
        session.add(row)
        session.flush()
        session.refresh(row)
        facts = {"kind": row.kind, "since": row.valid_from.isoformat(), "resources": ", ".join(row.resources)}
        said = {"by": row.by, "basis": row.basis}
        events.record(session, events.Tag.KEY_ALIASED, object_id=row.id, base=base_id, **(facts | said))
        _leave_evidence(house, caller, base_id, wanted, f"{row.id} {WORDS[wanted.kind]}")
        return AliasView.of(row)


def end(house: House, caller: Caller, alias_id: str, reason: str) -> AliasView:
    """End a line: from the next build on, its number is what it was. Ending it again changes nothing.

    Raises:
        NotFound: no such line. RequestInvalid: no reason.
    """
    if not reason.strip():
        raise RequestInvalid("终止别名须写明理由（--reason）", "ending an alias needs its reason (--reason)")
    with house.registry.session() as session:
        row = session.get(KeyAlias, alias_id, with_for_update=True)
        if row is None:
            raise NotFound(
                f"没有主键别名 {access_log.own_words(alias_id)}", f"there is no alias {access_log.own_words(alias_id)}"
            )
        if row.ended_at is None:
            row.ended_at, row.ended_by, row.ended_why = datetime.now(UTC), _who(caller), access_log.own_words(reason)
            session.flush()
            events.record(
                session, events.Tag.KEY_ALIAS_ENDED, object_id=row.id, base=row.base_id, by=row.ended_by, why=row.ended_why
            )
            _leave_evidence(house, caller, row.base_id, _plain(house, row), f"{row.id} 终止")
        return AliasView.of(row)


def listed(house: House, base_id: str) -> list[AliasView]:
    """Every line of a base, the newest first, the ended ones included; never a number.

    Raises:
        NotFound: no such base.
    """
    catalogue.base(house, base_id)
    query = select(KeyAlias).where(KeyAlias.base_id == base_id).order_by(KeyAlias.recorded_at.desc(), KeyAlias.id)
    with house.registry.session() as session:
        return [AliasView.of(row) for row in session.scalars(query)]


def views(session: Session, ids: Iterable[str]) -> dict[str, AliasView]:
    """Lines by their ids."""
    found = session.scalars(select(KeyAlias).where(KeyAlias.id.in_(list(ids))))
    return {row.id: AliasView.of(row) for row in found}


def in_force(house: House, session: Session, base_id: str, day: date | None = None) -> list[Alias]:
    """The lines that count on a day (None: today), in the order of their ids."""
    day = day or today()
    return [alias for alias in _open(house, session, base_id) if alias.since <= day]


def today() -> date:
    """The day it is in China."""
    return datetime.now(CHINA).date()


def digest(aliases: Sequence[Alias], *, older_numbers: bool = False) -> str | None:
    """By what a build remembers the lines it was made by; None: there were none, and no source with older numbers either. A
    line never changes, so its id is enough."""
    none = not aliases and not older_numbers
    return None if none else digest_hex("|".join(sorted(alias.id for alias in aliases)).encode())[:16]


def meaning(aliases: Sequence[Alias], resource_id: str | None) -> dict[str, str]:
    """For each number that is none of its own, the one that counts, as one resource means it; None: as everybody does."""
    step = {one.alias: one.key for one in aliases if not one.resources or resource_id in one.resources}
    return {number: _along(step, number) for number in step}


# ---- what a build keeps of it --------------------------------------------------------------------------------------------


def table(base_id: str) -> str:
    """The lake table of what the lines came to when a base was built; of no use where the build had none."""
    return f"base_{base_id}_alias"


def kept(definition: BaseDefinition, aliases: Sequence[Alias]) -> list[tuple[Alias, str | None]]:
    """What is kept: each number with the one that counts, once for everybody, and again for each resource that means
    something else."""
    by_number = {one.alias: one for one in aliases}
    whole = meaning(aliases, None)
    found: list[tuple[Alias, str | None]] = [(replace(by_number[number], key=key), None) for number, key in whole.items()]
    for resource_id in (origin.resource for origin in definition.key_sources):
        own = meaning(aliases, resource_id)
        found += [
            (replace(by_number[number], key=key), resource_id) for number, key in own.items() if whole.get(number) != key
        ]
    return found


def answering(relation: str) -> str:
    """SQL: `alias`, the `key` it is answered under, `kind` and `since`, for each number that is no key itself. An older number
    (组织机构代码, 注册号) is answered where every source that has it means the same one.

    Args:
        relation: what a build has kept.
    """
    listed = f"SELECT alias, key, kind, since FROM {relation} WHERE resource IS NULL"
    return (
        f"{listed} UNION ALL SELECT alias, any_value(key), any_value(kind) FILTER (id IS NULL), NULL FROM {relation} o "
        f"WHERE NOT EXISTS (SELECT 1 FROM {relation} l WHERE l.resource IS NULL AND l.alias = o.alias) "
        "GROUP BY alias HAVING count(DISTINCT key) = 1 AND bool_or(id IS NULL)"
    )


def keep(connection: DuckDBPyConnection, definition: BaseDefinition, aliases: Sequence[Alias]) -> str:
    """Write it anew, inside the transaction of a build; the table's name, for what else is kept there."""
    target = f"lake.{quoted(table(definition.id))}"
    columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in COLUMNS.items())
    connection.execute(f"DROP TABLE IF EXISTS {target}")
    connection.execute(f"CREATE TABLE {target} ({columns})")
    if not aliases:
        return target
    lines = [(one.alias, one.key, whose, one.kind, one.since, one.id) for one, whose in kept(definition, aliases)]
    unnested = ", ".join(f"unnest(${place})::{kind}" for place, kind in enumerate(COLUMNS.values(), 1))
    connection.execute(f"INSERT INTO {target} SELECT {unnested}", [list(column) for column in zip(*lines, strict=True)])
    return target


# ---- inside --------------------------------------------------------------------------------------------------------------


def _refuse_unfit(house: House, definition: BaseDefinition, wanted: Alias, basis: str) -> None:
    fed = [origin.resource for origin in definition.key_sources]
    strangers = [name for name in wanted.resources if name not in fed]
    problems = (
        (wanted.alias == wanted.key, "旧号和新号相同", "the old number and the new one are the same"),
        (not wanted.alias or not wanted.key, "缺少旧号或新号", "the old number or the new one is missing"),
        (not basis.strip(), "须写明依据（--basis）", "its basis must be stated (--basis)"),
        (
            not _well_formed(house, definition, wanted.key),
            f"新号不是合格的 {definition.key_identifier}（长度、字符或校验码不符）",
            f"the new number is no good {definition.key_identifier} (length, characters or check character)",
        ),
        (
            wanted.kind == "duplicate" and not wanted.resources,
            "重号须写明哪些来源的这个号指的是新号（--in 资源），其余来源仍归原持有人",
            "of a number given twice, say whose rows mean the new one (--in RESOURCE); the others stay with its keeper",
        ),
        (
            wanted.kind == "changed" and bool(wanted.resources),
            "变更对所有来源有效，不能限定来源（--in）",
            "a changed number is changed for every source; --in is not for it",
        ),
        (
            bool(strangers),
            f"{'、'.join(strangers)} 不是 {definition.id} 的来源；来源有 {'、'.join(fed)}",
            f"{', '.join(strangers)} does not feed {definition.id}; its sources are {', '.join(fed)}",
        ),
    )
    wrong = [(zh, en) for failed, zh, en in problems if failed]
    if wrong:
        raise RequestInvalid(
            "别名有误：" + "；".join(zh for zh, _ in wrong), "a wrong alias: " + "; ".join(en for _, en in wrong)
        )


def _well_formed(house: House, definition: BaseDefinition, number: str) -> bool:
    checks: dict[KeyIdentifier, str] = {
        "resident_number": identifiers.resident_number_ok("number", today()),
        "uscc": identifiers.uscc_ok("number"),
        "cert_identifier": identifiers.cert_identifier_ok("number"),
        "party_code": identifiers.party_code_ok("number", today()),
    }
    with house.duckdb() as connection:
        row = connection.execute(
            f"SELECT {checks[definition.key_identifier]} FROM (SELECT ?::VARCHAR AS number)", [number]
        ).fetchone()
    return row is not None and bool(row[0])


def _the_same(session: Session, there: Alias, wanted: Alias) -> AliasView:
    if (there.key, there.kind, there.resources) != (wanted.key, wanted.kind, wanted.resources):
        raise WrongState(
            f"这个旧号已有别名 {there.id}（{WORDS[there.kind]}），与此不同；如要更改，请先终止它：exchange key end {there.id}",
            f"that old number has another alias already, {there.id}; to change it, end that first: exchange key end {there.id}",
            alias=there.id,
        )
    return AliasView.of(session.get_one(KeyAlias, there.id))


def _refuse_a_circle(there: dict[str, Alias], wanted: Alias) -> None:
    way = [wanted.key]
    while way[-1] in there:
        way.append(there[way[-1]].key)
    if wanted.alias in way:
        met = there[way[way.index(wanted.alias) - 1]].id
        raise WrongState(
            f"别名会绕回原号：新号已经（经 {met}）指向这个旧号；请先终止 {met}",
            f"that would lead back: the new number stands for the old one already (by {met}); end {met} first",
            alias=met,
        )


def _along(step: dict[str, str], number: str) -> str:
    while number in step:
        number = step[number]
    return number


def _open(house: House, session: Session, base_id: str) -> list[Alias]:
    query = select(KeyAlias).where(KeyAlias.base_id == base_id, KeyAlias.ended_at.is_(None)).order_by(KeyAlias.id)
    return [_plain(house, row) for row in session.scalars(query)]


def _plain(house: House, row: KeyAlias) -> Alias:
    alias, key = json.loads(house.seal.decrypt(_PURPOSE, row.sealed, row.id.encode()))
    return Alias(row.id, alias, key, _kind(row.kind), row.valid_from, tuple(row.resources))


def _kind(written: str) -> Kind:
    return next(kind for kind in WORDS if kind == written)


def _row(house: House, base_id: str, wanted: Alias, basis: str, by: str) -> KeyAlias:
    numbers = json.dumps([wanted.alias, wanted.key]).encode()
    return KeyAlias(
        id=wanted.id,
        base_id=base_id,
        alias=house.seal.subject(keys.subject(wanted.alias)),
        key=house.seal.subject(keys.subject(wanted.key)),
        sealed=house.seal.encrypt(_PURPOSE, numbers, wanted.id.encode()),
        kind=wanted.kind,
        resources=list(wanted.resources),
        valid_from=wanted.since,
        basis=access_log.own_words(basis),
        by=by,
    )


def _leave_evidence(house: House, caller: Caller, base_id: str, alias: Alias, reason: str) -> None:
    """Under both numbers; before the line itself is committed, so that none is without."""
    entry = AccessEntry(
        department=caller.department or None,
        client=caller.client_id,
        person=caller.person,
        action="key_alias",
        target=f"base:{base_id}",
        decision="answered",
        reason=reason,
    )
    access_log.append(house, replace(entry, subject_key=alias.alias), replace(entry, subject_key=alias.key))


def _who(caller: Caller) -> str:
    return caller.person or caller.client_id or caller.department


def new_id() -> str:
    """What a line is called by."""
    return f"K{datetime.now(CHINA):%y%m%d}-{secrets.token_hex(5)}"


def _one_at_a_time(session: Session, base_id: str) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": f"aliases {base_id}"})
