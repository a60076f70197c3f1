"""Rows that are right as they were sent: one cheap test, so that only the rest is normalised and judged rule by rule.

Invariant: the test may doubt a good row, never the reverse. Of a row that passes, normalising changes nothing, `direct` is the
value of every item, and every rule holds (but for key.unique, which is a question to the whole table). Nearly all rows of
nearly all files pass.

A condition is a rule's own predicate, or the quicker one it names, or a pattern that whatever fails it must hold; the
patterns are looked for all at once, in all texts that share them at once.
"""

from collections.abc import Iterator, Sequence

from exchange.catalogue import codes
from exchange.catalogue.model import Item, Resource
from exchange.catalogue.sql import quoted
from quality.normalise import direct, is_free_text, text_of, untouched
from quality.normalise import edges as edge_pattern
from quality.rules import Rule

_BETWEEN = r"\x{1}"  # stands between two texts; a row that holds it itself is doubted for nothing


def doubted(resource: Resource, rules: Sequence[Rule], source: str) -> str:
    """SQL: the rows (`_row`, `_broken`, items as text) of a table of text that do not pass."""
    items = ", ".join(f"{text_of(item)} AS {quoted(item.name)}" for item in resource.items)
    passes = " * ".join(f"coalesce(({condition})::TINYINT, 1)" for condition in _conditions(resource, rules))
    # multiplied, and unnested where one would filter: inside AND and CASE, and in a filter, the engine evaluates again and
    # again what stands in several places
    tested = f"SELECT *, {passes} AS _passes FROM (SELECT _row, _broken, {', '.join(_columns(resource))} FROM {source})"
    kept = "unnest(CASE WHEN _passes = 1 THEN [] ELSE [true] END)"
    return f"(SELECT _row, _broken, {items} FROM (SELECT *, {kept} FROM ({tested})))"


def passed(resource: Resource, source: str, noted: str) -> str:
    """SQL: the rows of the table that are not among the noted ones (a relation with `_row`): `_row` and the items' values."""
    values = ", ".join(f"{direct(item, quoted(item.name))} AS {quoted(item.name)}" for item in resource.items)
    return f"(SELECT _row, {values} FROM {source} ANTI JOIN (SELECT _row FROM {noted}) USING (_row))"


def _columns(resource: Resource) -> Iterator[str]:
    """Every item's value as a rule's predicate names it, and its text where that is another column."""
    for item in resource.items:
        column = quoted(item.name)
        yield f"{direct(item, column)} AS {column}"
        if text_of(item) != column:
            yield f"{column} AS {text_of(item)}"


def _conditions(resource: Resource, rules: Sequence[Rule]) -> Iterator[str]:
    """Each is true or NULL of a row that passes."""
    yield "_broken IS NULL"
    for item in resource.items:
        condition = untouched(item, as_code=item.name in resource.key)
        if condition is not None and not _plain_codes(item, resource):
            yield condition
    yield from dict.fromkeys(rule.quick or rule.predicate for rule in rules if rule.suspect is None)
    for patterns, columns in _texts(resource, rules).items():
        text = columns[0] if len(columns) == 1 else f"concat_ws(chr(1), {', '.join(columns)})"
        yield f"NOT regexp_matches({text}, '{'|'.join(patterns)}')"


def _plain_codes(item: Item, resource: Resource) -> bool:
    """Whether whatever is in its code table is as it should be: then the rule that it is there says it all."""
    if item.code_table is None:
        return False
    return all(
        code.isascii() and code.isprintable() and " " not in code for code in codes.table_of(resource, item.code_table)
    )


def _texts(resource: Resource, rules: Sequence[Rule]) -> dict[tuple[str, ...], list[str]]:
    """Text columns by what must not be found in them."""
    sought: dict[str, list[str]] = {
        quoted(item.name): [edge_pattern(_BETWEEN)]
        for item in resource.items
        if is_free_text(item, as_code=item.name in resource.key)
    }
    for rule in rules:
        if rule.suspect is not None:
            sought.setdefault(quoted(rule.items[0]), []).append(rule.suspect)
    grouped: dict[tuple[str, ...], list[str]] = {}
    for column, patterns in sought.items():
        grouped.setdefault(tuple(patterns), []).append(column)
    return grouped
