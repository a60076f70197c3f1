"""How long a block takes."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def timed() -> Iterator[dict[str, Any]]:
    """The seconds that the block took, by the clock and of this process's CPU: a busy machine shows in the first alone.

    What was written before is on the disk when it begins, so that the block does not wait for it.
    """
    took: dict[str, Any] = {}
    os.sync()
    started, cpu = time.perf_counter(), time.process_time()
    yield took
    took |= {"seconds": time.perf_counter() - started, "cpu_seconds": round(time.process_time() - cpu, 2)}
