"""The schema, in one place."""

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from bot.domain.gateways import PRESENCE_KINDS, Connectivity
from bot.storage.db.timestamps import UtcMicros

# What gateways.rank holds, so that an index has the worst first.
RANKS = {Connectivity.OFFLINE: 0, Connectivity.UNKNOWN: 1, Connectivity.ONLINE: 2}

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
# SQLite counts only in INTEGER PRIMARY KEY columns; AUTOINCREMENT keeps a deleted number from coming back.
_Id = BigInteger().with_variant(Integer(), "sqlite")


def _numbered(name: str, *columns: Any) -> Table:
    return Table(
        name,
        metadata,
        Column("id", _Id, primary_key=True, autoincrement=True),
        *columns,
        sqlite_autoincrement=True,
    )


# ---- people and user groups about which Slack told that something changed
changed_people = Table(
    "changed_people",
    metadata,
    Column("subject", String(32), primary_key=True),
    Column("at", UtcMicros, nullable=False),
)

# Who wants no direct messages about what happens.
muted_people = Table(
    "muted_people",
    metadata,
    Column("user_id", String(32), primary_key=True),
    Column("at", UtcMicros, nullable=False),
)

# What one replica acts on: a mention by the id of its event, a request over HTTP by its signature.
heard = Table(
    "heard",
    metadata,
    Column("key", String(64), primary_key=True),
    Column("at", UtcMicros, nullable=False, index=True),
)

# ---- the fleet
listings = Table(
    "listings",
    metadata,
    Column("number", _Id, primary_key=True, autoincrement=True),
    Column("started_at", UtcMicros, nullable=False),
    Column("finished_at", UtcMicros),
    Column("outcome", String(16), nullable=False),  # running, completed, failed
    Column("gateways", Integer, nullable=False, default=0),
    Column("changes", Integer, nullable=False, default=0),
    Column("online_before", Integer),  # these three of completed ones: were online, were lost, are online
    Column("online_lost", Integer),
    Column("online", Integer),
    Column("error", Text),
    sqlite_autoincrement=True,
)


# Folded texts are compared and sorted by code point, as Python and SQLite do it, whatever the locale.
_Folded = Text().with_variant(Text(collation="C"), "postgresql")

gateways = Table(
    "gateways",
    metadata,
    # First what queries look at: SQLite reads a row from its beginning, and no further than it must.
    Column("id", _Folded, primary_key=True),
    Column("rank", Integer, nullable=False),  # 0 offline, 1 unknown, 2 online: worst first
    Column("since", UtcMicros, nullable=False),
    Column("id_folded", _Folded, nullable=False),
    Column("name_folded", _Folded, nullable=False),  # empty when there is none
    Column("site_folded", _Folded, nullable=False),
    Column("model_folded", _Folded, nullable=False),
    Column("firmware_key", _Folded),
    Column("firmware_folded", _Folded, nullable=False),
    Column("hardware_folded", _Folded, nullable=False),
    Column("name", Text),
    Column("model", Text),
    Column("hardware", Text),
    Column("firmware", Text),
    Column("imei", Text),
    Column("status", Text),
    Column("boot_mode", Text),
    Column("tags", Text, nullable=False),  # a JSON array: written by the ten thousand, so by hand
    Column("site", Text, nullable=False),
    Column("state", String(8), nullable=False),  # online, offline, unknown
    Column("changed_at", UtcMicros),
    Column("since_listing", BigInteger, nullable=False),
    Column("first_seen", UtcMicros, nullable=False),
    Column("timestamp_moves", Integer, nullable=False, default=0),
    Column("missed", Integer, nullable=False, default=0),
    Column("written_at", UtcMicros),
    Column("digest", LargeBinary(16), nullable=False),  # of the vendor's bytes from which the row was made
)
Index(
    "ix_gateways_worst_first", gateways.c.rank, gateways.c.since.desc(), gateways.c.name_folded, gateways.c.id
)
# No more of them: each doubles what a first listing of 100,000 writes, and a scan of those takes 20 ms.
# What the next listing must look at even when the vendor's bytes are the same.
UNSETTLED = text("(missed > 0 OR written_at IS NOT NULL)")
Index("ix_gateways_unsettled", gateways.c.id, sqlite_where=UNSETTLED, postgresql_where=UNSETTLED)

gateway_tags = Table(
    "gateway_tags",
    metadata,
    # From a tag to its gateways. The way back is in the gateway's own row, and needs no index here.
    Column("folded", _Folded, primary_key=True),
    Column("gateway_id", _Folded, primary_key=True),
    Column("tag", Text, nullable=False),
    sqlite_with_rowid=False,
)
fleet_events = _numbered(
    "fleet_events",
    Column("kind", String(16), nullable=False),
    Column("gateway_id", String, nullable=False),
    Column("at", UtcMicros, nullable=False),
    Column("listing", BigInteger, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index("ix_fleet_events_gateway_id_at", "gateway_id", "at"),
    Index("ix_fleet_events_at", "at"),
)
# What availability is worked out from, gateway by gateway, so that the table need not be read.
OF_PRESENCE = text(f"kind IN ({', '.join(repr(kind.value) for kind in sorted(PRESENCE_KINDS))})")
Index(
    "ix_fleet_events_of_presence",
    *(fleet_events.c[name] for name in ("gateway_id", "id", "at", "kind", "before", "after")),
    sqlite_where=OF_PRESENCE,
    postgresql_where=OF_PRESENCE,
)
# A rename or a change of tags: proposed, confirmed, done, undone. Items hold what was and what is asked for.
writes = Table(
    "writes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("kind", String(16), nullable=False),  # rename, tag
    Column("state", String(16), nullable=False),  # proposed, running, done, cancelled
    Column("version", Integer, nullable=False, default=1),
    Column("actor", String(32), nullable=False),
    Column("channel", String(32)),
    Column("title", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("undoes", String(32), unique=True),  # the write that this one takes back
    Column("unchanged", Integer, nullable=False, default=0),
    Column("warning", Text),
    Column("lease_until", UtcMicros),
    Column("owner", String(64)),  # the process that has the lease
    Index("ix_writes_state", "state"),
)
write_items = Table(
    "write_items",
    metadata,
    Column("write_id", String(32), ForeignKey("writes.id", ondelete="CASCADE"), primary_key=True),
    Column("gateway_id", String, primary_key=True),
    Column("label", Text, nullable=False),
    Column("before", JSON, nullable=False),
    Column("after", JSON, nullable=False),
    Column("state", String(16), nullable=False),  # waiting, done, failed, left
    Column("error", Text),
)
# The site book: what is known of a site, whether or not gateways stand there now.
sites = Table(
    "sites",
    metadata,
    Column("folded", _Folded, primary_key=True),
    Column("name", Text, nullable=False),
    Column("entry", JSON, nullable=False),  # text by field
    Column("version", Integer, nullable=False),  # rises with each change
)
# A change of entries: proposed by a file, done, undone.
site_changes = Table(
    "site_changes",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("state", String(16), nullable=False),
    Column("actor", String(32), nullable=False),
    Column("created_at", UtcMicros, nullable=False, index=True),
    Column("changes", JSON, nullable=False),  # the name of each site, what was said of it and what is
    Column("unchanged", Integer, nullable=False),
)

# ---- rollouts
# A plan that was drawn and may be requested; requesting it leaves the rollout's number here.
plans = Table(
    "plans",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("requester", String(32), nullable=False),
    Column("channel", String(32)),
    Column("created_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False, index=True),
    Column("start_at", UtcMicros),
    Column("maintenance_id", _Id),  # the window in which alone it starts gateways
    Column("body", JSON, nullable=False),
    Column("rollout_id", _Id),
)
rollouts = _numbered(
    "rollouts",
    Column("uid", String(32), nullable=False, unique=True),  # random: part of every job's name
    Column("state", String(16), nullable=False),
    Column("version", Integer, nullable=False, default=1),
    Column("requester", String(32), nullable=False),
    Column("requester_name", Text, nullable=False),
    Column("channel", String(32)),
    Column("query", Text, nullable=False),
    Column("model", Text, nullable=False),
    Column("firmware_id", Text, nullable=False),
    Column("firmware_version", Text, nullable=False),
    Column("file_name", Text),
    Column("file_at", UtcMicros),  # when the portal says it was made
    Column("file_size", Text),
    Column("file_checksum", Text),
    Column("plan_hash", String(64), nullable=False),
    Column("planned", Integer, nullable=False),
    Column("approvals_needed", Integer, nullable=False),
    Column("downgrades", Integer, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("expires_at", UtcMicros, nullable=False),
    Column("start_at", UtcMicros),
    Column("wait_seconds", Integer, nullable=False),  # from its start on, for those that are offline
    Column("maintenance_id", _Id),  # the window in which alone it starts gateways
    Column("started_at", UtcMicros),
    Column("finished_at", UtcMicros),
    Column("wave", Integer, nullable=False),  # the highest that was opened
    Column("wave_settled_at", UtcMicros),
    Column("gate_from", UtcMicros),  # what settled before was looked at by a person
    Column("reason", Text),
    Column("paused_by", String(32)),
    Column("held", Text),
    Column("through_freeze", Text),
    Column("bad", Text),  # what said at its approval that the version is known to be bad
    Column("reminded", Boolean, nullable=False),
    Column("due_at", UtcMicros),  # when the next tick must look at it; null: never by itself
    Column("lease_until", UtcMicros),
    Column("owner", String(64)),  # the process that has the lease
    Index("ix_rollouts_due_at", "due_at"),
)
rollout_targets = Table(
    "rollout_targets",
    metadata,
    Column("rollout_id", _Id, ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("gateway_id", String, primary_key=True),
    Column("label", Text, nullable=False),
    Column("site", Text, nullable=False),
    Column("model", Text),
    Column("firmware_before", Text),
    Column("cls", String(32), nullable=False),  # why it takes part, or does not
    Column("wave", Integer, nullable=False),  # 0: matched and takes no part
    Column("state", String(16), nullable=False),
    Column("reason", Text),
    Column("kind", String(16)),  # of a failure: device, transport, silence
    Column("batch_id", _Id),
    Column("attempts", Integer, nullable=False, default=0),
    Column("failures", Integer, nullable=False, default=0),
    Column("started_at", UtcMicros),
    Column("reported_at", UtcMicros),
    Column("offline_at", UtcMicros),
    Column("back_at", UtcMicros),
    Column("steady_since", UtcMicros),
    Column("settled_at", UtcMicros),
    Index("ix_rollout_targets_gateway_id", "gateway_id"),
    Index("ix_rollout_targets_progress", "rollout_id", "wave", "state"),
    Index("ix_rollout_targets_batch_id", "batch_id"),
    Index("ix_rollout_targets_settled_at", "settled_at"),
    Index(
        "ix_rollout_targets_not_returned",
        "gateway_id",
        sqlite_where=text("state = 'not_returned'"),
        postgresql_where=text("state = 'not_returned'"),
    ),
)
# What happened in a rollout: its timeline, and the notes in its thread.
rollout_events = _numbered(
    "rollout_events",
    Column("rollout_id", _Id, ForeignKey("rollouts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", UtcMicros, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("by", String(32)),  # who; null: by itself
    Column("body", JSON, nullable=False),
)
# Nothing is started while there is a row for its firmware, or the one for everything (an empty version).
freezes = Table(
    "freezes",
    metadata,
    Column("firmware_version", String, primary_key=True),
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcMicros, nullable=False),
)
# One rollout at a time for a gateway: the row is there from approval to the target's end.
gateway_claims = Table(
    "gateway_claims",
    metadata,
    Column("gateway_id", String, primary_key=True),
    Column("rollout_id", _Id, nullable=False, index=True),
    Column("started_at", UtcMicros),  # from here on it is expected to go down
)
# One vendor job each: the intent, then the call, then its result.
rollout_batches = _numbered(
    "rollout_batches",
    Column("rollout_id", _Id, ForeignKey("rollouts.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("wave", Integer, nullable=False),
    Column("number", Integer, nullable=False),
    Column("name", Text, nullable=False, unique=True),
    Column("state", String(16), nullable=False),  # intended, created, canceled, refused, taken back
    Column("vendor_job_id", Text),
    Column("intended_at", UtcMicros, nullable=False),
    Column("called_at", UtcMicros),  # set before the call: from here on the job may exist
    Column("error", Text),
    UniqueConstraint("rollout_id", "wave", "number"),
)
rollout_approvals = Table(
    "rollout_approvals",
    metadata,
    Column("rollout_id", _Id, ForeignKey("rollouts.id", ondelete="CASCADE"), primary_key=True),
    Column("user_id", String(32), primary_key=True),
    Column("name", Text, nullable=False),
    Column("decision", String(16), nullable=False),
    Column("plan_hash", String(64), nullable=False),
    Column("at", UtcMicros, nullable=False),
    Column("reason", Text),
)

# ---- alerts
incidents = _numbered(
    "incidents",
    Column("kind", String(16), nullable=False),
    Column("site", Text, nullable=False),
    Column("site_folded", _Folded, nullable=False),
    Column("state", String(16), nullable=False),  # gathering, open, resolved, dropped
    Column("version", Integer, nullable=False, default=1),
    Column("opened_at", UtcMicros, nullable=False),
    Column("post_at", UtcMicros, nullable=False),
    Column("acknowledged_by", String(32)),
    Column("acknowledged_name", Text),
    Column("acknowledged_at", UtcMicros),
    Column("acknowledged_note", Text),
    Column("assigned_by", String(32)),  # who gave it to them
    Column("told", Integer),  # so many were down when people last heard of it loudly
    Column("lapsed_by", String(32)),  # whose acknowledgement it outgrew, or who gave it back
    Column("lapsed_name", Text),
    Column("lapsed_given_at", UtcMicros),
    Column("lapsed_gateways", Integer),
    Column("lapsed_more", Integer),
    Column("lapsed_at", UtcMicros),
    Column("resolved_at", UtcMicros),
    Column("cause", JSON),  # what its gateways have in common
    Column("rollout_id", _Id),  # from which they did not return
    Column("reminded", Integer, nullable=False, default=0),  # how often, while nobody has it
    Column("ack_reminded_at", UtcMicros),
    Column("joins", Integer, nullable=False, default=0),  # another number when gateways have joined
    Index(
        "uq_incidents_live_site",
        "kind",
        "site_folded",
        unique=True,
        sqlite_where=text("state IN ('gathering', 'open')"),
        postgresql_where=text("state IN ('gathering', 'open')"),
    ),
    Index("ix_incidents_state", "state"),
    Index("ix_incidents_site_folded", "site_folded"),  # what was there before
)
incident_gateways = Table(
    "incident_gateways",
    metadata,
    Column("incident_id", _Id, ForeignKey("incidents.id", ondelete="CASCADE"), primary_key=True),
    Column("gateway_id", _Folded, primary_key=True),
    Column("kind", String(16), nullable=False),
    Column("label", Text, nullable=False),
    Column("joined_at", UtcMicros, nullable=False),
    Column("offline_since", UtcMicros, nullable=False),
    Column("left_at", UtcMicros),
    Column("left_as", String(16)),  # back, released, still_down, taken
    Index("ix_incident_gateways_gateway_id_joined_at", "gateway_id", "joined_at"),  # what was there before
    Index(
        "uq_incident_gateways_live",
        "kind",
        "gateway_id",
        unique=True,
        sqlite_where=text("left_at IS NULL"),
        postgresql_where=text("left_at IS NULL"),
    ),
)

silences = _numbered(
    "silences",
    Column("query", Text, nullable=False),  # empty: the gateways of the incident
    Column("limits", JSON, nullable=False),  # queries, of which what it holds matches one; none: no limit
    Column("gateways", JSON),  # the ids that matched when it was made, where it means those
    Column("incident_id", _Id),
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("reason", Text),
    Column("created_at", UtcMicros, nullable=False),
    Column("until", UtcMicros, nullable=False, index=True),
    Column("announced_at", UtcMicros),
    Column("ended_by", String(32)),
    Column("asked", String(16), unique=True),  # the question to which it was the yes
)
# A maintenance window: when it opens first and how often, and the opening that is open or comes next.
maintenance = _numbered(
    "maintenance",
    Column("query", Text, nullable=False),
    Column("limits", JSON, nullable=False),  # queries, of which what it holds matches one; none: no limit
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("zone", Text, nullable=False),
    Column("first", String(16), nullable=False),  # local, as 2026-05-09T02:00
    Column("ends", String(5), nullable=False),  # local, as 04:00
    Column("every", String(16), nullable=False),  # once, week, month, month_by_weekday
    Column("until", String(10)),  # the last local day on which it may begin
    Column("skipped", JSON, nullable=False),  # local days
    Column("opens_at", UtcMicros),  # null: no opening follows
    Column("closes_at", UtcMicros),
    Column("is_open", Boolean, nullable=False),  # told of as open
    Column("announced", UtcMicros),  # the moment before the opening for which it was announced last
    Column("version", Integer, nullable=False),  # rises with each change
    Column("decided", Integer, nullable=False),  # rises with each of a person's
    Column("last", String(16), nullable=False),  # what a person did: planned, skipped, ended, undone
    Column("ended_by", String(32)),
    Column("ended_at", UtcMicros),
    Column("asked", String(16), unique=True),  # the question to which it was the yes
)
# What is said of a version of firmware: wanted or bad, on the gateways of a query (empty: on all).
firmware_policies = _numbered(
    "firmware_policies",
    Column("kind", String(16), nullable=False),
    Column("version", Text, nullable=False),
    Column("query", Text, nullable=False),
    Column("by", String(32), nullable=False),
    Column("by_name", Text, nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("reason", Text),
    Column("link", Text),
    Column("ended_by", String(32)),
    Column("ended_at", UtcMicros),
    Column("asked", String(16), unique=True),  # the question to which it was the yes
)
subscriptions = _numbered(
    "subscriptions",
    Column("channel", String(32), nullable=False),
    Column("topic", String(16), nullable=False),  # offline, rollouts, digest
    Column("query", Text, nullable=False),
    Column("minute", Integer),  # of the day, of a digest
    Column("zone", Text),
    Column("digested_on", String(10)),
    Column("only", Boolean, nullable=False, default=False),  # what matches goes to no default channel
    Column("by", String(32), nullable=False),
    Column("created_at", UtcMicros, nullable=False),
    Column("version", Integer, nullable=False, default=1),
    Column("removed_at", UtcMicros),  # ended; the row stays for Undo
    UniqueConstraint("channel", "topic", "query"),
)
# In which nothing can be posted: archived, or without the bot.
broken_channels = Table(
    "broken_channels",
    metadata,
    Column("channel", String(32), primary_key=True),
    Column("reason", String(64), nullable=False),  # Slack's own word
    Column("since", UtcMicros, nullable=False),
    Column("told_at", UtcMicros),  # the admins
)

# ---- what Slack is to show
cards = _numbered(
    "cards",
    Column("kind", String(16), nullable=False),  # rollout, incident, silence, maintenance
    Column("subject", Text, nullable=False),  # the id of what it is about
    Column("channel", String(32), nullable=False),
    Column("posted_channel", String(32)),  # where Slack put it: a user's card lands in a D… channel
    Column("ts", String(32)),
    Column("wanted", Integer, nullable=False),
    Column("shown", Integer, nullable=False, default=0),
    Column("urgent", Boolean, nullable=False, default=False),  # a person clicked: do not wait for the pace
    Column("state", String(16), nullable=False),  # live, broken
    Column("error", Text),
    Column("attempted_at", UtcMicros),  # set before a post, cleared by its result
    Column("edited_at", UtcMicros),
    Column("try_after", UtcMicros),
    Column("lease_until", UtcMicros),
    Column("owner", String(64)),  # the process that has the lease
    Column("created_at", UtcMicros, nullable=False),
    UniqueConstraint("kind", "subject", "channel"),
)
notes = _numbered(
    "notes",
    Column("key", Text, nullable=False, unique=True),  # what makes it this note: written twice, said once
    Column("card_id", _Id),  # in whose thread; null: a message of its own
    Column("channel", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("body", JSON, nullable=False),
    Column("broadcast", Boolean, nullable=False, default=False),
    Column("live", Boolean, nullable=False, default=False),  # once posted, edited until it is over
    Column("state", String(16), nullable=False),  # waiting, posted, live, broken
    Column("posted_channel", String(32)),  # where Slack put it, as with a card
    Column("ts", String(32)),
    Column("wanted", Integer, nullable=False, default=1),
    Column("shown", Integer, nullable=False, default=0),
    Column("attempted_at", UtcMicros),
    Column("try_after", UtcMicros),
    Column("lease_until", UtcMicros),
    Column("owner", String(64)),  # the process that has the lease
    Column("error", Text),
    Column("created_at", UtcMicros, nullable=False),
    Index("ix_notes_state", "state"),
    Index("ix_notes_card_id_state", "card_id", "state"),
)

# ---- for all
audit = _numbered(
    "audit",
    Column("at", UtcMicros, nullable=False, index=True),
    Column("actor", String(32), nullable=False, index=True),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("outcome", String(16), nullable=False),
    Column("before", Text),
    Column("after", Text),
    Column("channel", String(32)),
    Column("reason", Text),
    Column("plan_hash", String(64)),
    Column("hash", String(64), nullable=False),
)
audit_chain = Table(
    "audit_chain",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("anchor", String(64), nullable=False),
    Column("last", String(64), nullable=False),
)
ticks = Table(
    "ticks",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("owner", String(64), nullable=False),
    Column("lease_until", UtcMicros, nullable=False),
)
