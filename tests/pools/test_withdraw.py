"""Taking a push back: the pool, the base and what is served are again what they were, and nothing is erased."""

import pytest
from sqlalchemy import select

from exchange.callers import Caller
from exchange.errors import AccessRefused, NotFound, WrongState
from exchange.house import House
from exchange.registry.models import Event, Push
from pools import index, lake, merge, pool, way
from pools.reader import IndexReader
from pools.withdraw import withdraw
from tests import make
from tests.pools.given import DEPARTMENT_CODES, accepted, entered, pooled
from tests.pools.test_index import CIVIL, PEOPLE, POLICE
from tests.quality import kit

OWNER = Caller(None, DEPARTMENT_CODES["公安局"], "李工")


def rows(house: House, as_of: str | None = None) -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        return connection.execute(
            f"SELECT id, name, _batch FROM {pool.rows_sql(house, 'police', as_of)} ORDER BY 1"
        ).fetchall()


def test_the_version_before_stands_again_as_a_version_of_its_own(house: House) -> None:
    entered(house, POLICE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": "李四"}])
    wrong = pooled(house, POLICE, 2, [{"id": "1", "name": "张错"}, {"id": "3", "name": "王五"}])
    before, mistaken = rows(house, first), rows(house)
    assert [withdraw(house, OWNER, wrong), withdraw(house, OWNER, wrong)] == ["withdrawn", "withdrawn"]
    assert rows(house) == before == [("1", "张三", 1), ("2", "李四", 1)]
    assert rows(house, wrong) == mistaken
    newest = pool.versions(house, "police")[0]
    assert (newest.receipt, newest.push_id, newest.rows) == (f"{wrong}.withdrawn", first, 2)
    assert (newest.inserted, newest.changed, newest.deleted) == (1, 1, 1)
    with house.registry.session() as session:
        assert session.get_one(Push, wrong).state == "withdrawn"
        facts = session.scalars(select(Event.facts).where(Event.tag == "pool:push:withdraw")).all()
    assert facts == [{"resource": "police", "batch": 2, "by": "李工"}]


def test_the_only_version_leaves_an_empty_pool(house: House) -> None:
    entered(house, POLICE)
    only = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}])
    index.swap(house, "pool:police")
    withdraw(house, OWNER, only)
    assert rows(house) == []
    assert index.swap(house, "pool:police") == f"{only}.withdrawn"
    assert IndexReader(house).lookup("pool:police", ["1"]).records == {"1": None}
    pooled(house, POLICE, 2, [{"id": "7", "name": "孙七"}])
    assert rows(house) == [("7", "孙七", 2)]


def test_a_base_merged_again_says_what_it_said_before(house: House) -> None:
    entered(house, POLICE, CIVIL, PEOPLE)
    pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}])
    way.rebuild(house, "people")
    wrong = pooled(house, POLICE, 2, [{"id": "1", "name": "张错"}])
    way.rebuild(house, "people")
    withdraw(house, OWNER, wrong)
    assert merge.build(house, "people") is not None
    index.swap(house, "base:people")
    record = IndexReader(house).lookup("base:people", ["1"]).records["1"]
    assert record is not None
    assert (record.values["name"], record.sources["name"].batch) == ("张三", 1)


def test_on_the_whole_way_pool_and_bases_are_served_anew(house: House) -> None:
    make.small_city(house)
    header = ["公民身份号码", "姓名", "性别"]
    people = [[make.resident(n), f"人{n}", "1"] for n in range(5)]
    way.process(house, kit.land(house, "police_household", header, people))
    way.rebuild(house, "population")
    wrong = kit.land(house, "police_household", header, [[people[0][0], "错", "1"], *people[1:]], batch=2)
    way.process(house, wrong)
    way.rebuild(house, "population")
    reader = IndexReader(house, refresh=0)

    def names() -> list[object]:
        found = [reader.lookup(target, [people[0][0]]).records for target in ("pool:police_household", "base:population")]
        return [record.values["name"] for records in found for record in records.values() if record]

    assert names() == ["错", "错"]
    assert way.withdraw(house, kit.POLICE, wrong) == "withdrawn"
    assert names() == ["人0", "人0"]


@pytest.mark.parametrize("state", ["landed", "held", "accepted"])
def test_what_is_not_pooled_yet_never_will_be(house: House, state: str) -> None:
    entered(house, POLICE)
    push = accepted(house, POLICE, 1, state=state)
    assert withdraw(house, OWNER, push) == "withdrawn"
    with pytest.raises(WrongState, match=f"push {push} is withdrawn; only a push the gate accepted can be pooled"):
        pool.admit(house, push)


def test_what_was_taken_back_before_it_was_judged_is_not_judged(house: House) -> None:
    make.small_city(house)
    push = kit.land(house, "police_household", ["公民身份号码", "姓名", "性别"], [[make.resident(1), "甲", "1"]])
    withdraw(house, kit.POLICE, push)
    with pytest.raises(WrongState, match=f"push {push} was withdrawn by its department and is not judged"):
        way.process(house, push)
    assert pool.versions(house, "police_household") == []


def test_what_cannot_be_taken_back_says_why(house: House) -> None:
    entered(house, POLICE)
    older = pooled(house, POLICE, 1, [{"id": "1"}])
    newer = pooled(house, POLICE, 2, [{"id": "2"}])
    rejected = accepted(house, POLICE, 3, state="rejected")
    with pytest.raises(WrongState, match=f"push {older} is not the newest version of its pool any more, {newer} is"):
        withdraw(house, OWNER, older)
    with pytest.raises(WrongState, match=f"push {rejected} is rejected and can't be withdrawn"):
        withdraw(house, OWNER, rejected)
    with pytest.raises(AccessRefused, match=f"only the pushing department may withdraw push {newer}"):
        withdraw(house, Caller(None, DEPARTMENT_CODES["民政局"]), newer)
    with pytest.raises(NotFound, match="there is no push P1"):
        withdraw(house, OWNER, "P1")
    assert rows(house) == [("2", None, 2)]
