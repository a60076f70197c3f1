"""Pushing drawn tables through the gate. All people are made up."""

import csv
import hashlib
import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from duckdb import DuckDBPyConnection

from exchange import catalogue
from exchange.callers import Caller
from exchange.catalogue.model import Level
from exchange.house import House
from exchange.intake.landing import land_file
from exchange.intake.parcel import Declaration, Mode
from quality import gate, quarantine
from quality.verdict import VerdictView
from tests import make

CIVIL = Caller("c-civil", make.CIVIL)
POLICE = Caller("c-police", make.POLICE, "张三")
MARKET = Caller("c-market", make.MARKET)


def column(connection: DuckDBPyConnection, expression: str, values: Sequence[str | None]) -> list[object]:
    """An SQL expression over x, for each value in order."""
    rows = connection.execute(
        f"SELECT {expression} FROM (SELECT unnest(CAST(? AS VARCHAR[])) AS x, unnest(range(?)) AS n) ORDER BY n",
        [list(values), len(values)],
    ).fetchall()
    return [row[0] for row in rows]


def publish(house: House, *resources: make.Entry) -> None:
    """Load a catalogue of exactly these resources."""
    catalogue.load(
        house, make.write_catalogue(house.settings.root.parent / "catalogue", resources=list(resources), bases=[])
    )


def land(
    house: House,
    resource_id: str,
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    caller: Caller = POLICE,
    batch: int = 1,
    mode: Mode = "full",
) -> str:
    """Land rows as CSV; the push id."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([header, *rows])
    return land_bytes(house, resource_id, text.getvalue().encode(), len(rows), caller=caller, batch=batch, mode=mode)


def land_bytes(
    house: House,
    resource_id: str,
    content: bytes,
    rows: int,
    *,
    caller: Caller,
    batch: int = 1,
    mode: Mode = "full",
    name: str | None = None,
) -> str:
    """Land bytes; the push id."""
    declaration = Declaration(resource_id, batch, mode, rows, "sha256", hashlib.sha256(content).hexdigest(), name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "parcel"
        path.write_bytes(content)
        return land_file(house, caller, declaration, path, "test").id


def judge(
    house: House, resource_id: str, drawn: str, *, caller: Caller = POLICE, batch: int = 1, mode: Mode = "full"
) -> VerdictView:
    """Land a drawn table (cells between |, the first line the header) and judge it."""
    lines = [[cell.strip(" ") for cell in line.split("|")] for line in drawn.strip().splitlines()]
    return gate.check(house, land(house, resource_id, lines[0], lines[1:], caller=caller, batch=batch, mode=mode))


def failed(verdict: VerdictView, *levels: Level) -> dict[str, int]:
    """The rules that failed, with their rows."""
    return {rule.id: rule.failed for rule in verdict.rules if rule.failed and (not levels or rule.level in levels)}


def row_errors(house: House, push_id: str, caller: Caller = POLICE, *, warnings: bool = False) -> list[list[str]]:
    """The row-error file without its header, as text."""
    content = quarantine.row_errors(house, caller, push_id, warnings=warnings).decode("utf-8-sig")
    return list(csv.reader(io.StringIO(content)))[1:]
