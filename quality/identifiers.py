"""公民身份号码 (GB 11643), 统一社会信用代码 (GB 32100) and the numbers it took the place of, 组织机构代码 (GB 11714) and 注册号,
电子证照标识 (GB/T 36904) as vectorised SQL expressions.

Invariant: every builder takes the SQL of a VARCHAR that was normalised (half width, upper case, no blanks) and
returns one expression that never raises, whatever the text. A check is true for NULL: absence is another rule's
business. tests/quality/reference.py says the same slowly, one number at a time.

The shape of the SQL follows three facts about the engine. Common subexpressions are evaluated once, except inside
AND, OR and CASE: so conditions are multiplied as 0/1 integers. A cast of eight or nine digits and integer arithmetic
beats seventeen substrings (1.2 s against 2.7 s for ten million numbers, two threads). A weighted sum of eight
characters takes three steps when they lie in the bytes of one 64-bit word and the weights are powers of one number.
"""

from collections.abc import Sequence
from datetime import date

from exchange.catalogue.sql import literal

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100: no I, O, S, V, Z

RESIDENT_FORM = "[0-9]{17}[0-9X]"
FOREIGNER_OLD_FORM = "[A-Z]{3}[0-9]{12}"  # 外国人永久居留身份证 before 2023-12-01; its check digit was never published
USCC_FORM = f"[{ALPHABET}]{{2}}[0-9]{{6}}[{ALPHABET}]{{10}}"
# 1.2.156.3005.2, then 证照类型代码 (the definer's code and three digits), 颁发机构代码 (eighteen by the standard, shorter ones are
# in use), 流水号, 版本号, 校验位
CERT_FORM = r"1\.2\.156\.3005\.2\.[0-9A-Z]{18}[0-9]{3}\.[0-9A-Z]{1,18}\.[0-9A-Z]{1,32}\.[0-9]{3}\.[0-9A-Z]"
PARTY_FORM = f"{RESIDENT_FORM}|{USCC_FORM}"

ORG_CODE_FORM = "[0-9A-Z]{8}[0-9X]"
ORG_CODE_WRITTEN = "[0-9A-Z]{8}-[0-9X]"  # as it stands on certificates
REGISTRATION_FORM = "[0-9]{15}"
FORMS = {
    "resident_number": RESIDENT_FORM,
    "uscc": USCC_FORM,
    "org_code": ORG_CODE_FORM,
    "registration_no": REGISTRATION_FORM,
    "cert_identifier": CERT_FORM,
    "party_code": PARTY_FORM,
}

# 登记管理部门 and 机构类别 that are in use (GB 32100-2015 and the notices that added to it)
USCC_CLASSES = (
    "11", "12", "13", "19", "21", "29", "31", "32", "33", "34", "35", "36", "39", "41", "49", "51", "52", "53", "54", "55",
    "59", "61", "62", "69", "71", "72", "79", "81", "82", "89", "91", "92", "93", "99", "A1", "A9", "G1", "G9", "J1", "J9",
    "N1", "N2", "N3", "N9", "Q1", "Q2", "Q3", "Q9", "Y1",
)  # fmt: skip

# what is wrong with a number, as SQL of a sentence in both languages
_BAD_BIRTH = (
    "'出生日期不存在、早于 1800 年或在将来，请按证照核对 / "
    "the date of birth does not exist, is before 1800 or in the future; compare it with the document'"
)
_OLD_REGISTRATION = "'长度是 15 位，应为 18 位（疑为旧注册号） / 15 characters, 18 expected (an old registration number?)'"
_OLD_EITHER = (
    "'长度是 15 位，分不清是旧身份证号还是旧注册号，应为 18 位 / "
    "15 characters: an old resident number or an old registration number; 18 expected'"
)
_BAD_CHARACTERS = (
    "'含有不允许的字符，请按证照核对 / holds a character that does not belong there; compare it with the document'"
)

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def resident_number_ok(expr: str, today: date) -> str:
    """Form, birth date (real, 1800-01-01 to `today`) and check character of GB 11643-1999.

    81/82/83 (residents of 港澳台) and 9-prefixed numbers (foreigners) follow the same rule; the fifteen-character form
    of the old foreigner's card counts as good. The region is not looked at: numbers keep the code of their day.
    """
    good = (
        f"{_one(_has_form(expr, RESIDENT_FORM))} * {_one(_birth_date_ok(expr, today))} * {_one(_resident_check_ok(expr))}"
    )
    # one divided by nothing is NULL, so only what is not good is asked the rest
    rest = f"{_one(f'{expr} IS NULL')} + {_one(_has_form(expr, FOREIGNER_OLD_FORM))}"
    return f"(coalesce(1 // coalesce({good}, 0), {rest}) > 0)"


def surely_resident_number(expr: str, today: date) -> str:
    """True only for a good number of eighteen characters (never for one that begins with 0), else false or NULL.

    All seventeen digits are one number, taken apart by arithmetic, which costs less than patterns and substrings.
    """
    digits = seventeen_digits(expr)
    last = f"strpos('0123456789X', substr({expr}, 18, 1))"  # one more than its value
    # The weights are 2^(18-i) modulo 11. Twice Σ aᵢ·2^(17-i) is wanted, and that sum is the number N itself less
    # Σ 2^(k+2)·⌊N/10^k⌋, since every step from ten to two takes eight times what stands before a digit.
    doubled = " - ".join([digits, *(f"{digits} // {10**k} * {2 ** (k + 2)}" for k in range(1, 17))])
    conditions = (
        f"TRY_CAST(left({expr}, 17) AS BIGINT)::VARCHAR = left({expr}, 17)",
        f"{digits} >= {10**16}",
        f"strlen({expr}) = 18",
        f"{last} > 0",
        f"(({doubled}) * 2 + {last}) % 11 = 2",
    )
    date_ok = _date_ok(f"({digits} // 1000 % 100000000)::INTEGER", today)
    return f"({' * '.join(map(_bit, conditions))} * {date_ok} = 1)"


def resident_number_fault(expr: str, today: date) -> str:
    """What is wrong with a bad number, as SQL giving a sentence in 中文 that repeats nothing of the number."""
    return _explain(
        (f"length({expr}) <> 18", _wrong_length(f"length({expr})", 18)),
        (f"NOT {_has_form(expr, RESIDENT_FORM)}", _BAD_CHARACTERS),
        (f"NOT coalesce({_birth_date_ok(expr, today)}, false)", _BAD_BIRTH),
        otherwise=_wrong_check("GB 11643"),
    )


def seventeen_digits(expr: str) -> str:
    """The first seventeen characters as a BIGINT, not negative and of seventeen digits at most; NULL where they are no
    number. (What they hold beside digits, an exponent say, is another's question.)"""
    return f"(abs(TRY_CAST(left({expr}, 17) AS BIGINT)) % {10**17})"


def upgrade_resident_number(expr: str) -> str:
    """The eighteen-character form of a fifteen-digit number; anything else unchanged.

    `19` goes before the year, `18` where the sequence is 996-999 (kept for those born before 1900).
    """
    century = f"CASE WHEN substr({expr}, 13, 3) >= '996' THEN '18' ELSE '19' END"
    body = f"(substr({expr}, 1, 6) || {century} || substr({expr}, 7, 9))"
    return f"CASE WHEN strlen({expr}) = 15 AND {_has_form(expr, '[0-9]{15}')} THEN {body} || {_resident_check(body)} ELSE {expr} END"


def uscc_ok(expr: str) -> str:
    """Alphabet, length and check character (mod 31) of GB 32100-2015."""
    first, second = _thirds(_word(expr, 1)), _thirds(_word(expr, 9))
    # with the check character (weight 1) the sum is divisible by 31
    total = f"{first} + {3**8 % 31} * {second} + {3**16 % 31} * {_value31(expr, 17)} + {_value31(expr, 18)}"
    good = f"{_one(_has_form(expr, USCC_FORM))} * {_one(f'({total}) % 31 = 0')}"
    return f"({_one(f'{expr} IS NULL')} + coalesce({good}, 0) > 0)"


def uscc_fault(expr: str) -> str:
    """What is wrong with a bad code, as SQL giving a sentence in 中文 that repeats nothing of the code."""
    return _explain(
        (f"length({expr}) = 15", _OLD_REGISTRATION),
        (f"length({expr}) <> 18", _wrong_length(f"length({expr})", 18)),
        (f"NOT {_has_form(expr, USCC_FORM)}", _BAD_CHARACTERS),
        otherwise=_wrong_check("GB 32100"),
    )


def uscc_inner_ok(expr: str) -> str:
    """The check character of the inner GB 11714 code (characters 9-16 against 17). Some real codes break it: a warning."""
    return f"({_one(f'{expr} IS NULL')} + {_one(f'{_org_check(expr, 9)} = substr({expr}, 17, 1)')} > 0)"


def org_code(uscc: str) -> str:
    """The 组织机构代码 inside a 统一社会信用代码."""
    return f"substr({uscc}, 9, 9)"


def org_code_ok(expr: str) -> str:
    """Eight characters and the check character of GB 11714, without the dash."""
    good = f"{_one(_has_form(expr, ORG_CODE_FORM))} * {_one(f'{_org_check(expr, 1)} = substr({expr}, 9, 1)')}"
    return f"({_one(f'{expr} IS NULL')} + coalesce({good}, 0) > 0)"


def org_code_fault(expr: str) -> str:
    """What is wrong with a bad code, as SQL giving a sentence in 中文 that repeats nothing of the code."""
    return _explain(
        (f"length({expr}) <> 9", _wrong_length(f"length({expr})", 9)),
        (f"NOT {_has_form(expr, ORG_CODE_FORM)}", _BAD_CHARACTERS),
        otherwise=_wrong_check("GB 11714"),
    )


def registration_no_ok(expr: str) -> str:
    """Fifteen digits. Nothing more is asked: numbers given out before 2007 have no check digit."""
    return f"({_one(f'{expr} IS NULL')} + {_one(_has_form(expr, REGISTRATION_FORM))} > 0)"


def registration_no_fault(expr: str) -> str:
    """What is wrong with a bad number, as SQL giving a sentence in 中文 that repeats nothing of it."""
    return _explain((f"length({expr}) <> 15", _wrong_length(f"length({expr})", 15)), otherwise=_BAD_CHARACTERS)


def uscc_class_known(expr: str) -> str:
    """Is the pair of 登记管理部门 and 机构类别 one of those in use."""
    return f"coalesce(substr({expr}, 1, 2) IN ({', '.join(repr(pair) for pair in USCC_CLASSES)}), true)"


def cert_identifier_ok(expr: str) -> str:
    """Form and check character of GB/T 36904-2018."""
    right = f"{_cert_check(expr)} = split_part({expr}, '.', 10)"
    return f"({_one(f'{expr} IS NULL')} + {_one(_has_form(expr, CERT_FORM))} * {_one(right)} > 0)"


def cert_identifier_fault(expr: str) -> str:
    """What is wrong with a bad identifier, as SQL giving a sentence in 中文 that repeats nothing of it."""
    parts = f"len(string_split({expr}, '.'))"
    return _explain(
        (
            f"NOT starts_with({expr}, '1.2.156.3005.2.')",
            "'不以 1.2.156.3005.2. 开头 / does not begin with 1.2.156.3005.2.'",
        ),
        (
            f"{parts} <> 10",
            f"'以点分隔是 ' || {parts} || ' 段，应为 10 段 / ' || {parts} || ' parts between dots, 10 expected'",
        ),
        (
            f"NOT {_has_form(expr, CERT_FORM)}",
            "'各段的长度或字符不符（GB/T 36904） / a part has another length or character than GB/T 36904 says'",
        ),
        otherwise=_wrong_check("GB/T 36904"),
    )


def cert_bodies_ok(expr: str) -> str:
    """Are the definer of the type and the issuer named by their codes of GB 32100. Some in use are not: a warning."""
    definer, issuer = f"left(split_part({expr}, '.', 6), 18)", f"split_part({expr}, '.', 7)"
    return f"coalesce({uscc_ok(definer)} AND {uscc_ok(issuer)}, true)"


def party_code_ok(expr: str, today: date) -> str:
    """行政相对人代码: a company's code or a person's number, whichever it is."""
    good = f"{_one(_has_form(expr, RESIDENT_FORM))} * {_one(resident_number_ok(expr, today))} + {_one(uscc_ok(expr))}"
    return f"({good} > 0)"


def party_code_fault(expr: str) -> str:
    """What is wrong with a bad code, as SQL giving a sentence in 中文 that repeats nothing of it."""
    return _explain(
        (f"length({expr}) = 15", _OLD_EITHER),
        (f"length({expr}) <> 18", _wrong_length(f"length({expr})", 18)),
        (f"NOT {_has_form(expr, PARTY_FORM)}", _BAD_CHARACTERS),
        otherwise=literal(
            "既不是有效的统一社会信用代码，也不是有效的公民身份号码，请按证照核对 / "
            "neither a valid social credit code nor a valid resident number; compare it with the document"
        ),
    )


def _one(condition: str) -> str:
    return f"coalesce({_bit(condition)}, 0)"


def _has_form(expr: str, form: str) -> str:
    return f"regexp_full_match({expr}, '{form}')"


def _explain(*cases: tuple[str, str], otherwise: str) -> str:
    return f"CASE {' '.join(f'WHEN {condition} THEN {sentence}' for condition, sentence in cases)} ELSE {otherwise} END"


def _wrong_length(found: str, expected: int, zh: str = "", en: str = "") -> str:
    return f"'长度是 ' || {found} || ' 位{zh}，应为 {expected} 位 / ' || {found} || ' characters{en}, {expected} expected'"


def _wrong_check(standard: str) -> str:
    return literal(
        f"校验码不符（{standard}），有字符写错，请按证照核对 / "
        f"the check character does not fit ({standard}): a character is wrong; compare it with the document"
    )


# --- GB 11643 -----------------------------------------------------------------------------------------------------


def _birth_date_ok(expr: str, today: date) -> str:
    return f"({_date_ok(f'TRY_CAST(substr({expr}, 7, 8) AS INTEGER)', today)} = 1)"


def _date_ok(number: str, today: date) -> str:
    """1 or 0 (NULL of NULL): is yyyymmdd a date of the calendar, not after today."""
    year, month, day = f"({number} // 10000)", f"({number} // 100 % 100)", f"({number} % 100)"
    leap = f"(({year} % 4 = 0)::TINYINT - ({year} % 100 = 0)::TINYINT + ({year} % 400 = 0)::TINYINT)"
    # the days of a month as arithmetic: a date parser takes five times as long
    last = f"(30 + ({month} + ({month} > 7)::TINYINT) % 2 - ({month} = 2)::TINYINT * (2 - {leap}))"
    inside = f"{_bit(f'{number} >= 18000101')} * {_bit(f'{number} <= {today:%Y%m%d}')}"
    real = f"{_bit(f'{month} >= 1')} * {_bit(f'{month} <= 12')} * {_bit(f'{day} >= 1')} * {_bit(f'{day} <= {last}')}"
    return f"({inside} * {real})"


def _bit(condition: str) -> str:
    return f"({condition})::TINYINT"


def _resident_check_ok(expr: str) -> str:
    return f"({_resident_check(expr)} = substr({expr}, 18, 1))"


def _resident_check(expr: str) -> str:
    """The check character of the first seventeen digits, read as nine and eight."""
    head, tail = f"TRY_CAST(substr({expr}, 1, 9) AS INTEGER)", f"TRY_CAST(substr({expr}, 10, 8) AS INTEGER)"
    terms = [f"{head} // {10 ** (8 - i)} % 10 * {_WEIGHTS[i]}" for i in range(9)]
    terms += [f"{tail} // {10 ** (7 - i)} % 10 * {_WEIGHTS[9 + i]}" for i in range(8)]
    return f"substr('10X98765432', CAST(({' + '.join(terms)}) % 11 AS BIGINT) + 1, 1)"


# --- GB 11714 -----------------------------------------------------------------------------------------------------


def _org_check(expr: str, start: int) -> str:
    """The check character of the eight characters from `start`."""
    # weights 3 7 9 10 5 8 4 2 are 2⁸ … 2¹ modulo 11; the fold gives 2⁷ … 2⁰
    total = f"2 * {_halves(_word(expr, start))}"
    return f"substr('0X987654321', CAST(({total}) % 11 AS BIGINT) + 1, 1)"


# --- GB/T 36904 ---------------------------------------------------------------------------------------------------

_ALPHABET36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def _cert_check(expr: str) -> str:
    """ISO/IEC 7064 MOD 37,36 over the four parts in the middle. A character's step depends on all before it, so there is no
    sum to fold: a list is reduced (4.6 s for a million identifiers on one thread; written out it takes 19 s)."""
    body = " || ".join(f"split_part({expr}, '.', {part})" for part in range(6, 10))
    values = f"list_transform(string_split({body}, ''), lambda c: strpos('{_ALPHABET36}', c) - 1)"
    state = f"list_reduce({values}, lambda p, v: ((p + v + 35) % 36 + 1) * 2 % 37, 36::BIGINT)"
    return f"substr('{_ALPHABET36}', (37 - {state}) % 36 + 1, 1)"


# --- eight characters in one word ---------------------------------------------------------------------------------


def _word(expr: str, start: int) -> str:
    """Eight characters from `start` as the bytes of a UBIGINT, the first one highest; NULL where that can't be."""
    return f"TRY_CAST('0x' || hex(substr({expr}, {start}, 8)) AS UBIGINT)"


def _every(byte: int) -> str:
    return f"{int(f'{byte:02x}' * 8, 16)}::UBIGINT"


def _above(word: str, character: str) -> str:
    """1 in every byte whose character comes after the given one."""
    return f"((({word} & {_every(0x7F)}) + {_every(0x7F - ord(character))}) >> 7 & {_every(1)})"


def _value36(word: str) -> str:
    """Bytes '0'-'9', 'A'-'Z' to 0-9, 10-35. The high bit keeps a byte below '0' from borrowing of its neighbour."""
    return f"((({word} | {_every(0x80)}) - {_every(ord('0'))} & {_every(0x7F)}) - 7::UBIGINT * {_above(word, '@')})"


def _thirds(word: str) -> str:
    """Σ vᵢ · 3^(i-1) over the eight characters, v by the alphabet of GB 32100."""
    skipped = " - ".join(_above(word, letter) for letter in "IOSV")
    return _fold(f"({_value36(word)} - {skipped})", (1, 3), (1, 9), (1, 81))


def _halves(word: str) -> str:
    """Σ vᵢ · 2^(8-i) over the eight characters, v by all thirty-six."""
    return _fold(_value36(word), (2, 1), (4, 1), (16, 1))


def _fold(lanes: str, *weights: Sequence[int]) -> str:
    """Add neighbouring lanes of 8, 16 and 32 bits, the higher times the first weight, the lower times the second."""
    for width, mask, (high, low) in zip(
        (8, 16, 32), (0x00FF00FF00FF00FF, 0x0000FFFF0000FFFF, 0x00000000FFFFFFFF), weights, strict=True
    ):
        kept = f"{mask}::UBIGINT"
        lanes = f"(({lanes} >> {width} & {kept}) * {high}::UBIGINT + ({lanes} & {kept}) * {low}::UBIGINT)"
    return f"{lanes}::BIGINT"


def _value31(expr: str, position: int) -> str:
    return f"(strpos('{ALPHABET}', substr({expr}, {position}, 1)) - 1)"
