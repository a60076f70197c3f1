"""How a push was judged and what of it waits: for the department that pushed it, and for the quality team; never a value."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse

from api.deps import AnyCaller, ThisHouse
from exchange.intake import pushes
from exchange.intake.landing import SLUG
from quality import access, acts, expectations, report

router = APIRouter(tags=["报告 reports"])


@router.get("/v1/pushes/{push_id}/report", response_class=HTMLResponse)
def read_report(push_id: str, house: ThisHouse, caller: AnyCaller) -> HTMLResponse:
    """质量报告（HTML）/ the quality report. Holds counts and row numbers, never values."""
    access.may(house, caller, pushes.get(house, push_id), "report")
    return HTMLResponse(report.page(house, push_id, data_docs="data-docs"))


@router.get("/v1/pushes/{push_id}/data-docs", response_class=FileResponse)
def read_data_docs(push_id: str, house: ThisHouse, caller: AnyCaller) -> FileResponse:
    """Great Expectations 的结果页（HTML）/ the page of Great Expectations' results. Holds counts, never values."""
    access.may(house, caller, pushes.get(house, push_id), "report")
    return FileResponse(expectations.data_docs(house, push_id), media_type="text/html; charset=utf-8")


@router.get("/v1/quarantine")
def list_quarantine(
    house: ThisHouse,
    caller: AnyCaller,
    resource: Annotated[str | None, Query(max_length=63, pattern=SLUG.pattern)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JSONResponse:
    """隔离区：规则、信息项、行号、状态，不含原值 / what waits in quarantine: rule, field, row numbers, state; never a value."""
    return JSONResponse([line.as_dict() for line in acts.listed(house, caller, resource=resource, limit=limit)])


@router.get("/v1/pushes/{push_id}/quarantine")
def read_quarantine(push_id: str, house: ThisHouse, caller: AnyCaller) -> JSONResponse:
    """一次推送的隔离区 / the same of one push."""
    return JSONResponse([line.as_dict() for line in acts.listed(house, caller, push=push_id)])
