"""The courier while Airflow is away, and where its figures come from: the control database is the outbox."""

import socket
import threading
import time
from pathlib import Path

import pytest
from sqlalchemy import select

from exchange import catalogue
from exchange.callers import Caller
from exchange.errors import Unavailable
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.registry.models import Push
from exchange.seal import digest_hex
from infra.airflow import Client
from infra.courier import Courier
from pools import lake

EXAMPLE = Path(__file__).parents[2] / "docs" / "example"


def land(house: House) -> str:
    catalogue.load(house, EXAMPLE / "catalogue")
    body = EXAMPLE / "entities.csv"
    department = catalogue.resource(house, "market_entity").department
    rows = len(body.read_text().splitlines()) - 1
    declaration = Declaration("market_entity", 1, "full", rows, "sm3", digest_hex(body.read_bytes()), body.name)
    return landing.land_file(house, Caller(None, department), declaration, body, "cli").id


def nobody_there() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def undispatched(house: House) -> list[str]:
    with house.registry.session() as session:
        return list(session.scalars(select(Push.id).where(Push.dispatched_at.is_(None))))


def test_while_airflow_is_away_a_push_waits(house: House) -> None:
    lake.prepare(house)
    push = land(house)
    settings = house.settings.model_copy(update={"airflow_port": nobody_there()})
    with (
        Client(settings, house.seal) as client,
        pytest.raises(Unavailable, match=r"没有应答 / Airflow at .* does not answer"),
    ):
        Courier(house, client).carry()
    assert undispatched(house) == [push]


def test_it_keeps_trying_and_stops_when_told(house: House) -> None:
    land(house)
    settings = house.settings.model_copy(update={"airflow_port": nobody_there()})
    stop = threading.Event()
    with Client(settings, house.seal) as client:
        thread = threading.Thread(target=Courier(house, client).work, args=(stop,))
        thread.start()
        time.sleep(1.5)
        assert thread.is_alive()
        stop.set()
        thread.join(5)
    assert not thread.is_alive()
