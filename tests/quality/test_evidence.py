"""What the gate leaves behind: Great Expectations' word, the row-error file, and no value anywhere else."""

import json
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from sqlalchemy import text

from exchange.callers import Caller
from exchange.errors import AccessRefused, AgedOut, NotFound, Unavailable
from exchange.house import House
from exchange.intake import pushes
from exchange.registry.models import Push, Verdict
from quality import ageing, check, expectations, gate, quarantine, report, staging
from quality.subject import Subject
from tests import make
from tests.quality import kit

HEADER = ["公民身份号码", "姓名", "性别", "出生日期", "户籍地址", "联系电话", "更新时间"]
CANARY_ID = make.with_check("41081119871231123")
CANARIES = (
    "金丝雀姓名",
    "金丝雀路一号",
    "13912345678",
    CANARY_ID,
    CANARY_ID[:17],
    "坏" + CANARY_ID,
    "金丝雀性别",
    "1987-12-31",
)


def land_messy(house: House, rows: int = 200, batch: int = 1, bad: int = 7) -> str:
    people = [[make.resident(n), f"人{n}", "1", "1950-01-01", "某路", "", "2026-01-01 08:00:00"] for n in range(rows)]
    for n in range(bad):
        people[n * 3][n % 4] = ("坏" + CANARY_ID, "", "金丝雀性别", "金丝雀姓名")[n % 4]
    people[-1] = [CANARY_ID, "金丝雀姓名", "1", "1987-12-31", "金丝雀路一号", "13912345678", "2026-01-01 08:00:00"]
    people[-2] = people[-3]
    return kit.land(house, "police_household", HEADER, people, batch=batch)


def test_great_expectations_counts_what_a_direct_evaluation_counts(house: House) -> None:
    make.small_city(house)
    push = land_messy(house)
    verdict = gate.check(house, push)
    subject = Subject.of(house, push)
    with house.duckdb() as connection:
        staged = check.noted_sql(house, push)
        assert {rule.id: rule.failed for rule in verdict.rules} == check.direct_counts(connection, staged, subject.rules)
        assert verdict.quarantined_rows == check.count(connection, staged, subject.rules).rejected == 8
    result = json.loads((expectations.results_folder(house, push) / "result.json").read_text())
    seen = {one["expectation_config"]["meta"].get("rule"): one["result"]["observed_value"] for one in result["results"]}
    assert seen == {rule.id: rule.failed for rule in verdict.rules} | {None: 200}
    rows = {
        one["expectation_config"]["meta"]["rule"]: tuple(one["result"]["details"]["rows"]) for one in result["results"][:-1]
    }
    assert rows == {rule.id: rule.rows for rule in verdict.rules}
    assert {rule: numbers for rule, numbers in rows.items() if numbers}
    page = expectations.data_docs(house, push).read_text()
    for numbers in rows.values():
        assert not numbers or f"（行 / rows {'、'.join(map(str, numbers))}" in page
    assert [one["success"] for one in result["results"]] == [rule.failed == 0 for rule in verdict.rules] + [True]


def test_a_push_of_which_rows_are_missing_stays_unjudged(house: House) -> None:
    make.small_city(house)
    subject = Subject.of(house, land_messy(house))
    with house.duckdb() as connection:
        counts = check.run(house, connection, subject.receipt.id, subject.resource, subject.rules)
        with pytest.raises(Unavailable) as refused:
            expectations.validate(house, connection, subject, counts.rows + 1)
    assert refused.value.zh == "Great Expectations 未能评估 行数；推送保持未检查，请重试，仍不行请联系运维"
    assert not expectations.results_folder(house, subject.receipt.id).exists()


def files_with(folder: Path, needles: tuple[str, ...]) -> list[tuple[str, str]]:
    """(file, needle) for every file of a folder that holds a needle, in UTF-8 or GB18030."""
    return [
        (str(path.relative_to(folder)), needle)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        for needle in needles
        if needle.encode() in (content := path.read_bytes()) or needle.encode("gb18030") in content
    ]


def test_no_value_is_anywhere_but_in_the_row_error_file(
    house: House, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    make.small_city(house)
    caplog.set_level("DEBUG")
    push = land_messy(house)
    verdict = gate.check(house, push)
    assert verdict.decision == "accepted"
    page = report.render(house, push)
    print(report.as_dict(house, push), verdict)
    assert files_with(house.settings.root, CANARIES) == []
    assert page.exists()
    assert expectations.data_docs(house, push).exists()
    said = caplog.text + "".join(capfd.readouterr())
    assert [needle for needle in CANARIES if needle in said] == []
    with house.registry.session() as session:
        tables = session.scalars(text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'"))
        dump = "".join(
            str(row) for table in list(tables) for row in session.execute(text(f'SELECT t::text FROM "{table}" AS t'))
        )
    assert push in dump
    assert [needle for needle in CANARIES if needle in dump] == []
    told = str(kit.row_errors(house, push))
    assert [needle for needle in ("坏" + CANARY_ID, "金丝雀性别", "金丝雀姓名") if needle not in told] == []


def log(house: House) -> list[tuple[object, ...]]:
    """(department, action, target, decision) of every record."""
    with house.registry.session() as session:
        bodies = session.scalars(text("SELECT body FROM access_log ORDER BY seq"))
        return [(b["department"], b["action"], b["target"], b["decision"]) for b in bodies]


def test_only_the_pushing_department_gets_the_row_errors_and_every_attempt_is_on_record(house: House) -> None:
    make.small_city(house)
    push = land_messy(house)
    with pytest.raises(NotFound, match="没有行错误文件：尚未检查"):
        quarantine.row_errors(house, kit.POLICE, push)
    gate.check(house, push)
    with pytest.raises(AccessRefused, match="行错误文件只给推送部门本身"):
        quarantine.row_errors(house, Caller("c", make.CIVIL), push)
    assert len({line[0] for line in kit.row_errors(house, push)}) == 8
    with pytest.raises(NotFound):
        quarantine.row_errors(house, kit.POLICE, "P260101-0000000000")
    assert log(house) == [
        (make.POLICE, "row_errors", f"push:{push}", "not_found"),
        (make.CIVIL, "row_errors", f"push:{push}", "refused"),
        (make.POLICE, "row_errors", f"push:{push}", "answered"),
    ]


def test_the_row_error_file_runs_nothing_in_a_spreadsheet(house: House) -> None:
    kit.publish(
        house,
        make.resource(
            "note", make.POLICE, [make.item("code", "编号", "C6", required=True)], ["code"], quarantine_threshold=1
        ),
    )
    told = ["=cmd|' /C calc'!A0", "+1234567", "-1234567", "@SUM(A1)", "\t=1+1+1+1", 'a"b,c\nd', "１２３４５６７"]
    push = kit.land(house, "note", ["编号"], [[value] for value in told])
    gate.check(house, push)
    content = quarantine.row_errors(house, kit.POLICE, push)
    assert content.startswith("\ufeff行号,信息项,规则,原因,被拒绝的值\r\n".encode())
    values = [line[-1] for line in kit.row_errors(house, push)]
    assert values == [
        "'=cmd|' /C calc'!A0",
        "'+1234567",
        "'-1234567",
        "'@SUM(A1)",
        "'\t=1+1+1+1",
        'a"b,c\nd',
        "１２３４５６７",
    ]


def test_quarantined_rows_stay_encrypted_and_accepted_ones_are_dropped(house: House) -> None:
    make.small_city(house)
    push = land_messy(house)
    gate.check(house, push)
    staging.drop(house, push)
    assert [path.name for folder in ("staging", "rows") for path in (house.settings.root / folder).iterdir()] == []
    assert quarantine.quarantine_file(house, push).read_bytes()[:4] == b"PARE"  # an encrypted footer


def judged_on(house: House, push: str, when: datetime) -> str:
    gate.check(house, push)
    with house.registry.session() as session:
        session.get_one(Verdict, push).decided_at = when
    return push


def test_quarantined_rows_go_when_their_time_is_over_and_the_row_error_file_says_when_it_went(house: House) -> None:
    make.small_city(house)
    now = datetime.now(UTC)
    old = judged_on(house, land_messy(house), now - timedelta(days=91))
    young = judged_on(house, land_messy(house, batch=2), now - timedelta(days=89))
    for push in (old, young):
        staging.drop(house, push)
    assert ageing.age_out(house, now) == {"quarantine": 1, "staging": 0, "reports": 0}
    assert ageing.age_out(house, now) == {"quarantine": 0, "staging": 0, "reports": 0}
    assert len(kit.row_errors(house, young)) > 0
    day = f"{now.astimezone(pushes.CHINA):%Y-%m-%d}"
    with pytest.raises(AgedOut) as found:
        quarantine.row_errors(house, kit.POLICE, old)
    assert found.value.zh.startswith(
        f"推送 {old} 的行错误文件已于 {day} 按保留期清除（EXCHANGE_KEEP_QUARANTINE=90 天）；质检报告仍在"
    )
    assert f"the row-error file of push {old} went on {day}" in found.value.en
    assert gate.verdict(house, old).quarantined_rows == 8
    assert pushes.get(house, old).id == old


def test_the_row_error_file_may_go_before_its_rows(house: House) -> None:
    make.small_city(house)
    now = datetime.now(UTC)
    push = judged_on(house, land_messy(house), now - timedelta(days=31))
    assert len(quarantine.row_errors(house, kit.POLICE, push, now=now)) > 0
    settings = house.settings.model_copy(update={"keep_row_errors": 30})
    strict = House(settings, house.seal, house.databases, house.registry)
    day = f"{(now - timedelta(days=1)).astimezone(pushes.CHINA):%Y-%m-%d}"
    with pytest.raises(AgedOut, match=rf"went on {day}, when its time was over \(EXCHANGE_KEEP_ROW_ERRORS=30 days\)"):
        quarantine.row_errors(strict, kit.POLICE, push, now=now)
    assert quarantine.quarantine_file(house, push).exists()


def test_judged_rows_and_documents_go_by_their_own_settings_and_the_page_comes_back(house: House) -> None:
    make.small_city(house)
    now = datetime.now(UTC)
    push = judged_on(house, land_messy(house), now - timedelta(days=60))
    page = report.render(house, push)
    assert ageing.age_out(house, now) == {"quarantine": 0, "staging": 0, "reports": 0}
    assert ageing.age_out(house, now + timedelta(days=8)) == {"quarantine": 0, "staging": 2, "reports": 0}
    assert [path for name in ("rows", "staging") for path in house.settings.folder(name).iterdir()] == []
    assert ageing.age_out(house, now + timedelta(days=341)) == {"quarantine": 1, "staging": 0, "reports": 1}
    assert not page.exists()
    assert list(house.settings.folder("gx").iterdir()) == []
    assert report.render(house, push).exists()


def test_a_push_that_waits_to_be_confirmed_keeps_its_rows(house: House) -> None:
    make.small_city(house)
    now = datetime.now(UTC)
    push = judged_on(house, land_messy(house), now - timedelta(days=100))
    with house.registry.session() as session:
        session.get_one(Push, push).state = "held"
    assert ageing.age_out(house, now)["quarantine"] == 0


class Page(HTMLParser):
    """Checks that every element is closed in order, and collects text and addresses."""

    VOID = ("meta", "link", "br", "img", "line", "rect", "input", "hr")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.drawn = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.drawn += tag == "rect"
        self.addresses += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        self.drawn += tag == "rect"

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_the_report_is_whole_and_shows_the_last_pushes(house: House) -> None:
    make.small_city(house)
    first, second, third = (land_messy(house, batch=n + 1, bad=(0, 7, 30)[n]) for n in range(3))
    for push in (first, second, third):
        gate.check(house, push)
    page = Page()
    page.feed(report.render(house, second).read_text())
    assert page.open == []
    said = " ".join(" ".join(page.words).split())
    assert "户籍人口 接受 accepted" in said
    assert "200 行中接受 192 行，隔离 8 行" in said
    assert "准确性 · 内容正确性" in said
    for rule in gate.verdict(house, second).rules:
        assert "、".join(str(row) for row in rule.rows) in said
    assert "15.50%" in said  # the third push stands in the picture of the second's page
    (address,) = page.addresses
    assert (house.settings.root / "reports" / address).resolve() == expectations.data_docs(house, second)
    points = report.trend(house, "police_household")
    assert [(p.batch, p.decision, p.quarantined) for p in points] == [
        (1, "accepted", 1),
        (2, "accepted", 8),
        (3, "rejected", 31),
    ]
    scores = {one.code: one.score for one in report.indicators(gate.verdict(house, second))}
    assert scores["0302"] == 1.0
    assert scores["0105"] is not None
    assert report.as_dict(house, second)["data_docs"] == address
    with pytest.raises(NotFound):
        report.render(house, "P260101-0000000000")


class Addresses(HTMLParser):
    """Everything in a page that a reader or a browser could follow, load or run, and the places it could lead to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.found: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.ids |= {value or "" for name, value in attrs if name == "id"}
        self.found += [value or "" for name, value in attrs if name in ("href", "src", "srcset", "action", "data")]
        assert tag not in ("script", "iframe", "object", "embed", "base"), tag
        assert [name for name, value in attrs if name.startswith("on") or "url(" in (value or "")] == []


def test_data_docs_are_one_page_that_leads_nowhere_else(house: House) -> None:
    make.small_city(house)
    written = []
    for batch in (1, 2):
        push = land_messy(house, batch=batch)
        gate.check(house, push)
        written += [expectations.data_docs(house, push), expectations.results_folder(house, push) / "result.json"]
    assert sorted(path for path in (house.settings.root / "gx").rglob("*") if not path.is_dir()) == sorted(written)
    for page in written[::2]:
        text = page.read_text()
        addresses = Addresses(text)
        assert [one for one in addresses.found if one != "data:," and one.removeprefix("#") not in addresses.ids] == []
        assert {"data:,", "#section-1", "#section-2"} < set(addresses.found)
        assert ("url(" in text, "@import" in text, "//" in text) == (False, False, False)
        assert "公民身份号码不重复 / id_number is unique（key.unique@2，quarantine，GB/T 36344 0304）" in text
