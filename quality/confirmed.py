"""Keys that a person confirms: whose row a row is that waits for want of a usable key.

Invariant: nothing but a person's word gives a row a key, and only a person of the department that pushed it; the word is sealed,
has its author and reason, an event, and evidence under the key. It changes no judgement: the row waits until it is released, and
what other rules say of it still counts.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import access_log, events, keys, ranges
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.catalogue.model import Item, Level
from exchange.catalogue.sql import literal, quoted
from exchange.errors import RequestInvalid, WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.pushes import CHINA
from exchange.keys import KeyItem
from exchange.ranges import Ranges
from exchange.registry.models import KeyConfirmation, Push
from quality import access, acts, staging
from quality.rules import Rule
from quality.subject import Subject

_PURPOSE = "confirmed key"


@dataclass(frozen=True)
class Confirmed:
    """One person's word. `key` stays sealed in the control database."""

    id: str
    push_id: str
    row: int
    reason: str
    by: str
    at: datetime


def confirm(house: House, caller: Caller, push_id: str, row: int, key: str, reason: str) -> Confirmed:
    """Say whose row a row in quarantine is. The same again gives the same word; another takes its place until the row is released.

    Raises:
        NotFound: no such push, or nothing of it in quarantine. AccessRefused: another's.
        RequestInvalid: no reason, or the key is not well formed; the key is not repeated.
        WrongState: the row does not wait, its own key is usable, or its resource has no key that a person could name.
    """
    receipt = pushes.get(house, push_id)
    access.may(house, caller, receipt, "confirm_key")
    if not reason.strip():
        raise RequestInvalid("确认主键须写明理由（--reason）", "confirming a key needs its reason (--reason)")
    subject = Subject.of(house, receipt)
    item = key_item(subject)
    spelled = keys.stored((KeyItem.of(item),), key)
    with house.registry.session() as session, house.duckdb() as connection:
        push = session.get_one(Push, push_id, with_for_update=True)
        _refuse_malformed(connection, subject, item, spelled)
        before = _newest(session, push_id).get(row)
        if before is not None and _plain(house, before) == spelled:
            return _view(before)
        waiting(house, session, connection, subject, ((row, row),))
        word = _written(house, push_id, row, spelled, reason, acts.by_whom(caller))
        session.add(word)
        session.flush()
        session.refresh(word)
        facts = {"resource": push.resource_id, "row": row, "reason": word.reason, "by": word.by, "confirmation": word.id}
        events.record(session, events.Tag.KEY_CONFIRMED, department=push.department_code, object_id=push_id, **facts)
        access_log.append(house, _evidence(caller, push, word, spelled))
        return _view(word)


def waiting(
    house: House, session: Session, connection: DuckDBPyConnection, subject: Subject, rows: Ranges | None
) -> Ranges:
    """The rows that wait for want of a usable key: those given, all of which must, or all that do.

    Raises:
        NotFound: the push has no quarantine. WrongState: a given row does not wait for that, or none does.
    """
    item = key_item(subject)
    chosen = acts.chosen_rows(house, session, connection, subject.receipt.id, rows, ("waiting", "returned"))
    listed = ", ".join(literal(rule.id) for rule in subject.rules if about_key(rule, item))
    failed = f"SELECT DISTINCT _row FROM {acts.failed_sql(house, subject.receipt.id)} WHERE rule IN ({listed})"
    among = f"SELECT _row FROM {ranges.sql(chosen)} WHERE _row IN ({failed})"
    found = ranges.joined(connection.execute(ranges.islands(among)).fetchall())
    if not found or (rows is not None and found != chosen):
        raise WrongState(
            f"推送 {subject.receipt.id} 的这些行不缺主键：{item.title}可用，请查看其他规则（exchange quarantine list）",
            f"these rows of push {subject.receipt.id} have a usable {item.name}; see which other rule they failed "
            "(exchange quarantine list)",
            push=subject.receipt.id,
        )
    return found


def key_item(subject: Subject) -> Item:
    """The key item that tells whose a row is.

    Raises:
        WrongState: there is none, or the push is a list of deletions.
    """
    resource = subject.resource
    found = [item for item in resource.items if item.identifier is not None and item.name in resource.key]
    if not found or subject.receipt.mode == "deletions":
        raise WrongState(
            f"推送 {subject.receipt.id} 不能确认主键：删除清单，或资源 {resource.id} 的主键中没有身份标识",
            f"no key can be confirmed in push {subject.receipt.id}: a list of deletions, or no key item of {resource.id} is an identifier",
            push=subject.receipt.id,
        )
    return found[0]


def about_key(rule: Rule, item: Item) -> bool:
    """Whether a rule speaks of that item alone, so that a person's word about the key answers it."""
    return (
        rule.items == (item.name,) and rule.id.startswith(f"{item.name}.") and rule.level in (Level.BLOCK, Level.QUARANTINE)
    )


def of_push(house: House, session: Session, push_id: str) -> dict[int, str]:
    """The confirmed keys of a push, by row."""
    return {row: _plain(house, word) for row, word in _newest(session, push_id).items()}


def rows_sql(house: House, session: Session, subject: Subject, which: str) -> str:
    """As `staging.rows_sql`, with the confirmed keys in place of what was sent. `_hash` is that of the row as it was sent."""
    rows = staging.rows_sql(house, subject, which)
    words = of_push(house, session, subject.receipt.id)
    if not words:
        return rows
    key = quoted(key_item(subject).name)
    listed = ", ".join(f"({row}, {literal(said)})" for row, said in words.items())
    return (
        f"(SELECT r.* REPLACE (coalesce(_said.key, r.{key}) AS {key}) FROM {rows} r "
        f"LEFT JOIN (VALUES {listed}) _said(row, key) ON r._row = _said.row)"
    )


def _refuse_malformed(connection: DuckDBPyConnection, subject: Subject, item: Item, spelled: str) -> None:
    """By the very rules that the gate has for it."""
    rules = [rule for rule in subject.rules if about_key(rule, item) and not rule.id.endswith(".required")]
    judged = " AND ".join(f"({rule.predicate})" for rule in rules) or "true"
    row = connection.execute(
        f"SELECT {judged} FROM (SELECT ?::VARCHAR AS {quoted(item.name)}, NULL::VARCHAR AS _broken)", [spelled]
    ).fetchone()
    if not spelled or row is None or not row[0]:
        raise RequestInvalid(
            f"确认的主键不是合格的{item.title}（长度、字符或校验码不符）",
            f"the confirmed key is no good {item.name} (length, characters or check character)",
        )


def _newest(session: Session, push_id: str) -> dict[int, KeyConfirmation]:
    query = select(KeyConfirmation).where(KeyConfirmation.push_id == push_id)
    return {word.row: word for word in session.scalars(query.order_by(KeyConfirmation.at, KeyConfirmation.id))}


def _written(house: House, push_id: str, row: int, key: str, reason: str, by: str) -> KeyConfirmation:
    new_id = f"C{datetime.now(CHINA):%y%m%d}-{secrets.token_hex(5)}"
    return KeyConfirmation(
        id=new_id,
        push_id=push_id,
        row=row,
        key=house.seal.subject(keys.subject(key)),
        sealed=house.seal.encrypt(_PURPOSE, key.encode(), new_id.encode()),
        reason=access_log.own_words(reason),
        by=by,
    )


def _plain(house: House, word: KeyConfirmation) -> str:
    return house.seal.decrypt(_PURPOSE, word.sealed, word.id.encode()).decode()


def _evidence(caller: Caller, push: Push, word: KeyConfirmation, key: str) -> AccessEntry:
    return AccessEntry(
        department=caller.department or None,
        client=caller.client_id,
        person=caller.person,
        action="confirm_key",
        target=f"push:{push.id}",
        version=str(push.resource_version),
        subject_key=key,
        decision="answered",
        reason=f"{word.id} row {word.row}",
    )


def _view(word: KeyConfirmation) -> Confirmed:
    return Confirmed(word.id, word.push_id, word.row, word.reason, word.by, word.at)
