"""kill -9 in the middle of pooling, merging and swapping: run again, and everything is as if nothing had happened.

Where it dies is chosen by holding the very lock it needs next in PostgreSQL; a second set of tests kills after random times.
Encrypted files differ from run to run, so digests over key-sorted rows are compared.
"""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import func, select

from exchange.databases import Address
from exchange.house import House
from exchange.registry.models import BaseBuild, Event, PoolCommit, ServingIndex
from pools import index, lake, merge, pool
from pools.reader import IndexReader
from tests.pools.given import accepted, entered, pooled, relation
from tests.pools.test_index import CIVIL, PEOPLE, POLICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).parents[2]
BEFORE = [{"id": f"{n:05}", "name": f"甲{n}"} for n in range(2_000)]
AFTER = [{"id": f"{n:05}", "name": f"乙{n % 7}"} for n in range(500, 2_500)]
OTHER = [{"id": f"{n:05}", "name": f"乙{n % 5}", "tel": str(n)} for n in range(1_000, 3_000)]


@pytest.fixture
def city(house: House) -> House:
    """A first version of everything is pooled, merged and served; a second push of the police waits."""
    entered(house, POLICE, CIVIL, PEOPLE)
    pooled(house, POLICE, 1, BEFORE)
    pooled(house, CIVIL, 1, OTHER)
    merge.build(house, "people")
    index.swap(house, "base:people")
    accepted(house, POLICE, 2)
    return house


PUSH = "P261122-police-2"


@contextmanager
def child(house: House, step: str, what: str) -> Iterator["subprocess.Popen[str]"]:
    """The step in a process of its own; killed at the end of the block, however it ends."""
    settings = house.settings
    wanted = {
        "DATA": settings.data,
        "KEYS": settings.keys,
        "DATABASE_URL": settings.database_url.get_secret_value() if settings.database_url else "",
        "LAKE_URL": settings.lake_url.get_secret_value() if settings.lake_url else "",
        "AIRFLOW_URL": settings.airflow_url.get_secret_value() if settings.airflow_url else "",
        "MEMORY_LIMIT": int(settings.memory_limit),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.pools.child", step, what],
        cwd=ROOT,
        env=os.environ | {f"EXCHANGE_{name}": str(value) for name, value in wanted.items()},
        stdin=subprocess.PIPE,
        text=True,
    )
    try:
        if process.stdin is not None:
            process.stdin.write(relation(POLICE, AFTER))
            process.stdin.close()
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@contextmanager
def held(address: Address, table: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Nobody else can write this table inside the block."""
    with psycopg.connect(address.url()) as connection:
        connection.execute(f"LOCK TABLE {table} IN SHARE MODE")  # type: ignore[arg-type]
        yield connection


def killed_when_waiting_for(house: House, step: str, what: str, address: Address, table: str) -> None:
    """Kill the step at the moment it wants to write this table."""
    with held(address, table) as connection, child(house, step, what) as process:
        for _ in range(600):
            waiting = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", (table,)
            ).fetchone()
            if waiting == (1,):
                return
            assert process.poll() is None, "it ended without writing the table"
            time.sleep(0.1)
        pytest.fail(f"it never wanted to write {table}")


def digest(house: House, relation_: str, order: str) -> object:
    with lake.opened(house) as connection:
        return connection.execute(
            f"SELECT count(*), md5(string_agg(t::VARCHAR, chr(10) ORDER BY {order})) FROM {relation_} t"
        ).fetchone()


def pool_digest(house: House) -> object:
    return digest(house, f"(SELECT * EXCLUDE (_bucket) FROM {pool.rows_sql(house, 'police')})", "id")


def base_digests(house: House) -> list[object]:
    return [digest(house, "lake.base_people", "id"), digest(house, "lake.base_people_conflict", "key, field, loser")]


def expected_pool(house: House) -> object:
    rows = f"(SELECT _row, 2::BIGINT AS _batch, '{PUSH}' AS _push, _hash, id, name FROM {relation(POLICE, AFTER)})"
    return digest(house, rows, "id")


def commits(house: House, author: str) -> int:
    with lake.opened(house) as connection:
        return len(lake.by_author(connection, author))


def events(house: House, tag: str) -> int:
    with house.registry.session() as session:
        return session.scalar(select(func.count()).where(Event.tag == tag)) or 0


@pytest.mark.parametrize(
    ("database", "table"),
    [("lake", "ducklake_snapshot"), ("lake", "ducklake_data_file"), ("control", "pool_commit"), ("control", "event")],
)
def test_a_push_killed_while_it_is_pooled(city: House, database: str, table: str) -> None:
    before = pool_digest(city)
    killed_when_waiting_for(city, "admit", PUSH, getattr(city.databases, database), table)
    with city.registry.session() as session:
        assert session.get(PoolCommit, PUSH) is None
    assert pool_digest(city) == before  # readers still see the last good version
    view = pool.commit_relation(city, PUSH, relation(POLICE, AFTER))
    assert (view.rows, pool_digest(city)) == (len(AFTER), expected_pool(city))
    assert commits(city, "pool:police") == 2
    assert events(city, "pool:push:commit") == 3


@pytest.mark.parametrize(
    ("database", "table"), [("lake", "ducklake_snapshot"), ("control", "base_build"), ("control", "event")]
)
def test_a_merge_killed_before_and_after_its_commit(city: House, database: str, table: str) -> None:
    pool.commit_relation(city, PUSH, relation(POLICE, AFTER))
    killed_when_waiting_for(city, "build", "people", getattr(city.databases, database), table)
    with city.registry.session() as session:
        assert session.scalars(select(BaseBuild.number)).all() == [1]
    merge.build(city, "people")
    again = base_digests(city)
    with city.registry.session() as session:
        builds = session.scalars(select(BaseBuild).order_by(BaseBuild.number)).all()
    assert [(built.number, built.rows, built.closed) for built in builds] == [(1, 3_000, 0), (2, 3_000, 500)]
    assert commits(city, "base:people") == 2
    assert merge.build(city, "people") is None
    assert base_digests(city) == again == undisturbed(city)


def undisturbed(house: House) -> list[object]:
    """The digests of the same two builds under another name, made without a kill."""
    twin = PEOPLE.model_copy(update={"id": "twin"})
    first = POLICE.model_copy(update={"id": "police_twin"})
    other = CIVIL.model_copy(update={"id": "civil_twin"})
    renamed = {"police": "police_twin", "civil": "civil_twin"}
    twin = twin.model_validate_json(
        twin.model_dump_json().replace('"police"', f'"{renamed["police"]}"').replace('"civil"', f'"{renamed["civil"]}"')
    )
    entered(house, *(entry.model_copy(update={"code": f"x/{entry.id}"}) for entry in (first, other)), twin)
    pooled(house, first, 1, BEFORE)
    pooled(house, other, 1, OTHER)
    merge.build(house, "twin")
    pooled(house, first, 2, AFTER)
    merge.build(house, "twin")
    return [digest(house, "lake.base_twin", "id"), digest(house, "lake.base_twin_conflict", "key, field, loser")]


def test_a_swap_killed_before_it_counts(city: House) -> None:
    pool.commit_relation(city, PUSH, relation(POLICE, AFTER))
    built = merge.build(city, "people")
    assert built is not None
    killed_when_waiting_for(city, "swap", "base:people", city.databases.control, "serving_index")
    reader = IndexReader(city)
    assert reader.lookup("base:people", ["00001"]).version != built.id  # the version before is still served
    assert index.swap(city, "base:people") == built.id
    found = reader.lookup("base:people", ["00001", "02400"])
    assert found.version == built.id
    assert [record.closed if record else None for record in found.records.values()] == [True, False]
    with city.registry.session() as session:
        assert session.get_one(ServingIndex, "base:people").rows == 3_000


@pytest.mark.parametrize("seed", range(2))
def test_killed_at_any_moment_and_run_until_done(city: House, seed: int) -> None:
    """The whole way again and again, each run killed after a random time, until one is left alone."""
    chance = random.Random(seed)
    for step, what in (("admit", PUSH), ("build", "people"), ("swap", "base:people")):
        for _ in range(4):
            with child(city, step, what) as process:
                try:
                    process.wait(chance.uniform(0.8, 4))
                except subprocess.TimeoutExpired:
                    continue
        with child(city, step, what) as process:
            assert process.wait(120) == 0
    assert pool_digest(city) == expected_pool(city)
    assert [commits(city, "pool:police"), commits(city, "base:people")] == [2, 2]
    assert base_digests(city) == undisturbed(city)
    found = IndexReader(city).lookup("base:people", ["00001", "02400", "nobody"])
    assert [record.closed if record else None for record in found.records.values()] == [True, False, None]
