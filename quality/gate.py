"""The gate: one verdict for a push, by the rules of the resource version its receipt names.

Invariant: a push has at most one verdict, and a verdict never changes, except that a held push can be confirmed once.
Verdict, push state and event are one transaction; whatever is killed before it is done again with the same result.
"""

import shutil
from dataclasses import asdict

from sqlalchemy import and_, func, or_, select
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.callers import Caller
from exchange.catalogue.model import Resource
from exchange.catalogue.sql import sql_type
from exchange.errors import AccessRefused, NotFound, WrongState
from exchange.events import Tag, record
from exchange.faults import disk_full_is_said
from exchange.house import House
from exchange.progress import Progress, silent
from exchange.registry.models import PoolCommit, Push
from exchange.registry.models import Verdict as VerdictRow
from quality import check as one_pass
from quality import expectations, notices, quarantine, rules, staging
from quality.check import Counts
from quality.expectations import Failures
from quality.subject import Subject
from quality.verdict import Decision, Reason, decide, needs_full, no_baseline, outdated, rule_count
from quality.verdict import VerdictView as VerdictView

_MAY_COUNT = ("landed", "checking", "held", "accepted", "pooled")  # states of pushes that are, or may become, the pool


def check(house: House, push_id: str, progress: Progress | None = None) -> VerdictView:
    """Judge a landed push: one pass, Great Expectations over its bits, a verdict. A push that has one keeps it.

    Raises:
        NotFound: no such push. WrongState: it was withdrawn, or its landed bytes have been aged out.
        Unavailable: the control database does not answer, or the disk is full; the push is judged when it is run again.
    """
    subject = Subject.of(house, push_id)
    with disk_full_is_said(), house.registry.session() as alone:
        # two runs of one push (a retry beside a slow first) would write the same files; the second waits, then finds it
        alone.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(push_id, 0))))
        view = _begin(house, push_id)
        if view is None:
            _sweep(house, push_id)
            view = _decide(house, subject, *_judge(house, subject, progress or silent))
    if view.decision == "rejected":
        staging.drop(house, push_id)  # its rows go nowhere; what failed is in quarantine
    return view


def verdict(house: House, push_id: str) -> VerdictView:
    """The verdict on a push.

    Raises:
        NotFound: no such push, or not judged yet.
    """
    with house.registry.session() as session:
        return _view(session, push_id)


def confirm(house: House, caller: Caller, push_id: str) -> VerdictView:
    """The pushing department says that a held push is meant as it is: it becomes accepted.

    Raises:
        NotFound: no such push or verdict. AccessRefused: another department. WrongState: it is not held, or a newer
        batch has been accepted since.
    """
    with house.registry.session() as session:
        push, found = session.get(Push, push_id), session.get(VerdictRow, push_id)
        if push is None or found is None:
            raise _no_verdict(push_id)
        _one_at_a_time(session, push.resource_id)
        session.refresh(push, with_for_update=True)
        session.refresh(found)
        if caller.department != push.department_code:
            raise AccessRefused(
                f"只有推送部门本身可以确认推送 {push_id}",
                f"only the pushing department may confirm push {push_id}",
                push=push_id,
            )
        if push.state != "held":
            raise WrongState(
                f"推送 {push_id} 的状态是 {push.state}，只有待确认（held）的推送才需要确认",
                f"push {push_id} is {push.state}; only a held push waits for confirmation",
            )
        _refuse_outdated(session, push)
        found.decision = "accepted"
        found.confirmed_by = caller.person or caller.client_id or caller.department
        push.state = "accepted"
        push.dispatched_at = None  # the courier carries it a second time (infra/courier.py)
        _record(house, session, push, found, confirmed=True)
        return VerdictView.of(found, push)


def _begin(house: House, push_id: str) -> VerdictView | None:
    """The verdict if there is one; else the push is being checked from now on."""
    with house.registry.session() as session:
        if session.get(VerdictRow, push_id) is not None:
            return _view(session, push_id)
        push = session.get_one(Push, push_id, with_for_update=True)
        if push.state == "withdrawn":
            raise WrongState(
                f"推送 {push_id} 已被推送部门撤回，不再质检",
                f"push {push_id} was withdrawn by its department and is not judged",
            )
        push.state = "checking"
        return None


def _sweep(house: House, push_id: str) -> None:
    """Remove what a killed run left half written."""
    for folder in ("staging", "quarantine", "gx"):
        for litter in house.settings.folder(folder).glob(f".*{push_id}.*"):
            if litter.is_dir():
                shutil.rmtree(litter)
            else:
                litter.unlink()


def _judge(house: House, subject: Subject, progress: Progress) -> tuple[Counts, Failures]:
    with house.duckdb() as connection:
        counts = one_pass.run(house, connection, subject.receipt.id, subject.resource, subject.rules, progress)
        failures = expectations.validate(house, connection, subject, counts.rows, progress)
        quarantine.write(house, connection, subject, {rule: failure.count for rule, failure in failures.items()})
    return counts, failures


def _decide(house: House, subject: Subject, counts: Counts, failures: Failures) -> VerdictView:
    failed = {rule: failure.count for rule, failure in failures.items()}
    with house.registry.session() as session:
        _one_at_a_time(session, subject.receipt.resource_id)
        push = session.get_one(Push, subject.receipt.id, with_for_update=True)
        published = catalogue.resource_at(house, push.resource_id, push.resource_version)
        decision, reasons = _word(house, session, push, subject, published, counts, failed)
        row = VerdictRow(
            push_id=push.id,
            decision=decision,
            reasons=[asdict(reason) for reason in reasons],
            rows=counts.rows,
            accepted_rows=counts.rows - counts.rejected,
            quarantined_rows=counts.rejected,
            warned_rows=counts.warned,
            normalised_values=counts.normalised,
            rules=[
                asdict(rule_count(rule, counts.rows, failures[rule.id].count, failures[rule.id].rows))
                for rule in subject.rules
            ],
            rules_digest=rules.digest(subject.rules),
        )
        session.add(row)
        push.state = decision
        _record(house, session, push, row)
        session.flush()
        return VerdictView.of(row, push)


def forecast(
    house: House, subject: Subject, resource: Resource, counts: Counts, failed: dict[str, int]
) -> tuple[Decision, tuple[Reason, ...]]:
    """The word that these figures would lead to if `resource` were the version in force; nothing is written."""
    with house.registry.session() as session:
        push = session.get_one(Push, subject.receipt.id)
        return _word(house, session, push, subject, resource, counts, failed)


def _word(
    house: House,
    session: Session,
    push: Push,
    subject: Subject,
    resource: Resource,
    counts: Counts,
    failed: dict[str, int],
) -> tuple[Decision, tuple[Reason, ...]]:
    decision, reasons = decide(subject, counts, failed, house.settings, _last_accepted(session, push))
    pointless = _pointless(house, session, push, resource)
    if pointless is not None and decision != "rejected":
        return "rejected", (pointless,)
    return decision, reasons


def _last_accepted(session: Session, push: Push) -> int | None:
    """How many rows the resource had when it was last accepted: what its pool holds, or the full push that is to replace it."""
    other = Push.resource_id == push.resource_id, Push.id != push.id
    pooled = session.execute(
        select(Push.batch, PoolCommit.rows)
        .join(Push, Push.id == PoolCommit.push_id)
        .where(*other)
        .order_by(PoolCommit.snapshot.desc())
        .limit(1)
    ).first()
    accepted = session.execute(
        select(Push.batch, VerdictRow.accepted_rows)
        .join(Push, Push.id == VerdictRow.push_id)
        .where(*other, VerdictRow.decision == "accepted", Push.state == "accepted", Push.mode == "full")
        .order_by(Push.batch.desc())
        .limit(1)
    ).first()
    newest = max((found for found in (pooled, accepted) if found is not None), key=lambda found: found[0], default=None)
    return None if newest is None else int(newest[1])


def _one_at_a_time(session: Session, resource_id: str) -> None:
    """Decisions on one resource follow one another, so that none overlooks another; the lock goes with the transaction."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"deciding:{resource_id}", 0))))


def _pointless(house: House, session: Session, push: Push, now: Resource) -> Reason | None:
    """Why a push could not be pooled, however good its rows are. `now`: the version it is judged by."""
    newer = _newer_accepted(session, push)
    if newer is not None:
        return outdated(push.batch, newer)
    if push.mode == "full":
        return None
    below = session.scalars(
        select(Push).where(Push.resource_id == push.resource_id, Push.batch < push.batch, Push.state.in_(_MAY_COUNT))
    ).all()
    if not any(earlier.mode == "full" or earlier.state == "pooled" for earlier in below):
        return no_baseline(push.mode)
    base = max(below, key=lambda earlier: earlier.batch)
    before = catalogue.resource_at(house, base.resource_id, base.resource_version)
    return None if _fits(before, now) else needs_full(before.version, now.version)


def _fits(before: Resource, now: Resource) -> bool:
    """Whether rows of both versions may stand side by side: the same key, and no item of another type."""
    kinds = {item.name: sql_type(item) for item in before.items}
    return before.key == now.key and all(kinds.get(item.name, sql_type(item)) == sql_type(item) for item in now.items)


def _newer_accepted(session: Session, push: Push) -> int | None:
    """What the pool would not take must not be accepted: it would stay accepted for ever."""
    return session.scalar(
        select(func.max(Push.batch)).where(
            Push.resource_id == push.resource_id,
            Push.batch > push.batch,
            or_(Push.state == "pooled", and_(Push.state == "accepted", Push.mode == "full")),
        )
    )


def _refuse_outdated(session: Session, push: Push) -> None:
    newest = _newer_accepted(session, push)
    if newest is not None:
        reason = outdated(push.batch, newest)
        raise WrongState(
            f"推送 {push.id} 不能再确认：{reason.zh}",
            f"push {push.id} can't be confirmed any more: {reason.en}",
            push=push.id,
            batch=push.batch,
            newest=newest,
        )


def _record(house: House, session: Session, push: Push, row: VerdictRow, **more: object) -> None:
    notices.enqueue(house, session, push, "confirmed" if more else "decided")
    record(
        session,
        Tag.PUSH_DECIDED,
        department=push.department_code,
        object_id=push.id,
        resource=push.resource_id,
        decision=row.decision,
        reasons=[reason["code"] for reason in row.reasons],
        rows=row.rows,
        quarantined=row.quarantined_rows,
        **more,
    )


def _view(session: Session, push_id: str) -> VerdictView:
    push, row = session.get(Push, push_id), session.get(VerdictRow, push_id)
    if push is None or row is None:
        raise _no_verdict(push_id)
    return VerdictView.of(row, push)


def _no_verdict(push_id: str) -> NotFound:
    return NotFound(
        f"推送 {push_id} 不存在，或尚未检查；请核对回执编号，或稍后再看",
        f"there is no push {push_id}, or it has not been judged yet; check the number on the receipt, or look again later",
        push=push_id,
    )
