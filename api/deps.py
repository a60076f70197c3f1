"""What a route may ask for: the house, the reader, and who is calling.

Invariant: all of these are `async def`; FastAPI sends a plain `def` through a thread, which costs a look-up half its speed.
"""

from typing import Annotated, cast

from fastapi import Depends, Request

from exchange import clients
from exchange.callers import Caller, for_its_department
from exchange.delivery.mode import Reader
from exchange.errors import NotAuthenticated
from exchange.house import House


async def house(request: Request) -> House:
    """The house this application was made for."""
    return cast(House, request.app.state.house)


async def reader(request: Request) -> Reader:
    """The serving index."""
    return cast(Reader, request.app.state.reader)


async def caller(request: Request) -> Caller:
    """Who holds the bearer token, acting for a department. What a route asks for unless it is meant for the quality team too.

    Raises:
        NotAuthenticated: as `any_caller`. AccessRefused: the token is the quality team's; recorded.
    """
    return for_its_department(await any_caller(request))


async def any_caller(request: Request) -> Caller:
    """Who holds the bearer token (RFC 6750), the quality team included.

    Raises:
        NotAuthenticated: no token, or a bad one; the refusal is recorded before it is answered.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise NotAuthenticated(
            "请求没有令牌：请先到 /oauth/token 领取，再以 Authorization: Bearer <令牌> 发送",
            "no token: get one at /oauth/token and send it as Authorization: Bearer <token>",
            reason="no-token",
        )
    known = await clients.acaller_of(request.app.state.house, token.strip())
    request.state.caller = known
    return known


ThisHouse = Annotated[House, Depends(house)]
ThisReader = Annotated[Reader, Depends(reader)]
ThisCaller = Annotated[Caller, Depends(caller)]
AnyCaller = Annotated[Caller, Depends(any_caller)]
