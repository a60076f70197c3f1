"""Push over HTTP: the body is the file itself, everything said about it stands in headers.

One idea: the door streams and translates; `landing` decides. Invariant: memory per push is bounded by one piece, and
whatever can be refused without the body is refused before it is read.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Annotated, Any, BinaryIO, Literal
from urllib.parse import quote, unquote

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, StreamingResponse
from starlette.requests import ClientDisconnect

from api import bodies
from api.deps import ThisCaller, ThisHouse
from exchange.callers import Caller
from exchange.errors import AccessRefused, ExchangeError, NotFound, ParcelRefused, Truncated, UnsafeName
from exchange.house import House
from exchange.intake import landing, pushes
from exchange.intake.parcel import Declaration, parse_digest
from exchange.intake.pushes import Receipt
from quality import corrections, gate, quarantine

router = APIRouter(tags=["推送 push"])

DOOR = "http"
_PIECE = 1 << 20
_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
_HEADERS = (
    ("X-Batch", "批次号，1 起，同号即同一份数据 / batch number", True),
    ("X-Mode", "full（全量，默认）、incremental（增量）、deletions（删除清单）/ full by default", False),
    ("X-Rows", "数据行数，不含列名行 / data rows without the header", True),
    ("X-Digest", "sm3=<hex> 或 sha256=<hex>，按发送的字节计算 / of the bytes as sent", True),
    ("X-Filename", "文件名，百分号编码 UTF-8 / percent-encoded file name", False),
)
_DOCUMENTED: dict[str, Any] = {
    "parameters": [
        {"name": name, "in": "header", "required": needed, "description": text, "schema": {"type": "string"}}
        for name, text, needed in _HEADERS
    ],
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    },
}


@router.post("/v1/resources/{resource_id}/pushes", status_code=201, openapi_extra=_DOCUMENTED)
async def push(resource_id: str, request: Request, house: ThisHouse, caller: ThisCaller) -> Response:
    """推送一个文件 / push a file: CSV or XLSX as the body. 201 with a receipt; 200 when this parcel came before."""
    try:
        declaration = await run_in_threadpool(_declared, house, caller, resource_id, request)
        one = await run_in_threadpool(landing.begin, house, caller, declaration, length=bodies.length(request), door=DOOR)
    except ExchangeError:
        await bodies.drain(request)
        raise
    try:
        if one.existing is None:
            await _stream(one, request)
        else:
            await bodies.drain(request, house.settings.max_parcel)
        receipt = await bodies.in_turn(request, one.finish)
    except ClientDisconnect:
        raise await run_in_threadpool(_hung_up, house, caller, declaration) from None
    except ParcelRefused:
        await bodies.drain(request)
        raise
    finally:
        await run_in_threadpool(one.abandon)
    return JSONResponse(receipt.as_dict(), 201 if one.fresh else 200, {"Location": f"/v1/pushes/{receipt.id}"})


@router.get("/v1/pushes")
def list_pushes(
    house: ThisHouse,
    caller: ThisCaller,
    resource: Annotated[str | None, Query(max_length=63, pattern=landing.SLUG.pattern)] = None,
    limit: Annotated[int, Query(ge=1, le=500)] = 50,
) -> JSONResponse:
    """本部门的推送，新的在前 / your department's pushes, newest first."""
    found = pushes.list_pushes(house, department=caller.department, resource=resource, limit=limit)
    return JSONResponse([receipt.as_dict() for receipt in found])


@router.get("/v1/pushes/{push_id}")
def read_push(push_id: str, house: ThisHouse, caller: ThisCaller) -> JSONResponse:
    """回执与质检结论 / receipt and verdict; `verdict` is null until the gate has spoken."""
    receipt = _own(house, caller, push_id)
    try:
        verdict: dict[str, Any] | None = gate.verdict(house, push_id).as_dict()
    except NotFound:
        verdict = None
    return JSONResponse(receipt.as_dict() | {"verdict": verdict})


@router.get("/v1/pushes/{push_id}/row-errors")
def read_row_errors(
    push_id: str,
    house: ThisHouse,
    caller: ThisCaller,
    form: Annotated[Literal["reasons", "csv", "xlsx"], Query()] = "reasons",
) -> Response:
    """错误行文件（含被拒的原值）/ the row-error file. For the pushing department only; every fetch is recorded.

    reasons：每条原因一行（CSV）；csv、xlsx：整行，可改正后按增量再推送 / csv and xlsx: whole rows, to be corrected and pushed again.
    """
    if form == "reasons":
        data = quarantine.row_errors(house, caller, push_id)
        return Response(data, media_type=_TYPES["csv"], headers=_attached(f"{push_id}-错误行.csv"))
    with ExitStack() as opened:
        made = opened.enter_context(corrections.correction_file(house, caller, push_id, form))
        kept = opened.pop_all()
    return StreamingResponse(_read(made, kept), media_type=_TYPES[form], headers=_attached(f"{push_id}-待改正.{form}"))


def _attached(name: str) -> dict[str, str]:
    return {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Cache-Control": "no-store"}


def _read(made: BinaryIO, kept: ExitStack) -> Iterator[bytes]:
    with kept:
        while piece := made.read(_PIECE):
            yield piece


def _declared(house: House, caller: Caller, resource_id: str, request: Request) -> Declaration:
    """What the headers say.

    Raises:
        ParcelRefused, UnsafeName: missing or without form; recorded like every refusal.
    """
    try:
        headers = request.headers
        algorithm, digest = parse_digest(headers.get("x-digest", ""))
        return Declaration(
            resource_id=resource_id,
            batch=_number(request, "X-Batch"),
            mode=headers.get("x-mode", "full"),  # type: ignore[arg-type]  # Declaration checks it
            rows=_number(request, "X-Rows"),
            algorithm=algorithm,
            digest=digest,
            filename=_filename(headers.get("x-filename")),
        )
    except ParcelRefused as error:
        landing.record_refusal(house, caller, resource_id, error, door=DOOR)
        raise


def _number(request: Request, name: str) -> int:
    text = request.headers.get(name, "").strip()
    if not _NUMBER.fullmatch(text):
        raise ParcelRefused(f"请求头 {name} 应为整数", f"the header {name} must be a whole number", header=name)
    return int(text)


def _filename(encoded: str | None) -> str | None:
    if encoded is None:
        return None
    try:
        return unquote(encoded, errors="strict")
    except UnicodeDecodeError:
        raise UnsafeName(
            "请求头 X-Filename 应为百分号编码的 UTF-8", "the header X-Filename must be percent-encoded UTF-8"
        ) from None


async def _stream(one: landing.Landing, request: Request) -> None:
    async for piece in bodies.pieces(request):
        await run_in_threadpool(one.write, piece)


def _hung_up(house: House, caller: Caller, declaration: Declaration) -> Truncated:
    error = Truncated(
        "连接在文件传完之前中断，什么都没有改变；请用同一批次号重新推送",
        "the connection ended before the file did; nothing changed. Push again under the same batch number",
    )
    landing.record_refusal(house, caller, declaration.resource_id, error, batch=declaration.batch, door=DOOR)
    return error


def _own(house: House, caller: Caller, push_id: str) -> Receipt:
    receipt = pushes.get(house, push_id)
    if receipt.department != caller.department:
        raise AccessRefused(
            "回执只给推送它的部门", "a receipt is for the department that pushed", reason="other-department"
        )
    return receipt
