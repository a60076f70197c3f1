"""The quality team at the HTTP door: reports and where rows failed, never a value, and nothing else unless it is drawn here."""

import pytest

from exchange import clients
from exchange.house import House
from pools import way
from tests import make
from tests.api.commands import Terminal
from tests.api.kit import Door, bearer, opened
from tests.delivery.kit import log
from tests.quality import kit

# the status each gets; `quality` is a client of another department, `own quality` one of the provider's own
TABLE = """
request                                        | provider | other | quality | own quality
GET /v1/pushes/{push}/report                   | 200      | 403   | 200     | 200
GET /v1/pushes/{push}/data-docs                | 200      | 403   | 200     | 200
GET /v1/pushes/{push}/quarantine               | 200      | 403   | 200     | 200
GET /v1/quarantine                             | 200      | 200   | 200     | 200
GET /v1/pushes/{push}/row-errors               | 200      | 403   | 403     | 403
GET /v1/pushes/{push}/row-errors?form=csv      | 200      | 403   | 403     | 403
GET /v1/pushes/{push}/row-errors?form=xlsx     | 200      | 403   | 403     | 403
GET /v1/pushes                                 | 200      | 200   | 403     | 403
GET /v1/pushes/{push}                          | 200      | 403   | 403     | 403
POST /v1/resources/place/pushes                | 422      | 422   | 403     | 403
POST /v1/tus                                   | 422      | 422   | 403     | 403
POST /v1/query/pool/place                      | 422      | 422   | 403     | 403
"""
_LINES = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]
WHO = _LINES[0][1:]
PLACE = make.resource(
    "place",
    make.POLICE,
    [make.item("code", "编号", "C10", required=True), make.item("rooms", "房间数", "I3")],
    ["code"],
    quarantine_threshold=1.0,
)


def pushed(house: House) -> str:
    kit.publish(house, PLACE)
    push = kit.land(house, "place", ["编号", "房间数"], [["A1", "1"], ["A2", "金丝雀"]])
    way.process(house, push)
    return push


def tokens(door: Door) -> dict[str, str]:
    made = {
        "provider": clients.create(door.house, make.POLICE, "系统"),
        "other": clients.create(door.house, make.CIVIL, "系统"),
        "quality": clients.create(door.house, make.CIVIL, "质检", "quality"),
        "own quality": clients.create(door.house, make.POLICE, "质检", "quality"),
    }
    return {who: clients.token(door.house, *client).access_token for who, client in made.items()}


def test_what_each_may_ask_for_and_every_refusal_is_on_record(house: House) -> None:
    push = pushed(house)
    found, refused = [_LINES[0]], 0
    with opened(house) as door:
        held = tokens(door)
        for request, *_ in _LINES[1:]:
            method, address = request.format(push=push).split(" ")
            statuses = []
            for who in WHO:
                answer = door.http.request(method, address, headers=bearer(held[who]) | {"Tus-Resumable": "1.0.0"})
                statuses.append(str(answer.status_code))
                if answer.status_code == 403:
                    refused += 1
                    assert len([record for record in log(house) if record["decision"] == "refused"]) >= refused
                if "quality" in who:
                    assert "金丝雀" not in answer.text
            found.append([request, *statuses])
    assert found == _LINES


def test_the_quality_team_is_told_what_it_may_see(house: House) -> None:
    push = pushed(house)
    with opened(house) as door:
        held = tokens(door)
        lines = door.http.get("/v1/quarantine", headers=bearer(held["quality"])).json()
        assert lines == [
            {
                "push_id": push,
                "resource_id": "place",
                "batch": 1,
                "push_state": "pooled",
                "rule": "rooms.type",
                "level": "quarantine",
                "field": "房间数",
                "state": "waiting",
                "rows": 1,
                "row_numbers": [2],
            }
        ]
        assert door.http.get("/v1/quarantine", headers=bearer(held["other"])).json() == []
        assert door.http.get("/v1/quarantine?resource=other", headers=bearer(held["quality"])).json() == []
        refused = door.http.get(f"/v1/pushes/{push}/row-errors", headers=bearer(held["quality"])).json()
    assert (refused["detail"], refused["detail_en"], refused["reason"]) == (
        "质量管理调用方只能查看质量报告和隔离区清单，不能推送、查询或取用数据",
        "a client of the quality team sees quality reports and what waits in quarantine; it can't push, query or fetch data",
        "quality-team",
    )


def test_the_quality_team_does_not_push_by_hand(house: House) -> None:
    pushed(house)
    with opened(house) as door:
        client_id, secret = clients.create(house, make.POLICE, "质检", "quality")
        door.http.post("/form/sign-in", data={"client_id": client_id, "client_secret": secret})
        start = door.http.get("/form")
        page = door.http.post("/form/uploads", files={"file": ("people.csv", b"")})
    assert (start.status_code, start.headers["location"]) == (303, "/form/quality/page")
    assert page.status_code == 403
    assert "不能推送" in page.text


def test_a_client_of_the_quality_team_is_made_by_a_command(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed(house)
    made = Terminal(house, monkeypatch).json("client", "create", make.CIVIL, "质检", "--role", "quality")
    token = clients.token(house, made["client_id"], made["client_secret"]).access_token
    assert clients.caller_of(house, token).role == "quality"


def test_the_correction_file_is_handed_out_over_http(house: House) -> None:
    push = pushed(house)
    with opened(house) as door:
        headers = bearer(door.token(make.POLICE))
        whole = door.http.get(f"/v1/pushes/{push}/row-errors?form=csv", headers=headers)
        book = door.http.get(f"/v1/pushes/{push}/row-errors?form=xlsx", headers=headers)
    assert whole.content.decode("utf-8-sig").splitlines()[1].startswith('U,A2,金丝雀,2,待处理,房间数,"房间数：应为整数')
    assert (whole.headers["content-type"], whole.headers["cache-control"]) == ("text/csv; charset=utf-8", "no-store")
    assert book.content.startswith(b"PK")
