"""Two departments push while two consumers ask: nobody is locked out, and no answer mixes two versions."""

import asyncio
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import date

from exchange import grants
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import digest_hex
from pools import lake, way
from pools.reader import IndexReader
from tests.make import CIVIL, POLICE, TAX, resident, small_city

KEYS = tuple(resident(n) for n in range(200))
PROVIDERS = {"police_household": POLICE, "civil_marriage": CIVIL}
BATCHES = 4


def push(house: House, resource: str, batch: int) -> None:
    """A full push whose every row says its batch in its name."""
    rows = "\n".join(f"{key},{resource}第{batch}批" for key in KEYS)
    data = f"公民身份号码,姓名\n{rows}\n".encode()
    declaration = Declaration(resource, batch, "full", len(KEYS), "sm3", digest_hex(data))
    way.process(
        house, landing.land_file(house, Caller(None, PROVIDERS[resource]), declaration, io.BytesIO(data), "test").id
    )


async def keep_asking(house: House, target: str, done: threading.Event) -> list[tuple[str, set[str]]]:
    """Ask for a few keys at once until everybody has pushed: (version, the names in one answer) each time."""
    reader, seen = IndexReader(house), []
    while not done.is_set() or not seen:
        request = Request(target, "query", KEYS[:50], ("name",), "核定", "经办", None)
        answer = (await deliver(house, reader, Caller(None, TAX), request)).as_dict()
        seen.append((answer["version"], {record["values"]["name"] for record in answer["records"]}))
    return seen


def test_two_push_while_two_ask(house: House) -> None:
    small_city(house)
    lake.prepare(house)
    for resource in PROVIDERS:
        push(house, resource, 1)
        grants.give(
            house, TAX, f"pool:{resource}", fields=["name"], modes=["query"], purpose="核定", unmasked=["name"],
            legal_basis="税收征收管理法 第六条", valid_from=date(2020, 1, 1), valid_until=date(2099, 1, 1),
        )  # fmt: skip
    done = threading.Event()

    def provide(resource: str) -> None:
        for batch in range(2, BATCHES + 1):
            push(house, resource, batch)

    async def both() -> list[list[tuple[str, set[str]]]]:
        found = await asyncio.gather(*(keep_asking(house, f"pool:{resource}", done) for resource in PROVIDERS))
        await house.registry.aclose()
        return found

    with ThreadPoolExecutor(3) as threads:
        asking = threads.submit(asyncio.run, both())
        providing = [threads.submit(provide, resource) for resource in PROVIDERS]
        try:
            for provider in providing:
                provider.result()
        finally:
            done.set()
        answers = asking.result()
    for resource, seen in zip(PROVIDERS, answers, strict=True):
        assert [names for _, names in seen if len(names) != 1] == []
        versions = dict(seen)
        assert len(versions) > 1
        assert all(next(iter(names)).startswith(resource) for names in versions.values())
        assert len({frozenset(names) for names in versions.values()}) == len(versions)
