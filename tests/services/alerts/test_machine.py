"""Random nights: whatever happens, incidents follow their rules, and Slack shows each change once.

Listings, clicks and cards go over the wire; the rules are worked out anew here, from what the portal showed
in each listing, one gateway at a time. ``make soak`` runs many more of these nights.
"""

import asyncio
import math
import tempfile
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import select

from bot.demo.slack.workspace import PostedMessage
from bot.domain.alerts.incidents import Leave
from bot.domain.alerts.severity import Severity, severity_of
from bot.domain.fleet.listing_diff import VANISHED_AFTER
from bot.domain.gateways import FLAPPING_CHANGES
from bot.domain.incident_kinds import IncidentKind, IncidentState
from bot.services.alerts.notes import JOINED
from bot.slack.outgoing.messages import TWICE
from bot.storage.db.tables import audit, gateways, incident_gateways, incidents
from tests.worlds.alert_night import ALERTS, ANA, MINUTE, Night, ids_of, night
from tests.worlds.builders import alert_rules

SITES = ("Oslo", "Bergen", "Kyiv-office", "Hamar")
GATEWAYS = tuple(f"{SITES[number % 4]}/g{number:02}" for number in range(24))
IDS = tuple(ids_of(GATEWAYS))
RESTLESS = IDS[:8]  # these change by themselves; the others only with their site, or with many
RULES = alert_rules(startup_listings=2)
HOUR = timedelta(hours=1)
MINUTES = st.sampled_from([1, 4, 7])  # for one listing to see it, for a return, for an incident with its post


@dataclass
class Seen:
    """What the listings since its last change showed of a gateway."""

    connected: bool
    since: datetime
    listings: int = 1
    missed: int = 0
    changes: list[datetime] = field(default_factory=list)

    def is_for(self, *, connected: bool, at: datetime, after: timedelta, listings: int) -> bool:
        long_enough = at - self.since >= after and self.listings >= listings
        return self.connected is connected and not self.missed and long_enough


class Watcher:
    """Sees what each listing showed, and says what follows from it."""

    def __init__(self) -> None:
        self.seen: dict[str, Seen] = {}
        self.failed = 0
        self.lost_of = 0  # how many were online before sight was lost by half
        self.confirmed = 0
        self.since_start = 0

    @property
    def is_blind(self) -> bool:
        return self.failed >= 3 or self.lost_of > 0

    def online(self) -> set[str]:
        return {one for one, seen in self.seen.items() if seen.connected and not seen.missed}

    def listed(self, shown: dict[str, tuple[bool, datetime]]) -> None:
        before = self.online()
        for one, (connected, since) in shown.items():
            known = self.seen.get(one)
            if known is None:
                self.seen[one] = Seen(connected, since)
            elif known.since < since:
                changes = 2 if known.connected is connected else 1  # unseen in between
                times = [since] * changes
                self.seen[one] = Seen(connected, since, changes=[*known.changes, *times])
            else:
                known.listings += 1 + known.missed
                known.missed = 0
        for one in self.seen.keys() - shown.keys():
            self.seen[one].missed += 1
        self._look(before)
        if not self.is_blind:
            for one in [one for one, seen in self.seen.items() if seen.missed >= VANISHED_AFTER]:
                del self.seen[one]
        self.since_start += 1

    def _look(self, before: set[str]) -> None:
        now = self.online()
        self.failed = 0
        if len(before) >= 20 and len(before - now) * 2 > len(before):
            self.lost_of, self.confirmed = len(before), 0
        elif self.lost_of:
            self.confirmed += 1
            if len(now) * 2 > self.lost_of or self.confirmed >= 3:
                self.lost_of = 0


class Nights(RuleBasedStateMachine):
    """Each rule is something that happens; each check looks at the database and at Slack afterwards."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = AsyncExitStack()
        self.watcher = Watcher()
        self.claimed: set[str] = set()
        self.unlisted: set[str] = set()  # changed since the last listing
        self.left: set[tuple[int, str, datetime]] = set()  # seen to have left by the rule
        self.told: dict[int, int] = {}  # how many were down when people last heard loudly of it
        self.owned: set[int] = set()  # incidents that somebody has acknowledged

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(work)

    @initialize()
    def evening(self) -> None:
        folder = self.stack.enter_context(tempfile.TemporaryDirectory())
        self.night: Night = self.run(
            self.stack.enter_async_context(night(Path(folder), *GATEWAYS, rules=RULES))
        )
        for _ in range(3):
            self.watcher.listed(self.shown())

    def teardown(self) -> None:
        try:
            if hasattr(self, "night"):
                self.minutes(2)
                self.run(self.shows_what_is_so())
                self.all_come_back()
                self.run(self.shows_what_is_so())
        finally:
            self.run(self.stack.aclose())
            self.runner.close()

    # ---- what happens to the fleet, and for how long
    @rule(ids=st.sets(st.sampled_from(RESTLESS), min_size=1, max_size=3), minutes=MINUTES)
    def some_change(self, ids: set[str], minutes: int) -> None:
        down = [one for one in sorted(ids) if not self.is_connected(one)]
        self.goes("online", down)
        self.goes("offline", sorted(ids - set(down)))
        self.minutes(minutes)

    @rule(site=st.sampled_from(SITES), minutes=MINUTES)
    def a_site_changes(self, site: str, minutes: int) -> None:
        ids = ids_of([text for text in GATEWAYS if text.startswith(site)])
        self.goes("offline" if self.is_connected(ids[-1]) else "online", ids)
        self.minutes(minutes)

    @rule(number=st.sampled_from([6, 6, 10, 16]), minutes=MINUTES)
    def many_go(self, number: int, minutes: int) -> None:
        self.goes("offline", IDS[-number:])
        self.minutes(minutes)

    @rule()
    def all_come_back(self) -> None:
        self.goes("online", IDS)
        self.minutes(4)

    @rule(one=st.sampled_from(RESTLESS), after=st.sampled_from([1, 5]))
    def one_flaps(self, one: str, after: int) -> None:
        for _ in range(FLAPPING_CHANGES):
            self.goes("offline" if self.is_connected(one) else "online", [one])
            self.minutes(1)
        self.minutes(after)

    @rule(one=st.sampled_from(RESTLESS))
    def one_is_claimed_or_released(self, one: str) -> None:
        if one in self.night.portal.devices:
            self.night.portal.remove_device(one)
        else:
            self.night.add(next(text for text in GATEWAYS if text.endswith(f"/{one}")))
        self.minutes(3)

    @rule(one=st.sampled_from(RESTLESS))
    def a_rollout_takes_or_leaves_one(self, one: str) -> None:
        self.run(self.night.unclaim(one) if one in self.claimed else self.night.claim(one))
        self.claimed ^= {one}

    @rule(times=st.sampled_from([1, 1, 3]))
    def listings_fail(self, times: int) -> None:
        self.night.portal.vendor_down = True
        self.minutes(times)
        self.night.portal.vendor_down = False

    @rule()
    def a_quiet_hour_passes(self) -> None:
        self.night.portal.clock.advance(HOUR)
        self.minutes(1)

    # ---- what happens to Slack and to the bot
    @rule(
        method=st.sampled_from(["chat.postMessage", "chat.update", "*"]),
        times=st.integers(1, 3),
        retry_after=st.sampled_from([1, 5, 30]),
    )
    def slack_refuses(self, method: str, times: int, retry_after: int) -> None:
        self.night.slack.faults.rate_limit(method, retry_after, times)

    @rule(method=st.sampled_from(["chat.postMessage", "chat.update"]))
    def an_answer_is_lost(self, method: str) -> None:
        self.night.slack.faults.lose_answer(method)

    @rule(crash=st.booleans())
    def the_bot_restarts(self, crash: bool) -> None:
        self.night.slack.faults.clear()
        self.run(self.night.publishes_and_dies() if crash else self.night.restarts())
        self.watcher.since_start = 0

    # ---- people
    @precondition(lambda self: self.unacknowledged())
    @rule(user=st.sampled_from(["U0OPERAT01", "U0OPERAT02"]), refresh=st.booleans())
    def somebody_acknowledges(self, user: str, refresh: bool) -> None:
        if refresh:
            self.night.slack.faults.refresh_sockets()
        self.run(self.night.acknowledges(self.unacknowledged()[-1], user))
        down = self.down()
        for row in self.run(self.night.rows(select(incidents))):
            if row.acknowledged_by and row.id not in self.owned:
                self.owned.add(row.id)
                self.told[row.id] = down[row.id]

    def unacknowledged(self) -> list[PostedMessage]:
        return [one for one in self.night.in_channel() if has_button(one, "incident_ack")]

    @rule(site=st.sampled_from(SITES))
    def somebody_silences_a_site(self, site: str) -> None:
        self.run(self.night.bot.silences.silence(ANA, f"site:{site} for 30m because paint", ALERTS, 99))

    # ---- steps
    def goes(self, state: str, ids: Sequence[str]) -> None:
        """Once between two listings; what is not seen of more is the intake's own story."""
        self.night.portal.clock.advance(timedelta(seconds=1))
        free = [one for one in ids if one in self.night.portal.devices and one not in self.unlisted]
        self.night.goes(state, *free)
        self.unlisted.update(free)

    def is_connected(self, one: str) -> bool:
        device = self.night.portal.devices.get(one)
        return device is not None and device.connected is True

    def minutes(self, number: int) -> None:
        """Slack is told every other minute: what changes in between is told in one go."""
        for left in reversed(range(number)):
            self.minute(publish=left % 2 == 0)

    def shown(self) -> dict[str, tuple[bool, datetime]]:
        devices = self.night.portal.devices.values()
        return {one.id: (bool(one.connected), one.changed_at) for one in devices if one.changed_at}

    def minute(self, *, publish: bool) -> None:
        silenced = self.run(self.after(MINUTE))
        flapping = {
            row.gateway_id for row in self.run(self.rows()) if row.kind == "flapping" and row.left_at is None
        }
        shown = self.shown()
        if self.run(self.night.listing()) is None:  # the portal was down, and the log-in waits a little
            self.watcher.failed += 1
        else:
            self.watcher.listed(shown)
            self.unlisted.clear()
            self.follows(set(silenced), flapping)
            self.grows()
        self.run(self.night.bot.tick())
        self.hears_of_what_opened()
        if publish:
            self.run(self.night.bot.publisher.publish())
        self.check()

    async def after(self, time: timedelta) -> Any:
        self.night.portal.clock.advance(time)
        return await self.night.bot.silences.silenced()

    async def rows(self) -> list[Any]:
        return await self.night.rows(select(incident_gateways))

    # ---- what must be so
    def follows(self, silenced: set[str], flapped: set[str]) -> None:
        """Right after a listing: nobody is in an incident who need not be, and nobody is left out."""
        rows, at = self.run(self.rows()), self.night.now()
        held = self.watcher.is_blind or self.watcher.since_start < RULES.startup_listings
        down = {row.gateway_id for row in rows if row.kind == "offline" and row.left_at is None}
        flapping = {row.gateway_id for row in rows if row.kind == "flapping" and row.left_at is None}
        for row in rows:
            if row.joined_at == at and row.left_at is None:
                assert not held, "an incident opened while new alerts are held"
                assert row.gateway_id not in silenced | self.claimed, "it is expected to be down"
                self.joined_by_the_rule(row, at)
            left = (row.incident_id, row.gateway_id, row.left_at)
            if row.left_at is not None and left not in self.left:
                self.left_by_the_rule(row, at)
                self.left.add(left)
        for one, seen in self.watcher.seen.items():
            back = seen.is_for(
                connected=True, at=at, after=RULES.online_after, listings=RULES.online_listings
            )
            assert not (back and one in down), f"{one} is back and still in its incident"
            dark = seen.is_for(
                connected=False, at=at, after=RULES.offline_after, listings=RULES.offline_listings
            )
            expected = one in silenced | self.claimed | flapping
            assert not (dark and not held and not expected and one not in down), (
                f"{one} is dark in no incident"
            )

    def down(self) -> Counter[int]:
        """How many are down in each incident, and in no rollout's hands."""
        rows = self.run(self.rows())
        inside = [row for row in rows if row.left_at is None and row.gateway_id not in self.claimed]
        return Counter(row.incident_id for row in inside)

    def hears_of_what_opened(self) -> None:
        down = self.down()
        for row in self.run(self.night.rows(select(incidents))):
            if row.state == IncidentState.OPEN:
                self.told.setdefault(row.id, down[row.id])

    def grows(self) -> None:
        """Right after a listing: what was joined and has grown is told anew, and nobody has it."""
        down, at = self.down(), self.night.now()
        joined = {row.incident_id for row in self.run(self.rows()) if row.joined_at == at}
        loud = {note.key.split("/")[1] for note in self.run(self.night.notes()) if says_growth(note, at)}
        for row in self.run(self.night.rows(select(incidents))):
            before, now = self.told.get(row.id), down[row.id]
            heard = row.kind in {IncidentKind.OFFLINE, IncidentKind.STORM} and row.id in joined
            grown = heard and before is not None and self.is_heard(row, before, now)
            assert grown or (row.id in self.owned) == (row.acknowledged_by is not None)
            assert (str(row.id) in loud) == (grown and row.state == IncidentState.OPEN)
            if grown:
                assert row.acknowledged_by is None, "what was acknowledged has outgrown it"
                self.owned.discard(row.id)
                self.told[row.id] = now

    def is_heard(self, row: Any, before: int, now: int) -> bool:
        """Three more and half as many again, or a worse severity."""
        sites = self.run(self.night.rows(select(gateways.c.site_folded)))
        of = len([one for one in sites if row.kind == IncidentKind.STORM or one[0] == row.site_folded])
        order = [severity_of(number, of) for number in (before, now)]
        worse = now > before and list(Severity).index(order[1]) < list(Severity).index(order[0])
        return worse or (now - before >= 3 and 2 * now >= 3 * before)

    def joined_by_the_rule(self, row: Any, at: datetime) -> None:
        seen = self.watcher.seen[row.gateway_id]
        if row.kind == "flapping":
            assert sum(when >= at - HOUR for when in seen.changes) >= FLAPPING_CHANGES
        else:
            after, listings = RULES.offline_after, RULES.offline_listings
            assert seen.is_for(connected=False, at=at, after=after, listings=listings)

    def left_by_the_rule(self, row: Any, at: datetime) -> None:
        seen = self.watcher.seen.get(row.gateway_id)
        if row.left_as == Leave.RELEASED:
            assert seen is None, f"{row.gateway_id} was released and is in the fleet"
        elif row.left_as == Leave.BACK and row.kind == "offline":
            assert seen is not None
            assert seen.since == row.left_at
            after, listings = RULES.online_after, RULES.online_listings
            assert seen.is_for(connected=True, at=at, after=after, listings=listings), f"{seen} is not back"

    def check(self) -> None:
        found = {row.id: row for row in self.run(self.night.rows(select(incidents)))}
        rows = self.run(self.rows())
        inside = [row for row in rows if row.left_at is None]
        assert len({(row.kind, row.gateway_id) for row in inside}) == len(inside), (
            "one gateway, two incidents"
        )
        inhabited = {row.incident_id for row in inside}
        for one in found.values():
            sight = one.kind == IncidentKind.VISIBILITY
            live = IncidentState(one.state).is_live
            assert live == (self.watcher.is_blind if sight and live else one.id in inhabited) or sight
            if one.kind == IncidentKind.STORM:
                together = [row for row in rows if row.incident_id == one.id]
                assert len(together) >= min(10, max(5, math.ceil(0.2 * len(self.watcher.seen))))
        blind = [
            one
            for one in found.values()
            if one.kind == IncidentKind.VISIBILITY and IncidentState(one.state).is_live
        ]
        assert len(blind) == int(self.watcher.is_blind), "one message while sight is lost, none else"
        cards = self.run(self.night.cards())
        carded = sorted(int(card.subject) for card in cards)
        posted = sorted(one.id for one in found.values() if one.state in {"open", "resolved"})
        unseen = {one.id for one in found.values() if one.state == "resolved" and one.id not in carded}
        assert sorted([*carded, *unseen]) == posted, "a card for each that was posted, none for a dropped one"

    async def shows_what_is_so(self) -> None:
        """What Slack shows once it had time is what the database says, once each."""
        night = self.night
        await night.settles()
        cards = await night.cards()
        for card in cards:
            message, drawn = night.shown(card), await night.bot.listeners.draw_card(card.subject)
            assert message.text == drawn.text
            uid = message.metadata["event_payload"]["card"]  # type: ignore[index]
            assert night.messages_of("card", uid) == [message], "a card stands in the channel twice"
            self.never_reopened(message.ts)
        own = [one for one in night.in_channel() if "card" in (one.metadata or {}).get("event_payload", {})]
        assert len(own) == len(cards)
        assert not [one for one in night.slack.workspace.messages.values() if TWICE in one.text]
        said = [(note.channel, note.ts) for note in await night.notes()]
        for channel, ts in set(said):
            message = next(one for (_, at), one in night.slack.workspace.messages.items() if at == ts)
            uid = message.metadata["event_payload"]["note"]  # type: ignore[index]
            assert night.messages_of("note", uid) == [message], f"a note was said twice in {channel}"
        has_it: set[str] = set()
        for row in await night.rows(select(audit).order_by(audit.c.id)):
            if row.action == "incident_ack":
                assert row.subject not in has_it, "an incident was acknowledged twice"
                has_it.add(row.subject)
            elif row.action == "incident_ack_ended":
                has_it.remove(row.subject)

    def never_reopened(self, ts: str) -> None:
        """Over is the last that a card says."""
        calls = [
            call for call in self.night.slack.called("chat.update") if call.args.get("ts") == ts and call.ok
        ]
        over = [": over, " in call.args["text"] for call in calls]
        assert over == sorted(over), "a card that was over was opened again"


def says_growth(note: Any, at: datetime) -> bool:
    return note.kind == JOINED and note.created_at == at and bool(note.broadcast)


def has_button(message: PostedMessage, action_id: str) -> bool:
    elements = [element for block in message.blocks for element in block.get("elements", ())]
    return any(element.get("action_id") == action_id for element in elements)


def play(examples: int, steps: int) -> None:
    profile = settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Nights, settings=profile)


def test_whatever_happens_at_night_slack_shows_each_incident_once_and_by_its_rule() -> None:
    play(examples=3, steps=12)


@pytest.mark.soak
def test_many_long_nights() -> None:
    play(examples=150, steps=40)
