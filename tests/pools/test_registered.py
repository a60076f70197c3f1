"""One person, one company, several numbers: pushed through the gate as departments write them, joined under the one that counts."""

import asyncio
from typing import Any

import pytest

from exchange import access_log
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import NotFound
from exchange.house import House
from pools import merge, way
from pools.explain import Number, explain
from pools.reader import IndexReader
from tests import make
from tests.delivery.kit import PERSON, PURPOSE, given
from tests.pools.given import OPERATOR
from tests.quality import kit

CIVIL, MARKET, POLICE = kit.CIVIL, kit.MARKET, kit.POLICE
OLD_CARD, CARD = "410802600315102", make.with_check("41080219600315102")
COMPANY = make.uscc(1)
ORG, REGISTERED = COMPANY[8:17], "410802000000011"


def push(house: House, caller: Caller, resource: str, header: str, *rows: str) -> None:
    lines = [[cell.strip() for cell in line.split("|")] for line in (header, *rows)]
    push_id = kit.land(house, resource, lines[0], lines[1:], caller=caller)
    assert way.process(house, push_id).decision == "accepted"


def golden(house: House, base: str, key: str) -> dict[str, Any]:
    """Each field with who said it, and under which number if under another."""
    said = explain(house, base, key).fields
    return {one.field: (one.value, one.source.resource, one.source.number) for one in said if one.source is not None}


def test_a_fifteen_digit_number_joins_its_eighteen_digit_form(house: House) -> None:
    make.small_city(house)
    push(house, POLICE, "police_household", "公民身份号码 | 姓名 | 户籍地址", f"{CARD} | 张三 | 民主路一号")
    push(house, CIVIL, "civil_marriage", "公民身份号码 | 姓名 | 婚姻状况", f"{OLD_CARD} | 张三 | 20")
    built = way.rebuild(house, "population")
    assert built is not None
    assert (built.rows, built.conflicts) == (1, 0)
    together = {
        "name": ("张三", "police_household", None),
        "address": ("民主路一号", "police_household", None),
        "marital_code": ("20", "civil_marriage", None),
    }
    assert [golden(house, "population", number) for number in (CARD, OLD_CARD)] == [together, together]


@pytest.fixture
def city(house: House) -> House:
    market = make.market_entity()
    market["items"].append(make.item("registration_no", "注册号", "C15", identifier="registration_no"))
    resources = [*make.some_resources()[:2], market, make.tax_payer(), make.bank_account(), make.company_archive()]
    base = make.legal_entity()
    base["key_sources"] += ["bank_account.org_code", "company_archive.registration_no"]
    base["fields"] += [
        {"name": "account_status", "sources": ["bank_account.account_status"]},
        {"name": "shelf", "sources": ["company_archive.shelf"]},
    ]
    make.small_city(house, resources=resources, bases=[make.population(), base])
    return house


def test_older_numbers_of_a_company_join_its_code_and_explain_shows_both(city: House) -> None:
    push(
        city,
        MARKET,
        "market_entity",
        "统一社会信用代码 | 企业名称 | 注册号",
        f"{COMPANY} | 甲公司 | {REGISTERED}",
        f"{make.uscc(2)} | 乙公司 | ",
    )
    push(
        city,
        POLICE,
        "bank_account",
        "组织机构代码 | 名称 | 账户状态",
        f"{ORG[:8]}-{ORG[8]} | 甲 | 正常",
        f"{make.uscc(9)[8:17]} | 丙 | 正常",
    )
    push(city, CIVIL, "company_archive", "注册号 | 名称 | 架位", f"{REGISTERED} | 甲公司 | 三架")
    built = way.rebuild(city, "legal_entity")
    assert built is not None
    assert (built.rows, built.unjoined) == (2, {"bank_account": 1, "company_archive": 0})
    assert golden(city, "legal_entity", COMPANY) == {
        "entity_name": ("甲公司", "market_entity", None),
        "account_status": ("正常", "bank_account", ORG),
        "shelf": ("三架", "company_archive", REGISTERED),
    }
    assert explain(city, "legal_entity", COMPANY).numbers == tuple(
        sorted(
            (
                Number(ORG, COMPANY, None, "org_code", None, ("bank_account",), None, None),
                Number(REGISTERED, COMPANY, None, "registration_no", None, ("company_archive",), None, None),
            ),
            key=lambda number: number.number,
        )
    )
    assert merge.build(city, "legal_entity") is None


def query(house: House, *asked: str, as_of: str | None = None) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        request = Request("base:legal_entity", "query", asked, ("uscc", "shelf"), PURPOSE, PERSON, as_of)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), Caller("c", make.CIVIL), request)).as_dict()[
                "records"
            ]
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def test_who_asks_by_an_older_number_is_answered_under_the_code_and_told_so(city: House) -> None:
    push(
        city,
        MARKET,
        "market_entity",
        "统一社会信用代码 | 企业名称 | 注册号",
        f"{COMPANY} | 甲公司 | {REGISTERED}",
        f"{make.uscc(2)} | 乙公司 | 410802000000022",
        f"{make.uscc(3)} | 丙公司 | 410802000000022",
    )
    push(city, POLICE, "bank_account", "组织机构代码 | 名称 | 账户状态", f"{ORG} | 甲 | 正常")
    push(
        city,
        CIVIL,
        "company_archive",
        "注册号 | 名称 | 架位",
        f"{REGISTERED} | 甲公司 | 三架",
        "410802000000022 | 乙丙 | 一架",
    )
    built = way.rebuild(city, "legal_entity")
    assert built is not None
    given(city, target="base:legal_entity", fields=["uscc", "shelf"])
    asked = (f"{ORG[:8]}－{ORG[8]}", REGISTERED, "410802000000022", make.uscc(9)[8:17])
    found = query(city, *asked)
    same = {
        "found": True,
        "closed": False,
        "values": {"uscc": COMPANY, "shelf": "三架"},
        "sources": {"uscc": "S1", "shelf": "S2"},
    }
    assert (
        found
        == [
            {"key": ORG} | same | {"renumbered": {"kind": "org_code", "since": None}},
            {"key": REGISTERED} | same | {"renumbered": {"kind": "registration_no", "since": None}},
            {"key": "410802000000022", "found": False},  # two have it: whose it is, a person says
            {"key": make.uscc(9)[8:17], "found": False},
        ]
    )
    assert query(city, *asked, as_of=built.id) == found
    for number in (ORG, REGISTERED, COMPANY):  # an answer about both leaves evidence under both
        seen = [one for one in access_log.who_saw(city, number, OPERATOR) if one["action"] == "query"]
        assert {(one["decision"], one["version"]) for one in seen} == {("answered", built.id)}
    explained = explain(city, "legal_entity", REGISTERED, "shelf")
    assert (explained.asked, explained.key, explained.fields) == (
        REGISTERED,
        COMPANY,
        explain(city, "legal_entity", COMPANY, "shelf").fields,
    )
    with pytest.raises(NotFound):
        explain(city, "legal_entity", "410802000000022")
    way.alias(city, OPERATOR, "legal_entity", "410802000000022", make.uscc(3), kind="wrong", basis="市监局 2026-11")
    [decided] = query(city, "410802000000022")
    assert (decided["values"]["uscc"], decided["renumbered"]["kind"]) == (make.uscc(3), "wrong")


def test_a_number_that_sources_mean_differently_is_answered_to_nobody(city: House) -> None:
    push(
        city,
        MARKET,
        "market_entity",
        "统一社会信用代码 | 企业名称 | 注册号",
        f"{COMPANY} | 甲公司 | {REGISTERED}",
        f"{make.uscc(2)} | 乙 | ",
    )
    push(city, CIVIL, "company_archive", "注册号 | 名称 | 架位", f"{REGISTERED} | 乙公司 | 三架")
    way.rebuild(city, "legal_entity")
    given(city, target="base:legal_entity", fields=["uscc", "shelf"])
    assert query(city, REGISTERED)[0]["values"] == {"uscc": COMPANY, "shelf": "三架"}
    way.alias(
        city,
        OPERATOR,
        "legal_entity",
        REGISTERED,
        make.uscc(2),
        kind="wrong",
        basis="档案误记",
        resources=["company_archive"],
    )
    assert query(city, REGISTERED) == [{"key": REGISTERED, "found": False}]
    assert query(city, make.uscc(2))[0]["values"]["shelf"] == "三架"


def test_a_wrong_older_number_waits_in_quarantine(city: House) -> None:
    wrong = kit.judge(
        city, "bank_account", f"组织机构代码 | 名称\n{ORG[:8]}{'1' if ORG[8] != '1' else '2'} | 甲\n{ORG} | 甲"
    )
    assert kit.failed(wrong) == {"org_code.org_code": 1}
    short = kit.judge(city, "company_archive", f"注册号 | 名称\n4108 | 甲\n{REGISTERED} | 甲", caller=CIVIL)
    assert kit.failed(short) == {"registration_no.registration_no": 1}
