"""A pool: all of a push or nothing, the last good version stays, earlier versions stay readable."""

import threading

import pytest
from sqlalchemy import select

from exchange.errors import NotFound, WrongState
from exchange.house import House
from exchange.registry.models import Event, PoolCommit, Push
from pools import lake, pool
from tests.pools.given import accepted, entered, item, pooled, relation, resource

POLICE = resource("police", (item("id", identifier="resident_number"), item("name")), ("id",))
CIVIL = resource("civil", (item("id", identifier="resident_number"), item("tel")), ("id",), "民政局")


def rows(house: House, resource_id: str, as_of_push: str | None = None) -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        relation_ = pool.rows_sql(house, resource_id, as_of_push)
        return connection.execute(
            f"SELECT _row, _batch, _push, * EXCLUDE (_row, _batch, _push, _hash, _bucket) FROM {relation_} ORDER BY _row"
        ).fetchall()


def test_an_accepted_push_is_the_pool(house: House) -> None:
    entered(house, POLICE)
    push = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": None}])
    assert rows(house, "police") == [(1, 1, push, "1", "张三"), (2, 1, push, "2", None)]
    with house.registry.session() as session:
        assert session.get_one(Push, push).state == "pooled"
        commit = session.get_one(PoolCommit, push)
        figures = {"inserted": 2, "changed": 0, "deleted": 0, "absent": 0}
        facts = {"resource": "police", "batch": 1, "rows": 2, "snapshot": commit.snapshot} | figures
        assert session.scalars(select(Event.facts).where(Event.tag == "pool:push:commit")).all() == [facts]
    with lake.opened(house) as connection:
        assert lake.snapshot_of(connection, push) == commit.snapshot


def test_a_full_push_replaces_and_the_version_before_stays_readable(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": "李四"}])
    second = pooled(house, POLICE, 2, [{"id": "2", "name": "李思"}])
    assert rows(house, "police") == [(1, 2, second, "2", "李思")]
    assert rows(house, "police", first) == [(1, 1, first, "1", "张三"), (2, 1, first, "2", "李四")]


def test_pooling_again_gives_the_same_answer_and_no_new_version(house: House) -> None:
    entered(house, POLICE)
    push = accepted(house, POLICE, 1)
    once = pool.commit_relation(house, push, relation(POLICE, [{"id": "1"}]))
    assert pool.commit_relation(house, push, relation(POLICE, [{"id": "other"}])) == once
    assert pool.admit(house, push) == once
    assert [view.push_id for view in pool.versions(house, "police")] == [push]


def test_a_newer_catalogue_version_changes_the_columns_and_the_old_version_keeps_its_own(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}])
    changed = POLICE.model_copy(update={"version": 2, "items": (POLICE.items[0], item("tel"))})
    entered(house, changed)
    second = pooled(house, changed, 2, [{"id": "1", "tel": "139"}])
    assert rows(house, "police") == [(1, 2, second, "1", "139")]
    assert rows(house, "police", first) == [(1, 1, first, "1", "张三")]


@pytest.mark.parametrize("state", ["landed", "checking", "rejected", "held"])
def test_only_what_the_gate_accepted_is_pooled(house: House, state: str) -> None:
    entered(house, POLICE)
    push = accepted(house, POLICE, 1, state=state)
    with pytest.raises(WrongState, match=f"push {push} is {state}; only a push the gate accepted can be pooled"):
        pool.admit(house, push)
    assert pool.versions(house, "police") == []


def test_an_older_batch_does_not_take_the_pool_back(house: House) -> None:
    entered(house, POLICE)
    late = accepted(house, POLICE, 1)
    newer = pooled(house, POLICE, 2, [{"id": "1"}])
    with pytest.raises(WrongState, match=f"push {late} is batch 1, and the pool already holds the newer batch 2"):
        pool.commit_relation(house, late, relation(POLICE, [{"id": "2"}]))
    assert rows(house, "police") == [(1, 2, newer, "1", None)]


def test_an_accepted_push_that_a_newer_one_overtook_does_not_wait_for_ever(house: House) -> None:
    entered(house, POLICE)
    late, newer = accepted(house, POLICE, 1), pooled(house, POLICE, 2, [{"id": "1"}])
    with pytest.raises(WrongState, match=f"push {late} is superseded; only a push the gate accepted can be pooled"):
        pool.admit(house, late)
    with house.registry.session() as session:
        found = session.scalars(select(Event.facts).where(Event.tag == "pool:push:supersede")).all()
    assert found == [{"resource": "police", "batch": 1, "by": newer}]


def test_a_push_that_was_committed_and_not_written_down_is_a_version_of_its_own(house: House) -> None:
    """As a kill between the two leaves it, with the next push coming before it was run again."""
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1"}])
    with house.registry.session() as session:
        before = session.get_one(PoolCommit, first)
        snapshot = before.snapshot
        session.delete(before)
        session.get_one(Push, first).state = "accepted"
    second = pooled(house, POLICE, 2, [{"id": "2"}])
    assert [(view.push_id, view.rows) for view in pool.versions(house, "police")] == [(second, 1), (first, 1)]
    assert pool.versions(house, "police")[1].snapshot == snapshot
    assert rows(house, "police", first) == [(1, 1, first, "1", None)]


def test_what_is_not_there_is_named(house: House) -> None:
    entered(house, POLICE)
    with pytest.raises(NotFound, match="there is no push P000000-0"):
        pool.admit(house, "P000000-0")
    with pytest.raises(NotFound, match="the pool of police holds no version of any push; it has 0"):
        pool.rows_sql(house, "police")
    pooled(house, POLICE, 1, [])
    with pytest.raises(NotFound, match="the pool of police holds no version of P000000-0; it has 1"):
        pool.rows_sql(house, "police", "P000000-0")


def test_two_departments_push_while_readers_read(house: House) -> None:
    """No lock errors, and no reader ever sees rows of two batches in one version."""
    entered(house, POLICE, CIVIL)
    failures: list[object] = []
    stop = threading.Event()
    pooled(house, POLICE, 1, [{"id": str(n), "name": "1"} for n in range(300)])
    pooled(house, CIVIL, 1, [{"id": str(n), "tel": "1"} for n in range(300)])

    def guarded(work: object, *arguments: object) -> None:
        try:
            work(*arguments)  # type: ignore[operator]
        except Exception as error:  # noqa: BLE001  every failure is the finding
            failures.append(error)

    def push(entry: object, column: str) -> None:
        for batch in range(2, 7):
            pooled(house, entry, batch, [{"id": str(n), column: str(batch)} for n in range(300)])  # type: ignore[arg-type]

    def read(resource_id: str, column: str) -> None:
        while not stop.is_set():
            with lake.opened(house) as connection:
                for _ in range(5):
                    current = pool.rows_sql(house, resource_id)
                    seen = connection.execute(
                        f"SELECT count(*), min({column}), max({column}), count(DISTINCT _push) FROM {current}"
                    ).fetchone()
                    if seen is None or seen[0] != 300 or seen[1] != seen[2] or seen[3] != 1:
                        failures.append(seen)

    writers = [threading.Thread(target=guarded, args=(push, *which)) for which in ((POLICE, "name"), (CIVIL, "tel"))]
    readers = [threading.Thread(target=guarded, args=(read, *which)) for which in (("police", "name"), ("civil", "tel"))]
    for thread in (*writers, *readers):
        thread.start()
    for thread in writers:
        thread.join()
    stop.set()
    for thread in readers:
        thread.join()
    assert failures == []
    assert [len(pool.versions(house, name)) for name in ("police", "civil")] == [6, 6]


def test_two_runs_of_one_push_make_one_version(house: House) -> None:
    entered(house, POLICE)
    push = accepted(house, POLICE, 1)
    views: list[object] = []
    some = relation(POLICE, [{"id": "1"}])
    threads = [threading.Thread(target=lambda: views.append(pool.commit_relation(house, push, some))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(views) == 3
    assert len(set(views)) == 1
    with lake.opened(house) as connection:
        found = connection.execute("SELECT count(*) FROM lake.snapshots() WHERE commit_message = ?", [push]).fetchone()
    assert found == (1,)


def test_nothing_half_is_left_when_the_rows_cannot_be_read(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}])
    broken = accepted(house, POLICE, 2)
    unreadable = "(SELECT 1 AS _row, '13800000001' AS id, error('CANARY13800000001') AS name, 1 AS _hash)"
    with pytest.raises(Exception, match="committing the lake failed") as failed:
        pool.commit_relation(house, broken, unreadable)
    assert "CANARY" not in repr(failed.value)
    assert rows(house, "police") == [(1, 1, first, "1", "张三")]
