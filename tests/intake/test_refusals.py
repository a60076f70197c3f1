"""Every way a parcel can be bad: its own class, its own sentence in both languages, a recorded refusal, nothing changed."""

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars
import pytest
from pydantic import ByteSize

from exchange.errors import (
    AccessRefused,
    BatchOutdated,
    BatchReused,
    BatchTooFar,
    CountMismatch,
    DigestMismatch,
    EmptyParcel,
    ExchangeError,
    MissingColumns,
    NoRoom,
    NotFound,
    ParcelRefused,
    ParcelTooLarge,
    Truncated,
    Unreadable,
    UnsafeName,
    WrongState,
)
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration, parse_digest
from exchange.seal import digest_hex
from tests.intake.kit import HEADER, HEALTH, HOUSEHOLD, POLICE, TWO, declare, land, publish, refusals, world

SECRET = "金丝雀"  # stands for a person's data: may be in no message


def book(*rows: list[str | None]) -> bytes:
    """An XLSX of these rows."""
    buffer = io.BytesIO()
    polars.DataFrame(list(rows), orient="row").write_excel(buffer, include_header=False)
    return buffer.getvalue()


def zipped(name: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, TWO)
    return buffer.getvalue()


def damaged(data: bytes) -> bytes:
    """An XLSX with one byte of its sheet turned."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at = archive.getinfo("xl/worksheets/sheet1.xml").header_offset + 120
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


BOOK = book(["公民身份号码", "姓名"], ["P1", SECRET])

Bad = tuple[str, bytes, int, type[ExchangeError], str, str]
BAD: list[Bad] = [
    # what                     the bytes                                  rows  class           zh                                 en
    ("no bytes", b"", 0, EmptyParcel, "文件是空的（0 字节）", r"the file is empty \(0 bytes\)"),
    ("only a header", HEADER.encode(), 0, EmptyParcel, "只有列名，没有数据行", "a header and no data rows"),
    ("only a header, no line end", HEADER.strip().encode(), 0, EmptyParcel, "只有列名", "a header and no data rows"),
    ("only a header in a book", book(["公民身份号码", "姓名"]), 0, EmptyParcel, "只有列名", "a header and no data rows"),
    ("a BOM and nothing else", b"\xef\xbb\xbf", 0, MissingColumns, "缺少必填列：公民身份号码、姓名", "required column"),
    ("too few rows", TWO.encode(), 3, CountMismatch, "声明 3 行，实际收到 2 行", "3 rows declared, 2 found"),
    ("too many rows", TWO.encode(), 1, CountMismatch, "声明 1 行，实际收到 2 行", "1 rows declared, 2 found"),
    (
        "a required column missing",
        f"公民身份号码,住址\nP1,{SECRET}\n".encode(),
        1,
        MissingColumns,
        "缺少必填列：姓名。第一行有 2 列，认出：公民身份号码、住址",
        r"required column\(s\) missing: 姓名 \(name\)",
    ),
    (
        "no header at all",
        f"P1,{SECRET},,\n".encode(),
        0,
        MissingColumns,
        "缺少必填列：公民身份号码、姓名。第一行有 4 列，认出：无",
        "missing",
    ),
    (
        "two columns for one item",
        f"公民身份号码,姓名,姓 名\nP1,{SECRET},x\n".encode(),
        1,
        Unreadable,
        "第 2, 3 列都是“姓名”",
        "columns 2, 3 all claim the item",
    ),
    (
        "random bytes",
        bytes(range(256)) * 40,
        1,
        Unreadable,
        "文件第 1 行（第 1 个字节）有控制字符 0x00",
        r"line 1 of the file \(byte 1\) holds the control character 0x00",
    ),
    (
        "a NUL far inside",
        (TWO * 3000).encode() + b"P\x00",
        1,
        Unreadable,
        "文件第 9001 行（第 288002 个字节）有控制字符 0x00：这不是文本表格，或导出时混入了二进制内容；请去掉后重新导出",
        r"line 9001 of the file \(byte 288002\) holds the control character 0x00",
    ),
    (
        "a bell beyond the first pieces, with line ends of two bytes",
        (TWO * 70_000).replace("\n", "\r\n").encode("gb18030") + b"P\x07",
        1,
        Unreadable,
        "文件第 210001 行（第 5530002 个字节）有控制字符 0x07",
        "line 210001 of the file",
    ),
    (
        "neither UTF-8 nor GB18030",
        b"person_id,name\nP3,\xff\xff\n",
        1,
        Unreadable,
        "既不是 UTF-8（第 2 行、第 19 个字节处不符），也不是 GB18030（第 2 行、第 19 个字节",
        r"neither UTF-8 \(wrong on line 2, byte 19\) nor GB18030 \(wrong on line 2, byte 19\); save it as UTF-8",
    ),
    (
        "UTF-8 with one stray byte, which would be GB18030 mojibake",
        "person_id,name,住址\nP1,欧阳,某某市某某区某某街道\nP2,x\xff,\n".encode().replace(b"\xc3\xbf", b"\x81\x40"),
        2,
        Unreadable,
        "是 UTF-8 文本，但第 3 行（第 68 个字节）损坏",
        r"UTF-8 text, but line 3 \(byte 68\) is damaged",
    ),
    ("a PDF", b"%PDF-1.7\n", 1, Unreadable, "像是PDF 文件", "looks like a PDF file"),
    (
        "an old Office file that is no Excel file",
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" * 9,
        1,
        Unreadable,
        "旧版 Office 文件，但不是旧版 Excel",
        "no old Excel .* workbook, or an incomplete one",
    ),
    ("UTF-16", TWO.encode("utf-16"), 2, Unreadable, "UTF-16", "UTF-16"),
    (
        "a workbook in name only",
        zipped("xl/workbook.xml"),
        2,
        Unreadable,
        "工作簿无法读取",
        "the workbook cannot be read",
    ),
    ("a damaged book", damaged(BOOK), 1, Unreadable, "XLSX 文件已损坏", "the XLSX file is damaged"),
    ("a book cut in the middle", BOOK[: len(BOOK) // 2], 1, Truncated, "XLSX 文件不完整", "the XLSX file is incomplete"),
    (
        "a row cut in the middle",
        f"{TWO}P3,{SECRET}".encode(),
        3,
        Truncated,
        "最后一行（第 3 行数据）在中间中断",
        r"the last row \(data row 3\)",
    ),
    (
        "a UTF-8 character cut",
        f"{TWO}P3,{SECRET}".encode()[:-1],
        3,
        Truncated,
        "UTF-8 字符中间中断",
        "middle of a UTF-8 character",
    ),
    (
        "a GB18030 character cut",
        f"{TWO}P3,{SECRET}".encode("gb18030")[:-1],
        3,
        Truncated,
        "GB18030 字符中间中断",
        "middle of a GB18030 character",
    ),
    (
        "a quote never closed",
        f'{TWO}P3,"{SECRET}\nP4,x,,\n'.encode(),
        4,
        Truncated,
        "第 4 行起的引号直到文件末尾都没有闭合",
        "a quote opened on line 4",
    ),
    (
        "text after a closing quote",
        f'{HEADER}P1,"甲"{SECRET},,\nP2,乙,,\n'.encode(),
        2,
        Unreadable,
        "第 2 行的引号不成对",
        "the quotes on line 2 of the file do not pair",
    ),
    (
        "a cell beyond 2 MB",
        f"{HEADER}P1,甲,,{'长' * 800_000}\n".encode(),
        1,
        Unreadable,
        "单元格是否超长",
        "cells beyond 2 MB",
    ),
]


def refused(house: House, action: Callable[[], object], kind: type[ExchangeError], zh: str, en: str) -> ExchangeError:
    """The action is refused in these words, and the world is as before."""
    before = world(house)
    with pytest.raises(kind) as caught:
        action()
    error = caught.value
    assert type(error) is kind
    assert zh in error.zh
    assert re.search(en, error.en)
    assert SECRET not in f"{error} {error.facts} {error.__cause__}"
    assert world(house) == before
    return error


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


@pytest.mark.parametrize(("data", "rows", "kind", "zh", "en"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_bytes(
    house: House, tmp_path: Path, data: bytes, rows: int, kind: type[ExchangeError], zh: str, en: str
) -> None:
    refused(house, lambda: land(house, tmp_path, data, rows), kind, zh, en)
    assert refusals(house) == [(POLICE.department, "household", kind.code)]


def test_another_digest(house: House, tmp_path: Path) -> None:
    lie = declare(TWO.encode(), 2, digest="AB" * 32)
    error = refused(
        house,
        lambda: landing.land_file(house, POLICE, lie, io.BytesIO(TWO.encode()), "test"),
        DigestMismatch,
        f"sha256 摘要不符：声明 {'ab' * 32}，实际 ",
        "sha256 digest differs: declared abab",
    )
    assert error.facts["found"] == declare(TWO.encode(), 2).digest


def test_a_parcel_cut_off_on_its_way(house: House) -> None:
    cut = io.BytesIO(TWO.encode()[:-20])
    whole = declare(TWO.encode(), 2)
    refused(
        house, lambda: landing.land_file(house, POLICE, whole, cut, "test"), DigestMismatch, "截断", "cut off on its way"
    )


def test_a_batch_number_for_other_bytes(house: House, tmp_path: Path) -> None:
    land(house, tmp_path, TWO, rows=2)
    other = TWO.replace("一号", "三号")
    refused(
        house,
        lambda: land(house, tmp_path, other, rows=2),
        BatchReused,
        "批次号 1 已用于另一份数据",
        "batch 1 already stands",
    )


def test_a_batch_number_for_other_bytes_under_another_algorithm(house: House, tmp_path: Path) -> None:
    first = land(house, tmp_path, TWO, rows=2)
    same = Declaration("household", 1, "full", 2, "sm3", digest_hex(TWO.encode()))
    assert landing.land_file(house, POLICE, same, io.BytesIO(TWO.encode()), "test") == first
    other = TWO.replace("一号", "三号").encode()
    lie = replace(same, digest=digest_hex(other))
    refused(
        house, lambda: landing.land_file(house, POLICE, lie, io.BytesIO(other), "test"), BatchReused, "批次号 1", "batch 1"
    )


def test_a_batch_older_than_the_newest_landed(house: House, tmp_path: Path) -> None:
    first = land(house, tmp_path, TWO, rows=2, batch=3)
    land(house, tmp_path, TWO, rows=2, batch=7)
    error = refused(
        house,
        lambda: landing.begin(house, POLICE, declare(TWO.encode(), 2, batch=5), length=None, door="test"),
        BatchOutdated,
        "批次号 5 早于该资源已收到的最新批次 7，旧批次不能再入库；下一批应为第 8 批，如这份数据才是最新的，请用 8 或更大的批次号推送",
        "batch 5 is older than 7, the newest one landed of this resource",
    )
    assert error.facts == {"batch": 5, "newest": 7, "expected": 8}
    assert land(house, tmp_path, TWO, rows=2, batch=3) == first, "what was landed keeps its receipt whatever its age"


@pytest.mark.parametrize("mode", ["full", "incremental", "deletions"])
def test_a_batch_far_beyond_the_expected_one(house: House, tmp_path: Path, mode: str) -> None:
    def push(batch: int) -> Callable[[], object]:
        said = replace(declare(TWO.encode(), 2, batch=batch), mode=mode)  # type: ignore[arg-type]
        return lambda: landing.begin(house, POLICE, said, length=None, door="test").abandon()

    error = refused(
        house,
        push(2**63 - 1),
        BatchTooFar,
        "批次号 9223372036854775807 离应有的下一批 1 太远（最大可用 99999999）：一旦收下，以后的批次都须更大；请核对批次号，一般用 1",
        "batch 9223372036854775807 is too far from 1, the one expected next .at most 99999999 is taken.: every later one would",
    )
    assert error.facts == {"batch": 2**63 - 1, "expected": 1, "farthest": 99_999_999}
    land(house, tmp_path, TWO, rows=2, batch=20261124)
    refused(house, push(21261126), BatchTooFar, "离应有的下一批 20261125 太远（最大可用 21261125）", "from 20261125, the")
    push(21261125)()
    assert land(house, tmp_path, TWO, rows=2, batch=20270101).batch == 20270101, "numbering by days goes on at New Year"


def test_a_batch_that_is_overtaken_while_it_lands(house: House, tmp_path: Path) -> None:
    with landing.begin(house, POLICE, declare(TWO.encode(), 2), length=None, door="test") as slow:
        slow.write(TWO.encode())
        newer = land(house, tmp_path, TWO, rows=2, batch=2)
        with pytest.raises(BatchOutdated, match="批次号 1 早于该资源已收到的最新批次 2"):
            slow.finish()
    assert world(house) == ([newer.id], [f"landed/household/{newer.id}.sealed", f"rows/{newer.id}.parquet"])


def test_the_same_parcel_with_another_row_count(house: House, tmp_path: Path) -> None:
    land(house, tmp_path, TWO, rows=2)
    refused(
        house,
        lambda: land(house, tmp_path, TWO, rows=3),
        CountMismatch,
        "为 2 行，这次声明 3 行",
        "with 2 rows; 3 declared",
    )


def test_over_the_limit_is_refused_before_the_body(house: House) -> None:
    small = replace(house, settings=house.settings.model_copy(update={"max_parcel": ByteSize(100)}))
    said = declare(TWO.encode(), 2)
    refused(
        small,
        lambda: landing.begin(small, POLICE, said, length=101, door="test"),
        ParcelTooLarge,
        "文件有 101 字节，超过上限 100 字节（EXCHANGE_MAX_PARCEL）",
        "101 bytes are more than the limit of 100",
    )


def test_over_the_limit_is_refused_on_the_way_when_no_length_was_said(house: House) -> None:
    small = replace(house, settings=house.settings.model_copy(update={"max_parcel": ByteSize(95)}))

    def push() -> None:
        with landing.begin(small, POLICE, declare(TWO.encode(), 2), length=None, door="test") as one:
            one.write(TWO.encode()[:95])
            one.write(TWO.encode()[95:])

    refused(small, push, ParcelTooLarge, "超过上限 95 字节", "more than the limit of 95")


def test_no_room_is_refused_before_the_body(house: House) -> None:
    full = replace(house, settings=house.settings.model_copy(update={"spare_disk": ByteSize(2**60)}))
    said = declare(TWO.encode(), 2)
    refused(
        full,
        lambda: landing.begin(full, POLICE, said, length=100, door="test"),
        NoRoom,
        f"磁盘空间不足：需要 {2**60 + 300} 字节，剩余 ",
        "not enough disk",
    )


def test_a_landing_that_is_left_in_the_middle(house: House) -> None:
    before = world(house)
    with landing.begin(house, POLICE, declare(TWO.encode(), 2), length=None, door="test") as one:
        one.write(TWO.encode()[:50])
    assert world(house) == before


def test_another_departments_resource(house: House) -> None:
    error = refused(
        house,
        lambda: landing.begin(house, HEALTH, declare(TWO.encode(), 2), length=1, door="test"),
        AccessRefused,
        "由市公安局提供",
        "is provided by 市公安局",
    )
    assert error.facts["ask"] == "数据科"
    assert refusals(house) == [(HEALTH.department, "household", "access-refused")]


def test_a_resource_that_is_not_there_or_retired(house: House) -> None:
    def push(resource: str) -> Callable[[], object]:
        said = replace(declare(TWO.encode(), 2), resource_id=resource)
        return lambda: landing.begin(house, POLICE, said, length=1, door="test")

    refused(house, push("househol"), NotFound, "相近的有 household", "near it are household")
    publish(house, {**HOUSEHOLD, "id": "another"})
    refused(house, push("household"), NotFound, "下架", "was retired")


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "..", "410105199001010013", "a\0b", "household/../other", "x" * 99, ""]
)
def test_a_resource_id_that_is_a_path_or_a_person(house: House, name: str) -> None:
    said = replace(declare(TWO.encode(), 2), resource_id=name)
    refused(
        house,
        lambda: landing.begin(house, POLICE, said, length=1, door="test"),
        NotFound,
        "目录中没有这个资源",
        "has no such resource",
    )
    assert refusals(house) == [(POLICE.department, None, "not-found")]


@pytest.mark.parametrize(
    "name",
    [
        "../secret.csv",
        "/etc/passwd",
        "a/b.csv",
        "a\\b.csv",
        "c:x.csv",
        "..",
        ".",
        "",
        "  ",
        "a\0.csv",
        "a\nb.csv",
        "长" * 90,
        "\u202egpj.csv",
    ],
)
def test_a_file_name_that_is_a_path(name: str) -> None:
    with pytest.raises(UnsafeName, match=r"文件名不能是路径.*must not be a path"):
        declare(b"", 0, filename=name)


def test_an_ordinary_file_name() -> None:
    assert declare(b"", 0, filename="2026年11月 户籍..(终稿).csv").filename == "2026年11月 户籍..(终稿).csv"


@pytest.mark.parametrize(
    ("change", "zh"),
    [
        ({"batch": 0}, "批次号应为 1 或更大的整数，收到 0"),
        ({"batch": 2**63}, "批次号应为 1 或更大的整数"),
        ({"rows": -1}, "行数不能为 -1"),
        ({"mode": "delta"}, "推送方式应为 full、incremental、deletions 之一"),
        ({"algorithm": "md5"}, "摘要算法应为 sm3、sha256 之一"),
        ({"digest": "00"}, "摘要应为 64 位十六进制数字，收到 2 个字符"),
        ({"digest": "z" * 64}, "摘要应为 64 位十六进制数字"),
    ],
)
def test_a_declaration_without_form(change: dict[str, object], zh: str) -> None:
    with pytest.raises(ParcelRefused, match=zh):
        replace(declare(b"", 0), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", ["", "sm3", "md5=00", "=", "sm3 00"])
def test_a_digest_without_form(text: str) -> None:
    with pytest.raises(ParcelRefused, match="摘要应写成 sm3="):
        parse_digest(text)


def test_a_landing_that_is_over(house: House) -> None:
    with landing.begin(house, POLICE, declare(TWO.encode(), 2), length=None, door="test") as one:
        one.abandon()
        for action in (one.finish, lambda: one.write(b"x")):
            with pytest.raises(WrongState, match="这次落地已经结束"):
                action()
