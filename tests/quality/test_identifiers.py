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
CHARACTERS = "含有不允许的字符，请按证照核对 / holds a character that does not belong there; compare it with the document"
BIRTH = (
    "出生日期不存在、早于 1800 年或在将来，请按证照核对 / "
    "the date of birth does not exist, is before 1800 or in the future; compare it with the document"
)
EITHER = (
    "长度是 15 位，分不清是旧身份证号还是旧注册号，应为 18 位 / "
    "15 characters: an old resident number or an old registration number; 18 expected"
)
NEITHER = (
    "既不是有效的统一社会信用代码，也不是有效的公民身份号码，请按证照核对 / "
    "neither a valid social credit code nor a valid resident number; compare it with the document"
)


def length(found: int, expected: int) -> str:
    return f"长度是 {found} 位，应为 {expected} 位 / {found} characters, {expected} expected"


def check(standard: str) -> str:
    return (
        f"校验码不符（{standard}），有字符写错，请按证照核对 / "
        f"the check character does not fit ({standard}): a character is wrong; compare it with the document"
    )


BAD_RESIDENT = {
    "11010119491231002Y": CHARACTERS,
    "11010519490230002X": BIRTH,
    "820000199001010018": check("GB 11643"),
    "110105194912310020": check("GB 11643"),
    "11010519491231002x": CHARACTERS,  # normalising comes first
    "1101051949123100": length(16, 18),
    "": length(0, 18),
    "身份证号码身份证号码身份证号码身份证": CHARACTERS,
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
    "914403001922038217": check("GB 32100"),
    "91440300192203821I": CHARACTERS,
    "410800100012345": "长度是 15 位，应为 18 位（疑为旧注册号） / 15 characters, 18 expected (an old registration number?)",
    "4108001000123": length(13, 18),
    "": length(0, 18),
    "企业企业企业企业企业企业企业企业企业": CHARACTERS,
    "9144030A1922038216": CHARACTERS,  # letters in the region
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
    "192203820": check("GB 11714"),
    "19220382-1": length(10, 9),  # normalising comes first
    "19220382Y": CHARACTERS,
    "组织机构代码某某某": CHARACTERS,
    "": length(0, 9),
}
BAD_REGISTRATION = {
    "91440300192203821": length(17, 15),
    "41080210001234X": CHARACTERS,
    "": length(0, 15),
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


GOOD_CERT = [  # in use, as published by their issuers
    "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U",
    "1.2.156.3005.2.11100000MB03271699022.340100.000000016.001.9",
    "1.2.156.3005.2.11100000000013338W009.11330105002500287C.2025052201.002.0",
]
BAD_CERT = {
    GOOD_CERT[0][:-1] + "V": check("GB/T 36904"),
    GOOD_CERT[0].replace("403.001", "404.001"): check("GB/T 36904"),
    GOOD_CERT[0].replace(
        ".001.U", ".1.U"
    ): "各段的长度或字符不符（GB/T 36904） / a part has another length or character than GB/T 36904 says",
    GOOD_CERT[0].removesuffix(".U"): "以点分隔是 9 段，应为 10 段 / 9 parts between dots, 10 expected",
    GOOD_CERT[0].removeprefix("1."): "不以 1.2.156.3005.2. 开头 / does not begin with 1.2.156.3005.2.",
    GOOD_CERT[
        0
    ].lower(): "各段的长度或字符不符（GB/T 36904） / a part has another length or character than GB/T 36904 says",  # normalising comes first
    "": "不以 1.2.156.3005.2. 开头 / does not begin with 1.2.156.3005.2.",
}


def test_published_licence_identifiers_are_good(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.cert_identifier_ok("x"), GOOD_CERT) == [True] * len(GOOD_CERT)
    assert column(connection, identifiers.cert_bodies_ok("x"), GOOD_CERT) == [True, False, True], (
        "one issuer's code is short"
    )


def test_bad_licence_identifiers_say_why(connection: DuckDBPyConnection) -> None:
    assert column(connection, identifiers.cert_identifier_ok("x"), list(BAD_CERT)) == [False] * len(BAD_CERT)
    assert column(connection, identifiers.cert_identifier_fault("x"), list(BAD_CERT)) == list(BAD_CERT.values())


BAD_PARTY = {
    "914403001922038217": NEITHER,
    "11010519491231002Y": NEITHER,  # the alphabet of GB 32100 has a Y
    "91440300192203821I": CHARACTERS,
    "110105491231002": EITHER,
    "USA110119850101": EITHER,
    "": length(0, 18),
}


def test_a_party_is_a_company_or_a_person(connection: DuckDBPyConnection) -> None:
    good = [*GOOD_USCC, *GOOD_RESIDENT[:-1], None]
    assert column(connection, identifiers.party_code_ok("x", TODAY), good) == [True] * len(good)
    assert column(connection, identifiers.party_code_ok("x", TODAY), list(BAD_PARTY)) == [False] * len(BAD_PARTY)
    assert column(connection, identifiers.party_code_fault("x"), list(BAD_PARTY)) == list(BAD_PARTY.values())


def test_nothing_is_not_wrong(connection: DuckDBPyConnection) -> None:
    for check in (
        identifiers.resident_number_ok("x", TODAY),
        identifiers.uscc_ok("x"),
        identifiers.uscc_inner_ok("x"),
        identifiers.cert_identifier_ok("x"),
        identifiers.cert_bodies_ok("x"),
        identifiers.party_code_ok("x", TODAY),
    ):
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
CERTS = st.one_of(
    st.from_regex(
        r"\A1\.2\.156\.3005\.2\.[0-9A-Z]{18}[0-9]{3}\.[0-9A-Z]{1,19}\.[0-9A-Z]{1,33}\.[0-9]{3}\.[0-9A-Z]\Z", fullmatch=True
    ),
    st.text("0123456789ABZ.", max_size=80).map("1.2.156.3005.2.".__add__),
    st.text(max_size=90),
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


@MANY
@given(st.lists(CERTS, min_size=1, max_size=30))
def test_licence_identifiers_as_the_reference_says(connection: DuckDBPyConnection, certs: list[str]) -> None:
    certs = [text.replace("\x00", " ") for text in certs]
    bodies = [text.split(".")[5:9] for text in certs]
    mended = [
        text[:-1] + reference.cert_check("".join(body))
        for text, body in zip(certs, bodies, strict=True)
        if set("".join(body)) <= set(reference.ALPHABET_11714)
    ]
    everyone = certs + mended
    assert column(connection, identifiers.cert_identifier_ok("x"), everyone) == [
        reference.cert_identifier_ok(text) for text in everyone
    ]
    column(connection, identifiers.cert_identifier_fault("x"), everyone)  # never raises
    column(connection, identifiers.cert_bodies_ok("x"), everyone)


@MANY
@given(st.lists(st.one_of(NUMBERS, CODES), min_size=1, max_size=30))
def test_parties_as_the_reference_says(connection: DuckDBPyConnection, parties: list[str]) -> None:
    parties = [text.replace("\x00", " ") for text in parties]
    mended = [
        p[:17] + check(p[:17])
        for p in parties
        for check, allowed in ((reference.id_check, "0123456789"), (reference.uscc_check, reference.ALPHABET_32100))
        if len(p) == 18 and set(p[:17]) <= set(allowed)
    ]
    everyone = parties + mended
    assert column(connection, identifiers.party_code_ok("x", TODAY), everyone) == [
        reference.party_code_ok(party, TODAY) for party in everyone
    ]
