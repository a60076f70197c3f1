"""Companies and organisations, and what departments know of them: market regulation, civil affairs, taxes."""

from infra.demo.city.mess import OTHER_CHECK, WIDE
from infra.demo.city.sheet import Mess, Sheet

ENTITY = """
CREATE TABLE entity AS
WITH drawn AS (
    SELECT j, pick(j, 'place', getvariable('districts')) AS district, j >= {market} AS civil,
        CASE WHEN j >= {market} THEN CASE WHEN dice(j, 'class', 3) = 0 THEN '51' ELSE '52' END
             WHEN chance(j, 'class', 68000) THEN '91' WHEN chance(j, 'class', 96000) THEN '92' ELSE '93' END AS class,
        dice(j, 'representative', {residents}) AS representative
    FROM range({entities}) r(j)
)
SELECT j, civil, class, d.district,
    uscc(class || d.district.code || organisation('D' || lpad(j::VARCHAR, 7, '0'))) AS uscc,
    '演示市' || pick(j, 'one', getvariable('given')) || pick(j, 'two', getvariable('given'))
        || pick(j, 'trade', getvariable('trades'))
        || CASE class WHEN '91' THEN '有限公司' WHEN '92' THEN '经营部' WHEN '93' THEN '专业合作社' WHEN '51' THEN '协会'
           ELSE '服务中心' END AS entity_name,
    p.name AS legal_rep_name, p.id_number AS legal_rep_id_number, address(j, 'entity', d.district.name) AS address,
    day(j, 'founded', '1996-01-01', 10000) AS established
FROM drawn d JOIN person p ON p.i = representative ORDER BY j
"""


def uscc_messes(*, bad: int = 150) -> tuple[Mess, ...]:
    """What happens to 统一社会信用代码: mistyped, a fifteen-digit registration number instead, lower case, full width."""
    return (
        Mess("bad_check", "uscc", OTHER_CHECK.format("uscc"), bad, "quarantine", "uscc.uscc"),
        Mess("old_number", "uscc", "'4201' || lpad(_n::VARCHAR, 11, '0')", bad, "quarantine", "uscc.uscc"),
        Mess("lower", "uscc", "lower(uscc)", 300, "normalise"),
        Mess("full_width", "uscc", WIDE.format("uscc"), 100, "normalise"),
    )


def sheets() -> tuple[Sheet, ...]:
    """One batch of each."""
    return (
        Sheet(
            "civil_organisation",
            1,
            (
                ("uscc", "统一社会信用代码"),
                ("entity_name", "名称"),
                ("legal_rep_name", "法定代表人"),
                ("registered_address", "住所"),
                ("established_date", "成立日期"),
                ("registration_status", "登记状态"),
            ),
            """SELECT j AS _n, uscc, entity_name, legal_rep_name, address AS registered_address,
                   established::VARCHAR AS established_date, '存续' AS registration_status FROM entity WHERE civil""",
            (Mess("lower", "uscc", "lower(uscc)", 3000, "normalise"),),
            form="xlsx",
        ),
        Sheet(
            "market_entity",
            1,
            (
                ("uscc", "统一社会信用代码"),
                ("entity_name", "企业名称"),
                ("entity_class", "主体类型"),
                ("legal_rep_name", "法定代表人"),
                ("legal_rep_id_number", "法定代表人证件号码"),
                ("registered_capital", "注册资本（万元）"),
                ("established_date", "成立日期"),
                ("registration_status", "登记状态"),
                ("region_code", "行政区划"),
                ("registered_address", "住所"),
                ("updated_at", "更新时间"),
            ),
            """SELECT j AS _n, uscc, entity_name, CASE class WHEN '91' THEN '企业' WHEN '92' THEN '个体工商户' ELSE '农民专业合作社' END
                   AS entity_class, legal_rep_name, legal_rep_id_number, (5 * (1 + dice(j, 'capital', 400)))::VARCHAR
                   AS registered_capital, established::VARCHAR AS established_date,
                   pick(j, 'status', ['存续', '存续', '存续', '存续', '注销', '吊销未注销']) AS registration_status,
                   district.code AS region_code, address AS registered_address, stamp(j, 'market', '2025-10-06') AS updated_at
               FROM entity WHERE NOT civil""",
            (
                *uscc_messes(),
                Mess("missing", "entity_name", "NULL", 100, "quarantine", "entity_name.required"),
                Mess("negative", "registered_capital", "'-1'", 300, "warn", "dept.capital_positive"),
            ),
        ),
        Sheet(
            "market_food",
            1,
            (
                ("licence_no", "许可证编号"),
                ("uscc", "统一社会信用代码"),
                ("scope", "经营项目"),
                ("valid_from", "有效期起"),
                ("valid_to", "有效期止"),
            ),
            """SELECT j AS _n, 'JY1420100' || lpad(j::VARCHAR, 7, '0') AS licence_no, uscc, pick(j, 'food', ['预包装食品销售',
                   '热食类食品制售', '糕点类食品制售', '自制饮品制售']) AS scope, day(j, 'from', '2021-01-01', 1400)::VARCHAR AS valid_from,
                   (day(j, 'from', '2021-01-01', 1400) + 1826)::VARCHAR AS valid_to
               FROM entity WHERE NOT civil AND dice(j, 'food', 100) < 15""",
            (
                *uscc_messes(),
                Mess("turned", "valid_to", "(valid_from::DATE - 30)::VARCHAR", 500, "quarantine", "dept.validity_in_order"),
            ),
        ),
        Sheet(
            "market_branch",
            1,
            (
                ("branch_uscc", "分支机构统一社会信用代码"),
                ("uscc", "隶属企业统一社会信用代码"),
                ("branch_name", "分支机构名称"),
                ("registered_on", "登记日期"),
            ),
            """SELECT 3 * j + k AS _n, uscc, entity_name || district.name || '第' || (k + 1) || '分公司' AS branch_name,
                   uscc('91' || district.code || organisation('F' || lpad((3 * j + k)::VARCHAR, 7, '0'))) AS branch_uscc,
                   day(3 * j + k, 'branch', '2005-01-01', 7000)::VARCHAR AS registered_on
               FROM entity, range(3) r(k) WHERE class = '91' AND dice(3 * j + k, 'branch', 100) < 6""",
            uscc_messes(),
        ),
        Sheet(
            "market_change",
            1,
            (
                ("change_no", "变更登记编号"),
                ("uscc", "统一社会信用代码"),
                ("change_item", "变更事项"),
                ("changed_on", "变更日期"),
            ),
            """SELECT 4 * j + k AS _n, 'BG' || lpad((4 * j + k)::VARCHAR, 10, '0') AS change_no, uscc,
                   ['名称', '住所', '法定代表人', '注册资本'][1 + k] AS change_item,
                   day(4 * j + k, 'change', '2015-01-01', 3900)::VARCHAR AS changed_on
               FROM entity, range(4) r(k) WHERE NOT civil AND dice(4 * j + k, 'change', 100) < 8""",
            uscc_messes(),
        ),
        Sheet(
            "tax_payer",
            1,
            (
                ("uscc", "纳税人识别号"),
                ("entity_name", "纳税人名称"),
                ("legal_rep_name", "法定代表人姓名"),
                ("business_address", "生产经营地址"),
                ("phone", "联系电话"),
                ("taxpayer_status", "纳税人状态"),
                ("updated_at", "更新时间"),
            ),
            """SELECT j AS _n, uscc, CASE WHEN chance(j, 'taxname', 1000) THEN entity_name || '（原）' ELSE entity_name END AS entity_name,
                   CASE WHEN chance(j, 'taxrep', 1500) THEN person_name(j, 'taxrep') ELSE legal_rep_name END AS legal_rep_name,
                   CASE WHEN dice(j, 'same', 3) = 0 THEN address(j, 'business', district.name) ELSE address END AS business_address,
                   '027-' || lpad(dice(j, 'phone', 100000000)::VARCHAR, 8, '0') AS phone,
                   CASE WHEN dice(j, 'tax', 30) = 0 THEN '非正常' ELSE '正常' END AS taxpayer_status,
                   stamp(j, 'tax', '2025-10-07') AS updated_at
               FROM entity WHERE dice(j, 'taxed', 100) < 90""",
            (*uscc_messes(bad=1200), Mess("missing", "entity_name", "NULL", 500, "quarantine", "entity_name.required")),
        ),
        Sheet(
            "tax_credit",
            1,
            (("uscc", "纳税人识别号"), ("grade", "纳税信用等级"), ("year", "评价年度")),
            """SELECT j AS _n, uscc, pick(j, 'grade', ['A', 'B', 'B', 'M', 'C', 'D']) AS grade, '2024' AS year
               FROM entity WHERE NOT civil AND dice(j, 'graded', 100) < 60""",
            (Mess("bad_grade", "grade", "'E'", 300, "quarantine", "grade.code"),),
        ),
    )
