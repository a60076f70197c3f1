"""GET /v1/quality/…: what the quality team, or a department of its own, sees of many pushes."""

from datetime import UTC, date, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.responses import HTMLResponse

from api.deps import AnyCaller, ThisHouse
from exchange.intake.landing import SLUG
from quality import overview
from quality.overview import Asked, Contested, Dimensions, History, Overdue, Trend
from quality.overview.model import CHANGES, LAST, MOST

router = APIRouter(tags=["质量 quality"])
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


def asked(
    resource: Annotated[
        str | None, Query(max_length=63, pattern=SLUG.pattern, description="只看一个资源 / one resource")
    ] = None,
    department: Annotated[
        str | None, Query(pattern="^[0-9A-Z]{18}$", description="只看一个部门（统一社会信用代码）/ one department")
    ] = None,
    rule: Annotated[
        str | None, Query(max_length=130, pattern=r"^[a-z_][a-z0-9_.]*$", description="只看一条规则 / one rule")
    ] = None,
    last: Annotated[
        int, Query(ge=1, le=MOST, description="每个资源最近几次已判推送 / last judged pushes of each resource")
    ] = LAST,
    since: Annotated[date | None, Query(description="自这一天（含）收到 / received on this day or later")] = None,
    until: Annotated[date | None, Query(description="至这一天（含）收到 / received on this day or earlier")] = None,
    changes: Annotated[
        int, Query(ge=1, le=100_000, description="规则变更至多列出几条 / rule changes listed at most")
    ] = CHANGES,
) -> Asked:
    """The question, as an address says it."""
    return Asked(resource=resource, department=department, rule=rule, last=last, since=since, until=until, changes=changes)


ThisQuestion = Annotated[Asked, Depends(asked)]


@router.get("/v1/quality/trend")
def read_trend(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> Trend:
    """未通过率的趋势：按部门逐日、按资源逐次，问及资源或规则时按规则逐次 / failing rows over time."""
    return overview.trend(house, caller, question)


@router.get("/v1/quality/dimensions")
def read_dimensions(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> Dimensions:
    """GB/T 36344 六个维度；没有测量的为 null / the six dimensions; null where nothing was measured."""
    return overview.dimensions(house, caller, question, datetime.now(UTC))


@router.get("/v1/quality/overdue")
def read_overdue(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> Overdue:
    """超过更新周期的资源 / resources that are overdue by their update cycle."""
    return overview.overdue(house, caller, question, datetime.now(UTC))


@router.get("/v1/quality/contested")
def read_contested(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> Contested:
    """疑义：各部门与数源不一致多少，按字段；只有计数 / how often departments say otherwise, by field; counts only."""
    return overview.contested(house, caller, question)


@router.get("/v1/quality/history")
def read_history(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> History:
    """规则变更：谁在何时改了什么 / who changed which rule when."""
    return overview.history(house, caller, question)


@router.get("/v1/quality/page", response_class=HTMLResponse)
def read_page(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> HTMLResponse:
    """以上全部，带图的网页 / all of it as a page with pictures."""
    return HTMLResponse(overview.page(house, caller, question, datetime.now(UTC)))


@router.get(
    "/v1/quality/workbook",
    response_class=Response,
    responses={200: {"content": {XLSX: {"schema": {"type": "string", "format": "binary"}}}}},
)
def read_workbook(house: ThisHouse, caller: AnyCaller, question: ThisQuestion) -> Response:
    """以上全部，XLSX / all of it as an XLSX file."""
    content = overview.workbook(house, caller, question, datetime.now(UTC))
    headers = {"Content-Disposition": 'attachment; filename="quality.xlsx"', "Cache-Control": "no-store"}
    return Response(content, media_type=XLSX, headers=headers)
