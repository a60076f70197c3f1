"""A keeper's command leaves nothing behind: not when it ends, not when it is told to, not when its starter is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from infra import keeper

# A family: a worker, a worker's worker in a session of its own, and one that was disowned. Each deaf to SIGTERM.
FAMILY = textwrap.dedent(
    """
    import os, signal, sys, time
    from pathlib import Path
    folder = Path(sys.argv[1])
    def live(name):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        (folder / name).write_text(str(os.getpid()))
        time.sleep(600)
    if os.fork() == 0:
        if os.fork() == 0:
            os.setsid()
            live("grandchild")
        live("child")
    if os.fork() == 0:
        if os.fork() == 0:
            live("disowned")
        os._exit(0)
    live("main") if len(sys.argv) == 2 else time.sleep(float(sys.argv[2]))
    """
)
EVERYBODY = {"child", "grandchild", "disowned"}


def start_family(folder: Path, *more: str, grace: float = 0.2) -> subprocess.Popen[bytes]:
    command = keeper.command([sys.executable, "-c", FAMILY, str(folder), *more], grace=grace)
    return subprocess.Popen(command, start_new_session=True)


def until(true: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.05)
    return true()


def alive(folder: Path) -> set[str]:
    """Who still runs; a zombie does not."""
    found = set()
    for path in folder.iterdir():
        try:
            state = Path(f"/proc/{path.read_text()}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            continue
        if state != "Z":
            found.add(path.name)
    return found


def test_told_to_stop_it_ends_the_deaf_and_the_disowned_too(tmp_path: Path) -> None:
    kept = start_family(tmp_path)
    assert until(lambda: alive(tmp_path) == EVERYBODY | {"main"})
    kept.send_signal(signal.SIGTERM)
    assert kept.wait(20) == keeper.ENDED_WITH_PARENT
    assert alive(tmp_path) == set()


def test_when_the_command_ends_by_itself_its_family_ends_with_it(tmp_path: Path) -> None:
    kept = start_family(tmp_path, "2")
    assert until(lambda: alive(tmp_path) == EVERYBODY)
    assert kept.wait(20) == 0
    assert alive(tmp_path) == set()


def test_when_its_starter_is_killed_nothing_is_left(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    pids.mkdir()
    starter = f"""
import subprocess, sys, time
from infra import keeper
command = keeper.command([sys.executable, "-c", {FAMILY!r}, {str(pids)!r}], grace=0.2)
subprocess.Popen(command, start_new_session=True)
time.sleep(600)
"""
    root = str(Path(__file__).parents[2])
    process = subprocess.Popen([sys.executable, "-c", starter], env=os.environ | {"PYTHONPATH": root})
    assert until(lambda: alive(pids) == EVERYBODY | {"main"})
    process.kill()
    process.wait()
    assert until(lambda: alive(pids) == set())


@pytest.mark.parametrize(("command", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_command_s(command: str, code: int) -> None:
    assert subprocess.run(keeper.command(["sh", "-c", command], grace=1), check=False).returncode == code


def test_it_does_not_start_for_a_starter_that_is_already_gone(tmp_path: Path) -> None:
    orphaned = keeper.command(["touch", str(tmp_path / "started")], grace=1)
    orphaned[3] = "1"  # somebody else's child by now
    assert subprocess.run(orphaned, check=False).returncode == keeper.ENDED_WITH_PARENT
    assert not (tmp_path / "started").exists()
