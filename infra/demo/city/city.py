"""The city as a whole: its tables in an engine, and the parcels that are made of them."""

import shutil
from pathlib import Path

import duckdb

from exchange.catalogue.model import BaseEntry
from infra.demo.city import companies, credit, drawing, files, licences, people
from infra.demo.city.expected import Reckoning
from infra.demo.city.mess import sent
from infra.demo.city.sheet import Expected, Parcel, Planted, Sheet

MEMORY = "3GB"
SCALES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}


class City:
    """The city while its tables are in the engine: write parcels, then ask what must come of them."""

    def __init__(self, folder: Path, residents: int) -> None:
        self.folder = folder
        self.residents = residents
        self.entities = residents // 5
        made = (*people.sheets(self.entities), *companies.sheets(), *licences.sheets(), *credit.sheets())
        self.sheets = tuple(sorted(made, key=lambda sheet: sheet.batch))
        self.written: set[str] = set()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self.engine = duckdb.connect(folder / "city.duckdb")
        self.engine.execute(f"SET memory_limit = '{MEMORY}'")
        self.engine.execute(f"SET temp_directory = '{folder / 'spill'}'")
        self.engine.execute("SET autoinstall_known_extensions = false")
        self.engine.execute("SET enable_progress_bar = false")
        drawing.prepare(self.engine)
        self.engine.execute(people.PERSON.format(residents=residents, everybody=residents + residents // 125))
        self.engine.execute(people.RENUMBERED)
        market = self.entities - self.entities // 50
        self.engine.execute(companies.ENTITY.format(entities=self.entities, market=market, residents=residents))
        self.engine.execute(licences.LICENCE)
        self.engine.execute(credit.PENALTY)
        self.reckoning = Reckoning(self.engine, self.accepted)

    def close(self) -> None:
        """Let the tables go; the files stay."""
        self.engine.close()
        (self.folder / "city.duckdb").unlink()
        shutil.rmtree(self.folder / "spill", ignore_errors=True)

    def parcel(self, sheet: Sheet) -> Parcel:
        """Write what is sent, and say what is in it."""
        self.engine.execute(sent(sheet))
        self.written.add(sheet.name)
        path = files.write(self.engine, sheet, self.folder)
        kinds = self.engine.execute(
            f"SELECT _kind, count(*) FROM sent_{sheet.name} WHERE _kind IS NOT NULL AND NOT _again GROUP BY _kind"
        ).fetchall()
        rows, again = self._one(f"SELECT count(*), count(*) FILTER (_again) FROM sent_{sheet.name}")
        found = dict(kinds)
        planted = [Planted(m.kind, m.effect, m.rule, found.get(m.kind, 0)) for m in sheet.messes]
        planted += [Planted("duplicate", "quarantine", "key.unique", again)] if sheet.duplicates else []
        for item in ("id_number", "legal_rep_id_number", "relative_id_number"):
            if item in dict(sheet.items):
                planted += self._odd_regions(sheet, item)
        return Parcel(sheet.resource, sheet.batch, path, rows, sheet.decision, tuple(planted))

    def _odd_regions(self, sheet: Sheet, item: str) -> list[Planted]:
        """Rows whose number names a region that never was, or one that was not there yet at birth."""
        unknown, early = self._one(
            f"SELECT count(*) FILTER (region = 'unknown'), count(*) FILTER (region = 'early') "
            f"FROM sent_{sheet.name} s JOIN person p ON p.id_number = s.{item}"
        )
        return [
            Planted("unknown_region", "warn", f"{item}.region", unknown),
            Planted("early_birth", "warn", f"{item}.region_at_birth", early),
        ]

    def accepted(self, resource: str, *, now: bool = True) -> list[Sheet]:
        """The batch that counts for a resource, or with `now=False` every batch that ever did; written ones only."""
        found = [s for s in self.sheets if s.resource == resource and s.decision == "accepted" and s.name in self.written]
        return found[-1:] if now else found

    def expected(self, base: BaseEntry) -> Expected:
        """What this base must come to after everything written so far was pooled in order."""
        return self.reckoning.base(base)

    def theme_rows(self, theme_id: str) -> int:
        """How many rows a theme of the demo's catalogue must come to."""
        return self.reckoning.theme_rows(theme_id)

    def people(self) -> dict[str, dict[str, str | bool | None]]:
        """Three residents and what the population base must say of them: newly named, neither, dead. In that order."""
        return self.reckoning.people()

    def _one(self, query: str) -> tuple[int, ...]:
        row = self.engine.execute(query).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always has one
        return row


def scale_of(text: str) -> int:
    """Residents of a scale: `100k`, `10m`, or a plain number.

    Raises:
        ValueError: neither.
    """
    return SCALES.get(text.lower()) or int(text)
