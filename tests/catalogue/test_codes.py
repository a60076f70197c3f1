"""Code tables: complete where the standard is short, current where it moves."""

import pytest

from exchange.catalogue import codes
from exchange.errors import NotFound


@pytest.mark.parametrize(
    ("table", "size", "sample"),
    [
        ("sex", 4, {"1": "男性", "9": "未说明的性别"}),
        ("marital", 8, {"10": "未婚", "90": "未说明的婚姻状况"}),
        ("ethnicity", 58, {"01": "汉族", "05": "维吾尔族", "56": "基诺族", "97": "其他", "98": "外国血统中国籍人士"}),
        ("education", 8, {"20": "大学本科"}),
        ("political", 13, {"01": "中国共产党党员", "13": "群众"}),
        ("id_type", 19, {"001": "统一社会信用代码", "111": "公民身份号码", "553": "外国人永久居留身份证"}),
        ("disability_category", 7, {"7": "多重残疾"}),
        ("disability_level", 4, {"4": "四级"}),
        ("region", None, {"410800": "焦作市", "410802": "解放区", "411325": "内乡县", "140500": "晋城市"}),
    ],
)
def test_a_published_table(table: str, size: int | None, sample: dict[str, str]) -> None:
    found = codes.table(table)
    assert {code: found[code] for code in sample} == sample
    assert size is None or len(found) == size


def test_regions_are_those_of_today() -> None:
    regions = codes.table("region")
    assert len(regions) > 3000
    assert "440524" not in regions  # 潮阳县, abolished; such codes only warn, in quality/


def test_every_built_in_table_is_there() -> None:
    assert all(codes.table(name) for name in codes.BUILT_IN)


def test_a_table_is_a_copy() -> None:
    codes.table("sex")["1"] = "changed"
    assert codes.table("sex")["1"] == "男性"


def test_no_such_table() -> None:
    with pytest.raises(
        NotFound, match=r"没有代码表 sexx，现有 cert_status、.* / there is no code table sexx; there are cert"
    ):
        codes.table("sexx")
