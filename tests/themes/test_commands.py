"""The commands of a theme, from the catalogue to an answer."""

from typing import Any

import pytest

from exchange import grants, themes
from exchange.house import House
from tests import make
from tests.api.commands import Terminal
from tests.themes.kit import AUTHORITY, LI, PURPOSE, city, couples


@pytest.fixture
def terminal(house: House, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(house, monkeypatch)


def give(terminal: Terminal, target: str, *fields: str, mode: str = "theme", department: str = make.CIVIL) -> None:
    words: list[Any] = [f"--{name}={value}" for value in fields for name in ("field", "unmasked")]
    until = f"--until={grants.today().year + 1}-12-31"
    terminal.json(
        "grant", "give", department, target, *words, "--purpose", PURPOSE, "--basis", "某法", until, "--mode", mode
    )


def test_from_submission_to_an_answer(house: House, terminal: Terminal) -> None:
    city(house, couples())
    refused = terminal.json("theme", "submit", "couples", code=6)
    assert (refused["code"], refused["facts"]["reason"]) == ("access-refused", "no-grant")
    give(terminal, "base:population", "id_number", "name", "birth_date")
    give(terminal, "pool:civil_marriage", "id_number", "marital_code")
    assert terminal.json("theme", "submit", "couples")["state"] == "submitted"
    refused = terminal.json("theme", "approve", "couples", 1, "--reason", "好", code=6)
    assert refused["facts"]["reason"] == "same-person"  # the account that submitted
    assert "theme-not-approved" in str(terminal.json("theme", "build", "couples", code=8)["facts"])
    themes.approve(house, AUTHORITY, "couples", 1, "符合用途")
    built = terminal.json("theme", "build", "couples")
    assert (built["number"], built["rows"], built["theme_version"]) == (1, 2, 1)
    assert terminal.json("theme", "build", "couples") == {"theme": "couples", "unchanged": True}
    listed = terminal.json("theme", "list")
    assert [(one["id"], one["version"], one["state"], one["in_force"]) for one in listed] == [("couples", 1, "approved", 1)]
    shown = terminal.json("theme", "show", "couples")
    assert [one["id"] for one in shown["builds"]] == [built["id"]]
    assert shown["definition"]["reads"] == {
        "base:population": ["birth_date", "id_number", "name"],
        "pool:civil_marriage": ["id_number", "marital_code"],
    }
    assert "符合用途" in terminal.run("theme", "show", "couples")
    give(terminal, "theme:couples", "name", mode="query", department=make.TAX)
    asked = ["query", "theme:couples", LI, "--department", make.TAX, "--field", "name", "--purpose", PURPOSE]
    assert terminal.json(*asked)["records"][0]["values"] == {"name": "李生成"}
    themes.reject(house, AUTHORITY, "couples", 1, "撤销")
    assert terminal.json(*asked, code=7)["code"] == "not-found"
    assert "撤销" in terminal.run("theme", "list")


def test_a_theme_that_waits_says_for_what(house: House, terminal: Terminal) -> None:
    make.small_city(house, themes=[couples()])
    give(terminal, "base:population", "id_number", "name", "birth_date")
    give(terminal, "pool:civil_marriage", "id_number", "marital_code")
    terminal.json("theme", "submit", "couples")
    themes.approve(house, AUTHORITY, "couples", 1, "好")
    assert terminal.json("theme", "build", "couples") == {
        "theme": "couples",
        "waiting": ["base:population", "pool:civil_marriage"],
    }
    themes.reject(house, AUTHORITY, "couples", 1, "不再需要")
    assert terminal.json("theme", "show", "couples")["versions"][0]["reason"] == "不再需要"
