"""One table of golden rows inside the transaction of a build: a base, or a satellite under it, which is merged as a base is.

Invariant: a row follows from the pools in one pass, with what was said otherwise beside it; the conflicts, and what is counted of
them, follow from the rows. The table is either written whole, bucket by bucket, or the rows of the touched keys take the place of
those that were there, merged by the very statement that merges everything; the rest is not written.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseDefinition
from exchange.catalogue.sql import quoted
from pools import contested, lake, survivorship
from pools.part import Listed, Part
from pools.survivorship import Source

Counts = dict[str, int]  # rows, closed, conflicts; of a satellite, orphans
_JOINED = "temp.joined"


@dataclass(frozen=True)
class Last:
    """The build before: the definition it was made by, where it lies, what it was made from and what it has counted."""

    definition: BaseDefinition
    number: int
    snapshot: int
    inputs: dict[str, dict[str, Any]]
    rows: int
    closed: int
    conflicts: int
    satellites: dict[str, Counts]

    def version(self, table: str) -> str:
        """One of its tables, each row with the build that it is of; SQL after FROM."""
        return survivorship.seen(lake.version(table, self.snapshot), self.number)


@dataclass(frozen=True)
class Before:
    """The rows there were: by which definition, and as a relation."""

    definition: BaseDefinition
    relation: str


class Golden:
    """A table of golden rows. `told`: its definition with the fields alone in which sources can differ. `split_by`: the column its
    files are split by, and parts are taken of; another than its key in a satellite: the key of the record that must be there."""

    def __init__(
        self,
        connection: DuckDBPyConnection,
        base: BaseDefinition,
        told: BaseDefinition,
        table: str,
        conflicts: str,
        split_by: str,
    ) -> None:
        self.connection, self.base, self.told = connection, base, told
        self.table, self.conflicts, self.split_by = table, conflicts, split_by
        self.under = split_by != base.key

    @property
    def rows(self) -> str:
        """The table as it is now, as a relation."""
        return f"lake.{quoted(self.table)}"

    @property
    def differing(self) -> str:
        """That of its conflicts."""
        return f"lake.{quoted(self.conflicts)}"

    def whole(self, sources: list[Source], before: Before | None, parts: Iterable[Part], parents: str = "") -> Counts:
        """Write it anew, part by part. `parents`: the base that the rows of a satellite must belong to."""
        counts = {"rows": 0, "closed": 0, "orphans": 0}
        with lake.replacing(self.connection, self.table, self._columns, self.split_by) as rows:
            for part in parts:
                found = self._part(sources, before, part, parents, rows)
                counts = {name: count + found[name] for name, count in counts.items()}
        columns = survivorship.CONFLICT_COLUMNS
        with lake.replacing(self.connection, self.conflicts, columns, "key") as conflicts:
            counts["conflicts"] = self._differ(self.rows, conflicts)
        return counts

    def nobody(self, sources: list[Source], part: Listed, parents: str) -> int:
        """How many of a satellite's rows under these keys are nobody's."""
        _, orphans = self._join(sources, part, parents)
        self._run(f"DROP TABLE {_JOINED}")
        return orphans

    def remake(self, sources: list[Source], before: Before, part: Listed, parents: str = "") -> Counts:
        """Merge the rows under these keys in place of what was there; what the table holds then, and how many are nobody's."""
        held = part.of(self.split_by, split_by_it=True)
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in self._columns.items())
        self._run(f"CREATE OR REPLACE TEMP TABLE remade ({columns})")
        orphans = self._part(sources, before, part, parents, "temp.remade")["orphans"]
        gone = f"SELECT {quoted(self.base.key)} FROM {before.relation} WHERE {held}" if self.under else f"FROM {part.table}"
        self._run(f"DELETE FROM {self.differing} WHERE key IN ({gone})")
        self._run(f"DELETE FROM {self.rows} WHERE {held}")
        self._run(f"INSERT INTO {self.rows} SELECT * FROM temp.remade")
        self._differ("temp.remade", self.differing)
        return self._counts() | {"orphans": orphans}

    def facts(self, satellite: str = "") -> contested.Facts:
        """What was contested, as the build carries it."""
        return contested.facts(self.connection, self.told, self.rows, self.differing, satellite)

    @property
    def _columns(self) -> dict[str, str]:
        return survivorship.base_columns(self.base, self.told)

    def _counts(self) -> Counts:
        rows = self.connection.execute(f"SELECT count(*), count(*) FILTER (_closed) FROM {self.rows}").fetchone()
        assert rows is not None  # noqa: S101 - an aggregate always has a row
        conflicts = self._run(f"SELECT count(*) FROM {self.differing}")
        return {"rows": int(rows[0]), "closed": int(rows[1]), "conflicts": conflicts}

    def _part(self, sources: list[Source], before: Before | None, part: Part, parents: str, into: str) -> Counts:
        """Merge a part into a table that has none of it yet, and close there what no source has any more."""
        joined, orphans = self._join(sources, part, parents)
        opened = self._run(f"INSERT INTO {into} {self._winners(sources, joined)}") if sources else 0
        if self.under:
            self._run(f"DROP TABLE {_JOINED}")
        gone = 0 if before is None else self._close(before, part, into)
        return {"rows": opened + gone, "closed": gone, "orphans": orphans}

    def _close(self, before: Before, part: Part, into: str) -> int:
        """Close what no source has any more: the keys are looked for first, by themselves, for they are few."""
        held, key = part.of(self.split_by, split_by_it=True), quoted(before.definition.key)
        there = f"SELECT 1 FROM {into} j WHERE {held} AND j.{quoted(self.base.key)} = p.{key}"
        missing = f"SELECT {key} AS _key FROM {before.relation} p WHERE {held} AND NOT EXISTS ({there})"
        if not self._run(f"CREATE OR REPLACE TEMP TABLE missing AS {missing}"):
            return 0
        those = Listed("temp.missing").of(before.definition.key, split_by_it=False)
        closed = survivorship.closed(self.base, self.told, before.definition, before.relation, f"{held} AND {those}")
        return self._run(f"INSERT INTO {into} {closed}")

    def _join(self, sources: list[Source], part: Part, parents: str) -> tuple[str, int]:
        """The joined rows as a relation. Those of a satellite are written down, to leave out what is nobody's; how many."""
        if not self.under:
            return f"({self._joined(sources, part)})", 0
        if not sources:
            self._run("CREATE TEMP TABLE joined (_key VARCHAR)")
            return _JOINED, 0
        self._run(f"CREATE TEMP TABLE joined AS {self._joined(sources, part)}")
        places = survivorship.speaking(self.base.fields[0], sources)
        parent = f"COALESCE({', '.join(survivorship.said_column(self.base.fields[0], place) for place in places)})"
        there = part.of(self.split_by, split_by_it=True)
        held = f"SELECT 1 FROM {parents} b WHERE {there} AND b.{quoted(self.split_by)} = {parent}"
        return _JOINED, self._run(f"DELETE FROM {_JOINED} WHERE NOT EXISTS ({held})")

    def _joined(self, sources: list[Source], part: Part) -> str:
        said = [f"({survivorship.candidates(self.base, source, source.within(part))})" for source in sources]
        return survivorship.joined(said)

    def _winners(self, sources: list[Source], joined: str) -> str:
        listed = ", ".join(quoted(name) for name in self._columns)
        winners = f"({survivorship.winners(self.base, self.told, sources, joined)}) w({listed})"
        return f"SELECT * REPLACE ({lake.bucket_of(self.split_by)} AS _bucket) FROM {winners}"

    def _differ(self, rows: str, into: str) -> int:
        """Write down what is said otherwise in these rows; how much."""
        found = survivorship.conflicts(self.told, rows)
        return self._run(f"INSERT INTO {into} {found}") if found else 0

    def _run(self, statement: str) -> int:
        row = self.connection.execute(statement).fetchone()
        return int(row[0]) if row else 0
