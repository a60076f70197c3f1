"""Real registry files through the gate."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from exchange.house import House
from quality import gate, staging
from tests import make
from tests.quality import kit

pytestmark = pytest.mark.real_data

ELSEWHERE = {
    "id": "registered_elsewhere",
    "title": "登记机关所在市与地区一致（省级登记机关除外）",
    "title_en": "registered in the city that 地区 says (the provincial register excepted)",
    "predicate": "city IS DISTINCT FROM '焦作' OR substr(uscc, 3, 4) IN ('4108', '4100')",
    "items": ["uscc", "city"],
    "level": "warn",
    "indicator": "0402",
}


def enterprises(**more: Any) -> make.Entry:
    """The columns of the registry files, in their order."""
    items = [
        make.item("entity_name", "企业名称", "C200", required=True),
        make.USCC,
        make.item("established_date", "注册日期", "D"),
        make.item("entity_type", "企业类型", "C100"),
        make.item("registered_capital", "注册资金", "C50"),
        make.item("business_scope", "经营范围", "C4000"),
        make.item("province", "所在省份", "C20"),
        make.item("city", "地区", "C20"),
        make.item("registered_address", "注册地址", "C200"),
    ]
    return {**make.resource("enterprise", make.MARKET, items, ["uscc"], rules=[ELSEWHERE]), **more}


def push(house: House, path: Path, rows: int) -> str:
    return kit.land_bytes(house, "enterprise", path.read_bytes(), rows, caller=kit.MARKET, name=path.name)


def test_jiaozuo_has_no_bad_key_and_475_registered_elsewhere(house: House, registry_files: Path) -> None:
    kit.publish(house, enterprises())
    verdict = gate.check(house, push(house, registry_files / "legal_entity_jiaozuo.csv", 5219))
    assert (verdict.decision, verdict.rows, verdict.accepted_rows) == ("accepted", 5219, 5219)
    assert (verdict.failed("uscc.uscc"), verdict.failed("dept.registered_elsewhere")) == (0, 475)
    noted = kit.row_errors(house, verdict.push_id, kit.MARKET, warnings=True)
    places = Counter(line[-1].split("=")[1][2:6] for line in noted if line[2] == "dept.registered_elsewhere")
    assert (sum(places.values()), places["4107"]) == (475, 434)
    assert all(line[-1].endswith("；地区=焦作") for line in noted if line[2] == "dept.registered_elsewhere")


def test_jiangsu_has_exactly_222_bad_keys_each_with_its_row_and_reason(house: House, registry_files: Path) -> None:
    path = registry_files / "legal_entity_jiangsu_2002_messy.csv"
    kit.publish(house, enterprises())
    verdict = gate.check(house, push(house, path, 4863))
    assert (verdict.decision, verdict.accepted_rows, verdict.quarantined_rows) == ("accepted", 4641, 222)
    assert verdict.failed("uscc.uscc") == 222
    errors = kit.row_errors(house, verdict.push_id, kit.MARKET)
    reasons = Counter(reason for _, _, _, reason, _ in errors)
    assert len(errors) == 222
    assert (
        reasons.pop("长度是 15 位，应为 18 位（疑为旧注册号） / 15 characters, 18 expected (an old registration number?)")
        == 204
    )
    assert reasons.pop("长度是 13 位，应为 18 位 / 13 characters, 18 expected") == 17
    assert sum(reasons.values()) == 1
    with path.open(encoding="utf-8-sig", newline="") as file:
        sent = [row["统一社会信用代码"] for row in csv.DictReader(file)]
    assert [sent[int(row) - 1] for row, *_ in errors] == [value for *_, value in errors]
    with house.duckdb() as connection:
        kept = connection.execute(
            f"SELECT uscc FROM {staging.accepted_sql(house, verdict.push_id)} ORDER BY _row"
        ).fetchall()
    bad = {int(row) - 1 for row, *_ in errors}
    assert [code for (code,) in kept] == [code.strip() for n, code in enumerate(sent) if n not in bad]
