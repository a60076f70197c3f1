"""Landed bytes go when no rule keeps them; receipts never go."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from exchange.errors import NotFound, WrongState
from exchange.house import House
from exchange.intake import pushes, tables
from exchange.registry.models import Event, Push
from tests.intake.kit import TWO, land, publish, table

NOW = datetime.now(UTC)


@pytest.fixture
def five(house: House, tmp_path: Path) -> list[str]:
    """Five pushes, batch 5 the newest: 100, 80, 60, 40 and 20 days old, all pooled but the first, which is held."""
    publish(house)
    ids = [land(house, tmp_path, TWO, rows=2, batch=batch).id for batch in range(1, 6)]
    with house.registry.session() as session:
        for number, push_id in enumerate(ids):
            push = session.get_one(Push, push_id)
            push.state = "held" if number == 0 else "pooled"
            push.received_at = NOW - timedelta(days=100 - 20 * number)
    return ids


def kept(house: House) -> list[str]:
    return sorted(path.stem for path in (house.settings.root / "landed" / "household").iterdir())


def test_the_last_three_the_last_month_and_the_undecided_are_kept(house: House, five: list[str]) -> None:
    assert pushes.age_out(house, NOW) == 1
    assert kept(house) == sorted([five[0], *five[2:]])
    assert pushes.age_out(house, NOW) == 0
    with house.registry.session() as session:
        assert [event.object_id for event in session.query(Event).filter_by(tag="intake:landing:age-out")] == [five[1]]


def test_a_month_keeps_more_than_three(house: House, five: list[str]) -> None:
    assert pushes.age_out(house, NOW - timedelta(days=60)) == 0
    assert kept(house) == sorted(five)


def test_an_aged_out_push_keeps_its_receipt_and_says_where_its_bytes_are(house: House, five: list[str]) -> None:
    pushes.age_out(house, NOW)
    assert pushes.get(house, five[1]).rows == 2
    with pytest.raises(WrongState, match=rf"推送 {five[1]} 的原始数据已按保留规则清除.*have been aged out"):
        table(house, five[1])


def test_tables_of_decided_pushes_go_and_come_back(house: House, five: list[str]) -> None:
    pushes.age_out(house, NOW)
    assert [path.stem for path in house.settings.folder("rows").iterdir()] == [five[0]]
    assert len(table(house, five[4])) == 2


def test_half_made_tables_of_yesterday_go(house: House, five: list[str]) -> None:
    draft = house.settings.folder("rows") / f".{five[4]}.parquet.0123456789.part"
    draft.write_bytes(b"")
    pushes.age_out(house, NOW)
    assert draft.exists()
    pushes.age_out(house, NOW + timedelta(days=2))
    assert not draft.exists()


@pytest.mark.parametrize(
    "push_id", ["P261122-0123456789", "../../keys/master.key", "P261122-0123456789\0", "410105199001010013"]
)
def test_no_such_push(house: House, push_id: str) -> None:
    with pytest.raises(NotFound, match=r"没有这个推送.*no such push"):
        pushes.get(house, push_id)
    with pytest.raises(NotFound):
        next(tables.read_landed(house, push_id))
