"""Loading: versions, codes that are never given twice, retiring and coming back, all or nothing."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from exchange import catalogue
from exchange.catalogue import LoadReport, snapshot
from exchange.errors import CatalogueError, NotFound
from exchange.house import House
from exchange.registry import models
from tests import make
from tests.make import Entry

CITY = ("civil_marriage", "market_entity", "police_household", "tax_payer")


def load(house: House, tmp_path: Path, **parts: Any) -> LoadReport:
    return catalogue.load(house, make.write_catalogue(tmp_path / "catalogue", **parts))


def alone(resource_id: str, **more: Any) -> dict[str, list[Entry]]:
    """A catalogue of one resource."""
    return {"resources": [make.tax_payer(id=resource_id, **more)], "bases": []}


def rule(predicate: str, **more: Any) -> Entry:
    """A department's rule about the number of employees."""
    return {
        "id": "staff",
        "title": "从业人数不为负",
        "title_en": "no negative staff",
        "predicate": predicate,
        "items": ["employees"],
        "level": "warn",
        "indicator": "0104",
        **more,
    }


def test_a_first_load_gives_codes_versions_an_event_and_a_snapshot(house: House, tmp_path: Path) -> None:
    report = load(house, tmp_path)
    assert report == LoadReport(CITY, (), (), (), 4, {"legal_entity": "loaded", "population": "loaded"})
    now = catalogue.current(house)
    assert [(entry.id, entry.code, entry.version) for entry in now.resources] == [
        ("civil_marriage", "307016410800/1", 1),
        ("market_entity", "307016410800/2", 1),
        ("police_household", "307016410800/3", 1),
        ("tax_payer", "307016410800/4", 1),
    ]
    assert snapshot.read_snapshot(house.settings.root / "catalogue.json") == now.model_dump(mode="json")
    with house.registry.session() as session:
        event = session.scalars(select(models.Event)).one()
    assert (event.tag, event.facts) == (
        "catalogue:resource:load",
        {
            "by": None,
            "loaded": list(CITY),
            "changed": [],
            "retired": [],
            "unchanged": 0,
            "bases": {"legal_entity": "loaded", "population": "loaded"},
            "themes": {},
        },
    )


def test_the_same_folder_again_changes_nothing(house: House, tmp_path: Path) -> None:
    load(house, tmp_path)
    before = catalogue.current(house)
    assert load(house, tmp_path) == LoadReport(
        (), (), CITY, (), 4, {"legal_entity": "unchanged", "population": "unchanged"}
    )
    assert catalogue.current(house) == before


def test_a_change_is_a_new_version_and_the_old_one_stays(house: House, tmp_path: Path) -> None:
    load(house, tmp_path, **alone("payer", title="旧"))
    assert load(house, tmp_path, **alone("payer", title="新")).changed == ("payer",)
    assert load(house, tmp_path, **alone("payer", title="旧")).changed == ("payer",)
    assert [(v, catalogue.resource_at(house, "payer", v).title) for v in (1, 2, 3)] == [(1, "旧"), (2, "新"), (3, "旧")]
    assert (catalogue.resource(house, "payer").version, catalogue.resource(house, "payer").code) == (3, "307016410800/1")


def test_a_retired_resource_comes_back_with_its_code(house: House, tmp_path: Path) -> None:
    load(house, tmp_path, **alone("payer"))
    assert load(house, tmp_path, **alone("other")).retired == ("payer",)
    assert [entry.id for entry in catalogue.current(house).resources] == ["other"]
    with pytest.raises(NotFound, match=r"资源 payer 已于 \d{4}-\d\d-\d\d 下架.*resource payer was retired on"):
        catalogue.resource(house, "payer")
    assert catalogue.resource_at(house, "payer", 1).code == "307016410800/1"
    assert load(house, tmp_path, **alone("payer")).loaded == ("payer",)
    assert (catalogue.resource(house, "payer").code, catalogue.resource(house, "payer").version) == ("307016410800/1", 1)


def test_a_code_is_never_given_twice(house: House, tmp_path: Path) -> None:
    for name in ("first", "second", "third"):
        load(house, tmp_path, **alone(name))
    load(house, tmp_path, **alone("elsewhere", prefix="201001"))
    with house.registry.session() as session:
        assert {row.id: row.code for row in session.scalars(select(models.Resource))} == {
            "first": "307016410800/1",
            "second": "307016410800/2",
            "third": "307016410800/3",
            "elsewhere": "201001/1",
        }


def test_a_resource_keeps_its_prefix(house: House, tmp_path: Path) -> None:
    load(house, tmp_path, **alone("payer"))
    with pytest.raises(CatalogueError) as refused:
        load(house, tmp_path, **alone("payer", prefix="201001"))
    assert refused.value.findings == [
        "resources/payer.yaml:4 [payer] prefix-kept：前段码 201001 与已分配的代码 307016410800/1 不符；信息资源代码不可更改，"
        "请改回 307016410800 或换一个 id / prefix 201001 differs from the code already given, 307016410800/1; "
        "a code never changes: write 307016410800 again or choose another id"
    ]


def test_a_resource_may_move_to_another_department(house: House, tmp_path: Path) -> None:
    load(house, tmp_path, **alone("payer"))
    load(house, tmp_path, **alone("payer", department=make.MARKET))
    with house.registry.session() as session:
        assert session.scalars(select(models.Resource.department_code)).one() == make.MARKET
    assert catalogue.resource_at(house, "payer", 1).department == make.TAX


def test_a_wrong_folder_changes_nothing(house: House, tmp_path: Path) -> None:
    load(house, tmp_path)
    before = (house.settings.root / "catalogue.json").read_bytes()
    with pytest.raises(CatalogueError):
        load(house, tmp_path, **alone("payer", key=["nobody"]))
    assert (house.settings.root / "catalogue.json").read_bytes() == before
    assert tuple(entry.id for entry in catalogue.current(house).resources) == CITY


def test_a_rule_keeps_its_version_until_it_says_something_else(house: House, tmp_path: Path) -> None:
    def versions() -> list[tuple[str, int]]:
        return [(rule.id, rule.version) for rule in catalogue.resource(house, "payer").rules]

    load(house, tmp_path, **alone("payer", rules=[rule("employees >= 0")]))
    assert versions() == [("staff", 1)]
    load(house, tmp_path, **alone("payer", rules=[rule("employees >= 0")], title="别的"))
    assert versions() == [("staff", 1)]
    load(house, tmp_path, **alone("payer", rules=[rule("employees > 0")]))
    assert versions() == [("staff", 2)]
    load(house, tmp_path, **alone("payer", rules=[]))
    load(house, tmp_path, **alone("payer", rules=[rule("employees > 0", level="block")]))
    assert versions() == [("staff", 3)]


def test_a_code_table_is_part_of_the_versions_that_use_it(house: House, tmp_path: Path) -> None:
    def city(**codes: str) -> dict[str, Any]:
        items = [make.USCC, make.item("town", "乡镇", code_table="town"), make.item("sex", "性别", code_table="sex")]
        return {**alone("payer", items=items), "codes": [{"id": "town", "title": "乡镇", "codes": codes}]}

    load(house, tmp_path, **city(a="东"))
    assert load(house, tmp_path, **city(a="东")).unchanged == ("payer",)
    assert load(house, tmp_path, **city(a="东", b="西")).changed == ("payer",)
    assert catalogue.resource_at(house, "payer", 1).code_tables == {"town": {"a": "东"}}
    assert catalogue.current(house).codes == {
        "town": {"a": "东", "b": "西"},
        "sex": {"0": "未知的性别", "1": "男性", "2": "女性", "9": "未说明的性别"},
    }


def test_bases_have_versions_too_and_can_be_retired(house: House, tmp_path: Path) -> None:
    load(house, tmp_path)
    assert load(house, tmp_path, bases=[make.population(title="人口库")]).bases == {
        "legal_entity": "retired",
        "population": "changed",
    }
    assert [(base.id, base.version) for base in catalogue.current(house).bases] == [("population", 2)]
    with pytest.raises(NotFound, match="没有基础库 legal_entity / there is no base legal_entity"):
        catalogue.base(house, "legal_entity")
    assert catalogue.base_at(house, "legal_entity", 1).title == "法人单位基础信息库"
    assert load(house, tmp_path).bases == {"legal_entity": "loaded", "population": "changed"}
    assert (catalogue.base(house, "legal_entity").version, catalogue.base(house, "population").version) == (3, 3)


def test_only_benchmark_items_of_a_base_are_unconditional(house: House, tmp_path: Path) -> None:
    load(house, tmp_path)
    classes = {
        base.id: {field.name: int(field.share_type) for field in base.fields} for base in catalogue.current(house).bases
    }
    assert classes == {
        "legal_entity": {
            "entity_name": 1,
            "legal_rep_name": 2,  # its source is shared unconditionally; in a base only 基准 items are
            "registered_capital": 2,
            "tax_status": 2,
            "employees": 2,
        },
        "population": {"name": 1, "sex_code": 1, "birth_date": 1, "address": 2, "marital_code": 2, "mobile": 2},
    }


def test_a_field_takes_the_strictest_class_of_its_sources(house: House, tmp_path: Path) -> None:
    police = make.police_household(
        share={"type": 2, "condition": "履职", "basis": {"title": "某法", "article": "第三条", "level": "法律"}}
    )
    police["items"] = [{**item, "share_type": 3} if item["name"] == "mobile" else item for item in police["items"]]
    load(house, tmp_path, resources=[police, *make.some_resources()[1:]])
    fields = {field.name: int(field.share_type) for field in catalogue.base(house, "population").fields}
    assert (fields["mobile"], fields["address"]) == (3, 2)


def test_two_loads_at_once_give_one_history(house: House, tmp_path: Path) -> None:
    folders = [make.write_catalogue(tmp_path / title, **alone("payer", title=title)) for title in ("甲", "乙", "丙", "丁")]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda folder: catalogue.load(house, folder), folders))
    now = catalogue.resource(house, "payer")
    assert (now.version, now.code) == (4, "307016410800/1")
    assert {catalogue.resource_at(house, "payer", v).title for v in (1, 2, 3, 4)} == {"甲", "乙", "丙", "丁"}
    snap = json.loads((house.settings.root / "catalogue.json").read_text())
    assert [entry["title"] for entry in snap["resources"]] == [now.title]


def test_near_names_are_named(house: House, tmp_path: Path) -> None:
    load(house, tmp_path)
    for ask, message in (
        (
            lambda: catalogue.resource(house, "police_houshold"),
            "没有资源 police_houshold，相近的有 police_household / there is no resource police_houshold; near it are police_household",
        ),
        (
            lambda: catalogue.base(house, "populaton"),
            "没有基础库 populaton，相近的有 population / there is no base populaton; near it are population",
        ),
        (
            lambda: catalogue.department(house, make.POLICE[:-1] + "X"),
            f"没有部门 11100000000013338X，相近的有 {make.POLICE}",
        ),
        (
            lambda: catalogue.resource_at(house, "tax_payer", 7),
            "资源 tax_payer 没有第 7 版，现有第 1–1 版 / resource tax_payer has no version 7; it has versions 1 to 1",
        ),
        (
            lambda: catalogue.resource_at(house, "nobody_knows", 1),
            "没有资源 nobody_knows / there is no resource nobody_knows",
        ),
        (
            lambda: catalogue.base_at(house, "population", 9),
            "基础库 population 没有第 9 版 / base population has no version 9",
        ),
    ):
        with pytest.raises(NotFound) as missing:
            ask()
        assert str(missing.value).startswith(message)
    assert catalogue.department(house, make.POLICE).contact == "数据科"


KILLED = """
import sys, time
from pathlib import Path
from exchange import catalogue
from exchange.catalogue import loading
from exchange.house import House
from exchange.settings import read_settings
house = House.open(read_settings(_env_file=None))
print("go", flush=True)
for n in range(1000):
    catalogue.load(house, Path(sys.argv[1 + n % 2]))
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_one_catalogue_or_the_other(house: House, tmp_path: Path) -> None:
    settings = house.settings
    folders = [make.write_catalogue(tmp_path / title, **alone("payer", title=title)) for title in ("甲", "乙")]
    environment = {
        **os.environ,
        "EXCHANGE_DATA": str(settings.root),
        "EXCHANGE_KEYS": str(settings.key_folder),
        **{
            f"EXCHANGE_{name.upper()}": getattr(settings, name).get_secret_value()
            for name in ("database_url", "lake_url", "airflow_url")
        },
    }
    catalogue.load(house, folders[0])
    for pause in (0.01, 0.03, 0.05, 0.08, 0.11):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, *map(str, folders)], env=environment, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "go\n"
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        assert catalogue.resource(house, "payer").title in ("甲", "乙")
        json.loads((settings.root / "catalogue.json").read_text())
    catalogue.load(house, folders[1])
    now = catalogue.resource(house, "payer")
    assert (now.title, now.code) == ("乙", "307016410800/1")
    assert [catalogue.resource_at(house, "payer", v).version for v in range(1, now.version + 1)] == list(
        range(1, now.version + 1)
    )
    assert snapshot.read_snapshot(settings.root / "catalogue.json")["resources"][0]["title"] == "乙"
