"""The way of a push, of a base and of a theme, without a scheduler: the same functions the clock calls, in the same order."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import date

from exchange import catalogue
from exchange.callers import Caller
from exchange.errors import AccessRefused, WrongState
from exchange.house import House
from exchange.intake import pushes
from exchange.progress import Progress, silent
from exchange.ranges import Ranges
from pools import aliases, index, merge, pool, theme
from pools import release as releasing
from pools import withdraw as withdrawing
from pools.aliases import AliasView, Kind
from pools.merge import BuildView
from pools.release import Released
from pools.theme import ThemeBuildView
from quality import confirmed, gate
from quality.verdict import VerdictView


def process(house: House, push_id: str, progress: Progress = silent) -> VerdictView:
    """Judge a push; when it is accepted, pool it and serve it. Can be killed and run again at any step.

    Raises:
        NotFound: no such push.
    """
    verdict = gate.check(house, push_id, progress)
    progress("pool", 0, 1)
    pooled = pool.admit_in_turn(house, push_id)
    progress("pool", 1, 1)
    if pooled:
        index.swap(house, f"pool:{verdict.resource_id}", progress)
    return verdict


def withdraw(house: House, caller: Caller, push_id: str, progress: Progress = silent) -> str:
    """Take a push back, and serve what stood before, in the pool and in every base made of it; the push's new state.

    Raises:
        NotFound, AccessRefused, WrongState, Unavailable: as `pools.withdraw.withdraw`.
    """
    state = withdrawing.withdraw(house, caller, push_id)
    resource_id = pushes.get(house, push_id).resource_id
    pool.admit_waiting(house, resource_id)
    if pool.latest(house, resource_id) is not None:
        _serve_again(house, resource_id, progress)
    return state


def release(
    house: House, caller: Caller, push_id: str, rows: Ranges | None, reason: str, progress: Progress = silent
) -> Released:
    """Take rows out of quarantine into the pool, and serve them, in the pool and in every base made of it.

    Raises:
        NotFound, AccessRefused, RequestInvalid, WrongState, Unavailable: as `pools.release.release`.
    """
    released = releasing.release(house, caller, push_id, rows, reason)
    _serve_again(house, pushes.get(house, push_id).resource_id, progress)
    return released


def confirm_key(
    house: House, caller: Caller, push_id: str, row: int, key: str, reason: str, progress: Progress = silent
) -> Released:
    """Say whose row a row in quarantine is, and take it into the pool and every base made of it.

    Raises:
        NotFound, AccessRefused, RequestInvalid, WrongState, Unavailable: as `quality.confirmed.confirm` and `release`. Confirmed
        but not released, the word stays, and the same again goes on.
    """
    confirmed.confirm(house, caller, push_id, row, key, reason)
    return release(house, caller, push_id, ((row, row),), reason, progress)


def alias(
    house: House,
    caller: Caller,
    base_id: str,
    old: str,
    new: str,
    *,
    kind: Kind,
    basis: str,
    since: date | None = None,
    resources: Sequence[str] = (),
    progress: Progress = silent,
) -> AliasView:
    """Record that a number stands for another, and serve the base by it; from a day to come on, the clock does.

    Raises:
        NotFound, RequestInvalid, WrongState: as `pools.aliases.record`. Unavailable: recorded, but not served yet; again.
    """
    recorded = aliases.record(house, caller, base_id, old, new, kind=kind, basis=basis, since=since, resources=resources)
    rebuild(house, base_id, progress)
    _refresh_themes(house, {f"base:{base_id}"}, progress)
    return recorded


def end_alias(house: House, caller: Caller, alias_id: str, reason: str, progress: Progress = silent) -> AliasView:
    """End an alias, and serve the base without it.

    Raises:
        NotFound, RequestInvalid: as `pools.aliases.end`. Unavailable: as `alias`.
    """
    ended = aliases.end(house, caller, alias_id, reason)
    rebuild(house, ended.base, progress)
    _refresh_themes(house, {f"base:{ended.base}"}, progress)
    return ended


def _serve_again(house: House, resource_id: str, progress: Progress) -> None:
    index.swap(house, f"pool:{resource_id}", progress)
    changed = {f"pool:{resource_id}"}
    for base in catalogue.current(house).bases:
        if any(source.resource == resource_id for source in base.feeders):
            rebuild(house, base.id, progress)
            changed.add(f"base:{base.id}")
    _refresh_themes(house, changed, progress)


def _refresh_themes(house: House, changed: set[str], progress: Progress) -> None:
    """Build every theme anew that reads something that changed."""
    for one in catalogue.current(house).themes:
        if not changed.isdisjoint(one.reads):
            with suppress(AccessRefused, WrongState):  # recorded; a theme that is stopped answers nobody
                refresh(house, one.id, progress)


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


def refresh(house: House, theme_id: str, progress: Progress = silent, by: str | None = None) -> ThemeBuildView | None:
    """Build a theme from the newest versions of what it reads and serve it; None as `rebuild`.

    Raises:
        NotFound, WrongState, AccessRefused, Unavailable: as `pools.theme.build`.
    """
    built = theme.build(house, theme_id, progress, by)
    if built is not None or theme.was_built(house, theme_id):
        index.swap(house, f"theme:{theme_id}", progress)
    return built
