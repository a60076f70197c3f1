"""The HTTP door. Routers in the order of the way: identity, push, reports, quality, query."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline

from api import errors
from api.routes import form, health, push, quality, query, reports, token, tus
from exchange.house import House
from pools.reader import IndexReader


def create_app(house: House) -> FastAPI:
    """An application over an open house. The caller closes the house after the application has ended."""
    # the documentation pages bring their own scripts: a government network reaches no CDN
    app = FastAPIOffline(title="政务数据共享交换平台 / Government data exchange", version="1", lifespan=_lifespan)
    app.state.house = house
    app.state.reader = IndexReader(house)
    app.state.reading = CapacityLimiter(house.settings.threads)
    errors.install(app)
    for router in (
        health.router,
        token.router,
        push.router,
        tus.router,
        form.router,
        reports.router,
        quality.router,
        query.router,
    ):
        app.include_router(router)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    yield
    await app.state.house.registry.aclose()
