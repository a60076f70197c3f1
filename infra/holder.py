"""Keep the embedded PostgreSQL for as long as this process is left alone; stop it when told, if nobody else uses it.

Invariant: it never starts the server, its starter does. It exists so that a server whose starter was killed with -9
still has somebody to stop it.
"""

import signal
import time

from exchange.seal import Seal
from exchange.settings import read_settings
from infra import postgres

LAST_BREATH = 3.0  # seconds


def main() -> None:
    """Hold the server until SIGTERM or SIGINT."""
    told = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
    signal.pthread_sigmask(signal.SIG_BLOCK, told)
    settings = read_settings()
    with postgres.running(settings, Seal.open(settings.key_folder)):
        signal.sigwait(told)
        # When our starter was killed, its threads die one by one and hold its lock until the last of them is gone.
        time.sleep(LAST_BREATH)


if __name__ == "__main__":
    main()
