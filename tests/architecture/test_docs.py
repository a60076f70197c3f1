"""What is written down is what there is: commands, events, errors."""

import inspect
from pathlib import Path

from api.reference import reference
from exchange import errors
from exchange.events import Tag

ROOT = Path(__file__).parents[2]


def test_every_command_and_exit_code_is_documented() -> None:
    assert (ROOT / "docs/cli.md").read_text() == reference()


def test_every_error_stands_in_the_tree_drawn_on_top() -> None:
    drawn = errors.__doc__ or ""
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, errors.ExchangeError)]
    assert [kind.__name__ for kind in kinds if kind.__name__ not in drawn] == []
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert [kind.__name__ for kind in kinds if not kind.__doc__] == []


def test_event_tags_read_source_subject_action() -> None:
    assert [tag for tag in Tag if len(tag.value.split(":")) != 3] == []
