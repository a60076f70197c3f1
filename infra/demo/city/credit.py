"""Decisions about companies and people (双公示), by who decided and as they were made public."""

from infra.demo.city.licences import MARKET
from infra.demo.city.mess import OTHER_CHECK
from infra.demo.city.sheet import Mess, Sheet

# Decisions about companies and people; some about the same.
PENALTY = f"""
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


def party_messes() -> tuple[Mess, ...]:
    """What happens to parties' codes: mistyped, lower case where there is a letter."""
    return (
        Mess("bad_check", "party_code", OTHER_CHECK.format("party_code"), 400, "quarantine", "party_code.party_code"),
        Mess("lower", "party_code", "lower(party_code)", 2000, "normalise", None, "party_code <> lower(party_code)"),
    )


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


def sheets() -> tuple[Sheet, ...]:
    """One batch of each; several rows may be about one party."""
    return (
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
    )
