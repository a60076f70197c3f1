"""A process that judges pushes and dies of SIGKILL at a chosen step. Run by test_kill.py as `python -m tests.quality.dying`.

It reads the settings as one JSON line, then one order a line: {"push": …, "line": n} dies when the n-th distinct line of
the gate is about to run (0: never). Each death is a fork, so Great Expectations is imported once.
"""

import json
import os
import signal
import sys
from types import FrameType
from typing import Any

from exchange.house import House
from exchange.settings import read_settings
from quality import expectations, gate

WATCHED = ("quality/gate.py", "quality/check.py", "quality/expectations.py", "quality/quarantine.py")


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


def judge(settings: dict[str, Any], push_id: str, fatal: int) -> int:
    """Judge the push; the number of distinct lines it took."""
    house = House.open(read_settings(_env_file=None, **settings))
    watch = Watch(fatal)
    sys.settrace(watch)
    try:
        gate.check(house, push_id)
    finally:
        sys.settrace(None)
        house.registry.close()
    return len(watch.lines)


def main() -> None:
    """See the module."""
    settings = json.loads(sys.stdin.readline())
    expectations.preload()
    for line in sys.stdin:
        order = json.loads(line)
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(writing, str(judge(settings, order["push"], order["line"])).encode())
            os._exit(0)
        os.close(writing)
        _, status = os.waitpid(child, 0)
        lines = os.read(reading, 20).decode()
        os.close(reading)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status), "lines": int(lines or 0)}), flush=True)


if __name__ == "__main__":
    main()
