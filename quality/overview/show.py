"""The five answers as one page with pictures: of the whole city, of a department, or of a resource with its rules.

Invariant: every figure on the page stands in the answers; nothing is loaded from anywhere, and a link leads to another page of
this kind alone. Shares are drawn on a square-root scale, so that one bad row in a thousand can be seen beside one in two.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from pathlib import Path
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader

from exchange.intake.pushes import CHINA
from quality.indicators import DECISIONS, DIMENSIONS, LEVELS
from quality.overview.model import (
    Asked,
    Contested,
    DayPoint,
    DepartmentDimensions,
    Dimensions,
    History,
    Late,
    Overdue,
    PushPoint,
    ResourceDimensions,
    ResourceTrend,
    RuleChange,
    RulePoint,
    Trend,
)
from quality.overview.words import CYCLES, NOT_RECORDED, WHATS

_WIDE, _HIGH = 132, 24  # a small picture in a row of a table
_TILE, _DEEP = 312, 84  # a department's picture
_BROAD, _ROWS, _SHARES = 900, 46, 120  # the picture of one resource: rows above, shares below
_LINE = 240  # from the oldest last push to now
_TOPS = {0.05: (0.05, 0.01, 0.001), 0.25: (0.25, 0.05, 0.01), 1.0: (1.0, 0.25, 0.05, 0.01)}  # full height -> lines


@dataclass(frozen=True)
class Bar:
    """A bar of a picture, from its top left corner. `kind`: the decision; `says`: what it shows, for who points at it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    says: str


@dataclass(frozen=True)
class Picture:
    """Bars on a ground of this size, with the labels under the first and the last."""

    width: float
    height: float
    bars: tuple[Bar, ...]
    first: str = ""
    last: str = ""
    grid: tuple[tuple[float, str], ...] = ()


@dataclass(frozen=True)
class Column:
    """One push in the large picture: where it stands and how high it is; `named`: it has a label."""

    point: PushPoint
    x: float
    width: float
    rows: float
    failing: float
    warned: float
    named: bool


@dataclass(frozen=True)
class Line:
    """An overdue resource on the scale of all: the places of its last push, of when it was due, and of now."""

    late: Late
    begun: float
    due: float
    now: float


@dataclass(frozen=True)
class Load:
    """What one load changed of one resource. `fresh`: it was the first, and all its rules came with it."""

    at: datetime
    by: str
    resource: str
    title: str
    version: int
    fresh: bool
    changes: tuple[RuleChange, ...]


def page(
    trend: Trend, dimensions: Dimensions, overdue: Overdue, contested: Contested, history: History, *, linked: bool
) -> str:
    """The page."""
    top = _top(trend)
    order = {one.resource: [push.push for push in one.pushes] for one in trend.resources}
    single = trend.resources[0] if trend.asked.resource is not None and trend.resources else None
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"percent": percent, "rate": rate, "tone": tone, "moment": moment, "count": "{:,}".format}
    return templates.get_template("page.html.jinja").render(
        asked=trend.asked,
        single=single,
        title=_title(trend),
        trend=trend,
        overdue=overdue,
        contested=contested,
        totals=_totals(trend),
        names=DIMENSIONS,
        grouped=_grouped(trend, dimensions),
        own=dimensions.resources[0] if single is not None else None,
        days={one.department: _days(one.days, top) for one in trend.departments},
        sparks={one.resource: _spark(one.pushes, top) for one in trend.resources},
        pushes=_pushes(single.pushes, top) if single is not None else None,
        rules=[(rule, _spark(_beside(rule.points, order[rule.resource]), top)) for rule in trend.rules],
        late={one.resource: one for one in overdue.overdue},
        grid=_grid(top, _SHARES),
        top=f"{top:.0%}",
        lines=_lines(overdue),
        loads=_loads(history),
        more=history.more,
        decisions=DECISIONS,
        levels=LEVELS,
        cycles=CYCLES,
        whats=WHATS,
        unknown=NOT_RECORDED,
        linked=linked,
        address=_address(trend.asked),
        above=_address(trend.asked.model_copy(update={"resource": None, "rule": None})),
        below="".join(f"{part}&" for part in [_address(trend.asked)] if part),
    )


def percent(value: float | None) -> str:
    """A score with two decimals, never rounded up: what is not whole does not read as 100 %."""
    return "不适用" if value is None else f"{math.floor(round(value * 10_000, 6)) / 100:.2f}%"


def rate(value: float | None) -> str:
    """A share of failing rows with two decimals, never rounded down to nothing."""
    if value is None:
        return "–"
    return "<0.01%" if 0 < value < 0.0001 else f"{value:.2%}"


def tone(score: float | None) -> str:
    """How a score is tinted."""
    if score is None:
        return "none"
    return next((name for name, floor in (("t5", 1.0), ("t4", 0.999), ("t3", 0.99), ("t2", 0.95)) if score >= floor), "t1")


def moment(value: datetime | None) -> str:
    """A moment in China, to the minute."""
    return "–" if value is None else f"{value.astimezone(CHINA):%Y-%m-%d %H:%M}"


def _address(asked: Asked) -> str:
    """The question as an address says it: without what nobody asked for."""
    return urlencode(asked.model_dump(mode="json", exclude_defaults=True))


def _title(trend: Trend) -> str:
    if trend.asked.resource is not None and trend.resources:
        return trend.resources[0].title
    return trend.departments[0].name if len(trend.departments) == 1 else "全部部门 all departments"


def _totals(trend: Trend) -> dict[str, int]:
    totals = Counter({"resources": len(trend.resources)})
    for one in trend.departments:
        for day in one.days:
            totals.update(
                pushes=day.pushes, accepted=day.accepted, rejected=day.rejected, held=day.held, rows=day.rows,
                failing=day.failing, warned=day.warned,
            )  # fmt: skip
    return {
        name: totals[name] for name in ("resources", "pushes", "accepted", "rejected", "held", "rows", "failing", "warned")
    }


Group = tuple[DepartmentDimensions, list[tuple[ResourceDimensions, ResourceTrend]]]


def _grouped(trend: Trend, dimensions: Dimensions) -> list[Group]:
    """Departments, each with its resources: their dimensions and their pushes."""
    pushes = {one.resource: one for one in trend.resources}
    own: dict[str, list[tuple[ResourceDimensions, ResourceTrend]]] = {one.department: [] for one in dimensions.departments}
    for one in dimensions.resources:
        own[one.department].append((one, pushes[one.resource]))
    return [(one, own[one.department]) for one in dimensions.departments]


def _top(trend: Trend) -> float:
    """The share that all pictures of the page draw at full height: the least that holds every push and every rule."""
    shares = [push.rate for one in trend.resources for push in one.pushes]
    shares += [push.warned / push.rows for one in trend.resources for push in one.pushes if push.rows]
    shares += [point.rate for rule in trend.rules for point in rule.points]
    most = max((share for share in shares if share is not None), default=0)
    return next(top for top in _TOPS if most <= top)


def _height(share: float | None, top: float, whole: float) -> float:
    """The height of a share; what is there at all is seen."""
    if not share:
        return 0.0
    return round(max(whole * math.sqrt(share / top), 1.5), 2)


def _grid(top: float, whole: float) -> tuple[tuple[float, str], ...]:
    return tuple((round(whole - _height(share, top, whole), 2), f"{share:.1%}".replace(".0%", "%")) for share in _TOPS[top])


def _bars(
    points: Sequence[tuple[float | None, str, str]], top: float, width: float, height: float, widest: float
) -> tuple[Bar, ...]:
    """Bars side by side: share, decision, words."""
    if not points:
        return ()
    step = min(width / len(points), widest)
    wide = max(step * 0.76, 0.6)
    bars = []
    for number, (share, kind, says) in enumerate(points):
        tall = _height(share, top, height)
        bars.append(Bar(round(number * step, 2), round(height - tall, 2), round(wide, 2), tall, kind, says))
    return tuple(bars)


def _beside(points: Sequence[RulePoint], order: Sequence[str]) -> list[RulePoint | None]:
    """A rule's points, each at the place of its push; None where the rule was not judged."""
    known = {point.push: point for point in points}
    return [known.get(push) for push in order]


def _spark(points: Sequence[PushPoint | RulePoint | None], top: float) -> Picture:
    """Push by push, in a row of a table."""
    drawn = [
        (one.rate, one.decision, f"{moment(one.received_at)} · {one.failing:,} / {one.rows:,} · {rate(one.rate)}")
        if one is not None
        else (None, "accepted", "–")
        for one in points
    ]
    return Picture(_WIDE, _HIGH, _bars(drawn, top, _WIDE, _HIGH, 11))


def _days(days: Sequence[DayPoint], top: float) -> Picture:
    """Day by day, of a department."""
    drawn = [
        (
            one.rate,
            "rejected" if one.rejected else "held" if one.held else "accepted",
            f"{one.day} · {one.pushes} 次推送 pushes · {one.failing:,} / {one.rows:,} · {rate(one.rate)}",
        )
        for one in days
    ]
    first, last = (f"{days[0].day:%m-%d}", f"{days[-1].day:%m-%d}") if days else ("", "")
    return Picture(_TILE, _DEEP, _bars(drawn, top, _TILE, _DEEP, 26), first, last, _grid(top, _DEEP))


def _pushes(points: Sequence[PushPoint], top: float) -> list[Column]:
    """Push by push, of one resource: below, the share that failed and that was remarked on; above, how many rows came."""
    step = min(_BROAD / max(len(points), 1), 96)
    most = max((one.rows for one in points), default=0) or 1
    named = math.ceil(40 / step)  # labels of their own width
    return [
        Column(
            point=one,
            x=round(number * step, 2),
            width=round(max(min(step * 0.7, 44), 0.8), 2),
            rows=round(max(_ROWS * one.rows / most, 1), 2),
            failing=_height(one.rate, top, _SHARES),
            warned=_height(one.warned / one.rows if one.rows else None, top, _SHARES),
            named=(len(points) - 1 - number) % named == 0,
        )
        for number, one in enumerate(points)
    ]


def _lines(overdue: Overdue) -> list[Line]:
    """From when it counts, through when it was due, to now: on one scale for all."""
    begun = min((one.counted_from for one in overdue.overdue), default=overdue.looked_at)
    whole = (overdue.looked_at - begun) / timedelta(days=1) or 1

    def at(value: datetime) -> float:
        return round(_LINE * ((value - begun) / timedelta(days=1)) / whole, 2)

    return [Line(one, at(one.counted_from), at(one.due), _LINE) for one in overdue.overdue]


def _loads(history: History) -> list[Load]:
    """The changes, load by load and resource by resource, the newest first."""
    loads = []
    for (at, resource), group in groupby(history.changes, key=lambda change: (change.at, change.resource)):
        changes = tuple(group)
        one = changes[0]
        loads.append(Load(at, one.by or NOT_RECORDED, resource, one.title, one.version, one.version == 1, changes))
    return loads
