"""Tables drawn in tests, so that a spec reads like the page of a manual.

    id | name | closed
    1  | 张三  |

Blank cells are None; a line of dashes under the header is allowed; cells are text, as a department would send them.
"""

Row = dict[str, str | None]


def drawn(picture: str) -> list[Row]:
    """The rows of a drawing, in order."""
    lines = [line.strip() for line in picture.strip().splitlines() if line.strip(" |-+")]
    header, *body = [[cell.strip() for cell in line.split("|")] for line in lines]
    for number, cells in enumerate(body, 1):
        assert len(cells) == len(header), f"row {number} has {len(cells)} cells, its header {len(header)}: {cells}"
    return [{name: cell or None for name, cell in zip(header, cells, strict=True)} for cells in body]


def picture(rows: list[Row]) -> str:
    """A drawing of rows, for messages of failing tests."""
    if not rows:
        return "(no rows)"
    header = list(rows[0])
    table = [header, *[[row.get(name) or "" for name in header] for row in rows]]
    widths = [max(len(line[column]) for line in table) for column in range(len(header))]
    return "\n".join(" | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in table)
