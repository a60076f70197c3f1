"""A command line that was typed wrong: what, and how it should be, in two languages or as one JSON object.

Invariant: what was typed as a value is never repeated, as it may be a person's number; the exit code is 2.
"""

import difflib
import re
import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import typer
from typer._click import exceptions as wrong
from typer.core import TyperGroup

from api.terminal import INTERRUPTED, tell

EXIT_CODE = 2
_QUOTED = re.compile(r"'([^']*)'")
_PATHS = {
    "does not exist": ("文件不存在", "there is no such file"),
    "is a directory": ("这是文件夹，应为文件", "this is a folder; a file is expected"),
    "is a file": ("这是文件，应为文件夹", "this is a file; a folder is expected"),
    "is not readable": ("文件不可读，请检查权限", "the file can't be read; check its permissions"),
    "is not writable": ("不可写，请检查权限", "it can't be written; check its permissions"),
}
_KINDS: dict[object, tuple[str, str]] = {
    int: ("应为整数", "a whole number is expected"),
    float: ("应为数字", "a number is expected"),
    bool: ("应为 true 或 false", "true or false is expected"),
    datetime: ("应为日期，如 2026-11-24", "a date is expected, like 2026-11-24"),
}


class Explained(TyperGroup):
    """The command with all its parts; a mistake in using it ends here."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run a command line."""
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, False, windows_expand_args, **extra)
        as_json = "--json" in (sys.argv[1:] if args is None else args)
        try:
            sys.exit(super().main(args, prog_name, complete_var, False, windows_expand_args, **extra) or 0)
        except wrong.NoArgsIsHelpError as error:
            error.show()
            sys.exit(EXIT_CODE)
        except wrong.UsageError as error:
            _explain(error, as_json)
            sys.exit(EXIT_CODE)
        except typer.Abort:
            tell(as_json, "interrupted", "已取消，什么都没有改变", "called off; nothing was changed", {})
            sys.exit(1)
        except KeyboardInterrupt:
            tell(as_json, "interrupted", "已中断，可重新执行", "interrupted; run it again", {})
            sys.exit(INTERRUPTED)


def _explain(error: wrong.UsageError, as_json: bool) -> None:
    zh, en = _what(error)
    command = error.ctx.command_path if error.ctx else "exchange"
    see_zh, see_en = f"；用法见 {command} --help", f"; see `{command} --help`"
    tell(as_json, "usage", zh + see_zh, en + see_en, {"command": command})


def _what(error: wrong.UsageError) -> tuple[str, str]:
    if isinstance(error, wrong.MissingParameter):
        kind_zh, kind_en = _kind(error.param)
        return f"缺少{kind_zh} {_named(error.param)}{_meaning(error.param)}", f"{kind_en} {_named(error.param)} is missing"
    if isinstance(error, wrong.BadParameter):
        zh, en = _expected(error)
        kind_zh, kind_en = _kind(error.param)
        return (
            f"{kind_zh} {_named(error.param)} 的值不对：{zh}",
            f"the value of {kind_en} {_named(error.param)} is wrong: {en}",
        )
    if isinstance(error, wrong.NoSuchOption):
        name = error.option_name.split("=")[0]
        near = "、".join(sorted(error.possibilities or ()))
        return (
            f"没有选项 {name}" + (f"，相近的有 {near}" if near else ""),
            f"there is no option {name}" + (f"; near it are {near.replace('、', ', ')}" if near else ""),
        )
    if isinstance(error, wrong.BadOptionUsage):
        takes_none = "does not take" in error.message
        zh, en = ("后面不带值", "takes no value") if takes_none else ("后面缺少值", "needs a value after it")
        return f"选项 {error.option_name} {zh}", f"option {error.option_name} {en}"
    return _of_command(error)


def _of_command(error: wrong.UsageError) -> tuple[str, str]:
    command = error.ctx.command if error.ctx else None
    if isinstance(command, TyperGroup):
        known = [name for name, one in command.commands.items() if not one.hidden]
        typed = _QUOTED.search(error.message)
        near = difflib.get_close_matches(typed[1], known) if typed else []
        listed = near or known
        zh, en = ("相近的有", "near it are") if near else ("可用的有", "there are")
        what = ("没有这个命令", "there is no such command") if typed else ("缺少命令", "a command is missing")
        return f"{what[0]}，{zh} {'、'.join(listed)}", f"{what[1]}; {en} {', '.join(listed)}"
    return "参数太多", "too many arguments"


def _expected(error: wrong.BadParameter) -> tuple[str, str]:
    kind = getattr(error.param, "type_descriptor", None)
    choices = [str(getattr(choice, "value", choice)) for choice in (kind.choices if kind else None) or ()]
    if choices:
        return f"应为 {'、'.join(choices)} 之一", f"one of {', '.join(choices)} is expected"
    for said, told in _PATHS.items():
        if said in error.message:
            return told
    return _KINDS.get(kind.annotation if kind else None, ("读不懂", "it can't be read"))


def _kind(parameter: Any) -> tuple[str, str]:
    return ("选项", "option") if getattr(parameter, "param_type_name", "") == "option" else ("参数", "argument")


def _named(parameter: Any) -> str:
    if getattr(parameter, "param_type_name", "") == "option":
        return str(max(parameter.opts, key=len))
    return str(parameter.name).upper() if parameter is not None else ""


def _meaning(parameter: Any) -> str:
    told = getattr(parameter, "help", None)
    return f"（{told.split(' / ')[0]}）" if told else ""
