"""Subscriptions end, and break"""

import sqlalchemy as sa
from alembic import op

from bot.storage.moments import Moment

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column(
        "subscriptions", sa.Column("version", sa.Integer(), nullable=False, server_default=sa.text("1"))
    )
    op.add_column("subscriptions", sa.Column("broken", sa.Text(), nullable=True))
    op.add_column("subscriptions", sa.Column("removed_at", Moment(), nullable=True))


def downgrade() -> None:
    op.drop_column("subscriptions", "removed_at")
    op.drop_column("subscriptions", "broken")
    op.drop_column("subscriptions", "version")
