"""Workloads of the merge: five pools, 36 rows for ten people, become golden records; beside the bare engine, itself, and its peers.

The pools are filled by the pool's own commit, without files and the gate, which have their own workloads. Conflicts are rare, as they
are in life: one word in two hundred.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from exchange.catalogue.model import BaseDefinition, BaseField, FieldSource
from exchange.house import House
from pools import lake, merge, pool
from pools.explain import explain
from quality.check import row_hash
from tests.bench.clock import timed
from tests.bench.house import RESIDENT, Details, Workload, opened
from tests.pools.given import accepted, entered, item, resource

ROWS = 36_000_000
MEMORY = "1GiB"
SHARES = {"police": 10, "insurance": 8, "civil": 7, "school": 6, "fund": 5}  # of 36; police knows everybody
ITEMS = {
    "police": ("name", "sex_code", "birth_date", "address"),
    "insurance": ("name", "birth_date", "mobile", "employer"),
    "civil": ("name", "marital_code", "mobile", "address"),
    "school": ("name", "sex_code", "degree_code", "address"),
    "fund": ("name", "mobile", "employer"),
}
FIELDS = {  # in order of authority
    "name": ("police", "civil", "insurance", "school", "fund"),
    "sex_code": ("police", "school"),
    "birth_date": ("police", "insurance"),
    "address": ("police", "civil", "school"),
    "mobile": ("fund", "insurance", "civil"),
    "marital_code": ("civil",),
    "employer": ("insurance", "fund"),
    "degree_code": ("school",),
}
DEPARTMENTS = dict(zip(SHARES, ("公安局", "人社局", "民政局", "卫健委", "人社局"), strict=True))
RESOURCES = {
    name: resource(
        name,
        (item("id_number", identifier="resident_number"), *(item(one, length=60) for one in items)),
        ("id_number",),
        DEPARTMENTS[name],
    )
    for name, items in ITEMS.items()
}
POPULATION = BaseDefinition(
    id="population",
    version=1,
    title="人口",
    key="id_number",
    key_identifier="resident_number",
    key_sources=tuple(FieldSource(resource=name, item="id_number") for name in SHARES),
    fields=tuple(
        BaseField(
            name=field,
            title=field,
            type=RESOURCES[names[0]].items[1].type,
            length=60,
            sources=tuple(FieldSource(resource=name, item=field) for name in names),
        )
        for field, names in FIELDS.items()
    ),
)


def people(rows: int) -> int:
    """How many people so many rows are about."""
    return rows * SHARES["police"] // sum(SHARES.values())


def _said(name: str, field: str, place: int, changed: int) -> str:
    """What a source says of a person: what all do, but once in two hundred something else; blank once in ten where it is not the first."""
    values = {
        "name": "'王' || chr(19968 + (i % 5000)::int) || chr(19968 + (i % 3777)::int)",
        "sex_code": "(1 + i % 2)::varchar",
        "birth_date": "strftime(DATE '1955-01-01' + (i % 18250)::int, '%Y-%m-%d')",
        "address": "'焦作市解放区' || i % 100003 || '号' || i % 31 || '室'",
        "mobile": "'138' || lpad((i % 100000000)::varchar, 8, '0')",
        "marital_code": "(10 * (1 + i % 4))::varchar",
        "employer": "'第' || (i % 20011) || '单位'",
        "degree_code": "(1 + i % 9)::varchar",
    }
    value, turn = values[field], f"hash(i, '{name}{field}')"
    otherwise = f"CASE WHEN {turn} % 200 = 0 THEN {value} || '旧' ELSE {value} END"
    if changed and field == ITEMS[name][-1]:
        otherwise = f"CASE WHEN hash(i, 'changed') % 100 < {changed} THEN {value} || '新' ELSE {otherwise} END"
    return otherwise if place == 0 else f"CASE WHEN {turn} % 10 = 1 THEN NULL ELSE {otherwise} END"


def rows_of(name: str, rows: int, changed: int = 0) -> str:
    """A push of one source, as the gate hands it over. `changed`: of a hundred people, whose last item is another now."""
    number, entry = people(rows), RESOURCES[name]
    items = ", ".join(f"{_said(name, one, FIELDS[one].index(name), changed)} AS {one}" for one in ITEMS[name])
    some = f"hash(i, 'in {name}') % {SHARES['police']} < {SHARES[name]}"
    chosen = f"SELECT i + 1 AS _row, id AS id_number, {items} FROM ({RESIDENT.format(rows=number)}) WHERE {some}"
    return f"(SELECT *, {row_hash(entry)} AS _hash FROM ({chosen}))"


def pooled(house: House, name: str, rows: int, batch: int, changed: int = 0) -> None:
    """One push into its pool."""
    push = accepted(house, RESOURCES[name], batch, rows)
    pool.commit_relation(house, push, rows_of(name, rows, changed))


def prepared(folder: Path, rows: int) -> None:
    """A house with the five pools."""
    with opened(folder, memory_limit=MEMORY) as house:
        entered(house, *RESOURCES.values(), POPULATION)
        for name in SHARES:
            pooled(house, name, rows, 1)


def built(house: House) -> dict[str, Any]:
    """One build, timed to its commit."""
    with timed() as took:
        done = merge.build(house, "population")
    assert done is not None
    told = ("rows", "conflicts", "built", "because", "touched")
    return took | {name: getattr(done, name) for name in told}


def by_hand(house: House, folder: Path) -> dict[str, Any]:
    """The limit: what somebody would write who only wants values and who said them; plain Parquet, the same memory and buckets."""
    values = ", ".join(f"{_coalesced(field)} AS {field}, {_place(field)} AS {field}__src" for field in FIELDS)
    buckets = house.settings.merge_buckets
    with house.lake() as connection:
        connection.execute("SET preserve_insertion_order = false")
        with timed() as took:
            for bucket in range(buckets):
                part = lake.in_bucket("id_number", bucket, buckets, split_by_it=True)
                names = list(SHARES)
                relations = [f"(SELECT * FROM lake.pool_{name} WHERE {part}) {name}" for name in names]
                source = relations[0] + "".join(f" FULL JOIN {one} USING (id_number)" for one in relations[1:])
                connection.execute(
                    f"COPY (SELECT id_number, {values} FROM {source}) TO '{folder}/by-hand-{bucket}.parquet'"
                )
    return took


def _coalesced(field: str) -> str:
    return f"coalesce({', '.join(f'{name}.{field}' for name in FIELDS[field])})"


def _place(field: str) -> str:
    whens = " ".join(f"WHEN {name}.{field} IS NOT NULL THEN {place}" for place, name in enumerate(FIELDS[field]))
    return f"CASE {whens} END::UTINYINT"


def of_keys(house: House) -> float:
    """The floor of a build in part: reading the keys of the five pools."""
    with house.lake() as connection:
        started = time.perf_counter()
        for name in SHARES:
            connection.execute(f"SELECT count(*), max(id_number) FROM lake.pool_{name}").fetchall()
        return time.perf_counter() - started


def written_plain(folder: Path) -> None:
    """The same pools as plain Parquet, for those who can't read the lake."""
    with opened(folder, memory_limit=MEMORY) as house, house.lake() as connection:
        for name in SHARES:
            items = ", ".join(("id_number", *ITEMS[name]))
            connection.execute(f"COPY (SELECT {items} FROM lake.pool_{name}) TO '{folder}/{name}.parquet'")


def by_arg_min(folder: Path) -> dict[str, Any]:
    """All rows in one heap, and per key and field the word of the highest that has one; as much memory as it wants."""
    heap = " UNION ALL BY NAME ".join(
        f"SELECT id_number, {place} AS place, {', '.join(ITEMS[name])} FROM '{folder}/{name}.parquet'"
        for place, name in enumerate(SHARES)
    )
    ranks = {field: f"CASE place {_ranks(field)} END" for field in FIELDS}
    best = ", ".join(
        f"arg_min({field}, {rank}) FILTER ({field} IS NOT NULL) AS {field}, "
        f"min({rank}) FILTER ({field} IS NOT NULL) AS {field}__src"
        for field, rank in ranks.items()
    )
    with duckdb.connect() as connection:
        connection.execute("SET threads = 2")
        connection.execute(f"SET temp_directory = '{folder}'")
        with timed() as took:
            connection.execute(f"COPY (SELECT id_number, {best} FROM ({heap}) GROUP BY 1) TO '{folder}/arg-min.parquet'")
    return took


def _ranks(field: str) -> str:
    places = list(SHARES)
    return " ".join(f"WHEN {places.index(name)} THEN {rank}" for rank, name in enumerate(FIELDS[field]))


def in_polars(folder: Path) -> dict[str, Any]:
    """Full joins, then the first that has a value, and which that was."""
    import polars

    with timed() as took:
        frames = [polars.scan_parquet(folder / f"{name}.parquet").rename(lambda c, n=name: _of(n, c)) for name in SHARES]
        joined = frames[0]
        for frame in frames[1:]:
            joined = joined.join(frame, on="id_number", how="full", coalesce=True)
        said = [
            one
            for field, names in FIELDS.items()
            for one in (
                polars.coalesce(*(f"{name}.{field}" for name in names)).alias(field),
                polars.coalesce(
                    *(
                        polars.when(polars.col(f"{name}.{field}").is_not_null()).then(polars.lit(place, dtype=polars.UInt8))
                        for place, name in enumerate(names)
                    )
                ).alias(f"{field}__src"),
            )
        ]
        joined.select("id_number", *said).sink_parquet(folder / "polars.parquet")
    return took


def in_pandas(folder: Path) -> dict[str, Any]:
    """The same, frame by frame."""
    import numpy
    import pandas

    with timed() as took:
        joined = None
        for name in SHARES:
            frame = pandas.read_parquet(folder / f"{name}.parquet").rename(columns=lambda c, n=name: _of(n, c))
            joined = frame if joined is None else joined.merge(frame, on="id_number", how="outer")
        assert joined is not None
        golden = {"id_number": joined["id_number"]}
        for field, names in FIELDS.items():
            values = joined[f"{names[0]}.{field}"]
            for name in names[1:]:
                values = values.combine_first(joined[f"{name}.{field}"])
            golden[field] = values
            known = [joined[f"{name}.{field}"].notna() for name in names]
            golden[f"{field}__src"] = pandas.Series(numpy.select(known, list(range(len(names))), 255).astype("uint8"))
        pandas.DataFrame(golden).to_parquet(folder / "pandas.parquet")
    return took


def _of(name: str, column: str) -> str:
    return column if column == "id_number" else f"{name}.{column}"


@dataclass(frozen=True)
class Merge:
    """Five pools merged, provenance on every field, conflicts counted and listed, committed, in bounded memory."""

    compared_with: str = "hand-written full-join SQL, values and source pointers only, same memory and buckets"
    reach: float | None = 1.2
    reach_mb: int | None = 1536
    rows: int = ROWS

    def shape(self, scale: int) -> str:
        return f"5 pools, {scale:,} rows, {people(scale):,} records"

    def prepare(self, scale: int, folder: Path) -> Details:
        prepared(folder, scale)
        return None

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder, memory_limit=MEMORY) as house:
            return built(house)

    def compared(self, scale: int, folder: Path) -> Details:
        with opened(folder, memory_limit=MEMORY) as house:
            return by_hand(house, folder)


@dataclass(frozen=True)
class Thrice(Merge):
    """The same at three times the rows under the same limit of memory."""

    compared_with: str = "itself at a third of the rows, same memory"
    reach: float | None = 3.2

    def prepare(self, scale: int, folder: Path) -> Details:
        for part, rows in (("third", scale // 3), ("whole", scale)):
            (folder / part).mkdir(mode=0o755)
            prepared(folder / part, rows)
        return None

    def ours(self, scale: int, folder: Path) -> Details:
        return super().ours(scale, folder / "whole")

    def compared(self, scale: int, folder: Path) -> Details:
        return super().ours(scale, folder / "third")


@dataclass(frozen=True)
class Again(Merge):
    """Once more after one in a hundred of the largest pool that changed (`insurance`), committed."""

    compared_with: str = "the full merge"
    reach: float | None = 0.15

    def shape(self, scale: int) -> str:
        return f"{super().shape(scale)}; then 1 % of the {scale * SHARES['insurance'] // 36:,} rows of one pool changed"

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder, memory_limit=MEMORY) as house:
            pooled(house, "insurance", scale, 2, changed=1)
            floor = round(of_keys(house), 2)
            return built(house) | {"floor_of_keys": floor}

    def compared(self, scale: int, folder: Path) -> Details:
        return super().ours(scale, folder)


@dataclass(frozen=True)
class Explain(Merge):
    """One field with its history, a hundred times: who says it, since when, and who says otherwise."""

    compared_with: str = "a hundred times 100 ms"
    reach: float | None = 1.0
    reach_mb: int | None = None

    def shape(self, scale: int) -> str:
        return f"{people(scale):,} records, two versions of a pool, two builds, 100 fields"

    def prepare(self, scale: int, folder: Path) -> Details:
        prepared(folder, scale)
        with opened(folder, memory_limit=MEMORY) as house:
            built(house)
            pooled(house, "insurance", scale, 2, changed=1)
            return built(house)

    def ours(self, scale: int, folder: Path) -> Details:
        with opened(folder, memory_limit=MEMORY) as house:
            with house.lake() as connection:
                asked = f"SELECT id FROM ({RESIDENT.format(rows=people(scale))}) USING SAMPLE 101 ROWS (reservoir, 7)"
                first, *others = [row[0] for row in connection.execute(asked).fetchall()]
            explain(house, "population", first, "name")
            with timed() as took:
                for key in others:
                    assert explain(house, "population", key, "name").fields[0].source is not None
            return took

    def compared(self, scale: int, folder: Path) -> Details:
        return {"seconds": 10.0}


@dataclass(frozen=True)
class Peer(Merge):
    """The merge beside somebody else's way to the same values and pointers, from plain Parquet to plain Parquet."""

    compared_with: str = ""
    reach: float | None = 0.5
    rows: int = ROWS // 3
    way: Callable[[Path], dict[str, Any]] = in_polars

    def prepare(self, scale: int, folder: Path) -> Details:
        prepared(folder, scale)
        written_plain(folder)
        return None

    def compared(self, scale: int, folder: Path) -> Details:
        return self.way(folder)


WORKLOADS: dict[str, Workload] = {
    "merge": Merge(),
    "merge_thrice": Thrice(),
    "merge_again": Again(),
    "explain": Explain(),
    "merge_polars": Peer("polars, full joins", way=in_polars),
    "merge_group_by": Peer("DuckDB, GROUP BY with arg_min over all rows, unbounded memory", way=by_arg_min),
    "merge_pandas": Peer("pandas, outer merges", rows=ROWS // 10, way=in_pandas),
}
