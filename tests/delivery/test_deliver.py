"""deliver: the only way out. Whole answers compared, and what each left in the log."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from exchange import access_log, grants
from exchange.callers import Caller
from exchange.delivery import MODES, Delivery, deliver
from exchange.delivery.mode import Record, Request
from exchange.errors import AccessRefused, ExchangeError, NotFound, RequestInvalid
from exchange.house import House
from exchange.registry.models import Resource
from tests import make
from tests.delivery.kit import (
    CIVIL_SYSTEM,
    LI,
    NOBODY,
    PERSON,
    PURPOSE,
    WANG,
    DictReader,
    asked,
    given,
    log,
    population_reader,
)


def delivered(house: House, request: Request, caller: Caller = CIVIL_SYSTEM, reader: DictReader | None = None) -> Delivery:
    async def run() -> Delivery:
        try:
            return await deliver(house, reader or population_reader(), caller, request)
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def settled(answer: dict[str, Any]) -> dict[str, Any]:
    """An answer without what differs each time."""
    return {name: value for name, value in answer.items() if name not in ("request_id", "answered_at", "grant")}


SOURCES = {
    "S1": {
        "resource": "police_household",
        "department": make.POLICE,
        "provider": "市公安局",
        "push": "P261101-0000000001",
        "batch": 7,
        "source_date": "2026-11-01",
        "overdue": False,
    },
    "S2": {
        "resource": "civil_marriage",
        "department": make.CIVIL,
        "provider": "市民政局",
        "push": "P261102-0000000002",
        "batch": 3,
        "source_date": "2026-11-02",
        "overdue": False,
    },
}


def test_an_answer_holds_what_was_granted_masked_and_who_said_it(house: House) -> None:
    make.small_city(house)
    grant = given(house)
    delivery = delivered(house, asked(keys=(LI, NOBODY, WANG), fields=("name", "mobile", "marital_code")))
    answer = delivery.as_dict()
    assert settled(answer) == {
        "target": "base:population",
        "title": "人口基础信息库",
        "version": "B261103-0000000003",
        "overdue": False,
        "masked": ["marital_code", "mobile", "name"],
        "not_in_version": [],
        "sources": SOURCES,
        "records": [
            {
                "key": LI,
                "found": True,
                "closed": False,
                "values": {"name": "李*成", "mobile": "139****1234", "marital_code": None},
                "sources": {"name": "S1", "mobile": "S1", "marital_code": "S2"},
            },
            {"key": NOBODY, "found": False},
            {
                "key": WANG,
                "found": True,
                "closed": True,
                "values": {"name": "王*", "mobile": "139****1234", "marital_code": None},
                "sources": {"name": "S1", "mobile": "S1", "marital_code": "S2"},
            },
        ],
    }
    assert answer["grant"] == grant.id
    assert answer["request_id"] == delivery.request_id
    common = {
        "retention": "share_record",
        "department": make.CIVIL,
        "client": "c-civil",
        "person": PERSON,
        "purpose": PURPOSE,
        "action": "query",
        "target": "base:population",
        "version": "B261103-0000000003",
        "fields": ["name", "mobile", "marital_code"],
        "answer": house.seal.keyed_hash("log answer", delivery.body),
        "reason": None,
        "request": delivery.request_id,
    }
    assert log(house) == [
        common | {"seq": 1, "subject": house.seal.subject(LI), "decision": "answered"},
        common | {"seq": 2, "subject": house.seal.subject(NOBODY), "decision": "not_found"},
        common | {"seq": 3, "subject": house.seal.subject(WANG), "decision": "answered"},
    ]
    assert access_log.verify(house).whole


def test_a_field_granted_plain_is_plain(house: House) -> None:
    make.small_city(house)
    given(house, unmasked=["name"])
    answer = delivered(house, asked()).as_dict()
    assert answer["masked"] == ["mobile"]
    assert answer["records"][0]["values"] == {"name": "李生成", "mobile": "139****1234"}


def test_the_key_is_read_however_it_is_written(house: House) -> None:
    make.small_city(house)
    given(house)
    reader = population_reader()
    written = (f" {LI.lower()}\u3000", "".join(chr(ord(c) + 0xFEE0) for c in LI), LI)
    answer = delivered(house, asked(keys=written), reader=reader).as_dict()
    assert reader.asked == [("base:population", (LI,))]
    assert [record["key"] for record in answer["records"]] == [LI]
    assert [record["subject"] for record in log(house)] == [house.seal.subject(LI)]


def test_an_overdue_source_is_said(house: House) -> None:
    make.small_city(house)
    given(house)
    with house.registry.session() as session:
        session.get_one(Resource, "civil_marriage").overdue_since = session.get_one(Resource, "civil_marriage").retired_at
    assert delivered(house, asked(fields=("marital_code",))).as_dict()["overdue"] is False
    with house.registry.session() as session:
        session.connection().exec_driver_sql("UPDATE resource SET overdue_since = now() WHERE id = 'civil_marriage'")
    answer = delivered(house, asked(fields=("marital_code", "name"))).as_dict()
    assert answer["overdue"] is True
    assert {source["resource"]: source["overdue"] for source in answer["sources"].values()} == {
        "civil_marriage": True,
        "police_household": False,
    }
    assert delivered(house, asked(fields=("name",))).as_dict()["overdue"] is False


TODAY = grants.today()
POPULATION = {"target": "base:population", "fields": ["name", "mobile"]}
# the grant, the caller, the request -> error, code of the reason
REFUSALS: dict[str, tuple[dict[str, Any] | None, Caller, Request, type[ExchangeError], str]] = {
    "no grant": (None, CIVIL_SYSTEM, asked(), AccessRefused, "no-grant"),
    "another department's grant": ({}, Caller("c-tax", make.TAX), asked(), AccessRefused, "no-grant"),
    "a grant on another target": ({}, CIVIL_SYSTEM, asked(target="pool:police_household"), AccessRefused, "no-grant"),
    "expired": ({"valid_until": TODAY - timedelta(days=1)}, CIVIL_SYSTEM, asked(), AccessRefused, "grant-expired"),
    "another field": ({}, CIVIL_SYSTEM, asked(fields=("name", "address")), AccessRefused, "fields-not-granted"),
    "mode": ({"modes": ["verify"]}, CIVIL_SYSTEM, asked(), AccessRefused, "mode-not-granted"),
    "purpose": ({}, CIVIL_SYSTEM, asked(purpose="好奇"), AccessRefused, "purpose-not-granted"),
    "no such target": ({}, CIVIL_SYSTEM, asked(target="base:nothing"), NotFound, "not-found"),
    "no person": ({}, CIVIL_SYSTEM, asked(person=" "), RequestInvalid, "malformed"),
    "no keys": ({}, CIVIL_SYSTEM, asked(keys=()), RequestInvalid, "malformed"),
    "too many keys": ({}, CIVIL_SYSTEM, asked(keys=("1",) * 101), RequestInvalid, "malformed"),
    "an empty key": ({}, CIVIL_SYSTEM, asked(keys=(" ",)), RequestInvalid, "malformed"),
    "an endless key": ({}, CIVIL_SYSTEM, asked(keys=("1" * 129,)), RequestInvalid, "malformed"),
    "no fields": ({}, CIVIL_SYSTEM, asked(fields=()), RequestInvalid, "malformed"),
    "a mode that does not exist": ({}, CIVIL_SYSTEM, asked(mode="fax"), RequestInvalid, "malformed"),
    "a version that is none": ({}, CIVIL_SYSTEM, asked(as_of="2026-01-01"), RequestInvalid, "malformed"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_reads_nothing_and_is_recorded_key_by_key(house: House, name: str) -> None:
    grant, caller, request, kind, reason = REFUSALS[name]
    make.small_city(house)
    if grant is not None:
        given(house, **grant)
    reader = population_reader()
    with pytest.raises(kind) as refused:
        delivered(house, request, caller, reader)
    assert reader.asked == []
    records = log(house)
    assert [(one["subject"], one["decision"], one["department"], one["client"], one["request"]) for one in records] == [
        (
            house.seal.subject(key) if key and key.strip() else None,
            "refused",
            caller.department,
            caller.client_id,
            one["request"],
        )
        for key, one in zip(request.keys[:100] or (None,), records, strict=True)
    ]
    assert {one["reason"] for one in records} == {f"{reason}: {refused.value.zh}"[: access_log.LONGEST]}
    assert refused.value.facts["request_id"] == records[0]["request"]
    assert access_log.verify(house).whole


def test_what_is_wrong_with_a_request_is_said_all_at_once(house: House) -> None:
    make.small_city(house)
    with pytest.raises(RequestInvalid) as refused:
        delivered(house, asked(keys=(), fields=(), purpose="", person=None))
    assert refused.value.zh == (
        "请求有误：keys 一次应有 1 至 100 个主键；fields 没有写明字段；purpose 没有写明用途；person 没有写明经办人"
    )
    assert refused.value.en == (
        "a wrong request: keys: 1 to 100 keys at a time; fields: no fields are asked for; "
        "purpose: no purpose is stated; person: no person in charge (经办人) is named"
    )
    assert refused.value.facts["missing"] == ["keys", "fields", "purpose", "person"]


def test_nothing_served_yet_is_not_a_refusal_of_the_right(house: House) -> None:
    make.small_city(house)
    given(house)
    with pytest.raises(NotFound, match="还没有数据"):
        delivered(house, asked(), reader=DictReader({}))
    assert [(one["decision"], one["reason"]) for one in log(house)] == [("refused", "not-found: 还没有数据")]


def test_a_grant_taken_back_stops_the_very_next_request(house: House) -> None:
    make.small_city(house)
    one = given(house)

    async def run() -> list[str]:
        said = []
        for step in range(3):
            if step == 1:
                grants.revoke(house, one.id)
            if step == 2:
                given(house)
            try:
                await deliver(house, population_reader(), CIVIL_SYSTEM, asked())
                said.append("answered")
            except AccessRefused as refused:
                said.append(str(refused.facts["reason"]))
        await house.registry.aclose()
        return said

    assert asyncio.run(run()) == ["answered", "grant-revoked", "answered"]


def police(**changed: Any) -> dict[str, Any]:
    """The police's resource with one item otherwise, or gone (None)."""
    whole = make.police_household()
    items = [one | (changed.get(one["name"]) or {}) for one in whole["items"] if changed.get(one["name"], {}) is not None]
    return whole | {"items": items}


LAW = {"title": "某法", "article": "第一条", "level": "法律"}
# what the catalogue says later -> reason, missing, sentence
STRICTER: dict[str, tuple[dict[str, Any], str, list[str], str]] = {
    "not to be shared": (
        make.police_household(items=[one | {"share_type": 3} for one in make.police_household()["items"]])
        | {"share": {"type": 3, "basis": LAW}},
        "not-shared",
        ["sex_code"],
        "sex_code 现属不予共享，授权 {id} 对其不再有效。请向市公安局（数据科）申请",
    ),
    "on conditions": (
        police(sex_code={"share_type": 2}),
        "no-legal-basis",
        ["legal_basis"],
        "sex_code 现属有条件共享，授权 {id} 没有写明依据。请向市公安局（数据科）申请",
    ),
    "gone": (
        police(sex_code=None),
        "fields-gone",
        ["sex_code"],
        "授权 {id} 中的字段 sex_code 已不在目录中。请向市公安局（数据科）申请",
    ),
}


@pytest.mark.parametrize("name", STRICTER)
def test_a_grant_does_not_outlive_a_catalogue_that_became_stricter(house: House, name: str) -> None:
    later, reason, missing, zh = STRICTER[name]
    make.small_city(house, bases=[])
    one = given(house, target="pool:police_household", fields=["sex_code"], legal_basis="")
    reader = DictReader({"pool:police_household": {LI: Record(LI, {"sex_code": "1"}, {})}})
    request = asked(target="pool:police_household", fields=("sex_code",))
    assert delivered(house, request, reader=reader).as_dict()["records"][0]["values"] == {"sex_code": "1"}
    others = [resource for resource in make.some_resources() if resource["id"] != "police_household"]
    make.small_city(house, resources=[later, *others], bases=[])
    with pytest.raises(AccessRefused) as refused:
        delivered(house, request, reader=reader)
    assert refused.value.zh == zh.format(id=one.id)
    assert (refused.value.facts["reason"], refused.value.facts["missing"]) == (reason, missing)
    assert len(reader.asked) == 1
    last = log(house)[-1]
    assert (last["decision"], last["subject"], last["reason"]) == (
        "refused",
        house.seal.subject(LI),
        f"{reason}: {refused.value.zh}",
    )


def test_a_fault_of_our_own_gives_nothing_and_is_recorded(house: House) -> None:
    make.small_city(house)
    given(house, fields=["sex_code"])
    broken = DictReader({"base:population": {LI: Record(LI, {"sex_code": b"1"}, {})}})  # type: ignore[dict-item]
    with pytest.raises(TypeError):  # bytes are no value an answer can hold
        delivered(house, asked(fields=("sex_code",)), reader=broken)
    assert [(one["decision"], one["subject"], one["department"], one["reason"]) for one in log(house)] == [
        ("refused", house.seal.subject(LI), make.CIVIL, "internal: 平台内部错误")
    ]


def test_no_value_of_a_person_is_in_the_log_or_the_error(house: House) -> None:
    make.small_city(house)
    given(house)
    delivered(house, asked())
    with pytest.raises(AccessRefused) as refused:
        delivered(house, asked(purpose=f"查 {LI}", fields=("name", LI)))
    with house.registry.session() as session:
        rows = session.connection().exec_driver_sql("SELECT access_log::text FROM access_log").scalars().all()
    shown = "\n".join([*rows, str(refused.value), str(refused.value.facts)])
    for value in (LI, "李生成", "13900001234", "139****1234"):
        assert value not in shown


def test_a_name_typed_where_a_field_belongs_is_not_kept(house: House) -> None:
    make.small_city(house)
    given(house)
    with pytest.raises(AccessRefused):
        delivered(house, asked(fields=("name", "张三丰")))
    assert [one["fields"] for one in log(house)] == [["name", "malformed"]]


def test_every_mode_is_one_that_can_be_granted() -> None:
    assert set(MODES) <= set(grants.NAMES)
    assert all(name == mode.name for name, mode in MODES.items())
