"""Published vectors, and Hypothesis between the SQL and the slow reference."""

from datetime import date

from duckdb import DuckDBPyConnection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quality import identifiers
from tests.quality import reference
from tests.quality.kit import column

TODAY = date(2026, 11, 22)


GOOD_RESIDENT = [
    "11010519491231002X",  # GB 11643's own examples
    "440524188001010014",
    "34052419800101001X",
    "53010219200508011X",
    "110101199003074477",
    "440308199901101512",
    "610104196209276908",
    "810000199408230021",  # 香港
    "830000199201300022",  # 台湾
    "911124198108030024",  # foreigners: specimens of 国家移民管理局
    "932682198501010017",
    "USA110119850101",  # the foreigner's card before 2023-12
]
BAD_RESIDENT = {
    "11010119491231002Y": "含有不允许的字符",
    "11010519490230002X": "出生日期不存在、早于 1800 年或在将来",
    "820000199001010018": "校验码不符（GB 11643）",
    "110105194912310020": "校验码不符（GB 11643）",
    "11010519491231002x": "含有不允许的字符",  # normalising comes first
    "1101051949123100": "长度是 16 位，应为 18 位",
    "": "长度是 0 位，应为 18 位",
    "身份证号码身份证号码身份证号码身份证": "含有不允许的字符",
}


def test_published_resident_numbers_are_good(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.resident_number_ok("x", TODAY), GOOD_RESIDENT) == [True] * len(GOOD_RESIDENT)


def test_bad_resident_numbers_say_why(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.resident_number_ok("x", TODAY), list(BAD_RESIDENT)) == [False] * len(BAD_RESIDENT)
    reasons = column(connection, identifiers.resident_number_fault("x", TODAY), list(BAD_RESIDENT))
    assert dict(zip(BAD_RESIDENT, reasons, strict=True)) == BAD_RESIDENT


def test_someone_born_tomorrow_is_not_good(connection: DuckDBPyConnection) -> None:
    def number(day: str) -> str:
        return f"410811{day}001" + reference.id_check(f"410811{day}001")

    numbers = [number("20261121"), number("20261122"), number("20261123"), number("17991231"), number("18000101")]
    assert column(connection, identifiers.resident_number_ok("x", TODAY), numbers) == [True, True, False, False, True]


def test_fifteen_digits_become_eighteen(connection: DuckDBPyConnection) -> None:
    table = {
        "110105491231002": "11010519491231002X",
        "610104620927690": "610104196209276908",
        "110105991231997": "110105189912319976",  # a sequence kept for those born before 1900
        "11010549123100A": "11010549123100A",
        "11010519491231002X": "11010519491231002X",
        "": "",
    }
    assert reference.upgraded("110105991231997") == table["110105991231997"]
    assert column(connection, identifiers.upgrade_resident_number("x"), list(table)) == list(table.values())


GOOD_USCC = [
    "91350100M000100Y43",  # the worked example of GB 32100-2015
    "914403001922038216",
    "91440300708461136T",
    "9144030071526726XG",
    "91330100799655058B",
    "91110000802100433B",
    "91110108551385082Q",
    "91340000711771143J",
    "91440300192317458F",
    "91100000100003962T",
    "911100001000044477",
    "91440400192548256N",
    "11100000000013338W",
    "11100000MB03271699",
]
BAD_USCC = {
    "914403001922038217": "校验码不符（GB 32100）",
    "91440300192203821I": "含有不允许的字符",
    "410800100012345": "长度是 15 位，应为 18 位（疑为旧注册号）",
    "4108001000123": "长度是 13 位，应为 18 位",
    "": "长度是 0 位，应为 18 位",
    "企业企业企业企业企业企业企业企业企业": "含有不允许的字符",
    "9144030A1922038216": "含有不允许的字符",  # letters in the region
}


def test_published_codes_are_good_on_both_check_characters(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.uscc_ok("x"), GOOD_USCC) == [True] * len(GOOD_USCC)
    assert column(connection, identifiers.uscc_inner_ok("x"), GOOD_USCC) == [True] * len(GOOD_USCC)
    assert column(connection, identifiers.uscc_class_known("x"), GOOD_USCC) == [True] * len(GOOD_USCC)


def test_bad_codes_say_why(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.uscc_ok("x"), list(BAD_USCC)) == [False] * len(BAD_USCC)
    assert column(connection, identifiers.uscc_fault("x"), list(BAD_USCC)) == list(BAD_USCC.values())


def test_a_forged_inner_digit_passes_the_outer_check_only(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.uscc_ok("x"), ["914403001922038203"]) == [True]
    assert column(connection, identifiers.uscc_inner_ok("x"), ["914403001922038203"]) == [False]


BAD_ORG = {
    "192203820": "校验码不符（GB 11714）",
    "19220382-1": "长度是 10 位，应为 9 位",  # normalising comes first
    "19220382Y": "含有不允许的字符",
    "组织机构代码某某某": "含有不允许的字符",
    "": "长度是 0 位，应为 9 位",
}
BAD_REGISTRATION = {
    "91440300192203821": "长度是 17 位，应为 15 位",
    "41080210001234X": "含有不允许的字符",
    "": "长度是 0 位，应为 15 位",
}


def test_the_organisation_code_inside_a_published_code_is_good(connection: DuckDBPyConnection) -> None:
    inner = column(connection, identifiers.org_code("x"), GOOD_USCC)
    assert inner == [code[8:17] for code in GOOD_USCC]
    assert column(connection, identifiers.org_code_ok("x"), [*map(str, inner), None]) == [True] * (len(inner) + 1)


def test_bad_older_numbers_say_why(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.org_code_ok("x"), list(BAD_ORG)) == [False] * len(BAD_ORG)
    assert column(connection, identifiers.org_code_fault("x"), list(BAD_ORG)) == list(BAD_ORG.values())
    wrong = list(BAD_REGISTRATION)
    assert column(connection, identifiers.registration_no_ok("x"), wrong) == [False] * len(wrong)
    assert column(connection, identifiers.registration_no_fault("x"), wrong) == list(BAD_REGISTRATION.values())
    assert column(connection, identifiers.registration_no_ok("x"), ["410802100012345", None]) == [True, True]


def test_an_unused_pair_of_authority_and_kind(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.uscc_class_known("x"), ["97", "9", "N2", None]) == [False, False, True, True]


def test_nothing_is_not_wrong(connection: DuckDBPyConnection) -> None:
    for check in (identifiers.resident_number_ok("x", TODAY), identifiers.uscc_ok("x"), identifiers.uscc_inner_ok("x")):
        assert column(connection, check, [None]) == [True]


NUMBERS = st.one_of(
    st.from_regex(r"\A[1-9][0-9]{5}(1[789]|20)[0-9]{2}(0[0-9]|1[0-3])[0-3][0-9][0-9]{3}[0-9X]\Z"),
    st.from_regex(r"\A[0-9]{15}\Z"),
    st.from_regex(r"\A[A-Z]{3}[0-9]{12}\Z"),
    st.text(max_size=20),
)
CODES = st.one_of(
    st.from_regex(rf"\A[{reference.ALPHABET_32100}]{{2}}[0-9]{{6}}[{reference.ALPHABET_32100}]{{10}}\Z"),
    st.from_regex(r"\A[0-9A-Z]{18}\Z"),
    st.text(max_size=20),
    st.text(st.characters(max_codepoint=127), min_size=18, max_size=18),
)
MANY = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(st.lists(NUMBERS, min_size=1, max_size=30))
def test_resident_numbers_as_the_reference_says(connection: DuckDBPyConnection, numbers: list[str]) -> None:
    numbers = [text.replace("\x00", " ") for text in numbers]
    mended = [
        n[:17] + reference.id_check(n[:17]) for n in numbers if len(n) == 18 and n[:17].isascii() and n[:17].isdigit()
    ]
    everyone = numbers + mended
    assert column(connection, identifiers.resident_number_ok("x", TODAY), everyone) == [
        reference.resident_number_ok(number, TODAY) for number in everyone
    ]
    surely = column(connection, identifiers.surely_resident_number("x", TODAY), everyone)
    assert [number for number, sure in zip(everyone, surely, strict=True) if sure] == [
        number
        for number in everyone
        if len(number) == 18 and number[0] != "0" and reference.resident_number_ok(number, TODAY)
    ]
    assert column(connection, identifiers.upgrade_resident_number("x"), everyone) == [
        reference.upgraded(n) for n in everyone
    ]


@MANY
@given(st.lists(st.one_of(st.from_regex(r"\A[0-9A-Z]{9}\Z"), st.text(max_size=10)), min_size=1, max_size=30))
def test_organisation_codes_as_the_reference_says(connection: DuckDBPyConnection, codes: list[str]) -> None:
    codes = [text.replace("\x00", " ") for text in codes]
    mended = [c[:8] + reference.org_check(c[:8]) for c in codes if len(c) == 9 and set(c) <= set(reference.ALPHABET_11714)]
    everyone = codes + mended
    assert column(connection, identifiers.org_code_ok("x"), everyone) == [reference.org_code_ok(c) for c in everyone]


@MANY
@given(st.lists(CODES, min_size=1, max_size=30))
def test_codes_as_the_reference_says(connection: DuckDBPyConnection, codes: list[str]) -> None:
    codes = [text.replace("\x00", " ") for text in codes]
    mended = [
        c[:17] + reference.uscc_check(c[:17]) for c in codes if len(c) == 18 and set(c) <= set(reference.ALPHABET_32100)
    ]
    everyone = codes + mended
    assert column(connection, identifiers.uscc_ok("x"), everyone) == [reference.uscc_ok(code) for code in everyone]
    formed = [code for code in everyone if len(code) == 18 and set(code) <= set(reference.ALPHABET_11714)]
    assert column(connection, identifiers.uscc_inner_ok("x"), formed) == [reference.uscc_inner_ok(code) for code in formed]
