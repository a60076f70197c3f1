"""Grants: nothing without one that covers everything; none that could not be lawful."""

from datetime import timedelta
from typing import Any

import pytest

from exchange import catalogue, grants, targets
from exchange.errors import AccessRefused, NotFound, RequestInvalid
from exchange.grants import Need
from exchange.house import House
from tests import make
from tests.delivery.kit import PURPOSE, given

TODAY = grants.today()


def need(**more: Any) -> Need:
    ordinary: dict[str, Any] = {"target": "base:population", "mode": "query", "fields": ("name",), "purpose": PURPOSE}
    return Need(**(ordinary | more))


def test_a_grant_is_kept_listed_and_taken_back(house: House) -> None:
    make.small_city(house)
    one = given(house)
    assert one.as_dict() == {
        "id": one.id,
        "department": make.CIVIL,
        "target": "base:population",
        "fields": ("name", "marital_code", "mobile"),
        "unmasked": (),
        "modes": ("query",),
        "purpose": PURPOSE,
        "legal_basis": "《婚姻登记条例》第四条",
        "valid_from": (TODAY - timedelta(days=1)).isoformat(),
        "valid_until": (TODAY + timedelta(days=30)).isoformat(),
        "revoked_at": None,
    }
    other = given(house, make.TAX, fields=["sex_code"])
    assert grants.list_grants(house) == [one, other]
    assert grants.list_grants(house, make.TAX) == [other]
    assert grants.check(house, make.CIVIL, need()) == one
    grants.revoke(house, one.id)
    assert grants.list_grants(house, make.CIVIL)[0].revoked_at is not None
    with pytest.raises(NotFound, match=f"没有编号为 {one.id} 的有效授权 / no grant {one.id}, or it was revoked before"):
        grants.revoke(house, one.id)


ASK = "请向市公安局（数据科）申请"
ASK_EN = "Ask 市公安局 (数据科)"
# what the grant says otherwise, what is asked otherwise -> reason, missing, zh, en
REFUSALS: list[tuple[dict[str, Any], dict[str, Any], str, list[str], str, str]] = [
    (
        {"valid_until": TODAY - timedelta(days=1)},
        {},
        "grant-expired",
        ["grant"],
        f"授权 {{id}} 已于 {TODAY - timedelta(days=1)} 到期。{ASK}",
        f"grant {{id}} expired on {TODAY - timedelta(days=1)}. {ASK_EN}",
    ),
    (
        {"valid_from": TODAY + timedelta(days=1)},
        {},
        "grant-not-yet-valid",
        ["grant"],
        f"授权 {{id}} 自 {TODAY + timedelta(days=1)} 起才有效。{ASK}",
        f"grant {{id}} is valid only from {TODAY + timedelta(days=1)}. {ASK_EN}",
    ),
    (
        {"modes": ["verify", "batch"]},
        {},
        "mode-not-granted",
        ["query"],
        f"授权 {{id}} 不含方式 query，只含 verify、batch。{ASK}",
        f"grant {{id}} does not include the mode query, only verify, batch. {ASK_EN}",
    ),
    (
        {},
        {"purpose": "好奇"},
        "purpose-not-granted",
        ["purpose"],
        f"授权 {{id}} 的用途是“{PURPOSE}”，与申明的用途不同。{ASK}",
        f'grant {{id}} is for the purpose "{PURPOSE}", not for the one stated. {ASK_EN}',
    ),
    (
        {},
        {"fields": ("name", "address", "no_such", "别的")},
        "fields-not-granted",
        ["address", "+2"],
        f"授权 {{id}} 不含字段 address、+2。{ASK}",
        f"grant {{id}} does not cover the fields address, +2. {ASK_EN}",
    ),
]


@pytest.mark.parametrize(("grant", "asked", "reason", "missing", "zh", "en"), REFUSALS)
def test_a_refusal_says_what_is_missing_and_whom_to_ask(
    house: House,
    grant: dict[str, Any],
    asked: dict[str, Any],
    reason: str,
    missing: list[str],
    zh: str,
    en: str,
) -> None:
    make.small_city(house)
    one = given(house, **grant)
    with pytest.raises(AccessRefused) as refused:
        grants.check(house, make.CIVIL, need(**asked))
    assert (refused.value.zh, refused.value.en) == (zh.format(id=one.id), en.format(id=one.id))
    assert refused.value.facts == {
        "reason": reason,
        "missing": missing,
        "ask": [{"department": make.POLICE, "name": "市公安局", "contact": "数据科"}],
    }


def test_without_any_grant_every_provider_of_the_target_is_named(house: House) -> None:
    make.small_city(house)
    given(house, make.TAX)
    with pytest.raises(AccessRefused) as refused:
        grants.check(house, make.CIVIL, need())
    assert refused.value.zh == (
        "贵部门没有人口基础信息库（base:population）的授权。请向市公安局（数据科）、市民政局（联系方式未登记）申请"
    )
    assert refused.value.en == (
        "your department has no grant on base:population. Ask 市公安局 (数据科), 市民政局 (no contact registered)"
    )


def test_grants_are_not_added_together_and_the_nearest_one_speaks(house: House) -> None:
    make.small_city(house)
    expired = given(house, fields=["name"], valid_until=TODAY - timedelta(days=1))
    names = given(house, fields=["name"])
    phones = given(house, fields=["mobile"])
    assert grants.check(house, make.CIVIL, need(fields=("mobile",))) == phones
    with pytest.raises(AccessRefused, match="不含字段") as refused:
        grants.check(house, make.CIVIL, need(fields=("name", "mobile")))
    assert expired.id not in refused.value.zh
    assert names.id in refused.value.zh or phones.id in refused.value.zh


def test_of_several_grants_the_one_that_unmasks_most_of_what_is_asked_counts(house: House) -> None:
    make.small_city(house)
    given(house)
    plain_name = given(house, unmasked=["name"])
    plain_rest = given(house, unmasked=["mobile", "marital_code"])
    newest = given(house)
    for fields, one in (
        (("name",), plain_name),
        (("name", "mobile"), plain_rest),  # as good as the other, and newer
        (("name", "mobile", "marital_code"), plain_rest),
    ):
        assert grants.check(house, make.CIVIL, need(fields=fields)) == one
    grants.revoke(house, plain_rest.id)
    assert grants.check(house, make.CIVIL, need(fields=("mobile",))) == newest


@pytest.mark.parametrize(("offset", "allowed"), [(-2, False), (-1, True), (30, True), (31, False)])
def test_both_days_of_a_grant_are_included(house: House, offset: int, allowed: bool) -> None:
    make.small_city(house)
    one = given(house)
    target_check = lambda: grants.check(house, make.CIVIL, need(), TODAY + timedelta(days=offset))  # noqa: E731
    if allowed:
        assert target_check() == one
    else:
        with pytest.raises(AccessRefused):
            target_check()


FIELDS = "id_number, name, sex_code, birth_date, address, marital_code, mobile"
MODES = "query, online_query, verify, batch, db_push, theme"


@pytest.mark.parametrize(
    ("wrong", "zh", "en"),
    [
        ({"fields": []}, "没有写明字段", "no fields"),
        ({"fields": ["name", "blood"]}, "没有字段 blood", "no such fields: blood"),
        ({"unmasked": ["address"]}, "不脱敏的字段 address 不在授权字段中", "unmasked but not granted: address"),
        ({"modes": []}, "没有写明方式", "no modes"),
        ({"modes": ["fax"]}, "没有方式 fax", "no such modes: fax"),
        ({"purpose": "  "}, "没有写明用途", "no purpose"),
        (
            {"valid_until": TODAY - timedelta(days=2)},
            f"有效期至 {TODAY - timedelta(days=2)} 早于 {TODAY - timedelta(days=1)}",
            f"{TODAY - timedelta(days=2)} is before {TODAY - timedelta(days=1)}",
        ),
    ],
)
def test_a_grant_that_makes_no_sense_is_not_given(house: House, wrong: dict[str, Any], zh: str, en: str) -> None:
    make.small_city(house)
    with pytest.raises(RequestInvalid) as refused:
        given(house, **wrong)
    assert refused.value.zh == f"base:population 的授权有误：{zh}。字段有：{FIELDS}；方式有：{MODES}"
    assert refused.value.en == f"a wrong grant on base:population: {en}. Fields: {FIELDS}; modes: {MODES}"
    assert grants.list_grants(house) == []


def test_a_conditional_field_needs_a_legal_basis_and_an_unconditional_one_does_not(house: House) -> None:
    make.small_city(house)
    with pytest.raises(AccessRefused) as refused:
        given(house, fields=["name", "mobile"], legal_basis=" ")
    assert refused.value.zh == "mobile 属有条件共享，授权须写明依据"
    assert refused.value.en == "mobile: shared on conditions (有条件共享), so a grant must state its legal basis"
    assert given(house, fields=["name", "sex_code"], legal_basis="").legal_basis == ""


def test_what_is_not_to_be_shared_can_not_be_granted(house: House) -> None:
    basis = {"title": "某法", "article": "第一条", "level": "法律"}
    secret = make.civil_marriage(share={"type": 3, "basis": basis})
    make.small_city(house, resources=[secret], bases=[])
    with pytest.raises(AccessRefused) as refused:
        given(house, make.TAX, target="pool:civil_marriage", fields=["name", "mobile"])
    assert refused.value.zh == "name、mobile 属不予共享，不能授权"
    assert refused.value.en == "name, mobile: not to be shared (不予共享), so it can't be granted"


@pytest.mark.parametrize("target", ["base:nothing", "pool:nothing", "population", "", "secret:population"])
def test_an_unknown_target(house: House, target: str) -> None:
    make.small_city(house)
    with pytest.raises(NotFound, match="目录中没有这个库或资源，请写作 base:<基础库>、theme:<主题库> 或 pool:<资源>"):
        given(house, target=target)


def test_an_unknown_department(house: House) -> None:
    make.small_city(house)
    with pytest.raises(NotFound, match="没有代码为 X 的部门 / no department has the code X"):
        given(house, "X")


def test_what_was_taken_out_of_the_catalogue_is_no_target(house: House) -> None:
    make.small_city(house)
    make.small_city(house, resources=[make.market_entity(), make.tax_payer()], bases=[make.legal_entity()])
    for target in ("base:population", "pool:police_household"):
        with pytest.raises(NotFound), house.registry.session() as session:
            targets.load(session, target)


def test_a_target_says_who_provides_and_masks_each_field(house: House) -> None:
    make.small_city(house)
    with house.registry.session() as session:
        base, pool = targets.load(session, "base:population"), targets.load(session, "pool:police_household")
    assert {
        name: (field.mask, field.share.name, [p.name for p in field.providers]) for name, field in base.fields.items()
    } == {
        "id_number": (None, "UNCONDITIONAL", ["市公安局", "市民政局"]),
        "name": ("name", "UNCONDITIONAL", ["市公安局", "市民政局"]),
        "sex_code": (None, "UNCONDITIONAL", ["市公安局"]),
        "birth_date": ("birth_date", "UNCONDITIONAL", ["市公安局"]),
        "address": ("address", "CONDITIONAL", ["市公安局"]),
        "marital_code": ("all", "CONDITIONAL", ["市民政局"]),
        "mobile": ("mobile", "CONDITIONAL", ["市公安局", "市民政局"]),
    }
    assert {name: field.mask for name, field in pool.fields.items()} == {
        "id_number": None,
        "name": "name",
        "sex_code": None,
        "birth_date": "birth_date",
        "address": "address",
        "mobile": "mobile",
        "updated_at": None,
    }
    assert catalogue.resource(house, "police_household").title == pool.title


@pytest.mark.parametrize(("days", "asked"), [(-1, "市民政局"), (0, "市民政局"), (1, "市公安局")])
def test_whom_to_ask_is_who_counts_today(house: House, days: int, asked: str) -> None:
    population = make.population()
    turn = {"from": str(TODAY + timedelta(days=days)), "sources": ["civil_marriage.mobile", "police_household.mobile"]}
    population["fields"][5]["authority"] = [turn]
    make.small_city(house, bases=[population, make.legal_entity()])
    with house.registry.session() as session:
        target = targets.load(session, "base:population")
    assert [one["name"] for one in target.whom_to_ask(["mobile"])] == [asked]
