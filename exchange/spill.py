"""Where an engine puts what does not fit into memory: a folder of its own, gone with it.

Invariant: no two engines share a folder. They would give their files the same names, and the first to close removes them
all. A living engine holds a lock on its folder, so one that can be locked was left by a killed process, and goes.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exchange.faults import disk_full_is_said
from exchange.settings import Settings

_PREFIX = ".engine-"


@contextmanager
def own_folder(settings: Settings) -> Iterator[Path]:
    """A new folder in `spill/` for one engine; the folders of dead ones are removed on the way.

    Raises:
        Unavailable: the disk is full.
    """
    parent = settings.folder("spill")
    with disk_full_is_said():
        for left in parent.glob(f"{_PREFIX}*"):
            _remove_dead(left)
        folder, lock = _make(parent)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # taken for a dead one before it was locked
        return _make(parent)
    fcntl.flock(lock, fcntl.LOCK_EX)
    if folder.exists():
        return folder, lock
    os.close(lock)
    return _make(parent)


def _remove_dead(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:  # its engine has just closed, or another one was faster
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)
