"""What the terminal shows is the data, letter by letter: nothing in it is taken for markup."""

import json

import pytest
import typer

from api.terminal import exit_code, mistakes_explained, show
from exchange import errors, faults
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
    zh, en = capsys.readouterr().err.splitlines()
    assert zh.startswith("平台内部错误，请告诉管理员：ConversionException at test_terminal.py:")
    assert "CANARY" not in zh
    assert en == "a fault of the platform, not yours; tell the operator"


def test_machines_get_one_object_for_a_mistake_a_fault_and_an_interruption(capsys: pytest.CaptureFixture[str]) -> None:
    def told(error: BaseException) -> tuple[object, dict[str, object]]:
        with pytest.raises(typer.Exit) as ended, mistakes_explained(as_json=True):
            raise error
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.endswith("}\n")
        problem: dict[str, object] = json.loads(shown.err)
        return ended.value.exit_code, problem

    mistake = {"code": "not-found", "zh": "没有", "en": "none", "facts": {"base": "x"}}
    assert told(errors.NotFound("没有", "none", base="x")) == (7, mistake)
    unforeseen = ValueError("CANARY 13800138000")
    code, fault = told(unforeseen)
    places = faults.places(unforeseen)
    assert places.startswith(f"ValueError at test_terminal.py:{told.__code__.co_firstlineno + 2} told < ")
    assert (code, fault) == (
        1,
        {
            "code": "internal",
            "zh": f"平台内部错误，请告诉管理员：{places}",
            "en": "a fault of the platform, not yours; tell the operator",
            "facts": {"places": places},
        },
    )
    interrupted = {"code": "interrupted", "zh": "已中断，可重新执行", "en": "interrupted; run it again", "facts": {}}
    assert told(KeyboardInterrupt()) == (130, interrupted)
