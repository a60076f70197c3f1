"""Rows of satellites come out by query: granted, masked, evidenced and sourced field by field, as the record itself."""

import asyncio
from typing import Any

import pytest

from exchange import access_log, catalogue
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import AccessRefused, RequestInvalid
from exchange.house import House
from pools import index, merge, way
from pools.merge import BuildView
from pools.reader import IndexReader
from tests import make
from tests.api.commands import Terminal
from tests.delivery.kit import PERSON, PURPOSE, given, log
from tests.pools.given import OPERATOR, pooled

SHOP, MILL, GONE = (make.uscc(n) for n in (11, 12, 13))
LICENCE = make.resource(
    "market_licence",
    make.MARKET,
    [
        make.item("licence_no", "证号", "C20", required=True),
        make.USCC,
        make.item("scope", "范围", "C50"),
        make.item("fee", "费用", "N18,6"),
        make.item("phone", "联系电话", "C11", sensitivity="personal", mask="mobile"),
    ],
    ["licence_no"],
)
COPY = make.resource("tax_licence", make.TAX, LICENCE["items"], ["licence_no"])
LICENCES = {
    "id": "licences",
    "title": "持有证照",
    "parent_sources": ["market_licence.uscc", "tax_licence.uscc"],
    "key": "licence_no",
    "fields": [
        {"name": name, "sources": [f"market_licence.{name}", f"tax_licence.{name}"]}
        for name in ("licence_no", "scope", "fee", "phone")
    ],
}
ALL = ("entity_name", "licences.licence_no", "licences.scope", "licences.fee", "licences.phone")


@pytest.fixture
def city(house: House) -> House:
    make.small_city(
        house,
        resources=[*make.some_resources(), LICENCE, COPY],
        bases=[make.population(), make.legal_entity(satellites=[LICENCES])],
    )
    push(house, "market_entity", 1, {"uscc": SHOP, "entity_name": "甲店"}, {"uscc": MILL, "entity_name": "乙厂"})
    push(
        house,
        "market_licence",
        1,
        {"licence_no": "JY-2", "uscc": SHOP, "scope": "酒", "phone": "13900001234"},
        {"licence_no": "JY-1", "uscc": SHOP, "fee": "12.50", "phone": "13900001234"},
        {"licence_no": "JY-9", "uscc": GONE, "scope": "茶"},
    )
    push(house, "tax_licence", 1, {"licence_no": "JY-1", "uscc": SHOP, "scope": "糕点"})
    return house


def push(house: House, resource: str, batch: int, *rows: dict[str, Any]) -> None:
    number = f"P2611{batch:02}-{sum(map(ord, resource)):010x}"
    pooled(house, catalogue.resource(house, resource), batch, list(rows), push_id=number)


def built(house: House) -> BuildView:
    found = way.rebuild(house, "legal_entity")
    assert found is not None
    return found


def granted(house: House, *fields: str, **more: Any) -> None:
    given(house, target="base:legal_entity", fields=list(fields), **more)


def ask(house: House, *keys: str, fields: tuple[str, ...] = ALL, as_of: str | None = None) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        request = Request("base:legal_entity", "query", keys, fields, PURPOSE, PERSON, as_of)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), Caller("c", make.CIVIL), request)).as_dict()
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def row(closed: bool = False, whose: str = "S2", **values: str | None) -> dict[str, Any]:
    """A row as it is answered; `whose`: who said its values."""
    every = {"licence_no": None, "scope": None, "fee": None, "phone": None} | values
    said = {name: whose for name, value in every.items() if value is not None}
    return {"closed": closed, "values": every, "sources": said}


def test_the_licences_of_a_holder_are_a_list_under_it(city: House) -> None:
    granted(city, *ALL)
    first = built(city)
    found = ask(city, SHOP, MILL, GONE)
    mixed = row(licence_no="JY-1", fee="12.500000", phone="139****1234", scope="糕点")
    mixed["sources"]["scope"] = "S3"
    assert found["records"] == [
        {
            "key": SHOP,
            "found": True,
            "closed": False,
            "values": {"entity_name": "甲店"},
            "sources": {"entity_name": "S1"},
            "satellites": {"licences": [mixed, row(licence_no="JY-2", scope="酒", phone="139****1234")]},
        },
        {
            "key": MILL,
            "found": True,
            "closed": False,
            "values": {"entity_name": "乙厂"},
            "sources": {"entity_name": "S1"},
            "satellites": {"licences": []},
        },
        {"key": GONE, "found": False},  # rows of nobody are not kept
    ]
    assert [source["resource"] for source in found["sources"].values()] == [
        "market_entity",
        "market_licence",
        "tax_licence",
    ]
    assert (found["masked"], found["not_in_version"], found["version"]) == (["licences.phone"], [], first.id)
    assert [(one["target"], one["fields"], one["decision"], one["version"]) for one in log(city)] == [
        ("base:legal_entity", list(ALL), decision, first.id) for decision in ("answered", "answered", "not_found")
    ]
    seen = access_log.who_saw(city, SHOP, OPERATOR)
    assert [one["fields"] for one in seen] == [list(ALL)]


def test_only_what_was_granted_of_it_and_unmasked_if_granted_so(city: House) -> None:
    granted(city, "licences.licence_no", "licences.phone", unmasked=["licences.phone"])
    built(city)
    found = ask(city, SHOP, fields=("licences.phone",))
    [record] = found["records"]
    assert (record["values"], found["masked"]) == ({}, [])
    assert [one["values"] for one in record["satellites"]["licences"]] == [{"phone": "13900001234"}] * 2
    with pytest.raises(AccessRefused) as refused:
        ask(city, SHOP, fields=("licences.phone", "licences.scope"))
    assert (refused.value.facts["reason"], refused.value.facts["missing"]) == ("fields-not-granted", ["licences.scope"])
    assert log(city)[-1]["fields"] == ["licences.phone", "licences.scope"]


@pytest.mark.parametrize(
    "name", ["licences", "licences.", ".phone", "licences.uscc", "licences.licence_no.x", "branches.phone"]
)
def test_what_is_no_field_of_it_can_not_be_granted(city: House, name: str) -> None:
    with pytest.raises(RequestInvalid, match="没有字段"):
        granted(city, name)


def test_its_fields_are_shared_on_conditions_at_least(city: House) -> None:
    with pytest.raises(AccessRefused) as refused:
        granted(city, "licences.scope", legal_basis=" ")
    assert refused.value.facts["reason"] == "no-legal-basis"


def test_a_row_that_is_gone_is_closed_and_as_of_then_it_was_not(city: House) -> None:
    granted(city, *ALL)
    first = built(city)
    before = ask(city, SHOP)["records"]
    push(city, "market_licence", 2, {"licence_no": "JY-1", "uscc": SHOP, "fee": "1", "phone": "13900005678"})
    second = built(city)
    [now] = ask(city, SHOP)["records"]
    assert [
        (one["closed"], one["values"]["licence_no"], one["values"]["fee"]) for one in now["satellites"]["licences"]
    ] == [
        (False, "JY-1", "1.000000"),
        (True, "JY-2", None),
    ]
    assert ask(city, SHOP, as_of=first.id)["records"] == before
    assert ask(city, SHOP, as_of=second.id)["records"] == [now]


def test_a_version_from_before_the_satellite_says_that_it_had_none(city: House) -> None:
    with_it = make.legal_entity(satellites=[LICENCES])
    resources = [*make.some_resources(), LICENCE, COPY]
    make.small_city(city, resources=resources, bases=[make.population(), make.legal_entity()])
    first = built(city)
    make.small_city(city, resources=resources, bases=[make.population(), with_it])
    granted(city, *ALL)
    for as_of in (None, first.id):  # the definition changed, and nothing was built by it yet
        found = ask(city, SHOP, as_of=as_of)
        assert found["not_in_version"] == list(ALL[1:])
        assert found["records"][0]["satellites"] == {"licences": []}
    built(city)
    found = ask(city, SHOP)
    assert found["not_in_version"] == []
    assert len(found["records"][0]["satellites"]["licences"]) == 2


def test_who_is_asked_for_by_an_old_number_has_the_rows_of_both(city: House) -> None:
    push(city, "market_licence", 2, {"licence_no": "JY-3", "uscc": GONE}, {"licence_no": "JY-4", "uscc": SHOP})
    granted(city, "licences.licence_no")
    built(city)
    way.alias(city, OPERATOR, "legal_entity", GONE, SHOP, kind="wrong", basis="市监局更正 2026-11")
    [record] = ask(city, GONE, fields=("licences.licence_no",))["records"]
    shown = [(one["closed"], one["values"]["licence_no"]) for one in record["satellites"]["licences"]]
    assert (record["renumbered"]["kind"], shown) == ("wrong", [(False, "JY-1"), (False, "JY-3"), (False, "JY-4")])


def test_many_rows_under_one_record_and_none_of_its_neighbours(city: House) -> None:
    """Lines of a thousand licences share blocks with those of other records; each finds its own, in order."""
    rows = [{"licence_no": f"L{n:04}", "uscc": SHOP if n % 3 else MILL} for n in range(1000)]
    push(city, "market_licence", 2, *rows)
    granted(city, "licences.licence_no")
    build = built(city)
    assert build.satellites["licences"] == {"rows": 1001, "closed": 0, "conflicts": 0, "orphans": 0}
    for as_of in (None, build.id):
        found = ask(city, SHOP, MILL, fields=("licences.licence_no",), as_of=as_of)["records"]
        for record, wanted in zip(found, ([n for n in range(1000) if n % 3], range(0, 1000, 3)), strict=True):
            listed = [one["values"]["licence_no"] for one in record["satellites"]["licences"] if not one["closed"]]
            assert [name for name in listed if name.startswith("L")] == [f"L{n:04}" for n in wanted]


def test_the_commands_grant_and_query_them(city: House, monkeypatch: pytest.MonkeyPatch) -> None:
    built(city)
    terminal = Terminal(city, monkeypatch)
    terminal.run(
        "grant", "give", make.CIVIL, "base:legal_entity", "--field", "licences.scope", "--purpose", PURPOSE, "--basis", "某法",
        "--until", "2099-12-31",
    )  # fmt: skip
    found = terminal.json(
        "query", "base:legal_entity", SHOP, "--department", make.CIVIL, "--field", "licences.scope", "--purpose", PURPOSE
    )
    assert [one["values"] for one in found["records"][0]["satellites"]["licences"]] == [{"scope": "糕点"}, {"scope": "酒"}]


def test_the_index_tells_nobody_how_many_rows_there_are_under_whom(city: House) -> None:
    built(city)
    [path] = [one for one in index.folder(city, "base:legal_entity").iterdir() if one.suffix == ".lmdb"]
    stored = path.read_bytes()
    assert [word for word in ("JY-1", "licences", SHOP, "酒") if word.encode() in stored] == []
    assert merge.build(city, "legal_entity") is None
