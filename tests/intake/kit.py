"""A small catalogue and parcels for the intake tests. All people are made up."""

import hashlib
import io
import os
from pathlib import Path

from exchange import catalogue
from exchange.callers import Caller
from exchange.house import House
from exchange.intake.landing import land_file
from exchange.intake.parcel import Declaration
from exchange.intake.pushes import Receipt
from exchange.intake.tables import open_table
from exchange.registry.models import Event, Push
from tests import make

POLICE = Caller("c-police", make.POLICE)
HEALTH = Caller("c-health", make.CIVIL)
HOUSEHOLD = make.resource(
    "household",
    make.POLICE,
    [
        make.item("person_id", "公民身份号码", "C18", required=True, aliases=["身份证号"]),
        make.item("name", "姓名", "C50", required=True),
        make.item("born", "出生日期", "D"),
        make.item("address", "住址", "C200"),
    ],
    ["person_id"],
)
HEADER = "公民身份号码,姓名,出生日期,住址\n"
TWO = HEADER + "P1,甲,2001-01-01,一号\nP2,乙,2002-02-02,二号\n"


def environment(house: House, **more: object) -> dict[str, str]:
    """For a process of its own that works in this house."""
    settings = house.settings
    urls = {name: getattr(settings, name).get_secret_value() for name in ("database_url", "lake_url", "airflow_url")}
    given = urls | {"data": settings.root, "keys": settings.key_folder, "spare_disk": "1MiB", "memory_limit": "1GB"} | more
    return os.environ | {f"EXCHANGE_{name.upper()}": str(value) for name, value in given.items()}


def publish(house: House, *resources: make.Entry) -> None:
    """Load a catalogue of these resources (default: the household one)."""
    folder = house.settings.root.parent / "catalogue"
    catalogue.load(house, make.write_catalogue(folder, resources=list(resources or [HOUSEHOLD]), bases=[]))


def declare(
    data: bytes,
    rows: int,
    batch: int = 1,
    resource: str = "household",
    digest: str | None = None,
    filename: str | None = None,
) -> Declaration:
    """A true declaration, unless told otherwise."""
    return Declaration(resource, batch, "full", rows, "sha256", digest or hashlib.sha256(data).hexdigest(), filename)


def land(house: House, folder: Path, data: bytes | str, rows: int, batch: int = 1, caller: Caller = POLICE) -> Receipt:
    """Land bytes (text as UTF-8) through a file."""
    raw = data.encode() if isinstance(data, str) else data
    path = folder / f"parcel-{batch}"
    path.write_bytes(raw)
    return land_file(house, caller, declare(raw, rows, batch), path, "test")


def landing_of(house: House, caller: Caller, declaration: Declaration, data: bytes) -> Receipt:
    """Land bytes held in memory."""
    return land_file(house, caller, declaration, io.BytesIO(data), "test")


def table(house: House, push_id: str, columns: str = "* EXCLUDE (_broken, _line)") -> list[tuple[object, ...]]:
    """All rows of a landed push, in order."""
    with house.duckdb() as connection, open_table(house, connection, push_id) as rows:
        return connection.execute(f"SELECT {columns} FROM {rows} ORDER BY _row").fetchall()


def world(house: House) -> tuple[list[str], list[str]]:
    """What a refusal must leave as it was: push rows, and every file under landed, rows and spill."""
    with house.registry.session() as session:
        pushes = sorted(push.id for push in session.query(Push))
    root = house.settings.root
    folders = [root / name for name in ("landed", "rows", "spill")]
    return pushes, sorted(str(path.relative_to(root)) for folder in folders for path in folder.rglob("*") if path.is_file())


def refusals(house: House) -> list[tuple[str | None, str | None, str]]:
    """(department, resource, code) of every refusal recorded, in order."""
    with house.registry.session() as session:
        events = session.query(Event).filter_by(tag="intake:parcel:refuse").order_by(Event.id)
        return [(event.department_code, event.object_id, event.facts["code"]) for event in events]
