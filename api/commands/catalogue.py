"""目录: load and show."""

from pathlib import Path
from typing import Annotated

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, show
from exchange import catalogue

app = typer.Typer(no_args_is_help=True, help="目录 / the catalogue")


@app.command()
def load(folder: Annotated[Path, typer.Argument(help="目录文件夹 / folder of YAML files")], as_json: Json = False) -> None:
    """校验并载入目录 / validate and load; nothing is loaded when anything is wrong"""
    with mistakes_explained(as_json), opened() as house:
        show(catalogue.load(house, folder, by=operator().person).as_dict(), as_json)


@app.command("show")
def show_catalogue(
    resource: Annotated[str | None, typer.Argument(help="资源 / one resource")] = None, as_json: Json = False
) -> None:
    """查看目录 / what is loaded now"""
    with mistakes_explained(as_json), opened() as house:
        if resource is not None:
            show(catalogue.resource(house, resource).model_dump(mode="json"), as_json)
            return
        names = {department.code: department.name for department in catalogue.current(house).departments}
        show(
            [
                {
                    "id": entry.id,
                    "code": entry.code,
                    "title": entry.title,
                    "department": names[entry.department],
                    "share": int(entry.share.type),
                    "cycle": entry.update_cycle,
                    "version": entry.version,
                    "items": len(entry.items),
                }
                for entry in catalogue.current(house).resources
            ],
            as_json,
        )
