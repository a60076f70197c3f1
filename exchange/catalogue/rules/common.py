"""What several rules share.

Invariant: nothing here knows a rule.
"""

from collections.abc import Iterable
from difflib import get_close_matches

from exchange.catalogue.draft import Reading, ResourceDraft
from exchange.catalogue.findings import Place, shown
from exchange.catalogue.model import Item, ShareType


def once(names: Iterable[tuple[str, Place]], rule: str, reading: Reading) -> None:
    first: dict[str, Place] = {}
    for name, place in names:
        if name in first:
            reading.findings.add(
                place,
                rule,
                f"{shown(name)} 已在 {first[name]} 用过，请换一个",
                f"{shown(name)} is already used at {first[name]}; choose another",
            )
        first.setdefault(name, place)


def no_draft(name: str, place: Place, reading: Reading) -> None:
    """While a table is written anew, its draft has the table's name and this ending (pools/lake.py)."""
    if name.endswith("__next"):
        reading.findings.add(
            place,
            "id-reserved",
            "标识不得以 __next 结尾（留给重写中的表）",
            "an id may not end in __next (kept for tables that are being written anew)",
        )


def near(name: str, names: Iterable[str]) -> tuple[str, str]:
    """What was perhaps meant, for the end of a sentence."""
    found = get_close_matches(name, list(names), n=1, cutoff=0.7)
    return (f"，是否应为 {found[0]}", f"; did you mean {found[0]}?") if found else ("", "")


def share_class(item: Item, entry: ResourceDraft) -> ShareType:
    return item.share_type or entry.share.type
