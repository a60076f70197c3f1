"""Department rules: is the predicate one the gate can evaluate over any row, safely and without surprises?

Invariant: a predicate that passes reads nothing but the items it names, means the same wherever it is placed, and does
not fail on any value. The last matters most: an engine that fails quotes the value it failed on, and that may be
somebody's. So only listed functions are accepted, casts must be TRY_CAST, and every predicate is tried on awkward values.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

from duckdb import DuckDBPyConnection
from duckdb import Error as EngineError

from exchange.catalogue.draft import Reading, ResourceDraft, Written
from exchange.catalogue.findings import Findings, Place, shown
from exchange.catalogue.model import DataType, Item, RuleSpec
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.house import House

_TEXT = (
    "length len char_length lower upper trim ltrim rtrim substr substring left right starts_with ends_with prefix suffix "
    "contains strpos position instr replace concat || reverse split_part translate regexp_full_match regexp_matches "
    "regexp_extract regexp_replace ~~ !~~ ~~* !~~* ^@"
)
_NUMBERS = "+ - * / // % abs round floor ceil ceiling trunc sign mod greatest least"
_DATES = (
    "year quarter month day hour minute date_part datepart date_diff datediff date_trunc last_day dayofweek isodow today "
    "now try_strptime strftime to_days to_weeks to_months to_years to_hours to_minutes"
)
_NOTHING = "nullif ifnull list_value"
FUNCTIONS: Final = frozenset(f"{_TEXT} {_NUMBERS} {_DATES} {_NOTHING}".split())
_CLASSES: Final = {"COMPARISON", "CONJUNCTION", "OPERATOR", "FUNCTION", "COLUMN_REF", "CONSTANT", "CASE", "CAST", "BETWEEN"}
_PATTERNED: Final = {
    "regexp_full_match", "regexp_matches", "regexp_extract", "regexp_replace", "strftime", "try_strptime",
}  # fmt: skip
_CLOCK: Final = {"current_date", "current_timestamp"}  # written without parentheses, so they look like columns

_TEXTS = [
    "",
    " ",
    "x",
    "X",
    "0",
    "-1",
    "12.5",
    "99999999999999999999",
    "2024-02-30",
    "20240230",
    "是",
    "张三",
    "(",
    "[",
    "\\",
    "%",
    "'",
]
_INTEGERS = ["0", "1", "-1", "10", "1000000000000000", "-1000000000000000"]
_FLOATS = [*_INTEGERS, "0.1", "1e300", "-1e300"]
_DAYS = ["0001-01-01", "1900-01-01", "1970-01-01", "2024-02-29", "9999-12-31"]
_AWKWARD: Final = {
    **dict.fromkeys((DataType.TEXT, DataType.MEMO), _TEXTS),
    **dict.fromkeys((DataType.NUMBER, DataType.MONEY, DataType.INTEGER), _INTEGERS),
    **dict.fromkeys((DataType.DOUBLE, DataType.FLOAT), _FLOATS),
    **dict.fromkeys((DataType.DATE, DataType.TIMESTAMP), _DAYS),
    DataType.BOOLEAN: ["true", "false"],
}


class Unfit(Exception):
    """What is wrong with a piece of SQL: rule, zh, en."""


def check(house: House, reading: Reading) -> None:
    """Add a finding for every department rule whose predicate will not do."""
    ruled = [written for written in reading.resources if written.entry.rules]
    if not ruled:
        return
    with house.duckdb() as connection:
        for written in ruled:
            _check_resource(connection, written, reading.findings)


def _check_resource(connection: DuckDBPyConnection, written: Written[ResourceDraft], findings: Findings) -> None:
    items = {item.name: item for item in written.entry.items}
    columns = ", ".join(f"{quoted(item.name)} {sql_type(item)}" for item in items.values())
    try:
        connection.execute(f"CREATE OR REPLACE TEMP TABLE awkward ({columns})")
    except EngineError:
        return  # an item's type is wrong, which is a finding already
    for number, rule in enumerate(written.entry.rules):
        place = written.place("rules", number, "predicate", item=rule.id)
        try:
            _check_rule(connection, rule, items)
        except Unfit as unfit:
            _add(findings, place, unfit)


def _add(findings: Findings, place: Place, unfit: Unfit) -> None:
    rule, zh, en = unfit.args
    findings.add(place, rule, zh, en)


def _check_rule(connection: DuckDBPyConnection, rule: RuleSpec, items: dict[str, Item]) -> None:
    tree = _parse(connection, rule.predicate)
    used: set[str] = set()
    for node in nodes(tree):
        _check_node(node, items, used)
    if not used:
        raise Unfit("rule-items", "表达式没有用到任何信息项", "the predicate uses no item at all")
    silent = sorted(used - set(rule.items))
    if silent:
        raise Unfit(
            "rule-items",
            f"表达式用到 {'、'.join(silent)}，但 items 未列出，请补上",
            f"the predicate uses {', '.join(silent)}, which items does not list; add it",
        )
    _try(connection, rule.predicate, [items[name] for name in sorted(used)])


def _parse(connection: DuckDBPyConnection, predicate: str) -> dict[str, Any]:
    """The expression's tree; it must be one expression, whole in itself."""
    if "--" in predicate or "/*" in predicate:
        raise Unfit("predicate-form", "表达式不能含注释（-- 或 /*）", "a predicate holds no comment (-- or /*)")
    row = connection.execute("SELECT json_serialize_sql(?)", [f"SELECT {predicate}\n FROM awkward"]).fetchone()
    answer: Any = json.loads(row[0]) if row else {"error": True, "error_message": "nothing parsed"}
    if answer.get("error"):
        raise Unfit(
            "predicate-parse",
            f"表达式不是有效的 SQL 条件：{first_line(answer['error_message'])}",
            f"not a valid SQL condition: {first_line(answer['error_message'])}",
        )
    nodes = [statement["node"] for statement in answer["statements"]]
    one = nodes[0] if len(nodes) == 1 else {}
    chosen = one.get("select_list", [])
    source = one.get("from_table", {})
    clauses = ("modifiers", "where_clause", "group_expressions", "having", "qualify", "sample")
    plain = source.get("type") == "BASE_TABLE" and source.get("table_name") == "awkward" and not source.get("alias")
    if len(chosen) != 1 or chosen[0]["alias"] or not plain or any(one.get(clause) for clause in clauses):
        raise Unfit(
            "predicate-form",
            "应是一个条件，如 length(name) >= 2；不是语句、多个条件或别名",
            "must be one condition, such as length(name) >= 2: no statement, list or alias",
        )
    tree: dict[str, Any] = chosen[0]
    return tree


def nodes(node: object) -> Iterator[dict[str, Any]]:
    """Every expression in a tree."""
    if isinstance(node, dict):
        if "class" in node:
            yield node
        for value in node.values():
            yield from nodes(value)
    elif isinstance(node, list):
        for value in node:
            yield from nodes(value)


def _check_node(node: dict[str, Any], items: dict[str, Item], used: set[str]) -> None:
    kind = node["class"]
    if kind not in _CLASSES:
        raise Unfit(
            "predicate-form",
            f"条件里不能有 {kind.lower()}（子查询、窗口、聚合、参数和 * 都不行），只看本行的信息项",
            f"a condition may hold no {kind.lower()} (nor subqueries, windows, parameters, *): it looks at one row's items",
        )
    check_call(node, FUNCTIONS)
    if kind == "COLUMN_REF":
        _check_column(node["column_names"], items, used)


def check_call(node: dict[str, Any], functions: frozenset[str]) -> None:
    """That a node calls nothing but these functions, and nothing in a way that fails on some values.

    Raises:
        Unfit: it does.
    """
    kind = node["class"]
    if kind == "FUNCTION" and node["function_name"].lower() not in functions:
        raise Unfit(
            "predicate-function",
            f"函数 {node['function_name']} 不可用，可用的见 docs/catalogue.md",
            f"function {node['function_name']} is not available; docs/catalogue.md lists those that are",
        )
    if (
        kind == "FUNCTION"
        and node["function_name"].lower() in _PATTERNED
        and any(any(_columns(part)) for part in node["children"][1:])
    ):
        raise Unfit(
            "predicate-pattern",
            f"{node['function_name']} 的模式和格式必须写成常量：取自数据的模式遇到某些值会出错",
            f"the pattern or format of {node['function_name']} must be a constant: one taken from data fails on some values",
        )
    if kind == "CAST" and not node["try_cast"] and node["cast_type"]["id"] != "VARCHAR" and any(_columns(node)):
        raise Unfit(
            "predicate-cast",
            "类型转换请用 TRY_CAST：CAST 和 :: 遇到不合格的值会出错",
            "write TRY_CAST: CAST and :: fail on a value that does not convert",
        )


def _columns(node: dict[str, Any]) -> Iterator[str]:
    return (name for part in nodes(node) if part["class"] == "COLUMN_REF" for name in part["column_names"])


def _check_column(names: Sequence[str], items: dict[str, Item], used: set[str]) -> None:
    name = ".".join(names)
    if name.lower() in items:
        used.add(name.lower())
    elif name.lower() not in _CLOCK:
        raise Unfit("rule-items", f"{shown(name)} 不是本资源的信息项", f"{shown(name)} is not an item of this resource")


def _try(connection: DuckDBPyConnection, predicate: str, used: list[Item]) -> None:
    """Evaluate it over an empty typed table, then over awkward values."""
    try:
        described = connection.execute(f"DESCRIBE SELECT ({predicate}) FROM awkward").fetchone()
    except EngineError as error:
        raise Unfit(
            "predicate-parse", f"表达式无法求值：{first_line(error)}", f"cannot be evaluated: {first_line(error)}"
        ) from None
    if described is None or described[1] != "BOOLEAN":
        found = described[1] if described else "?"
        raise Unfit(
            "predicate-boolean",
            f"表达式的结果是 {found}，应是真或假",
            f"the predicate gives {found}; it must give true or false",
        )
    names = ", ".join(quoted(item.name) for item in used)
    rows = ", ".join(f"({', '.join(row)})" for row in _awkward_rows(used))
    try:
        connection.execute("DELETE FROM awkward")
        connection.execute(f"INSERT INTO awkward ({names}) VALUES {rows}")
        connection.execute(f"SELECT count(*) FILTER (WHERE NOT ({predicate})) FROM awkward").fetchall()
    except EngineError as error:
        raise Unfit(
            "predicate-fails",
            f"遇到某些值会出错而不是判断：{first_line(error)}；请用 TRY_CAST、nullif 等避免",
            f"fails on some values instead of judging them: {first_line(error)}; avoid it with TRY_CAST, nullif or the like",
        ) from None


def _awkward_rows(used: list[Item]) -> Iterator[list[str]]:
    """Every awkward value of every item, beside many values of the others; each as a TRY_CAST, so that all of them fit."""
    values = [["NULL", *(f"TRY_CAST({literal(v)} AS {sql_type(item)})" for v in _AWKWARD[item.type])] for item in used]
    longest = max(len(column) for column in values)
    for turn in range(longest):
        for n in range(longest):
            yield [column[(n + turn * place) % len(column)] for place, column in enumerate(values)]


def first_line(error: object) -> str:
    """What the engine said, without the statement it repeats below."""
    return str(error).splitlines()[0]
