"""Old versions go, and with them the files that nothing needs any more.

Invariant: a version is marked first (`aged_at`) and refused by name from then on; its lake snapshot goes a day later at the
earliest, and files a day after that, so that whoever reads meanwhile finishes. Never marked are the newest version of a pool
and the one before it (a withdrawal needs it), the newest build of a theme, that of a base and what it was made of, and, for
its own time, what a delivery record names. Killed at any step, the next run goes on.
"""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from exchange import events
from exchange.house import House
from exchange.intake import pushes, uploads
from exchange.registry.models import BaseBuild, PoolCommit, ThemeBuild, VersionNamed
from pools import index, lake, merge, pool, said
from pools.pool import PoolCommitView
from quality import ageing as judged

GRACE = timedelta(days=1)
_LOCK = 0x45584147  # one run at a time, in every process


@dataclass(frozen=True)
class Aged:
    """What one run removed. `versions` and `builds`: no longer asked for from now on; `snapshots`: of those marked before."""

    versions: int
    builds: int
    snapshots: int
    lake_files: int
    orphaned_files: int
    index_files: int

    def as_dict(self) -> dict[str, int]:
        return asdict(self)


def everything(house: House, now: datetime) -> dict[str, int]:
    """Remove all that no setting keeps any more: landed bytes, judgements, uploads, versions; how much of each.

    Raises:
        Unavailable: the lake failed; what was removed before stays removed, and the next run goes on.
    """
    counts = {"landed": pushes.age_out(house, now)} | judged.age_out(house, now)
    uploads.sweep(house, now)
    return counts | age(house, now).as_dict()


def age(house: House, now: datetime) -> Aged:
    """Age versions of pools and builds of bases and themes, lake snapshots, lake files and index files.

    Raises:
        Unavailable: as `everything`.
    """
    lake.prepare(house)
    with house.registry.session() as guard:
        guard.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        _note_deliveries(house)
        versions, builds = _mark_versions(house, now), _mark_builds(house, now)
        snapshots = _expire(house, now)
        files, orphaned = lake.clean(house, before=now - GRACE)
        indexed = index.clean(house, before=now - GRACE)
        done = Aged(versions, builds, snapshots, files, orphaned, indexed)
        facts: dict[str, object] = {**done.as_dict()}
        if any(facts.values()):
            events.record(guard, events.Tag.VERSIONS_AGED_OUT, department=None, object_id=None, **facts)
    return done


def _note_deliveries(house: House) -> None:
    """Which versions the log names, and when last; read from where the last run ended."""
    with house.registry.session() as session:
        session.execute(
            text(
                "INSERT INTO version_named (version, at, seq) "
                "SELECT body->>'version', max(at), max(seq) FROM access_log "
                "WHERE seq > (SELECT coalesce(max(seq), 0) FROM version_named) "
                "AND body->>'version' ~ '^[PB][0-9]{6}-' GROUP BY 1 "
                "ON CONFLICT (version) DO UPDATE SET at = greatest(version_named.at, excluded.at), seq = excluded.seq"
            )
        )


def _named(session: Session, house: House, now: datetime) -> set[str]:
    since = now - timedelta(days=house.settings.keep_delivered_versions)
    return set(session.scalars(select(VersionNamed.version).where(VersionNamed.at >= since)))


def _mark_versions(house: House, now: datetime) -> int:
    """Mark the versions of every pool that stood last longer ago than versions are kept."""
    with house.registry.session() as session:
        resources = list(session.scalars(select(PoolCommit.resource_id).distinct().order_by(PoolCommit.resource_id)))
        kept = _named(session, house, now)
        needed = {(name, facts["snapshot"]) for built in _newest_builds(session) for name, facts in built.inputs.items()}
    return sum(_mark_pool(house, resource_id, now, kept, needed) for resource_id in resources)


def _mark_pool(house: House, resource_id: str, now: datetime, named: set[str], needed: set[tuple[str, int]]) -> int:
    newest_first = pool.versions(house, resource_id)
    until = now - timedelta(days=house.settings.keep_versions)
    aged: list[tuple[PoolCommitView, PoolCommitView]] = []
    readable = newest_first[:2][-1]
    for view, following in zip(newest_first[2:], newest_first[1:], strict=False):
        wanted = view.receipt in named or (resource_id, view.snapshot) in needed
        if view.aged_at is None and following.committed_at < until and not wanted:
            aged.append((view, readable))
        if view.aged_at is None:
            readable = view
    if not aged:
        return 0
    with house.registry.session() as session:
        said.remember(house, session, aged[::-1])
        for view, _ in aged:
            session.get_one(PoolCommit, view.receipt).aged_at = now
    return len(aged)


def _mark_builds(house: House, now: datetime) -> int:
    """The same for builds of bases and themes."""
    until = now - timedelta(days=house.settings.keep_versions)
    marked = 0
    with house.registry.session() as session:
        named = _named(session, house, now)
        following: dict[str, datetime] = {}  # when the next build of the same target was made
        for target, built in _newest_first(session):
            stood_until = following.get(target)
            if stood_until is not None and stood_until < until and built.aged_at is None and built.id not in named:
                built.aged_at = now
                marked += 1
            following[target] = built.built_at
    return marked


def _newest_first(session: Session) -> Iterator[tuple[str, BaseBuild | ThemeBuild]]:
    """Every build with its target; those of one target newest first."""
    for base in session.scalars(select(BaseBuild).order_by(BaseBuild.number.desc())):
        yield f"base:{base.base_id}", base
    for theme in session.scalars(select(ThemeBuild).order_by(ThemeBuild.number.desc())):
        yield f"theme:{theme.theme_id}", theme


def _newest_builds(session: Session) -> Iterable[BaseBuild]:
    bases = session.scalars(select(BaseBuild.base_id).distinct())
    return [built for base in bases if (built := merge.last_build(session, base)) is not None]


def _expire(house: House, now: datetime) -> int:
    """Expire the snapshots that no version needs which may still be read."""
    with house.registry.session() as session:
        keep: set[int] = set()
        for kind in (PoolCommit, BaseBuild, ThemeBuild):
            still = (kind.aged_at.is_(None)) | (kind.aged_at > now - GRACE)
            keep.update(session.scalars(select(kind.snapshot).where(still)))
    return lake.expire(house, keep=keep, before=now - timedelta(days=house.settings.keep_versions))


__all__ = ["GRACE", "Aged", "age", "everything"]
