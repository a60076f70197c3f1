"""隔离区: what waits, and what is done with it. Values are never shown here."""

from typing import Annotated, Any

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, progress, show
from exchange import ranges
from exchange.intake import pushes

app = typer.Typer(no_args_is_help=True, help="隔离区 / rows that failed and wait")

PushId = Annotated[str, typer.Argument(help="回执编号 / receipt id, P…")]
Rows = Annotated[str | None, typer.Option(help="行号，如 1,5-9；默认全部待处理的行 / row numbers; default: all that wait")]


@app.command("list")
def list_rows(
    what: Annotated[str | None, typer.Argument(help="资源或回执编号 / a resource or a receipt id; default: all")] = None,
    limit: Annotated[int, typer.Option(help="最近几次推送 / of how many pushes")] = 50,
    as_json: Json = False,
) -> None:
    """隔离行：规则、信息项、行号、状态，不含原值 / rule, field, row numbers and state; never a value"""
    from quality import acts

    push = what if what is not None and pushes.is_id(what) else None
    with mistakes_explained(as_json), opened() as house:
        resource = what if push is None else None
        found = acts.listed(house, operator(role="quality"), push=push, resource=resource, limit=limit)
        show([line.as_dict() if as_json else _for_people(line) for line in found], as_json)


@app.command()
def release(
    push_id: PushId,
    reason: Annotated[str, typer.Option(help="为什么这些行没有错 / why these rows are right")],
    rows: Rows = None,
    as_json: Json = False,
) -> None:
    """放行：提供部门确认这些行无误，入池 / the provider says these rows are right: they enter the pool, all or none"""
    from pools import way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        chosen = None if rows is None else ranges.parse(rows)
        caller = operator(pushes.get(house, push_id).department)
        done = way.release(house, caller, push_id, chosen, reason, watch).as_dict()
    show(done if as_json else done | {"act": done["act"]["rows"], "overtaken": done["act"]["overtaken"]}, as_json)


@app.command("return")
def return_rows(
    push_id: PushId,
    rows: Rows = None,
    reason: Annotated[str | None, typer.Option(help="给提供部门的说明 / a word to the provider")] = None,
    as_json: Json = False,
) -> None:
    """退回提供部门改正 / give rows back to the provider for correction"""
    from quality import acts

    with mistakes_explained(as_json), opened() as house:
        chosen = None if rows is None else ranges.parse(rows)
        show(acts.return_rows(house, operator(role="quality"), push_id, chosen, reason).as_dict(), as_json)


@app.command()
def candidates(
    push_id: PushId,
    rows: Rows = None,
    base: Annotated[
        str | None, typer.Option(help="与哪个基础库比对，须有授权；默认本资源的部门库 / a base; default: the own pool")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="用途，同授权 / purpose, as granted")] = None,
    as_json: Json = False,
) -> None:
    """缺主键的行可能是谁：候选主键、得分和理由，不含原值；查看留痕 / whose a row may be, scored and explained; recorded"""
    from pools import candidates as finding

    with mistakes_explained(as_json), opened() as house:
        chosen = None if rows is None else ranges.parse(rows)
        caller = operator(pushes.get(house, push_id).department)
        found = finding.find(house, caller, push_id, chosen, base=base, purpose=purpose)
        show(found.as_dict() if as_json else [_candidate(one) for one in found.found], as_json)


@app.command("confirm-key")
def confirm_key(
    push_id: PushId,
    row: Annotated[int, typer.Argument(help="行号 / row number")],
    key: Annotated[str, typer.Argument(help="经核实的主键 / the key, as verified")],
    reason: Annotated[str, typer.Option(help="依据：怎样核实的 / how it was verified")],
    as_json: Json = False,
) -> None:
    """提供部门确认一行的主键，放行入池 / the provider says whose row it is: it enters the pool under that key"""
    from pools import way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        caller = operator(pushes.get(house, push_id).department)
        done = way.confirm_key(house, caller, push_id, row, key, reason, watch).as_dict()
    show(done if as_json else done | {"act": done["act"]["rows"]}, as_json)


def _candidate(one: Any) -> dict[str, Any]:
    return {
        "行 row": one.row,
        "候选主键 key": one.key,
        "得分 score": one.score,
        "理由 reasons": "；".join(f"{reason.title}{reason.degree}（{reason.weight:+}）" for reason in one.reasons),
    }


def _for_people(line: Any) -> dict[str, Any]:
    more = " …" if len(line.row_numbers) < line.rows else ""
    return {
        "推送 push": f"{line.push_id}（{line.resource_id} #{line.batch}，{line.push_state}）",
        "规则 rule": line.rule,
        "信息项 field": line.field,
        "状态 state": line.state,
        "行 rows": line.rows,
        "行号 row numbers": ", ".join(map(str, line.row_numbers)) + more,
    }
