"""How a sheet becomes a file: as its department writes it, byte for byte the same every time."""

import codecs
import shutil
from datetime import UTC, datetime
from pathlib import Path

import polars
from duckdb import DuckDBPyConnection
from xlsxwriter import Workbook

from infra.demo.city.sheet import Sheet


def write(engine: DuckDBPyConnection, sheet: Sheet, folder: Path) -> Path:
    columns = ", ".join(f'sent_{name} AS "{title}"' for name, title in sheet.items)
    query = f"SELECT {columns} FROM sent_{sheet.name} ORDER BY _again, _n"
    if sheet.form == "xlsx":
        path = folder / f"{sheet.name}.xlsx"
        with Workbook(path) as book:
            book.set_properties({"created": datetime(2025, 10, 1, tzinfo=UTC)})  # or every file would differ
            polars.DataFrame(engine.execute(query).to_arrow_table()).write_excel(book)
        return path
    path = folder / f"{sheet.name}.csv"
    plain = folder / f"{sheet.name}.plain"
    engine.execute(f"COPY ({query}) TO '{plain}' (FORMAT csv, HEADER, DELIMITER '{sheet.delimiter}')")
    if sheet.form == "utf-8":
        plain.replace(path)
    else:
        _transcode(plain, path, sheet.form)
        plain.unlink()
    return path


def _transcode(source: Path, target: Path, encoding: str) -> None:
    with codecs.open(str(source), encoding="utf-8") as text, codecs.open(str(target), "w", encoding=encoding) as out:
        shutil.copyfileobj(text, out, 1 << 20)
