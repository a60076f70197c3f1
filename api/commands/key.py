"""主键别名: numbers that stand for another. Numbers are typed, and never shown here; `explain` shows them, and leaves evidence."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, progress, show

app = typer.Typer(no_args_is_help=True, help="主键别名 / numbers that stand for another: 变更, 错号, 重号")

Base = Annotated[str, typer.Argument(help="基础库 / base database")]


class Kind(StrEnum):
    """Why one number stands for another."""

    CHANGED = "变更"
    WRONG = "错号"
    DUPLICATE = "重号"


@app.command()
def alias(
    base: Base,
    old: Annotated[str, typer.Argument(help="旧号 / the number that no longer counts")],
    new: Annotated[str, typer.Argument(help="新号 / the number that counts")],
    kind: Annotated[Kind, typer.Option(help="类别 / changed, wrong or given twice")],
    basis: Annotated[str, typer.Option(help="依据 / on which basis: document, decision")],
    since: Annotated[
        datetime | None,
        typer.Option("--from", formats=["%Y-%m-%d"], help="自哪天起，默认今天 / from which day; default: today"),
    ] = None,
    resources: Annotated[
        list[str] | None,
        typer.Option("--in", help="只指这些来源的行（重号必填）/ only rows of these sources (重号: required)"),
    ] = None,
    as_json: Json = False,
) -> None:
    """登记别名：旧号的历史归入新号，重新归并并换上索引 / history follows the new number; merged and served at once"""
    from pools import aliases, way

    code = next(code for code, word in aliases.WORDS.items() if word == kind.value)
    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        day = None if since is None else since.date()
        done = way.alias(
            house,
            operator(),
            base,
            old,
            new,
            kind=code,
            basis=basis,
            since=day,
            resources=resources or (),
            progress=watch,
        )
    show(done.as_dict(), as_json)


@app.command("list")
def list_aliases(base: Base, as_json: Json = False) -> None:
    """别名清单：编号、类别、日期、依据、经办，不含号码 / ids, kinds, days, bases and by whom; never a number"""
    from pools import aliases

    with mistakes_explained(as_json), opened() as house:
        found = [view.as_dict() for view in aliases.listed(house, base)]
    show(found if as_json else [_for_people(view) for view in found], as_json)


@app.command()
def end(
    alias_id: Annotated[str, typer.Argument(help="别名编号 / alias id, K…")],
    reason: Annotated[str, typer.Option(help="理由 / why")],
    as_json: Json = False,
) -> None:
    """终止别名，重新归并 / end an alias; merged and served without it"""
    from pools import way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        show(way.end_alias(house, operator(), alias_id, reason, watch).as_dict(), as_json)


def _for_people(view: dict[str, Any]) -> dict[str, Any]:
    return {
        "编号 id": view["id"],
        "类别 kind": view["kind"],
        "自 since": view["valid_from"],
        "来源 sources": "、".join(view["resources"]) or "全部 all",
        "依据 basis": view["basis"],
        "经办 by": view["by"],
        "终止 ended": view["ended_at"] and f"{view['ended_at'][:10]} {view['ended_why']}",
    }
