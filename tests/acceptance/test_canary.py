"""Canaries: personal values go the whole way, accepted, quarantined, asked for, refused; afterwards they are searched for
in every file of the house, every table of its databases and the server's own files, and are found nowhere.
"""

import asyncio
import io
import logging
import subprocess
from datetime import date
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from exchange import access_log, grants
from exchange.callers import Caller
from exchange.databases import Address, Databases
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import AccessRefused
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import digest_hex
from pools import lake, way
from pools.explain import explain
from pools.reader import IndexReader
from quality import quarantine, report
from tests.make import POLICE, TAX, resident, small_city

GOOD, BAD = resident(7_777_777), resident(8_888_888)[:-1] + "?"  # the second can't pass
NAME, STREET, MOBILE = "金丝雀甲", "鸣禽巷七百七十七号", "13877770777"
CANARIES = (GOOD, BAD, NAME, STREET, MOBILE)


def whole_way(house: House) -> None:
    """Every step that touches a person's row."""
    lake.prepare(house)
    rows = [f"{GOOD},{NAME},1,1990-01-01,{STREET},{MOBILE}", f"{BAD},{NAME},1,1990-01-01,{STREET},{MOBILE}"]
    rows += [f"{resident(n)},{NAME},1,1990-01-01,{STREET},{MOBILE}" for n in range(40)]
    data = ("公民身份号码,姓名,性别,出生日期,户籍地址,联系电话\n" + "\n".join(rows) + "\n").encode()
    declaration = Declaration("police_household", 1, "full", len(rows), "sm3", digest_hex(data), "people.csv")
    push = landing.land_file(house, Caller(None, POLICE), declaration, io.BytesIO(data), "test")
    way.process(house, push.id)
    report.render(house, push.id)
    errors = quarantine.row_errors(house, Caller(None, POLICE), push.id).decode("utf-8-sig")
    assert BAD in errors
    with pytest.raises(AccessRefused):
        quarantine.row_errors(house, Caller(None, TAX), push.id)
    way.rebuild(house, "population")
    assert any(part.value == NAME for part in explain(house, "population", GOOD).fields)
    grants.give(
        house, TAX, "base:population", fields=["name"], modes=["query"], purpose="核定", legal_basis="税收征收管理法 第六条",
        valid_from=date(2020, 1, 1), valid_until=date(2099, 1, 1), unmasked=["name"],
    )  # fmt: skip
    asyncio.run(ask(house))
    assert [entry["decision"] for entry in access_log.who_saw(house, GOOD, Caller(None, POLICE))][:1]


async def ask(house: House) -> None:
    """One answer, one refusal."""
    reader = IndexReader(house)
    allowed = Request("base:population", "query", (GOOD,), ("name",), "核定", "税务经办", None)
    answer = await deliver(house, reader, Caller(None, TAX), allowed)
    assert answer.as_dict()["records"][0]["values"] == {"name": NAME}
    beyond = Request("base:population", "query", (GOOD,), ("name", "mobile"), "核定", "税务经办", None)
    with pytest.raises(AccessRefused) as refused:
        await deliver(house, reader, Caller(None, TAX), beyond)
    assert not any(canary in str(refused.value) for canary in CANARIES)
    await house.registry.aclose()


def everything_in(address: Address) -> str:
    """Every row of every table of a database, as text."""
    with psycopg.connect(address.url()) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        found = [
            connection.execute(sql.SQL("SELECT t::text FROM {}.{} t").format(*map(sql.Identifier, table))).fetchall()
            for table in tables
        ]
    return "\n".join(row[0] for rows in found for row in rows)


def files_with(canary: str, folder: Path) -> list[str]:
    """Files under a folder whose raw bytes hold the canary."""
    done = subprocess.run(
        ["grep", "--recursive", "--files-with-matches", "--text", "--fixed-strings", canary, folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.splitlines()


def test_personal_values_are_found_nowhere(
    house: House, server: Databases, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str],
    server_folder: Path,
) -> None:  # fmt: skip
    small_city(house)
    with caplog.at_level(logging.DEBUG):
        whole_way(house)
    output = capfd.readouterr()
    said = output.out + output.err + caplog.text
    told = "\n".join(everything_in(address) for address in (house.databases.control, house.databases.lake))
    assert "police_household" in told
    for canary in CANARIES:
        assert canary not in said
        assert canary not in told
        assert files_with(canary, house.settings.root) == []
        assert files_with(canary, server_folder) == []


def test_the_search_itself_finds_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "leak.log").write_bytes(b"\x00\xff" + NAME.encode() + b"\x00")
    assert files_with(NAME, tmp_path) == [str(tmp_path / "leak.log")]
