"""Addresses: whatever a password holds, every client reads back the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import make_url

from exchange.databases import Address
from exchange.errors import SettingError

printable = st.text(st.characters(min_codepoint=32, max_codepoint=0x4FFF, exclude_categories=["Cc", "Cs"]), min_size=1)


@given(user=printable, password=printable)
def test_every_client_reads_the_same_user_and_password(user: str, password: str) -> None:
    address = Address("db.example", 5433, "exchange", user, password, (("sslmode", "require"),))
    assert Address.parse(address.url(), "X") == address
    read = make_url(address.url("postgresql+psycopg"))
    assert (read.host, read.port, read.database) == ("db.example", 5433, "exchange")
    assert (read.username, read.password, dict(read.query)) == (user, password, {"sslmode": "require"})
    assert conninfo_to_dict(address.keywords()) == {
        "host": "db.example", "port": "5433", "dbname": "exchange", "user": user, "password": password, "sslmode": "require",
    }  # fmt: skip


@pytest.mark.parametrize("url", ["mysql://u:p@h/d", "postgresql://h/d", "postgresql://u:p@h:abc/d", "postgresql://u:p@h"])
def test_anything_else_names_the_setting(url: str) -> None:
    with pytest.raises(SettingError, match="EXCHANGE_LAKE_URL must look like"):
        Address.parse(url, "EXCHANGE_LAKE_URL")
