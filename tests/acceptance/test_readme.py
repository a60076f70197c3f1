"""README's worked example runs as it stands: its own lines, in a shell, in an empty folder."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "exchange"


def lines_of_the_example() -> list[str]:
    text = (ROOT / "README.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, re.DOTALL)
    assert block is not None
    return block.group(1).splitlines()


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("example")
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    return kept | {"EXCHANGE_DATA": str(folder / "var"), "EXCHANGE_KEYS": str(folder / "keys")}


def run(line: str, shell: dict[str, str], *, code: int = 0) -> Any:
    words = shlex.split(line)
    done = subprocess.run(
        [COMMAND, *words[1:], "--json"], cwd=ROOT, env=shell, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout or done.stderr)


def test_the_worked_example_of_readme(shell: dict[str, str], tmp_path: Path) -> None:
    lines = lines_of_the_example()
    assert [line.split()[1] for line in lines] == [
        "migrate", "catalogue", "push", "build", "explain", "grant", "query", "log", "log",
    ]  # fmt: skip
    answers = [run(line, shell) for line in lines]
    migrate, load, push, build, explain, grant, query, saw, verified = answers

    assert migrate["first_time"] is True
    assert load["loaded"] == ["market_entity"]
    assert (push["decision"], push["rows"], push["accepted_rows"], push["quarantined_rows"]) == ("accepted", 3, 2, 1)
    assert (build["rows"], build["conflicts"]) == (2, 0)
    [field] = explain["fields"]
    assert (field["value"], field["source"]["resource"], field["source"]["batch"]) == ("华为技术有限公司", "market_entity", 1)
    assert grant["fields"] == ["entity_name", "registered_address"]
    [record] = query["records"]
    assert record["values"] == {"entity_name": "华为技术有限公司"}
    assert [entry["decision"] for entry in saw] == ["answered"]
    assert verified["whole"] is True

    errors = tmp_path / "errors.csv"
    run(f"exchange row-errors {push['push_id']} --to {errors}", shell)
    assert "914403001922038217" in errors.read_text("utf-8-sig")


def test_a_mistake_is_two_sentences_and_an_exit_code(shell: dict[str, str]) -> None:
    problem = run("exchange explain legal_entity 000000000000000000", shell, code=7)
    assert problem["code"] == "not-found"
    assert problem["zh"]
    assert problem["en"]
