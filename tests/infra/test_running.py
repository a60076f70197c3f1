"""Everything running for real: PostgreSQL, the HTTP door, Airflow's scheduler with its workers, the courier."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest
from sqlalchemy import select

from exchange import catalogue
from exchange.callers import Caller
from exchange.house import House
from exchange.intake import landing, pushes
from exchange.intake.parcel import Declaration
from exchange.registry.models import Push
from exchange.seal import digest_hex
from exchange.settings import Settings, read_settings
from infra import airflow, postgres
from infra.demo.city import City, Parcel
from infra.demo.run import CATALOGUE
from infra.up import api_address, prepare, services, wait_until_ready, with_ports
from pools import merge
from quality import gate

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
PATIENCE = 300.0


@dataclass
class Town:
    """A running house with a small city in it."""

    house: House
    client: airflow.Client
    city: City
    landed: dict[str, str] = field(default_factory=dict)

    def push(self, parcel: Parcel) -> str:
        department = catalogue.resource(self.house, parcel.resource).department
        digest = digest_hex(parcel.path.read_bytes())
        declaration = Declaration(parcel.resource, parcel.batch, "full", parcel.rows, "sm3", digest, parcel.path.name)
        receipt = landing.land_file(self.house, Caller(None, department), declaration, parcel.path, "cli")
        self.landed[f"{parcel.resource}_{parcel.batch}"] = receipt.id
        return receipt.id

    def send(self, name: str) -> str:
        return self.push(self.city.parcel(next(sheet for sheet in self.city.sheets if sheet.name == name)))

    def state(self, push_id: str) -> str:
        return pushes.get(self.house, push_id).state


def until(true: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Seconds it took; fails when it does not come true."""
    started = time.monotonic()
    while not true():
        assert time.monotonic() - started < seconds
        time.sleep(0.2)
    return time.monotonic() - started


def folders(root: Path) -> Settings:
    chosen = {"data": root / "var", "keys": root / "keys", "api_port": 0, "airflow_port": 0, "spare_disk": "1MiB"}
    return with_ports(read_settings(_env_file=None, **chosen))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    root = tmp_path_factory.mktemp("running")
    settings = folders(root)
    from exchange.seal import Seal

    seal = Seal.create(settings.key_folder)
    with postgres.running(settings, seal):
        prepare(settings)
        house = House.open(settings)
        with services(settings) as kept, airflow.Client(settings, seal) as client:
            wait_until_ready(kept, seal)
            city = City(root / "city", 2000)
            yield Town(house, client, city)
            city.close()
        house.registry.close()
    assert left_of(settings) == []


def left_of(settings: Settings) -> list[str]:
    """Command lines of processes that belong to a house: by what they were told in their environment, or on their line."""
    mark, found = str(settings.root).encode(), []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
                line, told = (entry / "cmdline").read_bytes(), (entry / "environ").read_bytes()
            except OSError:
                continue
            if state != "Z" and (mark in line or b"EXCHANGE_DATA=" + mark in told):
                found.append(line.replace(b"\0", b" ").decode(errors="replace"))
    return found


def test_a_new_catalogue_is_read_within_seconds(town: Town) -> None:
    assert set(town.client.dags()) == {"clock"}
    catalogue.load(town.house, CATALOGUE)
    took = until(lambda: "push_police_household" in town.client.dags())
    assert len(town.client.dags()) == 1 + 14 + 2
    assert took < 30


def test_a_landed_push_is_judged_pooled_and_merged(town: Town) -> None:
    push = town.send("police_household_1")
    until(lambda: town.state(push) == "pooled")
    until(lambda: town.client.run_state("push_police_household", push) == "success")
    until(lambda: merge.was_built(town.house, "population"))
    assert gate.verdict(town.house, push).decision == "accepted"
    with town.house.registry.session() as session:
        assert session.scalars(select(Push.id).where(Push.dispatched_at.is_(None))).all() == []


def test_the_same_run_is_not_started_twice(town: Town) -> None:
    push = town.landed["police_household_1"]
    assert town.client.trigger("push_police_household", push, {"push_id": push}) is False


def test_a_held_push_is_pooled_once_it_is_confirmed(town: Town) -> None:
    until(lambda first=town.send("fund_account_1"): town.state(first) == "pooled")  # type: ignore[misc]
    held = town.send("fund_account_2")
    until(lambda: town.state(held) == "held")
    until(lambda: town.client.run_state("push_fund_account", held) == "success")
    department = pushes.get(town.house, held).department
    gate.confirm(town.house, Caller(None, department, "经办员"), held)
    until(lambda: town.state(held) == "pooled")
    until(lambda: town.client.run_state("push_fund_account", f"{held}.confirmed") == "success")


def test_a_rejected_push_ends_its_run_and_pools_nothing(town: Town) -> None:
    until(lambda first=town.send("hr_insurance_1"): town.state(first) == "pooled")  # type: ignore[misc]
    rejected = town.send("hr_insurance_2")
    until(lambda: town.state(rejected) == "rejected")
    until(lambda: town.client.run_state("push_hr_insurance", rejected) == "success")
    assert town.state(rejected) == "rejected"


def test_no_value_that_was_pushed_is_in_any_log(town: Town) -> None:
    """Including those that were wrong: numbers as they were sent, and names."""
    numbers = town.city.engine.execute("SELECT sent_id_number FROM sent_police_household_1").fetchall()
    names = town.city.engine.execute("SELECT DISTINCT household_address FROM sent_police_household_1 LIMIT 500").fetchall()
    canaries = {str(value).strip() for (value,) in [*numbers, *names] if value is not None}
    logs = [path for path in (town.house.settings.root / "logs").rglob("*") if path.is_file()]
    assert len(logs) > 20
    for path in logs:
        text = path.read_text(errors="replace")
        assert [canary for canary in canaries if canary in text] == [], path


UP = "from exchange.settings import read_settings; from infra.up import up; raise SystemExit(up(read_settings(_env_file=None)))"


@pytest.mark.parametrize("told", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_however_it_ends_nothing_is_left(tmp_path: Path, told: signal.Signals) -> None:
    settings = folders(tmp_path)
    from exchange.seal import Seal

    with postgres.running(settings, Seal.create(settings.key_folder)):
        prepare(settings)
    environment = os.environ | airflow.own_settings(settings) | {"PYTHONPATH": str(airflow.ROOT)}
    process = subprocess.Popen([sys.executable, "-c", UP], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("Ctrl-C"):
            break
    assert httpx.get(f"{api_address(settings)}/health", trust_env=False).status_code == 200
    assert len(left_of(settings)) > 5
    process.send_signal(told)
    assert process.wait(60) == (-9 if told is signal.SIGKILL else 0)
    until(lambda: left_of(settings) == [], 60)
    process.stdout.close()
