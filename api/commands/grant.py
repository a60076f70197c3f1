"""授权: give, list, revoke."""

from datetime import datetime
from typing import Annotated

import typer

from api.opening import opened
from api.terminal import Json, mistakes_explained, show
from exchange import grants

app = typer.Typer(no_args_is_help=True, help="授权 / grants")


@app.command()
def give(
    department: Annotated[str, typer.Argument(help="需求部门代码 / consumer department")],
    target: Annotated[str, typer.Argument(help="base:population、theme:主题库 或 pool:资源 / what")],
    field: Annotated[
        list[str], typer.Option(help="字段，可重复；附表写作 附表.字段 / a field, repeat for more; satellite.field")
    ],
    purpose: Annotated[str, typer.Option(help="用途 / purpose")],
    basis: Annotated[str, typer.Option(help="依据 / legal basis")],
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="有效期至 / valid until")],
    since: Annotated[
        datetime | None, typer.Option("--from", formats=["%Y-%m-%d"], help="有效期自，默认今天 / valid from")
    ] = None,
    mode: Annotated[
        list[str] | None,
        typer.Option(help="方式，默认 query；theme 供主题库读取 / mode; theme: to be read by a theme database"),
    ] = None,
    unmasked: Annotated[list[str] | None, typer.Option(help="不脱敏的字段 / a field given unmasked")] = None,
    as_json: Json = False,
) -> None:
    """授权一个部门 / give a department exactly these fields"""
    with mistakes_explained(as_json), opened() as house:
        given = grants.give(
            house,
            department,
            target,
            fields=field,
            modes=mode or ["query"],
            purpose=purpose,
            legal_basis=basis,
            valid_from=since.date() if since else grants.today(),
            valid_until=until.date(),
            unmasked=unmasked or [],
        )
        show(given.as_dict(), as_json)


@app.command("list")
def list_grants(
    department: Annotated[str | None, typer.Option(help="只看一个部门 / one department")] = None, as_json: Json = False
) -> None:
    """现有授权 / the grants there are"""
    with mistakes_explained(as_json), opened() as house:
        show([given.as_dict() for given in grants.list_grants(house, department)], as_json)


@app.command()
def revoke(grant_id: Annotated[str, typer.Argument(help="授权编号 / grant id")], as_json: Json = False) -> None:
    """收回授权 / revoke a grant"""
    with mistakes_explained(as_json), opened() as house:
        grants.revoke(house, grant_id)
        show({"grant": grant_id, "revoked": True}, as_json)
