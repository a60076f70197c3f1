"""The embedded PostgreSQL: one server a data folder, gone with its last user, passwords asked."""

import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from exchange.databases import Databases
from exchange.errors import KeyMissing
from exchange.house import House
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import Settings, read_settings
from infra import postgres

USER = """
import sys
from exchange.seal import Seal
from exchange.settings import read_settings
from infra import postgres
settings = read_settings(_env_file=None, data=sys.argv[1], keys=sys.argv[2])
with postgres.running(settings, Seal.open(settings.key_folder)):
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Settings:
    return read_settings(_env_file=None, data=tmp_path / "var", keys=tmp_path / "keys")


def answers(databases: Databases) -> bool:
    assert databases.admin is not None
    try:
        with psycopg.connect(databases.admin.url(), connect_timeout=2):
            return True
    except psycopg.OperationalError:
        return False


def another_user(settings: Settings) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", USER, settings.root, settings.key_folder],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1],
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_it_stops_with_its_last_user_and_keeps_what_was_written(embedded: Settings) -> None:
    seal = Seal.create(embedded.key_folder)
    with postgres.running(embedded, seal):
        databases = Databases.find(embedded, seal)
        migrate(databases, seal, embedded)
        other = another_user(embedded)
    assert answers(databases)
    other.communicate("bye\n", timeout=30)
    assert not answers(databases)
    with postgres.running(embedded, seal), psycopg.connect(databases.control.url()) as connection:
        assert connection.execute("SELECT key_fingerprint FROM house").fetchone() == (seal.fingerprint(),)


def test_a_user_killed_without_warning_does_not_keep_it_running_for_ever(embedded: Settings) -> None:
    seal = Seal.create(embedded.key_folder)
    with postgres.running(embedded, seal):
        databases = Databases.find(embedded, seal)
        other = another_user(embedded)
        other.kill()
        other.communicate(timeout=30)
        assert answers(databases)
    assert not answers(databases)


def test_nobody_gets_in_without_the_password(embedded: Settings) -> None:
    seal = Seal.create(embedded.key_folder)
    with postgres.running(embedded, seal):
        admin = Databases.find(embedded, seal).admin
        assert admin is not None
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@{admin.host}:{admin.port}/postgres")


def test_each_database_has_its_own_role(embedded: Settings) -> None:
    seal = Seal.create(embedded.key_folder)
    with postgres.running(embedded, seal):
        databases = Databases.find(embedded, seal)
        migrate(databases, seal, embedded)
        control = databases.control
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(
                f"postgresql://{control.user}:{control.password}@{control.host}:{control.port}/{databases.lake.database}"
            )


def test_another_master_key_is_told_as_that_and_not_as_a_silent_server(embedded: Settings, tmp_path: Path) -> None:
    seal = Seal.create(embedded.key_folder)
    with postgres.running(embedded, seal):
        migrate(Databases.find(embedded, seal), seal, embedded)
    original = (embedded.key_folder / "master.key").read_text()
    (embedded.key_folder / "master.key").write_text("ab" * 32 + "\n")
    wrong = Seal.open(embedded.key_folder)
    with postgres.running(embedded, wrong):
        for action in (
            lambda: migrate(Databases.find(embedded, wrong), wrong, embedded),
            lambda: House.open(embedded),
        ):
            with pytest.raises(KeyMissing, match=r"不是初始化时的那一把.*does not fit the data folder"):
                action()
    (embedded.key_folder / "master.key").write_text(original)
    with postgres.running(embedded, Seal.open(embedded.key_folder)):
        House.open(embedded).registry.close()
