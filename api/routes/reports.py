"""GET /v1/pushes/{id}/report: the quality report of a push, for the department that pushed it."""

from fastapi import APIRouter
from fastapi.responses import FileResponse

from api.deps import ThisCaller, ThisHouse
from exchange.errors import AccessRefused
from exchange.intake import pushes
from quality import report

router = APIRouter(tags=["报告 reports"])


@router.get("/v1/pushes/{push_id}/report", response_class=FileResponse)
def read_report(push_id: str, house: ThisHouse, caller: ThisCaller) -> FileResponse:
    """质量报告（HTML）/ the quality report. Holds counts and row numbers, never values."""
    receipt = pushes.get(house, push_id)
    if receipt.department != caller.department:
        raise AccessRefused(
            "质量报告只给推送它的部门", "a quality report is for the department that pushed", reason="other-department"
        )
    return FileResponse(report.render(house, push_id), media_type="text/html; charset=utf-8")
