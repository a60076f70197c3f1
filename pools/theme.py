"""主题库, built: a department's SELECT over the newest versions of bases and pools, as one lake commit.

Invariant: the SELECT is run where nothing exists but views of the columns that one grant per relation allows today, masked
unless granted unmasked; so a theme can hold nothing else, whatever its SQL says. Grants are looked at again for every build.
A build and the evidence of what it read are written down together; a build killed before that is adopted by the next run.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb
from duckdb import DuckDBPyConnection
from sqlalchemy import func, select, text
from sqlalchemy.orm import Session

from exchange import access_log, events, grants, themes
from exchange.access_log import AccessEntry
from exchange.catalogue import change, lineage, lookup, relations
from exchange.catalogue.lineage import relation_name
from exchange.catalogue.model import BaseDefinition, ThemeDefinition
from exchange.catalogue.relations import Relation
from exchange.catalogue.sql import quoted
from exchange.catalogue.themes import columns, described
from exchange.delivery.mask_sql import masked_sql
from exchange.errors import AccessRefused, AgedOut, ThemeUnfit, WrongState
from exchange.house import House
from exchange.intake.pushes import CHINA
from exchange.progress import Progress, silent
from exchange.registry.models import BaseVersion, Department, PoolCommit, Push, ThemeBuild
from exchange.themes import MODE, Reading
from pools import lake, merge, pool

Inputs = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class ThemeBuildView:
    """A build of a theme. `inputs` says of each relation which version was read, by which grant, which fields, which of them
    masked, and how many rows there were."""

    id: str
    theme_id: str
    theme_version: int
    number: int
    inputs: Inputs
    snapshot: int
    rows: int
    built_at: datetime

    def as_dict(self) -> dict[str, object]:
        return asdict(self) | {"built_at": self.built_at.isoformat()}


def build(house: House, theme_id: str, progress: Progress = silent, by: str | None = None) -> ThemeBuildView | None:
    """Build the version of a theme that is in force from the newest versions of what it reads.

    Returns None when there is nothing to do: nothing changed since the last build, or a relation has no version that can be
    read yet (`waits`). A refusal is recorded, as an event and as evidence, before it is raised.

    Args:
        by: whose account asked for it; None: the clock.

    Raises:
        NotFound: no such theme. WrongState: no version is approved; or its keys are not unique, or its SQL no longer fits.
        AccessRefused: the grants of its department do not cover what it reads (any more).
        Unavailable: the lake failed; the build before stays.
    """
    try:
        return _build(house, theme_id, progress, by)
    except (AccessRefused, ThemeUnfit) as refusal:
        _record_refusal(house, theme_id, refusal, by)
        raise


def last_build(session: Session, theme_id: str) -> ThemeBuild | None:
    """The newest build of a theme."""
    newest = select(ThemeBuild).where(ThemeBuild.theme_id == theme_id).order_by(ThemeBuild.number.desc())
    return session.scalar(newest.limit(1))


def was_built(house: House, theme_id: str) -> bool:
    """Whether there is any build of a theme."""
    with house.registry.session() as session:
        return last_build(session, theme_id) is not None


def waits(house: House, theme_id: str) -> list[str]:
    """The relations of the version in force that have no version yet that can be read."""
    with house.registry.session() as session:
        theme = lookup.theme_in_force(session, theme_id)
        now = {} if theme is None else relations.current(session, theme.reads)
        return [name for name in now if _newest(session, name) is None]


def is_behind(house: House, built: ThemeBuildView) -> bool:
    """Whether something that a build read has a newer version by now."""
    with house.registry.session() as session:
        newest = {name: _newest(session, name) for name in built.inputs}
    return any(facts is None or facts["version"] != built.inputs[name]["version"] for name, facts in newest.items())


def builds(house: House, theme_id: str) -> list[ThemeBuildView]:
    """Every build of a theme, newest first."""
    with house.registry.session() as session:
        rows = select(ThemeBuild).where(ThemeBuild.theme_id == theme_id).order_by(ThemeBuild.number.desc())
        return [_view(row) for row in session.scalars(rows)]


def table(theme_id: str) -> str:
    """The lake table of a theme."""
    return f"theme_{theme_id}"


def aged_out(house: House, session: Session, built: ThemeBuild) -> AgedOut:
    """That a build is no longer kept, and which one is the oldest that is."""
    assert built.aged_at is not None  # noqa: S101 - the caller asked
    still = select(ThemeBuild).where(ThemeBuild.theme_id == built.theme_id, ThemeBuild.aged_at.is_(None))
    oldest = session.scalars(still.order_by(ThemeBuild.number).limit(1)).one()
    when, days = built.aged_at.astimezone(CHINA), house.settings.keep_versions
    return AgedOut(
        f"theme:{built.theme_id} 的构建 {built.id} 已于 {when:%Y-%m-%d} 按保留期清除（EXCHANGE_KEEP_VERSIONS={days} 天）；"
        f"现存最早的构建是 {oldest.id}（第 {oldest.number} 次）",
        f"build {built.id} of theme:{built.theme_id} went on {when:%Y-%m-%d}, when no setting kept it any more "
        f"(EXCHANGE_KEEP_VERSIONS={days} days); the oldest there is is {oldest.id} (number {oldest.number})",
        reason="aged-out",
        target=f"theme:{built.theme_id}",
        oldest=oldest.id,
        number=oldest.number,
    )


def sources(session: Session, theme: ThemeDefinition, built: ThemeBuild) -> dict[str, dict[str, Any]]:
    """Whose word each field is: the one relation it is made of, or else the theme itself."""
    owner = session.get_one(Department, theme.department)
    own = {
        "resource": f"theme:{theme.id}",
        "department": theme.department,
        "provider": owner.name,
        "push": built.id,
        "batch": built.number,
        "source_date": built.built_at.astimezone(CHINA).date().isoformat(),
    }
    made_of = {theme.key: theme.key_made_of} | {field.name: field.made_of for field in theme.fields}
    return {name: _one_source(names, built) or own for name, names in made_of.items()}


def _one_source(names: Iterable[str], built: ThemeBuild) -> dict[str, Any] | None:
    of = {name.rpartition(".")[0] for name in names}
    said: dict[str, Any] | None = built.inputs[of.pop()]["source"] if len(of) == 1 else None
    return said


# ── one build ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _build(house: House, theme_id: str, progress: Progress, by: str | None) -> ThemeBuildView | None:
    with house.registry.session() as session:
        _one_at_a_time(session, theme_id)
        _adopt_orphans(house, session, theme_id)
        theme = _in_force(session, theme_id)
        read = themes.readings(session, theme, grants.today())
        inputs = _newest_inputs(session, read)
        last = last_build(session, theme_id)
        if inputs is None or not _worth_building(theme, inputs, last):
            return None
        facts = {"number": last.number + 1 if last else 1, "theme_version": theme.version, "inputs": inputs}
        had = {name: _as_of(session, name, one["definition"]) for name, one in inputs.items()}
        now = relations.current(session, theme.reads)
        progress("theme", 0, 1)
        done = lake.commit(
            house,
            author=_author(theme_id),
            receipt=_new_id(session),
            work=lambda connection: _Work(connection, theme, read, had, now).run(facts),
        )
        progress("theme", 1, 1)
        return _view(_record(house, session, theme_id, done, by))


class _Work:
    """One build inside its lake transaction."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        theme: ThemeDefinition,
        read: list[Reading],
        had: Mapping[str, Relation],
        now: Mapping[str, Relation],
    ) -> None:
        self.connection, self.theme, self.read, self.had, self.now = connection, theme, read, had, now

    def run(self, facts: lake.Facts) -> lake.Facts:
        for reading in self.read:
            self._view(reading, facts["inputs"][reading.relation]["snapshot"])
        statement = self._statement()
        kinds = columns(self.theme)
        listed = ", ".join(quoted(name) for name in kinds)
        with lake.replacing(self.connection, table(self.theme.id), lake.BUCKET_COLUMN | kinds, self.theme.key) as draft:
            self.connection.execute(
                f"INSERT INTO {draft} SELECT {lake.bucket_of(self.theme.key)}, {listed} FROM ({statement})"
            )
            rows = self._keyed(draft)
        return facts | {"rows": rows}

    def _view(self, reading: Reading, snapshot: int) -> None:
        """All that the SELECT can see of a relation."""
        relation = reading.relation
        chosen = ", ".join(f"{self._column(reading, name)} AS {quoted(name)}" for name in reading.fields)
        kind, _, identity = relation.partition(":")
        rows = lake.version(merge.table(identity) if kind == "base" else pool.table(identity), snapshot)
        where = " WHERE NOT _closed" if kind == "base" else ""
        self.connection.execute(f"CREATE TEMP VIEW {quoted(relation_name(relation))} AS SELECT {chosen} FROM {rows}{where}")

    def _column(self, reading: Reading, name: str) -> str:
        """A column in the type that the catalogue has now; what the version does not have is NULL."""
        wanted = self.now[reading.relation][name].kind
        had = self.had[reading.relation].get(name)
        value = quoted(name)
        if had is None:
            value = f"NULL::{wanted}"
        elif had.kind != wanted:
            value = f"TRY_CAST({value} AS {wanted})"
        mask = reading.masked.get(name)
        return value if mask is None else masked_sql(mask, f"{value}::VARCHAR")

    def _statement(self) -> str:
        """The SELECT, read again among the columns that its approved version names and no others."""
        theme = self.theme
        found = lineage.read(self.connection, theme.select, {name: dict.fromkeys(of) for name, of in theme.reads.items()})
        try:
            types = described(self.connection, found.statement)
        except duckdb.BinderException:
            types = {}
        if types != columns(theme):
            changed = sorted(name for name, kind in columns(theme).items() if types.get(name) != kind)
            raise ThemeUnfit(
                f"主题库 {theme.id} 第 {theme.version} 版的 SQL 与现行目录不再相符：{'、'.join(changed)} 的类型变了；请改定义并重新送审",
                f"the SQL of version {theme.version} of theme {theme.id} no longer fits the catalogue: the types of "
                f"{', '.join(changed)} changed; change the definition and submit it again",
                reason="theme-unfit",
                theme=theme.id,
                fields=changed,
            )
        return found.statement

    def _keyed(self, draft: str) -> int:
        """How many rows there are, each found by a key of its own."""
        key = quoted(self.theme.key)
        row = self.connection.execute(f"SELECT count(*), count({key}), count(DISTINCT {key}) FROM {draft}").fetchone()
        rows, keyed, distinct = row or (0, 0, 0)
        if rows != distinct:
            raise ThemeUnfit(
                f"主题库 {self.theme.id} 的 SQL 给出 {rows} 行，其中 {rows - keyed} 行没有主键、{keyed - distinct} 行主键重复；"
                "一个主键只能有一行，请改定义并重新送审",
                f"the SQL of theme {self.theme.id} gives {rows} rows, {rows - keyed} without a key and {keyed - distinct} "
                "repeating one; there must be one row a key: change the definition and submit it again",
                reason="theme-key",
                theme=self.theme.id,
                rows=rows,
                without=rows - keyed,
                repeated=keyed - distinct,
            )
        return int(rows)


def _in_force(session: Session, theme_id: str) -> ThemeDefinition:
    lookup.read_theme(session, theme_id)
    theme = lookup.theme_in_force(session, theme_id)
    if theme is None:
        raise WrongState(
            f"主题库 {theme_id} 还没有批准的版本，不能构建；请先送审（exchange theme submit）",
            f"no version of theme {theme_id} is approved, so nothing is built; submit it for review (exchange theme submit)",
            reason="theme-not-approved",
            theme=theme_id,
        )
    return theme


# ── inputs ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _newest_inputs(session: Session, read: list[Reading]) -> Inputs | None:
    """For each relation: which version goes in, by which grant; None while one has nothing to be read."""
    inputs: Inputs = {}
    for reading in read:
        facts = _newest(session, reading.relation)
        if facts is None:
            return None
        granted = {"grant": reading.grant.id, "fields": list(reading.fields), "masked": sorted(reading.masked)}
        inputs[reading.relation] = facts | granted
    return inputs


def _newest(session: Session, relation: str) -> dict[str, Any] | None:
    """The newest version of a relation, if it can be read in the form that the catalogue has now."""
    kind, _, name = relation.partition(":")
    return _newest_base(session, name) if kind == "base" else _newest_pool(session, name)


def _newest_base(session: Session, base_id: str) -> dict[str, Any] | None:
    built = merge.last_build(session, base_id)
    if built is None:
        return None
    definition = session.get_one(BaseVersion, (base_id, built.base_version)).definition
    source = {
        "resource": f"base:{base_id}",
        "department": "",  # a base is no single department's
        "provider": definition["title"],
        "push": built.id,
        "batch": built.number,
        "source_date": built.built_at.astimezone(CHINA).date().isoformat(),
    }
    rows = built.rows - built.closed
    return {
        "version": built.id,
        "snapshot": built.snapshot,
        "definition": built.base_version,
        "rows": rows,
        "source": source,
    }


def _newest_pool(session: Session, resource_id: str) -> dict[str, Any] | None:
    newest = pool.newest(session, resource_id)
    pooled, now = lookup.pooled_as(session, resource_id), relations.resource(session, resource_id)
    if newest is None or pooled is None or now is None or not change.same_pool(pooled, now):
        return None  # a pool of another key or type is read once it was pushed anew
    commit, push = session.get_one(PoolCommit, newest.receipt), session.get_one(Push, newest.push_id)
    provider = session.get_one(Department, push.department_code).name
    return {
        "version": newest.receipt,
        "snapshot": newest.snapshot,
        "definition": newest.resource_version,
        "rows": newest.rows,
        "source": {"resource": resource_id} | merge.source_facts(commit, push, provider),
    }


def _as_of(session: Session, relation: str, version: int) -> Relation:
    """A relation as the version that is read was written."""
    kind, _, name = relation.partition(":")
    if kind == "pool":
        return relations.of_resource(lookup.defined(session, name, version))
    return relations.of_base(BaseDefinition.model_validate(session.get_one(BaseVersion, (name, version)).definition))


def _worth_building(theme: ThemeDefinition, inputs: Inputs, last: ThemeBuild | None) -> bool:
    """Not when the same SELECT would read the same versions as openly."""
    if last is None or last.theme_version != theme.version:
        return True
    return _what_counts(inputs) != _what_counts(last.inputs)


def _what_counts(inputs: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[object, object]]:
    return {name: (facts["snapshot"], facts["masked"]) for name, facts in inputs.items()}


# ── what is written down ─────────────────────────────────────────────────────────────────────────────────────────────


def _adopt_orphans(house: House, session: Session, theme_id: str) -> None:
    """Write down builds that were committed and killed before they were."""
    known = set(session.scalars(select(ThemeBuild.id).where(ThemeBuild.theme_id == theme_id)))
    with lake.opened(house) as connection:
        orphans = [done for done in lake.by_author(connection, _author(theme_id)) if done.receipt not in known]
    for done in orphans:
        _record(house, session, theme_id, done, None)


def _record(house: House, session: Session, theme_id: str, done: lake.Commit, by: str | None) -> ThemeBuild:
    """The build, and the evidence of what it read: one record for each relation."""
    built = ThemeBuild(id=done.receipt, theme_id=theme_id, snapshot=done.snapshot, **done.facts)
    session.add(built)
    session.flush()
    session.refresh(built)
    theme = lookup.theme_defined(session, theme_id, built.theme_version)
    counts = {"number": built.number, "rows": built.rows, "version": built.theme_version}
    events.record(
        session,
        events.Tag.THEME_BUILT,
        department=theme.department,
        object_id=built.id,
        theme=theme_id,
        snapshot=built.snapshot,
        inputs={name: facts["version"] for name, facts in built.inputs.items()},
        **counts,
    )
    entries = [
        AccessEntry(
            department=theme.department,
            client=None,
            person=by,
            purpose=theme.purpose,
            action=MODE,
            target=name,
            version=facts["version"],
            fields=facts["fields"],
            decision="answered",
            reason=f"theme:{theme_id}",
            request_id=built.id,
            grant=facts["grant"],
            rows=facts["rows"],
        )
        for name, facts in built.inputs.items()
    ]
    access_log.enter(house, session, *entries)
    return built


def _record_refusal(house: House, theme_id: str, refusal: AccessRefused | ThemeUnfit, by: str | None) -> None:
    reason, relation = str(refusal.facts["reason"]), refusal.facts.get("relation")
    with house.registry.session() as session:
        theme = _in_force(session, theme_id)
        events.record(
            session,
            events.Tag.THEME_STOPPED,
            department=theme.department,
            object_id=theme_id,
            reason=reason,
            relation=relation,
            missing=refusal.facts.get("missing"),
            version=theme.version,
        )
        entry = AccessEntry(
            department=theme.department,
            client=None,
            person=by,
            purpose=theme.purpose,
            action=MODE,
            target=str(relation or f"theme:{theme_id}"),
            fields=theme.reads.get(str(relation), ()),
            decision="refused",
            reason=f"{reason}: {refusal.zh}",
        )
        access_log.enter(house, session, entry)


def _new_id(session: Session) -> str:
    today: datetime = session.execute(select(func.now())).scalar_one()
    return f"B{today.astimezone(CHINA):%y%m%d}-{secrets.token_hex(5)}"


def _author(theme_id: str) -> str:
    return f"theme:{theme_id}"


def _one_at_a_time(session: Session, theme_id: str) -> None:
    session.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": table(theme_id)})


def _view(built: ThemeBuild) -> ThemeBuildView:
    return ThemeBuildView(**{name: getattr(built, name) for name in ThemeBuildView.__dataclass_fields__})
