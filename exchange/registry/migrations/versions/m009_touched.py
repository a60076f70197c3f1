"""A build says whether it was made whole, and why, or how many keys it made anew."""

import sqlalchemy as sa
from alembic import op

revision = "m009"
down_revision = "m008"


def upgrade() -> None:
    for name, kind in (("built", sa.Text()), ("because", sa.Text()), ("touched", sa.BigInteger())):
        op.add_column("base_build", sa.Column(name, kind, nullable=True))
