"""Imported by the scheduler before it forks its workers, so that every task finds the heavy libraries already there.

Invariant: on the path of the scheduler process only (infra/airflow.py); it imports, checks the engine's extensions,
and does nothing else. Great Expectations takes seconds to import; a forked worker inherits it, and shares its memory.
"""

import pools.way  # noqa: F401
from exchange import engine
from quality import expectations

engine.preload()
expectations.preload()

__all__: list[str] = []
