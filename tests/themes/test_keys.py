"""A theme may have any kind of key that a base has; one that may be a person's number is guarded as a person's number is."""

import asyncio
from typing import Any

import pytest

from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import AccessRefused, CatalogueError
from exchange.house import House
from pools import merge, way
from pools.reader import IndexReader
from tests import make
from tests.delivery.kit import PERSON
from tests.delivery.kit import given as granted_to
from tests.themes.kit import PURPOSE, approved, granted, push

CERTIFICATE = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"  # the standard's worked example
FIRM, MAN = make.uscc(3), make.resident(3)
LICENCE = make.resource(
    "licence",
    make.MARKET,
    [
        make.item("cert", "证照标识", "C128", required=True, identifier="cert_identifier"),
        make.item("status", "状态", "C10"),
    ],
    ["cert"],
)
PENALTY = make.resource(
    "penalty",
    make.MARKET,
    [
        make.item("party", "相对人代码", "C18", required=True, identifier="party_code", sensitivity="personal", mask="all"),
        make.item("content", "内容", "C50"),
    ],
    ["party"],
)
GRADE = make.resource("grade", make.TAX, [make.USCC, make.item("grade", "等级", "C2")], ["uscc"])
BASES = [
    make.population(),
    make.legal_entity(),
    {
        "id": "elicense",
        "title": "电子证照库",
        "key": "cert",
        "key_identifier": "cert_identifier",
        "key_sources": ["licence.cert"],
        "fields": [{"name": "status", "sources": "licence.status"}],
    },
    {
        "id": "credit",
        "title": "信用信息库",
        "key": "party",
        "key_identifier": "party_code",
        "key_sources": ["penalty.party", "grade.uscc"],
        "fields": [{"name": "content", "sources": "penalty.content"}, {"name": "grade", "sources": "grade.grade"}],
    },
]


def city(house: House, select: str, key: str, identifier: str, *names: str) -> None:
    fields = [{"name": name, "title": name, "type": kind} for name, kind in (each.split(":") for each in names)]
    theme = make.theme(select, fields, key=key, key_identifier=identifier)
    make.small_city(house, resources=[*make.some_resources(), LICENCE, PENALTY, GRADE], bases=BASES, themes=[theme])
    push(house, "licence", [{"cert": CERTIFICATE, "status": "有效"}])
    push(house, "penalty", [{"party": FIRM, "content": "罚款"}, {"party": MAN, "content": "警告"}])
    push(house, "grade", [{"uscc": FIRM, "grade": "A"}])
    for base in ("elicense", "credit"):
        assert merge.build(house, base) is not None


def answer(house: House, key: str, *fields: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        asked = Request("theme:couples", "query", (key,), fields, PURPOSE, PERSON)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), Caller("c", make.TAX), asked)).as_dict()["records"][
                0
            ]
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def test_by_a_licence(house: House) -> None:
    city(house, "SELECT cert, status FROM base.elicense", "cert", "cert_identifier", "status:C10")
    granted(house, "base:elicense", "cert", "status")
    approved(house)
    assert way.refresh(house, "couples") is not None
    granted_to(house, make.TAX, target="theme:couples", fields=["status"], purpose=PURPOSE)
    assert answer(house, f" {CERTIFICATE.lower()} ", "status")["values"] == {"status": "有效"}


SELECT = "SELECT COALESCE(c.party, g.uscc) AS party, c.content, g.grade FROM base.credit c LEFT JOIN pool.grade g ON g.uscc = c.party"


def test_by_a_party_who_may_be_a_person(house: House) -> None:
    city(house, SELECT, "party", "party_code", "content:C50", "grade:C2")
    granted(house, "pool:grade", "uscc", "grade")
    masked = granted(house, "base:credit", "party", "content", unmasked=["content"])
    with pytest.raises(AccessRefused) as refused:
        approved(house)
    assert (refused.value.facts["reason"], refused.value.facts["missing"]) == ("unmasked-not-granted", ["party"])
    assert masked.id in refused.value.zh
    granted(house, "base:credit", "party", "content")
    approved(house)
    assert way.refresh(house, "couples") is not None
    granted_to(house, make.TAX, target="theme:couples", fields=["content", "grade"], purpose=PURPOSE)
    assert [answer(house, key, "content", "grade")["values"] for key in (FIRM, MAN)] == [
        {"content": "罚款", "grade": "A"},
        {"content": "警告", "grade": None},
    ]


def test_a_key_of_another_kind_is_none(house: House) -> None:
    with pytest.raises(CatalogueError) as refused:
        city(house, "SELECT party AS uscc, content FROM base.credit", "uscc", "uscc", "content:C50")
    assert refused.value.findings == [
        "themes/couples.yaml:5 [couples] theme-key：主键须原样取自 identifier: uscc 的列（可用 COALESCE 取多列之一），base:credit.party "
        "不是 / the key must be a column with `identifier: uscc` as it is (or a COALESCE of such); base:credit.party is none"
    ]
