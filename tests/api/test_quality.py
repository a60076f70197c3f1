"""GET /v1/quality/…, the same by a browser's cookie, and at the command line: one answer in every door."""

import io
import json
import zipfile
from pathlib import Path

import httpx
from pydantic import SecretStr
from typer.testing import CliRunner

from api.cli import app
from api.opening import operator
from exchange import clients
from exchange.house import House
from quality import overview
from quality.overview import Asked
from tests import make
from tests.api.kit import bearer, opened
from tests.api.test_form import Officer
from tests.delivery.kit import log
from tests.quality.test_overview import CAPITAL, judged_by_the_hour, load

ANSWERS = ("trend", "dimensions", "overdue", "contested", "history")


def test_a_department_asks_for_its_own_over_http(house: House) -> None:
    """Typed answers, the page and the workbook; all of the same figures."""
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    judged_by_the_hour(house, 3)
    with opened(house) as door:
        headers = bearer(door.token(make.MARKET))
        got = {name: door.http.get(f"/v1/quality/{name}", headers=headers, params={"last": 2}) for name in ANSWERS}
        page = door.http.get("/v1/quality/page", headers=headers)
        workbook = door.http.get("/v1/quality/workbook", headers=headers)
        schema = door.http.get("/openapi.json").json()
    assert {name: one.status_code for name, one in got.items()} == dict.fromkeys(ANSWERS, 200)
    own = Asked(department=make.MARKET, last=2)
    assert got["trend"].json() | {"asked": None} == overview.trend(house, operator(), own).model_dump(mode="json") | {
        "asked": None
    }
    assert [len(one["pushes"]) for one in got["trend"].json()["resources"]] == [2]
    assert got["trend"].json()["asked"] | {"last": 12} == Asked().model_dump()
    assert {change["resource"] for change in got["history"].json()["changes"]} == {"market_entity"}
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "市市场监督管理局<small>质量总览" in page.text
    assert "tax_payer" not in page.text
    assert workbook.headers["content-disposition"] == 'attachment; filename="quality.xlsx"'
    assert "xl/worksheets/sheet5.xml" in zipfile.ZipFile(io.BytesIO(workbook.content)).namelist()
    for name in ANSWERS:
        answer = schema["paths"][f"/v1/quality/{name}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
        assert answer == {"$ref": f"#/components/schemas/{name.capitalize()}"}
    assert [one["action"] for one in log(house)][:7] == [
        "quality_trend", "quality_dimensions", "quality_overdue", "quality_contested", "quality_history", "quality_page",
        "quality_workbook",
    ]  # fmt: skip


def test_the_quality_team_sees_every_department(house: House) -> None:
    """Over HTTP, and in a browser, where there is nothing else for it."""
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    judged_by_the_hour(house, 1)
    client_id, secret = clients.create(house, make.CIVIL, "质量科", role="quality")
    with opened(house) as door:
        headers = bearer(clients.token(house, client_id, secret).access_token)
        trend = door.http.get("/v1/quality/trend", headers=headers, params={"department": make.TAX})
        with httpx.Client(base_url=door.http.base_url, trust_env=False, timeout=60, follow_redirects=True) as browser:
            page = browser.post("/form/sign-in", data={"client_id": client_id, "client_secret": secret})
    assert [one["resource"] for one in trend.json()["resources"]] == ["tax_payer"]
    assert page.url.path == "/form/quality/page"
    assert "全部部门 all departments" in page.text
    assert [(one["action"], one["target"], one["client"]) for one in log(house)][-1] == (
        "quality_page", "quality:all", client_id,
    )  # fmt: skip


def test_whatever_is_not_allowed_is_refused_and_recorded_once(house: House) -> None:
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    with opened(house) as door:
        headers = bearer(door.token(make.MARKET))

        def status(what: str, **asked: object) -> tuple[int, str]:
            refused = door.http.get(f"/v1/quality/{what}", headers=headers, params=asked)
            return refused.status_code, refused.json()["code"]

        assert status("dimensions", resource="tax_payer") == (403, "access-refused")
        assert status("page", department=make.TAX) == (403, "access-refused")
        assert status("trend", resource="no_such_thing") == (404, "not-found")
        assert status("trend", resource=make.resident(1)) == (422, "request-invalid")
        assert status("history", since="2026-11-02", until="2026-11-01") == (422, "request-invalid")
        assert door.http.get("/v1/quality/overdue").status_code == 401
    told = [(one["action"], one["client"] is not None, one["decision"]) for one in log(house)]
    assert told == [
        ("quality_dimensions", True, "refused"),
        ("quality_page", True, "refused"),
        ("quality_trend", True, "not_found"),
        ("GET /v1/quality/trend", True, "refused"),
        ("GET /v1/quality/history", True, "refused"),
        ("GET /v1/quality/overdue", False, "refused"),
    ]
    assert make.resident(1) not in json.dumps(log(house))


def test_an_officer_sees_the_page_in_a_browser(house: House) -> None:
    """By the cookie of /form; its links stay there, and the page may load nothing."""
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    judged_by_the_hour(house, 1)
    with opened(house) as door:
        officer = Officer(door, make.MARKET)
        assert 'href="/form/quality/page"' in officer.page.text
        page = officer.http.get("/form/quality/page")
        one = officer.http.get(page.url.join("?resource=market_entity"))
        workbook = officer.http.get(page.url.join("workbook?resource=market_entity"))
        refused = officer.http.get("/form/quality/page?resource=tax_payer")
        officer.http.close()
    assert (page.status_code, one.status_code, workbook.status_code, refused.status_code) == (200, 200, 200, 403)
    assert page.headers["content-security-policy"].startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "逐次推送" in one.text
    assert workbook.content[:2] == b"PK"
    assert "质量情况只给提供该资源的部门和质量管理人员" in refused.text


def test_the_command_line_says_the_same(house: House, tmp_path: Path) -> None:
    """Whoever sits at the machine sees every department; for people there are tables, a page and a workbook."""
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    judged_by_the_hour(house, 2)
    settings = house.settings

    def secret(one: SecretStr | None) -> str:
        assert one is not None
        return one.get_secret_value()

    here = {
        "EXCHANGE_DATA": str(settings.data),
        "EXCHANGE_KEYS": str(settings.keys),
        "EXCHANGE_DATABASE_URL": secret(settings.database_url),
        "EXCHANGE_LAKE_URL": secret(settings.lake_url),
        "EXCHANGE_AIRFLOW_URL": secret(settings.airflow_url),
        "COLUMNS": "200",
    }

    def run(*words: str, group: str = "quality") -> str:
        done = CliRunner().invoke(app, [group, *words], env=here)
        assert done.exit_code == 0, done.output
        return done.stdout

    trend = overview.trend(house, operator(), Asked(last=1))
    assert json.loads(run("trend", "--last", "1", "--json")) == trend.model_dump(mode="json")
    changes = json.loads(run("history", "--rule", "uscc.uscc", "--json"))["changes"]
    assert [(one["resource"], one["by"]) for one in changes] == [("market_entity", "zhang.san"), ("tax_payer", "zhang.san")]
    assert json.loads(run("overdue", "--resource", "tax_payer", "--json"))["without_promise"] == 0
    folder = make.write_catalogue(
        tmp_path / "c", resources=[make.market_entity(rules=[CAPITAL]), make.tax_payer()], bases=[]
    )
    run("load", str(folder), group="catalogue")
    changes = json.loads(run("history", "--changes", "1", "--json"))["changes"]
    assert [(one["rule"], one["by"]) for one in changes] == [("dept.capital", operator().person)]
    run("page", "--to", str(tmp_path / "page.html"), "--department", make.TAX)
    run("workbook", "--to", str(tmp_path / "quality.xlsx"), "--since", "2026-11-02")
    assert "<a " not in (tmp_path / "page.html").read_text()
    assert (tmp_path / "quality.xlsx").read_bytes()[:2] == b"PK"
    assert {one["person"] for one in log(house)} == {operator().person}
