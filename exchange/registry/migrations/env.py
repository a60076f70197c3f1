"""Alembic's entry: runs inside the transaction that `registry.migrate` opened."""

from alembic import context

from exchange.registry.models import Base

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=Base.metadata)
with context.begin_transaction():
    context.run_migrations()
