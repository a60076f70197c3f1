"""One table from error class to status; problem details for everything that goes wrong at the door."""

import logging

import pytest
from psycopg import connect

from api.errors import STATUS, TITLES, status_of
from exchange import errors
from exchange.errors import ExchangeError
from exchange.house import House
from tests.api.kit import opened


def every_class(root: type[ExchangeError] = ExchangeError) -> list[type[ExchangeError]]:
    return [root, *(one for child in root.__subclasses__() for one in every_class(child))]


def test_every_error_has_a_status_with_titles_and_stands_in_the_tree_s_docstring() -> None:
    for kind in every_class():
        assert kind.__name__ in (errors.__doc__ or "")
        made = kind(["a finding"]) if kind is errors.CatalogueError else kind("中", "en")  # type: ignore[call-arg,arg-type]
        assert status_of(made) in TITLES
    assert set(STATUS) <= set(every_class())


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (errors.NotAuthenticated, 401),
        (errors.AccessRefused, 403),
        (errors.NotFound, 404),
        (errors.BatchReused, 409),
        (errors.BatchOutdated, 409),
        (errors.BaselineNeeded, 409),
        (errors.AgedOut, 410),
        (errors.BatchTooFar, 409),
        (errors.WrongState, 409),
        (errors.ParcelTooLarge, 413),
        (errors.DigestMismatch, 422),
        (errors.CountMismatch, 422),
        (errors.RequestInvalid, 422),
        (errors.Unavailable, 503),
        (errors.NoRoom, 507),
        (errors.KeyMissing, 500),
    ],
)
def test_the_table(kind: type[ExchangeError], status: int) -> None:
    assert status_of(kind("中", "en")) == status


def test_an_unknown_address_and_a_wrong_method(house: House) -> None:
    with opened(house) as door:
        answers = [door.http.get("/nothing"), door.http.get("/oauth/token")]
    assert [(one.status_code, one.json()["code"]) for one in answers] == [
        (404, "no-such-address"),
        (405, "method-not-allowed"),
    ]
    assert answers[1].headers["allow"] == "POST"
    assert {one.headers["content-type"] for one in answers} == {"application/problem+json"}


def test_health(house: House) -> None:
    with opened(house) as door:
        assert door.http.get("/health").json() == {"status": "ok"}
        with connect(house.databases.control.url(), autocommit=True) as connection:
            connection.execute("ALTER TABLE standing RENAME TO gone")
        silent = door.http.get("/health")
    assert (silent.status_code, silent.headers["retry-after"]) == (503, "5")
    assert (silent.json()["code"], silent.json()["detail"]) == ("unavailable", "控制数据库没有应答，请稍后再试")


SECRET_ID = "c-0123456789ab"


def test_an_error_of_our_own_quotes_nothing(house: House, caplog: pytest.LogCaptureFixture) -> None:
    with opened(house) as door:
        house_state = house.registry
        with connect(house.databases.control.url(), autocommit=True) as connection:
            connection.execute("ALTER TABLE client RENAME TO gone")
        with caplog.at_level(logging.INFO):
            answer = door.http.post("/oauth/token", data={"grant_type": "client_credentials", "client_id": SECRET_ID})
        assert house_state is house.registry
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.json()["request_id"] in answer.json()["detail"]
    ours = [record.getMessage() for record in caplog.records if record.name == "exchange.api"]
    assert len(ours) == 1
    assert "ProgrammingError at" in ours[0]
    assert SECRET_ID not in caplog.text
    assert "Traceback" not in caplog.text
