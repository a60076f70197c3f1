"""A pool's versions say what they changed, and one may be the taking back of another."""

import sqlalchemy as sa
from alembic import op

revision = "m002"
down_revision = "m001"

_FIGURES = ("inserted", "changed", "deleted", "absent")


def upgrade() -> None:
    op.add_column("pool_commit", sa.Column("receipt", sa.Text(), nullable=True))
    op.execute("UPDATE pool_commit SET receipt = push_id")
    op.drop_constraint("pool_commit_pkey", "pool_commit", type_="primary")
    op.alter_column("pool_commit", "receipt", nullable=False)
    op.create_primary_key("pool_commit_pkey", "pool_commit", ["receipt"])
    op.add_column("pool_commit", sa.Column("withdraws", sa.Text(), sa.ForeignKey("push.id"), nullable=True))
    for figure in _FIGURES:  # of versions made before, nobody knows
        op.add_column("pool_commit", sa.Column(figure, sa.BigInteger(), nullable=True))
    op.create_index(op.f("ix_pool_commit_push_id"), "pool_commit", ["push_id"], unique=False)
