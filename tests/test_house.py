"""Opening a house: the master key and the databases belong together."""

import traceback
from pathlib import Path

import duckdb
import pytest

from exchange.databases import Databases
from exchange.errors import KeyMissing
from exchange.house import House
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import read_settings


def test_migrating_twice_changes_nothing(house: House) -> None:
    migrate(house.databases, house.seal)
    house.registry.check_key(house.seal)


def test_a_backup_without_its_master_key_is_useless_and_says_so(house: House) -> None:
    (house.settings.key_folder / "master.key").unlink()
    with pytest.raises(KeyMissing, match="without it a backup of the data is useless"):
        House.open(house.settings)


def test_another_master_key_is_refused(house: House, tmp_path: Path) -> None:
    other = read_settings(_env_file=None, **(house.settings.model_dump() | {"keys": tmp_path / "other"}))
    Seal.create(other.key_folder)
    with pytest.raises(KeyMissing, match="not the master key the house was made with"):
        House.open(other)


def test_the_lake_opens_empty(house: House) -> None:
    with house.lake() as connection:
        assert connection.execute("SELECT count(*) FROM lake.snapshots()").fetchone() == (1,)


@pytest.mark.parametrize("lake", [False, True])
def test_an_engine_error_leaves_with_its_class_and_place_but_not_its_text(house: House, lake: bool) -> None:
    statement = "SELECT CAST('CANARY 13800138000' AS INTEGER)"
    with pytest.raises(duckdb.ConversionException) as ended, (house.lake if lake else house.duckdb)() as connection:
        connection.execute(statement)
    assert ended.type is duckdb.ConversionException
    assert str(ended.value) == "the engine's own words are left out: they quote data"
    shown = "".join(traceback.format_exception(ended.value))
    assert "test_house.py" in shown
    assert "Could not convert string" not in shown


def test_addresses_never_show_passwords(house: House) -> None:
    shown = repr(house.settings) + repr(Databases.find(house.settings, house.seal)) + repr(house.seal)
    assert house.databases.control.password not in shown
