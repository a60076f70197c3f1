"""The catalogue's folder: read everything, check everything, say everything that is wrong at once.

Invariant: a `Draft` has passed every rule that needs no database and no engine; reading changes nothing.

    departments.yaml     a list of departments
    resources/*.yaml     one resource a file
    bases/*.yaml         one base database a file
    themes/*.yaml        one theme database a file
    codes/*.yaml         one code table a file, beyond those of codes.py
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from exchange.catalogue import rules, words
from exchange.catalogue.draft import BaseDraft, Draft, Reading, ResourceDraft, Shape, TableDraft, ThemeDraft, Written
from exchange.catalogue.findings import Findings, Place
from exchange.catalogue.form import shaped
from exchange.catalogue.model import Department
from exchange.catalogue.yamlfile import read_yaml
from exchange.errors import CatalogueError

FOLDERS = ("resources", "bases", "themes", "codes")
_SUFFIXES = (".yaml", ".yml")


def read_folder(folder: Path) -> Draft:
    """Read and check a catalogue folder, without a database.

    Department rules (`rules:`) and the SQL of themes are checked by `load`, which has an engine.

    Raises:
        CatalogueError: with every finding: file, line, entry, item, rule, in both languages.
    """
    reading = read(folder)
    if reading.findings:
        raise CatalogueError(list(reading.findings))
    return draft_of(reading)


def read(folder: Path) -> Reading:
    """The same, as a reading that still may carry findings."""
    reading = Reading()
    if not folder.is_dir():
        reading.findings.add(
            Place(str(folder)), "folder", "没有这个目录，请检查路径", "there is no such folder; look at the path"
        )
        return reading
    _read_departments(folder, reading)
    reading.resources += _read_files(folder, "resources", ResourceDraft, words.resource, reading)
    reading.bases += _read_files(folder, "bases", BaseDraft, words.base, reading)
    reading.themes += _read_files(folder, "themes", ThemeDraft, words.theme, reading)
    reading.tables += _read_files(folder, "codes", TableDraft, lambda value: value, reading)
    _strays(folder, reading.findings)
    rules.check(reading)
    return reading


def draft_of(reading: Reading) -> Draft:
    """The draft of a reading without findings."""
    return Draft(
        tuple(written.entry for written in reading.departments),
        tuple(written.entry for written in reading.resources),
        tuple(rules.complete(written.entry, reading) for written in reading.bases),
        {written.entry.id: dict(written.entry.codes) for written in reading.tables},
    )


def _read_departments(folder: Path, reading: Reading) -> None:
    path = folder / "departments.yaml"
    place = Place(path.name)
    if not path.is_file():
        reading.findings.add(
            place,
            "departments",
            "缺少 departments.yaml（部门清单）",
            "departments.yaml (the list of departments) is missing",
        )
        return
    document = read_yaml(folder, path, reading.findings)
    if document is None:
        return
    if not isinstance(document.value, list) or not document.value:
        reading.findings.add(
            place,
            "departments",
            "应是部门的列表，每项以 “- code:” 开头",
            "must be a list of departments, each starting `- code:`",
        )
        return
    for number, value in enumerate(document.value):
        written = shaped(Department, value, words.department, document, (number,), "code", reading)
        if written is not None:
            reading.departments.append(written)


def _read_files(
    folder: Path, name: str, shape: type[Shape], change: Callable[[dict[str, Any]], dict[str, Any]], reading: Reading
) -> Iterator[Written[Shape]]:
    for path in _yaml_files(folder / name):
        document = read_yaml(folder, path, reading.findings)
        if document is not None:
            written = shaped(shape, document.value, change, document, (), "id", reading)
            if written is not None:
                yield written


def _yaml_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix in _SUFFIXES and not path.name.startswith(".") and (path.is_file() or path.is_symlink())
    )


def _strays(folder: Path, findings: Findings) -> None:
    """A file in the wrong place would be left out silently."""
    expected = {"departments.yaml"} | {
        str(path.relative_to(folder)) for name in FOLDERS for path in _yaml_files(folder / name)
    }
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in _SUFFIXES and not hidden and not path.is_dir() and name not in expected:
            findings.add(
                Place(name),
                "file-place",
                "文件不会被读取：只读 departments.yaml、resources/、bases/、themes/、codes/（小写扩展名 .yaml）",
                "this file would not be read: only departments.yaml, resources/, bases/, themes/ and codes/ are (suffix .yaml)",
            )


__all__ = ["Draft", "draft_of", "read", "read_folder"]
