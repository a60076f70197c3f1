"""主题库 in force: reviewed by a second person, and held to its department's grants whenever it reads and whenever it answers.

Invariant: nothing is built of a version that was not approved by somebody else than who submitted it. A build reads each
relation by one grant that covers all it touches there, on that day; what it left is handed out only as long as such a grant
still stands, and shows no more. Sources: 《政务数据共享条例》 (use within the purpose that was granted).
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import events, grants, targets
from exchange.callers import Caller
from exchange.catalogue import lookup, relations
from exchange.catalogue.model import ThemeDefinition
from exchange.errors import AccessRefused, NotFound, RequestInvalid, WrongState
from exchange.grants import GrantView, Need
from exchange.house import House
from exchange.registry.models import Department, ThemeAct, ThemeBuild, ThemeVersion
from exchange.targets import Target

MODE = "theme"  # what a grant must name for a theme to read by it


@dataclass(frozen=True)
class ThemeView:
    """A version of a theme and what was decided about it. `state`: loaded, submitted, approved or rejected; `in_force`: the
    version that is built, None when there is none."""

    id: str
    title: str
    department: str
    version: int
    state: str
    by: str | None
    reason: str | None
    at: datetime | None
    in_force: int | None
    reads: Mapping[str, tuple[str, ...]]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"at": None if self.at is None else self.at.isoformat()}


@dataclass(frozen=True)
class Reading:
    """How a theme reads one relation: by which grant, which columns, and which of them under which mask."""

    relation: str
    grant: GrantView
    fields: tuple[str, ...]
    masked: Mapping[str, str]


# ── review ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def submit(house: House, caller: Caller, theme_id: str) -> ThemeView:
    """Ask for the review of a theme's newest version.

    Raises:
        NotFound: no such theme. AccessRefused: it is another department's, or reads what its own was not granted.
        WrongState: that version is under review, or approved, already.
    """
    with house.registry.session() as session:
        theme = lookup.read_theme(session, theme_id)
        _lock(session, theme)
        if caller.department != theme.department:
            raise _not_yours(session, theme)
        state = _view(session, theme).state
        if state in ("submitted", "approved"):
            raise WrongState(
                f"主题库 {theme_id} 第 {theme.version} 版的状态是 {state}，不必再次提交",
                f"version {theme.version} of theme {theme_id} is {state} already",
                theme=theme_id,
                version=theme.version,
                state=state,
            )
        readings(session, theme, grants.today())
        _act(session, theme, "submit", caller, None)
        return _view(session, theme)


def approve(house: House, caller: Caller, theme_id: str, version: int, reason: str) -> ThemeView:
    """Let a submitted version be built; from now on it is the one in force, unless a later one is.

    Raises:
        NotFound: no such theme or version. RequestInvalid: no reason. WrongState: it is not under review.
        AccessRefused: by who submitted it, or by its own department; or the grants no longer cover it.
    """
    with house.registry.session() as session:
        theme = _reviewable(session, caller, theme_id, version, reason, ("submitted",))
        readings(session, theme, grants.today())
        _act(session, theme, "approve", caller, reason)
        return _view(session, theme)


def reject(house: House, caller: Caller, theme_id: str, version: int, reason: str) -> ThemeView:
    """Refuse a submitted version, or take an approval back: what was built of it is no longer handed out.

    Raises:
        NotFound, RequestInvalid, AccessRefused: as `approve`. WrongState: neither under review nor approved.
    """
    with house.registry.session() as session:
        theme = _reviewable(session, caller, theme_id, version, reason, ("submitted", "approved"))
        _act(session, theme, "reject", caller, reason)
        return _view(session, theme)


def view(house: House, theme_id: str) -> list[ThemeView]:
    """Every version of a theme, newest first.

    Raises:
        NotFound: no such theme, or the catalogue no longer has it.
    """
    with house.registry.session() as session:
        newest = lookup.read_theme(session, theme_id)
        rows = session.scalars(select(ThemeVersion).where(ThemeVersion.theme_id == theme_id))
        known = {row.version for row in rows if row.digest != lookup.RETIRED}
        versions = [lookup.theme_defined(session, theme_id, number) for number in sorted(known, reverse=True)]
        return [_view(session, one) for one in versions if one.version <= newest.version]


def views(house: House) -> list[ThemeView]:
    """The newest version of every theme of the catalogue, by id."""
    with house.registry.session() as session:
        rows = [row for row in lookup.newest_themes(session) if row.digest != lookup.RETIRED]
        return [_view(session, ThemeDefinition.model_validate(row.definition)) for row in rows]


def _reviewable(
    session: Session, caller: Caller, theme_id: str, version: int, reason: str, states: tuple[str, ...]
) -> ThemeDefinition:
    """The version to decide about, if this caller may."""
    newest = lookup.read_theme(session, theme_id)
    row = session.get(ThemeVersion, (theme_id, version))
    if row is None or row.digest == lookup.RETIRED:
        raise NotFound(
            f"主题库 {theme_id} 没有第 {version} 版，最新是第 {newest.version} 版",
            f"theme {theme_id} has no version {version}; the newest is {newest.version}",
            theme=theme_id,
            version=version,
        )
    theme = ThemeDefinition.model_validate(row.definition)
    _lock(session, theme)
    if not reason.strip():
        raise RequestInvalid("请写明审核理由", "state the reason of the decision", missing=["reason"])
    found = _view(session, theme)
    if found.state not in states:
        raise WrongState(
            f"主题库 {theme_id} 第 {version} 版的状态是 {found.state}，应为 {'、'.join(states)}",
            f"version {version} of theme {theme_id} is {found.state}; it must be {' or '.join(states)}",
            theme=theme_id,
            version=version,
            state=found.state,
        )
    if not caller.person or caller.person == _submitter(session, theme) or caller.department == theme.department:
        raise AccessRefused(
            "审核须由提交人和主办部门以外的另一人进行",
            "a theme is reviewed by somebody else than who submitted it, and not by its own department",
            reason="same-person",
            missing=["reviewer"],
        )
    return theme


def _submitter(session: Session, theme: ThemeDefinition) -> str | None:
    return session.scalar(
        select(ThemeAct.by)
        .where(ThemeAct.theme_id == theme.id, ThemeAct.version == theme.version, ThemeAct.action == "submit")
        .order_by(ThemeAct.id.desc())
        .limit(1)
    )


def _act(session: Session, theme: ThemeDefinition, action: str, caller: Caller, reason: str | None) -> None:
    tags = {
        "submit": events.Tag.THEME_SUBMITTED,
        "approve": events.Tag.THEME_APPROVED,
        "reject": events.Tag.THEME_REJECTED,
    }
    session.add(ThemeAct(theme_id=theme.id, version=theme.version, action=action, by=caller.person or "", reason=reason))
    session.flush()
    events.record(
        session, tags[action], department=theme.department, object_id=theme.id, version=theme.version, by=caller.person
    )


def _lock(session: Session, theme: ThemeDefinition) -> None:
    """Two decisions about one version queue here."""
    session.get_one(ThemeVersion, (theme.id, theme.version), with_for_update=True)


def _view(session: Session, theme: ThemeDefinition) -> ThemeView:
    act = lookup.last_acts(session, theme.id).get(theme.version)
    states = {"submit": "submitted", "approve": "approved", "reject": "rejected"}
    in_force = lookup.theme_in_force(session, theme.id)
    return ThemeView(
        theme.id,
        theme.title,
        theme.department,
        theme.version,
        "loaded" if act is None else states[act.action],
        None if act is None else act.by,
        None if act is None else act.reason,
        None if act is None else act.at,
        None if in_force is None else in_force.version,
        theme.reads,
    )


def _not_yours(session: Session, theme: ThemeDefinition) -> AccessRefused:
    owner = session.get_one(Department, theme.department)
    return AccessRefused(
        f"主题库 {theme.id} 由{owner.name}主办，只能由它提交",
        f"theme {theme.id} belongs to {owner.name}, which alone may submit it",
        reason="other-department",
        ask=[_office(owner)],
    )


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def readings(session: Session, theme: ThemeDefinition, day: date) -> list[Reading]:
    """How a theme may read each of its relations on a day.

    Raises:
        AccessRefused: it may not; `facts` hold the relation, what is missing and whom to ask.
    """
    now = relations.current(session, theme.reads)
    return [_reading(session, theme, relation, now, day) for relation in theme.reads]


def _reading(
    session: Session, theme: ThemeDefinition, relation: str, now: Mapping[str, relations.Relation], day: date
) -> Reading:
    fields = theme.reads[relation]
    try:
        target = targets.load(session, relation)
        given = grants.of(session, theme.department, relation)
        grant = grants.covering(target, given, Need(relation, MODE, fields, theme.purpose), day)
    except NotFound:
        raise AccessRefused(
            f"主题库 {theme.id} 所读的 {relation} 已不在目录中",
            f"{relation}, which theme {theme.id} reads, is no longer in the catalogue",
            reason="relation-gone",
            relation=relation,
            missing=[relation],
        ) from None
    except AccessRefused as refusal:
        raise AccessRefused(
            f"主题库 {theme.id} 不能读 {relation}：{refusal.zh}",
            f"theme {theme.id} may not read {relation}: {refusal.en}",
            **(refusal.facts | {"relation": relation}),
        ) from None
    sensitive = {name: mask for name in fields if (mask := relations.column(now, f"{relation}.{name}").mask) is not None}
    masked = {name: mask for name, mask in sensitive.items() if name not in grant.unmasked}
    if too_little := [name for name in masked if f"{relation}.{name}" in theme.plain]:
        raise _needs_unmasked(theme, target, grant, too_little)
    return Reading(relation, grant, fields, masked)


def _needs_unmasked(theme: ThemeDefinition, target: Target, grant: GrantView, names: list[str]) -> AccessRefused:
    ask = target.whom_to_ask(names)
    offices = "、".join(f"{one['name']}（{one['contact'] or '联系方式未登记'}）" for one in ask)
    asked = ", ".join(f"{one['name']} ({one['contact'] or 'no contact registered'})" for one in ask)
    return AccessRefused(
        f"主题库 {theme.id} 对 {target.id} 的 {'、'.join(names)} 不止原样带出（作主键、条件或计算），授权 {grant.id} 只给脱敏值。"
        f"请向{offices}申请不脱敏",
        f"theme {theme.id} does more with {', '.join(names)} of {target.id} than hand it on (a key, a condition, an "
        f"expression), and grant {grant.id} gives it masked only. Ask {asked} for it unmasked",
        reason="unmasked-not-granted",
        relation=target.id,
        missing=names,
        ask=ask,
    )


# ── answering ────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class _Part:
    """One relation that a build read: what it took, and what its department was ever granted of it. `target`: None when the
    catalogue no longer has it; `plain`: what would be masked today and was read as it is."""

    relation: str
    target: Target | None
    given: tuple[GrantView, ...]
    need: Need
    plain: frozenset[str]


@dataclass(frozen=True)
class Held:
    """What stands behind a version of a theme that is about to answer."""

    theme: str
    title: str
    owner: dict[str, str | None]
    approved: bool
    parts: tuple[_Part, ...]

    def check(self, day: date) -> None:
        """That it may still answer.

        Raises:
            AccessRefused: its approval was taken back, or a grant that it was built by no longer covers what it holds.
        """
        if not self.approved:
            raise self._stopped("theme-not-approved", "该版本的批准已撤销", "the approval of that version was taken back")
        for part in self.parts:
            self._check(part, day)

    def _check(self, part: _Part, day: date) -> None:
        reason = "relation-gone"
        if part.target is not None:
            try:
                grant = grants.covering(part.target, part.given, part.need, day)
            except AccessRefused as refusal:
                reason = str(refusal.facts.get("reason"))
            else:
                if part.plain <= set(grant.unmasked):
                    return
                reason = "unmasked-not-granted"
        raise self._stopped(
            "theme-stopped",
            f"主办部门对 {part.relation} 的授权不再覆盖其内容（{reason}）",
            f"its department's grants on {part.relation} no longer cover what it holds ({reason})",
        )

    def _stopped(self, reason: str, zh: str, en: str) -> AccessRefused:
        office, contact = self.owner["name"], self.owner["contact"]
        return AccessRefused(
            f"{self.title}（{self.theme}）已停止服务：{zh}。请联系{office}（{contact or '联系方式未登记'}）",
            f"{self.theme} no longer answers: {en}. Ask {office} ({contact or 'no contact registered'})",
            reason=reason,
            missing=[self.theme],
            ask=[self.owner],
        )


def held(session: Session, target: str, version: str) -> Held | None:
    """What stands behind a build ("theme:<id>", the build's id); None: there is no such build."""
    theme_id = target.partition(":")[2]
    built = session.get(ThemeBuild, version)
    if built is None or built.theme_id != theme_id:
        return None
    theme = lookup.theme_defined(session, theme_id, built.theme_version)
    act = lookup.last_acts(session, theme_id).get(built.theme_version)
    now = relations.current(session, built.inputs)
    return Held(
        target,
        theme.title,
        _office(session.get_one(Department, theme.department)),
        act is not None and act.action == "approve",
        tuple(_part(session, theme, relation, facts, now) for relation, facts in built.inputs.items()),
    )


def _part(
    session: Session, theme: ThemeDefinition, relation: str, facts: Mapping[str, Any], now: Mapping[str, relations.Relation]
) -> _Part:
    fields: Iterable[str] = facts["fields"]
    try:
        target = targets.load(session, relation)
    except NotFound:
        target = None
    plain = {
        name
        for name in fields
        if name not in facts["masked"] and relations.column(now, f"{relation}.{name}").mask is not None
    }
    given = grants.of(session, theme.department, relation)
    return _Part(relation, target, given, Need(relation, MODE, tuple(fields), theme.purpose), frozenset(plain))


def _office(row: Department) -> dict[str, str | None]:
    return {"department": row.code, "name": row.name, "contact": row.contact}


__all__ = ["MODE", "Held", "Reading", "ThemeView", "approve", "held", "readings", "reject", "submit", "view", "views"]
