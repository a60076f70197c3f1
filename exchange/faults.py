"""Faults: what nobody foresaw, told by its class and the lines it came through.

Invariant: not a word of the error's own, because an engine's sentence may quote the value it stumbled on.
"""

from pathlib import Path
from traceback import walk_tb

_LINES = 6  # from the place of the fault outwards: enough to find it, short enough to read out on the phone


def places(error: BaseException) -> str:
    """The class of an error and the last lines it came through, innermost first."""
    passed = [
        f"{Path(frame.f_code.co_filename).name}:{line} {frame.f_code.co_name}"
        for frame, line in walk_tb(error.__traceback__)
    ]
    return f"{type(error).__name__} at {' < '.join(reversed(passed[-_LINES:]))}"
