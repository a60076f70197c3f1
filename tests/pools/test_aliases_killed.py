"""kill -9 while a number is made to stand for another, or a key is confirmed: before or after, and run again it is done once."""

import pytest
from sqlalchemy import func, select

from exchange import access_log
from exchange.house import House
from exchange.registry.models import Event, KeyAlias, KeyConfirmation, QuarantineAct
from pools import way
from pools.explain import explain
from pools.reader import IndexReader
from tests import make
from tests.dying import alias, confirm_key, dying
from tests.pools.given import pooled
from tests.pools.test_aliases import NEW, OLD
from tests.pools.test_candidates import ZHANG, waiting
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

__all__ = ["waiting"]  # a fixture


def count(house: House, *tables: type) -> list[int | None]:
    with house.registry.session() as session:
        return [session.scalar(select(func.count()).select_from(table)) for table in tables]


def events(house: House, tag: str) -> int | None:
    with house.registry.session() as session:
        return session.scalar(select(func.count()).select_from(Event).where(Event.tag == tag))


def test_killed_anywhere_an_alias_counts_or_does_not_and_is_recorded_once(house: House) -> None:
    city = make.small_city(house)
    pooled(house, city.resource("civil_marriage"), 1, [{"id_number": OLD, "name": "张三", "marital_code": "20"}])
    way.rebuild(house, "population")

    def served() -> tuple[str | None, ...]:
        records = IndexReader(house, refresh=0).lookup("base:population", [OLD, NEW]).records.values()
        return tuple(None if record is None else record.key for record in records)

    with dying(house) as other:
        while (death := other.dies("alias", "population", OLD, NEW, every=12)) is not None:
            assert served() in ((OLD, None), (NEW, NEW)), death
    assert len(other.deaths["alias"]) > 5, "the lines of an alias are no longer seen"
    alias(house, "population", OLD, NEW)
    assert served() == (NEW, NEW)
    assert (count(house, KeyAlias), events(house, "key:alias:record")) == ([1], 1)
    assert explain(house, "population", OLD).key == NEW
    assert access_log.verify(house).whole


def test_killed_anywhere_a_confirmed_row_is_in_the_pool_or_waits_and_is_released_once(house: House, waiting: str) -> None:
    def mobile() -> object:
        record = IndexReader(house, refresh=0).lookup("pool:police_household", [ZHANG]).records[ZHANG]
        assert record is not None
        return record.values["mobile"]

    with dying(house) as other:
        while (death := other.dies("confirm a key", waiting, kit.POLICE.department, 1, ZHANG, every=12)) is not None:
            assert mobile() in ("13800000001", "13800000009"), death
    assert len(other.deaths["confirm a key"]) > 3, "the lines of a confirmation are no longer seen"
    confirm_key(house, waiting, kit.POLICE.department, 1, ZHANG)
    assert mobile() == "13800000009"
    assert count(house, KeyConfirmation, QuarantineAct) == [1, 1]
    assert (events(house, "quarantine:key:confirm"), events(house, "quarantine:rows:release")) == (1, 1)
    assert access_log.verify(house).whole
