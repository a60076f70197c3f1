"""Links between bases: a field of one holds the key of a record of another (法定代表人 → 人口, 持证者 → 人口 or 法人).

Invariant: a link is followed, never copied; it resolves when any of the bases it names has a record of that key, a closed one
too, or one that is answered under another number. What a build counts is as of the builds that it names; what an explanation shows is as of now.
"""

from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.catalogue.model import BaseDefinition, Link
from exchange.catalogue.sql import quoted
from exchange.house import House
from exchange.registry.models import BaseBuild
from pools import aliases, lake, survivorship


@dataclass(frozen=True)
class Target:
    """A base that a link leads to, as a relation; `build`: empty for one that is only being built. `numbers`: those that stand for
    a key of it, as a relation of `alias` and `key`; None: there are none."""

    base: str
    build: str
    relation: str
    key: str
    numbers: str | None = None


@dataclass(frozen=True)
class LinkFollowed:
    """Where one record's link leads: the first base that has the key, and whether that record is closed; None: none has it."""

    field: str
    base: str | None
    closed: bool


def targets(house: House, session: Session, definition: BaseDefinition) -> dict[str, Target | None]:
    """The newest build of every base that is linked to; None where there is none yet."""
    from pools import merge

    names = dict.fromkeys(name for link in definition.links for name in link.base)
    builds = {name: merge.last_build(session, name) for name in names}
    return {name: None if built is None else _of_build(house, built) for name, built in builds.items()}


def _of_build(house: House, built: BaseBuild) -> Target:
    from pools import merge

    key = catalogue.base_at(house, built.base_id, built.base_version).key
    lines = None if built.aliases is None else lake.version(aliases.table(built.base_id), built.snapshot)
    numbers = None if lines is None else f"({aliases.answering(lines)})"
    return Target(built.base_id, built.id, lake.version(merge.table(built.base_id), built.snapshot), key, numbers)


def count(
    connection: DuckDBPyConnection, definition: BaseDefinition, relation: str, found: dict[str, Target | None], buckets: int
) -> dict[str, Any]:
    """For each link: how many open records hold a key, how many of them lead somewhere, and as of which builds.

    Args:
        relation: the base that is being built; where it links to itself, what counts is this.
    """
    counted = {}
    itself = Target(definition.id, "", relation, definition.key)
    found = {name: itself if name == definition.id else target for name, target in found.items()}
    for link in definition.links:
        there = [target for name in link.base if (target := found[name]) is not None]
        rows = [connection.execute(_count(link, relation, there, bucket, buckets)).fetchone() for bucket in range(buckets)]
        whole, resolved = (sum(int(row[place]) for row in rows if row is not None) for place in (0, 1))
        builds = {name: target.build for name in link.base if (target := found[name]) is not None and target.build}
        counted[link.field] = {"resolved": resolved, "unresolved": whole - resolved, "builds": builds}
    return counted


def follow(
    connection: DuckDBPyConnection, definition: BaseDefinition, row: dict[str, Any], found: dict[str, Target | None]
) -> tuple[LinkFollowed, ...]:
    """Where the links of one record lead now; links of fields without a value are left out."""
    return tuple(
        _follow(connection, link, row[link.field], found) for link in definition.links if row.get(link.field) is not None
    )


def _follow(connection: DuckDBPyConnection, link: Link, key: str, found: dict[str, Target | None]) -> LinkFollowed:
    for target in (found[name] for name in link.base):
        if target is None:
            continue
        asked = f"SELECT _closed FROM {target.relation} WHERE {survivorship.is_key(target.key)}"
        record = connection.execute(asked, [key]).fetchone()
        if record is None and target.numbers is not None:
            counts = connection.execute(f"SELECT key FROM {target.numbers} WHERE alias = ?", [key]).fetchone()
            record = None if counts is None else connection.execute(asked, [counts[0]]).fetchone()
        if record is not None:
            return LinkFollowed(link.field, target.base, bool(record[0]))
    return LinkFollowed(link.field, None, closed=False)


def _count(link: Link, relation: str, there: list[Target], bucket: int, buckets: int) -> str:
    """One bucket of keys at a time, as the merge itself goes, so that memory is bounded by it."""
    field = quoted(link.field)
    held = f"SELECT {field} AS held FROM {relation} WHERE NOT _closed AND {lake.in_bucket(link.field, bucket, buckets, split_by_it=False)}"
    known = " UNION ".join(
        f"SELECT {quoted(target.key)} AS held FROM {target.relation} "
        f"WHERE {lake.in_bucket(target.key, bucket, buckets, split_by_it=True)}"
        for target in there
    )
    known += "".join(
        f" UNION SELECT n.alias FROM {target.numbers} n SEMI JOIN {target.relation} r ON r.{quoted(target.key)} = n.key "
        f"WHERE {lake.in_bucket('alias', bucket, buckets, split_by_it=False)}"
        for target in there
        if target.numbers is not None
    )
    if not known:
        return f"SELECT count(*), 0 FROM ({held})"
    return f"SELECT count(*), count(k.held) FROM ({held}) h LEFT JOIN ({known}) k USING (held)"
