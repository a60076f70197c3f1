"""What the registry says now about clients, grants and targets, kept in memory and never older than the question.

One idea: a number in the control database rises, by trigger, with every change; each question reads that number (one
read for all that wait together) and what was kept under another number is forgotten. So a revocation holds for every
request that arrives after it was committed, in every process, and the path of a lookup reads one integer.
"""

from collections.abc import Callable
from typing import TypeVar, cast

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from exchange.errors import Unavailable
from exchange.house import House
from exchange.together import Together

Kept = TypeVar("Kept")
_MOST = 20_000  # things kept under one number; beyond that, start again


class Standing:
    """What was read under one number."""

    def __init__(self, version: int) -> None:
        self.version = version
        self._kept: dict[object, object] = {}

    def kept(self, key: object) -> object | None:
        """What was put under this key, or None."""
        return self._kept.get(key)

    def keep(self, key: object, value: object) -> None:
        """Keep a value until anything changes."""
        if len(self._kept) >= _MOST:
            self._kept.clear()
        self._kept[key] = value

    async def read(self, house: House, key: object, load: Callable[[Session], Kept]) -> Kept:
        """The value under a key, loaded from the control database the first time.

        Raises:
            NotFound: as `load` says; not kept, so that guesses fill no memory.
            Unavailable: the control database does not answer.
        """
        value = self._kept.get(key)
        if value is None:
            try:
                async with house.registry.asession() as session:
                    value = await session.run_sync(load)
            except (DBAPIError, OSError) as error:
                raise _silent(error) from None
            self.keep(key, value)
        return cast(Kept, value)


class _Question(Together[None, Standing]):
    def __init__(self) -> None:
        super().__init__()
        self._standing = Standing(0)

    async def work(self, house: House, asked: list[None]) -> list[Standing]:
        try:
            version = await _version(house)
        except (DBAPIError, OSError):
            version = await _version_again(house)
        if version != self._standing.version:
            self._standing = Standing(version)
        return [self._standing] * len(asked)


async def standing(house: House) -> Standing:
    """What is known, current as of this call.

    Raises:
        Unavailable: the control database does not answer.
    """
    return await house.registry.only(_Question).ask(house, None)


async def _version(house: House) -> int:
    async with house.registry.astatement() as connection:
        version: int = (await connection.execute(text("SELECT version FROM standing"))).scalar_one()
        return version


async def _version_again(house: House) -> int:
    """A second try: the first may have met a connection from before the server's last restart."""
    try:
        return await _version(house)
    except (DBAPIError, OSError) as error:
        raise _silent(error) from None


def _silent(error: BaseException) -> Unavailable:
    return Unavailable(
        "控制数据库没有应答，请稍后再试", f"the control database does not answer; try again ({type(error).__name__})"
    )
