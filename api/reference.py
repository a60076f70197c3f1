"""docs/cli.md, made from the commands themselves: `python -m api.reference > docs/cli.md`. A test compares."""

import sys
from collections.abc import Iterator

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from api.cli import app
from api.commands.log import BROKEN
from api.terminal import EXIT_CODES, FAULT, HELD, REJECTED


def reference() -> str:
    """Every command with its arguments and options, and every exit code."""
    root = typer.main.get_command(app)
    lines = [
        "# Commands",
        "",
        "Made by `python -m api.reference`. Every command takes `--json`; progress and errors go to standard error.",
        "",
    ]
    for name, command in _leaves(root, "exchange"):
        lines += [f"## `{name}`", "", (command.help or "").strip(), ""]
        for parameter in command.params:
            if parameter.name == "as_json":
                continue
            shown = (
                ", ".join(f"`{option}`" for option in parameter.opts)
                if isinstance(parameter, TyperOption)
                else f"`{str(parameter.name).upper()}`"
            )
            lines.append(f"- {shown}: {getattr(parameter, 'help', '')}")
        if lines[-1]:
            lines.append("")
    return "\n".join([*lines, *_exit_codes(), ""])


def _leaves(command: object, name: str) -> Iterator[tuple[str, TyperCommand]]:
    if isinstance(command, TyperGroup):
        for part, child in command.commands.items():
            yield from _leaves(child, f"{name} {part}")
    elif isinstance(command, TyperCommand):
        yield name, command


def _exit_codes() -> Iterator[str]:
    yield from ("# Exit codes", "", "| code | meaning |", "|---|---|", "| 0 | done; for a push: accepted |")
    for code in sorted(set(EXIT_CODES.values())):
        kinds = ", ".join(f"`{kind.__name__}`" for kind, value in EXIT_CODES.items() if value == code)
        yield f"| {code} | {kinds} |"
    yield f"| {FAULT} | also: a fault of the platform |"
    yield "| 2 | also: a wrong argument, a file that is not there |"
    yield f"| {REJECTED} | the gate rejected the push |"
    yield f"| {HELD} | the gate holds the push for confirmation |"
    yield f"| {BROKEN} | the access log is not whole |"
    yield "| 130 | interrupted |"


if __name__ == "__main__":
    sys.stdout.write(reference())
