"""The HTTP door as a process: one house opened from the environment, handed to the application.

Invariant: nothing here but wiring; `uvicorn --factory infra.serve:app` is the only caller.
"""

from typing import Any

from api.app import create_app
from exchange.house import House
from exchange.settings import read_settings


def app() -> Any:
    """The ASGI application of this process's house."""
    return create_app(House.open(read_settings()))
