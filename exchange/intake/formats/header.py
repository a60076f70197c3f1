"""Which column is which item: by title, then name, then alias.

Invariant: text of a first row is repeated only once every required item was found in it; otherwise that row may
be data, and data is never repeated.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from exchange.catalogue.model import Resource
from exchange.errors import MissingColumns, Unreadable

_SHOWN = 40  # characters of an unknown header that a receipt repeats
_DIGITS = re.compile(r"\d{6}")


@dataclass(frozen=True)
class Match:
    """`columns`: item name to 0-based column; `unknown`: the columns that are no item, named."""

    columns: dict[str, int]
    unknown: list[str]


def plain_title(text: str) -> str:
    """A header without what eyes don't see: full width, blanks, zero-width marks, case."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(character for character in folded if unicodedata.category(character) not in {"Cf", "Cc", "Zs"})


def match(resource: Resource, header: Sequence[str]) -> Match:
    """Match a header row with the items of a resource.

    Raises:
        MissingColumns: a required item has no column; names the items, by title.
        Unreadable: two columns claim one item.
    """
    titles = [plain_title(cell) for cell in header]
    columns: dict[str, int] = {}
    for item in resource.items:
        for name in (item.title, item.name, *item.aliases):
            found = [number for number, title in enumerate(titles) if title == plain_title(name)]
            found = [number for number in found if number not in columns.values()]
            if len(found) > 1:
                places = ", ".join(str(number + 1) for number in found)
                raise Unreadable(
                    f"第 {places} 列都是“{item.title}”，无法判断以哪一列为准；请只保留一列",
                    f"columns {places} all claim the item “{item.title}” ({item.name}); keep one of them",
                    item=item.name,
                )
            if found:
                columns[item.name] = found[0]
                break
    _refuse_missing(resource, columns, len(header))
    known = set(columns.values())
    return Match(columns, [_shown(cell, number) for number, cell in enumerate(header) if number not in known])


def score(resource: Resource, header: Sequence[str]) -> int:
    """How many cells are names of items: what the right delimiter maximises."""
    names = {plain_title(name) for item in resource.items for name in (item.title, item.name, *item.aliases)}
    return sum(plain_title(cell) in names for cell in header)


def _refuse_missing(resource: Resource, columns: dict[str, int], width: int) -> None:
    missing = [item for item in resource.items if item.required and item.name not in columns]
    if not missing:
        return
    zh = "、".join(item.title for item in missing)
    en = ", ".join(f"{item.title} ({item.name})" for item in missing)
    known = "、".join(resource.item(name).title for name in columns) or "无"
    raise MissingColumns(
        f"缺少必填列：{zh}。第一行有 {width} 列，认出：{known}。第一行应为列名，与目录 {resource.id} 第 {resource.version} 版一致",
        f"required column(s) missing: {en}. The first row has {width} column(s), of which {len(columns)} are known. "
        f"It must hold the column names of {resource.id} version {resource.version}",
        missing=[item.name for item in missing],
        width=width,
    )


def _shown(cell: str, number: int) -> str:
    text = " ".join(cell.split())
    if not text or len(text) > _SHOWN or _DIGITS.search(text):  # a number or a sentence is no column name
        return f"第 {number + 1} 列"
    return text
