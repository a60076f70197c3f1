"""One side of one workload in this process: `python -m tests.bench.side NAME PART SCALE FOLDER`, figures as JSON."""

import json
import os
import sys
import time
from pathlib import Path

from tests.bench.workloads import WORKLOADS
from tests.memory import peak


def main() -> None:
    """Run, time, measure, print."""
    name, part, scale, folder = sys.argv[1:]
    work = getattr(WORKLOADS[name], part)
    os.sync()  # what was written before is not paid for now
    started = time.perf_counter()
    details = work(int(scale), Path(folder)) or {}
    seconds = details.pop("seconds", time.perf_counter() - started)
    print(json.dumps({"seconds": round(seconds, 2), "rss_mb": peak()} | details))


if __name__ == "__main__":
    main()
