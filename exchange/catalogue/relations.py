"""What a theme can read: pools and bases as relations, each column with its type, its class and its sensitivity.

Invariant: a column is never laxer here than where it comes from. A column that is not there (any more) is not shared and is
hidden altogether.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from exchange.catalogue.lookup import RETIRED, defined, newest_bases
from exchange.catalogue.model import (
    BaseDefinition,
    BaseEntry,
    DataType,
    Item,
    Resource,
    ResourceEntry,
    Sensitivity,
    ShareType,
    ThemeEntry,
    ThemeField,
)
from exchange.catalogue.sql import sql_type
from exchange.registry import models


@dataclass(frozen=True)
class Column:
    """A column of a pool or a base. `mask`: how it is shown unless granted unmasked; None: it hides nothing."""

    kind: str  # the engine's type
    share: ShareType
    sensitivity: Sensitivity
    mask: str | None
    identifier: str | None


Relation = Mapping[str, Column]
GONE = Column("VARCHAR", ShareType.NONE, Sensitivity.PERSONAL, "all", None)


@dataclass(frozen=True)
class Class:
    """How strictly a value must be treated at least."""

    share: ShareType
    sensitivity: Sensitivity
    mask: str | None


def of_resource(entry: ResourceEntry) -> Relation:
    """The pool of a resource."""
    return {
        item.name: Column(
            sql_type(item),
            item.share_type or entry.share.type,
            item.sensitivity,
            item.mask or _hidden(item.sensitivity),
            item.identifier,
        )
        for item in entry.items
    }


def of_base(entry: BaseEntry) -> Relation:
    """A base: its key is shared like a 基准项, but a person's number is a person's number, and a party may be a person."""
    personal = entry.key_identifier in ("resident_number", "party_code")
    key = Column(
        "VARCHAR",
        ShareType.UNCONDITIONAL,
        Sensitivity.PERSONAL if personal else Sensitivity.NONE,
        "resident_number" if personal else None,
        entry.key_identifier,
    )
    return {entry.key: key} | {
        field.name: Column(
            sql_type(Item(name=field.name, title=field.title, type=field.type, length=field.length, scale=field.scale)),
            field.share_type,
            field.sensitivity,
            field.mask or _hidden(field.sensitivity),
            None,
        )
        for field in entry.fields
    }


def current(session: Session, names: Iterable[str]) -> dict[str, Relation]:
    """Relations ("base:population", "pool:police_household") as the catalogue in force has them; gone ones are empty."""
    bases = {row.base_id: row for row in newest_bases(session) if row.digest != RETIRED}
    return {name: _current(session, name, bases) for name in names}


def _current(session: Session, name: str, bases: Mapping[str, models.BaseVersion]) -> Relation:
    kind, _, identity = name.partition(":")
    if kind == "base":
        return of_base(BaseDefinition.model_validate(bases[identity].definition)) if identity in bases else {}
    entry = resource(session, identity)
    return {} if entry is None else of_resource(entry)


def resource(session: Session, resource_id: str) -> Resource | None:
    """A resource as the catalogue in force has it; None: it is not there (any more)."""
    row = session.get(models.Resource, resource_id)
    return None if row is None or row.retired_at is not None else defined(session, resource_id, row.current)


def column(relations: Mapping[str, Relation], name: str) -> Column:
    """A column by its whole name, "base:population.name"."""
    relation, _, own = name.rpartition(".")
    return relations.get(relation, {}).get(own, GONE)


def class_of(field: ThemeField, theme: ThemeEntry, relations: Mapping[str, Relation]) -> Class:
    """The least strict class a field of a theme may have: as strict as all that it is made of; in what is shared, also as
    all that decides which rows there are, because to be in a theme says something about a person.

    A value handed on unchanged keeps its mask; anything else that is made of something sensitive is hidden altogether.
    """
    made_of = [column(relations, name) for name in field.made_of]
    deciding = [column(relations, name) for name in theme.deciding]
    sensitive = [one.sensitivity for one in made_of if one.sensitivity is not Sensitivity.NONE]
    masks = {one.mask for one in made_of if one.mask is not None}
    mask = (masks.pop() if field.as_is and len(masks) == 1 else "all") if masks else None
    share = max((one.share for one in (*made_of, *deciding)), default=ShareType.UNCONDITIONAL)
    return Class(share, sensitive[0] if sensitive else Sensitivity.NONE, mask)


def is_text(kind: DataType) -> bool:
    """Whether a field of this type can hold a masked value."""
    return kind in (DataType.TEXT, DataType.MEMO)


def _hidden(sensitivity: Sensitivity) -> str | None:
    """A sensitive item without a mask of its own is hidden altogether."""
    return None if sensitivity is Sensitivity.NONE else "all"


__all__ = ["Class", "Column", "Relation", "class_of", "column", "current", "is_text", "of_base", "of_resource", "resource"]
