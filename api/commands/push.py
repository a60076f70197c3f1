"""推送: push, pushes, report, process, confirm, withdraw, row-errors."""

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from api.opening import opened, operator
from api.terminal import HELD, REJECTED, Json, err, mistakes_explained, progress, show
from exchange import catalogue
from exchange.errors import ParcelRefused, Unavailable
from exchange.house import House
from exchange.intake import landing, pushes
from exchange.intake.declare import declare
from exchange.intake.parcel import Declaration

PushId = Annotated[str, typer.Argument(help="回执编号 / receipt id, P…")]


def register(app: typer.Typer) -> None:
    """Add this group's commands to the top level."""
    app.command()(push)
    app.command("pushes")(list_pushes)
    app.command()(report)
    app.command()(process)
    app.command()(confirm)
    app.command()(withdraw)
    app.command("row-errors")(row_errors)


def push(
    resource: Annotated[str, typer.Argument(help="资源 / resource id")],
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV、XLSX、XLS、JSON Lines、Parquet 或 Arrow，可用 gzip 或 zip 压缩 / a file of one of these, packed or not",
            exists=True,
            dir_okay=False,
        ),
    ],
    mode: Annotated[
        Literal["full", "incremental", "deletions"],
        typer.Option(help="全量、增量（带操作列 U/D）、删除清单 / full, incremental (with an _op column), deletions"),
    ] = "full",
    batch: Annotated[int | None, typer.Option(help="批次号，默认上一批加一 / default: last + 1")] = None,
    rows: Annotated[
        int | None, typer.Option(help="数据行数（不含表头），默认代为计算 / data rows; default: counted here")
    ] = None,
    digest: Annotated[str | None, typer.Option(help="sm3=… 或 sha256=…，默认代为计算 / default: computed here")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="不再确认 / don't ask")] = False,
    wait: Annotated[bool, typer.Option("--wait", help="等到质检结论 / wait for the clock's verdict")] = False,
    here: Annotated[
        bool, typer.Option("--here", help="就地质检入池，不经调度 / judge and pool here, without the scheduler")
    ] = False,
    timeout: Annotated[int, typer.Option(help="最多等待秒数 / seconds to wait at most")] = 300,
    as_json: Json = False,
) -> None:
    """推送一个文件 / push a file; the receipt is the answer"""
    with mistakes_explained(as_json), opened() as house:
        entry = catalogue.resource(house, resource)
        caller = operator(entry.department)
        with progress(as_json) as watch:
            declaration = declare(house, entry, file, mode=mode, batch=batch, rows=rows, digest=digest, progress=watch)
        if not yes and not as_json and err.is_terminal:
            _confirm(declaration)
        receipt = landing.land_file(house, caller, declaration, file, door="cli")
        if here:
            _process(house, receipt.id, as_json)
            return
        if not wait:
            show(receipt.as_dict(), as_json)
            return
        _show_verdict(_verdict_of(house, receipt.id, timeout), as_json)


def _confirm(declaration: Declaration) -> None:
    shown = f"{declaration.resource_id}  批次 {declaration.batch}  {declaration.rows:,} 行  {declaration.algorithm}={declaration.digest}"
    err.print(shown, highlight=False)
    if not typer.confirm("以上数字与来源系统一致吗？ / do these figures match your own system?", err=True):
        raise ParcelRefused("已取消，未推送", "cancelled; nothing was pushed")


def _verdict_of(house: House, push_id: str, timeout: int) -> dict[str, Any]:
    """Wait until the clock has judged the push.

    Raises:
        Unavailable: no verdict in time; says how to judge it here and now.
    """
    from quality import gate

    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if pushes.get(house, push_id).state not in ("landed", "checking"):
            return gate.verdict(house, push_id).as_dict()
        time.sleep(0.5)
    raise Unavailable(
        f"{timeout} 秒内没有结论：exchange up 是否在运行？也可以就地执行 exchange process {push_id}",
        f"no verdict within {timeout} s: is `exchange up` running? Or judge it here: exchange process {push_id}",
        push=push_id,
    )


_SHOWN = 5  # row numbers per failed rule; the rest are in the report
_DECISIONS = {"accepted": "通过 accepted", "rejected": "退回 rejected", "held": "挂起待确认 held for confirmation"}


def _show_verdict(verdict: dict[str, Any], as_json: bool) -> None:
    show(verdict if as_json else _for_people(verdict), as_json)
    if verdict["decision"] == "rejected":
        raise typer.Exit(REJECTED)
    if verdict["decision"] == "held":
        raise typer.Exit(HELD)


def _for_people(verdict: dict[str, Any]) -> dict[str, Any]:
    """The verdict without what went well: the decision, why, how many rows, and the rules that failed."""
    failed = [
        {
            "规则 rule": f"{rule['title']} / {rule['title_en']}",
            "级别 level": rule["level"],
            "行 rows": rule["failed"],
            "行号 row numbers": _first(rule["rows"], rule["failed"]),
        }
        for rule in verdict["rules"]
        if rule["failed"]
    ]
    return {
        "结论 verdict": _DECISIONS[verdict["decision"]],
        "原因 reasons": "\n".join(f"{reason['zh']}\n{reason['en']}" for reason in verdict["reasons"]) or None,
        "回执 receipt": verdict["push_id"],
        "行数 rows": f"{verdict['rows']:,}",
        "接受 accepted": f"{verdict['accepted_rows']:,}",
        "隔离 quarantined": f"{verdict['quarantined_rows']:,}",
        "提醒 warned": f"{verdict['warned_rows']:,}",
        "规范化 normalised": f"{verdict['normalised_values']:,}",
        "未收列 unknown columns": verdict["unknown_columns"],
        "未通过的规则 failed rules": failed,
    }


def _first(rows: Sequence[int], failed: int) -> str:
    """The first few row numbers, and a sign when there are more."""
    shown = rows[:_SHOWN]
    return ", ".join(str(row) for row in shown) + (" …" if 0 < len(shown) < failed else "")


def list_pushes(
    resource: Annotated[str | None, typer.Option(help="只看一个资源 / one resource")] = None,
    limit: Annotated[int, typer.Option(help="最近几条 / how many")] = 50,
    as_json: Json = False,
) -> None:
    """最近的推送 / recent pushes, newest first"""
    with mistakes_explained(as_json), opened() as house:
        shown = ("id", "resource_id", "batch", "state", "rows", "bytes", "received_at")
        found = [receipt.as_dict() for receipt in pushes.list_pushes(house, resource=resource, limit=limit)]
        show(found if as_json else [{name: row[name] for name in shown} for row in found], as_json)


def report(push_id: PushId, as_json: Json = False) -> None:
    """质检报告 / the quality report of a push: the page's path, or everything as JSON"""
    from quality import report as reports

    with mistakes_explained(as_json), opened() as house:
        show(reports.as_dict(house, push_id) if as_json else str(reports.render(house, push_id)), as_json)


def process(push_id: PushId, as_json: Json = False) -> None:
    """就地质检、入池、换索引 / check, pool and index a push here, without the scheduler"""
    with mistakes_explained(as_json), opened() as house:
        _process(house, push_id, as_json)


def _process(house: House, push_id: str, as_json: bool) -> None:
    from pools import way
    from quality import gate

    with progress(as_json) as watch:
        way.process(house, push_id, watch)
    _show_verdict(gate.verdict(house, push_id).as_dict(), as_json)


def confirm(push_id: PushId, as_json: Json = False) -> None:
    """确认被挂起的推送 / confirm a push that was held; it is then pooled like any other"""
    from quality import gate

    with mistakes_explained(as_json), opened() as house:
        show(gate.confirm(house, operator(pushes.get(house, push_id).department), push_id).as_dict(), as_json)


def withdraw(push_id: PushId, as_json: Json = False) -> None:
    """撤回推送，恢复上一版本 / withdraw a push: what stood before stands again, in the pool and in every base made of it"""
    from pools import way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        state = way.withdraw(house, operator(pushes.get(house, push_id).department), push_id, watch)
    show({"push": push_id, "state": state}, as_json)


def row_errors(
    push_id: PushId,
    to: Annotated[Path, typer.Option(help="写到哪个文件 / where to write the CSV (or XLSX)")],
    correct: Annotated[
        bool, typer.Option("--correct", help="整行，可改正后按增量再推送 / whole rows, to be corrected and pushed again")
    ] = False,
    as_json: Json = False,
) -> None:
    """错误行文件（含原值，只给推送部门，每次取用留痕）/ the row-error file; each fetch is evidence"""
    from quality import corrections, quarantine

    with mistakes_explained(as_json), opened() as house:
        caller = operator(pushes.get(house, push_id).department)
        to.touch(mode=0o600)
        if correct:
            kind: corrections.Kind = "xlsx" if to.suffix.lower() == ".xlsx" else "csv"
            with corrections.correction_file(house, caller, push_id, kind) as made, to.open("wb") as file:
                shutil.copyfileobj(made, file)
        else:
            to.write_bytes(quarantine.row_errors(house, caller, push_id))
        show({"push": push_id, "file": str(to), "bytes": to.stat().st_size}, as_json)
