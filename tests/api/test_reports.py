"""GET /v1/pushes/{id}/report and …/data-docs: for the department that pushed, and nobody else."""

import re

import pytest
from sqlalchemy import update

from exchange import catalogue
from exchange.house import House
from exchange.registry.models import Push
from quality import expectations, gate
from tests import make
from tests.api.kit import bearer, opened
from tests.delivery.kit import LI, log
from tests.pools.given import accepted
from tests.quality import kit


@pytest.mark.parametrize("page", ["report", "data-docs"])
def test_another_department_s_report_is_refused_and_recorded(house: House, page: str) -> None:
    make.small_city(house)
    push_id = "P261122-0123456789"
    with house.registry.session() as session:
        given = accepted(house, catalogue.resource(house, "police_household"), 7)
        session.execute(update(Push).where(Push.id == given).values(id=push_id))
    with opened(house) as door:
        refused = door.http.get(f"/v1/pushes/{push_id}/{page}", headers=bearer(door.token(make.CIVIL)))
    assert (refused.status_code, refused.json()["detail"], refused.json()["detail_en"]) == (
        403,
        f"质量报告只给推送它的部门和质量管理人员；推送 {push_id} 不是贵部门的",
        f"a quality report is for the department that pushed and for the quality team; push {push_id} is not yours",
    )
    assert [(one["action"], one["target"], one["department"], one["decision"], one["reason"]) for one in log(house)] == [
        ("report", f"push:{push_id}", make.CIVIL, "refused", "not the department that pushed")
    ]
    assert LI not in refused.text


def test_the_report_links_to_data_docs_that_open(house: House) -> None:
    make.small_city(house)
    header = ["公民身份号码", "姓名", "性别", "出生日期", "更新时间"]
    row = [make.resident(1), "某人", "1", "1950-01-01", "2026-01-01 08:00:00"]
    push_id = kit.land(house, "police_household", header, [row])
    gate.check(house, push_id)
    with opened(house) as door:
        headers = bearer(door.token(make.POLICE))
        report = door.http.get(f"/v1/pushes/{push_id}/report", headers=headers)
        (link,) = re.findall(r'href="([^"]*)"', report.text)
        docs = door.http.get(report.url.join(link), headers=headers)
    assert (report.status_code, report.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "own disk" not in report.text
    assert docs.url.path == f"/v1/pushes/{push_id}/data-docs"
    assert (docs.status_code, docs.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert docs.content == expectations.data_docs(house, push_id).read_bytes()  # nothing in it leads nowhere: test_evidence
    assert "id_number.resident_number" in docs.text
    assert make.resident(1) not in report.text + docs.text


@pytest.mark.parametrize("page", ["report", "data-docs"])
def test_a_report_that_is_not_there(house: House, page: str) -> None:
    make.small_city(house)
    with opened(house) as door:
        missing = door.http.get(f"/v1/pushes/P261122-0000000001/{page}", headers=bearer(door.token()))
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")
