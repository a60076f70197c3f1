"""What the gate decides, drawn as tables."""

from exchange.house import House
from quality import gate, staging
from tests import make
from tests.quality import kit


def accepted(house: House, push_id: str, columns: str) -> list[tuple[object, ...]]:
    with house.duckdb() as connection:
        return connection.execute(f"SELECT {columns} FROM {staging.accepted_sql(house, push_id)} ORDER BY _row").fetchall()


def test_good_rows_pass_bad_rows_wait(house: House) -> None:
    make.small_city(house)
    people = [[make.resident(n), f"人{n}", "1", "19500101", "", "", "2026-01-01 08:00:00"] for n in range(60)]
    people[3][0] = people[3][0][:17] + ("0" if people[3][0][17] != "0" else "1")
    people[7][2] = "7"
    header = ["公民身份号码", "姓名", "性别", "出生日期", "户籍地址", "联系电话", "更新时间"]
    push = kit.land(house, "police_household", header, people)
    verdict = gate.check(house, push)
    assert (verdict.decision, verdict.rows, verdict.accepted_rows, verdict.quarantined_rows) == ("accepted", 60, 58, 2)
    assert kit.failed(verdict) == {"id_number.resident_number": 1, "sex_code.code": 1}
    assert [row for (row,) in accepted(house, push, "_row")] == [n for n in range(1, 61) if n not in (4, 8)]
    assert kit.row_errors(house, push) == [
        ["4", "公民身份号码", "id_number.resident_number", "校验码不符（GB 11643）", people[3][0]],
        ["8", "性别", "sex_code.code", "不符合：性别是代码表 sex 中的代码", "7"],
    ]
