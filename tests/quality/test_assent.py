"""Rows that are right as sent are found by a cheap test; the whole pass over every row is its slow, obvious reference."""

from datetime import UTC, date, datetime
from random import Random

import polars
import pytest
from duckdb import DuckDBPyConnection

from exchange.catalogue.model import Resource
from exchange.catalogue.sql import quoted
from exchange.house import House
from quality import check
from quality.assent import doubted
from quality.rules import UNIQUE, Rule, compile_rules
from tests import make
from tests.quality import kit

WIDE = make.resource(
    "wide",
    make.POLICE,
    [
        make.item("code", "编号", "C20", required=True),
        make.item("id_number", "身份证号", "C18", identifier="resident_number", sensitivity="personal"),
        make.item("uscc", "统一社会信用代码", "C18", identifier="uscc"),
        make.item("name", "姓名", "C8", sensitivity="personal", mask="name"),
        make.item("ethnicity", "民族", "C2", code_table="ethnicity"),
        make.item("born", "出生日期", "D"),
        make.item("seen", "登记时间", "T"),
        make.item("area", "面积", "N18,2"),
        make.item("count", "数量", "I4"),
        make.item("ratio", "比率", "B"),
        make.item("insured", "参保", "L"),
        make.item("village", "村", "C6"),
        make.item("note", "备注", "C30"),
    ],
    ["code"],
    duplicates="quarantine",
    rules=[
        {
            "id": "small",
            "title": "面积不过千",
            "title_en": "the area is below a thousand",
            "predicate": "area < 1000",
            "items": ["area"],
            "level": "warn",
            "indicator": "0104",
        }
    ],
)
Drawn = dict[str, str | None]
GOOD: dict[str, list[str]] = {
    "code": ["K1", "K2", "a-3"],
    "id_number": [make.resident(7), make.resident(8), "11010519491231002X", "USA110119850101"],
    "uscc": [make.uscc(1), make.uscc(2)],
    "name": ["张三", "欧阳 娜娜", "阿依古丽·买买提"],
    "ethnicity": ["01", "56"],
    "born": ["1990-01-01", "2024-02-29"],
    "seen": ["2026-01-01 08:00:00", "2026-01-01 08:00:00.5"],
    "area": ["132", "-0.50", "+7.1"],
    "count": ["7", "0012"],
    "ratio": ["1.5", "1e5"],
    "insured": ["是", "N"],
    "village": ["410802", "村"],
    "note": ["无", "住 所", "a b"],
}
ODD: list[str | None] = [
    None, " K1", "K1\u3000", "Ｋ１", "a\u00a0b", "\u200bx", "x\ufeff", "x\u2028", "110105491231002", "010105194912310021", "4.1E+17",
    "13800000000", "身份号码11010519491231002X", "张?", "张\ufffd三", "李\u3000四", "\ue000", "1990/1/1", "19900101", "1990-1-1", "infinity",
    "-infinity", "2023-02-29", "0000-01-01", "2026-01-01T08:00:00", "2026-01-01 24:00:00", "20260101080000", "1,320", "1e400", "1320m2", "１２",
    "true", "√", "参", "y", "x" * 31, "汉" * 9, "\x01 ", "a\x01 b", "97", "1", "00", "-9999999", "0.005", "12 345678901234567",
]  # fmt: skip


def one_odd_value() -> list[Drawn]:
    """A good row for every odd value in every item."""
    good = {name: values[0] for name, values in GOOD.items()}
    return [good | {name: odd} for name in GOOD for odd in ODD]


def mixed(random: Random) -> list[Drawn]:
    """Rows of good values with an odd one here and there."""
    return [
        {name: random.choice(ODD if random.random() < 0.1 else good) for name, good in GOOD.items()} for _ in range(1000)
    ]


def compiled(house: House) -> tuple[Resource, tuple[Rule, ...]]:
    from exchange import catalogue

    kit.publish(house, WIDE)
    resource = catalogue.resource(house, "wide")
    return resource, compile_rules(resource, date(2026, 11, 22), datetime(2026, 11, 22, 9, tzinfo=UTC))


def table(connection: DuckDBPyConnection, drawn: list[Drawn]) -> str:
    """Drawn rows as the table of text that a landed file becomes."""
    names = ", ".join(f"{quoted(name)} VARCHAR" for name in GOOD)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE drawn (_row BIGINT, _broken VARCHAR, {names})")
    rows = [(number, None, *(row[name] for name in GOOD)) for number, row in enumerate(drawn, 1)]
    frame = polars.DataFrame(rows, schema=["_row", "_broken", *GOOD], orient="row", infer_schema_length=None)
    connection.execute("INSERT INTO drawn FROM frame")
    assert len(frame) == len(drawn)
    return "drawn"


def noted(connection: DuckDBPyConnection, resource: Resource, rules: tuple[Rule, ...], source: str) -> str:
    """The noted rows, before the table is asked for keys that repeat."""
    query = check.pass_sql(resource, rules, doubted(resource, rules, source))
    connection.execute(f"CREATE OR REPLACE TEMP TABLE noted AS {query}")
    return "noted"


def test_ordinary_rows_are_not_even_noted(house: House) -> None:
    resource, rules = compiled(house)
    with house.duckdb() as connection:
        drawn = [
            {name: None if name == absent else good[-1] for name, good in GOOD.items()} | {"code": "K"}
            for absent in ("note", "born", "id_number")
        ]
        drawn = [
            row | {"seen": "2026-01-01 08:00:00", "area": "7.1", "ratio": "1.5", "id_number": make.resident(3)}
            for row in drawn
        ]
        drawn += [drawn[0] | {"name": "李\u3000四"}, drawn[0] | {"note": "无 "}]
        found = noted(connection, resource, rules, table(connection, drawn))
        assert connection.execute(f"SELECT _row FROM {found} ORDER BY 1").fetchall() == [(4,), (5,)]


@pytest.mark.parametrize(
    "drawn", [one_odd_value(), *(mixed(Random(seed)) for seed in range(5))], ids=["one odd value", *map(str, range(5))]
)
def test_what_is_not_noted_is_as_the_whole_pass_says(house: House, drawn: list[Drawn]) -> None:
    resource, rules = compiled(house)
    with house.duckdb() as connection:
        source = table(connection, drawn)
        columns = ", ".join(["_row", *(quoted(name) for name in GOOD), "_hash", "_changed", "_fails_0"])
        every = check.judged(resource, rules, source, noted(connection, resource, rules, source))
        whole = f"({check.pass_sql(resource, rules, source)})"
        seen, said = (
            connection.execute(f"SELECT {columns} FROM {relation} ORDER BY _row").fetchall() for relation in (every, whole)
        )
        assert [(one, other) for one, other in zip(seen, said, strict=True) if one != other] == []
        (passed,) = connection.execute("SELECT count(*) FROM drawn ANTI JOIN noted USING (_row)").fetchall()
        assert passed[0] > 20  # else little was shown


def test_the_rule_about_repeated_keys_is_the_only_one_that_is_left_out(house: House) -> None:
    _, rules = compiled(house)
    assert [rule.id for rule in rules if rule.predicate == "true"] == [UNIQUE]
