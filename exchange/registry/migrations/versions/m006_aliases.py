"""Numbers that stand for another: dated, sealed, per base; a build says by which of them it was made. Keys that people confirm."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "m006"
down_revision = "m005"


def upgrade() -> None:
    op.create_table(
        "key_alias",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("base_id", sa.String(63), nullable=False),
        sa.Column("alias", sa.CHAR(64), nullable=False),
        sa.Column("key", sa.CHAR(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("resources", JSONB(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.Column("basis", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_by", sa.Text(), nullable=True),
        sa.Column("ended_why", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "key_alias_in_force", "key_alias", ["base_id", "alias"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "key_confirmation",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("push_id", sa.Text(), sa.ForeignKey("push.id"), nullable=False),
        sa.Column("row", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.CHAR(64), nullable=False),
        sa.Column("sealed", sa.LargeBinary(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_key_confirmation_push_id"), "key_confirmation", ["push_id"], unique=False)
    op.add_column("base_build", sa.Column("aliases", sa.Text(), nullable=True))
    op.add_column("base_build", sa.Column("unjoined", JSONB(), server_default=sa.text("'{}'"), nullable=False))
