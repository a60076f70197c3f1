"""The order of a resource's batches: which may still land, and which must wait for another.

A number far ahead of the expected one is refused, because nothing could follow it any more but what is larger still.

Invariant: a full push waits for nobody and makes everything older pointless; any other builds on the batch before it, so it
waits until that one is settled, and never builds on a pool of another key or type. Nothing here changes anything.
"""

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from exchange.catalogue import change, lookup
from exchange.catalogue.model import Resource
from exchange.errors import BaselineNeeded, BatchOutdated, BatchTooFar
from exchange.intake.parcel import Declaration
from exchange.intake.pushes import DECIDED
from exchange.registry.models import Push

FARTHEST_FIRST = 99_999_999  # a first batch may be numbered by its day
FARTHEST_AHEAD = 1_000_000  # of the batch expected: numbering by days jumps by less than 10,000 at New Year


def refuse_outdated(session: Session, declaration: Declaration) -> None:
    """Refuse a batch that could never count any more.

    Raises:
        BatchOutdated: a newer one has been pooled, or a newer full push has landed; names the batch expected.
        BatchTooFar: after it, nothing sensible could follow.
    """
    _refuse_far_ahead(session, declaration)
    newest = _newest(session, declaration.resource_id, or_(Push.mode == "full", Push.state == "pooled"))
    if newest is None or newest <= declaration.batch:
        return
    raise BatchOutdated(
        f"批次号 {declaration.batch} 早于该资源已收到的最新批次 {newest}，旧批次不能再入库；下一批应为第 {newest + 1} 批，"
        f"如这份数据才是最新的，请用 {newest + 1} 或更大的批次号推送",
        f"batch {declaration.batch} is older than {newest}, the newest one landed of this resource, and can't be pooled any "
        f"more; the batch expected next is {newest + 1}: if these are the newest data, push them under that number or a "
        "higher one",
        batch=declaration.batch,
        newest=newest,
        expected=newest + 1,
    )


def refuse_without_baseline(session: Session, declaration: Declaration, resource: Resource) -> None:
    """Refuse to change row by row what lies there under another key or type.

    Raises:
        BaselineNeeded: the pool is of an older form, and no full push of the new one is on its way.
    """
    had = lookup.pooled_as(session, resource.id)
    if declaration.mode == "full" or had is None or change.same_pool(had, resource):
        return
    query = select(Push.resource_version).where(
        Push.resource_id == resource.id,
        Push.mode == "full",
        Push.batch < declaration.batch,
        Push.state.not_in(DECIDED),
    )
    if any(change.same_pool(lookup.defined(session, resource.id, version), resource) for version in session.scalars(query)):
        return
    found = change.between(had, resource)
    zh, en = [], []
    if found.key:
        zh.append(f"主键由 {'、'.join(had.key)} 改为 {'、'.join(resource.key)}")
        en.append(f"its key was {', '.join(had.key)} and is now {', '.join(resource.key)}")
    if found.retyped:
        zh.append(f"数据类型有变：{'、'.join(resource.item(name).title for name in found.retyped)}")
        en.append(f"another type: {', '.join(found.retyped)}")
    raise BaselineNeeded(
        f"资源 {resource.id} 的目录已更新（{'；'.join(zh)}），原部门库不能逐行修改；请先推送一次全量数据作为新的基线，再推送增量",
        f"the catalogue entry of {resource.id} is newer than its pool ({'; '.join(en)}), which can't be changed row by row: "
        "push the data in full first, as a new baseline, then go on with increments",
        resource=resource.id,
        batch=declaration.batch,
    )


def waits_for(session: Session, push: Push) -> int | None:
    """The batch that must be settled before this push can be pooled; None when it need not wait."""
    if push.mode == "full":
        return None
    had = lookup.pooled_as(session, push.resource_id)
    if had is None or not change.same_pool(had, lookup.defined(session, push.resource_id, push.resource_version)):
        return push.batch - 1  # there is nothing yet that it could change
    before = session.scalar(select(Push).where(Push.resource_id == push.resource_id, Push.batch == push.batch - 1))
    if before is not None and before.state in DECIDED:
        return None
    settled = _newest(session, push.resource_id, Push.state.in_(DECIDED), below=push.batch)
    return push.batch - 1 if settled is None else settled + 1


def _refuse_far_ahead(session: Session, declaration: Declaration) -> None:
    expected = next_batch(session, declaration.resource_id)
    farthest = FARTHEST_FIRST if expected == 1 else expected + FARTHEST_AHEAD
    if declaration.batch <= farthest:
        return
    raise BatchTooFar(
        f"批次号 {declaration.batch} 离应有的下一批 {expected} 太远（最大可用 {farthest}）：一旦收下，以后的批次都须更大；"
        f"请核对批次号，一般用 {expected}",
        f"batch {declaration.batch} is too far from {expected}, the one expected next (at most {farthest} is taken): every later "
        f"one would have to be larger still; check the number, {expected} is the usual one",
        batch=declaration.batch,
        expected=expected,
        farthest=farthest,
    )


def next_batch(session: Session, resource_id: str) -> int:
    """The number of the next push."""
    return (_newest(session, resource_id) or 0) + 1


def _newest(session: Session, resource_id: str, *which: ColumnElement[bool], below: int | None = None) -> int | None:
    query = select(func.max(Push.batch)).where(Push.resource_id == resource_id, *which)
    return session.scalar(query if below is None else query.where(Push.batch < below))
