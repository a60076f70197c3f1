"""A parcel that is good lands once, whole and sealed."""

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from exchange.house import House
from exchange.intake import landing, pushes, tables
from exchange.intake.pushes import Receipt
from tests.intake.kit import HEADER, HOUSEHOLD, POLICE, TWO, declare, land, publish, table, world


@pytest.fixture(autouse=True)
def _catalogue(house: House) -> None:
    publish(house)


def test_a_parcel_is_landed_as_sent_and_read_as_a_table(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, TWO, rows=2)

    assert receipt == pushes.get(house, receipt.id)
    assert (receipt.rows, receipt.bytes, receipt.state) == (2, len(TWO.encode()), "landed")
    assert receipt.shape == {
        "format": "csv",
        "encoding": "utf-8",
        "delimiter": ",",
        "width": 4,
        "matched": {"person_id": 0, "name": 1, "born": 2, "address": 3},
        "unknown": [],
    }
    assert b"".join(tables.read_landed(house, receipt.id)) == TWO.encode()
    assert table(house, receipt.id) == [(1, "P1", "甲", "2001-01-01", "一号"), (2, "P2", "乙", "2002-02-02", "二号")]
    assert world(house) == ([receipt.id], [f"landed/household/{receipt.id}.sealed", f"rows/{receipt.id}.parquet"])


def test_the_table_can_be_made_again_from_the_sealed_bytes(house: House, tmp_path: Path) -> None:
    receipt = land(house, tmp_path, TWO, rows=2)
    before = table(house, receipt.id)
    tables.drop(house, receipt.id)
    assert table(house, receipt.id) == before


def test_nothing_readable_lies_in_the_data_folder(house: House, tmp_path: Path) -> None:
    land(house, tmp_path, TWO.replace("一号", "金丝雀路一号"), rows=2)
    for path in house.settings.root.rglob("*"):
        if path.is_file():
            assert "金丝雀路".encode() not in path.read_bytes(), path


def test_the_same_parcel_again_gives_the_same_receipt(house: House, tmp_path: Path) -> None:
    first = land(house, tmp_path, TWO, rows=2)
    before = world(house)
    assert land(house, tmp_path, TWO, rows=2) == first
    assert world(house) == before


def test_the_same_parcel_again_needs_no_body(house: House, tmp_path: Path) -> None:
    first = land(house, tmp_path, TWO, rows=2)
    with landing.begin(house, POLICE, declare(TWO.encode(), 2), length=len(TWO), door="test") as again:
        assert again.existing == first
        assert again.finish() == first


def test_one_parcel_landed_by_two_at_once_is_one_push(house: House, tmp_path: Path) -> None:
    path = tmp_path / "parcel"
    path.write_text(TWO)
    both = threading.Barrier(2)

    def push() -> Receipt:
        with landing.begin(house, POLICE, declare(TWO.encode(), 2), length=None, door="test") as one:
            both.wait()
            one.write(TWO.encode())
            both.wait()
            return one.finish()

    with ThreadPoolExecutor(2) as pool:
        receipts = [each.result() for each in [pool.submit(push), pool.submit(push)]]
    assert receipts[0] == receipts[1]
    assert world(house)[0] == [receipts[0].id]
    assert [name for name in world(house)[1] if name.startswith("landed")] == [f"landed/household/{receipts[0].id}.sealed"]


def test_the_receipt_names_the_catalogue_version_it_is_read_by(house: House, tmp_path: Path) -> None:
    first = land(house, tmp_path, TWO, rows=2)
    publish(house, {**HOUSEHOLD, "items": HOUSEHOLD["items"][:2]})
    second = land(house, tmp_path, TWO, rows=2, batch=2)
    assert (first.resource_version, second.resource_version) == (1, 2)
    tables.drop(house, first.id)
    assert table(house, first.id, "* EXCLUDE (_row, _broken, _line)")[0] == ("P1", "甲", "2001-01-01", "一号")
    assert table(house, second.id, "* EXCLUDE (_row, _broken, _line)")[0] == ("P1", "甲")
    assert second.shape["unknown"] == ["出生日期", "住址"]


def test_a_large_parcel_keeps_its_row_numbers(house: House, tmp_path: Path) -> None:
    rows = 200_000
    text = HEADER + "".join(f'P{n},"甲\n{n}",,\n' for n in range(1, rows + 1))
    receipt = land(house, tmp_path, text, rows=rows)
    with house.duckdb() as connection, tables.open_table(house, connection, receipt.id) as relation:
        wrong = connection.execute(f"SELECT count(*) FROM {relation} WHERE person_id <> 'P' || _row").fetchone()
    assert wrong == (0,)


def test_receipts_are_listed_newest_first(house: House, tmp_path: Path) -> None:
    receipts = [land(house, tmp_path, TWO, rows=2, batch=number) for number in (1, 2, 3)]
    assert pushes.list_pushes(house, department=POLICE.department, limit=2) == [receipts[2], receipts[1]]
    assert pushes.list_pushes(house, resource="other") == []
    assert replace(receipts[0], state="x").as_dict()["received_at"].endswith("+08:00")
