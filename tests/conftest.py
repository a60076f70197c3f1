"""Fixtures: one real PostgreSQL for the session, and a real, empty house for every test.

A house costs about 0.3 s: its control database is copied from a migrated template, its lake database is empty, its
folders are temporary. Prefer inline data (tests/make.py) to a new shared fixture.
"""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg
import pytest

from exchange.databases import Databases
from exchange.house import House
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import Settings, read_settings
from infra import postgres

TEST_DATA = os.environ.get("EXCHANGE_TEST_DATA")
os.environ.pop("COLUMNS", None)  # a worker inherits one; what commands print is as wide as the test that runs them says


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the session's PostgreSQL keeps its files, its log and write-ahead log included."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[Databases]:
    """The session's PostgreSQL, with a migrated control database to copy from."""
    settings = read_settings(data=server_folder / "var", keys=server_folder / "keys", _env_file=None)
    seal = Seal.create(settings.key_folder)
    with postgres.running(settings, seal):
        databases = Databases.find(settings, seal)
        migrate(databases, seal, settings)
        with psycopg.connect(databases.control.url(), autocommit=True) as connection:
            connection.execute("DELETE FROM house")
        assert databases.admin is not None
        with psycopg.connect(databases.admin.url(), autocommit=True) as connection:
            # Only our own processes are killed in tests, never the machine: the disk need not be waited for.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET full_page_writes = off")
            connection.execute("SELECT pg_reload_conf()")
        yield databases


@pytest.fixture
def settings(server: Databases, tmp_path: Path) -> Iterator[Settings]:
    """Settings of an empty house; its databases are its own, but Airflow's, which few tests touch."""
    with settings_in(server, tmp_path) as made:
        yield made


@pytest.fixture
def house(settings: Settings) -> Iterator[House]:
    """A real, empty house. Its control database is a copy of a migrated one, so all it lacks is its own key's mark."""
    with house_of(settings) as opened:
        yield opened


@contextmanager
def settings_in(server: Databases, folder: Path) -> Iterator[Settings]:
    """Settings of an empty house in a folder, for as long as the block: also for a module that looks at one house often."""
    assert server.admin is not None
    name = f"t{secrets.token_hex(6)}"
    with psycopg.connect(server.admin.url(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE exchange OWNER exchange")
        connection.execute(f"CREATE DATABASE {name}_lake OWNER exchange_lake")
    yield read_settings(
        _env_file=None,
        data=folder / "var",
        keys=folder / "keys",
        database_url=replace(server.control, database=name).url(),
        lake_url=replace(server.lake, database=f"{name}_lake").url(),
        airflow_url=server.airflow.url(),
        memory_limit="1GB",
        spare_disk="1MiB",
    )
    with psycopg.connect(server.admin.url(), autocommit=True) as connection:
        for database in (name, f"{name}_lake"):
            connection.execute(f"DROP DATABASE {database} WITH (FORCE)")


@contextmanager
def house_of(settings: Settings) -> Iterator[House]:
    """An empty house of these settings, for as long as the block."""
    seal = Seal.create(settings.key_folder)
    with psycopg.connect(Databases.find(settings, seal).control.url()) as connection:
        connection.execute('INSERT INTO house ("only", key_fingerprint) VALUES (true, %s)', (seal.fingerprint(),))
    opened = House.open(settings)
    yield opened
    opened.registry.close()


@pytest.fixture(scope="session")
def registry_files() -> Path:
    """The folder of real registry files (EXCHANGE_TEST_DATA)."""
    if TEST_DATA is None:
        if os.environ.get("EXCHANGE_REQUIRE_TEST_DATA") == "1":
            pytest.fail("EXCHANGE_REQUIRE_TEST_DATA=1 but EXCHANGE_TEST_DATA names no folder")
        pytest.skip("EXCHANGE_TEST_DATA names no folder of real registry files")
    folder = Path(TEST_DATA)
    if not folder.is_dir():
        pytest.fail(f"EXCHANGE_TEST_DATA={folder} is not a folder")
    return folder


def pytest_report_header() -> str:
    if TEST_DATA is None:
        return "*** real registry files NOT tested: EXCHANGE_TEST_DATA is not set ***"
    return f"real registry files: {TEST_DATA}"
