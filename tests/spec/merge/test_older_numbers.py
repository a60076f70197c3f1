"""Entities that a source knows by an older number: 组织机构代码 is inside the 统一社会信用代码, 注册号 is registered beside it."""

from collections.abc import Sequence

import pytest

from exchange.catalogue.model import BaseDefinition, FieldSource
from tests import make as numbers
from tests.drawn import Row, drawn
from tests.pools.given import item, resource
from tests.spec.merge.cities import City
from tests.spec.merge.conftest import Make, field

MARKET = resource(
    "market",
    (item("uscc", identifier="uscc"), item("reg_no", identifier="registration_no"), item("name")),
    ("uscc",),
    "公安局",
)
CUSTOMS = resource("customs", (item("uscc", identifier="uscc"), item("name"), item("rating")), ("uscc",), "卫健委")
BANK = resource("bank", (item("org", identifier="org_code"), item("name"), item("account")), ("org",), "民政局")
ARCHIVE = resource("archive", (item("reg", identifier="registration_no"), item("name"), item("shelf")), ("reg",), "人社局")
KEYS = {"market": "uscc", "customs": "uscc", "bank": "org", "archive": "reg"}
ENTITIES = BaseDefinition(
    id="entities",
    version=1,
    title="法人",
    key="uscc",
    key_identifier="uscc",
    key_sources=tuple(FieldSource(resource=name, item=key) for name, key in KEYS.items()),
    fields=(
        field("name", "market.name", "customs.name", "bank.name", "archive.name"),
        field("account", "bank.account"),
        field("shelf", "archive.shelf"),
        field("rating", "customs.rating"),
    ),
)
A, B = numbers.uscc(1), numbers.uscc(2)
ORG_A, ORG_B = A[8:17], B[8:17]
REG_A, REG_B = "410802000000011", "410802000000022"


@pytest.fixture
def city(make: Make) -> City:
    return make(ENTITIES, [MARKET, CUSTOMS, BANK, ARCHIVE])


def shown(city: City, *fields: str) -> list[tuple[str | None, ...]]:
    return [tuple(row[name] for name in ("key", *fields)) for row in city.base()]


def rows(header: str, *lines: Sequence[str | None]) -> list[Row]:
    return [dict(zip(header.split(), line, strict=True)) for line in lines]


def test_an_organisation_code_joins_the_code_it_is_inside_of(city: City) -> None:
    city.push("market", rows("uscc name", (A, "甲公司"), (B, "乙公司")))
    city.push("bank", rows("org name account", (ORG_A, "甲", "账户一"), ("999999990", "丙", "账户九")))
    city.build()
    assert shown(city, "name", "account", "account from") == sorted(
        [(A, "甲公司", "账户一", "bank"), (B, "乙公司", None, None)]
    )
    assert city.conflicts() == drawn(
        f"key | field | winner | said | loser | but said\n {A} | name | market | 甲公司 | bank | 甲"
    )
    assert [row for row in city.since() if row["source"] == "bank"] == [
        {"key": A, "field": "account", "source": "bank", "said": "账户一", "since": "2"},
        {"key": A, "field": "name", "source": "bank", "said": "甲", "since": "2"},
    ]


def test_a_registration_number_joins_the_code_it_is_registered_with(city: City) -> None:
    city.push("market", rows("uscc reg_no name", (A, REG_A, "甲公司"), (B, None, "乙公司")))
    city.push("archive", rows("reg name shelf", (REG_A, "甲", "一架"), (REG_B, "乙", "二架")))
    city.build()
    assert shown(city, "name", "shelf") == sorted([(A, "甲公司", "一架"), (B, "乙公司", None)])


def test_a_number_that_two_codes_have_joins_neither(city: City) -> None:
    city.push("market", rows("uscc reg_no name", (A, REG_A, "甲公司"), (B, REG_A, "乙公司")))
    city.push("archive", rows("reg name shelf", (REG_A, "甲", "一架")))
    city.build()
    assert shown(city, "shelf") == sorted([(A, None), (B, None)])


def test_unless_a_person_says_which(city: City) -> None:
    city.push("market", rows("uscc reg_no name", (A, REG_A, "甲公司"), (B, REG_A, "乙公司")))
    city.push("archive", rows("reg name shelf", (REG_A, "甲", "一架")))
    city.alias(REG_A, B, "archive")
    city.build()
    assert shown(city, "shelf") == sorted([(A, None), (B, "一架")])


def test_or_says_that_the_two_codes_are_one(city: City) -> None:
    city.push("market", rows("uscc reg_no name", (A, REG_A, "甲公司"), (B, REG_A, "乙公司")))
    city.push("customs", rows("uscc name rating", (A, "甲", "一级")))
    city.push("archive", rows("reg name shelf", (REG_A, "甲", "一架")))
    city.push("bank", rows("org name account", (ORG_A, "甲", "账户一")))
    city.alias(A, B)
    city.build()
    assert shown(city, "name", "shelf", "rating", "account") == [(B, "乙公司", "一架", "一级", "账户一")]


def test_any_source_of_codes_will_do_and_what_it_no_longer_says_joins_no_more(city: City) -> None:
    city.push("customs", rows("uscc name rating", (A, "甲", "一级")))
    city.push("bank", rows("org name account", (ORG_A, "甲", "账户一")))
    city.build()
    assert shown(city, "account", "rating", "closed") == [(A, "账户一", "一级", None)]
    city.push("customs", rows("uscc name rating", (B, "乙", "二级")))
    city.build()
    assert shown(city, "account", "rating", "closed") == sorted([(A, "账户一", "一级", "yes"), (B, None, "二级", None)])
