"""What a build makes anew: the keys of which a pool says something else than at the last build (`touched`), or everything (`whole`).

Invariant: a record follows from the rows that the pools hold under its key, the definition, the orders of authority of its day and
the numbers that stand for others, and from nothing else. So where all but the rows is as it was, a key of which no row came or
went has the very record it had. Which rows did, the lake itself says (its change feed); where it can't, because a pool was
written anew or a version between is gone, and wherever anything else may matter, everything is made anew, and the build says why.
"""

from collections.abc import Iterable
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from exchange.catalogue.model import BaseDefinition, FieldSource
from exchange.catalogue.sql import literal, quoted
from exchange.house import House
from exchange.registry.models import BaseBuild
from pools import authority, lake, pool, renumber
from pools.aliases import Alias, meaning
from pools.part import Listed

WHOLE, TOUCHED = "whole", "touched"
Inputs = dict[str, dict[str, Any]]

# Every touched build leaves small files and deleted rows behind it, which every reader pays for; so the base is written whole
# again after so many, or when so large a share of its rows was replaced. The same bounds as a pool's (pools/pool.py).
MOST_IN_A_ROW = 16
MOST_REPLACED = 0.30


def whole_because(
    house: House,
    session: Session,
    definition: BaseDefinition,
    facts: lake.Facts,
    last: BaseBuild | None,
    *,
    older_numbers: bool,
) -> str | None:
    """Why a build must make everything anew, as far as the control database knows; None: it need not.

    Args:
        definition: in the orders of authority of the build's day.
        older_numbers: a source is keyed by numbers that join a code: any row of another may join or part them.
    """
    if last is None or last.built is None:
        return "first"
    if house.settings.merge_touched == 0:
        return "set"
    reasons = {
        "definition": last.base_version != definition.version,
        "authority": authority.definition_of(house, last) != definition,
        "sources": _versions(last.inputs) != _versions(facts["inputs"]),
        "aliases": last.aliases != facts["aliases"],
        "older-numbers": older_numbers,
        "often": _often(session, last),
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _versions(inputs: Inputs) -> dict[str, int]:
    """Which resources feed a build, each by which version of its definition."""
    return {name: facts["resource_version"] for name, facts in inputs.items()}


def _often(session: Session, last: BaseBuild) -> bool:
    """Whether the base was made in part so often, or of so many rows, that it is to be written whole again."""
    mine = BaseBuild.base_id == last.base_id
    whole = session.scalar(select(func.max(BaseBuild.number)).where(mine, BaseBuild.built == WHOLE)) or 0
    since = select(func.count(), func.sum(BaseBuild.touched)).where(mine, BaseBuild.number > whole)
    times, keys = session.execute(since).one()
    return times >= MOST_IN_A_ROW or int(keys or 0) > MOST_REPLACED * last.rows


class Changes:
    """Which keys the pools touch since the last build, inside the transaction of this one: those of the base (`base`; None: none)
    and, by satellite, of the records whose rows must be looked at (`keys`)."""

    def __init__(
        self, connection: DuckDBPyConnection, definition: BaseDefinition, then: Inputs, now: Inputs, numbers: list[Alias]
    ) -> None:
        self.connection, self.definition, self.numbers = connection, definition, numbers
        spans = {name: (then[name]["snapshot"], now[name]["snapshot"]) for name in now}
        self.changed = {name: span for name, span in spans.items() if span[0] != span[1]}
        self.base: Listed | None = None
        self.keys: dict[str, Listed] = {}
        self.touched = 0

    def too_many_for(self, most: float) -> str | None:
        """Find them. Why they can't be made anew by themselves: the feed does not have them all, or they are more than `most`."""
        if not all(self._read(name, *span) for name, span in self.changed.items()):
            return "pool-anew"
        base, self.touched = self._listed("touched", self.definition.key_sources)
        self.base = base if self.touched else None
        counted = [self.touched]
        for each in self.definition.satellites:  # a record that appears takes in rows that were nobody's
            listed, count = self._listed(f"touched_{each.id}", each.parent_sources, also=base)
            counted.append(count)
            if count:
                self.keys[each.id] = listed
        return "many" if max(counted) > most else None

    def _read(self, name: str, then: int, now: int) -> bool:
        """Take the keys of a pool out of the feed; False: it does not have them all."""
        first = _first_in_place(lake.by_author(self.connection, pool.author(name)), then, now)
        if first is None:
            return False
        items = sorted({origin.item for origin in self.definition.origins if origin.resource == name})
        feed = f"lake.table_changes({literal(pool.table(name))}, {first}, {now})"
        listed = ", ".join(map(quoted, items))
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {_table(name)} AS SELECT DISTINCT {listed} FROM {feed}")
        return True

    def _listed(self, name: str, origins: Iterable[FieldSource], also: Listed | None = None) -> tuple[Listed, int]:
        """The keys under the numbers that count, and how many. `also`: others that are to be among them."""
        parts = [self._keys(origin) for origin in origins if origin.resource in self.changed]
        parts += [f"SELECT _key FROM {also.table}"] if also is not None else []
        union = " UNION ALL ".join(parts) or "SELECT NULL::VARCHAR AS _key"
        done = self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT DISTINCT _key FROM ({union}) WHERE _key IS NOT NULL"
        ).fetchone()
        return Listed(f"temp.{name}"), int(done[0]) if done else 0

    def _keys(self, origin: FieldSource) -> str:
        key, told = f"c.{quoted(origin.item)}", meaning(self.numbers, origin.resource)
        if not told:
            return f"SELECT {key} AS _key FROM {_table(origin.resource)} c"
        numbers = renumber.touch(self.connection, f"told_{origin.resource}", told)
        joined = f"{_table(origin.resource)} c LEFT JOIN {numbers} t ON {key} = t._number"
        return f"SELECT coalesce(t._key, {key}) AS _key FROM {joined}"


def _table(resource_id: str) -> str:
    return f"temp.changed_{resource_id}"


def _first_in_place(commits: list[lake.Commit], then: int, now: int) -> int | None:
    """The first snapshot after `then` that changed a pool, when each one up to `now` changed it in place (pools/pool.py counts
    them, from the one that wrote it anew); None when one of them wrote it anew, or is gone."""
    between = [done for done in commits if then <= done.snapshot <= now]
    if len(between) < 2 or (between[0].snapshot, between[-1].snapshot) != (then, now):
        return None
    counted = [int(done.facts.get("small", 0)) for done in between]
    return between[1].snapshot if counted == list(range(counted[0], counted[0] + len(counted))) else None
