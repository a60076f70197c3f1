"""One step of the way in a process of its own, to be killed: `python -m tests.pools.child admit|build|swap WHAT`.

The house is found by the EXCHANGE_ settings in the environment; the rows of `admit` come on standard input.
"""

import sys

from exchange.house import House
from exchange.settings import read_settings
from pools import index, merge, pool


def main(step: str, what: str) -> None:
    house = House.open(read_settings(_env_file=None))
    if step == "admit":
        pool.commit_relation(house, what, sys.stdin.read())
    elif step == "build":
        merge.build(house, what)
    else:
        index.swap(house, what)


if __name__ == "__main__":
    main(*sys.argv[1:])
