"""Run one command so that nothing of it outlives it, or whoever started it: not a worker, not a worker's worker.

Invariant: when this process is gone, so is every process below it. It is a subreaper (orphans come back to it), it is
told by the kernel when its own parent dies, and it ends what is left, first kindly, then not. Linux only.
Needs nothing but the standard library: `python -I keeper.py PARENT GRACE COMMAND…`, GRACE in seconds.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
ENDED_WITH_PARENT = 143


def command(arguments: list[str], *, grace: float) -> list[str]:
    """The command line that runs `arguments` under a keeper of this process."""
    return [sys.executable, "-I", __file__, str(os.getpid()), str(grace), *arguments]


def main(arguments: list[str]) -> int:
    """Keep the command until it ends, we are told to stop, or the parent dies; its exit code."""
    parent, grace, kept = int(arguments[0]), float(arguments[1]), arguments[2:]
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    told: list[float] = []

    def stop(_signal: int, _frame: FrameType | None) -> None:
        told.append(time.monotonic())

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, stop)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before we asked to be told
        return ENDED_WITH_PARENT
    child = subprocess.Popen(kept, preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL))
    code: int | None = None
    while code is None:
        code = _reap(child.pid)
        if told and code is None:
            child.send_signal(signal.SIGTERM)
            code = _wait(child.pid, until=told[0] + grace)
            break
        if code is None:
            time.sleep(0.1)
    _end_everything()
    return ENDED_WITH_PARENT if code is None else code


def _reap(wanted: int) -> int | None:
    """Collect whatever has ended; the exit code of `wanted` once it has."""
    found = None
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            if pid == wanted:
                code = os.waitstatus_to_exitcode(status)
                found = code if code >= 0 else 128 - code
    return found


def _wait(wanted: int, *, until: float) -> int | None:
    while time.monotonic() < until:
        if (code := _reap(wanted)) is not None:
            return code
        time.sleep(0.05)
    return None


def _end_everything() -> None:
    """Kill what is left below us until nothing is; a process born in between is found on the next round."""
    while left := _below(os.getpid()):
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _reap(-1)
        time.sleep(0.02)


def _below(ancestor: int) -> list[int]:
    """Every process that descends from `ancestor` and still runs."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if state != "Z" or int(parent) == ancestor:
                    parents[int(entry.name)] = int(parent)
    found: list[int] = []
    frontier = {ancestor}
    while frontier:
        frontier = {pid for pid, parent in parents.items() if parent in frontier}
        found += frontier
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
