"""基础库: build and explain."""

from typing import Annotated, Any

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, progress, show


def register(app: typer.Typer) -> None:
    """Add this group's commands to the top level."""
    app.command()(build)
    app.command()(explain)
    app.command()(conflicts)


def build(base: Annotated[str, typer.Argument(help="基础库 / population, legal_entity …")], as_json: Json = False) -> None:
    """归并基础库并换上新索引 / merge a base database and swap its index"""
    from pools import merge, way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        built = way.rebuild(house, base, watch)
        waiting = built is None and merge.waits(house, base)
    if built is not None:
        show(built.as_dict(), as_json)
    elif waiting:
        show({"base": base, "waiting": "等待任一来源的首次推送 / waiting for the first push of a source"}, as_json)
    else:
        show({"base": base, "unchanged": True}, as_json)


def explain(
    base: Annotated[str, typer.Argument(help="基础库 / base database")],
    key: Annotated[str, typer.Argument(help="主键 / key")],
    field: Annotated[str | None, typer.Argument(help="字段 / one field")] = None,
    purpose: Annotated[str | None, typer.Option(help="用途 / purpose")] = None,
    as_json: Json = False,
) -> None:
    """每个字段谁说的、何时起；查询留痕 / who said what, since when; asking is recorded"""
    from pools.asked import explain_to

    with mistakes_explained(as_json), opened() as house:
        found = explain_to(house, operator(), base, key, field, purpose).as_dict()
    if as_json:
        show(found, as_json)
        return
    if found["numbers"]:
        show([_number(part) for part in found["numbers"]], as_json)
    show([_line(part) for part in found["fields"]], as_json)
    for row in found["rows"]:
        show(
            {"附表 satellite": f"{row['title']} {row['satellite']}{'（已注销 closed）' if row['closed'] else ''}"}, as_json
        )
        show([_row_line(part) for part in row["fields"]], as_json)
    for link in found["links"]:
        where = (
            f"{link['base']}{'（已注销 closed）' if link['closed'] else ''}" if link["base"] else "无此记录 no such record"
        )
        show({"关联 link": f"{link['field']} → {where}"}, as_json)


def conflicts(
    base: Annotated[str, typer.Argument(help="基础库 / base database")],
    field: Annotated[str | None, typer.Option(help="字段；附表写作 附表.字段 / one field; satellite.field")] = None,
    department: Annotated[str | None, typer.Option(help="部门代码 / department code")] = None,
    as_json: Json = False,
) -> None:
    """各来源与数源不一致多少，按字段和部门；只有计数 / how often sources say otherwise: counts only"""
    from pools.contested import contested

    with mistakes_explained(as_json), opened() as house:
        found = [one.as_dict() for one in contested(house, base, field, department)]
    show(found if as_json else [_contested_line(one) for one in found], as_json)


def _contested_line(one: dict[str, Any]) -> dict[str, Any]:
    name = f"{one['satellite']}.{one['field']}" if one["satellite"] else one["field"]
    return {
        "字段 field": f"{one['title']} {name}",
        "来源 source": f"{one['provider']} {one['resource']}",
        "比较 compared": f"{one['compared']:,}",
        "不一致 differing": f"{one['differing']:,}",
        "占比 share": f"{one['differing'] / one['compared']:.2%}",
    }


def _row_line(part: dict[str, Any]) -> dict[str, Any]:
    source = part["source"] or {}
    return {
        "字段 field": f"{part['title']} {part['field']}",
        "值 value": part["value"],
        "来源 source": source and f"{source['provider']} {source['resource']}",
        "批次 batch": source.get("batch"),
        "其他说法 others": "\n".join(f"{other['provider']}: {other['value']}" for other in part["others"]),
    }


def _number(part: dict[str, Any]) -> dict[str, Any]:
    """Another number of the record, for a reader."""
    whose = "、".join(part["resources"]) or "全部 all"
    return {
        "号码 number": part["number"],
        "归于 counts as": part["key"],
        "类别 kind": part["kind"],
        "自 since": part["since"],
        "来源 sources": whose,
        "依据 basis": part["basis"],
        "经办 by": part["by"],
    }


def _line(part: dict[str, Any]) -> dict[str, Any]:
    """One field for a reader: who says it since when, and who says otherwise."""
    source, others = part["source"] or {}, part["others"]
    return {
        "字段 field": f"{part['title']} {part['field']}",
        "值 value": part["value"],
        "来源 source": source and f"{source['provider']} {source['resource']}",
        "批次 batch": source.get("batch"),
        "自批次 since": source.get("since_batch"),
        "原号 under": source.get("number"),
        "其他说法 others": "\n".join(f"{other['provider']}: {other['value']}" for other in others if other["differs"]),
    }
