"""调用方: the systems of a department and their secrets."""

from typing import Annotated, Literal

import typer

from api.opening import opened
from api.terminal import Json, mistakes_explained, show
from exchange import clients

app = typer.Typer(no_args_is_help=True, help="调用方 / client systems of a department")
ClientId = Annotated[str, typer.Argument(help="调用方编号 / client id")]


@app.command()
def create(
    department: Annotated[str, typer.Argument(help="部门代码（18 位）/ department code")],
    name: Annotated[str, typer.Argument(help="系统名称 / name of the system")],
    role: Annotated[
        Literal["department", "quality"],
        typer.Option(help="quality：只看质量报告和隔离清单，看不到原值 / sees reports and quarantine lists alone"),
    ] = "department",
    as_json: Json = False,
) -> None:
    """新建调用方；密钥只显示这一次 / make a client; its secret is shown once"""
    with mistakes_explained(as_json), opened() as house:
        client_id, secret = clients.create(house, department, name, role)
        show({"client_id": client_id, "client_secret": secret}, as_json)


@app.command()
def rotate(client_id: ClientId, as_json: Json = False) -> None:
    """更换密钥 / a new secret; the old one stops working at once"""
    with mistakes_explained(as_json), opened() as house:
        show({"client_id": client_id, "client_secret": clients.rotate(house, client_id)}, as_json)


@app.command()
def revoke(client_id: ClientId, as_json: Json = False) -> None:
    """停用 / revoke, tokens included"""
    with mistakes_explained(as_json), opened() as house:
        clients.revoke(house, client_id)
        show({"client_id": client_id, "revoked": True}, as_json)
