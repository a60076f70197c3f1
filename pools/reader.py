"""Reading what is served: the Reader that delivery asks.

Invariant: one look-up answers all its keys from one version, the served one or the one that was asked for. Which version is served is looked up when the target's folder
was touched, and at least every `refresh` seconds; a version in use stays open until nobody asks for it any more.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from exchange.delivery.mode import Found, Json, Record, Renumbered, Row, SourceRef
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import ServingIndex
from pools import index, lake
from pools.shape import Refs, Under, earlier

_RefsByBuild = Mapping[int, Mapping[str, Sequence[SourceRef | None]]]

_TRIES = 3  # a version may be swapped twice between asking for it and opening it, hardly more often


@dataclass(frozen=True)
class _Served:
    """One version, open, and when and in which state of its folder it was found to be the one that counts."""

    version: str
    file: index.IndexFile
    form: "_Form"
    touched: int
    asked: float


class IndexReader:
    """Satisfies exchange.delivery.mode.Reader. One per process, for all threads."""

    def __init__(self, house: House, refresh: float = 1.0) -> None:
        self._house = house
        self._refresh = refresh
        self._root = str(house.settings.folder("index"))
        self._served: dict[str, _Served] = {}
        self._lock = threading.Lock()

    def lookup(self, target: str, keys: Sequence[str], satellites: Sequence[str] = ()) -> Found:
        """What the served version holds for each key, and which rows of these satellites are under it.

        Raises:
            NotFound: nothing is served under this target yet.
        """
        served = self._current(target)
        file = served.file
        records = {key: _record(key, file.find, file.under, served.form, satellites) for key in keys}
        return Found(target, served.version, records, served.form.every)

    def earlier(self, target: str, keys: Sequence[str], version: str, satellites: Sequence[str] = ()) -> Found:
        """What an earlier version held for each key, read from the lake: a tenth of a second, not for an event loop.

        Raises:
            NotFound: that is no version of this target.
            Unavailable: the lake failed.
        """
        with self._house.registry.session() as session:
            shape = earlier(self._house, session, target, version)
        with lake.opened(self._house) as connection:
            found = dict(_of(connection, shape.records, list(keys)))
            if shape.aliases is not None and (others := [said[0] for said in found.values() if _stands_for_another(said)]):
                found |= _of(connection, shape.records, others)
            rows = {name: _rows(connection, shape.satellites.get(name), list(found)) for name in satellites}
        under = {name: (list(one.columns), one.refs) for name, one in shape.satellites.items()}
        form = _form(list(shape.columns), shape.refs, under)
        records = {
            key: _record(key, found.get, lambda key, name: rows[name].get(key, []), form, satellites) for key in keys
        }
        return Found(target, version, records, form.every)

    def _current(self, target: str) -> _Served:
        served = self._served.get(target)
        touched = _touched(f"{self._root}/{target}")
        if served is not None and served.touched == touched and time.monotonic() - served.asked < self._refresh:
            return served
        with self._lock:
            return self._ask(target, touched)

    def _ask(self, target: str, touched: int) -> _Served:
        """Ask the control database which version counts, and have it open."""
        for _ in range(_TRIES):
            version, path = self._row(target)
            known = self._served.get(target)
            try:
                file = known.file if known and known.version == version else index.IndexFile(path, self._house.seal)
            except FileNotFoundError:
                continue
            form = known.form if known and known.file is file else _form(file.fields, file.refs, file.satellites)
            served = _Served(version, file, form, touched, time.monotonic())
            self._served[target] = served  # the one before closes when its last look-up lets go of it
            return served
        raise NotFound(
            f"{target} 的索引文件不在数据目录里，请重新生成：exchange build 或 exchange process",
            f"the index file of {target} is not in the data folder; make it again: exchange build or exchange process",
            target=target,
        )

    def _row(self, target: str) -> tuple[str, Path]:
        with self._house.registry.session() as session:
            row = session.get(ServingIndex, target)
            if row is None:
                raise NotFound(f"{target} 还没有可供查询的版本", f"{target} has no version to serve yet", target=target)
            return row.version, self._house.settings.root / row.path


def _of(connection: DuckDBPyConnection, records: str, keys: list[str]) -> Iterator[tuple[str, list[Any]]]:
    asked = f"SELECT key, record FROM ({records}) WHERE list_contains(?, key)"
    return ((key, json.loads(record)) for key, record in connection.execute(asked, [keys]).fetchall())


def _rows(connection: DuckDBPyConnection, under: Under | None, keys: list[str]) -> dict[str, list[list[Any]]]:
    """The rows under each key, in order; none in a version that does not have the satellite."""
    rows: dict[str, list[list[Any]]] = {}
    for key, row in () if under is None else _of(connection, under.records, keys):
        rows.setdefault(key, []).append(row)
    return {key: sorted(found, key=index.row_key) for key, found in rows.items()}


def _stands_for_another(found: list[Any]) -> bool:
    return isinstance(found[0], str)


def _record(
    key: str,
    find: Callable[[str], list[Any] | None],
    under: Callable[[str, str], list[list[Any]]],
    form: "_Form",
    satellites: Sequence[str],
) -> Record | None:
    found, renumbered = find(key), None
    if found is not None and _stands_for_another(found):
        key, renumbered = found[0], Renumbered(*found[1:])
        found = find(key)
    if found is None:
        return None
    closed, *said = found
    rows = {name: [_row(line, form.satellites[name]) for line in under(key, name)] for name in satellites}
    return Record(key, *_said(form.own, *said), closed, renumbered, rows)


def _row(line: list[Any], part: "_Part") -> Row:
    _, closed, *said = line
    return Row(*_said(part, *said), closed)


def _said(
    part: "_Part", build: int, values: list[Json], places: list[int | None]
) -> tuple[dict[str, Json], dict[str, SourceRef]]:
    """Values by field, and who said them."""
    fields, by_build = part
    refs = by_build[build]
    sources = {
        field: ref
        for field, place in zip(fields, places, strict=True)
        if place is not None and (ref := refs[field][place]) is not None
    }
    return dict(zip(fields, values, strict=True)), sources


_Part = tuple[list[str], _RefsByBuild]  # the fields in their order, and who stood at each place of each


@dataclass(frozen=True)
class _Form:
    """How a version is written: its own fields and those of its satellites. `every`: all of them by name."""

    own: _Part
    satellites: Mapping[str, _Part]
    every: frozenset[str]


def _form(fields: list[str], refs: Refs, satellites: Mapping[str, tuple[list[str], Refs]]) -> _Form:
    every = [*fields, *(f"{name}.{own}" for name, (owns, _) in satellites.items() for own in owns)]
    parts = {name: (owns, _refs(said)) for name, (owns, said) in satellites.items()}
    return _Form((fields, _refs(refs)), parts, frozenset(every))


def _refs(refs: Refs) -> _RefsByBuild:
    return {
        int(build): {field: [None if ref is None else _ref(ref) for ref in said] for field, said in fields.items()}
        for build, fields in refs.items()
    }


def _ref(facts: Mapping[str, Any]) -> SourceRef:
    return SourceRef(
        resource=facts["resource"],
        department=facts["department"],
        provider=facts["provider"],
        push=facts["push"],
        batch=facts["batch"],
        source_date=facts["source_date"],
    )


def _touched(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116  a Path would cost as much as the whole look-up
    except FileNotFoundError:
        return 0
