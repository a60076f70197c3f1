"""Who is asking.

One idea: every door, whatever proves identity there, hands the same small value inwards. Invariant: a `Caller` exists
only after its identity has been proven; nothing further in ever looks at tokens or passwords.
"""

from dataclasses import dataclass
from typing import Literal

from exchange.errors import AccessRefused

# `department` acts for its department; `quality` reads reports and where rows failed, never a value, and does nothing else
Role = Literal["department", "quality"]


@dataclass(frozen=True)
class Caller:
    """`client_id` is None for an operator at the machine itself; `department` is its code; `person` is whoever the
    department says is sitting at the other end (经办人), as declared by the department."""

    client_id: str | None
    department: str
    person: str | None = None
    role: Role = "department"


def for_its_department(caller: Caller) -> Caller:
    """The caller, if it acts for a department: everything asks this but what the quality team may see.

    Raises:
        AccessRefused: it is the quality team's.
    """
    if caller.role != "department":
        raise AccessRefused(
            "质量管理调用方只能查看质量报告和隔离区清单，不能推送、查询或取用数据",
            "a client of the quality team sees quality reports and what waits in quarantine; it can't push, query or fetch data",
            reason="quality-team",
        )
    return caller
