"""kill -9 at every step of a landing, then land again: one receipt, all rows, no half state."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from exchange.house import House
from exchange.intake import leftovers, pushes
from tests.intake.kit import HEADER, POLICE, TWO, declare, land, publish, table, world

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


class Dying:
    """The process of dying.py."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process

    def land(self, **order: Any) -> dict[str, int]:
        """Land and (perhaps) die; how it ended."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer: dict[str, int] = json.loads(self.process.stdout.readline())
        return answer


@contextmanager
def dying(house: House, parcel: Path, rows: int) -> Iterator[Dying]:
    said = declare(parcel.read_bytes(), rows)
    settings = {
        "data": str(house.settings.data),
        "keys": str(house.settings.keys),
        "database_url": house.databases.control.url(),
        "lake_url": house.databases.lake.url(),
        "airflow_url": house.databases.airflow.url(),
        "spare_disk": "1MiB",
    }
    words = {
        "resource_id": said.resource_id,
        "mode": "full",
        "rows": rows,
        "algorithm": said.algorithm,
        "digest": said.digest,
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.intake.dying"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"settings": settings, "parcel": str(parcel), "said": words}) + "\n")
        try:
            yield Dying(process)
        finally:
            process.stdin.close()
            process.wait()


def whole(house: House) -> None:
    """Exactly the files of exactly the committed pushes."""
    ids, files = world(house)
    assert files == sorted([f"landed/household/{push}.sealed" for push in ids] + [f"rows/{push}.parquet" for push in ids])


def test_at_every_line_of_a_landing(house: House, tmp_path: Path) -> None:
    publish(house)
    parcel = tmp_path / "parcel"
    parcel.write_text(TWO)
    with dying(house, parcel, rows=2) as other:
        lived = other.land(batch=1, line=0)
        assert lived["status"] == 0
        assert lived["lines"] > 100, "the steps of a landing are no longer seen"
        committed = 0
        for line in range(1, lived["lines"] + 1):
            batch = line + 1
            death = other.land(batch=batch, line=line)
            assert death["status"] == -signal.SIGKILL, line
            before = {receipt.batch: receipt for receipt in pushes.list_pushes(house, limit=10**6)}
            committed += batch in before
            receipt = land(house, tmp_path, TWO, rows=2, batch=batch)
            assert before.get(batch, receipt) == receipt, line
            assert table(house, receipt.id) == [
                (1, "P1", "甲", "2001-01-01", "一号"),
                (2, "P2", "乙", "2002-02-02", "二号"),
            ]
            whole(house)
        assert 0 < committed < lived["lines"] / 4, "some deaths come after the commit, most before"
    assert len(world(house)[0]) == lived["lines"] + 1


def test_at_any_moment_of_a_large_landing(house: House, tmp_path: Path) -> None:
    publish(house)
    count = 100_000
    text = HEADER + "".join(f'P{n},"甲\n{n}",2001-01-01,{n} 号\n' for n in range(count))
    parcel = tmp_path / "parcel"
    parcel.write_text(text)
    with dying(house, parcel, rows=count) as other:
        for batch in range(1, 13):
            other.land(batch=batch, after=0.08 * batch)
            receipt = land(house, tmp_path, text, rows=count, batch=batch)
            assert (receipt.rows, receipt.bytes) == (count, len(text.encode()))
            leftovers.sweep(house, "household")
            whole(house)
    assert pushes.list_pushes(house, department=POLICE.department)[0].batch == 12
