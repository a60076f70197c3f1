"""A pool: what one resource holds, each accepted push a new version, all at once or not at all.

Invariant: a version of a pool is one lake commit named by the push's receipt; `pool_commit` only ever points at such a
commit, so a push killed between the two is finished, not repeated. Versions of a pool rise in batch number.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from exchange import catalogue, events
from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.errors import NotFound, WrongState
from exchange.house import House
from exchange.progress import Progress, silent
from exchange.registry.models import PoolCommit, Push
from pools import lake
from quality import staging

# What every pool row carries beside its items: its row in the push, the push's batch and receipt, its row hash, its file.
OWN_COLUMNS = lake.BUCKET_COLUMN | {"_row": "BIGINT", "_batch": "BIGINT", "_push": "VARCHAR", "_hash": "UBIGINT"}


@dataclass(frozen=True)
class PoolCommitView:
    """A push in its pool. `rows` are the accepted rows of that version."""

    push_id: str
    resource_id: str
    resource_version: int
    batch: int
    snapshot: int
    rows: int
    committed_at: datetime

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"committed_at": self.committed_at.isoformat()}


def admit(house: House, push_id: str, progress: Progress = silent) -> PoolCommitView:
    """Make an accepted push the newest version of its pool. Running it again gives the same answer.

    Raises:
        NotFound: no such push.
        WrongState: the gate has not accepted it, or a newer batch is in the pool already.
        Unavailable: the lake failed; nothing changed.
    """
    progress("pool", 0, 1)
    found = _commit_of(house, push_id)
    if found is None:
        _must_be_accepted(house, push_id)
        found = commit_relation(house, push_id, staging.accepted_sql(house, push_id))
    staging.drop(house, push_id)
    progress("pool", 1, 1)
    return found


def commit_relation(house: House, push_id: str, relation: str) -> PoolCommitView:
    """Commit a relation of accepted rows (`_row`, items, `_hash`; SQL after FROM) as the pool's new version.

    Raises:
        NotFound, WrongState, Unavailable: as `admit`.
    """
    with house.registry.session() as session:
        push = _push(session, push_id)
        _one_at_a_time(session, push.resource_id)
        kept = session.get(PoolCommit, push_id)
        if kept is None:
            resource = catalogue.resource_at(house, push.resource_id, push.resource_version)
            _adopt_orphans(house, session, push)
            _refuse_going_back(session, push)
            done = lake.commit(
                house,
                author=f"pool:{resource.id}",
                receipt=push_id,
                work=lambda connection: _replace(connection, resource, push, relation),
            )
            kept = _record(session, push, done)
        return _view(kept, push)


def latest(house: House, resource_id: str) -> PoolCommitView | None:
    """The newest version of a pool; None when nothing was pooled yet."""
    history = versions(house, resource_id)
    return history[0] if history else None


def versions(house: House, resource_id: str) -> list[PoolCommitView]:
    """Every version of a pool, newest first."""
    with house.registry.session() as session:
        rows = session.execute(
            select(PoolCommit, Push)
            .join(Push, Push.id == PoolCommit.push_id)
            .where(PoolCommit.resource_id == resource_id)
            .order_by(PoolCommit.snapshot.desc())
        ).all()
        return [_view(commit, push) for commit, push in rows]


def rows_sql(house: House, resource_id: str, as_of_push: str | None = None) -> str:
    """The rows of a pool (`_row`, `_batch`, `_push`, `_hash`, items), now or as an earlier push left them; SQL after FROM.

    Raises:
        NotFound: nothing was pooled, or that push is no version of this pool.
    """
    history = versions(house, resource_id)
    wanted = [view for view in history if as_of_push in (None, view.push_id)]
    if not wanted:
        which = f"推送 {as_of_push}" if as_of_push else "任何推送"
        raise NotFound(
            f"资源 {resource_id} 的池里没有{which}；池中共有 {len(history)} 个版本",
            f"the pool of {resource_id} holds no version of {as_of_push or 'any push'}; it has {len(history)} version(s)",
            resource=resource_id,
            push=as_of_push,
        )
    return lake.version(table(resource_id), wanted[0].snapshot)


def table(resource_id: str) -> str:
    """The lake table of a resource's pool."""
    return f"pool_{resource_id}"


def bucket_item(resource: Resource) -> str:
    """The item a pool's files are split by: its identifier, by which bases and look-ups ask, else its first key item."""
    identifiers = [item.name for item in resource.items if item.identifier and item.name in resource.key]
    return (identifiers or list(resource.key))[0]


def _replace(connection: DuckDBPyConnection, resource: Resource, push: Push, relation: str) -> lake.Facts:
    items = {item.name: sql_type(item) for item in resource.items}
    chosen = ", ".join(
        [
            lake.bucket_of(bucket_item(resource)),
            "_row",
            f"{push.batch}::BIGINT",
            literal(push.id),
            "_hash",
            *(quoted(name) for name in items),
        ],
    )
    with lake.replacing(connection, table(resource.id), OWN_COLUMNS | items, bucket_item(resource)) as draft:
        inserted = connection.execute(f"INSERT INTO {draft} SELECT {chosen} FROM {relation}").fetchone()
    return {"rows": inserted[0] if inserted else 0, "batch": push.batch}


def _record(session: Session, push: Push, done: lake.Commit) -> PoolCommit:
    commit = PoolCommit(push_id=push.id, resource_id=push.resource_id, snapshot=done.snapshot, rows=done.facts["rows"])
    session.add(commit)
    push.state = "pooled"
    _supersede(session, push)
    events.record(
        session,
        events.Tag.PUSH_POOLED,
        department=push.department_code,
        object_id=push.id,
        resource=push.resource_id,
        batch=push.batch,
        rows=commit.rows,
        snapshot=commit.snapshot,
    )
    session.flush()
    session.refresh(commit)
    return commit


def _older_waiting(session: Session, newer: Push) -> list[Push]:
    query = select(Push).where(Push.resource_id == newer.resource_id, Push.batch < newer.batch, Push.state == "accepted")
    return list(session.scalars(query.order_by(Push.batch)))


def _adopt_orphans(house: House, session: Session, newer: Push) -> None:
    """Write down older pushes that were committed and killed before they were."""
    older = _older_waiting(session, newer)
    if not older:
        return
    with lake.opened(house) as connection:
        found = [(push, lake.find(connection, push.id)) for push in older]
    for push, done in found:
        if done is not None:
            _record(session, push, done)


def _supersede(session: Session, newer: Push) -> None:
    """An older push that was accepted and not pooled in time never will be: it must not wait for ever."""
    for push in _older_waiting(session, newer):
        push.state = "superseded"
        facts = {"resource": push.resource_id, "batch": push.batch, "by": newer.id}
        events.record(session, events.Tag.PUSH_SUPERSEDED, department=push.department_code, object_id=push.id, **facts)


def _refuse_going_back(session: Session, push: Push) -> None:
    newest = session.scalar(
        select(Push.batch)
        .join(PoolCommit, PoolCommit.push_id == Push.id)
        .where(PoolCommit.resource_id == push.resource_id)
        .order_by(PoolCommit.snapshot.desc())
        .limit(1)
    )
    if newest is None or newest < push.batch:
        return
    raise WrongState(
        f"推送 {push.id} 是第 {push.batch} 批，池中已有更新的第 {newest} 批，旧批次不能覆盖；如确需恢复，请以新批次号重新推送",
        f"push {push.id} is batch {push.batch}, and the pool already holds the newer batch {newest}; "
        "an older batch can't replace it: push the data again under a new batch number",
        push=push.id,
        batch=push.batch,
        newest=newest,
    )


def _must_be_accepted(house: House, push_id: str) -> None:
    with house.registry.session() as session:
        push = _push(session, push_id)
        if push.state != "accepted":
            raise WrongState(
                f"推送 {push_id} 的状态是 {push.state}，只有质检通过（accepted）的推送才能入池",
                f"push {push_id} is {push.state}; only a push the gate accepted can be pooled",
                push=push_id,
                state=push.state,
            )


def _commit_of(house: House, push_id: str) -> PoolCommitView | None:
    with house.registry.session() as session:
        push = _push(session, push_id)
        commit = session.get(PoolCommit, push_id)
        return _view(commit, push) if commit else None


def _push(session: Session, push_id: str) -> Push:
    push = session.get(Push, push_id)
    if push is None:
        raise NotFound(f"没有推送 {push_id}", f"there is no push {push_id}", push=push_id)
    return push


def _one_at_a_time(session: Session, resource_id: str) -> None:
    """Two pushes of one resource queue here; the lock goes with the transaction, so also with a killed process."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": table(resource_id)})


def _view(commit: PoolCommit, push: Push) -> PoolCommitView:
    return PoolCommitView(
        push.id, push.resource_id, push.resource_version, push.batch, commit.snapshot, commit.rows, commit.committed_at
    )
