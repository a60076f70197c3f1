"""Conflicts with their explanation: for every field of a base on which sources differ, how often, and one case of it explained.

Invariant: what is kept (`as_dict`) says who differs from whom since when; values and keys, which may be people's, are for the
terminal alone.
"""

from dataclasses import dataclass
from typing import Any

from exchange import keys
from exchange.catalogue.model import BaseDefinition
from exchange.house import House
from pools import lake, merge, satellites
from pools.contested import Contested, contested
from pools.explain import Explanation, Said, explain
from pools.rows import Word


@dataclass(frozen=True)
class Otherwise:
    """One source that says otherwise of one field: `counted`, how often; `key`, one record of which it does; `counts`, whose word
    counts there, and `differs`, what the source says instead."""

    base: BaseDefinition
    counted: Contested
    key: str
    counts: Said | Word
    differs: Said | Word

    @property
    def field(self) -> str:
        """By its full name."""
        return ".".join(filter(None, (self.counted.satellite, self.counted.field)))

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        of = {"base": self.base.id, "field": self.field, "title": self.counted.title}
        often = {"compared": self.counted.compared, "differing": self.counted.differing}
        return of | often | {"counts": _whose(self.counts), "differs": _whose(self.differs)}


def found(house: House, base: BaseDefinition) -> list[Otherwise]:
    """Of the newest build of a base, in the order of its fields. `base`: as that build had it."""
    return [_explained(house, base, one) for one in contested(house, base.id) if one.differing]


def _explained(house: House, base: BaseDefinition, one: Contested) -> Otherwise:
    row = _one_case(house, base, one)
    key = keys.split(row)[0] if one.satellite else row
    explanation = explain(house, base.id, key, None if one.satellite else one.field)
    counts, others = _of_row(explanation, one, row, base) if one.satellite else _of_record(explanation)
    return Otherwise(base, one, key, counts, next(other for other in others if other.resource == one.resource))


def _one_case(house: House, base: BaseDefinition, one: Contested) -> str:
    """The first key of which this source says otherwise."""
    fields = next((each.fields for each in base.satellites if each.id == one.satellite), base.fields)
    sources = next(field.sources for field in fields if field.name == one.field)
    place = next(at for at, source in enumerate(sources) if (source.resource, source.item) == (one.resource, one.item))
    table = satellites.conflict_table(base.id, one.satellite) if one.satellite else merge.conflict_table(base.id)
    with lake.opened(house) as connection:
        query = f"SELECT min(key) FROM lake.{table} WHERE field = ? AND loser = ?"
        found_ = connection.execute(query, [one.field, place]).fetchone()
    assert found_ is not None  # noqa: S101 - an aggregate always has one
    return str(found_[0])


def _of_record(explanation: Explanation) -> tuple[Said, tuple[Said, ...]]:
    [field] = explanation.fields
    assert field.source is not None  # noqa: S101 - who is contradicted has said something
    return field.source, tuple(other for other in field.others if other.differs)


def _of_row(explanation: Explanation, one: Contested, row: str, base: BaseDefinition) -> tuple[Word, tuple[Word, ...]]:
    own = keys.split(row)[1:]
    names = next(each.key for each in base.satellites if each.id == one.satellite)
    for each in explanation.rows:
        values = {field.field: field for field in each.fields}
        if each.satellite == one.satellite and [values[name].value for name in names] == own:
            source = values[one.field].source
            assert source is not None  # noqa: S101 - as above
            return source, values[one.field].others
    raise AssertionError("a conflict is about a row that there is")


def _whose(word: Said | Word) -> dict[str, Any]:
    since = {"since_batch": word.since_batch} if isinstance(word, Said) else {"batch": word.batch}
    return {"resource": word.resource, "provider": word.provider} | since
