"""What spreadsheets and copying do to good data: which row waits, and which sentence says how to save it correctly."""

import pytest

from exchange.house import House
from quality import check
from tests import make
from tests.quality import kit

FORM = make.resource(
    "form",
    make.POLICE,
    [
        make.item("code", "编号", "C10", required=True),
        make.item("id_number", "身份证号", "C18", identifier="resident_number", sensitivity="personal"),
        make.item("name", "姓名", "C50", sensitivity="personal", mask="name"),
        make.item("ethnicity", "民族", "C2", code_table="ethnicity"),
        make.item("born", "出生日期", "D"),
        make.item("seen", "登记时间", "T"),
        make.item("area", "面积", "N18,2"),
        make.item("insured", "参保", "L"),
        make.item("note", "备注", "C100"),
    ],
    ["code"],
    quarantine_threshold=1.0,
)
TITLES = {item["name"]: item["title"] for item in FORM["items"]}

TRAPS: dict[str, tuple[str, str, str, str]] = {
    # what                             item         value               中文                          English
    "a number kept as a number": ("id_number", "410802199001011000", "第 15 位以后已丢失", "lost all after the 15th digit"),
    "the same in scientific form": ("id_number", "4.10802E+17", "像是表格软件把号码存成了数字", "make the column text"),
    "a serial in a date": (
        "born",
        "45000",
        "对应 2023-03-15；请把整列设为日期格式",
        "a spreadsheet's serial number for 2023-03-15",
    ),
    "a serial in a time": ("seen", "45000.75", "日期序列号，对应 2023-03-15", "serial number for 2023-03-15"),
    "no blank before the time": ("seen", "2022/8/1018:10", "日期与时间之间缺少空格", "the blank between date and time"),
    "a unit": ("area", "1320m2", "数字后带有单位", "a unit stands behind the number"),
    "a unit of ten thousand": ("area", "3万元", "如 3万 写 30000", "give the bare number, converted"),
    "a lost zero": ("ethnicity", "1", "开头的 0 丢失，应为 01", "01 was meant"),
    "neither yes nor no": ("insured", "参", "应为 是 或 否", "yes or no expected"),
    "a question mark in a name": ("name", "张?", "请以 GB18030 或 UTF-8 重新导出", "it lies outside GBK"),
    "a mark of a lost character": ("note", "住\ufffd村", "有字在导出时丢失", "a character was lost on export"),
    "no key, as under a merged cell": ("code", "", "只有第一格有值，请取消合并", "unmerge them"),
}


@pytest.fixture
def form(house: House) -> House:
    kit.publish(house, FORM)
    return house


def test_each_trap_has_its_row_its_item_and_its_sentence(form: House) -> None:
    from quality import gate

    header = list(TITLES.values())
    rows = [
        [value if name == item else "0" if name == "code" else "" for name in TITLES]
        for item, value, _, _ in TRAPS.values()
    ]
    for number, row in enumerate(rows):
        row[0] = f"K{number}" if row[0] else ""
    push = kit.land(form, "form", header, [*rows, ["K99", *[""] * 8]])
    verdict = gate.check(form, push)
    assert verdict.accepted_rows == 1
    lines = kit.row_errors(form, push)
    assert [(line[0], line[1]) for line in lines] == [
        (str(number), TITLES[item]) for number, (item, *_) in enumerate(TRAPS.values(), 1)
    ]
    for line, (_, _, zh, en) in zip(lines, TRAPS.values(), strict=True):
        assert zh in line[3]
        assert en in line[3]


def test_names_with_a_blank_or_a_character_of_ones_own_are_noted(form: House) -> None:
    from quality import gate

    rows = [
        [f"K{number}", "", name, *[""] * 6] for number, name in enumerate(["张 三", "\ue000三", "John Smith", "张三　"])
    ]
    push = kit.land(form, "form", list(TITLES.values()), rows)
    assert (gate.check(form, push).accepted_rows, kit.row_errors(form, push)) == (4, [])
    noted = kit.row_errors(form, push, warnings=True)
    assert [(line[0], line[2], line[3].split("；")[0]) for line in noted] == [
        ("1", "name.characters", "姓名字间有空格，查询时会对不上"),
        ("2", "name.characters", "含自造字（私用区），别的系统显示不出"),
    ]


def test_ideographic_blanks_go_where_blanks_go_and_are_counted_and_stay_inside_a_name(form: House) -> None:
    """U+3000 at the ends of a name, in a code, a date and a key is taken away; between characters only its owner may."""
    from quality import gate

    rows = [
        ["K1　", "", "　张三　", "　01", "　2001-01-01　", "", "　1320　", "是　", ""],
        ["K2", "", "李　四", "01", "", "", "", "", ""],
        ["K3", "", "　", "", "", "", "", "", ""],
    ]
    push = kit.land(form, "form", list(TITLES.values()), rows)
    verdict = gate.check(form, push)
    assert (verdict.decision, verdict.accepted_rows, verdict.normalised_values) == ("accepted", 3, 7)
    assert kit.row_errors(form, push) == []
    assert [(line[0], line[2], line[4]) for line in kit.row_errors(form, push, warnings=True)] == [
        ("2", "name.characters", "李　四")
    ]
    with form.duckdb() as connection:
        staged = connection.execute(
            f"SELECT code, name, ethnicity, born::VARCHAR, area::INTEGER, insured FROM {check.noted_sql(form, push)} ORDER BY _row"
        ).fetchall()
    assert staged == [
        ("K1", "张三", "01", "2001-01-01", 1320, True),
        ("K2", "李　四", "01", None, None, None),
        ("K3", None, None, None, None, None),
    ]


def test_a_row_of_another_width_stands_whole_in_the_row_error_file(form: House) -> None:
    from quality import gate

    titles = list(TITLES.values())
    rows = [
        ["K1", *[""] * 8],
        ["K2", "", "张三", "01", "", "", "1,320", "", "他说好", "多", "", "=1+1", "又多"],
        ["K3", "", "李四"],
    ]
    push = kit.land(form, "form", titles, rows)
    assert gate.check(form, push).accepted_rows == 1
    assert [line[:5] for line in kit.row_errors(form, push)] == [
        [
            "2",
            "整行",
            "row.shape",
            "列数过多，应为 9 列 / more than 9 columns",
            'K2,,张三,01,,,"1,320",,他说好,多,,=1+1,又多',
        ],
        ["3", "整行", "row.shape", "列数不足，应为 9 列 / fewer than 9 columns", "K3,,李四"],
    ]
