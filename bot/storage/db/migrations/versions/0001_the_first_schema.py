"""The first schema"""

import sqlalchemy as sa
from alembic import op

from bot.storage.db.timestamps import UtcMicros

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# Deleting stays possible: rows are forgotten after a year, by a clock that the database does not have.
_AUDIT_IS_NEVER_CHANGED = {
    "sqlite": (
        """
        CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
        BEGIN SELECT RAISE(ABORT, 'rows of the audit log are never changed'); END
        """,
    ),
    "postgresql": (
        """
        CREATE FUNCTION audit_is_never_changed() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'rows of the audit log are never changed'; END $$
        """,
        """
        CREATE TRIGGER audit_is_never_changed BEFORE UPDATE OR TRUNCATE ON audit
        FOR EACH STATEMENT EXECUTE FUNCTION audit_is_never_changed()
        """,
    ),
}


def upgrade() -> None:
    _create_tables()
    for statement in _AUDIT_IS_NEVER_CHANGED[op.get_bind().dialect.name]:
        op.execute(statement)


def _create_tables() -> None:
    op.create_table(
        "audit",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("channel", sa.String(length=32), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("plan_hash", sa.String(length=64), nullable=True),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_audit_actor"), "audit", ["actor"], unique=False)
    op.create_index(op.f("ix_audit_at"), "audit", ["at"], unique=False)
    op.create_table(
        "audit_chain",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("anchor", sa.String(length=64), nullable=False),
        sa.Column("last", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_chain")),
    )
    op.create_table(
        "broken_channels",
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("reason", sa.String(length=64), nullable=False),
        sa.Column("since", UtcMicros(), nullable=False),
        sa.Column("told_at", UtcMicros(), nullable=True),
        sa.PrimaryKeyConstraint("channel", name=op.f("pk_broken_channels")),
    )
    op.create_table(
        "cards",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("posted_channel", sa.String(length=32), nullable=True),
        sa.Column("ts", sa.String(length=32), nullable=True),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("attempted_at", UtcMicros(), nullable=True),
        sa.Column("edited_at", UtcMicros(), nullable=True),
        sa.Column("try_after", UtcMicros(), nullable=True),
        sa.Column("lease_until", UtcMicros(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_cards")),
        sa.UniqueConstraint("kind", "subject", "channel", name=op.f("uq_cards_kind_subject_channel")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "changed_people",
        sa.Column("subject", sa.String(length=32), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_changed_people")),
    )
    op.create_table(
        "muted_people",
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_muted_people")),
    )
    op.create_table(
        "fleet_events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("gateway_id", sa.String(), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.Column("listing", sa.BigInteger(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_fleet_events")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_fleet_events_at", "fleet_events", ["at"], unique=False)
    op.create_index("ix_fleet_events_gateway_id_at", "fleet_events", ["gateway_id", "at"], unique=False)
    of_presence = sa.text("kind IN ('appeared', 'became_unknown', 'came_back', 'vanished', 'went_offline')")
    op.create_index(
        "ix_fleet_events_of_presence",
        "fleet_events",
        ["gateway_id", "id", "at", "kind", "before", "after"],
        unique=False,
        sqlite_where=of_presence,
        postgresql_where=of_presence,
    )
    op.create_table(
        "firmware_policies",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("link", sa.Text(), nullable=True),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("ended_at", UtcMicros(), nullable=True),
        sa.Column("asked", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_firmware_policies")),
        sa.UniqueConstraint("asked", name=op.f("uq_firmware_policies_asked")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "freezes",
        sa.Column("firmware_version", sa.String(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("firmware_version", name=op.f("pk_freezes")),
    )
    op.create_table(
        "gateway_claims",
        sa.Column("gateway_id", sa.String(), nullable=False),
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("started_at", UtcMicros(), nullable=True),
        sa.PrimaryKeyConstraint("gateway_id", name=op.f("pk_gateway_claims")),
    )
    op.create_index(op.f("ix_gateway_claims_rollout_id"), "gateway_claims", ["rollout_id"], unique=False)
    op.create_table(
        "gateway_tags",
        sa.Column("folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("gateway_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("tag", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("folded", "gateway_id", name=op.f("pk_gateway_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gateways",
        sa.Column("id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("rank", sa.Integer(), nullable=False),
        sa.Column("since", UtcMicros(), nullable=False),
        sa.Column("id_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column(
            "name_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "site_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "model_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "firmware_key", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=True
        ),
        sa.Column(
            "firmware_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column(
            "hardware_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("hardware", sa.Text(), nullable=True),
        sa.Column("firmware", sa.Text(), nullable=True),
        sa.Column("imei", sa.Text(), nullable=True),
        sa.Column("status", sa.Text(), nullable=True),
        sa.Column("boot_mode", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("changed_at", UtcMicros(), nullable=True),
        sa.Column("since_listing", sa.BigInteger(), nullable=False),
        sa.Column("first_seen", UtcMicros(), nullable=False),
        sa.Column("timestamp_moves", sa.Integer(), nullable=False),
        sa.Column("missed", sa.Integer(), nullable=False),
        sa.Column("written_at", UtcMicros(), nullable=True),
        sa.Column("digest", sa.LargeBinary(length=16), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gateways")),
    )
    op.create_index(
        "ix_gateways_unsettled",
        "gateways",
        ["id"],
        unique=False,
        sqlite_where=sa.text("(missed > 0 OR written_at IS NOT NULL)"),
        postgresql_where=sa.text("(missed > 0 OR written_at IS NOT NULL)"),
    )
    op.create_index(
        "ix_gateways_worst_first",
        "gateways",
        ["rank", sa.literal_column("since DESC"), "name_folded", "id"],
        unique=False,
    )
    op.create_table(
        "heard",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_heard")),
    )
    op.create_index(op.f("ix_heard_at"), "heard", ["at"], unique=False)
    op.create_table(
        "incidents",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column(
            "site_folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False
        ),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("opened_at", UtcMicros(), nullable=False),
        sa.Column("post_at", UtcMicros(), nullable=False),
        sa.Column("acknowledged_by", sa.String(length=32), nullable=True),
        sa.Column("acknowledged_name", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", UtcMicros(), nullable=True),
        sa.Column("acknowledged_note", sa.Text(), nullable=True),
        sa.Column("assigned_by", sa.String(length=32), nullable=True),
        sa.Column("told", sa.Integer(), nullable=True),
        sa.Column("lapsed_by", sa.String(length=32), nullable=True),
        sa.Column("lapsed_name", sa.Text(), nullable=True),
        sa.Column("lapsed_given_at", UtcMicros(), nullable=True),
        sa.Column("lapsed_gateways", sa.Integer(), nullable=True),
        sa.Column("lapsed_more", sa.Integer(), nullable=True),
        sa.Column("lapsed_at", UtcMicros(), nullable=True),
        sa.Column("resolved_at", UtcMicros(), nullable=True),
        sa.Column("cause", sa.JSON(), nullable=True),
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("reminded", sa.Integer(), nullable=False),
        sa.Column("ack_reminded_at", UtcMicros(), nullable=True),
        sa.Column("joins", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_incidents")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_incidents_site_folded", "incidents", ["site_folded"], unique=False)
    op.create_index("ix_incidents_state", "incidents", ["state"], unique=False)
    op.create_index(
        "uq_incidents_live_site",
        "incidents",
        ["kind", "site_folded"],
        unique=True,
        sqlite_where=sa.text("state IN ('gathering', 'open')"),
        postgresql_where=sa.text("state IN ('gathering', 'open')"),
    )
    op.create_table(
        "listings",
        sa.Column(
            "number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("started_at", UtcMicros(), nullable=False),
        sa.Column("finished_at", UtcMicros(), nullable=True),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("gateways", sa.Integer(), nullable=False),
        sa.Column("changes", sa.Integer(), nullable=False),
        sa.Column("online_before", sa.Integer(), nullable=True),
        sa.Column("online_lost", sa.Integer(), nullable=True),
        sa.Column("online", sa.Integer(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_listings")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "maintenance",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("zone", sa.Text(), nullable=False),
        sa.Column("first", sa.String(length=16), nullable=False),
        sa.Column("ends", sa.String(length=5), nullable=False),
        sa.Column("every", sa.String(length=16), nullable=False),
        sa.Column("until", sa.String(length=10), nullable=True),
        sa.Column("skipped", sa.JSON(), nullable=False),
        sa.Column("opens_at", UtcMicros(), nullable=True),
        sa.Column("closes_at", UtcMicros(), nullable=True),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.Column("announced", UtcMicros(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("decided", sa.Integer(), nullable=False),
        sa.Column("last", sa.String(length=16), nullable=False),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("ended_at", UtcMicros(), nullable=True),
        sa.Column("asked", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_maintenance")),
        sa.UniqueConstraint("asked", name=op.f("uq_maintenance_asked")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "notes",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("card_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("broadcast", sa.Boolean(), nullable=False),
        sa.Column("live", sa.Boolean(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("posted_channel", sa.String(length=32), nullable=True),
        sa.Column("ts", sa.String(length=32), nullable=True),
        sa.Column("wanted", sa.Integer(), nullable=False),
        sa.Column("shown", sa.Integer(), nullable=False),
        sa.Column("attempted_at", UtcMicros(), nullable=True),
        sa.Column("try_after", UtcMicros(), nullable=True),
        sa.Column("lease_until", UtcMicros(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_notes")),
        sa.UniqueConstraint("key", name=op.f("uq_notes_key")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_notes_card_id_state", "notes", ["card_id", "state"], unique=False)
    op.create_index("ix_notes_state", "notes", ["state"], unique=False)
    op.create_table(
        "plans",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("requester", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=True),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("expires_at", UtcMicros(), nullable=False),
        sa.Column("start_at", UtcMicros(), nullable=True),
        sa.Column("maintenance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_plans")),
    )
    op.create_index(op.f("ix_plans_expires_at"), "plans", ["expires_at"], unique=False)
    op.create_table(
        "rollouts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("uid", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("requester", sa.String(length=32), nullable=False),
        sa.Column("requester_name", sa.Text(), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=True),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("firmware_id", sa.Text(), nullable=False),
        sa.Column("firmware_version", sa.Text(), nullable=False),
        sa.Column("file_name", sa.Text(), nullable=True),
        sa.Column("file_at", UtcMicros(), nullable=True),
        sa.Column("file_size", sa.Text(), nullable=True),
        sa.Column("file_checksum", sa.Text(), nullable=True),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("planned", sa.Integer(), nullable=False),
        sa.Column("approvals_needed", sa.Integer(), nullable=False),
        sa.Column("downgrades", sa.Integer(), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("expires_at", UtcMicros(), nullable=False),
        sa.Column("start_at", UtcMicros(), nullable=True),
        sa.Column("wait_seconds", sa.Integer(), nullable=False),
        sa.Column("maintenance_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("started_at", UtcMicros(), nullable=True),
        sa.Column("finished_at", UtcMicros(), nullable=True),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("wave_settled_at", UtcMicros(), nullable=True),
        sa.Column("gate_from", UtcMicros(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("paused_by", sa.String(length=32), nullable=True),
        sa.Column("held", sa.Text(), nullable=True),
        sa.Column("through_freeze", sa.Text(), nullable=True),
        sa.Column("bad", sa.Text(), nullable=True),
        sa.Column("reminded", sa.Boolean(), nullable=False),
        sa.Column("due_at", UtcMicros(), nullable=True),
        sa.Column("lease_until", UtcMicros(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollouts")),
        sa.UniqueConstraint("uid", name=op.f("uq_rollouts_uid")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_rollouts_due_at", "rollouts", ["due_at"], unique=False)
    op.create_table(
        "site_changes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("changes", sa.JSON(), nullable=False),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_site_changes")),
    )
    op.create_index(op.f("ix_site_changes_created_at"), "site_changes", ["created_at"], unique=False)
    op.create_table(
        "sites",
        sa.Column("folded", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("folded", name=op.f("pk_sites")),
    )
    op.create_table(
        "silences",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("limits", sa.JSON(), nullable=False),
        sa.Column("gateways", sa.JSON(), nullable=True),
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("by_name", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("until", UtcMicros(), nullable=False),
        sa.Column("announced_at", UtcMicros(), nullable=True),
        sa.Column("ended_by", sa.String(length=32), nullable=True),
        sa.Column("asked", sa.String(length=16), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
        sa.UniqueConstraint("asked", name=op.f("uq_silences_asked")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_silences_until"), "silences", ["until"], unique=False)
    op.create_table(
        "subscriptions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("channel", sa.String(length=32), nullable=False),
        sa.Column("topic", sa.String(length=16), nullable=False),
        sa.Column("query", sa.Text(), nullable=False),
        sa.Column("minute", sa.Integer(), nullable=True),
        sa.Column("zone", sa.Text(), nullable=True),
        sa.Column("digested_on", sa.String(length=10), nullable=True),
        sa.Column("only", sa.Boolean(), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("removed_at", UtcMicros(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
        sa.UniqueConstraint("channel", "topic", "query", name=op.f("uq_subscriptions_channel_topic_query")),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "ticks",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("lease_until", UtcMicros(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_ticks")),
    )
    op.create_table(
        "writes",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(length=32), nullable=False),
        sa.Column("channel", sa.String(length=32), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("created_at", UtcMicros(), nullable=False),
        sa.Column("expires_at", UtcMicros(), nullable=False),
        sa.Column("undoes", sa.String(length=32), nullable=True),
        sa.Column("unchanged", sa.Integer(), nullable=False),
        sa.Column("warning", sa.Text(), nullable=True),
        sa.Column("lease_until", UtcMicros(), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_writes")),
        sa.UniqueConstraint("undoes", name=op.f("uq_writes_undoes")),
    )
    op.create_index("ix_writes_state", "writes", ["state"], unique=False)
    op.create_table(
        "incident_gateways",
        sa.Column("incident_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gateway_id", sa.Text().with_variant(sa.Text(collation="C"), "postgresql"), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("joined_at", UtcMicros(), nullable=False),
        sa.Column("offline_since", UtcMicros(), nullable=False),
        sa.Column("left_at", UtcMicros(), nullable=True),
        sa.Column("left_as", sa.String(length=16), nullable=True),
        sa.ForeignKeyConstraint(
            ["incident_id"],
            ["incidents.id"],
            name=op.f("fk_incident_gateways_incident_id"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("incident_id", "gateway_id", name=op.f("pk_incident_gateways")),
    )
    op.create_index(
        "ix_incident_gateways_gateway_id_joined_at",
        "incident_gateways",
        ["gateway_id", "joined_at"],
        unique=False,
    )
    op.create_index(
        "uq_incident_gateways_live",
        "incident_gateways",
        ["kind", "gateway_id"],
        unique=True,
        sqlite_where=sa.text("left_at IS NULL"),
        postgresql_where=sa.text("left_at IS NULL"),
    )
    op.create_table(
        "rollout_approvals",
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("user_id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("decision", sa.String(length=16), nullable=False),
        sa.Column("plan_hash", sa.String(length=64), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_approvals_rollout_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "user_id", name=op.f("pk_rollout_approvals")),
    )
    op.create_table(
        "rollout_batches",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("vendor_job_id", sa.Text(), nullable=True),
        sa.Column("intended_at", UtcMicros(), nullable=False),
        sa.Column("called_at", UtcMicros(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_batches_rollout_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_batches")),
        sa.UniqueConstraint("name", name=op.f("uq_rollout_batches_name")),
        sa.UniqueConstraint(
            "rollout_id", "wave", "number", name=op.f("uq_rollout_batches_rollout_id_wave_number")
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rollout_batches_rollout_id"), "rollout_batches", ["rollout_id"], unique=False)
    op.create_table(
        "rollout_events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", UtcMicros(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("by", sa.String(length=32), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_events_rollout_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rollout_events")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_rollout_events_rollout_id"), "rollout_events", ["rollout_id"], unique=False)
    op.create_table(
        "rollout_targets",
        sa.Column("rollout_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("gateway_id", sa.String(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("model", sa.Text(), nullable=True),
        sa.Column("firmware_before", sa.Text(), nullable=True),
        sa.Column("cls", sa.String(length=32), nullable=False),
        sa.Column("wave", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("kind", sa.String(length=16), nullable=True),
        sa.Column("batch_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("started_at", UtcMicros(), nullable=True),
        sa.Column("reported_at", UtcMicros(), nullable=True),
        sa.Column("offline_at", UtcMicros(), nullable=True),
        sa.Column("back_at", UtcMicros(), nullable=True),
        sa.Column("steady_since", UtcMicros(), nullable=True),
        sa.Column("settled_at", UtcMicros(), nullable=True),
        sa.ForeignKeyConstraint(
            ["rollout_id"], ["rollouts.id"], name=op.f("fk_rollout_targets_rollout_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("rollout_id", "gateway_id", name=op.f("pk_rollout_targets")),
    )
    op.create_index("ix_rollout_targets_batch_id", "rollout_targets", ["batch_id"], unique=False)
    op.create_index("ix_rollout_targets_gateway_id", "rollout_targets", ["gateway_id"], unique=False)
    op.create_index(
        "ix_rollout_targets_not_returned",
        "rollout_targets",
        ["gateway_id"],
        unique=False,
        sqlite_where=sa.text("state = 'not_returned'"),
        postgresql_where=sa.text("state = 'not_returned'"),
    )
    op.create_index(
        "ix_rollout_targets_progress", "rollout_targets", ["rollout_id", "wave", "state"], unique=False
    )
    op.create_index("ix_rollout_targets_settled_at", "rollout_targets", ["settled_at"], unique=False)
    op.create_table(
        "write_items",
        sa.Column("write_id", sa.String(length=32), nullable=False),
        sa.Column("gateway_id", sa.String(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("before", sa.JSON(), nullable=False),
        sa.Column("after", sa.JSON(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["write_id"], ["writes.id"], name=op.f("fk_write_items_write_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("write_id", "gateway_id", name=op.f("pk_write_items")),
    )
