"""The rules of the catalogue that need neither database nor engine, each a short function with a stable name.

Invariant: every rule looks at every entry; what one rule finds does not stop another. Sources: 发改高技〔2017〕1272号
(core metadata, share classes, 前段码), 政务数据共享条例 (share 3 needs law), GB 32100 (department codes),
GB/T 36344 (quality indicators). docs/catalogue.md lists the rules by the names used here.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from difflib import get_close_matches
from typing import Final

from exchange.catalogue import codes, uscc
from exchange.catalogue.draft import BaseDraft, FieldDraft, Reading, ResourceDraft, Written
from exchange.catalogue.findings import Place, shown
from exchange.catalogue.model import BaseEntry, BaseField, DataType, FieldSource, Item, Sensitivity, ShareType

EXPRESS_PROHIBITION: Final = ("法律", "行政法规", "国务院决定")
# 人口基础信息库的基准项: 公民身份号码 (the key), 姓名, 性别, 民族, 出生地, 出生日期, 相片
POPULATION_BENCHMARK: Final = frozenset(
    {"id_number", "name", "sex_code", "ethnicity_code", "birth_place_code", "birth_place_detail", "birth_date", "photo_ref"}
)
INDICATORS: Final = frozenset(
    [
        "0101",
        "0102",
        "0103",
        "0104",
        "0105",
        "0106",
        "0201",
        "0202",
        "0301",
        "0302",
        "0303",
        "0304",
        "0305",
        "0401",
        "0402",
        "0501",
        "0502",
        "0503",
        "0601",
        "0602",
    ]
)
FORMATS: Final = {
    "01": ["doc", "docx", "html", "ofd", "pdf", "ppt", "txt", "wps", "xml", "其他"],
    "02": ["et", "xls", "xlsx", "csv", "其他"],  # csv is a local extension: the guide predates its use
    "03": ["access", "db2", "dbase", "dbf", "dm", "kingbasees", "oracle", "sqlserver", "sybase", "mysql", "其他"],
    "04": ["bmp", "gif", "jpg", "其他"],
    "05": ["mpg", "rm", "swf", "其他"],
}
_SIZED: Final = {DataType.TEXT: 4000, DataType.MEMO: 1_000_000, DataType.NUMBER: 38, DataType.INTEGER: 18}
_FAMILY: Final = {
    **dict.fromkeys((DataType.TEXT, DataType.MEMO), "text"),
    **dict.fromkeys((DataType.NUMBER, DataType.MONEY, DataType.INTEGER, DataType.DOUBLE, DataType.FLOAT), "number"),
}
MASKS: Final = ("name", "resident_number", "mobile", "phone", "address", "email", "bank_card", "plate", "birth_date", "all")


def check(reading: Reading) -> None:
    """Add a finding for every broken rule."""
    _departments(reading)
    _tables(reading)
    _unique(reading)
    if not reading.resources and not reading.findings:
        reading.findings.add(
            Place("resources/"),
            "empty-catalogue",
            "一个资源也没有；载入会下架全部资源，请至少保留一个",
            "there is no resource; loading this would retire all of them; keep at least one",
        )
    for written in reading.resources:
        for rule in RESOURCE_RULES:
            rule(written, reading)
        for number, item in enumerate(written.entry.items):
            for item_rule in ITEM_RULES:
                item_rule(item, written.place("items", number, item=item.name), written, reading)
    for base in reading.bases:
        for base_rule in BASE_RULES:
            base_rule(base, reading)


# departments, tables, ids


def _departments(reading: Reading) -> None:
    for written in reading.departments:
        code = written.entry.code
        if not uscc.valid(code):
            reading.findings.add(
                written.place("code"),
                "department-code",
                f"{shown(code)} 不是有效的 18 位统一社会信用代码（GB 32100，含校验码），请核对",
                f"{shown(code)} is not a valid 18-character 统一社会信用代码 (GB 32100, check digit included); look it up",
            )
    _once(((w.entry.code, w.place("code")) for w in reading.departments), "department-repeated", reading)
    _once(((w.entry.name, w.place("name")) for w in reading.departments), "department-repeated", reading)


def _tables(reading: Reading) -> None:
    for written in reading.tables:
        if written.entry.id in codes.BUILT_IN:
            reading.findings.add(
                written.place("id"),
                "code-table-built-in",
                f"{written.entry.id} 是内置代码表，不得替换，请换一个 id",
                f"{written.entry.id} is a built-in code table and may not be replaced; choose another id",
            )


def _unique(reading: Reading) -> None:
    _once(((w.entry.id, w.place("id")) for w in reading.resources), "id-repeated", reading)
    _once(((w.entry.id, w.place("id")) for w in reading.bases), "id-repeated", reading)
    _once(((w.entry.id, w.place("id")) for w in reading.tables), "id-repeated", reading)


def _once(names: Iterable[tuple[str, Place]], rule: str, reading: Reading) -> None:
    first: dict[str, Place] = {}
    for name, place in names:
        if name in first:
            reading.findings.add(
                place,
                rule,
                f"{shown(name)} 已在 {first[name]} 用过，请换一个",
                f"{shown(name)} is already used at {first[name]}; choose another",
            )
        first.setdefault(name, place)


# resources


def _department_known(written: Written[ResourceDraft], reading: Reading) -> None:
    known = {w.entry.code for w in reading.departments}
    if written.entry.department not in known and written.entry.department not in reading.broken:
        reading.findings.add(
            written.place("department"),
            "department-known",
            f"{shown(written.entry.department)} 不在 departments.yaml 中，请先登记该部门{_near(written.entry.department, known)}",
            f"{shown(written.entry.department)} is not in departments.yaml; add the department first",
        )


def _condition(written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    if share.type is ShareType.CONDITIONAL and not share.condition:
        reading.findings.add(
            written.place("share"),
            "share-condition",
            "有条件共享须写明共享条件（share.condition）",
            "有条件共享 (2) needs its condition; write share.condition",
        )


def _prohibition(written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    kept_back = [item.name for item in written.entry.items if _class(item, written.entry) is ShareType.NONE]
    if share.type is not ShareType.NONE and not kept_back:
        return
    whom, whom_en = (
        ("", "") if share.type is ShareType.NONE else (f"信息项 {'、'.join(kept_back)} ", f"{', '.join(kept_back)}: ")
    )
    if share.basis is None:
        reading.findings.add(
            written.place("share"),
            "share-basis",
            f"{whom}不予共享须写明依据（share.basis 的 title、article、level）",
            f"{whom_en}不予共享 (3) needs its legal basis: share.basis with title, article, level",
        )
    elif share.basis.level not in EXPRESS_PROHIBITION:
        reading.findings.add(
            written.place("share", "basis", "level"),
            "share-basis-level",
            f"{whom}不予共享的依据是{share.basis.level}，只有{'、'.join(EXPRESS_PROHIBITION)}可以；否则请改为有条件共享",
            f"{whom_en}不予共享 (3) rests on {share.basis.level}; only {', '.join(EXPRESS_PROHIBITION)} will do; "
            "otherwise make it conditional (2)",
        )


def _open(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    if not entry.open:
        return
    if entry.share.type is ShareType.NONE:
        reading.findings.add(
            written.place("open"),
            "open-not-shared",
            "不予共享的资源不得开放，请改为 open: 否",
            "what is not shared (3) is not open either; write `open: false`",
        )
    private = [item.name for item in entry.items if item.sensitivity is not Sensitivity.NONE]
    if private and not entry.open_condition:
        reading.findings.add(
            written.place("open"),
            "open-private",
            f"无条件开放的资源不得含敏感信息项（{'、'.join(private)}），请写明 open_condition 或改为不开放",
            f"a resource open to everyone may hold no sensitive item ({', '.join(private)}); state open_condition or close it",
        )


def _format(written: Written[ResourceDraft], reading: Reading) -> None:
    kinds = FORMATS.get(written.entry.format_category)
    if kinds is not None and written.entry.format_type.lower() not in kinds:
        reading.findings.add(
            written.place("format_type"),
            "format-type",
            f"格式类别 {written.entry.format_category} 没有 {shown(written.entry.format_type)}，应为 {'、'.join(kinds)} 之一",
            f"format category {written.entry.format_category} has no {shown(written.entry.format_type)}; one of {', '.join(kinds)}",
        )


def _items(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    if not entry.items:
        reading.findings.add(
            written.place("items"), "items", "没有信息项，请至少写一项", "there are no items; write at least one"
        )
    _once(
        ((item.name, written.place("items", n, "name", item=item.name)) for n, item in enumerate(entry.items)),
        "item-repeated",
        reading,
    )
    headers = (
        (header, written.place("items", n, item=item.name))
        for n, item in enumerate(entry.items)
        for header in dict.fromkeys(header_form(text) for text in (item.title, *item.aliases))
    )
    _once(headers, "header-repeated", reading)
    stamps = [item.name for item in entry.items if item.is_timestamp]
    if len(stamps) > 1:
        reading.findings.add(
            written.place("items"),
            "timestamp",
            f"数据更新时间只能有一项，现有 {'、'.join(stamps)}",
            f"at most one item may be is_timestamp; there are {', '.join(stamps)}",
        )


def header_form(text: str) -> str:
    """A column's header as it is compared: half width, no blanks, lower case."""
    half = "".join(chr(ord(c) - 0xFEE0) if 0xFF01 <= ord(c) <= 0xFF5E else c for c in text)
    return "".join(half.split()).lower()


def _key(written: Written[ResourceDraft], reading: Reading) -> None:
    entry = written.entry
    items = {item.name: item for item in entry.items}
    if not entry.key:
        reading.findings.add(
            written.place("key"), "key", "没有主键，请写 key: [信息项]", "there is no key; write `key: [item]`"
        )
    for name in entry.key:
        if name not in items:
            reading.findings.add(
                written.place("key").at(item=name),
                "key-known",
                f"主键 {name} 不是本资源的信息项{_near(name, items)}",
                f"key {name} is not an item of this resource",
            )
        elif not items[name].required:
            reading.findings.add(
                written.place("key").at(item=name),
                "key-required",
                f"主键 {name} 必须是必填项，请加 required: 是",
                f"key {name} must be required; add `required: true`",
            )
    _once(((name, written.place("key")) for name in entry.key), "key-repeated", reading)
    if entry.duplicates == "keep_newest" and not any(item.is_timestamp for item in entry.items):
        reading.findings.add(
            written.place("duplicates"),
            "duplicates-newest",
            "keep_newest 须有一项 is_timestamp（数据更新时间）",
            "keep_newest needs one item with is_timestamp (the row's update time)",
        )


def _rules(written: Written[ResourceDraft], reading: Reading) -> None:
    names = {item.name for item in written.entry.items}
    _once(
        ((rule.id, written.place("rules", n, item=rule.id)) for n, rule in enumerate(written.entry.rules)),
        "rule-repeated",
        reading,
    )
    for number, rule in enumerate(written.entry.rules):
        place = written.place("rules", number, item=rule.id)
        if rule.indicator not in INDICATORS:
            reading.findings.add(
                place,
                "rule-indicator",
                f"指标 {shown(rule.indicator)} 不在 GB/T 36344 之列，如 0104 业务规则、0301 内容正确性",
                f"{shown(rule.indicator)} is not an indicator of GB/T 36344, such as 0104 or 0301",
            )
        if not rule.items:
            reading.findings.add(
                place, "rule-items", "未写 items（规则涉及的信息项）", "items (what the rule is about) is empty"
            )
        for name in rule.items:
            if name not in names:
                reading.findings.add(
                    place,
                    "rule-items",
                    f"{name} 不是本资源的信息项{_near(name, names)}",
                    f"{name} is not an item of this resource",
                )
        if "version" in rule.model_fields_set:
            reading.findings.add(
                place,
                "rule-version",
                "规则的版本由载入时分配，请删除 version",
                "load assigns a rule's version; remove `version`",
            )


def _related(written: Written[ResourceDraft], reading: Reading) -> None:
    for code in written.entry.related_codes:
        prefix, _, number = code.partition("/")
        if not (prefix[:1] in "123" and prefix.isdigit() and len(prefix) >= 6 and number.isdigit()):
            reading.findings.add(
                written.place("related_codes"),
                "related-code",
                f"{shown(code)} 不是信息资源代码，应形如 307001030501/1",
                f"{shown(code)} is not a resource code; expected one like 307001030501/1",
            )


RESOURCE_RULES: Final[tuple[Callable[[Written[ResourceDraft], Reading], None], ...]] = (
    _department_known,
    _condition,
    _prohibition,
    _open,
    _format,
    _items,
    _key,
    _rules,
    _related,
)


# items


def _class(item: Item, entry: ResourceDraft) -> ShareType:
    return item.share_type or entry.share.type


def _item_share(item: Item, place: Place, written: Written[ResourceDraft], reading: Reading) -> None:
    share = written.entry.share
    kind = _class(item, written.entry)
    if kind is ShareType.CONDITIONAL and share.type is ShareType.UNCONDITIONAL and not share.condition:
        reading.findings.add(
            place,
            "share-condition",
            "有条件共享的信息项须写明共享条件（share.condition）",
            "a conditional item needs share.condition",
        )
    if share.type is ShareType.NONE and kind is not ShareType.NONE:
        reading.findings.add(
            place,
            "item-share",
            "资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型",
            "the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
        )


def _item_type(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    largest = _SIZED.get(item.type)
    if item.length is not None and largest is None:
        reading.findings.add(
            place, "item-length", f"类型 {item.type} 没有长度，请删除 length", f"type {item.type} has no length; remove it"
        )
    elif item.length is not None and largest is not None and item.length > largest:
        reading.findings.add(
            place,
            "item-length",
            f"长度 {item.length} 超过类型 {item.type} 的上限 {largest}",
            f"length {item.length} is above {largest}, the most for type {item.type}",
        )
    if item.scale is not None and (item.type is not DataType.NUMBER or item.length is None or item.scale > item.length):
        reading.findings.add(
            place,
            "item-scale",
            "小数位（scale）只用于 N 型，须有 length 且不大于它，如 N18,2",
            "scale belongs to type N, with a length at least as large, as in N18,2",
        )
    if item.is_timestamp and item.type not in (DataType.DATE, DataType.TIMESTAMP):
        reading.findings.add(
            place,
            "timestamp",
            f"数据更新时间应为 D 或 T 型，现为 {item.type}",
            f"is_timestamp needs type D or T; this is {item.type}",
        )


def _item_codes(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    if item.code_table is None:
        return
    own = {w.entry.id: set(w.entry.codes) for w in reading.tables}
    known = codes.BUILT_IN | set(own)
    if item.code_table not in known and item.code_table not in reading.broken:
        reading.findings.add(
            place,
            "code-table",
            f"没有代码表 {item.code_table}{_near(item.code_table, known)}；内置表见 docs/catalogue.md，自有表放在 codes/",
            f"there is no code table {item.code_table}; built-in ones are in docs/catalogue.md, your own go to codes/",
        )
        return
    if item.type is not DataType.TEXT:
        reading.findings.add(
            place,
            "code-table-type",
            f"有代码表的信息项应为 C 型，现为 {item.type}",
            f"an item with codes is of type C; this is {item.type}",
        )


def _item_identifier(item: Item, place: Place, _: Written[ResourceDraft], reading: Reading) -> None:
    if item.identifier is None:
        return
    if item.type is not DataType.TEXT or (item.length is not None and item.length < 18):
        reading.findings.add(
            place,
            "identifier-type",
            "标识符应为 C 型、长度不小于 18，如 C18",
            "an identifier is of type C, 18 long or longer, as in C18",
        )
    if item.identifier == "resident_number" and item.sensitivity is not Sensitivity.PERSONAL:
        reading.findings.add(
            place,
            "identifier-personal",
            "公民身份号码是个人信息，请写 sensitivity: 个人隐私",
            "a resident number is personal; write `sensitivity: personal`",
        )


ITEM_RULES: Final[tuple[Callable[[Item, Place, Written[ResourceDraft], Reading], None], ...]] = (
    _item_share,
    _item_type,
    _item_codes,
    _item_identifier,
)


# bases


def _sources(base: Written[BaseDraft]) -> list[tuple[FieldSource, Place, str]]:
    """Every source a base names, where, and the field it is for (empty: the key)."""
    keys = [(s, base.place("key_sources", n, item=base.entry.key), "") for n, s in enumerate(base.entry.key_sources)]
    return keys + [
        (source, base.place("fields", n, "sources", m, item=field.name), field.name)
        for n, field in enumerate(base.entry.fields)
        for m, source in enumerate(field.sources)
    ]


def _item_of(source: FieldSource, reading: Reading) -> tuple[ResourceDraft, Item] | None:
    for written in reading.resources:
        if written.entry.id == source.resource:
            for item in written.entry.items:
                if item.name == source.item:
                    return written.entry, item
    return None


def _sources_known(base: Written[BaseDraft], reading: Reading) -> None:
    resources = {w.entry.id: w.entry for w in reading.resources}
    for source, place, _ in _sources(base):
        if source.resource in reading.broken:
            continue
        if source.resource not in resources:
            reading.findings.add(
                place,
                "source-known",
                f"没有资源 {source.resource}{_near(source.resource, resources)}",
                f"there is no resource {source.resource}",
            )
        elif _item_of(source, reading) is None:
            names = [item.name for item in resources[source.resource].items]
            reading.findings.add(
                place,
                "source-known",
                f"资源 {source.resource} 没有信息项 {source.item}{_near(source.item, names)}",
                f"resource {source.resource} has no item {source.item}",
            )


def _key_sources(base: Written[BaseDraft], reading: Reading) -> None:
    entry = base.entry
    keyed = {source.resource for source in entry.key_sources}
    _once(
        ((s.resource, base.place("key_sources", n)) for n, s in enumerate(entry.key_sources)),
        "key-source-repeated",
        reading,
    )
    for source, place, field in _sources(base):
        found = _item_of(source, reading)
        if field and source.resource not in keyed:
            reading.findings.add(
                place,
                "key-source",
                f"{source.resource} 供给 {field}，但 key_sources 未写它的主键项",
                f"{source.resource} feeds {field}, but key_sources does not name its key item",
            )
        if (
            not field
            and found is not None
            and (source.item not in found[0].key or found[1].identifier != entry.key_identifier)
        ):
            reading.findings.add(
                place,
                "key-source",
                f"{source.resource}.{source.item} 须是该资源的主键项，且 identifier: {entry.key_identifier}",
                f"{source.resource}.{source.item} must be a key item of its resource with `identifier: {entry.key_identifier}`",
            )


def _fields(base: Written[BaseDraft], reading: Reading) -> None:
    entry = base.entry
    names = [(field.name, base.place("fields", n, "name", item=field.name)) for n, field in enumerate(entry.fields)]
    _once([(entry.key, base.place("key")), *names], "field-repeated", reading)
    for number, field in enumerate(entry.fields):
        place = base.place("fields", number, item=field.name)
        if field.name.endswith("__src"):
            reading.findings.add(
                place,
                "field-name",
                "名称不得以 __src 结尾（留给来源指针）",
                "a name may not end in __src (kept for provenance)",
            )
        if field.mask is not None and field.mask not in MASKS:
            reading.findings.add(
                place,
                "field-form",
                f"mask 是 {shown(field.mask)}，应为 {'、'.join(MASKS)} 之一",
                f"mask is {shown(field.mask)}; expected one of {', '.join(MASKS)}",
            )
        repeated = [text for text, count in Counter(f"{s.resource}" for s in field.sources).items() if count > 1]
        if repeated:
            reading.findings.add(
                place,
                "source-repeated",
                f"来源 {'、'.join(repeated)} 写了两次",
                f"source {', '.join(repeated)} is written twice",
            )
        _one_field(field, place, reading)


def _one_field(field: FieldDraft, place: Place, reading: Reading) -> None:
    found = [pair for source in field.sources if (pair := _item_of(source, reading))]
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
    if field.sensitivity is Sensitivity.NONE and any(item.sensitivity is not Sensitivity.NONE for item in items):
        reading.findings.add(
            place,
            "field-sensitivity",
            "来源是敏感信息项，字段不能改为不敏感，请删除 sensitivity",
            "a source is sensitive, so the field is; remove `sensitivity`",
        )
    if field.benchmark and any(_class(item, entry) is ShareType.NONE for entry, item in found):
        reading.findings.add(
            place,
            "benchmark-prohibited",
            "来源不予共享，不能作为基准项（基准项无条件共享）",
            "a source is not shared (3), so the field can't be 基准, which is shared unconditionally",
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
    _sources_known,
    _key_sources,
    _fields,
    _benchmark,
)


def complete(base: BaseDraft, reading: Reading) -> BaseEntry:
    """A base with what its fields take from their sources: title, type, sensitivity, mask and share class."""
    return BaseEntry(
        id=base.id,
        title=base.title,
        key=base.key,
        key_identifier="uscc" if base.key_identifier == "uscc" else "resident_number",
        key_sources=base.key_sources,
        fields=tuple(_complete_field(field, reading) for field in base.fields),
    )


def _complete_field(field: FieldDraft, reading: Reading) -> BaseField:
    found = [pair for source in field.sources if (pair := _item_of(source, reading))]
    items = [item for _, item in found]
    sensitive = [item.sensitivity for item in items if item.sensitivity is not Sensitivity.NONE]
    masks = [item.mask for item in items if item.mask is not None]
    strictest = max(_class(item, entry) for entry, item in found)
    return BaseField(
        name=field.name,
        title=field.title or items[0].title,
        type=field.type or items[0].type,
        sources=field.sources,
        benchmark=field.benchmark,
        sensitivity=field.sensitivity or (sensitive[0] if sensitive else Sensitivity.NONE),
        mask=field.mask or (masks[0] if masks else None),
        share_type=ShareType.UNCONDITIONAL if field.benchmark else max(strictest, ShareType.CONDITIONAL),
    )


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1, cutoff=0.7)
    return f"，是否应为 {near[0]}" if near else ""
