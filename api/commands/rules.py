"""规则: try changed rules before they are published."""

from pathlib import Path
from typing import Annotated, Any

import typer

from api.opening import opened
from api.terminal import Json, mistakes_explained, progress, show

app = typer.Typer(no_args_is_help=True, help="规则 / the rules of a resource")

_CHANGES = {"added": "新增 added", "changed": "修改 changed", "removed": "删除 removed", "unchanged": "未变 unchanged"}
_DECISIONS = {"accepted": "通过 accepted", "rejected": "退回 rejected", "held": "挂起待确认 held for confirmation"}
_SHOWN = 5  # row numbers per rule


@app.command("try")
def try_rules(
    file: Annotated[
        Path, typer.Argument(help="规则清单或资源文件（YAML）/ a list of rules, or an entry", exists=True, dir_okay=False)
    ],
    resource: Annotated[str, typer.Argument(help="资源 / resource id")],
    as_json: Json = False,
) -> None:
    """在最近一次推送上试行改过的规则，什么都不写入 / try changed rules on the last push; nothing is written"""
    from quality import trial

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        tried = trial.try_rules(house, file, resource, watch).as_dict()
    show(tried if as_json else _for_people(tried), as_json)


def _for_people(tried: dict[str, Any]) -> dict[str, Any]:
    return {
        "推送 push": f"{tried['push_id']}（{tried['resource_id']} 第 {tried['batch']} 批 / batch {tried['batch']}）",
        "现行规则 published": _said(tried["now"]),
        "试行规则 tried": _said(tried["then"]),
        "原因 reasons": "\n".join(f"{reason['zh']}\n{reason['en']}" for reason in tried["then"]["reasons"]),
        "规则 rules": [_rule(rule) for rule in tried["rules"] if _matters(rule)]
        or "全部通过，规则未变 / none failed or changed",
        "写入 written": "没有 nothing",
    }


def _said(outcome: dict[str, Any]) -> str:
    return (
        f"{_DECISIONS[outcome['decision']]}：{outcome['quarantined_rows']:,}/{outcome['rows']:,} 行未通过 failed"
        f"（{outcome['share']:.2%}，上限 limit {outcome['threshold']:.2%}）"
    )


def _matters(rule: dict[str, Any]) -> bool:
    return rule["change"] != "unchanged" or bool(rule["failed_now"] or rule["failed_then"])


def _rule(rule: dict[str, Any]) -> dict[str, Any]:
    shown = rule["rows"][:_SHOWN]
    more = " …" if len(shown) < (rule["failed_then"] or 0) else ""
    return {
        "规则 rule": f"{rule['id']}  {rule['title']} / {rule['title_en']}",
        "变化 change": _CHANGES[rule["change"]],
        "级别 level": rule["level"],
        "现行 now": _count(rule["failed_now"]),
        "试行 then": _count(rule["failed_then"]),
        "行号 row numbers": ", ".join(map(str, shown)) + more,
    }


def _count(failed: int | None) -> str:
    return "-" if failed is None else f"{failed:,}"
