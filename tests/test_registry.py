"""The control database: forward from empty, and the schema is what the models say."""

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from exchange.databases import Address, Databases
from exchange.errors import SettingError, Unavailable
from exchange.house import House
from exchange.registry import Registry, migrate
from exchange.registry.models import Base


def test_the_migrations_make_exactly_what_the_models_say(house: House) -> None:
    engine = create_engine(house.databases.control.url("postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), Base.metadata) == []


@pytest.mark.parametrize(
    "statement", ["UPDATE access_log SET body = NULL", "DELETE FROM access_log", "TRUNCATE access_log"]
)
def test_evidence_can_only_be_added(house: House, statement: str) -> None:
    filler = "0" * 64
    with house.registry.session() as session:
        session.execute(
            text(
                "INSERT INTO access_log (seq, at, retention, body, body_digest, previous, hash)"
                " VALUES (999999, now(), 'share_record', '{}', :f, :f, :f)"
            ),
            {"f": filler},
        )
    with pytest.raises(DBAPIError, match=r"append-only"), house.registry.session() as session:
        session.execute(text(statement))


def test_a_server_that_does_not_answer_is_named(house: House) -> None:
    nowhere = Address("127.0.0.1", 1, "exchange", "exchange", "secret")
    databases = Databases(nowhere, nowhere, nowhere, None)
    with pytest.raises(Unavailable, match=r"PostgreSQL at 127\.0\.0\.1:1 does not answer") as caught:
        migrate(databases, house.seal, house.settings)
    assert "secret" not in str(caught.value)
    with pytest.raises(Unavailable, match="does not answer or is not migrated"):
        Registry(nowhere).check_key(house.seal, house.settings)


def test_a_role_without_rights_names_the_setting_to_give(house: House) -> None:
    lake = Address(house.databases.lake.host, house.databases.lake.port, "no_such_lake", "no_such_role", "x")
    databases = Databases(house.databases.control, lake, house.databases.airflow, None)
    with pytest.raises(SettingError, match="may not create no_such_lake; have it created and set EXCHANGE_LAKE_URL"):
        migrate(databases, house.seal, house.settings)


def test_a_role_with_rights_makes_the_databases_beside_it(house: House, server: Databases) -> None:
    assert server.admin is not None
    lake = Address(server.admin.host, server.admin.port, "beside_lake", "beside_lake", "x1")
    control = Address(
        server.admin.host, server.admin.port, house.databases.control.database, server.admin.user, server.admin.password
    )
    migrate(Databases(control, lake, house.databases.airflow, None), house.seal, house.settings)
    with psycopg.connect(lake.url()) as connection:
        assert connection.execute("SELECT current_database()").fetchone() == ("beside_lake",)
