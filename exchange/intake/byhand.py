"""A file handed over by a person who knows neither batch nor rows nor digest: the sums are done here, the person confirms.

Invariant: what waits for a confirmation is an upload like any other, sealed and expiring; nothing is landed before it.
"""

import tempfile

from exchange import catalogue
from exchange.callers import Caller
from exchange.errors import ParcelRefused
from exchange.house import House
from exchange.intake import landing, uploads
from exchange.intake.declare import declare_open, next_batch
from exchange.intake.parcel import DIGEST_DIGITS, MAX_BATCH, Declaration
from exchange.intake.uploads import Held, Upload


def begin(house: House, caller: Caller, resource_id: str, filename: str, *, about: int | None, door: str) -> Upload:
    """Begin an upload of which nothing is known but its resource; `about` so many bytes may come.

    Raises:
        as `landing.begin`; ParcelRefused also for the file's name.
    """
    known = landing.SLUG.fullmatch(resource_id)  # if not, landing says that there is no such resource
    batch = min(next_batch(house, resource_id), MAX_BATCH) if known else 1
    try:
        asked = Declaration(resource_id, batch, "full", 0, "sm3", "0" * DIGEST_DIGITS, filename)
    except ParcelRefused as error:
        landing.record_refusal(house, caller, resource_id, error, door=door)
        raise
    return uploads.create(house, caller, asked, length=about, door=door, declared=False)


def declare(house: House, caller: Caller, upload: Held, filename: str, door: str) -> Declaration:
    """Do the sums of an upload whose last byte is here. Refused, it is gone.

    Raises:
        ParcelRefused: what landing would refuse the file for.
    """
    upload.complete()
    resource = catalogue.resource(house, upload.upload.resource_id)
    try:
        with tempfile.TemporaryFile(dir=house.settings.folder("spill")) as plain:
            for piece in upload.read():
                plain.write(piece)
            plain.flush()
            declaration = declare_open(house, resource, plain, filename=filename)
    except ParcelRefused as error:
        landing.record_refusal(house, caller, resource.id, error, door=door)
        upload.remove()
        raise
    upload.declare(declaration)
    return declaration
