"""Changed rules are tried on the last push before they are published, and nothing of that is kept."""

import json
from pathlib import Path

import pytest
import yaml
from sqlalchemy import text

from exchange.errors import CatalogueError, MissingColumns, NotFound, WrongState
from exchange.house import House
from exchange.intake.places import landed_file
from pools import way
from quality import gate
from quality.trial import Trial, try_rules
from tests import make
from tests.api.commands import Terminal
from tests.make import Entry
from tests.quality import kit

SHORT = {
    "id": "short",
    "title": "名称至少两字",
    "title_en": "a name has two characters",
    "predicate": "length(name) >= 2",
    "items": ["name"],
    "level": "quarantine",
    "indicator": "0104",
}
ROOMS = SHORT | {"id": "rooms", "title": "有房间", "title_en": "has rooms", "predicate": "rooms > 0", "items": ["rooms"]}


def place(**more: object) -> Entry:
    items = [
        make.item("code", "编号", "C10", required=True),
        make.item("name", "名称", "C10", required=True),
        make.item("rooms", "房间数", "I3"),
    ]
    return make.resource("place", make.POLICE, items, ["code"], **{"quarantine_threshold": 0.4, "rules": [SHORT]} | more)


def pushed(house: House, batch: int = 1) -> str:
    """Five places, one with a name too short: accepted."""
    drawn = "编号 | 名称 | 房间数\n A1 | 甲 | 1\n A2 | 乙所 | 0\n A3 | 丙所 | 0\n A4 | 丁所 | 0\n A5 | 戊所 | 5"
    lines = [[cell.strip() for cell in line.split("|")] for line in drawn.splitlines()]
    return kit.land(house, "place", lines[0], lines[1:], batch=batch)


def written(folder: Path, value: object, name: str = "changed.yaml") -> Path:
    path = folder / name
    path.write_text(yaml.safe_dump(json.loads(json.dumps(value)), allow_unicode=True, sort_keys=False))  # no aliases
    return path


def kept(house: House) -> tuple[str, dict[str, tuple[int, int]]]:
    """Every row of the control database, and every file with its size and time."""
    with house.registry.session() as session:
        tables = list(
            session.scalars(
                text("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
            )
        )
        rows = {table: sorted(session.scalars(text(f'SELECT t::text FROM "{table}" AS t'))) for table in tables}
    files = {
        str(path.relative_to(house.settings.root)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in house.settings.root.rglob("*")
        if path.is_file()
    }
    return json.dumps(rows, ensure_ascii=False), files


def told(trial: Trial) -> list[tuple[object, ...]]:
    """The rules that changed or fail: id, change, failing now and then, the first rows."""
    return [
        (rule.id, rule.change, rule.failed_now, rule.failed_then, rule.rows)
        for rule in trial.rules
        if rule.change != "unchanged" or rule.failed_now
    ]


def test_an_added_a_changed_and_an_unchanged_rule_on_the_last_push(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    push = pushed(house)
    way.process(house, push)
    before = kept(house)
    longer = SHORT | {"predicate": "length(name) >= 3"}
    trial = try_rules(house, written(tmp_path, [longer, ROOMS]), "place")
    assert kept(house) == before
    assert (trial.push_id, trial.batch, trial.published_version) == (push, 1, 1)
    assert told(trial) == [
        ("dept.short", "changed", 1, 5, (1, 2, 3, 4, 5)),
        ("dept.rooms", "added", None, 3, (2, 3, 4)),
    ]
    assert (trial.now.decision, trial.now.quarantined_rows, trial.now.share) == ("accepted", 1, 0.2)
    assert (trial.then.decision, trial.then.quarantined_rows, trial.then.threshold) == ("rejected", 5, 0.4)
    assert [reason.code for reason in trial.then.reasons] == ["threshold"]


def test_the_same_rules_change_nothing_and_say_what_the_verdict_said(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    verdict = gate.check(house, pushed(house))
    trial = try_rules(house, written(tmp_path, {"rules": [SHORT]}), "place")
    assert {rule.change for rule in trial.rules} == {"unchanged"}
    assert {rule.id: rule.failed_then for rule in trial.rules} == {rule.id: rule.failed for rule in verdict.rules}
    assert trial.now == trial.then
    assert (trial.now.decision, trial.now.reasons) == (verdict.decision, verdict.reasons)


def test_a_rule_that_is_left_out_is_told_as_removed(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    gate.check(house, pushed(house))
    assert told(try_rules(house, written(tmp_path, {"rules": []}), "place")) == [("dept.short", "removed", 1, None, ())]


def test_a_push_not_judged_yet_is_tried_too_and_stays_unjudged(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    push = pushed(house)
    before = kept(house)
    assert try_rules(house, written(tmp_path, [ROOMS | {"level": "block"}]), "place").then.decision == "rejected"
    assert kept(house) == before
    assert gate.check(house, push).decision == "accepted"


def test_a_stricter_rule_may_hold_the_push(house: House, tmp_path: Path) -> None:
    kit.publish(house, place(quarantine_threshold=1.0))
    for batch in (1, 2):
        way.process(house, pushed(house, batch))
    trial = try_rules(house, written(tmp_path, [ROOMS]), "place")
    assert (trial.batch, trial.now.decision, trial.then.decision) == (2, "accepted", "held")
    assert [reason.code for reason in trial.then.reasons] == ["shrunk"]


def test_a_whole_entry_with_other_items_is_tried_as_well(house: House, tmp_path: Path) -> None:
    """The landed bytes are read again: a shorter item and a new header."""
    kit.publish(house, place())
    gate.check(house, pushed(house))
    before = kept(house)
    entry = place()
    entry["items"][1] = make.item("name", "名称", "C1", required=True)
    assert ("name.length", "changed", 0, 4, (2, 3, 4, 5)) in told(try_rules(house, written(tmp_path, entry), "place"))
    entry["items"].append(make.item("keeper", "管理人", "C10", required=True))
    with pytest.raises(MissingColumns, match="缺少必填列：管理人"):
        try_rules(house, written(tmp_path, entry), "place")
    assert kept(house) == before


@pytest.mark.parametrize(
    ("rules", "finding"),
    [
        (
            [SHORT | {"predicate": "length(nmae) >= 2"}],
            "changed.yaml:4 [place.short] rule-items：“nmae” 不是本资源的信息项 / “nmae” is not an item of this resource",
        ),
        (
            [SHORT | {"indicator": "0999"}],
            "changed.yaml:1 [place.short] rule-indicator：指标 “0999” 不在 GB/T 36344 之列，如 0104 业务规则、0301 内容正确性 / "
            "“0999” is not an indicator of GB/T 36344, such as 0104 or 0301",
        ),
        (
            [SHORT | {"level": "stop"}],
            "changed.yaml:7 [place.short] field-form：rules.level 是 “stop”，应为其中之一：block, quarantine, warn / "
            "rules.level is “stop”; expected one of block, quarantine, warn",
        ),
        (
            [SHORT, SHORT],
            "changed.yaml:9 [place.short] rule-repeated：“short” 已在 changed.yaml:1 [place.short] 用过，请换一个 / "
            "“short” is already used at changed.yaml:1 [place.short]; choose another",
        ),
    ],
)
def test_a_wrong_rule_is_told_as_the_catalogue_tells_it(
    house: House, tmp_path: Path, rules: list[Entry], finding: str
) -> None:
    kit.publish(house, place())
    with pytest.raises(CatalogueError) as refused:
        try_rules(house, written(tmp_path, rules), "place")
    assert refused.value.findings == [finding]


def test_an_entry_of_another_resource_or_under_another_code_is_refused(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    for entry, finding in (
        (
            place(id="other"),
            "changed.yaml:1 [place] other-resource：文件里的资源是 other，要试的是 place；请核对文件或资源 / "
            "the file holds other, and place is to be tried; look at the file or the resource",
        ),
        (
            place(prefix="307016410801"),
            "changed.yaml:4 [place] prefix-kept：前段码 307016410801 与已分配的代码 307016410800/1 不符；信息资源代码不可更改，"
            "请改回 307016410800 或换一个 id / prefix 307016410801 differs from the code already given, 307016410800/1; "
            "a code never changes: write 307016410800 again or choose another id",
        ),
    ):
        with pytest.raises(CatalogueError) as refused:
            try_rules(house, written(tmp_path, entry), "place")
        assert refused.value.findings == [finding]


def test_nothing_to_try_on(house: House, tmp_path: Path) -> None:
    kit.publish(house, place())
    file = written(tmp_path, [SHORT])
    with pytest.raises(NotFound, match=r"还没有推送过，规则无从试行 / nothing was pushed of place yet"):
        try_rules(house, file, "place")
    with pytest.raises(NotFound, match="没有资源 plaze，相近的有 place"):
        try_rules(house, file, "plaze")
    push = pushed(house)
    landed_file(house.settings, "place", push).unlink()
    with pytest.raises(WrongState, match="的原始数据已按保留规则清除"):
        try_rules(house, file, "place")


def test_the_command_shows_what_would_change_and_no_value(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit.publish(house, place())
    gate.check(house, pushed(house))
    terminal, file = Terminal(house, monkeypatch), written(tmp_path, [SHORT, ROOMS])
    before = kept(house)
    shown = terminal.run("rules", "try", file, "place")
    assert "退回 rejected：4/5 行未通过 failed（80.00%，上限 limit 40.00%）" in shown
    assert "dept.rooms  有房间 / has rooms" in shown
    assert "乙所" not in shown
    told = terminal.json("rules", "try", file, "place")
    assert (told["now"]["decision"], told["then"]["decision"]) == ("accepted", "rejected")
    assert [rule["rows"] for rule in told["rules"] if rule["change"] == "added"] == [[2, 3, 4]]
    written(tmp_path, [SHORT | {"level": "stop"}])
    assert "rules.level 是 “stop”" in terminal.run("rules", "try", file, "place", code=4)
    assert kept(house) == before
