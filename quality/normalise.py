"""One spelling for one value, before anything is judged: SQL over the text a provider sent.

Invariant: normalising is idempotent, never raises, and never makes a bad value good in meaning: it changes width,
case, blanks and separators only (and writes a fifteen-digit resident number in its eighteen-digit form). Text that
people read (names, addresses) only loses the blanks at its ends. A value that becomes another text was changed.
"""

from exchange.catalogue.model import DataType, Item
from exchange.catalogue.sql import quoted, sql_type
from exchange.keys import BLANKS
from quality.identifiers import FORMS, ORG_CODE_WRITTEN, upgrade_resident_number

_BLANK_CLASS = r"[ \t\n\r\v\f\x{a0}\x{2000}-\x{200b}\x{2028}\x{2029}\x{202f}\x{3000}\x{feff}]"
_WIDE = "".join(chr(0xFF01 + i) for i in range(94))
_NARROW = "".join(chr(0x21 + i) for i in range(94)).replace("'", "''")

# what needs no work: most values, so the slow branch is hardly ever taken
_PLAIN_NUMBER = r"[-+]?[0-9]+(\.[0-9]+)?"
_PLAIN_CODE = "[!-~]+"
_PLAIN_DATE = "[0-9]{4}-[0-9]{2}-[0-9]{2}|[0-9]{8}"
_PLAIN_TIME = f"{_PLAIN_DATE}|[0-9]{{14}}"
_AT_ONCE = {DataType.DATE: 10, DataType.TIMESTAMP: 19}  # characters; infinities and years before Christ have others
_NUMBERS = (DataType.NUMBER, DataType.MONEY, DataType.INTEGER, DataType.DOUBLE, DataType.FLOAT)


def at_once(item: Item, expr: str) -> str | None:
    """SQL of the value of a date or time that is written just as the engine writes it, else NULL; None for other items.

    Nearly all are, and to read and write one takes a third of the time that its patterns take.
    """
    if item.type not in _AT_ONCE:
        return None
    width = _AT_ONCE[item.type]
    value = f"TRY_CAST({expr} AS {item.type.name})"
    return f"CASE WHEN strlen({expr}) = {width} AND {value}::VARCHAR = {expr} THEN {value} END"


def untouched(item: Item, *, as_code: bool = False) -> str | None:
    """SQL over an item's value and its text (`text_of`): normalising leaves the text as it is, and `direct` reads it.

    True or NULL where that is so; None where it follows from the item's rules: a good identifier and a good truth value
    have the very form they are brought into. Free text has `edges`.
    """
    text, value = text_of(item), quoted(item.name)
    if item.identifier is not None or item.type is DataType.BOOLEAN or is_free_text(item, as_code=as_code):
        return None
    if item.type in _NUMBERS:
        return f"regexp_full_match({text}, '{_PLAIN_NUMBER}')"
    if item.type in _AT_ONCE:
        written = f"(strlen({text}) = {_AT_ONCE[item.type]})::TINYINT * ({value}::VARCHAR = {text})::TINYINT"
        return f"coalesce({written}, ({text} IS NULL)::TINYINT) = 1"
    return f"regexp_full_match({text}, '{_PLAIN_CODE}')"


def direct(item: Item, text: str) -> str:
    """SQL of the value of a text that normalising leaves as it is."""
    return f"TRY_CAST({text} AS {item.type.name})" if item.type in _AT_ONCE else typed(item, text)


def is_free_text(item: Item, *, as_code: bool = False) -> bool:
    """Whether an item only loses the blanks at its ends."""
    plain = item.identifier is None and item.code_table is None and not as_code
    return plain and item.type in (DataType.TEXT, DataType.MEMO)


def edges(between: str) -> str:
    """A pattern that finds a blank at an end of any of several texts, joined by a character (as a pattern) between them."""
    return f"(?:^|{between}){_BLANK_CLASS}|{_BLANK_CLASS}(?:$|{between})"


def cleaned(item: Item, expr: str, *, as_code: bool = False, value: str | None = None) -> str:
    """First step: SQL of an item's text without blanks, wide forms and local separators; NULL where nothing is left.

    Args:
        as_code: half width also for plain text, as a key needs it.
        value: the column of `at_once`; what has one is as it should be.
    """
    if value is not None:
        return f"CASE WHEN {value} IS NOT NULL THEN {expr} ELSE {cleaned(item, expr)} END"
    if item.identifier is not None:
        return _unless(expr, FORMS[item.identifier], _identifier(expr))
    if item.type in _NUMBERS:
        return _unless(expr, _PLAIN_NUMBER, _something(_half(expr)))
    if item.type is DataType.DATE:
        return _unless(expr, _PLAIN_DATE, _date(expr))
    if item.type is DataType.TIMESTAMP:
        return _unless(expr, _PLAIN_TIME, _timestamp(expr))
    if item.type is DataType.BOOLEAN:
        return _something(f"upper({_half(expr)})")
    if item.code_table is not None or as_code:
        return _unless(expr, _PLAIN_CODE, _something(_half(expr)))
    edges = f"regexp_matches({expr}, '^{_BLANK_CLASS}|{_BLANK_CLASS}$')"
    return f"CASE WHEN {edges} THEN {_something(_trimmed(expr))} ELSE {_something(expr)} END"


def finished(item: Item, text: str) -> str:
    """Second step, over the cleaned text as a column: fifteen digits become eighteen, the dash of an organisation code and
    thousands separators go.

    A step of its own because the engine repeats an expression inside CASE as often as it is named.
    """
    if item.identifier == "resident_number":
        return upgrade_resident_number(text)
    if item.identifier == "org_code":
        return f"CASE WHEN regexp_full_match({text}, '{ORG_CODE_WRITTEN}') THEN replace({text}, '-', '') ELSE {text} END"
    if item.type in _NUMBERS:
        grouped = r"[-+]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]+)?"
        return f"CASE WHEN contains({text}, ',') AND regexp_full_match({text}, '{grouped}') THEN replace({text}, ',', '') ELSE {text} END"
    return text


def changed(original: str, normal: str) -> str:
    """SQL: did normalising change the value. An empty cell is nothing, not a change."""
    return f"(nullif({original}, '') IS DISTINCT FROM {normal})"


def typed(item: Item, text: str, value: str | None = None) -> str:
    """SQL of the value in the engine's type; NULL where the normalised text is not of that type or too large for it.

    `value`: the column of `at_once`; the rest is read by its patterns.
    """
    if value is not None:
        return f"coalesce({value}, {typed(item, text)})"
    kind = sql_type(item)
    match item.type:
        case DataType.TEXT | DataType.MEMO:
            return text
        case DataType.INTEGER:
            return f"CASE WHEN regexp_full_match({text}, '[-+]?[0-9]+(\\.0+)?') THEN TRY_CAST({text} AS {kind}) END"
        case DataType.NUMBER | DataType.MONEY:
            scale = int(kind.rstrip(")").split(",")[1])  # more decimals would be rounded in silence
            form = rf"[-+]?[0-9]+(\.[0-9]{{0,{scale}}}0*)?"
            return f"CASE WHEN regexp_full_match({text}, '{form}') THEN TRY_CAST({text} AS {kind}) END"
        case DataType.DOUBLE | DataType.FLOAT:
            return f"CASE WHEN regexp_full_match({text}, '[-+]?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?') AND isfinite(TRY_CAST({text} AS DOUBLE)) THEN TRY_CAST({text} AS DOUBLE) END"
        case DataType.DATE:
            return f"CASE WHEN {_is_date(text)} THEN TRY_CAST({_dashed(text)} AS DATE) END"
        case DataType.TIMESTAMP:
            iso = r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}[ T]([01]?[0-9]|2[0-3]):[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6}0*)?)?"
            return (
                f"CASE WHEN {_is_date(text)} THEN TRY_CAST({_dashed(text)} AS TIMESTAMP) "
                f"WHEN regexp_full_match({text}, '[0-9]{{14}}') THEN try_strptime({text}, '%Y%m%d%H%M%S') "
                f"WHEN regexp_full_match({text}, '{iso}') AND NOT starts_with({text}, '0000') THEN TRY_CAST({text} AS TIMESTAMP) END"
            )
        case DataType.BOOLEAN:
            return (
                f"CASE WHEN {text} IN ('是', '1', 'Y', 'YES', 'TRUE', 'T', '√', '✓', '✔') THEN true "
                f"WHEN {text} IN ('否', '0', 'N', 'NO', 'FALSE', 'F', '×', '✗', '✘') THEN false END"
            )


def text_of(item: Item) -> str:
    """The column that holds an item's normalised text inside the pass."""
    return quoted(item.name) if item.type in (DataType.TEXT, DataType.MEMO) else quoted(f"_text_{item.name}")


def _unless(expr: str, plain: str, work: str) -> str:
    return f"CASE WHEN regexp_full_match({expr}, '{plain}') THEN {expr} ELSE {work} END"


def _something(expr: str) -> str:
    return f"nullif({expr}, '')"


def _trimmed(expr: str) -> str:
    return f"trim({expr}, '{BLANKS}')"


def _half(expr: str) -> str:
    # translating takes ten times as long as everything else here together
    wide = f"strlen({expr}) <> length({expr})"
    return _trimmed(f"CASE WHEN {wide} THEN translate({expr}, '{_WIDE}', '{_NARROW}') ELSE {expr} END")


def _identifier(expr: str) -> str:
    return _something(f"upper(regexp_replace({_half(expr)}, '{_BLANK_CLASS}+', '', 'g'))")


def _date(expr: str) -> str:
    day = r"^([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?([ T]00?:00(:00(\.0+)?)?)?$"
    return _something(f"regexp_replace({_half(expr)}, '{day}', '\\1-\\2-\\3')")


def _timestamp(expr: str) -> str:
    day = r"^([0-9]{4})[-/.年]([0-9]{1,2})[-/.月]([0-9]{1,2})日?"
    return _something(f"regexp_replace({_half(expr)}, '{day}', '\\1-\\2-\\3')")


def _is_date(text: str) -> str:
    # the engine would read the year 0, which no calendar here has, as one before Christ
    return f"(regexp_full_match({text}, '[0-9]{{4}}-[0-9]{{1,2}}-[0-9]{{1,2}}|[0-9]{{8}}') AND NOT starts_with({text}, '0000'))"


def _dashed(text: str) -> str:
    dashes = f"substr({text}, 1, 4) || '-' || substr({text}, 5, 2) || '-' || substr({text}, 7, 2)"
    return f"CASE WHEN strlen({text}) = 8 AND NOT contains({text}, '-') THEN {dashes} ELSE {text} END"
