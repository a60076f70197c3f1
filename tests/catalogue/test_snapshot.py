"""The snapshot: light to import, fast to read, never half there."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from exchange.catalogue.snapshot import read_snapshot
from exchange.house import House
from tests import make


def test_five_hundred_resources_are_read_in_a_fifth_of_a_second(house: House, tmp_path: Path) -> None:
    entry = make.small_city(house).model_dump(mode="json")
    one = next(r for r in entry["resources"] if r["id"] == "police_household")
    items = [{**one["items"][1], "name": f"item_{n}", "title": f"信息项{n}"} for n in range(30)]
    entry["resources"] = [{**one, "id": f"resource_{n}", "items": items} for n in range(500)]
    path = tmp_path / "catalogue.json"
    path.write_text(json.dumps(entry, ensure_ascii=False))
    seconds = min(_timed(path) for _ in range(3))
    assert seconds < 0.2
    assert len(read_snapshot(path)["resources"]) == 500


def _timed(path: Path) -> float:
    start = time.process_time()
    read_snapshot(path)
    return time.process_time() - start


def test_reading_it_imports_nothing_heavy() -> None:
    code = "import sys, exchange.catalogue.snapshot; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    seen = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(seen).isdisjoint({"pydantic", "sqlalchemy", "duckdb", "yaml", "cryptography", "psycopg"})


def test_before_the_first_load_there_is_nothing(tmp_path: Path) -> None:
    assert read_snapshot(tmp_path / "catalogue.json") == {
        "departments": [],
        "resources": [],
        "bases": [],
        "themes": [],
        "codes": {},
    }


@pytest.mark.parametrize("text", ["", "[]", "{", '{"resources": 1}', "\x00"])
def test_something_else_in_its_place(tmp_path: Path, text: str) -> None:
    path = tmp_path / "catalogue.json"
    path.write_text(text)
    with pytest.raises(
        ValueError, match=r"不是目录快照，请重新运行 exchange catalogue load / .* is not a catalogue snapshot; run"
    ):
        read_snapshot(path)
