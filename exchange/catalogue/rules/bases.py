"""Base databases: sources that exist and agree, keys, 基准 items; and what a field takes from its sources.

Invariant: each rule is one function; BASE_RULES is the whole list.
"""

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from exchange.catalogue.draft import BaseDraft, FieldDraft, Reading, ResourceDraft, SatelliteDraft, Written
from exchange.catalogue.findings import Place, shown
from exchange.catalogue.model import BaseEntry, BaseField, DataType, FieldSource, Item, Satellite, Sensitivity, ShareType
from exchange.catalogue.rules.common import near, no_draft, once, share_class
from exchange.catalogue.rules.satellites import PART_RULES
from exchange.catalogue.rules.sources import Part, can_be, is_a, item_of, parts
from exchange.catalogue.sql import sql_type

# 人口基础信息库的基准项: 公民身份号码 (the key), 姓名, 性别, 民族, 出生地, 出生日期, 相片
POPULATION_BENCHMARK: Final = frozenset(
    {"id_number", "name", "sex_code", "ethnicity_code", "birth_place_code", "birth_place_detail", "birth_date", "photo_ref"}
)
_FAMILY: Final = {
    **dict.fromkeys((DataType.TEXT, DataType.MEMO), "text"),
    **dict.fromkeys((DataType.NUMBER, DataType.MONEY, DataType.INTEGER, DataType.DOUBLE, DataType.FLOAT), "number"),
}
OLDER_NUMBERS: Final = ("org_code", "registration_no")  # by which rows join a 统一社会信用代码 (pools/registered.py)
MOST_DIGITS: Final = 38  # of the engine's decimals
_DECIMAL: Final = re.compile(r"DECIMAL\(([0-9]+),([0-9]+)\)")
MASKS: Final = ("name", "resident_number", "mobile", "phone", "address", "email", "bank_card", "plate", "birth_date", "all")


def _sources_known(base: Written[BaseDraft], reading: Reading) -> None:
    resources = {w.entry.id: w.entry for w in reading.resources}
    for source, place, _ in (named for part in parts(base) for named in part.sources()):
        if source.resource in reading.broken:
            continue
        if source.resource not in resources:
            hint = near(source.resource, resources)
            reading.findings.add(
                place,
                "source-known",
                f"没有资源 {source.resource}{hint[0]}",
                f"there is no resource {source.resource}{hint[1]}",
            )
        elif item_of(source, reading) is None:
            hint = near(source.item, [item.name for item in resources[source.resource].items])
            reading.findings.add(
                place,
                "source-known",
                f"资源 {source.resource} 没有信息项 {source.item}{hint[0]}",
                f"resource {source.resource} has no item {source.item}{hint[1]}",
            )


def _key_sources(base: Written[BaseDraft], reading: Reading) -> None:
    for part in parts(base):
        once(
            ((s.resource, part.place(part.keys_name, n)) for n, s in enumerate(part.keys)),
            "key-source-repeated",
            reading,
        )
        _feeders_keyed(part, reading)
        for source, place, field in part.sources():
            found = None if field else item_of(source, reading)
            if found is not None:
                _key_item(part, source, place, found, reading)


def _feeders_keyed(part: Part, reading: Reading) -> None:
    """Whoever says something must say of whom."""
    keyed = {source.resource for source in part.keys}
    told: set[str] = set()
    for source, place, field in part.sources():
        if field and item_of(source, reading) is not None and source.resource not in keyed | told:
            told.add(source.resource)
            reading.findings.add(
                place,
                "key-source",
                f"{source.resource} 供给 {field}，但 {part.keys_name} 未写它的{'主键项' if part.name is None else '所属项'}",
                f"{source.resource} feeds {field}, but {part.keys_name} does not name its "
                + ("key item" if part.name is None else "item of the parent's key"),
            )


def _older_numbers(base: Written[BaseDraft], reading: Reading) -> None:
    """A 组织机构代码 is found in the codes of other sources, a 注册号 beside one: there must be such a source."""
    found = {
        number: pair
        for number, source in enumerate(base.entry.key_sources)
        if (pair := item_of(source, reading)) is not None
    }
    codes = [entry for entry, item in found.values() if item.identifier == base.entry.key_identifier]
    paired = any(item.identifier == "registration_no" for entry in codes for item in entry.items)
    for number, (entry, item) in found.items():
        place = base.place("key_sources", number, item=base.entry.key)
        if item.identifier in OLDER_NUMBERS and not codes:
            reading.findings.add(
                place,
                "key-older",
                f"{entry.id} 以旧号为主键，须有至少一个以 {base.entry.key_identifier} 为主键的来源",
                f"{entry.id} is keyed by an older number; at least one source must be keyed by {base.entry.key_identifier}",
            )
        elif item.identifier == "registration_no" and not paired:
            reading.findings.add(
                place,
                "key-older",
                f"{entry.id} 以注册号为主键，须有一个来源同时登记统一社会信用代码和注册号（identifier: registration_no）",
                f"{entry.id} is keyed by a registration number; some source must hold the credit code and the registration "
                "number side by side (`identifier: registration_no`)",
            )


def _key_item(part: Part, source: FieldSource, place: Place, found: tuple[ResourceDraft, Item], reading: Reading) -> None:
    """A base is keyed by a key item of its resource; a satellite may hang on any item of the same kind."""
    wanted = part.base.entry.key_identifier
    may_be = (wanted, *(OLDER_NUMBERS if wanted == "uscc" else ()))
    if part.name is not None:
        if found[1].identifier is None or not can_be(found[1].identifier, wanted):
            reading.findings.add(
                place,
                "parent-source",
                f"{source.resource}.{source.item} 须有与主表主键相容的标识（identifier: {wanted}）",
                f"{source.resource}.{source.item} must have an identifier that can be the parent's key (`identifier: {wanted}`)",
            )
    elif source.item not in found[0].key or not any(is_a(found[1].identifier, name) for name in may_be):
        reading.findings.add(
            place,
            "key-source",
            f"{source.resource}.{source.item} 须是该资源的主键项，且 identifier: {' 或 '.join(may_be)}",
            f"{source.resource}.{source.item} must be a key item of its resource with "
            f"{' or '.join(f'`identifier: {name}`' for name in may_be)}",
        )


def _fields(base: Written[BaseDraft], reading: Reading) -> None:
    for part in parts(base):
        names = [(field.name, part.place("fields", n, "name", item=field.name)) for n, field in enumerate(part.fields)]
        once([(base.entry.key, base.place("key")), *names], "field-repeated", reading)
        for number, field in enumerate(part.fields):
            _one_name(field, part.place("fields", number, item=field.name), reading)
            _one_field(field, part.place("fields", number, item=field.name), reading)


def _one_name(field: FieldDraft, place: Place, reading: Reading) -> None:
    if field.name.endswith("__src"):
        reading.findings.add(
            place,
            "field-name",
            "名称不得以 __src 结尾（留给来源指针）",
            "a name may not end in __src (kept for provenance)",
        )
    if field.name == "row_key":
        reading.findings.add(
            place, "field-name", "名称不得是 row_key（留给附表）", "a name may not be row_key (kept for satellites)"
        )
    if field.mask is not None and field.mask not in MASKS:
        reading.findings.add(
            place,
            "field-form",
            f"mask 是 {shown(field.mask)}，应为 {'、'.join(MASKS)} 之一",
            f"mask is {shown(field.mask)}; expected one of {', '.join(MASKS)}",
        )
    for sources in (field.sources, *(order.sources for order in field.authority)):
        repeated = [text for text, count in Counter(f"{s.resource}" for s in sources).items() if count > 1]
        if repeated:
            reading.findings.add(
                place,
                "source-repeated",
                f"来源 {'、'.join(repeated)} 写了两次",
                f"source {', '.join(repeated)} is written twice",
            )
    days = [order.since for order in field.authority]
    if days != sorted(set(days)):
        reading.findings.add(
            place,
            "authority",
            "authority 各条的 from 须逐条变晚，不得重复",
            "the days (`from`) of `authority` must rise, none twice",
        )


def _one_field(field: FieldDraft, place: Place, reading: Reading) -> None:
    found = [pair for source in field.every_source if (pair := item_of(source, reading))]
    items = [item for _, item in found]
    kinds = {_FAMILY.get(kind, kind) for kind in (*(item.type for item in items), *((field.type,) if field.type else ()))}
    if len(kinds) > 1:
        types = "、".join(str(item.type) for item in items)
        reading.findings.add(
            place,
            "field-type",
            f"各来源的类型不一致（{types}{'；声明 ' + field.type if field.type else ''}），无法比较",
            f"its sources are of different types ({types.replace('、', ', ')}), which can't be compared",
        )
    elif items and (_widest(field.type or items[0].type, items).length or 0) > MOST_DIGITS:
        types = "、".join(sql_type(item) for item in items)
        reading.findings.add(
            place,
            "field-width",
            f"各来源的位数（{types}）合起来超过 {MOST_DIGITS} 位，无法不失真地并列；请统一长度和小数位",
            f"digits and decimals of its sources ({types.replace('、', ', ')}) together exceed {MOST_DIGITS}, so they can't "
            "stand side by side unrounded; agree on length and decimals",
        )
    if field.sensitivity is Sensitivity.NONE and any(item.sensitivity is not Sensitivity.NONE for item in items):
        reading.findings.add(
            place,
            "field-sensitivity",
            "来源是敏感信息项，字段不能改为不敏感，请删除 sensitivity",
            "a source is sensitive, so the field is; remove `sensitivity`",
        )
    if field.benchmark and any(share_class(item, entry) is ShareType.NONE for entry, item in found):
        reading.findings.add(
            place,
            "benchmark-prohibited",
            "来源不予共享，不能作为基准项（基准项无条件共享）",
            "a source is not shared (3), so the field can't be 基准, which is shared unconditionally",
        )


def _id_kept_free(base: Written[BaseDraft], reading: Reading) -> None:
    """The tables of a base's conflicts, aliases and satellites have its name."""
    place = base.place("id")
    no_draft(base.entry.id, place, reading)
    for ending, zh, en in (("_conflict", "冲突表", "conflicts"), ("_alias", "别名表", "aliases")):
        if base.entry.id.endswith(ending):
            reading.findings.add(
                place,
                "id-reserved",
                f"标识不得以 {ending} 结尾（留给{zh}）",
                f"an id may not end in {ending} (kept for the table of {en})",
            )
    taken = {f"{w.entry.id}_{each.id}": w.entry.id for w in reading.bases for each in w.entry.satellites}
    if base.entry.id in taken:
        reading.findings.add(
            place,
            "id-reserved",
            f"标识 {base.entry.id} 是基础库 {taken[base.entry.id]} 的附表名，请换一个",
            f"{base.entry.id} is the name of a satellite of the base {taken[base.entry.id]}; choose another id",
        )


def _key_name(base: Written[BaseDraft], reading: Reading) -> None:
    """The key is a column beside the fields."""
    if base.entry.key.endswith("__src") or base.entry.key == "row_key":
        reading.findings.add(
            base.place("key"),
            "field-name",
            "主键名称不得以 __src 结尾，也不得是 row_key（留给来源指针和附表）",
            "a key's name may not end in __src and may not be row_key (kept for provenance and satellites)",
        )


def _benchmark(base: Written[BaseDraft], reading: Reading) -> None:
    if base.entry.key_identifier != "resident_number":
        return
    for number, field in enumerate(base.entry.fields):
        if field.benchmark and field.name not in POPULATION_BENCHMARK:
            reading.findings.add(
                base.place("fields", number, "benchmark", item=field.name),
                "benchmark",
                "人口库基准项只有七项：公民身份号码、姓名、性别、民族、出生地、出生日期、相片"
                f"（{'、'.join(sorted(POPULATION_BENCHMARK))}），请去掉 benchmark",
                "only seven items of the population base are 基准: "
                f"{', '.join(sorted(POPULATION_BENCHMARK))}; remove `benchmark`",
            )


BASE_RULES: Final[tuple[Callable[[Written[BaseDraft], Reading], None], ...]] = (
    _id_kept_free,
    _key_name,
    _sources_known,
    _key_sources,
    _older_numbers,
    _fields,
    _benchmark,
    *PART_RULES,
)


def complete(base: BaseDraft, reading: Reading) -> BaseEntry:
    """A base with what its fields take from their sources: title, type, sensitivity, mask and share class."""
    return BaseEntry(
        id=base.id,
        title=base.title,
        key=base.key,
        key_identifier=base.key_identifier,
        key_sources=base.key_sources,
        fields=tuple(_complete_field(field, reading) for field in base.fields),
        satellites=tuple(_complete_satellite(each, reading) for each in base.satellites),
        links=base.links,
    )


def _complete_satellite(satellite: SatelliteDraft, reading: Reading) -> Satellite:
    return Satellite(
        id=satellite.id,
        title=satellite.title,
        parent_sources=satellite.parent_sources,
        key=satellite.key,
        fields=tuple(_complete_field(field, reading) for field in satellite.fields),
    )


def _complete_field(field: FieldDraft, reading: Reading) -> BaseField:
    found = [pair for source in field.every_source if (pair := item_of(source, reading))]
    items = [item for _, item in found]
    sensitive = [item.sensitivity for item in items if item.sensitivity is not Sensitivity.NONE]
    masks = [item.mask for item in items if item.mask is not None]
    strictest = max(share_class(item, entry) for entry, item in found)
    width = _widest(field.type or items[0].type, items)
    return BaseField(
        name=field.name,
        title=field.title or items[0].title,
        type=field.type or items[0].type,
        sources=field.sources,
        authority=field.authority,
        benchmark=field.benchmark,
        sensitivity=field.sensitivity or (sensitive[0] if sensitive else Sensitivity.NONE),
        mask=field.mask or (masks[0] if masks else None),
        share_type=ShareType.UNCONDITIONAL if field.benchmark else max(strictest, ShareType.CONDITIONAL),
        length=width.length,
        scale=width.scale,
    )


@dataclass(frozen=True)
class _Width:
    """Digits and decimals of a number."""

    length: int | None = None
    scale: int | None = None


def _widest(kind: DataType, items: Sequence[Item]) -> _Width:
    """What holds the values of all sources of a numeric field without rounding any."""
    if kind is not DataType.NUMBER:
        return _Width()
    whole, scale = zip(*(_digits(item) for item in items), strict=True)
    return _Width(max(whole) + max(scale), max(scale))


def _digits(item: Item) -> tuple[int, int]:
    """Digits before and after the point that an item can have."""
    found = _DECIMAL.fullmatch(sql_type(item))
    if found is not None:
        return int(found[1]) - int(found[2]), int(found[2])
    return (19, 0) if item.type is DataType.INTEGER else (32, 6)
