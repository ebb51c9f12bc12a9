"""Subscriptions end, and channels break"""

import sqlalchemy as sa
from alembic import op

from bot.storage.db.types import UtcMicros

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "subscriptions", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1"))
    )
    op.add_column("subscriptions", sa.Column("removed_at", UtcMicros(), nullable=True))
    op.create_table(
        "broken_channels",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("since", UtcMicros(), nullable=False),
        sa.Column("told_at", UtcMicros(), nullable=True),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_broken_channels")),
    )


def downgrade() -> None:
    op.drop_table("broken_channels")
    op.drop_column("subscriptions", "removed_at")
    op.drop_column("subscriptions", "version")
