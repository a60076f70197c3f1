"""Every mistake one can make in a theme, and the whole of what is said about it; what a right one says is computed."""

from pathlib import Path
from typing import Any

import pytest

from exchange import catalogue
from exchange.catalogue.model import DataType, Sensitivity, ShareType, ThemeDefinition, ThemeField
from exchange.errors import CatalogueError
from exchange.house import House
from tests import make
from tests.make import Entry
from tests.themes.kit import FIELDS, couples


def findings(house: House, *entries: Entry, **parts: Any) -> list[str]:
    folder = make.write_catalogue(house.settings.root.parent / "catalogue", themes=list(entries), **parts)
    with pytest.raises(CatalogueError) as refused:
        catalogue.load(house, folder)
    return refused.value.findings


def field(number: int, **more: Any) -> list[Entry]:
    """The fields of `couples`, one of them changed."""
    return [entry | more if place == number else entry for place, entry in enumerate(FIELDS)]


NOWHERE = "11100000MB1234567X"
MISTAKES = [
    pytest.param(
        couples(department=NOWHERE),
        [
            f"themes/couples.yaml:3 [couples] department-known：部门 “{NOWHERE}” 不在 departments.yaml 中"
            f" / department “{NOWHERE}” is not in departments.yaml"
        ],
        id="a department that is not there",
    ),
    pytest.param(
        {name: part for name, part in couples().items() if name != "purpose"},
        ["themes/couples.yaml:1 [couples] missing-field：缺少 purpose，请补上 / purpose is missing; add it"],
        id="without a purpose",
    ),
    pytest.param(
        couples(select="DROP TABLE x"),
        [
            "themes/couples.yaml:7 [couples] theme-parse：不是一条有效的 SELECT：Only SELECT statements can be serialized to json!"
            " / not a valid SELECT: Only SELECT statements can be serialized to json!"
        ],
        id="no SELECT",
    ),
    pytest.param(
        couples(select="SELECT id_number, name, birth_date, phone FROM base.population"),
        [
            "themes/couples.yaml:7 [couples] theme-column：没有列 “phone”；写作 列名 或 别名.列名"
            " / there is no column “phone”; write column or alias.column"
        ],
        id="a column that is not there",
    ),
    pytest.param(
        couples(select="SELECT id_number, name, birth_date AS born FROM base.population"),
        [
            "themes/couples.yaml:7 [couples] theme-columns：SELECT 的列应恰好是 key 和 fields：缺 birth_date、marital_code，多 born"
            " / the SELECT must give exactly key and fields: lacking birth_date, marital_code, beyond them born"
        ],
        id="other columns than declared",
    ),
    pytest.param(
        couples(select="SELECT id_number, name + 1 AS name, birth_date, marital_code FROM base.population"),
        [
            "themes/couples.yaml:7 [couples] theme-parse：SQL 无法求值：Binder Error: No function matches the given name and "
            "argument types '+(VARCHAR, INTEGER_LITERAL)'. You might need to add explicit type casts. / the SQL can't be "
            "evaluated: Binder Error: No function matches the given name and argument types '+(VARCHAR, INTEGER_LITERAL)'. "
            "You might need to add explicit type casts."
        ],
        id="types that do not go together",
    ),
    pytest.param(
        couples(fields=field(1, type="C10")),
        [
            "themes/couples.yaml:16 [couples.birth_date] theme-type：声明的类型是 VARCHAR，SQL 给出 DATE；请改类型，或在 SQL 中用 "
            "TRY_CAST / the type declared is VARCHAR, the SQL gives DATE; change the type, or write TRY_CAST in the SQL"
        ],
        id="another type than declared",
    ),
    pytest.param(
        couples(key="name", fields=[{"name": "id_number", "title": "号码", "type": "C18"}, *FIELDS[1:]]),
        [
            "themes/couples.yaml:5 [couples] theme-key：主键须原样取自 identifier: resident_number 的列（可用 COALESCE 取多列之一），"
            "base:population.name 不是 / the key must be a column with `identifier: resident_number` as it is (or a COALESCE of "
            "such); base:population.name is none"
        ],
        id="a key that is no identifier",
    ),
    pytest.param(
        couples(
            select="SELECT upper(id_number) AS id_number, name, birth_date, marital_code FROM base.population",
            fields=FIELDS,
        ),
        [
            "themes/couples.yaml:5 [couples] theme-key：主键须原样取自 identifier: resident_number 的列（可用 COALESCE 取多列之一）"
            " / the key must be a column with `identifier: resident_number` as it is (or a COALESCE of such)"
        ],
        id="a key that was changed on the way",
    ),
    pytest.param(
        couples(fields=field(0, share_type="无条件共享")),
        [
            "themes/couples.yaml:14 [couples.name] theme-share：共享类型 1 宽于其来源和筛选条件（2），请删除 share_type 或从严 / share "
            "type 1 is laxer than what it is made of and chosen by (2); remove `share_type` or make it stricter"
        ],
        id="laxer than what chooses its rows",
    ),
    pytest.param(
        couples(fields=field(2, sensitivity="不涉密")),
        [
            "themes/couples.yaml:20 [couples.marital_code] theme-sensitivity：来源（pool:civil_marriage.marital_code）敏感，字段不能"
            "改为不敏感，请删除 sensitivity / what it is made of (pool:civil_marriage.marital_code) is sensitive, so the field is; "
            "remove `sensitivity`"
        ],
        id="less sensitive than what it is made of",
    ),
    pytest.param(
        couples(fields=field(0, mask="plate")),
        [
            "themes/couples.yaml:14 [couples.name] theme-mask：mask 是 plate，按其来源（base:population.name）应为 all、name / mask "
            "is plate; by what it is made of (base:population.name) it must be all or name"
        ],
        id="a mask that shows more",
    ),
    pytest.param(
        couples(fields=field(0, mask="nothing")),
        [
            "themes/couples.yaml:14 [couples.name] field-form：mask 是 “nothing”，应为 "
            "name、resident_number、mobile、phone、address、email、bank_card、plate、birth_date、all 之一 / mask is “nothing”; expected "
            "one of name, resident_number, mobile, phone, address, email, bank_card, plate, birth_date, all"
        ],
        id="a mask that does not exist",
    ),
    pytest.param(
        couples(fields=[*FIELDS, dict(FIELDS[0])]),
        [
            "themes/couples.yaml:20 [couples.name] field-repeated：“name” 已在 themes/couples.yaml:11 [couples.name] 用过，请换一个 / "
            "“name” is already used at themes/couples.yaml:11 [couples.name]; choose another"
        ],
        id="a field twice",
    ),
    pytest.param(
        couples(key_identifier="idcard"),
        [
            "themes/couples.yaml:6 [couples] field-form：key_identifier 是 “idcard”，应为其中之一：resident_number, uscc, cert_identifier, "
            "party_code / key_identifier is “idcard”; expected one of resident_number, uscc, cert_identifier, party_code"
        ],
        id="keyed by something else",
    ),
    pytest.param(
        couples(id="couples__next"),
        [
            "themes/couples__next.yaml:1 [couples__next] id-reserved：标识不得以 __next 结尾（留给重写中的表） / an id may not end in __next "
            "(kept for tables that are being written anew)"
        ],
        id="with the name of a draft",
    ),
    pytest.param(
        couples(select="SELECT id_number, name FROM base.population GROUP BY ALL", fields=FIELDS[:1]),
        [
            "themes/couples.yaml:7 [couples] theme-group：GROUP BY 请逐个写出列名，不能用 ALL 或序号 / name each column in GROUP BY; neither "
            "ALL nor positions are allowed"
        ],
        id="grouped by whatever there is",
    ),
]


@pytest.mark.parametrize(("entry", "said"), MISTAKES)
def test_a_mistake_is_told_with_its_place(house: House, entry: Entry, said: list[str]) -> None:
    assert findings(house, entry) == said


def test_a_theme_in_the_wrong_place_or_twice_is_told(house: House) -> None:
    folder = make.write_catalogue(house.settings.root.parent / "catalogue", themes=[couples()])
    (folder / "themes" / "again.yaml").write_text((folder / "themes" / "couples.yaml").read_text())
    with pytest.raises(CatalogueError) as refused:
        catalogue.load(house, folder)
    assert refused.value.findings == [
        "themes/couples.yaml:1 [couples] id-repeated：“couples” 已在 themes/again.yaml:1 [couples] 用过，请换一个 / “couples” is "
        "already used at themes/again.yaml:1 [couples]; choose another"
    ]


def test_a_theme_says_what_it_is_made_of(house: House) -> None:
    select = """
        SELECT COALESCE(p.id_number, m.id_number) AS id_number, p.name, concat(p.name, m.mobile) AS label, m.marital_code,
               p.birth_date, count(*) OVER () AS people
        FROM base.population p LEFT JOIN pool.civil_marriage m ON m.id_number = p.id_number AND m.marital_code <> '10'
        ORDER BY p.sex_code
    """
    fields = [
        {"name": "name", "title": "姓名", "type": "C50", "mask": "all"},
        {"name": "label", "title": "标签", "type": "C80", "sensitivity": "个人隐私"},
        {"name": "marital_code", "title": "婚姻状况", "type": "C2", "share_type": "不予共享"},
        {"name": "birth_date", "title": "出生日期", "type": "D"},
        {"name": "people", "title": "人数", "type": "I"},
    ]
    select = select.replace("concat(p.name, m.mobile)", "p.name || m.mobile")
    make.small_city(house, themes=[couples(select=select, fields=fields)])
    base, pool = "base:population.{}".format, "pool:civil_marriage.{}".format
    assert catalogue.theme(house, "couples") == ThemeDefinition(
        id="couples",
        title="婚姻主题库",
        department=make.CIVIL,
        purpose="婚姻状况分析",
        key="id_number",
        key_identifier="resident_number",
        select=select.strip(),
        version=1,
        key_made_of=(base("id_number"), pool("id_number")),
        fields=(
            ThemeField(
                name="name", title="姓名", type=DataType.TEXT, length=50, mask="all", made_of=(base("name"),), as_is=True
            ),
            ThemeField(
                name="label",
                title="标签",
                type=DataType.TEXT,
                length=80,
                sensitivity=Sensitivity.PERSONAL,
                made_of=(base("name"), pool("mobile")),
            ),
            ThemeField(
                name="marital_code",
                title="婚姻状况",
                type=DataType.TEXT,
                length=2,
                share_type=ShareType.NONE,
                made_of=(pool("marital_code"),),
                as_is=True,
            ),
            ThemeField(name="birth_date", title="出生日期", type=DataType.DATE, made_of=(base("birth_date"),), as_is=True),
            ThemeField(name="people", title="人数", type=DataType.INTEGER),
        ),
        reads={
            "base:population": ("birth_date", "id_number", "name", "sex_code"),
            "pool:civil_marriage": ("id_number", "marital_code", "mobile"),
        },
        deciding=(base("id_number"), pool("id_number"), pool("marital_code")),
        plain=tuple(
            sorted(
                [
                    *map(base, ("birth_date", "id_number", "name", "sex_code")),
                    *map(pool, ("id_number", "marital_code", "mobile")),
                ]
            )
        ),
    )


def test_versions_rise_and_what_is_left_out_is_retired(house: House, tmp_path: Path) -> None:
    folder = tmp_path / "catalogue"

    def load(*entries: Entry) -> dict[str, str]:
        return catalogue.load(house, make.write_catalogue(folder, themes=list(entries)), by="loader").themes

    assert load(couples()) == {"couples": "loaded"}
    assert load(couples()) == {"couples": "unchanged"}
    assert load(couples(title="已婚")) == {"couples": "changed"}
    assert load() == {"couples": "retired"}
    assert load() == {}
    assert catalogue.current(house).themes == ()
    assert load(couples(title="已婚")) == {"couples": "loaded"}
    assert [(theme.version, theme.title) for theme in catalogue.current(house).themes] == [(4, "已婚")]


def test_a_theme_is_read_once_the_rest_has_no_findings(house: House) -> None:
    wrong = make.police_household(share={"type": 2})
    found = findings(house, couples(select="SELECT 1"), resources=[wrong, *make.some_resources()[1:]])
    assert [finding.split()[2].partition("：")[0] for finding in found] == ["share-condition"]
