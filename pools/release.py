"""Rows released from quarantine: their provider says they are right after all, and they enter the pool.

Invariant: all rows of a release enter in one version of the pool, named `<push>.released-…` after the rows and the version it
stands on; killed between commit and record it is finished, not repeated. A released row belongs to its own batch: whatever a
newer push said of its key stays as that push said it. A row without a key, a type or the form of an identifier can't enter,
unless a person has said whose row it is (quality/confirmed.py).
"""

from dataclasses import asdict, dataclass
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import access_log, catalogue, events, ranges
from exchange.callers import Caller
from exchange.catalogue.model import Level, Resource
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.errors import RequestInvalid, WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.form import OPERATION, UPSERT, has_operations
from exchange.ranges import Ranges
from exchange.registry.models import PoolCommit, Push, QuarantineAct
from exchange.seal import digest_hex
from pools import pool
from quality import access, acts, check, confirmed, rules, staging
from quality.acts import Act
from quality.check import row_hash
from quality.rules import Rule, fails
from quality.subject import Subject

_REJECTING = (Level.BLOCK, Level.QUARANTINE)
_NAMED = 5  # rules, and rows of each, that a refusal names


@dataclass(frozen=True)
class Released:
    """What a release did. `inserted`, `changed`, `deleted`: rows of the pool."""

    act: Act
    receipt: str
    snapshot: int
    inserted: int
    changed: int
    deleted: int

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self) | {"act": self.act.as_dict()}


def release(house: House, caller: Caller, push_id: str, rows: Ranges | None, reason: str) -> Released:
    """Take rows of a pooled push into the pool although a rule failed them; `rows` None: all that were not released yet.

    Doing it again gives the same answer.

    Raises:
        NotFound: no such push, or nothing of it in quarantine. AccessRefused: another's.
        RequestInvalid: no reason was given.
        WrongState: the push is not in the pool, or was replaced by a newer full one; a row does not wait, or can't enter (says
        which rule; one whose key was confirmed can); newer pushes spoke of every one of the keys; the landed bytes have been aged out.
        Unavailable: the lake failed; nothing changed.
    """
    receipt = pushes.get(house, push_id)
    access.may(house, caller, receipt, "release")
    if not reason.strip():
        raise RequestInvalid("放行须写明理由（--reason）", "a release needs its reason (--reason)")
    subject = Subject.of(house, receipt)
    with house.registry.session() as session:
        push = session.get_one(Push, push_id)
        pool.one_at_a_time(session, push.resource_id)
        session.refresh(push, with_for_update=True)
        done = _done_before(house, session, push, rows)
        return done or _Release(house, session, subject, push).run(rows, reason, acts.by_whom(caller))


def _done_before(house: House, session: Session, push: Push, rows: Ranges | None) -> Released | None:
    """The release of exactly these rows, if it is on record; of all rows: the last one, if nothing is left to release."""
    if push.state != "pooled":
        return None
    query = select(QuarantineAct).where(QuarantineAct.push_id == push.id, QuarantineAct.action == "release")
    if rows is not None:
        query = query.where(QuarantineAct.rows == ranges.written(rows))
    elif _left(house, session, push.id):
        return None
    act = session.scalar(query.order_by(QuarantineAct.at.desc()).limit(1))
    return None if act is None else _view(act, session.get_one(PoolCommit, act.id))


def _left(house: House, session: Session, push_id: str) -> bool:
    state = acts.state_sql(acts.of_push(session, push_id))
    with house.duckdb() as connection:
        query = f"SELECT 1 FROM {acts.failed_sql(house, push_id)} WHERE {state} <> 'released' LIMIT 1"
        return connection.execute(query).fetchone() is not None


class _Release:
    """One release inside its transaction."""

    def __init__(self, house: House, session: Session, subject: Subject, push: Push) -> None:
        self.house, self.session, self.subject, self.push = house, session, subject, push
        self.newer = _newer(session, push)
        _refuse_not_pooled(push, self.newer)

    def run(self, rows: Ranges | None, reason: str, by: str) -> Released:
        try:
            chosen, entering = self._settle(rows)
            commit = self._commit(chosen, entering)
        finally:
            for push in (self.push, *self.newer):
                staging.drop(self.house, push.id)  # all of them are in the pool, so nobody else needs their rows
        act = QuarantineAct(
            id=commit.receipt,
            push_id=self.push.id,
            action="release",
            rows=ranges.written(chosen),
            count=ranges.count(chosen),
            overtaken=ranges.count(chosen) - ranges.count(entering),
            reason=access_log.own_words(reason),
            by=by,
        )
        figures = {"inserted": commit.inserted, "changed": commit.changed, "deleted": commit.deleted}
        facts = {"overtaken": act.overtaken, "snapshot": commit.snapshot} | figures
        acts.write(self.session, self.push, act, events.Tag.QUARANTINE_RELEASED, **facts)
        return _view(act, commit)

    def _settle(self, rows: Ranges | None) -> tuple[Ranges, Ranges]:
        """The rows that are released, and those among them that enter the pool."""
        staging.judged_again(self.house, self.subject)
        with self.house.duckdb() as connection:
            states: tuple[acts.State, ...] = ("waiting", "returned")
            chosen = acts.chosen_rows(self.house, self.session, connection, self.push.id, rows, states)
            self._refuse_unfit(connection, chosen)
            self._refuse_repeated(connection, chosen)
            return chosen, self._not_overtaken(connection, chosen)

    def _commit(self, chosen: Ranges, entering: Ranges) -> PoolCommit:
        before = pool.newest(self.session, self.push.resource_id)
        assert before is not None  # noqa: S101 - the push is in the pool
        name = digest_hex(f"{before.receipt}|{ranges.written(chosen)}".encode())[:10]
        now = catalogue.resource_at(self.house, before.resource_id, before.resource_version)
        return pool.commit_addition(
            self.house,
            self.session,
            self.push,
            self._relation(entering, now),
            receipt=f"{self.push.id}.released-{name}",
            mode="deletions" if self.push.mode == "deletions" else "incremental",
            before=before,
        )

    def _refuse_unfit(self, connection: DuckDBPyConnection, chosen: Ranges) -> None:
        """Some rules nobody can overrule: what fails them can't be kept or found."""
        noted = check.noted_sql(self.house, self.push.id)
        picked = f"SELECT * FROM {noted} SEMI JOIN {ranges.sql(chosen)} USING (_row)"
        unfit: list[tuple[Rule, list[int]]] = []
        for index, rule in enumerate(self.subject.rules):
            if rule.overrulable or rule.level not in _REJECTING or rule.id == rules.UNIQUE:
                continue
            answered = self._answered(rule)
            query = f"SELECT _row FROM ({picked}) WHERE {fails(index)}{answered} ORDER BY _row LIMIT {_NAMED}"
            found = [row[0] for row in connection.execute(query).fetchall()]
            if found:
                unfit.append((rule, found))
        if not unfit:
            return
        said = [(rule, ", ".join(map(str, found))) for rule, found in unfit[:_NAMED]]
        raise WrongState(
            f"推送 {self.push.id} 的这些行不能放行：{'；'.join(f'第 {rows} 行 {rule.id}（{rule.title}）' for rule, rows in said)}。"
            "没有主键、类型或标识符不合格的行无法入库和查到，请改正后重新推送，或确认其主键（exchange quarantine confirm-key），"
            "或用 --rows 只放行其余的行",
            f"these rows of push {self.push.id} can't be released: "
            f"{'; '.join(f'{rows}: {rule.id} ({rule.title_en})' for rule, rows in said)}. A row without its key, or of the wrong "
            "type or identifier, can't be kept or found: correct it and push again, confirm its key (exchange quarantine "
            "confirm-key), or release the others alone with --rows",
            push=self.push.id,
            rules={rule.id: found for rule, found in unfit},
        )

    def _answered(self, rule: Rule) -> str:
        """SQL: not the rows whose key a person has confirmed, where that is what the rule asks for."""
        words = confirmed.of_push(self.house, self.session, self.push.id)
        if not words or not confirmed.about_key(rule, confirmed.key_item(self.subject)):
            return ""
        return f" AND _row NOT IN ({', '.join(map(str, words))})"

    def _refuse_repeated(self, connection: DuckDBPyConnection, chosen: Ranges) -> None:
        """A released row must not share its key with another row of its push."""
        resource = self.subject.resource
        if resource.duplicates == "allow":
            return
        keys = ", ".join(quoted(name) for name in resource.key)
        mine = f"SELECT *, _row IN (FROM {ranges.sql(chosen)}) AS chosen FROM {self._taken(self.subject, chosen)}"
        query = (
            f"SELECT unnest(list(_row) FILTER (chosen)) AS _row FROM ({mine}) GROUP BY {keys} "
            f"HAVING count(*) > 1 AND bool_or(chosen) ORDER BY 1 LIMIT {_NAMED}"
        )
        found = [row[0] for row in connection.execute(query).fetchall()]
        if found:
            listed = ", ".join(map(str, found))
            raise WrongState(
                f"推送 {self.push.id} 的第 {listed} 行不能放行：与本批另一行主键重复（{rules.UNIQUE}）；"
                "请改正后重新推送，或只放行其中一行",
                f"rows {listed} of push {self.push.id} can't be released: another row of the same push has their key "
                f"({rules.UNIQUE}); correct them and push again, or release one of them alone",
                push=self.push.id,
                rows=found,
            )

    def _not_overtaken(self, connection: DuckDBPyConnection, chosen: Ranges) -> Ranges:
        """The rows whose keys no newer push in the pool spoke of."""
        keys = ", ".join(quoted(name) for name in self.subject.resource.key)
        mine = self._rows(self.subject, f"_row IN (FROM {ranges.sql(chosen)})")
        for newer in self.newer:
            subject = Subject.of(self.house, newer.id)
            staging.judged_again(self.house, subject)
            mine = f"(SELECT m.* FROM {mine} m ANTI JOIN (SELECT {keys} FROM {self._taken(subject, ())}) n USING ({keys}))"
        entering = ranges.joined(connection.execute(ranges.islands(f"SELECT _row FROM {mine}")).fetchall())
        if not entering:
            raise WrongState(
                f"推送 {self.push.id} 的这些行不必放行：其后的批次已写过它们的主键，以新批次为准",
                f"nothing of push {self.push.id} is left to release: newer batches have these keys, and what they say stands",
                push=self.push.id,
                newer=[newer.id for newer in self.newer],
            )
        return entering

    def _taken(self, subject: Subject, chosen: Ranges) -> str:
        """What a push put into the pool, with what was released of it and these rows."""
        released = acts.rows_in(acts.of_push(self.session, subject.receipt.id), "release")
        also = ranges.joined((*released, *chosen))
        good = f"NOT {rules.fails_any(subject.rules, _REJECTING)}"
        return self._rows(subject, f"{good} OR _row IN (FROM {ranges.sql(also)})" if also else good)

    def _rows(self, subject: Subject, which: str) -> str:
        """Rows under the keys that count for them."""
        return confirmed.rows_sql(self.house, self.session, subject, which)

    def _relation(self, entering: Ranges, now: Resource) -> str:
        """The rows in the columns of the pool's newest version."""
        form = self.subject.resource
        rows = self._rows(self.subject, f"_row IN (FROM {ranges.sql(entering)})")
        if form.duplicates == "allow":  # what a push says of a key it says with all its rows of it
            keys = ", ".join(quoted(name) for name in form.key)
            rows = f"(SELECT t.* FROM {self._taken(self.subject, entering)} t SEMI JOIN (SELECT {keys} FROM {rows}) k USING ({keys}))"
        if self.push.mode == "deletions":
            return rows
        had = {item.name: sql_type(item) for item in form.items}
        items = ", ".join(
            quoted(item.name) if had.get(item.name) == sql_type(item) else f"NULL::{sql_type(item)} AS {quoted(item.name)}"
            for item in now.items
        )
        operation = quoted(OPERATION) if has_operations(form) else f"{literal(UPSERT)} AS {quoted(OPERATION)}"
        return f"(SELECT *, {row_hash(now)} AS _hash FROM (SELECT _row, {operation}, {items} FROM {rows}))"


def _newer(session: Session, push: Push) -> list[Push]:
    """Pushes of the resource that the pool took after this one, and kept."""
    query = select(Push).where(Push.resource_id == push.resource_id, Push.batch > push.batch, Push.state == "pooled")
    return list(session.scalars(query.order_by(Push.batch)))


def _refuse_not_pooled(push: Push, newer: list[Push]) -> None:
    if push.state != "pooled":
        raise WrongState(
            f"推送 {push.id} 的状态是 {push.state}，其隔离行还不能放行：已入池（pooled）的推送才可以；"
            "被退回的推送请改正后整批重新推送",
            f"push {push.id} is {push.state}; rows are released of a push that is in the pool. One that was rejected is to be "
            "corrected and pushed again as a whole",
            push=push.id,
            state=push.state,
        )
    full = next((other for other in reversed(newer) if other.mode == "full"), None)
    if full is not None:
        raise WrongState(
            f"推送 {push.id} 已被第 {full.batch} 批全量推送 {full.id} 取代，旧批次的行不能再放行；请在 {full.id} 中处理",
            f"push {push.id} was replaced by {full.id}, the full push of batch {full.batch}; rows of the older one can't be "
            "released any more: see to those of the newer one",
            push=push.id,
            newest=full.id,
        )


def _view(act: QuarantineAct, commit: PoolCommit) -> Released:
    figures = (commit.inserted or 0, commit.changed or 0, commit.deleted or 0)
    return Released(Act.of(act), commit.receipt, commit.snapshot, *figures)
