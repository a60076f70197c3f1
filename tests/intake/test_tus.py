"""Resumable push, by a client that others wrote (tuspy), over a real server and a real socket."""

import base64
import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from pydantic import ByteSize
from tusclient.client import TusClient
from tusclient.exceptions import TusCommunicationError, TusUploadFailed
from tusclient.uploader import Uploader

from exchange import clients
from exchange.callers import Caller
from exchange.errors import NoRoom, NotFound
from exchange.house import House
from exchange.intake import pushes, uploads
from exchange.intake.tables import read_landed
from infra import airflow
from tests.api.kit import Door, bearer, opened
from tests.intake.kit import HEADER, HEALTH, POLICE, TWO, declare, land, publish, refusals, table, world

RAW = TWO.encode()
ROOT = Path(__file__).parents[2]
TUS = {"tus-resumable": "1.0.0"}
PATCH = {"content-type": "application/offset+octet-stream"}


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def door(house: House) -> Iterator[Door]:
    publish(house)
    with opened(house) as door:
        yield door


def words(data: bytes, rows: int = 2, /, **changes: str | None) -> dict[str, str]:
    """What a true parcel says, with changes; None leaves a word out."""
    said: dict[str, str | None] = {
        "resource": "household",
        "batch": "1",
        "mode": "full",
        "rows": str(rows),
        "digest": f"sha256={hashlib.sha256(data).hexdigest()}",
        "filename": "户籍 2026-11.csv",
        **changes,
    }
    return {name: value for name, value in said.items() if value is not None}


def client(address: object, token: str) -> TusClient:
    return TusClient(f"{str(address).rstrip('/')}/v1/tus", headers=bearer(token))


def uploader(door: Door, data: bytes, said: dict[str, str], token: str, chunk: int = 30) -> Uploader:
    return client(door.http.base_url, token).uploader(file_stream=io.BytesIO(data), chunk_size=chunk, metadata=said)


def left(house: House) -> list[str]:
    """Files of pieces that lie in uploads."""
    return [path.name for path in house.settings.folder("uploads").rglob("*") if path.name.isdigit()]


def begun(door: Door, token: str, data: bytes = RAW, **changes: str | None) -> httpx.Response:
    """An upload, just begun."""
    note = ",".join(f"{k} {base64.b64encode(v.encode()).decode()}" for k, v in words(data, **changes).items())
    said = bearer(token) | TUS | {"upload-length": str(len(data)), "upload-metadata": note}
    return door.http.post("/v1/tus", headers=said)


def test_a_parcel_comes_in_parts_and_the_last_one_is_answered_with_the_receipt(door: Door) -> None:
    token = door.token(POLICE.department)
    one = uploader(door, RAW, words(RAW, 2), token)
    one.upload(stop_at=60)
    assert world(door.house) == ([], [])
    one.upload()
    (receipt,) = pushes.list_pushes(door.house)
    last = one.request.response_headers
    assert (last["location"], last["exchange-push"]) == (f"/v1/pushes/{receipt.id}", receipt.id)
    assert (receipt.batch, receipt.rows, receipt.bytes, receipt.digest) == (1, 2, len(RAW), hashlib.sha256(RAW).hexdigest())
    assert table(door.house, receipt.id, "_row, name") == [(1, "甲"), (2, "乙")]
    assert left(door.house) == []

    seen = door.http.head(one.url, headers=bearer(token) | TUS)
    assert (seen.status_code, seen.headers["upload-offset"], seen.headers["exchange-push"]) == (
        200,
        str(len(RAW)),
        receipt.id,
    )
    assert door.http.get(last["location"], headers=bearer(token)).json() == receipt.as_dict() | {"verdict": None}


def test_interrupted_and_resumed_by_another_program_that_only_knows_the_address(door: Door) -> None:
    token = door.token(POLICE.department)
    first = uploader(door, RAW, words(RAW, 2), token)
    first.upload(stop_at=47)
    second = client(door.http.base_url, token).uploader(file_stream=io.BytesIO(RAW), url=first.url, chunk_size=30)
    assert second.offset == 47
    second.upload()
    assert [receipt.bytes for receipt in pushes.list_pushes(door.house)] == [len(RAW)]


def test_a_line_that_breaks_in_the_middle_of_a_part_loses_nothing_that_arrived(door: Door) -> None:
    token = door.token(POLICE.department)
    where = begun(door, token).headers["location"]
    said = bearer(token) | TUS | PATCH | {"upload-offset": "0", "content-length": str(len(RAW)), "host": "x"}
    with socket.create_connection((door.http.base_url.host, door.http.base_url.port or 0), timeout=20) as line:
        head = f"PATCH {where} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in said.items()) + "\r\n"
        line.sendall(head.encode() + RAW[:50])
        time.sleep(0.3)
    for _ in range(200):
        if left(door.house):
            break
        time.sleep(0.05)
    offset = door.http.head(where, headers=bearer(token) | TUS).headers["upload-offset"]
    assert offset == "50"
    rest = door.http.patch(where, content=RAW[50:], headers=bearer(token) | TUS | PATCH | {"upload-offset": offset})
    assert rest.status_code == 204
    assert pushes.get(door.house, rest.headers["exchange-push"]).rows == 2


def test_the_receipt_comes_as_json_to_whoever_asks_for_it(door: Door) -> None:
    token = door.token(POLICE.department)
    where = begun(door, token).headers["location"]
    said = bearer(token) | TUS | PATCH | {"upload-offset": "0", "accept": "application/json"}
    done = door.http.patch(where, content=RAW, headers=said)
    assert (done.status_code, done.json()) == (200, pushes.list_pushes(door.house)[0].as_dict())


def test_the_same_parcel_by_two_doors_has_one_receipt(door: Door, tmp_path: Path) -> None:
    receipt = land(door.house, tmp_path, RAW, rows=2)
    one = uploader(door, RAW, words(RAW, 2), door.token(POLICE.department))
    one.upload()
    assert one.request.response_headers["exchange-push"] == receipt.id
    assert pushes.list_pushes(door.house) == [receipt]


def test_pieces_are_few_and_sealed_however_small_the_parts(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "PIECE", 64)
    one = uploader(door, RAW, words(RAW, 2), door.token(POLICE.department), chunk=5)
    one.upload(stop_at=len(RAW) - 1)
    assert sorted(left(door.house)) == [f"{at:020}" for at in range(0, len(RAW) - 1, 64)]
    kept = b"".join(path.read_bytes() for path in door.house.settings.folder("uploads").rglob("*") if path.is_file())
    assert "身份".encode() not in kept
    assert "户籍".encode() not in kept
    one.upload()
    receipt = pushes.list_pushes(door.house)[0]
    assert b"".join(read_landed(door.house, receipt.id)) == RAW


@pytest.mark.parametrize(
    ("changes", "code", "zh"),
    [
        ({"batch": None}, "parcel-refused", "batch 应为整数"),
        ({"rows": "2.0"}, "parcel-refused", "rows 应为整数"),
        ({"digest": None}, "parcel-refused", "缺少 digest"),
        ({"digest": "md5=0"}, "parcel-refused", "摘要应写成 sm3="),
        ({"filename": "../../etc/passwd"}, "unsafe-name", "文件名不能是路径"),
    ],
)
def test_what_is_said_wrongly_is_refused_before_a_byte(
    door: Door, changes: dict[str, str | None], code: str, zh: str
) -> None:
    answer = begun(door, door.token(POLICE.department), **changes)
    assert (answer.status_code, answer.json()["code"], answer.headers["tus-resumable"]) == (422, code, "1.0.0")
    assert zh in answer.json()["detail"]
    assert refusals(door.house) == [(POLICE.department, "household", code)]
    assert list(door.house.settings.folder("uploads").iterdir()) == []


def test_metadata_that_is_no_base64_or_says_a_word_twice(door: Door) -> None:
    said = bearer(door.token(POLICE.department)) | TUS | {"upload-length": "9"}
    for note in ("resource 户".encode(), b"resource !!", b"batch MQ==,batch MQ=="):
        answer = door.http.post("/v1/tus", headers=[*said.items(), (b"upload-metadata", note)])
        assert (answer.status_code, answer.json()["code"]) == (422, "parcel-refused")
        assert "the header Upload-Metadata must read" in answer.json()["detail_en"]


def test_what_landing_refuses_before_the_body_is_refused_at_the_beginning(door: Door, tmp_path: Path) -> None:
    token = door.token(POLICE.department)
    land(door.house, tmp_path, RAW, rows=2, batch=5)
    before = world(door.house)
    answers = [
        begun(door, token, batch="4"),
        begun(door, token, batch="5", digest="sha256=" + "0" * 64),
        begun(door, token, resource="nowhere"),
        begun(door, door.token(HEALTH.department), batch="6"),
    ]
    told = [(answer.status_code, answer.json()["code"]) for answer in answers]
    assert told == [(409, "batch-outdated"), (409, "batch-reused"), (404, "not-found"), (403, "access-refused")]
    assert world(door.house) == before
    assert list(door.house.settings.folder("uploads").iterdir()) == []


def test_too_large_is_refused_at_the_beginning_and_the_limit_is_told(house: House) -> None:
    publish(house)
    small = House(
        house.settings.model_copy(update={"max_parcel": ByteSize(50)}), house.seal, house.databases, house.registry
    )
    with opened(small) as door:
        told = door.http.options("/v1/tus")
        answer = begun(door, door.token(POLICE.department))
    assert (told.status_code, told.headers["tus-max-size"]) == (204, "50")
    assert (told.headers["tus-version"], told.headers["tus-extension"]) == ("1.0.0", "creation,termination,expiration")
    assert (answer.status_code, answer.json()["code"]) == (413, "parcel-too-large")


@pytest.mark.parametrize(
    ("data", "rows", "said", "code"),
    [
        (RAW, 2, {"digest": "sha256=" + "0" * 64}, "digest-mismatch"),
        (RAW, 3, {}, "count-mismatch"),
        ("姓名\n甲\n".encode(), 1, {}, "missing-columns"),
        (b"\x00\x01\x02", 1, {}, "unreadable"),
    ],
)
def test_a_whole_parcel_that_landing_refuses(door: Door, data: bytes, rows: int, said: dict[str, str], code: str) -> None:
    token = door.token(POLICE.department)
    one = uploader(door, data, words(data, rows, **said), token, chunk=1000)
    with pytest.raises(TusUploadFailed) as failed:
        one.upload()
    assert failed.value.status_code == 422
    assert f'"code": "{code}"'.encode() in failed.value.response_content
    again = door.http.patch(one.url, headers=bearer(token) | TUS | PATCH | {"upload-offset": str(len(data))}, content=b"")
    assert (again.status_code, again.json()["code"]) == (422, code)
    assert door.http.head(one.url, headers=bearer(token) | TUS).status_code == 422
    assert (world(door.house), left(door.house)) == (([], []), [])
    assert refusals(door.house) == [(POLICE.department, "household", code)]


def test_an_empty_file_is_refused_although_no_part_will_come(door: Door) -> None:
    with pytest.raises(TusCommunicationError, match="status 422"):
        uploader(door, b"", words(b"", 0), door.token(POLICE.department)).upload()


def test_another_department_can_do_nothing_with_an_upload(door: Door) -> None:
    where = begun(door, door.token(POLICE.department)).headers["location"]
    theirs = bearer(door.token(HEALTH.department)) | TUS
    answers = [
        door.http.head(where, headers=theirs),
        door.http.patch(where, headers=theirs | PATCH | {"upload-offset": "0"}, content=RAW),
        door.http.delete(where, headers=theirs),
        door.http.head(where, headers=TUS),
    ]
    assert [answer.status_code for answer in answers] == [403, 403, 403, 401]
    assert left(door.house) == []
    colleague = bearer(door.token(POLICE.department)) | TUS
    assert door.http.head(where, headers=colleague).headers["upload-offset"] == "0"


def test_the_words_of_the_protocol(door: Door) -> None:
    said = bearer(door.token(POLICE.department))
    started = begun(door, said["Authorization"].removeprefix("Bearer "))
    where = started.headers["location"]
    at_0 = said | TUS | PATCH | {"upload-offset": "0"}

    old = door.http.patch(where, headers=at_0 | {"tus-resumable": "0.2.2"}, content=RAW)
    assert (old.status_code, old.headers["tus-version"], old.headers["tus-resumable"]) == (412, "1.0.0", "1.0.0")
    assert door.http.head(where, headers=said).status_code == 412

    wrong = door.http.patch(where, headers=at_0 | {"upload-offset": "5"}, content=RAW)
    assert (wrong.status_code, wrong.json()["offset"]) == (409, 0)
    assert wrong.json()["detail"] == "应从第 0 字节继续，请求从 5 开始；请先查询 Upload-Offset"
    assert door.http.patch(where, headers=at_0 | {"content-type": "text/csv"}, content=RAW).status_code == 415
    longer = door.http.patch(where, headers=at_0, content=RAW + b"x")
    assert (longer.status_code, longer.json()["detail_en"]) == (422, f"more than the {len(RAW)} bytes announced")
    no_number = door.http.patch(where, headers=at_0 | {"upload-offset": "-1"}, content=RAW)
    assert (no_number.status_code, no_number.json()["detail_en"]) == (
        422,
        "the header Upload-Offset must be a whole number",
    )

    seen = door.http.head(where, headers=said | TUS)
    assert (seen.headers["upload-offset"], seen.headers["upload-length"]) == ("0", str(len(RAW)))
    assert seen.headers["upload-metadata"] == started.request.headers["upload-metadata"]
    assert (seen.headers["cache-control"], seen.headers["upload-expires"][-3:]) == ("no-store", "GMT")

    override = {"x-http-method-override": "PATCH"}
    assert door.http.post(where, headers=at_0 | override, content=RAW[:9]).headers["upload-offset"] == "9"
    assert door.http.delete(where, headers=said | TUS).status_code == 204
    assert door.http.head(where, headers=said | TUS).status_code == 404
    for nowhere in ("/v1/tus/U261123-00000000000000000000", "/v1/tus/..%2f..%2fkeys", "/v1/tus/.U"):
        assert door.http.head(nowhere, headers=said | TUS).status_code == 404


def test_two_writers_at_once(door: Door) -> None:
    token = door.token(POLICE.department)
    where = begun(door, token).headers["location"]
    said = bearer(token) | TUS | PATCH | {"upload-offset": "0"}
    with uploads.held(door.house, POLICE, where.rpartition("/")[2]):
        locked = door.http.patch(where, headers=said, content=RAW)
        assert (locked.status_code, locked.json()["code"]) == (423, "busy")
        assert door.http.delete(where, headers=said).status_code == 423
        assert door.http.head(where, headers=said).headers["upload-offset"] == "0"
    assert door.http.patch(where, headers=said, content=RAW).status_code == 204


def test_an_expired_upload_is_gone_and_swept(door: Door) -> None:
    token = door.token(POLICE.department)
    where = begun(door, token).headers["location"]
    door.http.patch(where, headers=bearer(token) | TUS | PATCH | {"upload-offset": "0"}, content=RAW[:9])
    upload_id = where.rpartition("/")[2]
    late = datetime.now(UTC) + timedelta(hours=door.house.settings.upload_hours, minutes=1)
    with pytest.raises(NotFound, match="已过期清除"):
        uploads.get(door.house, POLICE, upload_id, now=late)
    assert uploads.sweep(door.house, datetime.now(UTC)) == 0
    with uploads.held(door.house, POLICE, upload_id):
        assert uploads.sweep(door.house, late) == 0, "somebody writes to it"
    assert uploads.sweep(door.house, late) == 1
    assert door.http.head(where, headers=bearer(token) | TUS).status_code == 404
    assert list(door.house.settings.folder("uploads").iterdir()) == []


def test_what_a_kill_left_half_made_or_half_removed_is_swept(house: House) -> None:
    publish(house)
    folder = house.settings.folder("uploads")
    half = folder / ".U261123-00000000000000000000"
    nobodys = folder / "U261123-00000000000000000001"
    for each in (half, nobodys):
        each.mkdir()
        (each / "lock").touch()
    assert uploads.sweep(house, datetime.now(UTC)) == 1
    assert [path.name for path in folder.iterdir()] == [half.name], "it may be on its way"
    assert uploads.sweep(house, datetime.now(UTC) + timedelta(days=2)) == 1


def test_killed_between_the_last_byte_and_the_receipt_the_next_look_lands_it(door: Door) -> None:
    token = door.token(POLICE.department)
    where = begun(door, token).headers["location"]
    with uploads.held(door.house, POLICE, where.rpartition("/")[2]) as one:
        one.write(RAW)  # kept, but nobody came to land it
    assert pushes.list_pushes(door.house) == []
    seen = door.http.head(where, headers=bearer(token) | TUS)
    (receipt,) = pushes.list_pushes(door.house)
    assert (seen.status_code, seen.headers["upload-offset"], seen.headers["exchange-push"]) == (
        200,
        str(len(RAW)),
        receipt.id,
    )


def test_no_room_ends_nothing(house: House) -> None:
    """The disk is full when the last byte is here: the parcel waits, and lands when there is room again."""
    publish(house)
    upload = uploads.create(house, POLICE, declare(RAW, 2), length=len(RAW), door="test")
    full = House(
        house.settings.model_copy(update={"spare_disk": ByteSize(2**60)}), house.seal, house.databases, house.registry
    )
    with uploads.held(full, POLICE, upload.id) as one:
        one.write(RAW)
        with pytest.raises(NoRoom, match="平台磁盘空间不足"):
            one.land("test")
    with uploads.held(house, Caller(None, POLICE.department), upload.id) as one:
        receipt = one.land("test")
    assert pushes.list_pushes(house) == [receipt]


@contextmanager
def server(house: House, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """The door as a process of its own; killed at the end."""
    environment = (
        {name: os.environ[name] for name in ("PATH", "HOME")}
        | {"PYTHONPATH": str(ROOT)}
        | airflow.own_settings(house.settings)
    )
    command = [sys.executable, "-m", "uvicorn", "--factory", "infra.serve:app", "--port", str(port)]
    with subprocess.Popen(command, env=environment, cwd=house.settings.root, stdout=subprocess.DEVNULL) as process:
        try:
            for _ in range(600):
                try:
                    httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False)
                    break
                except httpx.TransportError:
                    time.sleep(0.1)
            yield process
        finally:
            process.send_signal(signal.SIGKILL)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.slow
def test_the_server_is_killed_in_the_middle_of_a_part_and_the_upload_goes_on(house: House) -> None:
    publish(house)
    data = (HEADER + "".join(f"P{n},名{n},2001-01-01,{n} 号\n" for n in range(400_000))).encode()
    client_id, secret = clients.create(house, POLICE.department, "系统")
    token = clients.token(house, client_id, secret).access_token
    port = free_port()
    with server(house, port) as process:
        one = client(f"http://127.0.0.1:{port}", token).uploader(
            file_stream=io.BytesIO(data), chunk_size=1 << 20, metadata=words(data, 400_000)
        )
        one.upload_chunk()
        said = bearer(token) | TUS | PATCH | {"upload-offset": str(one.offset), "host": "x"}
        said |= {"content-length": str(len(data) - one.offset)}
        with socket.create_connection(("127.0.0.1", port), timeout=60) as line:
            path = one.url.removeprefix(f"http://127.0.0.1:{port}")
            line.sendall(f"PATCH {path} HTTP/1.1\r\n".encode())
            line.sendall("".join(f"{name}: {value}\r\n" for name, value in said.items()).encode() + b"\r\n")
            line.sendall(data[one.offset : len(data) * 2 // 3])
            while len(left(house)) < 2:
                time.sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
    assert pushes.list_pushes(house) == []
    with server(house, port):
        again = client(f"http://127.0.0.1:{port}", token).uploader(
            file_stream=io.BytesIO(data), chunk_size=3 << 20, url=one.url
        )
        assert uploads.PIECE <= again.offset < len(data) * 2 // 3
        again.upload()
    (receipt,) = pushes.list_pushes(house)
    assert (receipt.rows, receipt.bytes) == (400_000, len(data))
    assert b"".join(read_landed(house, receipt.id)) == data
    assert left(house) == []
