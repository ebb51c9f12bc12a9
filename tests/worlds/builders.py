"""Values with valid defaults: a test names only what its rule is about."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from hypothesis import settings

from bot.domain.access import Actor, Role
from bot.domain.alerts.incidents import AlertRules
from bot.domain.alerts.maintenance import Every, Maintenance, MaintenanceId, Schedule
from bot.domain.digests import Digest
from bot.domain.firmware import Firmware, FirmwareId, FirmwarePolicy, PolicyId, PolicyKind
from bot.domain.fleet.firmware_policy import PolicyState
from bot.domain.gateways import Connectivity, Gateway, GatewayId, KnownGateway, Listing, site_of
from bot.domain.query import EVERYTHING, Query, parse
from bot.domain.rollouts.lifecycle import Rollout, RolloutId, RolloutRules, RolloutState
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.digests import DigestService
from bot.services.fleet.search import FleetService
from bot.services.vendor_questions import VendorQuestions

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LONG_AGO = NOW - timedelta(days=30)
MONDAY = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)  # when rollouts are requested

OPERATOR = Actor("U0OPER0001", "Ola", Role.OPERATOR)
VIEWER = Actor("U0VIEW0001", "Vera", Role.VIEWER, holders={Role.OPERATOR: "Ola"})


def bad_version(version: str, query: str = "", number: int = 1) -> FirmwarePolicy:
    """Known to be bad, for a reason with a link."""
    by, said = OPERATOR, ("CVE-2026-1.", "https://example.com/1")
    return FirmwarePolicy(PolicyId(number), PolicyKind.BAD, version, query, by.user_id, by.name, NOW, *said)


async def no_policies(_query: Query = EVERYTHING) -> Sequence[PolicyState]:
    """Nothing is wanted of firmware, and nothing is known to be bad."""
    return ()


def limited(actor: Actor, *queries: str) -> Actor:
    """Whatever roles they have, they have them among the gateways of these queries only."""
    theirs = tuple(map(parse, queries))
    return replace(actor, limits={role: theirs for role in Role if Role.OPERATOR <= role <= actor.role})


def gateway(id_: str = "bmac-c0141f68fc3d", **fields: Any) -> Gateway:
    """An online gateway on release firmware."""
    values: dict[str, Any] = {
        "name": "MT10225",
        "model": "2011",
        "tags": ("oslo",),
        "connectivity": Connectivity.ONLINE,
        "changed_at": NOW - timedelta(days=1),
        "firmware": "3.4.1",
        "hardware": "1.0.0",
    }
    return Gateway(GatewayId(id_), **{**values, **fields})


def known(id_: str = "bmac-c0141f68fc3d", *, of: Gateway | None = None, **fields: Any) -> KnownGateway:
    """A row of the snapshot; fields are the gateway's or the row's own."""
    own = {name: fields.pop(name) for name in _OWN if name in fields}
    seen = replace(of, **fields) if of else gateway(id_, **fields)
    values: dict[str, Any] = {
        "site": site_of(seen.tags, ""),
        "since": seen.changed_at or LONG_AGO,
        "since_listing": 1,
        "first_seen": LONG_AGO,
    }
    return KnownGateway(seen, **{**values, **own})


def firmware(version: str = "3.5.0", model: str = "2011", **fields: Any) -> Firmware:
    """A file of the portal's, made a week before."""
    values: dict[str, Any] = {"file_name": "gateway.bin", "created_at": MONDAY - timedelta(days=7)}
    return Firmware(FirmwareId("fw"), model, version, **{**values, **fields})


def rollout(**changes: Any) -> Rollout:
    """Olga's update of ten gateways, just requested; ``model`` and ``firmware_version`` are the file's."""
    values: dict[str, Any] = {
        "id": RolloutId(7),
        "uid": "01J9",
        "state": RolloutState.REQUESTED,
        "version": 1,
        "requester": "U0OLGA",
        "requester_name": "Olga",
        "channel": "C0OPS",
        "query": "tag:oslo",
        "firmware": firmware(
            changes.pop("firmware_version", "3.5.0"),
            changes.pop("model", "2011"),
        ),
        "plan_hash": "hash",
        "planned": 10,
        "approvals_needed": 1,
        "downgrades": 0,
        "created_at": MONDAY,
        "expires_at": MONDAY + timedelta(hours=8),
    }
    return Rollout(**{**values, **changes})


def listing(number: int = 2, at: datetime = NOW) -> Listing:
    """A listing of two seconds."""
    return Listing(number, at, at + timedelta(seconds=2))


_OWN = {
    "site",
    "since",
    "since_listing",
    "first_seen",
    "timestamp_moves",
    "missed",
    "written_at",
    "flapping",
    "updating",
}


def alert_rules(**changes: Any) -> AlertRules:
    """Five minutes and three listings make an alert, three and three end it, ten gateways are a storm."""
    values: dict[str, Any] = {
        "offline_after": 5 * MINUTE,
        "offline_listings": 3,
        "online_after": 3 * MINUTE,
        "online_listings": 3,
        "group_wait": MINUTE,
        "startup_listings": 2,
        "storm_gateways": 10,
        "storm_share": 0.2,
    }
    return AlertRules(**{**values, **changes})


def maintenance(**changes: Any) -> Maintenance:
    """Of ``tag:oslo`` on Saturdays from 02:00 to 04:00, planned on a Monday."""
    schedule = Schedule("UTC", datetime.fromisoformat("2026-05-09T02:00"), time(4), Every.WEEK)
    values: dict[str, Any] = {
        "id": MaintenanceId(1),
        "query": "tag:oslo",
        "limits": (),
        "by": "U0ANA00001",
        "by_name": "Ana",
        "reason": "the mast is painted",
        "created_at": MONDAY,
        "schedule": schedule,
        "opening": changes.get("schedule", schedule).next_opening(MONDAY),
    }
    return Maintenance(**{**values, **changes})


def rollout_rules(**changes: Any) -> RolloutRules:
    """One approval, two of many; waves by the size of the plan; starts at any time."""
    values: dict[str, Any] = {
        "approvals": 1,
        "second_above_gateways": 100,
        "second_above_share": 0.25,
        "self_approval": False,
        "approval_expires": 8 * 60 * MINUTE,
        "waves": None,
        "soak": 30 * MINUTE,
        "batch": 500,
        "per_site": 0.2,
        "overdue_after": 45 * MINUTE,
        "return_within": 20 * MINUTE,
        "stable_for": 10 * MINUTE,
        "wait_for_return": 7 * 24 * 60 * MINUTE,
        "window": None,
        "zone": ZoneInfo("UTC"),
        "poll_every": MINUTE / 2,
        "look_for": 2 * MINUTE,
    }
    return RolloutRules(**{**values, **changes})


async def parsed(text: str) -> Query:
    """Understands a query as a fleet does that knows none of its words."""
    return parse(text)


PAGING: Final[dict[str, Any]] = {
    "page_size": 250,
    "most_gateways": 200_000,
    "next_token_parameter": "NextToken",
}
"""How a client lists, where a test does not care."""


def fleet_service(context: Context, client: MeshtechClient, **settings: Any) -> FleetService:
    """A fleet of which people ask over the same connections that listings take."""
    return FleetService(context, client, questions=VendorQuestions(client, context.now), **settings)


async def whole_digest(service: DigestService, query: str = "") -> Digest:
    """With all of its parts."""
    digest = await service.digest(query)
    found = {part.value: await find(digest) for part, find in service.parts.items()}
    return replace(digest, **found)


def examples(number: int) -> int:
    """Of what takes long: so many in each run of the tests, and many more where examples are explored."""
    return number if settings.get_current_profile_name() == "steady" else 20 * number
