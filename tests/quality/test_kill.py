"""kill -9 at every step of the gate, then judge again: the same verdict, rows and row errors, and nothing left lying about."""

import json
import signal
import subprocess
import sys
from typing import Any

import pytest
from sqlalchemy import func, select

from exchange.house import House
from exchange.registry.models import Event
from quality import gate, staging
from tests import make
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

HEADER = ["公民身份号码", "姓名", "性别"]
STEP = 5  # lines between two deaths


def land(house: House, batch: int) -> str:
    people = [[make.resident(n), f"人{n}", "1" if n else "7"] for n in range(50)]
    return kit.land(house, "police_household", HEADER, [*people, people[7]], batch=batch)


def outcome(house: House, push: str) -> tuple[object, ...]:
    """Everything about a judged push that does not depend on which push it is."""
    verdict = gate.verdict(house, push).as_dict()
    del verdict["push_id"], verdict["decided_at"]
    with house.duckdb() as connection:
        rows = connection.execute(f"SELECT * FROM {staging.accepted_sql(house, push)} ORDER BY _row").fetchall()
    with house.registry.session() as session:
        events = session.scalar(
            select(func.count()).select_from(Event).where(Event.object_id == push, Event.tag == "gate:push:decide")
        )
    root = house.settings.root
    files = sorted(
        str(path.relative_to(root)).replace(push, "P")
        for folder in ("staging", "quarantine", "gx")
        for path in (root / folder).glob(f"*{push}*")
    )
    return verdict, rows, kit.row_errors(house, push), events, files


def test_at_every_few_lines_of_the_gate(house: House) -> None:
    make.small_city(house)
    whole = land(house, 1)
    settings = {
        "data": str(house.settings.data),
        "keys": str(house.settings.keys),
        "database_url": house.databases.control.url(),
        "lake_url": house.databases.lake.url(),
        "airflow_url": house.databases.airflow.url(),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.quality.dying"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        answers, orders = process.stdout, process.stdin

        def ask(order: dict[str, Any]) -> dict[str, int]:
            orders.write(json.dumps(order) + "\n")
            orders.flush()
            answer: dict[str, int] = json.loads(answers.readline())
            return answer

        orders.write(json.dumps(settings) + "\n")
        lived = ask({"push": whole, "line": 0})
        assert lived["status"] == 0
        assert lived["lines"] > 100, "the steps of the gate are no longer seen"
        wanted = outcome(house, whole)
        for number, line in enumerate(range(1, lived["lines"] + 1, STEP), start=2):
            push = land(house, number)
            assert ask({"push": push, "line": line}) == {"status": -signal.SIGKILL, "lines": 0}
            gate.check(house, push)
            assert outcome(house, push) == wanted, f"died at line {line}"
        orders.close()
