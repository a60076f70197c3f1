"""What a delivery is made of: the request, the record, and the two seams (Mode, Reader).

Invariant: a Reader knows nothing of grants and a Mode nothing of evidence; only `deliver` puts them together.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Protocol

Json = str | int | float | bool | None


@dataclass(frozen=True)
class SourceRef:
    """Who said a value: resource, its department (code and name), the push and batch, and `source_date`: the day (in
    Beijing) on which that push was received. It is not a date that the source states about the value."""

    resource: str
    department: str
    provider: str
    push: str
    batch: int
    source_date: date | datetime | str | None


@dataclass(frozen=True)
class Record:
    """One golden record or pool row: values by field name and, field by field, who said them. `key` is another than was asked
    for where that number stands for it; `renumbered` then says so. `rows`: those under it, of each satellite asked for."""

    key: str
    values: Mapping[str, Json]
    sources: Mapping[str, SourceRef]
    closed: bool = False
    renumbered: "Renumbered | None" = None
    rows: Mapping[str, Sequence["Row"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    """One row of a satellite (附表): values and who said them, by the names of its own fields."""

    values: Mapping[str, Json]
    sources: Mapping[str, SourceRef]
    closed: bool = False


@dataclass(frozen=True)
class Renumbered:
    """Why a record is answered under another number than was asked for: changed, wrong or duplicate, and since which day; or by
    which older number (org_code, registration_no) it was asked for."""

    kind: str
    since: str | None


@dataclass(frozen=True)
class Found:
    """What one version of a target holds for the keys asked: a record, or None where there is none."""

    target: str
    version: str
    records: Mapping[str, Record | None]
    fields: frozenset[str] | None = None  # those the version has at all; None: every one


class Reader(Protocol):
    """The serving index, as delivery sees it."""

    def lookup(self, target: str, keys: Sequence[str], satellites: Sequence[str] = ()) -> Found:
        """All keys from one version, with their rows of these satellites. Fast enough for the event loop (well under a
        millisecond a key).

        Raises:
            NotFound: nothing is served for this target yet.
        """
        ...

    def earlier(self, target: str, keys: Sequence[str], version: str, satellites: Sequence[str] = ()) -> Found:
        """The same from an earlier version. Takes its time: not for the event loop.

        Raises:
            NotFound: that is no version of this target.
        """
        ...


@dataclass(frozen=True)
class Request:
    """What a caller asks for. `target` is "base:<id>", "theme:<id>" or "pool:<id>"; a field of a satellite is written
    `<satellite>.<field>`; `as_of` is an earlier version of it: the push that left the pool so, or the build of the base or
    theme."""

    target: str
    mode: str
    keys: tuple[str, ...]
    fields: tuple[str, ...]
    purpose: str
    person: str | None = None
    as_of: str | None = None
    request_id: str | None = field(default=None, compare=False)

    @property
    def satellites(self) -> tuple[str, ...]:
        """Of which satellites it wants rows."""
        return tuple(dict.fromkeys(name.partition(".")[0] for name in self.fields if "." in name))


class Mode(Protocol):
    """One way of delivering (查询, 核验 …). Reads; never decides who may."""

    name: str

    def read(self, reader: Reader, request: Request) -> Found:
        """The records of a request that has been granted."""
        ...
