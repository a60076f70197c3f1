"""The slow, obvious way to check identifiers: one number at a time, as the standards are written."""

import re
from datetime import date

WEIGHTS_11643 = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ALPHABET_32100 = "0123456789ABCDEFGHJKLMNPQRTUWXY"
ALPHABET_11714 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def id_check(body: str) -> str:
    total = sum(int(digit) * weight for digit, weight in zip(body, WEIGHTS_11643, strict=True))
    return "10X98765432"[total % 11]


def resident_number_ok(number: str, today: date) -> bool:
    if re.fullmatch(r"[A-Z]{3}[0-9]{12}", number):
        return True
    if not re.fullmatch(r"[0-9]{17}[0-9X]", number):
        return False
    try:
        born = date(int(number[6:10]), int(number[10:12]), int(number[12:14]))
    except ValueError:
        return False
    return date(1800, 1, 1) <= born <= today and id_check(number[:17]) == number[17]


def upgraded(number: str) -> str:
    if not re.fullmatch(r"[0-9]{15}", number):
        return number
    century = "18" if number[12:] in ("996", "997", "998", "999") else "19"
    body = number[:6] + century + number[6:]
    return body + id_check(body)


def uscc_check(body: str) -> str:
    total = sum(ALPHABET_32100.index(character) * pow(3, i, 31) for i, character in enumerate(body))
    return ALPHABET_32100[(31 - total % 31) % 31]


def uscc_ok(code: str) -> bool:
    form = f"[{ALPHABET_32100}]{{2}}[0-9]{{6}}[{ALPHABET_32100}]{{10}}"
    return re.fullmatch(form, code) is not None and uscc_check(code[:17]) == code[17]


def org_check(body: str) -> str:
    total = sum(ALPHABET_11714.index(c) * weight for c, weight in zip(body, (3, 7, 9, 10, 5, 8, 4, 2), strict=True))
    return {10: "X", 11: "0"}.get(11 - total % 11, str(11 - total % 11))


def org_code_ok(code: str) -> bool:
    return re.fullmatch("[0-9A-Z]{8}[0-9X]", code) is not None and org_check(code[:8]) == code[8]


def uscc_inner_ok(code: str) -> bool:
    return org_check(code[8:16]) == code[16]


def cert_check(body: str) -> str:
    """ISO/IEC 7064 MOD 37,36, as the standard writes it."""
    p = 36
    for character in body:
        p = ((p + ALPHABET_11714.index(character)) % 36 or 36) * 2 % 37
    return ALPHABET_11714[(37 - p) % 36]


def cert_identifier_ok(text: str) -> bool:
    form = r"1\.2\.156\.3005\.2\.([0-9A-Z]{18}[0-9]{3})\.([0-9A-Z]{1,18})\.([0-9A-Z]{1,32})\.([0-9]{3})\.([0-9A-Z])"
    found = re.fullmatch(form, text)
    return found is not None and cert_check("".join(found.groups()[:4])) == found[5]


def party_code_ok(text: str, today: date) -> bool:
    return uscc_ok(text) or (len(text) == 18 and resident_number_ok(text, today))
