"""The quality report of a push, for people: one self-contained page, 中文 first, English beside it.

Invariant: made of receipts and verdicts only, so it can't hold a value; it loads nothing from anywhere. It can be made
again at any time, and then shows the newest pushes in its picture.
"""

import os
from collections.abc import Container
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader
from sqlalchemy import select

from exchange import catalogue
from exchange.errors import NotFound
from exchange.house import House
from exchange.intake import pushes
from exchange.intake.pushes import CHINA
from exchange.registry.models import Push, Verdict
from quality import expectations, gate
from quality.indicators import DECISIONS, INDICATORS, LEVELS
from quality.verdict import RuleCount, VerdictView

LAST = 12  # pushes in the picture


@dataclass(frozen=True)
class Indicator:
    """A GB/T 36344-2018 indicator: the mean of its rules' share of good rows; None where nothing was measured."""

    code: str
    title: str
    title_en: str
    rules: int
    score: float | None


@dataclass(frozen=True)
class Point:
    """One push in the picture."""

    push_id: str
    batch: int
    decision: str
    received: str
    rows: int
    clean: int
    warned: int
    quarantined: int


def as_dict(house: House, push_id: str) -> dict[str, Any]:
    """Everything the page says, for machines.

    Raises:
        NotFound: no such push, or not judged yet.
    """
    verdict = gate.verdict(house, push_id)
    receipt = pushes.get(house, push_id)
    resource = catalogue.resource_at(house, receipt.resource_id, receipt.resource_version)
    return {
        "receipt": receipt.as_dict(),
        "resource": {"id": resource.id, "code": resource.code, "title": resource.title, "version": resource.version},
        "verdict": verdict.as_dict(),
        "indicators": [asdict(indicator) for indicator in indicators(verdict, receipt.shape.get("matched"))],
        "trend": [asdict(point) for point in trend(house, receipt.resource_id)],
        "data_docs": _data_docs(house, push_id),
    }


def render(house: House, push_id: str) -> Path:
    """Write the page, at once or not at all; its path. It links to the Data Docs on the same disk.

    Raises:
        NotFound: no such push, or not judged yet.
    """
    target = house.settings.folder("reports") / f"{push_id}.html"
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    draft.write_text(page(house, push_id))
    draft.replace(target)
    return target


def page(house: House, push_id: str, data_docs: str | None = None) -> str:
    """The page. `data_docs`: where its reader finds the Data Docs, if not on the platform's disk.

    Raises:
        NotFound: no such push, or not judged yet.
    """
    facts = as_dict(house, push_id)
    if data_docs is not None and facts["data_docs"] is not None:
        facts |= {"data_docs": data_docs}
    templates = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    return templates.get_template("report.html.jinja").render(
        **facts,
        on_disk=data_docs is None,
        bars=bars(trend(house, facts["resource"]["id"]), push_id),
        decisions=DECISIONS,
        levels=LEVELS,
    )


def indicators(verdict: VerdictView, columns: Container[str] | None = None) -> list[Indicator]:
    """The push by the indicators of GB/T 36344-2018 that its rules speak for. `columns`: the items the file had; a rule that
    has none of its items there measured nothing."""
    groups: dict[str, list[RuleCount]] = {}
    for rule in verdict.rules:
        group = groups.setdefault(rule.indicator, [])
        if columns is None or rule.failed or not rule.items or any(item in columns for item in rule.items):
            group.append(rule)
    return [
        Indicator(
            code,
            *INDICATORS[code],
            len(group),
            sum(r.passed / verdict.rows for r in group) / len(group) if verdict.rows and group else None,
        )
        for code, group in sorted(groups.items())
    ]


def trend(house: House, resource_id: str, last: int = LAST) -> list[Point]:
    """The last judged pushes of a resource, the oldest first."""
    query = (
        select(Push, Verdict)
        .join(Verdict, Verdict.push_id == Push.id)
        .where(Push.resource_id == resource_id)
        .order_by(Push.received_at.desc(), Push.id.desc())
        .limit(last)
    )
    with house.registry.session() as session:
        return [_point(push, verdict) for push, verdict in reversed(session.execute(query).all())]


def bars(points: list[Point], push_id: str) -> list[dict[str, Any]]:
    """The picture's geometry: a bar of 100 units per push, from the top quarantined, warned, clean."""
    drawn = []
    for number, point in enumerate(points):
        rows = point.rows or 1
        waiting, warned = 100 * point.quarantined / rows, 100 * point.warned / rows
        # one bad row in a million is still seen
        waiting, warned = max(waiting, 1.5 if point.quarantined else 0), max(warned, 1.5 if point.warned else 0)
        drawn.append(
            asdict(point)
            | {
                "x": 52 + 54 * number,
                "waiting": round(waiting, 2),
                "warning": round(warned, 2),
                "good": round(max(100 - waiting - warned, 0), 2),
                "share": f"{point.quarantined / rows:.2%}",
                "this": point.push_id == push_id,
            }
        )
    return drawn


def _data_docs(house: House, push_id: str) -> str | None:
    """Where the Data Docs are, from the reports' folder."""
    try:
        return os.path.relpath(expectations.data_docs(house, push_id), house.settings.folder("reports"))
    except NotFound:
        return None


def _point(push: Push, verdict: Verdict) -> Point:
    clean = verdict.rows - verdict.quarantined_rows - verdict.warned_rows
    received = f"{push.received_at.astimezone(CHINA):%m-%d %H:%M}"
    return Point(
        push.id, push.batch, verdict.decision, received, verdict.rows, clean, verdict.warned_rows, verdict.quarantined_rows
    )
