"""What tests of themes are given: the small city with rows in its pools, grants that themes read by, and two persons."""

from datetime import timedelta
from typing import Any

from exchange import catalogue, grants, themes
from exchange.callers import Caller
from exchange.grants import GrantView
from exchange.house import House
from pools import merge
from tests import make
from tests.make import Entry
from tests.pools.given import pooled

PURPOSE = "婚姻状况分析"
OWNER = Caller(None, make.CIVIL, person="owner")
AUTHORITY = Caller(None, "", person="authority")

LI, WANG, ZHAO, SUN = (make.resident(n) for n in range(1, 5))
PEOPLE = [
    {"id_number": LI, "name": "李生成", "sex_code": "1", "birth_date": "1950-01-02", "mobile": "13900001234"},
    {"id_number": WANG, "name": "王乙", "sex_code": "2", "birth_date": "1950-01-03", "mobile": "13900005678"},
    {"id_number": ZHAO, "name": "赵丙丁", "sex_code": "2", "birth_date": "1950-01-04"},
]
MARRIED = [
    {"id_number": LI, "name": "李生成", "marital_code": "20"},
    {"id_number": WANG, "name": "王乙", "marital_code": "10"},
    {"id_number": SUN, "name": "孙戊", "marital_code": "20"},
]
SELECT = """
    SELECT p.id_number, p.name, p.birth_date, m.marital_code
    FROM base.population p JOIN pool.civil_marriage m ON m.id_number = p.id_number
    WHERE m.marital_code = '20'
"""
FIELDS = [
    {"name": "name", "title": "姓名", "type": "C50"},
    {"name": "birth_date", "title": "出生日期", "type": "D"},
    {"name": "marital_code", "title": "婚姻状况", "type": "C2"},
]


def couples(**more: Any) -> Entry:
    """Who is married, by the base and a pool."""
    return make.theme(**({"select": SELECT, "fields": FIELDS} | more))


def city(house: House, *entries: Entry, **parts: Any) -> None:
    """The small city with these themes, its people and their base."""
    make.small_city(house, themes=list(entries), **parts)
    push(house, "police_household", PEOPLE)
    push(house, "civil_marriage", MARRIED)
    assert merge.build(house, "population") is not None


def push(house: House, resource_id: str, rows: list[dict[str, Any]], batch: int = 1) -> str:
    """Rows into a pool; the receipt."""
    number = f"P2611{batch:02}-{sum(map(ord, resource_id)):010x}"
    return pooled(house, catalogue.resource(house, resource_id), batch, rows, push_id=number)


def granted(house: House, target: str, *fields: str, **more: Any) -> GrantView:
    """A grant by which the owner's themes may read; everything unmasked unless said."""
    today = grants.today()
    ordinary: dict[str, Any] = {
        "modes": ["theme"],
        "purpose": PURPOSE,
        "legal_basis": "《婚姻登记条例》第四条",
        "valid_from": today - timedelta(days=1),
        "valid_until": today + timedelta(days=30),
        "unmasked": list(fields),
    }
    return grants.give(house, make.CIVIL, target, fields, **(ordinary | more))


def both_granted(house: House) -> tuple[GrantView, GrantView]:
    """What `couples` needs, and no more."""
    return (
        granted(house, "base:population", "id_number", "name", "birth_date", unmasked=["id_number", "birth_date"]),
        granted(house, "pool:civil_marriage", "id_number", "marital_code"),
    )


def approved(house: House, theme_id: str = "couples") -> None:
    """Through the review."""
    found = themes.submit(house, OWNER, theme_id)
    themes.approve(house, AUTHORITY, theme_id, found.version, "符合用途")
