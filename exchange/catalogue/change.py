"""What a new version of a resource means for the pool that is there already.

Invariant: two versions share a pool when, and only when, each row kept under the one reads under the other without a value
changing: the same key, as many rows a key, and for each item that both have a type that holds what the older one held.
Anything else is a new pool: nothing is converted, and the old one stays as it was.
"""

import re
from dataclasses import dataclass

from exchange.catalogue.model import Item, Resource
from exchange.catalogue.sql import sql_type

_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


@dataclass(frozen=True)
class Change:
    """From one version of a resource to a later one. `retyped` and `key` are what a pool can't go along with."""

    added: tuple[str, ...]
    widened: tuple[str, ...]
    narrowed: tuple[str, ...]  # texts that may not be as long any more; the type holds them still
    removed: tuple[str, ...]
    retyped: tuple[str, ...]
    key: bool

    @property
    def new_pool(self) -> bool:
        """Whether the later version has a pool of its own."""
        return self.key or bool(self.retyped)


def between(had: Resource, now: Resource) -> Change:
    """What changed. The order of the items and everything that is said about them beside key and type is no change."""
    before, after = {item.name: item for item in had.items}, {item.name: item for item in now.items}
    both = [(before[name], item) for name, item in after.items() if name in before]
    return Change(
        added=tuple(name for name in after if name not in before),
        widened=tuple(new.name for old, new in both if _widened(old, new)),
        narrowed=tuple(new.name for old, new in both if _holds(old, new) and _shorter(old, new)),
        removed=tuple(name for name in before if name not in after),
        retyped=tuple(new.name for old, new in both if not _holds(old, new)),
        key=had.key != now.key or (had.duplicates == "allow") != (now.duplicates == "allow"),
    )


def same_pool(had: Resource, now: Resource) -> bool:
    """Whether rows of the one and the other lie in one pool."""
    return not between(had, now).new_pool


def _holds(old: Item, new: Item) -> bool:
    """Whether the new type holds each value of the old one as it is."""
    was, wanted = sql_type(old), sql_type(new)
    if was == wanted:
        return True
    one, other = _DECIMAL.fullmatch(was), _DECIMAL.fullmatch(wanted)
    if one is None or other is None:
        return False
    (digits, scale), (more, finer) = map(int, one.groups()), map(int, other.groups())
    return finer >= scale and more - finer >= digits - scale


def _widened(old: Item, new: Item) -> bool:
    if not _holds(old, new):
        return False
    return sql_type(old) != sql_type(new) or _longest(new) > _longest(old)


def _shorter(old: Item, new: Item) -> bool:
    return sql_type(old) == sql_type(new) and _longest(new) < _longest(old)


def _longest(item: Item) -> float:
    return float("inf") if item.length is None else item.length
