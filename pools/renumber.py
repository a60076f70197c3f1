"""Rows under the number that counts: what aliases do to the pools of a base and to its version before, as SQL.

Invariant: a row keeps everything but its key and its place among the files. Numbers that no alias names are not touched, and
without aliases nothing here costs anything. A source that has one row a key still has, after two numbers became one: for each
item the newest row that has it, which is what the merge would take of several.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from duckdb import DuckDBPyConnection

from exchange.catalogue.sql import quoted
from pools import lake, pool
from pools.aliases import Alias, meaning
from pools.survivorship import Source, age


def sources(connection: DuckDBPyConnection, found: Sequence[Source], aliases: Sequence[Alias]) -> list[Source]:
    """Sources as a build reads them; the rows that move are taken out once, into temporary tables."""
    return [_source(connection, source, meaning(aliases, source.resource.id)) for source in found]


def joined(connection: DuckDBPyConnection, source: Source, touched: str) -> Source:
    """A source of which only the rows of these numbers are read, under the one that counts."""
    rows = f"joined_{source.resource.id}"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {rows} AS {moved(source, touched)}")
    return replace(source, relation=f"(SELECT * FROM temp.{rows})")


def before(connection: DuckDBPyConnection, relation: str, key: str, aliases: Sequence[Alias]) -> str:
    """The base before: a record goes on under its new number; of several that become one, the last that was seen counts."""
    numbers = meaning(aliases, None)
    if not numbers:
        return relation
    touched = touch(connection, "renumbered_before", _with_their_own(numbers))
    newest = "PARTITION BY t._key ORDER BY _build DESC, _number = t._key DESC, _number DESC"
    moved = f"{_moved(relation, key, touched, split_by_it=True)} QUALIFY row_number() OVER ({newest}) = 1"
    connection.execute(f"CREATE OR REPLACE TEMP TABLE renumbered_before_rows AS {moved}")
    return _with(relation, key, touched, "temp.renumbered_before_rows")


def touch(connection: DuckDBPyConnection, name: str, numbers: Mapping[str, str]) -> str:
    """A temporary table of every number that is concerned, `_number`, and the one that counts, `_key`."""
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT unnest($1)::VARCHAR AS _number, unnest($2)::VARCHAR AS _key",
        [list(numbers), list(numbers.values())],
    )
    return f"temp.{name}"


def moved(source: Source, touched: str) -> str:
    """SQL: a source's rows of the numbers that are concerned, under the one that counts."""
    split_by_it = pool.bucket_item(source.resource) == source.key_item
    rows = _moved(source.relation, source.key_item, touched, split_by_it=split_by_it)
    return _one_a_key(source, rows) if source.one_row_a_key else rows


def _source(connection: DuckDBPyConnection, source: Source, numbers: Mapping[str, str]) -> Source:
    if not numbers:
        return source
    name = f"renumbered_{source.resource.id}"
    touched = touch(connection, name, _with_their_own(numbers))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE {name}_rows AS {moved(source, touched)}")
    return replace(source, relation=_with(source.relation, source.key_item, touched, f"temp.{name}_rows"))


def _with_their_own(numbers: Mapping[str, str]) -> dict[str, str]:
    """The numbers that count among them: their rows meet those that move."""
    return {key: key for key in numbers.values()} | dict(numbers)


def _with(relation: str, key: str, touched: str, rows: str) -> str:
    untouched = f"SELECT r.* FROM {relation} r ANTI JOIN {touched} t ON r.{quoted(key)} = t._number"
    return f"({untouched} UNION ALL BY NAME SELECT * FROM {rows})"


def _moved(relation: str, key: str, touched: str, *, split_by_it: bool) -> str:
    place = f", {lake.bucket_of('_key')} AS _bucket" if split_by_it else ""
    return f"SELECT r.* REPLACE (t._key AS {quoted(key)}{place}) FROM {relation} r JOIN {touched} t ON r.{quoted(key)} = t._number"


def _one_a_key(source: Source, rows: str) -> str:
    order = f"ROW({age(source.resource)}, _batch, _row)"
    key = quoted(source.key_item)
    items = [quoted(item.name) for item in source.resource.items if item.name != source.key_item]
    newest = [f"arg_max({item}, {order}) FILTER ({item} IS NOT NULL) AS {item}" for item in items]
    newest += [f"arg_max({own}, {order}) AS {own}" for own in pool.OWN_COLUMNS]
    return f"SELECT {key}, {', '.join(newest)} FROM ({rows}) GROUP BY {key}"
