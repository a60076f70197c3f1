"""POST /oauth/token as RFC 6749 clients know it, with problem details for people."""

import base64
from typing import Any

import pytest

from exchange import clients
from exchange.house import House
from tests import make
from tests.api.kit import Door, opened
from tests.delivery.kit import log

FORM = {"grant_type": "client_credentials"}


def basic(client_id: str, secret: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{client_id}:{secret}".encode()).decode()}


def test_a_token_by_form_and_by_basic(house: House) -> None:
    make.small_city(house)
    client_id, secret = clients.create(house, make.CIVIL, "系统")
    with opened(house) as door:
        ways: list[dict[str, Any]] = [
            {"data": FORM | {"client_id": client_id, "client_secret": secret}},
            {"data": FORM, "headers": basic(client_id, secret)},
        ]
        for way in ways:
            answer = door.http.post("/oauth/token", **way)
            assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-store")
            body = answer.json()
            assert clients.caller_of(house, body.pop("access_token")).client_id == client_id
            assert body == {"token_type": "Bearer", "expires_in": 1800}
    assert [(one["action"], one["decision"], one["client"], one["department"], one["retention"]) for one in log(house)] == [
        ("token", "answered", client_id, make.CIVIL, "network_log")
    ] * 2


def refused(door: Door, **way: Any) -> tuple[int, dict[str, Any]]:
    answer = door.http.post("/oauth/token", **way)
    assert answer.headers["content-type"] == "application/problem+json"
    return answer.status_code, answer.json()


@pytest.mark.parametrize("way", ["wrong secret", "unknown", "nothing", "broken basic", "revoked"])
def test_whoever_can_not_prove_it_gets_no_token_and_is_recorded(house: House, way: str) -> None:
    make.small_city(house)
    client_id, secret = clients.create(house, make.CIVIL, "系统")
    sent: dict[str, dict[str, Any]] = {
        "wrong secret": {"data": FORM | {"client_id": client_id, "client_secret": "guess"}},
        "unknown": {"data": FORM | {"client_id": "c-nobody", "client_secret": secret}},
        "nothing": {"data": FORM},
        "broken basic": {"data": FORM, "headers": {"Authorization": "Basic ?"}},
        "revoked": {"data": FORM | {"client_id": client_id, "client_secret": secret}},
    }
    if way == "revoked":
        clients.revoke(house, client_id)
    with opened(house) as door:
        status, body = refused(door, **sent[way])
    unproven = ("credentials", "调用方编号或密钥不对", "unknown client id or wrong client secret")
    stopped = ("revoked", "调用方已停用，请联系本平台管理员", "the client was revoked; ask the operator of this exchange")
    reason, zh, en = stopped if way == "revoked" else unproven
    assert status == 401
    assert body == {
        "type": "urn:exchange:error:not-authenticated",
        "title": "身份未确认",
        "title_en": "Not authenticated",
        "status": 401,
        "code": "not-authenticated",
        "detail": zh,
        "detail_en": en,
        "error": "invalid_client",
        "error_description": en,
        "reason": reason,
        "request_id": body["request_id"],
    }
    assert [(one["decision"], one["department"], one["reason"], one["request"]) for one in log(house)] == [
        ("refused", None, f"{reason}: {zh}", body["request_id"])
    ]


def test_another_grant_type(house: House) -> None:
    with opened(house) as door:
        status, body = refused(door, data={"grant_type": "password"})
    assert (status, body["error"], body["detail"]) == (
        400,
        "unsupported_grant_type",
        "grant_type 应为 client_credentials",
    )
    assert [(one["decision"], one["client"], one["reason"], one["request"]) for one in log(house)] == [
        ("refused", None, "grant-type: grant_type 应为 client_credentials", body["request_id"])
    ]


def test_a_client_id_is_kept_as_typed_only_when_it_looks_like_one(house: House) -> None:
    make.small_city(house)
    kept = {"c-0123456789ab": "c-0123456789ab", "c-李生成": "malformed", "c-\x00": "malformed", "13900001234": "malformed"}
    with opened(house) as door:
        for typed in kept:
            assert refused(door, data=FORM | {"client_id": typed, "client_secret": "\x00"})[0] == 401
        assert refused(door, files={"client_id": ("a", b"b")})[0] == 422
    assert [(one["decision"], one["client"]) for one in log(house)] == [
        *(("refused", word) for word in kept.values()),
        ("refused", None),
    ]
