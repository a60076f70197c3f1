"""A build names the day whose orders of authority it goes by, and keeps its counts: satellites, links, what is contested."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "m008"
down_revision = "m007"


def upgrade() -> None:
    op.add_column("base_build", sa.Column("authority_on", sa.Date(), nullable=True))
    op.execute("UPDATE base_build SET authority_on = CAST(built_at AT TIME ZONE 'Asia/Shanghai' AS date)")
    op.alter_column("base_build", "authority_on", nullable=False)
    for name in ("satellites", "links"):
        op.add_column("base_build", sa.Column(name, JSONB(), server_default=sa.text("'{}'"), nullable=False))
    op.create_table(
        "conflict_count",
        sa.Column("build_id", sa.Text(), sa.ForeignKey("base_build.id"), nullable=False),
        sa.Column("satellite", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("resource_id", sa.String(63), sa.ForeignKey("resource.id"), nullable=False),
        sa.Column("item", sa.Text(), nullable=False),
        sa.Column("department_code", sa.CHAR(18), sa.ForeignKey("department.code"), nullable=False),
        sa.Column("compared", sa.BigInteger(), nullable=False),
        sa.Column("differing", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("build_id", "satellite", "field", "resource_id", "item"),
    )
