"""Some of the keys of a base: what a merge goes through at a time, so that memory is bounded by it.

Invariant: a part is a predicate on one column, so the same statement merges a bucket of all keys or a list of a few.
"""

from dataclasses import dataclass
from typing import Protocol

from exchange.catalogue.sql import quoted
from pools import lake


class Part(Protocol):
    """Some of the keys."""

    def of(self, column: str, *, split_by_it: bool) -> str:
        """Predicate: the key in this column is one of them. `split_by_it`: the table's files are split by this very column."""
        ...


@dataclass(frozen=True)
class Bucket:
    """Bucket `number` of `buckets`, by the hash of the key. NULL is in none."""

    number: int
    buckets: int

    def of(self, column: str, *, split_by_it: bool) -> str:
        return lake.in_bucket(column, self.number, self.buckets, split_by_it=split_by_it)


@dataclass(frozen=True)
class Listed:
    """The keys in the column `_key` of a table."""

    table: str

    def of(self, column: str, *, split_by_it: bool) -> str:  # noqa: ARG002 - few keys, in any file
        return f"{quoted(column)} IN (SELECT _key FROM {self.table})"


def buckets(number: int) -> list[Part]:
    """All keys, in so many buckets."""
    return [Bucket(one, number) for one in range(number)]
