r"""脱敏 in the engine: the masks of mask.py as SQL, for what is read row by row by nobody (a theme's build).

Invariant: for every text, the SQL of a rule gives what `mask.masked` gives; a test draws texts and compares. Where the two
languages of patterns differ (digits beyond ASCII, looking back), the pattern here says what Python's means: \p{Nd} for \d.
"""

from collections.abc import Callable
from typing import Final

from exchange.catalogue.sql import literal
from exchange.delivery.mask import COMPOUND

_D: Final = r"\p{Nd}"
_N: Final = r"\P{Nd}"  # no digit
_STREET: Final = rf"^{_N}*(?:街道|大道|[路街巷弄道])"
_COUNTY: Final = rf"(?:[县区旗]|{_N}*?(?:{_N}[县区旗]|[^\p{{Nd}}\n]市))"  # a 市 that something stands before
_TOWN: Final = rf"^(?:{_COUNTY}{_N}{{1,6}}?[镇乡]|{_N}{{1,6}}?[镇乡])"
_REGION: Final = rf"^{_COUNTY}"


def masked_sql(rule: str, value: str) -> str:
    """SQL: a text (SQL too) under a rule of MASKS; NULL stays NULL. An unknown rule hides everything."""
    return MASKS_SQL.get(rule, _all)(f"({value})")


def _ends(value: str, first: int | str, last: int) -> str:
    hidden = f"(length({value}) - ({first}) - {last})"
    least = f"greatest(1, (({first}) + {last}) // 4)"
    shown = f"left({value}, {first}) || repeat('*', {hidden}) || right({value}, {last})"
    return f"CASE WHEN {hidden} < {least} THEN {_all(value)} ELSE {shown} END"


def _all(value: str) -> str:
    return f"repeat('*', length({value}))"


def _name(value: str) -> str:
    pairs = ", ".join(literal(pair) for pair in sorted(COMPOUND))
    surname = f"(CASE WHEN length({value}) > 2 AND left({value}, 2) IN ({pairs}) THEN 2 ELSE 1 END)"
    last = f"(CASE WHEN length({value}) > {surname} + 1 THEN 1 ELSE 0 END)"
    shown = f"left({value}, {surname}) || repeat('*', length({value}) - {surname} - {last}) || right({value}, {last})"
    return f"CASE WHEN length({value}) <= {surname} THEN {_all(value)} ELSE {shown} END"


def _phone(value: str) -> str:
    area = f"length(regexp_extract({value}, '^(?:0(?:10|2{_D}|[3-9]{_D}{{2}}))?-?'))"
    return _ends(value, area, 2)


def _address(value: str) -> str:
    found = (
        "coalesce(" + ", ".join(f"nullif(regexp_extract({value}, '{p}'), '')" for p in (_STREET, _TOWN, _REGION)) + ", '')"
    )
    kept = f"greatest(0, least(length({found}), length({value}) - 1))"
    return f"left({value}, {kept}) || repeat('*', length({value}) - {kept})"


def _email(value: str) -> str:
    box = f"(length({value}) - strpos(reverse({value}), '@'))"  # characters before the last @
    shown = (
        f"CASE WHEN {box} > 1 THEN left({value}, 1) ELSE '' END || repeat('*', greatest(1, {box} - 1)) || "
        f"substr({value}, {box} + 1)"
    )
    return f"CASE WHEN strpos({value}, '@') = 0 THEN {_all(value)} ELSE {shown} END"


def _birth_date(value: str) -> str:
    day = f"regexp_matches({value}, '^{_D}{{4}}-{_D}{{2}}-{_D}{{2}}')"
    return f"CASE WHEN {day} THEN left({value}, 7) ELSE {_all(value)} END"


MASKS_SQL: Final[dict[str, Callable[[str], str]]] = {
    "name": _name,
    "resident_number": lambda value: _ends(value, 6, 4),
    "mobile": lambda value: _ends(value, 3, 4),
    "phone": _phone,
    "address": _address,
    "email": _email,
    "bank_card": lambda value: _ends(value, 6, 4),
    "plate": lambda value: _ends(value, 4, 1),
    "birth_date": _birth_date,
    "all": _all,
}
