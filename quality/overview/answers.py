"""The doors' functions: one question, one recorded answer, in the form that is asked for.

Invariant: all forms of an answer are made of the same facts, so a page, a workbook and the JSON say the same figures.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from exchange import evaluation
from exchange.callers import Caller
from exchange.evaluation import Freshness
from exchange.house import House
from quality.overview import contested as contested_
from quality.overview import dimensions as dimensions_
from quality.overview import facts, sheets, show
from quality.overview import history as history_
from quality.overview import overdue as overdue_
from quality.overview import trend as trend_
from quality.overview.facts import RuleOnPush
from quality.overview.model import Asked, Contested, Dimensions, History, Overdue, Said, Trend
from quality.overview.scope import Scope, answered


@dataclass(frozen=True)
class Everything:
    """The five answers to one question."""

    trend: Trend
    dimensions: Dimensions
    overdue: Overdue
    contested: Contested
    history: History


def trend(house: House, caller: Caller, asked: Asked) -> Trend:
    """Failing rows, rows and verdicts over the pushes asked for.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered` and `facts`.
    """

    def make(scope: Scope) -> Trend:
        with house.registry.session() as session:
            known, judged = facts.resources(session, scope), facts.judged(session, scope, asked)
            return trend_.trend(asked, known, judged, _rules(session, scope, asked))

    return answered(house, caller, "quality_trend", asked, make, _json)


def dimensions(house: House, caller: Caller, asked: Asked, now: datetime) -> Dimensions:
    """The six dimensions over the pushes asked for.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered` and `facts`.
    """

    def make(scope: Scope) -> Dimensions:
        fresh = _fresh(house)
        with house.registry.session() as session:
            known, judged = facts.resources(session, scope), facts.judged(session, scope, asked)
            checks = facts.checks(session, scope, asked)
            compared = contested_.consistency(contested_.counted(session, known, asked))
            return dimensions_.dimensions(asked, known, judged, checks, _late(fresh, asked, now), compared)

    return answered(house, caller, "quality_dimensions", asked, make, _json)


def overdue(house: House, caller: Caller, asked: Asked, now: datetime) -> Overdue:
    """What is overdue at `now`.

    Raises:
        AccessRefused, NotFound: see `scope.answered`.
    """

    def make(scope: Scope) -> Overdue:
        fresh = _fresh(house)
        with house.registry.session() as session:
            return overdue_.overdue(asked, facts.resources(session, scope), fresh, now)

    return answered(house, caller, "quality_overdue", asked, make, _json)


def contested(house: House, caller: Caller, asked: Asked) -> Contested:
    """What departments say otherwise than the authority of a field.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered`.
    """

    def make(scope: Scope) -> Contested:
        with house.registry.session() as session:
            known = facts.resources(session, scope)
            return contested_.contested(asked, known, contested_.counted(session, known, asked))

    return answered(house, caller, "quality_contested", asked, make, _json)


def history(house: House, caller: Caller, asked: Asked) -> History:
    """Who changed which rule when.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered`.
    """

    def make(scope: Scope) -> History:
        with house.registry.session() as session:
            known = facts.resources(session, scope)
            return history_.history(asked, known, history_.versions(session, known))

    return answered(house, caller, "quality_history", asked, make, _json)


def page(house: House, caller: Caller, asked: Asked, now: datetime, *, linked: bool = True) -> str:
    """All of it as one page with pictures. `linked`: its reader can follow links to the pages of single resources.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered` and `facts`.
    """

    def make(scope: Scope) -> str:
        found = _everything(house, scope, asked, now)
        return show.page(found.trend, found.dimensions, found.overdue, found.contested, found.history, linked=linked)

    return answered(house, caller, "quality_page", asked, make, str.encode)


def workbook(house: House, caller: Caller, asked: Asked, now: datetime) -> bytes:
    """All of it as an XLSX file.

    Raises:
        AccessRefused, NotFound, RequestInvalid: see `scope.answered` and `facts`.
    """

    def make(scope: Scope) -> bytes:
        found = _everything(house, scope, asked, now)
        return sheets.workbook(found.trend, found.dimensions, found.overdue, found.contested, found.history)

    return answered(house, caller, "quality_workbook", asked, make, bytes)


def _everything(house: House, scope: Scope, asked: Asked, now: datetime) -> Everything:
    fresh = _fresh(house)
    with house.registry.session() as session:
        known, judged = facts.resources(session, scope), facts.judged(session, scope, asked)
        checks = facts.checks(session, scope, asked)
        counted = contested_.counted(session, known, asked)
        compared = contested_.consistency(counted)
        return Everything(
            trend_.trend(asked, known, judged, _rules(session, scope, asked)),
            dimensions_.dimensions(asked, known, judged, checks, _late(fresh, asked, now), compared),
            overdue_.overdue(asked, known, fresh, now),
            contested_.contested(asked, known, counted),
            history_.history(asked, known, history_.versions(session, known)),
        )


def _rules(session: Session, scope: Scope, asked: Asked) -> list[RuleOnPush]:
    """Rules push by push, when it is about one resource or one rule: of a whole city they would be too many to look at."""
    return facts.rules(session, scope, asked) if asked.resource is not None or asked.rule is not None else []


def _late(fresh: dict[str, Freshness], asked: Asked, now: datetime) -> set[str]:
    """What is overdue, unless the question is about a time that has ended."""
    return {name for name, found in fresh.items() if found.late(now) is not None and asked.until is None}


def _fresh(house: House) -> dict[str, Freshness]:
    return {found.resource: found for found in evaluation.freshness(house)}


def _json(answer: Said) -> bytes:
    return answer.model_dump_json().encode()
