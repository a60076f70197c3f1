"""What a base and its satellites name: sources, where each is written, and what their identifiers can be.

Invariant: nothing here knows a rule; a satellite's sources are looked at as a base's are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from exchange.catalogue.draft import BaseDraft, FieldDraft, Reading, ResourceDraft, Written
from exchange.catalogue.findings import Place
from exchange.catalogue.model import FieldSource, Item

_PARTIES: Final = frozenset({"resident_number", "uscc"})  # what a party's code may be


@dataclass(frozen=True)
class Part:
    """What has fields of its own: the base, or a satellite of it. `path`: where it is written."""

    base: Written[BaseDraft]
    path: tuple[str | int, ...]
    name: str | None  # of a satellite
    keys: tuple[FieldSource, ...]
    keys_name: str
    fields: tuple[FieldDraft, ...]

    def place(self, *path: str | int, item: str | None = None) -> Place:
        return self.base.place(*self.path, *path, item=item)

    def sources(self) -> Iterator[tuple[FieldSource, Place, str]]:
        """Every source that is named, where, and the field it is for (empty: whose row it is)."""
        for n, source in enumerate(self.keys):
            yield source, self.place(self.keys_name, n, item=self.name or self.base.entry.key), ""
        for n, field in enumerate(self.fields):
            for m, source in enumerate(field.sources):
                yield source, self.place("fields", n, "sources", m, item=field.name), field.name
            for o, order in enumerate(field.authority):
                for m, source in enumerate(order.sources):
                    yield source, self.place("fields", n, "authority", o, "sources", m, item=field.name), field.name


def parts(base: Written[BaseDraft]) -> list[Part]:
    """The base itself, then its satellites."""
    entry = base.entry
    return [
        Part(base, (), None, entry.key_sources, "key_sources", entry.fields),
        *(
            Part(base, ("satellites", n), each.id, each.parent_sources, "parent_sources", each.fields)
            for n, each in enumerate(entry.satellites)
        ),
    ]


def item_of(source: FieldSource, reading: Reading) -> tuple[ResourceDraft, Item] | None:
    """The item that a source names, and its resource; None when there is no such."""
    for written in reading.resources:
        if written.entry.id == source.resource:
            for item in written.entry.items:
                if item.name == source.item:
                    return written.entry, item
    return None


def is_a(identifier: str | None, wanted: str) -> bool:
    """Every value of this kind is one of the other: whoever has a code or a number can be a party."""
    return identifier == wanted or (wanted == "party_code" and identifier in _PARTIES)


def can_be(identifier: str, wanted: str) -> bool:
    """Some values of this kind are of the other."""
    return is_a(identifier, wanted) or is_a(wanted, identifier)
