"""POST /v1/query over the real door: whole answers and whole refusals, and that each left its record first."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from inspect import iscoroutinefunction
from typing import Any

import pytest
from fastapi.routing import APIRoute

from api.app import create_app
from exchange import access_log, catalogue, clients, grants
from exchange.house import House
from pools import way
from tests import make
from tests.api.kit import Door, opened, served_city
from tests.delivery.kit import LI, NOBODY, PERSON, PURPOSE, WANG, given, log
from tests.pools.given import pooled

BODY: dict[str, Any] = {"keys": [LI], "fields": ["name", "mobile"], "purpose": PURPOSE, "person": PERSON}
TODAY = grants.today()
POLICE_CONTACT = {"department": make.POLICE, "name": "市公安局", "contact": "数据科"}
CIVIL_CONTACT = {"department": make.CIVIL, "name": "市民政局", "contact": None}


def source(resource: str, department: str, provider: str, batch: int) -> dict[str, Any]:
    return {
        "resource": resource,
        "department": department,
        "provider": provider,
        "push": f"P261122-{resource}-{batch}",
        "batch": batch,
        "source_date": "2026-11-01",
        "overdue": False,
    }


def test_a_base_answers_from_the_real_index(house: House) -> None:
    served_city(house)
    grant = given(house, unmasked=["marital_code"])
    with opened(house) as door:
        sent = BODY | {"keys": [LI, NOBODY, WANG], "fields": ["name", "mobile", "marital_code", "id_number"]}
        refused = door.query(door.token(), sent)
        assert refused.status_code == 403
        given(house, fields=["id_number", "name", "mobile", "marital_code"], unmasked=["marital_code"])
        answer = door.query(door.token(), sent)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    body = answer.json()
    assert answer.headers["x-request-id"] == body.pop("request_id")
    assert body.pop("grant") != grant.id
    assert body.pop("answered_at").endswith("+08:00")
    version = body.pop("version")
    assert version.startswith("B26")
    police = source("police_household", make.POLICE, "市公安局", 7)
    civil = source("civil_marriage", make.CIVIL, "市民政局", 3)
    assert body == {
        "target": "base:population",
        "title": "人口基础信息库",
        "overdue": False,
        "masked": ["mobile", "name"],
        "not_in_version": [],
        "sources": {"S1": police, "S2": civil},
        "records": [
            {
                "key": LI,
                "found": True,
                "closed": False,
                "values": {"name": "李*成", "mobile": "139****1234", "marital_code": None, "id_number": LI},
                "sources": {"name": "S1", "mobile": "S1", "id_number": "S1"},
            },
            {"key": NOBODY, "found": False},
            {
                "key": WANG,
                "found": True,
                "closed": False,
                "values": {"name": "王*", "mobile": "138****5678", "marital_code": "20", "id_number": WANG},
                "sources": {"name": "S1", "mobile": "S2", "marital_code": "S2", "id_number": "S1"},
            },
        ],
    }
    last = log(house)[-3:]
    assert [(one["subject"], one["decision"], one["version"]) for one in last] == [
        (house.seal.subject(LI), "answered", version),
        (house.seal.subject(NOBODY), "not_found", version),
        (house.seal.subject(WANG), "answered", version),
    ]
    assert {one["answer"] for one in last} == {house.seal.keyed_hash("log answer", answer.content)}
    assert access_log.verify(house).whole


def test_a_pool_answers_too(house: House) -> None:
    served_city(house)
    given(house, target="pool:police_household", fields=["id_number", "sex_code", "birth_date", "address"])
    with opened(house) as door:
        answer = door.query(
            door.token(), BODY | {"fields": ["id_number", "sex_code", "birth_date", "address"]}, "pool/police_household"
        )
    assert [record["values"] for record in answer.json()["records"]] == [
        {"id_number": LI, "sex_code": "1", "birth_date": "1950-01", "address": "解放区民主路******"}
    ]


def test_an_earlier_version_is_answered_by_the_same_grant_and_leaves_the_same_evidence(house: House) -> None:
    served_city(house)
    given(house, fields=["name"], unmasked=["name"])
    sent = BODY | {"fields": ["name"]}
    with opened(house) as door:
        token = door.token()
        before = door.query(token, sent).json()
        renamed = [{"id_number": LI, "name": "李改", "mobile": None}]
        pooled(house, catalogue.resource(house, "police_household"), 8, renamed)
        way.rebuild(house, "population")
        now = door.query(token, sent).json()
        answer = door.query(token, sent | {"as_of": before["version"]})
        refused = door.query(token, sent | {"as_of": before["version"], "fields": ["mobile"]})
        unknown = door.query(token, sent | {"as_of": "B260101-0123456789"})
        wrong = door.query(token, sent | {"as_of": "yesterday"})
    assert now["records"][0]["values"] == {"name": "李改"}
    past = answer.json()
    assert [past[part] for part in ("version", "records", "sources")] == [
        before[part] for part in ("version", "records", "sources")
    ]
    assert [refused.status_code, unknown.status_code, wrong.status_code] == [403, 404, 422]
    assert "as_of: is the number of a push (P…) or of a build (B…)" in wrong.json()["detail_en"]
    assert [(one["decision"], one["version"]) for one in log(house)] == [
        ("answered", before["version"]),
        ("answered", now["version"]),
        ("answered", before["version"]),
        ("refused", None),
        ("refused", None),
        ("refused", None),
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (BODY | {"keys": ["x" * 70_000]}, "the body has more than 65536 bytes"),
        (BODY | {"fields": ["name"] * 2}, "fields may not repeat, and there are 300 at most"),
        (BODY | {"fields": [f"f{n}" for n in range(301)]}, "fields may not repeat, and there are 300 at most"),
    ],
)
def test_a_request_larger_than_any_lawful_one_is_refused_and_recorded(house: House, body: Any, said: str) -> None:
    served_city(house)
    given(house)
    with opened(house) as door:
        answer = door.query(door.token(), body)
    assert (answer.status_code, said in answer.json()["detail_en"]) == (422, True)
    assert access_log.verify(house).records == 1


# ---- who is not known -------------------------------------------------------------------------------------------------


def no_token(door: Door) -> str | None:
    return None


def expired_token(door: Door) -> str:
    client_id, secret = clients.create(door.house, make.CIVIL, "系统")
    return clients.token(door.house, client_id, secret, now=datetime.now(UTC) - timedelta(hours=1)).access_token


def revoked_client(door: Door) -> str:
    client_id, secret = clients.create(door.house, make.CIVIL, "系统")
    token = clients.token(door.house, client_id, secret).access_token
    assert door.query(token, BODY).status_code == 404  # nothing served, but the token is known to every cache there is
    clients.revoke(door.house, client_id)
    return token


def rotated_client(door: Door) -> str:
    client_id, secret = clients.create(door.house, make.CIVIL, "系统")
    token = clients.token(door.house, client_id, secret).access_token
    clients.rotate(door.house, client_id)
    return token


def forged_token(door: Door) -> str:
    return door.token()[:-4] + "AAAA"


UNKNOWN: list[tuple[Callable[[Door], str | None], str, str, str]] = [
    (
        no_token,
        "no-token",
        "请求没有令牌：请先到 /oauth/token 领取，再以 Authorization: Bearer <令牌> 发送",
        "no token: get one at /oauth/token and send it as Authorization: Bearer <token>",
    ),
    (
        expired_token,
        "expired",
        "令牌已过期，请到 /oauth/token 重新领取",
        "the token has expired; get a new one at /oauth/token",
    ),
    (
        revoked_client,
        "revoked",
        "调用方已停用，请联系本平台管理员",
        "the client was revoked; ask the operator of this exchange",
    ),
    (
        rotated_client,
        "rotated",
        "调用方的密钥已更换，此令牌随之失效，请用新密钥重新领取",
        "the client's secret was rotated and this token stopped with it; get a new one with the new secret",
    ),
    (
        forged_token,
        "forged",
        "令牌不是本平台签发的，请用调用方编号和密钥到 /oauth/token 重新领取",
        "this token was not issued here; get one at /oauth/token with the client's id and secret",
    ),
]
# every route that asks who is calling -> an address of it, and what the record calls its target
ROUTES = {
    "POST /v1/resources/{resource_id}/pushes": ("/v1/resources/police_household/pushes", "police_household"),
    "GET /v1/pushes": ("/v1/pushes", None),
    "GET /v1/pushes/{push_id}": ("/v1/pushes/P261122-0000000001", "P261122-0000000001"),
    "GET /v1/pushes/{push_id}/row-errors": ("/v1/pushes/P261122-0000000001/row-errors", "P261122-0000000001"),
    "GET /v1/pushes/{push_id}/report": ("/v1/pushes/P261122-0000000001/report", "P261122-0000000001"),
    "GET /v1/pushes/{push_id}/quarantine": ("/v1/pushes/P261122-0000000001/quarantine", "P261122-0000000001"),
    "GET /v1/quarantine": ("/v1/quarantine", None),
    "GET /v1/quality/trend": ("/v1/quality/trend", None),
    "GET /v1/quality/dimensions": ("/v1/quality/dimensions", None),
    "GET /v1/quality/overdue": ("/v1/quality/overdue", None),
    "GET /v1/quality/contested": ("/v1/quality/contested", None),
    "GET /v1/quality/history": ("/v1/quality/history", None),
    "GET /v1/quality/page": ("/v1/quality/page", None),
    "GET /v1/quality/workbook": ("/v1/quality/workbook", None),
    "GET /v1/pushes/{push_id}/data-docs": ("/v1/pushes/P261122-0000000001/data-docs", "P261122-0000000001"),
    "POST /v1/query/{kind}/{name}": ("/v1/query/base/population", "base:population"),
    "POST /v1/tus": ("/v1/tus", None),
    "PATCH /v1/tus/{upload_id}": ("/v1/tus/U0", "U0"),
    "DELETE /v1/tus/{upload_id}": ("/v1/tus/U0", "U0"),
}
OPEN = {"GET /health", "POST /oauth/token", "OPTIONS /v1/tus"}  # every other route of ours asks
BODILESS = {"HEAD /v1/tus/{upload_id}"}  # asks too, and answers without words


def test_no_route_is_forgotten(house: House) -> None:
    routes = [route for route in create_app(house).routes if isinstance(route, APIRoute) and route.include_in_schema]
    assert {f"{method} {route.path}" for route in routes for method in route.methods} == OPEN | BODILESS | set(ROUTES)


def test_a_look_up_passes_no_thread(house: House) -> None:
    (route,) = [one for one in create_app(house).routes if isinstance(one, APIRoute) and one.path.startswith("/v1/query")]
    calls = [route.endpoint, *(needed.call for needed in route.dependant.dependencies)]
    assert [call.__name__ for call in calls if call and not iscoroutinefunction(call)] == []


@pytest.mark.parametrize(("make_token", "reason", "zh", "en"), UNKNOWN)
def test_whoever_is_not_known_is_refused_at_every_route_and_recorded(
    house: House, make_token: Callable[[Door], str | None], reason: str, zh: str, en: str
) -> None:
    make.small_city(house)
    given(house)
    with opened(house) as door:
        for route, (address, target) in ROUTES.items():
            method = route.split()[0]
            token = make_token(door)
            headers = {"Tus-Resumable": "1.0.0"} | ({} if token is None else {"Authorization": f"Bearer {token}"})
            refused = door.http.request(method, address, json=BODY if method == "POST" else None, headers=headers)
            request_id = refused.json()["request_id"]
            assert (refused.status_code, refused.headers["content-type"]) == (401, "application/problem+json")
            assert refused.headers["www-authenticate"] == 'Bearer realm="exchange"'
            assert refused.json() == {
                "type": "urn:exchange:error:not-authenticated",
                "title": "身份未确认",
                "title_en": "Not authenticated",
                "status": 401,
                "code": "not-authenticated",
                "detail": zh,
                "detail_en": en,
                "reason": reason,
                "request_id": request_id,
            }
            record = log(house)[-1]
            assert record | {"seq": 0, "client": None} == {
                "seq": 0,
                "subject": None,
                "retention": "network_log",
                "department": None,
                "client": None,
                "person": None,
                "purpose": None,
                "action": route,
                "target": target,
                "version": None,
                "fields": [],
                "answer": None,
                "decision": "refused",
                "reason": f"{reason}: {zh}",
                "request": request_id,
            }
            assert (record["client"] is not None) == (reason in ("expired", "revoked", "rotated"))
    assert access_log.verify(house).whole


# ---- who is known and may not -----------------------------------------------------------------------------------------

ASK = "请向市公安局（数据科）申请"
ASK_EN = "Ask 市公安局 (数据科)"
# the grant there is (None: none), whose token, what is asked otherwise -> reason, missing, ask, zh, en
REFUSALS: dict[str, tuple[dict[str, Any] | None, str, dict[str, Any], str, list[str], list[Any], str, str]] = {
    "no grant": (
        None,
        make.CIVIL,
        {},
        "no-grant",
        ["grant"],
        [POLICE_CONTACT, CIVIL_CONTACT],
        "贵部门没有人口基础信息库（base:population）的授权。请向市公安局（数据科）、市民政局（联系方式未登记）申请",
        "your department has no grant on base:population. Ask 市公安局 (数据科), 市民政局 (no contact registered)",
    ),
    "another department": (
        {},
        make.TAX,
        {},
        "no-grant",
        ["grant"],
        [POLICE_CONTACT, CIVIL_CONTACT],
        "贵部门没有人口基础信息库（base:population）的授权。请向市公安局（数据科）、市民政局（联系方式未登记）申请",
        "your department has no grant on base:population. Ask 市公安局 (数据科), 市民政局 (no contact registered)",
    ),
    "an expired grant": (
        {"valid_until": TODAY - timedelta(days=1)},
        make.CIVIL,
        {},
        "grant-expired",
        ["grant"],
        [POLICE_CONTACT],
        f"授权 {{id}} 已于 {TODAY - timedelta(days=1)} 到期。{ASK}",
        f"grant {{id}} expired on {TODAY - timedelta(days=1)}. {ASK_EN}",
    ),
    "a field outside the grant": (
        {},
        make.CIVIL,
        {"fields": ["name", "address"]},
        "fields-not-granted",
        ["address"],
        [POLICE_CONTACT],
        f"授权 {{id}} 不含字段 address。{ASK}",
        f"grant {{id}} does not cover the fields address. {ASK_EN}",
    ),
    "a field that does not exist": (
        {},
        make.CIVIL,
        {"fields": ["name", LI]},
        "fields-not-granted",
        ["+1"],
        [POLICE_CONTACT, CIVIL_CONTACT],
        "授权 {id} 不含字段 +1。请向市公安局（数据科）、市民政局（联系方式未登记）申请",
        "grant {id} does not cover the fields +1. Ask 市公安局 (数据科), 市民政局 (no contact registered)",
    ),
    "a mode not granted": (
        {"modes": ["verify"]},
        make.CIVIL,
        {},
        "mode-not-granted",
        ["query"],
        [POLICE_CONTACT],
        f"授权 {{id}} 不含方式 query，只含 verify。{ASK}",
        f"grant {{id}} does not include the mode query, only verify. {ASK_EN}",
    ),
    "another purpose": (
        {},
        make.CIVIL,
        {"purpose": "好奇"},
        "purpose-not-granted",
        ["purpose"],
        [POLICE_CONTACT],
        f"授权 {{id}} 的用途是“{PURPOSE}”，与申明的用途不同。{ASK}",
        f'grant {{id}} is for the purpose "{PURPOSE}", not for the one stated. {ASK_EN}',
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_says_what_is_missing_and_whom_to_ask(house: House, name: str) -> None:
    grant, department, asked, reason, missing, ask, zh, en = REFUSALS[name]
    make.small_city(house)
    grant_id = "" if grant is None else given(house, **grant).id
    with opened(house) as door:
        refused = door.query(door.token(department), BODY | asked)
    request_id = refused.json()["request_id"]
    assert (refused.status_code, refused.headers["content-type"]) == (403, "application/problem+json")
    assert refused.json() == {
        "type": "urn:exchange:error:access-refused",
        "title": "拒绝访问",
        "title_en": "Access refused",
        "status": 403,
        "code": "access-refused",
        "detail": zh.format(id=grant_id),
        "detail_en": en.format(id=grant_id),
        "reason": reason,
        "missing": missing,
        "ask": ask,
        "request_id": request_id,
    }
    record = log(house)[-1]
    assert (record["decision"], record["request"], record["department"]) == ("refused", request_id, department)
    assert (record["subject"], record["answer"]) == (house.seal.subject(LI), None)
    assert record["reason"].startswith(f"{reason}: ")


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        (b"", ["keys", "fields", "purpose", "person"]),
        (b"[]", ["keys", "fields", "purpose", "person"]),
        (b"\xff", ["keys", "fields", "purpose", "person"]),
        (b"[" * 60_000, ["keys", "fields", "purpose", "person"]),
        (b'{"keys": [1], "fields": "name", "purpose": null, "person": {}}', ["keys", "fields", "purpose", "person"]),
    ],
    ids=["empty", "a list", "not text", "deep", "other types"],
)
def test_a_malformed_request_is_refused_and_recorded(house: House, body: bytes, missing: list[str]) -> None:
    make.small_city(house)
    given(house)
    with opened(house) as door:
        headers = {"Authorization": f"Bearer {door.token()}"}
        refused = door.http.post("/v1/query/base/population", content=body, headers=headers)
    assert (refused.status_code, refused.json()["code"], refused.json()["missing"]) == (422, "request-invalid", missing)
    assert [(one["decision"], one["subject"]) for one in log(house)] == [("refused", None)]


@pytest.mark.parametrize(
    ("address", "status", "code"),
    [
        ("base/nothing", 404, "not-found"),
        ("pool/tax_payer", 404, "not-found"),  # in the catalogue, nothing served yet
        ("table/population", 422, "request-invalid"),
        ("base/population/more", 404, "no-such-address"),
    ],
)
def test_what_is_not_there(house: House, address: str, status: int, code: str) -> None:
    make.small_city(house)
    given(house, target="pool:tax_payer", fields=["employees"])
    with opened(house) as door:
        refused = door.query(door.token(), BODY | {"fields": ["employees"]}, address)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("address", "status"), [("table/population", 422), ("base/" + "a" * 64, 422), ("base/a%00", 404), ("base/a%20b", 404)]
)
def test_a_target_that_can_not_be_one_is_refused_and_recorded(house: House, address: str, status: int) -> None:
    make.small_city(house)
    with opened(house) as door:
        refused = door.query(door.token(), BODY, address)
    assert refused.status_code == status
    assert [(one["decision"], one["department"], one["request"]) for one in log(house)] == [
        ("refused", make.CIVIL, refused.json()["request_id"])
    ]


def test_not_found_and_refused_are_different_and_both_recorded(house: House) -> None:
    served_city(house)
    given(house)
    with opened(house) as door:
        token = door.token()
        missing = door.query(token, BODY | {"keys": [NOBODY]})
        refused = door.query(token, BODY | {"keys": [NOBODY], "purpose": "好奇"})
    assert (missing.status_code, missing.json()["records"]) == (200, [{"key": NOBODY, "found": False}])
    assert refused.status_code == 403
    assert [one["decision"] for one in log(house)] == ["not_found", "refused"]
