"""What officers do and hear: rows of quarantine released or returned, clients of the quality team, verdicts told."""

import sqlalchemy as sa
from alembic import op

revision = "m003"
down_revision = "m002"


def upgrade() -> None:
    op.create_table(
        "quarantine_act",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("push_id", sa.Text(), sa.ForeignKey("push.id"), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("rows", sa.Text(), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("overtaken", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
    )
    op.create_index(op.f("ix_quarantine_act_push_id"), "quarantine_act", ["push_id"], unique=False)
    op.create_table(
        "notice",
        sa.Column("id", sa.Text(), primary_key=True),
        sa.Column("push_id", sa.Text(), sa.ForeignKey("push.id"), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=True),
        sa.Column("tries", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("failure", sa.Text(), nullable=True),
    )
    op.create_index(op.f("ix_notice_push_id"), "notice", ["push_id"], unique=False)
    op.create_index("notice_due", "notice", ["due_at"], unique=False, postgresql_where=sa.text("due_at IS NOT NULL"))
    op.add_column("department", sa.Column("email", sa.Text(), nullable=True))
    op.add_column("department", sa.Column("webhook", sa.Text(), nullable=True))
    op.add_column("client", sa.Column("role", sa.Text(), server_default="department", nullable=False))
