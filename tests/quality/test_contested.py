"""What departments say otherwise, as the quality team sees it: of what the newest build of each base has counted."""

import io
from datetime import UTC, date, datetime, timedelta

import fastexcel
import pytest

from exchange.callers import Caller
from exchange.errors import AccessRefused
from exchange.house import House
from pools import merge
from quality import overview
from quality.overview import Asked
from tests.delivery.kit import log
from tests.pools.given import DEPARTMENT_CODES, entered, pooled
from tests.pools.test_parts import BEFORE, COMPANIES, COPIES, MARKET, PEOPLE, PERMITS, POLICE, TAX
from tests.quality.test_overview import OPERATOR, table

NOW = datetime.now(UTC)


@pytest.fixture
def city(house: House) -> House:
    """Tax says otherwise of one company's name in two; the copies of permits of one scope in one."""
    entered(house, POLICE, MARKET, TAX, PERMITS, COPIES, PEOPLE, COMPANIES)
    pooled(house, MARKET, 1, [{"code": "A", "name": "金丝雀", "owner": "1"}, {"code": "B", "name": "二厂", "owner": "2"}])
    pooled(house, TAX, 1, [{"code": "A", "name": "金丝鸟", "owner": "1"}, {"code": "B", "name": "二厂"}, {"code": "C"}])
    pooled(house, PERMITS, 1, [{"no": "n1", "holder": "A", "scope": "食品"}])
    pooled(house, COPIES, 1, [{"no": "n1", "holder": "A", "scope": "食品销售"}])
    assert merge.build(house, "companies", on=BEFORE) is not None
    return house


def test_what_is_contested_by_department_base_and_field(city: House) -> None:
    found = overview.contested(city, OPERATOR, Asked())
    table(
        [(unit.name, unit.compared, unit.differing, unit.rate) for unit in found.departments],
        """
        department | compared | differing | rate
        卫健委     | 3        | 1         | 0.3333333333333333
        人社局     | 1        | 1         | 1.0
        """,
    )
    table(
        [
            (one.resource, one.item, one.base, one.satellite, one.field, one.title, one.compared, one.differing, one.rate)
            for unit in found.departments
            for one in unit.fields
        ],
        """
        resource | item  | base      | satellite | field | title    | compared | differing | rate
        tax      | name  | companies | -         | name  | name 项  | 2        | 1         | 0.5
        tax      | owner | companies | -         | owner | owner 项 | 1        | 0         | 0.0
        copies   | scope | companies | permits   | scope | scope 项 | 1        | 1         | 1.0
        """,
    )


def test_it_is_the_consistency_of_the_same_data(city: House) -> None:
    found = overview.dimensions(city, OPERATOR, Asked(), NOW)
    table(
        [
            (one.resource, i.code, i.unit, i.measured, i.passed, d.score)
            for one in found.resources
            for d in one.dimensions
            for i in d.indicators
            if d.code == "04" and i.code == "0401"
        ],
        """
        resource | code | unit       | measured | passed | of the dimension
        police   | 0401 | check      | 0        | 0      | -
        tax      | 0401 | comparison | 3        | 2      | 0.6666666666666666
        market   | 0401 | check      | 0        | 0      | -
        permits  | 0401 | check      | 0        | 0      | -
        copies   | 0401 | comparison | 1        | 0      | 0.0
        """,
    )


def test_the_newest_build_counts_and_of_a_day_that_is_past_the_newest_of_then(city: House) -> None:
    pooled(city, TAX, 2, [{"code": "A", "name": "金丝雀"}, {"code": "B", "name": "二厂"}])
    assert merge.build(city, "companies", on=BEFORE) is not None
    now = overview.contested(city, OPERATOR, Asked(resource="tax"))
    assert [(one.field, one.compared, one.differing) for one in now.departments[0].fields] == [("name", 2, 0)]
    yesterday = datetime.now(UTC).date() - timedelta(days=2)
    assert overview.contested(city, OPERATOR, Asked(until=yesterday)).departments == ()
    turned = merge.build(city, "companies", on=date(2026, 7, 1))
    assert turned is not None
    assert [unit.name for unit in overview.contested(city, OPERATOR, Asked()).departments] == ["民政局", "人社局"], (
        "since then the tax office's word on names counts, and the register is compared with it"
    )


def test_page_and_workbook_say_the_same_and_no_value(city: House) -> None:
    page = overview.page(city, OPERATOR, Asked(), NOW)
    workbook = overview.workbook(city, OPERATOR, Asked(), NOW)
    rows = fastexcel.read_excel(io.BytesIO(workbook).getvalue()).load_sheet(3, dtypes="string").to_polars().rows()
    assert [(row[2], row[4], row[5], row[6], row[8], row[9]) for row in rows] == [
        ("tax", "companies", None, "name", "2", "1"),
        ("tax", "companies", None, "owner", "1", "0"),
        ("copies", "companies", "permits", "scope", "1", "1"),
    ]
    assert 'permits.scope</small></td><td class="n">1</td><td class="n">1</td><td class="n">100.00%</td>' in page
    told = page + overview.contested(city, OPERATOR, Asked()).model_dump_json()
    assert [value for value in ("金丝雀", "金丝鸟", "食品") if value in told] == []


def test_a_department_sees_what_is_its_own_and_every_answer_is_recorded(city: House) -> None:
    tax = Caller("c-tax", DEPARTMENT_CODES["卫健委"])
    found = overview.contested(city, tax, Asked())
    assert [(unit.name, len(unit.fields)) for unit in found.departments] == [("卫健委", 2)]
    with pytest.raises(AccessRefused):
        overview.contested(city, tax, Asked(resource="copies"))
    assert [(one["action"], one["decision"]) for one in log(city)][-2:] == [
        ("quality_contested", "answered"),
        ("quality_contested", "refused"),
    ]


def test_a_house_without_bases_has_nothing_contested(house: House) -> None:
    assert overview.contested(house, OPERATOR, Asked()).departments == ()
