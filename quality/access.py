"""Who may see and do what with what a push left at the gate.

Invariant: nothing is allowed that this table does not allow, values leave for the department that pushed alone, and every
refusal is a record in the access log before it is told.

| who | list, report | return | release, row-error file, candidates, confirm a key |
|---|---|---|---|
| the department that pushed | yes | yes | yes |
| the quality team (`Caller.role`) | yes | yes | no |
| anybody else | no | no | no |
"""

from typing import Literal

from exchange import access_log
from exchange.access_log import AccessEntry
from exchange.callers import Caller
from exchange.errors import AccessRefused
from exchange.house import House
from exchange.intake.pushes import Receipt

Doing = Literal["list", "report", "return", "release", "row_errors", "candidates", "confirm_key"]

_QUALITY: tuple[Doing, ...] = ("list", "report", "return")
_WHO: dict[Doing, tuple[str, str]] = {
    "list": (
        "隔离区清单只给推送部门和质量管理人员",
        "what waits in quarantine is shown to the department that pushed and to the quality team",
    ),
    "report": (
        "质量报告只给推送它的部门和质量管理人员",
        "a quality report is for the department that pushed and for the quality team",
    ),
    "return": (
        "退回隔离行只限推送部门和质量管理人员",
        "only the department that pushed and the quality team may return rows",
    ),
    "release": ("只有推送部门本身可以放行隔离行", "only the department that pushed may release its rows"),
    "candidates": ("候选记录只给推送部门本身", "candidates are for the pushing department alone"),
    "confirm_key": ("只有推送部门本身可以确认主键", "only the department that pushed may confirm a key"),
    "row_errors": ("行错误文件只给推送部门本身", "the row-error file is for the pushing department alone"),
}


def may(house: House, caller: Caller, receipt: Receipt, doing: Doing) -> None:
    """Return if this caller may do this.

    Raises:
        AccessRefused: it may not; recorded.
    """
    quality = caller.role == "quality"
    if (quality and doing in _QUALITY) or (not quality and caller.department == receipt.department):
        return
    entry = AccessEntry(
        department=caller.department,
        client=caller.client_id,
        person=caller.person,
        action=doing if doing in ("report", "row_errors") else f"quarantine_{doing}",
        target=f"push:{receipt.id}",
        version=str(receipt.resource_version),
        decision="refused",
        reason="the quality team" if quality else "not the department that pushed",
    )
    recorded = access_log.append(house, entry)
    zh, en = _WHO[doing]
    why = "质量管理人员不看原值，也不代替提供部门" if quality else f"推送 {receipt.id} 不是贵部门的"
    why_en = (
        "the quality team sees no values and does not speak for a provider"
        if quality
        else f"push {receipt.id} is not yours"
    )
    raise AccessRefused(
        f"{zh}；{why}",
        f"{en}; {why_en}",
        push=receipt.id,
        reason="quality-team" if quality else "other-department",
        recorded=recorded,  # so that the door does not record it again
    )
