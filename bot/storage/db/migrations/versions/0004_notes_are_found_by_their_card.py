"""Notes are found by their card; cards need no index beside that of their uniqueness."""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_notes_card_id_state", "notes", ["card_id", "state"])
    op.drop_index("ix_cards_kind_subject", table_name="cards")


def downgrade() -> None:
    op.create_index("ix_cards_kind_subject", "cards", ["kind", "subject"])
    op.drop_index("ix_notes_card_id_state", table_name="notes")
