"""The true difference between what a pool holds and what a push makes of it, by key and row hash.

Invariant: a row that a push repeats word for word is not touched: it keeps its batch, row and receipt. So the rows of a
version that carry its own receipt are exactly those it inserted or changed, and `temp.difference` names every other key it
touched. Where a key may have several rows, equal rows are paired one by one, in order.
"""

from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal, quoted
from exchange.intake.form import DELETE, OPERATION, UPSERT

TABLE = "temp.difference"  # key items, `_op`, `fresh_row` (in the push), `old_batch` and `old_row` (in the pool)
INSERTED, CHANGED, DELETED = "I", "C", "D"


@dataclass(frozen=True)
class Figures:
    """What a push changes, in rows. `absent`: keys it deletes that are not there."""

    inserted: int
    changed: int
    deleted: int
    absent: int

    @property
    def touched(self) -> int:
        """Rows of the version before that are not in the next one."""
        return self.changed + self.deleted


def compute(connection: DuckDBPyConnection, resource: Resource, mode: str, fresh: str, before: str) -> Figures:
    """Fill `temp.difference`.

    Args:
        fresh: accepted rows of the push (`_row`, `_hash`, items, in an incremental one `_op`), as a relation.
        before: the pool's rows (`_batch`, `_row`, `_hash`, items), as a relation.
    """
    keys = [quoted(name) for name in resource.key]
    listed = ", ".join(keys)
    came = f"SELECT {listed}, _row, _hash FROM {fresh}"
    was = f"SELECT {listed}, _batch, _row, _hash FROM {before}"
    if mode == "incremental":
        came += f" WHERE {OPERATION} = {literal(UPSERT)}"
    if mode == "deletions":
        came += " WHERE false"
    if mode != "full":
        was += f" b SEMI JOIN {fresh} f ON {_same(keys, 'f', 'b')}"
    paired = _of_several if resource.duplicates == "allow" else _of_one
    connection.execute(f"CREATE OR REPLACE TEMP TABLE difference AS {paired(keys, came, was)}")
    return _figures(connection, keys, mode, fresh, before)


def _of_one(keys: list[str], came: str, was: str) -> str:
    """Where a key has one row at most."""
    return (
        f"SELECT {_either(keys)}, {_operation()}, f._row AS fresh_row, o._batch AS old_batch, o._row AS old_row "
        f"FROM ({came}) f FULL JOIN ({was}) o ON {_same(keys, 'f', 'o')} WHERE f._hash IS DISTINCT FROM o._hash"
    )


def _of_several(keys: list[str], came: str, was: str) -> str:
    """Equal rows pair off in order; what is left over of a key pairs as a change, and the rest came or went."""
    alike = ", ".join([*keys, "_hash"])
    numbered = "SELECT *, row_number() OVER (PARTITION BY {by} ORDER BY {order}) AS _n FROM ({rows})"
    left = (
        f"SELECT {_either(keys)}, f._row AS fresh_row, o._batch AS old_batch, o._row AS old_row "
        f"FROM ({numbered.format(by=alike, order='_row', rows=came)}) f "
        f"FULL JOIN ({numbered.format(by=alike, order='_batch, _row', rows=was)}) o "
        f"ON {_same([*keys, '_hash', '_n'], 'f', 'o')} WHERE f._row IS NULL OR o._row IS NULL"
    )
    by = ", ".join(keys)
    new = numbered.format(by=by, order="fresh_row", rows="SELECT * FROM _left WHERE old_row IS NULL")
    old = numbered.format(by=by, order="old_batch, old_row", rows="SELECT * FROM _left WHERE fresh_row IS NULL")
    operation = _operation("f.fresh_row", "o.old_row")
    return (
        f"WITH _left AS MATERIALIZED ({left}) SELECT {_either(keys)}, {operation}, f.fresh_row, o.old_batch, o.old_row "
        f"FROM ({new}) f FULL JOIN ({old}) o ON {_same([*keys, '_n'], 'f', 'o')}"
    )


def _figures(connection: DuckDBPyConnection, keys: list[str], mode: str, fresh: str, before: str) -> Figures:
    counts = ", ".join(f"count(*) FILTER (_op = '{operation}')" for operation in (INSERTED, CHANGED, DELETED))
    row = connection.execute(f"SELECT {counts} FROM {TABLE}").fetchone()
    assert row is not None  # noqa: S101 - an aggregate always has a row
    absent = 0
    if mode != "full":
        asked = "" if mode == "deletions" else f" WHERE {OPERATION} = {literal(DELETE)}"
        found = connection.execute(
            f"SELECT count(*) FROM (SELECT * FROM {fresh}{asked}) f ANTI JOIN {before} b ON {_same(keys, 'f', 'b')}"
        ).fetchone()
        absent = found[0] if found else 0
    inserted, changed, deleted = (int(count) for count in row)
    return Figures(inserted, changed, deleted, int(absent))


def _either(keys: list[str]) -> str:
    return ", ".join(f"coalesce(f.{key}, o.{key}) AS {key}" for key in keys)


def _operation(fresh: str = "f._row", old: str = "o._row") -> str:
    return f"CASE WHEN {old} IS NULL THEN '{INSERTED}' WHEN {fresh} IS NULL THEN '{DELETED}' ELSE '{CHANGED}' END AS _op"


def _same(columns: list[str], one: str, other: str) -> str:
    return " AND ".join(f"{one}.{column} IS NOT DISTINCT FROM {other}.{column}" for column in columns)
