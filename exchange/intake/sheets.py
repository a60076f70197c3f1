"""Spreadsheets are read in a process of their own, which may use as much memory as the settings allow and not more.

Invariant: their reader holds a whole sheet, and a sheet of two cells can claim to be seventeen thousand million; what
that costs is bounded by the system, not by the file. What the reader says in its own words is dropped: it quotes cells.
"""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO

import fastexcel
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from exchange.errors import Unreadable

AS_DATE = r"^(\d{4}-\d\d-\d\d 00:00:00|1899-12-3[01] \d\d:\d\d:\d\d)$"  # a date and a time as the reader writes them
_BAD_FILE, _TOO_LARGE = 3, 4  # how the process ends
_DATED = "_dated_"


@dataclass(frozen=True)
class Sheet:
    """A visible sheet with data. `number` is its place in the book; columns are text, rows as in the sheet.

    `dated`: columns in which some text looks like a date, and which of their cells are dates; None: all that look so are.
    """

    number: int
    name: str
    cells: pa.Table
    dated: dict[int, "pa.ChunkedArray[Any]"] | None = None

    def row(self, index: int) -> list[str]:
        """One row's cells; none beyond the last row."""
        return (
            [cell or "" for cell in self.cells.slice(index, 1).to_pylist()[0].values()] if index < len(self.cells) else []
        )


@contextmanager
def visible_sheets(plain: BinaryIO, copy: BinaryIO, memory: int, *, dates: bool) -> Iterator[list[Sheet]]:
    """Every visible sheet that has data, its cells lying in `copy`, not in memory.

    Args:
        dates: tell dates from texts that look like them, which takes a second reading.

    Raises:
        Unreadable: no workbook, or one that needs more memory.
    """
    plain.seek(0)
    command = [sys.executable, "-m", __name__, str(memory), str(int(dates))]
    done = subprocess.run(command, stdin=plain, stdout=copy, stderr=subprocess.PIPE, check=False)
    lines = [line for line in done.stderr.splitlines() if line.startswith(b'{"number"')]
    if done.returncode == _BAD_FILE:
        raise Unreadable(
            "工作簿无法读取，请用电子表格软件打开并另存为 XLSX 后重新推送",
            "the workbook cannot be read; open it in a spreadsheet program, save it as XLSX and push again",
        )
    if done.returncode != 0:
        raise Unreadable(
            f"工作簿太大：读取它需要的内存超过 {memory} 字节（EXCHANGE_MEMORY_LIMIT）；请另存为 CSV（UTF-8）后推送",
            f"the workbook is too large: reading it takes more memory than {memory} bytes (EXCHANGE_MEMORY_LIMIT); "
            "save it as CSV (UTF-8) and push that",
        )
    with pa.memory_map(f"/proc/self/fd/{copy.fileno()}") as mapped:
        yield [_sheet(mapped, json.loads(line), dates) for line in lines]


def _sheet(mapped: pa.MemoryMappedFile, said: dict[str, object], dates: bool) -> Sheet:
    mapped.seek(int(str(said["at"])))
    with pa.ipc.open_stream(mapped) as reader:
        whole = reader.read_all()
    dated = {int(name.removeprefix(_DATED)): whole[name] for name in whole.column_names if name.startswith(_DATED)}
    cells = whole.select(range(whole.num_columns - len(dated)))
    return Sheet(int(str(said["number"])), str(said["name"]), cells, dated if dates else None)


def _main(memory: int, dates: bool) -> int:
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        with pa.OSFile("/proc/self/fd/1", "wb") as out:
            book = fastexcel.read_excel("/proc/self/fd/0")
            for number in range(len(book.sheet_names)):
                _copy(book, number, out, dates)
    except fastexcel.FastExcelError:
        return _BAD_FILE
    except (MemoryError, pa.ArrowMemoryError):
        return _TOO_LARGE
    return 0


def _copy(book: fastexcel.ExcelReader, number: int, out: pa.NativeFile, dates: bool) -> None:
    sheet = book.load_sheet(number, header_row=None, dtypes="string")
    if sheet.visible != "visible" or not sheet.height:
        return
    name, cells = sheet.name, sheet.to_arrow()
    del sheet
    if dates:
        cells = _with_dates(book, number, cells)
    at = out.tell()
    with pa.ipc.new_stream(out, cells.schema) as stream:
        stream.write_batch(cells)
    print(json.dumps({"number": number, "name": name, "at": at}), file=sys.stderr)  # noqa: T201 - to the parent


def _with_dates(book: fastexcel.ExcelReader, number: int, cells: pa.RecordBatch) -> pa.RecordBatch:
    """The cells with a column beside each that has texts like dates: read as a date, a text is nothing."""
    like = [
        place for place, column in enumerate(cells.columns) if pc.any(pc.match_substring_regex(column, AS_DATE)).as_py()
    ]
    if not like:
        return cells
    dates = book.load_sheet(number, header_row=None, dtypes="datetime").to_arrow()
    found = [dates.column(place).is_valid() for place in like]
    names = [*cells.schema.names, *(f"{_DATED}{place}" for place in like)]
    return pa.RecordBatch.from_arrays([*cells.columns, *found], names)


if __name__ == "__main__":
    raise SystemExit(_main(int(sys.argv[1]), sys.argv[2] == "1"))
