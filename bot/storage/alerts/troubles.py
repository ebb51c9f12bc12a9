"""What each trouble is, as SQL over a row of gateways: who enters its incidents, which one, and who leaves.

Of incidents and their gateways it knows nothing: ``membership.py`` moves them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
)

from bot.domain.alerts.incidents import Cut, Leave, Thresholds
from bot.domain.gateways import Connectivity
from bot.domain.incident_kinds import Trouble
from bot.storage.db.tables import (
    RANKS,
    gateway_claims,
    gateways,
    incident_gateways,
    incidents,
    rollout_targets,
)
from bot.storage.db.timestamps import UtcMicros
from bot.storage.firmware_policy import which
from bot.storage.flapping import changed_ids, flapping_ids


@dataclass(frozen=True, slots=True)
class Place:
    """Whose incident a gateway joins: what it is found by, its name, and the rollout that it is of."""

    key: ColumnElement[Any]
    name: ColumnElement[Any]
    rollout: ColumnElement[Any]


@dataclass(frozen=True, slots=True)
class Conditions:
    """The rules of a trouble; who leaves, leaves at that moment and in that way. ``since`` is when it began.

    ``kept_out`` enter none of its incidents whatever their state is: what a rollout has in flight is expected
    to go on and off, and what it gave up is no ordinary outage while it is down, also where its own alert is
    held.
    """

    enters: ColumnElement[bool]
    kept_out: Sequence[Select[tuple[str]]]
    place: Place
    leaves: ColumnElement[bool]
    left_at: ColumnElement[datetime]
    left_as: ColumnElement[str]
    since: ColumnElement[datetime]


def conditions(trouble: Trouble, as_of: Thresholds, *, named: bool = False) -> Conditions:
    """``named``: the statement names its gateways, see ``in_state``."""
    match trouble:
        case Trouble.OFFLINE:
            return Conditions(
                enters=in_state(Connectivity.OFFLINE, as_of.offline, named=named),
                kept_out=[expected_ids(), _given_up_ids()],
                place=_SITE,
                leaves=in_state(Connectivity.ONLINE, as_of.online, named=named),
                left_at=gateways.c.since,
                left_as=literal(Leave.BACK.value),
                since=gateways.c.since,
            )
        case Trouble.NOT_RETURNED:
            return Conditions(
                enters=gateways.c.id.in_(_given_up_ids()),
                kept_out=[],
                place=_ROLLOUT,
                leaves=in_state(Connectivity.ONLINE, as_of.online, named=named),
                left_at=gateways.c.since,
                left_as=literal(Leave.BACK.value),
                since=gateways.c.since,
            )
        case Trouble.FLAPPING:
            return Conditions(
                enters=gateways.c.id.in_(flapping_ids(as_of.at)),
                kept_out=[expected_ids()],
                place=_SITE,
                leaves=gateways.c.id.not_in(changed_ids(as_of.at)),
                left_at=literal(as_of.at, UtcMicros),
                left_as=case((_IS_ONLINE, Leave.BACK.value), else_=Leave.STILL_DOWN.value),
                since=gateways.c.since,
            )
        case Trouble.BAD_FIRMWARE:
            place = _place_of_policy(as_of)
            return Conditions(
                enters=and_(place.key.is_not(None), gateways.c.missed == 0) if as_of.bad else false(),
                kept_out=[],
                place=place,
                leaves=~_is_in_incident_at(place.key),
                left_at=literal(as_of.at, UtcMicros),
                left_as=literal(Leave.BACK.value),
                since=literal(as_of.at, UtcMicros),
            )


def expected_ids() -> Select[tuple[str]]:
    """Gateways that a rollout has in flight: only these are expected to go down, not what waits."""
    flying = gateway_claims.c.started_at.is_not(None)
    return select(gateway_claims.c.gateway_id).where(flying).correlate(None)


def in_state(state: Connectivity, cut: Cut | None, *, named: bool = False) -> ColumnElement[bool]:
    """The cut of the domain as SQL; a test holds the two against each other.

    ``named``: the statement names its gateways. The sum then keeps SQLite from reading all that are in that
    state, of which it cannot know how many there are.
    """
    if cut is None:
        return false()
    rank = gateways.c.rank + 0 if named else gateways.c.rank
    return and_(
        rank == RANKS[state],
        or_(gateways.c.since <= cut.since, gateways.c.since > cut.at),
        gateways.c.since_listing <= cut.listing,
        gateways.c.missed == 0,
    )


def _place_of_policy(as_of: Thresholds) -> Place:
    """Of the newest policy by which what a gateway runs is bad; its incident is called as the version."""
    number = which(as_of.bad, as_of.at)
    name = case({one.id: one.version for one in as_of.bad}, value=number) if as_of.bad else cast(null(), Text)
    return Place(literal("p-") + cast(number, Text), name, cast(null(), BigInteger))


def _is_in_incident_at(key: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether a gateway is in the incident of this place: on another version it belongs elsewhere."""
    return exists().where(
        incident_gateways.c.gateway_id == gateways.c.id,
        incident_gateways.c.kind == Trouble.BAD_FIRMWARE.value,
        incident_gateways.c.left_at.is_(None),
        incident_gateways.c.incident_id == incidents.c.id,
        incidents.c.site_folded == key,
    )


def _given_up_ids() -> Select[tuple[str]]:
    """Gateways that are down since before a rollout gave them up."""
    return (
        select(rollout_targets.c.gateway_id)
        .join(gateways, gateways.c.id == rollout_targets.c.gateway_id)
        .where(_IS_GIVEN_UP, ~_IS_ONLINE, gateways.c.since <= _SETTLED_AT)
        .correlate(None)
    )


_IS_ONLINE = gateways.c.rank == RANKS[Connectivity.ONLINE]
_SETTLED_AT = rollout_targets.c.settled_at
# Written out as in the partial index on it: SQLite uses one for its very words only.
_IS_GIVEN_UP = rollout_targets.c.state == literal_column("'not_returned'")
_NEWEST_ROLLOUT = (
    select(func.max(rollout_targets.c.rollout_id))
    .where(rollout_targets.c.gateway_id == gateways.c.id, _IS_GIVEN_UP, gateways.c.since <= _SETTLED_AT)
    .correlate(gateways)
    .scalar_subquery()
)
_NUMBER = cast(_NEWEST_ROLLOUT, Text)
_SITE = Place(gateways.c.site_folded, gateways.c.site, cast(null(), BigInteger))
_ROLLOUT = Place(literal("r-") + _NUMBER, literal("R-") + _NUMBER, _NEWEST_ROLLOUT)
