"""Starting everything: what stands in the way is named, and what a child process reads is what was set."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from exchange.errors import SettingError
from exchange.house import House
from exchange.settings import Settings, read_settings
from infra import airflow
from infra.demo import run
from infra.up import with_ports


def test_a_taken_port_is_named(settings: Settings) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(SettingError, match=f"端口 127.0.0.1:{port} 不能使用.*请修改 EXCHANGE_AIRFLOW_PORT"):
            with_ports(settings.model_copy(update={"api_port": 0, "airflow_port": port}))


def test_port_zero_becomes_a_free_one(settings: Settings) -> None:
    found = with_ports(settings.model_copy(update={"api_port": 0, "airflow_port": 0}))
    assert found.api_port > 0
    assert found.airflow_port > 0
    assert found.api_port != found.airflow_port


def test_a_child_reads_the_very_same_settings(settings: Settings) -> None:
    spelled = airflow.own_settings(settings)
    code = "from exchange.settings import read_settings; print(read_settings(_env_file=None).model_dump_json())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(airflow.ROOT)} | spelled,
        capture_output=True,
        text=True,
        check=True,
    )
    theirs = read_settings(_env_file=None, **{k.removeprefix("EXCHANGE_").lower(): v for k, v in spelled.items()})
    assert json.loads(done.stdout) == json.loads(theirs.model_dump_json())
    assert theirs.model_dump() == settings.model_dump() | {"data": settings.root, "keys": settings.key_folder}


def test_airflow_is_told_everything_it_would_otherwise_make_up_or_send_home(house: House) -> None:
    environment = airflow.environment(house.settings, house.seal)
    assert environment["AIRFLOW__CORE__EXECUTOR"] == "LocalExecutor"
    assert environment["AIRFLOW__CORE__PARALLELISM"] == "2"
    assert environment["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert environment["AIRFLOW__USAGE_DATA_COLLECTION__ENABLED"] == "False"
    assert environment["GX_ANALYTICS_ENABLED"] == "false"
    assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert environment["AIRFLOW__API_AUTH__JWT_SECRET"] != environment["AIRFLOW__API__SECRET_KEY"]
    assert environment["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].endswith(house.databases.airflow.database)


def test_the_password_file_is_for_its_owner_alone(house: House) -> None:
    airflow.prepare(house.settings, house.seal)
    path = house.settings.root / "airflow" / "passwords.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == {"admin": airflow.password(house.seal)}


def test_the_demo_does_not_run_in_somebody_s_house(settings: Settings) -> None:
    settings.folder("demo")
    (settings.root / "catalogue.json").write_text("{}")
    with pytest.raises(SettingError, match="EXCHANGE_DATA 另指一个目录"):
        run.run(settings, once=True, scale="10k")
    assert not (settings.root / "demo.scale").exists()


def test_one_folder_is_one_city(settings: Settings) -> None:
    settings.folder("demo")
    (settings.root / "demo.scale").write_text("100000\n")
    with pytest.raises(SettingError, match="a demo city of 100000"):
        run.run(settings, once=True, scale="10m")


@pytest.mark.parametrize("scale", ["", "many", "12", "-5"])
def test_a_scale_that_is_none_is_refused(settings: Settings, scale: str) -> None:
    with pytest.raises(SettingError, match="规模应为 10k、100k、1m、10m"):
        run.run(settings, once=True, scale=scale)
