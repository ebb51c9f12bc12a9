"""What each kind of incident means, as data: one record a kind, and one for each trouble of a gateway.

Stands outside the alerts' own column, since rollouts and digests tell of incidents too. Whoever treats kinds
differently asks these records, so that a new kind is a member and a record here, its words in the views, and
its rows in storage; docs/development.md lists what fails until all are there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto
from typing import NewType

IncidentId = NewType("IncidentId", int)


class Trouble(StrEnum):
    """What a gateway is in an incident for; it is in at most one live incident for each."""

    OFFLINE = "offline"
    FLAPPING = "flapping"
    NOT_RETURNED = "not_returned"  # a rollout gave it up, and it is still down
    BAD_FIRMWARE = "bad_firmware"  # it runs a version that is known to be bad

    @property
    def rules(self) -> "TroubleRules":
        return _trouble_rules(self)


class IncidentKind(StrEnum):
    """What an incident is about; a site has at most one live incident of each kind."""

    OFFLINE = "offline"  # of one site
    STORM = "storm"  # gateways of many sites, gone together
    SEEN_DARK = "seen_dark"  # gateways of many sites, offline already when they were first seen
    FLAPPING = "flapping"
    NOT_RETURNED = "not_returned"  # of one rollout
    MAINTENANCE = "maintenance"  # still offline when a maintenance window was over
    BAD_FIRMWARE = "bad_firmware"  # of one firmware policy: on a version that is known to be bad
    VISIBILITY = "visibility"  # the fleet cannot be seen; has no gateways

    @property
    def rules(self) -> "KindRules":
        return _kind_rules(self)


class IncidentState(StrEnum):
    """``GATHERING`` and ``OPEN`` are live. ``DROPPED``: it was over before it was posted, and never is."""

    GATHERING = "gathering"
    OPEN = "open"
    RESOLVED = "resolved"
    DROPPED = "dropped"

    @property
    def is_live(self) -> bool:
        return self in LIVE


LIVE = frozenset({IncidentState.GATHERING, IncidentState.OPEN})


class Scope(StrEnum):
    """Whose gateways one incident has."""

    SITE = auto()
    SITES = auto()
    ROLLOUT = auto()
    MAINTENANCE = auto()
    POLICY = auto()
    FLEET = auto()  # none by name: it concerns everybody


@dataclass(frozen=True, slots=True, kw_only=True)
class KindRules:
    """How incidents of a kind behave."""

    scope: Scope
    trouble: Trouble | None  # of its gateways; None where it has none
    joined_once_posted: bool = True  # whether gateways join it after people were told
    announces_joins: bool = True  # in its thread; else its card is only edited
    is_compared: bool = False  # with the rest of the fleet, to find a cause
    is_reminded: bool = True
    reminds_at_once: bool = False  # its groups are told with its first post
    may_be_silenced: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class TroubleRules:
    """How gateways enter and leave the incidents of a trouble."""

    kind: IncidentKind  # of the incident that one of them has at its own site, or of its own rollout
    kept_out_by: frozenset[Trouble]  # whoever is in an incident for one of these, or enters it, stays there
    takes_from: frozenset[Trouble] = frozenset()  # whoever enters leaves the incidents of these
    lasts_online: bool = False  # a gateway that is online at the moment is in trouble all the same
    shows_state: bool = False  # its card says of each how it is at the moment


@dataclass(frozen=True, slots=True)
class IncidentSummary:
    """A live incident as others than the alerts know it: as far as it touches some sites."""

    id: IncidentId
    version: int
    kind: IncidentKind
    sites: Sequence[str]
    gateways: int  # of its gateways, those at these sites


def _kind_rules(kind: IncidentKind) -> KindRules:
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


def _trouble_rules(trouble: Trouble) -> TroubleRules:
    match trouble:
        case Trouble.OFFLINE:
            return _IS_OFFLINE
        case Trouble.FLAPPING:
            return _FLAPS
        case Trouble.NOT_RETURNED:
            return _DID_NOT_RETURN
        case Trouble.BAD_FIRMWARE:
            return _RUNS_BAD_FIRMWARE


_OFFLINE = KindRules(scope=Scope.SITE, trouble=Trouble.OFFLINE, is_compared=True)
_STORM = KindRules(scope=Scope.SITES, trouble=Trouble.OFFLINE, is_compared=True)
_SEEN_DARK = KindRules(scope=Scope.SITES, trouble=Trouble.OFFLINE, joined_once_posted=False, is_compared=True)
_FLAPPING = KindRules(scope=Scope.SITE, trouble=Trouble.FLAPPING, announces_joins=False, is_reminded=False)
_NOT_RETURNED = KindRules(scope=Scope.ROLLOUT, trouble=Trouble.NOT_RETURNED, reminds_at_once=True)
_MAINTENANCE = KindRules(scope=Scope.MAINTENANCE, trouble=Trouble.OFFLINE, joined_once_posted=False)
_BAD_FIRMWARE = KindRules(scope=Scope.POLICY, trouble=Trouble.BAD_FIRMWARE, is_reminded=False)
_VISIBILITY = KindRules(scope=Scope.FLEET, trouble=None, may_be_silenced=False)

# The loudest first: a gateway that a rollout gave up, or that flaps, is no ordinary outage too.
# What one runs keeps nobody out: who goes offline on a bad version is an outage all the same.
_IS_OFFLINE = TroubleRules(kind=IncidentKind.OFFLINE, kept_out_by=frozenset(Trouble) - {Trouble.BAD_FIRMWARE})
_FLAPS = TroubleRules(
    kind=IncidentKind.FLAPPING,
    kept_out_by=frozenset({Trouble.FLAPPING}),
    lasts_online=True,
    shows_state=True,
)
_DID_NOT_RETURN = TroubleRules(
    kind=IncidentKind.NOT_RETURNED,
    kept_out_by=frozenset({Trouble.NOT_RETURNED}),
    takes_from=frozenset({Trouble.OFFLINE}),
)
_RUNS_BAD_FIRMWARE = TroubleRules(
    kind=IncidentKind.BAD_FIRMWARE,
    kept_out_by=frozenset({Trouble.BAD_FIRMWARE}),
    lasts_online=True,
)
