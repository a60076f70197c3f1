"""A changed rule list, or a changed entry, read as if it were loaded: the resource it would make, without making it.

Invariant: it passes exactly the checks of `load` and fails with the same findings; nothing is written, no version is given.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import select

from exchange.catalogue import loading, lookup, predicates, rules, words
from exchange.catalogue.draft import Reading, ResourceDraft, TableDraft, Written
from exchange.catalogue.findings import Place
from exchange.catalogue.form import shaped
from exchange.catalogue.model import Department, Resource
from exchange.catalogue.yamlfile import Document, read_yaml
from exchange.errors import CatalogueError
from exchange.house import House
from exchange.registry import models


def proposed(house: House, file: Path, resource_id: str) -> Resource:
    """The resource as `file` would have it: the published entry with the rules in the file, or the entry the file holds.

    The file is a list of rules, a mapping with nothing but `rules:`, or a whole entry of `resources/`.

    Raises:
        NotFound: no such resource in force. CatalogueError: with every finding, in the words of `load`.
    """
    published = lookup.resource(house, resource_id)
    reading = _surroundings(house, published)
    document = read_yaml(file.parent, file, reading.findings)
    written = None if document is None else _entry(document, published, reading)
    if written is not None:
        reading.resources.append(written)
        rules.check_resource(written, reading)
        predicates.check(house, reading)
    with house.registry.session() as session:
        loading.check_identities(session, reading)
        if reading.findings:
            raise CatalogueError(list(reading.findings))
        assert written is not None  # noqa: S101 - what could not be read is a finding
        tables = {table.entry.id: table.entry.codes for table in reading.tables}
        return Resource.model_validate(loading.next_definition(session, written.entry, published.code, tables))


def _surroundings(house: House, published: Resource) -> Reading:
    """The rest of the catalogue as it is in force: an entry may name its departments and code tables."""
    nowhere = Document("–", None, {})
    reading = Reading()
    with house.registry.session() as session:
        for row in session.scalars(select(models.Department).order_by(models.Department.code)):
            reading.departments.append(Written(Department.model_construct(code=row.code, name=row.name), nowhere))
    tables = dict(published.code_tables)
    for entry in lookup.current(house).resources:
        tables |= entry.code_tables
    for name, codes in sorted(tables.items()):
        reading.tables.append(Written(TableDraft.model_construct(id=name, title=name, codes=codes), nowhere))
    return reading


def _entry(document: Document, published: Resource, reading: Reading) -> Written[ResourceDraft] | None:
    value, lines = document.value, document.lines
    if isinstance(value, list):
        value, lines = {"rules": value}, {("rules", *path): line for path, line in lines.items()}
    if isinstance(value, dict) and set(value) == {"rules"}:
        value = _as_written(published) | value
    elif isinstance(value, dict) and value.get("id", published.id) != published.id:
        reading.findings.add(
            Place(document.file, document.line(("id",)), published.id),
            "other-resource",
            f"文件里的资源是 {value['id']}，要试的是 {published.id}；请核对文件或资源",
            f"the file holds {value['id']}, and {published.id} is to be tried; look at the file or the resource",
        )
        return None
    placed = Document(document.file, value, lines)
    return shaped(ResourceDraft, value, words.resource, placed, (), "id", reading)


def _as_written(published: Resource) -> dict[str, Any]:
    """The published entry as a department would write it."""
    names = set(ResourceDraft.model_fields) - {"prefix", "rules"}
    return published.model_dump(mode="json", include=names) | {"prefix": published.code.partition("/")[0]}
