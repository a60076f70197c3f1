"""A key as it is typed, as it is stored and as evidence hashes it: one spelling each, whatever the blanks and the width."""

from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange import keys
from exchange.catalogue.model import DataType, Item
from exchange.errors import RequestInvalid
from exchange.house import House
from exchange.keys import KeyItem
from pools import index
from pools.reader import IndexReader
from quality.normalise import cleaned, finished, typed
from tests.make import resident
from tests.pools.given import entered, item, pooled, resource

PERSON = KeyItem("person", identifier="resident_number")
COMPANY = KeyItem("company", identifier="uscc")
ORGANISATION, REGISTRATION = KeyItem("org", identifier="org_code"), KeyItem("reg", identifier="registration_no")
WORD, COUNT, DAY = KeyItem("word"), KeyItem("count", DataType.INTEGER), KeyItem("day", DataType.DATE)


@pytest.mark.parametrize(
    ("part", "typed_", "stored"),
    [
        (PERSON, " １１０１０１ 19491231 002x ", "11010119491231002X"),
        (PERSON, "110101491231002", "11010119491231002" + "7"),
        (COMPANY, "91440300 1922038216", "914403001922038216"),
        (ORGANISATION, " １9220382－1", "192203821"),
        (ORGANISATION, "m000100y-4", "M000100Y4"),
        (ORGANISATION, "19220-3821", "19220-3821"),  # a dash elsewhere is a mistake
        (REGISTRATION, "4108 0210 0012345", "410802100012345"),
        (WORD, "　豫Ⅱ-1 ", "豫Ⅱ-1"),  # no more is folded than the gate folds
        (WORD, "①号", "①号"),
        (WORD, "ａｂc", "abc"),
        (WORD, "A　B", "A　B"),
        (COUNT, "007", "7"),
        (COUNT, "-0", "0"),
        (DAY, "2022年8月1日", "2022-08-01"),
        (DAY, "20220801", "2022-08-01"),
    ],
)
def test_a_typed_key_is_spelled_as_the_gate_spells_it(part: KeyItem, typed_: str, stored: str) -> None:
    found = keys.stored((part,), typed_)
    assert found[:17] == stored[:17]
    assert found == by_the_gate(part, typed_)


def by_the_gate(part: KeyItem, text: str) -> str | None:
    form = Item(name=part.name, title=part.name, type=part.type, identifier=part.identifier)  # type: ignore[arg-type]
    with duckdb.connect() as connection:
        row = connection.execute(
            f"SELECT {typed(form, 'n')}::VARCHAR FROM (SELECT {finished(form, 'n')} AS n FROM "
            f"(SELECT {cleaned(form, 'x', as_code=True)} AS n FROM (SELECT ?::VARCHAR AS x)))",
            [text],
        ).fetchone()
    return None if row is None else row[0]


text = st.text(st.sampled_from("0123456789XxABab①Ⅱ豫ａＢ１　 \t\u200b|\\-"), min_size=1, max_size=20)


@given(part=st.sampled_from([PERSON, COMPANY, ORGANISATION, REGISTRATION, WORD]), typed_=text)
def test_door_and_gate_agree_on_any_text(part: KeyItem, typed_: str) -> None:
    assert (keys.stored((part,), typed_) or None) == by_the_gate(part, typed_)


@given(parts=st.lists(text, min_size=2, max_size=4))
def test_no_two_keys_of_several_items_are_written_alike(parts: list[str]) -> None:
    items = [KeyItem(f"k{place}") for place in range(len(parts))]
    written = "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)
    assert keys.split(written) == parts
    stored = keys.stored(items, written)
    assert keys.stored(items, stored) == stored
    assert keys.split(stored) == [keys.stored((item_,), part) for item_, part in zip(items, parts, strict=True)]


def test_a_key_with_too_few_parts_is_told_how_it_is_written() -> None:
    with pytest.raises(RequestInvalid, match=r"应写作 person\|word.*got 1"):
        keys.stored((PERSON, WORD), "11010119491231002X")


def test_rows_whose_keys_hold_bars_are_told_apart(house: House) -> None:
    odd = resource("odd", (item("xa"), item("xb"), item("what")), ("xa", "xb"))
    entered(house, odd)
    rows: list[dict[str, Any]] = [
        {"xa": "x|y", "xb": "z", "what": "first"},
        {"xa": "x", "xb": "y|z", "what": "second"},
        {"xa": "x\\", "xb": "", "what": "third"},
    ]
    pooled(house, odd, 1, rows)
    index.swap(house, "pool:odd")
    asked = [r"x\|y|z", r"x|y\|z", "x\\\\|"]
    found = IndexReader(house).lookup("pool:odd", asked).records
    assert [found[key] and found[key].values["what"] for key in asked] == ["first", "second", "third"]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "typed_",
    [resident(7), f" {resident(7)} ", f"{resident(7)}|养老", f"养老|{resident(7)}", "　" + resident(7).replace("1", "１")],
)
def test_evidence_is_about_the_person_in_the_key(typed_: str) -> None:
    assert keys.subject(typed_) == resident(7)


def test_a_number_of_fifteen_digits_is_the_same_person() -> None:
    assert keys.subject("110101491231002") == keys.subject(keys.stored((PERSON,), "110101491231002"))


def test_a_key_that_is_no_identifier_is_its_own_subject() -> None:
    assert [keys.subject(text_) for text_ in ("豫a-1", "甲|7", "\ud800", "a\\")] == ["豫A-1", "甲|7", "?", "A\\"]
