"""The one pass: read the table once, normalise, type, judge every rule, write one bit per rule and row.

Invariant: `<data>/staging/<push>.parquet` exists whole or not at all, and is a function of the landed bytes, the
resource version and the day of the push. Columns: `_row`, the items typed by `sql_type`, `_hash` (over the items),
`_changed` (values normalising changed), `_fails_0` … (63 rules a word). Encrypted, like everything with values.
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


def staged_file(house: House, push_id: str) -> Path:
    """Where the judged rows of a push wait."""
    return house.settings.folder("staging") / f"{push_id}.parquet"


def staged_sql(house: House, push_id: str) -> str:
    """The judged rows as a relation, for use after FROM in any of the house's connections."""
    return relation(staged_file(house, push_id))


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
    """Judge every row of a landed push. Does nothing again when the staged file is there.

    Raises:
        NotFound, WrongState: as `open_table`.
    """
    target = staged_file(house, push_id)
    if not target.exists():
        with tables.open_table(house, connection, push_id) as source:
            judge_rows(connection, resource, rules, source, target, progress)
    return count(connection, relation(target), rules)


def judge_rows(
    connection: DuckDBPyConnection,
    resource: Resource,
    rules: Sequence[Rule],
    source: str,
    target: Path,
    progress: Progress = silent,
) -> None:
    """Write the judged rows of a table of text (`open_table`) to `target`."""
    progress("check", 0, 2)
    first = target.with_name(f".{target.name}.first")
    connection.execute("SET preserve_insertion_order = false")  # `_row` says the order; keeping it takes a third longer
    write(connection, pass_sql(resource, rules, source), first)
    progress("check", 1, 2)
    _mark_duplicates(connection, resource, rules, first, target)


def pass_sql(resource: Resource, rules: Sequence[Rule], source: str) -> str:
    """The whole pass as one query: what can be read at once, cleaned text, finished text, values, bits, each a layer over
    the one before."""
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


def count(connection: DuckDBPyConnection, staged: str, rules: Sequence[Rule]) -> Counts:
    """Count a staged relation, straight from its bits."""
    rejected = fails_any(rules, (Level.BLOCK, Level.QUARANTINE))
    hard = fails_any([r if not r.tolerated else _harmless(r) for r in rules], (Level.BLOCK, Level.QUARANTINE))
    row = connection.execute(
        f"SELECT count(*), count(*) FILTER ({rejected}), count(*) FILTER ({rejected} AND NOT {hard}), "
        f"count(*) FILTER (NOT {rejected} AND {fails_any(rules, (Level.WARN,))}), coalesce(sum(_changed), 0) FROM {staged}"
    ).fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    return Counts(*(int(figure) for figure in row))


def direct_counts(connection: DuckDBPyConnection, staged: str, rules: Sequence[Rule]) -> dict[str, int]:
    """Rows that fail each rule, counted without Great Expectations."""
    sums = ", ".join(f"count(*) FILTER ({fails(index)})" for index in range(len(rules)))
    row = connection.execute(f"SELECT {sums} FROM {staged}").fetchone()
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


def _words(resource: Resource, rules: Sequence[Rule]) -> list[str]:
    words = []
    for start in range(0, len(rules), WORD):
        bits = [
            f"(coalesce(NOT ({rule.predicate}){_where_it_applies(resource, rule)}, false)::UBIGINT << {index})"
            for index, rule in enumerate(rules[start : start + WORD])
            if rule.id != UNIQUE
        ]
        words.append(f"{' | '.join(bits) or '0::UBIGINT'} AS _fails_{start // WORD}")
    return words


def _where_it_applies(resource: Resource, rule: Rule) -> str:
    """A row that only says which key went is not asked for anything but its key."""
    if not has_operations(resource) or set(rule.items) <= {*resource.key, OPERATION}:
        return ""
    return f" AND {quoted(OPERATION)} IS DISTINCT FROM {literal(DELETE)}"


def _mark_duplicates(
    connection: DuckDBPyConnection, resource: Resource, rules: Sequence[Rule], first: Path, target: Path
) -> None:
    """Set the bit of `key.unique`. Only rows that are otherwise good can be each other's duplicate."""
    index = next((i for i, rule in enumerate(rules) if rule.id == UNIQUE), None)
    if index is None:
        first.replace(target)
        return
    keys = ", ".join(quoted(name) for name in resource.key)
    good = f"SELECT * FROM {relation(first)} WHERE NOT {fails_any(rules, (Level.BLOCK, Level.QUARANTINE))}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE _repeated AS SELECT {keys} FROM ({good}) GROUP BY {keys} HAVING count(*) > 1"
    )
    if connection.execute("SELECT count(*) FROM _repeated").fetchone() != (0,):
        stay, column, mask = _who_stays(resource, keys), *bit(index)
        losers = f"SELECT _row FROM (SELECT _row, {stay} AS stays FROM ({good}) SEMI JOIN _repeated USING ({keys})) WHERE NOT stays"
        write(
            connection,
            f"SELECT s.* REPLACE (CASE WHEN l._row IS NULL THEN {column} ELSE {column} | {mask}::UBIGINT END AS {column}) "
            f"FROM {relation(first)} AS s LEFT JOIN ({losers}) AS l ON s._row = l._row",
            target,
        )
        first.unlink()
    else:
        first.replace(target)
    connection.execute("DROP TABLE _repeated")


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
