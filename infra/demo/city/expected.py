"""What must come of what was sent, reckoned in the city's own tables: nothing here knows how the exchange does it."""

from collections.abc import Callable

from duckdb import DuckDBPyConnection

from exchange.catalogue.model import BaseEntry, BaseField, Satellite
from infra.demo.city.mess import good, word
from infra.demo.city.sheet import Expected, Sheet


class Reckoning:
    """Over the tables of a city. `accepted`: the batch of a resource that counts, or with `now=False` every one that ever did."""

    def __init__(self, engine: DuckDBPyConnection, accepted: Callable[..., list[Sheet]]) -> None:
        self.engine = engine
        self.accepted = accepted

    def base(self, base: BaseEntry) -> Expected:
        """What this base must come to after everything written so far was pooled in order."""
        keys = [(o, s) for o in base.key_sources for s in self.accepted(o.resource, now=False)]
        latest = {s.name for o in base.key_sources for s in self.accepted(o.resource)}
        union = " UNION ALL ".join(f"SELECT {o.item} AS key, {s.name in latest} AS now FROM ({good(s)})" for o, s in keys)
        rows, opened = self._one(f"SELECT count(DISTINCT key), count(DISTINCT key) FILTER (now) FROM ({union})")
        conflicts: dict[tuple[str, str], int] = {}
        key_of = {origin.resource: origin.item for origin in base.key_sources}
        for field in base.fields:
            conflicts |= self._conflicts(field, key_of)
        self.engine.execute(f"CREATE OR REPLACE TEMP TABLE records AS SELECT DISTINCT key FROM ({union})")
        return Expected(rows, rows - opened, conflicts, {each.id: self._satellite(each) for each in base.satellites})

    def _satellite(self, satellite: Satellite) -> dict[str, int]:
        """What a satellite of the base whose keys are in `records` must come to."""
        key_of, said = {}, []
        for origin in satellite.parent_sources:
            fields = {field.name: field.sources for field in satellite.fields}
            own = [s.item for name in satellite.key for s in fields[name] if s.resource == origin.resource]
            key_of[origin.resource] = f"concat_ws('|', {', '.join([origin.item, *own])})"
            latest = {sheet.name for sheet in self.accepted(origin.resource)}
            said += [
                f"SELECT {origin.item} AS parent, {key_of[origin.resource]} AS key, {sheet.name in latest} AS now FROM ({good(sheet)})"
                for sheet in self.accepted(origin.resource, now=False)
            ]
        rows, opened, orphans = self._one(
            f"SELECT count(DISTINCT key) FILTER (held), count(DISTINCT key) FILTER (held AND now), "
            f"count(DISTINCT key) FILTER (NOT held AND now) "
            f"FROM (SELECT *, parent IN (SELECT key FROM records) AS held FROM ({' UNION ALL '.join(said)}))"
        )
        told = [field for field in satellite.fields if field.name not in satellite.key]
        held = "split_part(key, '|', 1) IN (SELECT key FROM records)"
        conflicts = sum(sum(self._conflicts(field, key_of, held).values()) for field in told)
        return {"rows": rows, "closed": rows - opened, "conflicts": conflicts, "orphans": orphans}

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

    def _one(self, query: str) -> tuple[int, ...]:
        row = self.engine.execute(query).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always has one
        return row
