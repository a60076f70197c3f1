"""What became of rows in quarantine: who may see and do what, what waits where, what was returned or released.

Invariant: nothing here holds or shows a value; a row waits until an act says otherwise, an act is never changed, and a
released row stays released. Each act is an event in its own transaction; `access.py` says who may do what.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import access_log, ranges
from exchange.callers import Caller
from exchange.catalogue.model import Level
from exchange.catalogue.sql import literal
from exchange.errors import NotFound, WrongState
from exchange.events import Tag, record
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.pushes import CHINA, Receipt
from exchange.ranges import Ranges
from exchange.registry.models import Push, QuarantineAct, Verdict
from quality import access, check, quarantine

State = Literal["waiting", "returned", "released"]

FIRST = 20  # row numbers shown per rule and state, and named in a refusal


@dataclass(frozen=True)
class Act:
    """One act. `overtaken`: rows among those released that newer pushes had spoken of, and which stay as those say."""

    id: str
    push_id: str
    action: str
    rows: str
    count: int
    overtaken: int
    reason: str | None
    by: str
    at: datetime

    @classmethod
    def of(cls, row: QuarantineAct) -> "Act":
        return cls(**{name: getattr(row, name) for name in cls.__dataclass_fields__})

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the time at +08:00."""
        return asdict(self) | {"at": self.at.astimezone(CHINA).isoformat(timespec="seconds")}


@dataclass(frozen=True)
class Waiting:
    """Rows of one push that failed one rule, in one state. `row_numbers`: the first of them."""

    push_id: str
    resource_id: str
    batch: int
    push_state: str
    rule: str
    level: str
    field: str
    state: State
    rows: int
    row_numbers: tuple[int, ...]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def listed(
    house: House, caller: Caller, *, push: str | None = None, resource: str | None = None, limit: int = 50
) -> list[Waiting]:
    """What is in quarantine, the newest pushes first: rule, field, row numbers, state; never a value.

    Of one push, of one resource, or of everything the caller may see.

    Raises:
        NotFound: no such push. AccessRefused: another department's push.
    """
    if push is not None:
        receipts = [pushes.get(house, push)]
        access.may(house, caller, receipts[0], "list")
    else:
        receipts = _with_quarantine(house, None if caller.role == "quality" else caller.department, resource, limit)
    with house.duckdb() as connection:
        return [line for receipt in receipts for line in _lines(house, connection, receipt)]


def return_rows(house: House, caller: Caller, push_id: str, rows: Ranges | None, reason: str | None = None) -> Act:
    """Give rows back to the provider for correction; `rows` None: all that still wait.

    Raises:
        NotFound: no such push, or it has no quarantine. AccessRefused: neither provider nor quality team.
        WrongState: rows that don't wait; the push was withdrawn.
    """
    receipt = pushes.get(house, push_id)
    access.may(house, caller, receipt, "return")
    with house.registry.session() as session, house.duckdb() as connection:
        push = session.get_one(Push, push_id, with_for_update=True)
        if push.state == "withdrawn":
            raise WrongState(
                f"推送 {push_id} 已撤回，其隔离行不再处理",
                f"push {push_id} was withdrawn; nothing is done with its rows any more",
                push=push_id,
                state=push.state,
            )
        chosen = chosen_rows(house, session, connection, push_id, rows, ("waiting",))
        act = QuarantineAct(
            id=f"{push_id}.returned-{len(of_push(session, push_id)) + 1}",
            push_id=push_id,
            action="return",
            rows=ranges.written(chosen),
            count=ranges.count(chosen),
            reason=access_log.own_words(reason),
            by=by_whom(caller),
        )
        return write(session, push, act, Tag.QUARANTINE_RETURNED)


def write(session: Session, push: Push, act: QuarantineAct, tag: Tag, **facts: object) -> Act:
    """Write an act down with its event, in the caller's transaction."""
    session.add(act)
    session.flush()
    session.refresh(act)
    said = {"rows": act.count, "row_numbers": act.rows, "reason": act.reason, "by": act.by, "act": act.id}
    record(
        session, tag, department=push.department_code, object_id=push.id, resource=push.resource_id, **(said | dict(facts))
    )
    return Act.of(act)


def of_push(session: Session, push_id: str) -> list[QuarantineAct]:
    """Every act on a push, in order."""
    query = select(QuarantineAct).where(QuarantineAct.push_id == push_id)
    return list(session.scalars(query.order_by(QuarantineAct.at, QuarantineAct.id)))


def by_whom(caller: Caller) -> str:
    """Who acts, as evidence keeps it."""
    return caller.person or caller.client_id or caller.department


def rows_in(acts: Sequence[QuarantineAct], action: str) -> Ranges:
    """The rows that acts of one kind are about."""
    return ranges.joined(part for act in acts if act.action == action for part in ranges.parse(act.rows))


def state_sql(acts: Sequence[QuarantineAct]) -> str:
    """SQL: the state of a row (`_row`) after these acts."""
    cases = [
        f"WHEN _row IN (FROM {ranges.sql(found)}) THEN {literal(state)}"
        for action, state in (("release", "released"), ("return", "returned"))
        if (found := rows_in(acts, action))
    ]
    return f"CASE {' '.join(cases)} ELSE 'waiting' END" if cases else "'waiting'"


def chosen_rows(
    house: House,
    session: Session,
    connection: DuckDBPyConnection,
    push_id: str,
    rows: Ranges | None,
    states: tuple[State, ...],
) -> Ranges:
    """The rows an act is about: those given, all of which must be in one of these states, or all that are.

    Raises:
        NotFound: the push has no quarantine. WrongState: a given row is not in such a state, or there is none.
    """
    failed = failed_sql(house, push_id)
    among = f"SELECT _row FROM {failed} WHERE {state_sql(of_push(session, push_id))} IN ({', '.join(map(literal, states))})"
    if rows is None:
        found = connection.execute(ranges.islands(among)).fetchall()
        if not found:
            raise WrongState(
                f"推送 {push_id} 的隔离区里没有待处理的行",
                f"no row of push {push_id} waits in quarantine",
                push=push_id,
            )
        return ranges.joined(found)
    wrong = connection.execute(
        f"SELECT _row FROM {ranges.sql(rows)} WHERE _row NOT IN ({among}) ORDER BY 1 LIMIT {FIRST}"
    ).fetchall()
    if wrong:
        named = "、".join(str(row) for (row,) in wrong)
        raise WrongState(
            f"推送 {push_id} 的第 {named} 行不在隔离区待处理：没有失败，或已经放行、退回；"
            f"请用 exchange quarantine list {push_id} 查看",
            f"of push {push_id} these rows don't wait in quarantine: {named.replace('、', ', ')}; they did not fail, or were "
            f"released or returned; see exchange quarantine list {push_id}",
            push=push_id,
            rows=[row for (row,) in wrong],
        )
    return rows


def failed_sql(house: House, push_id: str) -> str:
    """What is in quarantine of a push, without warnings: one line per row and rule; SQL after FROM.

    Raises:
        NotFound: not judged yet, or aged out.
    """
    path = quarantine.quarantine_file(house, push_id)
    if not path.exists():
        raise quarantine.nothing_kept(house, push_id)
    return f"(SELECT * FROM {check.relation(path)} WHERE level <> {literal(Level.WARN)})"


def _with_quarantine(house: House, department: str | None, resource: str | None, limit: int) -> list[Receipt]:
    query = select(Push).join(Verdict, Verdict.push_id == Push.id).where(Verdict.quarantined_rows > 0)
    if department is not None:
        query = query.where(Push.department_code == department)
    if resource is not None:
        query = query.where(Push.resource_id == resource)
    with house.registry.session() as session:
        found = session.scalars(query.order_by(Push.received_at.desc(), Push.batch.desc()).limit(limit))
        return [Receipt.of(push) for push in found]


def _lines(house: House, connection: DuckDBPyConnection, receipt: Receipt) -> list[Waiting]:
    try:
        failed = failed_sql(house, receipt.id)
    except NotFound:
        return []  # aged out with its landed bytes
    with house.registry.session() as session:
        state = state_sql(of_push(session, receipt.id))
    found = connection.execute(
        f"SELECT rule, level, title, state, count(*), min(_row, {FIRST}) FROM (SELECT *, {state} AS state FROM {failed}) "
        "GROUP BY rule, level, title, state ORDER BY min(_row), rule, state"
    ).fetchall()
    return [
        Waiting(
            receipt.id, receipt.resource_id, receipt.batch, receipt.state, rule, level, title, state, rows, tuple(first)
        )
        for rule, level, title, state, rows, first in found
    ]
