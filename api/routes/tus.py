"""Resumable push over HTTP: tus 1.0 (https://tus.io/protocols/resumable-upload), core, creation, termination, expiration.

One idea: the protocol's words are translated here; `uploads` keeps the bytes, `landing` decides. Invariant: an offset is
told only after its bytes are on disk. There is no checksum of single parts: the declared digest covers the whole.
"""

import base64
import re
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from email.utils import format_datetime
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.requests import ClientDisconnect

from api import bodies, errors
from api.deps import ThisCaller, ThisHouse
from exchange.callers import Caller
from exchange.errors import Busy, ExchangeError, ParcelRefused, RequestInvalid
from exchange.house import House
from exchange.intake import landing, said, uploads
from exchange.intake.pushes import Receipt
from exchange.intake.uploads import Held, Upload

DOOR = "tus"
VERSION = "1.0.0"
EXTENSIONS = "creation,termination,expiration"
_PATCHED = "application/offset+octet-stream"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
_WORDS = frozenset({"resource", "batch", "mode", "rows", "digest", "filename"})


class _Tus(APIRoute):
    """A route that speaks the protocol's version in every answer, refusals included, and refuses to speak another."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            if request.method != "OPTIONS" and request.headers.get("tus-resumable") != VERSION:
                response = errors.problem(
                    412,
                    "tus-version",
                    f"请求头 Tus-Resumable 应为 {VERSION}",
                    f"the header Tus-Resumable must be {VERSION}",
                )
                response.headers["Tus-Version"] = VERSION
            else:
                try:
                    response = await handler(request)
                except ExchangeError as error:
                    await bodies.drain(request)
                    response = await errors.answer(request, error)
            response.headers["Tus-Resumable"] = VERSION
            response.headers["Cache-Control"] = "no-store"
            return response

        return handle


router = APIRouter(tags=["续传 resumable push"], route_class=_Tus)


@router.options("/v1/tus", status_code=204)
async def options(house: ThisHouse) -> Response:
    """本接口支持什么 / what this door speaks."""
    return Response(
        status_code=204,
        headers={
            "Tus-Version": VERSION,
            "Tus-Extension": EXTENSIONS,
            "Tus-Max-Size": str(int(house.settings.max_parcel)),
        },
    )


@router.post("/v1/tus", status_code=201)
async def create(request: Request, house: ThisHouse, caller: ThisCaller) -> Response:
    """开始一次可续传的推送 / begin a resumable push. `Upload-Metadata`: resource, batch, mode, rows, digest, filename."""
    upload = await run_in_threadpool(_create, house, caller, request)
    headers = {"Location": f"/v1/tus/{upload.id}", "Upload-Expires": _expires(upload)}
    return Response(status_code=201, headers=headers)


@router.head("/v1/tus/{upload_id}")
async def head(upload_id: str, house: ThisHouse, caller: ThisCaller) -> Response:
    """已安全收到多少字节 / how many bytes are safely here; lands an upload whose last answer was lost."""
    return await run_in_threadpool(_head, house, caller, upload_id)


@router.patch("/v1/tus/{upload_id}", status_code=204)
async def patch(upload_id: str, request: Request, house: ThisHouse, caller: ThisCaller) -> Response:
    """续传 / the next bytes. With the last one the parcel is landed and the answer names its receipt (Exchange-Push)."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _PATCHED:
        await bodies.drain(request)
        return errors.problem(415, "content-type", f"Content-Type 应为 {_PATCHED}", f"Content-Type must be {_PATCHED}")
    begin = _number(request, "Upload-Offset")
    holding = uploads.held(house, caller, upload_id)
    upload = await run_in_threadpool(holding.__enter__)
    try:
        receipt = await _take(upload, begin, request)
    finally:
        await run_in_threadpool(_let_go, holding)
    headers = {"Upload-Offset": str(upload.offset), "Upload-Expires": _expires(upload.upload)} | _landed(receipt)
    if receipt is not None and "application/json" in request.headers.get("accept", ""):
        return JSONResponse(receipt.as_dict(), 200, headers)
    return Response(status_code=204, headers=headers)


@router.delete("/v1/tus/{upload_id}", status_code=204)
async def delete(upload_id: str, house: ThisHouse, caller: ThisCaller) -> Response:
    """放弃上传 / forget an upload; what was landed stays landed."""
    await run_in_threadpool(_delete, house, caller, upload_id)
    return Response(status_code=204)


@router.post("/v1/tus/{upload_id}", status_code=204, include_in_schema=False)
async def overridden(upload_id: str, request: Request, house: ThisHouse, caller: ThisCaller) -> Response:
    """For networks that let only GET and POST pass: X-HTTP-Method-Override names what is meant."""
    meant = request.headers.get("x-http-method-override", "").upper()
    if meant == "PATCH":
        return await patch(upload_id, request, house, caller)
    if meant == "DELETE":
        return await delete(upload_id, house, caller)
    if meant == "HEAD":
        return await head(upload_id, house, caller)
    zh, en = (
        "请求头 X-HTTP-Method-Override 应为 PATCH、DELETE 或 HEAD",
        "X-HTTP-Method-Override must be PATCH, DELETE or HEAD",
    )
    return errors.problem(405, "method-not-allowed", zh, en)


def _create(house: House, caller: Caller, request: Request) -> Upload:
    length = _number(request, "Upload-Length")
    note = request.headers.get("upload-metadata", "")
    words: dict[str, object] = {}
    try:
        words = _words(note)
        declaration = said.declaration(words)
    except ParcelRefused as error:
        landing.record_refusal(house, caller, said.resource_of(words), error, door=DOOR)
        raise
    upload = uploads.create(house, caller, declaration, length=length, door=DOOR, note=note)
    if length == 0:  # nobody will send its last byte
        with uploads.held(house, caller, upload.id) as one:
            one.land(DOOR)
    return upload


def _head(house: House, caller: Caller, upload_id: str) -> Response:
    upload = uploads.get(house, caller, upload_id)
    offset = uploads.offset(house, upload)
    if offset == upload.length and not upload.over:
        with suppress(Busy), uploads.held(house, caller, upload_id) as one:  # Busy: it is being landed
            one.land(DOOR)
            upload = one.upload
    receipt = uploads.outcome(house, upload)
    headers = {
        "Upload-Offset": str(offset),
        "Upload-Length": str(upload.length),
        "Upload-Metadata": upload.note,
        "Upload-Expires": _expires(upload),
    }
    return Response(status_code=200, headers=headers | _landed(receipt))


async def _take(upload: Held, begin: int, request: Request) -> Receipt | None:
    upload.must_be_at(begin)
    upload.must_hold(begin + (bodies.length(request) or 0))
    try:
        async for piece in bodies.pieces(request):
            await run_in_threadpool(upload.write, piece)
    except ClientDisconnect:
        return None  # what came is kept; nobody hears the answer
    return await bodies.in_turn(request, lambda: upload.land(DOOR))


def _let_go(holding: AbstractContextManager[Held]) -> None:
    holding.__exit__(None, None, None)


def _delete(house: House, caller: Caller, upload_id: str) -> None:
    with uploads.held(house, caller, upload_id) as one:
        one.remove()


def _landed(receipt: Receipt | None) -> dict[str, str]:
    return {} if receipt is None else {"Location": f"/v1/pushes/{receipt.id}", "Exchange-Push": receipt.id}


def _expires(upload: Upload) -> str:
    return format_datetime(upload.expires, usegmt=True)


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "").strip()
    if not _NUMBER.fullmatch(text):
        raise RequestInvalid(f"请求头 {name} 应为整数", f"the header {name} must be a whole number", header=name)
    return int(text)


def _words(note: str) -> dict[str, object]:
    """`Upload-Metadata`: pairs of a word and its value in Base64, parted by commas.

    Raises:
        ParcelRefused: not of that form, or a word twice.
    """
    words: dict[str, object] = {}
    for pair in filter(None, (part.strip() for part in note.split(","))):
        name, _, coded = pair.partition(" ")
        try:
            value = base64.b64decode(coded.strip(), validate=True).decode()
        except ValueError:  # not ASCII, not Base64, or not UTF-8 inside
            raise _unreadable() from None
        if name in words:
            raise _unreadable()
        if name in _WORDS:
            words[name] = value
    return words


def _unreadable() -> ParcelRefused:
    return ParcelRefused(
        "请求头 Upload-Metadata 应为“名称 Base64(UTF-8)”，以逗号分隔，每个名称一次",
        "the header Upload-Metadata must read `name base64(UTF-8)`, parted by commas, each name once",
        header="Upload-Metadata",
    )
