"""kill -9 at every step of refreshing a theme: the version before or the new one, never a mixture; run again, the same rows.

The walk is that of tests/pools/test_killed.py: marriages of two contents by turns, a base and a theme made of them.
"""

import random
import time

import pytest
from sqlalchemy import func, select

from exchange.house import House
from exchange.registry.models import AccessRecord, ThemeBuild
from pools import index, lake, merge, theme, way
from tests import make
from tests.dying import dying
from tests.pools.test_killed import (
    Stage,
    State,
    digest,
    events,
    killed_when_waiting_for,
    runs_again,
    swapped,
    undisturbed,
    walk,
)
from tests.themes.kit import approved, both_granted, couples, push

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

THEME = "theme:couples"
CONTENTS = (range(10, 48), range(40))  # who is married, by even and by odd batches
KNOWN = [{"id_number": make.resident(n), "name": f"人{n}", "birth_date": f"1950-02-{n % 28 + 1:02}"} for n in range(50)]


@pytest.fixture
def city(house: House) -> House:
    """The police have pooled their people; the theme is approved."""
    make.small_city(house, themes=[couples()])
    both_granted(house)
    approved(house)
    push(house, "police_household", KNOWN)
    return house


def married(house: House, batch: int) -> str:
    """The next of two contents in the pool, and in the base."""
    rows = [{"id_number": make.resident(n), "name": f"人{n}", "marital_code": "20"} for n in CONTENTS[batch % 2]]
    receipt = push(house, "civil_marriage", rows, batch=batch)
    merge.build(house, "population")
    return receipt


def built(house: House) -> State:
    """The theme as its newest build that was written down pins it, and what it read."""
    with house.registry.session() as session:
        builds = session.scalars(select(ThemeBuild).order_by(ThemeBuild.number)).all()
        records = select(func.count()).where(AccessRecord.body["action"].as_string() == "theme")
        evidence = session.scalar(records.where(AccessRecord.body["decision"].as_string() == "answered")) or 0
    assert [one.number for one in builds] == list(range(1, len(builds) + 1))
    newest = builds[-1]
    with lake.opened(house) as connection:
        rows = digest(connection, lake.version(theme.table("couples"), newest.snapshot), "id_number")
        drafts = connection.execute(
            "SELECT name FROM (SHOW ALL TABLES) WHERE name LIKE '%\\_\\_next' ESCAPE '\\'"
        ).fetchall()
        commits = len(lake.by_author(connection, THEME))
    read = [(name, facts["fields"], facts["masked"], facts["rows"]) for name, facts in newest.inputs.items()]
    written = (commits, len(builds), events(house, "theme:build:commit", theme="couples"), evidence // len(read))
    return State((rows, drafts, newest.rows, read), written, [])


BUILD = Stage("build a theme", lambda _: "couples", theme.build, (built,), 5)
SWAP = Stage("swap a theme", lambda _: THEME, index.swap, (swapped(THEME),), 3)
REFRESH = Stage("refresh", lambda _: "couples", way.refresh, (built, swapped(THEME)), 5)


def test_at_every_twenty_fifth_line_of_building_and_swapping(city: House) -> None:
    walk(city, (BUILD, SWAP), married, every=25)


def test_inside_every_commit(city: House) -> None:
    wanted = undisturbed(city, (BUILD, SWAP), married)
    lake_, control = city.databases.lake, city.databases.control
    places = {
        BUILD: [
            (lake_, "ducklake_snapshot"),
            (lake_, "ducklake_data_file"),
            (control, "theme_build"),
            (control, "access_log"),
            (control, "event"),
        ],
        SWAP: [(control, "serving_index"), (control, "event")],
    }
    with dying(city) as other:
        for batch in range(4, 9):
            receipt = married(city, batch)
            for stage in (BUILD, SWAP):
                if places[stage]:
                    address, table = places[stage].pop()
                    killed_when_waiting_for(other, stage, receipt, address, table)
                    runs_again(city, stage, receipt, batch, wanted, (stage.step, table))
                stage.again(city, stage.asked(receipt))


def test_at_any_moment_again_and_again(city: House) -> None:
    """Each refresh killed after a random time, until one is left alone."""
    chance = random.Random(11)
    wanted = undisturbed(city, (REFRESH,), married)
    with dying(city) as other:
        for batch in range(4, 8):
            receipt = married(city, batch)
            for _ in range(4):
                with other.killed_from_outside(REFRESH.step, REFRESH.asked(receipt)):
                    time.sleep(chance.uniform(0.1, 1.5))
            runs_again(city, REFRESH, receipt, batch, wanted, (REFRESH.step, "by the clock"))
