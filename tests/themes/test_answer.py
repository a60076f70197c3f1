"""A theme answers whoever was granted it, as long as its own department still is; each field says whose word it is."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from exchange import grants, themes
from exchange.callers import Caller
from exchange.catalogue.model import ShareType
from exchange.delivery import deliver
from exchange.delivery.mode import Request
from exchange.errors import AccessRefused, NotFound
from exchange.house import House
from exchange.targets import load
from pools import theme, way
from pools.reader import IndexReader
from tests import make
from tests.api.kit import opened
from tests.delivery.kit import log
from tests.themes.kit import (
    AUTHORITY,
    LI,
    MARRIED,
    SUN,
    WANG,
    approved,
    both_granted,
    city,
    couples,
    granted,
    push,
)

ASKING = "资格核验"
READERS: dict[Path, IndexReader] = {}  # one a house: a file is opened once in a process
TAX = Caller("c-tax", make.TAX)


def ask(
    house: House, *keys: str, fields: Sequence[str] = ("name", "birth_date", "marital_code"), **more: Any
) -> dict[str, Any]:
    """The answer to the tax office."""
    request = Request("theme:couples", "query", keys, tuple(fields), ASKING, "经办人", **more)

    reader = READERS.setdefault(house.settings.root, IndexReader(house, refresh=0))

    async def run() -> dict[str, Any]:
        try:
            return (await deliver(house, reader, TAX, request)).as_dict()
        finally:
            await house.registry.aclose()

    return asyncio.run(run())


def stopped(house: House) -> AccessRefused:
    with pytest.raises(AccessRefused) as refusal:
        ask(house, LI)
    return refusal.value


def consumer(house: House, *fields: str, **more: Any) -> grants.GrantView:
    """A grant of the tax office on the theme."""
    today = grants.today()
    ordinary: dict[str, Any] = {
        "modes": ["query"],
        "purpose": ASKING,
        "legal_basis": "某条例",
        "valid_from": today,
        "valid_until": today + timedelta(days=9),
    }
    return grants.give(house, make.TAX, "theme:couples", fields, **(ordinary | more))


@pytest.fixture
def served(house: House) -> House:
    """The theme, built and served, and granted to the tax office."""
    city(house, couples())
    both_granted(house)
    approved(house)
    way.refresh(house, "couples")
    consumer(house, "name", "birth_date", "marital_code", unmasked=["marital_code"])
    return house


def test_a_granted_department_is_answered_and_that_is_recorded(served: House) -> None:
    answer = ask(served, LI, WANG)
    built = theme.builds(served, "couples")[0]
    base = built.inputs["base:population"]["version"]
    marriage = built.inputs["pool:civil_marriage"]["version"]
    kept = {name: answer[name] for name in ("target", "title", "version", "overdue", "masked", "sources", "records")}
    today = f"{built.built_at:%Y-%m-%d}"
    day = answer["sources"]["S1"].pop("source_date")
    assert day >= today  # in Beijing
    assert kept == {
        "target": "theme:couples",
        "title": "婚姻主题库",
        "version": built.id,
        "overdue": False,
        "masked": ["birth_date", "name"],
        "sources": {
            "S1": {
                "resource": "base:population",
                "department": "",
                "provider": "人口基础信息库",
                "push": base,
                "batch": 1,
                "overdue": False,
            },
            "S2": {
                "resource": "civil_marriage",
                "department": make.CIVIL,
                "provider": "市民政局",
                "push": marriage,
                "batch": 1,
                "source_date": "2026-11-01",
                "overdue": False,
            },
        },
        "records": [
            {
                "key": LI,
                "found": True,
                "closed": False,
                "values": {"name": "李*成", "birth_date": "1950-01", "marital_code": "20"},
                "sources": {"name": "S1", "birth_date": "S1", "marital_code": "S2"},
            },
            {"key": WANG, "found": False},
        ],
    }
    asked = [record for record in log(served) if record["action"] == "query"]
    assert [(one["subject"], one["decision"], one["version"], one["target"]) for one in asked] == [
        (served.seal.subject(LI), "answered", built.id, "theme:couples"),
        (served.seal.subject(WANG), "not_found", built.id, "theme:couples"),
    ]


def test_a_field_made_of_several_is_the_owners_own_word(house: House) -> None:
    sql = """
        SELECT p.id_number, p.name || m.marital_code AS label
        FROM base.population p JOIN pool.civil_marriage m USING (id_number)
    """
    city(house, couples(select=sql, fields=[{"name": "label", "title": "标签", "type": "C60"}]))
    granted(house, "base:population", "id_number", "name")
    granted(house, "pool:civil_marriage", "id_number", "marital_code")
    approved(house)
    built = way.refresh(house, "couples")
    assert built is not None
    consumer(house, "label", unmasked=["label"])
    answer = ask(house, LI, fields=["label"])
    assert answer["records"][0]["values"] == {"label": "李生成20"}
    source = answer["sources"]["S1"]
    assert (source["resource"], source["department"], source["provider"], source["push"]) == (
        "theme:couples",
        make.CIVIL,
        "市民政局",
        built.id,
    )


def test_without_a_grant_on_the_theme_nobody_is_answered(served: House) -> None:
    grant = next(one for one in grants.list_grants(served, make.TAX))
    grants.revoke(served, grant.id)
    refusal = stopped(served)
    assert str(refusal) == (
        f"授权 {grant.id} 已被收回。请向市民政局（联系方式未登记）申请 / grant {grant.id} was revoked. Ask 市民政局 (no contact registered)"
    )


def test_a_revoked_grant_of_its_owner_stops_the_theme_at_once(served: House) -> None:
    given = {grant.target: grant for grant in grants.list_grants(served, make.CIVIL)}
    grants.revoke(served, given["pool:civil_marriage"].id)
    refusal = stopped(served)
    assert str(refusal) == (
        "婚姻主题库（theme:couples）已停止服务：主办部门对 pool:civil_marriage 的授权不再覆盖其内容（grant-revoked）。请联系市民政局（联系方式"
        "未登记） / theme:couples no longer answers: its department's grants on pool:civil_marriage no longer cover what it holds "
        "(grant-revoked). Ask 市民政局 (no contact registered)"
    )
    assert {name: refusal.facts[name] for name in ("reason", "missing")} == {
        "reason": "theme-stopped",
        "missing": ["theme:couples"],
    }
    last = log(served)[-1]
    assert (last["decision"], last["subject"], last["target"]) == ("refused", served.seal.subject(LI), "theme:couples")
    assert last["reason"].startswith("theme-stopped: ")
    granted(served, "pool:civil_marriage", "id_number", "marital_code")  # as good as the one before: no build is needed
    assert ask(served, LI)["records"][0]["found"]


def test_an_expired_grant_stops_it_and_a_narrower_one_does_not_bring_it_back(served: House) -> None:
    given = {grant.target: grant for grant in grants.list_grants(served, make.CIVIL)}
    with served.registry.session() as session:
        session.execute(
            text("UPDATE access_grant SET valid_until = :day WHERE id = :id"),
            {"day": grants.today() - timedelta(days=1), "id": given["base:population"].id},
        )
    assert "(grant-expired)" in stopped(served).en
    granted(served, "base:population", "id_number", "name", "birth_date", unmasked=["id_number", "name"])
    assert "(unmasked-not-granted)" in stopped(served).en  # the day of birth lies there as it is


def test_what_was_built_unmasked_is_not_shown_once_it_would_be_masked(served: House) -> None:
    wider = granted(served, "base:population", "id_number", "name", "birth_date")
    way.refresh(served, "couples")
    assert ask(served, LI)["records"][0]["found"]
    grants.revoke(served, wider.id)
    assert "(unmasked-not-granted)" in stopped(served).en
    way.refresh(served, "couples")
    assert ask(served, LI)["records"][0]["values"]["name"] == "李*成"


def test_an_approval_taken_back_stops_it(served: House) -> None:
    themes.reject(served, AUTHORITY, "couples", 1, "撤销")
    with pytest.raises(NotFound):  # no version is in force
        ask(served, LI)
    make.small_city(served, themes=[couples(title="新版")])
    approved(served)
    refusal = stopped(served)  # version 2 is in force, and version 1 still served
    assert str(refusal) == (
        "婚姻主题库（theme:couples）已停止服务：该版本的批准已撤销。请联系市民政局（联系方式未登记） / theme:couples no longer answers: the "
        "approval of that version was taken back. Ask 市民政局 (no contact registered)"
    )
    way.refresh(served, "couples")
    assert ask(served, LI)["title"] == "新版"


def test_an_earlier_build_answers_as_of_itself_and_under_the_same_conditions(served: House) -> None:
    first = theme.builds(served, "couples")[0].id
    push(served, "civil_marriage", MARRIED[1:], batch=2)
    way.refresh(served, "couples")
    assert [ask(served, LI)["records"][0]["found"], ask(served, LI, as_of=first)["records"][0]["found"]] == [False, True]
    with pytest.raises(NotFound, match="has no such version"):
        ask(served, LI, as_of="B261101-0000000000")
    given = {grant.target: grant for grant in grants.list_grants(served, make.CIVIL)}
    grants.revoke(served, given["base:population"].id)
    with pytest.raises(AccessRefused, match="已停止服务"):
        ask(served, LI, as_of=first)


def classes(house: House) -> dict[str, tuple[ShareType, str | None]]:
    with house.registry.session() as session:
        return {name: (field.share, field.mask) for name, field in load(session, "theme:couples").fields.items()}


def test_a_theme_is_as_strict_as_what_it_is_made_of_is_now(house: House) -> None:
    city(house, couples(select="SELECT id_number, sex_code AS name, birth_date, marital_code FROM base.population"))
    granted(house, "base:population", "id_number", "sex_code", "birth_date", "marital_code")
    approved(house)
    assert classes(house) == {
        "id_number": (ShareType.UNCONDITIONAL, None),
        "name": (ShareType.UNCONDITIONAL, None),
        "birth_date": (ShareType.UNCONDITIONAL, "birth_date"),
        "marital_code": (ShareType.CONDITIONAL, "all"),
    }
    stricter = make.population()
    stricter["fields"][1] |= {"benchmark": False, "sensitivity": "个人隐私", "mask": "all"}
    make.small_city(
        house,
        themes=[couples(select="SELECT id_number, sex_code AS name, birth_date, marital_code FROM base.population")],
        bases=[stricter, make.legal_entity()],
    )
    assert classes(house)["name"] == (ShareType.CONDITIONAL, "all")


def test_what_chooses_its_rows_makes_all_of_it_conditional(served: House) -> None:
    assert classes(served) == {
        "id_number": (ShareType.CONDITIONAL, None),
        "name": (ShareType.CONDITIONAL, "name"),
        "birth_date": (ShareType.CONDITIONAL, "birth_date"),
        "marital_code": (ShareType.CONDITIONAL, "all"),
    }


def test_a_key_handed_on_as_a_field_is_a_persons_number_still(house: House) -> None:
    sql = "SELECT id_number, id_number AS other FROM pool.civil_marriage"
    city(house, couples(select=sql, fields=[{"name": "other", "title": "号码", "type": "C18"}]))
    granted(house, "pool:civil_marriage", "id_number")
    approved(house)
    assert classes(house)["other"] == (ShareType.CONDITIONAL, "resident_number")


def test_a_late_source_is_said(served: House) -> None:
    with served.registry.session() as session:
        session.execute(text("UPDATE resource SET overdue_since = now() WHERE id = 'police_household'"))
    answer = ask(served, SUN)
    assert (answer["overdue"], {one["resource"]: one["overdue"] for one in answer["sources"].values()}) == (
        True,
        {"base:population": True, "civil_marriage": False},
    )


def test_the_door_answers_for_a_theme(served: House) -> None:
    body = {"keys": [LI], "fields": ["marital_code"], "purpose": ASKING, "person": "经办人"}
    with opened(served) as door:
        answer = door.query(door.token(make.TAX), body, "theme/couples")
        unknown = door.query(door.token(make.TAX), body, "theme/other")
    assert (answer.status_code, answer.json()["records"][0]["values"]) == (200, {"marital_code": "20"})
    assert unknown.status_code == 404


def test_a_grant_revoked_between_two_questions_stops_the_second(served: House) -> None:
    """At a door that has answered, and keeps clients, grants and catalogue in memory; nothing is built in between."""
    body = {"keys": [LI], "fields": ["marital_code"], "purpose": ASKING, "person": "经办人"}
    with opened(served) as door:
        token = door.token(make.TAX)
        told = [door.query(token, body, "theme/couples")]
        for owner, target in (
            (make.CIVIL, "pool:civil_marriage"),
            (make.CIVIL, "base:population"),
            (make.TAX, "theme:couples"),
        ):
            [grant] = [one for one in grants.list_grants(served, owner) if one.target == target]
            grants.revoke(served, grant.id)
            told.append(door.query(token, body, "theme/couples"))
    assert [answer.status_code for answer in told] == [200, 403, 403, 403]
    assert [answer.json()["reason"] for answer in told[1:]] == ["theme-stopped", "theme-stopped", "grant-revoked"]
    assert len(theme.builds(served, "couples")) == 1
