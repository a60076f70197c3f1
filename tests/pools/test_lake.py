"""The lake keeps what was pushed out of PostgreSQL: its tables, and its log."""

import threading
from pathlib import Path

import psycopg
import pytest

from exchange.databases import Databases
from exchange.errors import SettingError
from exchange.house import House
from pools import index, lake, merge
from tests.pools.given import entered, item, pooled, resource
from tests.pools.test_index import CIVIL, PEOPLE, POLICE

CANARIES = ("CANARYNAME", "CANARYKEY", "13899990000")


def found_in_catalogue(house: House) -> list[str]:
    """Every cell of every table of the lake's catalogue that holds a canary."""
    found = []
    with psycopg.connect(house.databases.lake.url()) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in tables:
            for (row,) in connection.execute(f"SELECT t::text FROM {table} t"):  # type: ignore[arg-type]
                found += [f"{table}: {word}" for word in CANARIES if word in row]
    return found


def test_pushed_values_are_nowhere_in_the_catalogue(house: House) -> None:
    entered(house, POLICE, CIVIL, PEOPLE)
    people = [{"id": f"CANARYKEY{n}", "name": f"CANARYNAME{n}"} for n in range(50)]
    for batch in (1, 2):
        pooled(house, POLICE, batch, people)
        pooled(house, CIVIL, batch, [{"id": "CANARYKEY1", "name": "CANARYNAME other", "tel": "13899990000"}])
        assert merge.build(house, "people") is not None
    index.swap(house, "base:people")
    assert found_in_catalogue(house) == []
    with psycopg.connect(house.databases.lake.url()) as connection:
        row = connection.execute(
            "SELECT count(*), count(min_value), count(max_value), count(extra_stats), sum(value_count) > 0 FROM ducklake_file_column_stats"
        ).fetchone()
    assert row is not None
    assert row[0] > 0
    assert row[1:] == (0, 0, 0, True)  # counts are kept, values are not


def test_pushed_values_are_nowhere_in_the_log_of_the_server_when_commits_collide(house: House, server: Databases) -> None:
    """DuckLake tries again when another commit took its number; PostgreSQL would log each statement that failed."""
    assert server.admin is not None
    with psycopg.connect(server.admin.url()) as connection:
        row = connection.execute("SHOW data_directory").fetchone()
    assert row is not None
    log = Path(row[0]) / "server.log"
    entries = [resource(f"r{n}", (item("id"), item("name")), ("id",)) for n in range(4)]
    entered(house, *entries)
    lake.prepare(house)
    before = log.stat().st_size

    def push(place: int) -> None:
        for batch in range(1, 4):
            pooled(house, entries[place], batch, [{"id": "CANARYKEY", "name": f"CANARYNAME{n}"} for n in range(50)])

    threads = [threading.Thread(target=push, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with log.open("rb") as file:
        file.seek(before)
        written = file.read().decode()
    assert "duplicate key value" in written  # they did collide
    assert [word for word in CANARIES if word in written] == []


def test_a_server_that_would_log_values_is_refused_with_the_remedy(house: House, server: Databases) -> None:
    assert server.admin is not None
    database, role = house.databases.lake.database, house.databases.lake.user
    with psycopg.connect(server.admin.url(), autocommit=True) as connection:
        connection.execute(f"ALTER DATABASE {database} SET log_min_error_statement = 'error'")  # type: ignore[arg-type]
        connection.execute(f"ALTER DATABASE {database} SET log_statement = 'all'")  # type: ignore[arg-type]
    remedy = f"ALTER ROLE {role} SET log_min_error_statement = 'panic'; ALTER ROLE {role} SET log_statement = 'none'"
    with pytest.raises(SettingError, match=remedy):
        lake.prepare(house)


def test_preparing_at_the_same_time_is_preparing_once(house: House) -> None:
    failures: list[Exception] = []

    def prepare() -> None:
        try:
            lake.prepare(house)
        except Exception as error:  # noqa: BLE001  every failure is the finding
            failures.append(error)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with lake.opened(house) as connection:
        assert connection.execute("SELECT count(*) FROM lake.snapshots()").fetchone() == (1,)
