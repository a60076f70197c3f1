"""脱敏: how a sensitive value is shown to a department that was not granted it plain.

Invariant: a mask hides at least one character of every value that has one, keeps the length where the form allows it, and
never gives back a usable key. No national table exists; these are the conventions for partial display inside government
(concepts: GB/T 37964-2019, 屏蔽). A masked number that keeps 6 + 4 is personal information still.
"""

import re
from collections.abc import Callable

from exchange.delivery.mode import Json

_PAIRS = "欧阳太史端木上官司马东方独孤南宫万俟闻人夏侯诸葛尉迟公羊赫连澹台皇甫宗政濮阳公冶太叔申屠公孙慕容仲孙钟离长孙宇文司徒鲜于司空令狐呼延轩辕"
COMPOUND = {_PAIRS[at : at + 2] for at in range(0, len(_PAIRS), 2)}  # 复姓
_STREET = re.compile(r"^\D*(?:街道|大道|[路街巷弄道])")
_TOWN = re.compile(r"^\D*?(?:[县区旗]|(?<=.)市)\D{1,6}?[镇乡]|^\D{1,6}?[镇乡]")  # a village is as good as a door number
_REGION = re.compile(r"^\D*?(?:[县区旗]|(?<=.)市)")


def masked(rule: str, value: Json) -> Json:
    """A value under a rule of MASKS; nothing stays nothing. An unknown rule hides everything."""
    if value is None:
        return None
    return MASKS.get(rule, _all)(str(value))


def _ends(value: str, first: int, last: int) -> str:
    """Keep some characters at both ends; a value too short to hide at least as many as it shows is hidden whole."""
    hidden = len(value) - first - last
    if hidden < max(1, (first + last) // 4):
        return "*" * len(value)
    return value[:first] + "*" * hidden + value[len(value) - last :]


def _all(value: str) -> str:
    return "*" * len(value)


def _name(value: str) -> str:
    """王*, 王*明, 欧阳*, 欧阳*明."""
    surname = 2 if len(value) > 2 and value[:2] in COMPOUND else 1
    if len(value) <= surname:
        return "*" * len(value)
    last = 1 if len(value) > surname + 1 else 0
    return value[:surname] + "*" * (len(value) - surname - last) + value[len(value) - last :]


def _phone(value: str) -> str:
    """Area code and the last two digits: 0915*****79, 010-******78."""
    area = re.match(r"(?:0(?:10|2\d|[3-9]\d{2}))?-?", value)
    first = area.end() if area else 0
    return _ends(value, first, 2)


def _address(value: str) -> str:
    """To the street or town, or else to the county; village, door number and everything after are hidden."""
    found = _STREET.match(value) or _TOWN.match(value) or _REGION.match(value)
    kept = found.end() if found else 0
    kept = max(0, min(kept, len(value) - 1))
    return value[:kept] + "*" * (len(value) - kept)


def _email(value: str) -> str:
    """z***@host."""
    box, at, host = value.rpartition("@")
    if not at:
        return "*" * len(value)
    return box[:1] * (len(box) > 1) + "*" * max(1, len(box) - 1) + at + host


def _birth_date(value: str) -> str:
    """Year and month: 1990-03."""
    return value[:7] if re.match(r"\d{4}-\d{2}-\d{2}", value) else "*" * len(value)


MASKS: dict[str, Callable[[str], str]] = {
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
