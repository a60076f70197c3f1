"""A verdict, told to its department: what is to be sent, and what it says.

Invariant: off unless set. A notice is written in its verdict's own transaction and sent by somebody else (infra/messenger.py),
so sending can neither delay a verdict nor fail it, and no verdict is forgotten. It holds counts, rule names, row numbers and
the report's address, never a value; 中文 first, English beside it.
"""

from dataclasses import asdict, dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from exchange import catalogue
from exchange.house import House
from exchange.registry.models import Department, Notice, Push, Verdict
from quality.verdict import RuleCount, VerdictView

Occasion = Literal["decided", "confirmed"]
Channel = Literal["mail", "webhook"]

_DECISIONS = {
    "accepted": ("通过", "accepted"),
    "rejected": ("退回", "rejected"),
    "held": ("挂起待确认", "held for confirmation"),
}


@dataclass(frozen=True)
class Message:
    """What is sent: a subject and a text for people, the same as data for systems."""

    id: str
    subject: str
    text: str
    data: dict[str, Any]


def enqueue(house: House, session: Session, push: Push, occasion: Occasion) -> None:
    """Write down what is to be sent of a verdict, in the verdict's own transaction; nothing where no channel is set."""
    if house.settings.mail_url is None and not house.settings.webhooks:
        return
    department = session.get_one(Department, push.department_code)
    wanted: dict[Channel, bool] = {
        "mail": house.settings.mail_url is not None and department.email is not None,
        "webhook": house.settings.webhooks and department.webhook is not None,
    }
    for channel in (channel for channel, on in wanted.items() if on):
        row = {"id": f"{push.id}.{occasion}.{channel}", "push_id": push.id, "channel": channel}
        session.execute(insert(Notice).values(**row).on_conflict_do_nothing())


def compose(house: House, notice_id: str, push_id: str) -> Message:
    """What a notice of a judged push says."""
    with house.registry.session() as session:
        push, row = session.get_one(Push, push_id), session.get_one(Verdict, push_id)
    verdict, batch = VerdictView.of(row, push), push.batch
    resource = catalogue.resource_at(house, push.resource_id, push.resource_version)
    link = f"{house.settings.public_address}/v1/pushes/{push_id}/report"
    zh, en = _DECISIONS[verdict.decision]
    failed = [rule for rule in verdict.rules if rule.failed]
    subject = f"质检结论：{resource.title} 第 {batch} 批 {zh} / {resource.id} batch {batch} {en}"
    return Message(
        notice_id, subject, _text(verdict, resource.title, batch, failed, link), _data(verdict, batch, failed, link)
    )


def secret(house: House, department: str) -> str:
    """By which a department knows that a posted verdict comes from here. Derived, so the same for ever; kept nowhere.

    Raises:
        NotFound: no such department.
    """
    return house.seal.derive(f"webhook {catalogue.department(house, department).code}").hex()


def listed(house: House, limit: int = 50) -> list[dict[str, Any]]:
    """Notices and what became of them, the newest first."""
    shown = ("id", "channel", "tries", "made_at", "due_at", "sent_at", "failure")
    with house.registry.session() as session:
        found = session.scalars(select(Notice).order_by(Notice.made_at.desc(), Notice.id).limit(limit))
        return [{name: getattr(notice, name) for name in shown} for notice in found]


def _text(verdict: VerdictView, title: str, batch: int, failed: list[RuleCount], link: str) -> str:
    zh, en = _DECISIONS[verdict.decision]
    lines = [
        f"{title} 第 {batch} 批（回执 {verdict.push_id}）：{zh}",
        *(reason.zh for reason in verdict.reasons),
        f"共 {verdict.rows} 行，接受 {verdict.accepted_rows} 行，隔离 {verdict.quarantined_rows} 行，提示 {verdict.warned_rows} 行。",
        *(f"· {rule.title}（{rule.id}）：{rule.failed} 行，行号 {_numbers(rule)}" for rule in failed),
        f"质量报告（需令牌）：{link}",
        "",
        f"{verdict.resource_id}, batch {batch} (receipt {verdict.push_id}): {en}",
        *(reason.en for reason in verdict.reasons),
        f"{verdict.rows} rows: {verdict.accepted_rows} accepted, {verdict.quarantined_rows} quarantined, "
        f"{verdict.warned_rows} with a warning.",
        *(f"- {rule.title_en} ({rule.id}): {rule.failed} row(s), numbers {_numbers(rule)}" for rule in failed),
        f"Quality report (needs a token): {link}",
    ]
    return "\n".join(lines) + "\n"


def _numbers(rule: RuleCount) -> str:
    return ", ".join(map(str, rule.rows)) + (" …" if len(rule.rows) < rule.failed else "")


def _data(verdict: VerdictView, batch: int, failed: list[RuleCount], link: str) -> dict[str, Any]:
    shown = ("id", "level", "title", "title_en", "failed", "rows")
    facts = verdict.as_dict()
    own = ("push_id", "resource_id", "decision", "rows", "accepted_rows", "quarantined_rows", "warned_rows", "decided_at")
    return {
        **{name: facts[name] for name in own},
        "batch": batch,
        "reasons": [asdict(reason) for reason in verdict.reasons],
        "failed_rules": [{name: asdict(rule)[name] for name in shown} for rule in failed],
        "report": link,
    }
