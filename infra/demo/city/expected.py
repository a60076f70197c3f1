"""What must come of what was sent, reckoned in the city's own tables: nothing here knows how the exchange does it."""

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseEntry, BaseField, FieldSource, Satellite
from infra.demo.city.mess import good, word
from infra.demo.city.sheet import Expected, Sheet


class Reckoning:
    """Over the tables of a city. `accepted`: the batch of a resource that counts, or with `now=False` every one that ever did."""

    def __init__(self, engine: DuckDBPyConnection, accepted: Callable[..., list[Sheet]]) -> None:
        self.engine = engine
        self.accepted = accepted
        self.number_before, self.number_now = self._renumbered()

    def base(self, base: BaseEntry) -> Expected:
        """What this base must come to after everything written so far was pooled in order, and the alias was recorded."""
        self._draw_records(base)
        rows, opened = self._one("SELECT count(*), count(*) FILTER (now) FROM records")
        conflicts: dict[tuple[str, str], int] = {}
        key_of = {origin.resource: self._counting(base, origin.item) for origin in base.key_sources}
        for field in base.fields:
            conflicts |= self._conflicts(field, key_of)
        return Expected(rows, rows - opened, conflicts, {each.id: self._satellite(base, each) for each in base.satellites})

    def _draw_records(self, base: BaseEntry) -> None:
        """A table of the keys of a base: every one that ever was, and whether a batch that counts has it."""
        said = [
            f"SELECT {self._counting(base, origin.item)} AS key, {sheet in self.accepted(origin.resource)} AS now FROM ({good(sheet)})"
            for origin in base.key_sources
            for sheet in self.accepted(origin.resource, now=False)
        ]
        union = " UNION ALL ".join(said)
        self.engine.execute(
            f"CREATE OR REPLACE TEMP TABLE records AS SELECT key, bool_or(now) AS now FROM ({union}) GROUP BY key"
        )

    def _counting(self, base: BaseEntry, number: str) -> str:
        """SQL of the number that counts in a base: one resident has another now."""
        if base.key_identifier != "resident_number":
            return number
        return f"CASE {number} WHEN '{self.number_before}' THEN '{self.number_now}' ELSE {number} END"

    def _satellite(self, base: BaseEntry, satellite: Satellite) -> dict[str, int]:
        """What a satellite of the base whose keys are in `records` must come to."""
        rows, opened, orphans = self._one(
            f"SELECT count(DISTINCT key) FILTER (held), count(DISTINCT key) FILTER (held AND now), "
            f"count(DISTINCT key) FILTER (NOT held AND now) "
            f"FROM (SELECT *, parent IN (SELECT key FROM records) AS held FROM ({self._rows(base, satellite)}))"
        )
        key_of = {origin.resource: self._row_key(base, satellite, origin) for origin in satellite.parent_sources}
        told = [field for field in satellite.fields if field.name not in satellite.key]
        held = "split_part(key, '|', 1) IN (SELECT key FROM records)"
        conflicts = sum(sum(self._conflicts(field, key_of, held).values()) for field in told)
        return {"rows": rows, "closed": rows - opened, "conflicts": conflicts, "orphans": orphans}

    def _rows(self, base: BaseEntry, satellite: Satellite) -> str:
        """SQL: every row that was ever sent, its `parent` and its `key`, and whether the batch that counts has it."""
        said = []
        for origin in satellite.parent_sources:
            latest = {sheet.name for sheet in self.accepted(origin.resource)}
            columns = f"{self._counting(base, origin.item)} AS parent, {self._row_key(base, satellite, origin)} AS key"
            said += [
                f"SELECT {columns}, {sheet.name in latest} AS now FROM ({good(sheet)})"
                for sheet in self.accepted(origin.resource, now=False)
            ]
        return " UNION ALL ".join(said)

    def _row_key(self, base: BaseEntry, satellite: Satellite, origin: FieldSource) -> str:
        fields = {field.name: field.sources for field in satellite.fields}
        own = [s.item for name in satellite.key for s in fields[name] if s.resource == origin.resource]
        return f"concat_ws('|', {', '.join([self._counting(base, origin.item), *own])})"

    def most_rows(self, base: BaseEntry, satellite: Satellite) -> tuple[str, list[str]]:
        """The record of a base that has most rows of a satellite now, and their own keys in order."""
        self._draw_records(base)
        row = self.engine.execute(
            f"SELECT parent, list_sort(list(DISTINCT substr(key, length(parent) + 2))) AS keys "
            f"FROM ({self._rows(base, satellite)}) WHERE now AND parent IN (SELECT key FROM records) "
            "GROUP BY parent ORDER BY len(keys) DESC, parent LIMIT 1"
        ).fetchone()
        assert row is not None  # noqa: S101 - the city has some of each
        return str(row[0]), list(row[1])

    def words(self, base: BaseEntry, field: BaseField, key: str) -> dict[str, str]:
        """What each source says of a field of one record, by resource."""
        key_of = {origin.resource: self._counting(base, origin.item) for origin in base.key_sources}
        said = {}
        for source in field.sources:
            for sheet in self.accepted(source.resource):
                query = f"SELECT value FROM ({word(sheet, key_of[source.resource], 0, source.item)}) WHERE key = ?"
                row = self.engine.execute(query, [key]).fetchone()
                if row is not None and row[0] is not None:
                    said[source.resource] = str(row[0])
        return said

    def theme_rows(self, theme_id: str) -> int:
        """How many rows a theme of the demo's catalogue must come to; said in the city's own tables, not in the theme's."""
        (insured,), (dead,) = (self.accepted(name) for name in ("hr_insurance", "health_death"))
        said = {
            "insured_residents": f"({good(insured)}) i ANTI JOIN ({good(dead)}) d USING (id_number) "
            "WHERE insurance_status = '1'"
        }
        return self._one(f"SELECT count(*) FROM {said[theme_id]}")[0]

    def people(self) -> dict[str, dict[str, str | bool | None]]:
        """Three residents and what the population base must say of them: newly named, neither, dead. In that order."""
        (home,), (wed,), (dead,) = (self.accepted(name) for name in ("police_household", "civil_marriage", "health_death"))
        before = self.accepted("police_household", now=False)[0]
        rows = self.engine.execute(
            f"""WITH known AS (
                SELECT h.id_number, h.name, h.sex_code, coalesce(m.marital_code, h.marital_code) AS marital_code,
                    CASE WHEN d.death_flag = '是' THEN true END AS death_flag,
                    CASE WHEN h.name <> p.name THEN 'renamed' WHEN d.id_number IS NOT NULL THEN 'dead' ELSE 'plain' END AS why
                FROM ({good(home)}) h SEMI JOIN ({good(before)}) b USING (id_number) JOIN person p ON p.i = h._n
                LEFT JOIN ({good(wed)}) m ON m.id_number = h.id_number LEFT JOIN ({good(dead)}) d ON d.id_number = h.id_number)
            SELECT DISTINCT ON (why) * EXCLUDE (why) FROM known ORDER BY why DESC, id_number"""
        ).fetchall()
        names = ("name", "sex_code", "marital_code", "death_flag")
        return {key: dict(zip(names, values, strict=True)) for key, *values in rows}

    def _conflicts(self, field: BaseField, key_of: dict[str, str], held: str = "true") -> dict[tuple[str, str], int]:
        """Per losing source: keys where it says something else than the highest source that says anything."""
        said = [(source, sheet) for source in field.sources for sheet in self.accepted(source.resource)]
        if len(said) < 2:
            return {}
        union = " UNION ALL ".join(
            word(sheet, key_of[source.resource], place, source.item) for place, (source, sheet) in enumerate(said)
        )
        found = self.engine.execute(
            f"SELECT place, count(*) FROM (SELECT *, arg_min(value, place) OVER (PARTITION BY key) AS winner FROM ({union}) "
            f"WHERE value IS NOT NULL AND {held}) WHERE value <> winner GROUP BY place"
        ).fetchall()
        return {(field.name, said[place][0].resource): count for place, count in found}

    def _renumbered(self) -> tuple[str, str]:
        row = self.engine.execute("SELECT number_before, number_now FROM renumbered").fetchone()
        assert row is not None  # noqa: S101 - there is one at every scale
        return str(row[0]), str(row[1])

    def _one(self, query: str) -> tuple[int, ...]:
        row = self.engine.execute(query).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always has one
        return row
