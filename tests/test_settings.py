"""Settings: a wrong one names itself, secrets stay hidden, and the documentation is the code."""

from pathlib import Path

import pytest

from exchange.databases import Databases
from exchange.errors import SettingError, Unavailable
from exchange.seal import Seal
from exchange.settings import Settings, documentation, read_settings

ROOT = Path(__file__).parents[1]


def test_a_wrong_setting_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXCHANGE_LOG_MONTHS", "12")
    with pytest.raises(SettingError, match=r"EXCHANGE_LOG_MONTHS: Input should be greater than or equal to 36"):
        read_settings(_env_file=None)


def test_the_keys_may_not_lie_with_the_data(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"EXCHANGE_KEYS .* must not lie inside the data folder"):
        _ = read_settings(_env_file=None, data=tmp_path, keys=tmp_path / "keys").key_folder


def test_a_database_address_without_a_user_names_the_setting(tmp_path: Path) -> None:
    settings = read_settings(_env_file=None, data=tmp_path / "d", keys=tmp_path / "k", database_url="postgresql://host/db")
    with pytest.raises(SettingError, match="EXCHANGE_DATABASE_URL must look like"):
        Databases.find(settings, Seal.create(tmp_path / "k"))


def test_a_folder_without_a_database_says_what_to_run(tmp_path: Path) -> None:
    settings = read_settings(_env_file=None, data=tmp_path / "d", keys=tmp_path / "k")
    with pytest.raises(Unavailable, match="run `exchange migrate` first"):
        Databases.find(settings, Seal.create(tmp_path / "k"))


def test_secrets_are_masked() -> None:
    settings = read_settings(_env_file=None, database_url="postgresql://u:hunter2@h/d")
    assert "hunter2" not in repr(settings) + str(settings.model_dump())


def test_sizes_are_written_as_people_write_them() -> None:
    assert read_settings(_env_file=None, max_parcel="2GiB").max_parcel == 2 * 1024**3


def test_every_setting_is_documented() -> None:
    assert (ROOT / "docs/settings.md").read_text() == documentation()
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
