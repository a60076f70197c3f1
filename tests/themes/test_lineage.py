"""What a SELECT is found to touch, and what is refused; the engine's own binder is asked whether it is so."""

from collections.abc import Iterator

import duckdb
import pytest
from duckdb import DuckDBPyConnection
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange.catalogue import lineage
from exchange.catalogue.lineage import Lineage, Made
from exchange.catalogue.predicates import Unfit
from exchange.catalogue.sql import quoted

RELATIONS = {
    "base:population": dict.fromkeys(("id_number", "name", "mobile", "birth_date")),
    "pool:marriage": dict.fromkeys(("resident", "called", "code", "seen")),
    "pool:visits": dict.fromkeys(("visitor", "day", "cost")),
}  # no name is there twice: then a column that is missing can't be mistaken for another


@pytest.fixture(scope="module")
def engine() -> Iterator[DuckDBPyConnection]:
    with duckdb.connect() as connection:
        yield connection


def columns(*names: str) -> frozenset[str]:
    """p.name -> base:population.name, m.… -> pool:marriage.…, v.… -> pool:visits.…"""
    letters = {"p": "base:population", "m": "pool:marriage", "v": "pool:visits"}
    return frozenset(f"{letters[name[0]]}{name[1:]}" for name in names)


def touched(found: Lineage) -> set[str]:
    return {f"{relation}.{name}" for relation, names in found.reads.items() for name in names}


def as_is(*names: str) -> Made:
    return Made(columns(*names), as_is=True)


def made(*names: str) -> Made:
    return Made(columns(*names), as_is=False)


UNDERSTOOD = [
    pytest.param(
        "SELECT id_number, name AS called FROM base.population",
        {"id_number": as_is("p.id_number"), "called": as_is("p.name")},
        columns(),
        columns(),
        id="columns handed on",
    ),
    pytest.param(
        'SELECT "ID_NUMBER"FROM"BASE"."Population"WHERE/**/"Name"=\'\'',
        {"id_number": as_is("p.id_number")},
        columns("p.name"),
        columns("p.name"),
        id="quoted, in other letters, with a comment for a blank",
    ),
    pytest.param(
        "SELECT p.id_number, upper(p.name) AS n FROM base.population p WHERE p.birth_date > DATE '2000-01-01' ORDER BY mobile",
        {"id_number": as_is("p.id_number"), "n": made("p.name")},
        columns("p.birth_date"),
        columns("p.name", "p.birth_date", "p.mobile"),
        id="an expression, a condition, an order",
    ),
    pytest.param(
        "SELECT id_number, COALESCE(p.name, m.called) AS name FROM base.population p "
        "FULL JOIN (SELECT resident AS id_number, called FROM pool.marriage) m USING (id_number)",
        {"id_number": as_is("p.id_number", "m.resident"), "name": as_is("p.name", "m.called")},
        columns("p.id_number", "m.resident"),
        columns("p.id_number", "m.resident"),
        id="a join by name, the first there is",
    ),
    pytest.param(
        "SELECT m.resident, s.spent FROM pool.marriage m LEFT JOIN "
        "(SELECT visitor, sum(cost) AS spent FROM pool.visits WHERE day IS NOT NULL GROUP BY visitor HAVING count(*) > 1) s "
        "ON s.visitor = m.resident",
        {"resident": as_is("m.resident"), "spent": made("v.cost")},
        columns("v.day", "v.visitor", "m.resident"),
        columns("v.day", "v.visitor", "m.resident", "v.cost"),
        id="a subquery that groups",
    ),
    pytest.param(
        "WITH population AS (SELECT resident, called AS mobile FROM pool.marriage) SELECT resident, mobile FROM population",
        {"resident": as_is("m.resident"), "mobile": as_is("m.called")},
        columns(),
        columns(),
        id="a WITH of a base's name is not the base",
    ),
    pytest.param(
        "WITH a AS (SELECT id_number, name FROM base.population), b AS (SELECT id_number, name FROM a) "
        "SELECT id_number, name FROM b UNION ALL SELECT resident, code FROM pool.marriage",
        {"id_number": as_is("p.id_number", "m.resident"), "name": as_is("p.name", "m.code")},
        columns(),
        columns(),
        id="one WITH by another, put together with a pool",
    ),
    pytest.param(
        "SELECT id_number FROM base.population EXCEPT SELECT resident FROM pool.marriage",
        {"id_number": as_is("p.id_number", "m.resident")},
        columns("p.id_number", "m.resident"),
        columns("p.id_number", "m.resident"),
        id="what is left out decides",
    ),
    pytest.param(
        "SELECT p.id_number, (SELECT max(v.cost) FROM pool.visits v WHERE v.visitor = p.id_number) AS most FROM base.population p",
        {"id_number": as_is("p.id_number"), "most": made("v.cost", "v.visitor", "p.id_number")},
        columns("v.visitor", "p.id_number"),
        columns("v.cost", "v.visitor", "p.id_number"),
        id="a subquery's value hangs on all it touches",
    ),
    pytest.param(
        "SELECT id_number FROM base.population p WHERE EXISTS (SELECT 1 FROM pool.visits WHERE day = p.birth_date) "
        "AND id_number NOT IN (SELECT resident FROM pool.marriage)",
        {"id_number": as_is("p.id_number")},
        columns("v.day", "p.birth_date", "p.id_number", "m.resident"),
        columns("v.day", "p.birth_date", "p.id_number", "m.resident"),
        id="subqueries in a condition",
    ),
    pytest.param(
        "SELECT resident, first_value(called) OVER (PARTITION BY code ORDER BY seen) AS f FROM pool.marriage "
        "QUALIFY row_number() OVER (PARTITION BY resident ORDER BY seen) = 1",
        {"resident": as_is("m.resident"), "f": made("m.called", "m.code", "m.seen")},
        columns("m.resident", "m.seen"),
        columns("m.resident", "m.called", "m.code", "m.seen"),
        id="windows",
    ),
    pytest.param(
        "SELECT resident, called AS n, n || code AS doubled FROM pool.marriage WHERE n <> ''",
        {"resident": as_is("m.resident"), "n": as_is("m.called"), "doubled": made("m.called", "m.code")},
        columns("m.called"),
        columns("m.called", "m.code"),
        id="an alias used again",
    ),
    pytest.param(
        "SELECT DISTINCT ON (code) resident FROM pool.marriage ORDER BY seen",
        {"resident": as_is("m.resident")},
        columns("m.code"),
        columns("m.code", "m.seen"),
        id="distinct on",
    ),
    pytest.param(
        "SELECT p.id_number, l.cost FROM base.population p JOIN LATERAL "
        "(SELECT max(cost) AS cost FROM pool.visits WHERE visitor = p.id_number) l ON true",
        {"id_number": as_is("p.id_number"), "cost": made("v.cost")},
        columns("v.visitor", "p.id_number"),
        columns("v.visitor", "p.id_number", "v.cost"),
        id="a subquery that looks at what stands beside it",
    ),
]


@pytest.mark.parametrize(("select", "outputs", "deciding", "used"), UNDERSTOOD)
def test_what_is_touched_and_what_is_made_of_it(
    engine: DuckDBPyConnection, select: str, outputs: dict[str, Made], deciding: frozenset[str], used: frozenset[str]
) -> None:
    found = lineage.read(engine, select, RELATIONS)
    assert (dict(found.outputs), found.deciding, found.used) == (outputs, deciding, used)
    assert touched(found) == needed_by_the_engine(engine, found)


def needed_by_the_engine(engine: DuckDBPyConnection, found: Lineage) -> set[str]:
    """The columns without any one of which the engine can't bind the statement; it can with these alone."""
    assert binds(engine, found, without=None)
    return {name for name in touched(found) if not binds(engine, found, without=name)}


def binds(engine: DuckDBPyConnection, found: Lineage, without: str | None) -> bool:
    for relation, names in found.reads.items():
        kept = [name for name in names if f"{relation}.{name}" != without] or ["_nothing"]
        kinds = {"birth_date": "DATE", "day": "DATE", "seen": "DATE", "cost": "BIGINT"}
        listed = ", ".join(f"{quoted(name)} {kinds.get(name, 'VARCHAR')}" for name in kept)
        engine.execute(f"CREATE OR REPLACE TEMP TABLE {quoted(lineage.relation_name(relation))} ({listed})")
    try:
        engine.execute(f"DESCRIBE {found.statement}")
    except duckdb.BinderException:
        return False
    return True


CONDITIONS = st.sampled_from(
    [
        "{a}.n IS NOT NULL",
        "{a}.k IN (SELECT visitor FROM pool.visits WHERE cost > 1)",
        "EXISTS (SELECT 1 FROM pool.marriage x WHERE x.resident = {a}.k AND x.code = '20')",
        "length({a}.n) > (SELECT min(length(called)) FROM pool.marriage)",
    ]
)
SOURCES = st.sampled_from(
    [
        "(SELECT id_number AS k, name AS n FROM base.population) {a}",
        "(SELECT resident AS k, called AS n FROM pool.marriage) {a}",
        "(SELECT id_number AS k, upper(name) AS n FROM base.population WHERE mobile <> '') {a}",
        "(SELECT resident AS k, max(code) AS n FROM pool.marriage GROUP BY resident) {a}",
        "(WITH w AS (SELECT resident, called FROM pool.marriage) SELECT resident AS k, called AS n FROM w) {a}",
        "(SELECT id_number AS k, name AS n FROM base.population EXCEPT SELECT resident, code FROM pool.marriage) {a}",
    ]
)
VALUES = st.sampled_from(["{a}.n", "upper({a}.n)", "COALESCE({a}.n, '-')", "CASE WHEN {a}.n = '' THEN NULL ELSE {a}.k END"])


@st.composite
def selects(draw: st.DrawFn) -> str:
    aliases = ["a", "b", "c"][: draw(st.integers(1, 3))]
    joined = " JOIN ".join(
        draw(SOURCES).format(a=alias) + (f" ON {alias}.k = a.k" if alias != "a" else "") for alias in aliases
    )
    values = ", ".join(f"{draw(VALUES).format(a=alias)} AS v_{alias}" for alias in aliases)
    where = " AND ".join(draw(st.lists(CONDITIONS, max_size=2))).format(a=draw(st.sampled_from(aliases)))
    return f"SELECT a.k, {values} FROM {joined}" + (f" WHERE {where}" if where else "")


@settings(max_examples=60, deadline=None)
@given(select=selects())
def test_any_select_is_bound_by_what_was_found_and_by_nothing_less(engine: DuckDBPyConnection, select: str) -> None:
    found = lineage.read(engine, select, RELATIONS)
    assert touched(found) == needed_by_the_engine(engine, found)
    assert found.deciding <= found.used <= touched(found)


STAR = ("theme-star", "请逐个写出列名，不能用 *", "name each column; * is not allowed")
NO_SELECT = (
    "theme-parse",
    "不是一条有效的 SELECT：Only SELECT statements can be serialized to json!",
    "not a valid SELECT: Only SELECT statements can be serialized to json!",
)
JOIN = (
    "theme-join",
    "连接须写明条件：JOIN … ON … 或 USING (…)；逗号、CROSS、NATURAL、POSITIONAL、ASOF 都不行",
    "a join states its condition, JOIN … ON … or USING (…): no comma, CROSS, NATURAL, POSITIONAL or ASOF",
)
GROUP = (
    "theme-group",
    "GROUP BY 请逐个写出列名，不能用 ALL 或序号",
    "name each column in GROUP BY; neither ALL nor positions are allowed",
)
LIMIT = (
    "theme-limit",
    "不能用 LIMIT、OFFSET：留下哪些行没有定数",
    "LIMIT and OFFSET are not allowed: which rows stay is not determined",
)
CAST = (
    "predicate-cast",
    "类型转换请用 TRY_CAST：CAST 和 :: 遇到不合格的值会出错",
    "write TRY_CAST: CAST and :: fail on a value that does not convert",
)


def not_allowed(what: str) -> tuple[str, str, str]:
    return (
        "theme-select",
        f"主题库的 SQL 不能用 “{what}”；可用的见 docs/catalogue.md",
        f"the SQL of a theme may not use “{what}”; docs/catalogue.md lists what it may",
    )


def no_relation(name: str) -> tuple[str, str, str]:
    return (
        "theme-relation",
        f"没有 “{name}”；只能读目录中的 base.<基础库> 和 pool.<资源>",
        f"there is no “{name}”; only base.<base> and pool.<resource> of the catalogue can be read",
    )


def no_column(name: str) -> tuple[str, str, str]:
    return (
        "theme-column",
        f"没有列 “{name}”；写作 列名 或 别名.列名",
        f"there is no column “{name}”; write column or alias.column",
    )


def no_function(name: str) -> tuple[str, str, str]:
    return (
        "predicate-function",
        f"函数 {name} 不可用，可用的见 docs/catalogue.md",
        f"function {name} is not available; docs/catalogue.md lists those that are",
    )


def clock(name: str) -> tuple[str, str, str]:
    return (
        "theme-clock",
        f"不能用 {name}：主题库的内容只由所读的版本决定",
        f"{name} is not allowed: a theme's content hangs on the versions it reads alone",
    )


def bad_with(name: str) -> tuple[str, str, str]:
    return (
        "theme-select",
        f"WITH “{name}” 应只用小写字母、数字和下划线命名，列名写在它的 SELECT 里",
        f"WITH “{name}”: a name has letters, digits and _; its columns are named in its own SELECT",
    )


P, M = "FROM base.population p", "FROM base.population p {} pool.marriage m"
REFUSED = [
    # everything there is
    ("SELECT * FROM base.population", STAR),
    (f"SELECT p.* {P}", STAR),
    (f"SELECT COLUMNS('.*') {P}", STAR),
    ("FROM base.population", STAR),
    ("TABLE base.population", STAR),
    (f"SELECT id_number {P} ORDER BY ALL", STAR),
    (f"SELECT p {P}", no_column("p")),
    (f"SELECT rowid {P}", no_column("rowid")),
    # files, network, environment, engine
    ("SELECT id_number FROM read_csv('/etc/passwd')", not_allowed("table functions")),
    ("SELECT content FROM read_text('/etc/passwd')", not_allowed("table functions")),
    ("SELECT id_number FROM postgres_query('a', 'b')", not_allowed("table functions")),
    ("SELECT table_name FROM duckdb_tables()", not_allowed("table functions")),
    ("SELECT a FROM query('SELECT 1 AS a')", not_allowed("table functions")),
    ("SELECT a FROM query_table('lake.base_population')", not_allowed("table functions")),
    ("SELECT content FROM read_blob('/etc/exchange/master.key')", not_allowed("table functions")),
    ("SELECT file FROM glob('/**')", not_allowed("table functions")),
    ("SELECT name FROM duckdb_secrets(redact => false)", not_allowed("table functions")),
    ("SELECT value FROM duckdb_settings()", not_allowed("table functions")),
    ("SELECT snapshot_id FROM ducklake_snapshots('lake')", not_allowed("table functions")),
    (f"SELECT id_number {P} WHERE name IN (SELECT content FROM read_text('/etc/passwd'))", not_allowed("table functions")),
    (f"SELECT id_number {P} JOIN read_csv('/etc/passwd') f ON f.a = p.name", not_allowed("table functions")),
    (f"WITH f AS (SELECT a FROM '/etc/passwd') SELECT id_number {P} JOIN f ON f.a = p.name", no_relation("/etc/passwd")),
    (f"SELECT id_number {P} UNION ALL SELECT a FROM 's3://bucket/a.parquet'", no_relation("s3://bucket/a.parquet")),
    ("SELECT a FROM '/etc/passwd.csv'", no_relation("/etc/passwd.csv")),
    ('SELECT a FROM "https://example.org/a.parquet"', no_relation("https://example.org/a.parquet")),
    (f"SELECT getenv('HOME') AS a {P}", no_function("getenv")),
    (f"SELECT current_setting('threads') AS a {P}", no_function("current_setting")),
    (f"SELECT nextval('s') AS a {P}", no_function("nextval")),
    (f"SELECT getvariable('v') AS a {P}", no_function("getvariable")),
    (f"SELECT id_number {P} WHERE pg_get_viewdef(name) <> ''", no_function("pg_get_viewdef")),
    (f"SELECT error(name) AS a {P}", no_function("error")),
    (f"SELECT random() AS a {P}", no_function("random")),
    (f"SELECT now() AS a {P}", no_function("now")),
    (f"SELECT list_transform([name], x -> x) AS a {P}", no_function("list_transform")),
    (f"SELECT unnest([name]) AS a {P}", no_function("unnest")),
    (f"SELECT main.upper(name) AS a {P}", not_allowed("main.…")),
    (f"SELECT ntile(3) OVER () AS a {P}", not_allowed("ntile")),
    (f"SELECT id_number {P} WHERE birth_date < current_date", clock("current_date")),
    # other places
    ("SELECT id_number FROM lake.base_population", no_relation("lake.base_population")),
    ("SELECT id_number FROM lake.main.base_population", no_relation("lake.main.base_population")),
    ("SELECT id_number FROM memory.base.population", no_relation("memory.base.population")),
    ("SELECT id_number FROM main.population", no_relation("main.population")),
    ("SELECT id_number FROM information_schema.tables", no_relation("information_schema.tables")),
    ("SELECT relname FROM pg_catalog.pg_class", no_relation("pg_catalog.pg_class")),
    ("SELECT relname FROM pg_class", no_relation("pg_class")),
    ("SELECT name FROM sqlite_master", no_relation("sqlite_master")),
    (
        "SELECT id FROM __ducklake_metadata_lake.ducklake_data_file",
        no_relation("__ducklake_metadata_lake.ducklake_data_file"),
    ),
    ("SELECT name FROM system.main.duckdb_tables", no_relation("system.main.duckdb_tables")),
    (
        f"SELECT id_number {P} WHERE EXISTS (SELECT 1 FROM lake.base_population b WHERE b.name = p.name)",
        no_relation("lake.base_population"),
    ),
    ("SELECT id_number FROM pool.population", no_relation("pool.population")),
    ("SELECT id_number FROM base.population_family", no_relation("base.population_family")),
    ("SELECT id_number FROM theme.couples", no_relation("theme.couples")),
    ("SELECT id_number FROM base.other", no_relation("base.other")),
    ('SELECT id_number FROM "base.population"', no_relation("base.population")),
    ('SELECT id_number FROM "base"."population; DROP TABLE x"', no_relation("base.population; drop table x")),
    ("SELECT id_number FROM population", no_relation("population")),
    ("SELECT id_number FROM base.population AT (VERSION => 3)", no_relation("base.population")),
    # statements
    ("ATTACH '/tmp/x.db' AS x", NO_SELECT),
    ("COPY (SELECT 1) TO '/tmp/x'", NO_SELECT),
    ("PRAGMA database_list", NO_SELECT),
    ("CREATE MACRO f() AS 1", NO_SELECT),
    ("INSTALL spatial", NO_SELECT),
    ("SET memory_limit = '1TB'", NO_SELECT),
    ("CALL pragma_version()", NO_SELECT),
    ("INSERT INTO base.population VALUES (1)", NO_SELECT),
    (f"SELECT id_number {P}; DROP TABLE x", NO_SELECT),
    ("PIVOT base.population ON name USING count(*)", NO_SELECT),
    (f"SELECT id_number {P}; SELECT id_number {P}", ("theme-select", "应恰好是一条 SELECT", "must be exactly one SELECT")),
    ("SELECT 1", not_allowed("SELECT without FROM")),
    ("VALUES (1)", not_allowed("EXPRESSION_LIST")),
    ("DESCRIBE base.population", not_allowed("SHOW_REF")),
    ("SELECT a FROM (SUMMARIZE base.population)", not_allowed("SHOW_REF")),
    (f"SELECT $1 AS a {P}", not_allowed("PARAMETER")),
    # columns that are not there, wherever they stand
    ("SELECT address FROM base.population", no_column("address")),
    (f"SELECT id_number {P} WHERE address IS NULL", no_column("address")),
    (f"SELECT id_number {P} ORDER BY address", no_column("address")),
    (f"SELECT count(*) AS n {P} GROUP BY address", no_column("address")),
    (f"SELECT id_number {P} GROUP BY id_number HAVING max(address) > ''", no_column("address")),
    (f"SELECT id_number {P} QUALIFY row_number() OVER (ORDER BY address) = 1", no_column("address")),
    (f"SELECT p.id_number {M.format('JOIN')} ON p.address = m.called", no_column("p.address")),
    (f"SELECT p.id_number {M.format('JOIN')} USING (address)", no_column("address")),
    (f"SELECT id_number {P} WHERE id_number IN (SELECT address FROM base.population)", no_column("address")),
    (f"WITH t AS (SELECT address {P}) SELECT address FROM t", no_column("address")),
    (f"SELECT base.population.name {P}", no_column("base.population.name")),
    ('SELECT "id_number"FROM"base"."population"WHERE"address"=\'\'', no_column("address")),
    # names that would be mistaken
    (
        'WITH "base.population" AS (SELECT called AS id_number FROM pool.marriage) SELECT id_number FROM base.population',
        bad_with("base.population"),
    ),
    (f"WITH t(a) AS (SELECT id_number {P}) SELECT a FROM t", bad_with("t")),
    ("WITH t AS (SELECT id_number FROM t) SELECT id_number FROM t", no_relation("t")),
    (
        f"WITH RECURSIVE t AS (SELECT id_number {P} UNION ALL SELECT id_number FROM t) SELECT id_number FROM t",
        not_allowed("RECURSIVE_CTE"),
    ),
    (f"SELECT name, mobile AS name {P}", ("theme-select", "列 “name” 出现两次", "column “name” is there twice")),
    # rows by chance, rows without end
    (f"SELECT id_number {P} LIMIT 1", LIMIT),
    (f"SELECT id_number {P} OFFSET 1", LIMIT),
    (f"SELECT id_number {P} TABLESAMPLE 10%", not_allowed("SAMPLE, AS t(…)")),
    (f"SELECT id_number {P} USING SAMPLE 3", not_allowed("SAMPLE")),
    (f"SELECT p.id_number {M.format(',')}", JOIN),
    (f"SELECT p.id_number {M.format('CROSS JOIN')}", JOIN),
    (f"SELECT p.id_number {M.format('NATURAL JOIN')}", JOIN),
    (f"SELECT p.id_number {M.format('POSITIONAL JOIN')}", JOIN),
    (f"SELECT p.id_number {M.format('ASOF JOIN')} ON p.id_number >= m.resident", JOIN),
    (
        f"SELECT id_number {P} WHERE EXISTS (SELECT 1 FROM pool.marriage m)",
        (
            "theme-relation",
            "pool.marriage 没有用到任何列，请去掉",
            "no column of pool.marriage is used; leave it out",
        ),
    ),
    (
        f"SELECT id_number {P} UNION SELECT resident, called FROM pool.marriage",
        ("theme-select", "两侧的列数不同", "both sides of a set operation must have as many columns"),
    ),
    # what rows are grouped by decides: it must be there to be read
    (f"SELECT id_number, count(*) AS n {P} GROUP BY ALL", GROUP),
    (f"SELECT id_number, count(*) AS n {P} GROUP BY 1", GROUP),
    (f"SELECT id_number {P} WHERE id_number IN (SELECT resident FROM pool.marriage GROUP BY ROLLUP (1))", GROUP),
    # what fails on some values, and whose complaint would quote them
    (f"SELECT CAST(name AS INTEGER) AS a {P}", CAST),
    (f"SELECT name::BIGINT AS a {P}", CAST),
    ("SELECT " + "-" * 900 + f"1 AS a {P}", None),
    (f"SELECT {'(' * 3000}1{')' * 3000} AS a {P}", None),
    (
        f"SELECT '{'x' * 20_000}' AS a {P}",
        ("theme-select", "SQL 超过 20000 个字符", "the SQL has more than 20000 characters"),
    ),
]


@pytest.mark.parametrize(("select", "finding"), REFUSED, ids=[select[:80] for select, _ in REFUSED])
def test_what_is_refused(engine: DuckDBPyConnection, select: str, finding: tuple[str, str, str] | None) -> None:
    with pytest.raises(Unfit) as refused:
        lineage.read(engine, select, RELATIONS)
    if finding is not None:  # how deep the parser goes is the engine's own matter
        assert refused.value.args == finding


def test_what_is_run_was_written_from_the_tree(engine: DuckDBPyConnection) -> None:
    found = lineage.read(engine, "SELECT p.name /* , p.mobile */ FROM base.population p -- ; DROP", RELATIONS)
    assert found.statement == 'SELECT p."name" FROM "base.population" AS p'
