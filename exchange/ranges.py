"""Row numbers as people write them, `1,5-9`, and as the engine takes them.

Invariant: ranges are in order and apart, so the same rows always read the same, however many they are.
"""

import re
from collections.abc import Iterable

from exchange.errors import RequestInvalid

Ranges = tuple[tuple[int, int], ...]

_PART = re.compile(r"(\d{1,18})(?:\s*-\s*(\d{1,18}))?", re.ASCII)


def parse(text: str) -> Ranges:
    """`1,5-9` as ranges.

    Raises:
        RequestInvalid: it reads otherwise, or a range goes backwards.
    """
    found = []
    for part in text.replace("，", ",").split(","):
        match = _PART.fullmatch(part.strip())
        first = int(match[1]) if match else 0
        last = int(match[2] or match[1]) if match else 0
        if match is None or first < 1 or last < first:
            raise RequestInvalid(
                "行号应写成 1,5-9 的样子：从 1 起的数据行号，用逗号分开，连续的写成 起-止",
                "row numbers are written like 1,5-9: data rows from 1, separated by commas, neighbours as first-last",
            )
        found.append((first, last))
    return joined(found)


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in order, those that touch made one."""
    result: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if result and first <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(result[-1][1], last))
        else:
            result.append((first, last))
    return tuple(result)


def written(ranges: Ranges) -> str:
    """Ranges as text that `parse` reads."""
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def count(ranges: Ranges) -> int:
    """How many rows."""
    return sum(last - first + 1 for first, last in ranges)


def sql(ranges: Ranges) -> str:
    """The rows as a relation with one column, `_row`; SQL after FROM."""
    firsts, lasts = ", ".join(str(first) for first, _ in ranges), ", ".join(str(last) for _, last in ranges)
    bounds = f"SELECT unnest(CAST([{firsts}] AS BIGINT[])) AS a, unnest(CAST([{lasts}] AS BIGINT[])) AS b"
    return f"(SELECT unnest(range(a, b + 1)) AS _row FROM ({bounds}))"


def islands(rows: str) -> str:
    """SQL: first and last of each run of neighbours among the rows of a query with the column `_row`."""
    numbered = f"SELECT _row, _row - row_number() OVER (ORDER BY _row) AS run FROM (SELECT DISTINCT _row FROM ({rows}))"
    return f"SELECT min(_row), max(_row) FROM ({numbered}) GROUP BY run ORDER BY 1"
