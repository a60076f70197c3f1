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

LOOKED_AT = 3  # rows: above the header people put a title and a line of remarks
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


def match(resource: Resource, header: Sequence[str], row: int | None = 1) -> Match:
    """Match a header row with the items of a resource.

    Args:
        row: which row of the file it is, for the message; None where columns have names of their own.

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
    _refuse_missing(resource, columns, len(header), row)
    known = set(columns.values())
    return Match(columns, [shown(cell, number) for number, cell in enumerate(header) if number not in known])


def score(resource: Resource, header: Sequence[str]) -> int:
    """How many cells are names of items: what the right delimiter maximises."""
    names = {plain_title(name) for item in resource.items for name in (item.title, item.name, *item.aliases)}
    return sum(plain_title(cell) in names for cell in header)


def complete(resource: Resource, rows: Sequence[Sequence[str]]) -> bool:
    """Does one of these rows name every required item?"""
    titles = [{plain_title(cell) for cell in row} for row in rows]
    wanted = [{plain_title(name) for name in (i.title, i.name, *i.aliases)} for i in resource.items if i.required]
    return any(all(names & row for names in wanted) for row in titles) and any(score(resource, row) for row in rows)


def find(resource: Resource, rows: Sequence[Sequence[str]]) -> int:
    """Which of the first rows is the header, from 0: the one that names most items, the first of equals."""
    return max(range(len(rows)), key=lambda at: (score(resource, rows[at]), -at), default=0)


def _refuse_missing(resource: Resource, columns: dict[str, int], width: int, row: int | None) -> None:
    missing = [item for item in resource.items if item.required and item.name not in columns]
    if not missing:
        return
    zh = "、".join(item.title for item in missing)
    en = ", ".join(f"{item.title} ({item.name})" for item in missing)
    known = "、".join(resource.item(name).title for name in columns) or "无"
    place = "文件" if row is None else "第一行" if row == 1 else f"第 {row} 行"
    place_en = "The file" if row is None else "The first row" if row == 1 else f"Row {row}"
    raise MissingColumns(
        f"缺少必填列：{zh}。{place}有 {width} 列，认出：{known}。{'列名应' if row is None else place + '应为列名，'}与目录 {resource.id} 第 {resource.version} 版一致",
        f"required column(s) missing: {en}. {place_en} has {width} column(s), of which {len(columns)} are known. "
        f"It must hold the column names of {resource.id} version {resource.version}",
        missing=[item.name for item in missing],
        width=width,
    )


def shown(cell: str, number: int, kind: str = "列") -> str:
    """The name of a column (or sheet) as a receipt may repeat it, else its place."""
    text = " ".join(cell.split())
    if not text or len(text) > _SHOWN or _DIGITS.search(text):  # a number or a sentence is no column name
        return f"第 {number + 1} {kind}"
    return text
