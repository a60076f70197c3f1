"""What the demo tells: conflicts with one case of each explained, and no value of anybody in its file."""

import json
from pathlib import Path

import pytest

from exchange.house import House
from infra.demo import findings as told
from infra.demo import otherwise
from infra.demo.findings import Findings
from pools import authority, merge
from pools.explain import explain
from tests.pools.given import entered, pooled
from tests.pools.test_aliases import BASIS, NEW, OLD, TODAY, recorded
from tests.pools.test_explain import CIVIL, HEALTH, PEOPLE, POLICE
from tests.pools.test_parts import built, stocked


def test_every_field_that_sources_differ_on_is_explained_by_one_case(house: House) -> None:
    stocked(house)
    built(house)
    with house.registry.session() as session:
        last = merge.last_build(session, "companies")
    assert last is not None
    found = otherwise.found(house, authority.definition_of(house, last))
    assert [
        (one.field, one.key, one.counts.value, one.differs.value, one.counted.differing, one.counted.compared)
        for one in found
    ] == [
        ("name", "A", "一厂", "壹厂", 1, 2),
        ("owner", "B", "A", "2", 1, 2),
        ("permits.scope", "A", "食品", "食品销售", 1, 1),
    ]
    assert found[0].as_dict() == {
        "base": "companies",
        "field": "name",
        "title": "name 项",
        "compared": 2,
        "differing": 1,
        "counts": {"resource": "market", "provider": "民政局", "since_batch": 1},
        "differs": {"resource": "tax", "provider": "卫健委", "since_batch": 1},
    }
    assert [one.as_dict()["counts"] for one in found[2:]] == [{"resource": "permits", "provider": "民政局", "batch": 1}]


def test_what_people_s_data_there_is_stays_off_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seen = Findings()
    seen.compare("一 rows", 3, 3)
    seen.compare("二 values: names", ["金丝雀"], ["金丝鸟"])
    path = tmp_path / "demo.json"
    told.write(seen, path, 1000, 1.25)
    text = path.read_text()
    assert json.loads(text) == {
        "residents": 1000,
        "ok": False,
        "seconds": 1.2,
        "checks": [
            {"what": "一 rows", "expected": 3, "seen": 3, "ok": True},
            {"what": "二 values: names", "expected": "…", "seen": "…", "ok": False},
        ],
        **{name: [] for name in ("steps", "pushes", "bases", "themes", "conflicts", "renumbered")},
    }
    assert "金丝" not in text
    assert seen.checks[1]["expected"] == ["金丝雀"]  # the terminal still has it


def test_a_number_that_was_changed_is_told_with_who_says_what_under_which(
    house: House, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entered(house, POLICE, CIVIL, HEALTH, PEOPLE)
    pooled(house, POLICE, 1, [{"id": NEW, "name": "张三"}])
    pooled(house, CIVIL, 2, [{"id": OLD, "name": "张叁", "since": "2020-01-01"}])
    recorded(house)
    merge.build(house, "people")
    monkeypatch.setenv("COLUMNS", "160")  # no line is broken
    told.tell(Findings(histories=[explain(house, "people", OLD)]), tmp_path / "demo.json", 1)
    out = capsys.readouterr().out
    assert f"主键别名 alias: {OLD} → {NEW}（changed，自 since {TODAY}，依据 basis：{BASIS}）" in out
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in out.splitlines() if line.startswith("│")]
    assert cells == [
        ["姓名", "张三", "公安局（police，第 1 批起）", NEW],
        ["name", "", "", ""],
        ["姓名", "张叁", "民政局（civil，第 2 批起）", OLD],
        ["name", "", "", ""],
        ["登记日期", "2020-01-01", "民政局（civil，第 2 批起）", OLD],
        ["since", "", "", ""],
    ]
