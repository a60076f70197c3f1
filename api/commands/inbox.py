"""收件目录: inbox."""

from dataclasses import asdict

import typer

from api.opening import opened
from api.terminal import Json, mistakes_explained, show
from exchange.intake import folder

app = typer.Typer(no_args_is_help=True, help="收件目录：放入文件即推送 / the watched folder")


@app.callback()
def inbox() -> None:
    """收件目录：放入文件即推送 / the watched folder"""


@app.command()
def take(as_json: Json = False) -> None:
    """收取一次 / one look: every complete pair becomes a receipt or a refusal beside it"""
    with mistakes_explained(as_json), opened() as house:
        show([asdict(one) for one in folder.take(house)], as_json)
