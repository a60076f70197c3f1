"""docs/catalogue.md says what is so: its example loads, and its lists are the program's."""

import ast
import re
from pathlib import Path

from exchange import catalogue
from exchange.catalogue import codes, words
from exchange.catalogue.draft import ThemeDraft
from exchange.catalogue.lineage import FUNCTIONS as OF_THEMES
from exchange.catalogue.lineage import WINDOWS
from exchange.catalogue.model import Item, ResourceEntry
from exchange.catalogue.predicates import FUNCTIONS
from exchange.house import House

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "catalogue.md").read_text()


def section(title: str) -> str:
    return TEXT.partition(f"## {title}")[2].partition("\n## ")[0]


def example(folder: Path) -> Path:
    """The documented example as a folder."""
    for name, text in re.findall(r"^`(\S+\.yaml)`\n\n```yaml\n(.*?)```", TEXT, re.MULTILINE | re.DOTALL):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_example_loads(house: House, tmp_path: Path) -> None:
    report = catalogue.load(house, example(tmp_path / "catalogue"))
    assert (report.loaded, report.departments, report.bases, report.themes) == (
        ("civil_marriage", "police_household"),
        2,
        {"population": "loaded"},
        {"couples": "loaded"},
    )
    household = catalogue.resource(house, "police_household")
    assert (household.code, household.key, household.duplicates) == ("307016410800101/1", ("id_number",), "keep_newest")
    assert household.code_tables == {"village": {"410802001001": "东村", "410802001002": "西村"}}
    assert [rule.id for rule in household.rules] == ["born_in_the_past", "mobile_form"]
    assert {field.name: int(field.share_type) for field in catalogue.base(house, "population").fields} == {
        "name": 1,
        "sex_code": 1,
        "birth_date": 1,
        "address": 2,
        "marital_code": 2,
    }


def test_every_rule_has_its_name_in_the_list_and_no_other() -> None:
    assert sorted(re.findall(r"`([a-z0-9-]+)`", section("规则名").partition("|---|")[2])) == sorted(_rule_names())


def _rule_names() -> set[str]:
    names = {"missing-field", "unknown-field", "field-form"}  # returned by form.py for every kind of wrong form
    where = {"add": 1, "once": 1, "Unfit": 0}
    for path in (ROOT / "exchange" / "catalogue").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                function = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                place = where.get(function)
                if place is not None and len(node.args) > place and isinstance(node.args[place], ast.Constant):
                    names.add(ast.literal_eval(node.args[place]))
    return names


def test_every_function_of_a_predicate_is_listed() -> None:
    listed = section("部门规则").partition("```\n")[2].partition("```")[0].split()
    assert sorted(listed) == sorted(FUNCTIONS)


def test_every_function_of_a_theme_is_listed() -> None:
    listed = section("主题库").partition("```\n")[2].partition("```")[0].split()
    assert sorted(listed) == sorted((OF_THEMES | WINDOWS) - FUNCTIONS)
    assert sorted(set(FUNCTIONS) - set(OF_THEMES)) == ["now", "today"]


def test_every_name_of_a_resource_and_an_item_is_explained() -> None:
    explained = set(re.findall(r"`([a-z_]+)`", section("信息资源")))
    assert set(ResourceEntry.model_fields) | {"prefix"} | set(Item.model_fields) <= explained
    of_themes = set(re.findall(r"`?([a-z_]+)`?:? ", section("一个完整的例子") + section("主题库")))
    assert set(ThemeDraft.model_fields) <= of_themes


def test_every_word_and_every_table_is_explained() -> None:
    text = section("信息资源")
    assert [word for word in (*words.CYCLE, *words.MODE) if word not in text] == []
    assert [name for name in codes.BUILT_IN if f"`{name}`" not in text] == []
