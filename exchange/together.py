"""Calls that wait together are made together: one transaction for many answers.

Invariant: the work that serves a call begins after the call was made, so its result is never older than the question.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Generic, TypeVar

from exchange.house import House

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


class Together(ABC, Generic[Asked, Answer]):
    """A queue without a worker: whoever comes first starts one, and it ends when nobody waits. Works in any event loop."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Asked, asyncio.Future[Answer]]] = []
        self._worker: asyncio.Task[None] | None = None

    @abstractmethod
    async def work(self, house: House, asked: list[Asked]) -> list[Answer]:
        """Serve everything that waits, in order. An error goes to everyone who waited for it."""

    async def ask(self, house: House, asked: Asked) -> Answer:
        """Wait for the next round. A caller that is cancelled has still asked."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, future))
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._run(house))
        return await future

    async def _run(self, house: House) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                answers = await self.work(house, [asked for asked, _ in batch])
            except BaseException as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error if isinstance(error, Exception) else asyncio.CancelledError())
                if not isinstance(error, Exception):
                    raise
            else:
                for (_, future), answer in zip(batch, answers, strict=True):
                    if not future.done():
                        future.set_result(answer)
