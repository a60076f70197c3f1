"""What a loaded catalogue will do to the pools that are there already, said before it happens.

Invariant: nothing is changed here, and nothing is said of a resource whose pool is as the catalogue has it.
"""

from collections.abc import Iterable

from sqlalchemy.orm import Session

from exchange.catalogue import change, lookup
from exchange.catalogue.change import Change
from exchange.catalogue.model import BaseEntry, Resource
from exchange.registry import models


def of(session: Session, resource_id: str, bases: Iterable[BaseEntry]) -> list[dict[str, str]]:
    """What will become of the pool of one resource; nothing when it is empty or as the catalogue in force says."""
    session.flush()
    had = lookup.pooled_as(session, resource_id)
    known = session.get_one(models.Resource, resource_id)
    if had is None or had.version == known.current:
        return []
    now = lookup.defined(session, resource_id, known.current)
    found = change.between(had, now)
    fed = [base.id for base in bases if any(source.resource == resource_id for source in base.feeders)]
    said = [_new_pool(had, now, found, fed)] if found.new_pool else list(_same_pool(now, found))
    return [{"resource": resource_id, "effect": effect, "zh": zh, "en": en} for effect, zh, en in said]


def _new_pool(had: Resource, now: Resource, found: Change, bases: list[str]) -> tuple[str, str, str]:
    zh, en = [], []
    if found.key:
        zh.append(f"主键由 {_key(had, '、')} 改为 {_key(now, '、')}")
        en.append(f"the key changes from {_key(had, ', ')} to {_key(now, ', ')}")
    if found.retyped:
        zh.append(f"{'、'.join(found.retyped)} 的数据类型改变")
        en.append(f"the type of {', '.join(found.retyped)} changes")
    until = f"，基础库 {'、'.join(bases)} 在此之前仍用旧部门库" if bases else ""
    till = f"; until then {', '.join(bases)} go on with the old one" if bases else ""
    return (
        "new pool",
        f"{'，'.join(zh)}：将建新的部门库，须先推送一次全量数据，此前的增量推送会被退回{until}；旧部门库按其版本仍可查询（as of）",
        f"{', and '.join(en)}: a new pool begins with the next full push, and increments are refused before it{till}; the "
        "old pool stays readable as of its versions",
    )


def _same_pool(now: Resource, found: Change) -> Iterable[tuple[str, str, str]]:
    if found.added:
        zh, en = _names(now, found.added)
        yield (
            "added",
            f"新增 {zh}：下次推送起生效，已有的行为空",
            f"added {en}: from the next push on; empty in the rows there are",
        )
    if found.widened:
        zh, en = _names(now, found.widened)
        yield "widened", f"放宽 {zh}：已有的值不变", f"widened {en}: the values there are stay as they are"
    if found.narrowed:
        zh, en = _names(now, found.narrowed)
        yield (
            "narrowed",
            f"收窄 {zh}：已有的行不重新检查，下次推送起按新长度检查",
            f"narrowed {en}: the rows there are are not judged again, the next push is",
        )
    if found.removed:
        listed = "、".join(found.removed)
        yield (
            "removed",
            f"去掉 {listed}：下次推送起的版本不再含此项，此前的版本仍有",
            f"removed {', '.join(found.removed)}: not in versions from the next push on; the versions before still have it",
        )


def _key(resource: Resource, between: str) -> str:
    several = " (duplicates: allow)" if resource.duplicates == "allow" else ""
    return between.join(resource.key) + several


def _names(now: Resource, names: Iterable[str]) -> tuple[str, str]:
    listed = list(names)
    return "、".join(f"{now.item(name).title}（{name}）" for name in listed), ", ".join(listed)
