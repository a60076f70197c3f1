"""How a command comes to a house: settings from the environment, the embedded server running, the keys checked."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager

from exchange.callers import Caller, Role
from exchange.house import House
from exchange.seal import Seal
from exchange.settings import Settings, read_settings
from infra import postgres


@contextmanager
def opened(settings: Settings | None = None) -> Iterator[House]:
    """An open house for the length of the block; the embedded server stops with its last user.

    Raises:
        SettingError, KeyMissing, Unavailable: as their messages say.
    """
    settings = settings or read_settings()
    seal = Seal.open(settings.key_folder)
    with postgres.running(settings, seal):
        house = House.open(settings)
        try:
            yield house
        finally:
            house.registry.close()


def operator(department: str = "", role: Role = "department") -> Caller:
    """Whoever sits at this machine, acting for a department or as the quality team; the machine's account is the identity."""
    return Caller(client_id=None, department=department, person=getpass.getuser(), role=role)
