"""主题库: list, show, submit, approve, reject, build."""

from typing import Annotated, Any

import typer

from api.opening import opened, operator
from api.terminal import Json, mistakes_explained, progress, show
from exchange import catalogue, themes

app = typer.Typer(no_args_is_help=True, help="主题库 / theme databases")

Theme = Annotated[str, typer.Argument(help="主题库 / theme id")]
Version = Annotated[int, typer.Argument(help="所审的版本 / the version that was reviewed")]
Reason = Annotated[str, typer.Option(help="理由 / why")]


@app.command("list")
def list_themes(as_json: Json = False) -> None:
    """各主题库的最新版本及其状态 / the newest version of every theme, and its state"""
    with mistakes_explained(as_json), opened() as house:
        show([_line(found.as_dict()) for found in themes.views(house)], as_json)


@app.command("show")
def show_theme(theme: Theme, as_json: Json = False) -> None:
    """定义、各版本的审核、每次构建读了什么 / the definition, the review of each version, what each build read"""
    from pools import theme as building

    with mistakes_explained(as_json), opened() as house:
        definition = catalogue.theme(house, theme).model_dump(mode="json")
        versions = [found.as_dict() for found in themes.view(house, theme)]
        builds = [built.as_dict() for built in building.builds(house, theme)]
        if as_json:
            show({"definition": definition, "versions": versions, "builds": builds}, as_json)
            return
        shown = {name: definition[name] for name in ("id", "title", "department", "purpose", "key", "select", "reads")}
        fields = [{name: field[name] for name in ("name", "title", "type", "made_of")} for field in definition["fields"]]
        show(shown | {"fields": fields, "versions": [_line(one) for one in versions], "builds": builds}, as_json)


@app.command()
def submit(theme: Theme, as_json: Json = False) -> None:
    """送审最新版本；授权须已覆盖它所读的列 / submit the newest version; grants must cover what it reads"""
    with mistakes_explained(as_json), opened() as house:
        owner = catalogue.theme(house, theme).department
        show(themes.submit(house, operator(owner), theme).as_dict(), as_json)


@app.command()
def approve(theme: Theme, version: Version, reason: Reason, as_json: Json = False) -> None:
    """批准一个版本，须由提交人以外的人 / approve a version; by somebody else than who submitted it"""
    with mistakes_explained(as_json), opened() as house:
        show(themes.approve(house, operator(), theme, version, reason).as_dict(), as_json)


@app.command()
def reject(theme: Theme, version: Version, reason: Reason, as_json: Json = False) -> None:
    """退回一个版本，或撤销批准并停止服务 / reject a version, or take an approval back: it no longer answers"""
    with mistakes_explained(as_json), opened() as house:
        show(themes.reject(house, operator(), theme, version, reason).as_dict(), as_json)


@app.command()
def build(theme: Theme, as_json: Json = False) -> None:
    """按已批准的版本构建并换上新索引 / build the approved version and swap its index"""
    from pools import theme as building
    from pools import way

    with mistakes_explained(as_json), opened() as house, progress(as_json) as watch:
        built = way.refresh(house, theme, watch, by=operator().person)
        waiting = building.waits(house, theme) if built is None else []
    if built is not None:
        show(built.as_dict(), as_json)
    elif waiting:
        show({"theme": theme, "waiting": waiting}, as_json)
    else:
        show({"theme": theme, "unchanged": True}, as_json)


def _line(found: dict[str, Any]) -> dict[str, Any]:
    """A version on one line."""
    return {name: found[name] for name in ("id", "title", "version", "state", "by", "reason", "at", "in_force")}
