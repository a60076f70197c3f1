"""How alike records are, by the model of Fellegi and Sunter (1969): the one door to splink.

Invariant: nothing is decided here. How often records agree by chance (u) is measured on the records that are there, on a sample;
how often they agree when both are about one (m) are the fixed figures below, since the rows that wait are too few to learn from.
A weight is the power of two by which an agreement of that degree makes it likelier that both are one.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import splink.comparison_level_library as levels
from duckdb import DuckDBPyConnection
from splink import DuckDBAPI, Linker, SettingsCreator, block_on
from splink.comparison_library import CustomComparison

from exchange.catalogue.sql import quoted

Kind = Literal["name", "text", "day", "number", "code"]

ID = "unique_id"  # the column by which either table's records are told apart
# degree by degree: its name, and how often two records of one agree to it
DEGREES: dict[Kind, tuple[tuple[str, float], ...]] = {
    "name": (("相同", 0.8), ("近似", 0.12), ("略似", 0.04)),
    "text": (("相同", 0.6), ("近似", 0.2), ("略似", 0.1)),
    "day": (("相同", 0.85), ("差一位", 0.1)),
    "number": (("相同", 0.7), ("差一位", 0.15), ("差两位", 0.05)),
    "code": (("相同", 0.95),),
}
OTHERWISE, UNSAID = "不同", "未填"
_NEAR, _REMOTE = 0.92, 0.8  # of 1, by Jaro and Winkler
_SAMPLE = 5_000  # records
_PAIRS = 200_000  # of them, compared to measure chance
_SEED = 20261125  # the same records get the same weights
_RAREST_UNSEEN = 0.01  # an agreement that the sample never saw is taken to be no commoner than this


@dataclass(frozen=True)
class Agreement:
    """How far two records agree about one column, and what that weighs."""

    column: str
    degree: str
    weight: float


@dataclass(frozen=True)
class Pair:
    """Two records, how likely they are about one, and why."""

    waiting: str
    known: str
    probability: float
    weight: float
    agreements: tuple[Agreement, ...]


def alike(
    connection: DuckDBPyConnection, waiting: str, known: str, columns: Mapping[str, Kind], *, chance: float, at_least: float
) -> list[Pair]:
    """Pairs of a waiting and a known record at least so likely, the likeliest first.

    Args:
        waiting, known: relations (SQL after FROM) with the columns as text and `unique_id`. Compared are pairs that agree in
            one column which is no code.
        chance: how likely two records are about one before anything was compared.
    """
    listed = ", ".join([ID, *map(quoted, columns)])
    telling = [name for name, kind in columns.items() if kind != "code"]
    connection.execute(f"CREATE OR REPLACE TEMP TABLE waiting AS SELECT {listed} FROM {waiting}")
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE sampled AS SELECT {listed} FROM {known} USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE ({_SEED})"
    )
    meets = " OR ".join(f"{quoted(name)} IN (SELECT {quoted(name)} FROM waiting)" for name in telling)
    connection.execute(f"CREATE OR REPLACE TEMP TABLE known AS SELECT {listed} FROM {known} WHERE {meets}")
    if not _rows(connection, "known") or not _rows(connection, "waiting"):
        return []
    engine = DuckDBAPI(connection=connection)
    model = _measured(connection, engine, columns, chance)
    both = [engine.register(name, dataset_display_name=name) for name in ("waiting", "known")]
    found = Linker(both, model, log_level=logging.ERROR).inference.predict(threshold_match_probability=at_least)
    return _pairs(connection, found.physical_name, columns)


def _measured(
    connection: DuckDBPyConnection, engine: DuckDBAPI, columns: Mapping[str, Kind], chance: float
) -> dict[str, Any]:
    """The model, with what chance agreement is among the known records."""
    linker = Linker(engine.register("sampled"), _settings(columns, chance), log_level=logging.ERROR)
    sampled = _rows(connection, "sampled")
    if sampled > 1:
        linker.training.estimate_u_using_random_sampling(max_pairs=_PAIRS, seed=_SEED)
    model: dict[str, Any] = linker.misc.save_model_to_json()
    unseen = min(_RAREST_UNSEEN, 1 / (1 + sampled * (sampled - 1) / 2))
    for comparison in model["comparisons"]:
        for level in comparison["comparison_levels"]:
            if not level.get("is_null_level"):
                level.setdefault("u_probability", unseen)
    return model | {"link_type": "link_only"}


def _settings(columns: Mapping[str, Kind], chance: float) -> SettingsCreator:
    return SettingsCreator(
        link_type="dedupe_only",
        comparisons=[_comparison(name, kind) for name, kind in columns.items()],
        blocking_rules_to_generate_predictions=[block_on(name) for name, kind in columns.items() if kind != "code"],
        probability_two_random_records_match=chance,
        retain_intermediate_calculation_columns=True,
        retain_matching_columns=True,
    )


def _comparison(column: str, kind: Kind) -> CustomComparison:
    by_distance: dict[Kind, list[Any]] = {
        "name": [levels.JaroWinklerLevel(column, _NEAR), levels.JaroWinklerLevel(column, _REMOTE)],
        "text": [levels.JaroWinklerLevel(column, _NEAR), levels.JaroWinklerLevel(column, _REMOTE)],
        "day": [levels.DamerauLevenshteinLevel(column, 1)],
        "number": [levels.DamerauLevenshteinLevel(column, 1), levels.DamerauLevenshteinLevel(column, 2)],
        "code": [],
    }
    shares = [share for _, share in DEGREES[kind]]
    degrees = [
        level.configure(m_probability=share, fix_m_probability=True)
        for level, share in zip([levels.ExactMatchLevel(column), *by_distance[kind]], shares, strict=True)
    ]
    other = levels.ElseLevel().configure(m_probability=1 - sum(shares), fix_m_probability=True)
    return CustomComparison([levels.NullLevel(column), *degrees, other], output_column_name=column)


def _pairs(connection: DuckDBPyConnection, table: str, columns: Mapping[str, Kind]) -> list[Pair]:
    side = "source_dataset_l = 'waiting'"
    ids = f"if({side}, {ID}_l, {ID}_r), if({side}, {ID}_r, {ID}_l)"
    weighed = ", ".join(f"{quoted('gamma_' + name)}, {quoted('mw_' + name)}" for name in columns)
    found = connection.execute(
        f"SELECT {ids}, match_probability, match_weight, {weighed} FROM {quoted(table)} ORDER BY match_weight DESC, 1, 2"
    )
    return [Pair(row[0], row[1], row[2], row[3], tuple(_agreements(columns, row[4:]))) for row in found.fetchall()]


def _agreements(columns: Mapping[str, Kind], said: Sequence[Any]) -> list[Agreement]:
    return [
        Agreement(name, _degree(kind, level), round(weight, 2))
        for (name, kind), level, weight in zip(columns.items(), said[::2], said[1::2], strict=True)
    ]


def _degree(kind: Kind, level: int) -> str:
    names = [name for name, _ in DEGREES[kind]]
    return UNSAID if level < 0 else [OTHERWISE, *reversed(names)][level]


def _rows(connection: DuckDBPyConnection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(row[0]) if row else 0
