"""Searching for what must be nowhere: every spelling of a value, in files as bytes and in every table of a database.

Invariant: a search that did not look everywhere fails; only one that looked says that nothing is there.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from exchange.databases import Address

SHORTEST = 9  # bytes; encrypted bytes hold anything shorter by chance now and then
_GONE = "No such file or directory"


def spellings(value: str) -> set[bytes]:
    """The bytes a value can stand as: encodings it is sent in, and what JSON, addresses and Python's repr make of it."""
    escaped = json.dumps(value)[1:-1]
    found = {value.encode(), value.encode("gb18030"), escaped.encode(), escaped.upper().encode(), quote(value).encode()}
    found |= {repr(value.encode())[2:-1].encode(), value.encode().hex().encode()}
    return {spelling for spelling in found if len(spelling) >= SHORTEST}


def files_with(values: Iterable[str], *places: Path) -> list[str]:
    """Files, in these folders or among them, whose raw bytes hold any of the values in any spelling."""
    patterns = sorted({spelling for value in values for spelling in spellings(value)})
    assert patterns
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"\n".join(patterns) + b"\n")
        file.flush()
        options = ["--recursive", "--files-with-matches", "--text", "--fixed-strings", f"--file={file.name}"]
        for _ in range(10):
            done = subprocess.run(
                ["grep", *options, "--", *places], capture_output=True, text=True, check=False, env={"LC_ALL": "C"}
            )
            if done.returncode != 2 or not _only_gone(done.stderr):
                break  # a running server removes files; when one went while we looked, look again
    assert (done.returncode, done.stderr) in ((0, ""), (1, "")), done.stderr
    return sorted(done.stdout.splitlines())


def dump(address: Address, folder: Path) -> None:
    """Every row of every table of a database into files: as text, for numbers, and as bytes, for whatever text escapes."""
    with psycopg.connect(address.url()) as connection:
        tables = connection.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert tables
        for schema, table in tables:
            for form in ("text", "binary"):
                query = sql.SQL("COPY (SELECT * FROM {}.{}) TO STDOUT (FORMAT {})").format(
                    sql.Identifier(schema), sql.Identifier(table), sql.SQL(form)
                )
                with (
                    (folder / f"{address.database}.{schema}.{table}.{form}").open("wb") as file,
                    connection.cursor().copy(query) as rows,
                ):
                    for piece in rows:
                        file.write(piece)


def write_names(place: Path, target: Path) -> None:
    """The names of everything in a folder as a file: a name can tell as much as what it names."""
    target.write_bytes(b"\n".join(bytes(path) for path in sorted(place.rglob("*"))))


def _only_gone(said: str) -> bool:
    return all(_GONE in line for line in said.splitlines())
