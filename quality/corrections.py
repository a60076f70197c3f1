"""The rows that failed, whole, to be corrected and pushed again: columns as the resource has them, and what was wrong beside.

Invariant: only the department that pushed gets it, and each fetch and each refusal is recorded before a byte leaves; a row
that was released is not in it. Pushed again as it is (incremental; a list of deletions as such), it says what was sent, letter
by letter: what a spreadsheet could run is guarded by an apostrophe that landing takes off again.
"""

import io
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import BinaryIO, Literal

import polars
import pyarrow as pa
from duckdb import DuckDBPyConnection
from xlsxwriter import Workbook

from exchange import access_log
from exchange.callers import Caller
from exchange.catalogue.sql import literal, quoted
from exchange.errors import RequestInvalid
from exchange.house import House
from exchange.intake import tables
from exchange.intake.form import ERROR_COLUMNS, GUARDED, OPERATION, UPSERT
from exchange.seal import new_digest
from quality import acts, quarantine
from quality.subject import Subject

Kind = Literal["csv", "xlsx"]

MOST_IN_XLSX = 50_000  # rows; a workbook is made in memory, and nobody corrects more by hand
_AT_ONCE = 10_000
_STATES = {"waiting": "待处理", "returned": "已退回"}
_NUMBER = "[-+]?[0-9]+([.,][0-9]+)*"  # may begin with a sign, and no spreadsheet runs it
_PIECE = 1 << 20


@contextmanager
def correction_file(house: House, caller: Caller, push_id: str, kind: Kind = "csv") -> Iterator[BinaryIO]:
    """The file, in the rows' order, open from its beginning; plain on disk only without a name.

    Raises:
        NotFound: no such push, or not judged yet. AgedOut: no setting keeps it any more. AccessRefused: another department's push.
        WrongState: the landed bytes have been aged out. RequestInvalid: too many rows for an XLSX.
    """
    subject = Subject.of(house, push_id)
    titles = _titles(subject)
    entry = quarantine.asked(house, caller, subject, tuple(titles))
    failed = acts.failed_sql(house, push_id)
    with tempfile.TemporaryFile(dir=house.settings.folder("spill")) as made:
        with house.duckdb() as connection, tables.open_table(house, connection, push_id) as source:
            query = _query(house, subject, failed, source)
            (_csv if kind == "csv" else _xlsx)(connection, query, titles, made)
        access_log.append(house, replace(entry, answer_digest=_digest(house, made)))
        made.seek(0)
        yield made


def _titles(subject: Subject) -> list[str]:
    items = [item.title for item in subject.resource.items if item.name != OPERATION]
    return [*([] if subject.receipt.mode == "deletions" else ["操作"]), *items, *ERROR_COLUMNS]


def _query(house: House, subject: Subject, failed: str, source: str) -> str:
    with house.registry.session() as session:
        state = acts.state_sql(acts.of_push(session, subject.receipt.id))
    words = " ".join(f"WHEN {literal(name)} THEN {literal(word)}" for name, word in _STATES.items())
    wrong = (
        "SELECT _row, string_agg(DISTINCT title, '、' ORDER BY title) AS titles, "
        f"string_agg(title || '：' || reason, '；' ORDER BY rule) AS reasons FROM {failed} GROUP BY _row"
    )
    cells = [f"o.{quoted(item.name)}" for item in subject.resource.items if item.name != OPERATION]
    if subject.receipt.mode == "incremental":
        cells.insert(0, f"o.{quoted(OPERATION)}")
    elif subject.receipt.mode == "full":
        cells.insert(0, literal(UPSERT))
    cells += ["w._row::VARCHAR", f"CASE w.state {words} END", "w.titles", "w.reasons"]
    listed = ", ".join(f"{_guarded(cell)} AS x{number}" for number, cell in enumerate(cells))
    waiting = f"SELECT *, {state} AS state FROM ({wrong})"
    return (
        f"SELECT {listed} FROM ({waiting}) w JOIN {source} o ON o._row = w._row WHERE w.state <> 'released' ORDER BY w._row"
    )


def _guarded(cell: str) -> str:
    risky = f"regexp_matches({cell}, '{GUARDED}') AND NOT regexp_full_match({cell}, '{_NUMBER}')"
    return f"CASE WHEN {risky} THEN '''' || {cell} ELSE {cell} END"


def _csv(connection: DuckDBPyConnection, query: str, titles: list[str], made: BinaryIO) -> None:
    empty = polars.DataFrame(schema=dict.fromkeys(titles, polars.String))
    made.write(empty.write_csv(include_bom=True, line_terminator="\r\n").encode())
    for batch in _batches(connection, query):
        frame = polars.from_arrow(batch)
        assert isinstance(frame, polars.DataFrame)  # noqa: S101 - a batch is a table
        made.write(frame.write_csv(include_header=False, line_terminator="\r\n").encode())


def _xlsx(connection: DuckDBPyConnection, query: str, titles: list[str], made: BinaryIO) -> None:
    found = connection.execute(f"SELECT count(*) FROM ({query})").fetchone()
    if found is not None and found[0] > MOST_IN_XLSX:
        raise RequestInvalid(
            f"有 {found[0]} 行待改正，超过 XLSX 的上限 {MOST_IN_XLSX} 行；请改取 CSV",
            f"{found[0]} rows are to be corrected, more than the {MOST_IN_XLSX} of an XLSX; ask for CSV",
        )
    buffer = io.BytesIO()  # else the library would keep plain values in named files
    with Workbook(buffer, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}) as book:
        sheet, as_text = book.add_worksheet("待改正"), book.add_format({"num_format": "@"})
        sheet.set_column(0, len(titles) - 1, 18, as_text)  # what is typed into them stays as typed: no lost digits
        sheet.freeze_panes(1, 0)
        sheet.write_row(0, 0, titles)
        number = 0
        for batch in _batches(connection, query):
            for row in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                number += 1
                for place, cell in enumerate(row):
                    if cell is not None:
                        sheet.write_string(number, place, cell, as_text)
    made.write(buffer.getbuffer())


def _batches(connection: DuckDBPyConnection, query: str) -> Iterator[pa.RecordBatch]:
    yield from connection.execute(query).to_arrow_reader(_AT_ONCE)


def _digest(house: House, made: BinaryIO) -> str:
    running = new_digest("sm3")
    made.seek(0)
    while piece := made.read(_PIECE):
        running.update(piece)
    return house.seal.keyed_hash("answer", running.finalize())
