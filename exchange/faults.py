"""Faults: what nobody foresaw, told by its class and the lines it came through.

Invariant: not a word of the error's own, because an engine's sentence may quote the value it stumbled on.
"""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from traceback import walk_tb

from exchange.errors import Unavailable

_LINES = 6  # from the place of the fault outwards: enough to find it, short enough to read out on the phone


def places(error: BaseException) -> str:
    """The class of an error and the last lines it came through, innermost first."""
    passed = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return f"{type(error).__name__} at {' < '.join(reversed(passed[-_LINES:]))}"


def disk_full() -> Unavailable:
    """What is said when nothing more can be written."""
    return Unavailable(
        "平台磁盘空间已满，没有改动；请运维清理或扩容后重试",
        "the platform's disk is full and nothing was changed; an operator makes room, then try again",
    )


@contextmanager
def disk_full_is_said() -> Iterator[None]:
    """Inside the block a full disk is an answer, not a fault.

    Raises:
        Unavailable: the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise disk_full() from None
