"""Numbers that stand for another: who may be named by what, what is refused, and what an old number's asker is told."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from itertools import product
from typing import Any

import pytest
from sqlalchemy import select, text

from exchange import access_log
from exchange.callers import Caller
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import NotFound, RequestInvalid, WrongState
from exchange.house import House
from exchange.registry.models import Event
from pools import aliases, merge, way
from pools.asked import explain_to
from pools.explain import Number, explain
from pools.reader import IndexReader
from tests import make
from tests.api.commands import Terminal
from tests.delivery.kit import PERSON, PURPOSE, given
from tests.pools.given import entered, pooled
from tests.pools.test_explain import CIVIL, HEALTH, PEOPLE, POLICE, said

OLD, NEW, OTHER = make.resident(11), make.resident(12), make.resident(13)
OPERATOR = Caller(client_id=None, department="", person="经办员")
BASIS = "公安局更正通知 2026-11"
TODAY = aliases.today()


def recorded(house: House, old: str = OLD, new: str = NEW, base: str = "people", **more: Any) -> aliases.AliasView:
    return aliases.record(house, OPERATOR, base, old, new, **({"kind": "changed", "basis": BASIS} | more))


@pytest.fixture
def people(house: House) -> House:
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE)
    return house


@pytest.mark.parametrize(
    ("wrong", "zh", "en"),
    [
        ({"new": OLD}, "旧号和新号相同", "the old number and the new one are the same"),
        ({"old": " "}, "缺少旧号或新号", "the old number or the new one is missing"),
        ({"basis": " "}, "须写明依据（--basis）", "its basis must be stated (--basis)"),
        (
            {"new": make.resident(12)[:17] + "A"},
            "新号不是合格的 resident_number（长度、字符或校验码不符）",
            "the new number is no good resident_number (length, characters or check character)",
        ),
        (
            {"kind": "duplicate"},
            "重号须写明哪些来源的这个号指的是新号（--in 资源），其余来源仍归原持有人",
            "of a number given twice, say whose rows mean the new one (--in RESOURCE); the others stay with its keeper",
        ),
        (
            {"resources": ["civil"]},
            "变更对所有来源有效，不能限定来源（--in）",
            "a changed number is changed for every source; --in is not for it",
        ),
        (
            {"kind": "wrong", "resources": ["tax"]},
            "tax 不是 people 的来源；来源有 police、civil、health",
            "tax does not feed people; its sources are police, civil, health",
        ),
    ],
)
def test_what_can_be_no_alias_is_refused_without_a_word_of_the_numbers(
    people: House, wrong: dict[str, Any], zh: str, en: str
) -> None:
    with pytest.raises(RequestInvalid) as caught:
        recorded(people, **wrong)
    assert (caught.value.zh, caught.value.en) == (f"别名有误：{zh}", f"a wrong alias: {en}")
    assert aliases.listed(people, "people") == []


CERTIFICATE = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"


@pytest.mark.parametrize(
    ("identifier", "good", "bad"),
    [
        ("resident_number", NEW, make.uscc(3)),
        ("uscc", make.uscc(3), NEW),
        ("cert_identifier", CERTIFICATE, f"{CERTIFICATE[:-1]}V"),
        ("party_code", make.uscc(3), CERTIFICATE),
        ("party_code", NEW, f"{NEW[:17]}A"),
    ],
)
def test_the_new_number_is_one_that_can_be_a_key_of_its_base(house: House, identifier: Any, good: str, bad: str) -> None:
    """Whatever the base is keyed by: a licence or a party may have been renumbered as well."""
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE.model_copy(update={"key_identifier": identifier}))
    with pytest.raises(RequestInvalid, match=f"新号不是合格的 {identifier}"):
        recorded(house, new=bad)
    assert recorded(house, new=f" {good.lower()} ").kind == "changed"


def test_an_organisation_code_is_aliased_as_it_stands_on_the_certificate(house: House) -> None:
    """With its dash; rows have it without."""
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE.model_copy(update={"key_identifier": "uscc"}))
    line = recorded(house, old="19220382-1", new=make.uscc(3), kind="wrong")
    assert recorded(house, old="192203821", new=make.uscc(3), kind="wrong") == line


def test_the_same_again_is_the_same_line_and_another_is_refused(people: House) -> None:
    first = recorded(people)
    assert recorded(people, old=f" {OLD[:6]} {OLD[6:]}") == first
    with pytest.raises(WrongState) as caught:
        recorded(people, new=OTHER)
    assert (caught.value.zh, caught.value.en) == (
        f"这个旧号已有别名 {first.id}（变更），与此不同；如要更改，请先终止它：exchange key end {first.id}",
        f"that old number has another alias already, {first.id}; to change it, end that first: exchange key end {first.id}",
    )
    ended = aliases.end(people, OPERATOR, first.id, "登记有误")
    assert (ended.ended_by, ended.ended_why) == ("经办员", "登记有误")
    assert aliases.end(people, OPERATOR, first.id, "再次") == ended
    second = recorded(people, new=OTHER)
    assert aliases.listed(people, "people") == [second, ended]


TOMORROW = TODAY + timedelta(days=1)


@pytest.mark.parametrize("days", list(product((TODAY, TOMORROW), repeat=3)), ids=str)
def test_no_way_leads_back(people: House, days: tuple[date, date, date]) -> None:
    """Whenever its lines begin to count: a circle that closes one day is one."""
    recorded(people, OLD, NEW, since=days[0])
    second = recorded(people, NEW, OTHER, since=days[1])
    with pytest.raises(WrongState) as caught:
        recorded(people, OTHER, OLD, since=days[2])
    assert (caught.value.zh, caught.value.en) == (
        f"别名会绕回原号：新号已经（经 {second.id}）指向这个旧号；请先终止 {second.id}",
        f"that would lead back: the new number stands for the old one already (by {second.id}); end {second.id} first",
    )


def test_of_two_that_would_close_a_circle_at_once_one_is_refused(people: House) -> None:
    def one(pair: tuple[str, str]) -> bool:
        with suppress(WrongState):
            recorded(people, *pair)
            return True
        return False

    with ThreadPoolExecutor(2) as both:
        assert sorted(both.map(one, [(OLD, NEW), (NEW, OLD)])) == [False, True]
    assert len(aliases.listed(people, "people")) == 1


def test_the_other_way_round_once_the_first_line_is_ended(people: House) -> None:
    pooled(people, POLICE, 1, [{"id": OLD, "name": "张三"}])
    first = recorded(people)
    merge.build(people, "people")
    assert explain(people, "people", OLD).key == NEW
    aliases.end(people, OPERATOR, first.id, "登记反了")
    recorded(people, NEW, OLD)
    merge.build(people, "people")
    found = explain(people, "people", NEW, "name")
    assert (found.key, found.closed, found.fields[0].value) == (OLD, False, "张三")


def test_what_is_not_there_can_not_be_ended(people: House) -> None:
    with pytest.raises(NotFound, match="there is no alias K1"):
        aliases.end(people, OPERATOR, "K1", "误")
    with pytest.raises(RequestInvalid, match="ending an alias needs its reason"):
        aliases.end(people, OPERATOR, "K1", " ")
    with pytest.raises(NotFound):
        recorded(people, base="nothing")


def test_an_alias_of_a_day_to_come_counts_from_that_day_on(people: House) -> None:
    line = recorded(people, since=TOMORROW)
    pooled(people, POLICE, 1, [{"id": OLD, "name": "张三"}])
    built = merge.build(people, "people")
    assert built is not None
    with people.registry.session() as session:
        assert aliases.in_force(people, session, "people") == []
        [alias] = aliases.in_force(people, session, "people", TOMORROW)
    assert alias == aliases.Alias(line.id, OLD, NEW, "changed", TOMORROW)
    assert merge.build(people, "people") is None


def test_a_way_leads_as_far_as_its_lines_count_on_the_day(people: House) -> None:
    """What is answered today stops where a line of a day to come begins; a line that is ended before its day never counts."""
    pooled(people, POLICE, 1, [{"id": OLD, "name": "张三"}])
    last, never = make.resident(14), make.resident(15)
    recorded(people, OLD, NEW)
    recorded(people, NEW, OTHER, since=TOMORROW)
    recorded(people, OTHER, last, since=TOMORROW + timedelta(days=1))
    aliases.end(people, OPERATOR, recorded(people, never, OLD, since=TOMORROW).id, "撤回")
    with people.registry.session() as session:
        found = [
            aliases.meaning(aliases.in_force(people, session, "people", TODAY + timedelta(days=days)), None)
            for days in (-1, 0, 1, 2)
        ]
    assert found == [{}, {OLD: NEW}, {OLD: OTHER, NEW: OTHER}, {OLD: last, NEW: last, OTHER: last}]
    built = merge.build(people, "people")
    assert built is not None
    assert _keys(people, [OLD, NEW, OTHER, last, never], built.id) == [NEW, NEW, None, None, None]


def _keys(house: House, numbers: list[str], build: str) -> list[str | None]:
    """Under which key somebody is answered who asks by each of these, as of a build."""
    found = IndexReader(house, refresh=0).earlier("base:people", numbers, build).records
    return [None if (record := found[number]) is None else record.key for number in numbers]


def test_the_control_database_and_its_events_hold_no_number(people: House) -> None:
    recorded(people)
    with people.registry.session() as session:
        found = (
            session.execute(text("SELECT a::text FROM key_alias a UNION ALL SELECT e::text FROM event e")).scalars().all()
        )
        [event] = session.scalars(select(Event).where(Event.tag == "key:alias:record"))
    assert len(found) == 2
    assert [row for row in found for number in (OLD, NEW) if number in row or number.encode().hex() in row] == []
    assert event.facts == {
        "base": "people",
        "kind": "changed",
        "since": TODAY.isoformat(),
        "resources": "",
        "by": "经办员",
        "basis": BASIS,
    }


def test_recording_one_leaves_evidence_under_both_numbers(people: House) -> None:
    line = recorded(people)
    for number in (OLD, NEW):
        [record] = access_log.who_saw(people, number, OPERATOR)
        assert (record["action"], record["target"], record["reason"]) == ("key_alias", "base:people", f"{line.id} 变更")
    assert access_log.verify(people).whole


def test_explain_shows_both_numbers_and_under_which_each_word_was_said(people: House) -> None:
    pooled(people, POLICE, 1, [{"id": OLD, "name": "张三"}])
    pooled(people, CIVIL, 2, [{"id": NEW, "name": "张叁", "since": "2020-01-01"}])
    merge.build(people, "people")
    line = recorded(people, kind="wrong")
    built = merge.build(people, "people")
    assert built is not None
    before_who = len(access_log.who_saw(people, NEW, OPERATOR))
    found = explain_to(people, OPERATOR, "people", OLD, "name")
    assert (found.build, found.asked, found.key, found.closed) == (built.id, OLD, NEW, False)
    assert found.numbers == (Number(OLD, NEW, line.id, "wrong", TODAY, (), "经办员", BASIS),)
    [name] = found.fields
    assert name.source is not None
    assert (name.value, name.source.number, name.source.since_batch) == ("张三", OLD, 1)
    assert name.others == (said("civil", "name", "民政局", "张叁", 2, since=2, differs=True),)
    assert explain(people, "people", NEW, "name").fields == found.fields
    explained = [one for one in access_log.who_saw(people, NEW, OPERATOR)[before_who:] if one["action"] == "explain"]
    assert [(one["decision"], one["version"]) for one in explained] == [("answered", built.id)]


def test_of_a_number_given_twice_explain_tells_either_what_the_other_is(people: House) -> None:
    pooled(people, POLICE, 1, [{"id": OLD, "name": "张三"}, {"id": NEW, "name": "李四"}])
    pooled(people, CIVIL, 2, [{"id": OLD, "name": "李四", "since": "2020-01-01"}])
    line = recorded(people, kind="duplicate", resources=["civil"])
    merge.build(people, "people")
    number = Number(OLD, NEW, line.id, "duplicate", TODAY, ("civil",), "经办员", BASIS)
    keeper, other = explain(people, "people", OLD), explain(people, "people", NEW)
    assert (keeper.asked, keeper.numbers, other.asked, other.numbers) == (None, (number,), None, (number,))
    assert [(field.field, field.value, len(field.others)) for field in keeper.fields] == [
        ("name", "张三", 0),
        ("since", None, 0),
        ("tel", None, 0),
    ]
    assert [(field.field, field.value, len(field.others)) for field in other.fields] == [
        ("name", "李四", 1),
        ("since", "2020-01-01", 0),
        ("tel", None, 0),
    ]


def answer(house: House, key: str, as_of: str | None = None, *fields: str) -> dict[str, Any]:
    async def run() -> dict[str, Any]:
        named = fields or ("marital_code", "id_number")
        request = Request("base:population", "query", (key,), named, PURPOSE, PERSON, as_of)
        try:
            return (await deliver(house, IndexReader(house, refresh=0), Caller("c", make.CIVIL), request)).as_dict()
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def test_a_query_by_an_old_number_is_answered_under_the_new_one_and_says_so(house: House) -> None:
    city = make.small_city(house)
    pooled(house, city.resource("civil_marriage"), 1, [{"id_number": OLD, "name": "张三", "marital_code": "20"}])
    given(house, fields=["id_number", "marital_code"], unmasked=["marital_code"])
    first = way.rebuild(house, "population")
    way.alias(house, OPERATOR, "population", OLD, NEW, kind="changed", basis=BASIS)
    assert first is not None
    seen = {number: len(access_log.who_saw(house, number, OPERATOR)) for number in (OLD, NEW)}
    found = answer(house, OLD)
    sources = {"marital_code": "S1", "id_number": "S1"}
    record = {
        "key": OLD,
        "found": True,
        "closed": False,
        "values": {"marital_code": "20", "id_number": NEW},
        "sources": sources,
        "renumbered": {"kind": "changed", "since": TODAY.isoformat()},
    }
    assert found["records"] == [record]
    for number in (OLD, NEW):  # one answer about both
        [mine] = [one for one in access_log.who_saw(house, number, OPERATOR)[seen[number] :] if one["action"] == "query"]
        assert (mine["decision"], mine["version"], mine["request"]) == ("answered", found["version"], found["request_id"])
    only = answer(house, OLD, None, "marital_code")["records"]
    assert only == [record | {"values": {"marital_code": "20"}, "sources": {"marital_code": "S1"}}]
    under_its_own = {"key": NEW, "found": True, "closed": False, "values": record["values"], "sources": sources}
    assert answer(house, NEW)["records"] == [under_its_own]
    assert answer(house, OLD, found["version"])["records"] == [record]
    as_then = under_its_own | {"key": OLD, "values": {"marital_code": "20", "id_number": OLD}}
    assert answer(house, OLD, first.id)["records"] == [as_then]
    assert answer(house, NEW, first.id)["records"] == [{"key": NEW, "found": False}]


def test_the_operator_s_commands(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    city = make.small_city(house)
    pooled(house, city.resource("civil_marriage"), 1, [{"id_number": OLD, "name": "张三", "marital_code": "20"}])
    terminal = Terminal(house, monkeypatch)
    terminal.run("build", "population")
    made = terminal.json("key", "alias", "population", OLD, NEW, "--kind", "变更", "--basis", BASIS)
    assert (made["base"], made["kind"], made["valid_from"], made["basis"]) == (
        "population",
        "变更",
        TODAY.isoformat(),
        BASIS,
    )
    assert terminal.json("key", "list", "population") == [made]
    listed = terminal.run("key", "list", "population")
    assert made["id"] in listed
    explained = terminal.run("explain", "population", OLD, "marital_code")
    assert [word in explained for word in (OLD, NEW, "changed", BASIS, "20")] == [True] * 5
    ended = terminal.json("key", "end", made["id"], "--reason", "登记有误")
    assert (ended["id"], ended["ended_why"]) == (made["id"], "登记有误")
    assert terminal.json("explain", "population", OLD, "marital_code")["key"] == OLD
    assert OLD not in listed
    assert "没有主键别名 K1" in terminal.run("key", "end", "K1", "--reason", "x", code=7)
