"""kill -9 at every ninth line of a release: nothing is seen by half, and run again it is done once."""

import pytest
from sqlalchemy import func, select

from exchange.house import House
from exchange.registry.models import Event, PoolCommit, QuarantineAct
from pools import way
from pools.reader import IndexReader
from tests import make
from tests.dying import dying, release
from tests.pools.test_release import FULL, PLACE, pushed, rows
from tests.quality import kit

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

BEFORE = [("A1", "甲所", 1, 1)]
AFTER = [("A1", "甲所", 1, 1), ("A2", "乙", 1, 2), ("A3", "丙", 1, 3), ("A4", None, 1, 4)]


def test_killed_anywhere_a_release_is_whole_or_not_there_and_is_finished_once(house: House) -> None:
    kit.publish(house, PLACE)
    push = pushed(house, 1, FULL)
    with dying(house) as other:
        while (death := other.dies("release", push, make.POLICE, every=9)) is not None:
            assert rows(house) in (BEFORE, AFTER), death
    assert len(other.deaths["release"]) > 5, "the lines of a release are no longer seen"
    release(house, push, make.POLICE)
    assert rows(house) == AFTER
    found = IndexReader(house).lookup("pool:place", ["A2", "A4"])
    assert None not in found.records.values()
    with house.registry.session() as session:
        counted = [
            session.scalar(select(func.count()).select_from(table).where(which))
            for table, which in (
                (QuarantineAct, QuarantineAct.action == "release"),
                (PoolCommit, PoolCommit.receipt.like("%.released-%")),
                (Event, Event.tag == "quarantine:rows:release"),
            )
        ]
    assert counted == [1, 1, 1]
    assert list((house.settings.root / "staging").iterdir()) == []
    assert way.process(house, push).decision == "accepted"
