"""Lineage: which columns a SELECT touches, and of which each of its own columns is made.

Invariant: what is not understood is refused. The engine's own parser makes the tree; a node, a clause or a function that is
not listed here ends the reading. What will be run is written again from the tree that was read, never from the text, with
every relation under a name that no one else can write; and it is only ever bound where exactly the columns found here exist
(themes.py, pools/theme.py), so a column that the reading overlooked would be missing there, not leaked.
"""

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from duckdb import DuckDBPyConnection

from exchange.catalogue.findings import shown
from exchange.catalogue.predicates import FUNCTIONS as OF_ONE_ROW
from exchange.catalogue.predicates import Unfit, check_call, first_line

Node = dict[str, Any]
Names = frozenset[str]  # "base:population.name"

_CLOCK: Final = frozenset({"today", "now"})
_OVER_ROWS: Final = "count count_star sum avg min max bool_and bool_or arg_min arg_max"
WINDOWS: Final = frozenset(f"row_number rank dense_rank lag lead first_value last_value {_OVER_ROWS}".split())
FUNCTIONS: Final = (OF_ONE_ROW - _CLOCK) | frozenset(_OVER_ROWS.split())
_SAID_WITHOUT_PARENTHESES: Final = {"current_date", "current_timestamp", "current_time", "localtime", "localtimestamp"}
_CLASSES: Final = {
    "COLUMN_REF", "CONSTANT", "FUNCTION", "COMPARISON", "CONJUNCTION", "OPERATOR", "CASE", "CAST", "BETWEEN", "SUBQUERY",
    "WINDOW",
}  # fmt: skip
_JOINS: Final = {"INNER", "LEFT", "RIGHT", "FULL", "OUTER", "SEMI", "ANTI"}
_KINDS: Final = ("base", "pool")
_CTE: Final = re.compile(r"[a-z][a-z0-9_]{0,47}")  # so that none has the name of a relation, which holds a dot
LONGEST: Final = 20_000  # characters of SQL


@dataclass(frozen=True)
class Made:
    """What a column is made of; `as_is`: it is one of them (or the first there is of several), unchanged."""

    columns: Names
    as_is: bool = False


@dataclass(frozen=True)
class Lineage:
    """What a SELECT does. `used`: the columns it does more with than hand on."""

    outputs: Mapping[str, Made]
    reads: Mapping[str, tuple[str, ...]]  # relation -> its columns
    deciding: Names
    used: Names
    statement: str  # the SELECT, over relations named by `relation_name`


def relation_name(relation: str) -> str:
    """The name under which a relation stands in `Lineage.statement`."""
    return relation.replace(":", ".")


def read(connection: DuckDBPyConnection, select: str, relations: Mapping[str, Mapping[str, object]]) -> Lineage:
    """Read a SELECT over `base.<id>` and `pool.<id>`.

    Args:
        relations: the columns of each relation there is ("base:population").

    Raises:
        Unfit: it is not one SELECT, or does something that is not allowed; says what.
    """
    walk = _Walk(relations)
    try:
        tree = _parse(connection, select)
        outputs = walk.select(tree["statements"][0]["node"], None, {})
    except RecursionError:
        raise Unfit("theme-select", "SQL 嵌套太深", "the SQL is nested too deeply") from None
    row = connection.execute("SELECT json_deserialize_sql(?)", [json.dumps(tree)]).fetchone()
    assert row is not None  # noqa: S101 - the engine writes what it has read
    for relation, columns in walk.reads.items():
        if not columns:
            raise Unfit(
                "theme-relation",
                f"{relation_name(relation)} 没有用到任何列，请去掉",
                f"no column of {relation_name(relation)} is used; leave it out",
            )
    return Lineage(
        outputs,
        {relation: tuple(sorted(columns)) for relation, columns in sorted(walk.reads.items())},
        frozenset(walk.deciding),
        frozenset(walk.used),
        str(row[0]),
    )


def _parse(connection: DuckDBPyConnection, select: str) -> Node:
    if len(select) > LONGEST:
        raise Unfit("theme-select", f"SQL 超过 {LONGEST} 个字符", f"the SQL has more than {LONGEST} characters")
    row = connection.execute("SELECT json_serialize_sql(?)", [select]).fetchone()
    tree: Node = json.loads(row[0]) if row else {"error": True, "error_message": "nothing parsed"}
    if tree.get("error"):
        said = first_line(tree["error_message"])
        raise Unfit("theme-parse", f"不是一条有效的 SELECT：{said}", f"not a valid SELECT: {said}")
    if len(tree["statements"]) != 1:
        raise Unfit("theme-select", "应恰好是一条 SELECT", "must be exactly one SELECT")
    return tree


@dataclass
class _Scope:
    """Where a column's name is looked up: the relations of one FROM, the aliases of its SELECT, then what is around it."""

    outer: "_Scope | None"
    relations: list[tuple[str, dict[str, Made]]] = field(default_factory=list)
    aliases: dict[str, Made] = field(default_factory=dict)

    def find(self, names: list[str]) -> Made | None:
        """What a name stands for; of several columns of one name, all."""
        name = names[-1].lower()
        if len(names) == 2:
            found = [columns[name] for alias, columns in self.relations if alias == names[0].lower() and name in columns]
        else:
            found = [columns[name] for _, columns in self.relations if name in columns]
            found += [self.aliases[name]] if name in self.aliases else []
        if found:
            return _together(found, as_is=True)
        return None if self.outer is None else self.outer.find(names)


class _Walk:
    """One reading, from the tree's root to its leaves; relations are given their new names on the way."""

    def __init__(self, relations: Mapping[str, Mapping[str, object]]) -> None:
        self.relations = relations
        self.reads: dict[str, set[str]] = {}
        self.deciding: set[str] = set()
        self.used: set[str] = set()
        self.watching: list[set[str]] = []  # what is touched inside each subquery that is being read

    # ── statements ───────────────────────────────────────────────────────────────────────────────────────────────────

    def select(self, node: Node, outer: _Scope | None, ctes: dict[str, dict[str, Made]]) -> dict[str, Made]:
        """A SELECT, or several put together; its columns in order."""
        ctes = self._with(node, outer, ctes)
        if node["type"] == "SET_OPERATION_NODE":
            outputs = self._set_operation(node, outer, ctes)
            self._modifiers(node, _Scope(outer, [("", outputs)]))
            return outputs
        if node["type"] != "SELECT_NODE":
            raise _not_allowed(node["type"].removesuffix("_NODE"))
        _grouped_by_name(node)
        scope = _Scope(outer)
        self._from(node["from_table"], scope, ctes)
        outputs = self._select_list(node["select_list"], scope, ctes)
        clauses = [node["where_clause"], node["having"], node["qualify"], *node["group_expressions"]]
        self._decide(self.expression(clause, scope, ctes) for clause in clauses if clause is not None)
        if node["sample"] is not None:
            raise _not_allowed("SAMPLE")
        self._modifiers(node, scope, ctes)
        return outputs

    def _with(self, node: Node, outer: _Scope | None, ctes: dict[str, dict[str, Made]]) -> dict[str, dict[str, Made]]:
        known = dict(ctes)
        for entry in node["cte_map"]["map"]:
            name, cte = entry["key"].lower(), entry["value"]
            if not _CTE.fullmatch(name) or cte["aliases"] or cte.get("key_targets"):
                raise Unfit(
                    "theme-select",
                    f"WITH {shown(name)} 应只用小写字母、数字和下划线命名，列名写在它的 SELECT 里",
                    f"WITH {shown(name)}: a name has letters, digits and _; its columns are named in its own SELECT",
                )
            known[name] = self.select(cte["query"]["node"], outer, known)
        return known

    def _set_operation(self, node: Node, outer: _Scope | None, ctes: dict[str, dict[str, Made]]) -> dict[str, Made]:
        sides = [self.select(node[side], outer, ctes) for side in ("left", "right")]
        if node["setop_type"] not in ("UNION", "EXCEPT", "INTERSECT"):
            raise _not_allowed(node["setop_type"])
        if node["setop_type"] != "UNION":
            self._decide(made for side in sides for made in side.values())
        if len(sides[0]) != len(sides[1]):
            raise Unfit("theme-select", "两侧的列数不同", "both sides of a set operation must have as many columns")
        pairs = zip(sides[0].items(), sides[1].values(), strict=True)
        return {name: _together([one, other], as_is=True) for (name, one), other in pairs}

    def _select_list(self, chosen: list[Node], scope: _Scope, ctes: dict[str, dict[str, Made]]) -> dict[str, Made]:
        outputs: dict[str, Made] = {}
        for place, expression in enumerate(chosen):
            made = self.expression(expression, scope, ctes)
            if not made.as_is:
                self.used |= made.columns
            name = str(expression["alias"] or _own_name(expression) or f"#{place}").lower()
            if name in outputs:
                raise Unfit("theme-select", f"列 {shown(name)} 出现两次", f"column {shown(name)} is there twice")
            outputs[name] = made
            scope.aliases[name] = made
        return outputs

    def _modifiers(self, node: Node, scope: _Scope, ctes: dict[str, dict[str, Made]] | None = None) -> None:
        for modifier in node["modifiers"]:
            if modifier["type"] == "ORDER_MODIFIER":
                for order in modifier["orders"]:
                    self.used |= self.expression(order["expression"], scope, ctes or {}).columns
            elif modifier["type"] == "DISTINCT_MODIFIER":
                targets = modifier["distinct_on_targets"]
                self._decide(self.expression(target, scope, ctes or {}) for target in targets)
            else:
                raise Unfit(
                    "theme-limit",
                    "不能用 LIMIT、OFFSET：留下哪些行没有定数",
                    "LIMIT and OFFSET are not allowed: which rows stay is not determined",
                )

    def _decide(self, made: Iterator[Made]) -> None:
        for one in made:
            self.deciding |= one.columns
            self.used |= one.columns

    # ── FROM ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _from(self, table: Node, scope: _Scope, ctes: dict[str, dict[str, Made]]) -> None:
        kind = table["type"]
        if table.get("sample") is not None or table.get("column_name_alias"):
            raise _not_allowed("SAMPLE, AS t(…)")
        if kind == "BASE_TABLE":
            self._relation(table, scope, ctes)
        elif kind == "SUBQUERY":
            scope.relations.append((table["alias"].lower(), self.select(table["subquery"]["node"], scope, ctes)))
        elif kind == "JOIN":
            self._join(table, scope, ctes)
        else:
            named: dict[str, str] = {"EMPTY": "SELECT without FROM", "TABLE_FUNCTION": "table functions"}
            raise _not_allowed(named.get(str(kind), str(kind)))

    def _join(self, table: Node, scope: _Scope, ctes: dict[str, dict[str, Made]]) -> None:
        self._from(table["left"], scope, ctes)
        self._from(table["right"], scope, ctes)
        conditioned = table["condition"] is not None or table["using_columns"]
        if table["ref_type"] != "REGULAR" or table["join_type"] not in _JOINS or not conditioned:
            raise Unfit(
                "theme-join",
                "连接须写明条件：JOIN … ON … 或 USING (…)；逗号、CROSS、NATURAL、POSITIONAL、ASOF 都不行",
                "a join states its condition, JOIN … ON … or USING (…): no comma, CROSS, NATURAL, POSITIONAL or ASOF",
            )
        if table["condition"] is not None:
            self._decide(iter([self.expression(table["condition"], scope, ctes)]))
        self._decide(iter([self._column([name], scope) for name in table["using_columns"]]))

    def _relation(self, table: Node, scope: _Scope, ctes: dict[str, dict[str, Made]]) -> None:
        schema, name = table["schema_name"].lower(), table["table_name"].lower()
        alias = (table["alias"] or name).lower()
        if table["catalog_name"] or table["at_clause"] is not None:
            raise _no_relation(".".join(part for part in (table["catalog_name"], schema, name) if part))
        if not schema and name in ctes:
            scope.relations.append((alias, ctes[name]))
            return
        relation = f"{schema}:{name}"
        if schema not in _KINDS or relation not in self.relations:
            raise _no_relation(f"{schema}.{name}" if schema else name)
        self.reads.setdefault(relation, set())
        columns = {column: Made(frozenset({f"{relation}.{column}"}), as_is=True) for column in self.relations[relation]}
        scope.relations.append((alias, columns))
        table |= {"schema_name": "", "table_name": relation_name(relation), "alias": alias}

    # ── expressions ──────────────────────────────────────────────────────────────────────────────────────────────────

    def expression(self, node: Node, scope: _Scope, ctes: dict[str, dict[str, Made]]) -> Made:
        """What an expression is made of."""
        kind = node["class"]
        if kind == "STAR":
            raise Unfit("theme-star", "请逐个写出列名，不能用 *", "name each column; * is not allowed")
        if kind not in _CLASSES:
            raise _not_allowed(kind)
        check_call(node, FUNCTIONS)
        if qualified := node.get("schema") or node.get("catalog"):
            raise _not_allowed(f"{qualified}.…")
        if kind == "COLUMN_REF":
            return self._column(node["column_names"], scope)
        if kind == "SUBQUERY":
            return self._subquery(node, scope, ctes)
        if kind == "WINDOW" and node["function_name"].lower() not in WINDOWS:
            raise _not_allowed(node["function_name"])
        parts = [self.expression(part, scope, ctes) for part in _parts(node)]
        return _together(parts, as_is=node["type"] == "OPERATOR_COALESCE")

    def _subquery(self, node: Node, scope: _Scope, ctes: dict[str, dict[str, Made]]) -> Made:
        """A subquery's value hangs on everything that it touches."""
        with self._watched() as touched:
            outputs = self.select(node["subquery"]["node"], scope, ctes)
        child = [] if node["child"] is None else [self.expression(node["child"], scope, ctes)]
        return _together([Made(frozenset(touched)), *outputs.values(), *child], as_is=False)

    @contextmanager
    def _watched(self) -> Iterator[set[str]]:
        self.watching.append(set())
        yield self.watching[-1]
        self.watching.pop()

    def _column(self, names: list[str], scope: _Scope) -> Made:
        made = scope.find(names) if len(names) <= 2 else None
        if made is None:
            written = ".".join(names)
            if written.lower() in _SAID_WITHOUT_PARENTHESES:
                raise Unfit(
                    "theme-clock",
                    f"不能用 {written}：主题库的内容只由所读的版本决定",
                    f"{written} is not allowed: a theme's content hangs on the versions it reads alone",
                )
            raise Unfit(
                "theme-column",
                f"没有列 {shown(written)}；写作 列名 或 别名.列名",
                f"there is no column {shown(written)}; write column or alias.column",
            )
        for name in made.columns:
            relation, _, column = name.rpartition(".")
            self.reads[relation].add(column)
        for touched in self.watching:
            touched |= made.columns
        return made


def _together(parts: list[Made], *, as_is: bool) -> Made:
    columns = frozenset(column for part in parts for column in part.columns)
    return Made(columns, as_is and all(part.as_is for part in parts))


def _parts(node: object) -> Iterator[Node]:
    """The expressions directly inside an expression."""
    inside = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
    for value in inside:
        if isinstance(value, dict) and "class" in value:
            yield value
        elif isinstance(value, dict | list):
            yield from _parts(value)


def _own_name(expression: Node) -> str | None:
    return expression["column_names"][-1] if expression["class"] == "COLUMN_REF" else None


def _grouped_by_name(node: Node) -> None:
    """What rows are grouped by decides what each of them says, so it must be there to be read."""
    if node["aggregate_handling"] != "STANDARD_HANDLING" or any(
        one["class"] == "CONSTANT" for one in node["group_expressions"]
    ):
        raise Unfit(
            "theme-group",
            "GROUP BY 请逐个写出列名，不能用 ALL 或序号",
            "name each column in GROUP BY; neither ALL nor positions are allowed",
        )


def _not_allowed(what: str) -> Unfit:
    return Unfit(
        "theme-select",
        f"主题库的 SQL 不能用 {shown(what)}；可用的见 docs/catalogue.md",
        f"the SQL of a theme may not use {shown(what)}; docs/catalogue.md lists what it may",
    )


def _no_relation(written: str) -> Unfit:
    return Unfit(
        "theme-relation",
        f"没有 {shown(written)}；只能读目录中的 base.<基础库> 和 pool.<资源>",
        f"there is no {shown(written)}; only base.<base> and pool.<resource> of the catalogue can be read",
    )
