"""Merge: pools become golden records, per field the authoritative source wins (一数一源).

Invariant: a build is one lake commit that changes the base and its conflicts together, so a reader pinned to a build never sees a
mixture. It makes everything anew, or the keys that its pools touched (`pools/making.py`); what comes out is the same. The commit
carries its own facts, so a build that was killed before it was written down is adopted by the next run instead of being repeated.
"""

import secrets
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from exchange import catalogue, events
from exchange.catalogue.change import same_pool
from exchange.catalogue.model import BaseDefinition, FieldSource
from exchange.errors import AgedOut, NotFound
from exchange.house import House
from exchange.intake.pushes import CHINA
from exchange.progress import Progress, silent
from exchange.registry.models import BaseBuild, Department, PoolCommit, Push, Resource
from pools import aliases, authority, contested, lake, links, making, pool, registered, satellites, survivorship, touched
from pools.golden import Last
from pools.satellites import Inputs
from pools.survivorship import Source


@dataclass(frozen=True)
class BuildView:
    """A build of a base. `rows` counts every key, the `closed` ones included; `unjoined`, by resource, rows whose older number
    (组织机构代码, 注册号) joins no key, or more than one. `built`: whole, and then why (`because`), or only the keys that were
    `touched`, and how many those are (pools/touched.py); None: made before that was told."""

    id: str
    base_id: str
    base_version: int
    number: int
    inputs: Inputs
    snapshot: int
    rows: int
    closed: int
    conflicts: int
    unjoined: dict[str, int]
    authority_on: date
    satellites: dict[str, dict[str, int]]
    links: dict[str, dict[str, Any]]
    built: str | None
    because: str | None
    touched: int | None
    built_at: datetime

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"built_at": self.built_at.isoformat(), "authority_on": self.authority_on.isoformat()}


def build(house: House, base_id: str, progress: Progress = silent, on: date | None = None) -> BuildView | None:
    """Build a base from the newest versions of its pools, by the aliases in force.

    Returns None when there is nothing to do: no input and no alias changed since the last build, or no source has pooled
    anything yet (`waits`). One source is enough: a key is there when any of them has it, so a source to come only adds. While a pool
    is still of another key or type than the catalogue in force, the base goes on under the definition it was built by.
    `on`: the day whose orders of authority count; None: today. (Lines of aliases count by today's.)

    Raises:
        NotFound: no such base.
        Unavailable: the lake failed; the version before stays.
    """
    definition = catalogue.base(house, base_id)
    with house.registry.session() as session:
        _one_at_a_time(session, base_id)
        _adopt_orphan(house, session, base_id)
        last = last_build(session, base_id)
        definition, inputs = _readable(house, session, definition, last)
        numbers = aliases.in_force(house, session, base_id)
        older = any(registered.has_older(definition, source) for source in sources_of(house, definition, inputs))
        mark = aliases.digest(numbers, older_numbers=older)
        day = on or authority.today(session)
        if not _worth_building(definition, inputs, mark, last, day):
            return None
        facts = {
            "number": last.number + 1 if last else 1,
            "base_version": definition.version,
            "inputs": inputs,
            "aliases": mark,
            "authority_on": day.isoformat(),
        }
        of_day = definition.on(day)
        task = making.Task(
            definition=of_day,
            table=table(base_id),
            conflicts=conflict_table(base_id),
            sources=lambda wanted: sources_of(house, of_day, wanted),
            numbers=numbers,
            facts=facts,
            linked=links.targets(house, session, definition),
            last=_last(house, last),
            because=touched.whole_because(house, session, of_day, facts, last, older_numbers=older),
        )
        done = lake.commit(
            house,
            author=_author(base_id),
            receipt=_new_id(session),
            work=lambda connection: making.make(house, connection, task, progress),
        )
        return _view(_record(session, base_id, done))


def last_build(session: Session, base_id: str) -> BaseBuild | None:
    """The newest build of a base."""
    return session.scalar(select(BaseBuild).where(BaseBuild.base_id == base_id).order_by(BaseBuild.number.desc()).limit(1))


def aged_out(house: House, session: Session, built: BaseBuild) -> AgedOut:
    """That a build is no longer kept, and which one is the oldest that is."""
    assert built.aged_at is not None  # noqa: S101 - the caller asked
    still = select(BaseBuild).where(BaseBuild.base_id == built.base_id, BaseBuild.aged_at.is_(None))
    oldest = session.scalars(still.order_by(BaseBuild.number).limit(1)).one()
    when, since = built.aged_at.astimezone(CHINA), oldest.built_at.astimezone(CHINA)
    days = house.settings.keep_versions
    return AgedOut(
        f"base:{built.base_id} 的构建 {built.id} 已于 {when:%Y-%m-%d} 按保留期清除（EXCHANGE_KEEP_VERSIONS={days} 天）；"
        f"现存最早的构建是 {oldest.id}（第 {oldest.number} 次，{since:%Y-%m-%d %H:%M}）",
        f"build {built.id} of base:{built.base_id} went on {when:%Y-%m-%d}, when no setting kept it any more "
        f"(EXCHANGE_KEEP_VERSIONS={days} days); the oldest there is is {oldest.id} (number {oldest.number}, "
        f"{since:%Y-%m-%d %H:%M})",
        reason="aged-out",
        target=f"base:{built.base_id}",
        oldest=oldest.id,
        number=oldest.number,
        since=since.isoformat(timespec="seconds"),
    )


def never_built(base_id: str) -> NotFound:
    """That there is no build of a base yet, and what to do."""
    return NotFound(
        f"基础库 {base_id} 还没有归并过，请先运行 exchange build {base_id}",
        f"base {base_id} was never built; run `exchange build {base_id}` first",
        base=base_id,
    )


def was_built(house: House, base_id: str) -> bool:
    """Whether there is any build of a base."""
    with house.registry.session() as session:
        return last_build(session, base_id) is not None


def waits(house: House, base_id: str) -> bool:
    """Whether none of a base's sources has pooled anything yet, so that there is nothing to build it from.

    Raises:
        NotFound: no such base.
    """
    definition = catalogue.base(house, base_id)
    with house.registry.session() as session:
        return not newest_inputs(session, definition)


def build_numbered(session: Session, base_id: str, number: int) -> BaseBuild:
    """One build of a base by its number, as the rows of a base name it."""
    return session.scalars(select(BaseBuild).where(BaseBuild.base_id == base_id, BaseBuild.number == number)).one()


def table(base_id: str) -> str:
    """The lake table of a base."""
    return f"base_{base_id}"


def rows_of(built: BaseBuild) -> str:
    """The rows of a base as a build left them, each with the number of the build that it is of; SQL after FROM."""
    return survivorship.seen(lake.version(table(built.base_id), built.snapshot), built.number)


def conflict_table(base_id: str) -> str:
    """The lake table of the conflicts of a base's newest build."""
    return f"base_{base_id}_conflict"


def newest_inputs(session: Session, definition: BaseDefinition) -> Inputs:
    """For each pool that feeds the base and holds something: which version would go in."""
    inputs: Inputs = {}
    for origin in definition.feeders:
        row = session.execute(
            select(PoolCommit, Push, Department.name)
            .join(Push, Push.id == PoolCommit.push_id)
            .join(Department, Department.code == Push.department_code)
            .where(PoolCommit.resource_id == origin.resource)
            .order_by(PoolCommit.snapshot.desc())
            .limit(1)
        ).first()
        if row is not None:
            inputs[origin.resource] = source_facts(*row)
    return inputs


def source_facts(commit: PoolCommit, push: Push, provider: str) -> dict[str, Any]:
    """What an answer says of a source: who handed it over, in which batch, on which day (Chinese time)."""
    return {
        "push": push.id,
        "snapshot": commit.snapshot,
        "batch": push.batch,
        "resource_version": push.resource_version,
        "department": push.department_code,
        "provider": provider,
        "source_date": push.received_at.astimezone(CHINA).date().isoformat(),
    }


def sources_of(house: House, definition: BaseDefinition, inputs: Inputs) -> list[Source]:
    """The inputs as relations, in the order of the definition."""
    return [
        Source(
            resource=catalogue.resource_at(house, origin.resource, inputs[origin.resource]["resource_version"]),
            relation=lake.version(pool.table(origin.resource), inputs[origin.resource]["snapshot"]),
            key_item=origin.item,
        )
        for origin in definition.key_sources
        if origin.resource in inputs
    ]


def _last(house: House, built: BaseBuild | None) -> Last | None:
    """What the next build needs to know of the one before it."""
    if built is None:
        return None
    return Last(
        authority.definition_of(house, built),
        built.number,
        built.snapshot,
        built.inputs,
        built.rows,
        built.closed,
        built.conflicts,
        built.satellites,
    )


def _readable(
    house: House, session: Session, definition: BaseDefinition, last: BaseBuild | None
) -> tuple[BaseDefinition, Inputs]:
    """The definition by which the pools can be read as they are now, and what goes in; nothing when there is none.

    A catalogue may be ahead of a pool: then the definition of the last build still fits. A base that was never built
    leaves out the pools it can't read yet.
    """
    inputs = newest_inputs(session, definition)
    late = {
        origin.resource
        for origin in definition.origins
        if origin.resource in inputs and _behind(house, session, origin, inputs[origin.resource])
    }
    if not late:
        return definition, inputs
    if last is None:
        return definition, {name: facts for name, facts in inputs.items() if name not in late}
    before = catalogue.base_at(house, definition.id, last.base_version)
    kept = newest_inputs(session, before)
    fits = all(source.item(source.key_item) is not None for source in sources_of(house, before, kept))
    fits = fits and satellites.readable(house, before, kept)
    return before, kept if fits else {}


def _behind(house: House, session: Session, origin: FieldSource, facts: dict[str, Any]) -> bool:
    """Whether a pool is still of another key or type than the catalogue in force, or lacks the item that keys are in."""
    pooled = catalogue.resource_at(house, origin.resource, facts["resource_version"])
    now = session.get_one(Resource, origin.resource)
    if not same_pool(pooled, catalogue.resource_at(house, origin.resource, now.current)):
        return True
    return all(item.name != origin.item for item in pooled.items)


def _worth_building(
    definition: BaseDefinition, inputs: Inputs, mark: str | None, last: BaseBuild | None, day: date
) -> bool:
    if not inputs:
        return False
    if last is None or last.base_version != definition.version or last.aliases != mark:
        return True
    if authority.turned(definition, last.authority_on, day):
        return True
    return {name: facts["snapshot"] for name, facts in inputs.items()} != {
        name: facts["snapshot"] for name, facts in last.inputs.items()
    }


def _adopt_orphan(house: House, session: Session, base_id: str) -> None:
    """Write down builds that were committed and killed before they were."""
    known = set(session.scalars(select(BaseBuild.id).where(BaseBuild.base_id == base_id)))
    with lake.opened(house) as connection:
        orphans = [done for done in lake.by_author(connection, _author(base_id)) if done.receipt not in known]
    for done in orphans:
        _record(session, base_id, done)


def _record(session: Session, base_id: str, done: lake.Commit) -> BaseBuild:
    facts = dict(done.facts)
    counted = facts.pop("contested", [])
    day = date.fromisoformat(facts.pop("authority_on"))
    built = BaseBuild(id=done.receipt, base_id=base_id, snapshot=done.snapshot, authority_on=day, **facts)
    session.add(built)
    session.flush()
    contested.record(session, built, counted)
    counts = {name: facts[name] for name in ("number", "rows", "closed", "conflicts")}
    events.record(session, events.Tag.BASE_BUILT, object_id=done.receipt, base=base_id, snapshot=done.snapshot, **counts)
    session.flush()
    session.refresh(built)
    return built


def _new_id(session: Session) -> str:
    today: datetime = session.execute(select(func.now())).scalar_one()
    return f"B{today.astimezone(CHINA):%y%m%d}-{secrets.token_hex(5)}"


def _author(base_id: str) -> str:
    return f"base:{base_id}"


def _one_at_a_time(session: Session, base_id: str) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": table(base_id)})


def _view(built: BaseBuild) -> BuildView:
    return BuildView(
        **{name: getattr(built, name) for name in BuildView.__dataclass_fields__},
    )
