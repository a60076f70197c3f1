"""The question and its five answers, as they stand in JSON.

Invariant: a share is None, never 0 or 1, where nothing was measured; times are at +08:00, to the second.
"""

from datetime import date, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from exchange.errors import RequestInvalid
from exchange.intake.pushes import CHINA

LAST = 12  # judged pushes of each resource, when nobody says how many
MOST = 1000
CHANGES = 200


def _here(moment: object) -> object:
    return moment.astimezone(CHINA).replace(microsecond=0) if isinstance(moment, datetime) else moment


Moment = Annotated[datetime, BeforeValidator(_here)]
Share = Annotated[float | None, Field(description="0–1；不适用为空 / null where nothing was measured")]


class Said(BaseModel):
    """A part of an answer."""

    model_config = ConfigDict(frozen=True)


class Asked(Said):
    """Which pushes: the `last` judged ones of each resource, of those received from `since` to `until` (days in China)."""

    resource: str | None = None
    department: str | None = None
    rule: str | None = None
    last: int = Field(default=LAST, ge=1, le=MOST)
    since: date | None = None
    until: date | None = None
    changes: int = Field(
        default=CHANGES, ge=1, le=100_000, description="规则变更至多列出几条 / rule changes listed at most"
    )

    def checked(self) -> "Asked":
        """The question itself.

        Raises:
            RequestInvalid: a period that ends before it begins.
        """
        if self.since is not None and self.until is not None and self.until < self.since:
            raise RequestInvalid(
                f"时间段的止（{self.until}）早于起（{self.since}），请对调",
                f"the period ends ({self.until}) before it begins ({self.since}); turn them round",
                reason="malformed",
            )
        return self


class PushPoint(Said):
    """One judged push: `failing` rows wait in quarantine, `warned` rows passed with a remark; `rate` = failing / rows."""

    push: str
    batch: int
    mode: str
    received_at: Moment
    decision: Literal["accepted", "rejected", "held"]
    state: str
    rows: int
    failing: int
    warned: int
    rate: Share


class ResourceTrend(Said):
    """The judged pushes of a resource, the oldest first."""

    resource: str
    title: str
    department: str
    department_name: str
    pushes: tuple[PushPoint, ...]


class DayPoint(Said):
    """What a department's resources had judged of one day's pushes."""

    day: date
    pushes: int
    accepted: int
    rejected: int
    held: int
    rows: int
    failing: int
    warned: int
    rate: Share


class DepartmentTrend(Said):
    """The days on which something came, the oldest first."""

    department: str
    name: str
    resources: int
    days: tuple[DayPoint, ...]


class RulePoint(Said):
    """One rule on one push. `rows`: judged by it; 0 when the file has no column of its."""

    push: str
    received_at: Moment
    version: int
    decision: Literal["accepted", "rejected", "held"]
    rows: int
    failing: int
    rate: Share


class RuleTrend(Said):
    """One rule of one resource, push by push; its words are those of the newest push."""

    resource: str
    rule: str
    level: str
    indicator: str
    title: str
    title_en: str
    failing: int
    points: tuple[RulePoint, ...]


class Trend(Said):
    """Failing rows over time. `rules` is empty unless a resource or a rule is asked for."""

    asked: Asked
    departments: tuple[DepartmentTrend, ...]
    resources: tuple[ResourceTrend, ...]
    rules: tuple[RuleTrend, ...]


class IndicatorScore(Said):
    """X = A / B of GB/T 36344-2018: `passed` of `measured` checks (a rule on a row), deadlines, or comparisons with
    higher sources."""

    code: str
    title: str
    title_en: str
    unit: Literal["check", "deadline", "comparison"]
    measured: int
    passed: int
    score: Share


class DimensionScore(Said):
    """The mean of the indicators that were measured; None when none was."""

    code: str
    title: str
    title_en: str
    score: Share
    indicators: tuple[IndicatorScore, ...]


class ResourceDimensions(Said):
    """A resource in the six dimensions."""

    resource: str
    title: str
    department: str
    department_name: str
    pushes: int
    dimensions: tuple[DimensionScore, ...]


class DepartmentDimensions(Said):
    """A department in the six dimensions: checks and deadlines of all its resources together."""

    department: str
    name: str
    resources: int
    pushes: int
    dimensions: tuple[DimensionScore, ...]


class Dimensions(Said):
    """The six dimensions, in the order of the standard."""

    asked: Asked
    departments: tuple[DepartmentDimensions, ...]
    resources: tuple[ResourceDimensions, ...]


class Late(Said):
    """A resource that should have been renewed by `due`. Without an accepted push it counts from its first load."""

    resource: str
    title: str
    department: str
    department_name: str
    update_cycle: str
    last_accepted: Moment | None
    last_push: str | None
    counted_from: Moment
    due: Moment
    days_overdue: float


class Overdue(Said):
    """What is overdue at `looked_at`, the longest first; and how many resources are in time, or promise nothing."""

    asked: Asked
    looked_at: Moment
    in_time: int
    without_promise: int
    overdue: tuple[Late, ...]


class ContestedField(Said):
    """A source's word on a field of a base: `differing` of the `compared` records in which a higher source says something too."""

    department: str
    department_name: str
    resource: str
    item: str
    base: str
    base_title: str
    build: str
    built_at: Moment
    satellite: str | None
    field: str
    title: str
    compared: int
    differing: int
    rate: Share


class ContestedDepartment(Said):
    """A department's fields, those that differ most first."""

    department: str
    name: str
    compared: int
    differing: int
    rate: Share
    fields: tuple[ContestedField, ...]


class Contested(Said):
    """What departments say otherwise than the authority of a field, as the newest build of each base has counted it."""

    asked: Asked
    departments: tuple[ContestedDepartment, ...]


class RuleText(Said):
    """What a rule said. `detail`: a department's own predicate, or the codes of its own table."""

    level: str
    indicator: str | None
    title: str
    title_en: str
    detail: str | None


class RuleChange(Said):
    """One rule between two versions of a catalogue entry. `by`: the account that loaded it; None: not recorded."""

    resource: str
    title: str
    department: str
    version: int
    at: Moment
    by: str | None
    rule: str
    what: Literal["added", "changed", "removed"]
    old: RuleText | None
    new: RuleText | None


class History(Said):
    """Who changed which rule when, the newest first. `more`: older changes that were not listed."""

    asked: Asked
    changes: tuple[RuleChange, ...]
    more: int
