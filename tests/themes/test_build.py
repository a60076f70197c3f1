"""A theme is what its SELECT says of what its department was granted, and nothing else; built again when that changes."""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select, text

from exchange import access_log, catalogue, grants, themes
from exchange.callers import Caller
from exchange.delivery.mask import masked
from exchange.errors import AccessRefused, AgedOut, CatalogueError, ExchangeError, NotFound, Unavailable, WrongState
from exchange.house import House
from exchange.registry.models import Event, ThemeBuild
from pools import ageing, lake, merge, theme, way
from pools.reader import IndexReader
from tests import make
from tests.delivery.kit import log
from tests.themes.kit import (
    AUTHORITY,
    FIELDS,
    LI,
    MARRIED,
    PEOPLE,
    PURPOSE,
    SUN,
    WANG,
    ZHAO,
    approved,
    both_granted,
    city,
    couples,
    granted,
    push,
)

BUILT = [(LI, "李*成", date(1950, 1, 2), "20"), (SUN, "孙*", None, "20")]  # the police do not know SUN
EVERYTHING = ("id_number", "name", "sex_code", "birth_date", "marital_code", "mobile")


def rows(house: House, theme_id: str = "couples") -> list[tuple[Any, ...]]:
    """What the newest build holds, as it lies in the lake, by key."""
    with house.registry.session() as session:
        built = theme.last_build(session, theme_id)
    assert built is not None
    kinds = catalogue.themes.columns(catalogue.theme(house, theme_id))
    with lake.opened(house) as connection:
        relation = lake.version(theme.table(theme_id), built.snapshot)
        found = connection.execute(f"SELECT {', '.join(kinds)} FROM {relation} ORDER BY ALL").fetchall()
        wrong = connection.execute(
            f"SELECT count(*) FROM {relation} WHERE _bucket IS DISTINCT FROM {lake.bucket_of('id_number')}"
        ).fetchone()
    assert wrong == (0,)
    assert built.rows == len(found)
    return found


def refused(kind: type[ExchangeError], work: Callable[..., object], *what: Any) -> ExchangeError:
    with pytest.raises(kind) as error:
        work(*what)
    return error.value


def told(house: House, tag: str) -> list[dict[str, Any]]:
    with house.registry.session() as session:
        return [row.facts for row in session.scalars(select(Event).where(Event.tag == tag).order_by(Event.id))]


def test_a_build_holds_what_was_granted_and_leaves_evidence_of_what_it_read(house: House) -> None:
    city(house, couples())
    on_base, on_pool = both_granted(house)
    approved(house)
    built = theme.build(house, "couples", by="operator")
    assert built is not None
    assert rows(house) == BUILT
    with house.registry.session() as session:
        base = merge.last_build(session, "population")
        assert base is not None
    common = {
        "subject": None,
        "retention": "share_record",
        "department": make.CIVIL,
        "client": None,
        "person": "operator",
        "purpose": PURPOSE,
        "action": "theme",
        "answer": None,
        "decision": "answered",
        "reason": "theme:couples",
        "request": built.id,
    }
    assert log(house) == [
        common
        | {
            "seq": 1,
            "target": "base:population",
            "version": base.id,
            "fields": ["birth_date", "id_number", "name"],
            "grant": on_base.id,
            "rows": 4,
        },
        common
        | {
            "seq": 2,
            "target": "pool:civil_marriage",
            "version": built.inputs["pool:civil_marriage"]["version"],
            "fields": ["id_number", "marital_code"],
            "grant": on_pool.id,
            "rows": 3,
        },
    ]
    assert access_log.verify(house).whole
    assert told(house, "theme:build:commit") == [
        {
            "theme": "couples",
            "number": 1,
            "rows": 2,
            "version": 1,
            "snapshot": built.snapshot,
            "inputs": {"base:population": base.id, "pool:civil_marriage": built.inputs["pool:civil_marriage"]["version"]},
        }
    ]


SELECTS = [
    pytest.param(
        "SELECT id_number, name FROM base.population",
        {LI: "李*成", WANG: "王*", ZHAO: "赵*丁", SUN: "孙*"},
        id="all, masked",
    ),
    pytest.param(
        "SELECT m.id_number, p.name FROM pool.civil_marriage m LEFT JOIN base.population p USING (id_number) "
        "WHERE m.marital_code = '20'",
        {LI: "李*成", SUN: "孙*"},
        id="some of a pool",
    ),
    pytest.param(
        "SELECT id_number, sex_code AS name FROM base.population WHERE id_number NOT IN "
        "(SELECT id_number FROM pool.civil_marriage)",
        {ZHAO: "2"},
        id="who is not in a pool",
    ),
    pytest.param(
        "WITH population AS (SELECT id_number, marital_code AS name FROM pool.civil_marriage) SELECT id_number, name FROM population",
        {LI: "20", WANG: "10", SUN: "20"},
        id="a WITH that has a base's name",
    ),
    pytest.param(
        "SELECT id_number, CASE WHEN year(birth_date) < 1960 THEN sex_code || '-' || coalesce(mobile, '') END AS name "
        "FROM base.population",
        {LI: "1-13900001234", WANG: "2-13900005678", ZHAO: "2-", SUN: None},
        id="an expression",
    ),
    pytest.param(
        "SELECT id_number, TRY_CAST(count(*) AS VARCHAR) AS name FROM (SELECT id_number FROM base.population UNION ALL "
        "SELECT id_number FROM pool.civil_marriage) GROUP BY id_number",
        {LI: "2", WANG: "2", ZHAO: "1", SUN: "2"},
        id="counted",
    ),
]


@pytest.mark.parametrize(("sql", "wanted"), SELECTS)
def test_what_the_select_says(house: House, sql: str, wanted: dict[str, str | None]) -> None:
    entry = couples(select=sql, fields=[{"name": "name", "title": "姓名", "type": "C50"}])
    city(house, entry)
    plain = [name for name in EVERYTHING if name != "name"]
    granted(house, "base:population", *EVERYTHING, unmasked=plain)
    granted(house, "pool:civil_marriage", "id_number", "name", "marital_code", unmasked=["id_number", "marital_code"])
    approved(house)
    assert theme.build(house, "couples") is not None
    assert dict(rows(house)) == wanted


MASKED = ["name", "mobile"]


def test_what_is_masked_never_enters_the_theme(house: House) -> None:
    """Nowhere in the theme's rows is a value that was not granted; each is what `masked` makes of it."""
    fields = [{"name": name, "title": name, "type": "C50"} for name in MASKED]
    city(house, couples(select="SELECT id_number, name, mobile FROM base.population", fields=fields))
    granted(house, "base:population", "id_number", "name", "mobile", unmasked=["id_number"])
    approved(house)
    theme.build(house, "couples")
    by_key = {person["id_number"]: person for person in [*PEOPLE, MARRIED[2]]}
    assert rows(house) == sorted(
        (key, masked("name", person["name"]), masked("mobile", person.get("mobile"))) for key, person in by_key.items()
    )


def test_it_is_built_again_when_something_it_reads_changed_and_not_otherwise(house: House) -> None:
    city(house, couples())
    both_granted(house)
    assert theme.waits(house, "couples") == []
    approved(house)
    assert theme.build(house, "couples") is not None
    assert theme.build(house, "couples") is None
    push(house, "civil_marriage", [{"id_number": ZHAO, "marital_code": "20"}], batch=2)
    again = theme.build(house, "couples")
    assert again is not None
    assert again.number == 2
    assert rows(house) == [(ZHAO, "赵*丁", date(1950, 1, 4), "20")]
    merge.build(house, "population")  # who is gone from every pool is closed, and not read
    third = theme.build(house, "couples")
    assert third is not None
    assert third.inputs["base:population"]["rows"] == 3
    assert theme.build(house, "couples") is None
    views = theme.builds(house, "couples")
    assert [(view.number, view.rows) for view in views] == [(3, 1), (2, 1), (1, 2)]


def test_a_wider_grant_unmasks_at_the_next_build_and_a_narrower_one_masks_again(house: House) -> None:
    city(house, couples())
    both_granted(house)
    approved(house)
    theme.build(house, "couples")
    assert rows(house)[0][1] == "李*成"
    wider = granted(house, "base:population", "id_number", "name", "birth_date")
    assert theme.build(house, "couples") is not None
    assert rows(house)[0][1] == "李生成"
    grants.revoke(house, wider.id)
    assert theme.build(house, "couples") is not None
    assert rows(house)[0][1] == "李*成"


def test_a_theme_waits_for_the_first_version_of_all_it_reads(house: House) -> None:
    make.small_city(house, themes=[couples()])
    both_granted(house)
    approved(house)
    assert (theme.build(house, "couples"), theme.waits(house, "couples")) == (
        None,
        ["base:population", "pool:civil_marriage"],
    )
    push(house, "civil_marriage", MARRIED)
    assert theme.waits(house, "couples") == ["base:population"]
    merge.build(house, "population")
    assert theme.build(house, "couples") is not None
    assert not theme.waits(house, "couples")


def test_only_an_approved_version_is_built(house: House) -> None:
    city(house, couples())
    both_granted(house)
    no = (
        "主题库 couples 还没有批准的版本，不能构建；请先送审（exchange theme submit） / no version of theme couples is approved, so "
        "nothing is built; submit it for review (exchange theme submit)"
    )
    assert str(refused(WrongState, theme.build, house, "couples")) == no
    approved(house)
    theme.build(house, "couples")
    make.small_city(house, themes=[couples(select="SELECT id_number, name, birth_date, marital_code FROM base.population")])
    assert theme.build(house, "couples") is None  # the second version is not approved: the first goes on
    themes.reject(house, AUTHORITY, "couples", 1, "撤销")
    assert str(refused(WrongState, theme.build, house, "couples")) == no
    assert isinstance(refused(NotFound, theme.build, house, "couple"), NotFound)


def test_a_revoked_grant_stops_the_refresh_and_that_is_recorded(house: House) -> None:
    city(house, couples())
    on_base, on_pool = both_granted(house)
    approved(house)
    theme.build(house, "couples")
    grants.revoke(house, on_pool.id)
    push(house, "civil_marriage", MARRIED[:2], batch=2)
    error = refused(AccessRefused, theme.build, house, "couples")
    assert str(error) == (
        f"主题库 couples 不能读 pool:civil_marriage：授权 {on_pool.id} 已被收回。请向市民政局（联系方式未登记）申请 / theme couples may "
        f"not read pool:civil_marriage: grant {on_pool.id} was revoked. Ask 市民政局 (no contact registered)"
    )
    assert told(house, "theme:build:refuse") == [
        {"reason": "grant-revoked", "relation": "pool:civil_marriage", "missing": ["grant"], "version": 1}
    ]
    last = log(house)[-1]
    assert {name: last[name] for name in ("action", "decision", "target", "fields", "department", "reason")} == {
        "action": "theme",
        "decision": "refused",
        "target": "pool:civil_marriage",
        "fields": ["id_number", "marital_code"],
        "department": make.CIVIL,
        "reason": f"grant-revoked: {error.zh}",
    }
    assert rows(house) == BUILT  # it stays, and answers nobody
    assert access_log.verify(house).whole
    granted(house, "pool:civil_marriage", "id_number", "marital_code")
    assert theme.build(house, "couples") is not None
    assert on_base.revoked_at is None


def test_an_expired_grant_stops_it_too(house: House) -> None:
    city(house, couples())
    on_base, _ = both_granted(house)
    approved(house)
    yesterday = grants.today() - timedelta(days=1)
    with house.registry.session() as session:
        session.execute(
            text("UPDATE access_grant SET valid_until = :day WHERE id = :id"), {"day": yesterday, "id": on_base.id}
        )
    error = refused(AccessRefused, theme.build, house, "couples")
    assert error.facts["reason"] == "grant-expired"
    assert f"授权 {on_base.id} 已于 {yesterday} 到期" in error.zh


def test_a_stricter_catalogue_stops_it(house: House) -> None:
    city(house, couples())
    both_granted(house)
    approved(house)
    never = {"type": 3, "basis": {"title": "某法", "article": "第三条", "level": "法律"}}
    population = make.population()
    population["fields"][0]["sources"] = ["police_household.name"]
    make.small_city(
        house,
        themes=[couples()],
        resources=[make.police_household(), make.civil_marriage(share=never), *make.some_resources()[2:]],
        bases=[population, make.legal_entity()],
    )
    error = refused(AccessRefused, theme.build, house, "couples")
    assert (error.facts["relation"], error.facts["reason"], error.facts["missing"]) == (
        "pool:civil_marriage",
        "not-shared",
        ["id_number", "marital_code"],
    )


def test_a_relation_that_is_gone_is_named_at_load(house: House) -> None:
    make.small_city(house, themes=[couples()])
    folder = make.write_catalogue(house.settings.root.parent / "catalogue", themes=[couples()], bases=[make.legal_entity()])
    assert refused(CatalogueError, catalogue.load, house, folder).findings == [  # type: ignore[attr-defined]
        "themes/couples.yaml:7 [couples] theme-relation：没有 “base.population”；只能读目录中的 base.<基础库> 和 pool.<资源> / there is "
        "no “base.population”; only base.<base> and pool.<resource> of the catalogue can be read"
    ]


def test_a_theme_without_a_key_of_its_own_for_each_row_is_refused(house: House) -> None:
    sql = """
        SELECT m.id_number, p.name FROM base.population p LEFT JOIN pool.civil_marriage m ON m.id_number = p.id_number
        UNION ALL SELECT id_number, name FROM pool.civil_marriage
    """
    city(house, couples(select=sql, fields=FIELDS[:1]))
    granted(house, "base:population", "id_number", "name")
    granted(house, "pool:civil_marriage", "id_number", "name")
    approved(house)
    error = refused(WrongState, theme.build, house, "couples")
    assert str(error) == (
        "主题库 couples 的 SQL 给出 7 行，其中 1 行没有主键、3 行主键重复；一个主键只能有一行，请改定义并重新送审 / the SQL of theme "
        "couples gives 7 rows, 1 without a key and 3 repeating one; there must be one row a key: change the definition and submit "
        "it again"
    )
    assert told(house, "theme:build:refuse") == [{"reason": "theme-key", "relation": None, "missing": None, "version": 1}]
    assert [record["reason"].partition(":")[0] for record in log(house)] == ["theme-key"]
    with house.registry.session() as session:
        assert theme.last_build(session, "couples") is None


def test_what_fails_on_a_value_does_not_quote_it(house: House) -> None:
    sql = "SELECT id_number, TRY_CAST(mobile AS BIGINT) * 9000000000000 AS staff FROM base.population"
    city(house, couples(select=sql, fields=[{"name": "staff", "title": "数", "type": "I"}]))
    granted(house, "base:population", "id_number", "mobile")
    approved(house)
    error = refused(Unavailable, theme.build, house, "couples")
    assert str(error) == (
        "湖提交失败（OutOfRangeException），没有改动，可以重试 / committing the lake failed (OutOfRangeException); nothing changed, try "
        "again"
    )


def test_a_build_that_was_killed_before_it_was_written_down_is_adopted(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    city(house, couples())
    both_granted(house)
    approved(house)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(theme, "_record", killed)
        with pytest.raises(Killed):
            theme.build(house, "couples")
    with house.registry.session() as session:
        assert theme.last_build(session, "couples") is None
    assert log(house) == []
    assert theme.build(house, "couples") is None  # adopted, with its evidence; nothing changed since
    assert rows(house) == BUILT
    assert [(record["target"], record["rows"]) for record in log(house)] == [
        ("base:population", 4),
        ("pool:civil_marriage", 3),
    ]
    assert len(told(house, "theme:build:commit")) == 1


def test_a_pool_ahead_of_or_behind_the_catalogue_is_read_as_the_catalogue_has_it(house: House) -> None:
    city(house, couples())
    both_granted(house)
    approved(house)
    wider = make.civil_marriage()
    wider["items"] = [{**entry, "type": "C4"} if entry["name"] == "marital_code" else entry for entry in wider["items"]]
    wider["items"].append(make.item("since", "登记日期", "D"))
    sql = """
        SELECT p.id_number, p.name, m.since AS birth_date, m.marital_code
        FROM base.population p JOIN pool.civil_marriage m ON m.id_number = p.id_number WHERE m.marital_code = '20'
    """
    make.small_city(
        house, themes=[couples(select=sql)], resources=[make.police_household(), wider, *make.some_resources()[2:]]
    )
    granted(house, "pool:civil_marriage", "id_number", "marital_code", "since")
    approved(house)
    assert theme.build(house, "couples") is not None
    assert rows(house) == [(LI, "李*成", None, "20"), (SUN, "孙*", None, "20")]


def test_taking_a_push_back_takes_it_back_from_the_theme(house: House) -> None:
    city(house, couples())
    _, on_pool = both_granted(house)
    approved(house)
    second = push(house, "civil_marriage", [*MARRIED[:2], {"id_number": ZHAO, "marital_code": "20"}], batch=2)
    way.refresh(house, "couples")
    reader = IndexReader(house, refresh=0)
    assert reader.lookup("theme:couples", [ZHAO]).records[ZHAO] is not None
    way.withdraw(house, Caller(None, make.CIVIL), second)
    assert reader.lookup("theme:couples", [ZHAO]).records[ZHAO] is None
    grants.revoke(house, on_pool.id)  # a theme that is stopped does not stop the provider
    third = push(house, "civil_marriage", MARRIED[:1], batch=3)
    way.withdraw(house, Caller(None, make.CIVIL), third)
    assert len(told(house, "theme:build:refuse")) == 1


def test_old_builds_age_out_and_the_newest_stays(house: House) -> None:
    city(house, couples())
    both_granted(house)
    approved(house)
    for batch in (2, 3):
        way.refresh(house, "couples")
        push(house, "civil_marriage", MARRIED[: batch - 1], batch=batch)
    newest = way.refresh(house, "couples")
    assert newest is not None
    first, second, third = (view.id for view in theme.builds(house, "couples")[::-1])
    later = datetime.now(UTC) + timedelta(days=402)
    with house.registry.session() as session:
        session.execute(text("INSERT INTO version_named VALUES (:version, :at, 1)"), {"version": second, "at": later})
    assert ageing.age(house, later).builds == 1
    with house.registry.session() as session:
        aged = {row.id: row.aged_at is not None for row in session.scalars(select(ThemeBuild))}
    assert aged == {first: True, second: False, third: False}
    reader = IndexReader(house)
    error = refused(AgedOut, reader.earlier, "theme:couples", [LI], first)
    assert str(error) == (
        f"theme:couples 的构建 {first} 已于 {later.astimezone(access_log.BEIJING):%Y-%m-%d} 按保留期清除（EXCHANGE_KEEP_VERSIONS=400 天）；"
        f"现存最早的构建是 {second}（第 2 次） / build {first} of theme:couples went on "
        f"{later.astimezone(access_log.BEIJING):%Y-%m-%d}, when no setting kept it any more (EXCHANGE_KEEP_VERSIONS=400 days); the "
        f"oldest there is is {second} (number 2)"
    )
    ageing.age(house, later + timedelta(days=2))
    assert reader.earlier("theme:couples", [LI], second).records[LI] is not None
    assert rows(house) == [(LI, "李*成", date(1950, 1, 2), "20")]
