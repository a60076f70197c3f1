"""The control database: who, what, when. One place that opens it, one schema, migrated forward only.

Invariant: a fact is written in one transaction with whatever it belongs to; nothing in here is ever the only copy of
data that a department pushed. Times are UTC in the database and +08:00 wherever a person reads them.
"""

from exchange.registry.registry import Registry, migrate

__all__ = ["Registry", "migrate"]
