"""How a door reads a large body: in pieces, none of them larger than a thread wants, and to an end the client can hear.

Invariant: never more than one piece is in memory, and only a few whole parcels are read by the engine at a time.
"""

from collections.abc import AsyncIterator, Callable
from typing import TypeVar

from anyio import to_thread
from fastapi import Request
from starlette.requests import ClientDisconnect

Done = TypeVar("Done")

PIECE = 1 << 20  # bytes gathered before a thread is asked to digest and seal them
DRAINED = 8 << 20  # of a refused body: enough for most clients to have sent it and listen for the answer


def length(request: Request) -> int | None:
    """How long the body says it is; None when it does not say."""
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


async def pieces(request: Request) -> AsyncIterator[bytes]:
    """The body in pieces; what came before a client hung up is a piece too.

    Raises:
        ClientDisconnect: it hung up.
    """
    gathered = bytearray()
    gone: ClientDisconnect | None = None
    try:
        async for chunk in request.stream():
            gathered += chunk
            if len(gathered) >= PIECE:
                yield bytes(gathered)
                gathered.clear()
    except ClientDisconnect as error:
        gone = error
    if gathered:
        yield bytes(gathered)
    if gone is not None:
        raise gone


async def in_turn(request: Request, work: Callable[[], Done]) -> Done:
    """Carry out what reads a whole parcel: EXCHANGE_THREADS at a time, first come first served. So the memory of the door is
    bounded however many push at once, nobody is overtaken, and those who wait keep no thread from others."""
    return await to_thread.run_sync(work, limiter=request.app.state.reading)


async def drain(request: Request, most: int = DRAINED) -> None:
    """Read on for a while, so that a client which is still sending gets to the answer instead of a broken pipe.

    A client that asked first (Expect: 100-continue) has sent nothing and is not asked to.
    """
    if request.headers.get("expect", "").lower() == "100-continue":
        return
    try:
        async for chunk in request.stream():
            most -= len(chunk)
            if most < 0:
                return
    except (ClientDisconnect, RuntimeError):  # gone, or already read to the end
        return
