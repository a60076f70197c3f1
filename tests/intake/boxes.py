"""The same table in every format and packing, made here so that a test can also make it wrong."""

import gzip
import io
import struct
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import polars
import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet
import xlsxwriter

Cells = Sequence[Sequence[object]]


def arrow_table(header: Sequence[str], rows: Cells) -> pa.Table:
    """Columns of text, or of whatever the rows hold."""
    return pa.table([pa.array([row[number] for row in rows]) for number in range(len(header))], names=list(header))


def parquet(table: pa.Table, **options: object) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer, **options)
    return buffer.getvalue()


def arrow_file(table: pa.Table, compression: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as file:
        file.write_table(table)
    return buffer.getvalue()


def arrow_stream(table: pa.Table, compression: str | None = None) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_stream(buffer, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression)) as stream:
        stream.write_table(table)
    return buffer.getvalue()


def json_lines(header: Sequence[str], rows: Cells) -> str:
    return polars.DataFrame(list(rows), schema=list(header), orient="row").write_ndjson()


def xlsx(**sheets: Cells) -> bytes:
    """A workbook of these sheets; a name that begins with `_` is hidden."""
    buffer = io.BytesIO()
    book = xlsxwriter.Workbook(buffer)
    for name, rows in sheets.items():
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)
    for sheet in book.worksheets():
        if sheet.name.startswith("_"):
            sheet.hide()
    next(sheet for sheet in book.worksheets() if not sheet.name.startswith("_")).activate()
    book.close()
    return buffer.getvalue()


@dataclass(frozen=True)
class Day:
    """A date of an old workbook: its serial number, formatted as a date."""

    serial: float


def xls(
    rows: Cells, merged: Sequence[tuple[int, int, int, int]] = (), hidden: Cells | None = None, *, locked: bool = False
) -> bytes:
    """An old workbook (BIFF8 in a compound file); numbers as numbers, all else as text.

    `merged`: top, left, bottom, right, from 0; `hidden`: a hidden sheet before it; `locked`: says it has a password.
    """

    def record(kind: int, body: bytes = b"") -> bytes:
        return struct.pack("<HH", kind, len(body)) + body

    def begin(kind: int) -> bytes:
        return record(0x809, struct.pack("<HHHHII", 0x600, kind, 0x0DBB, 0x07CC, 0, 6))

    def cell(row: int, column: int, value: object) -> bytes:
        place = struct.pack("<HHH", row, column, 0)
        if isinstance(value, Day):
            return record(0x203, struct.pack("<HHHd", row, column, 1, value.serial))
        if isinstance(value, int | float):
            return record(0x203, place + struct.pack("<d", value))
        text = str(value).encode("utf-16-le")
        return record(0x204, place + struct.pack("<HB", len(text) // 2, 1) + text)

    def sheet(rows: Cells) -> bytes:
        cells = [cell(r, c, value) for r, row in enumerate(rows) for c, value in enumerate(row) if value is not None]
        places = b"".join(struct.pack("<HHHH", top, bottom, left, right) for top, left, bottom, right in merged)
        merges = record(0xE5, struct.pack("<H", len(merged)) + places) if merged else b""
        return begin(0x10) + b"".join(cells) + merges + record(0x0A)

    formats = record(0xE0, struct.pack("<HH16x", 0, 0)) + record(0xE0, struct.pack("<HH16x", 0, 14))  # 14: a date
    lock = record(0x2F, bytes(6)) if locked else b""
    opening = begin(0x05) + lock + record(0x42, struct.pack("<H", 1200)) + formats
    sheets = [("旧表", 1, sheet(hidden))] if hidden is not None else []
    sheets.append(("数据", 0, sheet(rows)))
    start = len(opening) + len(sheets) * (4 + 8 + 4) + 4
    listed = b""
    for name, state, body in sheets:
        listed += record(0x85, struct.pack("<IBBBB", start, state, 0, 2, 1) + name.encode("utf-16-le"))
        start += len(body)
    return _compound(opening + listed + record(0x0A) + b"".join(body for _, _, body in sheets))


def _compound(stream: bytes) -> bytes:
    """A compound file with one stream, `Workbook`, in sectors of 512 bytes: table of sectors, directory, stream."""
    stream = stream.ljust(4096, b"\0")
    count = -(-len(stream) // 512)
    stream = stream.ljust(count * 512, b"\0")
    end, table, free = 0xFFFFFFFE, 0xFFFFFFFD, 0xFFFFFFFF
    sectors = -(-(count + 2) // 128) + 1
    tables = sectors - 1 if count + sectors <= (sectors - 1) * 128 else sectors
    chain = [*[table] * tables, end, *range(tables + 2, tables + 1 + count), end]
    chain += [free] * (tables * 128 - len(chain))
    header = struct.pack(
        "<8s16sHHHHH6xIIIIIIIII",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", b"", 0x3E, 3, 0xFFFE, 9, 6, 0, tables, tables, 0, 4096, end, 0, end, 0,
    )  # fmt: skip
    header += struct.pack("<109I", *range(tables), *[free] * (109 - tables))

    def entry(name: str, kind: int, child: int, first: int, size: int) -> bytes:
        raw = name.encode("utf-16-le")
        fields = struct.pack("<64sHBBIII16xI16xII4x", raw, len(raw) + 2, kind, 1, free, free, child, 0, first, size)
        return fields.ljust(128, b"\0")

    directory = entry("Root Entry", 5, 1, end, 0) + entry("Workbook", 2, free, tables + 1, len(stream)) + bytes(256)
    return header + struct.pack(f"<{tables * 128}I", *chain) + directory + stream


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, 1)


def zipped(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def rezipped(data: bytes, part: str, change: bytes, to: bytes) -> bytes:
    """A ZIP with some bytes of one part replaced."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = [(name, archive.read(name)) for name in archive.namelist()]
    assert any(name == part and change in content for name, content in parts)
    return zipped(*[(name, content.replace(change, to) if name == part else content) for name, content in parts])
