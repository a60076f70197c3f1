"""留痕: who saw whom, and whether the log is whole."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, progress, show
from exchange import access_log

app = typer.Typer(no_args_is_help=True, help="留痕 / the access log")
BROKEN = 12
_SHOWN = ("at", "department", "client", "person", "purpose", "target", "fields", "decision")


@app.command("who-saw")
def who_saw(
    key: Annotated[str, typer.Argument(help="公民身份号码或统一社会信用代码 / the subject's key")], as_json: Json = False
) -> None:
    """谁查过此人或此单位 / who asked about this subject; asking is itself recorded"""
    with mistakes_explained(as_json), opened() as house:
        found = access_log.who_saw(house, key, operator())
        show(found if as_json else [{name: entry[name] for name in _SHOWN} for entry in found], as_json)


@app.command()
def verify(as_json: Json = False) -> None:
    """验证日志完整 / prove that the log is whole, or say where it is not"""
    with mistakes_explained(as_json), opened() as house:
        with progress(as_json) as watch:
            verification = access_log.verify(house, watch)
        show(verification.as_dict(), as_json)
        if not verification.whole:
            raise typer.Exit(BROKEN)


@app.command()
def purge(as_json: Json = False) -> None:
    """清除超过保留期的记录正文，哈希保留 / empty the bodies of records past their retention; their hashes stay"""
    with mistakes_explained(as_json), opened() as house:
        show(access_log.purge(house, datetime.now(UTC)), as_json)
