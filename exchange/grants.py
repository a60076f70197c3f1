"""授权: one consumer department, one target, exact fields, modes, one purpose, a legal basis, from a day until a day.

Invariant: nothing is shared without one grant that covers the whole request; grants are never added together. A grant
that could not be lawful is never made, nor used once the catalogue has become stricter: 不予共享 items can't be shared at
all, 有条件 ones not without a legal basis
(《政务数据共享条例》; 发改高技〔2017〕1272号).
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta, timezone

from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import events, targets
from exchange.catalogue.model import ShareType
from exchange.errors import AccessRefused, NotFound, RequestInvalid
from exchange.house import House
from exchange.registry.models import Department, Grant
from exchange.targets import Target

NAMES = (
    "query",
    "online_query",
    "verify",
    "batch",
    "db_push",
    "theme",  # read by a theme database of the department (exchange/themes.py)
)  # what a grant may name; delivery.MODES has those that exist
_BEIJING = timezone(timedelta(hours=8))


@dataclass(frozen=True)
class Need:
    """What a grant has to cover."""

    target: str
    mode: str
    fields: tuple[str, ...]
    purpose: str


@dataclass(frozen=True)
class GrantView:
    """A grant. Days are calendar days in Beijing, both included."""

    id: str
    department: str
    target: str
    fields: tuple[str, ...]
    unmasked: tuple[str, ...]
    modes: tuple[str, ...]
    purpose: str
    legal_basis: str
    valid_from: date
    valid_until: date
    revoked_at: datetime | None = None

    def as_dict(self) -> dict[str, object]:
        shown = asdict(self)
        shown |= {"valid_from": self.valid_from.isoformat(), "valid_until": self.valid_until.isoformat()}
        return shown | {"revoked_at": self.revoked_at.isoformat() if self.revoked_at else None}


def give(
    house: House,
    department: str,
    target: str,
    fields: Sequence[str],
    modes: Sequence[str],
    purpose: str,
    legal_basis: str,
    valid_from: date,
    valid_until: date,
    unmasked: Sequence[str] = (),
) -> GrantView:
    """Give a department exactly these fields of a target.

    Raises:
        NotFound: no such department or target.
        RequestInvalid: nothing asked, an unknown field or mode, no purpose, or days the wrong way round.
        AccessRefused: the law does not allow it: a 不予共享 field, or a 有条件 one without a legal basis.
    """
    with house.registry.session() as session:
        if session.get(Department, department) is None:
            raise NotFound(f"没有代码为 {department} 的部门", f"no department has the code {department}")
        described = targets.load(session, target)
        _well_formed(described, fields, modes, purpose, valid_from, valid_until, unmasked)
        _lawful(described, fields, legal_basis)
        grant = Grant(
            id=f"G{datetime.now(_BEIJING):%y%m%d}-{secrets.token_hex(5)}",
            department_code=department,
            target=target,
            fields=list(fields),
            unmasked=list(unmasked),
            modes=list(modes),
            purpose=purpose.strip(),
            legal_basis=legal_basis.strip(),
            valid_from=valid_from,
            valid_until=valid_until,
        )
        session.add(grant)
        events.record(
            session, events.Tag.GRANT_GIVEN, department=department, object_id=grant.id, target=target, fields=list(fields)
        )
        return _view(grant)


def revoke(house: House, grant_id: str) -> None:
    """Take a grant back; the next request already misses it.

    Raises:
        NotFound: no such grant, or it was revoked before.
    """
    with house.registry.session() as session:
        grant = session.get(Grant, grant_id, with_for_update=True)
        if grant is None or grant.revoked_at is not None:
            raise NotFound(f"没有编号为 {grant_id} 的有效授权", f"no grant {grant_id}, or it was revoked before")
        grant.revoked_at = datetime.now(UTC)
        events.record(session, events.Tag.GRANT_REVOKED, department=grant.department_code, object_id=grant_id)


def list_grants(house: House, department: str | None = None) -> list[GrantView]:
    """Every grant (of one department), revoked and expired ones too, oldest first."""
    query = select(Grant).order_by(Grant.granted_at, Grant.id)
    if department is not None:
        query = query.where(Grant.department_code == department)
    with house.registry.session() as session:
        return [_view(grant) for grant in session.scalars(query)]


def of(session: Session, department: str, target: str) -> tuple[GrantView, ...]:
    """What a department was ever granted of one target, newest first."""
    query = select(Grant).where(Grant.department_code == department, Grant.target == target)
    return tuple(_view(grant) for grant in session.scalars(query.order_by(Grant.granted_at.desc(), Grant.id)))


def today() -> date:
    """The calendar day in Beijing."""
    return datetime.now(_BEIJING).date()


def check(house: House, department: str, need: Need, day: date | None = None) -> GrantView:
    """The grant that covers this need.

    Raises:
        NotFound: no such target.
        AccessRefused: as `covering`.
    """
    with house.registry.session() as session:
        described = targets.load(session, need.target)
        given = of(session, department, need.target)
    return covering(described, given, need, day or today())


def covering(target: Target, given: Iterable[GrantView], need: Need, day: date) -> GrantView:
    """The grant that covers the whole need on this day; of several, the one that unmasks most of the fields asked.

    Raises:
        AccessRefused: none does. Speaks of the grant that comes nearest: what it lacks (`missing`) and whom to ask.
    """
    nearest: tuple[int, AccessRefused] | None = None
    covers: list[GrantView] = []
    for grant in given:
        step, refusal = _lacking(target, grant, need, day)
        if refusal is None:
            covers.append(grant)
        elif nearest is None or step > nearest[0]:
            nearest = (step, refusal)
    if covers:
        return max(covers, key=lambda grant: len(set(need.fields) & set(grant.unmasked)))  # the first of equals: the newest
    if nearest is not None:
        raise nearest[1]
    raise _refused(
        target,
        (),
        "no-grant",
        ["grant"],
        f"贵部门没有{target.title}（{target.id}）的授权",
        f"your department has no grant on {target.id}",
    )


def _lacking(target: Target, grant: GrantView, need: Need, day: date) -> tuple[int, AccessRefused | None]:
    """How far a grant gets (steps passed) and what stops it."""
    outside = [name for name in need.fields if name not in grant.fields]
    hidden = sum(name not in target.fields for name in outside)
    named = [name for name in outside if name in target.fields] + ([f"+{hidden}"] if hidden else [])
    gone = [name for name in need.fields if name in grant.fields and name not in target.fields]
    here = [target.fields[name] for name in need.fields if name in target.fields]
    never = [field.name for field in here if field.share is ShareType.NONE]
    bare = [field.name for field in here if field.share is ShareType.CONDITIONAL and not grant.legal_basis.strip()]
    steps = (
        (
            grant.revoked_at is not None,
            "grant-revoked",
            ["grant"],
            f"授权 {grant.id} 已被收回",
            f"grant {grant.id} was revoked",
        ),
        (
            day < grant.valid_from,
            "grant-not-yet-valid",
            ["grant"],
            f"授权 {grant.id} 自 {grant.valid_from} 起才有效",
            f"grant {grant.id} is valid only from {grant.valid_from}",
        ),
        (
            day > grant.valid_until,
            "grant-expired",
            ["grant"],
            f"授权 {grant.id} 已于 {grant.valid_until} 到期",
            f"grant {grant.id} expired on {grant.valid_until}",
        ),
        (
            need.mode not in grant.modes,
            "mode-not-granted",
            [need.mode],
            f"授权 {grant.id} 不含方式 {need.mode}，只含 {'、'.join(grant.modes)}",
            f"grant {grant.id} does not include the mode {need.mode}, only {', '.join(grant.modes)}",
        ),
        (
            need.purpose.strip() != grant.purpose,
            "purpose-not-granted",
            ["purpose"],
            f"授权 {grant.id} 的用途是“{grant.purpose}”，与申明的用途不同",
            f'grant {grant.id} is for the purpose "{grant.purpose}", not for the one stated',
        ),
        (
            bool(outside),
            "fields-not-granted",
            named,
            f"授权 {grant.id} 不含字段 {'、'.join(named)}",
            f"grant {grant.id} does not cover the fields {', '.join(named)}",
        ),
        (
            bool(gone),
            "fields-gone",
            gone,
            f"授权 {grant.id} 中的字段 {'、'.join(gone)} 已不在目录中",
            f"the catalogue no longer has the fields {', '.join(gone)} of grant {grant.id}",
        ),
        (
            bool(never),
            "not-shared",
            never,
            f"{'、'.join(never)} 现属不予共享，授权 {grant.id} 对其不再有效",
            f"{', '.join(never)}: not to be shared any more (不予共享), whatever grant {grant.id} says",
        ),
        (
            bool(bare),
            "no-legal-basis",
            ["legal_basis"],
            f"{'、'.join(bare)} 现属有条件共享，授权 {grant.id} 没有写明依据",
            f"{', '.join(bare)}: shared on conditions now (有条件共享), and grant {grant.id} states no legal basis",
        ),
    )
    at_fault = {"fields-not-granted": outside, "fields-gone": gone, "not-shared": never, "no-legal-basis": bare}
    for step, (stops, reason, missing, zh, en) in enumerate(steps):
        if stops:
            names = at_fault.get(reason, need.fields)
            return step, _refused(target, names, reason, missing, zh, en)
    return len(steps), None


def _refused(target: Target, names: Sequence[str], reason: str, missing: list[str], zh: str, en: str) -> AccessRefused:
    ask = target.whom_to_ask(names)
    offices = "、".join(f"{one['name']}（{one['contact'] or '联系方式未登记'}）" for one in ask)
    asked = ", ".join(f"{one['name']} ({one['contact'] or 'no contact registered'})" for one in ask)
    return AccessRefused(f"{zh}。请向{offices}申请", f"{en}. Ask {asked}", reason=reason, missing=missing, ask=ask)


def _well_formed(
    target: Target,
    fields: Sequence[str],
    modes: Sequence[str],
    purpose: str,
    valid_from: date,
    valid_until: date,
    unmasked: Sequence[str],
) -> None:
    unknown = [name for name in (*fields, *unmasked) if name not in target.fields]
    strange = [mode for mode in modes if mode not in NAMES]
    beyond = [name for name in unmasked if name not in fields]
    problems = (
        (not fields, "没有写明字段", "no fields"),
        (bool(unknown), f"没有字段 {'、'.join(unknown)}", f"no such fields: {', '.join(unknown)}"),
        (
            bool(beyond),
            f"不脱敏的字段 {'、'.join(beyond)} 不在授权字段中",
            f"unmasked but not granted: {', '.join(beyond)}",
        ),
        (not modes, "没有写明方式", "no modes"),
        (bool(strange), f"没有方式 {'、'.join(strange)}", f"no such modes: {', '.join(strange)}"),
        (not purpose.strip(), "没有写明用途", "no purpose"),
        (valid_until < valid_from, f"有效期至 {valid_until} 早于 {valid_from}", f"{valid_until} is before {valid_from}"),
    )
    wrong = [(zh, en) for failed, zh, en in problems if failed]
    if wrong:
        known = ", ".join(target.fields)
        raise RequestInvalid(
            f"{target.id} 的授权有误：{'；'.join(zh for zh, _ in wrong)}。字段有：{known}；方式有：{', '.join(NAMES)}",
            f"a wrong grant on {target.id}: {'; '.join(en for _, en in wrong)}. Fields: {known}; modes: {', '.join(NAMES)}",
        )


def _lawful(target: Target, fields: Sequence[str], legal_basis: str) -> None:
    never = [name for name in fields if target.fields[name].share is ShareType.NONE]
    if never:
        raise AccessRefused(
            f"{'、'.join(never)} 属不予共享，不能授权",
            f"{', '.join(never)}: not to be shared (不予共享), so it can't be granted",
            reason="not-shared",
            missing=never,
            ask=target.whom_to_ask(never),
        )
    conditional = [name for name in fields if target.fields[name].share is ShareType.CONDITIONAL]
    if conditional and not legal_basis.strip():
        raise AccessRefused(
            f"{'、'.join(conditional)} 属有条件共享，授权须写明依据",
            f"{', '.join(conditional)}: shared on conditions (有条件共享), so a grant must state its legal basis",
            reason="no-legal-basis",
            missing=["legal_basis"],
            ask=target.whom_to_ask(conditional),
        )


def _view(grant: Grant) -> GrantView:
    return GrantView(
        grant.id,
        grant.department_code,
        grant.target,
        tuple(grant.fields),
        tuple(grant.unmasked),
        tuple(grant.modes),
        grant.purpose,
        grant.legal_basis,
        grant.valid_from,
        grant.valid_until,
        grant.revoked_at,
    )
