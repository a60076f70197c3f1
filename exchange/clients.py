"""The systems of a department, their secrets and their tokens.

Invariant: a secret exists only in the answer that made it (an argon2 hash is kept); a token is good only as long as its
client is: a rotated or revoked client's tokens stop at once, in every process.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from sqlalchemy.orm import Session

from exchange import events
from exchange.callers import Caller, Role
from exchange.errors import NotAuthenticated, NotFound
from exchange.house import House
from exchange.registry.models import Client, Department
from exchange.standing import standing

_ALGORITHM = "HS256"
_ID = re.compile(r"c-[0-9a-f]{12}")
_HASHER = PasswordHasher()
_NOBODY = _HASHER.hash(secrets.token_hex(16))  # an unknown client costs as much time as a known one


@dataclass(frozen=True)
class Token:
    """`expires_in` in seconds, as RFC 6749 5.1 says."""

    access_token: str
    expires_in: int

    def __repr__(self) -> str:
        return f"Token(****, expires_in={self.expires_in})"


@dataclass(frozen=True)
class _Claims:
    client: str
    generation: int
    expires: int


def create(house: House, department: str, name: str, role: Role = "department") -> tuple[str, str]:
    """Make a client of a department; returns its id and its secret, which is not kept. A client never changes its role.

    Raises:
        NotFound: no such department.
    """
    client_id, secret = f"c-{secrets.token_hex(6)}", secrets.token_urlsafe(32)
    with house.registry.session() as session:
        if session.get(Department, department) is None:
            raise NotFound(
                f"没有代码为 {department} 的部门，请先在目录 departments.yaml 中登记并装载",
                f"no department has the code {department}; put it into departments.yaml and load the catalogue",
            )
        secret_hash = _HASHER.hash(secret)
        session.add(Client(id=client_id, department_code=department, name=name, role=role, secret_hash=secret_hash))
        events.record(session, events.Tag.CLIENT_CREATED, department=department, object_id=client_id, role=role)
    return client_id, secret


def as_typed(client_id: str) -> str | None:
    """A client id somebody typed, as evidence may keep it: people type all kinds of things where an id belongs."""
    return client_id if _ID.fullmatch(client_id) else "malformed" if client_id else None


def rotate(house: House, client_id: str) -> str:
    """A new secret; the old one and every token given for it stop working at once.

    Raises:
        NotFound: no such client, or it was revoked.
    """
    secret = secrets.token_urlsafe(32)
    with house.registry.session() as session:
        client = _living(session, client_id)
        client.secret_hash = _HASHER.hash(secret)
        client.rotated_at = datetime.now(UTC)
        events.record(session, events.Tag.CLIENT_ROTATED, department=client.department_code, object_id=client_id)
    return secret


def revoke(house: House, client_id: str) -> None:
    """Stop a client, its tokens included.

    Raises:
        NotFound: no such client, or it was revoked before.
    """
    with house.registry.session() as session:
        client = _living(session, client_id)
        client.revoked_at = datetime.now(UTC)
        events.record(session, events.Tag.CLIENT_REVOKED, department=client.department_code, object_id=client_id)


def token(house: House, client_id: str, secret: str, *, now: datetime | None = None) -> Token:
    """An access token for a client that proves itself (RFC 6749 4.4). Takes about a tenth of a second: argon2.

    Raises:
        NotAuthenticated: unknown client or wrong secret (not told apart), or revoked.
    """
    with house.registry.session() as session:
        client = session.get(Client, client_id) if _ID.fullmatch(client_id) else None
    try:
        _HASHER.verify(client.secret_hash if client else _NOBODY, secret)
    except (VerificationError, InvalidHashError):
        client = None
    if client is None:
        raise NotAuthenticated(
            "调用方编号或密钥不对",
            "unknown client id or wrong client secret",
            reason="credentials",
            client=as_typed(client_id),
        )
    _not_revoked(client)
    begun = now or datetime.now(UTC)
    life = timedelta(minutes=house.settings.token_minutes)
    claims = {"sub": client.id, "gen": _generation(client), "exp": int((begun + life).timestamp())}
    written = jwt.encode({"alg": _ALGORITHM}, claims, _key(house))
    return Token(written, int(life.total_seconds()))


def caller_of(house: House, access_token: str, *, now: datetime | None = None) -> Caller:
    """Who holds this token.

    Raises:
        NotAuthenticated: forged, expired, its client revoked, or its secret rotated; each said.
    """
    claims = _read(house, access_token)
    with house.registry.session() as session:
        client = session.get(Client, claims.client)
    return _proven(claims, client, now)


async def acaller_of(house: House, access_token: str) -> Caller:
    """The same for the event loop, remembered until a client changes.

    Raises:
        NotAuthenticated: as `caller_of`.
        Unavailable: the control database does not answer.
    """
    known = await standing(house)
    remembered = known.kept(("token", access_token))
    if isinstance(remembered, tuple):
        claims, client = remembered
    else:
        claims = _read(house, access_token)
        client = await known.read(house, ("client", claims.client), lambda session: _client(session, claims.client))
        known.keep(("token", access_token), (claims, client))
    return _proven(claims, client, None)


def _read(house: House, access_token: str) -> _Claims:
    try:
        claims = jwt.decode(access_token, _key(house), algorithms=[_ALGORITHM]).claims
        return _Claims(str(claims["sub"]), int(claims["gen"]), int(claims["exp"]))
    except (JoseError, ValueError, KeyError, TypeError):
        raise NotAuthenticated(
            "令牌不是本平台签发的，请用调用方编号和密钥到 /oauth/token 重新领取",
            "this token was not issued here; get one at /oauth/token with the client's id and secret",
            reason="forged",
        ) from None


def _proven(claims: _Claims, client: Client | None, now: datetime | None) -> Caller:
    if client is None:
        raise NotAuthenticated("令牌所属的调用方不存在", "the token's client does not exist", reason="unknown-client")
    _not_revoked(client)
    if claims.expires <= (now or datetime.now(UTC)).timestamp():
        raise NotAuthenticated(
            "令牌已过期，请到 /oauth/token 重新领取",
            "the token has expired; get a new one at /oauth/token",
            reason="expired",
            client=client.id,
        )
    if claims.generation != _generation(client):
        raise NotAuthenticated(
            "调用方的密钥已更换，此令牌随之失效，请用新密钥重新领取",
            "the client's secret was rotated and this token stopped with it; get a new one with the new secret",
            reason="rotated",
            client=client.id,
        )
    role: Role = "quality" if client.role == "quality" else "department"
    return Caller(client.id, client.department_code, role=role)


def _not_revoked(client: Client) -> None:
    if client.revoked_at is not None:
        raise NotAuthenticated(
            "调用方已停用，请联系本平台管理员",
            "the client was revoked; ask the operator of this exchange",
            reason="revoked",
            client=client.id,
        )


def _client(session: Session, client_id: str) -> Client:
    client = session.get(Client, client_id)
    if client is None:
        raise NotAuthenticated("令牌所属的调用方不存在", "the token's client does not exist", reason="unknown-client")
    session.expunge(client)
    return client


def _living(session: Session, client_id: str) -> Client:
    client = session.get(Client, client_id, with_for_update=True)
    if client is None or client.revoked_at is not None:
        raise NotFound(
            f"没有编号为 {client_id} 的有效调用方", f"no client {client_id}, or it was revoked before", client=client_id
        )
    return client


def _generation(client: Client) -> int:
    """Which secret a token was given for."""
    return 0 if client.rotated_at is None else int(client.rotated_at.timestamp() * 1_000_000)


def _key(house: House) -> OctKey:
    return OctKey.import_key(house.seal.derive("access tokens"))
