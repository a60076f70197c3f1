"""统一社会信用代码 of a department: GB 32100-2015, form and check digit.

Invariant: only for the handful of codes in a catalogue; the codes in pushed rows are checked in SQL (quality/identifiers.py).
"""

ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # 31 characters, without I O S V Z


def check_digit(first_17: str) -> str:
    """The 18th character. Raises ValueError when a character is not of the alphabet."""
    total = sum(ALPHABET.index(character) * pow(3, place, 31) for place, character in enumerate(first_17))
    return ALPHABET[-total % 31]


def valid(code: str) -> bool:
    """Eighteen characters of the alphabet, region in digits, check digit right."""
    return (
        len(code) == 18
        and all(character in ALPHABET for character in code)
        and code[2:8].isascii()
        and code[2:8].isdigit()
        and check_digit(code[:17]) == code[17]
    )
