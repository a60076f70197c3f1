"""What the demo has seen: every figure beside the one that was expected, and how it is told, on the terminal and in a file.

Invariant: a comparison keeps both sides; what holds people's values says so in its name (`values`), and stays off the file.
"""

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from infra.demo.otherwise import Otherwise
from pools.explain import Explanation, Said
from pools.rows import Word

console = Console(highlight=False, soft_wrap=True)


@dataclass
class Findings:
    """What was compared, and how long each step took."""

    checks: list[dict[str, Any]] = field(default_factory=list)
    steps: list[dict[str, Any]] = field(default_factory=list)
    pushes: list[dict[str, Any]] = field(default_factory=list)
    bases: list[dict[str, Any]] = field(default_factory=list)
    themes: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    renumbered: list[dict[str, Any]] = field(default_factory=list)
    otherwise: list[Otherwise] = field(default_factory=list)  # the conflicts with their values: for the terminal alone
    histories: list[Explanation] = field(default_factory=list)  # records under two numbers: as well

    def compare(self, what: str, expected: object, seen: object) -> None:
        """One line of the summary; both sides are kept."""
        self.checks.append({"what": what, "expected": expected, "seen": seen, "ok": expected == seen})

    @property
    def good(self) -> bool:
        return bool(self.checks) and all(check["ok"] for check in self.checks)

    @contextmanager
    def step(self, zh: str, en: str) -> Iterator[None]:
        """Say what is going on, and keep how long it took, in seconds."""
        started = time.monotonic()
        with console.status(f"{zh} / {en} …"):
            yield
        took = round(time.monotonic() - started, 2)
        self.steps.append({"step": en, "seconds": took})
        console.print(f"[green]✓[/] {took:7.1f} s  {zh} [dim]/ {en}[/]")


def write(findings: Findings, path: Path, residents: int, seconds: float) -> None:
    """What was seen, for a file: without what people's data there is in it."""
    kept = asdict(replace(findings, otherwise=[], histories=[]))
    del kept["otherwise"], kept["histories"]
    told = {"residents": residents, "ok": findings.good, "seconds": round(seconds, 1)} | kept
    for check in told["checks"]:
        if "values" in check["what"]:  # people's data is for the terminal's owner, not for a file
            check["expected"] = check["seen"] = "…"
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(told, ensure_ascii=False, indent=1, default=str))
    draft.replace(path)


def tell(findings: Findings, path: Path, seconds: float) -> None:
    """The same on the terminal. `path`: where it was written."""
    table = Table(title="推送 pushes", title_justify="left", header_style="bold")
    table.add_column("资源 resource", no_wrap=True)
    for title in ("批次\nbatch", "行\nrows", "隔离\nquarantined", "规范化\nnormalised"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("结论\ndecision", no_wrap=True)
    for each in findings.pushes:
        colour = {"accepted": "green", "rejected": "red", "held": "yellow"}[each["decision"]]
        table.add_row(
            each["resource"],
            str(each["batch"]),
            f"{each['rows']:,}",
            f"{each['quarantined']:,}",
            f"{each['normalised']:,}",
            f"[{colour}]{each['decision']}[/]",
        )
    console.print(table)
    for base in findings.bases:
        console.print(
            f"基础库 base {base['base']}: {base['rows']:,} 条 records，{base['closed']:,} 已注销 closed，{base['conflicts']:,} 冲突 conflicts"
        )
        for name, rows in base["satellites"].items():
            console.print(
                f"  附表 satellite {name}: {rows['rows']:,} 行 rows，{rows['closed']:,} 已注销 closed，"
                f"{rows['conflicts']:,} 冲突 conflicts"
            )
    for made in findings.themes:
        reads = "、".join(f"{name} {rows:,}" for name, rows in made["reads"].items())
        console.print(f"主题库 theme {made['theme']}: {made['rows']:,} 行 rows，读自 made of {reads}")
    for told in findings.histories:
        console.print(_history(told))
    console.print(_conflicts(findings.otherwise))
    wrong = [check for check in findings.checks if not check["ok"]]
    console.print(_comparisons([*(check for check in findings.checks if check["ok"]), *wrong]))
    total = len(findings.checks)
    verdict = "[bold green]全部相符 all as expected[/]" if findings.checks else "[bold red]没有核对 nothing was compared[/]"
    verdict = f"[bold red]{len(wrong)} 处不符 differ[/]" if wrong else verdict
    console.print(f"{total - len(wrong)}/{total} 项核对 comparisons: {verdict}，{seconds:.0f} s → {path}")


def _comparisons(checks: list[dict[str, Any]]) -> Table:
    """Every figure, as expected and as seen; what differs stands last, where it is read, and whole."""
    table = Table(title="核对 comparisons", title_justify="left", header_style="bold")
    for title in ("", "项目 what", "应为 expected", "实为 seen"):
        table.add_column(title, overflow="fold")
    for check in checks:
        mark, style = ("✓", "green") if check["ok"] else ("✗", "bold red")
        row = (check["what"], *(_short(check[side], whole=not check["ok"]) for side in ("expected", "seen")))
        table.add_row(Text(mark, style=style), *(Text(cell) for cell in row))
    return table


def _history(found: Explanation) -> Table:
    """One record that two numbers mean: which stands for which and why, and under which of them each source said what it says."""
    numbers = "；".join(
        f"{one.number} → {one.key}（{one.kind}，自 since {one.since}，依据 basis：{one.basis}）" for one in found.numbers
    )
    table = Table(title=Text(f"主键别名 alias: {numbers}"), title_justify="left", header_style="bold")
    for heading in ("字段 field", "说法 said", "来源 source", "当时的号码 under number"):
        table.add_column(heading, overflow="fold")
    for each in found.fields:
        for word in (each.source, *each.others):
            if word is not None:
                table.add_row(
                    *map(Text, (f"{each.title}\n{each.field}", word.value, _whose(word), word.number or found.key))
                )
    return table


def _conflicts(found: Sequence[Otherwise]) -> Table:
    """Where sources differ: whose word counts and since which batch, who says otherwise, and how often."""
    table = Table(
        title="疑义 conflicts: whose word counts by authority (一数一源), who says otherwise; one case of each",
        title_justify="left",
        header_style="bold",
    )
    for title in ("库 base", "字段 field", "以此为准 counts", "另有说法 says otherwise"):
        table.add_column(title, overflow="fold")
    table.add_column("次数\ndiffering", justify="right", no_wrap=True)
    for one in found:
        often = f"{one.counted.differing:,}/{one.counted.compared:,}"
        words = (f"{word.value}\n{_whose(word)}" for word in (one.counts, one.differs))
        table.add_row(Text(one.base.id), Text(f"{one.counted.title}\n{one.field}"), *map(Text, words), often)
    return table


def _whose(word: Said | Word) -> str:
    since = getattr(word, "since_batch", None)  # of a row under a record, the batch alone is known
    when = f"第 {word.batch} 批" if since is None else f"第 {since} 批起"
    return f"{word.provider}（{word.resource}，{when}）"


def _short(value: object, *, whole: bool) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if whole or len(text) <= 48 else f"{text[:47]}…"
