"""What a build makes anew: only the keys that its pools touched, or everything, and then it says why."""

from collections.abc import Callable
from datetime import date

import pytest

from exchange.callers import Caller
from exchange.catalogue.model import FieldSource, Order
from exchange.house import House
from pools import index, lake, merge, touched, withdraw
from pools.explain import explain
from pools.reader import IndexReader
from tests.pools.given import aliased, entered, pooled
from tests.pools.test_index import CIVIL, PEOPLE, POLICE
from tests.spec.merge.cities import with_settings

Way = tuple[str | None, str | None, int | None]


@pytest.fixture
def city(house: House) -> House:
    """Twenty people whom the police knows, ten of them civil affairs too, built once."""
    entered(house, POLICE, CIVIL, PEOPLE)
    pooled(house, POLICE, 1, police())
    pooled(house, CIVIL, 1, [{"id": str(n), "name": f"甲{n}", "tel": f"1{n}"} for n in range(10)])
    house = with_settings(house, merge_touched=0.5, merge_buckets=1)
    assert way(house) == ("whole", "first", None)
    return house


def police(**changed: str | None) -> list[dict[str, str]]:
    """What the police says; `changed`: by person (`_3`), another name, or None: gone."""
    names = {f"_{n}": f"甲{n}" for n in range(20)} | changed
    return [{"id": person[1:], "name": name} for person, name in names.items() if name is not None]


def way(house: House, on: date | None = None) -> Way:
    built = merge.build(house, "people", on=on)
    assert built is not None
    return built.built, built.because, built.touched


def base(house: House, columns: str = "id, name, tel, _closed") -> list[tuple[object, ...]]:
    with lake.opened(house) as connection:
        return connection.execute(f"SELECT {columns} FROM lake.base_people ORDER BY id::INTEGER").fetchall()


def test_a_push_that_changes_little_touches_little(city: House) -> None:
    pooled(city, POLICE, 2, police(_3="乙", _4=None, _15=None, _20="丙"))
    assert way(city) == ("touched", None, 4)
    names: dict[int, tuple[str, bool]] = {n: (f"甲{n}", n == 15) for n in range(20)} | {3: ("乙", False), 20: ("丙", False)}
    assert base(city) == [(str(n), name, f"1{n}" if n < 10 else None, gone) for n, (name, gone) in names.items()]


def test_a_row_that_no_pool_touched_is_not_written_and_is_of_the_newest_build_all_the_same(city: House) -> None:
    before = rows_written(city)
    push = pooled(city, POLICE, 2, police(_3="乙"))
    merge.build(city, "people")
    assert rows_written(city) == before + 1
    index.swap(city, "base:people")
    for key in ("3", "7"):
        record = IndexReader(city).lookup("base:people", [key]).records[key]
        assert record is not None
        assert (record.sources["name"].push, record.sources["name"].batch) == (push, 2)
        said = explain(city, "people", key, "name").fields[0].source
        assert said is not None
        assert (said.push, said.batch, said.since_batch) == (push, 2, 2 if key == "3" else 1)


def rows_written(house: House) -> int:
    """How many rows were ever written into the table that the base is in."""
    with lake.opened(house) as connection:
        counted = connection.execute("SELECT max(rowid) + 1 FROM lake.base_people").fetchone()
    assert counted is not None
    return int(counted[0])


def test_a_closed_record_names_the_build_that_saw_it_last(city: House) -> None:
    pooled(city, POLICE, 2, police(_3="乙"))
    merge.build(city, "people")
    pooled(city, POLICE, 3, police(_3="乙", _15=None))
    merge.build(city, "people")
    pooled(city, POLICE, 4, police(_3="丁", _15=None))
    assert way(city) == ("touched", None, 1)
    assert [row for row in base(city, "id, _closed, _build") if row[1]] == [("15", True, 2)]
    assert explain(city, "people", "15").closed


def test_a_push_that_changes_nothing_is_a_build_of_its_own_all_the_same(city: House) -> None:
    before = base(city, "id, name, tel, _closed")
    pooled(city, POLICE, 2, police())
    assert way(city) == ("touched", None, 0)
    assert base(city, "id, name, tel, _closed") == before


def test_all_that_came_since_the_last_build_is_taken_together(city: House) -> None:
    pooled(city, POLICE, 2, police(_3="乙"))
    pooled(city, POLICE, 3, police(_3="丙", _4=None))
    pooled(city, CIVIL, 2, [{"id": str(n), "name": f"甲{n}", "tel": "2" if n == 5 else f"1{n}"} for n in range(10)])
    pooled(city, POLICE, 4, police(_3="丁"))
    assert way(city) == ("touched", None, 3)  # that 4 went and came back is looked at, and changes nothing
    told = {3: ("丁", "13"), 5: ("甲5", "2")}
    assert base(city, "id, name, tel") == [
        (str(n), *told.get(n, (f"甲{n}", f"1{n}" if n < 10 else None))) for n in range(20)
    ]


def many(house: House) -> None:
    for batch, most in ((2, 5), (3, 10), (4, 15)):
        pooled(house, POLICE, batch, police(**{f"_{n}": "乙" for n in range(most)}))


def renamed(house: House) -> None:
    aliased(house, "people", "3", "30")


def widened(house: House) -> None:
    entered(house, PEOPLE.model_copy(update={"version": 2, "title": "人口库"}))


def narrowed(house: House) -> None:
    entered(house, POLICE.model_copy(update={"version": 2, "abstract": "户籍"}))
    pooled(house, POLICE.model_copy(update={"version": 2}), 2, police(_3="乙"))


WHOLE: dict[str, Callable[[House], object]] = {
    "pool-anew": lambda house: pooled(house, POLICE, 2, police(**{f"_{n}": "乙" for n in range(8)})),
    "many": many,
    "aliases": renamed,
    "definition": widened,
    "sources": narrowed,
}


@pytest.mark.parametrize("because", WHOLE)
def test_everything_is_made_anew_where_more_than_rows_may_matter(city: House, because: str) -> None:
    WHOLE[because](city)
    assert way(with_settings(city, merge_touched=0.5)) == ("whole", because, None)


def test_taking_a_push_back_writes_its_pool_anew_and_then_the_base(city: House) -> None:
    before = base(city)
    push = pooled(city, POLICE, 2, police(_3="乙"))
    merge.build(city, "people")
    assert base(city) != before
    withdraw.withdraw(city, Caller(None, POLICE.department), push)
    assert way(city) == ("whole", "pool-anew", None)
    assert base(city) == before


def test_another_order_of_authority_makes_everything_anew(house: House) -> None:
    later = Order(since=date(2026, 7, 1), sources=(FieldSource(resource="civil", item="name"),))
    field = PEOPLE.fields[0].model_copy(update={"authority": (later,)})
    entered(house, POLICE, CIVIL, PEOPLE.model_copy(update={"fields": (field, *PEOPLE.fields[1:])}))
    pooled(house, POLICE, 1, police())
    assert way(house, date(2026, 6, 30)) == ("whole", "first", None)
    assert way(house, date(2026, 7, 1)) == ("whole", "authority", None)


def test_nothing_is_made_in_part_where_the_setting_says_so(city: House) -> None:
    pooled(city, POLICE, 2, police(_3="乙"))
    assert way(with_settings(city, merge_touched=0)) == ("whole", "set", None)


def test_after_so_many_in_a_row_the_base_is_written_whole_again(city: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(touched, "MOST_IN_A_ROW", 2)
    ways = []
    for batch in range(2, 6):
        pooled(city, POLICE, batch, police(_3=f"乙{batch}"))
        ways.append(way(city))
    assert ways == [("touched", None, 1), ("touched", None, 1), ("whole", "often", None), ("touched", None, 1)]


def test_and_when_too_many_of_its_rows_were_replaced(city: House) -> None:
    ways = []
    for batch in (2, 3, 4):
        pooled(city, POLICE, batch, police(**{f"_{n}": f"乙{batch}" for n in range(4)}))
        ways.append(way(city)[:2])
    assert ways == [("touched", None), ("touched", None), ("whole", "often")]


def test_a_pool_of_which_a_version_between_is_gone_is_not_trusted() -> None:
    """The feed lacks what a forgotten snapshot changed; the run of small differences shows the gap."""
    commits = [lake.Commit(str(n), n, {"small": small}) for n, small in ((5, 2), (7, 3), (9, 4))]
    assert touched._first_in_place(commits, 5, 9) == 7
    assert touched._first_in_place([commits[0], commits[2]], 5, 9) is None
    assert touched._first_in_place(commits[1:], 5, 9) is None
    assert touched._first_in_place([*commits[:2], lake.Commit("9", 9, {"rows": 1})], 5, 9) is None
