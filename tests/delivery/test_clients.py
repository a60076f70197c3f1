"""Clients: a secret is shown once, a token lives as long as its client's secret does."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from exchange import clients
from exchange.callers import Caller
from exchange.errors import NotAuthenticated, NotFound
from exchange.house import House
from tests import make

NOW = datetime.now(UTC)


async def _asked(house: House, token: str) -> Caller:
    try:
        return await clients.acaller_of(house, token)
    finally:
        await house.registry.aclose()


def both(house: House, token: str) -> Caller:
    """Who holds it, by the way of the threads; the event loop's way (fresh and from memory) must say the same."""
    ways = (clients.caller_of, *[lambda house, token: asyncio.run(_asked(house, token))] * 2)
    said: list[Caller | NotAuthenticated] = []
    for way in ways:
        try:
            said.append(way(house, token))
        except NotAuthenticated as error:
            said.append(error)
    assert len({str(one) for one in said}) == 1
    if isinstance(said[0], NotAuthenticated):
        raise said[0]
    return said[0]


def test_a_client_proves_itself_and_is_known_by_its_token(house: House) -> None:
    make.small_city(house)
    client_id, secret = clients.create(house, make.CIVIL, "婚姻登记系统")
    token = clients.token(house, client_id, secret)
    assert token.expires_in == 30 * 60
    assert both(house, token.access_token) == Caller(client_id, make.CIVIL)
    assert repr(token) == "Token(****, expires_in=1800)"


def test_the_secret_is_kept_nowhere(house: House) -> None:
    make.small_city(house)
    _, secret = clients.create(house, make.CIVIL, "婚姻登记系统")
    with house.registry.session() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT client::text FROM client UNION ALL SELECT event::text FROM event"
        )
        assert not any(secret in row for (row,) in rows)


def test_a_wrong_secret_and_an_unknown_client_are_not_told_apart(house: House) -> None:
    make.small_city(house)
    client_id, _ = clients.create(house, make.CIVIL, "婚姻登记系统")
    for name in (client_id, "c-unknown"):
        with pytest.raises(NotAuthenticated, match="调用方编号或密钥不对 / unknown client id or wrong client secret"):
            clients.token(house, name, "guess")


def test_an_expired_token(house: House) -> None:
    make.small_city(house)
    client_id, secret = clients.create(house, make.CIVIL, "系统")
    token = clients.token(house, client_id, secret, now=NOW - timedelta(minutes=31)).access_token
    with pytest.raises(NotAuthenticated, match="令牌已过期，请到 /oauth/token 重新领取 / the token has expired"):
        both(house, token)


def test_a_token_of_a_revoked_client(house: House) -> None:
    make.small_city(house)
    client_id, secret = clients.create(house, make.CIVIL, "系统")
    token = clients.token(house, client_id, secret).access_token
    clients.revoke(house, client_id)
    for refused in (lambda: both(house, token), lambda: clients.token(house, client_id, secret)):
        with pytest.raises(NotAuthenticated, match="调用方已停用，请联系本平台管理员 / the client was revoked"):
            refused()
    for again in (lambda: clients.revoke(house, client_id), lambda: clients.rotate(house, client_id)):
        with pytest.raises(NotFound, match=f"没有编号为 {client_id} 的有效调用方"):
            again()


def test_a_rotated_secret_stops_the_old_one_and_its_tokens(house: House) -> None:
    make.small_city(house)
    client_id, old = clients.create(house, make.CIVIL, "系统")
    token = clients.token(house, client_id, old).access_token
    new = clients.rotate(house, client_id)
    with pytest.raises(NotAuthenticated, match="调用方的密钥已更换，此令牌随之失效"):
        both(house, token)
    with pytest.raises(NotAuthenticated, match="调用方编号或密钥不对"):
        clients.token(house, client_id, old)
    assert both(house, clients.token(house, client_id, new).access_token) == Caller(client_id, make.CIVIL)


def forged(house: House, client_id: str) -> dict[str, str]:
    claims = {"sub": client_id, "gen": 0, "exp": int(NOW.timestamp()) + 600}
    ours = OctKey.import_key(house.seal.derive("access tokens"))
    other = OctKey.import_key(b"x" * 32)
    good = jwt.encode({"alg": "HS256"}, claims, ours)
    head, body, signature = good.split(".")
    none = jwt.encode({"alg": "HS256"}, claims, other).split(".")
    return {
        "another key": ".".join(none),
        "no signature": f"{head}.{body}.",
        "alg none": f"eyJhbGciOiJub25lIn0.{body}.",
        "another body": f"{head}.{body[:-2]}AA.{signature}",
        "no claims": jwt.encode({"alg": "HS256"}, {}, ours),
        "claims of other types": jwt.encode({"alg": "HS256"}, claims | {"exp": "soon"}, ours),
        "rubbish": "rubbish",
        "nothing": "",
        "not ascii": "令牌",
    }


def test_forged_tokens(house: House) -> None:
    make.small_city(house)
    client_id, _ = clients.create(house, make.CIVIL, "系统")
    for name, token in forged(house, client_id).items():
        with pytest.raises(NotAuthenticated, match="令牌不是本平台签发的"):
            pytest.fail(f"accepted: {name} {both(house, token)}")


def test_a_department_must_be_in_the_catalogue(house: House) -> None:
    message = (
        "没有代码为 11X 的部门，请先在目录 departments.yaml 中登记并装载 / no department has the code 11X; put it into"
    )
    with pytest.raises(NotFound, match=message):
        clients.create(house, "11X", "系统")


def test_making_rotating_and_revoking_are_events(house: House) -> None:
    make.small_city(house)
    client_id, _ = clients.create(house, make.CIVIL, "系统")
    clients.rotate(house, client_id)
    clients.revoke(house, client_id)
    with house.registry.session() as session:
        rows = session.connection().exec_driver_sql(
            "SELECT tag, department_code FROM event WHERE object_id = %(id)s ORDER BY id", {"id": client_id}
        )
        assert [tuple(row) for row in rows] == [
            ("client:secret:create", make.CIVIL),
            ("client:secret:rotate", make.CIVIL),
            ("client:secret:revoke", make.CIVIL),
        ]
