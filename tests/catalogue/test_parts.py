"""Satellites, links and dated authority of a base: what load makes of them, and every mistake one can make."""

from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from exchange import catalogue
from exchange.catalogue.model import FieldSource, Link, Order, ShareType
from exchange.errors import CatalogueError
from exchange.house import House
from tests import make
from tests.make import Entry

HOLDER = make.item("holder_code", "持证主体代码", "C18", identifier="party_code", sensitivity="personal", mask="all")
CERT = make.item("cert_identifier", "电子证照标识", "C128", required=True, identifier="cert_identifier")
LICENCE = make.resource(
    "market_licence",
    make.MARKET,
    [CERT, HOLDER, make.item("scope", "许可范围", "C200"), make.item("count", "数量", "I")],
    ["cert_identifier"],
)
COPY = make.resource("civil_copy", make.CIVIL, [CERT, HOLDER, make.item("scope", "许可范围", "C100")], ["cert_identifier"])
ELICENSE: Entry = {
    "id": "elicense",
    "title": "电子证照库",
    "key": "cert_identifier",
    "key_identifier": "cert_identifier",
    "key_sources": ["market_licence.cert_identifier", "civil_copy.cert_identifier"],
    "fields": [
        {"name": "holder_code", "sources": ["market_licence.holder_code", "civil_copy.holder_code"]},
        {
            "name": "scope",
            "sources": ["market_licence.scope", "civil_copy.scope"],
            "authority": [{"from": "2026-07-01", "sources": ["civil_copy.scope", "market_licence.scope"]}],
        },
    ],
    "links": [{"field": "holder_code", "base": ["population", "legal_entity"]}],
}
LICENCES: Entry = {
    "id": "licences",
    "title": "持有证照",
    "parent_sources": ["market_licence.holder_code", "civil_copy.holder_code"],
    "key": "cert",
    "fields": [
        {"name": "cert", "sources": ["market_licence.cert_identifier", "civil_copy.cert_identifier"]},
        {"name": "scope", "sources": "market_licence.scope"},
    ],
}


def parts(elicense: Entry = ELICENSE, **population: Any) -> dict[str, Any]:
    """The small city with licences: a base of them, and a satellite of them under people."""
    people = make.population(satellites=[LICENCES]) | population
    return {
        "resources": [*make.some_resources(), deepcopy(LICENCE), deepcopy(COPY)],
        "bases": [people, make.legal_entity(), deepcopy(elicense)],
    }


def elicense(**more: Any) -> dict[str, Any]:
    return parts(ELICENSE | more)


def satellite(**more: Any) -> dict[str, Any]:
    return parts(satellites=[LICENCES | more])


def test_a_base_takes_its_parts_as_they_are_written(house: House) -> None:
    make.small_city(house, **parts())
    licences = catalogue.base(house, "elicense")
    assert licences.links == (Link(field="holder_code", base=("population", "legal_entity")),)
    scope = licences.fields[1]
    turned = (FieldSource(resource="civil_copy", item="scope"), FieldSource(resource="market_licence", item="scope"))
    assert scope.authority == (Order(since=date(2026, 7, 1), sources=turned),)
    assert licences.on(date(2026, 6, 30)).fields[1].sources == scope.sources
    assert licences.on(date(2026, 7, 1)).fields[1].sources == turned
    (under,) = catalogue.base(house, "population").satellites
    assert (under.key, [field.title for field in under.fields]) == (("cert",), ["电子证照标识", "许可范围"])
    assert {field.share_type for field in under.fields} == {ShareType.CONDITIONAL}
    assert catalogue.current(house).bases == tuple(
        catalogue.base(house, name) for name in ("elicense", "legal_entity", "population")
    )


def test_a_base_without_parts_keeps_its_version_and_its_text(house: House) -> None:
    """Bases loaded before there were parts must not look changed."""
    make.small_city(house)
    written = catalogue.base(house, "population").model_dump(mode="json")
    assert {"satellites", "links"} & set(written) == set()
    assert [field for field in written["fields"] if "authority" in field] == []
    assert catalogue.load(house, house.settings.root.parent / "catalogue").bases == {
        "legal_entity": "unchanged",
        "population": "unchanged",
    }


def test_another_order_of_authority_is_another_version(house: House) -> None:
    make.small_city(house, **parts())
    later = deepcopy(ELICENSE)
    later["fields"][1]["authority"][0]["from"] = "2026-08-01"
    make.small_city(house, **parts(later))
    assert catalogue.base(house, "elicense").version == 2


MISTAKES = [
    pytest.param(
        elicense(
            fields=[{"name": "scope", "sources": "market_licence.scope", "authority": [{"sources": "civil_copy.scope"}]}]
        ),
        [
            "bases/elicense.yaml:12 [elicense.scope] missing-field：缺少 fields.authority.from，请补上 / fields.authority.from is missing; add it"
        ],
        id="an order of no day",
    ),
    pytest.param(
        elicense(
            links=[],
            fields=[
                {
                    "name": "scope",
                    "sources": "market_licence.scope",
                    "authority": [
                        {"from": "2026-07-01", "sources": ["civil_copy.scope", "civil_copy.holder_code"]},
                        {"from": "2026-07-01", "sources": "market_licence.scop"},
                    ],
                }
            ],
        ),
        [
            "bases/elicense.yaml:17 [elicense.scope] source-known：资源 market_licence 没有信息项 scop，是否应为 scope / resource market_licence has no item scop; did you mean scope?",
            "bases/elicense.yaml:9 [elicense.scope] source-repeated：来源 civil_copy 写了两次 / source civil_copy is written twice",
            "bases/elicense.yaml:9 [elicense.scope] authority：authority 各条的 from 须逐条变晚，不得重复 / the days (`from`) of `authority` must rise, none twice",
        ],
        id="orders of one day, of one source twice, of an item that is not there",
    ),
    pytest.param(
        elicense(links=[{"field": "holder", "base": "populatoin"}]),
        [
            "bases/elicense.yaml:23 [elicense.holder] link-field：没有字段 holder，是否应为 holder_code / there is no field holder; did you mean holder_code?"
        ],
        id="a link of a field that is not there",
    ),
    pytest.param(
        elicense(links=[{"field": "holder_code", "base": "populatoin"}]),
        [
            "bases/elicense.yaml:23 [elicense.holder_code] link-base：没有基础库 populatoin，是否应为 population / there is no base populatoin; did you mean population?"
        ],
        id="a link to a base that is not there",
    ),
    pytest.param(
        elicense(links=[{"field": "scope", "base": "legal_entity"}, {"field": "holder_code", "base": "elicense"}]),
        [
            "bases/elicense.yaml:23 [elicense.scope] link-identifier：scope 的来源须有 identifier，且与所关联基础库的主键（uscc）相容 / the sources of scope need an identifier that can be a key of what it links to (uscc)",
            "bases/elicense.yaml:25 [elicense.holder_code] link-identifier：holder_code 的来源须有 identifier，且与所关联基础库的主键（cert_identifier）相容 / the sources of holder_code need an identifier that can be a key of what it links to (cert_identifier)",
        ],
        id="links that no value can follow",
    ),
    pytest.param(
        satellite(key=["cert", "scpe"]),
        [
            "bases/population.yaml:38 [population.licences] satellite-key：附表 licences 没有字段 scpe，是否应为 scope / satellite licences has no field scpe; did you mean scope?"
        ],
        id="a satellite keyed by no field of its own",
    ),
    pytest.param(
        satellite(key=["cert", "scope"]),
        [
            "bases/population.yaml:38 [population.licences] satellite-key：主键项 scope 须由每个来源提供，缺 civil_copy / every source must have the key item scope; missing: civil_copy"
        ],
        id="a satellite whose key one source does not have",
    ),
    pytest.param(
        satellite(
            fields=[
                LICENCES["fields"][0] | {"authority": [{"from": "2026-07-01", "sources": "market_licence.cert_identifier"}]}
            ]
        ),
        [
            "bases/population.yaml:38 [population.licences] satellite-key：主键项 cert 须由每个来源提供，缺 civil_copy / every source must have the key item cert; missing: civil_copy"
        ],
        id="a satellite whose key one source will not have",
    ),
    pytest.param(
        satellite(parent_sources=["market_licence.scope", "civil_copy.holder_code"]),
        [
            "bases/population.yaml:36 [population.licences] parent-source：market_licence.scope 须有与主表主键相容的标识（identifier: resident_number） / market_licence.scope must have an identifier that can be the parent's key (`identifier: resident_number`)"
        ],
        id="a satellite that hangs on no key",
    ),
    pytest.param(
        satellite(parent_sources=["market_licence.holder_code"]),
        [
            "bases/population.yaml:42 [population.cert] key-source：civil_copy 供给 cert，但 parent_sources 未写它的所属项 / civil_copy feeds cert, but parent_sources does not name its item of the parent's key"
        ],
        id="a source of a satellite that says of nobody",
    ),
    pytest.param(
        satellite(fields=[*LICENCES["fields"], {"name": "row_key", "sources": "market_licence.count", "benchmark": True}]),
        [
            "bases/population.yaml:46 [population.row_key] field-name：名称不得是 row_key（留给附表） / a name may not be row_key (kept for satellites)",
            "bases/population.yaml:48 [population.row_key] benchmark：附表没有基准项，请去掉 benchmark / a satellite has no benchmark items; remove `benchmark`",
        ],
        id="a satellite's field with a name kept free, shared with everybody",
    ),
    pytest.param(
        parts(satellites=[deepcopy(LICENCES), deepcopy(LICENCES) | {"id": "my_conflict"}, deepcopy(LICENCES)]),
        [
            "bases/population.yaml:59 [population] id-repeated：“licences” 已在 bases/population.yaml:33 [population] 用过，请换一个 / “licences” is already used at bases/population.yaml:33 [population]; choose another",
            "bases/population.yaml:46 [population.my_conflict] id-reserved：附表标识不得以 conflict 或 alias 结尾，与基础库标识合计不超过 48 个字符 / a satellite's id may not end in conflict or alias, and has at most 48 characters with its base's",
        ],
        id="satellites of one name, and one with a name kept free",
    ),
    pytest.param(
        elicense(id="population_licences"),
        [
            "bases/population_licences.yaml:1 [population_licences] id-reserved：标识 population_licences 是基础库 population 的附表名，请换一个 / population_licences is the name of a satellite of the base population; choose another id"
        ],
        id="a base with the name of a satellite",
    ),
    pytest.param(
        satellite(key=["cert", "cert"]),
        [
            "bases/population.yaml:38 [population.licences] satellite-key：“cert” 已在 bases/population.yaml:38 [population.licences] 用过，请换一个 / “cert” is already used at bases/population.yaml:38 [population.licences]; choose another"
        ],
        id="a satellite keyed by one field twice",
    ),
    pytest.param(
        satellite(id="licences__next"),
        [
            "bases/population.yaml:33 [population.licences__next] id-reserved：标识不得以 __next 结尾（留给重写中的表） / an id may not end in __next (kept for tables that are being written anew)"
        ],
        id="a satellite with the name of a draft",
    ),
    pytest.param(
        parts(
            ELICENSE
            | {
                "id": "population_held",
                "satellites": [
                    LICENCES
                    | {"id": "copies", "parent_sources": ["market_licence.cert_identifier", "civil_copy.cert_identifier"]}
                ],
            },
            satellites=[LICENCES | {"id": "held_copies"}],
        ),
        [
            "bases/population_held.yaml:28 [population_held.copies] id-reserved：附表 copies 与基础库 population 的一个附表同名（population_held_copies），请换一个标识 / satellite copies and one of the base population would share a name (population_held_copies); choose another id"
        ],
        id="satellites of two bases that would be one table",
    ),
    pytest.param(
        elicense(links=[{"field": "holder_code", "base": "population"}, {"field": "holder_code", "base": "legal_entity"}]),
        [
            "bases/elicense.yaml:25 [elicense.holder_code] link-field：“holder_code” 已在 bases/elicense.yaml:23 [elicense.holder_code] 用过，请换一个 / “holder_code” is already used at bases/elicense.yaml:23 [elicense.holder_code]; choose another"
        ],
        id="two links of one field",
    ),
    pytest.param(
        elicense(links=[{"field": "holder_code", "base": []}]),
        [
            "bases/elicense.yaml:24 [elicense] field-form：links.base 是 “[]”，应是至少一项 / links.base is “[]”; expected at least one"
        ],
        id="a link to nothing",
    ),
    pytest.param(
        elicense(key="row_key"),
        [
            "bases/elicense.yaml:3 [elicense] field-name：主键名称不得以 __src 结尾，也不得是 row_key（留给来源指针和附表） / a key's name may not end in __src and may not be row_key (kept for provenance and satellites)"
        ],
        id="a key with a name kept free",
    ),
    pytest.param(
        parts(satellites={}),
        [
            "bases/population.yaml:32 [population] field-form：satellites 是 “{}”，应是列表，每项以 “- ” 开头 / satellites is “{}”; expected a list, each line starting with `- `"
        ],
        id="satellites that are no list",
    ),
    pytest.param(
        parts(satellites="licences"),
        [
            "bases/population.yaml:32 [population] field-form：satellites 是 “licences”，应是列表，每项以 “- ” 开头 / satellites is “licences”; expected a list, each line starting with `- `"
        ],
        id="satellites that are a word",
    ),
    pytest.param(
        satellite(parent_source=["market_licence.holder_code"]),
        [
            "bases/population.yaml:46 [population.licences] unknown-field：不认识 satellites.parent_source，是否应为 parent_sources / satellites.parent_source is not a known name; did you mean parent_sources?"
        ],
        id="a satellite with a word misspelt",
    ),
]


@pytest.mark.parametrize(("changed", "expected"), MISTAKES)
def test_mistakes_are_told_with_their_place(tmp_path: Path, changed: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(CatalogueError) as refused:
        catalogue.read_folder(make.write_catalogue(tmp_path, **changed))
    assert [str(finding) for finding in refused.value.findings] == expected


def test_a_partys_code_is_personal(tmp_path: Path) -> None:
    resources = [*make.some_resources(), deepcopy(LICENCE)]
    resources[-1]["items"][1].pop("sensitivity")
    with pytest.raises(CatalogueError) as refused:
        catalogue.read_folder(make.write_catalogue(tmp_path, resources=resources))
    assert [str(finding) for finding in refused.value.findings] == [
        "resources/market_licence.yaml:21 [market_licence.holder_code] identifier-personal：行政相对人代码（可为公民身份号码）是个人信息，请写 sensitivity: 个人隐私 / a party's code, which may be a resident number, is personal; write `sensitivity: personal`"
    ]
