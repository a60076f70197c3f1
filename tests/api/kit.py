"""What tests of the doors are given: a small city really pooled, merged and indexed, and the HTTP door really open."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn

from api.app import create_app
from exchange import catalogue, clients
from exchange.house import House
from pools import index, lake, merge
from tests import make
from tests.delivery.kit import LI, WANG
from tests.pools.given import pooled


def served_city(house: House) -> None:
    """The small city with two residents in the population base and its pools, served."""
    make.small_city(house)
    lake.prepare(house)
    household = {
        "sex_code": "1",
        "birth_date": "1950-01-02",
        "address": "解放区民主路12号3单元",
        "updated_at": "2026-11-01 08:00:00",
    }
    pooled(
        house,
        catalogue.resource(house, "police_household"),
        7,
        [
            household | {"id_number": LI, "name": "李生成", "mobile": "13900001234"},
            household | {"id_number": WANG, "name": "王乙", "mobile": None},
        ],
    )
    married = {"id_number": WANG, "name": "王乙", "marital_code": "20", "mobile": "13800005678"}
    pooled(house, catalogue.resource(house, "civil_marriage"), 3, [married | {"updated_at": "2026-11-02 08:00:00"}])
    merge.build(house, "population")
    for target in ("pool:police_household", "base:population"):
        index.swap(house, target)


@dataclass(frozen=True)
class Door:
    """An open HTTP door."""

    house: House
    http: httpx.Client

    def token(self, department: str = make.CIVIL) -> str:
        """A token of a new client of a department."""
        client_id, secret = clients.create(self.house, department, "系统")
        return clients.token(self.house, client_id, secret).access_token

    def query(self, token: str | None, body: object, target: str = "base/population") -> httpx.Response:
        return self.http.post(f"/v1/query/{target}", json=body, headers=bearer(token))


def bearer(token: str | None) -> dict[str, str]:
    return {} if token is None else {"Authorization": f"Bearer {token}"}


@contextmanager
def opened(house: House) -> Iterator[Door]:
    """The door, open on a port of its own by a real server."""
    server = uvicorn.Server(uvicorn.Config(create_app(house), port=0, log_config=None, timeout_graceful_shutdown=2))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30) as http:
            yield Door(house, http)
    finally:
        server.should_exit = True
        thread.join()
