"""Residents, and what departments know of them: registers of the police, civil affairs, labour, health, education, the fund."""

from infra.demo.city.mess import OTHER_CHECK, WIDE
from infra.demo.city.sheet import Mess, Sheet

PERSON = """
CREATE TABLE person AS
WITH drawn AS (
    SELECT i, i >= {residents} AS newcomer, dice(i, 'sex', 2) AS male,
        pick(i, 'district', getvariable('districts')) AS district,
        CASE WHEN i >= {residents} THEN 'plain' WHEN chance(i, 'region', 300) THEN 'abolished'
             WHEN chance(i, 'region', 500) THEN 'early' WHEN chance(i, 'region', 550) THEN 'unknown' ELSE 'plain' END AS region,
        CASE WHEN i >= {residents} THEN day(i, 'birth', '2025-01-01', 240)
             WHEN chance(i, 'region', 500) THEN day(i, 'birth', '1946-01-01', 9000)
             ELSE day(i, 'birth', '1938-01-01', 31700) END AS birth
    FROM range({everybody}) r(i)
), placed AS (
    SELECT *, CASE WHEN region = 'abolished' THEN pick(i, 'code', getvariable('abolished'))
                   WHEN region = 'early' THEN pick(i, 'code', getvariable('late'))
                   WHEN region = 'unknown' THEN '420199'
                   WHEN chance(i, 'elsewhere', 12000) THEN pick(i, 'code', getvariable('elsewhere'))
                   ELSE district.code END AS code
    FROM drawn
), numbered AS (
    SELECT *, 2 * row_number() OVER (PARTITION BY code, birth, male ORDER BY i) - male AS place FROM placed
)
SELECT i, newcomer, region, birth, district,
    resident(code || strftime(birth, '%Y%m%d') || lpad(place::VARCHAR, 3, '0')) AS id_number,
    person_name(i, 'person') AS name, CASE WHEN male = 1 THEN '1' ELSE '2' END AS sex_code,
    CASE WHEN chance(i, 'people', 6000) THEN lpad((2 + dice(i, 'which', 55))::VARCHAR, 2, '0') ELSE '01' END AS ethnicity_code,
    CASE WHEN chance(i, 'born', 8000) THEN pick(i, 'bornin', getvariable('elsewhere')) ELSE district.code END AS birth_place_code,
    date_diff('year', birth, DATE '2025-01-01') AS age
FROM numbered ORDER BY i
"""

# One person was given another number between the two batches: the police send it from then on, the others still the old one.
RENUMBERED = """
CREATE TABLE renumbered AS
SELECT i, id_number AS number_before,
    resident(left(id_number, 14) || CASE sex_code WHEN '1' THEN '997' ELSE '998' END) AS number_now
FROM person
WHERE region = 'plain' AND age BETWEEN 25 AND 59 AND dice(i, 'insured', 100) >= 80 AND dice(i, 'wed', 100) < 85
    AND NOT chance(i, 'renamed', 100) AND NOT chance(i, 'left', 400)
    AND least(dice(i, 'police_household_1', 100000), dice(i, 'police_household_2', 100000), dice(i, 'civil_marriage_1', 100000)) > 9999
ORDER BY i LIMIT 1
"""


def resident_messes(item: str = "id_number", *, bad: int = 150) -> tuple[Mess, ...]:
    """What happens to resident numbers on their way: mistyped, old, lower case, full width, padded."""
    return (
        Mess("bad_check", item, OTHER_CHECK.format(item), bad, "quarantine", f"{item}.resident_number"),
        Mess(
            "fifteen",
            item,
            f"left({item}, 6) || substr({item}, 9, 9)",
            200,
            "normalise",
            None,
            f"substr({item}, 7, 2) = '19'",
        ),
        Mess("lower_x", item, f"lower({item})", 2000, "normalise", None, f"{item} LIKE '%X'"),
        Mess("full_width", item, WIDE.format(item), 100, "normalise"),
        Mess("blanks", item, f"' ' || {item} || '　'", 100, "normalise"),
    )


_HOUSEHOLD = """
SELECT i AS _n, id_number, name, sex_code, ethnicity_code, birth::VARCHAR AS birth_date, birth_place_code,
    district.code AS household_region_code, address(i, 'home{moved}', district.name) AS household_address,
    lpad((100000 + i // 3)::VARCHAR, 9, '0') AS household_no,
    CASE WHEN age < 20 THEN '10' WHEN dice(i, 'wed', 100) < 85 THEN '20' ELSE '10' END AS marital_code,
    stamp(i, 'seen', '2025-10-01') AS updated_at
FROM person WHERE NOT newcomer
"""
_HOUSEHOLD_ITEMS = (
    ("id_number", "公民身份号码"),
    ("name", "姓名"),
    ("sex_code", "性别"),
    ("ethnicity_code", "民族"),
    ("birth_date", "出生日期"),
    ("birth_place_code", "出生地"),
    ("household_region_code", "户籍地区划"),
    ("household_address", "户籍地址"),
    ("household_no", "户号"),
    ("marital_code", "婚姻状况"),
    ("updated_at", "数据更新时间"),
)
# A month later: 2 % have moved, 0.1 % have a new name, 0.4 % have left, newcomers were born.
_HOUSEHOLD_LATER = """
SELECT i AS _n, coalesce(number_now, id_number) AS id_number, CASE WHEN chance(i, 'renamed', 100) THEN person_name(i, 'renamed') ELSE name END AS name,
    sex_code, ethnicity_code, birth::VARCHAR AS birth_date, birth_place_code, district.code AS household_region_code,
    CASE WHEN chance(i, 'moved', 2000) THEN address(i, 'newhome', district.name)
         ELSE address(i, 'home', district.name) END AS household_address,
    lpad((100000 + i // 3)::VARCHAR, 9, '0') AS household_no,
    CASE WHEN age < 20 THEN '10' WHEN dice(i, 'wed', 100) < 85 THEN '20' ELSE '10' END AS marital_code,
    stamp(i, 'seen', '2025-11-01') AS updated_at
FROM person LEFT JOIN renumbered USING (i) WHERE NOT chance(i, 'left', 400)
"""
_HOUSEHOLD_MESSES = (
    *resident_messes(),
    Mess("missing", "name", "NULL", 60, "quarantine", "name.required"),
    Mess("bad_code", "ethnicity_code", "'77'", 80, "quarantine", "ethnicity_code.code"),
    Mess("bad_date", "birth_date", "'2023-02-30'", 50, "quarantine", "birth_date.type"),
    Mess("date_style", "birth_date", "strftime(birth_date::DATE, '%Y年%-m月%-d日')", 300, "normalise"),
    Mess("too_long", "household_no", "'户' || repeat('0', 40)", 40, "quarantine", "household_no.length"),
)
# Who left the register and is known to nobody else is closed, not dropped.

_INSURANCE = """
SELECT i AS _n, id_number, CASE WHEN chance(i, 'hrname', 500) THEN person_name(i, 'hrname') ELSE name END AS name,
    e.entity_name AS employer, e.uscc AS employer_uscc, (3500 + 50 * dice(i, 'base', 300))::VARCHAR || '.00' AS contribution_base,
    CASE WHEN dice(i, 'state', 20) = 0 THEN '2' ELSE '1' END AS insurance_status, stamp(i, 'hr', '2025-10-05') AS updated_at
FROM person p JOIN entity e ON e.j = dice(i, 'employer', {entities})
WHERE age BETWEEN 22 AND 60 AND NOT newcomer AND dice(i, 'insured', 100) < 80
"""
_INSURANCE_ITEMS = (
    ("id_number", "身份证号"),
    ("name", "姓名"),
    ("employer", "单位名称"),
    ("employer_uscc", "单位统一社会信用代码"),
    ("contribution_base", "缴费基数"),
    ("insurance_status", "参保状态"),
    ("updated_at", "更新时间"),
)
_FUND = """
SELECT i AS _n, lpad((4201000000 + i)::VARCHAR, 12, '0') AS account_no, id_number, name,
    CASE WHEN chance(i, 'oldjob', 3000) THEN '演示市' || pick(i, 'oldjob', getvariable('trades')) || '有限公司'
         ELSE e.entity_name END AS employer,
    mobile(i, CASE WHEN chance(i, 'newphone', 4000) THEN 'new' ELSE 'own' END) AS mobile, (200 + 10 * dice(i, 'deposit', 300))::VARCHAR || '.00' AS monthly_deposit,
    stamp(i, 'fund', '2025-10-08') AS updated_at
FROM person p JOIN entity e ON e.j = dice(i, 'employer', {entities})
WHERE age BETWEEN 24 AND 59 AND NOT newcomer AND dice(i, 'fund', 100) < 40 {less}
"""
_FUND_ITEMS = (
    ("account_no", "个人账号"),
    ("id_number", "证件号码"),
    ("name", "姓名"),
    ("employer", "单位名称"),
    ("mobile", "手机号"),
    ("monthly_deposit", "月缴存额"),
    ("updated_at", "更新时间"),
)


def sheets(entities: int) -> tuple[Sheet, ...]:
    """First batches, then what comes a month later: an update, one that is rejected, one that is held. `entities`: employers."""
    return (
        Sheet("police_household", 1, _HOUSEHOLD_ITEMS, _HOUSEHOLD.format(moved=""), _HOUSEHOLD_MESSES),
        Sheet(
            "police_family",
            1,
            (
                ("id_number", "公民身份号码"),
                ("relative_id_number", "亲属公民身份号码"),
                ("relative_name", "亲属姓名"),
                ("relation", "关系"),
            ),
            """SELECT 3 * p.i + r.i % 3 AS _n, p.id_number, r.id_number AS relative_id_number, r.name AS relative_name,
                   CASE r.sex_code WHEN '1' THEN '父亲' ELSE '母亲' END AS relation
               FROM person p JOIN person r ON r.i // 3 = p.i // 3
               WHERE p.age < 18 AND r.age >= 24 AND NOT p.newcomer AND NOT r.newcomer""",
            resident_messes(),
        ),
        Sheet(
            "police_residence",
            1,
            (
                ("id_number", "公民身份号码"),
                ("name", "姓名"),
                ("residence_address", "居住地址"),
                ("mobile", "联系电话"),
                ("permit_until", "有效期至"),
                ("updated_at", "更新时间"),
            ),
            """SELECT i AS _n, id_number, name, address(i, 'flat', district.name) AS residence_address,
                   mobile(i, 'own') AS mobile, day(i, 'permit', '2026-01-01', 1000)::VARCHAR AS permit_until,
                   stamp(i, 'permit', '2025-10-02') AS updated_at
               FROM person WHERE NOT newcomer AND dice(i, 'permit', 100) < 30""",
            (*resident_messes(), Mess("short_mobile", "mobile", "left(mobile, 10)", 400, "warn", "dept.mobile_form")),
            delimiter="\t",
        ),
        Sheet(
            "civil_marriage",
            1,
            (
                ("id_number", "公民身份号码"),
                ("marital_code", "婚姻状况"),
                ("registered_on", "登记日期"),
                ("registry", "登记机关"),
                ("updated_at", "更新时间"),
            ),
            """SELECT i AS _n, id_number, CASE WHEN chance(i, 'divorced', 9000) THEN '40' WHEN chance(i, 'widowed', 3000) THEN '30'
                   ELSE '20' END AS marital_code, day(i, 'married', '2005-01-01', 7000)::VARCHAR AS registered_on,
                   '演示市' || district.name || '婚姻登记处' AS registry, stamp(i, 'married', '2025-10-03') AS updated_at
               FROM person WHERE age >= 22 AND NOT newcomer AND dice(i, 'wed', 100) < 85""",
            (*resident_messes(), Mess("bad_code", "marital_code", "'55'", 60, "quarantine", "marital_code.code")),
            duplicates=80,
            form="gb18030",
        ),
        Sheet(
            "civil_allowance",
            1,
            (("id_number", "公民身份号码"), ("name", "姓名"), ("household_size", "人数"), ("monthly_amount", "月补助金额")),
            """SELECT i AS _n, id_number, name, (1 + dice(i, 'size', 5))::VARCHAR AS household_size,
                   (300 + dice(i, 'amount', 900))::VARCHAR || '.50' AS monthly_amount
               FROM person WHERE NOT newcomer AND chance(i, 'allowance', 1500)""",
            resident_messes(),
            form="utf-8-sig",
        ),
        Sheet(
            "hr_insurance",
            1,
            _INSURANCE_ITEMS,
            _INSURANCE.format(entities=entities),
            (*resident_messes(), Mess("missing", "name", "NULL", 60, "quarantine", "name.required")),
        ),
        Sheet(
            "hr_qualification",
            1,
            (
                ("certificate_no", "证书编号"),
                ("id_number", "身份证号"),
                ("occupation", "职业名称"),
                ("grade", "等级"),
                ("issued_on", "发证日期"),
            ),
            """SELECT i AS _n, 'DM' || lpad(i::VARCHAR, 12, '0') AS certificate_no, id_number,
                   pick(i, 'job', ['电工', '焊工', '中式烹调师', '育婴员', '保育师', '汽车维修工']) AS occupation,
                   (1 + dice(i, 'grade', 5))::VARCHAR AS grade, day(i, 'cert', '2012-01-01', 4500)::VARCHAR AS issued_on
               FROM person WHERE age BETWEEN 20 AND 62 AND NOT newcomer AND chance(i, 'qualified', 4000)""",
            resident_messes(),
        ),
        Sheet(
            "health_birth",
            1,
            (
                ("certificate_no", "出生医学证明编号"),
                ("id_number", "公民身份号码"),
                ("name", "新生儿姓名"),
                ("birth_date", "出生日期"),
                ("birth_place_code", "出生地"),
                ("weight_grams", "体重"),
            ),
            """SELECT i AS _n, 'DM' || lpad(i::VARCHAR, 9, '0') AS certificate_no, id_number,
                   CASE WHEN chance(i, 'babyname', 1500) THEN person_name(i, 'baby') ELSE name END AS name,
                   birth::VARCHAR AS birth_date, birth_place_code, (2400 + dice(i, 'weight', 1900))::VARCHAR AS weight_grams
               FROM person WHERE birth >= DATE '2023-01-01'""",
            (Mess("odd_weight", "weight_grams", "'45'", 900, "warn", "dept.weight_plausible"),),
            delimiter=";",
        ),
        Sheet(
            "health_death",
            1,
            (("id_number", "公民身份号码"), ("death_flag", "是否死亡"), ("death_date", "死亡日期")),
            """SELECT i AS _n, id_number, '是' AS death_flag, day(i, 'death', '2024-06-01', 450)::VARCHAR AS death_date
               FROM person WHERE age >= 60 AND NOT newcomer AND chance(i, 'death', 3000)""",
            resident_messes(),
        ),
        Sheet(
            "education_record",
            1,
            (
                ("id_number", "身份证号"),
                ("name", "姓名"),
                ("education_code", "学历"),
                ("school", "学校"),
                ("graduated_on", "毕业日期"),
            ),
            """SELECT i AS _n, id_number, CASE WHEN chance(i, 'eduname', 300) THEN person_name(i, 'eduname') ELSE name END AS name,
                   pick(i, 'edu', ['10', '20', '20', '30', '30', '40', '60', '70']) AS education_code,
                   '演示市第' || (1 + dice(i, 'school', 40)) || '中学' AS school,
                   CASE WHEN dice(i, 'grad', 5) > 0 THEN day(i, 'grad', '2000-06-01', 8800)::VARCHAR END AS graduated_on
               FROM person WHERE age BETWEEN 16 AND 45 AND NOT newcomer AND dice(i, 'schooled', 100) < 75""",
            (*resident_messes(), Mess("bad_code", "education_code", "'25'", 90, "quarantine", "education_code.code")),
        ),
        Sheet("fund_account", 1, _FUND_ITEMS, _FUND.format(entities=entities, less=""), resident_messes()),
        Sheet("police_household", 2, _HOUSEHOLD_ITEMS, _HOUSEHOLD_LATER, _HOUSEHOLD_MESSES),
        Sheet(
            "hr_insurance",
            2,
            _INSURANCE_ITEMS,
            _INSURANCE.format(entities=entities),
            (*resident_messes(bad=11_000), Mess("missing", "name", "NULL", 60, "quarantine", "name.required")),
            decision="rejected",
        ),
        Sheet(
            "fund_account",
            2,
            _FUND_ITEMS,
            _FUND.format(entities=entities, less="AND dice(i, 'half', 2) = 0"),
            resident_messes(),
            decision="held",
        ),
    )
