"""Every setting, read once from the environment (prefix EXCHANGE_) or a `.env` file.

Invariant: nothing else in the house reads the environment, and nothing changes a setting after it was read.
Secrets are masked in every representation. docs/settings.md is generated from the descriptions below.
"""

import sys
from functools import cached_property
from pathlib import Path
from typing import Annotated

from pydantic import ByteSize, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from exchange.errors import SettingError


class Settings(BaseSettings):
    """All settings with their defaults. Paths are made absolute on reading."""

    model_config = SettingsConfigDict(env_prefix="EXCHANGE_", env_file=".env", extra="ignore", frozen=True)

    data: Annotated[Path, Field(description="The data folder: lake, landing, quarantine, index, logs.")] = Path("var")
    keys: Annotated[
        Path, Field(description="The folder of the master key. Must lie outside the data folder; back it up apart.")
    ] = Path("keys")
    database_url: Annotated[
        SecretStr | None,
        Field(
            description="Control database on your own PostgreSQL 16+ (postgresql://user:password@host/db). "
            "Unset: an embedded server in the data folder."
        ),
    ] = None
    lake_url: Annotated[
        SecretStr | None,
        Field(description="The lake's catalogue database. Unset: database `exchange_lake` beside the control database."),
    ] = None
    airflow_url: Annotated[
        SecretStr | None,
        Field(description="Airflow's metadata database. Unset: database `exchange_airflow` beside the control database."),
    ] = None
    inbox: Annotated[
        Path | None,
        Field(
            description="The watched folder: `<inbox>/<department code>/FILE` and, written last, `FILE.manifest.json` become a "
            "push. Whoever may write into a department's folder speaks for it. Unset: `inbox` in the data folder."
        ),
    ] = None
    max_parcel: Annotated[ByteSize, Field(description="The largest push accepted, in bytes (`4GiB` works too).")] = (
        ByteSize(4 * 1024**3)
    )
    spare_disk: Annotated[ByteSize, Field(description="Free disk that a push must leave untouched.")] = ByteSize(1024**3)
    keep_landed_pushes: Annotated[int, Field(ge=1, description="Landed bytes kept per resource: the last N pushes.")] = 3
    keep_landed_days: Annotated[int, Field(ge=1, description="Landed bytes kept at least this many days.")] = 30
    keep_versions: Annotated[
        int,
        Field(
            ge=1,
            description="Days for which `as of` reaches back: a version of a pool or build of a base is kept so long after "
            "the next one took its place. The newest is always kept.",
        ),
    ] = 400
    keep_delivered_versions: Annotated[
        int,
        Field(ge=1, description="The same for a version that a delivery record names: days after the last such record."),
    ] = 1096
    keep_quarantine: Annotated[
        int, Field(ge=1, description="Days after the verdict for which quarantined rows are kept.")
    ] = 90
    keep_row_errors: Annotated[
        int,
        Field(
            ge=1,
            description="Days after the verdict for which the row-error file is handed out; not longer than its rows are "
            "kept (EXCHANGE_KEEP_QUARANTINE).",
        ),
    ] = 90
    keep_staging: Annotated[
        int,
        Field(
            ge=1,
            description="Days for which judged rows wait for the pool; later they are made again from the landed bytes.",
        ),
    ] = 7
    keep_reports: Annotated[
        int, Field(ge=1, description="Days after the verdict for which Great Expectations' documents and pages are kept.")
    ] = 400
    upload_hours: Annotated[
        int, Field(ge=1, description="Hours after its beginning at which an upload in parts, not yet landed, is removed.")
    ] = 24
    memory_limit: Annotated[ByteSize, Field(description="Memory one engine connection may use.")] = ByteSize(2 * 1024**3)
    threads: Annotated[int, Field(ge=1, description="Threads one engine connection may use.")] = 2
    merge_buckets: Annotated[int, Field(ge=1, description="Key-hash buckets a merge goes through, one at a time.")] = 8
    merge_touched: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="Share of a base's records up to which a build makes only those anew that its pools touched, and at most "
            "one bucket's share; 0: every build makes everything anew.",
        ),
    ] = 0.10
    quarantine_threshold: Annotated[
        float,
        Field(
            gt=0, le=1, description="Share of failing rows above which a push is rejected, where a resource states none."
        ),
    ] = 0.05
    shrink_floor: Annotated[
        float,
        Field(ge=0, le=1, description="A full push below this share of the last accepted rows is held for confirmation."),
    ] = 0.70
    token_minutes: Annotated[int, Field(ge=1, le=24 * 60, description="Life of an access token, minutes.")] = 30
    log_months: Annotated[
        int,
        Field(
            ge=36,
            description="Months the evidence of sharing is kept. Law: at least 36 (条例 29; 网络数据安全管理条例 12).",
        ),
    ] = 36
    network_log_months: Annotated[
        int, Field(ge=6, description="Months the network log is kept. Law: at least 6 (网络安全法 23).")
    ] = 36
    mail_url: Annotated[
        SecretStr | None,
        Field(
            description="Mail server for verdicts: smtp://user:password@host:587 (STARTTLS where it is offered; without it a "
            "password is never sent) or smtps://…. Unset: no mail. A department's `email` stands in departments.yaml."
        ),
    ] = None
    mail_from: Annotated[str | None, Field(description="Sender of that mail; needed with EXCHANGE_MAIL_URL.")] = None
    webhooks: Annotated[
        bool, Field(description="Post verdicts, signed, to the `webhook` of a department in departments.yaml.")
    ] = False
    public_url: Annotated[
        str | None,
        Field(description="Where departments reach the HTTP door, for links. Unset: its own address and port."),
    ] = None
    api_host: Annotated[str, Field(description="Address the HTTP door listens on.")] = "127.0.0.1"
    api_port: Annotated[int, Field(ge=0, le=65535, description="Port of the HTTP door.")] = 8000
    airflow_port: Annotated[int, Field(ge=0, le=65535, description="Port of Airflow's own pages.")] = 8080
    airflow_parallelism: Annotated[int, Field(ge=1, description="Tasks Airflow runs at once.")] = 2
    postgres_port: Annotated[
        int, Field(ge=0, le=65535, description="Port of the embedded PostgreSQL; 0 picks a free one once and keeps it.")
    ] = 0

    @cached_property
    def root(self) -> Path:
        """The data folder, absolute."""
        return self.data.expanduser().resolve()

    @cached_property
    def key_folder(self) -> Path:
        """The key folder, absolute.

        Raises:
            SettingError: it lies inside the data folder, where one backup would take both lock and key.
        """
        folder = self.keys.expanduser().resolve()
        if folder.is_relative_to(self.root):
            raise SettingError(
                f"EXCHANGE_KEYS（{folder}）不能在数据目录 {self.root} 之内，请改到别处",
                f"EXCHANGE_KEYS ({folder}) must not lie inside the data folder {self.root}; put it elsewhere",
            )
        return folder

    @cached_property
    def inbox_folder(self) -> Path:
        """The watched folder, absolute; it need not be there."""
        return (self.inbox or self.root / "inbox").expanduser().resolve()

    @cached_property
    def public_address(self) -> str:
        """Where departments reach the HTTP door."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    def folder(self, name: str) -> Path:
        """A folder of the data folder, made (mode 0700) when missing."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path


def read_settings(**overrides: object) -> Settings:
    """Read the environment once.

    Raises:
        SettingError: naming the variable, what was found and what is expected.
    """
    try:
        return Settings(**overrides)  # type: ignore[arg-type]
    except ValidationError as error:
        lines = [
            f"EXCHANGE_{'_'.join(str(part) for part in finding['loc']).upper()}: {finding['msg']}"
            for finding in error.errors(include_input=False, include_url=False)
        ]
        raise SettingError("设置有误：" + "；".join(lines), "wrong settings: " + "; ".join(lines)) from None


def documentation() -> str:
    """docs/settings.md, as it must read: `python -m exchange.settings > docs/settings.md`."""
    lines = [
        "# Settings",
        "",
        "Environment variables, or lines of a `.env` file. Sizes take units (`512MiB`, `4GB`). Made by `python -m exchange.settings`.",
        "",
        "| setting | default | what it is for |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "–" if field.default is None else f"`{field.default}`"
        lines.append(f"| `EXCHANGE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(documentation())
