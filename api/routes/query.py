"""POST /v1/query/{kind}/{id}: records by key, by the caller's grant."""

import json
from dataclasses import replace
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from pydantic import BaseModel, Field

from api.deps import ThisCaller, ThisHouse, ThisReader
from exchange.delivery import MOST_KEYS, deliver, new_request_id
from exchange.delivery.mode import Request as Asked
from exchange.errors import RequestInvalid

MOST_BODY = 64 << 10  # bytes: a hundred keys and every field of a wide base fit several times over

router = APIRouter(tags=["查询 query"])


class Query(BaseModel):
    """What is asked. For the documentation: the body is read by hand, so that a malformed one is refused with evidence."""

    keys: list[str] = Field(min_length=1, max_length=MOST_KEYS, description="主键 / keys")
    fields: list[str] = Field(min_length=1, description="字段 / fields")
    purpose: str = Field(description="用途，与授权一致 / the purpose of the grant")
    person: str = Field(description="经办人 / the person in charge at the caller's side")
    as_of: str | None = Field(
        None, description="历史版本：推送或构建编号 / an earlier version: a push of the pool, a build of the base or theme"
    )


_BODY = {"requestBody": {"required": True, "content": {"application/json": {"schema": Query.model_json_schema()}}}}


@router.post("/v1/query/{kind}/{name}", openapi_extra=_BODY)
async def query(
    kind: Literal["base", "theme", "pool"],
    name: Annotated[str, Path(max_length=63)],
    request: Request,
    house: ThisHouse,
    reader: ThisReader,
    caller: ThisCaller,
) -> Response:
    """按主键查询 / look up by key. Every answer and every refusal is recorded before it is sent."""
    asked = replace(_asked(f"{kind}:{name}", await _body(request)), request_id=new_request_id())
    # an error of our own is answered and logged under the number in the evidence
    request.state.request_id = asked.request_id
    delivery = await deliver(house, reader, caller, asked)
    return Response(delivery.body, media_type="application/json", headers={"X-Request-Id": delivery.request_id})


async def _body(request: Request) -> bytes:
    """The body, never more of it in memory than the largest lawful request needs."""
    sent = bytearray()
    async for piece in request.stream():
        sent += piece
        if len(sent) > MOST_BODY:
            raise RequestInvalid(
                f"请求体超过 {MOST_BODY} 字节；一次最多 {MOST_KEYS} 个主键，请分次查询",
                f"the body has more than {MOST_BODY} bytes; at most {MOST_KEYS} keys at a time, so ask in parts",
                reason="malformed",
                missing=["body"],
            )
    return bytes(sent)


def _asked(target: str, body: bytes) -> Asked:
    """Whatever was sent, as a request: a part of the wrong type counts as not sent, and `deliver` says so."""
    try:
        sent: Any = json.loads(body)
    except (ValueError, RecursionError):
        sent = None
    part = sent if isinstance(sent, dict) else {}
    return Asked(
        target=target,
        mode="query",
        keys=_texts(part.get("keys")),
        fields=_texts(part.get("fields")),
        purpose=_text(part.get("purpose")),
        person=_text(part.get("person")) or None,
        as_of=None if part.get("as_of") is None else _text(part["as_of"]),
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(value) if isinstance(value, list) and all(isinstance(one, str) for one in value) else ()
