r"""A key as somebody types it, and its one spelling in pools, indexes and evidence.

Invariant: `stored` makes of a typed key what the gate made of the same text when it was pushed (quality/normalise.py says it
in SQL; a test holds both against each other), so that no row is out of reach. A key of several items is written with bars,
`甲|7`; a bar or backslash inside a part has a backslash before it, so that no two keys are written alike.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from exchange.catalogue.model import BaseEntry, DataType, Item
from exchange.catalogue.sql import quoted
from exchange.errors import RequestInvalid

# every blank that was seen in real files: ASCII, no-break, en to hair, zero-width, line and paragraph, ideographic, BOM
BLANKS = " \t\n\r\v\f\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u200b\u2028\u2029\u202f\u3000\ufeff"
_NARROW = {0xFF01 + place: 0x21 + place for place in range(94)}
_ASCII_UPPER = {ord("a") + place: ord("A") + place for place in range(26)}
_WITHOUT_BLANKS = dict.fromkeys(map(ord, BLANKS))
_PARTS = re.compile(r"((?:[^\\|]|\\.|\\$)*)(\||$)", re.DOTALL)
_DAY = re.compile(r"([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?")
_PLAIN_DAY = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})")
_WHOLE = re.compile(r"([-+]?)0*([0-9]+?)(?:\.0+)?")
_ORG_CODE = re.compile(r"[0-9A-Z]{8}-[0-9X]")
_FIFTEEN = re.compile(r"[0-9]{15}")
_SUBJECT = re.compile(r"[1-9][0-9]{16}[0-9X]|[0-9A-HJ-NPQRTUWXY]{2}[0-9]{6}[0-9A-HJ-NPQRTUWXY]{10}")
_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


@dataclass(frozen=True)
class KeyItem:
    """One item of a key: what its text is. `older`: it may be asked for by an older number (组织机构代码, 注册号) as well."""

    name: str
    type: DataType = DataType.TEXT
    identifier: str | None = None
    older: bool = False

    @classmethod
    def of(cls, item: Item) -> "KeyItem":
        """Of an item of the catalogue."""
        return cls(item.name, item.type, item.identifier)

    @classmethod
    def of_base(cls, entry: BaseEntry) -> "KeyItem":
        """Of a base: an entity is asked for by whichever of its numbers the asker has."""
        return cls(entry.key, identifier=entry.key_identifier, older=entry.key_identifier == "uscc")


def stored(items: Sequence[KeyItem], typed: str) -> str:
    """The spelling of a typed key.

    Raises:
        RequestInvalid: it has not as many parts as the key has items.
    """
    if len(items) == 1:
        return _spelled(items[0], typed)
    parts = split(typed)
    if len(parts) != len(items):
        names = "|".join(item.name for item in items)
        raise RequestInvalid(
            f"主键由 {len(items)} 项组成，应写作 {names}（竖线分隔，项内的竖线前加反斜线），收到 {len(parts)} 项",
            f"the key has {len(items)} items, written {names} (a bar inside an item gets a backslash); got {len(parts)}",
            reason="malformed",
            missing=["keys"],
        )
    return "|".join(_escaped(_spelled(item, part)) for item, part in zip(items, parts, strict=True))


def sql(names: Sequence[str]) -> str:
    """SQL: the spelling of a row's key."""
    if len(names) == 1:
        return f"{quoted(names[0])}::VARCHAR"
    return " || '|' || ".join(escaped(quoted(name)) for name in names)


def escaped(expression: str) -> str:
    """SQL: one part of a key of several items."""
    return rf"replace(replace({expression}::VARCHAR, '\', '\\'), '|', '\|')"


def split(typed: str) -> list[str]:
    """The parts of a key of several items, without their backslashes."""
    parts, at = [], 0
    while (found := _PARTS.match(typed, at)) is not None:
        parts.append(re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL))
        at = found.end()
        if not found[2]:
            break
    return parts


def subject(typed: str) -> str:
    """Whom a key is about, in the one spelling evidence hashes: the resident number or credit code in it, else all of it.

    By its form alone: what was refused is found under the same subject as what was answered.
    """
    spelled = [_identifier(unicodedata.normalize("NFKC", part)) for part in split(typed)]
    spelled = [_eighteen(part) if _FIFTEEN.fullmatch(part) else part for part in spelled]
    about = next((part for part in spelled if _SUBJECT.fullmatch(part)), None)
    return (about or "|".join(spelled)).encode("utf-8", "replace").decode()


def _spelled(item: KeyItem, text: str) -> str:
    if item.identifier is not None:
        plain = _identifier(text)
        if (item.identifier == "org_code" or item.older) and _ORG_CODE.fullmatch(plain):
            return plain.replace("-", "")
        return _eighteen(plain) if item.identifier == "resident_number" and _FIFTEEN.fullmatch(plain) else plain
    half = text.translate(_NARROW).strip(BLANKS)
    if item.type is DataType.INTEGER and (found := _WHOLE.fullmatch(half)):
        return found[2] if found[1] != "-" or found[2] == "0" else f"-{found[2]}"
    if item.type is DataType.DATE and (found := _DAY.fullmatch(half) or _PLAIN_DAY.fullmatch(half)):
        return f"{found[1]}-{int(found[2]):02}-{int(found[3]):02}"
    return half


def _identifier(text: str) -> str:
    return text.translate(_NARROW).translate(_WITHOUT_BLANKS).translate(_ASCII_UPPER)


def _eighteen(fifteen: str) -> str:
    """GB 11643: the form of a number given out before 1999."""
    body = fifteen[:6] + ("18" if fifteen[12:] >= "996" else "19") + fifteen[6:]
    return body + "10X98765432"[sum(int(digit) * weight for digit, weight in zip(body, _WEIGHTS, strict=True)) % 11]


def _escaped(part: str) -> str:
    return part.replace("\\", "\\\\").replace("|", "\\|")
