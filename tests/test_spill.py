"""Engines at work side by side, each with more than its memory holds."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from duckdb import DuckDBPyConnection

from exchange.house import House
from exchange.spill import own_folder

ROWS = 2_000_000


@contextmanager
def spilling(house: House, number: int) -> Iterator[DuckDBPyConnection]:
    """An engine that holds a table of thrice its memory."""
    with house.duckdb() as connection:
        connection.execute("SET memory_limit = '40MB'")
        connection.execute(f"CREATE TEMP TABLE many AS SELECT md5((i + {number})::VARCHAR) AS word FROM range({ROWS}) t(i)")
        yield connection


def words(connection: DuckDBPyConnection) -> tuple[object, ...] | None:
    return connection.execute("SELECT count(*), min(word), max(word) FROM many").fetchone()


def in_spill(house: House) -> list[Path]:
    return list(house.settings.folder("spill").iterdir())


def test_an_engine_that_closes_leaves_what_another_has_spilled(house: House) -> None:
    with ExitStack() as stack:
        first, second = (stack.enter_context(spilling(house, number)) for number in (0, 0))
        expected = words(first)
        assert len(in_spill(house)) == 2
        with spilling(house, 10 * ROWS) as third:
            assert words(third) != expected
        assert words(first) == words(second) == expected
    assert in_spill(house) == []


def test_what_a_killed_engine_spilled_goes_when_the_next_one_opens(house: House) -> None:
    script = (
        "import sys, os, signal; from pathlib import Path; from exchange.settings import read_settings; "
        "from exchange.spill import own_folder\n"
        "with own_folder(read_settings(_env_file=None, data=Path(sys.argv[1]), keys=Path(sys.argv[2]))) as folder:\n"
        "    (folder / 'spilled').write_text('x'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    settings = house.settings
    done = subprocess.run([sys.executable, "-c", script, settings.root, settings.key_folder], check=False, env=os.environ)
    assert done.returncode == -9
    (left,) = in_spill(house)
    with own_folder(settings) as mine:
        assert in_spill(house) == [mine] != [left]
