"""Take every download address out of a lock file: versions and hashes bind, the index is the installer's own choice.

Invariant: `uv export --frozen` reads the result, and its hashes are the ones that were resolved.
"""

import re
import sys
from pathlib import Path


def without_addresses(lock: str) -> str:
    """The same lock with `registry` and `url` values reduced to names."""
    lock = re.sub(r'registry = "[a-z]+://[^"]*"', 'registry = "index"', lock)
    return re.sub(r'url = "[a-z]+://[^"]*/([^/"]+)"', r'path = "\1"', lock)


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(without_addresses(path.read_text()))
