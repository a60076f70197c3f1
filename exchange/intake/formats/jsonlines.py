"""JSON Lines: one object a line, UTF-8 or GB18030; its names are the columns, whichever rows have them.

Invariant: a line is a row. What is no object, says a name twice or holds a list where a value belongs carries its
reason in `_broken`; the rows around it stay good. Numbers keep their digits: none passes through floating point.
"""

import re
from pathlib import Path
from typing import BinaryIO

import duckdb
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import literal
from exchange.errors import Unreadable
from exchange.intake.formats import header
from exchange.intake.formats.format import Limits, Shape, copy_rows, select_items
from exchange.intake.formats.text import as_utf8, chunks, nameless

LONGEST = 16 << 20  # bytes of one line
_MOST_NAMES = 4096
_OBJECT = re.compile(rb'(\xef\xbb\xbf)?\s*\{\s*("|\}|$)')
_BOM = "utf-8-sig"


class JsonLines:
    """See the module."""

    def claims(self, head: bytes) -> bool:
        """See `Format`."""
        return _OBJECT.match(head) is not None

    def write_table(
        self,
        connection: DuckDBPyConnection,
        plain: BinaryIO,
        resource: Resource,
        target: Path,
        limits: Limits,  # noqa: ARG002 - text is never longer than the parcel
    ) -> tuple[Shape, int]:
        """See `Format`."""
        with as_utf8(plain, target.parent) as text, nameless(target.parent) as bare:
            file = text.file
            if text.encoding == _BOM:
                _without_bom(file, bare)
                file = bare
            _refuse_spread(file)
            relation = _lines(file)
            names = _names(connection, relation)
            match = header.match(resource, names, row=None)
            shape = Shape("jsonl", len(names), match.columns, match.unknown, text.encoding)
            try:
                return shape, copy_rows(connection, _rows(relation, resource, shape, names), target)
            except (duckdb.Error, UnicodeDecodeError):
                raise _unreadable() from None


def _without_bom(text: BinaryIO, bare: BinaryIO) -> None:
    for number, chunk in enumerate(chunks(text)):
        bare.write(chunk[3:] if number == 0 else chunk)
    bare.flush()


def _refuse_spread(text: BinaryIO) -> None:
    text.seek(0)
    if text.readline(LONGEST).strip() == b"{":
        raise Unreadable(
            "JSON 的一个对象分成了多行；请每行写一个完整的对象（JSON Lines），不要缩进换行",
            "an object of the JSON is spread over several lines; write one whole object a line (JSON Lines), not indented",
        )


def _lines(text: BinaryIO) -> str:
    path = f"/proc/self/fd/{text.fileno()}"
    return f"read_ndjson_objects({literal(path)}, ignore_errors = true, maximum_object_size = {LONGEST})"


def _names(connection: DuckDBPyConnection, relation: str) -> list[str]:
    """Every name that some object uses, in the order of their places."""
    objects = f"(SELECT json_keys(json) AS names FROM {relation} WHERE json_type(json) = 'OBJECT')"
    each = f"(SELECT unnest(names) AS name, generate_subscripts(names, 1) AS place FROM {objects})"
    query = f"SELECT name FROM {each} GROUP BY name ORDER BY min(place), name LIMIT {_MOST_NAMES + 1}"
    try:
        found = connection.execute(query).fetchall()
    except (duckdb.Error, UnicodeDecodeError):
        raise _unreadable() from None
    if len(found) > _MOST_NAMES:
        raise Unreadable(
            f"JSON 的对象共有超过 {_MOST_NAMES} 个不同的名称，不像是同一张表；请检查导出方式",
            f"the objects use more than {_MOST_NAMES} different names: hardly one table; check how they are exported",
        )
    return [str(row[0]) for row in found]


def _rows(relation: str, resource: Resource, shape: Shape, names: list[str]) -> str:
    places = {number: _pointer(names[number]) for number in shape.matched.values()}
    cells = ", ".join(f"json_extract_string(json, {place}) AS c{number}" for number, place in places.items())
    kinds = ", ".join(f"json_type(json, {place})" for place in places.values())
    broken = (
        "CASE WHEN json IS NULL OR json_type(json) <> 'OBJECT' THEN '不是一个完整的 JSON 对象 / not one whole JSON object' "
        "WHEN len(json_keys(json)) <> len(list_distinct(json_keys(json))) "
        "THEN '同一名称出现两次 / a name stands there twice' "
        f"WHEN list_has_any([{kinds}], ['OBJECT', 'ARRAY']) "
        "THEN '值是嵌套的列表或对象，应为普通的值 / a nested list or object where a plain value belongs' END"
    )
    return (
        f"SELECT {select_items(resource, shape)}, _broken, CASE WHEN _broken IS NOT NULL THEN json::VARCHAR END AS _line "
        f"FROM (SELECT json, {cells}, {broken} AS _broken FROM {relation})"
    )


def _pointer(name: str) -> str:
    """A name as a JSON pointer, which takes every character."""
    return literal("/" + name.replace("~", "~0").replace("/", "~1"))


def _unreadable() -> Unreadable:
    return Unreadable(
        f"不是可以逐行读取的 JSON：每行应为一个完整的对象，一行不超过 {LONGEST >> 20} MB",
        f"not JSON that can be read line by line: one whole object a line, a line of at most {LONGEST >> 20} MB",
    )
