"""Whoever asks for an explanation leaves a record, whether there was anything to explain or not."""

import json

import pytest

from exchange import access_log
from exchange.callers import Caller
from exchange.errors import NotFound
from exchange.house import House
from pools import merge
from pools.asked import explain_to
from tests.pools.given import entered, pooled
from tests.pools.test_explain import CIVIL, HEALTH, PEOPLE, POLICE

KNOWN, UNKNOWN = "110105194912310021", "11010519491231002X"
OPERATOR = Caller(client_id=None, department="", person="operator")
AUDITOR = Caller(client_id=None, department="", person="auditor")


@pytest.fixture
def build(house: House) -> str:
    """The number of a build whose only record is KNOWN's."""
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE)
    pooled(house, POLICE, 1, [{"id": KNOWN, "name": "张三"}])
    built = merge.build(house, "people")
    assert built is not None
    return built.id


def saw(house: House, key: str) -> list[dict[str, object]]:
    """What an auditor finds of a key, without its place in the log and its moment."""
    return [
        {name: value for name, value in one.items() if name not in ("seq", "at", "purged_by", "request", "client")}
        for one in access_log.who_saw(house, key, AUDITOR)
    ]


def record(**more: object) -> dict[str, object]:
    ordinary = {"department": None, "person": "operator", "purpose": "核实", "action": "explain", "target": "base:people"}
    return ordinary | {"version": None, "fields": [], "answer": None, "reason": None} | more


def test_what_was_found_is_recorded_with_the_fields_and_the_digest_of_the_answer(house: House, build: str) -> None:
    found = explain_to(house, OPERATOR, "people", KNOWN, purpose="核实")
    assert found.fields[0].value == "张三"
    answer = house.seal.keyed_hash("answer", json.dumps(found.as_dict(), ensure_ascii=False, default=str).encode())
    one = record(version=build, fields=["name", "since", "tel"], answer=answer, decision="answered")
    assert saw(house, KNOWN) == [one]
    assert saw(house, UNKNOWN) == []


def test_a_key_that_is_not_there_was_asked_for_as_well(house: House, build: str) -> None:
    with pytest.raises(NotFound, match="has no such key"):
        explain_to(house, OPERATOR, "people", UNKNOWN, "name", purpose="核实")
    assert saw(house, UNKNOWN) == [record(version=build, fields=["name"], decision="not_found")]


def test_no_such_field_or_base_is_no_answer_about_anybody(house: House, build: str) -> None:
    for base, field in (("people", "nickname"), ("nobody", None)):
        with pytest.raises(NotFound):
            explain_to(house, OPERATOR, base, KNOWN, field, purpose="核实")
    nickname, nobody = saw(house, KNOWN)
    said = "not-found: 基础库 people 没有字段 nickname；它的字段有：name、since、tel"
    assert nickname == record(fields=["nickname"], decision="refused", reason=said)
    assert (nobody["target"], nobody["decision"], nobody["version"]) == ("base:nobody", "refused", None)
    assert access_log.verify(house).whole
