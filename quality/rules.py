"""Rules as data: one SQL predicate each, compiled from a catalogue entry and the department's own rule list.

Invariant: a predicate is over the pass's columns (items typed, `_text_<item>` where the text differs from the value,
`_broken`), never raises, and is true for a good row; NULL counts as good. The order of the tuple is the order of the
bits, so it is stable for one version of a resource. Indicators: GB/T 36344-2018.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime

from exchange import seal
from exchange.catalogue import codes
from exchange.catalogue.model import DataType, Item, Level, Resource, Sensitivity
from exchange.catalogue.sql import literal, quoted, sql_type
from exchange.intake.form import OPERATION
from quality import identifiers, regions, traps
from quality.normalise import cleaned, text_of

BUILT_IN = 2  # version of the rules below; raise it when one of them judges differently
WORD = 63  # bits in one `_fails_` column
UNIQUE = "key.unique"

# A row that fails these can still be stored and found as it is; what has no key, no type or no form of an identifier can't.
_OVERRULABLE = ("required", "lost_character")

# a resident number or a mobile number inside free text
_PERSONAL = r"(^|[^0-9])([1-9][0-9]{5}(18|19|20)[0-9]{2}(0[1-9]|1[0-2])(0[1-9]|[12][0-9]|3[01])[0-9]{3}[0-9Xx]|1[3-9][0-9]{9})([^0-9]|$)"
_PERSONAL_DIGITS = 11  # the fewest in a row that either of them has

# text, or one of the clock's words as a department may write it (exchange/catalogue/predicates.py)
_CLOCK = re.compile(
    r"""(?P<text>'(?:[^']|'')*')|(?:\b\w+\s*\.\s*)*(?P<quote>"?)\b(?:(?P<call>today|now)(?P=quote)\s*\(\s*\)"""
    r"""|(?P<word>current_date|current_timestamp)\b(?P=quote))""",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Rule:
    """`title` and `title_en` say what a good row has. `fault` is SQL of a sentence on what is wrong with a row, 中文 / English."""

    id: str
    level: Level
    indicator: str
    items: tuple[str, ...]
    title: str
    title_en: str
    predicate: str
    version: int = BUILT_IN
    fault: str | None = None
    tolerated: bool = False  # its rows wait, but don't count against the threshold
    overrulable: bool = False  # the provider may say that a row is right all the same (pools/release.py)
    # for the test of rows that are right as sent (quality/assent.py), which may doubt a good row, never the reverse:
    quick: str | None = (
        None  # SQL, quicker than the predicate; where it and the item's other rules hold, the predicate does
    )
    suspect: str | None = None  # a pattern: an item's text in which it is not found passes

    @property
    def reason(self) -> str:
        """SQL of the reason in the row-error file."""
        return self.fault or literal(f"未通过规则「{self.title}」 / fails the rule: {self.title_en}")


def compile_rules(resource: Resource, today: date | None = None, now: datetime | None = None) -> tuple[Rule, ...]:
    """Every rule of this version of a resource.

    Args:
        today: the day the push came, in China: nobody is born after it, and a department's `today()` is that day.
        now: the moment it came, which is a department's `now()`. Without both, its rules keep the engine's clock.
    """
    day = today or date.max
    compiled = [_shape()]
    for item in resource.items:
        compiled += _of_item(item, resource, day)
    compiled += [
        Rule(
            f"dept.{r.id}",
            r.level,
            r.indicator,
            r.items,
            r.title,
            r.title_en,
            _judged(_at(r.predicate, resource, today, now)),
            r.version,
            overrulable=r.level is Level.QUARANTINE,
        )
        for r in resource.rules
    ]
    return (*compiled, *_unique(resource))


def bit(index: int) -> tuple[str, int]:
    """The column and the mask of the rule at this place."""
    return f"_fails_{index // WORD}", 1 << index % WORD


def fails(index: int) -> str:
    """SQL: does the row fail the rule at this place."""
    column, mask = bit(index)
    return f"({column} & {mask}::UBIGINT <> 0)"


def fails_any(rules: Sequence[Rule], levels: Sequence[Level]) -> str:
    """SQL: does the row fail any rule of these levels."""
    masks: dict[str, int] = {}
    for index, rule in enumerate(rules):
        if rule.level in levels:
            column, mask = bit(index)
            masks[column] = masks.get(column, 0) | mask
    return "(" + (" OR ".join(f"{column} & {mask}::UBIGINT <> 0" for column, mask in masks.items()) or "false") + ")"


def digest(rules: Sequence[Rule]) -> str:
    """SM3 over what the rules are, so that two verdicts can be known to have judged by the same ones."""
    plain = [[r.id, r.version, r.level, r.indicator, list(r.items), r.predicate] for r in rules]
    return seal.digest_hex(json.dumps(plain, ensure_ascii=False).encode())


def _at(predicate: str, resource: Resource, today: date | None, now: datetime | None) -> str:
    """The predicate with the push's own day and moment for the clock's: judged again later, it says the same."""
    if today is None or now is None:
        return predicate
    day, moment = f"(DATE '{today.isoformat()}')", f"(TIMESTAMPTZ '{now.isoformat(sep=' ')}')"
    meant = {"today": day, "current_date": day, "now": moment, "current_timestamp": moment}
    items = {item.name for item in resource.items}

    def told(found: re.Match[str]) -> str:
        word = (found["word"] or "").lower()
        if found["text"] is not None or word in items:  # without parentheses an item of that name goes first
            return found[0]
        return meant[word or found["call"].lower()]

    return _CLOCK.sub(told, predicate)


def _judged(predicate: str) -> str:
    """A department's predicate, so that a row on which it can't be evaluated fails instead of the whole push."""
    return f"coalesce(TRY(coalesce(({predicate}), true)), false)"


def _shape() -> Rule:
    return Rule(
        "row.shape",
        Level.QUARANTINE,
        "0302",
        (),
        "每行的列数与列名行一致",
        "as many cells as the header",
        "_broken IS NULL",
        fault="_broken",
    )


def _of_item(item: Item, resource: Resource, today: date) -> Iterator[Rule]:
    column, name, title = quoted(item.name), item.name, item.title

    def rule(
        kind: str,
        level: Level,
        indicator: str,
        zh: str,
        en: str,
        predicate: str,
        fault: str | None = None,
        quick: str | None = None,
        suspect: str | None = None,
    ) -> Rule:
        mild = kind in _OVERRULABLE and not (kind == "required" and name in (*resource.key, OPERATION))
        return Rule(
            f"{name}.{kind}",
            level,
            indicator,
            (name,),
            f"{title}{zh}",
            f"{name} {en}",
            predicate,
            fault=fault,
            overrulable=mild,
            quick=quick,
            suspect=suspect,
        )

    if item.required or name in resource.key:
        # what could not be read as its type is not absent
        yield rule(
            "required",
            Level.QUARANTINE,
            "0201",
            "必填",
            "is given",
            f"{text_of(item)} IS NOT NULL OR _broken IS NOT NULL",
            traps.absent_key() if name in resource.key else None,
        )
    if item.type not in (DataType.TEXT, DataType.MEMO):
        kind = sql_type(item)
        predicate = f"{column} IS NOT NULL OR {text_of(item)} IS NULL"
        yield rule(
            "type",
            Level.QUARANTINE,
            "0101",
            f"应为 {item.type} 型（{kind}）",
            f"is a {kind}",
            predicate,
            traps.wrong_type(item, cleaned(item, quoted(f"_o_{name}"))),  # of a failing row only what was sent is kept
        )
    elif item.length is not None and not (item.identifier or item.code_table):  # those have a form of their own
        predicate = f"length({column}) <= {item.length}"
        fault = (
            f"'长度是 ' || length({column}) || ' 个字符，上限 {item.length} / ' "
            f"|| length({column}) || ' characters, at most {item.length} fit'"
        )
        yield rule(
            "length",
            Level.QUARANTINE,
            "0101",
            f"不超过 {item.length} 个字符",
            f"has at most {item.length} characters",
            predicate,
            fault,
        )
    if item.type is DataType.INTEGER and item.length is not None and item.length < 19:
        predicate = f"{column} BETWEEN {1 - 10**item.length} AND {10**item.length - 1}"
        yield rule(
            "length",
            Level.QUARANTINE,
            "0101",
            f"不超过 {item.length} 位数字",
            f"has at most {item.length} digits",
            predicate,
        )
    if item.code_table is not None:
        yield _in_table(item, resource)
    if item.identifier == "resident_number":
        good = identifiers.resident_number_ok(column, today)
        fault = traps.lost_digits(column, identifiers.resident_number_fault(column, today))
        yield rule(
            "resident_number",
            Level.QUARANTINE,
            "0301",
            "是有效的公民身份号码",
            "is a resident number of GB 11643",
            good,
            fault,
            quick=f"coalesce({identifiers.surely_resident_number(column, today)}::TINYINT, 0) + ({column} IS NULL)::TINYINT > 0",
        )
        yield rule(
            "region",
            Level.WARN,
            "0105",
            "的行政区划代码存在过",
            "names a region that once existed",
            regions.known(column),
            quick=regions.surely_known(column),
        )
        yield rule(
            "region_at_birth",
            Level.WARN,
            "0503",
            "的行政区划在出生时已设立",
            "names a region founded before the birth",
            regions.existed_at_birth(column),
            quick=regions.surely_existed_at_birth(column),
        )
    if item.identifier == "uscc":
        good, fault = identifiers.uscc_ok(column), identifiers.uscc_fault(column)
        yield rule("uscc", Level.QUARANTINE, "0301", "是有效的统一社会信用代码", "is a code of GB 32100", good, fault)
        yield rule(
            "uscc_inner",
            Level.WARN,
            "0301",
            "的主体标识码校验位相符",
            "has a right inner check digit (GB 11714)",
            identifiers.uscc_inner_ok(column),
        )
        yield rule(
            "uscc_class",
            Level.WARN,
            "0105",
            "的登记管理部门与机构类别在用",
            "has a known authority and kind",
            identifiers.uscc_class_known(column),
        )
    if item.identifier == "org_code":
        good, fault = identifiers.org_code_ok(column), identifiers.org_code_fault(column)
        yield rule("org_code", Level.QUARANTINE, "0301", "是有效的组织机构代码", "is a code of GB 11714", good, fault)
    if item.identifier == "registration_no":
        good, fault = identifiers.registration_no_ok(column), identifiers.registration_no_fault(column)
        yield rule("registration_no", Level.QUARANTINE, "0301", "是 15 位注册号", "has fifteen digits", good, fault)
    if item.identifier == "cert_identifier":
        good, fault = identifiers.cert_identifier_ok(column), identifiers.cert_identifier_fault(column)
        zh, en = "是有效的电子证照标识", "is an identifier of GB/T 36904"
        yield rule("cert_identifier", Level.QUARANTINE, "0301", zh, en, good, fault)
        yield rule(
            "cert_bodies",
            Level.WARN,
            "0105",
            "的定义机构与颁发机构是有效的统一社会信用代码",
            "names its definer and issuer by codes of GB 32100",
            identifiers.cert_bodies_ok(column),
        )
    if item.identifier == "party_code":
        good, fault = identifiers.party_code_ok(column, today), identifiers.party_code_fault(column)
        zh, en = "是有效的统一社会信用代码或公民身份号码", "is a code of GB 32100 or a number of GB 11643"
        yield rule("party_code", Level.QUARANTINE, "0301", zh, en, good, traps.lost_digits(column, fault))
    if item.type in (DataType.TEXT, DataType.MEMO) and not (item.identifier or item.code_table):
        yield rule(
            "lost_character",
            Level.QUARANTINE,
            "0301",
            "没有在转换编码时丢失的字",
            "has lost no character to a change of encoding",
            traps.nothing_lost(item, column),
            traps.lost_character(),
            suspect=traps.lost_pattern(item),
        )
    if item.mask == "name":
        yield rule(
            "characters",
            Level.WARN,
            "0302",
            "字间没有空格，也没有只在自家系统里才显示的字",
            "has no blank inside and no character of one system's own",
            traps.ordinary_name(column),
            traps.odd_name(column),
            suspect=traps.ODD_NAME,
        )
    if (
        item.type in (DataType.TEXT, DataType.MEMO)
        and item.sensitivity is Sensitivity.NONE
        and not (item.identifier or item.code_table)
    ):
        too_short = item.length is not None and item.length < _PERSONAL_DIGITS
        yield rule(
            "sensitivity",
            Level.WARN,
            "0106",
            "标为不敏感，不含身份号码或手机号",
            "is declared not sensitive and holds no resident or mobile number",
            f"NOT regexp_matches({column}, '{_PERSONAL}')",
            quick="true" if too_short else None,
            suspect=None if too_short else f"[0-9]{{{_PERSONAL_DIGITS}}}",
        )


def _in_table(item: Item, resource: Resource) -> Rule:
    assert item.code_table is not None  # noqa: S101 - the caller asked
    allowed = ", ".join(literal(code) for code in codes.table_of(resource, item.code_table))
    # the current codes of GB/T 2260 only: an abolished one is old, not wrong
    level = Level.WARN if item.code_table == "region" else Level.QUARANTINE
    return Rule(
        f"{item.name}.code",
        level,
        "0105",
        (item.name,),
        f"{item.title}是代码表 {item.code_table} 中的代码",
        f"{item.name} is a code of {item.code_table}",
        f"{quoted(item.name)} IN ({allowed})",
        fault=traps.no_code(item, quoted(item.name), list(codes.table_of(resource, item.code_table))),
        overrulable=item.name not in (*resource.key, OPERATION),
    )


def _unique(resource: Resource) -> Iterator[Rule]:
    """How many rows may share a key is a question to the whole table: the pass sets this bit last."""
    if resource.duplicates == "allow" or not resource.key:
        return
    titles = "、".join(resource.item(name).title for name in resource.key)
    names = ", ".join(resource.key)
    level = Level.BLOCK if resource.duplicates == "reject" else Level.QUARANTINE
    newest = resource.duplicates == "keep_newest"
    yield Rule(
        UNIQUE,
        level,
        "0304",
        resource.key,
        f"{titles}不重复" + ("（旧的一行让位）" if newest else ""),
        f"{names} is unique" + (" (the older row gives way)" if newest else ""),
        "true",
        fault=literal(
            "与更新的一行主键重复 / a newer row has the same key"
            if newest
            else "与另一行主键重复 / another row has the same key"
        ),
        tolerated=newest,
    )
