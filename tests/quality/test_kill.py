"""kill -9 at every step of the gate, then judge again: the same verdict, rows and row errors, and nothing left lying about."""

import pytest
from sqlalchemy import func, select

from exchange.house import House
from exchange.registry.models import Event
from quality import gate, staging
from tests import make
from tests.dying import dying
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

MOST = 36  # pushes, with or without a point left to die at

HEADER = ["公民身份号码", "姓名", "性别"]


def land(house: House, batch: int, people: int) -> str:
    """People of whom the first has an unknown sex, and one comes twice."""
    rows = [[make.resident(n), f"人{n}", "1" if n else "7"] for n in range(people)]
    return kit.land(house, "police_household", HEADER, [*rows, rows[7]], batch=batch)


def outcome(house: House, push: str) -> tuple[object, ...]:
    """Everything about a judged push that does not depend on which push it is."""
    verdict = gate.verdict(house, push).as_dict()
    del verdict["push_id"], verdict["decided_at"]
    rows: object = None
    if verdict["decision"] == "accepted":
        with house.duckdb() as connection:
            rows = connection.execute(f"SELECT * FROM {staging.accepted_sql(house, push)} ORDER BY _row").fetchall()
    with house.registry.session() as session:
        events = session.scalar(
            select(func.count()).select_from(Event).where(Event.object_id == push, Event.tag == "gate:push:decide")
        )
    root = house.settings.root
    files = sorted(
        str(path.relative_to(root)).replace(push, "P")
        for folder in ("rows", "staging", "quarantine", "gx")
        for path in (root / folder).glob(f"*{push}*")
    )
    return verdict, rows, kit.row_errors(house, push), events, files


def confirmed(house: House, push: str) -> tuple[object, ...]:
    """Confirmed as the department would: asked again after no answer, it is told that the push is accepted already."""
    if gate.verdict(house, push).decision == "held":
        gate.confirm(house, kit.POLICE, push)
    verdict, *rest = outcome(house, push)
    assert isinstance(verdict, dict)
    verdict["confirmed_by"] = bool(verdict["confirmed_by"])
    return verdict, *rest


def test_at_every_twelfth_line_of_the_gate_and_every_line_of_a_confirmation(house: House) -> None:
    """A whole push and one so much smaller that it is held, by turns, until each is judged and confirmed without a death."""
    make.small_city(house)
    wanted = []
    for batch, people in ((1, 100), (2, 60)):
        push = land(house, batch, people)
        gate.check(house, push)
        wanted.append(outcome(house, push))
    assert gate.verdict(house, push).decision == "held"
    wanted_then = confirmed(house, push)
    alive = 0
    with dying(house) as other:
        for batch in range(3, 3 + MOST):
            small = batch % 2 == 0
            push = land(house, batch, 60 if small else 100)
            death = other.dies("check", push, every=12)
            gate.check(house, push)
            assert outcome(house, push) == wanted[small], death
            alive = alive + 1 if death is None else 0
            if small:
                death = other.dies("confirm", push, make.POLICE)
                assert confirmed(house, push) == wanted_then, death
                if death is None and alive >= 2:
                    break
    for step, least in (("check", 15), ("confirm", 10)):
        deaths = other.deaths[step]
        assert len(set(deaths)) == len(deaths) > least, f"the steps of {step} are no longer seen"
