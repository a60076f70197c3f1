"""One build inside its lake transaction: the base, its satellites, where its links lead, and what was contested.

Invariant: everything is made anew, bucket by bucket, or only what the pools say otherwise (`pools/touched.py`); which of the two, and
why, is part of the build. Both end with the same rows and the same counts, because both merge by the same statements.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseDefinition
from exchange.house import House
from exchange.progress import Progress
from pools import lake, links, part, registered, renumber, satellites
from pools.aliases import Alias
from pools.golden import Before, Golden, Last
from pools.part import Part
from pools.satellites import Inputs
from pools.survivorship import Source
from pools.touched import TOUCHED, WHOLE, Changes


@dataclass(frozen=True)
class Task:
    """What a build is to make. `definition`: in the orders of its day. `sources`: the pools of a base as of some inputs. `facts`: what
    it is made from. `because`: why it must be made whole; None: it need not, as far as is known."""

    definition: BaseDefinition
    table: str
    conflicts: str
    sources: Callable[[Inputs], list[Source]]
    numbers: list[Alias]
    facts: lake.Facts
    linked: dict[str, links.Target | None]
    last: Last | None
    because: str | None


def make(house: House, connection: DuckDBPyConnection, task: Task, progress: Progress) -> lake.Facts:
    """Make it; what the build carries."""
    because = task.because
    if task.last is not None and because is None:
        changes = Changes(connection, task.definition, task.last.inputs, task.facts["inputs"], task.numbers)
        most = min(house.settings.merge_touched, 1 / house.settings.merge_buckets) * task.last.rows
        because = changes.too_many_for(most)
        if because is None:
            return _Touched(house, connection, task, task.last, changes, progress).run()
    return _Whole(house, connection, task, because, progress).run()


class _Making:
    """What both ways share."""

    def __init__(self, house: House, connection: DuckDBPyConnection, task: Task, progress: Progress) -> None:
        self.connection, self.task, self.progress = connection, task, progress
        self.definition, self.inputs, self.numbers = task.definition, task.facts["inputs"], task.numbers
        self.buckets = house.settings.merge_buckets
        definition = task.definition
        self.base = Golden(connection, definition, definition, task.table, task.conflicts, definition.key)
        self.under = satellites.Merging(house, connection, definition, task.last, task.numbers, self.inputs)

    def facts(self, more: lake.Facts) -> lake.Facts:
        """What is counted once everything is there."""
        linked = links.count(self.connection, self.definition, self.base.rows, self.task.linked, self.buckets)
        return self.task.facts | more | {"links": linked, "contested": self.base.facts() + self.under.facts()}


class _Whole(_Making):
    """Everything, bucket by bucket."""

    def __init__(
        self, house: House, connection: DuckDBPyConnection, task: Task, because: str | None, progress: Progress
    ) -> None:
        super().__init__(house, connection, task, progress)
        self.because = because

    def run(self) -> lake.Facts:
        numbers = registered.Numbers(self.connection, self.definition, self.task.sources(self.inputs), self.numbers)
        numbers.keep()
        counts = self.base.whole(numbers.sources, self._before(), self._parts())
        del counts["orphans"]
        self.progress("merge", self.buckets, self.buckets)
        built = {"built": WHOLE, "because": self.because, "touched": None, "unjoined": numbers.unjoined}
        return self.facts(counts | built | {"satellites": self.under.whole(self.base.rows)})

    def _parts(self) -> Iterator[Part]:
        for place, bucket in enumerate(part.buckets(self.buckets)):
            self.progress("merge", place, self.buckets)
            yield bucket

    def _before(self) -> Before | None:
        last = self.task.last
        if last is None:
            return None
        was = renumber.before(self.connection, last.version(self.task.table), last.definition.key, self.numbers)
        return Before(last.definition, was)


class _Touched(_Making):
    """Only what the pools say otherwise than at the last build."""

    def __init__(
        self,
        house: House,
        connection: DuckDBPyConnection,
        task: Task,
        last: Last,
        changes: Changes,
        progress: Progress,
    ) -> None:
        super().__init__(house, connection, task, progress)
        self.last, self.changes = last, changes

    def run(self) -> lake.Facts:
        self.progress("merge", 0, 1)
        # the lake takes a transaction that changed nothing for none, and a build without a snapshot could not be found again
        number = int(self.task.facts["number"])
        self.connection.execute(f"COMMENT ON TABLE {self.base.rows} IS 'build {number}'")
        keys, was = self.changes.keys, self.last.version(self.task.table)
        nobody = self.under.nobody(keys, was, self.last.inputs)  # while the base still is as it was
        counts = {name: getattr(self.last, name) for name in ("rows", "closed", "conflicts")}
        if self.changes.base is not None:
            sources = renumber.sources(self.connection, self.task.sources(self.inputs), self.numbers)
            counts = self.base.remake(sources, Before(self.definition, was), self.changes.base)
            del counts["orphans"]
        parts = self.under.remake(keys, self.base.rows, nobody)
        self.progress("merge", 1, 1)
        built: lake.Facts = {"built": TOUCHED, "because": None, "touched": self.changes.touched, "unjoined": {}}
        return self.facts(counts | built | {"satellites": parts})
