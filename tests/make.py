"""Small inputs for tests, as plain functions with defaults: a catalogue on disk, a loaded little city, valid identifiers.

Nobody here is real: resident numbers are counted up, and codes of companies are computed from a counter. Departments use
the two published codes of ministries and computed ones.
"""

from copy import deepcopy
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import yaml

from exchange import catalogue
from exchange.catalogue import Catalogue
from exchange.catalogue.uscc import check_digit
from exchange.house import House

Entry = dict[str, Any]


def resident(n: int, region: str = "410802") -> str:
    """The n-th resident number (GB 11643) of a region: distinct for n < 19,980,000, valid, generated."""
    born = date(1950, 1, 1) + timedelta(days=n % 20_000)
    return with_check(f"{region}{born:%Y%m%d}{n // 20_000 % 999 + 1:03}")


def with_check(first_17: str) -> str:
    """A resident number from its first 17 digits."""
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    return first_17 + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(first_17, weights, strict=True)) % 11]


def uscc(n: int, kind: str = "91", region: str = "410802") -> str:
    """The n-th 统一社会信用代码 (GB 32100) of a kind and region: distinct for n < 100,000,000, both digits valid."""
    body = f"{n % 100_000_000:08}"
    inner = 11 - sum(int(digit) * weight for digit, weight in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True)) % 11
    first_17 = f"{kind}{region}{body}{'X' if inner == 10 else inner % 11}"
    return first_17 + check_digit(first_17)


POLICE = "11100000000013338W"
MARKET = "11100000MB03271699"
CIVIL = uscc(1, kind="11")
TAX = uscc(2, kind="11")


def some_departments() -> list[Entry]:
    """Four departments: police, market regulation, civil affairs, tax."""
    return [
        {"code": POLICE, "name": "市公安局", "contact": "数据科"},
        {"code": MARKET, "name": "市市场监督管理局", "contact": "信息中心"},
        {"code": CIVIL, "name": "市民政局"},
        {"code": TAX, "name": "市税务局"},
    ]


def item(name: str, title: str, type_: str = "C50", **more: Any) -> Entry:
    """An item; anything else of its form by name."""
    return {"name": name, "title": title, "type": type_, **more}


def resource(resource_id: str, department: str, items: list[Entry], key: list[str], **more: Any) -> Entry:
    """A resource with ordinary values for everything a test does not care about."""
    return {
        "id": resource_id,
        "title": f"资源 {resource_id}",
        "department": department,
        "prefix": "307016410800",
        "category_path": "部门/省/市/测试",
        "abstract": "测试用资源",
        "format_category": "02",
        "format_type": "csv",
        "share": {"type": 2, "condition": "履行职责需要"},
        "update_cycle": "daily",
        "publish_date": "2026-01-01",
        "data_level": "一般",
        "items": deepcopy(items),  # a test may change what it is given
        "key": list(key),
        **more,
    }


ID_NUMBER = item(
    "id_number",
    "公民身份号码",
    "C18",
    required=True,
    identifier="resident_number",
    sensitivity="personal",
    mask="resident_number",
)
USCC = item("uscc", "统一社会信用代码", "C18", required=True, identifier="uscc")
UPDATED = item("updated_at", "更新时间", "T", is_timestamp=True)


def police_household(**more: Any) -> Entry:
    """户籍人口, by resident number."""
    items = [
        ID_NUMBER,
        item("name", "姓名", "C50", required=True, sensitivity="personal", mask="name", share_type=1),
        item("sex_code", "性别", "C1", code_table="sex", share_type=1),
        item("birth_date", "出生日期", "D8", share_type=1, sensitivity="personal", mask="birth_date"),
        item("address", "户籍地址", "C200", sensitivity="personal", mask="address"),
        item("mobile", "联系电话", "C11", sensitivity="personal", mask="mobile"),
        UPDATED,
    ]
    return {**resource("police_household", POLICE, items, ["id_number"], title="户籍人口"), **more}


def civil_marriage(**more: Any) -> Entry:
    """婚姻状况, by resident number."""
    items = [
        ID_NUMBER,
        item("name", "姓名", "C50", sensitivity="personal", mask="name"),
        item("marital_code", "婚姻状况", "C2", code_table="marital", sensitivity="personal"),
        item("mobile", "手机", "C11", sensitivity="personal", mask="mobile"),
        UPDATED,
    ]
    return {**resource("civil_marriage", CIVIL, items, ["id_number"], title="婚姻状况"), **more}


def market_entity(**more: Any) -> Entry:
    """市场主体登记, by 统一社会信用代码."""
    items = [
        USCC,
        item("entity_name", "企业名称", "C200", required=True),
        item("legal_rep_name", "法定代表人", "C50", sensitivity="personal", mask="name"),
        item("registered_capital", "注册资本", "N18,6"),
        item("established_date", "成立日期", "D"),
        UPDATED,
    ]
    return {**resource("market_entity", MARKET, items, ["uscc"], title="市场主体登记", share={"type": 1}), **more}


def tax_payer(**more: Any) -> Entry:
    """纳税人登记, by 统一社会信用代码."""
    items = [
        USCC,
        item("entity_name", "纳税人名称", "C200"),
        item("tax_status", "纳税人状态", "C20"),
        item("employees", "从业人数", "I"),
        UPDATED,
    ]
    return {**resource("tax_payer", TAX, items, ["uscc"], title="纳税人登记", update_cycle="monthly"), **more}


ORG_CODE = item("org_code", "组织机构代码", "C9", required=True, identifier="org_code")
REGISTRATION_NO = item("registration_no", "注册号", "C15", required=True, identifier="registration_no")


def bank_account(**more: Any) -> Entry:
    """开户登记, by 组织机构代码."""
    items = [ORG_CODE, item("entity_name", "名称", "C200"), item("account_status", "账户状态", "C20")]
    return {**resource("bank_account", POLICE, items, ["org_code"], title="开户登记"), **more}


def company_archive(**more: Any) -> Entry:
    """企业档案, by 注册号."""
    items = [REGISTRATION_NO, item("entity_name", "名称", "C200"), item("shelf", "架位", "C20")]
    return {**resource("company_archive", CIVIL, items, ["registration_no"], title="企业档案"), **more}


def some_resources() -> list[Entry]:
    """The four resources above."""
    return [police_household(), civil_marriage(), market_entity(), tax_payer()]


def population(**more: Any) -> Entry:
    """人口库: names and phones from two departments, the police first."""
    return {
        "id": "population",
        "title": "人口基础信息库",
        "key": "id_number",
        "key_identifier": "resident_number",
        "key_sources": ["police_household.id_number", "civil_marriage.id_number"],
        "fields": [
            {"name": "name", "sources": ["police_household.name", "civil_marriage.name"], "benchmark": True},
            {"name": "sex_code", "sources": ["police_household.sex_code"], "benchmark": True},
            {"name": "birth_date", "sources": ["police_household.birth_date"], "benchmark": True},
            {"name": "address", "sources": ["police_household.address"]},
            {"name": "marital_code", "sources": ["civil_marriage.marital_code"]},
            {"name": "mobile", "sources": ["police_household.mobile", "civil_marriage.mobile"]},
        ],
        **more,
    }


def legal_entity(**more: Any) -> Entry:
    """法人库: names from market regulation, tax standing in."""
    return {
        "id": "legal_entity",
        "title": "法人单位基础信息库",
        "key": "uscc",
        "key_identifier": "uscc",
        "key_sources": ["market_entity.uscc", "tax_payer.uscc"],
        "fields": [
            {"name": "entity_name", "sources": ["market_entity.entity_name", "tax_payer.entity_name"], "benchmark": True},
            {"name": "legal_rep_name", "sources": ["market_entity.legal_rep_name"]},
            {"name": "registered_capital", "sources": ["market_entity.registered_capital"]},
            {"name": "tax_status", "sources": ["tax_payer.tax_status"]},
            {"name": "employees", "sources": ["tax_payer.employees"]},
        ],
        **more,
    }


def theme(select: str, fields: list[Entry], **more: Any) -> Entry:
    """A theme of the civil affairs department, by resident number."""
    return {
        "id": "couples",
        "title": "婚姻主题库",
        "department": CIVIL,
        "purpose": "婚姻状况分析",
        "key": "id_number",
        "key_identifier": "resident_number",
        "select": select,
        "fields": deepcopy(fields),
        **more,
    }


def write_catalogue(
    folder: Path,
    departments: list[Entry] | None = None,
    resources: list[Entry] | None = None,
    bases: list[Entry] | None = None,
    codes: list[Entry] | None = None,
    themes: list[Entry] | None = None,
) -> Path:
    """Write a catalogue folder, over whatever is there; what is not given is that of the small city."""
    for name in ("resources", "bases", "themes", "codes"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for old in (folder / name).glob("*.yaml"):
            old.unlink()
    _write(folder / "departments.yaml", some_departments() if departments is None else departments)
    for entry in some_resources() if resources is None else resources:
        _write(folder / "resources" / f"{entry['id']}.yaml", entry)
    for entry in [population(), legal_entity()] if bases is None else bases:
        _write(folder / "bases" / f"{entry['id']}.yaml", entry)
    for entry in themes or []:
        _write(folder / "themes" / f"{entry['id']}.yaml", entry)
    for entry in codes or []:
        _write(folder / "codes" / f"{entry['id']}.yaml", entry)
    return folder


def small_city(house: House, **parts: Any) -> Catalogue:
    """Write and load the small city (parts as for write_catalogue); the catalogue in force."""
    catalogue.load(house, write_catalogue(house.settings.root.parent / "catalogue", **parts))
    return catalogue.current(house)


def _write(path: Path, value: object) -> None:
    text = yaml.dump(deepcopy(value), Dumper=yaml.CSafeDumper, allow_unicode=True, sort_keys=False)
    path.write_text(text, encoding="utf-8")
