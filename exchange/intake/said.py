"""A declaration out of words: what a door was told, name by name, as text or as JSON values.

Invariant: only the form is read here; `Declaration` checks what a parcel may say, and `landing` whether it is true.
"""

import re
from collections.abc import Mapping

from exchange.errors import ParcelRefused
from exchange.intake.parcel import Declaration, parse_digest

_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)


def declaration(said: Mapping[str, object]) -> Declaration:
    """Read `resource`, `batch`, `mode` (default full), `rows`, `digest` (`sm3=…` or `sha256=…`) and `filename`.

    Raises:
        ParcelRefused: a word is missing or without form; names it.
    """
    algorithm, digest = parse_digest(_text(said, "digest"))
    return Declaration(
        resource_id=_text(said, "resource"),
        batch=_number(said, "batch"),
        mode=_text(said, "mode") if "mode" in said else "full",  # type: ignore[arg-type]  # Declaration checks it
        rows=_number(said, "rows"),
        algorithm=algorithm,
        digest=digest,
        filename=_text(said, "filename") if "filename" in said else None,
    )


def resource_of(said: Mapping[str, object]) -> str:
    """The resource as said, for the record of a refusal; empty when nothing readable was said."""
    named = said.get("resource")
    return named if isinstance(named, str) else ""


def _text(said: Mapping[str, object], name: str) -> str:
    value = said.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ParcelRefused(f"缺少 {name}，应为文字", f"{name} is missing; it must be text", word=name)
    return value


def _number(said: Mapping[str, object], name: str) -> int:
    value = said.get(name)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _NUMBER.fullmatch(text.strip()):
        raise ParcelRefused(f"{name} 应为整数", f"{name} must be a whole number", word=name)
    return int(text)
