"""What tests of pools are given: catalogue entries, and accepted pushes without bytes (the doors and the gate have their own tests)."""

from datetime import UTC, date, datetime
from typing import Any

from exchange.callers import Caller
from exchange.catalogue.model import BaseDefinition, DataType, Item, Resource, Share, ShareType
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.house import House
from exchange.intake.form import form_of
from exchange.registry import models
from pools import aliases, pool
from quality.check import row_hash

OPERATOR = Caller(client_id=None, department="", person="经办员")
# Generated, not real: only their shape matters here.
DEPARTMENT_CODES = {
    name: f"1141080000000000{place:02}" for place, name in enumerate(["公安局", "卫健委", "民政局", "人社局"])
}


def item(name: str, kind: DataType = DataType.TEXT, **more: Any) -> Item:
    return Item(name=name, title=name, type=kind, **more)


def resource(
    resource_id: str, items: tuple[Item, ...], key: tuple[str, ...], department: str = "公安局", **more: Any
) -> Resource:
    """A catalogue entry; only what a test is about needs to be said."""
    return Resource(
        **{
            "id": resource_id,
            "code": f"307016/{resource_id}",
            "version": 1,
            "title": resource_id,
            "department": DEPARTMENT_CODES[department],
            "category_path": "部门/市级",
            "abstract": resource_id,
            "format_category": "02",
            "format_type": "csv",
            "share": Share(type=ShareType.UNCONDITIONAL),
            "update_cycle": "daily",
            "publish_date": date(2026, 1, 1),
            "data_level": "一般",
            "items": items,
            "key": key,
        }
        | more
    )


def entered(house: House, *entries: Resource | BaseDefinition) -> None:
    """Enter them into the registry, their departments included."""
    with house.registry.session() as session:
        for name, code in DEPARTMENT_CODES.items():
            session.merge(models.Department(code=code, name=name))
        session.flush()
        for entry in entries:
            definition = entry.model_dump(mode="json")
            if isinstance(entry, BaseDefinition):
                session.add(models.BaseVersion(base_id=entry.id, version=entry.version, definition=definition, digest="-"))
                continue
            session.merge(
                models.Resource(id=entry.id, code=entry.code, department_code=entry.department, current=entry.version)
            )
            session.flush()
            session.add(
                models.ResourceVersion(resource_id=entry.id, version=entry.version, definition=definition, digest="-")
            )


def accepted(
    house: House,
    entry: Resource,
    batch: int,
    rows: int = 0,
    state: str = "accepted",
    mode: str = "full",
    push_id: str | None = None,
) -> str:
    """The receipt of a push the gate has accepted."""
    push_id = push_id or f"P261122-{entry.id}-{batch}"
    with house.registry.session() as session:
        session.add(
            models.Push(
                id=push_id,
                resource_id=entry.id,
                resource_version=entry.version,
                department_code=entry.department,
                door="test",
                batch=batch,
                mode=mode,
                rows=rows,
                bytes=0,
                algorithm="sm3",
                digest="-",
                shape={},
                state=state,
                received_at=datetime(2026, 11, 1, 8, batch % 60, tzinfo=UTC),
            )
        )
    return push_id


def relation(entry: Resource, rows: list[dict[str, Any]]) -> str:
    """Rows as the gate hands them over: `_row`, typed items, `_hash`; SQL after FROM."""
    named = ["_row", *(wanted.name for wanted in entry.items)]
    tuples = [[str(number), *(_cell(row.get(name)) for name in named[1:])] for number, row in enumerate(rows, 1)]
    values = ", ".join(f"({', '.join(cells)})" for cells in tuples)
    items = ", ".join(
        f"CAST({quoted(wanted.name)} AS {sql_type(wanted)}) AS {quoted(wanted.name)}" for wanted in entry.items
    )
    source = f"(VALUES {values}) t({', '.join(map(quoted, named))})" if rows else _nothing(named)
    return f"(SELECT *, {row_hash(entry)} AS _hash FROM (SELECT _row::BIGINT AS _row, {items} FROM {source}))"


def pooled(
    house: House, entry: Resource, batch: int, rows: list[dict[str, Any]], mode: str = "full", push_id: str | None = None
) -> str:
    """Push rows and pool them; the receipt. `push_id`: where the door must take it for one."""
    push_id = accepted(house, entry, batch, len(rows), mode=mode, push_id=push_id)
    pool.commit_relation(house, push_id, relation(form_of(entry, mode), rows))
    return push_id


def aliased(house: House, base_id: str, old: str, new: str, *resources: str) -> str:
    """That one number stands for another, from today on; its id. Whether a number is well formed is the door's question."""
    kind: aliases.Kind = "duplicate" if resources else "changed"
    wanted = aliases.Alias(aliases.new_id(), old, new, kind, aliases.today(), resources)
    return aliases.enter(house, OPERATOR, base_id, wanted, "公安局更正通知 2026-11").id


def _cell(value: object) -> str:
    return "NULL" if value is None else literal(str(value))


def _nothing(named: list[str]) -> str:
    return f"(SELECT {', '.join(f'NULL AS {quoted(name)}' for name in named)} WHERE false)"
