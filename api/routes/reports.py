"""GET /v1/pushes/{id}/report and …/data-docs: how a push was judged, for the department that pushed it."""

from fastapi import APIRouter
from fastapi.responses import FileResponse, HTMLResponse

from api.deps import ThisCaller, ThisHouse
from exchange.callers import Caller
from exchange.errors import AccessRefused
from exchange.house import House
from exchange.intake import pushes
from quality import expectations, report

router = APIRouter(tags=["报告 reports"])


@router.get("/v1/pushes/{push_id}/report", response_class=HTMLResponse)
def read_report(push_id: str, house: ThisHouse, caller: ThisCaller) -> HTMLResponse:
    """质量报告（HTML）/ the quality report. Holds counts and row numbers, never values."""
    _refuse_others(house, caller, push_id)
    return HTMLResponse(report.page(house, push_id, data_docs="data-docs"))


@router.get("/v1/pushes/{push_id}/data-docs", response_class=FileResponse)
def read_data_docs(push_id: str, house: ThisHouse, caller: ThisCaller) -> FileResponse:
    """Great Expectations 的结果页（HTML）/ the page of Great Expectations' results. Holds counts, never values."""
    _refuse_others(house, caller, push_id)
    return FileResponse(expectations.data_docs(house, push_id), media_type="text/html; charset=utf-8")


def _refuse_others(house: House, caller: Caller, push_id: str) -> None:
    if pushes.get(house, push_id).department != caller.department:
        raise AccessRefused(
            "质量报告只给推送它的部门", "a quality report is for the department that pushed", reason="other-department"
        )
