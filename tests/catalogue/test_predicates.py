"""Department rules: what a predicate may say, and what is said about one that may not."""

from pathlib import Path

import pytest

from exchange import catalogue
from exchange.errors import CatalogueError
from exchange.house import House
from tests import make
from tests.make import Entry

ITEMS = [
    make.USCC,
    make.item("entity_name", "名称", "C200"),
    make.item("status", "状态", "C10"),
    make.item("staff", "人数", "I"),
    make.item("capital", "资本", "N18,6"),
    make.item("opened", "开业日期", "D"),
    make.item("closed", "注销日期", "D"),
    make.item("active", "是否存续", "L"),
    make.UPDATED,
]


def rule(number: int, predicate: str) -> Entry:
    names = [item["name"] for item in ITEMS]
    return {
        "id": f"r{number}",
        "title": "规则",
        "title_en": "a rule",
        "predicate": predicate,
        "items": names,
        "level": "warn",
        "indicator": "0104",
    }


def load(house: House, tmp_path: Path, *rules: Entry) -> None:
    entry = make.resource("firm", make.MARKET, ITEMS, ["uscc"], rules=list(rules))
    catalogue.load(house, make.write_catalogue(tmp_path / "catalogue", resources=[entry], bases=[]))


GOOD = [
    "length(entity_name) >= 4",
    "closed IS NULL OR closed >= opened",
    "opened <= current_date",
    "opened BETWEEN DATE '1900-01-01' AND today()",
    "status IN ('存续', '注销')",
    "entity_name NOT LIKE '%测试%'",
    "regexp_full_match(uscc, '[0-9A-Z]{18}')",
    "CASE WHEN status = '注销' THEN closed IS NOT NULL ELSE closed IS NULL END",
    "TRY_CAST(status AS INTEGER) BETWEEN 1 AND 9",
    "try_strptime(status, '%Y') IS NULL",
    "staff / nullif(capital, 0) < 100",
    "coalesce(staff, 0) + 1 > 0",
    "active OR closed IS NOT NULL",
    'Closed >= "opened"',
    "year(opened) > 1949 AND date_diff('day', opened, closed) > 1",
    "opened + INTERVAL 1 YEAR > opened",
    "CAST(staff AS VARCHAR) <> '13'",
    "status <>\n  '吊销'",
]


def test_what_a_rule_may_say(house: House, tmp_path: Path) -> None:
    load(house, tmp_path, *(rule(number, predicate) for number, predicate in enumerate(GOOD)))
    assert [rule.predicate for rule in catalogue.resource(house, "firm").rules] == [text.strip() for text in GOOD]


BAD = {
    "staff >": ("predicate-parse", '表达式不是有效的 SQL 条件：syntax error at or near "FROM"'),
    "nobody = 1": ("rule-items", "“nobody” 不是本资源的信息项"),
    "firm.staff = 1": ("rule-items", "“firm.staff” 不是本资源的信息项"),
    "1 = 1": ("rule-items", "表达式没有用到任何信息项"),
    "staff": ("predicate-boolean", "表达式的结果是 BIGINT，应是真或假"),
    "staff > 1; DROP TABLE x": ("predicate-parse", "表达式不是有效的 SQL 条件"),
    "staff > 1 FROM awkward; SELECT 1": ("predicate-form", "应是一个条件"),
    "staff > 1 FROM awkward UNION SELECT active": ("predicate-form", "应是一个条件"),
    "staff > 1 FROM awkward LIMIT 1; --": ("predicate-form", "表达式不能含注释"),
    "staff > 1 -- always": ("predicate-form", "表达式不能含注释"),
    "staff > 1) OR (1 = 1": ("predicate-parse", "表达式不是有效的 SQL 条件"),
    "staff > 1 AS good": ("predicate-form", "应是一个条件"),
    "staff > 1, active": ("predicate-form", "应是一个条件"),
    "staff = (SELECT 1)": ("predicate-form", "条件里不能有 subquery"),
    "staff IN (SELECT 1)": ("predicate-form", "条件里不能有 subquery"),
    "row_number() OVER () = staff": ("predicate-form", "条件里不能有 window"),
    "max(staff) > 1": ("predicate-function", "函数 max 不可用"),
    "staff > ?": ("predicate-form", "条件里不能有 parameter"),
    "staff > random()": ("predicate-function", "函数 random 不可用"),
    "getenv('HOME') = status": ("predicate-function", "函数 getenv 不可用"),
    "error(status) IS NULL": ("predicate-function", "函数 error 不可用"),
    "repeat(status, 1000000000) = status": ("predicate-function", "函数 repeat 不可用"),
    "CAST(status AS INTEGER) > 1": ("predicate-cast", "类型转换请用 TRY_CAST"),
    "status::DATE > opened": ("predicate-cast", "类型转换请用 TRY_CAST"),
    "status > 1": ("predicate-parse", "表达式无法求值：Binder Error: Cannot compare"),
    "opened > status": ("predicate-parse", "表达式无法求值：Binder Error: Cannot compare"),
    "regexp_matches(entity_name, status)": ("predicate-pattern", "regexp_matches 的模式和格式必须写成常量"),
    "staff * staff * staff > 1": ("predicate-fails", "遇到某些值会出错而不是判断：Out of Range Error"),
    "length(staff) > 1 AND opened > 1": ("predicate-parse", "表达式无法求值：Binder Error"),
}


def test_what_a_rule_may_not_say(house: House, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        load(house, tmp_path, *(rule(number, predicate) for number, predicate in enumerate(BAD)))
    said = dict(zip(BAD, refused.value.findings, strict=True))
    for number, (predicate, (kind, sentence)) in enumerate(BAD.items()):
        place, _, found = said[predicate].partition(f" {kind}：")
        assert place.endswith(f" [firm.r{number}]")
        assert found.startswith(sentence)
        assert " / " in found


def test_every_item_a_rule_uses_is_listed(house: House, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError) as refused:
        load(house, tmp_path, {**rule(0, "closed >= opened"), "items": ["closed"]})
    assert refused.value.findings[0].partition(" rule-items：")[2] == (
        "表达式用到 opened，但 items 未列出，请补上 / the predicate uses opened, which items does not list; add it"
    )


def test_rules_and_everything_else_are_judged_in_one_go(house: House, tmp_path: Path) -> None:
    entry = make.resource("firm", make.MARKET, ITEMS, ["nobody"], rules=[rule(0, "staff >")])
    with pytest.raises(CatalogueError) as refused:
        catalogue.load(house, make.write_catalogue(tmp_path, resources=[entry], bases=[]))
    assert [text.split("：")[0].rsplit(" ", 1)[1] for text in refused.value.findings] == ["key-known", "predicate-parse"]
