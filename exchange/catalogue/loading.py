"""Loading: from a checked folder into the control database, all or nothing.

Invariants: the same definition keeps its version and a changed one gets the next, with every old one kept; 后段码 and
rule versions only ever rise and are never given twice; loading the same folder again changes nothing.
A kill before the commit leaves the old catalogue; after it, the next load writes the snapshot again.
"""

import json
import os
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from exchange import events
from exchange.catalogue import effects, lookup, predicates, snapshot, themes
from exchange.catalogue import folder as folders
from exchange.catalogue.draft import Draft, Reading, ResourceDraft
from exchange.catalogue.model import BaseEntry, Department, Resource, RuleSpec, ThemeEntry
from exchange.errors import CatalogueError
from exchange.house import House
from exchange.registry import models
from exchange.seal import digest_hex

_LOCK = 0x45584C44  # one load at a time, in every process


@dataclass(frozen=True)
class LoadReport:
    """What a load did, by resource id; `bases` and `themes` say loaded, changed, unchanged or retired for each. `effects`:
    what will become of pools that are there already, in both languages."""

    loaded: tuple[str, ...]  # new, or back after having been retired
    changed: tuple[str, ...]
    unchanged: tuple[str, ...]
    retired: tuple[str, ...]
    departments: int
    bases: dict[str, str]
    themes: dict[str, str] = field(default_factory=dict)
    effects: tuple[dict[str, str], ...] = ()  # resource, effect, zh, en

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def load(house: House, folder: Path, by: str | None = None) -> LoadReport:
    """Check a folder and make it the catalogue in force. `by`: whose account does it, kept with every new version.

    Resources and bases that the folder no longer has are retired: nothing of theirs is removed, and they come back with
    the same code when the folder has them again. Writes `<data>/catalogue.json` for those who read without a database.

    Raises:
        CatalogueError: with every finding; nothing was changed.
    """
    reading = folders.read(folder)
    predicates.check(house, reading)
    drawn = themes.check(house, reading)
    with house.registry.session() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        check_identities(session, reading)
        _base_keys(session, reading)
        _departments_in_use(session, reading)
        if reading.findings:
            raise CatalogueError(list(reading.findings))
        report = _store(session, folders.draft_of(reading), drawn, datetime.now(UTC), by)
        events.record(session, events.Tag.CATALOGUE_LOADED, **_counts(report), by=by)
    write_snapshot(house)
    return report


def write_snapshot(house: House) -> Path:
    """Write `<data>/catalogue.json` as the database has it now, whole and at once."""
    path = house.settings.root / snapshot.NAME
    fresh = house.settings.root / f"{snapshot.NAME}.new"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with house.registry.session() as session:
        session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        value = lookup.read_current(session).model_dump(mode="json")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(value, file, ensure_ascii=False, separators=(",", ":"))
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    return path


def _counts(report: LoadReport) -> dict[str, Any]:
    return {
        "loaded": list(report.loaded),
        "changed": list(report.changed),
        "retired": list(report.retired),
        "unchanged": len(report.unchanged),
        "bases": report.bases,
        "themes": report.themes,
    }


def check_identities(session: Session, reading: Reading) -> None:
    """信息资源代码 never changes: an entry may not move to another 前段码."""
    codes = {row.id: row.code for row in session.execute(select(models.Resource.id, models.Resource.code))}
    for written in reading.resources:
        entry = written.entry
        kept = codes.get(entry.id, "").partition("/")[0]
        if kept and kept != entry.prefix:
            reading.findings.add(
                written.place("prefix"),
                "prefix-kept",
                f"前段码 {entry.prefix} 与已分配的代码 {codes[entry.id]} 不符；信息资源代码不可更改，请改回 {kept} 或换一个 id",
                f"prefix {entry.prefix} differs from the code already given, {codes[entry.id]}; a code never changes: "
                f"write {kept} again or choose another id",
            )


def _base_keys(session: Session, reading: Reading) -> None:
    """A base's key is the same for ever: closed records are found by it."""
    kept = {row.base_id: row.definition["key"] for row in lookup.newest_bases(session) if row.digest != lookup.RETIRED}
    for written in reading.bases:
        before = kept.get(written.entry.id)
        if before is not None and before != written.entry.key:
            reading.findings.add(
                written.place("key"),
                "base-key-kept",
                f"基础库的主键不可由 {before} 改为 {written.entry.key}；请改回，或换一个 id 建新库",
                f"the key of a base can't change from {before} to {written.entry.key}; write {before} again or make a new base "
                "under another id",
            )


def _departments_in_use(session: Session, reading: Reading) -> None:
    """A department that leaves the catalogue must not keep what it could do."""
    named = {written.entry.code for written in reading.departments}
    if not named:
        return
    live = {
        "授权 grants": select(models.Grant.department_code).where(
            models.Grant.revoked_at.is_(None), models.Grant.valid_until >= func.current_date()
        ),
        "系统 clients": select(models.Client.department_code).where(models.Client.revoked_at.is_(None)),
    }
    for what, query in live.items():
        for code, count in sorted(Counter(session.scalars(query)).items()):
            if code not in named:
                reading.findings.add(
                    reading.departments[0].place(),
                    "department-in-use",
                    f"部门 {code} 不在名单里，但还有 {count} 个有效的{what}；请先撤销，再把它从目录中去掉",
                    f"department {code} is not listed but still has {count} live {what}; revoke them before taking it out",
                )


def _store(session: Session, draft: Draft, drawn: tuple[ThemeEntry, ...], now: datetime, by: str | None) -> LoadReport:
    for department in draft.departments:
        _store_department(session, department)
    done = {entry.id: _store_resource(session, entry, draft.codes, by) for entry in draft.resources}
    retired = _retire(session, set(done), now)
    bases = {entry.id: _store_base(session, entry) for entry in draft.bases} | _retire_bases(session, draft)

    def those(what: str) -> tuple[str, ...]:
        return tuple(sorted(name for name, outcome in done.items() if outcome == what))

    return LoadReport(
        those("loaded"),
        those("changed"),
        those("unchanged"),
        retired,
        len(draft.departments),
        dict(sorted(bases.items())),
        themes.store(session, drawn, by),
        tuple(effect for entry in draft.resources for effect in effects.of(session, entry.id, draft.bases)),
    )


def _store_department(session: Session, department: Department) -> None:
    values = department.model_dump(exclude={"code"})
    session.execute(
        insert(models.Department)
        .values(code=department.code, **values)
        .on_conflict_do_update(index_elements=["code"], set_=values)
    )


def _store_resource(session: Session, entry: ResourceDraft, codes: dict[str, dict[str, str]], by: str | None) -> str:
    known = session.get(models.Resource, entry.id)
    if known is None:
        _first_version(session, entry, codes, by)
        return "loaded"
    history = _history(session, entry.id)
    definition = _definition(entry, known.code, codes, history)
    digest = _digest(definition)
    back = known.retired_at is not None
    known.retired_at = None
    known.department_code = entry.department
    if digest == _digest(history[-1]):
        return "loaded" if back else "unchanged"
    known.current += 1
    session.add(_version(entry.id, known.current, definition, digest, by))
    return "loaded" if back else "changed"


def _first_version(session: Session, entry: ResourceDraft, codes: dict[str, dict[str, str]], by: str | None) -> None:
    code = _next_code(session, entry.prefix)
    session.add(models.Resource(id=entry.id, code=code, department_code=entry.department, current=1))
    session.flush()
    definition = _definition(entry, code, codes, [])
    session.add(_version(entry.id, 1, definition, _digest(definition), by))


def _next_code(session: Session, prefix: str) -> str:
    sequence = insert(models.CodeSequence).values(prefix=prefix, last=1)
    number = session.scalar(
        sequence.on_conflict_do_update(index_elements=["prefix"], set_={"last": models.CodeSequence.last + 1}).returning(
            models.CodeSequence.last
        )
    )
    return f"{prefix}/{number}"


def next_definition(session: Session, entry: ResourceDraft, code: str, codes: dict[str, dict[str, str]]) -> dict[str, Any]:
    """What the next version of a resource that is loaded would say; `codes`: the catalogue's own tables."""
    return _definition(entry, code, codes, _history(session, entry.id))


def _history(session: Session, resource_id: str) -> list[dict[str, Any]]:
    """Every definition of a resource, oldest first."""
    version = models.ResourceVersion
    return list(
        session.scalars(select(version.definition).where(version.resource_id == resource_id).order_by(version.version))
    )


def _definition(
    entry: ResourceDraft, code: str, codes: dict[str, dict[str, str]], history: list[dict[str, Any]]
) -> dict[str, Any]:
    used = sorted({item.code_table for item in entry.items if item.code_table in codes})
    complete = Resource(
        **{name: getattr(entry, name) for name in type(entry).model_fields if name not in ("prefix", "rules")},
        rules=tuple(_numbered(rule, history) for rule in entry.rules),
        code=code,
        version=len(history) + 1,
        code_tables={name: codes[name] for name in used},
    )
    return complete.model_dump(mode="json")


def _numbered(rule: RuleSpec, history: list[dict[str, Any]]) -> RuleSpec:
    """The rule with the version it always had, or the next one when it says something new."""
    content = rule.model_dump(mode="json", exclude={"version"})
    newest = 0
    for definition in history:
        for old in definition["rules"]:
            if old["id"] == rule.id:
                newest = max(newest, old["version"])
    for old in history[-1]["rules"] if history else ():
        if {name: value for name, value in old.items() if name != "version"} == content:
            return rule.model_copy(update={"version": old["version"]})
    return rule.model_copy(update={"version": newest + 1})


def _digest(definition: dict[str, Any]) -> str:
    """Of what a definition says, whatever its version."""
    said = {name: value for name, value in definition.items() if name != "version"}
    return digest_hex(json.dumps(said, ensure_ascii=False, sort_keys=True).encode())


def _version(
    resource_id: str, version: int, definition: dict[str, Any], digest: str, by: str | None
) -> models.ResourceVersion:
    return models.ResourceVersion(
        resource_id=resource_id, version=version, definition=definition, digest=digest, loaded_by=by
    )


def _retire(session: Session, kept: set[str], now: datetime) -> tuple[str, ...]:
    gone = [
        row
        for row in session.scalars(select(models.Resource).where(models.Resource.retired_at.is_(None)))
        if row.id not in kept
    ]
    for row in gone:
        row.retired_at = now
        row.overdue_since = None
    return tuple(sorted(row.id for row in gone))


def _store_base(session: Session, entry: BaseEntry) -> str:
    newest = session.scalar(
        select(models.BaseVersion)
        .where(models.BaseVersion.base_id == entry.id)
        .order_by(models.BaseVersion.version.desc())
        .limit(1)
    )
    definition = entry.model_dump(mode="json")
    digest = _digest(definition)
    if newest is not None and newest.digest == digest:
        return "unchanged"
    version = 1 if newest is None else newest.version + 1
    definition["version"] = version
    session.add(models.BaseVersion(base_id=entry.id, version=version, definition=definition, digest=digest))
    return "loaded" if newest is None or newest.digest == lookup.RETIRED else "changed"


def _retire_bases(session: Session, draft: Draft) -> dict[str, str]:
    session.flush()
    kept = {entry.id for entry in draft.bases}
    gone = [row for row in lookup.newest_bases(session) if row.base_id not in kept and row.digest != lookup.RETIRED]
    for row in gone:
        session.add(models.BaseVersion(base_id=row.base_id, version=row.version + 1, definition={}, digest=lookup.RETIRED))
    return {row.base_id: "retired" for row in gone}


__all__ = ["LoadReport", "load", "write_snapshot"]
