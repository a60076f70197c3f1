"""The nouns of the catalogue: Department, Resource, Item, RuleSpec, BaseDefinition, ThemeDefinition. Frozen, as loaded.

Invariant: a value of these types has passed every rule of `rules.py`; code that holds one need not check it again.
Core metadata: 政务信息资源目录编制指南（试行）, 发改高技〔2017〕1272号 (13 items); extensions: data level, sensitivity.
"""

from collections.abc import Iterator
from datetime import date
from enum import IntEnum, StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    model_serializer,
)

Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{1,47}$")]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


# 公民身份号码, 统一社会信用代码, 组织机构代码, 注册号, 电子证照标识, 行政相对人代码 (one of the first two): see quality/identifiers.py
Identifier = Literal["resident_number", "uscc", "org_code", "registration_no", "cert_identifier", "party_code"]
KeyIdentifier = Literal["resident_number", "uscc", "cert_identifier", "party_code"]  # of a base or a theme
LENGTHS: dict[str, int] = {
    "resident_number": 18,
    "uscc": 18,
    "org_code": 9,
    "registration_no": 15,
    "cert_identifier": 64,
    "party_code": 18,
}


class ShareType(IntEnum):
    """共享类型, codes of 1272号. The larger the stricter."""

    UNCONDITIONAL = 1  # 无条件共享
    CONDITIONAL = 2  # 有条件共享
    NONE = 3  # 不予共享


class DataType(StrEnum):
    """信息项数据类型, the letters of 1272号."""

    TEXT = "C"
    NUMBER = "N"
    MONEY = "Y"
    DATE = "D"
    TIMESTAMP = "T"
    BOOLEAN = "L"
    MEMO = "M"
    INTEGER = "I"
    DOUBLE = "B"
    FLOAT = "F"


class Sensitivity(StrEnum):
    """信息项敏感性."""

    NONE = "none"  # 不涉密
    PERSONAL = "personal"  # 个人隐私
    COMMERCIAL = "commercial"  # 商业机密


class Department(Frozen):
    """政务部门, by its own 18-character 统一社会信用代码."""

    code: str
    name: Text
    contact: Text | None = None  # whom to ask; an office, never a person's private data
    email: Annotated[str | None, Field(pattern=r"^[^@\s<>\",;]+@[^@\s<>\",;]+$")] = (
        None  # where verdicts are mailed: an office too
    )
    webhook: Annotated[str | None, Field(pattern=r"^https?://[^\s]+$")] = None  # where verdicts are posted


class Citation(Frozen):
    """The legal source of a share class."""

    title: Text
    article: Text
    level: Literal["法律", "行政法规", "国务院决定", "地方性法规", "规章", "规范性文件"]


class Share(Frozen):
    """共享属性."""

    type: ShareType
    condition: Text | None = None  # required for 有条件
    basis: Citation | None = None  # required for 不予; its level must be 法律, 行政法规 or 国务院决定
    mode_category: Literal[1, 2, 3] = 1  # 1 共享平台方式, 2 邮件方式, 3 介质方式
    mode_type: Literal["数据库", "接口", "文件"] = "接口"


class Item(Frozen):
    """信息项. `name` is the column's name in pools, bases and answers; `title` is what a provider's header says."""

    name: Slug
    title: Text
    type: DataType
    length: int | None = Field(default=None, ge=1)  # characters, or digits of a number
    scale: int | None = Field(default=None, ge=0)  # decimals of N
    required: bool = False
    code_table: str | None = None  # id of a table in codes.py or the catalogue's own `codes/`
    identifier: Identifier | None = None
    sensitivity: Sensitivity = Sensitivity.NONE
    mask: (
        Literal["name", "resident_number", "mobile", "phone", "address", "email", "bank_card", "plate", "birth_date", "all"]
        | None
    ) = None
    share_type: ShareType | None = None  # None: that of the resource
    is_timestamp: bool = False  # 数据更新时间 of the row; at most one per resource
    aliases: tuple[str, ...] = ()  # other headers that mean this item


class Level(StrEnum):
    """What a failed rule does."""

    BLOCK = "block"  # one failure rejects the push
    QUARANTINE = "quarantine"  # the row waits
    WARN = "warn"  # the row passes and is counted


class RuleSpec(Frozen):
    """A department's own rule: one SQL predicate over normalised items that holds for a good row. NULL counts as good."""

    id: Slug
    title: Text
    title_en: Text
    predicate: Text
    items: tuple[str, ...]
    level: Level
    indicator: str  # GB/T 36344 code: 0101 … 0602
    version: int = 1


class ResourceEntry(Frozen):
    """What a department writes about a 信息资源: everything but what load assigns."""

    id: Slug  # our short name: table, DAG and address
    title: Text
    department: str  # 提供方代码
    category_path: Text  # 信息资源分类: 类/项/目/细目 in words
    abstract: Text
    format_category: Literal["01", "02", "03", "04", "05", "06", "07"]
    format_type: Text
    share: Share
    open: bool = False
    open_condition: Text | None = None
    update_cycle: Literal[
        "realtime", "daily", "weekly", "monthly", "quarterly", "half_yearly", "yearly", "irregular", "other"
    ]
    publish_date: date
    related_codes: tuple[str, ...] = ()
    data_level: Literal["一般", "重要", "核心"]  # 涉密 never gets this far
    items: tuple[Item, ...]
    key: tuple[str, ...]  # names of the key items
    duplicates: Literal["reject", "quarantine", "keep_newest", "allow"] = "quarantine"
    quarantine_threshold: float | None = Field(default=None, gt=0, le=1)
    shrink_floor: float | None = Field(default=None, ge=0, le=1)
    rules: tuple[RuleSpec, ...] = ()
    header_row: int | None = Field(default=None, ge=1, le=1000)  # where the files' column names are; None: found out
    delimiter: Literal[",", ";", "tab", "|", "^", "~"] | None = None  # of the CSV files; None: found out


class Resource(ResourceEntry):
    """信息资源, one version of its entry, complete in itself: a push is judged by it whatever is loaded later."""

    code: str  # 信息资源代码 前段码/后段码
    version: int
    code_tables: dict[str, dict[str, str]] = {}  # the catalogue's own tables that its items use; see codes.py: table_of

    def item(self, name: str) -> Item:
        """The item of that name (KeyError when there is none)."""
        for item in self.items:
            if item.name == name:
                return item
        raise KeyError(name)


class FieldSource(Frozen):
    """Where a field of a base comes from: an item of a resource."""

    resource: Slug
    item: Slug


class Order(Frozen):
    """The order of authority from a day on (in China)."""

    since: date = Field(validation_alias=AliasChoices("from", "since"))
    sources: Annotated[tuple[FieldSource, ...], Field(min_length=1)]


class _Sparing(Frozen):
    """Is written without the parts that it does not have, so that entries without them stay the same text as before."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: value for name, value in handler(self).items() if value or name not in _PARTS}


_PARTS = ("authority", "satellites", "links")


class BaseField(_Sparing):
    """A field of a base database and its sources in order of authority (一数一源): the first is the 数源, the rest stand in.
    `authority`: other orders, each from a day on; the days rise."""

    name: Slug
    title: Text
    type: DataType
    sources: tuple[FieldSource, ...]
    authority: tuple[Order, ...] = ()
    benchmark: bool = False  # 基准项: the only items of a base that are shared unconditionally
    sensitivity: Sensitivity = Sensitivity.NONE
    mask: str | None = None
    # Computed at load, for N: digits and decimals that hold every source's values as they are.
    length: int | None = None
    scale: int | None = None
    # Computed at load: unconditional if and only if benchmark; else the strictest class of its sources, conditional at least.
    share_type: ShareType = ShareType.CONDITIONAL

    @property
    def every_source(self) -> tuple[FieldSource, ...]:
        """Whoever is asked on some day, once."""
        return tuple(dict.fromkeys((*self.sources, *(source for order in self.authority for source in order.sources))))

    def on(self, day: date) -> Self:
        """The field by the order of that day."""
        orders = [order.sources for order in self.authority if order.since <= day]
        return self.model_copy(update={"sources": orders[-1] if orders else self.sources, "authority": ()})


class Satellite(Frozen):
    """附表: many rows under one golden record. `parent_sources`: the item that holds the key of the record, in every resource
    that feeds it; `key`: which fields tell the rows of one record apart."""

    id: Slug
    title: Text
    parent_sources: tuple[FieldSource, ...]
    key: tuple[str, ...]
    fields: tuple[BaseField, ...]


class Link(Frozen):
    """关联: a field that holds the key of a record of another base, or of one of several."""

    field: str
    base: Annotated[tuple[str, ...], Field(min_length=1)]


class BaseEntry(_Sparing):
    """基础库 as decided. `key_sources` names the key item of every resource that feeds it."""

    id: Slug
    title: Text
    key: Slug
    key_identifier: KeyIdentifier
    key_sources: tuple[FieldSource, ...]
    fields: tuple[BaseField, ...]  # without the key
    satellites: tuple[Satellite, ...] = ()
    links: tuple[Link, ...] = ()

    @property
    def feeders(self) -> tuple[FieldSource, ...]:
        """Every resource it is made of, once, with the item that says whose row a row is."""
        every = (*self.key_sources, *(source for each in self.satellites for source in each.parent_sources))
        return tuple({source.resource: source for source in reversed(every)}.values())[::-1]

    @property
    def origins(self) -> Iterator[FieldSource]:
        """The same, and again where a resource feeds more than one part."""
        yield from self.key_sources
        for each in self.satellites:
            yield from each.parent_sources

    def on(self, day: date) -> Self:
        """The base by the orders of authority of that day, as if there were no others."""
        satellites = tuple(
            each.model_copy(update={"fields": tuple(field.on(day) for field in each.fields)}) for each in self.satellites
        )
        return self.model_copy(update={"fields": tuple(field.on(day) for field in self.fields), "satellites": satellites})


class BaseDefinition(BaseEntry):
    """基础库, one version."""

    version: int


class ThemeField(Frozen):
    """A field of a theme: `made_of` names the columns ("base:population.name") that its value comes from, `as_is` says that
    it is one of them unchanged. What is not said (None) is that of what it is made of; it can't be less strict."""

    name: Slug
    title: Text
    type: DataType
    length: int | None = None
    scale: int | None = None
    share_type: ShareType | None = None
    sensitivity: Sensitivity | None = None
    mask: str | None = None
    made_of: tuple[str, ...] = ()
    as_is: bool = False


class ThemeEntry(Frozen):
    """主题库: a SELECT of one department over bases and pools it has grants for. Computed at load: `reads` (the columns it
    touches, by relation), `deciding` (those that decide which rows there are) and `plain` (those it does more with than
    hand on, so that a masked value would not do)."""

    id: Slug
    title: Text
    department: str
    purpose: Text  # that of the grants it reads by
    key: Slug
    key_identifier: KeyIdentifier
    select: Text
    fields: tuple[ThemeField, ...]  # without the key
    key_made_of: tuple[str, ...]
    reads: dict[str, tuple[str, ...]]
    deciding: tuple[str, ...]
    plain: tuple[str, ...]


class ThemeDefinition(ThemeEntry):
    """主题库, one version."""

    version: int


class Catalogue(Frozen):
    """Everything the clock and the gate need, as one value: what `catalogue.json` holds."""

    departments: tuple[Department, ...]
    resources: tuple[Resource, ...]
    bases: tuple[BaseDefinition, ...]
    codes: dict[str, dict[str, str]]  # code table id -> {code: meaning}
    themes: tuple[ThemeDefinition, ...] = ()

    def resource(self, resource_id: str) -> Resource:
        """The resource of that id (KeyError when there is none)."""
        for resource in self.resources:
            if resource.id == resource_id:
                return resource
        raise KeyError(resource_id)
