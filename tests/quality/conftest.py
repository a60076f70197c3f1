"""An engine connection for the tests that judge expressions, not pushes."""

from collections.abc import Iterator

import pytest
from duckdb import DuckDBPyConnection

from exchange import engine
from exchange.seal import Seal
from exchange.settings import read_settings


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DuckDBPyConnection]:
    """A connection of the house's own kind, without a house."""
    folder = tmp_path_factory.mktemp("engine")
    settings = read_settings(data=folder / "var", keys=folder / "keys", _env_file=None)
    with engine.connect(settings, Seal.create(settings.key_folder)) as opened:
        yield opened
