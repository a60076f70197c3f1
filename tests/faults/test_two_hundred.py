"""Two hundred departments push at the same moment, through one door with little memory: all end, none is left waiting.

The door is a process of its own, so that its memory can be read; the gate and the pools work through what landed afterwards,
several processes at once, as the scheduler does.
"""

import hashlib
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import httpx
import pytest

from exchange import catalogue, clients
from exchange.house import House
from exchange.intake import pushes
from exchange.settings import read_settings
from pools import way
from tests import make
from tests.api.kit import bearer
from tests.intake.test_tus import free_port, server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

DEPARTMENTS = 200
ROWS = 20_000
MEMORY = 200 << 20  # EXCHANGE_MEMORY_LIMIT: of one engine; two work at a time (EXCHANGE_THREADS)
RESIDENT = 1200 << 20  # the process with all it has imported, two engines and two hundred connections
PATIENCE = 600  # seconds for everybody


def code(number: int) -> str:
    return make.uscc(number + 1, kind="11")


def content(number: int) -> bytes:
    return ("编号,名称\n" + "".join(f"{number}-{row},名称{row}\n" for row in range(ROWS))).encode()


def publish(house: House) -> None:
    departments = [{"code": code(number), "name": f"部门{number}"} for number in range(DEPARTMENTS)]
    items = [make.item("code", "编号", "C20", required=True), make.item("name", "名称", "C20")]
    resources = [make.resource(f"r{number}", code(number), items, ["code"]) for number in range(DEPARTMENTS)]
    folder = make.write_catalogue(
        house.settings.root.parent / "catalogue", departments=departments, resources=resources, bases=[]
    )
    catalogue.load(house, folder)


def push(address: str, number: int, token: str) -> tuple[int, float]:
    """The answer's status, and how long it took."""
    data = content(number)
    said = {"x-batch": "1", "x-rows": str(ROWS), "x-digest": f"sha256={hashlib.sha256(data).hexdigest()}", **bearer(token)}
    began = time.monotonic()
    with httpx.Client(trust_env=False, timeout=PATIENCE) as client:
        answer = client.post(f"{address}/v1/resources/r{number}/pushes", content=data, headers=said)
    return answer.status_code, time.monotonic() - began


def peak(process: int) -> int:
    """The most memory a process had, in bytes."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))) << 10


def process(settings: dict[str, Any], push_id: str) -> str:
    """One push through gate and pool, in a process of its own."""
    house = House.open(read_settings(_env_file=None, **settings))
    try:
        return way.process(house, push_id).decision
    finally:
        house.registry.close()


def test_all_end_and_none_starve(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    publish(house)
    tokens = []
    for number in range(DEPARTMENTS):
        client_id, secret = clients.create(house, code(number), "系统")
        tokens.append(clients.token(house, client_id, secret).access_token)
    port = free_port()
    small = House.open(house.settings.model_copy(update={"memory_limit": MEMORY}))
    with server(small, port) as door, ThreadPoolExecutor(DEPARTMENTS) as threads:
        began = time.monotonic()
        address = f"http://127.0.0.1:{port}"
        answers = list(threads.map(lambda number: push(address, number, tokens[number]), range(DEPARTMENTS)))
        took = time.monotonic() - began
        most = peak(door.pid)
    small.registry.close()
    waits = [seconds for _, seconds in answers]
    with capsys.disabled():
        print(
            f"\n{DEPARTMENTS} pushes at once in {took:.1f} s: median {statistics.median(waits):.1f} s, "
            f"longest {max(waits):.1f} s, peak {most >> 20} MB"
        )
    assert [status for status, _ in answers] == [201] * DEPARTMENTS
    assert most < RESIDENT
    assert took < PATIENCE

    settings = {
        "data": str(house.settings.data),
        "keys": str(house.settings.keys),
        "database_url": house.databases.control.url(),
        "lake_url": house.databases.lake.url(),
        "airflow_url": house.databases.airflow.url(),
        "memory_limit": MEMORY,
    }
    landed = pushes.list_pushes(house, limit=500)
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("spawn")) as workers:
        decisions = list(workers.map(process, [settings] * len(landed), [receipt.id for receipt in landed]))
    assert decisions == ["accepted"] * DEPARTMENTS
    assert {receipt.state for receipt in pushes.list_pushes(house, limit=500)} == {"pooled"}
