"""What incidents of each kind are called in Slack, as data: one record a kind, as there is one of its rules.

Stands outside the alerts' own views, since those of rollouts tell of incidents too.
"""

from dataclasses import dataclass

from bot.domain.incident_kinds import IncidentKind


@dataclass(frozen=True, slots=True, kw_only=True)
class KindWords:
    """The words of a kind. ``{since}``, ``{opened}`` and ``{site}`` stand for what an incident has."""

    sign: str  # a heading begins so
    together: str = ""  # what it is called where it has no site: stands before the number of its sites
    since: str  # since when, and what is known of it
    since_of_one: str | None = None  # the same where only one gateway ever was in it
    nothing_shared: str = ""  # where no cause stands out
    happens: str | None = None  # what the card does next; else when its gateways count as back
    later: str = ""  # what is said behind that
    state: str = "offline"  # how its gateways are, behind their number
    over: tuple[str, str]  # how its gateway, or its gateways, ended: the heading of a card that is over
    happened: str  # what happened to its gateways, as a rollout's timeline says it
    are: str = "offline"  # how those are that are in it, where a number stands before
    more: str = "went offline"  # what more of them did
    left: tuple[str, str] = ("is back online", "are back online")  # those that are in it no longer
    ended: str = "back"  # its end, in one word
    lasted: str = "Offline"  # what went on from then to then


def words_of(kind: IncidentKind) -> KindWords:
    match kind:
        case IncidentKind.OFFLINE:
            return _OFFLINE
        case IncidentKind.STORM:
            return _STORM
        case IncidentKind.SEEN_DARK:
            return _SEEN_DARK
        case IncidentKind.FLAPPING:
            return _FLAPPING
        case IncidentKind.NOT_RETURNED:
            return _NOT_RETURNED
        case IncidentKind.MAINTENANCE:
            return _MAINTENANCE
        case IncidentKind.BAD_FIRMWARE:
            return _BAD_FIRMWARE
        case IncidentKind.VISIBILITY:
            return _VISIBILITY


_WERE_OFFLINE = ("was offline", "were offline")
_OFFLINE = KindWords(
    sign="🔴",
    since="The first went offline {since}.",
    since_of_one="Offline since {since}.",
    over=_WERE_OFFLINE,
    happened="went offline at {site}",
)
_STORM = KindWords(
    sign="🔴",
    together="mass outage at ",
    since="The first went offline {since}.",
    since_of_one="Offline since {since}.",
    nothing_shared="Nothing that they share stands out.",
    over=_WERE_OFFLINE,
    happened="went offline, and others with them",
)
_SEEN_DARK = KindWords(
    sign="🔴",
    since="They were offline already when I first saw them, the first since {since}.",
    later="What goes offline from now on is an alert of its own.",
    over=_WERE_OFFLINE,
    happened="went offline, and others with them",
)
_FLAPPING = KindWords(
    sign="🟡",
    since="4 changes or more within an hour, seen {opened}.",
    happens=(
        "Only this card is edited while they go on and off. After an hour without a change it says how "
        "they are, and one that is offline then becomes an alert of its own."
    ),
    state="going on and off",
    lasted="Flapping",
    over=("was flapping", "were flapping"),
    happened="kept going on and off at {site}",
)
_NOT_RETURNED = KindWords(
    sign="🚨",
    state="did not return",
    since="Started by the rollout and offline since {since}: given up, and still not back.",
    over=("did not return", "did not return"),
    happened="did not return",
)
_MAINTENANCE = KindWords(
    sign="🔴",
    since="The maintenance is over. The first went offline {since}.",
    since_of_one="The maintenance is over. Offline since {since}.",
    state="still offline",
    over=_WERE_OFFLINE,
    happened="was still offline after maintenance",
)
_BAD_FIRMWARE = KindWords(
    sign="⚠️",
    since="Seen {opened}.",
    happens="A gateway leaves with the poll that sees another version. When all have, this card says so.",
    state="on a version that is known to be bad",
    over=("ran it", "ran it"),
    happened="ran a version that is known to be bad",
    are="on it",
    more="were found on it",
    left=("runs another version", "run another version"),
    ended="over",
    lasted="On it",
)
_VISIBILITY = KindWords(
    sign="⚠️",
    together="no data from Meshtech",
    since="Since {opened}.",
    over=("sent no data", "sent no data"),
    happened="sent no data",
)
