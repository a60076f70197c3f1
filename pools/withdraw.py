"""Taking a push back: its department says it was a mistake, and the pool is again what it was before.

Invariant: nothing is erased. Taking back the newest version of a pool is a version of its own, named `<push>.withdrawn`, with
the rows of the version before; the mistaken one stays readable `as of` its push. Killed between commit and record it is
finished, not repeated.
"""

from dataclasses import asdict

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import catalogue, events
from exchange.callers import Caller
from exchange.catalogue.change import same_pool
from exchange.catalogue.model import Resource
from exchange.catalogue.sql import quoted, sql_type
from exchange.errors import AccessRefused, NotFound, WrongState
from exchange.house import House
from exchange.registry.models import PoolCommit, Push
from pools import difference, lake, pool
from quality import staging

_BEFORE_THE_POOL = ("landed", "accepted", "held")


def withdraw(house: House, caller: Caller, push_id: str) -> str:
    """Take a push back; its new state. Doing it again changes nothing.

    Raises:
        NotFound: no such push. AccessRefused: another department's.
        WrongState: it came to nothing anyway, is being judged this moment, or a newer push stands on it.
        Unavailable: the lake failed; nothing changed.
    """
    with house.registry.session() as session:
        push = _own(session, caller, push_id)
        pool.one_at_a_time(session, push.resource_id)
        session.refresh(push, with_for_update=True)
        if push.state == "withdrawn":
            return push.state
        if push.state == "pooled":
            _restore(house, session, push)
        elif push.state not in _BEFORE_THE_POOL:
            raise WrongState(
                f"推送 {push_id} 的状态是 {push.state}，不能撤回；可撤回的是已落地、待确认、已接受或刚入池的推送",
                f"push {push_id} is {push.state} and can't be withdrawn; what has landed, is held, accepted or was pooled last can",
                push=push_id,
                state=push.state,
            )
        push.state = "withdrawn"
        events.record(
            session,
            events.Tag.PUSH_WITHDRAWN,
            department=push.department_code,
            object_id=push.id,
            resource=push.resource_id,
            batch=push.batch,
            by=caller.person or caller.client_id or caller.department,
        )
    staging.drop(house, push_id)
    return "withdrawn"


def _own(session: Session, caller: Caller, push_id: str) -> Push:
    push = session.get(Push, push_id)
    if push is None:
        raise NotFound(f"没有推送 {push_id}", f"there is no push {push_id}", push=push_id)
    if push.department_code != caller.department:
        raise AccessRefused(
            f"只有推送部门本身可以撤回推送 {push_id}",
            f"only the pushing department may withdraw push {push_id}",
            push=push_id,
        )
    return push


def _restore(house: House, session: Session, push: Push) -> None:
    now = pool.newest(session, push.resource_id)
    own = _own_versions(session, push)
    if now is None or not own:
        newest = "–" if now is None else now.receipt
        raise WrongState(
            f"推送 {push.id} 之后已有新的版本 {newest}，只能撤回最新的一批；请先撤回它，或推送一份正确的全量数据",
            f"push {push.id} is not the newest version of its pool any more, {newest} is; withdraw that one first, or push "
            "the right data in full",
            push=push.id,
            newest=newest,
        )
    before = session.scalar(
        select(PoolCommit)
        .where(PoolCommit.resource_id == push.resource_id, PoolCommit.snapshot < own[-1].snapshot)
        .order_by(PoolCommit.snapshot.desc())
        .limit(1)
    )
    shown = push if before is None else session.get_one(Push, before.push_id)
    resource = catalogue.resource_at(house, shown.resource_id, shown.resource_version)
    had = catalogue.resource_at(house, push.resource_id, push.resource_version)
    kept = None if before is None else before.snapshot
    receipt = f"{push.id}.withdrawn"
    done = lake.commit(
        house,
        author=pool.author(push.resource_id),
        receipt=receipt,
        work=lambda connection: _write(connection, resource, had, now.snapshot, kept),
    )
    pool.record_version(session, shown, done, receipt=receipt, withdraws=push.id)


def _own_versions(session: Session, push: Push) -> list[PoolCommit]:
    """The push's own version and what was released of it, newest first; nothing when others stand on it."""
    query = select(PoolCommit).where(PoolCommit.resource_id == push.resource_id).order_by(PoolCommit.snapshot.desc())
    own = []
    for commit in session.scalars(query):
        own.append(commit)
        if commit.receipt == push.id:
            return own
        if not commit.receipt.startswith(f"{push.id}.released-"):
            break
    return []


def _write(connection: DuckDBPyConnection, resource: Resource, had: Resource, now: int, kept: int | None) -> lake.Facts:
    """The version before, again; empty when there was none."""
    table = pool.table(resource.id)
    current = lake.version(table, now)
    restored = f"(SELECT * FROM {current} WHERE false)" if kept is None else lake.version(table, kept)
    compared = same_pool(had, resource)
    if compared:
        figures = difference.compute(connection, resource, "full", restored, pool.as_now(current, had, resource))
    items = {item.name: sql_type(item) for item in resource.items}
    columns = pool.OWN_COLUMNS | items
    listed = ", ".join(map(quoted, columns))
    with lake.replacing(connection, table, columns, pool.bucket_item(resource)) as draft:
        row = connection.execute(f"INSERT INTO {draft} SELECT {listed} FROM {restored}").fetchone()
    rows = int(row[0]) if row else 0
    if not compared:  # another key or type: as at its beginning, everything came
        figures = difference.Figures(rows, 0, 0, 0)
    pool.keep_changes(connection, resource, first=not compared)
    return {"rows": rows, "small": 0} | asdict(figures)
