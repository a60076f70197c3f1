"""kill -9 at every few lines of ageing: run again, and the same rows are there, the same answers, and nothing is left over.

Version after version comes, and a clock that is years ahead lets all but the last two go: so each run marks some versions,
expires the snapshots of others, and removes the files of a third kind. It dies at a point where no run before did.
"""

import random
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from exchange.house import House
from pools import ageing, index, lake, merge, pool
from pools.explain import explain
from pools.reader import IndexReader
from tests.dying import Dying, dying
from tests.pools.given import entered, pooled
from tests.pools.test_explain import CIVIL, HEALTH, PEOPLE, POLICE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

START = datetime.now(UTC) + timedelta(days=402)
MOST = 40  # versions of one walk


@pytest.fixture
def city(house: House) -> House:
    settings = house.settings.model_copy(update={"merge_buckets": 1})
    small = House(settings, house.seal, house.databases, house.registry)
    entered(small, POLICE, CIVIL, HEALTH, PEOPLE)
    for batch in range(1, 4):
        next_version(small, batch)
    return small


def next_version(house: House, batch: int) -> str:
    """One name changes with every batch, one never does, and one comes and goes. The moment at which it is aged."""
    people = [{"id": "1", "name": f"张{batch}"}, {"id": "2", "name": "李四"}]
    pooled(house, POLICE, batch, [*people, {"id": "3", "name": "王五"}] if batch % 2 else people)
    merge.build(house, "people")
    index.swap(house, "base:people")
    index.swap(house, "pool:police")
    return (START + timedelta(days=3 * batch)).isoformat()


def seen(house: House) -> list[Any]:
    """What can be asked: the two versions that are kept, what is served, and who said it since when."""
    versions = pool.versions(house, "police")[:2]
    with lake.opened(house) as connection:
        rows = [
            connection.execute(
                f"SELECT id, name, _batch FROM {pool.rows_sql(house, 'police', view.receipt)} ORDER BY 1"
            ).fetchall()
            for view in versions
        ]
    reader = IndexReader(house)
    served = [reader.lookup(target, ["1", "2", "3"]) for target in ("base:people", "pool:police")]
    return [rows, served, [explain(house, "people", key).fields for key in "123"]]


def aged_again(house: House, batch: int, moment: str, was: list[Any], death: object) -> None:
    assert seen(house) == was, death
    ageing.everything(house, datetime.fromisoformat(moment))
    assert seen(house) == was, death
    marked = [view.aged_at is not None for view in pool.versions(house, "police")]
    assert marked == [False, False, *[True] * (batch - 2)], death


def nothing_is_left_over(house: House) -> None:
    """A last run, late enough for every day of grace: files are those of what is kept."""
    late = datetime.now(UTC) + timedelta(days=4000)
    for days in (0, 2, 4):
        ageing.age(house, late + timedelta(days=days))
    with lake.opened(house) as connection:
        listed = {
            path
            for (table,) in connection.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'lake'"
            ).fetchall()
            for (path,) in connection.execute(f"SELECT data_file FROM ducklake_list_files('lake', '{table}')").fetchall()
        }
        unnamed = connection.execute("CALL ducklake_delete_orphaned_files('lake', dry_run => true, cleanup_all => true)")
        assert unnamed.fetchall() == []
    there = {str(path) for path in (house.settings.root / "lake").rglob("*.parquet")}
    assert {path.rpartition("/")[2] for path in listed} <= {path.rpartition("/")[2] for path in there}
    assert ageing.age(house, late + timedelta(days=6)) == ageing.Aged(0, 0, 0, 0, 0, 0)


def walk(house: House, other: Dying) -> None:
    alive = 0
    for batch in range(4, 4 + MOST):
        moment = next_version(house, batch)
        was = seen(house)
        death = other.dies("age", moment, every=12)
        alive = 0 if death else alive + 1
        aged_again(house, batch, moment, was, death)
        if alive == 2:
            break


def test_at_every_twelfth_line(city: House) -> None:
    with dying(city) as other:
        walk(city, other)
    assert len(set(other.deaths["age"])) == len(other.deaths["age"]) > 5, "its lines are no longer seen"
    nothing_is_left_over(city)


def test_at_any_moment(city: House) -> None:
    chance = random.Random(11)
    with dying(city) as other:
        for batch in range(4, 10):
            moment = next_version(city, batch)
            was = seen(city)
            for _ in range(3):
                with other.killed_from_outside("age", moment):
                    time.sleep(chance.uniform(0.1, 1.5))
            aged_again(city, batch, moment, was, "by the clock")
    nothing_is_left_over(city)
