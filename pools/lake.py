"""The lake: encrypted tables whose every version is one commit, named by the receipt it came from.

Invariant: a pushed value never reaches the lake's PostgreSQL, neither its tables (triggers blank the statistics before
they are stored) nor its log (the server must not log failing statements), and a commit is found again by its name, so
work that was killed after committing is recognised, not repeated.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import duckdb
import psycopg
import tenacity
from duckdb import DuckDBPyConnection

from exchange.catalogue.sql import literal, quoted
from exchange.errors import SettingError, Unavailable
from exchange.house import House

# Each holds the smallest and largest value of columns, in plain text, unless blanked.
STATISTICS = ("ducklake_file_column_stats", "ducklake_table_column_stats", "ducklake_file_variant_stats")

# What the lake's role must see, so that the server's log never holds a statement with values in it. DuckLake's own
# retries make failing statements a daily matter: two pools committed at once are enough.
SILENT_LOG = {
    "log_min_error_statement": ("fatal", "panic"),
    "log_statement": ("ddl", "none"),
    "log_min_duration_statement": ("-1",),
}

# Files a table version is split into, by the hash of its key: a keyed look-up opens one of them. `_bucket` repeats the
# file's number in each row, so that Parquet's own statistics let a merge skip the other files; both are part of the
# tables' form, so this never changes.
FILES = 8
BUCKET_COLUMN = {"_bucket": "UTINYINT"}

_PREPARING = 0x4C414B45  # one process at a time makes the catalogue
_TRIES = 8
_AT_ONCE = 500  # snapshots forgotten in one statement
_CLOCKS_DIFFER = timedelta(hours=1)  # at most, the server's and this machine's

Facts = dict[str, Any]
Work = Callable[[DuckDBPyConnection], Facts]


@dataclass(frozen=True)
class Commit:
    """A lake snapshot and the facts it was committed with (counts and ids, never a value)."""

    receipt: str
    snapshot: int
    facts: Facts


def prepare(house: House) -> None:
    """Make the lake's catalogue and the triggers that keep values out of it. Idempotent; cheap when done before.

    Raises:
        SettingError: the server would log failing statements, which hold values; says what its administrator runs.
        Unavailable: the lake's database does not answer.
    """
    address = house.databases.lake
    try:
        with psycopg.connect(address.url(), autocommit=True) as connection:
            _refuse_a_talkative_log(connection, address.user)
            if _blanked(connection):
                return
            connection.execute("SELECT pg_advisory_lock(%s)", (_PREPARING,))  # freed when the connection ends
            with house.lake():
                pass  # attaching makes DuckLake create its tables
            _blank(connection)
    except psycopg.OperationalError as error:
        raise Unavailable(
            f"湖的目录数据库（{address.host}:{address.port}）没有应答",
            f"the lake's catalogue database at {address.host}:{address.port} does not answer: {type(error).__name__}",
        ) from None


@contextmanager
def opened(house: House) -> Iterator[DuckDBPyConnection]:
    """A prepared lake, for reading. Errors of the engine come out without the values they may quote.

    Raises:
        Unavailable: the engine failed; its class is named.
    """
    prepare(house)
    with without_values("读取", "reading"), house.lake() as connection:
        yield connection


def commit(house: House, *, author: str, receipt: str, work: Work) -> Commit:
    """Do `work` in one lake transaction named `receipt`; what it returns is kept beside the commit.

    A commit of that name that is already there is returned instead. Conflicts with other writers are tried again,
    `work` included.

    Raises:
        Unavailable: the engine failed or conflicts did not end; nothing was committed.
    """
    prepare(house)
    with without_values("提交", "committing"):
        return _retrying()(_commit_once, house, author, receipt, work)


def _retrying() -> tenacity.Retrying:
    """Conflicts with other writers are tried again."""
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(duckdb.TransactionException),
        stop=tenacity.stop_after_attempt(_TRIES),
        wait=tenacity.wait_random_exponential(multiplier=0.05, max=2),
        reraise=True,
    )


def _commit_once(house: House, author: str, receipt: str, work: Work) -> Commit:
    with house.lake() as connection:
        found = find(connection, receipt)
        if found is not None:
            return found
        connection.execute("SET preserve_insertion_order = false")  # no table of the lake has an order of its own
        connection.execute("BEGIN")
        facts = work(connection)
        connection.execute(
            f"CALL lake.set_commit_message({literal(author)}, {literal(receipt)}, extra_info => {literal(json.dumps(facts))})"
        )
        connection.execute("COMMIT")  # a connection closed without it rolls back
        row = connection.execute("SELECT id FROM lake.last_committed_snapshot()").fetchone()
        # a transaction that changed nothing is no snapshot, and could not be found by its name again: no work may be such
        assert row is not None and row[0] is not None, "the work of a commit changed nothing"  # noqa: S101, PT018
        return Commit(receipt, row[0], facts)


def expire(house: House, *, keep: set[int], before: datetime) -> int:
    """Forget every snapshot from before a moment that is not to be kept; how many. Their files are listed, and go later.

    Raises:
        Unavailable: the engine failed; what was forgotten before stays forgotten.
    """
    with without_values("清理", "cleaning"), house.lake() as connection:
        rows = connection.execute("SELECT snapshot_id FROM lake.snapshots() WHERE snapshot_time < ?", [before]).fetchall()
        newest = connection.execute("SELECT max(snapshot_id) FROM lake.snapshots()").fetchone()
    old = sorted({int(row[0]) for row in rows} - keep - {newest[0] if newest else 0})
    for start in range(0, len(old), _AT_ONCE):
        listed = ", ".join(map(str, old[start : start + _AT_ONCE]))
        with without_values("清理", "cleaning"):
            _retrying()(_call, house, f"ducklake_expire_snapshots('lake', versions => [{listed}])")
    return len(old)


def clean(house: House, *, before: datetime) -> tuple[int, int]:
    """Remove files that were listed before a moment, and those that no commit has ever named; how many of either.

    A transaction at work writes files that nothing names yet: none is touched that is as young as the oldest transaction.

    Raises:
        Unavailable: the engine failed; the next run goes on.
    """
    with without_values("清理", "cleaning"):
        listed = _retrying()(_call, house, f"ducklake_cleanup_old_files('lake', older_than => {_moment(before)})")
        until = min(before, _oldest_work(house) or before)
        orphaned = _retrying()(_call, house, f"ducklake_delete_orphaned_files('lake', older_than => {_moment(until)})")
    return listed, orphaned


def _call(house: House, function: str) -> int:
    with house.lake() as connection:
        return len(connection.execute(f"CALL {function}").fetchall())


def _oldest_work(house: House) -> datetime | None:
    """When the oldest transaction began that now works on the lake, by the server's clock, less what clocks may differ."""
    with psycopg.connect(house.databases.lake.url(), autocommit=True) as connection:
        row = connection.execute(
            "SELECT min(xact_start) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    return None if row is None or row[0] is None else row[0] - _CLOCKS_DIFFER


def _moment(when: datetime) -> str:
    return f"TIMESTAMPTZ {literal(when.isoformat())}"


def snapshot_of(connection: DuckDBPyConnection, receipt: str) -> int | None:
    """The snapshot committed under this name."""
    found = find(connection, receipt)
    return found.snapshot if found else None


def find(connection: DuckDBPyConnection, receipt: str) -> Commit | None:
    """The commit of this name."""
    row = connection.execute(
        "SELECT snapshot_id, commit_extra_info FROM lake.snapshots() WHERE commit_message = ?", [receipt]
    ).fetchone()
    return Commit(receipt, row[0], json.loads(row[1])) if row else None


def by_author(connection: DuckDBPyConnection, author: str) -> list[Commit]:
    """All commits of one author, oldest first."""
    rows = connection.execute(
        "SELECT commit_message, snapshot_id, commit_extra_info FROM lake.snapshots() WHERE author = ? ORDER BY snapshot_id",
        [author],
    ).fetchall()
    return [Commit(receipt, snapshot, json.loads(extra)) for receipt, snapshot, extra in rows]


@contextmanager
def replacing(
    connection: DuckDBPyConnection, table: str, columns: dict[str, str], bucketed_by: str | None = None
) -> Iterator[str]:
    """Inside a transaction: a new, empty table to fill, which takes the name `table` at the end of the block.

    The old version stays readable inside the transaction (a DELETE would hide it even from `AT (VERSION …)`), and a
    version may have other columns than the one before.
    """
    draft, kept = f"lake.{quoted(table + '__next')}", f"lake.{quoted(table)}"
    listed = ", ".join(f"{quoted(name)} {kind}" for name, kind in columns.items())
    connection.execute(f"CREATE TABLE {draft} ({listed})")
    if bucketed_by is not None:
        connection.execute(f"ALTER TABLE {draft} SET PARTITIONED BY (bucket({FILES}, {quoted(bucketed_by)}))")
    yield draft
    connection.execute(f"DROP TABLE IF EXISTS {kept}")
    connection.execute(f"ALTER TABLE {draft} RENAME TO {quoted(table)}")


def hashed(column: str) -> str:
    """The hash (SQL, not negative) by which DuckLake's `bucket` splits text."""
    return hashed_sql(quoted(column))


def hashed_sql(expression: str) -> str:
    """The same of an expression."""
    return f"(murmur3_32(({expression})::VARCHAR) & 2147483647)"


def bucket_of(column: str) -> str:
    """What belongs into `_bucket` (SQL)."""
    return f"({hashed(column)} % {FILES})::UTINYINT"


def in_bucket(column: str, bucket: int, buckets: int, *, split_by_it: bool) -> str:
    """Predicate: this key is in bucket `bucket` of `buckets`. NULL is in none. `split_by_it`: the table's files are split
    by this very column, so whole files are skipped."""
    exactly = f"{hashed(column)} % {buckets} = {bucket}"
    if not split_by_it:
        return exactly
    if FILES % buckets == 0:
        return f"_bucket IN ({', '.join(str(file) for file in range(bucket, FILES, buckets))})"
    return f"_bucket = {bucket % FILES} AND {exactly}" if buckets % FILES == 0 else exactly


def version(table: str, snapshot: int) -> str:
    """SQL after FROM: a table as it was at a snapshot."""
    return f"(SELECT * FROM lake.{quoted(table)} AT (VERSION => {int(snapshot)}))"


@contextmanager
def without_values(zh: str, en: str) -> Iterator[None]:
    """Engine errors quote values and whole statements; only their class may leave.

    Raises:
        Unavailable: in place of the engine's error.
    """
    try:
        yield
    except duckdb.Error as error:
        raise Unavailable(
            f"湖{zh}失败（{type(error).__name__}），没有改动，可以重试",
            f"{en} the lake failed ({type(error).__name__}); nothing changed, try again",
            engine=type(error).__name__,
        ) from None


def _refuse_a_talkative_log(connection: psycopg.Connection[Any], role: str) -> None:
    wrong = []
    for name, allowed in SILENT_LOG.items():
        row = connection.execute("SELECT current_setting(%s)", (name,)).fetchone()
        if row is None or row[0] not in allowed:
            wrong.append(f"ALTER ROLE {role} SET {name} = '{allowed[-1]}'")
    if wrong:
        statements = "; ".join(wrong)
        raise SettingError(
            f"PostgreSQL 会把失败的语句连同其中的个人数据写进日志。请数据库管理员执行：{statements}",
            f"PostgreSQL would write failing statements, with personal values in them, to its log. "
            f"Have its administrator run: {statements}",
        )


def _blanked(connection: psycopg.Connection[Any]) -> bool:
    row = connection.execute(
        "SELECT count(*) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE tgname = 'exchange_blank_statistics' AND relname = ANY(%s)",
        (list(STATISTICS),),
    ).fetchone()
    return row is not None and row[0] == len(STATISTICS)


def _blank(connection: psycopg.Connection[Any]) -> None:
    with connection.transaction():
        connection.execute(
            """
            CREATE OR REPLACE FUNCTION exchange_blank_statistics() RETURNS trigger LANGUAGE plpgsql AS $$
            BEGIN
                NEW.min_value := NULL;
                NEW.max_value := NULL;
                NEW.extra_stats := NULL;
                RETURN NEW;
            END $$
            """
        )
        for table in STATISTICS:
            connection.execute(
                f"CREATE OR REPLACE TRIGGER exchange_blank_statistics BEFORE INSERT OR UPDATE ON {table} "
                "FOR EACH ROW EXECUTE FUNCTION exchange_blank_statistics()"
            )
