"""Who changed which rule when: the versions of catalogue entries, each compared with the one before.

Invariant: rules are compared as they are compiled, so that a changed item or code table shows as the rules it changed; one
version of an entry is in memory beside the one before it, and no more changes than are asked for.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from exchange.catalogue.model import Resource
from exchange.intake.pushes import CHINA
from exchange.registry.models import ResourceVersion
from quality.overview.facts import Known
from quality.overview.model import Asked, History, RuleChange, RuleText
from quality.rules import compile_rules

_AT_ONCE = 20  # versions fetched together
_Said = dict[str, tuple[Any, RuleText]]  # rule -> what is compared, what is shown


@dataclass(frozen=True)
class Version:
    """A version of a catalogue entry as it was loaded."""

    resource: str
    number: int
    definition: dict[str, Any]
    at: datetime
    by: str | None


def versions(session: Session, known: list[Known]) -> Iterator[Version]:
    """Every version of these resources, each resource's oldest first."""
    row = ResourceVersion
    query = (
        select(row.resource_id, row.version, row.definition, row.loaded_at, row.loaded_by)
        .where(row.resource_id.in_([one.id for one in known]))
        .order_by(row.resource_id, row.version)
        .execution_options(yield_per=_AT_ONCE)
    )
    for found in session.execute(query):
        yield Version(*found)


def history(asked: Asked, known: list[Known], loaded: Iterable[Version]) -> History:
    """The whole answer: the newest `asked.changes` changes, within the period when one is given."""
    words = {one.id: one for one in known}
    newest: list[tuple[datetime, int, RuleChange]] = []
    count = 0
    for order, change in enumerate(_changes(loaded, words)):
        if not _wanted(asked, change):
            continue
        count += 1
        entry = (change.at, -order, change)  # of one load, resources and rules stay in the order of the catalogue
        if len(newest) < asked.changes:
            heapq.heappush(newest, entry)
        else:
            heapq.heappushpop(newest, entry)
    changes = tuple(change for _, _, change in sorted(newest, reverse=True))
    return History(asked=asked, changes=changes, more=count - len(changes))


def _wanted(asked: Asked, change: RuleChange) -> bool:
    day = change.at.astimezone(CHINA).date()
    return (
        (asked.since is None or day >= asked.since)
        and (asked.until is None or day <= asked.until)
        and asked.rule in (None, change.rule)
    )


def _changes(loaded: Iterable[Version], words: dict[str, Known]) -> Iterator[RuleChange]:
    before: _Said = {}
    last = ""
    for version in loaded:
        if version.resource != last:
            before, last = {}, version.resource
        now = _said(Resource.model_validate(version.definition))
        for rule in [*now, *(gone for gone in before if gone not in now)]:
            old, new = before.get(rule), now.get(rule)
            if old is None or new is None or old[0] != new[0]:
                yield RuleChange(
                    resource=version.resource,
                    title=words[version.resource].title,
                    department=words[version.resource].department,
                    version=version.number,
                    at=version.at,
                    by=version.by,
                    rule=rule,
                    what="added" if old is None else "removed" if new is None else "changed",
                    old=old[1] if old else None,
                    new=new[1] if new else None,
                )
        before = now


def _said(resource: Resource) -> _Said:
    """Every rule of a version, and what the whole push is held against."""
    details = {f"dept.{rule.id}": rule.predicate for rule in resource.rules}
    for item in resource.items:
        if item.code_table in resource.code_tables:
            details[f"{item.name}.code"] = "、".join(resource.code_tables[item.code_table])
    said: _Said = {}
    for rule in compile_rules(resource):
        shown = RuleText(
            level=rule.level.value,
            indicator=rule.indicator,
            title=rule.title,
            title_en=rule.title_en,
            detail=details.get(rule.id),
        )
        said[rule.id] = ((shown, rule.predicate, rule.items, rule.tolerated), shown)
    return said | {name: (shown, shown) for name, shown in _limits(resource)}


def _limits(resource: Resource) -> Iterator[tuple[str, RuleText]]:
    for name, level, zh, en, limit in (
        ("push.threshold", "block", "未通过的行至多占", "failing rows are at most", resource.quarantine_threshold),
        (
            "push.shrink",
            "hold",
            "全量推送的合格行至少为上次的",
            "good rows of a full push are at least",
            resource.shrink_floor,
        ),
    ):
        value, value_en = ("平台设定", "what the platform sets") if limit is None else (f"{limit:.2%}", f"{limit:.2%}")
        yield name, RuleText(level=level, indicator=None, title=f"{zh}{value}", title_en=f"{en} {value_en}", detail=None)
