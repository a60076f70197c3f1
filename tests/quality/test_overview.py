"""What the quality team sees: five pushes of two departments through the real landing and gate, and every figure made of them."""

import io
import json
import re
import zipfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import fastexcel
import pytest
from sqlalchemy import event, text, update

from exchange import catalogue
from exchange.callers import Caller
from exchange.databases import Databases
from exchange.errors import AccessRefused, NotFound, RequestInvalid
from exchange.house import House
from exchange.registry import models
from quality import overview, report
from quality.indicators import DECISIONS
from quality.overview import Asked
from quality.overview.show import percent
from tests import make
from tests.conftest import house_of, settings_in
from tests.delivery.kit import log
from tests.drawn import drawn
from tests.quality import kit

CHINA = timezone(timedelta(hours=8))
NOW = datetime(2026, 11, 20, 10, tzinfo=CHINA)  # a Friday
OPERATOR = Caller(None, "", "wang.wu")
CAPITAL = {
    "id": "capital",
    "title": "注册资本为正",
    "title_en": "the registered capital is positive",
    "predicate": "registered_capital > 0",
    "items": ["registered_capital"],
    "level": "warn",
    "indicator": "0402",
}
SECRET = "金丝雀有限公司"  # a value; it must show nowhere


def load(house: House, day: int, by: str | None, *resources: make.Entry, codes: str = "12") -> None:
    """Load a catalogue of these resources, on a day of November; `codes`: those of the code table `kind`."""
    kinds = {"id": "kind", "title": "类型", "codes": {code: f"第{code}类" for code in codes}}
    folder = house.settings.root.parent / "catalogue"
    make.write_catalogue(folder, resources=list(resources), bases=[], codes=[kinds])
    before = datetime.now(UTC)
    catalogue.load(house, folder, by=by)
    with house.registry.session() as session:
        fresh = update(models.ResourceVersion).where(models.ResourceVersion.loaded_at >= before - timedelta(seconds=1))
        session.execute(fresh.values(loaded_at=datetime(2026, 11, day, 9, tzinfo=CHINA)))


def push(house: House, resource: str, day: int, batch: int, picture: str, caller: Caller) -> str:
    """Land and judge a drawn table that came on a day of November at ten o'clock."""
    verdict = kit.judge(house, resource, picture, caller=caller, batch=batch)
    with house.registry.session() as session:
        came = update(models.Push).where(models.Push.id == verdict.push_id)
        session.execute(came.values(received_at=datetime(2026, 11, day, 10, tzinfo=CHINA)))
    return verdict.push_id


def companies(*bad: int, capital: str = "100") -> str:
    """Four companies; those in `bad` have a code whose last character is wrong. The last company has this capital."""
    codes = [make.uscc(n) for n in range(1, 5)]
    codes = [code[:-1] + ("1" if code[-1] == "0" else "0") if n in bad else code for n, code in enumerate(codes)]
    lines = [f"{code} | {SECRET}{n} | {'100' if n < 3 else capital}" for n, code in enumerate(codes)]
    return "\n".join(["统一社会信用代码 | 企业名称 | 注册资本", *lines])


@pytest.fixture(scope="module")
def city(server: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Companies pushed four times, once too badly; taxpayers once, without two of their columns; nobody else. Only looked at."""
    with settings_in(server, tmp_path_factory.mktemp("city")) as settings, house_of(settings) as house:
        market = make.market_entity(quarantine_threshold=0.5)
        others = (
            make.tax_payer(),
            make.civil_marriage(update_cycle="irregular"),
            make.police_household(update_cycle="realtime"),
        )
        load(house, 1, "zhang.san", market, *others)
        push(house, "market_entity", 2, 1, companies(), kit.MARKET)
        push(house, "market_entity", 3, 2, companies(1), kit.MARKET)
        push(house, "market_entity", 6, 3, companies(0, 1, 2), kit.MARKET)
        load(house, 10, "li.si", {**market, "rules": [CAPITAL]}, *others)
        push(house, "market_entity", 12, 4, companies(capital="-1"), kit.MARKET)
        picture = f"统一社会信用代码 | 纳税人名称\n{make.uscc(7)} | {SECRET}"
        push(house, "tax_payer", 5, 1, picture, Caller("c-tax", make.TAX))
        yield house


def table(rows: Sequence[tuple[object, ...]], picture: str) -> None:
    """The rows are those of the drawing."""
    said = [["-" if cell is None else str(cell) for cell in row] for row in rows]
    assert said == [[cell or "" for cell in row.values()] for row in drawn(picture)]


def test_the_trend_of_resources_push_by_push(city: House) -> None:
    found = overview.trend(city, OPERATOR, Asked())
    table(
        [
            (one.resource, p.batch, p.received_at.isoformat(), p.decision, p.state, p.rows, p.failing, p.warned, p.rate)
            for one in found.resources
            for p in one.pushes
        ],
        """
        resource      | batch | received                  | decision | state    | rows | failing | warned | rate
        market_entity | 1     | 2026-11-02T10:00:00+08:00 | accepted | accepted | 4    | 0       | 0      | 0.0
        market_entity | 2     | 2026-11-03T10:00:00+08:00 | accepted | accepted | 4    | 1       | 0      | 0.25
        market_entity | 3     | 2026-11-06T10:00:00+08:00 | rejected | rejected | 4    | 3       | 0      | 0.75
        market_entity | 4     | 2026-11-12T10:00:00+08:00 | accepted | accepted | 4    | 0       | 1      | 0.0
        tax_payer     | 1     | 2026-11-05T10:00:00+08:00 | accepted | accepted | 1    | 0       | 0      | 0.0
        """,
    )
    assert found.rules == ()  # of a whole city they would be too many to look at


def test_the_trend_of_departments_day_by_day(city: House) -> None:
    found = overview.trend(city, OPERATOR, Asked(department=make.MARKET))
    table(
        [
            (one.name, one.resources, d.day, d.pushes, d.accepted, d.rejected, d.held, d.rows, d.failing, d.warned, d.rate)
            for one in found.departments
            for d in one.days
        ],
        """
        name             | resources | day        | pushes | accepted | rejected | held | rows | failing | warned | rate
        市市场监督管理局 | 1         | 2026-11-02 | 1      | 1        | 0        | 0    | 4    | 0       | 0      | 0.0
        市市场监督管理局 | 1         | 2026-11-03 | 1      | 1        | 0        | 0    | 4    | 1       | 0      | 0.25
        市市场监督管理局 | 1         | 2026-11-06 | 1      | 0        | 1        | 0    | 4    | 3       | 0      | 0.75
        市市场监督管理局 | 1         | 2026-11-12 | 1      | 1        | 0        | 0    | 4    | 0       | 1      | 0.0
        """,
    )


def test_a_day_of_a_department_adds_up_its_resources(house: House) -> None:
    """Two resources, each pushed every hour from one in the morning until the next day at six."""
    load(house, 1, None, make.market_entity(), make.market_entity() | {"id": "market_food"})
    judged_by_the_hour(house, 30)
    (one,) = overview.trend(house, OPERATOR, Asked(last=30)).departments
    assert (one.resources, [(d.day.day, d.pushes, d.rows, d.failing, d.rate) for d in one.days]) == (
        2,
        [(2, 46, 4600, 138, 0.03), (3, 14, 1400, 42, 0.03)],
    )
    (whole,) = overview.dimensions(house, OPERATOR, Asked(last=30), NOW).departments
    correct = {i.code: i for d in whole.dimensions for i in d.indicators}["0301"]
    checks = 2 * 30 * 40 * 100  # resources, pushes, rules, rows
    assert (correct.measured, correct.passed) == (checks, checks - 2 * 30 * 3)


def test_the_trend_of_the_rules_of_a_resource(city: House) -> None:
    """A rule that came later has fewer points; the one that fails most stands first."""
    found = overview.trend(city, OPERATOR, Asked(resource="market_entity"))
    failing = [rule for rule in found.rules if rule.failing]
    table(
        [
            (rule.rule, rule.level, rule.indicator, p.received_at.day, p.version, p.decision, p.rows, p.failing, p.rate)
            for rule in failing
            for p in rule.points
        ],
        """
        rule          | level      | indicator | day | version | decision | rows | failing | rate
        uscc.uscc     | quarantine | 0301      | 2   | 2       | accepted | 4    | 0       | 0.0
        uscc.uscc     | quarantine | 0301      | 3   | 2       | accepted | 4    | 1       | 0.25
        uscc.uscc     | quarantine | 0301      | 6   | 2       | rejected | 4    | 3       | 0.75
        uscc.uscc     | quarantine | 0301      | 12  | 2       | accepted | 4    | 0       | 0.0
        dept.capital  | warn       | 0402      | 12  | 1       | accepted | 4    | 1       | 0.25
        """,
    )
    assert [rule.rule for rule in found.rules if not rule.failing][:3] == [
        "entity_name.length",
        "entity_name.lost_character",
        "entity_name.required",
    ]
    every = overview.trend(city, OPERATOR, Asked(rule="uscc.uscc"))
    assert [(rule.resource, rule.failing) for rule in every.rules] == [("market_entity", 4), ("tax_payer", 0)]


def test_only_the_last_pushes_or_those_of_a_period(city: House) -> None:
    def batches(**asked: object) -> list[int]:
        found = overview.trend(city, OPERATOR, Asked.model_validate({"resource": "market_entity", **asked}))
        return [push.batch for push in found.resources[0].pushes]

    assert batches(last=2) == [3, 4]
    assert batches(since="2026-11-03", until="2026-11-06") == [2, 3]  # both days belong to it
    assert batches(since="2026-11-03", until="2026-11-06", last=1) == [3]
    assert batches(until="2026-11-01") == []
    with pytest.raises(RequestInvalid, match=r"时间段的止（2026-11-01）早于起（2026-11-02）.*the period ends"):
        batches(since="2026-11-02", until="2026-11-01")


def test_the_six_dimensions_of_a_resource(city: House) -> None:
    """Of 16 rows 4 had a wrong code, of 4 deadlines 2 were kept (batch 4 came late, and none came since); a dimension is the
    mean of what was measured; what no rule speaks for is not applicable."""
    found = overview.dimensions(city, OPERATOR, Asked(resource="market_entity"), NOW)
    (one,) = found.resources
    table(
        [
            (d.title, i.code, i.unit, i.measured, i.passed, i.score, d.score)
            for d in one.dimensions
            for i in d.indicators
            if i.measured or d.score is None
        ],
        """
        dimension | code | unit     | measured | passed | score              | of the dimension
        规范性    | 0101 | check    | 32       | 32     | 1.0                | 1.0
        规范性    | 0105 | check    | 16       | 16     | 1.0                | 1.0
        规范性    | 0106 | check    | 16       | 16     | 1.0                | 1.0
        完整性    | 0201 | check    | 32       | 32     | 1.0                | 1.0
        准确性    | 0301 | check    | 48       | 44     | 0.9166666666666666 | 0.9722222222222222
        准确性    | 0302 | check    | 16       | 16     | 1.0                | 0.9722222222222222
        准确性    | 0304 | check    | 16       | 16     | 1.0                | 0.9722222222222222
        一致性    | 0402 | check    | 4        | 3      | 0.75               | 0.75
        时效性    | 0502 | deadline | 4        | 2      | 0.5                | 0.5
        可访问性  | 0601 | check    | 0        | 0      | -                  | -
        可访问性  | 0602 | check    | 0        | 0      | -                  | -
        """,
    )


def test_what_was_not_measured_is_not_applicable_and_never_whole(city: House) -> None:
    """The taxpayers' file has no column for their state or the number of employees, so of those nothing was measured: 0101
    speaks of the name alone. Of who never pushed there is no score, but for a deadline that passed."""
    found = overview.dimensions(city, OPERATOR, Asked(), NOW)
    table(
        [(one.name, one.pushes, *(d.score for d in one.dimensions)) for one in found.departments],
        """
        department       | pushes | 01  | 02  | 03                 | 04   | 05  | 06
        市公安局         | 0      | -   | -   | -                  | -    | 0.0 | -
        市市场监督管理局 | 4      | 1.0 | 1.0 | 0.9722222222222222 | 0.75 | 0.5 | -
        市民政局         | 0      | -   | -   | -                  | -    | -   | -
        市税务局         | 1      | 1.0 | 1.0 | 1.0                | -    | 1.0 | -
        """,
    )
    (tax,) = (one for one in found.resources if one.resource == "tax_payer")
    assert [(i.code, i.measured) for i in tax.dimensions[0].indicators if i.measured] == [
        ("0101", 1), ("0105", 1), ("0106", 1),
    ]  # fmt: skip


def test_the_report_of_the_only_push_says_the_same(city: House) -> None:
    """Of one push the overview and the push's own report are one figure, indicator by indicator."""
    asked = Asked(resource="tax_payer")
    (push,) = overview.trend(city, OPERATOR, asked).resources[0].pushes
    (one,) = overview.dimensions(city, OPERATOR, asked, NOW).resources
    told = report.as_dict(city, push.push)["indicators"]
    assert {i["code"]: i["score"] for i in told if i["rules"]} == {
        i.code: i.score for d in one.dimensions for i in d.indicators if i.measured and i.unit == "check"
    }


def test_what_is_overdue(city: House) -> None:
    """Companies are due daily: after Thursday the 12th on Friday, and one working day more, Monday at ten. Taxpayers are due
    monthly, marriages at no fixed time; people were never pushed and count from their first load."""
    found = overview.overdue(city, OPERATOR, Asked(), NOW)
    table(
        [
            (one.resource, one.update_cycle, one.last_accepted, one.counted_from, one.due, one.days_overdue)
            for one in found.overdue
        ],
        """
        resource         | cycle    | last accepted             | counted from              | due                       | days
        police_household | realtime | -                         | 2026-11-01 09:00:00+08:00 | 2026-11-01 10:00:00+08:00 | 19.0
        market_entity    | daily    | 2026-11-12 10:00:00+08:00 | 2026-11-12 10:00:00+08:00 | 2026-11-16 10:00:00+08:00 | 4.0
        """,
    )
    assert (found.in_time, found.without_promise) == (1, 1)


def test_who_changed_which_rule_when(house: House) -> None:
    """Companies get a rule of the department's, then an item with a code table; then the rule, the codes and the limits are
    changed, and at last the rule goes. The first version is not shown here: all its rules came with it."""
    market = make.market_entity(quarantine_threshold=0.5, rules=[CAPITAL])
    market["items"].append(make.item("kind", "类型", "C1", code_table="kind"))
    strict = {**CAPITAL, "predicate": "registered_capital >= 1", "level": "quarantine"}
    load(house, 1, "zhang.san", make.market_entity(quarantine_threshold=0.5))
    load(house, 10, "li.si", make.market_entity(quarantine_threshold=0.5, rules=[CAPITAL]))
    load(house, 13, "zhao.liu", market)
    load(house, 14, None, {**market, "rules": [strict], "shrink_floor": 0.9, "quarantine_threshold": None}, codes="13")
    load(house, 15, "li.si", {**market, "rules": [], "shrink_floor": 0.9, "quarantine_threshold": None}, codes="13")
    found = overview.history(house, OPERATOR, Asked(resource="market_entity", since="2026-11-10"))  # type: ignore[arg-type]
    table(
        [
            (one.at.day, one.by, one.version, one.rule, one.what, *((
                text and f"{text.level}: {text.detail or text.title}") for text in (one.old, one.new)))
            for one in found.changes
        ],
        """
        day | by       | version | rule             | what    | old                                    | new
        15  | li.si    | 5       | dept.capital     | removed | quarantine: registered_capital >= 1    | -
        14  | -        | 4       | kind.code        | changed | quarantine: 1、2                       | quarantine: 1、3
        14  | -        | 4       | dept.capital     | changed | warn: registered_capital > 0           | quarantine: registered_capital >= 1
        14  | -        | 4       | push.threshold   | changed | block: 未通过的行至多占50.00%          | block: 未通过的行至多占平台设定
        14  | -        | 4       | push.shrink      | changed | hold: 全量推送的合格行至少为上次的平台设定 | hold: 全量推送的合格行至少为上次的90.00%
        13  | zhao.liu | 3       | kind.code        | added   | -                                      | quarantine: 1、2
        10  | li.si    | 2       | dept.capital     | added   | -                                      | warn: registered_capital > 0
        """,
    )  # fmt: skip
    first = overview.history(house, OPERATOR, Asked(resource="market_entity", changes=3))
    assert [one.rule for one in first.changes] == ["dept.capital", "kind.code", "dept.capital"]
    everything = overview.history(house, OPERATOR, Asked(resource="market_entity"))
    assert first.more == len(everything.changes) - 3
    assert {(one.version, one.by, one.what) for one in everything.changes[7:]} == {(1, "zhang.san", "added")}


# ── pages and workbooks ──────────────────────────────────────────────────────────────────────────────────────────────


def test_the_page_of_the_city_says_the_same_figures(city: House) -> None:
    """Every score of the six dimensions, every push in a picture, what is overdue, and the rule that came later."""
    page = overview.page(city, OPERATOR, Asked(), NOW)
    found = overview.dimensions(city, OPERATOR, Asked(), NOW)
    tiles = re.findall(r'<td class="tile \w+">([^<]*)</td>', page)
    assert tiles == [
        percent(score.score)
        for department in found.departments
        for one in [department, *(own for own in found.resources if own.department == department.department)]
        for score in one.dimensions
    ]
    assert tiles[18:24] == ["100.00%", "100.00%", "97.22%", "75.00%", "50.00%", "不适用"]
    market = [
        "2026-11-02 10:00 · 0 / 4 · 0.00%",
        "2026-11-03 10:00 · 1 / 4 · 25.00%",
        "2026-11-06 10:00 · 3 / 4 · 75.00%",
        "2026-11-12 10:00 · 0 / 4 · 0.00%",
    ]
    tax = ["2026-11-05 10:00 · 0 / 1 · 0.00%"]
    days = [told.replace(" 10:00 ·", " · 1 次推送 pushes ·") for told in market + tax]
    assert re.findall(r"<title>(2026-[^<]*)</title>", page) == market + tax + days
    assert '<td>2026-11-16 10:00</td><td class="n late">4.0</td>' in page
    assert "<small>li.si</small>" in page
    assert "<ins>注册资本为正 " in page
    links = re.findall(r'(?:href|src)="([^"]*)"', page)
    names = ("market_entity", "tax_payer", "civil_marriage", "police_household")
    assert set(links) == {"data:,", "workbook?", *(f"?resource={name}" for name in names)}
    narrow = overview.page(city, OPERATOR, Asked(last=3, department=make.TAX), NOW)
    asked = f"department={make.TAX}&amp;last=3"
    assert set(re.findall(r'href="([^"]*)"', narrow)) == {"data:,", f"workbook?{asked}", f"?{asked}&amp;resource=tax_payer"}
    assert re.findall(r'(?:href|src)="([^"]*)"', overview.page(city, OPERATOR, Asked(), NOW, linked=False)) == ["data:,"]


def test_the_page_of_a_resource_says_the_same_figures(city: House) -> None:
    page = overview.page(city, OPERATOR, Asked(resource="market_entity"), NOW)
    pushes = overview.trend(city, OPERATOR, Asked(resource="market_entity")).resources[0].pushes
    assert re.findall(r"<title>(P[^<]*)</title>", page) == [
        f"{p.push} 批次 batch {p.batch} · 2026-11-{p.received_at.day:02} 10:00 · full · "
        f"{' '.join(DECISIONS[p.decision])} · 4 行 rows，未通过 failing {p.failing}，提示 warned {p.warned}"
        for p in pushes
    ]
    assert "91.66%<br><small>44 / 48</small>" in page
    assert "50.00%<br><small>2 / 4 期限 deadlines</small>" in page
    assert page.count("未测量，不适用") == 1
    failing = re.findall(r'<code class="soft">([^<]*)</code>.*<td class="n">(\d+)</td><td class="n">', page)
    assert failing == [("uscc.uscc", "4"), ("dept.capital", "1")]


def test_a_house_without_pushes_has_a_page_and_a_workbook(house: House) -> None:
    load(house, 19, "zhang.san", make.tax_payer())
    for asked in (Asked(), Asked(resource="tax_payer")):
        assert "尚无已判的推送" in overview.page(house, OPERATOR, asked, NOW)
        scores = sheet(overview.workbook(house, OPERATOR, asked, NOW), 1)
        assert {row[11] for row in scores} == {"不适用 n/a"}


def sheet(workbook: bytes, number: int) -> list[list[object]]:
    """A sheet of a workbook as a spreadsheet reads it, without its header; a number has the nine digits it is read with."""
    read = fastexcel.read_excel(workbook).load_sheet(number, dtypes="string").to_polars()
    plain = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?(e-?\d+)?")
    return [[round(float(cell), 8) if plain.fullmatch(cell or "") else cell for cell in row] for row in read.iter_rows()]


def said(share: float | None) -> object:
    """A share as a sheet says it."""
    return "不适用 n/a" if share is None else round(share, 8)


def test_the_workbook_says_the_same_figures(city: House) -> None:
    """Read back and compared with the JSON, sheet by sheet."""
    asked = Asked(resource="market_entity")
    written = overview.workbook(city, OPERATOR, asked, NOW)
    assert fastexcel.read_excel(written).sheet_names == [
        "趋势 trend",
        "六维 dimensions",
        "逾期 overdue",
        "疑义 contested",
        "规则变更 history",
    ]
    trend = overview.trend(city, OPERATOR, asked)
    assert [(*row[3:4], row[8], row[9], *row[13:]) for row in sheet(written, 0) if row[0] == "资源 resource"] == [
        ("market_entity", p.push, p.batch, p.rows, p.failing, p.warned, said(p.rate)) for p in trend.resources[0].pushes
    ]
    assert [(row[5], row[8], row[13], row[14], row[16]) for row in sheet(written, 0) if row[0] == "规则 rule"] == [
        (rule.rule, p.push, p.rows, p.failing, said(p.rate)) for rule in trend.rules for p in rule.points
    ]
    dimensions = overview.dimensions(city, OPERATOR, asked, NOW)
    scores = [row for row in sheet(written, 1) if row[0] == "资源 resource"]
    assert [(row[6], row[9], row[10], row[11]) for row in scores if row[6]] == [
        (i.code, i.measured, i.passed, said(i.score)) for d in dimensions.resources[0].dimensions for i in d.indicators
    ]
    assert [row[11] for row in scores if not row[6]] == [said(d.score) for d in dimensions.resources[0].dimensions]
    assert [(row[2], str(row[7]), row[8]) for row in sheet(written, 2)] == [("market_entity", "2026-11-16 10:00:00", 4.0)]
    history = overview.history(city, OPERATOR, asked)
    assert [(row[3], row[4], row[5]) for row in sheet(written, 4)] == [
        (one.version, one.by, one.rule) for one in history.changes
    ]


def test_no_cell_of_the_workbook_can_run(house: House) -> None:
    """A department may write a rule that begins like a formula, and a title too: both stay text, marked as such."""
    wild = {
        **CAPITAL,
        "title": '=HYPERLINK("http://example.org","甲")',
        "title_en": "@SUM(A1)",
        "predicate": "-registered_capital < 0",
    }
    load(house, 1, "=cmd", make.market_entity(title="+1", rules=[wild]))
    written = overview.workbook(house, OPERATOR, Asked(), NOW)
    with zipfile.ZipFile(io.BytesIO(written)) as parts:
        told = {name: parts.read(name).decode() for name in parts.namelist()}
    sheets = [text for name, text in told.items() if name.startswith("xl/worksheets/")]
    assert len(sheets) == 5
    assert [mark for text in sheets for mark in ("<f>", "<f ", "<hyperlink") if mark in text] == []
    assert not [name for name in told if "_rels/sheet" in name or "externalLink" in name]
    assert 'quotePrefix="1"' in told["xl/styles.xml"]
    first = next(row for row in sheet(written, 4) if row[5] == "dept.capital")
    assert (first[2], first[4]) == ("+1", "=cmd")
    assert first[10] == '=HYPERLINK("http://example.org","甲")\n@SUM(A1)\n-registered_capital < 0'


def test_no_value_stands_in_any_answer(city: House) -> None:
    """The companies' names and codes, good and bad, were pushed and judged; the answers know of counts alone."""
    canaries = [SECRET, *(make.uscc(n)[:16] for n in (1, 2, 3, 4, 7))]
    for asked in (Asked(), Asked(resource="market_entity"), Asked(resource="tax_payer")):
        with zipfile.ZipFile(io.BytesIO(overview.workbook(city, OPERATOR, asked, NOW))) as parts:
            told = [parts.read(name).decode() for name in parts.namelist()]
        told += [overview.page(city, OPERATOR, asked, NOW), overview.trend(city, OPERATOR, asked).model_dump_json()]
        told += [answer(city, OPERATOR, asked, NOW).model_dump_json() for answer in (overview.dimensions, overview.overdue)]
        told += [answer(city, OPERATOR, asked).model_dump_json() for answer in (overview.contested, overview.history)]
        assert "uscc.uscc" in "".join(told)
        assert [one for one in canaries if any(one in text for text in told)] == []


# ── who may see it ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_department_sees_its_own_resources(city: House) -> None:
    found = overview.trend(city, kit.MARKET, Asked())
    assert [one.resource for one in found.resources] == ["market_entity"]
    assert [one.department for one in found.departments] == [make.MARKET]
    assert [one.resource for one in overview.dimensions(city, kit.MARKET, Asked(), NOW).resources] == ["market_entity"]
    assert {one.resource for one in overview.history(city, kit.MARKET, Asked()).changes} == {"market_entity"}
    assert overview.overdue(city, Caller("c-tax", make.TAX), Asked(), NOW).overdue == ()
    own = overview.trend(city, kit.MARKET, Asked(rule="uscc.uscc"))
    assert [rule.resource for rule in own.rules] == ["market_entity"]


@pytest.mark.parametrize(
    "asked", [Asked(resource="tax_payer"), Asked(department=make.TAX), Asked(department=make.TAX, resource="market_entity")]
)
def test_another_department_s_figures_are_refused_and_recorded(house: House, asked: Asked) -> None:
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    with pytest.raises(
        AccessRefused, match=r"质量情况只给提供该资源的部门和质量管理人员.*for the department that provides the resource"
    ):
        overview.workbook(house, kit.MARKET, asked, NOW)
    assert [(one["action"], one["target"], one["client"], one["decision"], one["reason"][:17]) for one in log(house)] == [
        ("quality_workbook", "quality", "c-market", "refused", "other-department:")
    ]


def test_every_answer_is_recorded_before_anybody_has_it(house: House) -> None:
    load(house, 1, "zhang.san", make.market_entity(), make.tax_payer())
    page = overview.page(house, OPERATOR, Asked(), NOW)
    overview.trend(house, kit.MARKET, Asked())
    overview.history(house, OPERATOR, Asked(resource="tax_payer"))
    with pytest.raises(NotFound, match="没有这个资源，请核对资源 id / there is no such resource; check its id"):
        overview.overdue(house, OPERATOR, Asked(resource="tax_players"), NOW)
    entries = log(house)
    assert [(one["action"], one["target"], one["client"], one["person"], one["decision"]) for one in entries] == [
        ("quality_page", "quality:all", None, "wang.wu", "answered"),
        ("quality_trend", "quality:市市场监督管理局", "c-market", None, "answered"),
        ("quality_history", "quality:tax_payer", None, "wang.wu", "answered"),
        ("quality_overdue", "quality", None, "wang.wu", "not_found"),
    ]
    assert entries[0]["answer"] == house.seal.keyed_hash("answer", page.encode())


# ── many pushes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_sixty_pushes_of_eighty_resources_cost_as_many_statements_as_one(house: House) -> None:
    """The statements of a page are counted; they are the same, whatever there is. And no more is read than was asked for."""
    names = [f"market_{n:02}" for n in range(80)]
    load(house, 1, "zhang.san", *(make.market_entity() | {"id": name} for name in names))
    few = statements(house, Asked())
    judged_by_the_hour(house, 60)
    many = statements(house, Asked(last=50))
    assert many == few
    assert len(many) < 20
    found = overview.trend(house, OPERATOR, Asked(last=50))
    assert {(len(one.pushes), one.pushes[0].batch, one.pushes[-1].batch) for one in found.resources} == {(50, 11, 60)}
    assert sum(day.failing for one in found.departments for day in one.days) == 80 * 50 * 3


def judged_by_the_hour(house: House, pushes: int) -> None:
    """Pushes of every resource and their verdicts as the gate leaves them, a push an hour from one in the morning of the
    second: 100 rows, 40 rules, 3 rows failing one of them."""
    push = """INSERT INTO push (id, resource_id, resource_version, department_code, door, batch, mode, rows, bytes, algorithm,
            digest, shape, state, received_at)
        SELECT r.id || '-' || n, r.id, 1, r.department_code, 'test', n, 'full', 100, 1, 'sm3', '0', '{}', 'pooled',
            CAST('2026-11-02T00:00:00+08:00' AS timestamptz) + n * interval '1 hour'
        FROM resource r, generate_series(1, :pushes) n"""
    verdict = """INSERT INTO verdict (push_id, decision, reasons, rows, accepted_rows, quarantined_rows, warned_rows,
            normalised_values, rules, rules_digest)
        SELECT p.id, 'accepted', '[]', 100, 97, 3, 0, 0, CAST(:rules AS jsonb), '0' FROM push p"""
    rules = [
        {"id": f"rule.{n}", "version": 1, "level": "quarantine", "indicator": "0301", "title": "甲", "title_en": "a",
         "items": [], "failed": 3 if n == 0 else 0, "passed": 97 if n == 0 else 100, "rows": [1, 2, 3]}
        for n in range(40)
    ]  # fmt: skip
    with house.registry.session() as session:
        session.execute(text(push), {"pushes": pushes})
        session.execute(text(verdict), {"rules": json.dumps(rules)})


def statements(house: House, asked: Asked) -> list[str]:
    """The beginnings of the statements that a page takes, in order, without those of the log."""
    seen: list[str] = []

    def note(*told: Any) -> None:
        if "access_" not in told[2] and "advisory" not in told[2]:
            seen.append(" ".join(told[2].split())[:60])

    with house.registry.session() as session:
        engine = session.get_bind()
    event.listen(engine, "before_cursor_execute", note)
    try:
        overview.page(house, OPERATOR, asked, NOW)
    finally:
        event.remove(engine, "before_cursor_execute", note)
    return seen
