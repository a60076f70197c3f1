"""Opening a house: the master key and the databases belong together."""

import traceback
from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest
from sqlalchemy import text

from api.terminal import exit_code
from exchange.databases import Databases
from exchange.errors import KeyMissing
from exchange.house import House, key_for
from exchange.registry import migrate
from exchange.seal import Seal
from exchange.settings import read_settings


def test_migrating_twice_changes_nothing(house: House) -> None:
    migrate(house.databases, house.seal, house.settings)
    house.registry.check_key(house.seal, house.settings)


def test_a_backup_without_its_master_key_is_useless_and_says_so(house: House) -> None:
    (house.settings.key_folder / "master.key").unlink()
    with pytest.raises(KeyMissing, match="without it a backup of the data is useless"):
        House.open(house.settings)


def test_another_master_key_is_refused(house: House, tmp_path: Path) -> None:
    other = read_settings(_env_file=None, **(house.settings.model_dump() | {"keys": tmp_path / "other"}))
    wrong = Seal.create(other.key_folder)
    before = state(house)
    actions: list[Callable[[], object]] = [
        lambda: House.open(other),
        lambda: migrate(house.databases, wrong, other),
    ]
    for action in actions:
        with pytest.raises(KeyMissing) as refused:
            action()
        assert refused.value.zh == (
            f"主密钥文件 {other.key_folder}/master.key 与数据文件夹 {other.root} 及其数据库不符：不是初始化时的那一把，用它什么都读不出。"
            "什么都没有改变；请从单独保管的备份恢复原来的密钥文件，或核对 EXCHANGE_KEYS、EXCHANGE_DATA 是否指对了地方"
        )
        assert "does not fit the data folder" in refused.value.en
        assert "restore the original key file from its own backup" in refused.value.en
        assert exit_code(refused.value) == 3
    assert state(house) == before


def state(house: House) -> tuple[object, list[str]]:
    with house.registry.session() as session:
        kept = session.scalar(text("SELECT key_fingerprint FROM house"))
    return kept, sorted(str(path) for path in house.settings.root.rglob("*"))


def test_no_key_is_made_beside_data_that_another_has_sealed(house: House) -> None:
    folder = house.settings.key_folder
    assert key_for(house.settings).fingerprint() == house.seal.fingerprint()
    (house.settings.folder("log") / "anchor").touch()
    (folder / "master.key").unlink()
    with pytest.raises(KeyMissing, match="不存在：没有它，数据备份无法读取。请从单独保管的备份恢复"):
        key_for(house.settings)
    assert list(folder.iterdir()) == []


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
