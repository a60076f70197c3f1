"""Every mistake one can make in a catalogue, one at a time, and the whole of what is said about it."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from exchange import catalogue
from exchange.errors import CatalogueError
from tests import make
from tests.make import Entry

Parts = dict[str, Any]


def police(**more: Any) -> Parts:
    """The small city, with its first resource changed."""
    return {"resources": [make.police_household(**more), *make.some_resources()[1:]]}


def police_item(number: int, **more: Any) -> Parts:
    """The small city, with one item of its first resource changed."""
    items = deepcopy(make.police_household()["items"])
    items[number].update(more)
    return police(items=items)


def population(**more: Any) -> Parts:
    """The small city, with its population base changed."""
    return {"bases": [make.population(**more), make.legal_entity()]}


def entities(key_sources: list[str]) -> make.Entry:
    """The base of entities, made of these; its only field from the first."""
    first = key_sources[0].split(".")[0]
    return make.legal_entity(key_sources=key_sources, fields=[{"name": "entity_name", "sources": [f"{first}.entity_name"]}])


def population_field(number: int, **more: Any) -> Parts:
    """The small city, with one field of its population base changed."""
    fields = make.population()["fields"]
    fields[number].update(more)
    return population(fields=fields)


def basis(level: str) -> Entry:
    return {"title": "某法", "article": "第三条", "level": level}


def rule(**more: Any) -> Entry:
    return {
        "id": "r1",
        "title": "规",
        "title_en": "r",
        "predicate": "length(name) > 1",
        "items": ["name"],
        "level": "warn",
        "indicator": "0104",
        **more,
    }


def findings(folder: Path) -> list[str]:
    with pytest.raises(CatalogueError) as refused:
        catalogue.read_folder(folder)
    return refused.value.findings


MISTAKES = [
    pytest.param(
        police(data_level="涉密"),
        [
            "resources/police_household.yaml:14 [police_household] secret：涉密资源不得在本平台编目或交换，请走涉密渠道 / a classified (涉密) resource must not be catalogued or exchanged here; use the classified channel"
        ],
        id="a classified resource",
    ),
    pytest.param(
        police_item(1, sensitivity="国家机密"),
        [
            "resources/police_household.yaml:27 [police_household.name] secret：国家机密信息项不得在本平台编目或交换，请删除 / an item that is a state secret must not be catalogued or exchanged here; remove it"
        ],
        id="a state secret among the items",
    ),
    pytest.param(
        police(share={"type": 2}),
        [
            "resources/police_household.yaml:9 [police_household] share-condition：有条件共享须写明共享条件（share.condition） / 有条件共享 (2) needs its condition; write share.condition"
        ],
        id="conditional without its condition",
    ),
    pytest.param(
        police(share={"type": 3}),
        [
            "resources/police_household.yaml:9 [police_household] share-basis：不予共享须写明依据（share.basis 的 title、article、level） / 不予共享 (3) needs its legal basis: share.basis with title, article, level",
            "resources/police_household.yaml:22 [police_household.name] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:29 [police_household.sex_code] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:34 [police_household.birth_date] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
        ],
        id="not shared, without a legal basis",
    ),
    pytest.param(
        police(share={"type": "不予共享", "basis": basis("规章")}),
        [
            "resources/police_household.yaml:14 [police_household] share-basis-level：不予共享的依据是规章，只有法律、行政法规、国务院决定可以；否则请改为有条件共享 / 不予共享 (3) rests on 规章; only 法律, 行政法规, 国务院决定 will do; otherwise make it conditional (2)",
            "resources/police_household.yaml:26 [police_household.name] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:33 [police_household.sex_code] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:38 [police_household.birth_date] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
        ],
        id="not shared, on the authority of a departmental rule",
    ),
    pytest.param(
        police_item(4, share_type=3),
        [
            "resources/police_household.yaml:9 [police_household] share-basis：信息项 address 不予共享须写明依据（share.basis 的 title、article、level） / address: 不予共享 (3) needs its legal basis: share.basis with title, article, level"
        ],
        id="one item not shared, without a legal basis",
    ),
    pytest.param(
        {"resources": [make.tax_payer(share={"type": 3, "basis": basis("法律")}, open=True), *make.some_resources()[:3]]},
        [
            "resources/tax_payer.yaml:39 [tax_payer] open-not-shared：不予共享的资源不得开放，请改为 open: 否 / what is not shared (3) is not open either; write `open: false`",
            "bases/legal_entity.yaml:9 [legal_entity.entity_name] benchmark-prohibited：来源不予共享，不能作为基准项（基准项无条件共享） / a source is not shared (3), so the field can't be 基准, which is shared unconditionally",
        ],
        id="not shared but open",
    ),
    pytest.param(
        {"resources": [make.market_entity(open="是"), *[r for r in make.some_resources() if r["id"] != "market_entity"]]},
        [
            "resources/market_entity.yaml:41 [market_entity] open-private：无条件开放的资源不得含敏感信息项（legal_rep_name），请写明 open_condition 或改为不开放 / a resource open to everyone may hold no sensitive item (legal_rep_name); state open_condition or close it"
        ],
        id="open to everyone with a person's name in it",
    ),
    pytest.param(
        police(key=["id_numbr"]),
        [
            "resources/police_household.yaml:55 [police_household.id_numbr] key-known：主键 id_numbr 不是本资源的信息项，是否应为 id_number / key id_numbr is not an item of this resource; did you mean id_number?",
            "bases/population.yaml:6 [population.id_number] key-source：police_household.id_number 须是该资源的主键项，且 identifier: resident_number / police_household.id_number must be a key item of its resource with `identifier: resident_number`",
        ],
        id="a key that is no item",
    ),
    pytest.param(
        police_item(0, required=False),
        [
            "resources/police_household.yaml:55 [police_household.id_number] key-required：主键 id_number 必须是必填项，请加 required: 是 / key id_number must be required; add `required: true`"
        ],
        id="a key that may be blank",
    ),
    pytest.param(
        police(key=[]),
        [
            "resources/police_household.yaml:55 [police_household] key：没有主键，请写 key: [信息项] / there is no key; write `key: [item]`",
            "bases/population.yaml:6 [population.id_number] key-source：police_household.id_number 须是该资源的主键项，且 identifier: resident_number / police_household.id_number must be a key item of its resource with `identifier: resident_number`",
        ],
        id="no key",
    ),
    pytest.param(
        police_item(3, is_timestamp=True),
        [
            "resources/police_household.yaml:15 [police_household] timestamp：数据更新时间只能有一项，现有 birth_date、updated_at / at most one item may be is_timestamp; there are birth_date, updated_at"
        ],
        id="two update times",
    ),
    pytest.param(
        police_item(1, is_timestamp=True),
        [
            "resources/police_household.yaml:15 [police_household] timestamp：数据更新时间只能有一项，现有 name、updated_at / at most one item may be is_timestamp; there are name, updated_at",
            "resources/police_household.yaml:23 [police_household.name] timestamp：数据更新时间应为 D 或 T 型，现为 C / is_timestamp needs type D or T; this is C",
        ],
        id="an update time that is a text",
    ),
    pytest.param(
        police_item(2, code_table="sexx"),
        [
            "resources/police_household.yaml:30 [police_household.sex_code] code-table：没有代码表 sexx（内置表见 docs/catalogue.md，自有表放在 codes/），是否应为 sex / there is no code table sexx (built-in ones are in docs/catalogue.md, your own go to codes/); did you mean sex?"
        ],
        id="a code table nobody has",
    ),
    pytest.param(
        police_item(2, type="I"),
        [
            "resources/police_household.yaml:30 [police_household.sex_code] code-table-type：有代码表的信息项应为 C 型，现为 I / an item with codes is of type C; this is I"
        ],
        id="codes that are numbers",
    ),
    pytest.param(
        police(prefix="42"),
        [
            "resources/police_household.yaml:4 [police_household] field-form：prefix 是 “42”，应是前段码：类(1–3) + 项(2 位) + 目(3 位) + 细目，只用数字 / prefix is “42”; expected a 前段码: 1–3, two digits, three digits, more digits"
        ],
        id="a prefix that is none",
    ),
    pytest.param(
        police(department=make.uscc(77, kind="11")),
        [
            "resources/police_household.yaml:3 [police_household] department-known：“114108020000007726” 不在 departments.yaml 中，请先登记该部门，是否应为 11410802000000027Q / “114108020000007726” is not in departments.yaml; add the department first; did you mean 11410802000000027Q?"
        ],
        id="a department nobody knows",
    ),
    pytest.param(
        police(update_cycle="hourly"),
        [
            "resources/police_household.yaml:12 [police_household] field-form：update_cycle 是 “hourly”，应为其中之一：realtime, daily, weekly, monthly, quarterly, half_yearly, yearly, irregular, other / update_cycle is “hourly”; expected one of realtime, daily, weekly, monthly, quarterly, half_yearly, yearly, irregular, other"
        ],
        id="an update cycle that does not exist",
    ),
    pytest.param(
        police(publish_date="2026-13-01"),
        [
            "resources/police_household.yaml:13 [police_household] field-form：publish_date 是 “2026-13-01”，应是日期，如 2026-11-22 / publish_date is “2026-13-01”; expected a date such as 2026-11-22"
        ],
        id="a date that does not exist",
    ),
    pytest.param(
        {"resources": [{k: v for k, v in make.police_household().items() if k != "abstract"}, *make.some_resources()[1:]]},
        [
            "resources/police_household.yaml:1 [police_household] missing-field：缺少 abstract，请补上 / abstract is missing; add it"
        ],
        id="a core metadatum left out",
    ),
    pytest.param(
        police(abstrct="x"),
        [
            "resources/police_household.yaml:57 [police_household] unknown-field：不认识 abstrct，是否应为 abstract / abstrct is not a known name; did you mean abstract?"
        ],
        id="a name misspelt",
    ),
    pytest.param(
        police(code="307016410800/9"),
        [
            "resources/police_household.yaml:57 [police_household] unknown-field：不认识 code：前段码写 prefix，后段码由载入时分配 / code is not a known name: declare `prefix`; load assigns the rest"
        ],
        id="a code given by hand",
    ),
    pytest.param(
        police(version=2),
        [
            "resources/police_household.yaml:57 [police_household] unknown-field：不认识 version：版本由载入时分配 / version is not a known name: load assigns versions"
        ],
        id="a version given by hand",
    ),
    pytest.param(
        police(title="   "),
        [
            "resources/police_household.yaml:2 [police_household] field-form：title 是 “”，应是非空的文字 / title is “”; expected text that is not blank"
        ],
        id="a blank title",
    ),
    pytest.param(
        police_item(1, name="id_number"),
        [
            "resources/police_household.yaml:23 [police_household.id_number] item-repeated：“id_number” 已在 resources/police_household.yaml:16 [police_household.id_number] 用过，请换一个 / “id_number” is already used at resources/police_household.yaml:16 [police_household.id_number]; choose another",
            "bases/population.yaml:11 [population.name] source-known：资源 police_household 没有信息项 name / resource police_household has no item name",
        ],
        id="two items of one name",
    ),
    pytest.param(
        police_item(4, aliases=["出生 日期"]),
        [
            "resources/police_household.yaml:41 [police_household.address] header-repeated：“出生日期” 已在 resources/police_household.yaml:35 [police_household.birth_date] 用过，请换一个 / “出生日期” is already used at resources/police_household.yaml:35 [police_household.birth_date]; choose another"
        ],
        id="two items that one header could mean",
    ),
    pytest.param(
        police_item(3, type="D9"),
        [
            "resources/police_household.yaml:35 [police_household.birth_date] item-length：类型 D 没有长度，请删除 length / type D has no length; remove it"
        ],
        id="a date with a length",
    ),
    pytest.param(
        police_item(1, type="C5000"),
        [
            "resources/police_household.yaml:23 [police_household.name] item-length：长度 5000 超过类型 C 的上限 4000 / length 5000 is above 4000, the most for type C"
        ],
        id="a text longer than any",
    ),
    pytest.param(
        police_item(1, type="C50,2"),
        [
            "resources/police_household.yaml:23 [police_household.name] item-scale：小数位（scale）只用于 N 型，须有 length 且不大于它，如 N18,2 / scale belongs to type N, with a length at least as large, as in N18,2"
        ],
        id="decimals of a text",
    ),
    pytest.param(
        police_item(0, sensitivity="none"),
        [
            "resources/police_household.yaml:16 [police_household.id_number] identifier-personal：公民身份号码是个人信息，请写 sensitivity: 个人隐私 / a resident number is personal; write `sensitivity: personal`"
        ],
        id="a resident number that is nobody's",
    ),
    pytest.param(
        police_item(0, type="C15"),
        [
            "resources/police_household.yaml:16 [police_household.id_number] identifier-type：标识符应为 C 型、长度不小于 18，如 C18 / an identifier is of type C, 18 long or longer, as in C18"
        ],
        id="a resident number of fifteen digits",
    ),
    pytest.param(
        police(format_type="docx"),
        [
            "resources/police_household.yaml:8 [police_household] format-type：格式类别 02 没有 “docx”，应为 et、xls、xlsx、csv、其他 之一 / format category 02 has no “docx”; one of et, xls, xlsx, csv, 其他"
        ],
        id="a spreadsheet called docx",
    ),
    pytest.param(
        police(duplicates="keep_newest", items=make.police_household()["items"][:-1]),
        [
            "resources/police_household.yaml:53 [police_household] duplicates-newest：keep_newest 须有一项 is_timestamp（数据更新时间） / keep_newest needs one item with is_timestamp (the row's update time)"
        ],
        id="newest wins, but nothing says which is newest",
    ),
    pytest.param(
        police(share={"type": 3, "basis": basis("法律")}),
        [
            "resources/police_household.yaml:26 [police_household.name] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:33 [police_household.sex_code] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
            "resources/police_household.yaml:38 [police_household.birth_date] item-share：资源不予共享，其信息项不能更宽，请删除 share_type 或改资源的共享类型 / the resource is not shared (3), so none of its items is; remove share_type or change the resource's class",
        ],
        id="items shared more freely than their resource forbids",
    ),
    pytest.param(
        police(items="x"),
        [
            "resources/police_household.yaml:15 [police_household] field-form：items 是 “x”，应是列表，每项以 “- ” 开头 / items is “x”; expected a list, each line starting with `- `"
        ],
        id="items that are no list",
    ),
    pytest.param(
        police(items=["x"]),
        [
            "resources/police_household.yaml:16 [police_household.items[1]] field-form：items 是 “x”，应是“名称: 值” 的形式 / items is “x”; expected `name: value` lines"
        ],
        id="an item that is a word",
    ),
    pytest.param(
        police(related_codes="x/1"),
        [
            "resources/police_household.yaml:57 [police_household] related-code：“x/1” 不是信息资源代码，应形如 307001030501/1 / “x/1” is not a resource code; expected one like 307001030501/1"
        ],
        id="a related code that is none",
    ),
    pytest.param(
        police(quarantine_threshold=5),
        [
            "resources/police_household.yaml:57 [police_household] field-form：quarantine_threshold 是 “5”，应是不大于 1.0 / quarantine_threshold is “5”; expected at most 1.0"
        ],
        id="a threshold of 5 meaning 5 %",
    ),
    pytest.param(
        police(rules=[rule(indicator="0199")]),
        [
            "resources/police_household.yaml:58 [police_household.r1] rule-indicator：指标 “0199” 不在 GB/T 36344 之列，如 0104 业务规则、0301 内容正确性 / “0199” is not an indicator of GB/T 36344, such as 0104 or 0301"
        ],
        id="an indicator GB/T 36344 does not have",
    ),
    pytest.param(
        police(rules=[rule(items=["nam"])]),
        [
            "resources/police_household.yaml:58 [police_household.r1] rule-items：nam 不是本资源的信息项，是否应为 name / nam is not an item of this resource; did you mean name?"
        ],
        id="a rule about an item that is not there",
    ),
    pytest.param(
        police(rules=[rule(version=3)]),
        [
            "resources/police_household.yaml:58 [police_household.r1] rule-version：规则的版本由载入时分配，请删除 version / load assigns a rule's version; remove `version`"
        ],
        id="a rule's version given by hand",
    ),
    pytest.param(
        police(rules=[rule(level="fatal")]),
        [
            "resources/police_household.yaml:64 [police_household.r1] field-form：rules.level 是 “fatal”，应为其中之一：block, quarantine, warn / rules.level is “fatal”; expected one of block, quarantine, warn"
        ],
        id="a level that does not exist",
    ),
    pytest.param(
        police(rules=[rule(), rule()]),
        [
            "resources/police_household.yaml:66 [police_household.r1] rule-repeated：“r1” 已在 resources/police_household.yaml:58 [police_household.r1] 用过，请换一个 / “r1” is already used at resources/police_household.yaml:58 [police_household.r1]; choose another"
        ],
        id="two rules of one name",
    ),
    pytest.param(
        population_field(0, sources=["police_household.nam"]),
        [
            "bases/population.yaml:11 [population.name] source-known：资源 police_household 没有信息项 nam，是否应为 name / resource police_household has no item nam; did you mean name?"
        ],
        id="a base field from an item that is not there",
    ),
    pytest.param(
        population_field(0, sources=["police_houshold.name"]),
        [
            "bases/population.yaml:11 [population.name] source-known：没有资源 police_houshold，是否应为 police_household / there is no resource police_houshold; did you mean police_household?"
        ],
        id="a base field from a resource that is not there",
    ),
    pytest.param(
        population_field(0, sources=["police_household"]),
        [
            "bases/population.yaml:11 [population.name] field-form：fields.sources 是 “police_household”，应是资源.信息项，如 police_household.name / fields.sources is “police_household”; expected resource.item, such as police_household.name"
        ],
        id="a source without its item",
    ),
    pytest.param(
        population(key_sources=["police_household.id_number"]),
        [
            "bases/population.yaml:11 [population.name] key-source：civil_marriage 供给 name，但 key_sources 未写它的主键项 / civil_marriage feeds name, but key_sources does not name its key item"
        ],
        id="a source whose key item is not named",
    ),
    pytest.param(
        population(key_sources=["police_household.name", "civil_marriage.id_number"]),
        [
            "bases/population.yaml:6 [population.id_number] key-source：police_household.name 须是该资源的主键项，且 identifier: resident_number / police_household.name must be a key item of its resource with `identifier: resident_number`"
        ],
        id="a key source that is not the key",
    ),
    pytest.param(
        population_field(3, benchmark=True),
        [
            "bases/population.yaml:25 [population.address] benchmark：人口库基准项只有七项：公民身份号码、姓名、性别、民族、出生地、出生日期、相片（birth_date、birth_place_code、birth_place_detail、ethnicity_code、id_number、name、photo_ref、sex_code），请去掉 benchmark / only seven items of the population base are 基准: birth_date, birth_place_code, birth_place_detail, ethnicity_code, id_number, name, photo_ref, sex_code; remove `benchmark`"
        ],
        id="a benchmark item that is not one of the seven",
    ),
    pytest.param(
        population_field(1, name="name"),
        [
            "bases/population.yaml:14 [population.name] field-repeated：“name” 已在 bases/population.yaml:9 [population.name] 用过，请换一个 / “name” is already used at bases/population.yaml:9 [population.name]; choose another"
        ],
        id="two fields of one name",
    ),
    pytest.param(
        population_field(3, name="a__src"),
        [
            "bases/population.yaml:22 [population.a__src] field-name：名称不得以 __src 结尾（留给来源指针） / a name may not end in __src (kept for provenance)"
        ],
        id="a name kept for provenance",
    ),
    pytest.param(
        population_field(0, sources=["police_household.name", "civil_marriage.updated_at"]),
        [
            "bases/population.yaml:9 [population.name] field-type：各来源的类型不一致（C、T），无法比较 / its sources are of different types (C, T), which can't be compared"
        ],
        id="sources of different types",
    ),
    pytest.param(
        population_field(0, sensitivity="none"),
        [
            "bases/population.yaml:9 [population.name] field-sensitivity：来源是敏感信息项，字段不能改为不敏感，请删除 sensitivity / a source is sensitive, so the field is; remove `sensitivity`"
        ],
        id="a person's field declared harmless",
    ),
    pytest.param(
        population_field(0, mask="xx"),
        [
            "bases/population.yaml:9 [population.name] field-form：mask 是 “xx”，应为 name、resident_number、mobile、phone、address、email、bank_card、plate、birth_date、all 之一 / mask is “xx”; expected one of name, resident_number, mobile, phone, address, email, bank_card, plate, birth_date, all"
        ],
        id="a mask that does not exist",
    ),
    pytest.param(
        population_field(0, sources=["police_household.name", "police_household.address"]),
        [
            "bases/population.yaml:9 [population.name] source-repeated：来源 police_household 写了两次 / source police_household is written twice"
        ],
        id="one source twice",
    ),
    pytest.param(
        {"departments": [{"code": "11100000000013338X", "name": "x"}, *make.some_departments()]},
        [
            "departments.yaml:1 [11100000000013338X] department-code：“11100000000013338X” 不是有效的 18 位统一社会信用代码（GB 32100，含校验码），请核对 / “11100000000013338X” is not a valid 18-character 统一社会信用代码 (GB 32100, check digit included); look it up"
        ],
        id="a department's code with a wrong check digit",
    ),
    pytest.param(
        {"departments": [*make.some_departments(), make.some_departments()[0]]},
        [
            "departments.yaml:11 [11100000000013338W] department-repeated：“11100000000013338W” 已在 departments.yaml:1 [11100000000013338W] 用过，请换一个 / “11100000000013338W” is already used at departments.yaml:1 [11100000000013338W]; choose another",
            "departments.yaml:12 [11100000000013338W] department-repeated：“市公安局” 已在 departments.yaml:2 [11100000000013338W] 用过，请换一个 / “市公安局” is already used at departments.yaml:2 [11100000000013338W]; choose another",
        ],
        id="a department twice",
    ),
    pytest.param(
        {"resources": [], "bases": []},
        [
            "resources/ empty-catalogue：一个资源也没有；载入会下架全部资源，请至少保留一个 / there is no resource; loading this would retire all of them; keep at least one"
        ],
        id="no resource at all",
    ),
    pytest.param(
        {"codes": [{"id": "sex", "title": "x", "codes": {"1": "y"}}]},
        [
            "codes/sex.yaml:1 [sex] code-table-built-in：sex 是内置代码表，不得替换，请换一个 id / sex is a built-in code table and may not be replaced; choose another id"
        ],
        id="a built-in code table replaced",
    ),
    pytest.param(
        {"codes": [{"id": "xx", "title": "x", "codes": {}}]},
        ["codes/xx.yaml:3 [xx] field-form：codes 是 “{}”，应是至少一项 / codes is “{}”; expected at least one"],
        id="a code table without codes",
    ),
    pytest.param(
        {"resources": [*make.some_resources(), make.bank_account()], "bases": [entities(["bank_account.org_code"])]},
        [
            "bases/legal_entity.yaml:6 [legal_entity.uscc] key-older：bank_account 以旧号为主键，须有至少一个以 uscc 为主键的来源 / bank_account is keyed by an older number; at least one source must be keyed by uscc"
        ],
        id="older numbers that nothing joins",
    ),
    pytest.param(
        {
            "resources": [*make.some_resources(), make.company_archive()],
            "bases": [entities(["market_entity.uscc", "company_archive.registration_no"])],
        },
        [
            "bases/legal_entity.yaml:7 [legal_entity.uscc] key-older：company_archive 以注册号为主键，须有一个来源同时登记统一社会信用代码和注册号（identifier: registration_no） / company_archive is keyed by a registration number; some source must hold the credit code and the registration number side by side (`identifier: registration_no`)"
        ],
        id="registration numbers that no source registers beside a code",
    ),
    pytest.param(
        {"bases": [entities(["market_entity.entity_name"])]},
        [
            "bases/legal_entity.yaml:6 [legal_entity.uscc] key-source：market_entity.entity_name 须是该资源的主键项，且 identifier: uscc 或 org_code 或 registration_no / market_entity.entity_name must be a key item of its resource with `identifier: uscc` or `identifier: org_code` or `identifier: registration_no`"
        ],
        id="a base of entities keyed by a name",
    ),
    pytest.param(
        population(id="people_alias"),
        [
            "bases/people_alias.yaml:1 [people_alias] id-reserved：标识不得以 _alias 结尾（留给别名表） / an id may not end in _alias (kept for the table of aliases)"
        ],
        id="a name that the table of aliases has",
    ),
    pytest.param(
        population(key_identifier="idcard"),
        [
            "bases/population.yaml:4 [population] field-form：key_identifier 是 “idcard”，应为其中之一：resident_number, uscc, cert_identifier, party_code / key_identifier is “idcard”; expected one of resident_number, uscc, cert_identifier, party_code"
        ],
        id="a base keyed by something else",
    ),
    pytest.param(
        {
            "resources": [
                *make.some_resources(),
                make.tax_payer(id="tax_payer_change"),
                make.tax_payer(id="tax_payer__next"),
            ]
        },
        [
            "resources/tax_payer__next.yaml:1 [tax_payer__next] id-reserved：标识不得以 __next 结尾（留给重写中的表） / an id may not end in __next (kept for tables that are being written anew)",
            "resources/tax_payer_change.yaml:1 [tax_payer_change] id-reserved：标识 tax_payer_change 是资源 tax_payer 的变化表名，请换一个 / tax_payer_change is the name of the table of changes of resource tax_payer; choose another id",
        ],
        id="resources with names of tables of their own pool",
    ),
    pytest.param(
        {"bases": [make.population(id="people__next")]},
        [
            "bases/people__next.yaml:1 [people__next] id-reserved：标识不得以 __next 结尾（留给重写中的表） / an id may not end in __next (kept for tables that are being written anew)"
        ],
        id="a base with the name of a draft",
    ),
]


@pytest.mark.parametrize(("parts", "expected"), MISTAKES)
def test_a_mistake_is_explained_where_it_is(tmp_path: Path, parts: Parts, expected: list[str]) -> None:
    assert findings(make.write_catalogue(tmp_path, **parts)) == expected


def test_all_mistakes_are_found_at_once(tmp_path: Path) -> None:
    parts = police(data_level="涉密", key=["nobody"], publish_date="yesterday", share={"type": 2})
    parts["departments"] = [{"code": "1", "name": "甲"}, *make.some_departments()]
    assert [text.split("：")[0].split("] ")[1] for text in findings(make.write_catalogue(tmp_path, **parts))] == [
        "secret",
        "field-form",
        "department-code",
    ]


def test_the_error_counts_and_lists_its_findings_in_both_languages(tmp_path: Path) -> None:
    make.write_catalogue(tmp_path, **police(key=[], share={"type": 2}), bases=[])
    with pytest.raises(CatalogueError) as refused:
        catalogue.read_folder(tmp_path)
    assert refused.value.zh.splitlines()[0] == "目录有 2 处不符合规则："
    assert refused.value.zh.splitlines()[1:] == refused.value.findings
    assert refused.value.en == "2 finding(s) in the catalogue, listed above"
