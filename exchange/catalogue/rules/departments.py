"""Departments, code tables, and ids that must be given once.

Invariant: a department is known by its own valid code (GB 32100) and by nothing else.
"""

from exchange.catalogue import codes, uscc
from exchange.catalogue.draft import Reading
from exchange.catalogue.findings import shown
from exchange.catalogue.rules.common import once


def departments(reading: Reading) -> None:
    for written in reading.departments:
        code = written.entry.code
        if not uscc.valid(code):
            reading.findings.add(
                written.place("code"),
                "department-code",
                f"{shown(code)} 不是有效的 18 位统一社会信用代码（GB 32100，含校验码），请核对",
                f"{shown(code)} is not a valid 18-character 统一社会信用代码 (GB 32100, check digit included); look it up",
            )
    once(((w.entry.code, w.place("code")) for w in reading.departments), "department-repeated", reading)
    once(((w.entry.name, w.place("name")) for w in reading.departments), "department-repeated", reading)


def tables(reading: Reading) -> None:
    for written in reading.tables:
        if written.entry.id in codes.BUILT_IN:
            reading.findings.add(
                written.place("id"),
                "code-table-built-in",
                f"{written.entry.id} 是内置代码表，不得替换，请换一个 id",
                f"{written.entry.id} is a built-in code table and may not be replaced; choose another id",
            )


def unique(reading: Reading) -> None:
    once(((w.entry.id, w.place("id")) for w in reading.resources), "id-repeated", reading)
    once(((w.entry.id, w.place("id")) for w in reading.bases), "id-repeated", reading)
    once(((w.entry.id, w.place("id")) for w in reading.themes), "id-repeated", reading)
    once(((w.entry.id, w.place("id")) for w in reading.tables), "id-repeated", reading)
