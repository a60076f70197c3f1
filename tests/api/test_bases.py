"""The parts of a base at the command line: rows under a record, links, what is contested."""

import pytest

from exchange.house import House
from pools import merge
from tests.api.commands import Terminal
from tests.delivery.kit import log
from tests.pools.given import DEPARTMENT_CODES
from tests.pools.test_parts import BEFORE, stocked


@pytest.fixture
def terminal(house: House, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stocked(house)
    for base in ("people", "companies"):
        merge.build(house, base, on=BEFORE)
    return Terminal(house, monkeypatch)


def lines(printed: str) -> list[list[str]]:
    """The cells of the tables that were printed, without their frames."""
    rows = [
        line.strip("│┃ ").replace("┃", "│").split("│") for line in printed.splitlines() if line.strip("─━┏┓┡┩└┘┴┳╇ ├┤┼")
    ]
    return [[cell.strip() for cell in row] for row in rows]


def test_explain_prints_the_rows_under_a_record_and_where_its_links_lead(house: House, terminal: Terminal) -> None:
    told = lines(terminal.run("explain", "companies", "A", "--purpose", "核对"))
    assert any(row[0].startswith("附表 satellite") and row[0].endswith("许可 permits") for row in told)
    assert ["scope 项 scope", "食品", "民政局 permits", "1", "人社局: 食品销售"] in told
    assert any(row[0].startswith("关联 link") and row[0].endswith("owner → people") for row in told)
    (one,) = terminal.json("explain", "companies", "A", "--purpose", "核对")["rows"]
    assert (one["satellite"], one["fields"][1]["others"][0]["value"]) == ("permits", "食品销售")
    assert [(entry["action"], entry["decision"]) for entry in log(house)] == [("explain", "answered")] * 2


def test_a_link_that_leads_nowhere_says_so(terminal: Terminal) -> None:
    told = lines(terminal.run("explain", "companies", "C"))
    assert any(row[0].endswith("owner → 无此记录 no such record") for row in told)


def test_conflicts_are_counted_without_a_value(terminal: Terminal) -> None:
    printed = terminal.run("conflicts", "companies")
    assert ["name 项 name", "卫健委 tax", "2", "1", "50.00%"] in lines(printed)
    assert ["许可 · scope 项 permits.scope", "人社局 copies", "1", "1", "100.00%"] in lines(printed)
    assert [value for value in ("一厂", "壹厂", "食品") if value in printed] == []
    found = terminal.json("conflicts", "companies", "--department", DEPARTMENT_CODES["人社局"])
    assert [(one["satellite"], one["field"], one["compared"], one["differing"]) for one in found] == [
        ("permits", "scope", 1, 1)
    ]
    assert terminal.json("conflicts", "companies", "--field", "parent") == []
    refused = terminal.json("conflicts", "companies", "--field", "nmae", code=7)
    assert (refused["code"], refused["facts"]["field"]) == ("not-found", "nmae")


def test_the_quality_team_reads_the_same(terminal: Terminal) -> None:
    assert "permits" in terminal.run("quality", "contested")
    found = terminal.json("quality", "contested", "--resource", "tax")
    assert [(one["field"], one["differing"]) for one in found["departments"][0]["fields"]] == [("name", 1), ("owner", 1)]
