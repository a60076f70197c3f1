"""What a push changes in a pool, drawn: rows that are repeated stay as they were, and every other row is counted."""

from typing import Any

import pytest

from exchange.catalogue.model import DataType, Resource
from exchange.errors import WrongState
from exchange.house import House
from exchange.registry.models import PoolCommit, Push
from pools import lake, pool
from tests.drawn import Row, drawn
from tests.pools.given import accepted, entered, item, pooled, relation, resource

POLICE = resource("police", (item("id"), item("name")), ("id",))
VISITS = resource("visits", (item("id"), item("place")), ("id",), duplicates="allow")


def push(house: House, entry: Resource, batch: int, picture: str, mode: str = "full") -> dict[str, Any]:
    """Pool a drawing; what the version says of itself."""
    pooled(house, entry, batch, list(drawn(picture)), mode)
    view = pool.versions(house, entry.id)[0]
    return {name: getattr(view, name) for name in ("rows", "inserted", "changed", "deleted", "absent")}


def figures(rows: int, inserted: int, changed: int, deleted: int, absent: int = 0) -> dict[str, int]:
    return {"rows": rows, "inserted": inserted, "changed": changed, "deleted": deleted, "absent": absent}


def content(house: House, entry: Resource, columns: str, relation_: str | None = None) -> list[Row]:
    with lake.opened(house) as connection:
        found = connection.execute(f"SELECT {columns} FROM {relation_ or pool.rows_sql(house, entry.id)} ORDER BY ALL")
        names = [column[0] for column in found.description]
        return [{n: None if c is None else str(c) for n, c in zip(names, row, strict=True)} for row in found.fetchall()]


def changes(house: House, entry: Resource) -> list[Row]:
    return content(house, entry, "id, _op", pool.changes_sql(house, entry.id))


def test_a_full_push_changes_what_differs_and_deletes_what_is_absent(house: House) -> None:
    entered(house, POLICE)
    first = "id | name\n 1 | 张三\n 2 | 李四\n 3 | 王五\n 4 | "
    assert push(house, POLICE, 1, first) == figures(4, inserted=4, changed=0, deleted=0)
    second = "id | name\n 2 | 李四\n 4 | 赵六\n 1 | 张三\n 5 | 孙七"
    assert push(house, POLICE, 2, second) == figures(4, inserted=1, changed=1, deleted=1)
    assert content(house, POLICE, "id, name, _batch, _row") == drawn(
        """
        id | name | _batch | _row
        1  | 张三 | 1      | 1
        2  | 李四 | 1      | 2
        4  | 赵六 | 2      | 2
        5  | 孙七 | 2      | 4
        """
    )
    assert changes(house, POLICE) == drawn("id | _op\n 3 | D\n 4 | C\n 5 | I")


def test_a_push_that_changes_nothing_is_a_version_that_changes_nothing(house: House) -> None:
    entered(house, POLICE)
    same = "id | name\n 1 | 张三\n 2 | 李四"
    push(house, POLICE, 1, same)
    assert push(house, POLICE, 2, same) == figures(2, inserted=0, changed=0, deleted=0)
    assert content(house, POLICE, "id, _batch") == drawn("id | _batch\n 1 | 1\n 2 | 1")
    assert changes(house, POLICE) == []
    assert pool.versions(house, "police")[0].batch == 2


def test_an_incremental_push_touches_only_the_keys_it_names(house: House) -> None:
    entered(house, POLICE)
    push(house, POLICE, 1, "id | name\n 1 | 张三\n 2 | 李四\n 3 | 王五")
    found = push(
        house,
        POLICE,
        2,
        """
        _op | id | name
        U   | 2  | 李思
        U   | 3  | 王五
        U   | 9  | 孙七
        D   | 1  |
        D   | 8  |
        """,
        "incremental",
    )
    assert found == figures(3, inserted=1, changed=1, deleted=1, absent=1)
    assert content(house, POLICE, "id, name, _batch") == drawn(
        "id | name | _batch\n 2 | 李思 | 2\n 3 | 王五 | 1\n 9 | 孙七 | 2"
    )
    assert changes(house, POLICE) == drawn("id | _op\n 1 | D\n 2 | C\n 9 | I")


def test_a_list_of_deletions_names_keys_and_nothing_else(house: House) -> None:
    entered(house, POLICE)
    push(house, POLICE, 1, "id | name\n 1 | 张三\n 2 | 李四\n 3 | 王五")
    assert push(house, POLICE, 2, "id |\n 3 |\n 7 |\n", "deletions") == figures(2, 0, 0, deleted=1, absent=1)
    assert content(house, POLICE, "id, name") == drawn("id | name\n 1 | 张三\n 2 | 李四")


def test_where_a_key_has_several_rows_equal_rows_pair_off_in_order(house: House) -> None:
    entered(house, VISITS)
    push(house, VISITS, 1, "id | place\n 1 | 甲\n 1 | 甲\n 1 | 乙\n 2 | 丙\n 3 | 丁")
    found = push(house, VISITS, 2, "id | place\n 1 | 甲\n 1 | 戊\n 2 | 丙\n 2 | 丙\n 4 | 己")
    # of 1 a second 甲 and 乙 go, 戊 comes: one changed, one deleted; 2 gets a row; 3 goes; 4 comes
    assert found == figures(5, inserted=2, changed=1, deleted=2)
    assert content(house, VISITS, "id, place, _batch, _row") == drawn(
        """
        id | place | _batch | _row
        1  | 戊    | 2      | 2
        1  | 甲    | 1      | 1
        2  | 丙    | 1      | 4
        2  | 丙    | 2      | 4
        4  | 己    | 2      | 5
        """
    )
    incremental = "_op | id | place\n U | 1 | 甲\n D | 4 |"
    assert push(house, VISITS, 3, incremental, "incremental") == figures(3, inserted=0, changed=0, deleted=2)
    assert content(house, VISITS, "id, place") == drawn("id | place\n 1 | 甲\n 2 | 丙\n 2 | 丙")


@pytest.mark.parametrize("touched", [1, 60])
def test_small_and_large_differences_leave_the_same_pool(house: House, touched: int) -> None:
    """One is deleted and inserted in place, the other written anew; versions before stay as they were."""
    entered(house, POLICE)
    rows = [{"id": f"{n:03}", "name": "甲"} for n in range(100)]
    first = pooled(house, POLICE, 1, list(rows))
    after = [row | {"name": "乙"} if n < touched else row for n, row in enumerate(rows[:-1])]
    pooled(house, POLICE, 2, list(after))
    assert content(house, POLICE, "id, name") == after
    assert content(house, POLICE, "id, name", pool.rows_sql(house, "police", first)) == rows
    batches = content(
        house, POLICE, "_batch, count(*) AS n", f"(SELECT _batch FROM {pool.rows_sql(house, 'police')}) GROUP BY 1"
    )
    assert batches == [{"_batch": "1", "n": str(99 - touched)}, {"_batch": "2", "n": str(touched)}]


def test_many_small_differences_in_a_row(house: House) -> None:
    entered(house, POLICE)
    rows = [{"id": f"{n:03}", "name": "甲"} for n in range(100)]
    for batch in range(1, 2 * pool.MOST_SMALL + 4):
        rows[batch]["name"] = f"乙{batch}"
        pooled(house, POLICE, batch, list(rows))
    assert content(house, POLICE, "id, name") == rows


def test_a_commit_that_was_never_written_down_is_not_built_upon(house: House) -> None:
    """Killed before its record and then withdrawn: the table holds its rows, and the next small difference must not."""
    entered(house, POLICE)
    rows = [{"id": f"{n:03}", "name": "甲"} for n in range(50)]
    pooled(house, POLICE, 1, list(rows))
    lost = pooled(house, POLICE, 2, [row | {"name": "错"} if n == 7 else row for n, row in enumerate(rows)])
    with house.registry.session() as session:
        session.delete(session.get_one(PoolCommit, lost))
        session.get_one(Push, lost).state = "withdrawn"
    rows[3] = {"id": "003", "name": "乙"}
    pooled(house, POLICE, 3, list(rows))
    assert content(house, POLICE, "id, name") == rows


def test_a_wider_item_or_a_new_one_is_no_change_of_rows_that_say_nothing_of_it(house: House) -> None:
    entered(house, POLICE)
    push(house, POLICE, 1, "id | name\n 1 | 张三\n 2 | 李四")
    wider = POLICE.model_copy(update={"version": 2, "items": (*POLICE.items, item("age", DataType.INTEGER))})
    entered(house, wider)
    found = push(house, wider, 2, "id | name | age\n 1 | 张三 |\n 2 | 李四 | 40")
    assert found == figures(2, inserted=0, changed=1, deleted=0)
    assert content(house, wider, "id, age, _batch") == drawn("id | age | _batch\n 1 | | 1\n 2 | 40 | 2")
    found = push(house, wider, 3, "_op | id | name | age\n U | 3 | 王五 | 7", "incremental")
    assert found == figures(3, inserted=1, changed=0, deleted=0)


def test_a_gap_waits_and_is_closed_in_order(house: House) -> None:
    entered(house, POLICE)
    push(house, POLICE, 1, "id | name\n 1 | 张三")
    late = accepted(house, POLICE, 3, mode="incremental")
    assert pool.waits_for(house, late) == 2
    assert pool.admit(house, late) is None
    changed = relation(POLICE, [{"id": "1"}])
    with pytest.raises(WrongState, match=f"push {late} is batch 3 \\(incremental\\) and waits until batch 2 is settled"):
        pool.commit_relation(house, late, changed)
    accepted(house, POLICE, 2, state="rejected", mode="incremental")
    assert pool.waits_for(house, late) is None


def test_nothing_is_built_on_a_pool_that_is_not_there(house: House) -> None:
    entered(house, POLICE)
    early = accepted(house, POLICE, 5, mode="incremental")
    assert pool.admit(house, early) is None
    assert pool.versions(house, "police") == []
    full = pooled(house, POLICE, 6, [{"id": "1"}])  # it overtakes what waited
    assert [view.push_id for view in pool.versions(house, "police")] == [full]
    with pytest.raises(WrongState, match=f"push {early} is superseded"):
        pool.admit(house, early)
