"""A process that takes steps of the way and dies of SIGKILL in them. `dying` starts it; it runs as `python -m tests.dying`.

Invariant: no two deaths of one step are at the same point. A point is a line of the watched files, or the end of the step;
a step that lives has only passed points at which it died before (with `every` n: and fewer than n new ones).
Each step is a fork, so nothing is imported twice; only the fork opens the house.
"""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from exchange import catalogue, engine
from exchange.callers import Caller
from exchange.house import House
from exchange.intake import folder, landing
from exchange.intake.parcel import Declaration
from exchange.settings import read_settings
from pools import ageing, index, merge, pool, theme, way
from quality import expectations, gate

ROOT = Path(__file__).parents[1]
EVERYTHING = ("exchange/", "quality/", "pools/")
LAKE = ("pools/lake.py", "exchange/registry/registry.py")


@dataclass(frozen=True)
class Step:
    """What is done, and the files (or folders) whose lines are its points."""

    run: Callable[..., object]
    watched: tuple[str, ...]


def land(house: House, parcel: str, said: dict[str, Any]) -> None:
    caller = Caller(None, catalogue.resource(house, said["resource_id"]).department)
    landing.land_file(house, caller, Declaration(**said), Path(parcel), "test")


def confirm(house: House, push_id: str, department: str) -> None:
    gate.confirm(house, Caller(None, department), push_id)


def withdraw(house: House, push_id: str, department: str) -> None:
    way.withdraw(house, Caller(None, department), push_id)


def age(house: House, moment: str) -> None:
    ageing.everything(house, datetime.fromisoformat(moment))


def release(house: House, push_id: str, department: str) -> None:
    way.release(house, Caller(None, department, "李工"), push_id, None, "属实")


def alias(house: House, base_id: str, old: str, new: str) -> None:
    way.alias(house, Caller(None, "", "李工"), base_id, old, new, kind="changed", basis="公安局更正通知")


def confirm_key(house: House, push_id: str, department: str, row: int, key: str) -> None:
    way.confirm_key(house, Caller(None, department, "李工"), push_id, row, key, "电话核实")


LANDING = ("exchange/intake/landing.py", "exchange/intake/tables.py", "exchange/intake/leftovers.py", "exchange/seal.py")
GATE = tuple(f"quality/{name}.py" for name in ("gate", "check", "expectations", "quarantine", "staging", "verdict"))
STEPS = {
    "land": Step(land, (*LANDING, "exchange/registry/registry.py")),
    "take": Step(folder.take, ("exchange/intake/folder.py",)),
    "check": Step(gate.check, (*GATE, "exchange/registry/registry.py")),
    "confirm": Step(confirm, (*GATE, "exchange/registry/registry.py")),
    "admit": Step(pool.admit, ("pools/pool.py", "quality/staging.py", *LAKE)),
    "release": Step(release, ("pools/release.py", "pools/pool.py", "quality/acts.py", "quality/staging.py", *LAKE)),
    "alias": Step(
        alias, (*(f"pools/{name}.py" for name in ("aliases", "renumber", "registered", "merge", "index")), *LAKE)
    ),
    "confirm a key": Step(confirm_key, ("quality/confirmed.py", "pools/release.py", "pools/way.py", *LAKE)),
    "build": Step(
        merge.build, (*(f"pools/{name}.py" for name in ("merge", "making", "golden", "touched", "satellites")), *LAKE)
    ),
    "swap a pool": Step(index.swap, ("pools/index.py", *LAKE)),
    "swap a base": Step(index.swap, ("pools/index.py", *LAKE)),
    "build a theme": Step(theme.build, ("pools/theme.py", "exchange/access_log.py", *LAKE)),
    "swap a theme": Step(index.swap, ("pools/index.py", *LAKE)),
    "refresh": Step(way.refresh, EVERYTHING),
    "age": Step(age, (*(f"pools/{name}.py" for name in ("ageing", "said", "index")), "quality/ageing.py", *LAKE)),
    "process": Step(way.process, EVERYTHING),
    "withdraw": Step(withdraw, EVERYTHING),
    "rebuild": Step(way.rebuild, EVERYTHING),
}


class Watch:
    """Traces one run, and kills its process at the `every`-th point nobody has passed (0: never)."""

    def __init__(self, watched: tuple[str, ...], passed: set[str], every: int, told: int) -> None:
        self.watched = tuple(str(ROOT / part) for part in watched)
        self.passed = passed
        self.every = every
        self.told = told
        self.new: list[str] = []

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.startswith(self.watched):
            return None
        if event == "line":
            self.reach(f"{frame.f_code.co_filename.removeprefix(f'{ROOT}/')}:{frame.f_lineno}")
        return self

    def reach(self, point: str) -> None:
        if point in self.passed:
            return
        self.passed.add(point)
        self.new.append(point)
        if len(self.new) == self.every:
            self.tell()
            os.kill(os.getpid(), signal.SIGKILL)

    def tell(self) -> None:
        os.write(self.told, json.dumps(self.new).encode())


def child(settings: dict[str, Any], step: Step, arguments: list[Any], watch: Watch) -> None:
    """The fork: open the house, take the step, end."""
    status = 1
    try:
        house = House.open(read_settings(_env_file=None, **settings))
        if watch.every:
            sys.settrace(watch)
        step.run(house, *arguments)
        sys.settrace(None)
        watch.reach("the end")  # all done, nothing answered
        watch.tell()
        status = 0
    except BaseException:  # noqa: BLE001 - whatever it was, the fork must not run on as a second server
        sys.settrace(None)
        traceback.print_exc()
    os._exit(status)


def main() -> None:
    """One line of settings, then one order a line; answers with the process's id when it starts, and with its end."""
    settings = json.loads(sys.stdin.readline())
    engine.preload()
    expectations.preload()
    passed: dict[str, set[str]] = defaultdict(set)
    for line in sys.stdin:
        order = json.loads(line)
        name = order["step"]
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            child(
                settings, STEPS[name], order["arguments"], Watch(STEPS[name].watched, passed[name], order["every"], writing)
            )
        os.close(writing)
        print(pid, flush=True)
        with os.fdopen(reading) as told:
            new = json.loads(told.read() or "[]")
        passed[name].update(new)
        _, status = os.waitpid(pid, 0)
        print(json.dumps([os.waitstatus_to_exitcode(status), new[-1] if new else None]), flush=True)


class Dying:
    """The process, as a test sees it. `deaths` are the points of each step at which it died."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.deaths: dict[str, list[str]] = defaultdict(list)

    def dies(self, step: str, *arguments: Any, every: int = 1) -> str | None:
        """Take the step and die at a point nobody has died at; where. None: it lived, and did its work."""
        self._start(step, arguments, every)
        status, point = self._end()
        if status == 0:
            return None
        assert (status, type(point)) == (-signal.SIGKILL, str), f"{step} failed by itself"
        self.deaths[step].append(point)
        return str(point)

    @contextmanager
    def killed_from_outside(self, step: str, *arguments: Any) -> Iterator[None]:
        """The step runs beside the block, and is killed at its end if it is not over."""
        pid = self._start(step, arguments, every=0)
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            status, _ = self._end()
        assert status in (0, -signal.SIGKILL), f"{step} failed by itself"

    def _start(self, step: str, arguments: tuple[Any, ...], every: int) -> int:
        self.tell({"step": step, "arguments": arguments, "every": every})
        return int(self._answer())

    def _end(self) -> list[Any]:
        ended: list[Any] = json.loads(self._answer())
        return ended

    def tell(self, said: object) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(said) + "\n")
        self.process.stdin.flush()

    def _answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()


@contextmanager
def dying(house: House) -> Iterator[Dying]:
    """A process that works in this house, and dies when told."""
    settings = house.settings
    same = {
        "data": str(settings.data),
        "keys": str(settings.keys),
        "database_url": house.databases.control.url(),
        "lake_url": house.databases.lake.url(),
        "airflow_url": house.databases.airflow.url(),
        "memory_limit": int(settings.memory_limit),
        "merge_buckets": settings.merge_buckets,
        "spare_disk": int(settings.spare_disk),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "tests.dying"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        other = Dying(process)
        other.tell(same)
        try:
            yield other
        finally:
            process.stdin.close()
            process.wait()


if __name__ == "__main__":
    main()
