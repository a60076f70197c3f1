"""Theme databases: versions, what was decided about each, and builds."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "m007"
down_revision = "m006"


def upgrade() -> None:
    op.create_table(
        "theme_version",
        sa.Column("theme_id", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", postgresql.JSONB(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("loaded_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("loaded_by", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("theme_id", "version"),
    )
    op.create_table(
        "theme_act",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("theme_id", sa.String(length=63), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.ForeignKeyConstraint(["theme_id", "version"], ["theme_version.theme_id", "theme_version.version"]),
    )
    op.create_index("theme_act_version", "theme_act", ["theme_id", "version"], unique=False)
    op.create_table(
        "theme_build",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("theme_id", sa.Text(), nullable=False),
        sa.Column("theme_version", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("inputs", postgresql.JSONB(), nullable=False),
        sa.Column("snapshot", sa.BigInteger(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("built_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("aged_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("theme_id", "number"),
    )
    op.create_index(op.f("ix_theme_build_theme_id"), "theme_build", ["theme_id"], unique=False)
    for table in ("theme_version", "theme_act"):  # what processes keep in memory of the catalogue is no longer current
        op.execute(
            f"CREATE TRIGGER standing_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION standing_changed()"
        )
