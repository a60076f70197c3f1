"""Random cities: departments, dated authorities, satellites, nulls, ties, deletions, aliases, older numbers and re-pushes; engine
and reference must agree on every row, and what was answered once is answered again `as of` then."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import count
from operator import methodcaller
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource, Order, Resource, Satellite
from exchange.house import House
from tests import make as numbers
from tests.drawn import Row
from tests.pools.given import item, resource
from tests.spec.merge.cities import City, EngineCity, ReferenceCity, TwinCity

KEYS = [str(n) for n in range(1, 7)]
CODES = [numbers.uscc(n) for n in range(1, 5)]
OLDER = {"org_code": [code[8:17] for code in CODES], "registration_no": [f"41080200000001{n}" for n in range(3)]}
COLUMNS = ("aa", "bb", "cc")
TIMES = ("2026-01-01", "2026-01-02 12:00:00", "1999-12-31")
DAYS = ("2026-01-01", "2026-07-01", "2026-07-02")
DEPARTMENTS = ("公安局", "卫健委", "民政局", "人社局")


@dataclass(frozen=True)
class Kind:
    """Of people, or of entities, some of whose sources know them by older numbers: which numbers rows of each kind of source are
    keyed by, and which can be renamed into which."""

    identifier: str
    of_source: dict[str | None, list[str]]

    @property
    def keys(self) -> list[str]:
        return self.of_source[None]

    @property
    def every(self) -> list[str]:
        return [number for listed in self.of_source.values() for number in listed]


PEOPLE = Kind("resident_number", {None: KEYS})
ENTITIES = Kind("uscc", {None: CODES, **OLDER})

Step = Callable[[City], None]  # one that says what it does when a test fails: a methodcaller
World = tuple[BaseDefinition, list[Resource], list[Step], Kind]


@dataclass(frozen=True)
class _Build:
    """A build on a day, after which both are looked at."""

    on: str

    def __call__(self, city: City) -> None:
        city.build(on=self.on)


cell = st.sampled_from(["甲", "乙", "丙", None])


@st.composite
def worlds(
    draw: st.DrawFn, kinds: tuple[Kind, ...] = (PEOPLE, ENTITIES), taken: Iterator[int] = count(), *, steady: bool = False
) -> World:
    """A base, the resources that feed it, and what happens: pushes and builds in some order, a build at the end.

    `steady`: after a first build of all of them nothing but rows changes, so that builds may be made in part.
    """
    prefix, kind = f"g{next(taken)}", draw(st.sampled_from(kinds))
    resources = [_resource(draw, f"{prefix}_{place}", place, kind) for place in range(draw(st.integers(1, 4)))]
    pairs = [(entry.id, column) for entry in resources for column in COLUMNS]
    fields = tuple(_field(draw, f"f{place}", pairs) for place in range(draw(st.integers(1, 3))))
    definition = BaseDefinition(
        id=f"{prefix}_base",
        version=1,
        title="随机",
        key="key",
        key_identifier=kind.identifier,  # type: ignore[arg-type]
        key_sources=tuple(FieldSource(resource=entry.id, item="person") for entry in resources),
        fields=fields,
        satellites=(_satellite(draw, resources, pairs),) if draw(st.booleans()) else (),
    )
    stands_for: dict[str, str] = {}
    if steady:
        build = _build(draw)
        opening = [_push(draw, entry, kind) for entry in resources]
        opening += [_step(draw, resources, stands_for, kind, ["alias"]) for _ in range(draw(st.integers(0, 2)))]
        pushes = st.sampled_from(resources)
        then = [draw(st.sampled_from([build, None])) or _push(draw, draw(pushes), kind) for _ in range(6)]
        return definition, resources, [*opening, build, *then, build], kind
    between = [_step(draw, resources, stands_for, kind) for _ in range(draw(st.integers(0, 7)))]
    return definition, resources, [*(_push(draw, entry, kind) for entry in resources[:2]), *between, _build(draw)], kind


STEPS = ["push", "push", "build", "build", "alias", "alias", "end"]


def _step(
    draw: st.DrawFn, resources: list[Resource], stands_for: dict[str, str], kind: Kind, steps: list[str] = STEPS
) -> Step:
    """A push, a build, an alias, or the end of one; `stands_for` is what stands so far."""
    what = draw(st.sampled_from(steps))
    if what == "build":
        return _build(draw)
    if what == "end" and stands_for:
        old = draw(st.sampled_from(sorted(stands_for)))
        del stands_for[old]
        return methodcaller("end_alias", old)
    pairs = [
        (old, new) for old in kind.every for new in kind.keys if old not in stands_for and old not in _way(stands_for, new)
    ]
    if what == "alias" and pairs:
        old, new = draw(st.sampled_from(pairs))
        stands_for[old] = new
        whose = st.lists(st.sampled_from([entry.id for entry in resources]), max_size=2, unique=True)
        return methodcaller("alias", old, new, *draw(whose))
    return _push(draw, draw(st.sampled_from(resources)), kind)


def _way(stands_for: dict[str, str], number: str) -> list[str]:
    """A number and those that it leads to."""
    way = [number]
    while way[-1] in stands_for:
        way.append(stands_for[way[-1]])
    return way


def _build(draw: st.DrawFn) -> Step:
    """By the orders of authority of some day."""
    return _Build(draw(st.sampled_from(DAYS)))


def _field(draw: st.DrawFn, name: str, pairs: list[tuple[str, str]]) -> BaseField:
    """With another order of authority from some day on, or two, or none."""
    orders = st.lists(st.sampled_from(pairs), min_size=1, max_size=5, unique=True).map(
        lambda order: tuple(FieldSource(resource=resource, item=column) for resource, column in order)
    )
    since = draw(st.sampled_from([(), DAYS[1:2], DAYS[1:]]))
    authority = tuple(Order(since=date.fromisoformat(day), sources=draw(orders)) for day in since)
    return BaseField(name=name, title=name, type=DataType.TEXT, sources=draw(orders), authority=authority)


def _satellite(draw: st.DrawFn, resources: list[Resource], pairs: list[tuple[str, str]]) -> Satellite:
    """Of some of the resources, its rows told apart by one column or two."""
    codes = [entry for entry in resources if entry.item("person").identifier not in OLDER]
    some = draw(st.lists(st.sampled_from(codes), min_size=1, unique_by=lambda entry: entry.id))
    key = ("aa", "bb")[: draw(st.integers(1, 2))]
    said = [pair for pair in pairs if pair[0] in {entry.id for entry in some}]
    return Satellite(
        id="rows",
        title="附表",
        parent_sources=tuple(FieldSource(resource=entry.id, item="person") for entry in some),
        key=key,
        fields=(
            *(
                BaseField(
                    name=name,
                    title=name,
                    type=DataType.TEXT,
                    sources=tuple(FieldSource(resource=entry.id, item=name) for entry in some),
                )
                for name in key
            ),
            _field(draw, "more", said),
        ),
    )


def _resource(draw: st.DrawFn, name: str, place: int, kind: Kind) -> Resource:
    """With one row a person, or several (its key is then its own, or rows may repeat); with update times or without. Of entities,
    the first is keyed by their codes, others maybe by an older number; a registration number may stand beside a code."""
    form = draw(st.sampled_from(["one row a person", "rows repeat", "own key"]))
    older = draw(st.sampled_from(list(kind.of_source))) if place else None
    beside = (
        (item("beside", identifier="registration_no"),)
        if kind is ENTITIES and older is None and draw(st.booleans())
        else ()
    )
    stamp = (item("updated", DataType.TIMESTAMP, is_timestamp=True),) if draw(st.booleans()) else ()
    person = item("person", identifier=older or kind.identifier)
    items = (item("no"), person, *(item(column) for column in COLUMNS), *beside, *stamp)
    more: dict[str, Any] = {"duplicates": "allow"} if form == "rows repeat" else {}
    return resource(name, items, ("no",) if form == "own key" else ("person",), DEPARTMENTS[place], **more)


def _push(draw: st.DrawFn, entry: Resource, kind: Kind) -> Step:
    unique = entry.key == ("person",) and entry.duplicates != "allow"
    known = kind.of_source.get(entry.item("person").identifier, kind.keys)
    keys = st.sampled_from(known) if unique else st.sampled_from([*known, None])
    people = draw(st.lists(keys, max_size=8, unique=unique))
    rows: list[Row] = []
    for number, person in enumerate(people):
        row: Row = {"no": str(number), "person": person} | {column: draw(cell) for column in COLUMNS}
        if any(wanted.name == "beside" for wanted in entry.items):
            row["beside"] = draw(st.sampled_from([*OLDER["registration_no"], None]))
        if any(wanted.is_timestamp for wanted in entry.items):
            row["updated"] = draw(st.sampled_from([*TIMES, None]))
        rows.append(row)
    return methodcaller("push", entry.id, rows)


def agree(world: World, engine: EngineCity) -> None:
    """Both go the same way and say the same after every build."""
    definition, resources, steps, kind = world
    reference = ReferenceCity(definition, resources)
    for step in steps:
        for city in (engine, reference):
            step(city)
        if isinstance(step, _Build):
            assert engine.base() == reference.base()
            assert engine.conflicts() == reference.conflicts()
            assert engine.contested() == Counter((row["field"], row["loser"]) for row in reference.conflicts())
            for satellite in definition.satellites:
                assert engine.satellite(satellite.id) == reference.satellite(satellite.id)
                assert engine.orphans(satellite.id) == reference.orphans(satellite.id)
            assert engine.answered(kind.every) == reference.answered(kind.every)
    assert engine.since() == reference.since()


QUIET = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large)


EACH = settings(max_examples=10, deadline=None, suppress_health_check=QUIET, phases=(Phase.explicit, Phase.generate))
MANY = settings(max_examples=60, deadline=None, suppress_health_check=QUIET)


@pytest.mark.timeout(900)
@EACH
@given(world=worlds())
def test_engine_and_reference_agree(house: House, world: World) -> None:
    agree(world, EngineCity(house, *world[:2]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@MANY
@given(world=worlds())
def test_engine_and_reference_agree_on_many(house: House, world: World) -> None:
    agree(world, EngineCity(house, *world[:2]))


@pytest.mark.timeout(900)
@settings(EACH, max_examples=3, derandomize=True)
@given(world=worlds((PEOPLE,), steady=True))
def test_what_is_made_in_part_is_what_is_made_whole(house: House, in_place: None, world: World) -> None:
    agree(world, TwinCity(house, *world[:2]))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(MANY, max_examples=20, derandomize=True)
@given(world=worlds((PEOPLE,), steady=True))
def test_what_is_made_in_part_is_what_is_made_whole_on_many(house: House, in_place: None, world: World) -> None:
    agree(world, TwinCity(house, *world[:2]))
