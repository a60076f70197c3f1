"""What the terminal shows is the data, letter by letter: nothing in it is taken for markup."""

import pytest

from api.terminal import exit_code, mistakes_explained, show
from exchange import errors
from exchange.house import House

ODD = "[bold]栋[a]x[/b]红"


def test_data_is_never_markup(capsys: pytest.CaptureFixture[str]) -> None:
    show([{"name": ODD}], as_json=False)
    show({"name": ODD, "list": [{"x": ODD}]}, as_json=False)
    show(ODD, as_json=False)
    assert capsys.readouterr().out.count(ODD) == 4


def test_an_error_quoting_odd_text_is_shown_as_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException, match="7") as ended, mistakes_explained(as_json=False):
        raise errors.NotFound(f"没有 {ODD}", f"no {ODD}")
    assert getattr(ended.value, "exit_code", None) == 7
    assert capsys.readouterr().err.count(ODD) == 2


def test_every_error_has_an_exit_code() -> None:
    assert exit_code(errors.DigestMismatch("x", "x")) == 5
    assert exit_code(errors.RequestInvalid("x", "x")) == 2


def test_a_fault_of_ours_shows_where_and_not_a_word_of_what(capsys: pytest.CaptureFixture[str], house: House) -> None:
    with pytest.raises(BaseException, match="1") as ended, mistakes_explained(as_json=False), house.duckdb() as connection:
        connection.execute("SELECT CAST('CANARY 13800138000' AS INTEGER)")
    assert getattr(ended.value, "exit_code", None) == 1
    shown = capsys.readouterr().err
    assert "ConversionException at test_terminal.py:" in shown.replace("\n", "")
    assert "CANARY" not in shown
    assert "Traceback" not in shown
