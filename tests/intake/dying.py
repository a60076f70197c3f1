"""A process that lands a parcel and dies of SIGKILL at a chosen step. Run by test_kill.py as `python -m tests.intake.dying`.

It reads one JSON line per death: {"batch": …, "line": n} dies when the n-th distinct line of the landing is about to run
(0: never), {"batch": …, "after": seconds} after a time. Each death is a fork, so nothing is imported twice. It answers
with the exit status and, for a landing that lived, how many distinct lines there were.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from exchange import catalogue
from exchange.callers import Caller
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.settings import read_settings

WATCHED = ("intake/landing.py", "intake/tables.py", "intake/leftovers.py", "registry/registry.py", "exchange/seal.py")


class Watch:
    """Counts distinct lines of the watched files, and kills its process at one of them."""

    def __init__(self, fatal: int) -> None:
        self.fatal = fatal
        self.lines: set[tuple[str, int]] = set()

    def __call__(self, frame: FrameType, event: str, _: object) -> Any:
        if not frame.f_code.co_filename.endswith(WATCHED):
            return None
        if event == "line":
            self.lines.add((frame.f_code.co_filename, frame.f_lineno))
            if len(self.lines) == self.fatal:
                os.kill(os.getpid(), signal.SIGKILL)
        return self


def land(settings: dict[str, Any], parcel: Path, said: dict[str, Any], batch: int, fatal: int) -> int:
    """Land the parcel; the number of distinct lines it took."""
    house = House.open(read_settings(_env_file=None, **settings))
    caller = Caller(None, catalogue.resource(house, said["resource_id"]).department)
    watch = Watch(fatal)
    sys.settrace(watch)
    try:
        landing.land_file(house, caller, Declaration(batch=batch, **said), parcel, "test")
    finally:
        sys.settrace(None)
        house.registry.close()
    return len(watch.lines)


def main() -> None:
    """See the module."""
    first = json.loads(sys.stdin.readline())
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            lines = land(first["settings"], Path(first["parcel"]), first["said"], order["batch"], order.get("line", 0))
            os.write(writing, str(lines).encode())
            os._exit(0)
        os.close(writing)
        if "after" in order:
            time.sleep(order["after"])
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        lines = os.read(reading, 20).decode()
        os.close(reading)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "lines": int(lines or 0)}), flush=True)


if __name__ == "__main__":
    main()
