"""What the gate says of a push, and how the figures lead to it.

Invariant: `decide` is a pure function of counts, rules, thresholds and the last accepted rows; a verdict holds counts,
row numbers, rule ids and sentences, never a value.
"""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

from exchange.catalogue.model import Level
from exchange.intake.pushes import CHINA
from exchange.registry.models import Push
from exchange.registry.models import Verdict as VerdictRow
from exchange.settings import Settings
from quality.check import Counts
from quality.rules import Rule
from quality.subject import Subject

Decision = Literal["accepted", "rejected", "held"]


@dataclass(frozen=True)
class Reason:
    """Why, for a machine (`code`) and in two languages."""

    code: str
    zh: str
    en: str


@dataclass(frozen=True)
class RuleCount:
    """How one version of one rule went, in rows. `rows`: the numbers of the first that failed (expectations.FIRST at most)."""

    id: str
    version: int
    level: str
    indicator: str
    title: str
    title_en: str
    items: tuple[str, ...]
    failed: int
    passed: int
    rows: tuple[int, ...] = ()


@dataclass(frozen=True)
class VerdictView:
    """裁定: the gate's word on a push."""

    push_id: str
    resource_id: str
    resource_version: int
    decision: Decision
    reasons: tuple[Reason, ...]
    rows: int
    accepted_rows: int
    quarantined_rows: int
    warned_rows: int
    normalised_values: int
    rules: tuple[RuleCount, ...]
    rules_digest: str
    unknown_columns: tuple[str, ...]
    decided_at: datetime
    confirmed_by: str | None

    @classmethod
    def of(cls, row: VerdictRow, push: Push) -> "VerdictView":
        """The view of a stored verdict."""
        decision: Any = row.decision
        return cls(
            push_id=push.id,
            resource_id=push.resource_id,
            resource_version=push.resource_version,
            decision=decision,
            reasons=tuple(Reason(**reason) for reason in row.reasons),
            rows=row.rows,
            accepted_rows=row.accepted_rows,
            quarantined_rows=row.quarantined_rows,
            warned_rows=row.warned_rows,
            normalised_values=row.normalised_values,
            rules=tuple(
                RuleCount(**(count | {"items": tuple(count["items"]), "rows": tuple(count.get("rows", ()))}))
                for count in row.rules
            ),
            rules_digest=row.rules_digest,
            unknown_columns=tuple(push.shape.get("unknown", ())),
            decided_at=row.decided_at,
            confirmed_by=row.confirmed_by,
        )

    def failed(self, rule_id: str) -> int:
        """Rows that failed a rule (KeyError when the verdict has no such rule)."""
        return {rule.id: rule.failed for rule in self.rules}[rule_id]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the time at +08:00."""
        return asdict(self) | {"decided_at": self.decided_at.astimezone(CHINA).isoformat(timespec="seconds")}


def rule_count(rule: Rule, rows: int, failed: int, first: tuple[int, ...]) -> RuleCount:
    """How a rule went, from its rows and the numbers of the first that failed."""
    return RuleCount(
        rule.id,
        rule.version,
        rule.level.value,
        rule.indicator,
        rule.title,
        rule.title_en,
        rule.items,
        failed,
        rows - failed,
        first,
    )


def decide(
    subject: Subject, counts: Counts, failed: dict[str, int], settings: Settings, last_accepted: int | None
) -> tuple[Decision, tuple[Reason, ...]]:
    """The decision and its reasons. `last_accepted`: accepted rows of the last accepted push, None when there is none."""
    reasons = [_blocked(rule, failed[rule.id]) for rule in subject.rules if rule.level is Level.BLOCK and failed[rule.id]]
    reasons += _too_many(subject, counts, settings)
    if reasons:
        return "rejected", tuple(reasons)
    shrunk = _shrunk(subject, counts, settings, last_accepted)
    if shrunk:
        return "held", tuple(shrunk)
    return "accepted", tuple(_accepted(counts))


def outdated(batch: int, newest: int) -> Reason:
    """Why a full push whose successor was accepted already changes nothing any more."""
    return Reason(
        "outdated",
        f"这是第 {batch} 批，其后的第 {newest} 批已被接受，本批不再入池；如确需这份数据，请以新批次号重新推送",
        f"this is batch {batch}, and the newer batch {newest} has been accepted already, so it is not pooled; "
        "if these data are meant, push them again under a new batch number",
    )


def no_baseline(mode: str) -> Reason:
    """Why changes to nothing can't be pooled."""
    return Reason(
        "no-baseline",
        f"该资源还没有全量数据，{mode} 方式无从更新；请先推送一次全量（full）",
        f"the resource has no full data yet that a push in mode {mode} could change; push it in full first",
    )


def needs_full(before: int, now: int) -> Reason:
    """Why changes by another catalogue version can't be pooled."""
    return Reason(
        "needs-full",
        f"目录从第 {before} 版到第 {now} 版改变了主键或数据类型，池中的旧行与新行不能并存；请先按第 {now} 版推送一次全量（full）",
        f"between versions {before} and {now} of the catalogue entry the key or a type changed, so old and new rows can't stand "
        f"side by side; push once in full by version {now} first",
    )


def _blocked(rule: Rule, rows: int) -> Reason:
    return Reason(
        "block-rule",
        f"有 {rows} 行违反阻断规则 {rule.id}（{rule.title}），整批退回；请按行错误文件改正后用新批次号重新推送",
        f"{rows} row(s) break the blocking rule {rule.id} ({rule.title_en}), so the push is rejected; "
        "mend them by the row-error file and push again under a new batch number",
    )


def _too_many(subject: Subject, counts: Counts, settings: Settings) -> list[Reason]:
    threshold = subject.resource.quarantine_threshold
    limit = settings.quarantine_threshold if threshold is None else threshold
    bad = counts.rejected - counts.tolerated
    share = bad / counts.rows if counts.rows else 0.0
    if share <= limit and (counts.rejected < counts.rows or not counts.rows):
        return []
    return [
        Reason(
            "threshold",
            f"{counts.rows} 行中有 {bad} 行（{share:.2%}）未通过，超过上限 {limit:.2%}，整批退回；请按行错误文件改正后用新批次号重新推送",
            f"{bad} of {counts.rows} rows ({share:.2%}) failed, above the limit of {limit:.2%}, so the push is rejected; "
            "mend them by the row-error file and push again under a new batch number",
        )
    ]


def _shrunk(subject: Subject, counts: Counts, settings: Settings, last: int | None) -> list[Reason]:
    floor = settings.shrink_floor if subject.resource.shrink_floor is None else subject.resource.shrink_floor
    kept = counts.rows - counts.rejected
    if subject.receipt.mode != "full" or last is None or kept >= floor * last:
        return []
    return [
        Reason(
            "shrunk",
            f"全量推送只有 {kept} 行可用，上次接受 {last} 行，低于 {floor:.0%}，暂挂待推送部门确认；如数据无误请确认，否则请重新推送",
            f"a full push with {kept} usable rows where {last} were accepted last time, below {floor:.0%}: held until the "
            "pushing department confirms it, or pushes again",
        )
    ]


def _accepted(counts: Counts) -> list[Reason]:
    kept, waiting = counts.rows - counts.rejected, counts.rejected
    return [
        Reason(
            "passed",
            f"{counts.rows} 行中接受 {kept} 行，隔离 {waiting} 行，提示 {counts.warned} 行",
            f"{kept} of {counts.rows} rows accepted, {waiting} quarantined, {counts.warned} with a warning",
        )
    ]
