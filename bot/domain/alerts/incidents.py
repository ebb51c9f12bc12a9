"""When a gateway's silence becomes an incident, and when an incident is over.

Nothing is counted while waiting: a gateway's state follows from when it entered it and which listings were
completed since, so a rule is a cut through the snapshot, the same for one gateway and for 100,000. Decides
nothing about messages, and knows neither the database nor Slack.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from bot.domain.alerts.severity import Severity, is_worse, severity_of
from bot.domain.errors import NotFound
from bot.domain.firmware import FirmwarePolicy
from bot.domain.gateways import Connectivity, GatewayId, KnownGateway, Listing
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState, Scope
from bot.domain.times.retention import KEPT

FIRST_GATEWAYS = 10  # so many are named on a card
GROWN_BY = 0.5  # of those down when people last heard of it loudly, and
GROWN_LEAST = 3  # so many more, or a worse severity: then they hear of it again


class Leave(StrEnum):
    """How a gateway left its incident."""

    BACK = "back"
    RELEASED = "released"  # it is no longer in the fleet
    STILL_DOWN = "still_down"  # quiet for long enough, and offline
    TAKEN = "taken"  # an incident of a worse trouble has it now


@dataclass(frozen=True, slots=True)
class AlertRules:
    """How long and on how many completed listings; each is a setting."""

    offline_after: timedelta
    offline_listings: int
    online_after: timedelta
    online_listings: int
    group_wait: timedelta
    startup_listings: int
    storm_gateways: int
    storm_share: float

    @property
    def lookback(self) -> int:
        """How many completed listings the rules look at, the newest included."""
        return max(self.offline_listings, self.online_listings, self.startup_listings, 1)


@dataclass(frozen=True, slots=True)
class Cut:
    """In a state long enough: entered it at ``since`` or before, and in listing ``listing`` or before.

    A clock that was set back may have stored a later moment than the present one, ``at``: then the listings
    count alone.
    """

    since: datetime
    listing: int
    at: datetime


@dataclass(frozen=True, slots=True)
class ListingHistory:
    """What the rules look back on: the last completed listings, newest first.

    Failed listings have numbers too, so a count of listings is a place in this sequence, not a difference
    of numbers.
    """

    completed: Sequence[Listing]

    @property
    def at(self) -> datetime:
        """The moment of which the snapshot tells. Waiting afterwards makes nobody longer offline."""
        return self.completed[0].finished_at

    def cut(self, after: timedelta, listings: int) -> Cut | None:
        """None while fewer listings than that were completed: then nobody was in a state for long enough."""
        needed = max(listings, 1)
        if len(self.completed) < needed:
            return None
        return Cut(self.at - after, self.completed[needed - 1].number, self.at)


@dataclass(frozen=True, slots=True)
class Thresholds:
    """As of when gateways are judged, and since when they must be offline, or online, to be moved; and which
    versions are known to be ``bad``.
    """

    at: datetime
    offline: Cut | None
    online: Cut | None
    bad: Sequence[FirmwarePolicy] = ()


def thresholds(rules: AlertRules, history: ListingHistory, bad: Sequence[FirmwarePolicy] = ()) -> Thresholds:
    return Thresholds(
        history.at,
        history.cut(rules.offline_after, rules.offline_listings),
        history.cut(rules.online_after, rules.online_listings),
        bad,
    )


def is_offline_enough(known: KnownGateway, cut: Cut | None) -> bool:
    """Whether its silence is an incident. A gateway that this listing did not have is not judged by it."""
    return _is_long_enough(known, Connectivity.OFFLINE, cut)


def is_back_enough(known: KnownGateway, cut: Cut | None) -> bool:
    """Whether it has left its incident for good."""
    return _is_long_enough(known, Connectivity.ONLINE, cut)


def may_open(rules: AlertRules, history: ListingHistory, started_at: datetime) -> bool:
    """Whether this process, which began at ``started_at``, has seen enough to raise new alerts."""
    needed = rules.startup_listings
    if needed <= 0:
        return True
    return len(history.completed) >= needed and history.completed[needed - 1].started_at >= started_at


def _is_long_enough(known: KnownGateway, state: Connectivity, cut: Cut | None) -> bool:
    return (
        cut is not None
        and known.gateway.connectivity is state
        and known.missed == 0
        and not cut.since < known.since <= cut.at
        and known.since_listing <= cut.listing
    )


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Who said that they look after it, or whom ``assigned_by`` gave it to."""

    user_id: str
    name: str
    at: datetime
    note: str | None = None
    assigned_by: str | None = None  # a user id


@dataclass(frozen=True, slots=True)
class Lapse:
    """An acknowledgement that ended: the incident outgrew the gateways that it was given for by ``more``, or,
    where that is 0, who had it gave it back.
    """

    by: Acknowledgement
    gateways: int
    more: int
    at: datetime  # reminders begin anew from here


@dataclass(frozen=True, slots=True)
class Growth:
    """An incident, how many were down when people last heard of it loudly, and how many are now."""

    incident: IncidentId
    told: int
    down: int
    of: int = 0  # how many gateways its site, rollout or fleet has
    acknowledged: Acknowledgement | None = None


def has_grown(growth: Growth) -> bool:
    """Whether it is another matter than people were told of, or said that they look after."""
    more = growth.down - growth.told
    if more >= GROWN_LEAST and growth.down >= growth.told * (1 + GROWN_BY):
        return True
    return more > 0 and is_worse(severity_of(growth.down, growth.of), severity_of(growth.told, growth.of))


@dataclass(frozen=True, slots=True)
class AffectedGateway:
    """A gateway's part in an incident."""

    id: GatewayId
    label: str
    offline_since: datetime
    joined_at: datetime
    left_at: datetime | None = None  # when it came back, or was missed for good
    left_as: Leave | None = None
    state: Connectivity | None = None  # as the last listing has it, and since when; None once it is gone
    changed_at: datetime | None = None
    site: str = ""  # empty once it is gone

    @property
    def is_down(self) -> bool:
        return self.left_at is None


@dataclass(frozen=True, slots=True)
class MemberCounts:
    """How many gateways of an incident are where, and when the first went and the last came back."""

    down: int = 0
    back: int = 0
    released: int = 0
    still_down: int = 0  # it was about flapping, and they are quiet and offline
    since: datetime | None = None
    until: datetime | None = None
    taken: int = 0  # by an incident of a worse trouble

    @property
    def total(self) -> int:
        return self.down + self.back + self.released + self.still_down + self.taken


class Trait(StrEnum):
    """In what gateways can be alike."""

    TAG = "tag"
    MODEL = "model"
    FIRMWARE = "firmware"
    ROLLOUT = "rollout"


@dataclass(frozen=True, slots=True)
class Share:
    """How many of an incident's gateways have something in common."""

    trait: Trait
    value: str
    gateways: int
    of: int


@dataclass(frozen=True, slots=True)
class Silenced:
    """By whom an incident was silenced from its card, until when."""

    user_id: str
    until: datetime
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class PastOutage:
    """The last incident of the same kind at the same site that is over."""

    id: IncidentId
    since: datetime
    until: datetime
    gateways: int


@dataclass(frozen=True, slots=True)
class LossDetails:
    """What a "visibility lost" is about: so many listings failed, or so many of those online were gone."""

    failures: int = 0
    lost: int = 0
    online_before: int = 0
    outage: bool = False  # visibility did not fail: what was gone stayed gone


@dataclass(frozen=True, slots=True)
class Incident:
    """Gateways of one site, storm or rollout that are in trouble, with the first of them by name.

    ``version`` rises with a person's decision, with the end of an acknowledgement and with its own end, not
    with each gateway that joins: what a person acknowledges is the incident, as large as it is then.
    """

    id: IncidentId
    kind: IncidentKind
    site: str
    state: IncidentState
    version: int
    opened_at: datetime
    post_at: datetime
    tally: MemberCounts = MemberCounts()
    acknowledged: Acknowledgement | None = None
    lapse: Lapse | None = None  # of the last acknowledgement, while nobody has given another
    resolved_at: datetime | None = None
    first: tuple[AffectedGateway, ...] = ()  # those down first, longest offline first
    sites: int = 1
    worst_sites: tuple[
        tuple[str, int], ...
    ] = ()  # of several: those with the most down, and how many these are
    of: int = 0  # how many gateways its site, rollout or fleet has; 0 where that is not known
    before: PastOutage | None = None
    cause: tuple[Share, ...] = ()
    loss: LossDetails | None = None
    rollout_id: int | None = None
    firmware: str | None = None  # that the rollout brings
    running_rollout: int | None = None  # of the cause or the incident itself: it can be paused
    rollout_entry: int = 0  # the newest of that rollout's timeline, which the button to pause it carries
    reminded: int = 0
    asked_at: datetime | None = None  # when whoever has it was last asked how it goes
    silenced: Silenced | None = None
    policy: FirmwarePolicy | None = None  # that says that what they run is bad

    @property
    def title(self) -> str:
        """What people see and type."""
        return f"A-{self.id}"

    @property
    def audited(self) -> str:
        """What the audit log calls it."""
        return f"{self.title}: {self.place}"

    @property
    def severity(self) -> Severity:
        return severity_of(self.tally.down, self.of)

    @property
    def rank(self) -> int:
        """The place of its severity among all, the worst first; what has no gateways concerns everybody."""
        return 0 if self.kind.rules.trouble is None else list(Severity).index(self.severity)

    @property
    def reminded_from(self) -> datetime:
        """From when reminders count."""
        return self.post_at if self.lapse is None else max(self.post_at, self.lapse.at)

    @property
    def place(self) -> str:
        """For sentences: where, or of what."""
        match self.kind.rules.scope:
            case Scope.SITE:
                return f"at {self.site}"
            case Scope.SITES:
                return f"at {self.sites} sites"
            case Scope.ROLLOUT:
                return f"of rollout {self.site}"
            case Scope.MAINTENANCE:
                return f"after maintenance {self.site}"
            case Scope.POLICY:
                return f"of firmware {self.site}"
            case Scope.FLEET:
                return "of the whole fleet"


_TITLE = re.compile(r"(?:a-)?(\d{1,18})", re.IGNORECASE)


def number_in(text: str) -> IncidentId | None:
    """The incident that somebody named: ``A-10``, ``a-10`` or ``10``; None for anything else."""
    found = _TITLE.fullmatch(text.strip()) if text.isascii() else None
    return IncidentId(int(found[1])) if found else None


def missing(number: IncidentId, newest: int) -> NotFound:
    """The sentence for a number that names nothing: it was never given, or is forgotten."""
    if number <= newest:
        return forgotten()
    return NotFound(f"There is no alert A-{number}: /mesh alerts lists those there are.")


def forgotten() -> NotFound:
    """The sentence for a button of an incident that is not there."""
    return NotFound(
        f"I do not know that alert any more: one is forgotten {KEPT.days} days after its end. "
        "/mesh alerts lists what is open."
    )
