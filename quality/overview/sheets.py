"""The five answers as one XLSX file, a sheet each.

Invariant: no cell holds a formula or a link. Text is written as text and marked so, that a spreadsheet never takes it for
anything else; figures are numbers, moments are dates in Chinese time, and what was not measured says so.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from io import BytesIO

from xlsxwriter import Workbook
from xlsxwriter.worksheet import Worksheet

from exchange.intake.pushes import CHINA
from quality.indicators import DECISIONS, LEVELS
from quality.overview.model import Contested, Dimensions, DimensionScore, History, Overdue, RuleText, Trend
from quality.overview.words import CYCLES, NOT_APPLICABLE, NOT_RECORDED, UNITS, WHATS, both

Cell = str | int | float | date | datetime | None
_LONGEST = 32_000  # characters; a cell holds 32,767

TREND = {
    "层级 level": 12, "部门代码 department": 22, "部门 name": 20, "资源 resource": 24, "名称 title": 24, "规则 rule": 30,
    "日期 day": 12, "收到 received": 18, "推送 push": 22, "批次 batch": 8, "推送数 pushes": 8, "结论 decision": 16,
    "状态 state": 12, "行数 rows": 12, "未通过 failing": 12, "提示 warned": 12, "未通过率 rate": 12,
}  # fmt: skip
DIMENSIONS = {
    "层级 level": 12, "部门代码 department": 22, "部门 name": 20, "资源 resource": 24, "名称 title": 24,
    "维度 dimension": 24, "指标代码 indicator": 10, "指标 title": 34, "单位 unit": 14, "测得 measured": 14,
    "通过 passed": 14, "得分 score": 14,
}  # fmt: skip
OVERDUE = {
    "部门代码 department": 22, "部门 name": 20, "资源 resource": 24, "名称 title": 24, "更新周期 cycle": 20,
    "最近接受 last accepted": 18, "推送 push": 22, "应更新 due": 18, "逾期天数 days overdue": 12,
}  # fmt: skip
CONTESTED = {
    "部门代码 department": 22, "部门 name": 20, "资源 resource": 24, "信息项 item": 20, "基础库 base": 18, "附表 satellite": 14,
    "字段 field": 20, "名称 title": 24, "比对 compared": 14, "不一致 differing": 14, "占比 rate": 12, "构建 build": 22,
}  # fmt: skip
HISTORY = {
    "时间 at": 18, "资源 resource": 24, "名称 title": 24, "版本 version": 8, "载入人 by": 16, "规则 rule": 30,
    "变更 what": 14, "原级别 old level": 14, "原文 old": 50, "现级别 new level": 14, "现文 new": 50,
}  # fmt: skip


def workbook(trend: Trend, dimensions: Dimensions, overdue: Overdue, contested: Contested, history: History) -> bytes:
    """The file."""
    written = BytesIO()
    safe = {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    with Workbook(written, safe) as book:
        book.set_properties({"title": "质量总览 quality overview", "created": overdue.looked_at.replace(tzinfo=None)})
        writer = _Writer(book)
        writer.sheet("趋势 trend", TREND, _trend(trend))
        writer.sheet("六维 dimensions", DIMENSIONS, _dimensions(dimensions))
        writer.sheet("逾期 overdue", OVERDUE, _overdue(overdue))
        writer.sheet("疑义 contested", CONTESTED, _contested(contested))
        writer.sheet("规则变更 history", HISTORY, _history(history))
    return written.getvalue()


class _Writer:
    """Writes rows of cells; how a cell is written follows from what it is, never from what it says."""

    def __init__(self, book: Workbook) -> None:
        self._book = book
        plain = {"valign": "top", "font_size": 10}
        self._text = book.add_format(plain | {"num_format": "@", "quote_prefix": True, "text_wrap": True})
        self._head = book.add_format(
            plain | {"num_format": "@", "bold": True, "bg_color": "#F0F2F5", "bottom": 1, "text_wrap": True}
        )
        self._whole = book.add_format(plain | {"num_format": "#,##0"})
        self._share = book.add_format(plain | {"num_format": "0.0000%"})
        self._decimal = book.add_format(plain | {"num_format": "0.0"})
        self._day = book.add_format(plain | {"num_format": "yyyy-mm-dd"})
        self._moment = book.add_format(plain | {"num_format": "yyyy-mm-dd hh:mm:ss"})

    def sheet(self, name: str, columns: dict[str, int], rows: Iterable[Sequence[Cell]]) -> None:
        """A sheet with its header frozen and filters on it."""
        sheet = self._book.add_worksheet(name)
        for number, (title, width) in enumerate(columns.items()):
            sheet.set_column(number, number, width)
            sheet.write_string(0, number, title, self._head)
        last = 0
        for last, row in enumerate(rows, 1):
            for number, (title, cell) in enumerate(zip(columns, row, strict=True)):
                self._cell(sheet, last, number, title, cell)
        sheet.freeze_panes(1, 0)
        sheet.autofilter(0, 0, last, len(columns) - 1)
        sheet.set_landscape()
        sheet.set_paper(9)  # A4
        sheet.fit_to_pages(1, 0)
        sheet.repeat_rows(0)

    def _cell(self, sheet: Worksheet, row: int, column: int, title: str, cell: Cell) -> None:
        if cell is None:
            sheet.write_blank(row, column, None)
        elif isinstance(cell, str):
            short = cell if len(cell) <= _LONGEST else cell[:_LONGEST] + "…"
            sheet.write_string(row, column, short, self._text)
        elif isinstance(cell, datetime):
            sheet.write_datetime(row, column, cell.astimezone(CHINA).replace(tzinfo=None), self._moment)
        elif isinstance(cell, date):
            sheet.write_datetime(row, column, cell, self._day)
        elif isinstance(cell, int):
            sheet.write_number(row, column, cell, self._whole)
        else:
            sheet.write_number(row, column, cell, self._decimal if "天" in title else self._share)


def _trend(trend: Trend) -> Iterable[Sequence[Cell]]:
    names = {one.resource: one for one in trend.resources}
    for unit in trend.departments:
        for day in unit.days:
            yield (
                "部门 department", unit.department, unit.name, None, None, None, day.day, None, None, None, day.pushes, None,
                None, day.rows, day.failing, day.warned, _share(day.rate),
            )  # fmt: skip
    for one in trend.resources:
        for push in one.pushes:
            yield (
                "资源 resource", one.department, one.department_name, one.resource, one.title, None, push.received_at.date(),
                push.received_at, push.push, push.batch, None, both(DECISIONS, push.decision), push.state, push.rows,
                push.failing, push.warned, _share(push.rate),
            )  # fmt: skip
    for rule in trend.rules:
        owner = names[rule.resource]
        for point in rule.points:
            yield (
                "规则 rule", owner.department, owner.department_name, rule.resource, owner.title, rule.rule,
                point.received_at.date(), point.received_at, point.push, None, None, both(DECISIONS, point.decision), None,
                point.rows, point.failing, None, _share(point.rate),
            )  # fmt: skip


def _dimensions(dimensions: Dimensions) -> Iterable[Sequence[Cell]]:
    for unit in dimensions.departments:
        yield from _scores(("部门 department", unit.department, unit.name, None, None), unit.dimensions)
    for one in dimensions.resources:
        who = ("资源 resource", one.department, one.department_name, one.resource, one.title)
        yield from _scores(who, one.dimensions)


def _scores(who: Sequence[Cell], scores: Sequence[DimensionScore]) -> Iterable[Sequence[Cell]]:
    for dimension in scores:
        title = f"{dimension.title} {dimension.title_en}"
        yield (*who, title, None, None, None, None, None, _share(dimension.score))
        for one in dimension.indicators:
            words = f"{one.title} {one.title_en}"
            yield (*who, title, one.code, words, UNITS[one.unit], one.measured, one.passed, _share(one.score))


def _overdue(overdue: Overdue) -> Iterable[Sequence[Cell]]:
    for one in overdue.overdue:
        yield (
            one.department, one.department_name, one.resource, one.title, both(CYCLES, one.update_cycle), one.last_accepted,
            one.last_push, one.due, one.days_overdue,
        )  # fmt: skip


def _contested(contested: Contested) -> Iterable[Sequence[Cell]]:
    for unit in contested.departments:
        for one in unit.fields:
            yield (
                unit.department, unit.name, one.resource, one.item, one.base, one.satellite, one.field, one.title,
                one.compared, one.differing, _share(one.rate), one.build,
            )  # fmt: skip


def _history(history: History) -> Iterable[Sequence[Cell]]:
    for one in history.changes:
        yield (
            one.at, one.resource, one.title, one.version, one.by or NOT_RECORDED, one.rule, both(WHATS, one.what),
            *_said(one.old), *_said(one.new),
        )  # fmt: skip


def _said(rule: RuleText | None) -> Sequence[Cell]:
    if rule is None:
        return None, None
    return both(LEVELS, rule.level), "\n".join(filter(None, (rule.title, rule.title_en, rule.detail)))


def _share(value: float | None) -> Cell:
    return NOT_APPLICABLE if value is None else float(value)
