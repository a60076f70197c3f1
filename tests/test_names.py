"""What a name may be is the same in the catalogue and at the doors; a line's end is not part of a name."""

import pytest
from pydantic import TypeAdapter, ValidationError

from exchange.catalogue.draft import BaseDraft, ResourceDraft
from exchange.catalogue.model import Slug
from exchange.errors import AccessRefused, NotFound
from exchange.house import House
from tests.intake.kit import HEALTH, declare, landing_of, publish, refusals


def test_a_lawful_name_is_looked_up_and_recorded(house: House) -> None:
    publish(house)
    assert TypeAdapter(Slug).validate_python("household") == "household"
    with pytest.raises(AccessRefused):
        landing_of(house, HEALTH, declare(b"x", 1, resource="household"), b"x")
    assert refusals(house) == [(HEALTH.department, "household", "access-refused")]


def test_an_unlawful_name_is_no_name_anywhere(house: House) -> None:
    publish(house)
    names = ("household\n", "household\r\n", "\nhousehold", "Household", "h", "h" * 49, "住户", "")
    for name in names:
        with pytest.raises(ValidationError):
            TypeAdapter(Slug).validate_python(name)
        with pytest.raises(NotFound, match="check its id"):
            landing_of(house, HEALTH, declare(b"x", 1, resource=name), b"x")
    assert refusals(house) == [(HEALTH.department, None, "not-found")] * len(names)


@pytest.mark.parametrize(
    ("draft", "field", "lawful"),
    [(ResourceDraft, "prefix", "307016"), (BaseDraft, "key_identifier", "uscc"), (BaseDraft, "id", "population")],
)
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_what_a_catalogue_file_writes_ends_where_its_pattern_ends(
    draft: type[ResourceDraft | BaseDraft], field: str, lawful: str, end: str
) -> None:
    with pytest.raises(ValidationError) as found:  # every other field is missing, and that is found as well
        draft.model_validate({field: lawful + end})
    refused = {one["type"] for one in found.value.errors() if one["loc"] == (field,)}
    assert refused == ({"literal_error" if field == "key_identifier" else "string_pattern_mismatch"} if end else set())
