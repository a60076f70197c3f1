"""Reading what is served: the Reader that delivery asks.

Invariant: one look-up answers all its keys from one version, the served one or the one that was asked for. Which version is served is looked up when the target's folder
was touched, and at least every `refresh` seconds; a version in use stays open until nobody asks for it any more.
"""

import json
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from duckdb import DuckDBPyConnection

from exchange.delivery.mode import Found, Record, Renumbered, SourceRef
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import ServingIndex
from pools import index, lake
from pools.shape import Refs, Shape, earlier

_RefsByBuild = Mapping[int, Mapping[str, Sequence[SourceRef | None]]]

_TRIES = 3  # a version may be swapped twice between asking for it and opening it, hardly more often


@dataclass(frozen=True)
class _Served:
    """One version, open, and when and in which state of its folder it was found to be the one that counts."""

    version: str
    file: index.IndexFile
    refs: _RefsByBuild
    fields: frozenset[str]
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

    def lookup(self, target: str, keys: Sequence[str]) -> Found:
        """What the served version holds for each key.

        Raises:
            NotFound: nothing is served under this target yet.
        """
        served = self._current(target)
        find, fields = served.file.find, served.file.fields
        records = {key: _record(key, find, fields, served.refs) for key in keys}
        return Found(target, served.version, records, served.fields)

    def earlier(self, target: str, keys: Sequence[str], version: str) -> Found:
        """What an earlier version held for each key, read from the lake: a tenth of a second, not for an event loop.

        Raises:
            NotFound: that is no version of this target.
            Unavailable: the lake failed.
        """
        with self._house.registry.session() as session:
            shape = earlier(self._house, session, target, version)
        with lake.opened(self._house) as connection:
            found = _of(connection, shape, list(keys))
            if shape.aliases is not None and (others := [said[0] for said in found.values() if _stands_for_another(said)]):
                found |= _of(connection, shape, others)
        fields, refs = list(shape.columns), _refs(shape.refs)
        records = {key: _record(key, found.get, fields, refs) for key in keys}
        return Found(target, version, records, frozenset(fields))

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
            served = _Served(version, file, _refs(file.refs), frozenset(file.fields), touched, time.monotonic())
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


def _of(connection: DuckDBPyConnection, shape: Shape, keys: list[str]) -> dict[str, list[Any]]:
    asked = f"SELECT key, record FROM ({shape.records}) WHERE list_contains(?, key)"
    return {key: json.loads(record) for key, record in connection.execute(asked, [keys]).fetchall()}


def _stands_for_another(found: list[Any]) -> bool:
    return isinstance(found[0], str)


def _record(key: str, find: Callable[[str], list[Any] | None], fields: list[str], by_build: _RefsByBuild) -> Record | None:
    found, renumbered = find(key), None
    if found is not None and _stands_for_another(found):
        key, renumbered = found[0], Renumbered(*found[1:])
        found = find(key)
    if found is None:
        return None
    closed, build, values, places = found
    refs = by_build[build]
    sources = {
        field: ref
        for field, place in zip(fields, places, strict=True)
        if place is not None and (ref := refs[field][place]) is not None
    }
    return Record(key, dict(zip(fields, values, strict=True)), sources, closed, renumbered)


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
