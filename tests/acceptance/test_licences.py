"""Electronic licences and credit, from the push to the golden record: bases beside people and companies are only definitions."""

from copy import deepcopy

import pytest

from exchange import catalogue
from exchange.house import House
from pools import merge, way
from pools.explain import explain
from pools.links import LinkFollowed
from tests import make
from tests.catalogue.test_parts import COPY, ELICENSE, LICENCE
from tests.quality import kit
from tests.quality.reference import cert_check

PERSON, COMPANY = make.resident(1), make.uscc(10)
PENALTY = make.resource(
    "market_penalty",
    make.MARKET,
    [
        make.item(
            "party_code",
            "行政相对人代码",
            "C18",
            required=True,
            identifier="party_code",
            sensitivity="personal",
            mask="all",
        ),
        make.item("party_name", "行政相对人名称", "C200", sensitivity="personal", mask="name"),
        make.item("doc_no", "文号", "C64", required=True),
        make.item("authority", "处罚机关", "C18", required=True, identifier="uscc"),
        make.item("status", "状态", "C2"),
        make.UPDATED,
    ],
    ["party_code", "doc_no", "authority"],
    quarantine_threshold=1.0,
)
CREDIT: make.Entry = {
    "id": "credit",
    "title": "信用信息库",
    "key": "party_code",
    "key_identifier": "party_code",
    "key_sources": ["market_penalty.party_code", "tax_payer.uscc"],
    "fields": [
        {"name": "party_name", "sources": ["market_penalty.party_name", "tax_payer.entity_name"]},
        {"name": "tax_status", "sources": ["tax_payer.tax_status"]},
    ],
    "satellites": [
        {
            "id": "events",
            "title": "信用事项",
            "parent_sources": ["market_penalty.party_code"],
            "key": ["doc_no", "authority"],
            "fields": [
                {"name": "doc_no", "sources": "market_penalty.doc_no"},
                {"name": "authority", "sources": "market_penalty.authority"},
                {"name": "status", "sources": "market_penalty.status"},
            ],
        }
    ],
    "links": [{"field": "party_code", "base": ["legal_entity", "population"]}],
}


def licence(serial: str, version: str = "001") -> str:
    kind, issuer = f"{make.MARKET}001", make.MARKET
    return f"1.2.156.3005.2.{kind}.{issuer}.{serial}.{version}.{cert_check(kind + issuer + serial + version)}"


@pytest.fixture
def city(house: House) -> House:
    resources = [
        *make.some_resources(),
        deepcopy(LICENCE) | {"quarantine_threshold": 1.0},
        deepcopy(COPY),
        deepcopy(PENALTY),
    ]
    bases = [make.population(), make.legal_entity(), deepcopy(ELICENSE), deepcopy(CREDIT)]
    make.small_city(house, resources=resources, bases=bases)
    people = [[PERSON, "甲", "1"]]
    way.process(house, kit.land(house, "police_household", ["公民身份号码", "姓名", "性别"], people))
    companies = [[COMPANY, "一厂"]]
    market = kit.land(house, "market_entity", ["统一社会信用代码", "企业名称"], companies, caller=kit.MARKET)
    way.process(house, market)
    for base in ("population", "legal_entity"):
        way.rebuild(house, base)
    return house


def test_licences_come_together_by_their_identifier_however_it_was_written(city: House) -> None:
    first, second, third = licence("A1"), licence("A2"), licence("A2", "002")
    header = ["电子证照标识", "持证主体代码", "许可范围"]
    rows = [
        [first.lower().translate({ord("."): "．"}), COMPANY.lower(), "食品"],
        [second, PERSON, "药品"],
        [third, PERSON, "药品"],
        [first[:-1] + ("1" if first[-1] == "0" else "0"), COMPANY, "食品"],
        [licence("A3"), "410802500101001", "食品"],
    ]
    push = kit.land(city, "market_licence", header, rows, caller=kit.MARKET)
    verdict = way.process(city, push)
    assert (verdict.accepted_rows, kit.failed(verdict)) == (
        3,
        {"cert_identifier.cert_identifier": 1, "holder_code.party_code": 1},
    )
    copies = [[first, COMPANY, "食品销售"], [licence("A9"), make.uscc(99), "烟草"]]
    way.process(city, kit.land(city, "civil_copy", header, copies, caller=kit.CIVIL))
    built = merge.build(city, "elicense")
    assert built is not None
    assert (built.rows, built.conflicts) == (4, 1)
    assert (built.links["holder_code"]["resolved"], built.links["holder_code"]["unresolved"]) == (3, 1)
    one = explain(city, "elicense", first.lower())
    assert [(part.field, part.value) for part in one.fields] == [("holder_code", COMPANY), ("scope", "食品销售")], (
        "since the first of July the copies' word counts"
    )
    assert one.links == (LinkFollowed("holder_code", "legal_entity", closed=False),)
    assert explain(city, "elicense", third).links == (LinkFollowed("holder_code", "population", closed=False),)


def test_credit_has_one_record_a_subject_and_its_events_under_it(city: House) -> None:
    header = ["行政相对人代码", "行政相对人名称", "文号", "处罚机关", "状态", "更新时间"]
    rows = [
        [COMPANY, "旧名", "1 号", make.MARKET, "有效", "2026-01-01 08:00:00"],
        [COMPANY, "一厂", "2 号", make.MARKET, "有效", "2026-02-01 08:00:00"],
        [COMPANY, "一厂", "2 号", make.TAX, "无效", "2026-01-15 08:00:00"],
        [PERSON.lower(), "甲", "3 号", make.MARKET, "有效", "2026-01-01 08:00:00"],
    ]
    way.process(city, kit.land(city, "market_penalty", header, rows, caller=kit.MARKET))
    taxes = [[COMPANY, "一厂（税）", "正常"], [make.uscc(77), "他厂", "非正常"]]
    tax = kit.land(
        city, "tax_payer", ["统一社会信用代码", "纳税人名称", "纳税人状态"], taxes, caller=kit.Caller("c", make.TAX)
    )
    way.process(city, tax)
    built = merge.build(city, "credit")
    assert built is not None
    assert (built.rows, built.conflicts) == (3, 1)
    assert built.satellites == {"events": {"rows": 4, "closed": 0, "conflicts": 0, "orphans": 0}}
    assert (built.links["party_code"]["resolved"], built.links["party_code"]["unresolved"]) == (2, 1)
    company = explain(city, "credit", COMPANY)
    assert [(part.field, part.value) for part in company.fields] == [("party_name", "一厂"), ("tax_status", "正常")]
    assert [tuple(part.value for part in row.fields) for row in company.rows] == [
        ("1 号", make.MARKET, "有效"),
        ("2 号", make.MARKET, "有效"),
        ("2 号", make.TAX, "无效"),
    ]
    assert company.links == (LinkFollowed("party_code", "legal_entity", closed=False),)
    assert explain(city, "credit", PERSON).links == (LinkFollowed("party_code", "population", closed=False),)
    assert catalogue.base(city, "credit").key_identifier == "party_code"
