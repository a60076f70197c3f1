"""What sources say otherwise (疑义): per department, base and field, how often a higher source was compared and contradicted.

Invariant: read from what the newest build of each base has counted (`conflict_count`, written with the build); until a day that
is past, the newest build of then. Being contradicted is not being wrong: the authority of a field is who counts, not who is right.
"""

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from itertools import groupby
from typing import Any

from sqlalchemy import text
from sqlalchemy.orm import Session

from exchange.intake.pushes import CHINA
from quality.overview.dimensions import SAME_DATA
from quality.overview.facts import Checks, Known
from quality.overview.model import Asked, Contested, ContestedDepartment, ContestedField
from quality.overview.trend import share

_COUNTED = """
SELECT c.resource_id, c.item, b.base_id, v.definition ->> 'title' AS base_title, b.id AS build, b.built_at, c.satellite, c.field,
       coalesce(
           (SELECT f ->> 'title' FROM jsonb_array_elements(v.definition -> 'fields') AS f
            WHERE c.satellite = '' AND f ->> 'name' = c.field),
           (SELECT f ->> 'title' FROM jsonb_array_elements(v.definition -> 'satellites') AS s,
                                      jsonb_array_elements(s -> 'fields') AS f
            WHERE s ->> 'id' = c.satellite AND f ->> 'name' = c.field),
           c.field) AS title,
       c.compared, c.differing
FROM conflict_count c
JOIN base_build b ON b.id = c.build_id
JOIN base_version v ON v.base_id = b.base_id AND v.version = b.base_version
WHERE c.resource_id = ANY(:resources)
  AND b.number = (SELECT max(e.number) FROM base_build e
                  WHERE e.base_id = b.base_id AND e.built_at < coalesce(CAST(:until AS timestamptz), 'infinity'))
  AND EXISTS (SELECT 1 FROM base_version n WHERE n.base_id = b.base_id AND n.digest <> 'retired'
              AND n.version = (SELECT max(version) FROM base_version WHERE base_id = b.base_id))
ORDER BY c.resource_id, b.base_id, c.satellite, c.field, c.item
"""


@dataclass(frozen=True)
class Counted:
    """One source's word on one field of a base, as its build has counted it."""

    resource: str
    item: str
    base: str
    base_title: str
    build: str
    built_at: datetime
    satellite: str
    field: str
    title: str
    compared: int
    differing: int


def counted(session: Session, known: list[Known], asked: Asked) -> list[Counted]:
    """What was counted of these resources; bases that are retired are left out."""
    after = None if asked.until is None else datetime.combine(asked.until + timedelta(days=1), time(tzinfo=CHINA))
    bound: dict[str, Any] = {"resources": [one.id for one in known], "until": after}
    return [Counted(*row) for row in session.execute(text(_COUNTED), bound)]


def contested(asked: Asked, known: list[Known], found: list[Counted]) -> Contested:
    """The whole answer: departments by code, their fields by how often they differ."""
    of = {one.id: one for one in known}
    fields = sorted((_field(one, of[one.resource]) for one in found), key=lambda one: (one.department, -one.differing))
    departments = [
        ContestedDepartment(
            department=code,
            name=group[0].department_name,
            compared=sum(one.compared for one in group),
            differing=sum(one.differing for one in group),
            rate=share(sum(one.differing for one in group), sum(one.compared for one in group)),
            fields=tuple(group),
        )
        for code, group in ((code, list(each)) for code, each in groupby(fields, key=lambda one: one.department))
    ]
    return Contested(asked=asked, departments=tuple(departments))


def consistency(found: list[Counted]) -> list[Checks]:
    """The same as an indicator: comparisons with higher sources, and how many of them did not agree."""
    totals: dict[str, tuple[int, int]] = {}
    for one in found:
        compared, differing = totals.get(one.resource, (0, 0))
        totals[one.resource] = (compared + one.compared, differing + one.differing)
    return [Checks(resource, SAME_DATA[0], compared, differing) for resource, (compared, differing) in totals.items()]


def _field(one: Counted, owner: Known) -> ContestedField:
    return ContestedField(
        department=owner.department,
        department_name=owner.department_name,
        resource=one.resource,
        item=one.item,
        base=one.base,
        base_title=one.base_title,
        build=one.build,
        built_at=one.built_at,
        satellite=one.satellite or None,
        field=one.field,
        title=one.title,
        compared=one.compared,
        differing=one.differing,
        rate=share(one.differing, one.compared),
    )
