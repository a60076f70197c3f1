"""A pool: what one resource holds, each accepted push a new version, all at once or not at all.

Invariant: a version of a pool is one lake commit named by its receipt; `pool_commit` only ever points at such a commit, so
a push killed between the two is finished, not repeated. What a commit changes is the true difference (`difference`): rows
that a push repeats stay as they were. Versions rise in batch number, and a push that builds on another waits for it.
A full push under another key or type begins the pool anew (`exchange/catalogue/change.py`): nothing of the older one is
compared or converted, and it stays readable under its own versions.
"""

from dataclasses import asdict, dataclass
from datetime import datetime

from duckdb import DuckDBPyConnection
from sqlalchemy import Select, select, text
from sqlalchemy.orm import Session

from exchange import catalogue, events
from exchange.catalogue.change import same_pool
from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.errors import AgedOut, NotFound, WrongState
from exchange.house import House
from exchange.intake import order
from exchange.intake.pushes import CHINA
from exchange.progress import Progress, silent
from exchange.registry.models import PoolCommit, Push
from pools import difference, lake
from quality import staging
from quality.check import row_hash

# What every pool row carries beside its items: the push it came with (row, batch, receipt), its row hash, its file.
OWN_COLUMNS = lake.BUCKET_COLUMN | {"_row": "BIGINT", "_batch": "BIGINT", "_push": "VARCHAR", "_hash": "UBIGINT"}

# A small difference is deleted and inserted; a large one, or the sixteenth small one, writes the pool anew, so that look-ups
# never read many little files. Measured at 1 M rows: docs/adr/0006-difference.md.
SMALL = 0.30
MOST_SMALL = 16
_FIGURES = ("inserted", "changed", "deleted", "absent")


@dataclass(frozen=True)
class PoolCommitView:
    """A version of a pool. `push_id`: the push that left it so; `receipt`: the commit's own name (`<push>.withdrawn` when it
    takes that push back). `rows`: what it holds; the figures: what it changed (None: made before they were kept)."""

    receipt: str
    push_id: str
    resource_id: str
    resource_version: int
    batch: int
    snapshot: int
    rows: int
    inserted: int | None
    changed: int | None
    deleted: int | None
    absent: int | None
    committed_at: datetime
    aged_at: datetime | None

    def as_dict(self) -> dict[str, object]:
        aged = None if self.aged_at is None else self.aged_at.isoformat()
        return asdict(self) | {"committed_at": self.committed_at.isoformat(), "aged_at": aged}


def admit(house: House, push_id: str, progress: Progress = silent) -> PoolCommitView | None:
    """Make an accepted push the newest version of its pool. Running it again gives the same answer; None: the push waits
    for an earlier batch.

    Raises:
        NotFound: no such push.
        WrongState: the gate has not accepted it, or a newer batch is in the pool already.
        Unavailable: the lake failed; nothing changed.
    """
    progress("pool", 0, 1)
    found = _commit_of(house, push_id)
    if found is None:
        _must_be_accepted(house, push_id)
        if waits_for(house, push_id) is not None:
            return None
        found = commit_relation(house, push_id, staging.accepted_sql(house, push_id))
    staging.drop(house, push_id)
    progress("pool", 1, 1)
    return found


def admit_in_turn(house: House, push_id: str) -> list[PoolCommitView]:
    """What a push leads to once it is judged: its own version, if it was accepted and its turn has come, and those of the
    pushes that waited for it; nothing where it waits itself.

    Raises:
        NotFound: no such push. Unavailable: the lake failed; what was pooled before stays.
    """
    with house.registry.session() as session:
        push = _push(session, push_id)
    if push.state not in ("accepted", "pooled"):
        return admit_waiting(house, push.resource_id)
    first = admit(house, push_id)
    return [] if first is None else [first, *admit_waiting(house, push.resource_id)]


def admit_waiting(house: House, resource_id: str) -> list[PoolCommitView]:
    """Pool every accepted push of a resource whose turn it is, in order: after a gap closed, or a push before was rejected.

    Raises:
        Unavailable: the lake failed; what was pooled before stays.
    """
    done = []
    while (next_one := _next_ready(house, resource_id)) is not None:
        done.append(commit_relation(house, next_one, staging.accepted_sql(house, next_one)))
        staging.drop(house, next_one)
    return done


def waits_for(house: House, push_id: str) -> int | None:
    """The batch that an accepted push waits for; None when it does not wait.

    Raises:
        NotFound: no such push.
    """
    with house.registry.session() as session:
        push = _push(session, push_id)
        return order.waits_for(session, push) if push.state == "accepted" else None


def commit_relation(house: House, push_id: str, relation: str) -> PoolCommitView:
    """Commit a relation of accepted rows (`_row`, items, `_hash`, in an incremental push `_op`; SQL after FROM) as the
    pool's new version.

    Raises:
        NotFound, WrongState, Unavailable: as `admit`.
    """
    with house.registry.session() as session:
        push = _push(session, push_id)
        one_at_a_time(session, push.resource_id)
        kept = session.get(PoolCommit, push_id)
        if kept is None:
            resource = catalogue.resource_at(house, push.resource_id, push.resource_version)
            _adopt_orphans(house, session, push)
            _refuse_going_back(session, push)
            _refuse_too_soon(session, push)
            before = newest(session, push.resource_id)
            done = lake.commit(
                house,
                author=author(resource.id),
                receipt=push_id,
                work=lambda connection: _Commit(house, connection, resource, push, before, push.mode).run(relation),
            )
            kept = _record(session, push, done)
        return _view(kept, push)


def commit_addition(
    house: House, session: Session, push: Push, relation: str, *, receipt: str, mode: str, before: PoolCommitView
) -> PoolCommit:
    """Commit more rows of a push that is in the pool already, on top of the version `before`, as a version named `receipt`.

    The version stands for the same push as the one before: its batch and its columns. The caller holds `one_at_a_time`.

    Args:
        relation: as in `commit_relation`, in the columns of the version before; in mode `incremental` with `_op`.

    Raises:
        Unavailable: the lake failed; nothing changed.
    """
    resource = catalogue.resource_at(house, before.resource_id, before.resource_version)
    done = lake.commit(
        house,
        author=author(resource.id),
        receipt=receipt,
        work=lambda connection: _Commit(house, connection, resource, push, before, mode).run(relation),
    )
    return record_version(session, _push(session, before.push_id), done, receipt=receipt)


def latest(house: House, resource_id: str) -> PoolCommitView | None:
    """The newest version of a pool; None when nothing was pooled yet."""
    history = versions(house, resource_id)
    return history[0] if history else None


def newest(session: Session, resource_id: str) -> PoolCommitView | None:
    """The same, inside a transaction."""
    found = session.execute(_history(resource_id).limit(1)).first()
    return _view(found[0], found[1]) if found else None


def versions(house: House, resource_id: str) -> list[PoolCommitView]:
    """Every version of a pool, newest first."""
    with house.registry.session() as session:
        return [_view(found[0], found[1]) for found in session.execute(_history(resource_id))]


def rows_sql(house: House, resource_id: str, as_of_push: str | None = None) -> str:
    """The rows of a pool (`_row`, `_batch`, `_push`, `_hash`, items), now or as an earlier push left them; SQL after FROM.

    Raises:
        NotFound: nothing was pooled, or that push is no version of this pool. AgedOut: it is no longer kept.
    """
    return lake.version(table(resource_id), _version(house, resource_id, as_of_push).snapshot)


def changes_sql(house: House, resource_id: str, push_id: str | None = None) -> str:
    """What the newest version, or that of a push, changed: the key items and `_op` (I inserted, C changed, D deleted), one
    row for each row it touched; SQL after FROM. The first version of a pool, and the first under another key or type,
    inserts everything and lists nothing.

    Raises:
        NotFound: as `rows_sql`.
    """
    return lake.version(change_table(resource_id), _version(house, resource_id, push_id).snapshot)


def table(resource_id: str) -> str:
    """The lake table of a resource's pool."""
    return f"pool_{resource_id}"


def change_table(resource_id: str) -> str:
    """The lake table of what the newest version of a pool changed."""
    return f"pool_{resource_id}_change"


def author(resource_id: str) -> str:
    """Who commits to a pool, in the lake's own words."""
    return f"pool:{resource_id}"


def bucket_item(resource: Resource) -> str:
    """The item a pool's files are split by: its identifier, by which bases and look-ups ask, else its first key item."""
    identifiers = [item.name for item in resource.items if item.identifier and item.name in resource.key]
    return (identifiers or list(resource.key))[0]


class _Commit:
    """One version inside its lake transaction."""

    def __init__(
        self,
        house: House,
        connection: DuckDBPyConnection,
        resource: Resource,
        push: Push,
        before: PoolCommitView | None,
        mode: str,
    ) -> None:
        self.connection, self.resource, self.push, self.before, self.mode = connection, resource, push, before, mode
        self.items = {item.name: sql_type(item) for item in resource.items}
        self.previous: Resource | None = None
        if before is not None:
            self.previous = catalogue.resource_at(house, resource.id, before.resource_version)

    def run(self, fresh: str) -> lake.Facts:
        if self.before is None or self.previous is None or not same_pool(self.previous, self.resource):
            rows = self._write_anew(fresh, None)
            figures = difference.Figures(rows, 0, 0, 0)
            keep_changes(self.connection, self.resource, first=True)
            return self._facts(rows, figures, small=0)
        old = as_now(lake.version(table(self.resource.id), self.before.snapshot), self.previous, self.resource)
        figures = difference.compute(self.connection, self.resource, self.mode, fresh, old)
        small = self._small_ones(figures)
        if small:
            self._apply(fresh)
        else:
            self._write_anew(fresh, old)
        keep_changes(self.connection, self.resource)
        return self._facts(self.before.rows + figures.inserted - figures.deleted, figures, small)

    def _facts(self, rows: int, figures: difference.Figures, small: int) -> lake.Facts:
        return {"rows": rows, "batch": self.push.batch, "small": small} | asdict(figures)

    def _small_ones(self, figures: difference.Figures) -> int:
        """How many small differences there are with this one since the pool was last written anew; 0: write it anew."""
        assert self.before is not None  # noqa: S101 - the caller asked
        same = self.previous is not None and _columns(self.previous) == _columns(self.resource)
        if not same or figures.touched + figures.inserted > SMALL * self.before.rows:
            return 0
        last = lake.by_author(self.connection, author(self.resource.id))[-1]
        if last.receipt != self.before.receipt:  # committed, killed and never written down: the table is not what counts
            return 0
        return (int(last.facts.get("small", 0)) + 1) % MOST_SMALL

    def _apply(self, fresh: str) -> None:
        target = f"lake.{quoted(table(self.resource.id))}"
        gone = f"SELECT old_batch, old_row FROM {difference.TABLE} WHERE old_row IS NOT NULL"
        self.connection.execute(f"DELETE FROM {target} WHERE (_batch, _row) IN ({gone})")
        self.connection.execute(f"INSERT INTO {target} {self._came(fresh)}")

    def _write_anew(self, fresh: str, old: str | None) -> int:
        columns = OWN_COLUMNS | self.items
        with lake.replacing(self.connection, table(self.resource.id), columns, bucket_item(self.resource)) as draft:
            if old is None:
                row = self.connection.execute(f"INSERT INTO {draft} {self._chosen(fresh)}").fetchone()
                return int(row[0]) if row else 0
            stay = f"{old} b ANTI JOIN {difference.TABLE} d ON b._batch = d.old_batch AND b._row = d.old_row"
            items = ", ".join(f"b.{quoted(name)}" for name in self.items)
            bucket = lake.bucket_of(bucket_item(self.resource))
            self.connection.execute(
                f"INSERT INTO {draft} SELECT {bucket}, b._row, b._batch, b._push, b._hash, {items} FROM {stay}"
            )
            self.connection.execute(f"INSERT INTO {draft} {self._came(fresh)}")
        return 0

    def _came(self, fresh: str) -> str:
        """The rows of the push that are not in the pool as they are."""
        return f"{self._chosen(fresh)} f SEMI JOIN {difference.TABLE} d ON f._row = d.fresh_row"

    def _chosen(self, fresh: str) -> str:
        # a list of deletions has keys alone, and none of its rows is ever chosen
        keys_only = self.mode == "deletions"
        items = [
            f"NULL::{kind}" if keys_only and name not in self.resource.key else quoted(name)
            for name, kind in self.items.items()
        ]
        own = [
            lake.bucket_of(bucket_item(self.resource)),
            "_row",
            f"{self.push.batch}::BIGINT",
            literal(self.push.id),
            "_hash",
        ]
        return f"SELECT {', '.join([*own, *items])} FROM {fresh}"


def as_now(relation: str, had: Resource, resource: Resource) -> str:
    """A pool's rows as they were written for one version of the resource, with the columns of another."""
    if _columns(had) == _columns(resource):
        return relation
    kinds = {item.name: sql_type(item) for item in had.items}
    items = ", ".join(
        f"{_cast(item.name, kinds.get(item.name), sql_type(item))} AS {quoted(item.name)}" for item in resource.items
    )
    return f"(SELECT *, {row_hash(resource)} AS _hash FROM (SELECT _row, _batch, _push, {items} FROM {relation}))"


def keep_changes(connection: DuckDBPyConnection, resource: Resource, *, first: bool = False) -> None:
    """Write down which keys this version touches, from `temp.difference`; the first version lists nothing."""
    kinds = {item.name: sql_type(item) for item in resource.items}
    columns = {name: kinds[name] for name in resource.key} | {"_op": "VARCHAR"}
    with lake.replacing(connection, change_table(resource.id), columns) as draft:
        if not first:
            listed = ", ".join(map(quoted, columns))
            connection.execute(f"INSERT INTO {draft} SELECT {listed} FROM {difference.TABLE}")
    if not first:
        connection.execute(f"DROP TABLE {difference.TABLE}")


def record_version(
    session: Session, push: Push, done: lake.Commit, *, receipt: str, withdraws: str | None = None
) -> PoolCommit:
    """Write a committed version down. `push`: the one whose rows it holds."""
    commit = PoolCommit(
        receipt=receipt,
        push_id=push.id,
        resource_id=push.resource_id,
        snapshot=done.snapshot,
        rows=done.facts["rows"],
        withdraws=withdraws,
        **{name: done.facts.get(name) for name in _FIGURES},
    )
    session.add(commit)
    session.flush()
    session.refresh(commit)
    return commit


def _columns(resource: Resource) -> tuple[list[tuple[str, str]], tuple[str, ...], str]:
    return [(item.name, sql_type(item)) for item in resource.items], resource.key, bucket_item(resource)


def _cast(name: str, found: str | None, wanted: str) -> str:
    if found is None:
        return f"NULL::{wanted}"
    return quoted(name) if found == wanted else f"TRY_CAST({quoted(name)} AS {wanted})"


def _record(session: Session, push: Push, done: lake.Commit) -> PoolCommit:
    commit = record_version(session, push, done, receipt=push.id)
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
        **{name: getattr(commit, name) for name in _FIGURES},
    )
    return commit


def _next_ready(house: House, resource_id: str) -> str | None:
    """The lowest accepted push that need not wait. (A full one is pooled by its own run.)"""
    query = select(Push).where(Push.resource_id == resource_id, Push.state == "accepted", Push.mode != "full")
    with house.registry.session() as session:
        for push in session.scalars(query.order_by(Push.batch)):
            if order.waits_for(session, push) is None:
                return push.id
    return None


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


def _refuse_too_soon(session: Session, push: Push) -> None:
    missing = order.waits_for(session, push)
    if missing is not None:
        raise WrongState(
            f"推送 {push.id} 是第 {push.batch} 批（{push.mode}），要等第 {missing} 批先有结果",
            f"push {push.id} is batch {push.batch} ({push.mode}) and waits until batch {missing} is settled",
            push=push.id,
            batch=push.batch,
            expected=missing,
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


def one_at_a_time(session: Session, resource_id: str) -> None:
    """Two pushes of one resource queue here; the lock goes with the transaction, so also with a killed process."""
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": table(resource_id)})


def _history(resource_id: str) -> Select[PoolCommit, Push]:
    return (
        select(PoolCommit, Push)
        .join(Push, Push.id == PoolCommit.push_id)
        .where(PoolCommit.resource_id == resource_id)
        .order_by(PoolCommit.snapshot.desc())
    )


def _version(house: House, resource_id: str, push_id: str | None) -> PoolCommitView:
    history = versions(house, resource_id)
    wanted = [view for view in history if push_id in (None, view.push_id, view.receipt)]
    if not wanted:
        which = f"推送 {push_id}" if push_id else "任何推送"
        raise NotFound(
            f"资源 {resource_id} 的池里没有{which}；池中共有 {len(history)} 个版本",
            f"the pool of {resource_id} holds no version of {push_id or 'any push'}; it has {len(history)} version(s)",
            resource=resource_id,
            push=push_id,
        )
    if wanted[0].aged_at is not None:
        raise aged_out(house, f"pool:{resource_id}", wanted[0].aged_at, oldest(house, resource_id))
    return wanted[0]


def oldest(house: House, resource_id: str) -> PoolCommitView:
    """The oldest version of a pool that is still kept; the newest always is."""
    return next(view for view in versions(house, resource_id)[::-1] if view.aged_at is None)


def aged_out(house: House, target: str, when: datetime, oldest: PoolCommitView) -> AgedOut:
    """That a version of a pool is no longer kept, and which one is the oldest that is."""
    since = oldest.committed_at.astimezone(CHINA)
    return AgedOut(
        f"{target} 的这个版本已于 {when.astimezone(CHINA):%Y-%m-%d} 按保留期清除（EXCHANGE_KEEP_VERSIONS={house.settings.keep_versions} 天）；"
        f"现存最早的版本是 {oldest.receipt}（第 {oldest.batch} 批，{since:%Y-%m-%d %H:%M} 入库）",
        f"that version of {target} went on {when.astimezone(CHINA):%Y-%m-%d}, when no setting kept it any more "
        f"(EXCHANGE_KEEP_VERSIONS={house.settings.keep_versions} days); the oldest there is is {oldest.receipt} "
        f"(batch {oldest.batch}, pooled {since:%Y-%m-%d %H:%M})",
        reason="aged-out",
        target=target,
        oldest=oldest.receipt,
        batch=oldest.batch,
        since=since.isoformat(timespec="seconds"),
    )


def _view(commit: PoolCommit, push: Push) -> PoolCommitView:
    own = ("receipt", "push_id", "snapshot", "rows", *_FIGURES, "committed_at", "aged_at")
    return PoolCommitView(
        resource_id=push.resource_id,
        resource_version=push.resource_version,
        batch=push.batch,
        **{name: getattr(commit, name) for name in own},
    )
