"""Everything running for real: PostgreSQL, the HTTP door, Airflow's scheduler with its workers, the courier."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import httpx
import psycopg
import pytest
from sqlalchemy import select, update

from exchange import catalogue
from exchange.callers import Caller
from exchange.databases import Address
from exchange.events import Tag
from exchange.house import House
from exchange.intake import landing, pushes
from exchange.intake.parcel import Declaration
from exchange.registry.models import BaseBuild, Event, Push, Resource, ResourceVersion, ServingIndex
from exchange.seal import digest_hex
from exchange.settings import Settings, read_settings
from infra import airflow, postgres
from infra.courier import AT_ONCE
from infra.demo.city import City, Parcel
from infra.demo.run import CATALOGUE
from infra.up import api_address, prepare, services, wait_until_ready, with_ports
from pools import lake, merge, pool, way
from quality import check, gate, report
from tests.searching import dump, files_with, write_names

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

    def log(self, dag: str, run: str, task: str, attempt: int) -> Path:
        """What Airflow wrote of one try of a task."""
        folder = self.house.settings.root / "logs" / "airflow"
        return folder / f"dag_id={dag}" / f"run_id={run}" / f"task_id={task}" / f"attempt={attempt}.log"

    def tries(self, dag: str) -> dict[str, tuple[int, str]]:
        """How often each task of the DAG's newest run was tried, and how it ended, by Airflow's own metadata."""
        newest = "SELECT run_id FROM dag_run WHERE dag_id = %s ORDER BY run_after DESC LIMIT 1"
        with psycopg.connect(self.house.databases.airflow.url()) as connection:
            found = connection.execute(
                f"SELECT task_id, try_number, state FROM task_instance WHERE dag_id = %s AND run_id = ({newest})",
                (dag, dag),
            ).fetchall()
        return {task: (number, state) for task, number, state in found}


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
    known = catalogue.current(town.house)
    assert len(town.client.dags()) == 1 + len(known.resources) + len(known.bases) + len(known.themes) == 29
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


# ── a task stumbles, a task is killed ────────────────────────────────────────────────────────────────────────────────


@contextmanager
def locked(address: Address, statement: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Whoever else needs what this statement locks waits until the block ends."""
    with psycopg.connect(address.url()) as connection:
        connection.execute(statement)  # type: ignore[arg-type]
        yield connection


def test_pushes_whose_dag_is_gone_hold_nobody_up(town: Town) -> None:
    """More of them than the courier carries at once, and all of them older."""
    version = catalogue.resource(town.house, "police_household").version
    with town.house.registry.session() as session:
        definition = session.get_one(ResourceVersion, ("police_household", version)).definition
        owner = catalogue.resource(town.house, "police_household").department
        session.add(Resource(id="gone", code="gone/1", department_code=owner, current=1))
        session.flush()
        session.add(ResourceVersion(resource_id="gone", version=1, definition=definition, digest="-"))
        session.flush()
        for number in range(AT_ONCE + 20):
            session.add(
                Push(
                    id=f"P200101-{number:010x}", resource_id="gone", resource_version=1, department_code=owner, door="cli",
                    batch=number, mode="full", rows=1, bytes=1, algorithm="sm3", digest=f"{number:064x}", shape={},
                    received_at=datetime(2020, 1, 1, tzinfo=UTC),
                )
            )  # fmt: skip
    until(lambda push=town.send("civil_marriage_1"): town.state(push) == "pooled", 120)  # type: ignore[misc]
    with town.house.registry.session() as session:
        assert len(session.scalars(select(Push.id).where(Push.dispatched_at.is_(None))).all()) == AT_ONCE + 20
        session.execute(update(Push).where(Push.resource_id == "gone").values(dispatched_at=datetime.now(UTC)))


def test_a_task_that_stumbles_over_data_says_where_and_never_what(town: Town) -> None:
    """The judged rows are damaged on disk so that the engine's own message quotes a person; mended, a retry goes through."""
    lock = "SELECT pg_advisory_xact_lock(hashtextextended('pool_civil_allowance', 0))"
    with locked(town.house.databases.control, lock) as connection:
        push = town.send("civil_allowance_1")
        waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'advisory'"
        until(lambda: town.state(push) == "accepted" and connection.execute(waiting).fetchone() == (1,))
        staged = check.noted_file(town.house, push)
        whole = staged.read_bytes()
        with town.house.duckdb() as engine:
            damaged = f"SELECT * REPLACE (id_number || name AS monthly_amount) FROM {check.relation(staged)}"
            check.write(engine, damaged, staged)
            with pytest.raises(duckdb.ConversionException, match=r"\d{17}"):
                engine.execute(f"SELECT sum(monthly_amount::DECIMAL(18, 2)) FROM {check.relation(staged)}")
    first = town.log("push_civil_allowance", push, "pool", 1)
    until(lambda: first.exists() and "ConversionException" in first.read_text())
    staged.write_bytes(whole)
    until(lambda: town.state(push) == "pooled")
    until(lambda: town.client.run_state("push_civil_allowance", push) == "success")
    assert town.tries("push_civil_allowance") == {"check": (1, "success"), "pool": (2, "success")}


def killed_when_writing(town: Town, dag: str, task: str, table: str) -> None:
    """SIGKILL for the process that Airflow says runs this task, once it waits to write a table that we hold."""
    databases = town.house.databases
    running = "SELECT pid FROM task_instance WHERE dag_id = %s AND task_id = %s AND state = 'running'"
    waiting = (
        "SELECT client_port FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE NOT granted AND relation = %s::regclass"
    )
    with (
        locked(databases.control, f"LOCK TABLE {table} IN SHARE MODE") as connection,
        psycopg.connect(databases.airflow.url(), autocommit=True) as airflows,
    ):
        for _ in range(int(PATIENCE / 0.2)):
            time.sleep(0.2)
            connection.execute("SELECT pg_stat_clear_snapshot()")
            ports = {port for (port,) in connection.execute(waiting, (table,))}
            for (pid,) in airflows.execute(running, (dag, task)).fetchall():
                if ports & ports_of(pid):
                    assert pid in below(os.getpid())
                    os.kill(pid, signal.SIGKILL)
                    until(lambda gone=pid: gone not in below(os.getpid()), 30)  # type: ignore[misc]
                    return
    pytest.fail(f"{dag}.{task} never wanted to write {table}")


def ports_of(pid: int) -> set[int]:
    """Local ports of a process's open TCP connections."""
    try:
        opened = {str(descriptor.readlink()) for descriptor in Path(f"/proc/{pid}/fd").iterdir()}
        lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    except OSError:
        return set()
    return {int(line[1].rpartition(":")[2], 16) for line in lines if f"socket:[{line[9]}]" in opened}


def below(ancestor: int) -> set[int]:
    """Every living process that descends from one."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z":
                    parents[int(entry.name)] = int(parent)
    found, frontier = set(), {ancestor}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        found |= frontier
    return found


def built_and_served(town: Town, base: str, number: int) -> bool:
    with town.house.registry.session() as session:
        built = merge.last_build(session, base)
        served = session.get(ServingIndex, f"base:{base}")
        return built is not None and served is not None and (built.number, served.version) == (number, built.id)


def content(house: House, resource: str, base: str) -> list[list[tuple[object, ...]]]:
    """All rows of a pool and of a base with its conflicts, in order; without the receipt, which is drawn."""
    queries = (
        f"SELECT * EXCLUDE (_push) FROM {pool.rows_sql(house, resource)} ORDER BY _row",
        f"SELECT * FROM lake.{merge.table(base)} ORDER BY uscc",
        f"SELECT * FROM lake.{merge.conflict_table(base)} ORDER BY key, field, loser",
    )
    with lake.opened(house) as connection:
        return [connection.execute(query).fetchall() for query in queries]


def test_tasks_killed_while_they_work_are_run_again_and_nothing_is_doubled_or_lost(town: Town, house: House) -> None:
    """check, pool and merge each die when all their work is done and only its record is not yet written."""
    until(lambda first=town.send("tax_payer_1"): town.state(first) == "pooled")  # type: ignore[misc]
    until(lambda: built_and_served(town, "legal_entity", 1))
    push = town.send("market_entity_1")
    killed_when_writing(town, "push_market_entity", "check", "verdict")
    killed_when_writing(town, "push_market_entity", "pool", "pool_commit")
    killed_when_writing(town, "base_legal_entity", "merge", "base_build")
    until(lambda: built_and_served(town, "legal_entity", 2))
    until(lambda: town.client.run_state("push_market_entity", push) == "success")
    until(lambda: {run["state"] for run in town.client.runs("base_legal_entity")} == {"success"})

    assert town.tries("push_market_entity") == {"check": (2, "success"), "pool": (2, "success")}
    assert town.tries("base_legal_entity")["merge"] == (2, "success")
    with town.house.registry.session() as session:
        tags = session.scalars(select(Event.tag).where(Event.object_id == push).order_by(Event.id)).all()
        builds = session.scalars(select(BaseBuild).where(BaseBuild.base_id == "legal_entity").order_by(BaseBuild.number))
        assert [built.number for built in builds] == [1, 2]
    assert tags == [Tag.PARCEL_LANDED, Tag.PUSH_DECIDED, Tag.PUSH_POOLED, Tag.INDEX_SWAPPED]
    with lake.opened(town.house) as connection:
        assert len(lake.by_author(connection, "pool:market_entity")) == 1
        assert len(lake.by_author(connection, "base:legal_entity")) == 2
    undisturbed(house, town)
    same = content(town.house, "market_entity", "legal_entity")
    assert same == content(house, "market_entity", "legal_entity")
    assert all(same)


def undisturbed(house: House, town: Town) -> None:
    """The same two files in another house, without a scheduler and without a kill."""
    lake.prepare(house)
    catalogue.load(house, CATALOGUE)
    other = Town(house, town.client, town.city)
    for name in ("tax_payer_1", "market_entity_1"):
        way.process(house, other.send(name))
        way.rebuild(house, "legal_entity")


# ── what was pushed is nowhere else ──────────────────────────────────────────────────────────────────────────────────

PERSONAL = ("id_number", "name", "address", "mobile", "phone")  # what the names of personal items end with


def personal_values(city: City) -> set[str]:
    """Of everything that was sent, right and wrong: numbers as they were sent and as they should be, names, addresses."""
    columns = city.engine.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE starts_with(table_name, 'sent_')"
    ).fetchall()
    found = set()
    for table, column in columns:
        if column.endswith(PERSONAL):
            found |= {
                value.strip() for (value,) in city.engine.execute(f"SELECT {column} FROM {table}").fetchall() if value
            }
    return found


def test_no_value_that_was_pushed_is_in_any_log_report_table_or_file(town: Town, tmp_path: Path) -> None:
    """The whole data folder, the server's own files and write-ahead log included, and every table of all three databases."""
    values = personal_values(town.city)
    assert len(values) > 5000
    for push in town.landed.values():
        report.render(town.house, push)
    databases = town.house.databases
    for address in (databases.control, databases.lake, databases.airflow):
        dump(address, tmp_path)
    root = town.house.settings.root
    write_names(root, tmp_path / "names")
    for place in ("logs", "gx", "reports", "landed", "quarantine", "lake", "index", "postgres"):
        assert any(path.is_file() for path in (root / place).rglob("*")), place
    for table in ("task_instance", "dag_run", "xcom", "log", "rendered_task_instance_fields", "asset_event"):
        assert files_with(town.landed.values(), tmp_path / f"exchange_airflow.public.{table}.text") != [], table
    assert files_with(values, tmp_path, root) == []


def test_the_search_would_have_found_what_was_sent(town: Town) -> None:
    sent = {str(path) for path in town.city.folder.glob("*.csv")}
    assert sent <= set(files_with(personal_values(town.city), town.city.folder))


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
