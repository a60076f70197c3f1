"""The demo: a generated city goes the whole way through the real doors, and what was seen is held against what was sent.

Invariant: nothing here knows a shorter way. Departments push over HTTP with client credentials, Airflow runs the
pipelines, a consumer asks over HTTP; the house itself is only opened for what an operator does at the machine (catalogue,
clients, grants) and for looking at the outcome. Every figure in the summary was counted on both sides.
"""

import json
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from exchange import access_log, catalogue, clients, grants, themes
from exchange.callers import Caller
from exchange.catalogue.model import BaseDefinition, Level, ThemeDefinition
from exchange.errors import SettingError, Unavailable
from exchange.house import House, key_for
from exchange.registry.models import AccessRecord, ServingIndex
from exchange.settings import Settings
from infra import airflow, postgres
from infra.demo import otherwise
from infra.demo.city import City, Parcel, scale_of
from infra.demo.department import Department, expect
from infra.demo.findings import Findings, console, tell, write
from infra.up import Services, Stopped, api_address, prepare_house, services, told_to_stop, wait_until_ready, with_ports

CATALOGUE = Path(__file__).parent / "catalogue"
CONSUMER = "fund"  # the housing fund centre looks people up before it pays out
PURPOSE = "办理住房公积金提取"
ASKED = ("name", "sex_code", "marital_code", "death_flag")
MASKED = "sex_code"  # granted, but not in the clear
NOT_GRANTED = "household_address"
THEME = "insured_residents"  # of the labour department, made of its own pool and the population base
READ_BY_THEME = {
    "base:population": ("id_number", "name", "birth_date", "household_region_code", "death_flag"),
    "pool:hr_insurance": ("id_number", "employer", "insurance_status"),
}
PERSON = "演示经办员"
OPERATOR = Caller(None, "", person="demo-operator")
STOPPED = 130  # told to stop before the end
QUIET = 120.0  # seconds in which nothing runs, after which what is waited for will not come any more
FINAL = ("pooled", "rejected", "held")


def run(settings: Settings, once: bool, scale: str) -> int:
    """The demo. Exit code 0 when everything was as expected, 1 when not, 130 when stopped before the end.

    Without `once` it serves until Ctrl-C first.

    Raises:
        SettingError: this data folder holds something else, or the scale is no number.
        Unavailable: a part did not start, or a step did not end.
    """
    residents = _residents(scale)
    settings = with_ports(settings)
    _only_ours(settings, residents)
    findings = Findings()
    started = time.monotonic()
    code = STOPPED
    with suppress(Stopped), told_to_stop():
        seal = key_for(settings)
        with postgres.running(settings, seal):
            with findings.step("建库建密钥", "databases and keys"):
                prepare_house(settings)
            house = House.open(settings)
            try:
                code = _Demo(settings, house, findings, residents).go(once, started)
            finally:
                house.registry.close()
    return code


class _Demo:
    def __init__(self, settings: Settings, house: House, findings: Findings, residents: int) -> None:
        self.settings = settings
        self.house = house
        self.findings = findings
        self.residents = residents
        self.patience = max(300.0, residents / 400)  # seconds one wait may take
        self.departments: dict[str, Department] = {}
        self.http = httpx.Client(base_url=api_address(settings), timeout=600, trust_env=False)
        self.receipts: dict[str, dict[str, Any]] = {}
        self.parcels: list[Parcel] = []
        self.example = ""
        self.records = 0  # evidence this demo must have left behind

    def go(self, once: bool, started: float) -> int:
        """Every step, in the order of the way of the data."""
        step, findings = self.findings.step, self.findings
        with ThreadPoolExecutor(1) as aside, step("升级 Airflow 元数据库、载入目录", "Airflow's metadata, the catalogue"):
            migrating = aside.submit(airflow.migrate, self.settings)
            catalogue.load(self.house, CATALOGUE, by="demo")
            self._admit_departments()
            self._approve_theme()
            migrating.result()
        before = self._evidence()
        with services(self.settings) as kept, self.http:
            with step(f"生成城市（{self.residents:,} 居民），启动全部服务", "the city; everything started"):
                city = City(self.settings.root / "demo", self.residents)
                months = [[s for s in city.sheets if s.batch == month] for month in (1, 2)]
                self.parcels = [city.parcel(sheet) for sheet in months[0]]
                wait_until_ready(kept, self.house.seal)
            with step("第一批推送：九个部门经 HTTP 推送", "first batches, over HTTP"):
                self._push(self.parcels)
            with step("质检、入池、合并基础库（Airflow）", "check, pool, merge, by Airflow"):
                self._wait(kept, self._through)
                self._wait(kept, self._settled)
            with step("第二批：一批更新、一批被拒、一批待确认", "second batches: one newer, one rejected, one held"):
                later = [city.parcel(sheet) for sheet in months[1]]
                self.parcels += later
                self._push(later)
                self._wait(kept, self._through)
                self._wait(kept, self._settled)
            with step("变更一人的公民身份号码：历史随新号", "a person's number changed: history follows"):
                self._renumber(city)
            with step("查询（含附表）、拒绝、取问题行", "a consumer asks, of rows under records too, and is refused once"):
                self._ask(city)
                self._ask_for_rows(city)
            with step("核对日志与全部数字", "the log, and every figure"):
                self._compare(city)
                found = access_log.verify(self.house)
                findings.compare("日志完整 the log is whole", True, found.whole)
                findings.compare("日志条数 records of evidence", self.records, self._evidence() - before)
            city.close()
            path, seconds = self.settings.root / "demo.json", time.monotonic() - started
            write(findings, path, self.residents, seconds)
            tell(findings, path, seconds)
            if not once:
                self._serve(kept)
        return 0 if findings.good else 1

    # ── an operator at the machine ───────────────────────────────────────────────────────────────────────────────────

    def _admit_departments(self) -> None:
        known = catalogue.current(self.house)
        prefix = {resource.department: resource.id.split("_")[0] for resource in known.resources}
        for department in known.departments:
            client_id, secret = clients.create(self.house, department.code, "演示系统")
            name = prefix[department.code]
            self.departments[name] = Department(
                department.code, department.name, client_id, secret, self.http, PURPOSE, PERSON
            )
        self._grant("population", ASKED, unmasked=[name for name in ASKED if name != MASKED])
        for base in known.bases:
            if rows := [f"{each.id}.{name}" for each in base.satellites for name in each.key]:
                self._grant(base.id, rows, unmasked=rows)

    def _grant(self, base_id: str, fields: Sequence[str], unmasked: Sequence[str]) -> None:
        today = date.today()  # noqa: DTZ011 - a grant's days are the calendar's where the demo runs
        grants.give(
            self.house,
            self.departments[CONSUMER].code,
            f"base:{base_id}",
            fields,
            ("query",),
            PURPOSE,
            "《住房公积金管理条例》第二十四条",
            today - timedelta(days=1),
            today + timedelta(days=365),
            unmasked=unmasked,
        )

    def _approve_theme(self) -> None:
        """What the theme reads is granted, names masked; its department submits it, and another person approves."""
        definition = catalogue.theme(self.house, THEME)
        today = date.today()  # noqa: DTZ011 - as above
        for target, fields in READ_BY_THEME.items():
            grants.give(
                self.house,
                definition.department,
                target,
                fields,
                (themes.MODE,),
                definition.purpose,
                "《社会保险法》第七十四条",
                today - timedelta(days=1),
                today + timedelta(days=365),
                unmasked=[name for name in fields if name != "name"],
            )
        themes.submit(self.house, Caller(None, definition.department, person="demo-labour"), THEME)
        themes.approve(self.house, Caller(None, "", person="demo-authority"), THEME, definition.version, "符合用途")

    def _renumber(self, city: City) -> None:
        """The police send a person's new number, the others still the old one: two records, until an operator records which
        number took the place of which. Then one, whose history has both."""
        from pools import merge, way
        from pools.explain import explain

        before, now, compare = city.reckoning.number_before, city.reckoning.number_now, self.findings.compare
        with self.house.registry.session() as session:
            apart = merge.last_build(session, "population")
        line = way.alias(
            self.house,
            OPERATOR,
            "population",
            before,
            now,
            kind="changed",
            basis="《公民身份号码变更通知》演示〔2025〕1 号",
        )
        self.records += 2  # under either number
        with self.house.registry.session() as session:
            together = merge.last_build(session, "population")
        assert apart is not None and together is not None  # noqa: S101, PT018 - `_settled` waited for it
        compare("变更号码 a number changed: records that became one", 1, apart.rows - together.rows)
        explained = explain(self.house, "population", before)
        compare("变更号码 values: answered under the new number", [before, now], [explained.asked, explained.key])
        said = {
            word.resource: word.number for one in explained.fields for word in (one.source, *one.others) if word is not None
        }
        wanted = {"police_household": None, "civil_marriage": before}  # None: under the record's own number
        compare("变更号码 values: who said so under the old number", wanted, {name: said.get(name) for name in wanted})
        self.findings.renumbered.append(line.as_dict())
        self.findings.histories.append(explained)

    def _evidence(self) -> int:
        with self.house.registry.session() as session:
            return session.query(AccessRecord).count()

    # ── departments ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _owner(self, resource: str) -> Department:
        return self.departments[resource.split("_")[0]]

    def _push(self, parcels: Sequence[Parcel]) -> None:
        """Departments push side by side; each its own parcels one after the other."""
        by_owner: dict[str, list[Parcel]] = {}
        for parcel in parcels:
            by_owner.setdefault(parcel.resource.split("_")[0], []).append(parcel)

        def hand_over(theirs: list[Parcel]) -> list[tuple[Parcel, dict[str, Any], float]]:
            done = []
            for parcel in theirs:
                started = time.monotonic()
                receipt = self._owner(parcel.resource).push(parcel)
                done.append((parcel, receipt, time.monotonic() - started))
            return done

        with ThreadPoolExecutor(4) as pool:
            for done in pool.map(hand_over, by_owner.values()):
                for parcel, receipt, seconds in done:
                    self.records += 1  # the token
                    self.receipts[_name(parcel)] = receipt
                    self.findings.pushes.append(
                        {
                            "resource": parcel.resource,
                            "batch": parcel.batch,
                            "push": receipt["id"],
                            "rows": parcel.rows,
                            "bytes": receipt["bytes"],
                            "upload_seconds": round(seconds, 2),
                        }
                    )

    # ── waiting ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _wait(self, kept: Services, done: Callable[[airflow.Client], list[str]]) -> None:
        """Until nothing is left to wait for; a run that failed ends the wait at once, and so does a standstill."""
        until = time.monotonic() + self.patience
        quiet_since = time.monotonic()
        with airflow.Client(self.settings, self.house.seal) as client:
            while waiting := done(client):
                failed = client.runs("~", states=["failed"])
                if client.runs("~", states=["queued", "running"]):
                    quiet_since = time.monotonic()
                if failed or time.monotonic() > min(until, quiet_since + QUIET):
                    what = ", ".join(f"{run['dag_id']} {run['dag_run_id']}" for run in failed) or ", ".join(waiting)
                    raise Unavailable(
                        f"流程没有走完：{what}。日志在 {self.settings.root / 'logs'}",
                        f"the pipelines did not end: {what}; logs are in {self.settings.root / 'logs'}",
                    )
                kept.tend()
                time.sleep(0.5)

    def _through(self, client: airflow.Client) -> list[str]:
        """Pushes whose run is not over."""
        active = {run["dag_run_id"] for run in client.runs("~", states=["queued", "running"])}
        states = self._states()
        return [
            name for name, receipt in self.receipts.items() if states[receipt["id"]] not in FINAL or receipt["id"] in active
        ]

    def _states(self) -> dict[str, str]:
        from exchange.intake import pushes

        return {receipt.id: receipt.state for receipt in pushes.list_pushes(self.house, limit=1000)}

    def _settled(self, _: airflow.Client) -> list[str]:
        """Bases and themes that are not yet built from the newest of what they are made of, or not yet served."""
        known = catalogue.current(self.house)
        bases = [base.id for base in known.bases if not self._served(base)]
        return bases + [theme.id for theme in known.themes if not self._theme_served(theme)]

    def _served(self, base: BaseDefinition) -> bool:
        from pools import merge

        with self.house.registry.session() as session:
            newest = {name: facts["push"] for name, facts in merge.newest_inputs(session, base).items()}
            built = merge.last_build(session, base.id)
            if built is None or {name: facts["push"] for name, facts in built.inputs.items()} != newest:
                return False
            return session.scalar(select(ServingIndex.version).where(ServingIndex.target == f"base:{base.id}")) == built.id

    def _theme_served(self, definition: ThemeDefinition) -> bool:
        from pools import theme

        built = next(iter(theme.builds(self.house, definition.id)), None)
        if built is None or theme.is_behind(self.house, built):
            return False
        with self.house.registry.session() as session:
            served = select(ServingIndex.version).where(ServingIndex.target == f"theme:{definition.id}")
            return session.scalar(served) == built.id

    # ── the consumer ─────────────────────────────────────────────────────────────────────────────────────────────────

    def _ask(self, city: City) -> None:
        """Three people who are there, one who is not, and one field that nobody granted."""
        asking, compare = self.departments[CONSUMER], self.findings.compare
        known = city.people()
        self.example = next(iter(known))
        nobody = "11010519491231002X"  # the standard's own example
        answer = expect(asking.query("base/population", [*known, nobody], ASKED), 200).json()
        self.records += 1 + 4
        seen = {record["key"]: record.get("values") for record in answer["records"]}
        told = {key: person | {MASKED: "*"} for key, person in known.items()} | {nobody: None}
        compare("查询 answer: values", told, seen)
        compare("查询 answer: not found", [nobody], [r["key"] for r in answer["records"] if not r["found"]])
        refused = asking.query("base/population", list(known)[:1], ("name", NOT_GRANTED))
        self.records += 1 + 1
        compare("越权被拒 refused (HTTP status)", 403, refused.status_code)
        compare("拒绝说明缺什么 refusal names what is missing", True, NOT_GRANTED in refused.text)
        self._explain(*known)
        for name in ("tax_payer_1", "hr_insurance_2"):
            parcel = next(each for each in self.parcels if _name(each) == name)
            rows = {
                line.split(",")[0]
                for line in self._owner(parcel.resource).row_errors(self.receipts[name]["id"]).splitlines()[1:]
            }
            self.records += 1 + 1
            compare(f"{name} 问题行文件 rows in the row-error file", parcel.rows_with("quarantine"), len(rows))

    def _ask_for_rows(self, city: City) -> None:
        """By the old number, who it is now; and of every satellite, the rows under the record that has most of them."""
        asking, compare = self.departments[CONSUMER], self.findings.compare
        before = city.reckoning.number_before
        [record] = expect(asking.query("base/population", [before], ("name",)), 200).json()["records"]
        self.records += 1 + 2  # the token; either number
        renumbered = record.get("renumbered", {})
        compare("查询旧号 asked by the old number", [True, "changed"], [record["found"], renumbered.get("kind")])
        for base in catalogue.current(self.house).bases:
            for each in base.satellites:
                key, wanted = city.reckoning.most_rows(base, each)
                names = [f"{each.id}.{name}" for name in each.key]
                [record] = expect(asking.query(f"base/{base.id}", [key], names), 200).json()["records"]
                self.records += 1 + 1
                rows = [row["values"] for row in record["satellites"][each.id] if not row["closed"]]
                compare(
                    f"{base.id} 附表 {each.id} values: rows under one record",
                    wanted,
                    sorted("|".join(row[name] for name in each.key) for row in rows),
                )

    def _explain(self, renamed: str, same: str, _dead: str) -> None:
        """Whose word a name is, and since which batch: the operator's `exchange explain`."""
        from pools.explain import explain

        for who, key, since in (("改名者 renamed", renamed, 2), ("未改名者 not renamed", same, 1)):
            source = explain(self.house, "population", key, "name").fields[0].source
            seen = None if source is None else [source.resource, source.since_batch]
            self.findings.compare(f"溯源 explain: {who}", ["police_household", since], seen)

    # ── what was seen ────────────────────────────────────────────────────────────────────────────────────────────────

    def _compare(self, city: City) -> None:
        from quality import gate

        for parcel in self.parcels:
            push = self.receipts[_name(parcel)]["id"]
            verdict = gate.verdict(self.house, push)
            self._compare_push(parcel, verdict)
            entry = next(each for each in self.findings.pushes if each["push"] == push)
            entry |= {
                "decision": verdict.decision,
                "accepted": verdict.accepted_rows,
                "quarantined": verdict.quarantined_rows,
                "normalised": verdict.normalised_values,
            }
        reported = self._reported()
        for base in catalogue.current(self.house).bases:
            self._compare_base(city, base, reported)
        self._compare_theme(city)

    def _reported(self) -> dict[str, int]:
        """How often sources differ, base by base, as the quality team's page has it."""
        from quality import overview

        page = overview.contested(self.house, OPERATOR, overview.Asked())
        self.records += 1
        counted: dict[str, int] = {}
        for one in (one for unit in page.departments for one in unit.fields):
            counted[one.base] = counted.get(one.base, 0) + one.differing
        return counted

    def _compare_push(self, parcel: Parcel, verdict: Any) -> None:
        name, compare = _name(parcel), self.findings.compare
        quarantined = parcel.rows_with("quarantine")
        compare(f"{name} 结论 decision", parcel.decision, verdict.decision)
        compare(
            f"{name} 行数 rows, accepted, quarantined",
            [parcel.rows, parcel.rows - quarantined, quarantined],
            [verdict.rows, verdict.accepted_rows, verdict.quarantined_rows],
        )
        compare(f"{name} 规范化 values normalised", parcel.rows_with("normalise"), verdict.normalised_values)
        planted = parcel.rows_per_rule()
        seen = {
            rule.id: rule.failed
            for rule in verdict.rules
            if rule.id in planted or (rule.level != Level.WARN and rule.failed)
        }
        compare(f"{name} 各规则 rows per rule", planted, seen)

    def _compare_base(self, city: City, base: BaseDefinition, reported: dict[str, int]) -> None:
        from pools import merge

        compare = self.findings.compare
        with self.house.registry.session() as session:
            built = merge.last_build(session, base.id)
        assert built is not None  # noqa: S101 - `_settled` waited for it
        base = base.on(built.authority_on)
        expected = city.expected(base)
        compare(
            f"{base.id} 记录数、已注销 golden records, closed", [expected.rows, expected.closed], [built.rows, built.closed]
        )
        compare(f"{base.id} 冲突 conflicts", sum(expected.conflicts.values()), built.conflicts)
        wanted = {f"{name} ≠ {resource}": count for (name, resource), count in sorted(expected.conflicts.items())}
        compare(f"{base.id} 冲突来源 conflicts per field and source", wanted, self._conflicts(base))
        if base.satellites:
            compare(f"{base.id} 附表 satellites", expected.satellites, built.satellites)
        every = sum(expected.conflicts.values()) + sum(one["conflicts"] for one in expected.satellites.values())
        compare(f"{base.id} 质量总览中的疑义 contested on the quality page", every, reported.get(base.id, 0))
        for one in otherwise.found(self.house, base):
            self.findings.otherwise.append(one)
            self.findings.conflicts.append(one.as_dict())
            if not one.counted.satellite:
                field = next(each for each in base.fields if each.name == one.field)
                words = city.reckoning.words(base, field, one.key)
                compare(
                    f"{base.id} 疑义 {one.field} ≠ {one.differs.resource} values: explained",
                    [words[one.counts.resource], words[one.differs.resource]],
                    [one.counts.value, one.differs.value],
                )
        counted = {"rows": built.rows, "closed": built.closed, "conflicts": built.conflicts}
        self.findings.bases.append(
            {"base": base.id, "build": built.id} | counted | {"satellites": built.satellites, "links": built.links}
        )

    def _compare_theme(self, city: City) -> None:
        """Its rows, and that each build left a record of each relation it read."""
        from pools import theme

        builds = theme.builds(self.house, THEME)
        self.findings.compare(f"{THEME} 主题库行数 rows of the theme", city.theme_rows(THEME), builds[0].rows)
        made = {"theme": THEME, "build": builds[0].id, "number": builds[0].number, "rows": builds[0].rows}
        self.findings.themes.append(made | {"reads": {name: facts["rows"] for name, facts in builds[0].inputs.items()}})
        masked = {relation: facts["masked"] for relation, facts in builds[0].inputs.items()}
        wanted = {relation: ["name"] if "name" in fields else [] for relation, fields in READ_BY_THEME.items()}
        self.findings.compare(f"{THEME} 脱敏读取的列 columns read masked", wanted, masked)
        self.records += sum(len(built.inputs) for built in builds)

    def _conflicts(self, base: BaseDefinition) -> dict[str, int]:
        from pools import merge

        with self.house.lake() as connection:
            found = connection.execute(
                f"SELECT field, loser, count(*) FROM lake.{merge.conflict_table(base.id)} GROUP BY ALL"
            ).fetchall()
        sources = {each.name: each.sources for each in base.fields}
        return dict(sorted((f"{name} ≠ {sources[name][loser].resource}", count) for name, loser, count in found))

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _serve(self, kept: Services) -> None:
        asking = self.departments[CONSUMER]
        api = api_address(self.settings)
        body = json.dumps(
            {"keys": [self.example], "fields": list(ASKED), "purpose": PURPOSE, "person": PERSON}, ensure_ascii=False
        )
        console.print(f"\n接口文档 API docs   {api}/docs")
        console.print(
            f"调度 Airflow        {airflow.address(self.settings)}  ({airflow.ADMIN} / {airflow.password(self.house.seal)})"
        )
        console.print(f"质检报告 report     {self._report()}")
        console.print(f"应用凭据 client     {asking.client_id} / {asking.secret}  （{asking.name}）")
        console.print("试一试 try it（令牌 30 分钟内有效 the token is short-lived）:")
        console.print(
            f"curl -s {api}/v1/query/base/population -H 'Authorization: Bearer {asking.token()}' "
            f"-H 'Content-Type: application/json' -d '{body}'",
            soft_wrap=True,
        )
        console.print("Ctrl-C 停止 / Ctrl-C stops everything")
        with suppress(Stopped):
            while True:
                kept.tend()
                time.sleep(1)

    def _report(self) -> Path:
        from quality import report

        return report.render(self.house, self.receipts["hr_insurance_2"]["id"])


def _residents(scale: str) -> int:
    with suppress(ValueError):
        residents = scale_of(scale)
        if residents >= 1000:
            return residents
    raise SettingError(
        f"规模应为 10k、100k、1m、10m 或不小于 1000 的整数，收到 {scale!r}",
        f"the scale is 10k, 100k, 1m, 10m or a number from 1000 up, got {scale!r}",
    )


def _only_ours(settings: Settings, residents: int) -> None:
    """The demo loads its own catalogue, which would retire anybody else's; and one folder is one city.

    Raises:
        SettingError: the data folder holds something else.
    """
    mark = settings.folder("demo").parent / "demo.scale"
    held = mark.read_text().strip() if mark.exists() else None
    if held == str(residents) or (held is None and not (settings.root / "catalogue.json").exists()):
        mark.write_text(f"{residents}\n")
        return
    zh, en = (f"{held} 居民的演示城市", f"a demo city of {held}") if held else ("别的目录", "another catalogue")
    raise SettingError(
        f"数据目录 {settings.root} 里是{zh}：请用 EXCHANGE_DATA 另指一个目录，或先 make clean",
        f"the data folder {settings.root} holds {en}: name another by EXCHANGE_DATA, or `make clean` first",
    )


def _name(parcel: Parcel) -> str:
    return f"{parcel.resource}_{parcel.batch}"
