"""What people may write instead of a code: 每日 for daily, 有条件共享 for 2, C50 for type C and length 50.

Invariant: a word stands for exactly one code, and whatever is not in these tables is handed on as written, to be refused
by the shape of the entry with the values it expects. Blank (`condition:` with nothing after it) means not given.
"""

import re
from typing import Any

SHARE = {"无条件共享": "1", "无条件": "1", "有条件共享": "2", "有条件": "2", "不予共享": "3", "不予": "3"}
CYCLE = {
    "实时": "realtime",
    "每日": "daily",
    "每周": "weekly",
    "每月": "monthly",
    "每季度": "quarterly",
    "每半年": "half_yearly",
    "每年": "yearly",
    "不定期": "irregular",
    "其他": "other",
}
SENSITIVITY = {"不涉密": "none", "个人隐私": "personal", "商业机密": "commercial"}
MODE = {"共享平台方式": "1", "邮件方式": "2", "介质方式": "3"}
YES_NO = {"是": "true", "否": "false"}
_COMPACT = re.compile(r"([A-Z])(\d{1,4})(?:,(\d{1,2}))?")


def resource(value: dict[str, Any]) -> dict[str, Any]:
    """An entry of `resources/` with words replaced by codes."""
    entry = _given(value)
    _replace(entry, "update_cycle", CYCLE)
    _replace(entry, "open", YES_NO)
    _listed(entry, "key", "related_codes")
    if isinstance(entry.get("share"), str):
        entry["share"] = {"type": entry["share"]}
    if isinstance(entry.get("share"), dict):
        share = entry["share"] = _given(entry["share"])
        _replace(share, "type", SHARE)
        _replace(share, "mode_category", MODE)
        if share.get("mode_category") in ("1", "2", "3"):
            share["mode_category"] = int(share["mode_category"])
    _each(entry, "items", item)
    _each(entry, "rules", _rule)
    return entry


def item(value: dict[str, Any]) -> dict[str, Any]:
    """An item with words replaced by codes."""
    entry = _given(value)
    _replace(entry, "share_type", SHARE)
    _replace(entry, "sensitivity", SENSITIVITY)
    _replace(entry, "required", YES_NO)
    _replace(entry, "is_timestamp", YES_NO)
    _listed(entry, "aliases")
    _unpack_type(entry)
    return entry


def base(value: dict[str, Any]) -> dict[str, Any]:
    """An entry of `bases/` with words replaced by codes and `resource.item` taken apart."""
    entry = _given(value)
    _each(entry, "fields", _field)
    _sources(entry, "key_sources")
    _each(entry, "satellites", _satellite)
    _each(entry, "links", _link)
    return entry


def theme(value: dict[str, Any]) -> dict[str, Any]:
    """An entry of `themes/` with words replaced by codes."""
    entry = _given(value)
    _each(entry, "fields", item)
    return entry


def department(value: dict[str, Any]) -> dict[str, Any]:
    """An entry of `departments.yaml`."""
    return _given(value)


def _rule(value: dict[str, Any]) -> dict[str, Any]:
    entry = _given(value)
    _listed(entry, "items")
    return entry


def _field(value: dict[str, Any]) -> dict[str, Any]:
    entry = _given(value)
    _replace(entry, "benchmark", YES_NO)
    _replace(entry, "sensitivity", SENSITIVITY)
    _sources(entry, "sources")
    _each(entry, "authority", _order)
    return entry


def _order(value: dict[str, Any]) -> dict[str, Any]:
    entry = _given(value)
    _sources(entry, "sources")
    return entry


def _satellite(value: dict[str, Any]) -> dict[str, Any]:
    entry = _given(value)
    _listed(entry, "key")
    _each(entry, "fields", _field)
    _sources(entry, "parent_sources")
    return entry


def _link(value: dict[str, Any]) -> dict[str, Any]:
    entry = _given(value)
    _listed(entry, "base")
    return entry


def _given(value: dict[str, Any]) -> dict[str, Any]:
    return {name: part for name, part in value.items() if part is not None}


def _listed(entry: dict[str, Any], *names: str) -> None:
    """One thing may stand where a list of things may."""
    for name in names:
        if isinstance(entry.get(name), str):
            entry[name] = [entry[name]]


def _replace(entry: dict[str, Any], name: str, words: dict[str, str]) -> None:
    value = entry.get(name)
    if isinstance(value, str):
        entry[name] = words.get(value.strip(), value.strip())


def _each(entry: dict[str, Any], name: str, change: Any) -> None:
    if isinstance(entry.get(name), list):
        entry[name] = [change(part) if isinstance(part, dict) else part for part in entry[name]]


def _sources(entry: dict[str, Any], name: str) -> None:
    _listed(entry, name)
    if isinstance(entry.get(name), list):
        entry[name] = [_source(part) for part in entry[name]]


def _source(part: object) -> object:
    if isinstance(part, str) and part.count(".") == 1:
        resource_id, item_name = part.split(".")
        return {"resource": resource_id.strip(), "item": item_name.strip()}
    return part


def _unpack_type(entry: dict[str, Any]) -> None:
    """C50, N18,6 and I6 carry their length; D8 and T14 are only the customary spelling of D and T."""
    match = _COMPACT.fullmatch(entry["type"].replace(" ", "")) if isinstance(entry.get("type"), str) else None
    if match is None or "length" in entry or "scale" in entry:
        return
    letter, length, scale = match.groups()
    entry["type"] = letter
    if (letter, length) not in (("D", "8"), ("T", "14")):
        entry["length"] = length
    if scale is not None:
        entry["scale"] = scale
