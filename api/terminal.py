"""What a terminal shows: tables for people, JSON for machines, bars for long work, sentences for mistakes.

Invariant: a user's mistake never ends in a traceback; the exit code says what kind it was (docs/cli.md).
"""

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from exchange import errors, faults
from exchange.progress import Progress as Watcher

out = Console()
err = Console(stderr=True)

Json = Annotated[bool, typer.Option("--json", help="为程序输出 JSON / JSON for machines")]

# The nearest class in an error's ancestry decides.
EXIT_CODES: dict[type[errors.ExchangeError], int] = {
    errors.RequestInvalid: 2,
    errors.SettingError: 3,
    errors.KeyMissing: 3,
    errors.CatalogueError: 4,
    errors.ParcelRefused: 5,
    errors.NotAuthenticated: 6,
    errors.AccessRefused: 6,
    errors.NotFound: 7,
    errors.WrongState: 8,
    errors.Unavailable: 9,
    errors.ExchangeError: 1,
}
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")
FAULT = 1  # something nobody foresaw
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
REJECTED, HELD = 10, 11  # `push --wait` and `process`: the gate's word as an exit code


def exit_code(error: errors.ExchangeError) -> int:
    """The exit code of an error's class."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)


@contextmanager
def mistakes_explained(as_json: bool) -> Iterator[None]:
    """Turn whatever goes wrong into two sentences on standard error, or one JSON object, and an exit code."""
    try:
        yield
    except errors.ExchangeError as error:
        tell(as_json, error.code, error.zh, error.en, error.facts)
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:  # noqa: BLE001 its own text and traceback may quote data: class and places only
        places = faults.places(error)
        zh = f"平台内部错误，请告诉管理员：{places}"
        tell(as_json, "internal", zh, "a fault of the platform, not yours; tell the operator", {"places": places})
        raise typer.Exit(FAULT) from None
    except KeyboardInterrupt:
        tell(as_json, "interrupted", "已中断，可重新执行", "interrupted; run it again", {})
        raise typer.Exit(INTERRUPTED) from None


def tell(as_json: bool, code: str, zh: str, en: str, facts: dict[str, object]) -> None:
    """What went wrong, on standard error; nothing is broken into lines, so that it can be copied whole."""
    if as_json:
        problem = {"code": code, "zh": zh, "en": en, "facts": facts}
        sys.stderr.write(json.dumps(problem, ensure_ascii=False, default=str) + "\n")
    else:
        err.print(Text(zh, style="bold red"), soft_wrap=True)
        err.print(Text(en, style="dim"), soft_wrap=True)


def show(data: object, as_json: bool) -> None:
    """A value: as JSON, or as a table when it is rows, or as name-value lines when it is one thing."""
    if as_json:
        sys.stdout.write(
            json.dumps(data, ensure_ascii=False, default=str, indent=None if isinstance(data, list) else 2) + "\n"
        )
    elif isinstance(data, list | tuple):
        out.print(_table(data) if data else "（无 / none）")
    elif isinstance(data, dict):
        out.print(_lines(data))
    else:
        out.print(Text(str(data)))


def _table(rows: Sequence[dict[str, Any]]) -> Table:
    table = Table(header_style="bold")
    for name in rows[0]:
        table.add_column(Text(name), overflow="fold")
    for row in rows:
        table.add_row(*(Text(_cell(row.get(name))) for name in rows[0]))  # data is never markup
    return table


def _lines(data: dict[str, Any]) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in data.items():
        table.add_row(Text(name), _inner(value))
    return table


def _inner(value: object) -> Table | Text:
    rows = isinstance(value, list | tuple) and len(value) > 0 and isinstance(value[0], dict)
    return _table(value) if rows else Text(_cell(value))  # type: ignore[arg-type]


def _cell(value: object) -> str:
    if value is None or value in ((), [], {}, ""):
        return "-"
    if isinstance(value, str) and _MOMENT.fullmatch(value):
        return value[:19].replace("T", " ")
    if isinstance(value, datetime):
        return value.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple) and all(isinstance(part, str) for part in value):
        return ", ".join(value)
    if isinstance(value, dict | list | tuple):
        return json.dumps(value, ensure_ascii=False, default=str)
    return str(value)


@contextmanager
def progress(as_json: bool) -> Iterator[Watcher]:
    """A bar per step while the block runs; nothing when nobody looks (pipes, --json)."""
    bars = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=as_json or not err.is_terminal,
    )
    tasks: dict[str, TaskID] = {}

    def watch(step: str, done: int, total: int) -> None:
        if step not in tasks:
            tasks[step] = bars.add_task(step, total=total or None)
        bars.update(tasks[step], completed=done, total=total or None)

    with bars:
        yield watch
