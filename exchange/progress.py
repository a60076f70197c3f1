"""How long work says how far it is: one callable, so that a terminal draws a bar and a task logs a line."""

from typing import Protocol


class Progress(Protocol):
    """Called with the step's name, what is done and what there is in all (0: unknown)."""

    def __call__(self, step: str, done: int, total: int) -> None: ...


def silent(step: str, done: int, total: int) -> None:
    """Nobody is watching."""
