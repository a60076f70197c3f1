"""The catalogue as loaded, read from the control database.

Invariant: what a version said when it was loaded is what it says for ever; `current` is a pointer, never a copy.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from sqlalchemy import Select, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from exchange.catalogue import codes
from exchange.catalogue.model import BaseDefinition, Catalogue, Department, Resource, ThemeDefinition
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry import models

RETIRED = "retired"  # the digest of a base version that says: there is no such base any more


def current(house: House) -> Catalogue:
    """Everything that is in force now; retired resources and bases are left out."""
    with house.registry.session() as session:
        return read_current(session)


def read_current(session: Session) -> Catalogue:
    """The same inside a transaction."""
    resources = tuple(
        Resource.model_validate(definition)
        for definition in session.scalars(
            _current_definitions().where(models.Resource.retired_at.is_(None)).order_by(models.Resource.id)
        )
    )
    return Catalogue(
        departments=tuple(
            _department(row) for row in session.scalars(select(models.Department).order_by(models.Department.code))
        ),
        resources=resources,
        bases=tuple(
            BaseDefinition.model_validate(row.definition) for row in newest_bases(session) if row.digest != RETIRED
        ),
        codes=_tables(resources),
        themes=tuple(
            ThemeDefinition.model_validate(row.definition) for row in newest_themes(session) if row.digest != RETIRED
        ),
    )


def resource(house: House, resource_id: str) -> Resource:
    """The version that new pushes are judged by.

    Raises:
        NotFound: never loaded (names near ids), or retired (says since when).
    """
    with house.registry.session() as session:
        definition = session.scalar(_current_definitions().where(models.Resource.id == resource_id))
        known = session.get(models.Resource, resource_id)
        if definition is None or known is None:
            raise _unknown("资源", "resource", resource_id, session.scalars(select(models.Resource.id)))
        if known.retired_at is not None:
            raise NotFound(
                f"资源 {resource_id} 已于 {known.retired_at:%Y-%m-%d} 下架，请在目录中恢复后再用",
                f"resource {resource_id} was retired on {known.retired_at:%Y-%m-%d}; put it back into the catalogue first",
                resource=resource_id,
            )
        return Resource.model_validate(definition)


def resource_at(house: House, resource_id: str, version: int) -> Resource:
    """A resource exactly as version `version` defined it, retired or not.

    Raises:
        NotFound: no such resource or version; says which versions there are.
    """
    with house.registry.session() as session:
        row = session.get(models.ResourceVersion, (resource_id, version))
        if row is not None:
            return Resource.model_validate(row.definition)
        known = session.get(models.Resource, resource_id)
        if known is None:
            raise _unknown("资源", "resource", resource_id, session.scalars(select(models.Resource.id)))
        raise NotFound(
            f"资源 {resource_id} 没有第 {version} 版，现有第 1–{known.current} 版",
            f"resource {resource_id} has no version {version}; it has versions 1 to {known.current}",
            resource=resource_id,
            version=version,
        )


def defined(session: Session, resource_id: str, version: int) -> Resource:
    """The same inside a transaction, for a version that is known to be there."""
    return Resource.model_validate(session.get_one(models.ResourceVersion, (resource_id, version)).definition)


def pooled_as(session: Session, resource_id: str) -> Resource | None:
    """The resource as its pool is now, which may be older than the catalogue; None: nothing was pooled yet."""
    version = session.scalar(
        select(models.Push.resource_version)
        .join(models.PoolCommit, models.PoolCommit.push_id == models.Push.id)
        .where(models.PoolCommit.resource_id == resource_id)
        .order_by(models.PoolCommit.snapshot.desc())
        .limit(1)
    )
    return None if version is None else defined(session, resource_id, version)


def base(house: House, base_id: str) -> BaseDefinition:
    """A base database's definition in force.

    Raises:
        NotFound: never loaded, or taken out of the catalogue; names near ids.
    """
    with house.registry.session() as session:
        rows = {row.base_id: row for row in newest_bases(session) if row.digest != RETIRED}
        if base_id not in rows:
            raise _unknown("基础库", "base", base_id, rows)
        return BaseDefinition.model_validate(rows[base_id].definition)


def base_at(house: House, base_id: str, version: int) -> BaseDefinition:
    """A base database's definition exactly as version `version` said it.

    Raises:
        NotFound: no such base or version.
    """
    with house.registry.session() as session:
        row = session.get(models.BaseVersion, (base_id, version))
        if row is None or row.digest == RETIRED:
            raise NotFound(
                f"基础库 {base_id} 没有第 {version} 版",
                f"base {base_id} has no version {version}",
                base=base_id,
                version=version,
            )
        return BaseDefinition.model_validate(row.definition)


def department(house: House, code: str) -> Department:
    """A department by its 统一社会信用代码.

    Raises:
        NotFound: not in the catalogue; names near codes.
    """
    with house.registry.session() as session:
        row = session.get(models.Department, code)
        if row is None:
            raise _unknown("部门", "department", code, session.scalars(select(models.Department.code)))
        return _department(row)


def newest_bases(session: Session) -> list[models.BaseVersion]:
    """The newest version of every base, those that say "retired" included, by id."""
    newest = models.BaseVersion
    return list(
        session.scalars(select(newest).ext(distinct_on(newest.base_id)).order_by(newest.base_id, newest.version.desc()))
    )


def theme(house: House, theme_id: str) -> ThemeDefinition:
    """A theme's newest version, approved or not.

    Raises:
        NotFound: never loaded, or taken out of the catalogue; names near ids.
    """
    with house.registry.session() as session:
        return read_theme(session, theme_id)


def read_theme(session: Session, theme_id: str) -> ThemeDefinition:
    """The same inside a transaction."""
    rows = {row.theme_id: row for row in newest_themes(session) if row.digest != RETIRED}
    if theme_id not in rows:
        raise _unknown("主题库", "theme", theme_id, rows)
    return ThemeDefinition.model_validate(rows[theme_id].definition)


def theme_in_force(session: Session, theme_id: str) -> ThemeDefinition | None:
    """A theme's newest approved version; None: there is none, or the catalogue no longer has the theme. What was approved
    before a theme left the catalogue is not in force when it comes back."""
    versions = select(models.ThemeVersion).where(models.ThemeVersion.theme_id == theme_id)
    acts = last_acts(session, theme_id)
    for row in session.scalars(versions.order_by(models.ThemeVersion.version.desc())):
        if row.digest == RETIRED:
            return None
        if row.version in acts and acts[row.version].action == "approve":
            return ThemeDefinition.model_validate(row.definition)
    return None


def theme_defined(session: Session, theme_id: str, version: int) -> ThemeDefinition:
    """A theme exactly as a version that is known to be there said it."""
    return ThemeDefinition.model_validate(session.get_one(models.ThemeVersion, (theme_id, version)).definition)


def last_acts(session: Session, theme_id: str) -> dict[int, models.ThemeAct]:
    """What was done last with each version of a theme; a version that nothing was done with is left out."""
    acts = select(models.ThemeAct).where(models.ThemeAct.theme_id == theme_id).order_by(models.ThemeAct.id)
    return {act.version: act for act in session.scalars(acts)}


def newest_themes(session: Session) -> list[models.ThemeVersion]:
    """As `newest_bases`."""
    newest = models.ThemeVersion
    return list(
        session.scalars(select(newest).ext(distinct_on(newest.theme_id)).order_by(newest.theme_id, newest.version.desc()))
    )


def _department(row: models.Department) -> Department:
    return Department(**{name: getattr(row, name) for name in Department.model_fields})


def _current_definitions() -> Select[models.Json]:
    version = models.ResourceVersion
    return select(version.definition).join(
        models.Resource, (models.Resource.id == version.resource_id) & (models.Resource.current == version.version)
    )


def _tables(resources: Iterable[Resource]) -> dict[str, dict[str, str]]:
    """The code tables in use, own and built-in."""
    tables: dict[str, dict[str, str]] = {}
    for entry in resources:
        for item in entry.items:
            if item.code_table is not None and item.code_table not in tables:
                tables[item.code_table] = codes.table_of(entry, item.code_table)
    return tables


def _unknown(zh: str, en: str, name: str, known: Iterable[str]) -> NotFound:
    near = get_close_matches(name, list(known), n=3, cutoff=0.75)
    hint = (f"，相近的有 {'、'.join(near)}", f"; near it are {', '.join(near)}") if near else ("", "")
    return NotFound(f"没有{zh} {name}{hint[0]}", f"there is no {en} {name}{hint[1]}", **{en: name})
