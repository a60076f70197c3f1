"""Every spec runs in the same small city, on the engine and on the reference.

Four registers feed the base `people`. Order of authority, field by field:

    name     police, health, civil
    mobile   health, civil, police
    district civil

`police` and `civil` have one row a person; `health` may have several, each with its own update time.
"""

from collections.abc import Callable, Iterator

import pytest

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource, Resource
from exchange.house import House
from pools import pool, touched
from tests.pools.given import item, resource
from tests.spec.merge.cities import City, EngineCity, ReferenceCity, TouchedCity

POLICE = resource("police", (item("id"), item("name"), item("mobile")), ("id",), "公安局")
HEALTH = resource(
    "health",
    (item("person"), item("full_name"), item("phone"), item("updated", DataType.TIMESTAMP, is_timestamp=True)),
    ("person",),
    "卫健委",
    duplicates="allow",
)
CIVIL = resource("civil", (item("id"), item("name"), item("mobile"), item("district")), ("id",), "民政局")


def field(name: str, *sources: str) -> BaseField:
    """A field and its sources, written `resource.item`."""
    pairs = [source.split(".") for source in sources]
    return BaseField(
        name=name,
        title=name,
        type=DataType.TEXT,
        sources=tuple(FieldSource(resource=resource, item=item) for resource, item in pairs),
    )


PEOPLE = BaseDefinition(
    id="people",
    version=1,
    title="人口",
    key="id",
    key_identifier="resident_number",
    key_sources=(
        FieldSource(resource="police", item="id"),
        FieldSource(resource="health", item="person"),
        FieldSource(resource="civil", item="id"),
    ),
    fields=(
        field("name", "police.name", "health.full_name", "civil.name"),
        field("mobile", "health.phone", "civil.mobile", "police.mobile"),
        field("district", "civil.district"),
    ),
)

Make = Callable[[BaseDefinition, list[Resource]], City]


@pytest.fixture(params=["engine", pytest.param("touched", marks=pytest.mark.slow), "reference"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes a city on one of the three: the engine, the engine where it makes only what it must anew, and the reference."""
    if request.param == "reference":
        yield ReferenceCity
        return
    house: House = request.getfixturevalue("house")
    if request.param == "touched":
        request.getfixturevalue("in_place")
    kind = TouchedCity if request.param == "touched" else EngineCity
    yield lambda definition, resources: kind(house, definition, resources)


@pytest.fixture
def in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pools change in place, and bases in part, however small they are."""
    monkeypatch.setattr(pool, "SMALL", 1e9)
    monkeypatch.setattr(touched, "MOST_REPLACED", 1e9)


@pytest.fixture
def city(make: Make) -> City:
    """The small city."""
    return make(PEOPLE, [POLICE, HEALTH, CIVIL])
