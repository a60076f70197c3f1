"""A small catalogue and parcels for the intake tests. All people are made up."""

import hashlib
from datetime import date
from pathlib import Path

from exchange.callers import Caller
from exchange.catalogue.model import DataType, Item, Resource, Share, ShareType
from exchange.house import House
from exchange.intake.landing import land_file
from exchange.intake.parcel import Declaration
from exchange.intake.pushes import Receipt
from exchange.intake.tables import open_table
from exchange.registry.models import Department, Push, ResourceVersion
from exchange.registry.models import Resource as ResourceRow

POLICE = Caller("c-police", "11410800MB0000001X")
HEALTH = Caller("c-health", "11410800MB0000002Y")

HOUSEHOLD = Resource(
    id="household",
    code="307/1",
    version=1,
    title="户籍人口",
    department=POLICE.department,
    category_path="基础/人口/户籍/户籍人口",
    abstract="户籍登记的人口",
    format_category="03",
    format_type="mysql",
    share=Share(type=ShareType.UNCONDITIONAL),
    update_cycle="daily",
    publish_date=date(2026, 1, 1),
    data_level="一般",
    items=(
        Item(name="person_id", title="公民身份号码", type=DataType.TEXT, required=True, aliases=("身份证号",)),
        Item(name="name", title="姓名", type=DataType.TEXT, required=True),
        Item(name="born", title="出生日期", type=DataType.DATE),
        Item(name="address", title="住址", type=DataType.TEXT),
    ),
    key=("person_id",),
)
HEADER = "公民身份号码,姓名,出生日期,住址\n"
TWO = HEADER + "P1,甲,2001-01-01,一号\nP2,乙,2002-02-02,二号\n"


def publish(house: House, resource: Resource = HOUSEHOLD) -> None:
    """Put a resource (and both departments) into the catalogue."""
    with house.registry.session() as session:
        for caller in (POLICE, HEALTH):
            session.merge(Department(code=caller.department, name=f"部门 {caller.client_id}"))
    with house.registry.session() as session:
        session.merge(
            ResourceRow(id=resource.id, code=resource.code, department_code=resource.department, current=resource.version)
        )
        session.merge(
            ResourceVersion(
                resource_id=resource.id,
                version=resource.version,
                definition=resource.model_dump(mode="json"),
                digest="0" * 64,
            )
        )


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


def table(house: House, push_id: str, columns: str = "* EXCLUDE (_broken)") -> list[tuple[object, ...]]:
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
