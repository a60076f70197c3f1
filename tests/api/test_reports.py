"""GET /v1/pushes/{id}/report: for the department that pushed, and nobody else."""

from sqlalchemy import update

from exchange import catalogue
from exchange.house import House
from exchange.registry.models import Push
from tests import make
from tests.api.kit import bearer, opened
from tests.delivery.kit import LI, log
from tests.pools.given import accepted


def test_another_department_s_report_is_refused_and_recorded(house: House) -> None:
    make.small_city(house)
    push_id = "P261122-0123456789"
    with house.registry.session() as session:
        given = accepted(house, catalogue.resource(house, "police_household"), 7)
        session.execute(update(Push).where(Push.id == given).values(id=push_id))
    with opened(house) as door:
        refused = door.http.get(f"/v1/pushes/{push_id}/report", headers=bearer(door.token(make.CIVIL)))
    assert (refused.status_code, refused.json()["detail"], refused.json()["detail_en"]) == (
        403,
        "质量报告只给推送它的部门",
        "a quality report is for the department that pushed",
    )
    assert [(one["action"], one["target"], one["department"], one["decision"], one["reason"]) for one in log(house)] == [
        (
            "GET /v1/pushes/{push_id}/report",
            push_id,
            make.CIVIL,
            "refused",
            "other-department: 质量报告只给推送它的部门",
        )
    ]
    assert LI not in refused.text


def test_a_report_that_is_not_there(house: House) -> None:
    make.small_city(house)
    with opened(house) as door:
        missing = door.http.get("/v1/pushes/P261122-0000000001/report", headers=bearer(door.token()))
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
