"""Incidents grow: how large each was when people last heard of it, and whose acknowledgement it outgrew."""

import sqlalchemy as sa
from alembic import op

from bot.storage.db.types import UtcMicros

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_LAPSED = ("lapsed_by", "lapsed_name", "lapsed_given_at", "lapsed_gateways", "lapsed_more", "lapsed_at")
# What was told before this version is told: only what goes from here on makes an incident grow.
_TOLD = """
UPDATE incidents SET told = (
    SELECT count(*) FROM incident_gateways
    WHERE incident_gateways.incident_id = incidents.id AND incident_gateways.left_at IS NULL
)
WHERE state = 'open' OR (state = 'gathering' AND acknowledged_by IS NOT NULL)
"""


def upgrade() -> None:
    op.add_column("incidents", sa.Column("told", sa.Integer(), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_by", sa.String(length=32), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_name", sa.Text(), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_given_at", UtcMicros(), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_gateways", sa.Integer(), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_more", sa.Integer(), nullable=True))
    op.add_column("incidents", sa.Column("lapsed_at", UtcMicros(), nullable=True))
    op.execute(_TOLD)


def downgrade() -> None:
    for column in reversed(("told", *_LAPSED)):
        op.drop_column("incidents", column)
