"""`make bench [NAME=…] [SCALE=…]`: run workloads, write var/bench.json, print one line each.

Each side of a workload runs as its own process, so that its resident memory is its own. Preparation is not timed. A run at the
workloads' own scales, of all or of one, also takes its rows' place in docs/bench.json and docs/bench.md, as it came out (`RECORD=1`).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.bench import page
from tests.bench.workloads import WORKLOADS

OUT = Path("var/bench.json")
RECORD = Path("docs/bench.json")


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
    """One workload: prepared, the other side, ours, as the object that goes into bench.json."""
    workload = WORKLOADS[name]
    with tempfile.TemporaryDirectory(prefix="exchange-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)
        side(name, "prepare", scale, folder)
        compared = side(name, "compared", scale, folder)
        ours = side(name, "ours", scale, folder)
    ratio = round(ours["seconds"] / compared["seconds"], 2)
    fast = workload.reach is None or ratio <= workload.reach
    small = workload.reach_mb is None or ours["rss_mb"] <= workload.reach_mb
    return {
        "name": name,
        "ours": ours.pop("seconds"),
        "compared_with": workload.compared_with,
        "compared": compared.pop("seconds"),
        "ratio": ratio,
        "cpu_ratio": _ratio(ours.get("cpu_seconds"), compared.get("cpu_seconds")),
        "reach": workload.reach,
        "rss_mb": ours.pop("rss_mb"),
        "reach_mb": workload.reach_mb,
        "met": fast and small,
        "shape": workload.shape(scale),
        "details": {"ours": ours, "compared": compared},
        "machine": {
            "cores": os.cpu_count(),
            "system": platform.platform(),
            "python": platform.python_version(),
            "load": round(os.getloadavg()[0], 1),
            "day": datetime.now(UTC).date().isoformat(),
        },
    }


def main() -> None:
    """Entry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--name", choices=sorted(WORKLOADS))
    parser.add_argument("--scale", default=None, help="rows, e.g. 1m; default: the workload's own")
    parser.add_argument("--record", action="store_true", help="its rows become those of docs/bench.json and docs/bench.md")
    asked = parser.parse_args()
    if asked.record and asked.scale:
        parser.error("only a run at the workload's own scale is recorded: give no SCALE")
    results = []
    for name in [asked.name] if asked.name else WORKLOADS:
        result = run(name, _rows(asked.scale) if asked.scale else WORKLOADS[name].rows)
        results.append(result)
        print(
            f"{name}: ours {result['ours']} s, {result['compared_with']} {result['compared']} s, "
            f"ratio {result['ratio']}, rss {result['rss_mb']} MB",
            flush=True,
        )
        OUT.parent.mkdir(exist_ok=True)
        OUT.write_text(json.dumps(results, ensure_ascii=False, indent=2) + "\n")  # after each: a full run takes long
    if asked.record:
        _record(results)


def _record(results: list[dict[str, Any]]) -> None:
    """Put them in place of their rows, in the order of the workloads; rows of workloads that are no more go."""
    rows = {row["name"]: row for row in [*json.loads(RECORD.read_text()), *results]}
    kept = [rows[name] for name in WORKLOADS if name in rows]
    RECORD.write_text(json.dumps(kept, ensure_ascii=False, indent=2) + "\n")
    page.write(RECORD)


def _ratio(ours: float | None, compared: float | None) -> float | None:
    return round(ours / compared, 2) if ours and compared else None


def _rows(text: str) -> int:
    units = {"k": 1_000, "m": 1_000_000}
    return int(text[:-1]) * units[text[-1].lower()] if text[-1].lower() in units else int(text)


if __name__ == "__main__":
    main()
