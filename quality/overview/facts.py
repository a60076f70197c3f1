"""What the control database knows of judged pushes: one statement a question, however many resources and pushes.

Invariant: read only; `LATERAL … LIMIT` reads no more than the pushes asked for, and no answer holds more than `POINTS` of them.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from exchange.errors import RequestInvalid
from exchange.evaluation import ACCEPTED
from exchange.intake.pushes import CHINA
from quality.overview.model import Asked
from quality.overview.scope import Scope

POINTS = 200_000  # of pushes, or of rules on pushes: about 100 MB while it is being written

_SEEN = """
seen AS (
    SELECT r.id AS resource, CAST(r.department_code AS text) AS department, r.current
    FROM resource r
    WHERE (r.id = :resource OR (CAST(:resource AS text) IS NULL AND r.retired_at IS NULL))
      AND (CAST(:departments AS text[]) IS NULL OR CAST(r.department_code AS text) = ANY(:departments))
)"""
_JUDGED = f"""{_SEEN},
judged AS (
    SELECT s.resource, j.*
    FROM seen s CROSS JOIN LATERAL (
        SELECT p.id AS push, p.batch, p.mode, p.state, p.received_at, p.shape -> 'matched' AS matched,
               v.decision, v.rows, v.quarantined_rows AS failing, v.warned_rows AS warned, v.rules
        FROM push p JOIN verdict v ON v.push_id = p.id
        WHERE p.resource_id = s.resource
          AND p.received_at >= coalesce(CAST(:since AS timestamptz), '-infinity')
          AND p.received_at < coalesce(CAST(:until AS timestamptz), 'infinity')
        ORDER BY p.received_at DESC, p.id DESC
        LIMIT :last
    ) j
)"""
# A rule judged nothing when the file has no column of its items; but a row it failed it has judged.
_RULES = """
SELECT j.resource, j.push, j.received_at, j.decision, f.id, f.version, f.level, f.indicator, f.title, f.title_en, f.failed,
       CASE WHEN f.failed > 0 OR j.matched IS NULL OR jsonb_array_length(f.items) = 0
                 OR EXISTS (SELECT 1 FROM jsonb_array_elements_text(f.items) AS item WHERE jsonb_exists(j.matched, item))
            THEN f.failed + f.passed ELSE 0 END AS measured
FROM judged j CROSS JOIN LATERAL jsonb_to_recordset(j.rules) AS f(
    id text, version integer, level text, indicator text, title text, title_en text, items jsonb, failed bigint, passed bigint)
"""


@dataclass(frozen=True)
class Known:
    """A resource somebody may see: its words as the catalogue has them now, and when it was first loaded."""

    id: str
    title: str
    department: str
    department_name: str
    cycle: str
    loaded: datetime


@dataclass(frozen=True)
class Judged:
    """A judged push. `before`: when the accepted push before this accepted one came."""

    resource: str
    push: str
    batch: int
    mode: str
    state: str
    received_at: datetime
    decision: Any
    rows: int
    failing: int
    warned: int
    before: datetime | None

    @property
    def counts(self) -> bool:
        """Whether it is data: what lateness is counted from."""
        return self.state in ACCEPTED


@dataclass(frozen=True)
class RuleOnPush:
    """A rule on a push. `measured`: the rows it judged."""

    resource: str
    push: str
    received_at: datetime
    decision: Any
    rule: str
    version: int
    level: str
    indicator: str
    title: str
    title_en: str
    failed: int
    measured: int


@dataclass(frozen=True)
class Checks:
    """All rules of one indicator on the pushes of one resource."""

    resource: str
    indicator: str
    measured: int
    failed: int


def resources(session: Session, scope: Scope) -> list[Known]:
    """What the answer is about, by department and id."""
    query = f"""WITH {_SEEN}
        SELECT s.resource, v.definition ->> 'title', s.department, d.name, v.definition ->> 'update_cycle',
               (SELECT min(e.loaded_at) FROM resource_version e WHERE e.resource_id = s.resource)
        FROM seen s
        JOIN department d ON d.code = s.department
        JOIN resource_version v ON v.resource_id = s.resource AND v.version = s.current
        ORDER BY s.department, s.resource"""
    found = session.execute(text(query), {"resource": scope.resource, "departments": _departments(scope)})
    return [Known(*row) for row in found]


def judged(session: Session, scope: Scope, asked: Asked) -> list[Judged]:
    """The pushes asked for, resource by resource, the oldest first.

    Raises:
        RequestInvalid: more than one answer may hold.
    """
    query = f"""WITH {_JUDGED}
        SELECT j.resource, j.push, j.batch, j.mode, j.state, j.received_at, j.decision, j.rows, j.failing, j.warned,
               CASE WHEN j.state = ANY(:accepted) THEN (
                   SELECT max(e.received_at) FROM push e
                   WHERE e.resource_id = j.resource AND e.received_at < j.received_at AND e.state = ANY(:accepted)) END
        FROM judged j ORDER BY j.resource, j.received_at, j.push LIMIT {POINTS + 1}"""
    found = session.execute(text(query), _bound(scope, asked) | {"accepted": list(ACCEPTED)}).all()
    _refuse_too_many(len(found))
    return [Judged(*row) for row in found]


def rules(session: Session, scope: Scope, asked: Asked) -> list[RuleOnPush]:
    """Every rule (or the one asked for) on the same pushes, the oldest push first.

    Raises:
        RequestInvalid: more than one answer may hold.
    """
    query = f"""WITH {_JUDGED} {_RULES}
        WHERE CAST(:rule AS text) IS NULL OR f.id = :rule
        ORDER BY j.resource, j.received_at, j.push, f.id LIMIT {POINTS + 1}"""
    found = session.execute(text(query), _bound(scope, asked) | {"rule": asked.rule}).all()
    _refuse_too_many(len(found))
    return [RuleOnPush(*row) for row in found]


def checks(session: Session, scope: Scope, asked: Asked) -> list[Checks]:
    """The same pushes by indicator: added up where they lie."""
    query = f"""WITH {_JUDGED}, each AS ({_RULES})
        SELECT resource, indicator, CAST(sum(measured) AS bigint), CAST(sum(failed) AS bigint)
        FROM each GROUP BY resource, indicator ORDER BY resource, indicator"""
    return [Checks(*row) for row in session.execute(text(query), _bound(scope, asked))]


def _bound(scope: Scope, asked: Asked) -> dict[str, Any]:
    midnight = time(tzinfo=CHINA)
    return {
        "resource": scope.resource,
        "departments": _departments(scope),
        "since": datetime.combine(asked.since, midnight) if asked.since else None,
        "until": datetime.combine(asked.until + timedelta(days=1), midnight) if asked.until else None,
        "last": asked.last,
    }


def _departments(scope: Scope) -> list[str] | None:
    return None if scope.departments is None else list(scope.departments)


def _refuse_too_many(found: int) -> None:
    if found > POINTS:
        raise RequestInvalid(
            f"结果超过 {POINTS:,} 个点，请只问一个资源或部门，或减少推送次数（last）",
            f"more than {POINTS:,} points; ask for one resource or department, or for fewer pushes (last)",
            reason="malformed",
        )
