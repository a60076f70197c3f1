"""kill -9 at every step of pooling, merging and swapping, and of the whole way: run again, and all is as if nothing had happened.

Push after push of two contents by turns walks the way; every step of it dies at a point where no push before did, is
compared with the versions on either side, and runs again. Encrypted files differ from run to run, so digests over
key-sorted rows are compared. Deaths inside the lake's own commit are brought about by holding the lock it needs next.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from sqlalchemy import func, select

from exchange.databases import Address
from exchange.house import House
from exchange.registry.models import BaseBuild, ConflictCount, Event, PoolCommit, Push, ServingIndex
from pools import index, lake, merge, pool, satellites, way
from pools.reader import IndexReader
from quality import gate
from tests import make
from tests.dying import Dying, dying
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

POOL, BASE = "pool:police_household", "base:population"
HEADER = ["公民身份号码", "姓名", "性别", "联系电话"]
PHONES = {  # what they are called under each of their numbers
    "id": "phones",
    "title": "联系电话",
    "parent_sources": ["police_household.id_number", "civil_marriage.id_number"],
    "key": "mobile",
    "fields": [
        {"name": "mobile", "sources": ["police_household.mobile", "civil_marriage.mobile"]},
        {"name": "called", "sources": ["police_household.name", "civil_marriage.name"]},
    ],
}
MOST = 36  # pushes of one walk
CONTENTS = (range(10, 48), range(40))  # of even and of odd batches: each lacks people the other has


def land(house: House, batch: int) -> str:
    people = [[make.resident(n), f"人{n}", "1", f"138{batch % 2}{n:07}"] for n in CONTENTS[batch % 2]]
    return kit.land(house, "police_household", HEADER, people, batch=batch)


def accepted(house: House, batch: int) -> str:
    push = land(house, batch)
    assert gate.check(house, push).decision == "accepted"
    return push


def accepted_little(house: House, batch: int) -> str:
    """A push that changes three people's phones and takes one away, or brings it back: a build of it is made in part."""
    people = [
        [make.resident(n), f"人{n}", "1", f"138{batch % 2 if n < 13 else 0}{n:07}"] for n in range(10, 48 - batch % 2)
    ]
    push = kit.land(house, "police_household", HEADER, people, batch=batch)
    assert gate.check(house, push).decision == "accepted"
    return push


@pytest.fixture
def city(house: House) -> House:
    """Civil affairs has pooled its people: some the police know too, with other phones."""
    make.small_city(house, bases=[make.population(satellites=[PHONES]), make.legal_entity()])
    header = ["公民身份号码", "姓名", "婚姻状况", "手机"]
    people = [[make.resident(n), f"人{n % 50}", "10", f"139{n:08}"] for n in range(20, 60)]
    way.process(house, kit.land(house, "civil_marriage", header, people, caller=kit.CIVIL))
    return house


@dataclass(frozen=True)
class State:
    """A pool, a base or an index after batch `number`: what is in it, how often its work was written down, what lies about."""

    rows: object
    written: tuple[int, ...]
    files: list[str]


def events(house: House, tag: str, **facts: str) -> int:
    with house.registry.session() as session:
        said = [Event.facts[name].as_string() == value for name, value in facts.items()]
        return session.scalar(select(func.count()).where(Event.tag == tag, *said)) or 0


def files(house: House, *folders: str) -> list[str]:
    root = house.settings.root
    return sorted(
        str(path.relative_to(root)) for folder in folders for path in (root / folder).rglob("*") if path.is_file()
    )


def digest(connection: Any, relation: str, order: str) -> object:
    return connection.execute(
        f"SELECT count(*), md5(string_agg(t::VARCHAR, chr(10) ORDER BY {order})) FROM {relation} t"
    ).fetchone()


def pooled(house: House) -> State:
    with lake.opened(house) as connection:
        rows = f"(SELECT * EXCLUDE (_batch, _push) FROM {pool.rows_sql(house, 'police_household')})"
        found = digest(connection, rows, "id_number")
        commits = len(lake.by_author(connection, "pool:police_household"))
    with house.registry.session() as session:
        mine = Push.resource_id == "police_household"
        recorded = session.scalar(select(func.count()).where(PoolCommit.resource_id == "police_household")) or 0
        states = session.scalar(select(func.count()).where(mine, Push.state == "pooled")) or 0
    happened = events(house, "pool:push:commit", resource="police_household")
    return State(found, (commits, recorded, states, happened), files(house, "staging", "rows"))


def based(house: House) -> State:
    """The base as its newest build that was written down pins it: so it is read."""
    with house.registry.session() as session:
        builds = session.scalars(select(BaseBuild).order_by(BaseBuild.number)).all()
        counted = select(ConflictCount.field, ConflictCount.resource_id, ConflictCount.compared, ConflictCount.differing)
        contested = sorted(map(tuple, session.execute(counted.where(ConflictCount.build_id == builds[-1].id)).all()))
    assert [built.number for built in builds] == list(range(1, len(builds) + 1))
    newest = builds[-1]
    rows = lake.version(merge.table("population"), newest.snapshot)
    conflicts = lake.version(merge.conflict_table("population"), newest.snapshot)
    phones = lake.version(satellites.table("population", "phones"), newest.snapshot)
    with lake.opened(house) as connection:
        found = (
            digest(connection, f"(SELECT * REPLACE (_build - {newest.number} AS _build) FROM {rows})", "id_number"),
            digest(connection, conflicts, "key, field, loser"),
            digest(connection, f"(SELECT * REPLACE (_build - {newest.number} AS _build) FROM {phones})", "row_key"),
            connection.execute("SELECT name FROM (SHOW ALL TABLES) WHERE name LIKE '%\\_\\_next' ESCAPE '\\'").fetchall(),
        )
        commits = len(lake.by_author(connection, "base:population"))
    counts = (newest.rows, newest.closed, newest.conflicts, newest.satellites, contested)
    return State((found, counts), (commits, len(builds), events(house, "base:build:commit")), [])


def served(house: House, target: str) -> State:
    """What a reader that comes now is answered."""
    found = IndexReader(house).lookup(target, [make.resident(n) for n in range(61)])
    rows = {key: record and (record.values, record.closed) for key, record in found.records.items()}
    with house.registry.session() as session:
        counted = session.get_one(ServingIndex, target)
        assert counted.version == found.version
        return State(
            (rows, counted.rows),
            (events(house, "index:target:swap", target=target),),
            ["kept" if path.suffix == ".lmdb" else path.name for path in index.folder(house, target).iterdir()],
        )


@dataclass(frozen=True)
class Stage:
    """A step of the way: what it is asked for a push, how it is run again, and what it changes."""

    step: str
    asked: Callable[[str], str]
    again: Callable[[House, str], object]
    changes: tuple[Callable[[House], State], ...]
    least: int  # deaths, or its lines are no longer seen


def swapped(target: str) -> Callable[[House], State]:
    return lambda house: served(house, target)


ADMIT = Stage("admit", str, pool.admit, (pooled,), 5)
SWAP_POOL = Stage("swap a pool", lambda _: POOL, index.swap, (swapped(POOL),), 5)
BUILD = Stage("build", lambda _: "population", merge.build, (based,), 5)
SWAP_BASE = Stage("swap a base", lambda _: BASE, index.swap, (swapped(BASE),), 5)
PROCESS = Stage("process", str, way.process, (pooled, swapped(POOL)), 5)
REBUILD = Stage("rebuild", lambda _: "population", way.rebuild, (based, swapped(BASE)), 3)

Wanted = dict[tuple[str, int], list[State]]


def undisturbed(house: House, stages: tuple[Stage, ...], prepare: Callable[[House, int], str]) -> Wanted:
    """What each stage makes of each content, seen in batches 1 to 3 (no key is closed in the first)."""
    wanted: Wanted = {}
    for batch in (1, 2, 3):
        push = prepare(house, batch)
        for stage in stages:
            stage.again(house, stage.asked(push))
            wanted[stage.step, batch % 2] = [state(house) for state in stage.changes]
    assert all(wanted[stage.step, 0] != wanted[stage.step, 1] for stage in stages)
    return wanted


def runs_again(house: House, stage: Stage, push: str, batch: int, wanted: Wanted, death: object) -> None:
    """Nothing half done is to be seen; after running again all is as it would be, and written down once."""
    before, after = wanted[stage.step, (batch - 1) % 2], wanted[stage.step, batch % 2]
    for old, new, state in zip(before, after, stage.changes, strict=True):
        assert state(house).rows in (old.rows, new.rows), death
    stage.again(house, stage.asked(push))
    for new, state in zip(after, stage.changes, strict=True):
        found = state(house)
        assert (found.rows, found.files) == (new.rows, new.files), death
        assert set(found.written) == {batch}, death


def walk(house: House, stages: tuple[Stage, ...], prepare: Callable[[House, int], str], every: int) -> None:
    """Push after push, until each stage has twice, with either content, no point left to die at, or MOST are through."""
    wanted = undisturbed(house, stages, prepare)
    alive = dict.fromkeys(stages, 0)
    with dying(house) as other:
        for batch in range(4, 4 + MOST):
            push = prepare(house, batch)
            for stage in stages:
                if alive[stage] == 2:
                    stage.again(house, stage.asked(push))
                    continue
                death = other.dies(stage.step, stage.asked(push), every=every)
                alive[stage] = 0 if death else alive[stage] + 1
                runs_again(house, stage, push, batch, wanted, (stage.step, death))
            if min(alive.values()) == 2:
                break
    for stage in stages:
        deaths = other.deaths[stage.step]
        assert len(set(deaths)) == len(deaths) > stage.least, f"the steps of {stage.step} are no longer seen"


def test_at_every_eighteenth_line_of_pooling_merging_and_swapping(city: House) -> None:
    walk(city, (ADMIT, SWAP_POOL, BUILD, SWAP_BASE), accepted, every=18)


def test_at_every_ninth_line_of_a_build_in_part(city: House) -> None:
    def prepared(house: House, batch: int) -> str:
        push = accepted_little(house, batch)
        pool.admit(house, push)
        return push

    walk(city, (BUILD,), prepared, every=9)
    with city.registry.session() as session:
        made = session.scalars(select(BaseBuild.built)).all()
    assert made.count("touched") > made.count("whole")


def test_at_every_few_lines_of_the_whole_way(city: House) -> None:
    walk(city, (PROCESS, REBUILD), land, every=50)


@contextmanager
def held(address: Address, table: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """Nobody else can write this table inside the block."""
    with psycopg.connect(address.url()) as connection:
        connection.execute(f"LOCK TABLE {table} IN SHARE MODE")  # type: ignore[arg-type]
        yield connection


def killed_when_waiting_for(other: Dying, stage: Stage, push: str, address: Address, table: str) -> None:
    """Kill the step at the moment it wants to write this table."""
    with held(address, table) as connection, other.killed_from_outside(stage.step, stage.asked(push)):
        for _ in range(600):
            waiting = connection.execute(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = %s::regclass", (table,)
            ).fetchone()
            if waiting == (1,):
                return
            time.sleep(0.1)
        pytest.fail(f"it never wanted to write {table}")


def test_inside_every_commit(city: House) -> None:
    """A line is too coarse for COMMIT: here it dies between the statements the lake and the registry write it with."""
    stages = (ADMIT, SWAP_POOL, BUILD, SWAP_BASE)
    wanted = undisturbed(city, stages, accepted)
    lake_, control = city.databases.lake, city.databases.control
    places = {
        ADMIT: [(lake_, "ducklake_snapshot"), (lake_, "ducklake_data_file"), (control, "pool_commit"), (control, "event")],
        BUILD: [(lake_, "ducklake_snapshot"), (lake_, "ducklake_data_file"), (control, "base_build"), (control, "event")],
        SWAP_POOL: [(control, "serving_index"), (control, "event")],
        SWAP_BASE: [(control, "serving_index"), (control, "event")],
    }
    with dying(city) as other:
        for batch in range(4, 8):
            push = accepted(city, batch)
            for stage in stages:
                if places[stage]:
                    address, table = places[stage].pop()
                    killed_when_waiting_for(other, stage, push, address, table)
                    runs_again(city, stage, push, batch, wanted, (stage.step, table))
                stage.again(city, stage.asked(push))


def test_at_any_moment_again_and_again(city: House) -> None:
    """Each run killed after a random time, until one is left alone."""
    chance = random.Random(7)
    stages = (PROCESS, REBUILD)
    wanted = undisturbed(city, stages, land)
    with dying(city) as other:
        for batch in range(4, 8):
            push = land(city, batch)
            for stage in stages:
                for _ in range(4):
                    with other.killed_from_outside(stage.step, stage.asked(push)):
                        time.sleep(chance.uniform(0.1, 2))
                runs_again(city, stage, push, batch, wanted, (stage.step, "by the clock"))
