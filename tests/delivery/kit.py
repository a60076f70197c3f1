"""What tests of delivery are given: a loaded small city, a dict that reads like an index, and the log as plain rows."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from sqlalchemy import select

from exchange import grants
from exchange.callers import Caller
from exchange.delivery.mode import Found, Record, Request, SourceRef
from exchange.errors import NotFound
from exchange.grants import GrantView
from exchange.house import House
from exchange.registry.models import AccessRecord
from tests import make

LI = make.resident(1)
WANG = make.resident(2)
NOBODY = make.resident(3)
POLICE_SAYS = SourceRef("police_household", make.POLICE, "市公安局", "P261101-0000000001", 7, date(2026, 11, 1))
CIVIL_SAYS = SourceRef("civil_marriage", make.CIVIL, "市民政局", "P261102-0000000002", 3, date(2026, 11, 2))
PURPOSE = "婚姻登记核验"
PERSON = "经办人甲"


class DictReader:
    """Records in a dict, for specs of delivery alone; the doors' tests read the real index."""

    def __init__(self, records: Mapping[str, Mapping[str, Record]]) -> None:
        self.records = records
        self.asked: list[tuple[str, tuple[str, ...]]] = []

    def lookup(self, target: str, keys: Sequence[str], satellites: Sequence[str] = ()) -> Found:
        self.asked.append((target, tuple(keys)))
        if target not in self.records:
            raise NotFound("还没有数据", "nothing is served yet")
        found = {key: self.records[target].get(key) for key in keys}
        only = {key: one and replace(one, rows={name: one.rows[name] for name in satellites}) for key, one in found.items()}
        return Found(target, "B261103-0000000003", only)

    def earlier(self, target: str, keys: Sequence[str], version: str, satellites: Sequence[str] = ()) -> Found:
        return replace(self.lookup(target, keys, satellites), version=version)


def population_reader() -> DictReader:
    """Two generated residents in the population base."""
    return DictReader({"base:population": {LI: _resident(LI, "李生成"), WANG: _resident(WANG, "王乙", closed=True)}})


def _resident(key: str, name: str, closed: bool = False) -> Record:
    values = {
        "name": name,
        "sex_code": "1",
        "birth_date": "1950-01-02",
        "address": "解放区民主路12号3单元",
        "marital_code": None,
        "mobile": "13900001234",
    }
    said = dict.fromkeys(values, POLICE_SAYS) | {"marital_code": CIVIL_SAYS}
    return Record(key, values, said, closed)


def given(house: House, department: str = make.CIVIL, **more: Any) -> GrantView:
    """A grant on the population base; what a test is about by name."""
    today = grants.today()
    ordinary: dict[str, Any] = {
        "target": "base:population",
        "fields": ["name", "marital_code", "mobile"],
        "modes": ["query"],
        "purpose": PURPOSE,
        "legal_basis": "《婚姻登记条例》第四条",
        "valid_from": today - timedelta(days=1),
        "valid_until": today + timedelta(days=30),
    }
    return grants.give(house, department, **(ordinary | more))


def asked(**more: Any) -> Request:
    """A request the grant above covers; what a test is about by name."""
    ordinary: dict[str, Any] = {
        "target": "base:population",
        "mode": "query",
        "keys": (LI,),
        "fields": ("name", "mobile"),
        "purpose": PURPOSE,
        "person": PERSON,
    }
    return Request(**(ordinary | more))


CIVIL_SYSTEM = Caller("c-civil", make.CIVIL)


def log(house: House) -> list[dict[str, Any]]:
    """The log as it stands, bodies without their nonces."""
    with house.registry.session() as session:
        rows = session.scalars(select(AccessRecord).order_by(AccessRecord.seq)).all()
    return [
        {"seq": row.seq, "subject": row.subject, "retention": row.retention}
        | {name: value for name, value in (row.body or {}).items() if name != "nonce"}
        for row in rows
    ]
