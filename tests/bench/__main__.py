"""`make bench [NAME=…] [SCALE=…]`: run workloads, write var/bench.json, print one line each.

Each side of a workload runs as its own process, so that its resident memory is its own. Preparation is not timed.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.bench.workloads import WORKLOADS

OUT = Path("var/bench.json")


def side(name: str, part: str, scale: int, folder: Path) -> dict[str, Any]:
    """Run one side in a fresh process; its figures."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.side", name, part, str(scale), str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise SystemExit(f"{name} {part}:\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def run(name: str, scale: int) -> dict[str, Any]:
    """One workload: prepared, ours, compared, as the object that goes into bench.json."""
    workload = WORKLOADS[name]
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        side(name, "prepare", scale, folder)
        compared = side(name, "compared", scale, folder)
        ours = side(name, "ours", scale, folder)
    ratio = round(ours["seconds"] / compared["seconds"], 2)
    return {
        "name": name,
        "ours": ours,
        "compared_with": workload.compared_with,
        "compared": compared,
        "ratio": ratio,
        "reach": workload.reach,
        "met": workload.reach is None or ratio <= workload.reach,
        "rss_mb": ours["rss_mb"],
        "shape": workload.shape(scale),
        "machine": {"cores": os.cpu_count(), "system": platform.platform(), "python": platform.python_version()},
    }


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=sorted(WORKLOADS))
    parser.add_argument("--scale", default=None, help="rows, e.g. 1m; default: the workload's own")
    asked = parser.parse_args()
    results = []
    for name in [asked.name] if asked.name else sorted(WORKLOADS):
        result = run(name, _rows(asked.scale) if asked.scale else WORKLOADS[name].rows)
        results.append(result)
        print(
            f"{name}: ours {result['ours']['seconds']} s, {result['compared_with']} {result['compared']['seconds']} s, "
            f"ratio {result['ratio']}, rss {result['rss_mb']} MB",
            flush=True,
        )
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n")


def _rows(text: str) -> int:
    units = {"k": 1_000, "m": 1_000_000}
    return int(text[:-1]) * units[text[-1].lower()] if text[-1].lower() in units else int(text)


if __name__ == "__main__":
    main()
