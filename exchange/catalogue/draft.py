"""The catalogue as written: shapes of the entries, and where each was found.

Invariant: an entry of these types has the right form; whether it keeps the rules is for rules.py to say.
"""

from dataclasses import dataclass, field
from typing import Annotated, Generic, TypeVar

from pydantic import BaseModel, Field

from exchange.catalogue.findings import Findings, Place
from exchange.catalogue.model import (
    BaseEntry,
    DataType,
    Department,
    FieldSource,
    Frozen,
    KeyIdentifier,
    Link,
    Order,
    ResourceEntry,
    Sensitivity,
    ShareType,
    Slug,
    Text,
)
from exchange.catalogue.yamlfile import Document


class ResourceDraft(ResourceEntry):
    """A resource as written: 前段码 is declared, 后段码 and version are assigned by load."""

    prefix: Annotated[str, Field(pattern=r"^[123]\d{2}\d{3}\d*$")]


class FieldDraft(Frozen):
    """A field of a base as written: what is not said is taken from its sources."""

    name: Slug
    title: Text | None = None
    type: DataType | None = None
    sources: Annotated[tuple[FieldSource, ...], Field(min_length=1)]
    authority: tuple[Order, ...] = ()
    benchmark: bool = False
    sensitivity: Sensitivity | None = None
    mask: str | None = None

    @property
    def every_source(self) -> tuple[FieldSource, ...]:
        """Whoever is asked on some day, once."""
        return tuple(dict.fromkeys((*self.sources, *(source for order in self.authority for source in order.sources))))


class SatelliteDraft(Frozen):
    """A satellite as written."""

    id: Slug
    title: Text
    parent_sources: Annotated[tuple[FieldSource, ...], Field(min_length=1)]
    key: Annotated[tuple[str, ...], Field(min_length=1)]
    fields: Annotated[tuple[FieldDraft, ...], Field(min_length=1)]


class BaseDraft(Frozen):
    """A base as written."""

    id: Slug
    title: Text
    key: Slug
    key_identifier: KeyIdentifier
    key_sources: Annotated[tuple[FieldSource, ...], Field(min_length=1)]
    fields: Annotated[tuple[FieldDraft, ...], Field(min_length=1)]
    satellites: tuple[SatelliteDraft, ...] = ()
    links: tuple[Link, ...] = ()


class ThemeFieldDraft(Frozen):
    """A field of a theme as written: a column of its SELECT, by name."""

    name: Slug
    title: Text
    type: DataType
    length: Annotated[int | None, Field(ge=1)] = None
    scale: Annotated[int | None, Field(ge=0)] = None
    share_type: ShareType | None = None
    sensitivity: Sensitivity | None = None
    mask: str | None = None


class ThemeDraft(Frozen):
    """A theme as written."""

    id: Slug
    title: Text
    department: str
    purpose: Text
    key: Slug
    key_identifier: KeyIdentifier
    select: Text
    fields: Annotated[tuple[ThemeFieldDraft, ...], Field(min_length=1)]


class TableDraft(Frozen):
    """A code table of the catalogue's own."""

    id: Slug
    title: Text
    codes: Annotated[dict[Text, Text], Field(min_length=1)]


Shape = TypeVar("Shape", bound=BaseModel)


@dataclass(frozen=True)
class Written(Generic[Shape]):
    """An entry, and where it was written."""

    entry: Shape
    document: Document
    path: tuple[str | int, ...] = ()
    name: str | None = None

    def place(self, *path: str | int, item: str | None = None) -> Place:
        """The place of a part of it."""
        return Place(self.document.file, self.document.line((*self.path, *path)), self.name, item)


@dataclass
class Reading:
    """A folder as read: entries whose shape is right; the findings say what else there was."""

    departments: list[Written[Department]] = field(default_factory=list)
    resources: list[Written[ResourceDraft]] = field(default_factory=list)
    bases: list[Written[BaseDraft]] = field(default_factory=list)
    themes: list[Written[ThemeDraft]] = field(default_factory=list)
    tables: list[Written[TableDraft]] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    broken: set[str] = field(default_factory=set)  # ids whose entry has the wrong shape: not reported as missing too


@dataclass(frozen=True)
class Draft:
    """A catalogue that may be loaded."""

    departments: tuple[Department, ...]
    resources: tuple[ResourceDraft, ...]
    bases: tuple[BaseEntry, ...]
    codes: dict[str, dict[str, str]]  # the catalogue's own tables
