"""Two thousand million bytes that are no table: refused in their own words, in little memory, with nothing left behind.

Each is landed by a process of its own, whose memory the system measures.
"""

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from exchange.house import House
from exchange.seal import new_digest
from tests.intake import boxes
from tests.intake.kit import HEADER, POLICE, environment, publish, refusals, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

SIZE = 2 << 30
PIECE = 1 << 20
MOST = 700  # MB: the interpreter with its libraries takes 300 of them
LAND = """
import io, json, sys
from exchange.callers import Caller
from exchange.errors import ParcelRefused
from exchange.house import House
from exchange.intake.landing import land_file
from exchange.intake.parcel import Declaration
from exchange.settings import read_settings
from tests.memory import peak

class Stream(io.RawIOBase):
    "A head, and then one letter again and again."
    def __init__(self, head, size):
        self.head, self.left = head, size
    def readable(self):
        return True
    def read(self, size=-1):
        if self.head:
            head, self.head = self.head, b""
            return head
        size = min(size, self.left)
        self.left -= size
        return b"x" * size

digest, department, size, head, file = json.loads(sys.argv[1])
house = House.open(read_settings(_env_file=None))
source = open(file, "rb") if file else Stream(head.encode(), size)
said = None
try:
    land_file(house, Caller(None, department), Declaration("household", 1, "full", 1, "sha256", digest), source, "test")
except ParcelRefused as error:
    said = [error.code, error.zh, error.en]
print(json.dumps([said, peak()]))
"""


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


def pieces(head: bytes) -> Iterator[bytes]:
    yield head
    for _ in range(SIZE // PIECE):
        yield b"x" * PIECE


def landed(house: House, head: bytes = b"", file: Path | None = None, **settings: object) -> tuple[list[str], int]:
    """What the landing said, and the megabytes it took."""
    digest = new_digest("sha256")
    for piece in iter_file(file) if file else pieces(head):
        digest.update(piece)
    said = json.dumps([digest.finalize().hex(), POLICE.department, SIZE, head.decode(), str(file) if file else None])
    command = [sys.executable, "-c", LAND, said]
    done = subprocess.run(command, env=environment(house, **settings), capture_output=True, text=True, check=True)
    told, megabytes = json.loads(done.stdout)
    return told, megabytes


def iter_file(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while piece := opened.read(PIECE):
            yield piece


def test_one_line_of_two_thousand_million_bytes(house: House) -> None:
    before = world(house)
    told, megabytes = landed(house)
    assert told == [
        "unreadable",
        "文件开头 1 MB 里没有一个换行：这不是逐行的表格，请检查导出时的换行设置",
        "the first 1 MB of the file hold no line end: no table of rows; check the line ends it is exported with",
    ]
    assert megabytes < MOST
    assert world(house) == before


def test_one_row_of_two_thousand_million_bytes_under_a_good_header(house: House) -> None:
    before = world(house)
    told, megabytes = landed(house, f"{HEADER}P1,甲,,".encode())
    assert told == [
        "unreadable",
        "不是可以逐行读取的 CSV：请检查换行、引号和分隔符是否一致，单元格是否超长（2 MB）",
        "not a CSV that can be read row by row: check line ends, quotes and delimiters, and cells beyond 2 MB",
    ]
    assert megabytes < MOST
    assert world(house) == before
    assert refusals(house) == [(POLICE.department, "household", "unreadable")]


@pytest.mark.parametrize("kind", ["zip", "xlsx"])
def test_a_bomb_stops_at_the_limit_and_not_in_memory(house: House, tmp_path: Path, kind: str) -> None:
    bomb = tmp_path / "bomb"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if kind == "xlsx":
            with zipfile.ZipFile(io.BytesIO(boxes.xlsx(数据=[["a"]]))) as good:
                for name in good.namelist():
                    if "sheet1" not in name:
                        archive.writestr(name, good.read(name))
        with archive.open("xl/worksheets/sheet1.xml" if kind == "xlsx" else "a.csv", "w", force_zip64=True) as member:
            for piece in pieces(HEADER.encode()):
                member.write(piece)
    before = world(house)
    assert bomb.stat().st_size < SIZE // 100
    told, megabytes = landed(house, file=bomb, max_parcel="1GiB")
    limit = 1 << 30
    assert (
        told
        == {
            "zip": [
                "parcel-too-large",
                f"压缩包解压后超过上限 {limit} 字节（EXCHANGE_MAX_PARCEL）；请分批或联系平台运维",
                f"the archive unpacks to more than the limit of {limit} bytes (EXCHANGE_MAX_PARCEL); split it or ask the operator",
            ],
            "xlsx": [
                "unreadable",
                f"XLSX 文件解压后超过 {limit} 字节（EXCHANGE_MAX_PARCEL）；请改用 CSV",
                f"the XLSX file unpacks to more than {limit} bytes (EXCHANGE_MAX_PARCEL); use CSV instead",
            ],
        }[kind]
    )
    assert megabytes < MOST
    assert world(house) == before
