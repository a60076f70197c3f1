"""What sources say otherwise, counted: per field and losing source, how often it was compared and how often it differed.

Invariant: counts only. `compared` is taken from the golden rows, which say of whom more than one has spoken, and `differing` from the
conflicts themselves, so that it adds up to them; kept with the build that found them, where the quality team reads them without the lake.
"""

from dataclasses import asdict, dataclass
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.catalogue.model import BaseDefinition
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import BaseBuild, ConflictCount
from pools import survivorship

Facts = list[list[Any]]  # satellite, field, resource, item, compared, differing


def facts(
    connection: DuckDBPyConnection, definition: BaseDefinition, relation: str, conflicts: str, satellite: str = ""
) -> Facts:
    """What a build carries of one table. `relation`: its golden rows; `satellite`: empty for the base itself."""
    listed = survivorship.pairs(definition)
    if not listed:
        return []
    counts = ", ".join(f"count(*) FILTER ({survivorship.compared(at)})" for at in range(len(listed)))
    compared = connection.execute(f"SELECT {counts} FROM {relation}").fetchone()
    assert compared is not None  # noqa: S101 - an aggregate always has a row
    found = connection.execute(f"SELECT field, loser, count(*) FROM {conflicts} GROUP BY ALL").fetchall()
    differing = {(field, loser): count for field, loser, count in found}
    return [
        [satellite, field.name, said.resource, said.item, count, differing.get((field.name, loser), 0)]
        for (field, loser), count in zip(listed, compared, strict=True)
        for said in [field.sources[loser]]
        if count
    ]


@dataclass(frozen=True)
class Contested:
    """One source's word on one field beside that of higher sources. `satellite`: empty for the base itself."""

    satellite: str
    field: str
    title: str
    resource: str
    item: str
    department: str
    provider: str
    compared: int
    differing: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def record(session: Session, built: BaseBuild, facts: Facts) -> None:
    """Write down what a build has counted."""
    for satellite, field, resource, item, compared, differing in facts:
        session.add(
            ConflictCount(
                build_id=built.id,
                satellite=satellite,
                field=field,
                resource_id=resource,
                item=item,
                department_code=built.inputs[resource]["department"],
                compared=compared,
                differing=differing,
            )
        )


def contested(house: House, base_id: str, field: str | None = None, department: str | None = None) -> list[Contested]:
    """What the newest build of a base has found, field by field, the source that differs most first.

    Args:
        field: only this one; of a satellite, `satellite.field`.
        department: only what this one provides.

    Raises:
        NotFound: no such base, field or department, or the base was never built.
    """
    from pools import authority, merge

    definition = catalogue.base(house, base_id)
    if department is not None:
        catalogue.department(house, department)
    with house.registry.session() as session:
        built = merge.last_build(session, definition.id)
        if built is None:
            raise merge.never_built(base_id)
        titles = _titles(authority.definition_of(house, built))
        if field is not None and field not in titles:
            raise NotFound(
                f"基础库 {base_id} 没有字段 {field}；它的字段有：{'、'.join(titles)}",
                f"base {base_id} has no field {field}; its fields are {', '.join(titles)}",
                base=base_id,
                field=field,
            )
        rows = session.scalars(select(ConflictCount).where(ConflictCount.build_id == built.id))
        found = [_view(row, titles, built) for row in rows if department in (None, row.department_code)]
    order = list(titles)
    wanted = [one for one in found if field in (None, _name(one.satellite, one.field))]
    return sorted(
        wanted, key=lambda one: (order.index(_name(one.satellite, one.field)), -one.differing, one.resource, one.item)
    )


def _titles(definition: BaseDefinition) -> dict[str, str]:
    titles = {field.name: field.title for field in definition.fields}
    for each in definition.satellites:
        titles |= {f"{each.id}.{field.name}": f"{each.title} · {field.title}" for field in each.fields}
    return titles


def _name(satellite: str, field: str) -> str:
    return f"{satellite}.{field}" if satellite else field


def _view(row: ConflictCount, titles: dict[str, str], built: BaseBuild) -> Contested:
    facts = built.inputs[row.resource_id]
    return Contested(
        row.satellite,
        row.field,
        titles[_name(row.satellite, row.field)],
        row.resource_id,
        row.item,
        facts["department"],
        facts["provider"],
        row.compared,
        row.differing,
    )
