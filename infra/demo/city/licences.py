"""Electronic licences (GB/T 36904) of companies and people, by their issuers and as they were collected."""

from infra.demo.city.sheet import Mess, Sheet

MARKET, HR = "11420100DM90000601", "11420100DM9000036G"  # who issues licences: see catalogue/departments.yaml

# Electronic licences: of food for companies, of a trade for people; what becomes of each is drawn beside it.
LICENCE = f"""
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


def cert_messes() -> tuple[Mess, ...]:
    """What happens to licences: mistyped identifiers, lower case, a status that no table has."""
    other = "left({0}, length({0}) - 1) || CASE right({0}, 1) WHEN '0' THEN '1' ELSE '0' END".format("cert_identifier")
    return (
        Mess("bad_check", "cert_identifier", other, 300, "quarantine", "cert_identifier.cert_identifier"),
        Mess("lower", "cert_identifier", "lower(cert_identifier)", 500, "normalise"),
        Mess("bad_status", "status", "'88'", 200, "quarantine", "status.code"),
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


def sheets() -> tuple[Sheet, ...]:
    """First batches, then renewals."""
    return (
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
    )
