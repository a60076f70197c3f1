"""What the engine masks is what `masked` masks, for any text."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exchange.delivery.mask import MASKS, masked
from exchange.delivery.mask_sql import MASKS_SQL, masked_sql
from exchange.house import House

HARD = [
    None, "", "王", "王五", "王小五", "欧阳", "欧阳修", "欧阳修远", "王欧阳", "11010519491231002X", "13900001234", "0915-1234579",
    "010-12345678", "021-1", "0", "-", "029-", "市", "市区", "焦作市解放区民主路12号", "焦作市温县黄庄镇东村3号", "市镇甲", "县镇1", "温县",
    "a市b乡c", "\n市镇乡x", "甲\n市镇乡x", "武陟县城关", "沁阳市３号", "１２３４-０１-０２", "1990-03-01", "1990-03-01 08:00:00", "a@b", "@b", "ab@c@d", "a@",
    "6222020200112233445", "豫H12345", "😀😀😀@😀", "e\u0301lan@x.cn", "a\x00b",
]  # fmt: skip


def in_the_engine(house: House, rule: str, values: list[str | None]) -> list[str | None]:
    with house.duckdb() as connection:
        connection.execute("CREATE TEMP TABLE texts (n INTEGER, value VARCHAR)")
        connection.executemany("INSERT INTO texts VALUES (?, ?)", [[n, value] for n, value in enumerate(values)])
        rows = connection.execute(f"SELECT {masked_sql(rule, 'value')} FROM texts ORDER BY n").fetchall()
    return [row[0] for row in rows]


def test_there_is_one_for_each_rule() -> None:
    assert set(MASKS_SQL) == set(MASKS)


@pytest.mark.parametrize("rule", [*MASKS, "no such rule"])
def test_hard_texts(house: House, rule: str) -> None:
    assert in_the_engine(house, rule, list(HARD)) == [masked(rule, value) for value in HARD]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(
        st.one_of(
            st.text(st.sampled_from("市县区旗镇乡路街道大巷弄甲乙0139-@X*１ \n"), max_size=14),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
        ),
        min_size=60,
        max_size=200,
    )
)
@pytest.mark.parametrize("rule", MASKS)
def test_any_text(house: House, rule: str, texts: list[str]) -> None:
    assert in_the_engine(house, rule, list(texts)) == [masked(rule, value) for value in texts]
