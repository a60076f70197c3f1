"""The way of a push and of a base, without a scheduler: the same functions the clock calls, in the same order."""

from exchange.house import House
from exchange.progress import Progress, silent
from pools import index, merge, pool
from pools.merge import BuildView
from quality import gate
from quality.verdict import VerdictView


def process(house: House, push_id: str, progress: Progress = silent) -> VerdictView:
    """Judge a push; when it is accepted, pool it and serve it. Can be killed and run again at any step.

    Raises:
        NotFound: no such push.
    """
    verdict = gate.check(house, push_id, progress)
    if verdict.decision == "accepted":
        commit = pool.admit(house, push_id, progress)
        index.swap(house, f"pool:{commit.resource_id}", progress)
    return verdict


def rebuild(house: House, base_id: str, progress: Progress = silent) -> BuildView | None:
    """Merge a base from the newest pools and serve it; None when no input changed, or there is none yet.

    The index is swapped in either case: a run that was killed between the two is finished here.

    Raises:
        NotFound: no such base.
    """
    built = merge.build(house, base_id, progress)
    if built is not None or merge.was_built(house, base_id):
        index.swap(house, f"base:{base_id}", progress)
    return built
