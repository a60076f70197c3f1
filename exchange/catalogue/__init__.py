"""目录: what may be shared, by whom, in which form; loaded from YAML, versioned, never forgotten.

One idea: the folder of YAML files is what people edit, the control database is what counts, and every version that ever
judged a push stays readable. Names are imported on first use, so that `exchange.catalogue.snapshot` alone stays light.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from exchange.catalogue.draft import Draft
    from exchange.catalogue.folder import read_folder
    from exchange.catalogue.loading import LoadReport, load
    from exchange.catalogue.lookup import base, base_at, current, department, resource, resource_at, theme
    from exchange.catalogue.model import BaseDefinition, Catalogue, Department, Item, Resource, ThemeDefinition

_HOMES = {
    "draft": ("Draft",),
    "folder": ("read_folder",),
    "loading": ("LoadReport", "load"),
    "lookup": ("base", "base_at", "current", "department", "resource", "resource_at", "theme"),
    "model": ("BaseDefinition", "Catalogue", "Department", "Item", "Resource", "ThemeDefinition"),
}

__all__ = [
    "BaseDefinition",
    "Catalogue",
    "Department",
    "Draft",
    "Item",
    "LoadReport",
    "Resource",
    "ThemeDefinition",
    "base",
    "base_at",
    "current",
    "department",
    "load",
    "read_folder",
    "resource",
    "resource_at",
    "theme",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            value = getattr(import_module(f"exchange.catalogue.{home}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
