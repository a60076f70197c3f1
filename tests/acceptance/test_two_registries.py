"""The 10,082 registered enterprises of two real files in one base: every field with whose word it is, and what becomes of the 222
rows without a usable key."""

import asyncio
import io
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from exchange import grants
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import NotFound
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import digest_hex
from pools import candidates, lake, way
from pools.contested import contested
from pools.explain import explain
from pools.merge import BuildView
from pools.reader import IndexReader
from quality import gate, quarantine
from tests import make
from tests.delivery.kit import PERSON, PURPOSE

pytestmark = [pytest.mark.real_data, pytest.mark.timeout(600)]

JIAOZUO, JIANGSU = "legal_entity_jiaozuo.csv", "legal_entity_jiangsu_2002_messy.csv"
HOME, AWAY, CODES, ARCHIVE = make.MARKET, make.POLICE, make.TAX, make.CIVIL  # four offices, each with its own file
TITLES = {
    "entity_name": "企业名称",
    "established_date": "注册日期",
    "entity_type": "企业类型",
    "registered_capital": "注册资金",
    "business_scope": "经营范围",
    "province": "所在省份",
    "city": "地区",
    "registered_address": "注册地址",
}
ITEMS = [make.item(name, title, "D" if name == "established_date" else "C4000") for name, title in TITLES.items()]
LOOSE = {"share": {"type": 1}, "quarantine_threshold": 0.5}
RESOURCES = [
    make.resource("market_home", HOME, [make.USCC, *ITEMS], ["uscc"], **LOOSE),
    make.resource("market_away", AWAY, [make.USCC, *ITEMS], ["uscc"], **LOOSE),
    # who gave a code in place of a 注册号 registers the two side by side
    make.resource(
        "code_register", CODES, [make.USCC, {**make.REGISTRATION_NO, "required": False}, ITEMS[0]], ["uscc"], **LOOSE
    ),
    make.company_archive(),
]
BASE = {
    "id": "legal_entity",
    "title": "法人单位基础信息库",
    "key": "uscc",
    "key_identifier": "uscc",
    "key_sources": ["market_home.uscc", "market_away.uscc", "code_register.uscc", "company_archive.registration_no"],
    "fields": [
        {
            "name": "entity_name",
            "sources": ["market_home.entity_name", "market_away.entity_name", "code_register.entity_name"],
        },
        *({"name": name, "sources": [f"market_home.{name}", f"market_away.{name}"]} for name in list(TITLES)[1:]),
        {"name": "shelf", "sources": ["company_archive.shelf"]},
    ],
}
FIELDS = (*TITLES, "shelf")
FOUND_AGAIN = 100  # of the enterprises with a 注册号: that were given a code


@pytest.fixture
def city(house: House) -> House:
    lake.prepare(house)
    make.small_city(house, resources=RESOURCES, bases=[BASE])
    return house


def written(registry_files: Path, name: str) -> dict[str, dict[str, str | None]]:
    """The file as it stands, by key: what a base must say of it. Blanks around a cell are not part of it, an empty one is nothing."""
    table = pl.read_csv(registry_files / name, infer_schema=False)
    rows = table.select("统一社会信用代码", *TITLES.values()).rows()
    return {key: dict(zip(TITLES, ((cell or "").strip() or None for cell in cells), strict=True)) for key, *cells in rows}


def push(house: House, resource: str, office: str, data: bytes, rows: int) -> str:
    declaration = Declaration(resource, 1, "full", rows, "sm3", digest_hex(data), f"{resource}.csv")
    receipt = landing.land_file(house, Caller(None, office), declaration, io.BytesIO(data), door="test").id
    way.process(house, receipt)
    return receipt


def listed(header: str, rows: list[tuple[str, ...]]) -> bytes:
    return pl.DataFrame(rows, schema=header.split(), orient="row").write_csv().encode()


def built(house: House) -> BuildView:
    found = way.rebuild(house, "legal_entity")
    assert found is not None
    return found


def answers(house: House, keys: list[str]) -> dict[str, dict[str, Any]]:
    """Every key, a hundred at a time, through the one way out; for each field its value and (resource, push) of who said it."""
    today, reader, out = grants.today(), IndexReader(house), {}
    grants.give(
        house, CODES, "base:legal_entity", FIELDS, ["query"], PURPOSE, "行政许可法 第三十四条", today, date(2099, 1, 1)
    )

    async def ask() -> None:
        for start in range(0, len(keys), 100):
            asked = tuple(keys[start : start + 100])
            request = Request("base:legal_entity", "query", asked, FIELDS, PURPOSE, PERSON)
            answer = (await deliver(house, reader, Caller(None, CODES), request)).as_dict()
            said = {name: (one["resource"], one["push"]) for name, one in answer["sources"].items()}
            for one in answer["records"]:
                found = (
                    {"values": one["values"], "said": {f: said[s] for f, s in one["sources"].items()}}
                    if one["found"]
                    else {}
                )
                out[one["key"]] = found | ({"renumbered": one["renumbered"]} if "renumbered" in one else {})
        await house.registry.aclose()

    asyncio.run(ask())
    return out


def test_every_enterprise_of_both_files_with_whose_word_each_field_is(city: House, registry_files: Path) -> None:
    home, away = written(registry_files, JIAOZUO), written(registry_files, JIANGSU)
    assert len(home) + len(away) == 10_082
    pushes = {
        "market_home": push(city, "market_home", HOME, (registry_files / JIAOZUO).read_bytes(), len(home)),
        "market_away": push(city, "market_away", AWAY, (registry_files / JIANGSU).read_bytes(), len(away)),
    }
    bad = [key for key in away if len(key) != 18]
    assert [gate.verdict(city, one).quarantined_rows for one in pushes.values()] == [0, len(bad)]
    base = built(city)
    assert (base.rows, base.closed, base.conflicts, len(bad)) == (10_082 - 222, 0, 0, 222)

    def wanted(row: dict[str, str | None], resource: str) -> dict[str, Any]:
        said = {name: (resource, pushes[resource]) for name, value in row.items() if value is not None}
        return {"values": row | {"shelf": None}, "said": said}

    every = {key: wanted(row, "market_home") for key, row in home.items()}
    every |= {key: {} if key in set(bad) else wanted(row, "market_away") for key, row in away.items()}
    assert answers(city, list(every)) == every
    assert [(one.field, one.compared) for one in contested(city, "legal_entity")] == []
    one = next(key for key in away if key not in bad)
    for field in explain(city, "legal_entity", one).fields:
        told = None if field.source is None else (field.value, field.source.resource, field.source.since_push)
        assert told == (None if field.value is None else (away[one][field.field], "market_away", pushes["market_away"]))


@pytest.mark.slow
def test_what_becomes_of_the_rows_without_a_code(city: House, registry_files: Path) -> None:
    """They wait in quarantine and never enter the base by themselves. Where somebody registers a code beside their 注册号, what others
    hold under that number joins it, an asker who has only the number is answered, and the row's candidate is that code."""
    away = written(registry_files, JIANGSU)
    bad = {key: row for key, row in away.items() if len(key) != 18}
    numbers = [key for key in bad if len(key) == 15 and key.isdigit()]
    assert (len(bad), len(numbers)) == (222, 204)
    waiting = push(city, "market_away", AWAY, (registry_files / JIANGSU).read_bytes(), len(away))
    errors = pl.read_csv(quarantine.row_errors(city, Caller(None, AWAY), waiting), infer_schema=False)
    assert {row[-1] for row in errors.rows()} == set(bad)

    archived = listed(
        "注册号 名称 架位", [(number, str(bad[number]["entity_name"]), f"架{number[-3:]}") for number in numbers]
    )
    push(city, "company_archive", ARCHIVE, archived, len(numbers))
    alone = built(city)
    assert (alone.rows, alone.unjoined) == (4_641, {"company_archive": 204})
    assert [answers(city, numbers)[number] for number in numbers] == [{}] * 204

    code_of = {number: make.uscc(place + 5_000, region="320600") for place, number in enumerate(numbers[:FOUND_AGAIN])}
    registered = [(code, number, str(bad[number]["entity_name"])) for number, code in code_of.items()]
    push(city, "code_register", CODES, listed("统一社会信用代码 注册号 企业名称", registered), len(registered))
    joined = built(city)
    assert (joined.rows, joined.unjoined) == (4_641 + FOUND_AGAIN, {"company_archive": 204 - FOUND_AGAIN})
    found = answers(city, numbers)
    nothing = dict.fromkeys(FIELDS)
    for number in numbers:
        values = {"entity_name": bad[number]["entity_name"], "shelf": f"架{number[-3:]}"}
        if number not in code_of:
            assert found[number] == {}
            with pytest.raises(NotFound):
                explain(city, "legal_entity", number)
            continue
        assert found[number]["values"] == nothing | values
        assert {name: resource for name, (resource, _) in found[number]["said"].items()} == {
            "entity_name": "code_register",
            "shelf": "company_archive",
        }
        assert found[number]["renumbered"] == {"kind": "registration_no", "since": None}
    assert answers(city, list(code_of.values())) == {
        code: {name: said for name, said in found[number].items() if name != "renumbered"}
        for number, code in code_of.items()
    }

    # the base's keys and names were granted to the office whose rows wait: each row's code is among the likeliest, mostly first
    grants.give(
        city, AWAY, "base:legal_entity", ["uscc", *TITLES], ["query"], PURPOSE, "行政许可法 第三十四条", grants.today(),
        date(2099, 1, 1),
    )  # fmt: skip
    listed_ = candidates.find(city, Caller(None, AWAY, PERSON), waiting, base="legal_entity", purpose=PURPOSE)
    row_of = {key: place for place, key in enumerate(away, 1)}
    likely: dict[int, list[str]] = {}
    for one in listed_.found:
        likely.setdefault(one.row, []).append(one.key)
    assert [number for number, code in code_of.items() if code not in likely[row_of[number]]] == []
    assert sum(code == likely[row_of[number]][0] for number, code in code_of.items()) >= 95
