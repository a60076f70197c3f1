"""The workloads. Each has `prepare` (not timed), `ours`, `compared`, a shape in words and a reach (None: none set yet)."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from exchange import catalogue
from exchange.callers import Caller
from exchange.house import House
from exchange.intake import landing
from exchange.intake.parcel import Declaration
from exchange.seal import new_digest
from pools import pool
from quality import expectations, gate
from tests import make
from tests.bench import merging, on_pandas
from tests.bench.clock import timed
from tests.bench.house import RESIDENT, Details, Workload, opened


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


WORKLOADS: dict[str, Workload] = {"push": Push(), "next_push": NextPush(), "gate": Gate()} | merging.WORKLOADS
