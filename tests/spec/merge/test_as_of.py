"""What was answered while a build was the newest is answered again, byte for byte, whoever asks `as of` it: after any sequence of
pushes, aliases and builds, of records, the rows under them and numbers that stand for another."""

import asyncio
import json
from datetime import date

import pytest
from hypothesis import Phase, given, settings

from exchange import grants
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.house import House
from pools import index
from pools.reader import IndexReader
from tests.pools.given import DEPARTMENT_CODES
from tests.spec.merge.cities import EngineCity
from tests.spec.merge.test_generated import QUIET, World, _Build, worlds

ASKER, PURPOSE, PERSON = Caller("c", DEPARTMENT_CODES["人社局"]), "核验", "经办人甲"
OF_THE_ANSWER = ("request_id", "answered_at", "overdue")  # when and how it was asked, not what was answered


def answered(house: House, city: EngineCity, numbers: list[str], as_of: str | None = None) -> bytes:
    """All that a version says of every number, as it leaves the house."""

    async def run() -> bytes:
        asked = Request(f"base:{city.definition.id}", "query", tuple(numbers), fields(city), PURPOSE, PERSON, as_of)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), ASKER, asked)).body
        finally:
            await house.registry.aclose()

    answer = json.loads(asyncio.run(run()))
    return json.dumps(
        {name: said for name, said in answer.items() if name not in OF_THE_ANSWER}, ensure_ascii=False
    ).encode()


def fields(city: EngineCity) -> tuple[str, ...]:
    definition = city.definition
    rows = (f"{each.id}.{field.name}" for each in definition.satellites for field in each.fields)
    return (definition.key, *(field.name for field in definition.fields), *rows)


def stays(house: House, world: World) -> None:
    definition, resources, steps, kind = world
    city, told = EngineCity(house, definition, resources), dict[str, bytes]()
    grants.give(
        house, ASKER.department, f"base:{definition.id}", fields(city), ["query"], PURPOSE, "某法第一条", grants.today(),
        date(2099, 1, 1),
    )  # fmt: skip
    for step in steps:
        step(city)
        if isinstance(step, _Build):
            version = index.swap(house, f"base:{definition.id}")
            now = answered(house, city, kind.every)
            assert told.setdefault(version, now) == now
    assert {version: answered(house, city, kind.every, version) for version in told} == told


@pytest.mark.timeout(900)
@settings(
    max_examples=6, derandomize=True, deadline=None, suppress_health_check=QUIET, phases=(Phase.explicit, Phase.generate)
)
@given(world=worlds())
def test_as_of_a_build_is_what_was_answered_then(house: House, world: World) -> None:
    stays(house, world)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=QUIET)
@given(world=worlds())
def test_as_of_a_build_is_what_was_answered_then_on_many(house: House, world: World) -> None:
    stays(house, world)
