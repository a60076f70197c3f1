"""Satellites of a base, and links from it: keys that every source has, fields and bases that are there.

Invariant: each rule is one function; PART_RULES is the whole list.
"""

from collections.abc import Callable
from typing import Final

from exchange.catalogue.draft import BaseDraft, Reading, SatelliteDraft, Written
from exchange.catalogue.rules.common import near, no_draft, once
from exchange.catalogue.rules.sources import can_be, item_of

LONGEST: Final = 48  # characters of an id


def _satellites(base: Written[BaseDraft], reading: Reading) -> None:
    entry = base.entry
    once(((each.id, base.place("satellites", n, "id")) for n, each in enumerate(entry.satellites)), "id-repeated", reading)
    for number, each in enumerate(entry.satellites):
        if each.id.endswith(("conflict", "alias")) or len(f"{entry.id}_{each.id}") > LONGEST:
            reading.findings.add(
                base.place("satellites", number, "id", item=each.id),
                "id-reserved",
                f"附表标识不得以 conflict 或 alias 结尾，与基础库标识合计不超过 {LONGEST} 个字符",
                f"a satellite's id may not end in conflict or alias, and has at most {LONGEST} characters with its base's",
            )
        no_draft(each.id, base.place("satellites", number, "id", item=each.id), reading)
        _satellite_table(base, number, each, reading)
        _satellite_key(base, number, each, reading)
        for n, field in enumerate(each.fields):
            if field.benchmark:
                reading.findings.add(
                    base.place("satellites", number, "fields", n, "benchmark", item=field.name),
                    "benchmark",
                    "附表没有基准项，请去掉 benchmark",
                    "a satellite has no benchmark items; remove `benchmark`",
                )


def _satellite_table(base: Written[BaseDraft], number: int, each: SatelliteDraft, reading: Reading) -> None:
    """`a` with `b_c` and `a_b` with `c` would be one table."""
    mine = f"{base.entry.id}_{each.id}"
    for other in reading.bases:
        if other.entry.id < base.entry.id and any(f"{other.entry.id}_{one.id}" == mine for one in other.entry.satellites):
            reading.findings.add(
                base.place("satellites", number, "id", item=each.id),
                "id-reserved",
                f"附表 {each.id} 与基础库 {other.entry.id} 的一个附表同名（{mine}），请换一个标识",
                f"satellite {each.id} and one of the base {other.entry.id} would share a name ({mine}); choose another id",
            )


def _satellite_key(base: Written[BaseDraft], number: int, each: SatelliteDraft, reading: Reading) -> None:
    fields = {field.name: field for field in each.fields}
    once(((name, base.place("satellites", number, "key", item=each.id)) for name in each.key), "satellite-key", reading)
    for name in dict.fromkeys(each.key):
        place = base.place("satellites", number, "key", item=each.id)
        if name not in fields:
            hint = near(name, fields)
            reading.findings.add(
                place,
                "satellite-key",
                f"附表 {each.id} 没有字段 {name}{hint[0]}",
                f"satellite {each.id} has no field {name}{hint[1]}",
            )
            continue
        orders = (fields[name].sources, *(order.sources for order in fields[name].authority))
        always = set.intersection(*({source.resource for source in order} for order in orders))
        silent = {source.resource for source in each.parent_sources} - always
        if silent:
            reading.findings.add(
                place,
                "satellite-key",
                f"主键项 {name} 须由每个来源提供，缺 {'、'.join(sorted(silent))}",
                f"every source must have the key item {name}; missing: {', '.join(sorted(silent))}",
            )


def _links(base: Written[BaseDraft], reading: Reading) -> None:
    fields = {field.name: field for field in base.entry.fields}
    others = {w.entry.id: w.entry for w in reading.bases}
    once(
        ((link.field, base.place("links", n, item=link.field)) for n, link in enumerate(base.entry.links)),
        "link-field",
        reading,
    )
    for number, link in enumerate(base.entry.links):
        place = base.place("links", number, item=link.field)
        if link.field not in {*fields, base.entry.key}:
            hint = near(link.field, fields)
            reading.findings.add(
                place, "link-field", f"没有字段 {link.field}{hint[0]}", f"there is no field {link.field}{hint[1]}"
            )
            continue
        for name in link.base:
            if name not in others and name not in reading.broken:
                hint = near(name, others)
                reading.findings.add(place, "link-base", f"没有基础库 {name}{hint[0]}", f"there is no base {name}{hint[1]}")
        wanted = {others[name].key_identifier for name in link.base if name in others}
        sources = fields[link.field].every_source if link.field in fields else base.entry.key_sources
        kinds = {found[1].identifier for source in sources if (found := item_of(source, reading))}
        if wanted and not all(any(kind is not None and can_be(kind, key) for key in wanted) for kind in kinds):
            names = sorted(wanted)
            reading.findings.add(
                place,
                "link-identifier",
                f"{link.field} 的来源须有 identifier，且与所关联基础库的主键（{'、'.join(names)}）相容",
                f"the sources of {link.field} need an identifier that can be a key of what it links to ({', '.join(names)})",
            )


PART_RULES: Final[tuple[Callable[[Written[BaseDraft], Reading], None], ...]] = (_satellites, _links)
