"""The six dimensions of GB/T 36344-2018, of resources and of departments.

Invariant: an indicator is X = A / B over what was measured, A and B added up first; a dimension is the mean of its measured
indicators; what was not measured is None and takes no part. How each is measured: docs/quality.md.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Literal

from exchange.evaluation import due
from quality.indicators import DIMENSIONS, INDICATORS
from quality.overview.facts import Checks, Judged, Known
from quality.overview.model import (
    Asked,
    DepartmentDimensions,
    Dimensions,
    DimensionScore,
    IndicatorScore,
    ResourceDimensions,
)
from quality.overview.trend import share

Unit = Literal["check", "deadline", "comparison"]
PUNCTUAL: tuple[str, Unit] = ("0502", "deadline")  # 基于时间点的及时性; a rule that says 0502 too is a line of its own
SAME_DATA: tuple[str, Unit] = ("0401", "comparison")  # 相同数据一致性: with what higher sources say of the same field
Tally = dict[tuple[str, Unit], tuple[int, int]]  # indicator and unit -> measured, passed


def dimensions(
    asked: Asked,
    known: list[Known],
    judged: list[Judged],
    checks: list[Checks],
    late: set[str],
    comparisons: list[Checks],
) -> Dimensions:
    """The whole answer: departments by code, their resources by id. `late`: the resources that are overdue just now;
    `comparisons`: with other sources of the same fields."""
    pushes: dict[str, list[Judged]] = defaultdict(list)
    for push in judged:
        pushes[push.resource].append(push)
    tallies: dict[str, Tally] = defaultdict(dict)
    for one in checks:
        tallies[one.resource][one.indicator, "check"] = (one.measured, one.measured - one.failed)
    for one in comparisons:
        tallies[one.resource][SAME_DATA] = (one.measured, one.measured - one.failed)
    for resource in known:
        tallies[resource.id][PUNCTUAL] = _deadlines(resource, pushes[resource.id], resource.id in late)
    own: dict[str, list[Known]] = defaultdict(list)
    for resource in known:
        own[resource.department].append(resource)
    return Dimensions(
        asked=asked,
        departments=tuple(
            DepartmentDimensions(
                department=code,
                name=group[0].department_name,
                resources=len(group),
                pushes=sum(len(pushes[resource.id]) for resource in group),
                dimensions=_scores(_together([tallies[resource.id] for resource in group])),
            )
            for code, group in sorted(own.items())
        ),
        resources=tuple(
            ResourceDimensions(
                resource=resource.id,
                title=resource.title,
                department=resource.department,
                department_name=resource.department_name,
                pushes=len(pushes[resource.id]),
                dimensions=_scores(tallies[resource.id]),
            )
            for resource in known
        ),
    )


def _deadlines(resource: Known, pushes: list[Judged], late: bool) -> tuple[int, int]:
    """How many times the resource was to be renewed, and how often it was in time; to be late just now counts as missed."""
    settled = [(due(resource.cycle, push.before or resource.loaded), push.received_at) for push in pushes if push.counts]
    kept = [came <= moment for moment, came in settled if moment is not None]
    return len(kept) + late, sum(kept)


def _together(tallies: list[Tally]) -> Tally:
    measured: Counter[tuple[str, Unit]] = Counter()
    passed: Counter[tuple[str, Unit]] = Counter()
    for tally in tallies:
        for key, (whole, part) in tally.items():
            measured[key] += whole
            passed[key] += part
    return {key: (measured[key], passed[key]) for key in measured}


def _scores(tally: Tally) -> tuple[DimensionScore, ...]:
    return tuple(_dimension(code, title, title_en, tally) for code, (title, title_en) in DIMENSIONS.items())


def _dimension(code: str, title: str, title_en: str, tally: Tally) -> DimensionScore:
    indicators = tuple(one for name in sorted(INDICATORS) if name.startswith(code) for one in _indicators(name, tally))
    scores = [one.score for one in indicators if one.score is not None]
    mean = sum(scores) / len(scores) if scores else None
    return DimensionScore(code=code, title=title, title_en=title_en, score=mean, indicators=indicators)


def _indicators(code: str, tally: Tally) -> Iterator[IndicatorScore]:
    """One line; two when a rule speaks for it beside the deadlines or the comparisons."""
    title, title_en = INDICATORS[code]
    units: tuple[Unit, ...] = ("check", "deadline", "comparison")
    for unit in [unit for unit in units if tally.get((code, unit), (0, 0))[0]] or ["check"]:
        measured, passed = tally.get((code, unit), (0, 0))
        yield IndicatorScore(
            code=code,
            title=title,
            title_en=title_en,
            unit=unit,
            measured=measured,
            passed=passed,
            score=share(passed, measured),
        )
