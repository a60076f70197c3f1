"""DAGs come from the catalogue's snapshot: quickly, without a database, and a bad entry harms only itself.

Each test reads the DAG file in a process of its own, as Airflow does: importing Airflow here would cost every other test.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

READ = """
import time, json, sys
from airflow.sdk import DAG, Asset, AssetAny, get_current_context, get_parsing_context, task
before = set(sys.modules)
started = time.perf_counter()
sys.path.insert(0, {folder!r})
import exchange_dags
took = time.perf_counter() - started
dags = {{name: value for name, value in vars(exchange_dags).items() if type(value).__name__ == "DAG"}}
print(json.dumps({{
    "took": took,
    "loaded": sorted({{name.split(".")[0] for name in set(sys.modules) - before}}),
    "dags": {{
        name: {{
            "tasks": {{task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks}},
            "schedule": type(dag.schedule).__name__,
            "needs": sorted(asset.uri for asset in getattr(dag.schedule, "asset_condition", dag.schedule).objects)
                     if type(dag.schedule).__name__.startswith("Asset") else [],
            "updates": sorted(asset.uri for task in dag.tasks for asset in task.outlets),
            "at_once": dag.max_active_runs,
            "description": dag.description,
        }}
        for name, dag in dags.items()
    }},
}}))
"""


def read_dags(data: Path, snapshot: object | None, *, wanted: str | None = None) -> dict[str, Any]:
    """What Airflow would find, as plain values."""
    data.mkdir(exist_ok=True)
    if snapshot is not None:
        (data / "catalogue.json").write_text(json.dumps(snapshot))
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(data / "airflow"),
        "EXCHANGE_DATA": str(data),
        "PYTHONPATH": str(ROOT),
        **({"_AIRFLOW_PARSING_CONTEXT_DAG_ID": wanted} if wanted else {}),
    }
    done = subprocess.run(
        [sys.executable, "-c", READ.format(folder=str(ROOT / "dags"))],
        env=environment,
        cwd=data,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def resource(name: object) -> dict[str, Any]:
    return {"id": name, "title": "户籍人口", "department": "11410000005184603J"}


def base(name: str, *resources: str) -> dict[str, Any]:
    return {"id": name, "title": "人口", "key_sources": [{"resource": each, "item": "id_number"} for each in resources]}


def theme(name: str, *reads: str) -> dict[str, Any]:
    return {
        "id": name,
        "title": "婚姻",
        "department": "11410000005184603J",
        "reads": {each: ["id_number"] for each in reads},
    }


def test_a_base_waits_for_what_feeds_its_satellites_and_for_midnight_where_its_authority_is_dated(tmp_path: Path) -> None:
    satellite = {"id": "permits", "parent_sources": [{"resource": "permit", "item": "holder"}], "fields": [{"name": "no"}]}
    dated = {"name": "name", "authority": [{"since": "2026-07-01", "sources": []}]}
    population = base("population", "household") | {"satellites": [satellite]}
    bases = [population, population | {"id": "turning", "fields": [dated]}]
    found = read_dags(tmp_path, {"resources": [], "bases": bases})["dags"]
    shown = {name: (dag["schedule"], dag["needs"]) for name, dag in found.items() if name != "clock"}
    needed = ["pool://household/", "pool://permit/"]
    assert shown == {"base_population": ("AssetAny", needed), "base_turning": ("AssetOrTimeSchedule", needed)}


def test_a_catalogue_becomes_dags(tmp_path: Path) -> None:
    found = read_dags(
        tmp_path,
        {
            "resources": [resource("household"), resource("marriage")],
            "bases": [base("population", "marriage", "household")],
            "themes": [theme("couples", "pool:marriage", "base:population")],
        },
    )["dags"]
    assert found == {
        "clock": {
            "tasks": {"overdue": [], "renumber": [], "age_out": [], "verify": ["purge"], "purge": []},
            "schedule": "str",
            "needs": [],
            "updates": [],
            "at_once": 1,
            "description": None,
        },
        "push_household": {
            "tasks": {"check": ["pool"], "pool": []},
            "schedule": "NoneType",
            "needs": [],
            "updates": ["pool://household/"],
            "at_once": 1,
            "description": "户籍人口",
        },
        "push_marriage": {
            "tasks": {"check": ["pool"], "pool": []},
            "schedule": "NoneType",
            "needs": [],
            "updates": ["pool://marriage/"],
            "at_once": 1,
            "description": "户籍人口",
        },
        "base_population": {
            "tasks": {"merge": ["swap"], "swap": []},
            "schedule": "AssetAny",
            "needs": ["pool://household/", "pool://marriage/"],
            "updates": ["base://population/"],
            "at_once": 1,
            "description": "人口",
        },
        "theme_couples": {
            "tasks": {"refresh": ["serve"], "serve": []},
            "schedule": "AssetAny",
            "needs": ["base://population/", "pool://marriage/"],
            "updates": [],
            "at_once": 1,
            "description": "婚姻",
        },
    }


def test_before_the_first_catalogue_there_is_the_clock(tmp_path: Path) -> None:
    assert list(read_dags(tmp_path, None)["dags"]) == ["clock"]


BAD = [
    ({"resources": [resource("good"), resource("../etc")], "bases": []}, "broken_push_2", "id 应匹配"),
    ({"resources": [resource("good"), resource("line\n")], "bases": []}, "broken_push_2", "id 应匹配"),
    ({"resources": [resource("good"), resource(None)], "bases": []}, "broken_push_2", "found None"),
    ({"resources": [resource("good"), "text"], "bases": []}, "broken_push_2", "expected an object, found str"),
    ({"resources": [resource("good")], "bases": [base("alone")]}, "base_alone", "base alone has no key_sources"),
    ({"resources": [resource("good")], "bases": [base("odd", "A B")]}, "base_odd", "resource 应匹配"),
    (
        {"resources": [resource("good")], "themes": [theme("blind")]},
        "theme_blind",
        "theme blind does not say what it reads",
    ),
    ({"resources": [resource("good")], "themes": [theme("odd", "lake:x")]}, "theme_odd", "theme odd does not say"),
]


@pytest.mark.parametrize(("snapshot", "dag_id", "finding"), BAD)
def test_a_bad_entry_breaks_its_own_dag_only(tmp_path: Path, snapshot: object, dag_id: str, finding: str) -> None:
    found = read_dags(tmp_path, snapshot)["dags"]
    assert set(found) == {"clock", "push_good", dag_id}
    assert found["push_good"]["tasks"] == {"check": ["pool"], "pool": []}
    assert found[dag_id]["tasks"] == {"catalogue_entry": []}
    assert finding in found[dag_id]["description"]


def test_a_task_reads_its_own_dag_alone(tmp_path: Path) -> None:
    snapshot = {"resources": [resource("household"), resource("marriage")], "bases": [base("population", "household")]}
    assert list(read_dags(tmp_path, snapshot, wanted="push_marriage")["dags"]) == ["push_marriage"]
    assert list(read_dags(tmp_path, snapshot, wanted="clock")["dags"]) == ["clock"]


def test_500_resources_are_read_in_two_seconds_without_anything_heavy(tmp_path: Path) -> None:
    resources = [resource(f"resource_{number}") for number in range(500)]
    bases = [base(f"base_{number}", *(f"resource_{n}" for n in range(number, number + 10))) for number in range(20)]
    found = read_dags(tmp_path, {"resources": resources, "bases": bases})
    assert len(found["dags"]) == 521
    assert found["took"] <= 2.0
    assert {"duckdb", "great_expectations", "polars", "pyarrow", "psycopg", "psycopg2", "lmdb"}.isdisjoint(found["loaded"])


TELLING = """
import sys
sys.path.insert(0, {folder!r})
import duckdb
import exchange_dags
from exchange.errors import NotFound, Unavailable

def stumbles() -> str:
    return duckdb.sql("SELECT CAST('11010519491231002X' AS INTEGER)").fetchone()[0]

def misses() -> str:
    raise NotFound("没有", "none")

def waits() -> str:
    raise Unavailable("没有应答", "no answer")

for work in (stumbles, misses, waits):
    try:
        exchange_dags.careful(work)()
    except Exception as error:
        print(type(error).__name__, "|", error, "|", error.__cause__, error.__suppress_context__)
"""


def test_an_error_of_the_engine_reaches_the_log_without_the_value_it_quotes(tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "AIRFLOW_HOME": str(tmp_path),
        "EXCHANGE_DATA": str(tmp_path),
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", TELLING.format(folder=str(ROOT / "dags"))],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    engine, ours, away = done.stdout.splitlines()[-3:]
    assert engine.startswith("AirflowException | ConversionException at <string>:")
    assert "11010519491231002X" not in done.stdout + done.stderr
    assert engine.endswith("| None True")
    assert ours == "AirflowFailException | not-found: 没有 / none | None True"  # not tried again
    assert away == "AirflowException | 没有应答 / no answer | None True"  # tried again
