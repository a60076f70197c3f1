"""Opening and migrating the control database."""

import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TypeVar, cast

import psycopg
from alembic import command
from alembic.config import Config
from psycopg import sql
from sqlalchemy import create_engine, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from exchange.databases import Address, Databases
from exchange.errors import KeyMissing, SettingError, Unavailable
from exchange.registry.models import House
from exchange.seal import Seal
from exchange.settings import Settings

Kept = TypeVar("Kept")
_REFUSED = "password authentication failed"  # as the server says it; the embedded one speaks English
_LOCK = 0x45584348  # one migration at a time, in every process


class Registry:
    """The control database, for threads (`session`) and for the event loop (`asession`)."""

    def __init__(self, address: Address) -> None:
        self.address = address
        self._kept: dict[type, object] = {}
        self._making = threading.Lock()
        self._engine = create_engine(
            address.url("postgresql+psycopg"), pool_size=5, max_overflow=20, pool_pre_ping=True, hide_parameters=True
        )
        self._async_engine = create_async_engine(
            address.url("postgresql+psycopg_async"),
            pool_size=5,
            max_overflow=20,
            pool_pre_ping=True,
            hide_parameters=True,
        )
        self._statements = create_async_engine(
            address.url("postgresql+psycopg_async"),
            pool_size=5,
            max_overflow=20,
            isolation_level="AUTOCOMMIT",
            hide_parameters=True,
        )

    @contextmanager
    def session(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back on any error.

        Raises:
            Unavailable: the server did not answer, or went away in the middle; whether a commit was carried out is then
            not known, and every step can be run again.
        """
        try:
            with Session(self._engine, expire_on_commit=False) as session, session.begin():
                yield session
        except DBAPIError as error:
            if not _went_away(error):
                raise
            raise Unavailable(
                "控制数据库没有应答或中途断开；请稍后重试，重复执行不会重复入账",
                "the control database does not answer, or went away in the middle; try again, nothing is done twice",
            ) from None

    @asynccontextmanager
    async def asession(self) -> AsyncIterator[AsyncSession]:
        """The same for the event loop."""
        async with AsyncSession(self._async_engine, expire_on_commit=False) as session, session.begin():
            yield session

    @asynccontextmanager
    async def astatement(self) -> AsyncIterator[AsyncConnection]:
        """For the event loop, statements that each commit by themselves: one round trip instead of five. A connection that
        the server dropped shows only when it is used."""
        async with self._statements.connect() as connection:
            yield connection

    def check_key(self, seal: Seal, settings: Settings) -> None:
        """Refuse to work with a master key other than the one this house was made with.

        Raises:
            KeyMissing: another key.
            Unavailable: no answer, or not migrated.
        """
        try:
            with Session(self._engine) as session:  # not `self.session`, which takes a refused password for no answer
                kept = session.scalar(select(House.key_fingerprint))
        except DBAPIError as error:
            if _passwords_are_ours(settings) and _REFUSED in str(error.orig):
                raise other_key(settings) from None
            raise Unavailable(
                "控制数据库没有应答或尚未迁移，请运行 exchange migrate",
                f"the control database does not answer or is not migrated; run `exchange migrate` ({type(error.orig).__name__})",
            ) from None
        if kept != seal.fingerprint():
            raise other_key(settings)

    def only(self, kind: type[Kept]) -> Kept:
        """The one object of a kind that lives as long as these connections (a writer's queue, a cache); made on first use."""
        with self._making:
            if kind not in self._kept:
                self._kept[kind] = kind()
        return cast(Kept, self._kept[kind])

    def close(self) -> None:
        self._engine.dispose()

    async def aclose(self) -> None:
        """Give back the event loop's connections; call it before the loop ends."""
        await self._async_engine.dispose()
        await self._statements.dispose()


def _went_away(error: DBAPIError) -> bool:
    """A lost connection, or a server that starts, stops or is not there; not a lock or a conflict, of the same class."""
    state = getattr(error.orig, "sqlstate", None)
    lost = isinstance(error.orig, psycopg.OperationalError) and (state is None or state.startswith(("08", "57P")))
    return bool(error.connection_invalidated) or lost


def other_key(settings: Settings) -> KeyMissing:
    """The master key that lies here is not the one this house was made with."""
    path = settings.key_folder / "master.key"
    return KeyMissing(
        f"主密钥文件 {path} 与数据文件夹 {settings.root} 及其数据库不符：不是初始化时的那一把，用它什么都读不出。什么都没有改变；"
        "请从单独保管的备份恢复原来的密钥文件，或核对 EXCHANGE_KEYS、EXCHANGE_DATA 是否指对了地方",
        f"the master key file {path} does not fit the data folder {settings.root} and its databases: it is not the one they "
        "were made with, and nothing can be read with it. Nothing was changed; restore the original key file from its own "
        "backup, or check that EXCHANGE_KEYS and EXCHANGE_DATA name the right places",
        path=str(path),
        data=str(settings.root),
    )


def _passwords_are_ours(settings: Settings) -> bool:
    """The embedded server's passwords are made of the master key, so another key is a wrong password there."""
    return settings.database_url is None


def _refuse_other_key(databases: Databases, seal: Seal, settings: Settings) -> None:
    """Before anything is made or changed."""
    admin = databases.admin or databases.control
    try:
        psycopg.connect(admin.url()).close()
        with psycopg.connect(databases.control.url()) as connection:
            row = connection.execute("SELECT to_regclass('house')").fetchone()
            kept = connection.execute("SELECT key_fingerprint FROM house").fetchone() if row and row[0] else None
    except psycopg.OperationalError as error:
        if databases.admin is not None and _REFUSED in str(error) and f'"{databases.admin.user}"' in str(error):
            raise other_key(settings) from None
        return  # not made yet, or no answer: what comes next says so
    if kept is not None and kept[0] != seal.fingerprint():
        raise other_key(settings)


def migrate(databases: Databases, seal: Seal, settings: Settings) -> None:
    """Make the databases and roles that are missing and bring the control database to the newest schema.

    Safe to run twice and from several processes.

    Raises:
        KeyMissing: the databases were made with another master key; nothing was changed.
        SettingError: the given server's role may not create what is missing; says which setting to give instead.
        Unavailable: the server does not answer.
    """
    _refuse_other_key(databases, seal, settings)
    _create_missing(databases)
    engine = create_engine(databases.control.url("postgresql+psycopg"), poolclass=NullPool, hide_parameters=True)
    with engine.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        config = Config()
        config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
        connection.execute(
            text('INSERT INTO house ("only", key_fingerprint) VALUES (true, :kept) ON CONFLICT DO NOTHING'),
            {"kept": seal.fingerprint()},
        )
    engine.dispose()


def _create_missing(databases: Databases) -> None:
    admin = databases.admin or databases.control
    wanted = [("EXCHANGE_LAKE_URL", databases.lake), ("EXCHANGE_AIRFLOW_URL", databases.airflow)]
    if databases.admin is not None:
        wanted.insert(0, ("EXCHANGE_DATABASE_URL", databases.control))
    try:
        with psycopg.connect(admin.url(), autocommit=True) as connection:
            for setting, address in wanted:
                _create_one(connection, setting, address)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"PostgreSQL（{admin.host}:{admin.port}）没有应答",
            f"PostgreSQL at {admin.host}:{admin.port} does not answer: {type(error).__name__}",
        ) from None


def _create_one(connection: psycopg.Connection[tuple[object, ...]], setting: str, address: Address) -> None:
    role, name = sql.Identifier(address.user), sql.Identifier(address.database)
    try:
        connection.execute("SELECT pg_advisory_lock(%s)", (_LOCK,))
        if not connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (address.user,)).fetchone():
            connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(address.password)))
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (address.database,)).fetchone():
            connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(name, role))
            connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(name))
    except psycopg.errors.InsufficientPrivilege:
        raise SettingError(
            f"当前数据库用户无权创建 {address.database}，请由管理员建好并设置 {setting}",
            f"this database role may not create {address.database}; have it created and set {setting}",
        ) from None
    finally:
        connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))
