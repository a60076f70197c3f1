"""A catalogue version says who loaded it; the last pushes of a resource are found without reading all of them."""

import sqlalchemy as sa
from alembic import op

revision = "m004"
down_revision = "m003"


def upgrade() -> None:
    op.add_column("resource_version", sa.Column("loaded_by", sa.Text(), nullable=True))
    op.create_index("push_received", "push", ["resource_id", "received_at"], unique=False)
