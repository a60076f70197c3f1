"""The watcher looks into the inbox every few seconds, and lands what lies there complete.

Invariant: it decides nothing; `folder.take` is one look, and whatever a look did not end lies there for the next.
"""

import logging
import threading

from exchange import faults
from exchange.house import House
from exchange.intake import folder

log = logging.getLogger(__name__)

EVERY = 3.0  # seconds between two looks
PATIENCE = 15.0  # seconds after a look that failed


def watch(house: House, stop: threading.Event) -> None:
    """Look until told to stop."""
    pause, known = EVERY, set[folder.Taken]()
    while not stop.wait(pause):
        pause = EVERY
        try:
            taken = folder.take(house)
            for one in taken:
                if one not in known:
                    log.info("inbox %s: %s", one.department, one.receipt or one.refused)
            known = set(taken)  # a folder that cannot be used is worth one line
        except Exception as error:  # noqa: BLE001 its text may quote data: class and places only
            log.error("the watcher stumbled: %s", faults.places(error))
            pause = PATIENCE
