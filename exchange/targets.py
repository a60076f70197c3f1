"""What can be asked for: a pool, a base or a theme, as one value, with who provides each field and how it may be shared.

Invariant: built from the current versions of the catalogue in one transaction; a department's contact comes with it, so
that every refusal can say whom to ask. The key alone is that of the version which answers: a pool may be older than its entry.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exchange.catalogue import relations
from exchange.catalogue.lookup import RETIRED, theme_in_force
from exchange.catalogue.model import (
    BaseDefinition,
    BaseField,
    DataType,
    Item,
    Resource,
    Sensitivity,
    ShareType,
    ThemeDefinition,
    ThemeField,
)
from exchange.errors import NotFound
from exchange.keys import KeyItem
from exchange.registry import models

_NAME = re.compile(r"\w{1,63}")
_FIELD = re.compile(r"[a-z][a-z0-9_]{0,62}(\.[a-z][a-z0-9_]{0,62})?")
_TYPED = re.compile(r"(pool|base|theme):[a-z][a-z0-9_]{0,62}")


@dataclass(frozen=True)
class Provider:
    """A department that answers for data, and its office to ask."""

    department: str
    name: str
    contact: str | None

    def as_dict(self) -> dict[str, str | None]:
        return asdict(self)


@dataclass(frozen=True)
class Field:
    """A field of a target; one of a satellite is named `<satellite>.<field>`. `providers` in order of authority."""

    name: str
    title: str
    share: ShareType
    mask: str | None  # None: never masked
    providers: tuple[Provider, ...]


@dataclass(frozen=True)
class Target:
    """A pool, a base or a theme. `overdue` holds, by resource (of a theme: by source), since when its provider is late."""

    id: str  # "pool:<resource>", "base:<base>" or "theme:<theme>"
    title: str
    fields: Mapping[str, Field]
    key: str | None  # the field that the keys are values of, when it is one
    key_items: tuple[KeyItem, ...]  # what keys are made of
    overdue: Mapping[str, datetime]

    def whom_to_ask(self, names: Iterable[str] = ()) -> list[dict[str, str | None]]:
        """The departments that answer for these fields (unknown ones and none at all: for the whole target)."""
        fields = [self.fields[name] for name in names if name in self.fields] or list(self.fields.values())
        return [provider.as_dict() for provider in dict.fromkeys(field.providers[0] for field in fields)]


def load(session: Session, target: str, version: str | None = None) -> Target:
    """Read a target from the control database. `version`: that will answer; None: the one that is served now.

    Raises:
        NotFound: no pool, base or approved theme of that name, or the resource was retired.
    """
    kind, _, name = target.partition(":")
    named = kind in ("pool", "base", "theme") and _NAME.fullmatch(name)  # PostgreSQL takes no NUL, not even to look for
    found = None
    if named:
        found = _pool(session, name, version) if kind == "pool" else _OTHERS[kind](session, name)
    if found is None:
        raise NotFound(
            "目录中没有这个库或资源，请写作 base:<基础库>、theme:<主题库> 或 pool:<资源>",
            "the catalogue has no such base, theme or resource; write base:<base>, theme:<theme> or pool:<resource>",
        )
    return found


def as_typed(target: str) -> str:
    """A target somebody typed, as evidence may keep it: a person's name can stand where a target belongs."""
    return target if _TYPED.fullmatch(target) else "malformed"


def fields_as_typed(names: Iterable[str]) -> tuple[str, ...]:
    """Fields somebody typed, as evidence may keep them."""
    return tuple(name if _FIELD.fullmatch(name) else "malformed" for name in names)


def _pool(session: Session, name: str, answering: str | None) -> Target | None:
    row = session.get(models.Resource, name)
    if row is None or row.retired_at is not None:
        return None
    version = session.get_one(models.ResourceVersion, (name, row.current))
    resource = Resource.model_validate(version.definition)
    provider = _providers(session)[row.department_code]
    fields = {item.name: _pool_field(item, resource, provider) for item in resource.items}
    overdue = {} if row.overdue_since is None else {row.id: row.overdue_since}
    keyed = _as_answering(session, name, answering) or resource
    key_items = tuple(KeyItem.of(keyed.item(name)) for name in keyed.key)
    key = keyed.key[0] if len(keyed.key) == 1 else None
    return Target(f"pool:{name}", resource.title, fields, key, key_items, overdue)


def _as_answering(session: Session, name: str, version: str | None) -> Resource | None:
    """The resource as the version that answers has it; None: nothing answers."""
    if version is None:
        version = session.scalar(select(models.ServingIndex.version).where(models.ServingIndex.target == f"pool:{name}"))
    definition = session.scalar(
        select(models.ResourceVersion.definition)
        .join(models.Push, models.Push.resource_version == models.ResourceVersion.version)
        .join(models.PoolCommit, models.PoolCommit.push_id == models.Push.id)
        .where(models.ResourceVersion.resource_id == name, models.PoolCommit.resource_id == name)
        .where(models.PoolCommit.receipt == version)
    )
    return None if definition is None else Resource.model_validate(definition)


def _pool_field(item: Item, resource: Resource, provider: Provider) -> Field:
    mask = None if item.name in resource.key else _mask(item)  # the asker named the key
    return Field(item.name, item.title, item.share_type or resource.share.type, mask, (provider,))


def _base(session: Session, name: str) -> Target | None:
    newest = (
        select(models.BaseVersion).where(models.BaseVersion.base_id == name).order_by(models.BaseVersion.version.desc())
    )
    version = session.scalars(newest.limit(1)).one_or_none()
    if version is None or version.digest == RETIRED:
        return None
    today = session.execute(select(func.timezone("Asia/Shanghai", func.now()))).scalar_one().date()
    base = BaseDefinition.model_validate(version.definition).on(today)
    named = {field.name: field for field in base.fields} | {
        f"{each.id}.{field.name}": field for each in base.satellites for field in each.fields
    }
    used = {source.resource for source in (*base.key_sources, *(s for field in named.values() for s in field.sources))}
    rows = {row.id: row for row in session.scalars(select(models.Resource).where(models.Resource.id.in_(used)))}
    departments = _providers(session)
    of = {resource_id: departments[row.department_code] for resource_id, row in rows.items()}
    key_providers = tuple(of[source.resource] for source in base.key_sources)
    fields = {base.key: Field(base.key, base.key, ShareType.UNCONDITIONAL, None, key_providers)}  # the asker named it
    for path, field in named.items():
        providers = tuple(of[source.resource] for source in field.sources)
        fields[path] = Field(path, field.title, field.share_type, _mask(field), providers)
    overdue = {row.id: row.overdue_since for row in rows.values() if row.overdue_since is not None}
    return Target(f"base:{name}", base.title, fields, base.key, (KeyItem.of_base(base),), overdue)


def _theme(session: Session, name: str) -> Target | None:
    """As strict as what it is made of is now, however lax that was when the theme was approved."""
    theme = theme_in_force(session, name)
    if theme is None:
        return None
    now = relations.current(session, theme.reads)
    owner = (_providers(session)[theme.department],)
    key = ThemeField(name=theme.key, title=theme.key, type=DataType.TEXT, made_of=theme.key_made_of, as_is=True)
    fields = {theme.key: Field(theme.key, theme.key, relations.class_of(key, theme, now).share, None, owner)}
    for field in theme.fields:
        least = relations.class_of(field, theme, now)
        share = max(least.share, field.share_type or least.share)
        fields[field.name] = Field(field.name, field.title, share, _theme_mask(field, least), owner)
    return Target(
        f"theme:{name}",
        theme.title,
        fields,
        theme.key,
        (KeyItem(theme.key, identifier=theme.key_identifier),),
        _theme_overdue(session, theme),
    )


def _theme_mask(field: ThemeField, least: relations.Class) -> str | None:
    """The mask that was written, when it hides enough; else that of what it is made of."""
    if field.mask is not None and (least.mask in (None, field.mask) or field.mask == "all"):
        return field.mask
    sensitive = field.sensitivity not in (None, Sensitivity.NONE)
    return least.mask or ("all" if sensitive else None)


def _theme_overdue(session: Session, theme: ThemeDefinition) -> dict[str, datetime]:
    """Since when its sources are late, under the names that an answer gives them."""
    late = {}
    for relation in theme.reads:
        kind, _, name = relation.partition(":")
        found = _pool(session, name, None) if kind == "pool" else _base(session, name)
        if found is not None and found.overdue:
            late[name if kind == "pool" else relation] = min(found.overdue.values())
    return late | ({f"theme:{theme.id}": min(late.values())} if late else {})


_OTHERS = {"base": _base, "theme": _theme}


def _mask(item: Item | BaseField) -> str | None:
    """A sensitive item without a mask of its own is hidden altogether."""
    return item.mask or (None if item.sensitivity is Sensitivity.NONE else "all")


def _providers(session: Session) -> dict[str, Provider]:
    return {row.code: Provider(row.code, row.name, row.contact) for row in session.scalars(select(models.Department))}
