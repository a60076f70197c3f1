"""Rules before they are published, tried on what came last: what would fail, and what the verdict would be.

Invariant: nothing is kept: no state, no verdict, no quarantine, no file; what is worked on lies encrypted in `spill/` and is
gone at the end. A trial holds rule ids, counts and row numbers, never a value.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from duckdb import DuckDBPyConnection
from sqlalchemy import select

from exchange import catalogue
from exchange.catalogue.model import Resource
from exchange.catalogue.proposal import proposed
from exchange.errors import NotFound
from exchange.house import House
from exchange.intake import tables
from exchange.intake.formats.format import rows_of
from exchange.intake.pushes import Receipt
from exchange.progress import Progress, silent
from exchange.registry.models import Push
from quality import check, gate
from quality.check import Counts
from quality.expectations import FIRST
from quality.rules import Rule, fails
from quality.subject import Subject
from quality.verdict import Decision, Reason

Change = Literal["added", "changed", "unchanged", "removed"]


@dataclass(frozen=True)
class TriedRule:
    """How one rule goes: rows that fail under the published rules and under the tried ones (None: there is no such rule
    there). `rows`: the numbers of the first that fail the tried one."""

    id: str
    change: Change
    level: str
    title: str
    title_en: str
    failed_now: int | None
    failed_then: int | None
    rows: tuple[int, ...]


@dataclass(frozen=True)
class Outcome:
    """Where one set of rules leads: the decision, its reasons, and the share of failing rows beside its limit."""

    decision: Decision
    reasons: tuple[Reason, ...]
    rows: int
    accepted_rows: int
    quarantined_rows: int
    warned_rows: int
    share: float
    threshold: float


@dataclass(frozen=True)
class Trial:
    """A push under the published rules (`now`) and under the tried ones (`then`)."""

    push_id: str
    batch: int
    resource_id: str
    published_version: int
    now: Outcome
    then: Outcome
    rules: tuple[TriedRule, ...]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


@dataclass(frozen=True)
class _Judged:
    subject: Subject
    counts: Counts
    failed: dict[str, int]
    rows: dict[str, tuple[int, ...]]


def try_rules(house: House, file: Path, resource_id: str, progress: Progress = silent) -> Trial:
    """Try a rule file (or a changed entry) on the last landed push of a resource.

    Raises:
        NotFound: no such resource, or nothing was pushed yet. CatalogueError: the file, as `catalogue load` would say it.
        WrongState: the bytes of that push have been aged out.
        ParcelRefused: that push has no column for an item that the changed entry requires.
    """
    then = proposed(house, file, resource_id)
    now = catalogue.resource(house, resource_id)
    receipt = _last(house, resource_id)
    with tempfile.TemporaryDirectory(dir=house.settings.folder("spill"), prefix=".trial-") as folder:
        before = _judge(house, receipt, now, Path(folder) / "now", progress)
        after = _judge(house, receipt, then, Path(folder) / "then", progress)
    return Trial(
        push_id=receipt.id,
        batch=receipt.batch,
        resource_id=resource_id,
        published_version=now.version,
        now=_outcome(house, before, now),
        then=_outcome(house, after, then),
        rules=tuple(_compared(before, after)),
    )


def _last(house: House, resource_id: str) -> Receipt:
    query = select(Push).where(Push.resource_id == resource_id, Push.state != "withdrawn").order_by(Push.batch.desc())
    with house.registry.session() as session:
        push = session.scalar(query.limit(1))
    if push is None:
        raise NotFound(
            f"资源 {resource_id} 还没有推送过，规则无从试行",
            f"nothing was pushed of {resource_id} yet, so there is nothing to try rules on",
            resource=resource_id,
        )
    return Receipt.of(push)


def _judge(house: House, receipt: Receipt, resource: Resource, folder: Path, progress: Progress) -> _Judged:
    """The push read and judged by this version, beside whatever the house keeps of it."""
    folder.mkdir()
    subject = Subject.by(receipt, resource)
    table, noted = folder / "rows", folder / "noted"
    with tempfile.TemporaryFile(dir=folder) as plain:
        for piece in tables.read_landed(house, receipt.id):
            plain.write(piece)
        plain.flush()
        tables.write(house, plain, subject.resource, table)
    with house.duckdb() as connection:
        check.judge_rows(connection, subject.resource, subject.rules, rows_of(table), noted, progress)
        relation = check.judged(subject.resource, subject.rules, rows_of(table), check.relation(noted))
        counts = check.count(connection, relation, subject.rules)
        failed = check.direct_counts(connection, relation, subject.rules)
        return _Judged(subject, counts, failed, _first(connection, relation, subject.rules, failed))


def _first(
    connection: DuckDBPyConnection, relation: str, rules: Sequence[Rule], failed: dict[str, int]
) -> dict[str, tuple[int, ...]]:
    found = {}
    for index, rule in enumerate(rules):
        query = f"SELECT _row FROM {relation} WHERE {fails(index)} ORDER BY _row LIMIT {FIRST}"
        found[rule.id] = tuple(row[0] for row in connection.execute(query).fetchall()) if failed[rule.id] else ()
    return found


def _outcome(house: House, judged: _Judged, resource: Resource) -> Outcome:
    counts = judged.counts
    decision, reasons = gate.forecast(house, judged.subject, resource, counts, judged.failed)
    limit = resource.quarantine_threshold
    return Outcome(
        decision=decision,
        reasons=reasons,
        rows=counts.rows,
        accepted_rows=counts.rows - counts.rejected,
        quarantined_rows=counts.rejected,
        warned_rows=counts.warned,
        share=(counts.rejected - counts.tolerated) / counts.rows if counts.rows else 0.0,
        threshold=house.settings.quarantine_threshold if limit is None else limit,
    )


def _compared(before: _Judged, after: _Judged) -> list[TriedRule]:
    """The tried rules in their order, then those that are published and would be no more."""
    old = {rule.id: rule for rule in before.subject.rules}
    new = {rule.id: rule for rule in after.subject.rules}
    compared = []
    for rule in (*new.values(), *(rule for rule in old.values() if rule.id not in new)):
        change: Change = "removed" if rule.id not in new else "added" if rule.id not in old else "changed"
        compared.append(
            TriedRule(
                rule.id,
                "unchanged" if old.get(rule.id) == new.get(rule.id) else change,
                rule.level.value,
                rule.title,
                rule.title_en,
                before.failed.get(rule.id),
                after.failed.get(rule.id),
                after.rows.get(rule.id, ()),
            )
        )
    return compared
