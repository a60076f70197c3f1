"""Old versions go when no setting keeps them, and everything that is still to be had stays as it was."""

import asyncio
import os
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select

from exchange import access_log
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.errors import AgedOut
from exchange.house import House
from exchange.registry.models import BaseBuild, Event, PoolCommit
from pools import ageing, index, lake, merge, pool
from pools.ageing import Aged
from pools.explain import explain
from pools.reader import IndexReader
from pools.withdraw import withdraw
from tests.pools.given import entered, pooled
from tests.pools.test_explain import CIVIL, HEALTH, PEOPLE, POLICE

LATER = datetime.now(UTC) + timedelta(days=402)  # every version but the newest was replaced longer ago than 400 days
A_DAY = timedelta(days=1, hours=2)
NAMES = ["张一", "张三", "张四", "张五"]


def files(house: House, folder: str = "lake") -> list[Path]:
    return sorted(path for path in (house.settings.root / folder).rglob("*") if path.is_file())


def rows(house: House, push: str | None = None) -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        relation = pool.rows_sql(house, "police", push)
        return connection.execute(f"SELECT id, name, _batch, _push FROM {relation} ORDER BY id").fetchall()


@pytest.fixture
def city(house: House) -> House:
    """Four versions of a pool, in which one person's name changes and nine never do; a build of the first and the last."""
    settings = house.settings.model_copy(update={"merge_buckets": 1})
    small = House(settings, house.seal, house.databases, house.registry)
    entered(small, POLICE, CIVIL, HEALTH, PEOPLE)
    for batch, name in enumerate(NAMES, 1):
        stays = [{"id": str(n), "name": f"李{n}"} for n in range(2, 11)]
        pooled(small, POLICE, batch, [{"id": "1", "name": name}, *stays])
        if batch in (1, 4):
            merge.build(small, "people")
    return small


def pushes(house: House) -> list[str]:
    return [view.receipt for view in pool.versions(house, "police")[::-1]]


def builds(house: House) -> list[BaseBuild]:
    with house.registry.session() as session:
        return list(session.scalars(select(BaseBuild).order_by(BaseBuild.number)))


def test_what_stood_less_than_four_hundred_days_ago_is_kept(city: House) -> None:
    nothing = Aged(0, 0, 0, 0, 0, 0)
    assert ageing.age(city, datetime.now(UTC)) == nothing
    assert ageing.age(city, datetime.now(UTC) + timedelta(days=399)).versions == 0
    assert len(rows(city, pushes(city)[0])) == 10


def test_older_versions_go_in_three_steps_and_the_newest_answers_as_before(city: House) -> None:
    before = rows(city)
    first = ageing.age(city, LATER)
    assert first == Aged(2, 1, 1, 0, 0, 0), "marked; and the snapshot of the lake before anything was in it"
    was = files(city)
    second = ageing.age(city, LATER + A_DAY)
    assert (second.versions, second.builds, second.snapshots) == (0, 0, 3)
    assert second.lake_files == len(was) - len(files(city)) >= 3
    assert ageing.age(city, LATER + 2 * A_DAY) == Aged(0, 0, 0, 0, 0, 0)
    assert rows(city) == before
    assert {row[3] for row in before} == {pushes(city)[0], pushes(city)[3]}, "rows name pushes whose versions are gone"
    with city.registry.session() as session:
        facts = session.scalars(select(Event.facts).where(Event.tag == "pool:version:age-out").order_by(Event.id)).all()
    assert facts == [first.as_dict(), second.as_dict()]


def test_as_of_what_is_gone_is_refused_naming_the_oldest_there_is(city: House) -> None:
    ageing.age(city, LATER)
    reader, oldest = IndexReader(city), pool.versions(city, "police")[1]
    since = f"{oldest.committed_at.astimezone(pool.CHINA):%Y-%m-%d %H:%M}"
    with pytest.raises(AgedOut) as found:
        reader.earlier("pool:police", ["1"], pushes(city)[0])
    assert found.value.zh == (
        f"pool:police 的这个版本已于 {LATER.astimezone(pool.CHINA):%Y-%m-%d} 按保留期清除（EXCHANGE_KEEP_VERSIONS=400 天）；"
        f"现存最早的版本是 {oldest.receipt}（第 3 批，{since} 入库）"
    )
    assert f"the oldest there is is {oldest.receipt} (batch 3, pooled {since})" in found.value.en
    with pytest.raises(AgedOut):
        pool.rows_sql(city, "police", pushes(city)[0])
    made = builds(city)
    with pytest.raises(
        AgedOut, match=rf"现存最早的构建是 {made[1].id}（第 2 次.*the oldest there is is {made[1].id} \(number 2"
    ):
        reader.earlier("base:people", ["1"], made[0].id)
    assert reader.earlier("pool:police", ["1"], oldest.receipt).records["1"].values["name"] == "张四"  # type: ignore[union-attr]


def test_a_version_that_a_delivery_record_names_is_kept_three_years_after_it(city: House) -> None:
    old, build = pushes(city)[0], builds(city)[0].id
    for target, version in (("pool:police", old), ("base:people", build)):
        access_log.append(
            city,
            AccessEntry(
                department=CIVIL.department,
                client="c-1",
                action="query",
                target=target,
                version=version,
                decision="answered",
            ),
        )
    before = rows(city, old)
    assert (ageing.age(city, LATER).versions, ageing.age(city, LATER + A_DAY).snapshots) == (1, 1)
    assert rows(city, old) == before
    assert IndexReader(city).earlier("base:people", ["1"], build).records["1"].values["name"] == "张一"  # type: ignore[union-attr]
    assert ageing.age(city, datetime.now(UTC) + timedelta(days=1095)).versions == 0
    last = ageing.age(city, datetime.now(UTC) + timedelta(days=1097))
    assert (last.versions, last.builds) == (1, 1)


def test_since_is_the_first_batch_though_its_version_is_gone(city: House) -> None:
    pooled(city, CIVIL, 1, [{"id": "1", "name": "张三", "since": "2020-01-01"}])
    for batch in (5, 6):  # 张三 comes back, and one who never changed does
        pooled(city, POLICE, batch, [{"id": "1", "name": "张三"}, {"id": "2", "name": "李2"}])
    merge.build(city, "people")
    asked = [("1", "name"), ("2", "name"), ("9", "name")]
    before = [explain(city, "people", key, field).fields for key, field in asked]
    first = before[0][0].source
    assert first is not None
    assert (first.batch, first.since_batch) == (6, 2)
    ageing.age(city, LATER)
    ageing.age(city, LATER + A_DAY)
    with pytest.raises(AgedOut):
        rows(city, pushes(city)[1])
    assert [explain(city, "people", key, field).fields for key, field in asked[:2]] == before[:2]
    gone = explain(city, "people", "9", "name")
    assert (gone.closed, gone.forgotten, gone.fields) == (True, ("police",), before[2])


def test_a_closed_record_says_which_sources_are_forgotten(city: House) -> None:
    pooled(city, CIVIL, 1, [{"id": "5", "name": "李五", "since": "2020-01-01"}])
    merge.build(city, "people")
    for batch in (5, 6):
        pooled(city, POLICE, batch, [{"id": "1", "name": "张三"}])
        pooled(city, CIVIL, batch, [{"id": "1", "name": "张三", "since": "2020-01-01"}])
    merge.build(city, "people")
    (before,) = explain(city, "people", "5", "name").fields
    assert [other.value for other in before.others] == ["李五"]
    ageing.age(city, LATER)
    gone = explain(city, "people", "5", "name")
    assert (gone.closed, gone.forgotten) == (True, ("civil", "police"))
    assert (gone.fields[0].source, gone.fields[0].others) == (before.source, ())


def test_the_newest_push_can_still_be_taken_back(city: House) -> None:
    ageing.age(city, LATER)
    ageing.age(city, LATER + A_DAY)
    withdraw(city, Caller("c", POLICE.department), pushes(city)[3])
    assert rows(city)[0][1] == "张四"


def test_the_next_push_and_build_go_on_as_ever(city: House) -> None:
    ageing.age(city, LATER)
    ageing.age(city, LATER + A_DAY)
    pooled(city, POLICE, 5, [{"id": "1", "name": "张六"}])
    newest = pool.latest(city, "police")
    assert newest is not None
    assert (newest.rows, newest.changed, newest.deleted) == (1, 1, 9)
    built = merge.build(city, "people")
    assert built is not None
    assert (built.number, built.rows, built.closed) == (3, 10, 9)


def test_a_reader_that_is_at_it_finishes(city: House) -> None:
    """It has the old version's files before it; the snapshot goes meanwhile, the files not before their time."""
    first = pushes(city)[0]
    with lake.opened(city) as connection:
        reading = connection.execute(f"SELECT id FROM {pool.rows_sql(city, 'police', first)}")
        with city.registry.session() as session:
            for commit in session.scalars(select(PoolCommit).where(PoolCommit.receipt.in_(pushes(city)[:2]))):
                commit.aged_at = datetime.now(UTC) - A_DAY
        keep = {view.snapshot for view in pool.versions(city, "police")[:2]} | {built.snapshot for built in builds(city)}
        assert lake.expire(city, keep=keep, before=datetime.now(UTC)) > 0
        assert lake.clean(city, before=datetime.now(UTC) - ageing.GRACE) == (0, 0)
        assert len(reading.fetchall()) == 10


def orphan(house: House) -> Path:
    """What a writer leaves that was killed between its file and its commit."""
    path = files(house)[0].with_name("ducklake-00000000-0000-7000-8000-000000000000.parquet")
    path.write_bytes(b"PAR1")
    return path


def test_an_orphaned_file_goes_after_a_day_and_is_counted(city: House) -> None:
    left, others = orphan(city), files(city)
    assert ageing.age(city, datetime.now(UTC)).orphaned_files == 0
    assert left.exists()
    aged = time.time() - 2 * 86400
    os.utime(left, (aged, aged))
    assert ageing.age(city, datetime.now(UTC)).orphaned_files == 1
    assert files(city) == [path for path in others if path != left]


def test_no_file_goes_that_a_transaction_at_work_is_writing(city: House) -> None:
    """However long it takes: its files are as old as a killed writer's, and no commit names them yet."""
    started, go_on = threading.Event(), threading.Event()

    def work(connection: object) -> lake.Facts:
        connection.execute("CREATE TABLE lake.slow AS SELECT range AS n FROM range(1000)")  # type: ignore[attr-defined]
        started.set()
        assert go_on.wait(60)
        return {}

    writer = threading.Thread(target=lambda: lake.commit(city, author="test", receipt="slow", work=work))
    before = files(city)
    writer.start()
    assert started.wait(60)
    assert len(files(city)) > len(before), "its file is there, and nothing names it"
    assert lake.clean(city, before=datetime.now(UTC) + timedelta(days=30))[1] == 0
    go_on.set()
    writer.join()
    with lake.opened(city) as connection:
        assert connection.execute("SELECT count(*) FROM lake.slow").fetchone() == (1000,)


def test_a_file_that_a_killed_run_removed_but_did_not_strike_off_the_list_is_no_obstacle(city: House) -> None:
    ageing.age(city, LATER)
    with city.registry.session() as session:
        keep = set(session.scalars(select(PoolCommit.snapshot).where(PoolCommit.aged_at.is_(None))))
        keep |= set(session.scalars(select(BaseBuild.snapshot).where(BaseBuild.aged_at.is_(None))))
    lake.expire(city, keep=keep, before=LATER)
    with psycopg.connect(city.databases.lake.url()) as connection:
        (path,) = connection.execute("SELECT path FROM ducklake_files_scheduled_for_deletion LIMIT 1").fetchone() or ("",)
    (city.settings.root / "lake" / str(path)).unlink()
    before = rows(city)
    ageing.age(city, LATER + A_DAY)
    assert rows(city) == before
    with psycopg.connect(city.databases.lake.url()) as connection:
        assert connection.execute("SELECT count(*) FROM ducklake_files_scheduled_for_deletion").fetchone() == (0,)


def test_index_files_that_are_not_served_go_and_the_served_one_stays(city: House) -> None:
    index.swap(city, "base:people")
    (served,) = files(city, "index")
    (served.parent / "B261101-0000000000.lmdb").write_bytes(served.read_bytes())
    (served.parent / "B261102-0000000000.part").write_bytes(b"")
    assert ageing.age(city, datetime.now(UTC)).index_files == 0
    assert ageing.age(city, datetime.now(UTC) + A_DAY).index_files == 2, "the version before, and a killed writer's draft"
    assert files(city, "index") == [served]
    found = IndexReader(city).lookup("base:people", ["1"]).records["1"]
    assert found is not None
    assert found.values["name"] == "张五"


def test_two_runs_at_once_end_as_one(city: House) -> None:
    done: list[Aged] = []
    runs = [threading.Thread(target=lambda: done.append(ageing.age(city, LATER))) for _ in range(2)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert sorted(one.versions for one in done) == [0, 2]


def test_everything_counts_all_there_is(city: House) -> None:
    assert list(ageing.everything(city, datetime.now(UTC))) == [
        "landed", "quarantine", "staging", "reports",
        "versions", "builds", "snapshots", "lake_files", "orphaned_files", "index_files",
    ]  # fmt: skip
    asyncio.run(city.registry.aclose())
