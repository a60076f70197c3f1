"""POST /oauth/token: client credentials (RFC 6749 4.4), in the form or as HTTP Basic."""

import base64
import binascii
from typing import Annotated
from urllib.parse import unquote_plus

from fastapi import APIRouter, Form, Header, Response
from fastapi.responses import JSONResponse

from api.deps import ThisHouse
from api.errors import problem
from exchange import access_log, clients
from exchange.access_log import AccessEntry
from exchange.delivery import new_request_id
from exchange.errors import NotAuthenticated
from exchange.house import House

router = APIRouter(tags=["身份 identity"])


@router.post("/oauth/token")
def token(  # not async: argon2 works a tenth of a second, which no event loop should
    house: ThisHouse,
    grant_type: Annotated[str, Form()] = "",
    client_id: Annotated[str, Form()] = "",
    client_secret: Annotated[str, Form()] = "",
    authorization: Annotated[str, Header()] = "",
) -> Response:
    """领取令牌 / get a token. Every try is recorded."""
    client_id, client_secret = _basic(authorization) or (client_id, client_secret)
    request_id = new_request_id()
    if grant_type != "client_credentials":
        zh, en = "grant_type 应为 client_credentials", "grant_type must be client_credentials"
        _record(house, client_id, "token", request_id, refused=f"grant-type: {zh}")
        return _refusal(400, "unsupported_grant_type", zh, en, request_id=request_id)
    try:
        given = signed_in(house, client_id, client_secret, "token", request_id)
    except NotAuthenticated as error:
        reason = str(error.facts["reason"])
        return _refusal(401, "invalid_client", error.zh, error.en, reason=reason, request_id=request_id)
    answer = {"access_token": given.access_token, "token_type": "Bearer", "expires_in": given.expires_in}
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


def signed_in(house: House, client_id: str, client_secret: str, action: str, request_id: str) -> clients.Token:
    """A token for a client that proves itself; every try is recorded before it is answered.

    Raises:
        NotAuthenticated: as `clients.token`.
    """
    try:
        given = clients.token(house, client_id, client_secret)
    except NotAuthenticated as error:
        _record(house, client_id, action, request_id, refused=f"{error.facts['reason']}: {error.zh}")
        error.facts["recorded"] = True
        raise
    department = clients.caller_of(house, given.access_token).department
    _record(house, client_id, action, request_id, department=department)
    return given


def _record(
    house: House,
    client_id: str,
    action: str,
    request_id: str,
    *,
    department: str | None = None,
    refused: str | None = None,
) -> None:
    entry = AccessEntry(
        department=department,
        client=clients.as_typed(client_id),
        action=action,
        target=None,
        decision="refused" if refused else "answered",
        reason=refused,
        retention="network_log",
        request_id=request_id,
    )
    access_log.append(house, entry)


def _basic(authorization: str) -> tuple[str, str] | None:
    """Id and secret, form-encoded as RFC 6749 2.3.1 wants; None when there is no readable Basic header."""
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ("", "")
    return unquote_plus(client_id), unquote_plus(secret)


def _refusal(status: int, error: str, zh: str, en: str, **more: str) -> Response:
    """A problem document with the member `error` that OAuth clients look for (RFC 6749 5.2)."""
    headers = {"Cache-Control": "no-store"} | ({"WWW-Authenticate": 'Basic realm="exchange"'} if status == 401 else {})
    code = "not-authenticated" if status == 401 else "request-invalid"
    return problem(status, code, zh, en, headers, error=error, error_description=en, **more)
