"""What is sent, and what must come of it: a sheet of one resource in one batch, the mistakes in it, the parcel it becomes."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mess:
    """One kind of mistake: which item it is in, what is sent instead, and what the gate must make of it."""

    kind: str
    item: str
    sent: str  # SQL of the value as sent
    share: int  # rows of 100,000
    effect: str  # quarantine | warn | normalise
    rule: str | None = None  # the rule that must find it; None when normalising mends it
    where: str = "true"  # rows it can happen to


@dataclass(frozen=True)
class Sheet:
    """What one department sends for one resource in one batch."""

    resource: str
    batch: int
    items: tuple[tuple[str, str], ...]  # item name, title in the header
    truth: str  # SQL: a row number `_n` and every item, as the exchange should know it
    messes: tuple[Mess, ...] = ()
    duplicates: int = 0  # rows of 100,000 that are sent twice
    several: bool = False  # rows of one subject: the newest that says something counts
    form: str = "utf-8"  # utf-8 | utf-8-sig | gb18030 | xlsx
    delimiter: str = ","
    decision: str = "accepted"

    @property
    def name(self) -> str:
        return f"{self.resource}_{self.batch}"


@dataclass(frozen=True)
class Planted:
    """How many rows carry one kind of mess, and which rule must find them."""

    kind: str
    effect: str
    rule: str | None
    rows: int


@dataclass(frozen=True)
class Parcel:
    """A file to push, and what must come of it."""

    resource: str
    batch: int
    path: Path
    rows: int
    decision: str
    planted: tuple[Planted, ...]

    def rows_with(self, effect: str) -> int:
        """Rows planted for an effect; one row never carries two that are to be quarantined."""
        return sum(p.rows for p in self.planted if p.effect == effect)

    def rows_per_rule(self) -> dict[str, int]:
        """Rows each rule must find."""
        found: dict[str, int] = {}
        for each in self.planted:
            if each.rule is not None:
                found[each.rule] = found.get(each.rule, 0) + each.rows
        return found


@dataclass(frozen=True)
class Expected:
    """What a base must come to: rows, closed ones among them, conflicts per field and losing source."""

    rows: int
    closed: int
    conflicts: dict[tuple[str, str], int]
    satellites: dict[str, dict[str, int]]
