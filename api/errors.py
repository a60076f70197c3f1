"""Errors as problem details (RFC 9457), Chinese first and English beside it. One table from class to status.

Invariant: a refusal that no deeper part recorded is recorded here, before its first byte leaves.
"""

import json
import logging
import re
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from exchange import access_log, faults
from exchange.access_log import AccessEntry
from exchange.delivery import new_request_id
from exchange.errors import (
    AccessRefused,
    AgedOut,
    BaselineNeeded,
    BatchOutdated,
    BatchReused,
    BatchTooFar,
    Busy,
    CatalogueError,
    ExchangeError,
    KeyMissing,
    NoRoom,
    NotAuthenticated,
    NotFound,
    ParcelRefused,
    ParcelTooLarge,
    RequestInvalid,
    SettingError,
    Unavailable,
    WrongState,
)

STATUS: dict[type[ExchangeError], int] = {
    SettingError: 500,
    KeyMissing: 500,
    CatalogueError: 422,
    ParcelRefused: 422,
    BatchReused: 409,
    BatchOutdated: 409,
    BaselineNeeded: 409,
    BatchTooFar: 409,
    ParcelTooLarge: 413,
    NoRoom: 507,
    RequestInvalid: 422,
    NotAuthenticated: 401,
    AccessRefused: 403,
    NotFound: 404,
    AgedOut: 410,
    Busy: 423,
    WrongState: 409,
    Unavailable: 503,
    ExchangeError: 500,
}
TITLES: dict[int, tuple[str, str]] = {
    401: ("身份未确认", "Not authenticated"),
    403: ("拒绝访问", "Access refused"),
    404: ("没有找到", "Not found"),
    405: ("方法不适用", "Method not allowed"),
    409: ("与现状冲突", "In conflict with what is there"),
    410: ("已按保留期清除", "Removed when its time was over"),
    413: ("过大", "Too large"),
    412: ("版本不符", "Wrong version"),
    415: ("内容类型不对", "Unsupported content type"),
    423: ("正被使用", "Locked"),
    422: ("无法接受", "Not acceptable as sent"),
    500: ("内部错误", "Internal error"),
    503: ("暂不可用", "Not available now"),
    507: ("空间不足", "No room"),
}
_INNER = {"recorded", "reason", "client"}  # facts for the log, or shown under a name of their own
_ID = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,62}")
_LOG = logging.getLogger("exchange.api")


def install(app: FastAPI) -> None:
    """Give an application these errors and no others."""
    app.add_exception_handler(ExchangeError, answer)
    app.add_exception_handler(RequestValidationError, _malformed)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(_Unknown)


def status_of(error: ExchangeError) -> int:
    """The status of the nearest class in the table."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(status: int, code: str, zh: str, en: str, headers: dict[str, str] | None = None, **more: object) -> Response:
    """A problem document. `title` and `detail` are Chinese; `title_en` and `detail_en` say the same in English."""
    title, title_en = TITLES.get(status, ("错误", "Error"))
    document: dict[str, Any] = {
        "type": f"urn:exchange:error:{code}",
        "title": title,
        "title_en": title_en,
        "status": status,
        "code": code,
        "detail": zh,
        "detail_en": en,
    } | {name: value for name, value in more.items() if value is not None}
    body = json.dumps(document, ensure_ascii=False, default=str).encode()
    return Response(body, status, headers, media_type="application/problem+json")


async def answer(request: Request, error: Exception) -> Response:
    """The problem document of an error of ours, recorded when it is a refusal that nobody recorded."""
    assert isinstance(error, ExchangeError)  # noqa: S101 registered for this class
    request_id = str(error.facts.get("request_id") or new_request_id())
    refused = isinstance(error, NotAuthenticated | AccessRefused) or error.facts.get("reason") == "malformed"
    if refused and "recorded" not in error.facts:
        try:
            await _record(request, error, request_id)
        except Unavailable as silent:
            error = silent
    status = status_of(error)
    facts = {name: value for name, value in error.facts.items() if name not in _INNER}
    facts |= {"reason": error.facts.get("reason"), "request_id": request_id}
    headers = {"WWW-Authenticate": 'Bearer realm="exchange"'} if status == 401 else {}
    if status == 503:
        headers["Retry-After"] = "5"
    return problem(status, error.code, error.zh, error.en, headers, **facts)


async def _record(request: Request, error: ExchangeError, request_id: str) -> None:
    """What refused a caller at a door: who (when known), which door, why."""
    caller = getattr(request.state, "caller", None)
    route = request.scope.get("route")
    client = error.facts.get("client")
    await access_log.aappend(
        request.app.state.house,
        AccessEntry(
            department=caller.department if caller else None,
            client=caller.client_id if caller else str(client) if client else None,
            action=f"{request.method} {getattr(route, 'path', '')}".strip(),
            target=":".join(_as_typed(str(value)) for value in request.path_params.values()) or None,
            decision="refused",
            reason=f"{error.facts.get('reason', error.code)}: {error.zh}",
            retention="share_record" if caller else "network_log",
            request_id=request_id,
        ),
    )


def _as_typed(part: str) -> str:
    """A part of an address, as evidence may keep it: anything can stand there, also a person's name."""
    return part if _ID.fullmatch(part) else "malformed"


async def _malformed(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 registered for this class
    places = sorted({".".join(str(part) for part in finding["loc"]) for finding in error.errors()})
    zh, en = f"请求中这些部分缺失或类型不对：{'、'.join(places)}", f"missing or of the wrong type: {', '.join(places)}"
    return await answer(request, RequestInvalid(zh, en, reason="malformed", missing=places))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 registered for this class
    code = {404: "no-such-address", 405: "method-not-allowed"}.get(error.status_code, "http")
    zh, en = TITLES.get(error.status_code, ("错误", "Error"))
    headers = dict(error.headers) if error.headers else None
    return problem(
        error.status_code, code, f"{zh}：{request.method} 这个地址", f"{en}: {request.method} of this address", headers
    )


class _Unknown:
    """Catches what nobody foresaw. A middleware, because after a handler of `Exception` Starlette raises the error again and
    the server writes all of it to its log; here only its class and places are written, since its text may quote data."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def watched(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception as error:  # noqa: BLE001 the last place that can keep it out of the server's log
            unforeseen = _unknown(scope, error)
            if not begun:  # otherwise the server finds the answer unfinished and closes the connection
                await unforeseen(scope, receive, send)


def _unknown(scope: Scope, error: Exception) -> Response:
    request_id = str(scope.get("state", {}).get("request_id") or new_request_id())
    route = getattr(scope.get("route"), "path", "?")
    _LOG.error("%s %s %s failed: %s", request_id, scope["method"], route, faults.places(error))
    return problem(
        500,
        "internal",
        f"平台内部错误，已记录。请把请求编号 {request_id} 告诉管理员",
        f"an error inside the exchange; it was recorded. Give the operator the request id {request_id}",
        request_id=request_id,
    )
