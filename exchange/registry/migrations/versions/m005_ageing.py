"""Versions age out, and a list says until when a delivery record still needs one."""

import sqlalchemy as sa
from alembic import op

revision = "m005"
down_revision = "m004"


def upgrade() -> None:
    for table in ("pool_commit", "base_build"):
        op.add_column(table, sa.Column("aged_at", sa.DateTime(timezone=True), nullable=True))
    op.create_table(
        "version_named",
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("version"),
    )
