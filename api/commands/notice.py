"""通知: what departments were told of their verdicts."""

from dataclasses import asdict
from typing import Annotated

import typer

from api.opening import opened
from api.terminal import Json, mistakes_explained, show

app = typer.Typer(no_args_is_help=True, help="通知 / verdicts told by mail and webhook")


@app.command()
def send(as_json: Json = False) -> None:
    """发送到期的通知（exchange up 会自动发送）/ send what is due; `exchange up` does so by itself"""
    from infra import messenger

    with mistakes_explained(as_json), opened() as house:
        show([asdict(one) for one in messenger.deliver(house)], as_json)


@app.command("list")
def list_notices(limit: Annotated[int, typer.Option(help="最近几条 / how many")] = 50, as_json: Json = False) -> None:
    """通知及其送达情况 / notices and what became of them, newest first"""
    from quality import notices

    with mistakes_explained(as_json), opened() as house:
        show(notices.listed(house, limit), as_json)


@app.command()
def secret(
    department: Annotated[str, typer.Argument(help="部门代码（18 位）/ department code")], as_json: Json = False
) -> None:
    """部门核验 webhook 签名用的密钥 / by which a department checks the signature of a webhook"""
    from quality import notices

    with mistakes_explained(as_json), opened() as house:
        show({"department": department, "secret": notices.secret(house, department)}, as_json)
