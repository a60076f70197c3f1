"""The house itself: migrate, up, demo."""

from typing import Annotated

import typer

from api.terminal import Json, mistakes_explained, show
from exchange.databases import Databases
from exchange.registry import migrate as migrate_registry
from exchange.settings import read_settings
from infra import postgres


def register(app: typer.Typer) -> None:
    """Add this group's commands to the top level."""
    app.command()(migrate)
    app.command()(up)
    app.command()(age)
    app.command()(demo)


def migrate(as_json: Json = False) -> None:
    """建立或升级数据库与主密钥 / make or upgrade the databases, and the master key on a first installation"""
    from exchange.house import House, key_for
    from infra import airflow
    from pools import lake

    with mistakes_explained(as_json):
        settings = read_settings()
        first = not (settings.key_folder / "master.key").exists()
        seal = key_for(settings)
        with postgres.running(settings, seal):
            databases = Databases.find(settings, seal)
            migrate_registry(databases, seal, settings)
            house = House.open(settings)
            lake.prepare(house)
            house.registry.close()
            airflow.migrate(settings)
        key = settings.key_folder / "master.key"
        show({"data": str(settings.root), "master_key": str(key), "first_time": first}, as_json)
        if first and not as_json:
            show(
                f"主密钥已写入 {key}。请单独备份：没有它，数据备份毫无用处。\n"
                f"The master key is in {key}. Back it up apart: a backup of the data without it is useless.",
                as_json,
            )


def up(as_json: Json = False) -> None:
    """前台运行全部服务 / run everything in the foreground: PostgreSQL, API, Airflow"""
    from infra.up import up as run

    with mistakes_explained(as_json):
        raise typer.Exit(run(read_settings()))


def age(as_json: Json = False) -> None:
    """清除保留期已过的原始数据、隔离行、历史版本 / remove what no setting keeps any more; the clock does it every night"""
    from datetime import UTC, datetime

    from api.opening import opened
    from pools import ageing

    with mistakes_explained(as_json), opened() as house:
        show(ageing.everything(house, datetime.now(UTC)), as_json)


def demo(
    once: Annotated[bool, typer.Option("--once", help="结束后退出，不再提供服务 / end instead of serving")] = False,
    scale: Annotated[str, typer.Option(help="居民数：100k 或 10m / residents")] = "100k",
    as_json: Json = False,
) -> None:
    """一座演示城市走完全程 / a generated city goes the whole way"""
    from infra.demo.run import run

    with mistakes_explained(as_json):
        raise typer.Exit(run(read_settings(), once=once, scale=scale))
