"""Masks: what a department sees of a sensitive value it was not granted plain."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from exchange.catalogue.model import Item
from exchange.delivery.mask import MASKS, masked

TABLE = [
    ("name", "王明", "王*"),
    ("name", "王小明", "王*明"),
    ("name", "欧阳明", "欧阳*"),
    ("name", "欧阳小明", "欧阳*明"),
    ("name", "买买提·艾力", "买****力"),
    ("name", "王", "*"),
    ("name", "欧阳", "欧*"),
    ("resident_number", "11010519491231002X", "110105********002X"),
    ("resident_number", "110105491231002", "110105*****1002"),
    ("resident_number", "1101", "****"),
    ("mobile", "13812345678", "138****5678"),
    ("mobile", "1381234", "*******"),
    ("phone", "0915-5678979", "0915-*****79"),
    ("phone", "09155678979", "0915*****79"),
    ("phone", "010-12345678", "010-******78"),
    ("phone", "5678979", "*****79"),
    ("address", "解放区民主路12号3单元402", "解放区民主路*********"),
    ("address", "修武县城关镇东关村三组", "修武县城关镇*****"),
    ("address", "修武县城关镇大位村", "修武县城关镇***"),
    ("address", "山阳区", "山阳*"),
    ("address", "12号楼", "****"),
    ("email", "zhangsan@example.gov.cn", "z*******@example.gov.cn"),
    ("email", "z@example.gov.cn", "*@example.gov.cn"),
    ("email", "no address", "**********"),
    ("bank_card", "6222021234567890123", "622202*********0123"),
    ("bank_card", "62220212", "********"),
    ("plate", "豫H12345", "豫H12**5"),
    ("plate", "豫HD12345", "豫HD1***5"),
    ("birth_date", "1990-03-07", "1990-03"),
    ("birth_date", "1990-03-07T08:00:00", "1990-03"),
    ("birth_date", "19900307", "********"),
    ("all", "重大疾病", "****"),
    ("all", 40, "**"),
    ("all", True, "****"),
    ("a rule nobody wrote", "什么", "**"),
    ("name", None, None),
    ("all", "", ""),
]


@pytest.mark.parametrize(("rule", "value", "shown"), TABLE)
def test_the_table(rule: str, value: str | int | bool | None, shown: str | None) -> None:
    assert masked(rule, value) == shown


def test_every_mask_of_the_catalogue_exists_and_is_in_the_table() -> None:
    named = set(next(arg for arg in Item.model_fields["mask"].annotation.__args__ if arg is not type(None)).__args__)
    assert named == set(MASKS) == {rule for rule, _, _ in TABLE} - {"a rule nobody wrote"}


@given(st.sampled_from(sorted(MASKS)), st.text(min_size=1, max_size=40))
def test_a_mask_always_hides_something_and_keeps_the_length(rule: str, value: str) -> None:
    assume("*" not in value)
    shown = masked(rule, value)
    assert isinstance(shown, str)
    assert shown != value
    if rule != "birth_date":
        assert len(shown) == len(value)
        assert "*" in shown
