"""The API's own pages work on a network that reaches nothing but this house."""

import asyncio
import re

import httpx

from api.app import create_app
from exchange.house import House


def test_the_documentation_brings_its_own_scripts(house: House) -> None:
    async def fetch() -> tuple[str, list[int]]:
        transport = httpx.ASGITransport(create_app(house))
        async with httpx.AsyncClient(transport=transport, base_url="http://house") as client:
            page = (await client.get("/docs")).text
            parts = re.findall(r'(?:src|href)="([^"]+)"', page)
            return page, [(await client.get(part)).status_code for part in parts]

    page, statuses = asyncio.run(fetch())
    assert re.findall(r"https?://[^\"' ]+", page) == []
    assert statuses
    assert set(statuses) == {200}
