"""What killed landings leave behind, and how it goes away.

Invariant: a living landing holds a lock on its file until its row is committed. So a file that can be locked and has
no row in `push` belongs to nobody, and only such files are removed.
"""

import fcntl
import shutil
from datetime import datetime
from pathlib import Path

from exchange.house import House
from exchange.intake.places import landed_file, landed_folder, part_file
from exchange.registry.models import Push

_STALE = 24 * 3600  # seconds after which a half-made table belongs to nobody


def sweep(house: House, resource_id: str) -> None:
    """Remove what killed landings of one resource left behind. Any number of processes may do so at once."""
    for path in landed_folder(house.settings, resource_id).iterdir():
        push_id = path.name.lstrip(".").split(".")[0]
        try:
            file = path.open("rb")
        except FileNotFoundError:  # another sweep was faster
            continue
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            with house.registry.session() as session:  # after the lock: whoever held it has committed or died
                known = session.get(Push, push_id) is not None
            if not known:
                remove(house, resource_id, push_id)


def sweep_all(house: House, now: datetime) -> None:
    """The same for every resource, and for half-made tables and abandoned trials a day old."""
    for folder in house.settings.folder("landed").iterdir():
        sweep(house, folder.name)
    for path in house.settings.folder("rows").glob(".*.part"):
        if _stale(path, now):
            path.unlink(missing_ok=True)
    for folder in house.settings.folder("spill").glob(".trial-*"):
        if _stale(folder, now):
            shutil.rmtree(folder, ignore_errors=True)


def _stale(path: Path, now: datetime) -> bool:
    try:
        return now.timestamp() - path.stat().st_mtime > _STALE
    except FileNotFoundError:
        return False


def remove(house: House, resource_id: str, push_id: str) -> None:
    """Remove every file of a push that was never committed."""
    part_file(house.settings, resource_id, push_id).unlink(missing_ok=True)
    landed_file(house.settings, resource_id, push_id).unlink(missing_ok=True)
    for table in house.settings.folder("rows").glob(f"*{push_id}.parquet*"):  # with its drafts
        table.unlink(missing_ok=True)
