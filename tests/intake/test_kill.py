"""kill -9 at every step of a landing, then land again: one receipt, all rows, no half state."""

import time
from dataclasses import asdict
from itertools import count
from pathlib import Path

import pytest

from exchange.house import House
from exchange.intake import leftovers, pushes
from tests.dying import dying
from tests.intake.kit import HEADER, POLICE, TWO, declare, land, publish, table, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def whole(house: House) -> None:
    """Exactly the files of exactly the committed pushes."""
    ids, files = world(house)
    assert files == sorted([f"landed/household/{push}.sealed" for push in ids] + [f"rows/{push}.parquet" for push in ids])


def test_at_every_line_of_a_landing(house: House, tmp_path: Path) -> None:
    publish(house)
    parcel = tmp_path / "parcel"
    parcel.write_text(TWO)
    committed = 0
    with dying(house) as other:
        for batch in count(1):
            death = other.dies("land", str(parcel), asdict(declare(parcel.read_bytes(), rows=2, batch=batch)))
            before = {receipt.batch: receipt for receipt in pushes.list_pushes(house, limit=10**6)}
            receipt = land(house, tmp_path, TWO, rows=2, batch=batch)
            assert before.get(batch, receipt) == receipt, death
            assert table(house, receipt.id) == [
                (1, "P1", "甲", "2001-01-01", "一号"),
                (2, "P2", "乙", "2002-02-02", "二号"),
            ], death
            whole(house)
            if death is None:
                break
            committed += batch in before
    deaths = other.deaths["land"]
    assert len(set(deaths)) == len(deaths) == batch - 1 > 100, "the steps of a landing are no longer seen"
    assert 0 < committed < len(deaths) / 4, "some deaths come after the commit, most before"
    assert len(world(house)[0]) == batch


def test_at_any_moment_of_a_large_landing(house: House, tmp_path: Path) -> None:
    publish(house)
    rows = 100_000
    text = HEADER + "".join(f'P{n},"甲\n{n}",2001-01-01,{n} 号\n' for n in range(rows))
    parcel = tmp_path / "parcel"
    parcel.write_text(text)
    with dying(house) as other:
        for batch in range(1, 13):
            said = asdict(declare(text.encode(), rows, batch))
            with other.killed_from_outside("land", str(parcel), said):
                time.sleep(0.08 * batch)
            receipt = land(house, tmp_path, text, rows=rows, batch=batch)
            assert (receipt.rows, receipt.bytes) == (rows, len(text.encode()))
            leftovers.sweep(house, "household")
            whole(house)
    assert pushes.list_pushes(house, department=POLICE.department)[0].batch == 12
