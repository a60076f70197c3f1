"""Overdue: by the update cycle, from the last accepted push, told once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from exchange import catalogue, evaluation
from exchange.house import House
from exchange.registry import models
from tests import make

FRIDAY = datetime(2026, 11, 20, 2, tzinfo=UTC)  # ten o'clock in the morning


@pytest.mark.parametrize(
    ("cycle", "last", "expected"),
    [
        ("realtime", FRIDAY, FRIDAY + timedelta(hours=1)),
        ("daily", FRIDAY - timedelta(days=3), FRIDAY - timedelta(days=1)),  # Tuesday: Wednesday, and one working day more
        ("daily", FRIDAY, FRIDAY + timedelta(days=3)),  # Saturday; the next working day is Monday
        ("daily", FRIDAY - timedelta(days=1), FRIDAY + timedelta(days=3)),  # Thursday: Friday; Monday
        ("daily", FRIDAY - timedelta(hours=11), FRIDAY + timedelta(days=4, hours=-11)),  # Thursday 23:00 in China
        (
            "daily",
            FRIDAY + timedelta(hours=15),
            FRIDAY + timedelta(days=2, hours=15),
        ),  # Saturday 01:00 in China, Friday in UTC
        ("weekly", FRIDAY, FRIDAY + timedelta(days=7)),
        ("monthly", FRIDAY, FRIDAY + timedelta(days=31)),
        ("quarterly", FRIDAY, FRIDAY + timedelta(days=92)),
        ("half_yearly", FRIDAY, FRIDAY + timedelta(days=184)),
        ("yearly", FRIDAY, FRIDAY + timedelta(days=366)),
        ("irregular", FRIDAY, None),
        ("other", FRIDAY, None),
    ],
)
def test_when_a_resource_becomes_overdue(cycle: str, last: datetime, expected: datetime | None) -> None:
    assert evaluation.due(cycle, last) == expected


def city(house: House, tmp_path: Path) -> None:
    """Two resources, weekly and irregular, loaded on FRIDAY."""
    entries = [make.tax_payer(update_cycle="weekly"), make.market_entity(update_cycle="irregular")]
    catalogue.load(house, make.write_catalogue(tmp_path / "catalogue", resources=entries, bases=[]))
    with house.registry.session() as session:
        session.execute(update(models.ResourceVersion).values(loaded_at=FRIDAY))


def push(house: House, batch: int, at: datetime, state: str) -> None:
    with house.registry.session() as session:
        session.add(
            models.Push(
                id=f"P{batch}",
                resource_id="tax_payer",
                resource_version=1,
                department_code=make.TAX,
                door="test",
                batch=batch,
                mode="full",
                rows=1,
                bytes=1,
                algorithm="sm3",
                digest="0",
                shape={},
                state=state,
                received_at=at,
            )
        )


def flags(house: House) -> dict[str, datetime | None]:
    with house.registry.session() as session:
        return {row.id: row.overdue_since for row in session.scalars(select(models.Resource))}


def events(house: House) -> list[tuple[str | None, bool, str | None]]:
    with house.registry.session() as session:
        rows = session.scalars(
            select(models.Event).where(models.Event.tag == "clock:resource:overdue").order_by(models.Event.id)
        )
        return [(row.object_id, row.facts["overdue"], row.facts["since"]) for row in rows]


def test_a_resource_never_pushed_counts_from_its_first_load(house: House, tmp_path: Path) -> None:
    city(house, tmp_path)
    due = FRIDAY + timedelta(days=7)
    assert evaluation.mark_overdue(house, due) == []
    assert evaluation.mark_overdue(house, due + timedelta(seconds=1)) == ["tax_payer"]
    assert flags(house) == {"tax_payer": due, "market_entity": None}
    assert events(house) == [("tax_payer", True, due.isoformat())]


def test_it_is_told_once(house: House, tmp_path: Path) -> None:
    city(house, tmp_path)
    for days in (8, 9, 10):
        assert evaluation.mark_overdue(house, FRIDAY + timedelta(days=days)) == ["tax_payer"]
    assert len(events(house)) == 1


@pytest.mark.parametrize("state", ["accepted", "pooled"])
def test_an_accepted_push_clears_it(house: House, tmp_path: Path, state: str) -> None:
    city(house, tmp_path)
    evaluation.mark_overdue(house, FRIDAY + timedelta(days=8))
    push(house, 1, FRIDAY + timedelta(days=8), state)
    assert evaluation.mark_overdue(house, FRIDAY + timedelta(days=9)) == []
    assert flags(house)["tax_payer"] is None
    assert [told for _, told, _ in events(house)] == [True, False]


@pytest.mark.parametrize("state", ["landed", "checking", "rejected", "held", "superseded"])
def test_a_push_that_was_not_accepted_does_not(house: House, tmp_path: Path, state: str) -> None:
    city(house, tmp_path)
    push(house, 1, FRIDAY + timedelta(days=6), state)
    assert evaluation.mark_overdue(house, FRIDAY + timedelta(days=8)) == ["tax_payer"]


def test_a_retired_resource_is_never_overdue(house: House, tmp_path: Path) -> None:
    city(house, tmp_path)
    evaluation.mark_overdue(house, FRIDAY + timedelta(days=8))
    catalogue.load(house, make.write_catalogue(tmp_path / "catalogue", resources=[make.market_entity()], bases=[]))
    assert flags(house)["tax_payer"] is None
    assert "tax_payer" not in evaluation.mark_overdue(house, FRIDAY + timedelta(days=800))
