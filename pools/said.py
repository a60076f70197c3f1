"""What versions that are no longer kept once said: enough to know when a source first said a value, and nothing else.

Invariant: a line is a keyed digest of key, item and value beside the batch that first said it; no value is kept. What an
aged version said and the next one repeats is not written: the row itself carries its first batch as long as it stays.
"""

from duckdb import DuckDBPyConnection
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.catalogue.lookup import RETIRED, newest_bases
from exchange.catalogue.model import BaseDefinition
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.house import House
from pools import lake
from pools.pool import PoolCommitView, table

_COLUMNS = {"_said": "UBIGINT", "_batch": "BIGINT", "_push": "VARCHAR"}
First = tuple[int, str]  # batch and push


def remember(house: House, session: Session, aged: list[tuple[PoolCommitView, PoolCommitView]]) -> None:
    """Write down what versions of one pool said that the version after each does not repeat.

    Args:
        aged: versions, oldest first, and for each a later one; all still readable.

    Raises:
        Unavailable: the lake failed; nothing was written.
    """
    resource_id = aged[0][0].resource_id
    asked = _asked_for(session, resource_id)
    if not asked:  # no base is made of it, so nobody will ask
        return

    def work(connection: DuckDBPyConnection) -> lake.Facts:
        target = f"lake.{quoted(_table(resource_id))}"
        listed = ", ".join(f"{name} {kind}" for name, kind in _COLUMNS.items())
        connection.execute(f"CREATE TABLE IF NOT EXISTS {target} ({listed})")
        for view, following in aged:
            for part in _lines(house, view, following, asked):
                connection.execute(f"INSERT INTO {target} {part}")
        return {"versions": len(aged)}

    newest = aged[-1][0]
    lake.commit(house, author=f"age:{resource_id}", receipt=f"{newest.receipt}.aged.{len(aged)}", work=work)


def first(
    house: House, connection: DuckDBPyConnection, resource_id: str, item: str, kind: str, key: str, value: str
) -> First | None:
    """The first batch, among versions that are no longer kept, in which a key's item had a value of that type."""
    there = connection.execute(
        "SELECT 1 FROM duckdb_tables() WHERE database_name = 'lake' AND table_name = ?", [_table(resource_id)]
    ).fetchone()
    if there is None:
        return None
    said = _digest(house, "?", literal(item), f"CAST(? AS {kind})", kind)
    found = connection.execute(
        f"SELECT _batch, _push FROM lake.{quoted(_table(resource_id))} WHERE _said = {said} ORDER BY _batch LIMIT 1",
        [key, value],
    ).fetchone()
    return None if found is None else (int(found[0]), str(found[1]))


def _table(resource_id: str) -> str:
    return f"said_{resource_id}"


def _asked_for(session: Session, resource_id: str) -> dict[str, set[str]]:
    """The key items by which bases ask a resource, and the items that they take."""
    asked: dict[str, set[str]] = {}
    for row in newest_bases(session):
        if row.digest == RETIRED:
            continue
        base = BaseDefinition.model_validate(row.definition)
        items = {source.item for field in base.fields for source in field.every_source if source.resource == resource_id}
        for origin in base.key_sources:
            if origin.resource == resource_id:
                asked.setdefault(origin.item, set()).update(items)
    return asked


def _lines(house: House, view: PoolCommitView, following: PoolCommitView, asked: dict[str, set[str]]) -> list[str]:
    """SELECTs, one for each item that this version had."""
    resource = catalogue.resource_at(house, view.resource_id, view.resource_version)
    kinds = {item.name: sql_type(item) for item in resource.items}
    here, there = (lake.version(table(view.resource_id), one.snapshot) for one in (view, following))
    gone = f"{here} v ANTI JOIN (SELECT _batch, _row FROM {there}) n ON v._batch = n._batch AND v._row = n._row"
    return [
        f"SELECT said, min(_batch), arg_min(_push, _batch) FROM (SELECT "
        f"{_digest(house, quoted(key_item), literal(item), quoted(item), kinds[item])} AS said, v._batch, v._push FROM {gone} "
        f"WHERE {quoted(item)} IS NOT NULL AND {quoted(key_item)} IS NOT NULL) GROUP BY said"
        for key_item, items in asked.items()
        for item in sorted(items)
        if key_item in kinds and item in kinds
    ]


def _digest(house: House, key: str, item: str, value: str, kind: str) -> str:
    """SQL: a keyed digest; a number is written the same whatever its decimals."""
    secret = literal(house.seal.derive("what was said").hex())
    text = f"({value})::VARCHAR"
    if kind.startswith("DECIMAL") and not kind.endswith(",0)"):
        text = rf"regexp_replace({text}, '\.?0*$', '')"
    return f"('0x' || left(sha256(concat_ws(chr(31), {secret}, {key}, {item}, {text})), 16))::UBIGINT"
