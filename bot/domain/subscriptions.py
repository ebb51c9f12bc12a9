"""Subscriptions: what a channel wants to be told of, and how somebody asks for it.

Cards of alerts and rollouts go to the channels whose subscription matches one of their gateways, and to the
default channel as well, unless an admin subscribed with ``only here``; a digest comes once a day. Where a
card goes is decided by what its gateways are, not by how they fare.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time
from difflib import get_close_matches
from enum import StrEnum
from functools import cache
from typing import NewType
from zoneinfo import available_timezones

from bot.domain.default_channels import DefaultChannels
from bot.domain.errors import InvalidInput
from bot.domain.query import FARING, Query, parse

SubscriptionId = NewType("SubscriptionId", int)

MOST = 50  # of one channel: more would hide who gets what


class Topic(StrEnum):
    OFFLINE = "offline"
    ROLLOUTS = "rollouts"
    DIGEST = "digest"
    AVAILABILITY = "availability"  # once a month


USAGE: Mapping[Topic, str] = {
    Topic.OFFLINE: "subscribe offline [query] [only here]",
    Topic.ROLLOUTS: "subscribe rollouts [query] [only here]",
    Topic.DIGEST: "subscribe digest [query] [at <HH:MM>] [in <IANA zone>] [only here]",
    Topic.AVAILABILITY: "subscribe availability [query] [monthly] [at <HH:MM>] [in <IANA zone>]",
}
_OTHER_WORDS: Mapping[str, Topic] = {
    "alert": Topic.OFFLINE,
    "alerts": Topic.OFFLINE,
    "incident": Topic.OFFLINE,
    "incidents": Topic.OFFLINE,
    "down": Topic.OFFLINE,
    "update": Topic.ROLLOUTS,
    "updates": Topic.ROLLOUTS,
    "firmware": Topic.ROLLOUTS,
    "daily": Topic.DIGEST,
    "report": Topic.DIGEST,
    "summary": Topic.DIGEST,
    "monthly": Topic.AVAILABILITY,
    "uptime": Topic.AVAILABILITY,
}
_WORD = re.compile(r'(?:"[^"]*"?|[^\s"])+')


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a channel wants. ``at`` and ``zone`` are a digest's, None where nothing was said.

    ``broken`` is why nothing can be posted in the channel.
    """

    id: SubscriptionId
    channel: str
    topic: Topic
    query: str  # canonical; empty: the whole fleet
    by: str
    created_at: datetime
    at: time | None = None
    zone: str | None = None
    broken: str | None = None
    version: int = 1
    only: bool = False  # what it matches does not go to the default channel

    @property
    def words(self) -> str:
        """What asks for it again."""
        at = f"at {self.at:%H:%M}" if self.at else ""
        zone, only = f"in {self.zone}" if self.zone else "", "only here" if self.only else ""
        often = "monthly" if self.topic is Topic.AVAILABILITY else ""
        return " ".join(filter(None, [self.topic, self.query, often, at, zone, only]))


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody asks for, understood and checked."""

    topic: Topic
    query: Query
    at: time | None = None
    zone: str | None = None
    only: bool = False


@dataclass(frozen=True, slots=True)
class SubscriptionContext:
    """What subscriptions stand in: where goes what none of them matches, and when the bot's days begin.

    ``digest_at``: when the channel for alerts gets a digest by itself; None: it gets none. ``usual_at``: when
    a subscription does that names no time.
    """

    channels: DefaultChannels
    zone: str
    digest_at: time | None
    usual_at: time

    def default(self, topic: Topic) -> str | None:
        """The channel that gets them whoever subscribed; None: there is none."""
        digests = None if self.digest_at is None else self.channels.digests
        places = {
            Topic.OFFLINE: self.channels.alerts,
            Topic.ROLLOUTS: self.channels.rollouts,
            Topic.DIGEST: digests,
        }
        return places.get(topic)


@dataclass(frozen=True, slots=True)
class Subscribed:
    """What came of asking for one. ``before`` is what the channel had of that topic and query already."""

    subscription: Subscription
    before: Subscription | None
    covered: int  # gateways that match now

    @property
    def is_new(self) -> bool:
        return self.before is None

    @property
    def is_mended(self) -> bool:
        return self.before is not None and self.before.broken is not None

    @property
    def has_changed(self) -> bool:
        """Whether a digest has another time now, or the default channel gets the same again or no more."""
        before, after = self.before, self.subscription
        return before is not None and _how(before) != _how(after)


def _how(one: Subscription | Draft) -> tuple[object, ...]:
    return one.at, one.zone, one.only


def is_as_asked(one: Subscription, draft: Draft) -> bool:
    """Whether the channel has just that already."""
    return _how(one) == _how(draft)


def places(subscribed: Sequence[Subscription], default: str | None) -> Sequence[str]:
    """The channels of a card that these match: theirs, and the default one unless one keeps it away."""
    theirs = [one.channel for one in subscribed]
    return theirs if default is None or any(one.only for one in subscribed) else [*theirs, default]


def parse_subscription(text: str) -> Draft:
    """What stands behind the word ``subscribe``, as ``USAGE`` has it. Raises InvalidInput."""
    words = _WORD.findall(text)
    if not words:
        raise InvalidInput(f"Subscribe to what? {_usages()}")
    topic, rest = _topic(words[0]), words[1:]
    only = [word.casefold() for word in rest[-2:]] == ["only", "here"]
    if only:
        del rest[-2:]
    if topic is Topic.AVAILABILITY:
        if only:
            raise InvalidInput("What tells of availability comes to no other channel: leave “only here” out.")
        rest = [word for word in rest if word.casefold() != "monthly"]
    draft = _cards(topic, rest) if topic in {Topic.OFFLINE, Topic.ROLLOUTS} else _timed(topic, rest)
    return replace(draft, only=only)


def _cards(topic: Topic, rest: Sequence[str]) -> Draft:
    if len(rest) > 1 and rest[-2].casefold() in {"at", "in"}:
        raise InvalidInput(
            f"Only a digest comes at a time of its own, in a zone of its own: “/mesh {USAGE[Topic.DIGEST]}”. "
            f"Cards come when something happens: “/mesh {USAGE[topic]}”."
        )
    query = parse(" ".join(rest))
    faring = next((term for term in query.single_terms if term.field in FARING), None)
    if faring is not None:
        raise InvalidInput(
            f"{faring.text}: where a card goes is decided when it is opened, and how a gateway fares at that "
            "moment makes no choice. Say which gateways they are, such as tag:oslo, site:oslo or model:2011."
        )
    return Draft(topic, query)


def parse_number(text: str) -> SubscriptionId:
    """``3``. Raises InvalidInput."""
    match = re.fullmatch(r"#?(\d{1,15})", text.strip())
    if match is None:
        raise InvalidInput("Name the subscription by its number, such as 3. /mesh subscriptions lists them.")
    return SubscriptionId(int(match[1]))


def _topic(word: str) -> Topic:
    folded = word.casefold()
    known = [topic.value for topic in Topic]
    if folded in known:
        return Topic(folded)
    near: Sequence[str] = (
        [_OTHER_WORDS[folded]] if folded in _OTHER_WORDS else get_close_matches(folded, known, 1)
    )
    hint = f"Did you mean “/mesh {USAGE[Topic(near[0])]}”? " if near else ""
    raise InvalidInput(f"I cannot subscribe a channel to “{word[:40]}”. {hint}{_usages()}")


def _timed(topic: Topic, words: Sequence[str]) -> Draft:
    """The time and the zone stand at the end, in either order."""
    rest = list(words)
    said: dict[str, str] = {}
    while len(rest) > 1 and (key := rest[-2].casefold()) in {"at", "in"} and key not in said:
        said[key] = rest.pop()
        rest.pop()
    if rest and (key := rest[-1].casefold()) in {"at", "in"}:
        missing = "a time, such as “at 08:00”" if key == "at" else "a time zone, such as “in Europe/Oslo”"
        raise InvalidInput(f"After “{key}” stands {missing}.")
    query = parse(" ".join(rest))
    at = parse_time(said["at"]) if "at" in said else None
    return Draft(topic, query, at, parse_zone(said["in"]) if "in" in said else None)


def parse_time(text: str) -> time:
    """``08:00``, on a clock of 24 hours. Raises InvalidInput."""
    match = re.fullmatch(r"(\d{1,2}):(\d{2})", text, re.ASCII)
    if match is None or int(match[1]) > 23 or int(match[2]) > 59:
        raise InvalidInput(f"“{text[:40]}” is no time of the day: write it as 08:00 or 17:30.")
    return time(int(match[1]), int(match[2]))


def parse_zone(text: str) -> str:
    """An IANA time zone in its own spelling, whatever the case. Raises InvalidInput with near ones."""
    zones = _zones()
    folded = text.casefold().replace(" ", "_")
    if folded in zones:
        return zones[folded]
    places = {name.rpartition("/")[2]: name for name in sorted(zones)}
    near = [zones[name] for name in get_close_matches(folded, zones, 3, 0.75)]
    near += [zones[places[one]] for one in get_close_matches(folded, places, 3, 0.75)]
    hint = (
        f"Did you mean {' or '.join(list(dict.fromkeys(near))[:3])}?"
        if near
        else "Write it as Europe/Oslo or UTC."
    )
    raise InvalidInput(f"I do not know the time zone “{text[:40]}”. {hint}")


@cache
def _zones() -> Mapping[str, str]:
    """All zones by their folded names: to list them takes some 10 ms, so it is done once."""
    return {name.casefold(): name for name in sorted(available_timezones())}


def _usages() -> str:
    return "There are: " + ", ".join(f"“/mesh {usage}”" for usage in USAGE.values()) + "."
