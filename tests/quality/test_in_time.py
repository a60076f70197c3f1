"""A department pushes at 17:55 and reads its verdict at 18:00: a million rows are judged within a minute."""

import time
from pathlib import Path

import pytest

from exchange.house import House
from quality import gate
from tests.bench.workloads import land, nine_columns, write_people
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROWS = 1_000_000


def test_a_million_rows_have_their_verdict_within_a_minute_of_landing(house: House, tmp_path: Path) -> None:
    kit.publish(house, nine_columns())
    write_people(ROWS, tmp_path / "people.csv")
    push = land(house, "people", tmp_path / "people.csv", ROWS, 1)
    started = time.monotonic()
    verdict = gate.check(house, push)
    took = time.monotonic() - started
    assert (verdict.decision, verdict.rows, verdict.quarantined_rows) == ("accepted", ROWS, ROWS // 1000)
    assert took < 60, f"{took:.0f} s"
