"""The catalogue as one file, for whoever must read it fast and without a database: Airflow parses its DAGs from it.

Invariant: this module imports json and pathlib and nothing else; the file is replaced whole, never edited.
"""

import json
from pathlib import Path
from typing import Any

NAME = "catalogue.json"  # in the data folder


def read_snapshot(path: Path) -> dict[str, Any]:
    """The catalogue as last loaded: `departments`, `resources`, `bases`, `themes`, `codes` (see model.Catalogue).

    A missing file is an empty catalogue: nothing has been loaded yet.

    Raises:
        ValueError: the file is not a catalogue; says to run `exchange catalogue load` again.
    """
    if not path.exists():
        return {"departments": [], "resources": [], "bases": [], "themes": [], "codes": {}}
    try:
        value = json.loads(path.read_bytes())
    except ValueError:
        value = None
    if not isinstance(value, dict) or not isinstance(value.get("resources"), list):
        raise ValueError(
            f"{path} 不是目录快照，请重新运行 exchange catalogue load / "
            f"{path} is not a catalogue snapshot; run `exchange catalogue load` again"
        )
    return value
