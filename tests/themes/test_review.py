"""Nothing of a theme is in force that a second person did not approve, and every decision is an event with its reason."""

from typing import Any

import pytest
from sqlalchemy import select

from exchange import catalogue, grants, themes
from exchange.callers import Caller
from exchange.errors import AccessRefused, ExchangeError, NotFound, RequestInvalid, WrongState
from exchange.house import House
from exchange.registry.models import Event
from tests import make
from tests.themes.kit import AUTHORITY, OWNER, PURPOSE, both_granted, couples, granted


def state(house: House) -> list[tuple[int, str, str | None, str | None, int | None]]:
    return [(one.version, one.state, one.by, one.reason, one.in_force) for one in themes.view(house, "couples")]


def told(house: House) -> list[tuple[str, str | None, dict[str, Any]]]:
    with house.registry.session() as session:
        rows = session.scalars(select(Event).where(Event.tag.like("theme:%")).order_by(Event.id))
        return [(row.tag, row.object_id, row.facts) for row in rows]


def refused(kind: type[ExchangeError], *what: Any) -> ExchangeError:
    with pytest.raises(kind) as error:
        what[0](*what[1:])
    return error.value


def test_a_version_is_submitted_by_one_and_approved_by_another(house: House) -> None:
    make.small_city(house, themes=[couples()])
    both_granted(house)
    assert state(house) == [(1, "loaded", None, None, None)]
    themes.submit(house, OWNER, "couples")
    assert state(house) == [(1, "submitted", "owner", None, None)]
    themes.approve(house, AUTHORITY, "couples", 1, "符合用途")
    assert state(house) == [(1, "approved", "authority", "符合用途", 1)]
    make.small_city(house, themes=[couples(title="已婚人口")])
    assert state(house) == [(2, "loaded", None, None, 1), (1, "approved", "authority", "符合用途", 1)]
    themes.submit(house, OWNER, "couples")
    themes.reject(house, AUTHORITY, "couples", 2, "标题不符")
    assert state(house)[0] == (2, "rejected", "authority", "标题不符", 1)
    themes.submit(house, OWNER, "couples")
    themes.approve(house, AUTHORITY, "couples", 2, "已说明")
    themes.reject(house, AUTHORITY, "couples", 2, "用途已变")  # taken back: the one before is in force again
    assert state(house)[0] == (2, "rejected", "authority", "用途已变", 1)
    assert [(tag, facts) for tag, _, facts in told(house)] == [
        ("theme:version:submit", {"version": 1, "by": "owner"}),
        ("theme:version:approve", {"version": 1, "by": "authority"}),
        ("theme:version:submit", {"version": 2, "by": "owner"}),
        ("theme:version:reject", {"version": 2, "by": "authority"}),
        ("theme:version:submit", {"version": 2, "by": "owner"}),
        ("theme:version:approve", {"version": 2, "by": "authority"}),
        ("theme:version:reject", {"version": 2, "by": "authority"}),
    ]


def test_who_may_not_decide(house: House) -> None:
    make.small_city(house, themes=[couples()])
    both_granted(house)
    themes.submit(house, OWNER, "couples")
    same = "审核须由提交人和主办部门以外的另一人进行 / a theme is reviewed by somebody else than who submitted it, and not by its own department"
    for caller in (
        Caller(None, "", person="owner"),
        Caller(None, make.CIVIL, person="somebody"),
        Caller(None, "", person=None),
    ):
        error = refused(AccessRefused, themes.approve, house, caller, "couples", 1, "好")
        assert (str(error), error.facts) == (same, {"reason": "same-person", "missing": ["reviewer"]})
    assert str(refused(RequestInvalid, themes.approve, house, AUTHORITY, "couples", 1, " ")) == (
        "请写明审核理由 / state the reason of the decision"
    )
    assert str(refused(NotFound, themes.approve, house, AUTHORITY, "couples", 2, "好")) == (
        "主题库 couples 没有第 2 版，最新是第 1 版 / theme couples has no version 2; the newest is 1"
    )
    assert str(refused(NotFound, themes.approve, house, AUTHORITY, "couple", 1, "好")) == (
        "没有主题库 couple，相近的有 couples / there is no theme couple; near it are couples"
    )
    themes.approve(house, AUTHORITY, "couples", 1, "好")
    assert str(refused(WrongState, themes.approve, house, AUTHORITY, "couples", 1, "好")) == (
        "主题库 couples 第 1 版的状态是 approved，应为 submitted / version 1 of theme couples is approved; it must be submitted"
    )
    assert str(refused(WrongState, themes.submit, house, OWNER, "couples")) == (
        "主题库 couples 第 1 版的状态是 approved，不必再次提交 / version 1 of theme couples is approved already"
    )


def test_only_the_owner_submits(house: House) -> None:
    make.small_city(house, themes=[couples()])
    error = refused(AccessRefused, themes.submit, house, Caller(None, make.POLICE, person="x"), "couples")
    assert str(error) == (
        "主题库 couples 由市民政局主办，只能由它提交 / theme couples belongs to 市民政局, which alone may submit it"
    )


def test_without_grants_nothing_is_submitted(house: House) -> None:
    make.small_city(house, themes=[couples()])

    def why() -> tuple[str, dict[str, Any]]:
        error = refused(AccessRefused, themes.submit, house, OWNER, "couples")
        return str(error), error.facts

    police = {"department": make.POLICE, "name": "市公安局", "contact": "数据科"}
    civil = {"department": make.CIVIL, "name": "市民政局", "contact": None}
    text, facts = why()
    assert text == (
        "主题库 couples 不能读 base:population：贵部门没有人口基础信息库（base:population）的授权。"
        "请向市公安局（数据科）、市民政局（联系方式未登记）申请 / theme couples may not read base:population: your department has no "
        "grant on base:population. Ask 市公安局 (数据科), 市民政局 (no contact registered)"
    )
    assert facts == {"reason": "no-grant", "missing": ["grant"], "ask": [police, civil], "relation": "base:population"}

    granted(house, "base:population", "id_number", "name", "birth_date", modes=["query"])
    assert why()[1] == {"reason": "mode-not-granted", "missing": ["theme"], "ask": [police], "relation": "base:population"}
    granted(house, "base:population", "id_number", "name", "birth_date", purpose="别的")
    assert why()[1]["reason"] == "purpose-not-granted"
    granted(house, "base:population", "id_number", "name")
    assert why()[1] == {
        "reason": "fields-not-granted",
        "missing": ["birth_date"],
        "ask": [police],
        "relation": "base:population",
    }
    # the name may be masked, it is handed on; the key may not, and the day of birth is no text
    one = granted(house, "base:population", "id_number", "name", "birth_date", unmasked=[])
    text, facts = why()
    assert text == (
        f"主题库 couples 对 base:population 的 birth_date、id_number 不止原样带出（作主键、条件或计算），授权 {one.id} 只给脱敏值。"
        "请向市公安局（数据科）申请不脱敏 / theme couples does more with birth_date, id_number of base:population than hand it on "
        f"(a key, a condition, an expression), and grant {one.id} gives it masked only. Ask 市公安局 (数据科) for it unmasked"
    )
    assert facts == {
        "reason": "unmasked-not-granted",
        "relation": "base:population",
        "missing": ["birth_date", "id_number"],
        "ask": [police],
    }
    granted(house, "base:population", "id_number", "name", "birth_date", unmasked=["id_number", "birth_date"])
    assert (why()[1]["relation"], why()[1]["reason"]) == ("pool:civil_marriage", "no-grant")  # its own pool too
    # the column in WHERE counts
    granted(house, "pool:civil_marriage", "id_number")
    assert (why()[1]["reason"], why()[1]["missing"]) == ("fields-not-granted", ["marital_code"])
    granted(house, "pool:civil_marriage", "id_number", "marital_code", unmasked=["id_number"])
    assert (why()[1]["reason"], why()[1]["missing"]) == ("unmasked-not-granted", ["marital_code"])
    last = granted(house, "pool:civil_marriage", "id_number", "marital_code")
    assert themes.submit(house, OWNER, "couples").state == "submitted"

    grants.revoke(house, last.id)  # between the two persons
    error = refused(AccessRefused, themes.approve, house, AUTHORITY, "couples", 1, "好")
    assert (error.facts["relation"], error.facts["reason"]) == ("pool:civil_marriage", "unmasked-not-granted")


OUTSIDE = [
    ("a condition", "SELECT id_number, name FROM base.population WHERE address IS NOT NULL"),
    ("an order", "SELECT id_number, name FROM base.population ORDER BY address"),
    (
        "a join",
        "SELECT p.id_number, p.name FROM base.population p JOIN (SELECT id_number, address FROM base.population) a "
        "ON a.address = p.name",
    ),
    ("a subquery", "SELECT id_number, (SELECT max(address) FROM base.population) AS name FROM base.population"),
    ("a WITH", "WITH a AS (SELECT id_number, address AS name FROM base.population) SELECT id_number, name FROM a"),
    ("a window", "SELECT id_number, first_value(name) OVER (ORDER BY address) AS name FROM base.population"),
    ("in quotes", 'SELECT id_number, "ADDRESS" AS name FROM "BASE"."POPULATION"'),
    (
        "a part that is never used",
        "WITH a AS (SELECT address FROM base.population) SELECT id_number, name FROM base.population",
    ),
    (
        "what is left out",
        "SELECT id_number, name FROM base.population EXCEPT SELECT id_number, address FROM base.population",
    ),
]


@pytest.mark.parametrize(("where", "sql"), OUTSIDE, ids=[where for where, _ in OUTSIDE])
def test_a_column_outside_the_grant_is_outside_wherever_it_stands(house: House, where: str, sql: str) -> None:
    make.small_city(house, themes=[couples(select=sql, fields=[{"name": "name", "title": "姓名", "type": "C200"}])])
    granted(house, "base:population", "id_number", "name")
    error = refused(AccessRefused, themes.submit, house, OWNER, "couples")
    assert (error.facts["reason"], error.facts["missing"]) == ("fields-not-granted", ["address"])


def test_a_theme_that_left_the_catalogue_is_not_in_force(house: House) -> None:
    make.small_city(house, themes=[couples()])
    both_granted(house)
    themes.submit(house, OWNER, "couples")
    themes.approve(house, AUTHORITY, "couples", 1, "好")
    make.small_city(house)
    assert themes.views(house) == []
    assert isinstance(refused(NotFound, themes.view, house, "couples"), NotFound)
    error = refused(NotFound, granted, house, "theme:couples", "name")
    assert str(error) == (
        "目录中没有这个库或资源，请写作 base:<基础库>、theme:<主题库> 或 pool:<资源> / the catalogue has no such base, theme or "
        "resource; write base:<base>, theme:<theme> or pool:<resource>"
    )
    make.small_city(house, themes=[couples()])  # back, and to be reviewed anew
    assert state(house) == [(3, "loaded", None, None, None), (1, "approved", "authority", "好", None)]
    assert catalogue.theme(house, "couples").purpose == PURPOSE
