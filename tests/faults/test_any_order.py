"""Pushes of every mode in any order, with kill -9 in the middle of every seventh thing that is done.

Whatever came, in whatever order, and whenever its process was killed: run again, the pools, their versions and figures, the
base and the receipts are what a slow model says (tests/faults/model.py), and nothing is written down twice or half.
"""

import csv
import hashlib
import io
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import select

from exchange import catalogue
from exchange.callers import Caller
from exchange.errors import BatchOutdated, BatchReused, WrongState
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.intake.places import landed_file
from exchange.registry.models import Event, PoolCommit, Push
from pools import lake, merge, pool, way
from quality import gate
from tests import make
from tests.dying import Dying, dying
from tests.faults.model import Kept, Model, Sent, Values, merged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

PUSHES, KILLS = 1000, 200  # at least
EXAMPLES, STEPS = 44, 50
SHRINK_FLOOR = 0.5
POLICE = Caller(None, make.POLICE)
ITEMS = [make.ID_NUMBER, make.item("name", "姓名", "C10"), make.item("rooms", "房间数", "I3")]
TOO_MANY_ROOMS = 99_999  # a row that the gate does not let in

keys = st.integers(0, 11)
values = st.tuples(st.sampled_from("甲乙丙"), st.integers(1, 3))
modes = st.sampled_from(["full", "incremental", "incremental", "deletions"])
moments = st.sampled_from([None] * 60 + [tenths / 10 for tenths in range(1, 11)])  # seconds after which it is killed
contents = st.dictionaries(keys, st.one_of(values, values, values, st.none()), min_size=1, max_size=8)
things = st.sampled_from(
    ["push"] * 6 + ["judge", "withdraw", "confirm", "build", "send_other_bytes_under_a_number_that_is_taken"]
)
Draw = Callable[[st.SearchStrategy[Any]], Any]


def pair(number: int) -> tuple[str, str]:
    return f"first_{number}", f"second_{number}"


def publish(house: House) -> None:
    """For every example two resources of its own, and a base of both: names from the first, rooms from the second."""
    resources, bases = [], []
    for number in range(EXAMPLES + 10):
        one, two = pair(number)
        rules = {"quarantine_threshold": 1.0, "shrink_floor": SHRINK_FLOOR}
        resources += [make.resource(name, make.POLICE, ITEMS, ["id_number"], **rules) for name in (one, two)]
        base = {"id": f"base_{number}", "title": "库", "key": "id_number", "key_identifier": "resident_number"}
        fields = [
            {"name": "name", "sources": [f"{one}.name", f"{two}.name"]},
            {"name": "rooms", "sources": [f"{two}.rooms", f"{one}.rooms"]},
        ]
        bases.append({**base, "key_sources": [f"{one}.id_number", f"{two}.id_number"], "fields": fields})
    catalogue.load(house, make.write_catalogue(house.settings.root.parent / "catalogue", resources=resources, bases=bases))


def parcel(push: Sent) -> tuple[bytes, int]:
    """A push as a department would write it, and its number of rows."""
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n").writerow
    if push.mode == "deletions":
        write(["公民身份号码"])
        for key in push.says:
            write([key])
        return text.getvalue().encode(), len(push.says)
    write(["操作", "公民身份号码", "姓名", "房间数"])
    for key, said in push.says.items():
        write(["D", key, "", ""] if said is None else ["U", key, *said])
    for number in range(push.bad):
        write(["U", make.resident(100 + number), "丁", TOO_MANY_ROOMS])
    return text.getvalue().encode(), len(push.says) + push.bad


class Resource:
    """One resource: its model, and what is really there."""

    def __init__(self, house: House, lake_: DuckDBPyConnection, name: str, folder: Path) -> None:
        self.house, self.lake, self.name, self.folder = house, lake_, name, folder
        self.model = Model(SHRINK_FLOOR)
        self.receipts: dict[int, str] = {}

    def declared(self, push: Sent) -> tuple[Path, Declaration]:
        content, rows = parcel(push)
        path = self.folder / f"{self.name}-{push.batch}.csv"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        return path, Declaration(self.name, push.batch, push.mode, rows, "sha256", digest)

    def rows(self) -> dict[str, Kept]:
        if pool.latest(self.house, self.name) is None:
            return {}
        found = self.lake.execute(
            f"SELECT id_number, name, rooms, _batch FROM {pool.rows_sql(self.house, self.name)}"
        ).fetchall()
        assert len({row[0] for row in found}) == len(found)
        return {key: (name, rooms, batch) for key, name, rooms, batch in found}

    def is_as_the_model_says(self) -> None:
        batches = {receipt: batch for batch, receipt in self.receipts.items()}
        with self.house.registry.session() as session:
            states = {
                push.batch: (push.id, push.state)
                for push in session.scalars(select(Push).where(Push.resource_id == self.name))
            }
            commits = session.scalars(
                select(PoolCommit).where(PoolCommit.resource_id == self.name).order_by(PoolCommit.snapshot)
            ).all()
        assert states == {batch: (self.receipts[batch], push.state) for batch, push in self.model.sent.items()}
        versions = []
        for commit in commits:
            receipt, *withdrawn = commit.receipt.split(".")
            name = ".".join([str(batches[receipt]), *withdrawn])
            figures = (commit.inserted, commit.changed, commit.deleted, commit.absent)
            versions.append((name, batches[commit.push_id], commit.rows, figures))
        assert versions == [(v.receipt, v.batch, len(v.rows), v.changed) for v in self.model.versions]
        assert self.rows() == self.model.rows

    def is_written_down_once(self) -> None:
        """At the end: an event, a sealed file for each receipt, a commit for each version, and nothing else."""
        with self.house.registry.session() as session:
            landed = session.scalars(
                select(Event.object_id).where(
                    Event.tag == "intake:parcel:land", Event.facts["resource"].as_string() == self.name
                )
            ).all()
        assert Counter(landed) == Counter(self.receipts.values())
        kept = landed_file(self.house.settings, self.name, "x").parent
        files = {path.name for path in kept.iterdir()} if kept.exists() else set()
        assert files == {landed_file(self.house.settings, self.name, receipt).name for receipt in self.receipts.values()}
        commits = [done.receipt for done in lake.by_author(self.lake, pool.author(self.name))]
        with self.house.registry.session() as session:
            recorded = session.scalars(
                select(PoolCommit.receipt).where(PoolCommit.resource_id == self.name).order_by(PoolCommit.snapshot)
            ).all()
        assert commits == list(recorded)


class AnyOrder(RuleBasedStateMachine):
    """One example: two resources and their base. What is done, and killed, is counted over all examples."""

    house: House
    lake: DuckDBPyConnection
    other: Dying
    folder: Path
    numbers: Iterator[int]
    done: Counter[str]

    @initialize()
    def begin(self) -> None:
        self.number = next(self.numbers)
        self.resources = [Resource(self.house, self.lake, name, self.folder) for name in pair(self.number)]
        self.base: dict[str, tuple[Values, bool]] = {}

    @rule(what=things, data=st.data())
    def do(self, what: str, data: st.DataObject) -> None:
        """One rule for all, for an example may leave rules out, and no example shall go without pushes."""
        getattr(self, what)(data.draw)

    def push(self, draw: Draw) -> None:
        """The next batch, one beyond it, or (gap 0) an earlier one that never came."""
        resource = self.resources[draw(st.sampled_from([0, 0, 1]))]
        push = self._drawn(resource, draw)
        path, declaration = resource.declared(push)
        if not resource.model.lands(push):
            with pytest.raises(BatchOutdated):
                landing.land_file(self.house, POLICE, declaration, path, "test")
            return
        self.done["pushes"] += 1
        if (moment := draw(moments)) is not None:
            said = {
                name: getattr(declaration, name) for name in ("resource_id", "batch", "mode", "rows", "algorithm", "digest")
            }
            self._killed(moment, "land", str(path), said)
        receipt = landing.land_file(self.house, POLICE, declaration, path, "test")
        assert landing.land_file(self.house, POLICE, declaration, path, "test") == receipt
        resource.receipts[push.batch] = receipt.id
        if draw(st.sampled_from([True, True, False])):
            self._judge(resource, push.batch, draw(moments))

    def judge(self, draw: Draw) -> None:
        """What has landed, in any order; what was judged before stays as it is. (What was withdrawn is not judged.)"""
        resource = self.resources[draw(st.integers(0, 1))]
        states = {batch: push.state for batch, push in resource.model.sent.items()}
        landed = [batch for batch, state in states.items() if state == "landed"]
        batches = landed or [batch for batch, state in states.items() if state != "withdrawn"]
        if batches:
            self._judge(resource, draw(st.sampled_from(batches)), draw(moments))

    def withdraw(self, draw: Draw) -> None:
        """One of the last few."""
        resource = self.resources[draw(st.integers(0, 1))]
        batches = sorted(resource.model.sent)[-3:]
        if batches:
            self._asked_by_its_department(resource, draw(st.sampled_from(batches)), "withdraw", draw(moments))

    def confirm(self, draw: Draw) -> None:
        resource = self.resources[draw(st.integers(0, 1))]
        held = [batch for batch, push in resource.model.sent.items() if push.state == "held"]
        if held:
            self._asked_by_its_department(resource, draw(st.sampled_from(held)), "confirm", draw(moments))

    def build(self, draw: Draw) -> None:
        if not any(resource.model.versions for resource in self.resources):
            return
        if (moment := draw(moments)) is not None:
            self._killed(moment, "rebuild", f"base_{self.number}")
        way.rebuild(self.house, f"base_{self.number}")
        self._merge()
        with self.house.registry.session() as session:
            newest = merge.last_build(session, f"base_{self.number}")
        assert newest is not None
        found = self.lake.execute(
            f"SELECT id_number, name, rooms, _closed FROM {lake.version(merge.table(newest.base_id), newest.snapshot)}"
        ).fetchall()
        assert {key: ((name, int(rooms)), closed) for key, name, rooms, closed in found} == self.base
        assert len(found) == len(self.base)

    def send_other_bytes_under_a_number_that_is_taken(self, draw: Draw) -> None:
        resource = self.resources[draw(st.integers(0, 1))]
        if not resource.receipts:
            return
        batch = draw(st.sampled_from(sorted(resource.receipts)))
        path, declaration = resource.declared(Sent(batch, "full", {make.resident(99): ("戊", 9)}, 0))
        with pytest.raises(BatchReused):
            landing.land_file(self.house, POLICE, declaration, path, "test")

    def teardown(self) -> None:
        for resource in getattr(self, "resources", []):
            resource.is_as_the_model_says()
            resource.is_written_down_once()

    def _drawn(self, resource: Resource, draw: Draw) -> Sent:
        mode, bad, gap = draw(modes), draw(st.sampled_from([0, 0, 0, 2])), draw(st.sampled_from([1, 1, 1, 1, 2, 0]))
        says = {make.resident(key): said for key, said in draw(contents).items()}
        taken = resource.model.sent
        batch = max(taken, default=0) + gap
        if gap == 0:
            batch = next(number for number in count(max(1, batch - 3)) if number not in taken)
        if mode == "deletions":
            says, bad = dict.fromkeys(says), 0
        if mode == "full":
            says = {key: said or ("丁", 1) for key, said in says.items()}
        return Sent(batch, mode, says, bad)

    def _judge(self, resource: Resource, batch: int, moment: float | None) -> None:
        before = resource.model.rows
        resource.model.judge(batch)
        if moment is not None:
            self._killed(moment, "process", resource.receipts[batch])
            assert resource.rows() in self._on_the_way(before, resource)
        way.process(self.house, resource.receipts[batch])
        resource.is_as_the_model_says()

    def _asked_by_its_department(self, resource: Resource, batch: int, what: str, moment: float | None) -> None:
        before, receipt = resource.model.rows, resource.receipts[batch]
        ask = {
            "withdraw": lambda: way.withdraw(self.house, POLICE, receipt),
            "confirm": lambda: gate.confirm(self.house, POLICE, receipt),
        }[what]
        if not getattr(resource.model, what)(batch):
            with pytest.raises(WrongState):
                ask()
            return
        if moment is not None:
            self._killed(moment, what, receipt, make.POLICE)
            assert resource.rows() in self._on_the_way(before, resource)
        if what == "withdraw" or gate.verdict(self.house, receipt).decision == "held":
            ask()
        if what == "confirm":
            way.process(self.house, receipt)
        else:
            self._merge_if_built(resource)
        resource.is_as_the_model_says()

    def _on_the_way(self, before: dict[str, Kept], resource: Resource) -> list[dict[str, Kept]]:
        """What a pool may be after a kill: as before, or any version the step leads to."""
        return [before, *(version.rows for version in resource.model.versions)]

    def _merge_if_built(self, resource: Resource) -> None:
        """A withdrawal serves the bases anew."""
        if resource.model.versions:
            self._merge()

    def _merge(self) -> None:
        now = merged(*(resource.model.rows for resource in self.resources))
        gone = {key: (values, True) for key, (values, _) in self.base.items() if key not in now}
        self.base = gone | {key: (values, False) for key, values in now.items()}

    def _killed(self, moment: float, step: str, *arguments: Any) -> None:
        with self.other.killed_from_outside(step, *arguments):
            time.sleep(moment)
        self.done["kills"] += 1
        self.done[f"kills of {step}"] += 1


@contextmanager
def counted(house: House, folder: Path) -> Iterator[Counter[str]]:
    """The machine's class, set up for this house; what it did."""
    with dying(house) as other, lake.opened(house) as connection:
        AnyOrder.house, AnyOrder.lake, AnyOrder.other, AnyOrder.folder = house, connection, other, folder
        AnyOrder.numbers, AnyOrder.done = count(), Counter()
        yield AnyOrder.done


def test_hundreds_of_pushes_in_any_order_with_kills(house: House, tmp_path: Path) -> None:
    publish(house)
    with counted(house, tmp_path) as done:
        run_state_machine_as_test(
            AnyOrder,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                derandomize=True,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            ),
        )
    print(dict(done))  # the figures, for those who read the log
    assert done["pushes"] >= PUSHES
    assert done["kills"] >= KILLS
