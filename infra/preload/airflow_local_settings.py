"""Imported by the scheduler before it forks its workers, so that every task finds the heavy libraries already there.

Invariant: on the path of the scheduler process only (infra/airflow.py); it imports and does nothing else. Great
Expectations takes seconds to import; a forked worker inherits it, and shares its memory.
"""

import pools.way  # noqa: F401
from quality import expectations

expectations.preload()

__all__: list[str] = []
