"""What spreadsheets and copying do to values: the sentence that says which it was, and how to save it correctly.

Invariant: these are SQL over the text as cleaned; they explain and never mend, and never raise. What is wrong with a
value is decided by the rules (`rules.py`); here is only why it came about, but for characters that were lost.
"""

from collections.abc import Sequence

from exchange.catalogue.model import DataType, Item
from exchange.catalogue.sql import literal

_HAN = r"[\x{3400}-\x{9fff}\x{20000}-\x{3ffff}]"
_PRIVATE = r"[\x{e000}-\x{f8ff}\x{f0000}-\x{10ffff}]"
_RARE = r"[ \x{3000}\x{a0}\x{e000}-\x{f8ff}\x{f0000}-\x{10ffff}]"  # what both of them need
_BLANK_INSIDE = rf"{_HAN}[ \x{{3000}}\x{{a0}}]+{_HAN}"
_LOST = "\ufffd"
_FEW_CODES = 12  # are listed
ODD_NAME = f"{_BLANK_INSIDE}|{_PRIVATE}"  # what `ordinary_name` must not hold


def wrong_type(item: Item, text: str) -> str | None:
    """SQL of the sentence for a text that is not of its item's type."""
    match item.type:
        case DataType.DATE | DataType.TIMESTAMP:
            return _wrong_date(item, text)
        case DataType.BOOLEAN:
            return literal("应为 是 或 否（也可写 1/0、Y/N、TRUE/FALSE、√/×） / yes or no expected")
        case _:
            return _wrong_number(item, text)


def absent_key() -> str:
    """SQL of the sentence for a row without its key."""
    return literal(
        "主键为空；如原表有合并单元格，只有第一格有值，请取消合并并逐行填写 / "
        "the key is empty; of merged cells only the first has a value: unmerge them and fill in every row"
    )


def lost_digits(text: str, otherwise: str) -> str:
    """SQL of the sentence for a number of eighteen places that a spreadsheet kept as a number."""
    advice = literal(
        "像是表格软件把号码存成了数字，第 15 位以后已丢失；请把整列设为文本格式后重新填写，不要从这份文件改 / "
        "a spreadsheet seems to have kept it as a number and lost all after the 15th digit; make the column text, fill it in again"
    )
    scientific = rf"regexp_full_match({text}, '[0-9](\.[0-9]+)?[Ee]\+?[0-9]+')"
    return f"CASE WHEN {scientific} OR regexp_full_match({text}, '[0-9]{{15}}000') THEN {advice} ELSE {otherwise} END"


def no_code(item: Item, text: str, table: Sequence[str]) -> str:
    """SQL of the sentence for what is no code: perhaps only its leading zeros are lost."""
    widths = {len(code) for code in table}
    padded = [code for code in table if code.startswith("0")]
    some = f"（{'、'.join(table)}）", f" ({', '.join(table)})"
    zh, en = some if len(table) <= _FEW_CODES else ("", "")
    otherwise = literal(
        f"不是代码表 {item.code_table} 中的代码{zh}，请按代码表填写 / no code of {item.code_table}{en}; use one of its codes"
    )
    if len(widths) != 1 or not padded:
        return otherwise
    whole = f"lpad({text}, {widths.pop()}, '0')"
    listed = ", ".join(literal(code) for code in padded)
    lost = "'开头的 0 丢失，应为 ' || {0} || '；请把整列设为文本格式 / lost its leading zero, ' || {0} || ' was meant; make the column text'"
    return f"CASE WHEN length({text}) < length({whole}) AND {whole} IN ({listed}) THEN {lost.format(whole)} ELSE {otherwise} END"


def nothing_lost(item: Item, text: str) -> str:
    """SQL: no character was replaced by the mark of a lost one; in a name a question mark is such a mark."""
    if item.mask == "name":
        return f"NOT (contains({text}, '{_LOST}') OR contains({text}, '?') OR contains({text}, '？'))"
    return f"NOT contains({text}, '{_LOST}')"


def lost_pattern(item: Item) -> str:
    """The pattern of the marks that `nothing_lost` looks for."""
    return rf"[?？{_LOST}]" if item.mask == "name" else _LOST


def lost_character() -> str:
    """SQL of the sentence for it."""
    return literal(
        "有字在导出时丢失，变成了问号或 �：多半是生僻字不在 GBK 之内；请以 GB18030 或 UTF-8 重新导出 / "
        "a character was lost on export and became a question mark or �: it lies outside GBK; export as GB18030 or UTF-8"
    )


def ordinary_name(text: str) -> str:
    """SQL: a name as people write it. Looked at closely only when it holds what one of the two patterns needs."""
    rare = f"regexp_matches({text}, '{_RARE}')"
    return f"CASE WHEN {rare} THEN NOT (regexp_matches({text}, '{_BLANK_INSIDE}') OR regexp_matches({text}, '{_PRIVATE}')) ELSE true END"


def odd_name(text: str) -> str:
    """SQL of the sentence for it."""
    blank = literal("姓名字间有空格，查询时会对不上；请去掉 / a blank inside the name, so look-ups miss it; remove it")
    private = literal(
        "含自造字（私用区），别的系统显示不出；请改用国标字 / "
        "holds a character of one system's own (private use); others cannot show it: use the standard one"
    )
    return f"CASE WHEN regexp_matches({text}, '{_PRIVATE}') THEN {private} ELSE {blank} END"


def _plain(item: Item) -> str:
    match item.type:
        case DataType.DATE:
            return literal("应为存在的日期，写成 2022-08-10 / a date of the calendar is expected, written 2022-08-10")
        case DataType.TIMESTAMP:
            return literal(
                "应为存在的日期和时间，写成 2022-08-10 18:10:00 / a date and time is expected, written 2022-08-10 18:10:00"
            )
        case DataType.INTEGER:
            return literal("应为整数，只写数字 / a whole number is expected, digits alone")
        case _:
            return literal(_decimals(item))


def _decimals(item: Item) -> str:
    if item.length is None:
        return "应为数字 / a number is expected"
    whole, scale = item.length - (item.scale or 0), item.scale or 0
    return (
        f"应为数字，整数部分最多 {whole} 位，小数最多 {scale} 位 / "
        f"a number is expected, of at most {whole} digits before the point and {scale} after it"
    )


def _wrong_date(item: Item, text: str) -> str:
    day = f"strftime(DATE '1899-12-30' + TRY_CAST(split_part({text}, '.', 1) AS INTEGER), '%Y-%m-%d')"
    return (
        f"CASE WHEN regexp_full_match({text}, '[1-9][0-9]{{4}}(\\.[0-9]+)?') "
        f"THEN '是表格软件的日期序列号，对应 ' || {day} || '；请把整列设为日期格式 / "
        f"a spreadsheet''s serial number for ' || {day} || '; format the column as dates' "
        f"WHEN regexp_full_match({text}, '[0-9]{{4}}[-/.年][0-9]{{1,2}}[-/.月][0-9]{{3,4}}:[0-9]{{2}}(:[0-9]{{2}})?') "
        "THEN '日期与时间之间缺少空格，应写成 2022-08-10 18:10 / the blank between date and time is missing: write 2022-08-10 18:10' "
        f"ELSE {_plain(item)} END"
    )


def _wrong_number(item: Item, text: str) -> str:
    return (
        f"CASE WHEN regexp_full_match({text}, '[-+]?[0-9][0-9,]*(\\.[0-9]+)?[^-+0-9.,eE].*') "
        "THEN '数字后带有单位，请只填数字，单位写在列名里（换算后再填，如 3万 写 30000） / "
        "a unit stands behind the number: give the bare number, converted, and name the unit in the header' "
        f"ELSE {_plain(item)} END"
    )
