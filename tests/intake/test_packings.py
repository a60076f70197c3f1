"""One table in every format and packing is one table; what a file claims about itself is never believed."""

import gzip
import io
import random
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ByteSize

from exchange.errors import EmptyParcel, ParcelRefused, ParcelTooLarge, Truncated, Unreadable, UnsafeName
from exchange.house import House
from tests.intake import boxes
from tests.intake.kit import HEADER, TWO, land, publish, refusals, table, world

NAMES = ["公民身份号码", "姓名", "出生日期", "住址"]
ROWS = [["P1", "甲䶮𠮷", "2001-01-01", "一号"], ["P2", "乙", None, "二号"]]
WANTED = [("P1", "甲䶮𠮷", "2001-01-01", "一号", None), ("P2", "乙", None, "二号", None)]
ARROW = boxes.arrow_table(NAMES, ROWS)
TEXT = HEADER + "P1,甲䶮𠮷,2001-01-01,一号\nP2,乙,,二号\n"
BOXES: dict[str, tuple[str, bytes]] = {
    "CSV": ("csv", TEXT.encode()),
    "JSON Lines": ("jsonl", boxes.json_lines(NAMES, ROWS).encode()),
    "JSON Lines with BOM": ("jsonl", boxes.json_lines(NAMES, ROWS).encode("utf-8-sig")),
    "JSON Lines in GB18030": ("jsonl", boxes.json_lines(NAMES, ROWS).encode("gb18030")),
    "Parquet": ("parquet", boxes.parquet(ARROW)),
    "Parquet in groups of one row": ("parquet", boxes.parquet(ARROW, row_group_size=1, compression="zstd")),
    "Arrow file": ("arrow", boxes.arrow_file(ARROW)),
    "Arrow file, compressed": ("arrow", boxes.arrow_file(ARROW, "lz4")),
    "Arrow stream": ("arrow", boxes.arrow_stream(ARROW)),
    "Arrow stream, compressed": ("arrow", boxes.arrow_stream(ARROW, "zstd")),
    "XLSX": ("xlsx", boxes.xlsx(数据=[NAMES, *ROWS])),
    "XLS": ("xls", boxes.xls([NAMES, *ROWS])),
}
PACKINGS: dict[str | None, Callable[[bytes], bytes]] = {
    None: lambda data: data,
    "gzip": boxes.gzipped,
    "zip": lambda data: boxes.zipped(("__MACOSX/._x", b""), ("2026年/", b""), ("2026年/户籍.x", data)),
}


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


@pytest.mark.parametrize("name", BOXES)
def test_one_table_in_every_format_and_packing(house: House, tmp_path: Path, name: str) -> None:
    kind, data = BOXES[name]
    for batch, (packed, pack) in enumerate(PACKINGS.items(), 1):
        receipt = land(house, tmp_path, pack(data), 2, batch)
        assert (receipt.shape["format"], receipt.shape.get("packed")) == (kind, packed)
        assert receipt.shape["matched"] == {"person_id": 0, "name": 1, "born": 2, "address": 3}
        assert table(house, receipt.id, "* EXCLUDE (_row, _line)") == WANTED
        margin = 1 if kind in {"xlsx", "xls"} else 0  # a sheet's rows have the number in its margin
        assert table(house, receipt.id, "_row") == [(1 + margin,), (2 + margin,)]


def test_values_with_types_become_what_an_officer_would_have_typed(house: House, tmp_path: Path) -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    columns = {
        "a date": pa.array([date(1990, 1, 2)]),
        "a time": pa.array([datetime(1990, 1, 2, 3, 4, 5)]),  # noqa: DTZ001 - as it stands on a form
        "a moment, in China": pa.array([moment]),
        "an amount": pa.array([Decimal("12.50")]),
        "a whole number": pa.array([41080219900101], pa.int64()),
        "a float": pa.array([1320.0]),
        "a large float": pa.array([1e15]),
        "a small float": pa.array([0.00001]),
        "a fraction": pa.array([0.1], pa.float32()),
        "yes": pa.array([True]),
        "no value": pa.array([None], pa.null()),
        "a word of a list": pa.array(["甲"]).dictionary_encode(),
    }
    wanted = {
        "a date": "1990-01-02",
        "a time": "1990-01-02 03:04:05",
        "a moment, in China": "2026-01-02 11:04:05",
        "an amount": "12.50",
        "a whole number": "41080219900101",
        "a float": "1320",
        "a large float": "1000000000000000.0",
        "a small float": "0.00001",
        "a fraction": "0.1",
        "yes": "true",
        "no value": None,
        "a word of a list": "甲",
    }
    batch = 0
    for save in (boxes.parquet, boxes.arrow_file):
        found: dict[str, object] = {}
        for name, column in columns.items():
            batch += 1
            data = save(pa.table({"公民身份号码": ["P1"], "姓名": ["甲"], "住址": column}))
            found[name] = table(house, land(house, tmp_path, data, 1, batch).id, "address")[0][0]
        assert found == wanted


def test_lines_of_json_that_are_no_good_wait_and_the_others_pass(house: House, tmp_path: Path) -> None:
    lines = [
        '{"person_id": 410802199001011234, "name": "甲"}',
        '{"person_id": "P2", "name": "乙", "住址": {"市": "焦作"}}',
        '{"person_id": "P3", "name": "丙", "name": "丁"}',
        "{不是 JSON}",
        "",
        '{"name": "戊", "person_id": "P5", "备注": [1, 2]}',
    ]
    receipt = land(house, tmp_path, "\n".join(lines) + "\n", 5)
    assert receipt.shape["unknown"] == ["备注"]
    assert table(house, receipt.id, "_row, person_id, name, _broken") == [
        (1, "410802199001011234", "甲", None),
        (2, "P2", "乙", "值是嵌套的列表或对象，应为普通的值 / a nested list or object where a plain value belongs"),
        (3, "P3", "丙", "同一名称出现两次 / a name stands there twice"),
        (4, None, None, "不是一个完整的 JSON 对象 / not one whole JSON object"),
        (5, "P5", "戊", None),
    ]


def patched(data: bytes, change: bytes, to: bytes) -> bytes:
    """A Parquet file with some bytes of its footer replaced."""
    start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    assert change in data[start:]
    return data[:start] + data[start:].replace(change, to)


def test_lying_statistics_change_nothing(house: House, tmp_path: Path) -> None:
    true = boxes.parquet(
        pa.table({"公民身份号码": ["M1", "M2"], "姓名": ["", "乙"], "住址": ["M3", "M4"]}), compression="none"
    )
    lying = patched(patched(true, b"M1", b"Z8"), b"M2", b"Z8")
    lying = patched(patched(lying, b"M3", b"Z9"), b"M4", b"Z9")
    rows = [table(house, land(house, tmp_path, data, 2, batch).id) for batch, data in enumerate([true, lying], 1)]
    assert rows[0] == rows[1] == [(1, "M1", None, None, "M3"), (2, "M2", "乙", None, "M4")]


def encrypted() -> bytes:
    """A ZIP whose one file says that it is encrypted, in both places."""
    data = bytearray(boxes.zipped(("a.csv", TWO.encode())))
    data[6] |= 1
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(data)


def linked() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("a.csv")
        info.external_attr = 0o120777 << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def lying_rows() -> bytes:
    many = pa.table({"公民身份号码": [f"P{n}" for n in range(1000)], "姓名": ["甲"] * 1000})
    first = boxes.parquet(many).rindex(b"\xd0\x0f")
    data = boxes.parquet(many)
    at = data.index(b"\xd0\x0f", len(data) - 8 - int.from_bytes(data[-8:-4], "little"))  # 1000, in the footer
    assert at != first
    return data[:at] + b"\xd2\x0f" + data[at + 2 :]


NOISE = random.Random(1).randbytes(3000)
BAD: dict[str, tuple[bytes, type[ParcelRefused], str, str]] = {
    "a ZIP of two files": (
        boxes.zipped(("a.csv", TWO.encode()), ("b.csv", TWO.encode())),
        Unreadable,
        "ZIP 里有 2 个文件，无法判断以哪个为准",
        "the ZIP holds 2 files",
    ),
    "a ZIP of nothing": (boxes.zipped(("a/", b"")), EmptyParcel, "ZIP 压缩文件里没有文件", "holds no file"),
    "a ZIP with no list": (boxes.zipped(), EmptyParcel, "ZIP 压缩文件里没有文件", "holds no file"),
    "a name that climbs": (boxes.zipped(("../a.csv", TWO.encode())), UnsafeName, "含 ..、反斜杠", "is an absolute path"),
    "an absolute name": (boxes.zipped(("/etc/a.csv", TWO.encode())), UnsafeName, "文件名是绝对路径", "is an absolute path"),
    "a name of another system": (boxes.zipped(("c:\\a.csv", TWO.encode())), UnsafeName, "反斜杠", "is an absolute path"),
    "a link": (linked(), UnsafeName, "或者是链接", "or is a link"),
    "a ZIP in a ZIP": (
        boxes.zipped(("a.zip", boxes.zipped(("a.csv", TWO.encode())))),
        Unreadable,
        "压缩包里又是压缩包",
        "an archive inside an archive",
    ),
    "gzip in gzip": (boxes.gzipped(boxes.gzipped(TWO.encode())), Unreadable, "压缩包里又是压缩包", "an archive inside"),
    "a ZIP with a password": (encrypted(), Unreadable, "ZIP 设有密码", "locked with a password"),
    "a ZIP with a rare method": (
        boxes.zipped(("a.csv", TWO.encode()), method=zipfile.ZIP_LZMA),
        Unreadable,
        "ZIP 用了少见的压缩方法",
        "a rare method",
    ),
    "a ZIP that is cut": (
        boxes.zipped(("a.csv", NOISE))[:-30],
        Truncated,
        "ZIP 压缩文件不完整",
        "ZIP archive is incomplete",
    ),
    "gzip that is cut": (boxes.gzipped(NOISE)[:-30], Truncated, "gzip 压缩文件不完整", "gzip archive is incomplete"),
    "gzip that is no gzip": (b"\x1f\x8b\x07" + b"x" * 20, Unreadable, "gzip 压缩文件已损坏", "gzip archive is damaged"),
    "gzip with another checksum": (boxes.gzipped(NOISE)[:-8] + bytes(8), Unreadable, "gzip 压缩文件已损坏", "is damaged"),
    "gzip of a TAR": (boxes.gzipped(bytes(257) + b"ustar" + bytes(300)), Unreadable, "TAR 归档文件", "a TAR archive"),
    "an OpenDocument sheet": (
        boxes.zipped(("mimetype", b"x")),
        Unreadable,
        "OpenDocument 文件，不是 XLSX",
        "of OpenDocument",
    ),
    "HTML under the name of a CSV": (
        "<html><table><tr><td>公民身份号码".encode(),
        Unreadable,
        "网页表格（HTML），只是改了扩展名；请另存为 CSV（UTF-8）或 XLSX",
        "a web page's table",
    ),
    "a bare HTML table": (b"\xef\xbb\xbf\n<TABLE border=1>", Unreadable, "网页表格（HTML）", "a web page's table"),
    "an XML spreadsheet": (b"<?xml version='1.0'?>", Unreadable, "XML 表格", "an XML spreadsheet"),
    "a JSON array": (b'[ {"person_id": 1}]', Unreadable, "JSON 应每行一个对象", "one object a line"),
    "JSON that is indented": (b'{\n "person_id": 1}', Unreadable, "一个对象分成了多行", "spread over several lines"),
    "a locked Excel file": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
        Unreadable,
        "设有密码的 Excel 文件",
        "a password-protected Excel file",
    ),
    "Parquet that is cut": (boxes.parquet(ARROW)[:-9], Truncated, "Parquet 文件不完整", "Parquet file is incomplete"),
    "Parquet of noise": (b"PAR1" + NOISE + b"PAR1", Unreadable, "Parquet 文件已损坏", "Parquet file is damaged"),
    "Parquet that counts rows it has not": (lying_rows(), Unreadable, "Parquet 文件自相矛盾", "contradicts itself"),
    "Parquet with lists": (
        boxes.parquet(pa.table({"公民身份号码": ["P1"], "姓名": ["甲"], "住址": [["一", "二"]]})),
        Unreadable,
        "列“住址”是嵌套的列表或结构",
        "the column “住址” holds nested values",
    ),
    "Parquet with a structure before other columns": (
        boxes.parquet(pa.table({"附": [{"a": 1, "b": {"c": [2]}}], "公民身份号码": ["P1"], "姓名": ["甲"]})),
        Unreadable,
        "列“附”是嵌套的列表或结构",
        "the column “附” holds nested values",
    ),
    "Arrow with bytes": (
        boxes.arrow_file(pa.table({"公民身份号码": ["P1"], "姓名": ["甲"], "住址": [b"\xff"]})),
        Unreadable,
        "列“住址”是二进制内容",
        "the column “住址” holds bytes",
    ),
    "Arrow that is cut": (boxes.arrow_file(ARROW)[:-9], Truncated, "Arrow 文件不完整", "Arrow file is incomplete"),
    "Arrow of noise": (b"ARROW1\0\0" + NOISE + b"ARROW1", Unreadable, "Arrow 文件已损坏", "Arrow file is damaged"),
    "Arrow with offsets that point elsewhere": (
        boxes.arrow_stream(ARROW).replace(b"\0\0\0\0\2\0\0\0\4\0\0\0", b"\0\0\0\0\2\0\0\0\4\0\0\x7f"),
        Unreadable,
        "Arrow 文件已损坏",
        "Arrow file is damaged",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_refused_in_its_own_words(house: House, tmp_path: Path, name: str) -> None:
    data, kind, zh, en = BAD[name]
    before = world(house)
    with pytest.raises(kind) as caught:
        land(house, tmp_path, data, 2)
    assert type(caught.value) is kind
    assert zh in caught.value.zh
    assert en in caught.value.en
    assert world(house) == before
    assert refusals(house)[-1][2] == kind.code


LIMIT = 8 << 20
EMPTY_ROWS = pa.table({"公民身份号码": pa.nulls(LIMIT), "姓名": pa.nulls(LIMIT)})
REPEATED = pa.table({"公民身份号码": pa.array(["长" * 100_000] * 100).dictionary_encode(), "姓名": ["甲"] * 100})
BOMBS = {
    "gzip": boxes.gzipped(HEADER.encode() + b"," * 2 * LIMIT),
    "ZIP": boxes.zipped(("a.csv", HEADER.encode() + b"," * 2 * LIMIT)),
    "Parquet of rows without values": boxes.parquet(EMPTY_ROWS),
    "Parquet of one long value again and again": boxes.parquet(REPEATED),
    "Arrow of rows without values": boxes.arrow_stream(EMPTY_ROWS),
    "Arrow of one long value again and again": boxes.arrow_stream(REPEATED),
    "Arrow, compressed": boxes.arrow_stream(pa.table({"公民身份号码": ["长" * LIMIT], "姓名": ["甲"]}), "zstd"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_small_file_that_becomes_large_is_refused_while_it_grows(house: House, tmp_path: Path, name: str) -> None:
    small = replace(house, settings=house.settings.model_copy(update={"max_parcel": ByteSize(LIMIT)}))
    assert len(BOMBS[name]) < LIMIT
    before = world(house)
    with pytest.raises(ParcelTooLarge, match=rf"超过上限 {LIMIT} 字节（EXCHANGE_MAX_PARCEL）"):
        land(small, tmp_path, BOMBS[name], 2)
    assert world(house) == before


def test_a_header_that_lies_about_its_size_is_not_believed(house: House, tmp_path: Path) -> None:
    data = boxes.gzipped(TWO.encode())
    assert gzip.decompress(data) == TWO.encode()
    with pytest.raises(Unreadable, match="gzip 压缩文件已损坏"):
        land(house, tmp_path, data[:-4] + b"\xff\xff\xff\x7f", 2)
