"""GET /health: is every part that an answer needs there? For probes; needs no token and tells no figures."""

from fastapi import APIRouter
from fastapi.responses import JSONResponse
from starlette.responses import Response

from api.deps import ThisHouse
from exchange.standing import standing

router = APIRouter(tags=["运行 running"])


@router.get("/health")
async def health(house: ThisHouse) -> Response:
    """运行状况 / 200 when the control database answers, else a 503 problem."""
    await standing(house)
    return JSONResponse({"status": "ok"})
