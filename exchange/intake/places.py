"""Where a landed parcel lies.

Invariant: only ids that came from the catalogue, or were made here (`new_push_id`, `uploads.create`), are ever made into paths.
"""

from pathlib import Path

from exchange.settings import Settings

PURPOSE = "landed"  # the seal's purpose
UPLOAD = "upload"  # and that of what is not landed yet


def landed_folder(settings: Settings, resource_id: str) -> Path:
    """The folder of a resource's landed parcels."""
    return settings.folder(f"landed/{resource_id}")


def landed_file(settings: Settings, resource_id: str, push_id: str) -> Path:
    """The parcel as sent, sealed."""
    return landed_folder(settings, resource_id) / f"{push_id}.sealed"


def part_file(settings: Settings, resource_id: str, push_id: str) -> Path:
    """The same while it is being written."""
    return landed_folder(settings, resource_id) / f".{push_id}.part"


def rows_file(settings: Settings, push_id: str) -> Path:
    """The same parcel as a plain table of text, encrypted: can be made again from the landed file at any time."""
    return settings.folder("rows") / f"{push_id}.parquet"


def uploads_folder(settings: Settings) -> Path:
    """The folder of everything that comes in parts."""
    return settings.folder("uploads")


def upload_folder(settings: Settings, upload_id: str) -> Path:
    """The folder of one upload."""
    return uploads_folder(settings) / upload_id
