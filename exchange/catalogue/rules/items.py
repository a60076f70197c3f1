"""Items: type and length, code table, identifier, share class.

Invariant: each rule is one function; ITEM_RULES is the whole list.
"""

from collections.abc import Callable
from typing import Final

from exchange.catalogue import codes
from exchange.catalogue.draft import Reading, ResourceDraft, Written
from exchange.catalogue.findings import Place
from exchange.catalogue.model import LENGTHS, DataType, Item, Sensitivity, ShareType
from exchange.catalogue.rules.common import near, share_class

_SIZED: Final = {DataType.TEXT: 4000, DataType.MEMO: 1_000_000, DataType.NUMBER: 38, DataType.INTEGER: 18}


def _item_share(item: Item, place: Place, written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    kind = share_class(item, written.entry)
    if kind is ShareType.CONDITIONAL and share.type is ShareType.UNCONDITIONAL and not share.condition:
        reading.findings.add(
            place,
            "share-condition",
            "有条件共享的信息项须写明共享条件（share.condition）",
            "a conditional item needs share.condition",
        )
    if share.type is ShareType.NONE and kind is not ShareType.NONE:
        reading.findings.add(
            place,
            "item-share",
            "资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型",
            "the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
        )


def _item_type(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    largest = _SIZED.get(item.type)
    if item.length is not None and largest is None:
        reading.findings.add(
            place, "item-length", f"类型 {item.type} 没有长度，请删除 length", f"type {item.type} has no length; remove it"
        )
    elif item.length is not None and largest is not None and item.length > largest:
        reading.findings.add(
            place,
            "item-length",
            f"长度 {item.length} 超过类型 {item.type} 的上限 {largest}",
            f"length {item.length} is above {largest}, the most for type {item.type}",
        )
    if item.scale is not None and (item.type is not DataType.NUMBER or item.length is None or item.scale > item.length):
        reading.findings.add(
            place,
            "item-scale",
            "小数位（scale）只用于 N 型，须有 length 且不大于它，如 N18,2",
            "scale belongs to type N, with a length at least as large, as in N18,2",
        )
    if item.is_timestamp and item.type not in (DataType.DATE, DataType.TIMESTAMP):
        reading.findings.add(
            place,
            "timestamp",
            f"数据更新时间应为 D 或 T 型，现为 {item.type}",
            f"is_timestamp needs type D or T; this is {item.type}",
        )


def _item_codes(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    if item.code_table is None:
        return
    own = {w.entry.id: set(w.entry.codes) for w in reading.tables}
    known = codes.BUILT_IN | set(own)
    hint = near(item.code_table, known)
    if item.code_table not in known and item.code_table not in reading.broken:
        reading.findings.add(
            place,
            "code-table",
            f"没有代码表 {item.code_table}（内置表见 docs/catalogue.md，自有表放在 codes/）{hint[0]}",
            f"there is no code table {item.code_table} (built-in ones are in docs/catalogue.md, your own go to codes/){hint[1]}",
        )
        return
    if item.type is not DataType.TEXT:
        reading.findings.add(
            place,
            "code-table-type",
            f"有代码表的信息项应为 C 型，现为 {item.type}",
            f"an item with codes is of type C; this is {item.type}",
        )


_PERSONAL: Final[dict[str | None, tuple[str, str]]] = {
    "resident_number": ("公民身份号码", "resident number"),
    "party_code": ("行政相对人代码（可为公民身份号码）", "party's code, which may be a resident number,"),
}


def _item_identifier(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    if item.identifier is None:
        return
    long = LENGTHS[item.identifier]
    if item.type is not DataType.TEXT or (item.length is not None and item.length < long):
        reading.findings.add(
            place,
            "identifier-type",
            f"标识符应为 C 型、长度不小于 {long}，如 C{long}",
            f"an identifier is of type C, {long} long or longer, as in C{long}",
        )
    if item.identifier in _PERSONAL and item.sensitivity is not Sensitivity.PERSONAL:
        zh, en = _PERSONAL[item.identifier]
        reading.findings.add(
            place,
            "identifier-personal",
            f"{zh}是个人信息，请写 sensitivity: 个人隐私",
            f"a {en} is personal; write `sensitivity: personal`",
        )


ITEM_RULES: Final[tuple[Callable[[Item, Place, Written[ResourceDraft], Reading], None], ...]] = (
    _item_share,
    _item_type,
    _item_codes,
    _item_identifier,
)
