"""docs/bench.md: the figures of docs/bench.json as a table, and what was written about them (docs/bench.notes.md)."""

import json
from pathlib import Path
from typing import Any

_HEAD = """# Speed

Ours beside the limit or the usual way, in one run on one machine: `make bench [NAME=…] [SCALE=…]`. The last full run, as it came
out (docs/bench.json has every figure):

| workload | data | ours | beside | ratio (by CPU time) | reach | memory | met |
|---|---|---|---|---|---|---|---|
"""


def write(record: Path) -> None:
    """Write the page beside the record."""
    results: list[dict[str, Any]] = json.loads(record.read_text())
    machine = results[-1]["machine"]
    notes = record.with_suffix(".notes.md")
    said = f"\n{notes.read_text()}" if notes.exists() else ""
    told = f"\n{machine['day']}, {machine['cores']} cores, {machine['system']}, Python {machine['python']}.\n"
    record.with_suffix(".md").write_text(_HEAD + "".join(map(_line, results)) + told + said)


def _line(one: dict[str, Any]) -> str:
    reach = f"≤ {one['reach']}" if one["reach"] is not None else "none set"
    memory = f"{one['rss_mb']} MB" + (f" (≤ {one['reach_mb']})" if one["reach_mb"] else "")
    beside = f"{one['compared']} s, {one['compared_with']}"
    ratio = f"{one['ratio']}" + (f" ({one['cpu_ratio']})" if one.get("cpu_ratio") else "")
    met = "yes" if one["met"] else "**no**"
    return f"| {one['name']} | {one['shape']} | {one['ours']} s | {beside} | {ratio} | {reach} | {memory} | {met} |\n"
