"""What a resource's pushes come to, said slowly: one resource, dictionaries, every rule spelt out once.

Invariant: nothing here is shared with the code it is compared with, but the names of states and modes.
"""

from dataclasses import dataclass, field
from typing import Literal

Mode = Literal["full", "incremental", "deletions"]
Values = tuple[str, int]  # name, rooms
Kept = tuple[str, int, int]  # and the batch that said so
OVER = ("pooled", "rejected", "superseded", "withdrawn")


@dataclass
class Sent:
    """A push: what it says of each key (None: deleted), and how many of its rows are no good."""

    batch: int
    mode: Mode
    says: dict[str, Values | None]
    bad: int
    state: str = "landed"

    @property
    def good(self) -> int:
        return len(self.says)


@dataclass(frozen=True)
class Version:
    """A version of the pool: its receipt, the push that left it so, its rows, and what it changed."""

    receipt: str
    batch: int
    rows: dict[str, Kept]
    changed: tuple[int, int, int, int]  # inserted, changed, deleted, absent


@dataclass
class Model:
    """One resource. Receipts are `<batch>`, and `<batch>.withdrawn`."""

    shrink_floor: float
    sent: dict[int, Sent] = field(default_factory=dict)
    versions: list[Version] = field(default_factory=list)

    @property
    def rows(self) -> dict[str, Kept]:
        """What the pool holds."""
        return self.versions[-1].rows if self.versions else {}

    def lands(self, push: Sent) -> bool:
        """A batch lands unless a newer one has been pooled, or a newer full push has landed."""
        newer = [p for p in self.sent.values() if p.batch > push.batch and (p.mode == "full" or p.state == "pooled")]
        if newer:
            return False
        self.sent[push.batch] = push
        return True

    def judge(self, batch: int) -> None:
        """The gate; nothing happens to a push that has been judged."""
        push = self.sent[batch]
        if push.state == "landed":
            push.state = self._verdict(push)
        self.settle(push)

    def confirm(self, batch: int) -> bool:
        """Its department says that a held push is meant; False: refused."""
        push = self.sent[batch]
        if push.state != "held" or self._overtaken(push):
            return False
        push.state = "accepted"
        self.settle(push)
        return True

    def withdraw(self, batch: int) -> bool:
        """Its department takes a push back; False: refused."""
        push = self.sent[batch]
        if push.state == "pooled":
            if self.versions[-1].receipt != str(batch):
                return False
            before = self.versions[-2] if len(self.versions) > 1 else Version("", batch, {}, (0, 0, 0, 0))
            changed = _difference(self.rows, before.rows)
            self.versions.append(Version(f"{batch}.withdrawn", before.batch, before.rows, (*changed, 0)))
        elif push.state not in ("landed", "accepted", "held", "withdrawn"):
            return False
        push.state = "withdrawn"
        self.settle(None)
        return True

    def settle(self, push: Sent | None) -> None:
        """Pool what need not wait: a full push by itself, then the others in order."""
        if push is not None and push.state == "accepted" and (push.mode == "full" or not self._waits(push)):
            self._pool(push)
        while ready := [p for p in self._accepted() if p.mode != "full" and not self._waits(p)]:
            self._pool(ready[0])

    def _verdict(self, push: Sent) -> str:
        if self._overtaken(push) or not push.good:
            return "rejected"
        if push.mode != "full":
            below = [
                p
                for p in self.sent.values()
                if p.batch < push.batch and p.state not in ("rejected", "superseded", "withdrawn")
            ]
            return "accepted" if any(p.mode == "full" or p.state == "pooled" for p in below) else "rejected"
        last = self._last_size()
        return "held" if last is not None and push.good < self.shrink_floor * last else "accepted"

    def _overtaken(self, push: Sent) -> bool:
        return any(
            p.batch > push.batch and (p.state == "pooled" or (p.state == "accepted" and p.mode == "full"))
            for p in self.sent.values()
        )

    def _last_size(self) -> int | None:
        sizes = [(self.versions[-1].batch, len(self.rows))] if self.versions else []
        sizes += [(p.batch, p.good) for p in self._accepted() if p.mode == "full"]
        return max(sizes)[1] if sizes else None

    def _waits(self, push: Sent) -> bool:
        before = self.sent.get(push.batch - 1)
        return not self.versions or before is None or before.state not in OVER

    def _accepted(self) -> list[Sent]:
        return sorted((p for p in self.sent.values() if p.state == "accepted"), key=lambda p: p.batch)

    def _pool(self, push: Sent) -> None:
        before = self.rows
        after = {} if push.mode == "full" else dict(before)
        absent = 0
        for key, values in push.says.items():
            if values is not None:
                same = key in before and before[key][:2] == values
                after[key] = before[key] if same else (*values, push.batch)
            elif after.pop(key, None) is None:
                absent += 1
        changed = (*_difference(before, after), absent) if self.versions else (len(after), 0, 0, 0)
        self.versions.append(Version(str(push.batch), push.batch, after, changed))
        push.state = "pooled"
        for older in self._accepted():
            if older.batch < push.batch:
                older.state = "superseded"


def merged(first: dict[str, Kept], second: dict[str, Kept]) -> dict[str, Values]:
    """A base of two pools: names from the first, where it has the key, else from the second; rooms the other way round."""
    return {
        key: ((first.get(key) or second[key])[0], (second.get(key) or first[key])[1])
        for key in first.keys() | second.keys()
    }


def _difference(before: dict[str, Kept], after: dict[str, Kept]) -> tuple[int, int, int]:
    return (
        len(after.keys() - before.keys()),
        sum(before[key][:2] != after[key][:2] for key in before.keys() & after.keys()),
        len(before.keys() - after.keys()),
    )
