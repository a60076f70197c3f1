"""Failing rows over time: per push of a resource, per rule of a push, per day of a department.

Invariant: a pure function of facts; every figure is a sum of figures of verdicts.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from exchange.intake.pushes import CHINA
from quality.overview.facts import Judged, Known, RuleOnPush
from quality.overview.model import Asked, DayPoint, DepartmentTrend, PushPoint, ResourceTrend, RulePoint, RuleTrend, Trend


def trend(asked: Asked, known: list[Known], judged: list[Judged], rules: list[RuleOnPush]) -> Trend:
    """The whole answer: departments by code, their resources by id, the rules that fail most first."""
    pushes: dict[str, list[Judged]] = defaultdict(list)
    for push in judged:
        pushes[push.resource].append(push)
    return Trend(
        asked=asked,
        departments=tuple(_departments(known, pushes)),
        resources=tuple(
            ResourceTrend(
                resource=one.id,
                title=one.title,
                department=one.department,
                department_name=one.department_name,
                pushes=tuple(_push(push) for push in pushes[one.id]),
            )
            for one in known
        ),
        rules=tuple(_rules(rules)),
    )


def share(part: int, whole: int) -> float | None:
    """A part of a whole; None when there is no whole."""
    return part / whole if whole else None


def _push(push: Judged) -> PushPoint:
    return PushPoint(
        push=push.push,
        batch=push.batch,
        mode=push.mode,
        received_at=push.received_at,
        decision=push.decision,
        state=push.state,
        rows=push.rows,
        failing=push.failing,
        warned=push.warned,
        rate=share(push.failing, push.rows),
    )


def _departments(known: list[Known], pushes: dict[str, list[Judged]]) -> Iterable[DepartmentTrend]:
    own: dict[str, list[Known]] = defaultdict(list)
    for one in known:
        own[one.department].append(one)
    for code, resources in sorted(own.items()):
        days: dict[date, list[Judged]] = defaultdict(list)
        for one in resources:
            for push in pushes[one.id]:
                days[push.received_at.astimezone(CHINA).date()].append(push)
        yield DepartmentTrend(
            department=code,
            name=resources[0].department_name,
            resources=len(resources),
            days=tuple(_day(day, group) for day, group in sorted(days.items())),
        )


def _day(day: date, pushes: list[Judged]) -> DayPoint:
    decisions = [push.decision for push in pushes]
    rows, failing = sum(push.rows for push in pushes), sum(push.failing for push in pushes)
    return DayPoint(
        day=day,
        pushes=len(pushes),
        accepted=decisions.count("accepted"),
        rejected=decisions.count("rejected"),
        held=decisions.count("held"),
        rows=rows,
        failing=failing,
        warned=sum(push.warned for push in pushes),
        rate=share(failing, rows),
    )


def _rules(points: list[RuleOnPush]) -> list[RuleTrend]:
    grouped: dict[tuple[str, str], list[RuleOnPush]] = defaultdict(list)
    for point in points:
        grouped[point.resource, point.rule].append(point)
    drawn = [_rule(group) for group in grouped.values()]
    return sorted(drawn, key=lambda rule: (-rule.failing, rule.resource, rule.rule))


def _rule(points: list[RuleOnPush]) -> RuleTrend:
    newest = points[-1]
    return RuleTrend(
        resource=newest.resource,
        rule=newest.rule,
        level=newest.level,
        indicator=newest.indicator,
        title=newest.title,
        title_en=newest.title_en,
        failing=sum(point.failed for point in points),
        points=tuple(
            RulePoint(
                push=point.push,
                received_at=point.received_at,
                version=point.version,
                decision=point.decision,
                rows=point.measured,
                failing=point.failed,
                rate=share(point.failed, point.measured),
            )
            for point in points
        ),
    )
