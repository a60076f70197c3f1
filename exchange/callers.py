"""Who is asking.

One idea: every door, whatever proves identity there, hands the same small value inwards. Invariant: a `Caller` exists
only after its identity has been proven; nothing further in ever looks at tokens or passwords.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """`client_id` is None for an operator at the machine itself; `department` is its code; `person` is whoever the
    department says is sitting at the other end (经办人), as declared by the department."""

    client_id: str | None
    department: str
    person: str | None = None
