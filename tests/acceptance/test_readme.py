"""README's worked example runs as it stands: its own lines, in a shell, in an empty folder."""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).parent / "exchange"
SERVE = """
import sys, uvicorn
from api.app import create_app
from api.opening import opened
with opened() as house:
    uvicorn.run(create_app(house), port=int(sys.argv[1]), log_level="warning")
"""


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
    assert (field["value"], field["source"]["resource"], field["source"]["batch"]) == (
        "华为技术有限公司",
        "market_entity",
        1,
    )
    assert grant["fields"] == ["entity_name", "registered_address"]
    [record] = query["records"]
    assert record["values"] == {"entity_name": "华为技术有限公司"}
    assert [(entry["action"], entry["decision"]) for entry in saw][-2:] == [("explain", "answered"), ("query", "answered")]
    assert verified["whole"] is True

    errors = tmp_path / "errors.csv"
    run(f"exchange row-errors {push['push_id']} --to {errors}", shell)
    assert "914403001922038217" in errors.read_text("utf-8-sig")


def curls_of_the_example() -> list[list[str]]:
    text = (ROOT / "README.md").read_text().split("## Over HTTP")[1]
    block = re.search(r"```\n(curl.*?)```", text, re.DOTALL)
    assert block is not None
    return [shlex.split(line) for line in block.group(1).replace("\\\n", " ").splitlines()]


def test_the_curl_lines_of_readme(shell: dict[str, str]) -> None:
    if shutil.which("curl") is None and "CI" not in os.environ:
        pytest.skip("curl is not on this machine")
    provider = run("exchange client create 11410800900000014P 登记系统", shell)
    consumer = run("exchange client create 11410800900000022J 规划系统", shell)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with door(shell, port):
        token, push, query = curls_of_the_example()
        digest = hashlib.sha256((ROOT / "docs/example/entities.csv").read_bytes()).hexdigest()

        def curl(words: list[str], **known: str) -> Any:
            for name, value in ({"127.0.0.1:8000": f"127.0.0.1:{port}", "DIGEST": digest} | known).items():
                words = [word.replace(name, value) for word in words]
            done = subprocess.run([*words, "-sS", "--noproxy", "*"], cwd=ROOT, capture_output=True, text=True, check=True)
            return json.loads(done.stdout)

        def token_of(client: dict[str, str]) -> str:
            return str(curl(token, CLIENT=client["client_id"], SECRET=client["client_secret"])["access_token"])

        assert curl(push, TOKEN=token_of(provider))["rows"] == 3
        [record] = curl(query, TOKEN=token_of(consumer))["records"]
        assert record["values"] == {"entity_name": "华为技术有限公司"}


@contextmanager
def door(shell: dict[str, str], port: int) -> Iterator[None]:
    """The HTTP door of the example's house, and the database it needs."""
    command = [sys.executable, "-c", SERVE, str(port)]
    with subprocess.Popen(command, cwd=ROOT, env=shell, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        try:
            for _ in range(300):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.2)
            yield
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=60)


def test_a_mistake_is_two_sentences_and_an_exit_code(shell: dict[str, str]) -> None:
    problem = run("exchange explain legal_entity 000000000000000000", shell, code=7)
    assert problem["code"] == "not-found"
    assert problem["zh"]
    assert problem["en"]
