"""The workloads. Each has `prepare` (not timed), `ours`, `compared`, a shape in words and a reach (None: none set yet)."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import duckdb

from exchange import catalogue
from exchange.callers import Caller
from exchange.databases import Databases
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.registry import migrate
from exchange.seal import Seal, new_digest
from exchange.settings import read_settings
from infra import postgres
from pools import lake, merge, pool
from quality import expectations, gate
from tests import make
from tests.bench import on_pandas
from tests.bench.clock import timed

Details = dict[str, Any] | None


class Workload(Protocol):
    """What the harness needs."""

    compared_with: str
    reach: float | None  # ratio of seconds, ours to the other's
    reach_mb: int | None  # resident memory of ours
    rows: int

    def shape(self, scale: int) -> str: ...

    def prepare(self, scale: int, folder: Path) -> Details: ...

    def ours(self, scale: int, folder: Path) -> Details: ...

    def compared(self, scale: int, folder: Path) -> Details: ...


@contextmanager
def opened(folder: Path) -> Iterator[House]:
    """A house in the bench's folder, made on first use."""
    settings = read_settings(_env_file=None, data=folder / "var", keys=folder / "keys")
    seal = Seal.create(settings.key_folder)
    with postgres.running(settings, seal):
        migrate(Databases.find(settings, seal), seal, settings)
        house = House.open(settings)
        lake.prepare(house)
        try:
            yield house
        finally:
            house.registry.close()


WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
# A valid, distinct resident number for every i below 18,250,000, in SQL: born 1955 + i days, sequence from the rest.
RESIDENT = (
    "SELECT i, p || substr('10X98765432', 1 + ("
    + " + ".join(f"{weight} * substr(p, {place}, 1)::int" for place, weight in enumerate(WEIGHTS, start=1))
    + ") % 11, 1) AS id FROM (SELECT i, '410802' || strftime(DATE '1955-01-01' + (i % 18250)::int, '%Y%m%d')"
    " || lpad((i // 18250 + 1)::varchar, 3, '0') AS p FROM range({rows}) t(i))"
)


def write_people(rows: int, path: Path, *, moved: int = 0) -> None:
    """A CSV of nine columns as a police department would push it, one row in a thousand with a wrong check digit.

    `moved`: of a hundred people, how many have another address than before.
    """
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(
            f"COPY (SELECT CASE WHEN i % 1000 = 999 THEN translate(id, '0123456789X', '12345678900') ELSE id END AS 公民身份号码, "
            "'王' || chr(19968 + (i % 5000)::int) || chr(19968 + (i % 3777)::int) AS 姓名, (1 + i % 2) AS 性别, "
            "lpad((1 + i % 56)::varchar, 2, '0') AS 民族, strftime(DATE '1955-01-01' + (i % 18250)::int, '%Y-%m-%d') AS 出生日期, "
            f"'410802' AS 户籍地, CASE WHEN i % 100 < {moved} THEN '焦作市山阳区' ELSE '焦作市解放区' END || i || '号' AS 户籍地址, "
            "'138' || lpad((i % 100000000)::varchar, 8, '0') AS 联系电话, "
            f"'2026-01-01 08:00:00' AS 更新时间 FROM ({RESIDENT.format(rows=rows)})) TO '{path}' (HEADER)"
        )


def nine_columns() -> dict[str, Any]:
    """The catalogue entry of `write_people`."""
    items = [
        make.ID_NUMBER,
        make.item("name", "姓名", "C50", required=True, sensitivity="personal", mask="name"),
        make.item("sex_code", "性别", "C1", code_table="sex"),
        make.item("ethnicity_code", "民族", "C2", code_table="ethnicity"),
        make.item("birth_date", "出生日期", "D", sensitivity="personal", mask="birth_date"),
        make.item("household_region_code", "户籍地", "C6"),
        make.item("household_address", "户籍地址", "C200", sensitivity="personal", mask="address"),
        make.item("mobile", "联系电话", "C11", sensitivity="personal", mask="mobile"),
        make.UPDATED,
    ]
    return make.resource("people", make.POLICE, items, ["id_number"])


def land(house: House, resource: str, path: Path, rows: int, batch: int) -> str:
    """Land a file; the receipt's number."""
    running = new_digest("sha256")
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            running.update(piece)
    declaration = Declaration(resource, batch, "full", rows, "sha256", running.finalize().hex())
    return landing.land_file(house, Caller(None, make.POLICE), declaration, path, "bench").id


def published(house: House, folder: Path) -> None:
    """The catalogue of `write_people`."""
    make.write_catalogue(folder / "catalogue", resources=[nine_columns()], bases=[])
    catalogue.load(house, folder / "catalogue")


def copied(file: Path, target: Path) -> dict[str, Any]:
    """The limit: the bare engine reads the file, types two columns and writes Parquet."""
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        with timed() as took:
            connection.execute(
                f"COPY (SELECT 公民身份号码, 姓名, 性别, 民族, 出生日期::DATE AS 出生日期, 户籍地, 户籍地址, 联系电话, "
                f"更新时间::TIMESTAMP AS 更新时间 FROM read_csv('{file}', all_varchar = true)) TO '{target}'"
            )
    return took


def pushed(house: House, file: Path, rows: int, batch: int) -> dict[str, Any]:
    """One full push, timed from the landed parcel to the lake commit; landing timed beside it."""
    expectations.preload()  # as a process that judges pushes has it (infra/airflow.py)
    started = time.perf_counter()
    push_id = land(house, "people", file, rows, batch)
    landed = time.perf_counter()
    with timed() as took:
        began = time.perf_counter()
        gate.check(house, push_id)
        judged = time.perf_counter()
        commit = pool.admit(house, push_id)
        pooled = time.perf_counter()
    assert commit is not None
    return took | {
        "land_seconds": round(landed - started, 2),
        "check_seconds": round(judged - began, 2),
        "pool_seconds": round(pooled - judged, 2),
        "rules": len(gate.verdict(house, push_id).rules),
        "quarantined": gate.verdict(house, push_id).quarantined_rows,
        "inserted": commit.inserted,
        "changed": commit.changed,
    }


@dataclass(frozen=True)
class Push:
    """A first full push, from the landed parcel to the lake commit."""

    compared_with: str = "bare COPY (read_csv typed) TO parquet"
    reach: float | None = 2.2
    reach_mb: int | None = 4096
    rows: int = 10_000_000

    def shape(self, scale: int) -> str:
        return f"{scale:,} rows x 9 columns CSV, 0.1 % wrong check digits"

    def prepare(self, scale: int, folder: Path) -> Details:
        write_people(scale, folder / "people.csv")
        with opened(folder) as house:
            published(house, folder)
        return None

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            return pushed(house, folder / "people.csv", scale, 1)

    def compared(self, scale: int, folder: Path) -> Details:
        return copied(folder / "people.csv", folder / "bare.parquet")


@dataclass(frozen=True)
class NextPush:
    """The full push after it, in which one row of a hundred changed: compared with the pool, only that committed."""

    compared_with: str = "bare COPY (read_csv typed) TO parquet"
    reach: float | None = 2.5
    reach_mb: int | None = 4096
    rows: int = 10_000_000

    def shape(self, scale: int) -> str:
        return f"{scale:,} rows x 9 columns CSV, 1 % changed since the push before, 0.1 % wrong check digits"

    def prepare(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            published(house, folder)
            write_people(scale, folder / "people.csv")
            pushed(house, folder / "people.csv", scale, 1)
        write_people(scale, folder / "people.csv", moved=1)
        return None

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            return pushed(house, folder / "people.csv", scale, 2)

    def compared(self, scale: int, folder: Path) -> Details:
        return copied(folder / "people.csv", folder / "bare.parquet")


@dataclass(frozen=True)
class Gate:
    """The gate alone, from the landed parcel to the verdict."""

    compared_with: str = "Great Expectations on pandas, the same rules"
    reach: float | None = 0.25
    reach_mb: int | None = None
    rows: int = 2_000_000

    def shape(self, scale: int) -> str:
        return f"{scale:,} rows x 9 columns CSV, 0.1 % wrong check digits"

    def prepare(self, scale: int, folder: Path) -> Details:
        return Push().prepare(scale, folder)

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            expectations.preload()
            push_id = land(house, "people", folder / "people.csv", scale, 1)
            with timed() as took:
                view = gate.check(house, push_id)
            return took | {"rules": len(view.rules), "failed": view.quarantined_rows}

    def compared(self, scale: int, folder: Path) -> Details:
        expectations.preload()
        return on_pandas.judge(folder / "people.csv")


@dataclass(frozen=True)
class Merge:
    """Three pools of one base merged, provenance on every field, conflicts counted, committed."""

    compared_with: str = "hand-written full-join SQL, values and source pointers only"
    reach: float | None = None
    reach_mb: int | None = None
    rows: int = 300_000

    def shape(self, scale: int) -> str:
        return f"3 sources x {scale:,} rows, {scale:,} keys"

    def prepare(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            resources = [nine_columns() | {"id": name} for name in ("police", "civil", "health")]
            fields = ["name", "sex_code", "ethnicity_code", "birth_date", "household_address", "mobile"]
            names = [entry["id"] for entry in resources]
            base = {
                "id": "population",
                "title": "人口",
                "key": "id_number",
                "key_identifier": "resident_number",
                "key_sources": [f"{name}.id_number" for name in names],
                "fields": [{"name": field, "sources": [f"{name}.{field}" for name in names]} for field in fields],
            }
            make.write_catalogue(folder / "catalogue", resources=resources, bases=[base])
            catalogue.load(house, folder / "catalogue")
            for name in names:
                write_people(scale, folder / f"{name}.csv")
                push_id = land(house, name, folder / f"{name}.csv", scale, 1)
                gate.check(house, push_id)
                pool.admit(house, push_id)
        return None

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder) as house:
            started = time.perf_counter()
            built = merge.build(house, "population")
            assert built is not None
            return {"seconds": time.perf_counter() - started, "rows": built.rows, "conflicts": built.conflicts}

    def compared(self, scale: int, folder: Path) -> Details:
        fields = ["name", "sex_code", "ethnicity_code", "birth_date", "household_address", "mobile"]
        values = ", ".join(
            f"coalesce(a.{f}, b.{f}, c.{f}) AS {f}, "
            f"CASE WHEN a.{f} IS NOT NULL THEN 0 WHEN b.{f} IS NOT NULL THEN 1 WHEN c.{f} IS NOT NULL THEN 2 END::UTINYINT AS {f}__src"
            for f in fields
        )
        with opened(folder) as house, house.lake() as connection:
            started = time.perf_counter()
            connection.execute(
                f"COPY (SELECT id_number, {values} FROM lake.pool_police a FULL JOIN lake.pool_civil b USING (id_number) "
                f"FULL JOIN lake.pool_health c USING (id_number)) TO '{folder}/joined.parquet'"
            )
            return {"seconds": time.perf_counter() - started}


WORKLOADS: dict[str, Workload] = {"push": Push(), "next_push": NextPush(), "gate": Gate(), "merge": Merge()}
