"""Rules as data: what a catalogue entry compiles to, region warnings, and words of more than 63 bits."""

from datetime import date

import pytest
from duckdb import DuckDBPyConnection

from exchange import catalogue
from exchange.catalogue.model import Level
from exchange.house import House
from quality import regions, rules
from quality.report import INDICATORS
from tests import make
from tests.quality import kit
from tests.quality.kit import column


def test_a_resource_compiles_to_these_rules_in_this_order(house: House) -> None:
    make.small_city(house)
    compiled = rules.compile_rules(catalogue.resource(house, "police_household"), date(2026, 11, 22))
    assert [(rule.id, rule.level.value, rule.indicator) for rule in compiled] == [
        ("row.shape", "quarantine", "0302"),
        ("id_number.required", "quarantine", "0201"),
        ("id_number.resident_number", "quarantine", "0301"),
        ("id_number.region", "warn", "0105"),
        ("id_number.region_at_birth", "warn", "0503"),
        ("name.required", "quarantine", "0201"),
        ("name.length", "quarantine", "0101"),
        ("name.lost_character", "quarantine", "0301"),
        ("name.characters", "warn", "0302"),
        ("sex_code.code", "quarantine", "0105"),
        ("birth_date.type", "quarantine", "0101"),
        ("address.length", "quarantine", "0101"),
        ("address.lost_character", "quarantine", "0301"),
        ("mobile.length", "quarantine", "0101"),
        ("mobile.lost_character", "quarantine", "0301"),
        ("updated_at.type", "quarantine", "0101"),
        ("key.unique", "quarantine", "0304"),
    ]
    assert {rule.indicator for rule in compiled} <= set(INDICATORS)
    assert [rule.id for rule in compiled if not (rule.title and rule.title_en)] == []


def test_what_the_rules_are_shows_in_their_digest(house: House) -> None:
    make.small_city(house)
    resource = catalogue.resource(house, "police_household")
    one = rules.compile_rules(resource, date(2026, 11, 22))
    assert rules.digest(one) == rules.digest(rules.compile_rules(resource, date(2026, 11, 22)))
    assert rules.digest(one) != rules.digest(one[:-1])


REGIONS = {
    # number: (the region once existed, founded by birth or by 1984)
    "410802199001010000": (True, True),
    "440524188001010014": (True, True),  # 潮阳县 1983-1992: nobody was numbered before it
    "340524198001010000": (False, True),  # in textbooks, in no register
    "411325195001010000": (True, False),  # 内乡县 has this code since 1994
    "411325199401010000": (True, True),
    "411325199301010000": (True, False),
    "810000199408230021": (True, True),
    "911124198108030024": (True, True),  # a foreigner, from 北京
    "999124198108030024": (False, True),  # a foreigner, from nowhere
}


def test_regions_through_time(connection: DuckDBPyConnection) -> None:
    known = column(connection, regions.known("x"), [*REGIONS, None])
    founded = column(connection, regions.existed_at_birth("x"), [*REGIONS, None])
    assert dict(zip(REGIONS, zip(known, founded, strict=True), strict=False)) == REGIONS
    assert (known[-1], founded[-1]) == (True, True)


def test_warned_rows_pass_and_are_counted(house: House) -> None:
    make.small_city(house)
    unknown, young = make.with_check("34052419800101001"), make.with_check("41132519500101001")
    verdict = kit.judge(house, "police_household", f"公民身份号码|姓名\n{unknown}|甲\n{young}|乙\n{make.resident(1)}|丙")
    assert (verdict.decision, verdict.accepted_rows, verdict.warned_rows) == ("accepted", 3, 2)
    assert kit.failed(verdict) == {"id_number.region": 1, "id_number.region_at_birth": 1}
    assert kit.row_errors(house, verdict.push_id) == []
    noted = kit.row_errors(house, verdict.push_id, warnings=True)
    assert [line[:3] for line in noted] == [
        ["1", "公民身份号码", "id_number.region"],
        ["2", "公民身份号码", "id_number.region_at_birth"],
    ]


def test_an_inner_digit_or_an_unused_kind_only_warns(house: House) -> None:
    make.small_city(house)
    verdict = kit.judge(
        house,
        "market_entity",
        f"统一社会信用代码|企业名称\n914403001922038203|甲\n{make.uscc(5, kind='97')}|乙\n{make.uscc(6)}|丙",
        caller=kit.MARKET,
    )
    assert (verdict.accepted_rows, verdict.warned_rows) == (3, 2)
    assert kit.failed(verdict) == {"uscc.uscc_inner": 1, "uscc.uscc_class": 1}


def test_personal_numbers_in_an_item_that_is_declared_harmless_warn(house: House) -> None:
    note = make.resource(
        "note", make.POLICE, [make.item("code", "编号", "C10"), make.item("text", "说明", "C200")], ["code"]
    )
    note["items"][0]["required"] = True
    kit.publish(house, note)
    verdict = kit.judge(
        house,
        "note",
        f"编号|说明\n1|见{make.resident(3)}卷\n2|电话13800138000\n3|订单138001380001\n4|{make.uscc(3)}\n5|",
    )
    assert kit.failed(verdict) == {"text.sensitivity": 2}
    assert verdict.warned_rows == 2


def test_a_resource_of_more_than_63_rules_uses_more_words(house: House) -> None:
    items = [make.item("code", "编号", "C10", required=True), *[make.item(f"n{i:03}", f"数{i}", "I2") for i in range(70)]]
    kit.publish(house, make.resource("wide", make.POLICE, items, ["code"], quarantine_threshold=1.0))
    header = ["编号", *(f"数{i}" for i in range(70))]
    rows = [[str(row), *("1" for _ in range(70))] for row in range(3)]
    rows[1][1], rows[2][70] = "x", "100"
    push = kit.land(house, "wide", header, rows)
    from quality import gate

    verdict = gate.check(house, push)
    assert len(verdict.rules) > 2 * rules.WORD
    assert kit.failed(verdict) == {"n000.type": 1, "n069.length": 1}
    assert [line[0] for line in kit.row_errors(house, push)] == ["2", "3"]


@pytest.mark.parametrize("level", list(Level))
def test_the_mask_of_levels_is_made_of_the_bits_of_its_rules(connection: DuckDBPyConnection, level: Level) -> None:
    several = [rules.Rule(f"r{n}", list(Level)[n % 3], "0104", (), "", "", "true") for n in range(rules.WORD + 5)]
    for index, rule in enumerate(several):
        word, mask = rules.bit(index)
        other = {"_fails_0": "_fails_1", "_fails_1": "_fails_0"}[word]
        row = f"(SELECT {mask}::UBIGINT AS {word}, 0::UBIGINT AS {other})"
        found = connection.execute(
            f"SELECT {rules.fails_any(several, (level,))}, {rules.fails(index)} FROM {row}"
        ).fetchone()
        assert found == (rule.level is level, True)
