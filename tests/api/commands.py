"""Commands run in this process against a test's own house: its settings are the environment."""

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from exchange.house import House


class Terminal:
    """A terminal whose environment is one house."""

    def __init__(self, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in house.settings.model_dump(exclude_none=True).items():
            plain = value.get_secret_value() if hasattr(value, "get_secret_value") else value
            monkeypatch.setenv(f"EXCHANGE_{name.upper()}", str(plain))
        monkeypatch.setenv("COLUMNS", "200")
        self._runner = CliRunner()

    def run(self, *words: object, code: int = 0) -> str:
        """What a command prints for people; its standard error when it fails."""
        done = self._runner.invoke(app, [str(word) for word in words])
        assert done.exit_code == code, done.output
        return done.stdout if code == 0 else done.stderr

    def json(self, *words: object, code: int = 0) -> Any:
        """The same for machines."""
        return json.loads(self.run(*words, "--json", code=code))
