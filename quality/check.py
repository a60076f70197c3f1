"""The one pass: read the table once, find what is right as sent, normalise, type and judge the rest, one bit per rule and row.

Invariant: `<data>/staging/<push>.parquet` exists whole or not at all, and is a function of the landed bytes, the
resource version and the day of the push. It holds the rows of which there is something to note: those that fail a rule, a
warning included, or that normalising changed. Every other row is as it stands in the table of text; `judged` puts both
together. Columns: `_row`, the items typed by `sql_type`, `_hash` (over the items), `_changed` (values normalising changed),
`_fails_0` … (63 rules a word). Encrypted, like everything with values.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Item, Level, Resource
from exchange.catalogue.sql import literal, quoted
from exchange.engine import STAGING_KEY
from exchange.house import House
from exchange.intake import tables
from exchange.intake.form import DELETE, OPERATION, has_operations
from exchange.progress import Progress, silent
from quality.assent import doubted, passed
from quality.normalise import at_once, changed, cleaned, finished, text_of, typed
from quality.rules import UNIQUE, WORD, Rule, bit, fails, fails_any


@dataclass(frozen=True)
class Counts:
    """What the pass found, in rows (and values for the last)."""

    rows: int
    rejected: int  # fail a rule that blocks or quarantines
    tolerated: int  # of those, only because a newer row took their place
    warned: int  # pass, with a warning
    normalised: int


def noted_file(house: House, push_id: str) -> Path:
    """Where the noted rows of a push wait."""
    return house.settings.folder("staging") / f"{push_id}.parquet"


def noted_sql(house: House, push_id: str) -> str:
    """The noted rows as a relation, for use after FROM in any of the house's connections."""
    return relation(noted_file(house, push_id))


def judged(resource: Resource, rules: Sequence[Rule], source: str, noted: str) -> str:
    """All rows of a table of text that was judged, as a relation in the columns of the noted ones."""
    names = ", ".join(quoted(item.name) for item in resource.items)
    nothing = ", ".join(f"0::UBIGINT AS {word}" for word in _word_names(rules))
    right = f"SELECT _row, {names}, {row_hash(resource)} AS _hash, 0 AS _changed, {nothing} FROM {passed(resource, source, noted)}"
    return f"({right} UNION ALL SELECT _row, {names}, _hash, _changed, {', '.join(_word_names(rules))} FROM {noted})"


def relation(path: Path) -> str:
    """An encrypted Parquet file as a relation."""
    return f"read_parquet({literal(str(path))}, encryption_config = {{footer_key: '{STAGING_KEY}'}})"


def write(connection: DuckDBPyConnection, select: str, target: Path) -> None:
    """Write a query to encrypted Parquet, at once or not at all."""
    draft = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        options = f"FORMAT parquet, ENCRYPTION_CONFIG {{footer_key: '{STAGING_KEY}'}}"
        connection.execute(f"COPY ({select}) TO {literal(str(draft))} ({options})")
        with draft.open("rb") as file:
            os.fsync(file.fileno())  # else a power cut could leave a name without its bytes
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def run(
    house: House,
    connection: DuckDBPyConnection,
    push_id: str,
    resource: Resource,
    rules: Sequence[Rule],
    progress: Progress = silent,
) -> Counts:
    """Judge every row of a landed push. Does nothing again when its noted rows are there.

    Raises:
        NotFound, WrongState: as `open_table`.
    """
    target = noted_file(house, push_id)
    with tables.open_table(house, connection, push_id) as source:
        if not target.exists():
            judge_rows(connection, resource, rules, source, target, progress)
        return count(connection, judged(resource, rules, source, relation(target)), rules)


def judge_rows(
    connection: DuckDBPyConnection,
    resource: Resource,
    rules: Sequence[Rule],
    source: str,
    target: Path,
    progress: Progress = silent,
) -> None:
    """Judge a table of text (`open_table`) and write the noted rows to `target`."""
    progress("check", 0, 2)
    first = target.with_name(f".{target.name}.first")
    connection.execute("SET preserve_insertion_order = false")  # `_row` says the order; keeping it takes a third longer
    write(connection, pass_sql(resource, rules, doubted(resource, rules, source)), first)
    progress("check", 1, 2)
    _mark_duplicates(connection, resource, rules, source, first, target)


def pass_sql(resource: Resource, rules: Sequence[Rule], source: str) -> str:
    """The slow part of the pass as one query, over rows of text: what can be read at once, cleaned text, finished text, values,
    bits, each a layer over the one before."""
    items = resource.items
    both = [(item, quoted(item.name), quoted("_o_" + item.name), quoted("_n_" + item.name)) for item in items]
    early = {item.name: value for item, q, *_ in both if (value := at_once(item, q)) is not None}
    read = "".join(f", {value} AS {_early(name)}" for name, value in early.items())
    kept = "".join(f", {_early(name)}" for name in early)
    cleaning = ", ".join(
        f"{q} AS {o}, {cleaned(i, q, as_code=i.name in resource.key, value=_early(i.name) if i.name in early else None)} AS {n}"
        for i, q, o, n in both
    )
    finishing = ", ".join(f"{o}, {finished(item, n)} AS {n}" for item, _, o, n in both)
    values = ", ".join(_value(item, _early(item.name) if item.name in early else None) for item in items)
    changes = " + ".join(f"{changed(o, n)}::INTEGER" for _, _, o, n in both)
    names = ", ".join(quoted(item.name) for item in items)
    return f"""
SELECT _row, {names}, {row_hash(resource)} AS _hash, _changed, {", ".join(_words(resource, rules))}
FROM (SELECT _row, _broken, {values}, {changes} AS _changed
FROM (SELECT _row, _broken, {finishing}{kept}
FROM (SELECT _row, _broken, {cleaning}{kept}
FROM (SELECT *{read} FROM {source}))))"""


def row_hash(resource: Resource) -> str:
    """SQL: the hash of a row's items. What is to be done with the row is not part of it."""
    return f"hash({', '.join(quoted(item.name) for item in resource.items if item.name != OPERATION)})"


def count(connection: DuckDBPyConnection, relation: str, rules: Sequence[Rule]) -> Counts:
    """Count a judged relation, straight from its bits."""
    rejected = fails_any(rules, (Level.BLOCK, Level.QUARANTINE))
    hard = fails_any([r if not r.tolerated else _harmless(r) for r in rules], (Level.BLOCK, Level.QUARANTINE))
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER ({rejected}), count(*) FILTER ({rejected} AND NOT {hard}), "
        f"count(*) FILTER (NOT {rejected} AND {fails_any(rules, (Level.WARN,))}), coalesce(sum(_changed), 0) FROM {relation}"
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Counts(*(int(figure) for figure in row))


def direct_counts(connection: DuckDBPyConnection, relation: str, rules: Sequence[Rule]) -> dict[str, int]:
    """Rows that fail each rule, counted without Great Expectations."""
    sums = ", ".join(f"count(*) FILTER ({fails(index)})" for index in range(len(rules)))
    row = connection.execute(f"SELECT {sums} FROM {relation}").fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return {rule.id: int(figure) for rule, figure in zip(rules, row, strict=True)}


def _harmless(rule: Rule) -> Rule:
    return replace(rule, level=Level.WARN)


def _early(name: str) -> str:
    return quoted("_v_" + name)


def _value(item: Item, early: str | None) -> str:
    text = quoted("_n_" + item.name)
    value = f"{typed(item, text, early)} AS {quoted(item.name)}"
    return value if text_of(item) == quoted(item.name) else f"{value}, {text} AS {text_of(item)}"


def _word_names(rules: Sequence[Rule]) -> list[str]:
    return [f"_fails_{start // WORD}" for start in range(0, len(rules), WORD)]


def _words(resource: Resource, rules: Sequence[Rule]) -> list[str]:
    words = []
    for start, name in zip(range(0, len(rules), WORD), _word_names(rules), strict=True):
        bits = [
            f"(coalesce(NOT ({rule.predicate}){_where_it_applies(resource, rule)}, false)::UBIGINT << {index})"
            for index, rule in enumerate(rules[start : start + WORD])
            if rule.id != UNIQUE
        ]
        words.append(f"{' | '.join(bits) or '0::UBIGINT'} AS {name}")
    return words


def _where_it_applies(resource: Resource, rule: Rule) -> str:
    """A row that only says which key went is not asked for anything but its key."""
    if not has_operations(resource) or set(rule.items) <= {*resource.key, OPERATION}:
        return ""
    return f" AND {quoted(OPERATION)} IS DISTINCT FROM {literal(DELETE)}"


def _mark_duplicates(
    connection: DuckDBPyConnection, resource: Resource, rules: Sequence[Rule], source: str, first: Path, target: Path
) -> None:
    """Set the bit of `key.unique`. Only rows that are otherwise good can be each other's duplicate."""
    index = next((i for i, rule in enumerate(rules) if rule.id == UNIQUE), None)
    if index is None or not _find_repeated(connection, resource, rules, source, first):
        first.replace(target)
        return
    every = judged(resource, rules, source, relation(first))
    keys = ", ".join(quoted(name) for name in resource.key)
    stay, column, mask = _who_stays(resource, keys), *bit(index)
    alike = f"{_good(every, rules)} SEMI JOIN _repeated USING ({keys})"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _losers AS SELECT _row FROM (SELECT _row, {stay} AS stays FROM {alike}) WHERE NOT stays"
    )
    # a loser that was right as sent is noted from now on
    marked = f"SELECT * REPLACE ({column} | {mask}::UBIGINT AS {column}) FROM {every} SEMI JOIN _losers USING (_row)"
    write(connection, f"SELECT * FROM {relation(first)} ANTI JOIN _losers USING (_row) UNION ALL {marked}", target)
    first.unlink()
    connection.execute("DROP TABLE _repeated; DROP TABLE _losers")


def _find_repeated(
    connection: DuckDBPyConnection, resource: Resource, rules: Sequence[Rule], source: str, first: Path
) -> bool:
    """Fill `_repeated` with the keys that several good rows have; whether there are any.

    By the keys' hashes first, which are small; only what shares one is compared.
    """
    good = _good(judged(resource, rules, source, relation(first)), rules)
    keys = ", ".join(quoted(name) for name in resource.key)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _alike AS SELECT key FROM (SELECT hash({keys}) AS key FROM {good}) GROUP BY key HAVING count(*) > 1"
    )
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _repeated AS SELECT {keys} FROM {good} WHERE hash({keys}) IN (FROM _alike) "
        f"GROUP BY {keys} HAVING count(*) > 1"
        if _any(connection, "_alike")
        else f"CREATE OR REPLACE TEMP TABLE _repeated AS SELECT {keys} FROM {good} LIMIT 0"
    )
    connection.execute("DROP TABLE _alike")
    return _any(connection, "_repeated")


def _good(every: str, rules: Sequence[Rule]) -> str:
    return f"(SELECT * FROM {every} WHERE NOT {fails_any(rules, (Level.BLOCK, Level.QUARANTINE))})"


def _any(connection: DuckDBPyConnection, table: str) -> bool:
    return connection.execute(f"SELECT 1 FROM {table} LIMIT 1").fetchone() is not None


def _who_stays(resource: Resource, keys: str) -> str:
    """SQL over rows that share their key with others: does this one stay.

    keep_newest: the newest, then the last in the file. Else: of identical rows the first; of rows that differ none,
    because nobody but the provider knows which is right.
    """
    if resource.duplicates == "keep_newest":
        newest = next(quoted(item.name) for item in resource.items if item.is_timestamp)
        return f"row_number() OVER (PARTITION BY {keys} ORDER BY {newest} DESC NULLS LAST, _row DESC) = 1"
    same = f"min(_hash) OVER (PARTITION BY {keys}) = max(_hash) OVER (PARTITION BY {keys})"
    return f"{same} AND row_number() OVER (PARTITION BY {keys} ORDER BY _row) = 1"
