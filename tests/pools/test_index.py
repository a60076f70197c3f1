"""The serving index and its reader: what was merged comes out by key, from one version, and nothing of it is readable on disk."""

import threading
from datetime import date
from decimal import Decimal

import pytest

from exchange.catalogue.model import BaseDefinition, BaseField, DataType, FieldSource
from exchange.delivery.mode import Record, SourceRef
from exchange.errors import NotFound
from exchange.house import House
from exchange.registry.models import ServingIndex
from pools import index, merge
from pools.reader import IndexReader
from tests.pools.given import DEPARTMENT_CODES, entered, item, pooled, resource

PAYERS = resource(
    "payers",
    (
        item("uscc", identifier="uscc"),
        item("name"),
        item("capital", DataType.NUMBER, length=18, scale=6),
        item("since", DataType.DATE),
        item("updated", DataType.TIMESTAMP, is_timestamp=True),
        item("active", DataType.BOOLEAN),
        item("staff", DataType.INTEGER),
    ),
    ("uscc",),
    "人社局",
)


def source(push: str, batch: int, day: str = "2026-11-01") -> SourceRef:
    return SourceRef("payers", DEPARTMENT_CODES["人社局"], "人社局", push, batch, day)


def test_a_pool_is_served_with_every_type_as_json(house: House) -> None:
    entered(house, PAYERS)
    row = {
        "uscc": "91A",
        "name": '引号"制表\t换行\n',
        "capital": Decimal("123456789012.000001"),
        "since": date(2020, 2, 29),
        "updated": "2026-01-02 03:04:05",
        "active": True,
        "staff": 7,
    }
    push = pooled(house, PAYERS, 1, [row, {"uscc": "91B"}])
    assert index.swap(house, "pool:payers") == push
    found = IndexReader(house).lookup("pool:payers", ["91A", "91B", "91C"])
    assert (found.target, found.version) == ("pool:payers", push)
    everything = dict.fromkeys(row, source(push, 1))
    assert found.records == {
        "91A": Record(
            "91A",
            {
                "uscc": "91A",
                "name": '引号"制表\t换行\n',
                "capital": "123456789012.000001",
                "since": "2020-02-29",
                "updated": "2026-01-02T03:04:05",
                "active": True,
                "staff": 7,
            },
            everything,
        ),
        "91B": Record("91B", dict.fromkeys(row, None) | {"uscc": "91B"}, everything),
        "91C": None,
    }


def test_a_composite_key_is_asked_for_with_bars(house: House) -> None:
    permits = resource("permits", (item("office"), item("number", DataType.INTEGER), item("what")), ("office", "number"))
    entered(house, permits)
    pooled(house, permits, 1, [{"office": "甲", "number": 7, "what": "餐饮"}])
    index.swap(house, "pool:permits")
    found = IndexReader(house).lookup("pool:permits", ["甲|7", "甲|8"])
    assert {key: record and record.values["what"] for key, record in found.records.items()} == {
        "甲|7": "餐饮",
        "甲|8": None,
    }


def test_of_several_rows_of_a_key_the_newest_is_served(house: House) -> None:
    visits = resource(
        "visits", (item("id"), item("at", DataType.TIMESTAMP, is_timestamp=True)), ("id",), duplicates="allow"
    )
    entered(house, visits)
    pooled(house, visits, 1, [{"id": "1", "at": "2026-01-01"}, {"id": "1", "at": "2026-03-01"}, {"id": "1", "at": None}])
    index.swap(house, "pool:visits")
    record = IndexReader(house).lookup("pool:visits", ["1"]).records["1"]
    assert record is not None
    assert record.values["at"] == "2026-03-01T00:00:00"


POLICE = resource("police", (item("id", identifier="resident_number"), item("name")), ("id",), "公安局")
CIVIL = resource("civil", (item("id", identifier="resident_number"), item("name"), item("tel")), ("id",), "民政局")
PEOPLE = BaseDefinition(
    id="people",
    version=1,
    title="人口",
    key="id",
    key_identifier="resident_number",
    key_sources=(FieldSource(resource="police", item="id"), FieldSource(resource="civil", item="id")),
    fields=tuple(
        BaseField(name=name, title=name, type=DataType.TEXT, sources=tuple(FieldSource(resource=r, item=i) for r, i in of))
        for name, of in {"name": [("police", "name"), ("civil", "name")], "tel": [("civil", "tel")]}.items()
    ),
)


def test_every_field_of_a_base_names_who_said_it_and_a_closed_key_who_said_it_last(house: House) -> None:
    entered(house, POLICE, CIVIL, PEOPLE)
    first = pooled(house, POLICE, 1, [{"id": "1", "name": "张三"}, {"id": "2", "name": None}])
    civil = pooled(house, CIVIL, 1, [{"id": "2", "name": "李四", "tel": "139"}])
    assert merge.build(house, "people") is not None
    second = pooled(house, POLICE, 2, [{"id": "2", "name": None}])
    built = merge.build(house, "people")
    assert built is not None
    assert index.swap(house, "base:people") == built.id

    def said(resource_: str, department: str, push: str, batch: int) -> SourceRef:
        return SourceRef(resource_, DEPARTMENT_CODES[department], department, push, batch, "2026-11-01")

    police, police_now, stand_in = (
        said("police", "公安局", first, 1),
        said("police", "公安局", second, 2),
        said("civil", "民政局", civil, 1),
    )
    assert IndexReader(house).lookup("base:people", ["1", "2"]).records == {
        "1": Record("1", {"id": "1", "name": "张三", "tel": None}, {"id": police, "name": police}, closed=True),
        "2": Record("2", {"id": "2", "name": "李四", "tel": "139"}, {"id": police_now, "name": stand_in, "tel": stand_in}),
    }


def test_an_earlier_version_answers_as_it_did_when_it_was_served(house: House) -> None:
    entered(house, POLICE, CIVIL, PEOPLE)
    reader = IndexReader(house, refresh=0)
    keys = ["1", "2", "3", "nobody"]
    served = []
    for batch, names in enumerate([{"1": "张三", "2": "李四"}, {"2": "李思", "3": None}, {"1": "张三"}], 1):
        pooled(house, POLICE, batch, [{"id": key, "name": name} for key, name in names.items()])
        pooled(house, CIVIL, batch, [{"id": "3", "name": f"王{batch}", "tel": str(batch)}])
        merge.build(house, "people")
        for target in ("pool:police", "pool:civil", "base:people"):
            index.swap(house, target)
            served.append(reader.lookup(target, keys))
    assert [reader.earlier(found.target, keys, found.version) for found in served] == served
    assert len({str(found.records) for found in served}) == 9  # each version says something of its own


def test_what_is_no_version_of_the_target_is_named(house: House) -> None:
    entered(house, POLICE, CIVIL, PEOPLE)
    push = pooled(house, CIVIL, 1, [{"id": "1"}])
    pooled(house, POLICE, 1, [{"id": "1"}])
    built = merge.build(house, "people")
    assert built is not None
    reader = IndexReader(house)
    for target, version in [("pool:police", push), ("pool:police", built.id), ("base:people", push)]:
        with pytest.raises(NotFound, match=f"{target} has no such version; a version is the push"):
            reader.earlier(target, ["1"], version)


def test_swapping_again_changes_nothing_and_a_reader_sees_a_new_version_at_once(house: House) -> None:
    entered(house, PAYERS)
    reader = IndexReader(house, refresh=3600)
    with pytest.raises(NotFound, match="has no version to serve yet"):
        reader.lookup("pool:payers", ["91A"])
    for batch in range(1, 5):
        push = pooled(house, PAYERS, batch, [{"uscc": "91A", "staff": batch}])
        assert [index.swap(house, "pool:payers"), index.swap(house, "pool:payers")] == [push, push]
        found = reader.lookup("pool:payers", ["91A"])
        record = found.records["91A"]
        assert record is not None
        assert (found.version, record.values["staff"]) == (push, batch)
    kept = sorted(path.name for path in index.folder(house, "pool:payers").iterdir())
    assert kept == ["P261122-payers-3.lmdb", "P261122-payers-4.lmdb"]


def test_an_empty_pool_is_served_as_empty(house: House) -> None:
    entered(house, PAYERS)
    pooled(house, PAYERS, 1, [])
    index.swap(house, "pool:payers")
    assert IndexReader(house).lookup("pool:payers", ["91A"]).records == {"91A": None}


def test_what_was_never_pooled_or_built_cannot_be_served(house: House) -> None:
    entered(house, PAYERS, POLICE, CIVIL, PEOPLE)
    for target in ("pool:payers", "base:people"):
        with pytest.raises(NotFound, match=f"{target} has no version to serve yet"):
            index.swap(house, target)
    with pytest.raises(NotFound, match="there is no target table:x; write pool:<resource>, base:<base> or theme:<theme>"):
        index.swap(house, "table:x")


def test_a_lost_file_is_made_again(house: House) -> None:
    entered(house, PAYERS)
    pooled(house, PAYERS, 1, [{"uscc": "91A"}])
    index.swap(house, "pool:payers")
    for path in index.folder(house, "pool:payers").iterdir():
        path.unlink()
    with pytest.raises(NotFound, match="the index file of pool:payers is not in the data folder"):
        IndexReader(house).lookup("pool:payers", ["91A"])
    index.swap(house, "pool:payers")
    assert IndexReader(house).lookup("pool:payers", ["91A"]).records["91A"] is not None


def test_nothing_of_a_record_is_readable_in_the_file(house: House) -> None:
    entered(house, PAYERS)
    pooled(house, PAYERS, 1, [{"uscc": f"CANARYKEY{n}", "name": f"CANARYNAME{n}"} for n in range(200)])
    index.swap(house, "pool:payers")
    with house.registry.session() as session:
        served = session.get_one(ServingIndex, "pool:payers")
    data = (house.settings.root / served.path).read_bytes()
    assert [word for word in (b"CANARY", "人社局".encode(), b"capital") if word in data] == []


def test_threads_read_while_versions_are_swapped_and_every_answer_is_of_one_version(house: House) -> None:
    """Each version gives all its keys one staff number: a mixture would show as two."""
    entered(house, PAYERS)
    keys = [f"K{n}" for n in range(100)]
    reader = IndexReader(house, refresh=0.01)
    failures: list[object] = []
    stop = threading.Event()

    def push(batch: int) -> None:
        pooled(house, PAYERS, batch, [{"uscc": key, "staff": batch} for key in keys])
        index.swap(house, "pool:payers")

    def read() -> None:
        while not stop.is_set():
            found = reader.lookup("pool:payers", keys[:20])
            seen = {record.values["staff"] if record else None for record in found.records.values()}
            if seen != {int(found.version.rpartition("-")[2])}:
                failures.append((found.version, seen))

    push(1)
    threads = [threading.Thread(target=read) for _ in range(4)]
    for thread in threads:
        thread.start()
    for batch in range(2, 6):
        push(batch)
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []
