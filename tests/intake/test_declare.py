"""The command line does a department's sums: what is missing is computed, what is given is only checked."""

from pathlib import Path

import pytest

from exchange import catalogue
from exchange.callers import Caller
from exchange.errors import CountMismatch, ParcelRefused
from exchange.house import House
from exchange.intake import landing
from exchange.intake.declare import declare
from exchange.seal import digest_hex
from tests.make import MARKET, small_city, uscc


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "entities.csv"
    path.write_text(f"统一社会信用代码,企业名称\n{uscc(1)},甲\n{uscc(2)},乙\n", "utf-8")
    return path


def test_batch_rows_and_digest_are_computed_and_the_file_lands(house: House, file: Path) -> None:
    small_city(house)
    entry = catalogue.resource(house, "market_entity")
    steps: list[str] = []
    first = declare(house, entry, file, progress=lambda step, *_: steps.append(step))
    assert (first.batch, first.rows, first.digest) == (1, 2, digest_hex(file.read_bytes()))
    assert steps == ["摘要 digest", "行数 rows"]
    assert landing.land_file(house, Caller(None, MARKET), first, file, "cli").rows == 2
    assert declare(house, entry, file).batch == 2
    assert list(house.settings.folder("spill").iterdir()) == []


def test_given_figures_are_taken_as_given_and_checked_by_landing(house: House, file: Path) -> None:
    small_city(house)
    entry = catalogue.resource(house, "market_entity")
    given = declare(house, entry, file, batch=7, rows=3, digest="sha256=" + digest_hex(file.read_bytes(), "sha256"))
    assert (given.batch, given.rows, given.algorithm) == (7, 3, "sha256")
    with pytest.raises(CountMismatch, match="3 rows declared, 2 found"):
        landing.land_file(house, Caller(None, MARKET), given, file, "cli")
    with pytest.raises(ParcelRefused, match="write the digest as sm3="):
        declare(house, entry, file, digest="md5=00")
