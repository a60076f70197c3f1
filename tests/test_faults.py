"""A fault is told by its class and its lines, innermost first, and never by its own words."""

import pytest

from exchange import faults


def stumbles(depth: int) -> None:
    if depth:
        stumbles(depth - 1)
    raise ValueError("CANARY 13800138000")


def test_a_fault_says_where_and_not_a_word_of_what() -> None:
    first = stumbles.__code__.co_firstlineno
    with pytest.raises(ValueError, match="CANARY") as ended:
        stumbles(1)
    entered = ended.traceback[0].lineno + 1
    assert faults.places(ended.value) == (
        f"ValueError at test_faults.py:{first + 3} stumbles < test_faults.py:{first + 2} stumbles "
        f"< test_faults.py:{entered} test_a_fault_says_where_and_not_a_word_of_what"
    )


def test_a_long_way_is_cut_to_its_innermost_lines() -> None:
    first = stumbles.__code__.co_firstlineno
    with pytest.raises(ValueError, match="CANARY") as ended:
        stumbles(50)
    inner, *outer = faults.places(ended.value).removeprefix("ValueError at ").split(" < ")
    assert inner == f"test_faults.py:{first + 3} stumbles"
    assert outer == [f"test_faults.py:{first + 2} stumbles"] * 5
