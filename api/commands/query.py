"""查询: ask as a department, by its grant, with evidence, like any system does."""

import asyncio
from typing import Annotated, Any

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, show
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.house import House
from pools.reader import IndexReader


def register(app: typer.Typer) -> None:
    """Add this group's commands to the top level."""
    app.command()(query)


def query(
    target: Annotated[str, typer.Argument(help="base:population、theme:主题库 或 pool:资源 / what")],
    key: Annotated[list[str], typer.Argument(help="主键，旧号亦可 / one or more keys; an older number will do")],
    department: Annotated[str, typer.Option(help="以哪个部门的授权 / by whose grant")],
    field: Annotated[
        list[str], typer.Option(help="字段，可重复；附表写作 附表.字段 / a field, repeat for more; satellite.field")
    ],
    purpose: Annotated[str, typer.Option(help="用途 / purpose")],
    as_of: Annotated[str | None, typer.Option(help="历史版本：推送或构建编号 / an earlier version: push or build")] = None,
    as_json: Json = False,
) -> None:
    """按授权查询 / query by a department's grant; every answer and refusal is recorded"""
    with mistakes_explained(as_json), opened() as house:
        caller = operator(department)
        request = Request(
            target=target,
            mode="query",
            keys=tuple(key),
            fields=tuple(field),
            purpose=purpose,
            person=caller.person,
            as_of=as_of,
        )
        show(asyncio.run(_ask(house, caller, request)), as_json)


async def _ask(house: House, caller: Caller, request: Request) -> dict[str, Any]:
    try:
        return (await deliver(house, IndexReader(house), caller, request)).as_dict()
    finally:
        await house.registry.aclose()
