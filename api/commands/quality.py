"""质量: trend, dimensions, overdue, contested, history; page and workbook."""

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, show

app = typer.Typer(no_args_is_help=True, help="质量总览 / quality over many pushes")

Resource = Annotated[str | None, typer.Option(help="只看一个资源 / one resource")]
Department = Annotated[str | None, typer.Option(help="只看一个部门 / one department, by its code")]
Rule = Annotated[str | None, typer.Option(help="只看一条规则 / one rule")]
Last = Annotated[int, typer.Option(min=1, max=1000, help="每个资源最近几次已判推送 / last judged pushes of each resource")]
Day = Annotated[datetime | None, typer.Option(formats=["%Y-%m-%d"], help="收到日期，含当天 / day received, inclusive")]
To = Annotated[Path, typer.Option(help="写到哪个文件 / where to write it")]


@app.command()
def trend(
    resource: Resource = None,
    department: Department = None,
    rule: Rule = None,
    last: Last = 12,
    since: Day = None,
    until: Day = None,
    as_json: Json = False,
) -> None:
    """未通过率的趋势 / failing rows over time: departments, resources, or the rules of one resource"""
    from quality import overview

    question = overview.Asked(
        resource=resource, department=department, rule=rule, last=last, since=_day(since), until=_day(until)
    )
    with mistakes_explained(as_json), opened() as house:
        found = overview.trend(house, operator(), question)
        if as_json:
            show(found.model_dump(mode="json"), as_json)
            return
        rows = [
            {
                "规则 rule": one.rule,
                "失败 failing": one.failing,
                "逐次 push by push": " ".join(_rate(p.rate) for p in one.points),
            }
            for one in found.rules
        ] or [
            {
                "资源 resource": one.resource,
                "部门 department": one.department_name,
                "推送 pushes": len(one.pushes),
                "逐次 push by push": " ".join(_rate(push.rate) for push in one.pushes),
            }
            for one in found.resources
        ]
        show(rows, as_json)


@app.command()
def dimensions(
    resource: Resource = None,
    department: Department = None,
    last: Last = 12,
    since: Day = None,
    until: Day = None,
    as_json: Json = False,
) -> None:
    """GB/T 36344 六个维度 / the six dimensions, of departments and resources"""
    from quality import overview
    from quality.overview.show import percent

    question = overview.Asked(resource=resource, department=department, last=last, since=_day(since), until=_day(until))
    with mistakes_explained(as_json), opened() as house:
        found = overview.dimensions(house, operator(), question, datetime.now(UTC))
        if as_json:
            show(found.model_dump(mode="json"), as_json)
            return
        rows = [(one.name, one) for one in found.departments] + [(one.resource, one) for one in found.resources]
        show([{"": name} | {score.title: percent(score.score) for score in one.dimensions} for name, one in rows], as_json)


@app.command()
def overdue(resource: Resource = None, department: Department = None, as_json: Json = False) -> None:
    """超过更新周期的资源 / what is overdue by its update cycle"""
    from quality import overview

    question = overview.Asked(resource=resource, department=department)
    with mistakes_explained(as_json), opened() as house:
        found = overview.overdue(house, operator(), question, datetime.now(UTC)).model_dump(mode="json")
        shown = ("resource", "department_name", "update_cycle", "last_accepted", "due", "days_overdue")
        show(found if as_json else [{name: late[name] for name in shown} for late in found["overdue"]], as_json)


@app.command()
def contested(resource: Resource = None, department: Department = None, until: Day = None, as_json: Json = False) -> None:
    """疑义：与数源不一致多少，按部门和字段 / how often departments say otherwise, by field; counts only"""
    from quality import overview

    question = overview.Asked(resource=resource, department=department, until=_day(until))
    with mistakes_explained(as_json), opened() as house:
        found = overview.contested(house, operator(), question).model_dump(mode="json")
        shown = ("department_name", "resource", "base", "satellite", "field", "compared", "differing")
        rows = [{name: one[name] for name in shown} for unit in found["departments"] for one in unit["fields"]]
        show(found if as_json else rows, as_json)


@app.command()
def history(
    resource: Resource = None,
    department: Department = None,
    rule: Rule = None,
    since: Day = None,
    until: Day = None,
    changes: Annotated[int, typer.Option(min=1, max=100_000, help="至多几条 / how many at most")] = 200,
    as_json: Json = False,
) -> None:
    """规则变更 / who changed which rule when"""
    from quality import overview

    question = overview.Asked(
        resource=resource, department=department, rule=rule, since=_day(since), until=_day(until), changes=changes
    )
    with mistakes_explained(as_json), opened() as house:
        found = overview.history(house, operator(), question).model_dump(mode="json")
        rows = [
            {name: change[name] for name in ("at", "by", "resource", "version", "rule", "what")}
            | {side: change[side] and (change[side]["detail"] or change[side]["title"]) for side in ("old", "new")}
            for change in found["changes"]
        ]
        show(found if as_json else rows, as_json)


@app.command()
def page(
    to: To,
    resource: Resource = None,
    department: Department = None,
    last: Last = 12,
    since: Day = None,
    until: Day = None,
    as_json: Json = False,
) -> None:
    """带图的网页，可打印 / all of it as a page with pictures, for reading and printing"""
    from quality import overview

    question = overview.Asked(resource=resource, department=department, last=last, since=_day(since), until=_day(until))
    with mistakes_explained(as_json), opened() as house:
        content = overview.page(house, operator(), question, datetime.now(UTC), linked=False).encode()
        _write(to, content, as_json)


@app.command()
def workbook(
    to: To,
    resource: Resource = None,
    department: Department = None,
    last: Last = 12,
    since: Day = None,
    until: Day = None,
    as_json: Json = False,
) -> None:
    """XLSX：趋势、六维、逾期、疑义、规则变更各一页 / all of it as an XLSX file, a sheet each"""
    from quality import overview

    question = overview.Asked(resource=resource, department=department, last=last, since=_day(since), until=_day(until))
    with mistakes_explained(as_json), opened() as house:
        _write(to, overview.workbook(house, operator(), question, datetime.now(UTC)), as_json)


def _write(to: Path, content: bytes, as_json: bool) -> None:
    to.write_bytes(content)
    show({"file": str(to), "bytes": len(content)}, as_json)


def _day(moment: datetime | None) -> date | None:
    return None if moment is None else moment.date()


def _rate(share: float | None) -> str:
    return "–" if share is None else f"{share:.2%}"
