"""What is wrong with a catalogue, collected instead of raised one at a time.

Invariant: every finding says where (file, line, entry, item), which rule, and what to do, in both languages.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace


@dataclass(frozen=True)
class Place:
    """Where in the folder: the file as written in it, the line, the entry and the item (both None where there is none)."""

    file: str
    line: int | None = None
    entry: str | None = None
    item: str | None = None

    def __str__(self) -> str:
        where = self.file if self.line is None else f"{self.file}:{self.line}"
        what = ".".join(part for part in (self.entry, self.item) if part)
        return f"{where} [{what}]" if what else where

    def at(self, *, line: int | None = None, item: str | None = None) -> "Place":
        """The same place, more exactly."""
        return replace(self, line=self.line if line is None else line, item=self.item if item is None else item)


@dataclass
class Findings:
    """The findings so far, in the order they were met."""

    texts: list[str] = field(default_factory=list)

    def add(self, place: Place, rule: str, zh: str, en: str) -> None:
        """One finding. `rule` is stable: docs/catalogue.md lists them."""
        self.texts.append(f"{place} {rule}：{zh} / {en}")

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __iter__(self) -> Iterator[str]:
        return iter(self.texts)


def shown(value: object) -> str:
    """A value of the catalogue for a sentence: short, on one line."""
    text = " ".join(str(value).split())
    return f"“{text if len(text) <= 60 else text[:57] + '…'}”"
