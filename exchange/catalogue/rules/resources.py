"""Resources: share class and its basis, openness, format, key, department rules.

Invariant: each rule is one function; RESOURCE_RULES is the whole list.
"""

from collections.abc import Callable
from typing import Final

from exchange.catalogue.draft import Reading, ResourceDraft, Written
from exchange.catalogue.findings import shown
from exchange.catalogue.model import Sensitivity, ShareType
from exchange.catalogue.rules.common import near, no_draft, once, share_class

EXPRESS_PROHIBITION: Final = ("法律", "行政法规", "国务院决定")
# GB/T 36344: six dimensions with so many indicators each, numbered 0101 … 0602
INDICATORS: Final = frozenset(f"{d:02}{n:02}" for d, last in enumerate((6, 2, 5, 2, 3, 2), 1) for n in range(1, last + 1))
_FORMATS: Final = {
    "01": "doc docx html ofd pdf ppt txt wps xml 其他",
    "02": "et xls xlsx csv 其他",  # csv is a local extension: the guide predates its use
    "03": "access db2 dbase dbf dm kingbasees oracle sqlserver sybase mysql 其他",
    "04": "bmp gif jpg 其他",
    "05": "mpg rm swf 其他",
}


def _id_kept_free(written: Written[ResourceDraft], reading: Reading) -> None:
    """The table of what a pool's last version changed has its name."""
    no_draft(written.entry.id, written.place("id"), reading)
    of = written.entry.id.removesuffix("_change")
    if of != written.entry.id and any(other.entry.id == of for other in reading.resources):
        reading.findings.add(
            written.place("id"),
            "id-reserved",
            f"标识 {written.entry.id} 是资源 {of} 的变化表名，请换一个",
            f"{written.entry.id} is the name of the table of changes of resource {of}; choose another id",
        )


def _department_known(written: Written[ResourceDraft], reading: Reading) -> None:
    known = {w.entry.code for w in reading.departments}
    if written.entry.department not in known and written.entry.department not in reading.broken:
        hint = near(written.entry.department, known)
        reading.findings.add(
            written.place("department"),
            "department-known",
            f"{shown(written.entry.department)} 不在 departments.yaml 中，请先登记该部门{hint[0]}",
            f"{shown(written.entry.department)} is not in departments.yaml; add the department first{hint[1]}",
        )


def _condition(written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    if share.type is ShareType.CONDITIONAL and not share.condition:
        reading.findings.add(
            written.place("share"),
            "share-condition",
            "有条件共享须写明共享条件（share.condition）",
            "有条件共享 (2) needs its condition; write share.condition",
        )


def _prohibition(written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    kept_back = [item.name for item in written.entry.items if share_class(item, written.entry) is ShareType.NONE]
    if share.type is not ShareType.NONE and not kept_back:
        return
    whom, whom_en = (
        ("", "") if share.type is ShareType.NONE else (f"信息项 {'、'.join(kept_back)} ", f"{', '.join(kept_back)}: ")
    )
    if share.basis is None:
        reading.findings.add(
            written.place("share"),
            "share-basis",
            f"{whom}不予共享须写明依据（share.basis 的 title、article、level）",
            f"{whom_en}不予共享 (3) needs its legal basis: share.basis with title, article, level",
        )
    elif share.basis.level not in EXPRESS_PROHIBITION:
        reading.findings.add(
            written.place("share", "basis", "level"),
            "share-basis-level",
            f"{whom}不予共享的依据是{share.basis.level}，只有{'、'.join(EXPRESS_PROHIBITION)}可以；否则请改为有条件共享",
            f"{whom_en}不予共享 (3) rests on {share.basis.level}; only {', '.join(EXPRESS_PROHIBITION)} will do; "
            "otherwise make it conditional (2)",
        )


def _open(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    if not entry.open:
        return
    if entry.share.type is ShareType.NONE:
        reading.findings.add(
            written.place("open"),
            "open-not-shared",
            "不予共享的资源不得开放，请改为 open: 否",
            "what is not shared (3) is not open either; write `open: false`",
        )
    private = [item.name for item in entry.items if item.sensitivity is not Sensitivity.NONE]
    if private and not entry.open_condition:
        reading.findings.add(
            written.place("open"),
            "open-private",
            f"无条件开放的资源不得含敏感信息项（{'、'.join(private)}），请写明 open_condition 或改为不开放",
            f"a resource open to everyone may hold no sensitive item ({', '.join(private)}); state open_condition or close it",
        )


def _format(written: Written[ResourceDraft], reading: Reading) -> None:
    kinds = _FORMATS.get(written.entry.format_category, "").split()
    if kinds and written.entry.format_type.lower() not in kinds:
        reading.findings.add(
            written.place("format_type"),
            "format-type",
            f"格式类别 {written.entry.format_category} 没有 {shown(written.entry.format_type)}，应为 {'、'.join(kinds)} 之一",
            f"format category {written.entry.format_category} has no {shown(written.entry.format_type)}; one of {', '.join(kinds)}",
        )


def _items(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    if not entry.items:
        reading.findings.add(
            written.place("items"), "items", "没有信息项，请至少写一项", "there are no items; write at least one"
        )
    once(
        ((item.name, written.place("items", n, "name", item=item.name)) for n, item in enumerate(entry.items)),
        "item-repeated",
        reading,
    )
    headers = (
        (header, written.place("items", n, item=item.name))
        for n, item in enumerate(entry.items)
        for header in dict.fromkeys(header_form(text) for text in (item.title, *item.aliases))
    )
    once(headers, "header-repeated", reading)
    stamps = [item.name for item in entry.items if item.is_timestamp]
    if len(stamps) > 1:
        reading.findings.add(
            written.place("items"),
            "timestamp",
            f"数据更新时间只能有一项，现有 {'、'.join(stamps)}",
            f"at most one item may be is_timestamp; there are {', '.join(stamps)}",
        )


def header_form(text: str) -> str:
    """A column's header as it is compared: half width, no blanks, lower case."""
    half = "".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c for c in text)
    return "".join(half.split()).lower()


def _key(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    items = {item.name: item for item in entry.items}
    if not entry.key:
        reading.findings.add(
            written.place("key"), "key", "没有主键，请写 key: [信息项]", "there is no key; write `key: [item]`"
        )
    for name in entry.key:
        hint = near(name, items)
        if name not in items:
            reading.findings.add(
                written.place("key").at(item=name),
                "key-known",
                f"主键 {name} 不是本资源的信息项{hint[0]}",
                f"key {name} is not an item of this resource{hint[1]}",
            )
        elif not items[name].required:
            reading.findings.add(
                written.place("key").at(item=name),
                "key-required",
                f"主键 {name} 必须是必填项，请加 required: 是",
                f"key {name} must be required; add `required: true`",
            )
    once(((name, written.place("key")) for name in entry.key), "key-repeated", reading)
    if entry.duplicates == "keep_newest" and not any(item.is_timestamp for item in entry.items):
        reading.findings.add(
            written.place("duplicates"),
            "duplicates-newest",
            "keep_newest 须有一项 is_timestamp（数据更新时间）",
            "keep_newest needs one item with is_timestamp (the row's update time)",
        )


def _rules(written: Written[ResourceDraft], reading: Reading) -> None:
    names = {item.name for item in written.entry.items}
    once(
        ((rule.id, written.place("rules", n, item=rule.id)) for n, rule in enumerate(written.entry.rules)),
        "rule-repeated",
        reading,
    )
    for number, rule in enumerate(written.entry.rules):
        place = written.place("rules", number, item=rule.id)
        if rule.indicator not in INDICATORS:
            reading.findings.add(
                place,
                "rule-indicator",
                f"指标 {shown(rule.indicator)} 不在 GB/T 36344 之列，如 0104 业务规则、0301 内容正确性",
                f"{shown(rule.indicator)} is not an indicator of GB/T 36344, such as 0104 or 0301",
            )
        if not rule.items:
            reading.findings.add(
                place, "rule-items", "未写 items（规则涉及的信息项）", "items (what the rule is about) is empty"
            )
        for name in rule.items:
            hint = near(name, names)
            if name not in names:
                reading.findings.add(
                    place,
                    "rule-items",
                    f"{name} 不是本资源的信息项{hint[0]}",
                    f"{name} is not an item of this resource{hint[1]}",
                )
        if "version" in rule.model_fields_set:
            reading.findings.add(
                place,
                "rule-version",
                "规则的版本由载入时分配，请删除 version",
                "load assigns a rule's version; remove `version`",
            )


def _related(written: Written[ResourceDraft], reading: Reading) -> None:
    for code in written.entry.related_codes:
        prefix, _, number = code.partition("/")
        if not (prefix[:1] in "123" and prefix.isdigit() and len(prefix) >= 6 and number.isdigit()):
            reading.findings.add(
                written.place("related_codes"),
                "related-code",
                f"{shown(code)} 不是信息资源代码，应形如 307001030501/1",
                f"{shown(code)} is not a resource code; expected one like 307001030501/1",
            )


RESOURCE_RULES: Final[tuple[Callable[[Written[ResourceDraft], Reading], None], ...]] = (
    _id_kept_free,
    _department_known,
    _condition,
    _prohibition,
    _open,
    _format,
    _items,
    _key,
    _rules,
    _related,
)
