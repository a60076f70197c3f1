"""The HTTP door of push, over a real server and a real socket."""

import hashlib
import socket
import time
from collections.abc import Iterator
from urllib.parse import quote

import pytest
from pydantic import ByteSize

from exchange.house import House
from exchange.intake import pushes
from exchange.seal import digest_hex
from tests.api.kit import Door, bearer, opened
from tests.intake.kit import HEALTH, POLICE, TWO, publish, refusals, table, world

RAW = TWO.encode()
WHERE = "/v1/resources/household/pushes"


@pytest.fixture
def door(house: House) -> Iterator[Door]:
    publish(house)
    with opened(house) as door:
        yield door


def headers(door: Door, **changes: str | None) -> dict[str, str]:
    """What a true parcel says, with changes; None leaves a header out."""
    said: dict[str, str | None] = {
        "x-batch": "1",
        "x-mode": "full",
        "x-rows": "2",
        "x-digest": f"sm3={digest_hex(RAW)}",
        "x-filename": quote("户籍 2026-11.csv"),
        **bearer(door.token(POLICE.department)),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    return {name: value for name, value in said.items() if value is not None}


def test_a_parcel_goes_in_and_its_receipt_comes_back(door: Door) -> None:
    said = headers(door)
    first = door.http.post(WHERE, content=RAW, headers=said)
    receipt = first.json()
    assert (first.status_code, first.headers["location"]) == (201, f"/v1/pushes/{receipt['id']}")
    assert receipt == pushes.get(door.house, receipt["id"]).as_dict()
    assert table(door.house, receipt["id"], "_row, name") == [(1, "甲"), (2, "乙")]

    again = door.http.post(WHERE, content=RAW, headers=said)
    assert (again.status_code, again.json()) == (200, receipt)
    assert door.http.get(f"/v1/pushes/{receipt['id']}", headers=said).json() == receipt | {"verdict": None}
    assert door.http.get("/v1/pushes?resource=household", headers=said).json() == [receipt]


def test_a_body_of_unknown_length_in_small_pieces(door: Door) -> None:
    pieces = (RAW[at : at + 7] for at in range(0, len(RAW), 7))
    answer = door.http.post(WHERE, content=pieces, headers=headers(door))
    assert (answer.status_code, answer.json()["bytes"]) == (201, len(RAW))


@pytest.mark.parametrize(
    ("changes", "status", "code", "zh"),
    [
        ({"x_batch": None}, 422, "parcel-refused", "请求头 X-Batch 应为整数"),
        ({"x_rows": "2.0"}, 422, "parcel-refused", "请求头 X-Rows 应为整数"),
        ({"x_rows": "3"}, 422, "count-mismatch", "声明 3 行，实际收到 2 行"),
        ({"x_digest": None}, 422, "parcel-refused", "摘要应写成 sm3="),
        ({"x_digest": "sha256=" + "0" * 64}, 422, "digest-mismatch", "sha256 摘要不符"),
        ({"x_mode": "delta"}, 422, "parcel-refused", "推送方式应为 full、incremental、deletions 之一"),
        ({"x_filename": "..%2F..%2Fetc%2Fpasswd"}, 422, "unsafe-name", "文件名不能是路径"),
        ({"x_filename": "%ff%fe"}, 422, "unsafe-name", "百分号编码"),
    ],
)
def test_a_refusal_is_a_problem_document_and_changes_nothing(
    door: Door, changes: dict[str, str | None], status: int, code: str, zh: str
) -> None:
    before = world(door.house)
    answer = door.http.post(WHERE, content=RAW, headers=headers(door, **changes))
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert zh in problem["detail"]
    assert problem["detail_en"]
    assert world(door.house) == before
    assert refusals(door.house) == [(POLICE.department, "household", code)]


def test_another_departments_resource_and_receipt(door: Door) -> None:
    mine = door.http.post(WHERE, content=RAW, headers=headers(door)).json()["id"]
    theirs = bearer(door.token(HEALTH.department))
    pushed = door.http.post(WHERE, content=RAW, headers=headers(door) | theirs)
    read = door.http.get(f"/v1/pushes/{mine}", headers=theirs)
    assert (pushed.status_code, pushed.json()["code"]) == (403, "access-refused")
    assert (read.status_code, read.json()["code"]) == (403, "access-refused")
    assert door.http.get("/v1/pushes", headers=theirs).json() == []


def test_no_token_and_a_forged_one(door: Door) -> None:
    for token in (None, "forged"):
        answer = door.http.post(
            WHERE, content=RAW, headers={**headers(door, authorization=None, Authorization=None), **bearer(token)}
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "not-authenticated")


@pytest.mark.parametrize(
    "path", ["/v1/resources/..%2F..%2Fetc/pushes", "/v1/resources/%2e%2e/pushes", "/v1/resources/a%00b/pushes"]
)
def test_an_address_that_is_a_path(door: Door, path: str) -> None:
    before = world(door.house)
    assert door.http.post(path, content=RAW, headers=headers(door)).status_code == 404
    assert door.http.get("/v1/pushes/..%2F..%2Fmaster.key", headers=headers(door)).status_code == 404
    assert world(door.house) == before


def test_too_large_is_answered_before_the_body_is_asked_for(house: House) -> None:
    """A client that waits for 100 Continue (curl does) never sends a byte of the body."""
    publish(house)
    small = House(
        house.settings.model_copy(update={"max_parcel": ByteSize(1000)}), house.seal, house.databases, house.registry
    )
    with opened(small) as door:
        said = headers(door) | {"content-length": "1001", "expect": "100-continue", "host": "x"}
        request = f"POST {WHERE} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"
        with socket.create_connection((door.http.base_url.host, door.http.base_url.port or 0), timeout=20) as line:
            line.sendall(request.encode())
            answer = line.recv(65536)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert world(house) == ([], [])


def test_a_connection_that_ends_in_the_middle(door: Door) -> None:
    before = world(door.house)

    def pieces() -> Iterator[bytes]:
        yield RAW[:30]
        raise ConnectionError("the provider's network is gone")

    with pytest.raises(ConnectionError):
        door.http.post(WHERE, content=pieces(), headers=headers(door))
    for _ in range(200):
        if refusals(door.house):
            break
        time.sleep(0.05)
    assert refusals(door.house) == [(POLICE.department, "household", "truncated")]
    assert world(door.house) == before


def test_a_large_refused_body_still_gets_its_answer(door: Door) -> None:
    body = b"x" * (30 << 20)
    digest = hashlib.sha256(body).hexdigest()
    answer = door.http.post(
        "/v1/resources/nowhere/pushes", content=body, headers=headers(door, x_digest=f"sha256={digest}")
    )
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
