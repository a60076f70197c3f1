"""Accepted rows between the gate and the pool.

Invariant: what is read here passed the gate; there is no way to get rows of a push that was not accepted.
"""

from exchange.catalogue.model import Level
from exchange.catalogue.sql import quoted
from exchange.errors import WrongState
from exchange.house import House
from exchange.intake import pushes, tables
from quality import check, rules
from quality.subject import Subject


def accepted_sql(house: House, push_id: str) -> str:
    """The accepted rows as a relation (after FROM, in any of the house's connections): `_row`, items…, `_hash`.

    The judged rows are made again from the landed bytes when they were dropped.

    Raises:
        NotFound: no such push. WrongState: the gate has not accepted it, or its landed bytes have been aged out.
    """
    receipt = pushes.get(house, push_id)
    if receipt.state not in ("accepted", "pooled"):
        raise WrongState(
            f"推送 {push_id} 的状态是 {receipt.state}，只有已接受的推送才有可入池的行",
            f"push {push_id} is {receipt.state}; only an accepted push has rows for the pool",
        )
    subject = Subject.of(house, receipt)
    judged_again(house, subject)
    return rows_sql(house, subject, f"NOT {rules.fails_any(subject.rules, (Level.BLOCK, Level.QUARANTINE))}")


def rows_sql(house: House, subject: Subject, which: str) -> str:
    """The judged rows that `which` (SQL) says, in the same columns; they must be there (`judged_again`)."""
    columns = ", ".join(["_row", *(quoted(item.name) for item in subject.resource.items), "_hash"])
    return f"(SELECT {columns} FROM {judged_sql(house, subject)} WHERE {which})"


def judged_sql(house: House, subject: Subject) -> str:
    """All judged rows of a push; they must be there (`judged_again`)."""
    push_id = subject.receipt.id
    return check.judged(subject.resource, subject.rules, tables.relation(house, push_id), check.noted_sql(house, push_id))


def judged_again(house: House, subject: Subject) -> None:
    """See to it that the judged rows are there: made again from the landed bytes when they were dropped.

    Raises:
        WrongState: the landed bytes have been aged out.
    """
    push_id = subject.receipt.id
    if not (check.noted_file(house, push_id).exists() and tables.exists(house, push_id)):
        with house.duckdb() as connection:
            check.run(house, connection, push_id, subject.resource, subject.rules)


def drop(house: House, push_id: str) -> None:
    """Remove the judged rows, once the pool has them or never will.

    They can be made again while the landed bytes are kept.
    """
    noted = check.noted_file(house, push_id)
    noted.unlink(missing_ok=True)
    for draft in noted.parent.glob(f".{noted.name}.*"):  # of a run that was killed while it made the rows again
        draft.unlink(missing_ok=True)
    tables.drop(house, push_id)
