"""Values an engine would quietly change, and rules that can't be evaluated on some row: the row waits, nothing is altered."""

import pytest

from exchange.house import House
from tests import make
from tests.quality import kit

MEASURE = make.resource(
    "measure",
    make.POLICE,
    [
        make.item("code", "编号", "C10", required=True),
        make.item("ratio", "比率", "B"),
        make.item("day", "日期", "D"),
        make.item("moment", "时刻", "T"),
        make.item("count", "数量", "I18"),
    ],
    ["code"],
    quarantine_threshold=1.0,
)
HEADER = ["编号", "比率", "日期", "时刻", "数量"]


@pytest.mark.parametrize(
    ("item", "value", "good"),
    [
        ("ratio", "1e308", True),
        ("ratio", "1e400", False),  # infinity
        ("ratio", "-1e400", False),
        ("day", "0001-01-01", True),
        ("day", "0000-01-01", False),  # there was no year 0
        ("day", "00000101", False),
        ("moment", "2024-01-01 23:59:59.123456", True),
        ("moment", "2024-01-01 10:00:00.1234560000", True),
        ("moment", "2024-01-01 10:00:00.123456789", False),  # finer than is kept
        ("moment", "2024-01-01 24:00:00", False),  # would become the next day
        ("moment", "0000-01-01 10:00:00", False),
    ],
)
def test_a_value_is_read_as_it_is_or_waits(house: House, item: str, value: str, *, good: bool) -> None:
    kit.publish(house, MEASURE)
    row = ["A1", *(value if name == item else "" for name in ("ratio", "day", "moment", "count"))]
    verdict = kit.gate.check(house, kit.land(house, "measure", HEADER, [row, ["A2", "", "", "", ""]]))
    assert kit.failed(verdict) == ({} if good else {f"{item}.type": 1})


def test_a_rule_that_cannot_be_evaluated_on_a_row_fails_that_row_alone(house: House) -> None:
    rules = [
        {
            "id": "not_too_many",
            "title": "数量合理",
            "title_en": "the count is plausible",
            "predicate": "count + count * 90 > 0",
            "items": ["count"],
            "level": "quarantine",
            "indicator": "0104",
        }
    ]
    kit.publish(house, {**MEASURE, "rules": rules})
    rows = [
        ["A1", "", "", "", "7"],
        ["A2", "", "", "", "999999999999999999"],
        ["A3", "", "", "", ""],
        ["A4", "", "", "", "-1"],
    ]
    verdict = kit.gate.check(house, kit.land(house, "measure", HEADER, rows))
    (rule,) = [rule for rule in verdict.rules if rule.id == "dept.not_too_many"]
    assert (verdict.decision, rule.failed, rule.rows) == ("accepted", 2, (2, 4))
