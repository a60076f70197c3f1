"""From a YAML value to an entry of the right form, or findings that say what is wrong with it.

Invariant: nothing of pydantic's wording reaches a person untranslated, and one wrong value never hides another.
"""

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from exchange.catalogue.draft import BaseDraft, FieldDraft, Reading, ResourceDraft, SatelliteDraft, Shape, Written
from exchange.catalogue.findings import Findings, Place, shown
from exchange.catalogue.model import Citation, FieldSource, Item, Link, Order, RuleSpec, Share
from exchange.catalogue.yamlfile import Document


def shaped(
    shape: type[Shape],
    value: object,
    change: Callable[[dict[str, Any]], dict[str, Any]],
    document: Document,
    path: tuple[str | int, ...],
    name_field: str,
    reading: Reading,
) -> Written[Shape] | None:
    if not isinstance(value, dict):
        place = Place(document.file, document.line(path))
        reading.findings.add(place, "field-form", "应是 “名称: 值” 的形式", "must be written as `name: value` lines")
        return None
    name = value.get(name_field)
    name = name if isinstance(name, str) else None
    changed = change(value)
    if _secret(changed, Place(document.file, document.line((*path, "data_level")), name), document, reading.findings):
        changed["data_level"] = "核心"  # already refused; go on looking for what else is wrong
    try:
        return Written(shape.model_validate(changed), document, path, name)
    except ValidationError as error:
        if name is not None:
            reading.broken.add(name)
        for detail in _first(error.errors(include_url=False)):
            _explain(detail, changed, Place(document.file, entry=name), document, path, shape, reading.findings)
        return None


def _secret(value: dict[str, Any], place: Place, document: Document, findings: Findings) -> bool:
    """涉密 has no place here, and the sentence must say so rather than list the levels that have."""
    items = value.get("items")
    for number, item in enumerate(items if isinstance(items, list) else []):
        if isinstance(item, dict) and item.get("sensitivity") == "国家机密":
            item["sensitivity"] = "none"
            where = Place(place.file, document.line(("items", number, "sensitivity")), place.entry, item.get("name"))
            findings.add(
                where,
                "secret",
                "国家机密信息项不得在本平台编目或交换，请删除",
                "an item that is a state secret must not be catalogued or exchanged here; remove it",
            )
    if value.get("data_level") != "涉密":
        return False
    findings.add(
        place,
        "secret",
        "涉密资源不得在本平台编目或交换，请走涉密渠道",
        "a classified (涉密) resource must not be catalogued or exchanged here; use the classified channel",
    )
    return True


def _explain(
    detail: ErrorDetails,
    value: dict[str, Any],
    place: Place,
    document: Document,
    path: tuple[str | int, ...],
    shape: type[BaseModel],
    findings: Findings,
) -> None:
    loc = tuple(part for part in detail["loc"] if part != "[key]")
    where = place.at(line=document.line((*path, *loc)), item=_item_name(value, loc))
    name = ".".join(str(part) for part in loc if not isinstance(part, int)) or "?"
    rule, zh, en = _sentence(detail, name, shape)
    findings.add(where, rule, zh, en)


def _first(details: list[ErrorDetails]) -> list[ErrorDetails]:
    """Without those that only follow from another: a list is not too short when what it holds is wrong."""
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(
            len(other["loc"]) > len(detail["loc"]) and other["loc"][: len(detail["loc"])] == detail["loc"]
            for other in details
        )
    ]


def _item_name(value: dict[str, Any], loc: tuple[str | int, ...]) -> str | None:
    """The name of the item, field or rule that a location runs through."""
    if len(loc) < 2 or loc[0] not in ("items", "fields", "rules", "satellites") or not isinstance(loc[1], int):
        return None
    part = value[str(loc[0])][loc[1]]
    label = part.get("name", part.get("id")) if isinstance(part, dict) else None
    return label if isinstance(label, str) else f"{loc[0]}[{loc[1] + 1}]"


_ASSIGNED = {"code": "前段码写 prefix，后段码由载入时分配", "version": "版本由载入时分配"}
_ASSIGNED_EN = {"code": "declare `prefix`; load assigns the rest", "version": "load assigns versions"}
_FORMS = {
    "tuple_type": ("列表，每项以 “- ” 开头", "a list, each line starting with `- `"),
    "string_type": ("文字", "text"),
    "dict_type": ("“名称: 值” 的形式", "`name: value` lines"),
    "model_type": ("“名称: 值” 的形式", "`name: value` lines"),
    "string_too_short": ("非空的文字", "text that is not blank"),
    "too_short": ("至少一项", "at least one"),
}
_KINDS = {  # the first word of several of pydantic's names
    "bool": ("是或否", "是 or 否 (true or false)"),
    "int": ("整数", "a whole number"),
    "float": ("小数", "a number"),
    "date": ("日期，如 2026-11-22", "a date such as 2026-11-22"),
}
_LIMITS = {
    "greater_than": ("大于 {gt}", "more than {gt}"),
    "greater_than_equal": ("不小于 {ge}", "at least {ge}"),
    "less_than_equal": ("不大于 {le}", "at most {le}"),
}
_PATTERNS = {
    "prefix": (
        "前段码：类(1–3) + 项(2 位) + 目(3 位) + 细目，只用数字",
        "a 前段码: 1–3, two digits, three digits, more digits",
    ),
    "email": ("一个单位邮箱，如 data@example.gov.cn", "one office's address, such as data@example.gov.cn"),
    "webhook": ("http:// 或 https:// 开头的地址", "an address that begins with http:// or https://"),
}
_SLUG = (
    "小写字母开头，只含小写字母、数字和下划线，2–48 个字符",
    "2–48 characters a–z, 0–9 and _, starting with a letter",
)


def _sentence(detail: ErrorDetails, name: str, shape: type[BaseModel]) -> tuple[str, str, str]:
    kind, found, last = detail["type"], shown(detail["input"]), name.rsplit(".", 1)[-1]
    context = detail.get("ctx", {})
    if kind == "missing":
        return "missing-field", f"缺少 {name}，请补上", f"{name} is missing; add it"
    if kind == "extra_forbidden":
        hint, hint_en = _unknown(last, shape, top="." not in name)
        return "unknown-field", f"不认识 {name}{hint}", f"{name} is not a known name{hint_en}"
    if kind in ("literal_error", "enum"):
        expected = str(context.get("expected", "")).replace("'", "").replace(" or ", ", ")
        return (
            "field-form",
            f"{name} 是 {found}，应为其中之一：{expected}",
            f"{name} is {found}; expected one of {expected}",
        )
    if kind == "string_pattern_mismatch":
        zh, en = _PATTERNS.get(last, _SLUG)
    elif kind == "model_type" and last in ("sources", "key_sources", "parent_sources"):
        zh, en = "资源.信息项，如 police_household.name", "resource.item, such as police_household.name"
    elif kind in _LIMITS:
        zh, en = (text.format(**context) for text in _LIMITS[kind])
    elif kind in _FORMS:
        zh, en = _FORMS[kind]
    elif kind.split("_")[0] in _KINDS:
        zh, en = _KINDS[kind.split("_")[0]]
    else:
        zh = en = detail["msg"]
    return "field-form", f"{name} 是 {found}，应是{zh}", f"{name} is {found}; expected {en}"


def _unknown(name: str, shape: type[BaseModel], *, top: bool) -> tuple[str, str]:
    if top and name in _ASSIGNED:
        return f"：{_ASSIGNED[name]}", f": {_ASSIGNED_EN[name]}"
    near = get_close_matches(name, _names(shape), n=1)
    return (f"，是否应为 {near[0]}", f"; did you mean {near[0]}?") if near else ("，请删除", "; remove it")


def _names(shape: type[BaseModel]) -> set[str]:
    """Every field name of an entry and of what it is made of."""
    parts = {shape, *((Item, Share, Citation, RuleSpec) if shape is ResourceDraft else ())}
    parts |= {FieldDraft, FieldSource, SatelliteDraft, Link, Order} if shape is BaseDraft else set()
    return {name for part in parts for name in part.model_fields}
