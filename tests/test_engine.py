"""The one place that opens DuckDB: an extension is loaded only from a file whose signature is right."""

import shutil
from pathlib import Path

import duckdb
import pytest

from exchange import engine
from exchange.house import House

CHANGED_AT = 5_000_000  # somewhere in the code


@pytest.fixture
def extension(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of httpfs that the engine takes for the installed one, in a process that has seen none yet."""
    copy = tmp_path / "httpfs.duckdb_extension"
    shutil.copy(engine._extension("httpfs"), copy)
    monkeypatch.setattr(engine, "_extension", lambda _: copy)
    monkeypatch.setattr(engine, "_checked", set())
    return copy


def change(extension: Path) -> None:
    with extension.open("r+b") as file:
        file.seek(CHANGED_AT)
        byte = file.read(1)
        file.seek(CHANGED_AT)
        file.write(bytes([byte[0] ^ 1]))


def loaded(house: House) -> list[tuple[object, ...]]:
    with house.duckdb() as connection:
        return connection.execute(
            "SELECT extension_name, current_setting('allow_unsigned_extensions') FROM duckdb_extensions() "
            "WHERE loaded AND extension_name = 'httpfs'"
        ).fetchall()


def test_a_changed_extension_is_not_loaded(house: House, extension: Path) -> None:
    change(extension)
    with pytest.raises(duckdb.Error):
        loaded(house)


def test_nor_when_it_changed_after_this_process_had_checked_it(house: House, extension: Path) -> None:
    assert loaded(house) == loaded(house) == [("httpfs", False)]
    change(extension)
    with pytest.raises(duckdb.Error):
        loaded(house)


def test_what_was_checked_once_is_not_hashed_again_and_nothing_else_may_be_unsigned(house: House, extension: Path) -> None:
    loaded(house)
    assert {mark[0] for mark in engine._checked} == {str(extension)}
    assert loaded(house) == [("httpfs", False)]
