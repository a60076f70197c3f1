"""Older numbers of an entity: rows keyed by 组织机构代码 or 注册号 join their 统一社会信用代码.

Invariant: a number joins the one code that has it, and none where none has it or several have: whether two are one is a person's
word (pools/aliases.py), which comes before what is found here. A 组织机构代码 is the inner part of a code (GB 32100: characters 9
to 17); a 注册号 stands beside one in a pool that holds both. What joined is kept beside the build, so that `explain` need not
look for it.
"""

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseDefinition
from exchange.catalogue.sql import literal, quoted
from pools import aliases, renumber
from pools.aliases import Alias, meaning
from pools.survivorship import Source
from quality.identifiers import org_code

KINDS = ("org_code", "registration_no")


class Numbers:
    """The sources of a base with every row under the number that counts, and what is to be kept of it."""

    def __init__(
        self, connection: DuckDBPyConnection, definition: BaseDefinition, found: list[Source], listed: list[Alias]
    ) -> None:
        self.connection, self.definition, self.listed = connection, definition, listed
        older = [source for source in found if has_older(definition, source)]
        codes = renumber.sources(connection, [source for source in found if source not in older], listed)
        joined = {source.resource.id: self._joined(source, codes) for source in older}
        by_code = {source.resource.id: source for source in codes}
        self.older = older
        self.sources = [(joined | by_code)[source.resource.id] for source in found]
        self.unjoined = {source.resource.id: self._unjoined(source) for source in older}

    def keep(self) -> None:
        """Write down which number stood for which, in the transaction of the build."""
        if not self.listed and not self.older:
            return
        target = aliases.keep(self.connection, self.definition, self.listed)
        for source in self.older:
            self.connection.execute(
                f"INSERT INTO {target} SELECT _number, _key, {literal(source.resource.id)}, {literal(_kind(source))}, NULL, NULL "
                f"FROM {_touched(source)} t SEMI JOIN {source.relation} r ON r.{quoted(source.key_item)} = t._number "
                f"WHERE NOT EXISTS (SELECT 1 FROM {target} k WHERE k.alias = t._number AND k.key = t._key "
                f"AND coalesce(k.resource, {literal(source.resource.id)}) = {literal(source.resource.id)})"
            )

    def _joined(self, source: Source, codes: Sequence[Source]) -> Source:
        renumber.touch(self.connection, "said_by_people", meaning(self.listed, source.resource.id))
        renumber.touch(self.connection, "no_longer_counting", meaning(self.listed, None))
        found = (
            f"SELECT number, any_value(key) FROM ({_pairs(_kind(source), codes)}) WHERE number IS NOT NULL "
            "AND number NOT IN (SELECT _number FROM temp.said_by_people) GROUP BY number HAVING count(DISTINCT key) = 1"
        )
        touched = _touched(source)
        name = touched.removeprefix("temp.")
        self.connection.execute(
            f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT number AS _number, key AS _key FROM ({found}) f(number, key) "
            "UNION ALL SELECT * FROM temp.said_by_people"
        )
        return renumber.joined(self.connection, source, touched)

    def _unjoined(self, source: Source) -> int:
        key = quoted(source.key_item)
        row = self.connection.execute(
            f"SELECT count(*) FROM {source.relation} r ANTI JOIN {_touched(source)} t ON r.{key} = t._number WHERE {key} IS NOT NULL"
        ).fetchone()
        return int(row[0]) if row else 0


def has_older(definition: BaseDefinition, source: Source) -> bool:
    """Whether a source is keyed by an older number than its base."""
    item = source.item(source.key_item)
    return definition.key_identifier == "uscc" and item is not None and item.identifier in KINDS


def _pairs(kind: str, codes: Sequence[Source]) -> str:
    """SQL: every older number of this kind, `number`, with a code that has it, `key`."""
    if kind == "org_code":
        said = [(org_code(quoted(source.key_item)), source) for source in codes]
    else:
        said = [(quoted(i.name), source) for source in codes for i in source.resource.items if i.identifier == kind]
    parts = [
        f"SELECT {number} AS number, {quoted(source.key_item)} AS key FROM {source.relation}" for number, source in said
    ]
    if kind == "org_code":  # inside a code that no longer counts, too
        parts.append(f"SELECT {org_code('_number')} AS number, _key AS key FROM temp.no_longer_counting")
    return " UNION ALL ".join(parts) or "SELECT NULL::VARCHAR AS number, NULL::VARCHAR AS key WHERE false"


def _kind(source: Source) -> str:
    item = source.item(source.key_item)
    return str(item.identifier) if item is not None else ""


def _touched(source: Source) -> str:
    return f"temp.older_{source.resource.id}"
