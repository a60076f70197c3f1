"""A small city whose steps are disturbed: what is to be seen before and after each, and the steps themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select

from exchange.house import House
from exchange.registry.models import BaseBuild, Event, PoolCommit, Push, ServingIndex
from pools import index, lake, merge, pool
from pools import withdraw as withdrawing
from pools.reader import IndexReader
from quality import gate
from tests import make
from tests.quality import kit

POOL, BASE = "pool:police_household", "base:population"
HEADER = ["公民身份号码", "姓名", "性别", "联系电话"]
PEOPLE = 400
_EVENTS = select(Event.tag, func.count().label("number")).group_by(Event.tag)


def rows(batch: int) -> list[list[str]]:
    """What the police push in a batch: phones change, some people come and go."""
    return [
        [make.resident(n), f"人{n}", "1", f"138{batch % 2}{n:07}"] for n in range(batch % 2 * 10, PEOPLE + batch % 2 * 10)
    ]


@dataclass
class City:
    """The push that walks the way in a batch."""

    house: House
    batch: int = 0
    push_id: str = ""


def land(city: City) -> None:
    city.push_id = kit.land(city.house, "police_household", HEADER, rows(city.batch), batch=city.batch)


def build(city: City) -> None:
    merge.build(city.house, "population")


STEPS: dict[str, Callable[[City], Any]] = {
    "land": land,
    "check": lambda city: gate.check(city.house, city.push_id),
    "pool": lambda city: pool.admit(city.house, city.push_id),
    "serve the pool": lambda city: index.swap(city.house, POOL),
    "merge": build,
    "serve the base": lambda city: index.swap(city.house, BASE),
    "withdraw": lambda city: withdrawing.withdraw(city.house, kit.POLICE, city.push_id),
}


def small_city(house: House) -> City:
    """A first push has gone the whole way, with nobody disturbing it."""
    make.small_city(house)
    city = City(house)
    for city.batch in (1, 2):
        for name, step in STEPS.items():
            if name != "withdraw":
                step(city)
    return city


def seen(house: House) -> dict[str, object]:
    """Everything that counts, as anybody sees it: rows of the pool, the base and the indexes, and how much is written down."""
    with lake.opened(house) as connection:
        pooled = connection.execute(
            f"SELECT id_number, name, mobile FROM {pool.rows_sql(house, 'police_household')} ORDER BY id_number"
        ).fetchall()
        commits = {name: len(lake.by_author(connection, name)) for name in ("pool:police_household", "base:population")}
        based = []
        with house.registry.session() as session:
            newest = merge.last_build(session, "population")
        if newest is not None:
            based = connection.execute(
                f"SELECT id_number, name, mobile, _closed FROM {lake.version(merge.table('population'), newest.snapshot)} "
                "ORDER BY id_number"
            ).fetchall()
    served = {}
    for target in (POOL, BASE):
        found = IndexReader(house).lookup(target, [make.resident(n) for n in range(0, PEOPLE + 10, 37)])
        served[target] = {key: record and (record.values, record.closed) for key, record in found.records.items()}
    with house.registry.session() as session:
        states = [(push.batch, push.state) for push in session.scalars(select(Push).order_by(Push.batch))]
        counted = {
            model.__tablename__: session.scalar(select(func.count()).select_from(model))
            for model in (PoolCommit, BaseBuild, ServingIndex)
        }
        events = [(row.tag, row.number) for row in session.execute(_EVENTS)]
    return {
        "pool": pooled,
        "base": based,
        "commits": commits,
        "served": served,
        "pushes": [(batch, "landed" if state == "checking" else state) for batch, state in states],
        "counted": counted,
        "events": sorted((tag, number) for tag, number in events if "refuse" not in tag),
    }
