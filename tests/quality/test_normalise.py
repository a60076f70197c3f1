"""One spelling for one value, drawn as tables: as sent, as kept."""

from collections.abc import Sequence
from typing import Any

import pytest
from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.catalogue.model import DataType, Item
from quality.normalise import at_once, changed, cleaned, finished, typed
from tests.quality.kit import column

SPACE = "\u3000"


def item(kind: str, **more: Any) -> Item:
    return Item(name="it", title="某项", type=DataType(kind), **more)


TEXTS: dict[str, tuple[Item, bool, dict[str, str | None]]] = {
    "text only loses the blanks at its ends": (
        item("C"),
        False,
        {
            "张三": "张三",
            f" {SPACE}张 三\t\r\n": "张 三",
            "（甲）ＡＢ": "（甲）ＡＢ",
            "\ufeff\u00a0甲": "甲",
            f" {SPACE} ": None,
            "": None,
        },
    ),
    "codes become half width and keep their case": (
        item("C", code_table="sex"),
        False,
        {"１": "1", "ａ-1": "a-1", f"{SPACE}1 ": "1", "": None},
    ),
    "a key without a type of its own does the same": (item("C"), True, {"Ａ－１": "A-1", " A 1 ": "A 1"}),
    "resident numbers: width, case, blanks, fifteen digits": (
        item("C", identifier="resident_number"),
        True,
        {
            "11010519491231002X": "11010519491231002X",
            "１１０１０５１９４９１２３１００２ｘ": "11010519491231002X",
            "110105 19491231 002x": "11010519491231002X",
            "110105491231002": "11010519491231002X",
            "１１０１０５４９１２３１００２": "11010519491231002X",
            "不知道": "不知道",
            SPACE: None,
        },
    ),
    "company codes: width, case, blanks": (
        item("C", identifier="uscc"),
        True,
        {
            "91350100m000100y43": "91350100M000100Y43",
            f"９１３５０１００Ｍ０００１００Ｙ４３{SPACE}": "91350100M000100Y43",
            "4108001": "4108001",
        },
    ),
    "organisation codes: width, case, blanks, the dash": (
        item("C", identifier="org_code"),
        True,
        {
            "19220382-1": "192203821",
            "ｍ０００１００ｙ－４": "M000100Y4",
            "192203821": "192203821",
            "19-2203821": "19-2203821",
        },
    ),
    "numbers: width, blanks, thousands": (
        item("N"),
        False,
        {"1,234,567.8": "1234567.8", "１２．５": "12.5", " -3 ": "-3", "1,23": "1,23", "12万": "12万", "": None},
    ),
    "dates: the separators that people use": (
        item("D"),
        False,
        {
            "2022-08-10": "2022-08-10",
            "20220810": "20220810",
            "2022/8/10": "2022-8-10",
            "2022.8.10": "2022-8-10",
            "2022年8月10日": "2022-8-10",
            "２０２２年８月１０日": "2022-8-10",
            "2022-08-10 00:00:00": "2022-08-10",
            "2022-08-10 08:00:00": "2022-08-10 08:00:00",
            "去年": "去年",
        },
    ),
}


def kept(connection: DuckDBPyConnection, one: Item, texts: Sequence[str | None], as_code: bool = False) -> list[str | None]:
    """What is kept of each text, after both steps."""
    half = [None if text is None else str(text) for text in column(connection, cleaned(one, "x", as_code=as_code), texts)]
    return [None if text is None else str(text) for text in column(connection, finished(one, "x"), half)]


@pytest.mark.parametrize("name", TEXTS)
def test_text_as_sent_and_as_kept(connection: DuckDBPyConnection, name: str) -> None:
    one, as_code, table = TEXTS[name]
    found = kept(connection, one, list(table), as_code)
    assert dict(zip(table, found, strict=True)) == table
    assert kept(connection, one, found, as_code) == found  # idempotent


def test_what_was_changed(connection: DuckDBPyConnection) -> None:
    rows = "(VALUES ('1', '1', 1), (' 1', '1', 2), ('', NULL, 3), (' ', NULL, 4), (NULL, NULL, 5)) AS t(o, n, i)"
    found = connection.execute(f"SELECT {changed('o', 'n')} FROM {rows} ORDER BY i").fetchall()
    assert found == [(False,), (True,), (False,), (True,), (False,)]


TYPED: dict[str, tuple[Item, dict[str, str | None]]] = {
    "an integer is no rounded decimal": (item("I"), {"12": "12", "12.0": "12", "12.7": None, "1e3": None, "9" * 20: None}),
    "a number keeps its decimals or fails": (
        item("N", length=6, scale=2),
        {"1234.56": "1234.56", "1.234": None, "1.230": "1.23", "12345": None, "+1": "1.00", "NaN": None},
    ),
    "money has two decimals": (item("Y"), {"0.10": "0.10", "0.105": None}),
    "a double may have an exponent": (item("B"), {"1.5e3": "1500.0", "inf": None, "x": None}),
    "a date exists": (
        item("D"),
        {"2022-8-1": "2022-08-01", "20240229": "2024-02-29", "20230229": None, "2022-08": None, "infinity": None},
    ),
    "a time may be compact": (
        item("T"),
        {
            "20220810123456": "2022-08-10 12:34:56",
            "2022-8-1 2:03": "2022-08-01 02:03:00",
            "2022-08-10T12:34:56.5": "2022-08-10 12:34:56.5",
            "2022-08-10": "2022-08-10 00:00:00",
            "2022-08-10 25:00:00": None,
            "2022-08-10 12:00:00+08": None,
        },
    ),
    "yes and no": (
        item("L"),
        {
            **dict.fromkeys(["是", "Ｙ", "1", "TRUE", "true", "√", "✔", "　是 "], "true"),
            **dict.fromkeys(["否", "n", "0", "False", "×"], "false"),
            "也许": None,
        },
    ),
}


@pytest.mark.parametrize("name", TYPED)
def test_values_as_typed_or_not_at_all(connection: DuckDBPyConnection, name: str) -> None:
    one, table = TYPED[name]
    values = column(connection, f"CAST({typed(one, 'x')} AS VARCHAR)", kept(connection, one, list(table)))
    assert dict(zip(table, values, strict=True)) == table


CLOCKS = st.one_of(
    st.text(alphabet="0129-: T.+", max_size=21),
    st.datetimes().map(str),
    st.dates().map(str),
    st.sampled_from(
        [
            "infinity",
            "-infinity",
            "0000-01-01",
            "0001-01-01 (BC)",
            "10000-01-01",
            "2023-02-29",
            "2024-02-29 24:00:00",
            "epoch",
        ]
    ),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(CLOCKS, min_size=1, max_size=20))
def test_a_date_read_at_once_is_read_as_by_its_patterns(connection: DuckDBPyConnection, texts: list[str]) -> None:
    for one in (item("D"), item("T")):
        early = at_once(one, "x")
        by_patterns, read = typed(one, cleaned(one, "x")), typed(one, cleaned(one, "x", value=early), early)
        assert column(connection, f"({read})::VARCHAR", texts) == column(connection, f"({by_patterns})::VARCHAR", texts)
        spelt = column(connection, cleaned(one, "x", value=early), texts)
        assert spelt == column(connection, cleaned(one, "x"), texts)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.text(max_size=25).map(lambda text: text.replace("\x00", " ")), min_size=1, max_size=20))
def test_no_text_whatever_makes_it_raise_or_change_twice(connection: DuckDBPyConnection, texts: list[str]) -> None:
    kinds = [item(kind) for kind in "CNYDTLMIBF"] + [item("C", identifier="resident_number"), item("C", identifier="uscc")]
    kinds += [item("C", identifier="org_code"), item("C", identifier="registration_no")]
    for one in kinds:
        found = kept(connection, one, texts)
        assert kept(connection, one, found) == found
        column(connection, typed(one, "x"), texts)
