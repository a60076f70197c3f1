"""What a later load may not change: a base's key, a department that still has rights, names the house needs itself."""

from datetime import date

import pytest

from exchange import catalogue, clients, grants
from exchange.errors import CatalogueError
from exchange.house import House
from tests import make


def refused(house: House, **parts: object) -> str:
    folder = make.write_catalogue(house.settings.root.parent / "catalogue", **parts)  # type: ignore[arg-type]
    with pytest.raises(CatalogueError) as found:
        catalogue.load(house, folder)
    return "\n".join(found.value.findings)


def test_the_key_of_a_base_stays(house: House) -> None:
    make.small_city(house)
    said = refused(house, bases=[make.population(), make.legal_entity(key="code")])
    assert "基础库的主键不可由 uscc 改为 code" in said
    assert "write uscc again or make a new base under another id" in said


def test_a_department_with_live_grants_or_clients_is_not_taken_out(house: House) -> None:
    make.small_city(house)
    client, _ = clients.create(house, make.TAX, "系统")
    given = grants.give(
        house, make.TAX, "base:population", fields=["name"], modes=["query"], purpose="核定",
        legal_basis="税收征收管理法 第六条", valid_from=date(2020, 1, 1), valid_until=date(2099, 1, 1), unmasked=[],
    )  # fmt: skip
    without_tax = {
        "departments": [entry for entry in make.some_departments() if entry["code"] != make.TAX],
        "resources": [make.police_household(), make.civil_marriage(), make.market_entity()],
        "bases": [make.population()],
    }
    said = refused(house, **without_tax)
    assert f"department {make.TAX} is not listed but still has 1 live 授权 grants" in said
    assert f"部门 {make.TAX} 不在名单里，但还有 1 个有效的系统 clients" in said
    clients.revoke(house, client)
    grants.revoke(house, given.id)
    make.small_city(house, **without_tax)


def test_a_base_cannot_take_the_name_of_another_s_conflicts(house: House) -> None:
    assert "an id may not end in _conflict" in refused(house, bases=[{**make.population(), "id": "people_conflict"}])


def test_a_field_of_a_base_holds_the_numbers_of_all_its_sources_unrounded(house: House) -> None:
    market = make.market_entity()
    market["items"] = [*market["items"], make.item("ratio", "持股比例", "N20,10")]
    tax = make.tax_payer()
    tax["items"] = [*tax["items"], make.item("ratio", "持股比例", "N30,2")]
    ratio = {"name": "ratio", "sources": ["market_entity.ratio", "tax_payer.ratio"]}
    base = make.legal_entity()
    base["fields"] = [*base["fields"], ratio]
    parts = {"resources": [market, tax], "bases": [base]}
    make.small_city(house, **parts)
    (field,) = [field for field in catalogue.base(house, "legal_entity").fields if field.name == "ratio"]
    assert (field.length, field.scale) == (38, 10)
    tax["items"][-1] = make.item("ratio", "持股比例", "N31,2")
    assert "together exceed 38, so they can't stand side by side unrounded" in refused(house, **parts)
