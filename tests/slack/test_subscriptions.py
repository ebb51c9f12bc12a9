"""Subscribing in Slack: what the answers say, what they do, and how they are taken back."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time

import pytest
from sqlalchemy import select

from bot.domain.access import Action, Actor, Role, require_within
from bot.domain.audit import AuditQuery
from bot.domain.default_channels import DefaultChannels
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale
from bot.domain.gateways import KnownGateway
from bot.domain.query import Query
from bot.domain.subscriptions import MOST, Subscription, SubscriptionContext, Topic
from bot.services.audit import AuditService
from bot.services.context import Context
from bot.services.subscriptions import SubscriptionService
from bot.slack import ids
from bot.slack.ids import Ref
from bot.slack.incoming.command_router import CommandRouter, normalise
from bot.slack.incoming.listeners import Click, CommandCall
from bot.slack.paging import list_clicks
from bot.slack.subscriptions import SubscriptionListeners
from bot.slack.views import subscriptions as views
from bot.storage import subscriptions
from bot.storage.cards import broken_channels
from bot.storage.db.engine import Database
from bot.storage.db.tables import notes
from tests.slack.incoming.connected import bed
from tests.slack.shown import Answers, buttons, doors, words
from tests.worlds.builders import known, limited, parsed

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ANA = Actor("U0ANA00001", "Ana", Role.OPERATOR)
ADA = Actor("U0ADA00001", "Ada", Role.ADMIN)
VERA = Actor("U0VERA0001", "Vera", Role.VIEWER)
OPS, OSLO, ALERTS = "C0OPS00001", "C0OSLO0001", "C0ALERTS01"
AROUND = SubscriptionContext(DefaultChannels(ALERTS, None), "Europe/Oslo", time(8), time(8))


@dataclass
class Room:
    """A channel in which somebody subscribes; ``covered`` gateways match whatever is asked."""

    database: Database
    around: SubscriptionContext = AROUND
    covered: int = 38
    gateways: list[KnownGateway] = field(default_factory=lambda: [known(tags=("oslo",))])
    foreign: set[str] = field(default_factory=set)
    shared: set[str] = field(default_factory=set)
    answers: Answers = field(default_factory=Answers)
    changes: int = 0

    async def says(self, text: str, channel: str = OPS, actor: Actor = ANA) -> str:
        router = CommandRouter([self._listeners.feature()], "/mesh")
        word, rest = router.split(normalise(text))
        await router.route(word, CommandCall(actor, channel, rest, self.answers))
        return self.answers.last.text

    async def clicks(self, action_id: str, actor: Actor = ANA, *, seen: int = -1) -> str:
        await self.presses(action_id, buttons(self.answers.shown[seen])[action_id], actor)
        return self.answers.last.text

    async def presses(self, action_id: str, ref: Ref, actor: Actor = ANA) -> None:
        listeners = {**list_clicks(self._listeners.lists()), **self._listeners.feature().clicks}
        await listeners[action_id](Click(actor, OPS, action_id, ref, self.answers))

    async def live(self, topic: Topic = Topic.OFFLINE) -> Sequence[Subscription]:
        async with self.database.read() as connection:
            return await subscriptions.of_topic(connection, topic)

    @property
    def _listeners(self) -> SubscriptionListeners:
        service = SubscriptionService(
            Context(self.database, lambda: NOW),
            understand=parsed,
            covered=self._count,
            matching=self._matching,
            within=self._within,
            may_post=self._may_post,
            around=self.around,
        )
        return SubscriptionListeners(service, self.around, shared_outside=self._is_shared)

    async def _count(self, _query: Query) -> int:
        return self.covered

    async def _matching(self, _query: Query) -> Sequence[str]:
        return [one.gateway.id for one in self.gateways]

    async def _within(self, actor: Actor, action: Action, _gateways: Sequence[str]) -> None:
        require_within(actor, action, self.gateways, NOW)

    async def told(self) -> list[tuple[str, str]]:
        """What was said in channels, in order."""
        async with self.database.read() as connection:
            rows = await connection.execute(select(notes).order_by(notes.c.id))
            return [(row.channel, views.told(row.body).text) for row in rows]

    async def _may_post(self, channel: str) -> bool:
        return channel not in self.foreign

    async def _is_shared(self, channel: str) -> bool:
        return channel in self.shared


@pytest.fixture
async def room(database_url: str) -> AsyncIterator[Room]:
    database = Database.open(database_url)
    yield Room(database)
    await database.close()


async def test_the_answer_says_what_comes_for_how_many_and_in_whose_stead(room: Room) -> None:
    said = await room.says("subscribe offline tag:“Kyiv office”")
    assert 'this channel gets a card for each alert of tag:"Kyiv office" (subscription 1)' in said
    assert "38 gateways now" in said
    assert f"They go to <#{ALERTS}> as before." in said
    assert "/mesh unsubscribe 1 ends it" in said
    (one,) = await room.live()
    assert (one.channel, one.query, one.by) == (OPS, 'tag:"Kyiv office"', ANA.user_id)


async def test_who_subscribes_where_others_read_along_is_told_so(room: Room) -> None:
    room.shared.add(OSLO)
    assert "people of another organisation are in this channel" in await room.says("subscribe offline", OSLO)
    assert "organisation" not in await room.says("subscribe offline", OPS)


async def test_slack_tells_which_channels_are_shared() -> None:
    async with bed() as made:
        made.slack.workspace.channels[OPS].is_ext_shared = True
        assert await made.api.is_shared_outside(OPS)
        assert not await made.api.is_shared_outside(ALERTS)
        assert not await made.api.is_shared_outside("C0NOWHERE1")


async def test_entities_that_slack_makes_are_what_was_typed(room: Room) -> None:
    await room.says("subscribe rollouts fw:&lt;3.4.1")
    assert [one.query for one in await room.live(Topic.ROLLOUTS)] == ["fw:<3.4.1"]


async def test_each_topic_and_default_is_told_in_its_own_words(room: Room) -> None:
    assert "unless it subscribed" in await room.says("subscribe rollouts")
    assert f"<#{ALERTS}>" not in await room.says("subscribe offline", ALERTS)
    assert "every day at 08:00 (Europe/Oslo)" in await room.says("subscribe digest")
    assert f"The usual digest comes to <#{ALERTS}> as before." in room.answers.last.text
    assert "07:30 (UTC)" in await room.says("subscribe digest tag:oslo at 7:30 in utc")
    room.around = SubscriptionContext(DefaultChannels(None, ALERTS), "UTC", None, time(8))
    assert "nowhere but in /mesh alerts" in await room.says("subscribe offline tag:oslo")
    assert f"They go to <#{ALERTS}> as before." in await room.says("subscribe rollouts tag:oslo")


@pytest.mark.parametrize("text", ["offline tag:oslo", "digest every monday", "rollouts only"])
async def test_what_covers_no_gateway_is_refused(room: Room, text: str) -> None:
    room.covered = 0
    with pytest.raises(InvalidInput, match=r"No gateway matches “.*” now, so nothing was subscribed"):
        await room.says(f"subscribe {text}", actor=ADA)
    assert await room.live() == []
    await room.says("subscribe offline")
    assert len(await room.live()) == 1, "the whole fleet, before there is one"


async def test_only_an_admin_keeps_cards_from_the_default_channel_and_ends_that(room: Room) -> None:
    with pytest.raises(NotAllowed, match="keep cards out of the default channel you need to be an admin"):
        await room.says("subscribe offline tag:oslo only here")
    said = await room.says("subscribe offline tag:oslo only here", actor=ADA)
    assert f"They go to <#{ALERTS}> no more" in said
    assert f"in <#{OPS}> only, by" in await room.says("subscriptions", OSLO)
    for text in ("unsubscribe 1", "subscribe offline tag:oslo"):
        with pytest.raises(NotAllowed):
            await room.says(text)
    assert [one.only for one in await room.live()] == [True]


async def test_a_channel_hears_what_it_gains_and_what_it_loses(room: Room) -> None:
    await room.says("subscribe offline tag:oslo")
    await room.says("unsubscribe 1", OSLO)
    await room.clicks(ids.SUBSCRIPTION_UNDO)
    assert [(place, "no longer gets" in text) for place, text in await room.told()] == [
        (OPS, False),
        (OPS, True),
        (OPS, False),
    ]
    assert "the alerts of tag:oslo" in (await room.told())[0][1]


@pytest.mark.parametrize(
    ("topic", "thing"),
    [("offline", "the alerts of the whole fleet come"), ("digest", "the usual digest comes")],
)
async def test_the_default_channel_hears_what_is_kept_from_it_and_what_comes_again(
    room: Room, topic: str, thing: str
) -> None:
    await room.says(f"subscribe {topic} only here", actor=ADA)
    await room.says(f"subscribe {topic}", actor=ADA)
    told = [text for place, text in await room.told() if place == ALERTS]
    assert [text.partition(": ")[2] for text in told] == [
        f"{thing} here no more.",
        f"{thing} here again.",
    ]


async def test_who_is_limited_subscribes_and_ends_within_that(room: Room) -> None:
    olav, berit = limited(ANA, "tag:oslo"), limited(ANA, "tag:bergen")
    with pytest.raises(NotAllowed, match="subscribe a channel only among the gateways of “tag:bergen”"):
        await room.says("subscribe offline tag:oslo", actor=berit)
    await room.says("subscribe offline tag:oslo", actor=olav)
    with pytest.raises(NotAllowed):
        await room.says("unsubscribe 1", actor=berit)
    with pytest.raises(NotAllowed):
        await room.clicks(ids.SUBSCRIPTION_UNDO, berit)
    await room.says("unsubscribe 1", actor=olav)
    with pytest.raises(NotAllowed, match="whichever they will be"):
        await room.says("subscribe offline site:oslo only here", actor=limited(ADA, "tag:oslo"))
    await room.says("subscribe offline tag:oslo model:2011 only here", actor=limited(ADA, "tag:oslo"))


async def test_what_is_there_already_is_said_kindly_and_stays(room: Room) -> None:
    await room.says("subscribe offline tag:oslo")
    before = await room.live()
    assert "already (subscription 1, by <@U0ANA00001>)" in await room.says("subscribe offline tag:oslo")
    assert await room.live() == before


async def test_all_is_the_whole_fleet_as_saying_nothing_is(room: Room) -> None:
    await room.says("subscribe offline all")
    assert [one.query for one in await room.live()] == [""]
    assert "already" in await room.says("subscribe offline everything")


async def test_another_time_changes_the_digest_that_is_there(room: Room) -> None:
    await room.says("subscribe digest")
    assert "changed: this channel gets" in (await room.says("subscribe digest at 17:00"))
    assert [f"{one.at:%H:%M}" for one in await room.live(Topic.DIGEST)] == ["17:00"]


async def test_a_direct_message_and_a_channel_without_the_bot_cannot_subscribe(room: Room) -> None:
    room.foreign = {OSLO}
    for channel in ("D0ANA00001", OSLO):
        with pytest.raises(InvalidInput, match="/invite"):
            await room.says("subscribe offline", channel)
    assert await room.live() == []


async def test_a_viewer_looks_and_changes_nothing(room: Room) -> None:
    await room.says("subscribe offline")
    with pytest.raises(NotAllowed):
        await room.says("subscribe offline tag:oslo", actor=VERA)
    with pytest.raises(NotAllowed):
        await room.says("unsubscribe 1", actor=VERA)
    with pytest.raises(NotAllowed):
        await room.clicks(ids.SUBSCRIPTION_UNDO, VERA)
    assert "1 subscription" in await room.says("subscriptions", actor=VERA)


async def test_undo_ends_what_was_subscribed(room: Room) -> None:
    await room.says("subscribe offline")
    assert "has ended" in await room.clicks(ids.SUBSCRIPTION_UNDO)
    assert await room.live() == []


async def test_undo_brings_back_what_was_ended_with_its_number(room: Room) -> None:
    await room.says("subscribe digest tag:oslo at 07:30 in Europe/Oslo")
    said = await room.says("unsubscribe 1")
    assert f"<#{OPS}> no longer gets a digest of tag:oslo" in said
    assert "subscribe digest tag:oslo at 07:30 in Europe/Oslo" in said
    before = await room.live(Topic.DIGEST)
    assert "is back" in await room.clicks(ids.SUBSCRIPTION_UNDO)
    assert (before, [one.id for one in await room.live(Topic.DIGEST)]) == ([], [1])


@pytest.mark.on_both
async def test_undo_does_nothing_once_something_else_happened(room: Room) -> None:
    await room.says("subscribe offline")
    await room.says("unsubscribe 1")
    with pytest.raises(Stale):
        await room.clicks(ids.SUBSCRIPTION_UNDO, seen=0)
    assert await room.live() == []
    await room.clicks(ids.SUBSCRIPTION_UNDO, seen=1)
    with pytest.raises(Stale):
        await room.clicks(ids.SUBSCRIPTION_UNDO, seen=1)
    assert len(await room.live()) == 1


async def test_what_there_is_none_of_cannot_be_ended(room: Room) -> None:
    with pytest.raises(NotFound, match="/mesh subscriptions lists"):
        await room.says("unsubscribe 7")


async def test_a_channel_has_no_more_than_fifty(room: Room) -> None:
    for number in range(MOST):
        await room.says(f"subscribe offline tag:t{number}")
    with pytest.raises(InvalidInput, match="50"):
        await room.says("subscribe offline tag:more")
    assert "already" in await room.says("subscribe offline tag:t7")
    await room.says("subscribe offline tag:more", OSLO)


async def test_the_list_has_this_channel_first_then_the_others_in_pages(room: Room) -> None:
    for number in range(11):
        await room.says(f"subscribe offline tag:t{number}", OSLO)
    await room.says("subscribe rollouts")
    said = await room.says("subscriptions")
    assert "1–10 of 12 subscriptions, 1 of this channel" in said
    assert said.splitlines()[1].startswith("12 rollouts the whole fleet, here, by <@U0ANA00001>")
    assert f"alerts go to <#{ALERTS}>" in said
    assert "11–12 of 12 subscriptions, 1 of this channel" in await room.clicks(ids.PAGE_NEXT)


async def test_each_row_ends_its_subscription_and_the_list_is_drawn_again(room: Room) -> None:
    await room.says("subscribe offline tag:a")
    await room.says("subscribe offline tag:b")
    await room.says("subscriptions")
    (action, first), (_, second) = doors(room.answers.last)
    assert action == ids.SUBSCRIPTION_END
    await room.presses(action, first)
    assert doors(room.answers.last) == [(action, second)]
    assert "no longer gets a card for each alert of tag:a" in room.answers.added[-1].text
    with pytest.raises(Stale, match="meanwhile"):
        await room.presses(action, first)
    await room.says("subscriptions", actor=VERA)
    assert doors(room.answers.last) == [], "a viewer may end none"


async def test_an_empty_list_says_how_to_begin(room: Room) -> None:
    assert "help subscribe" in await room.says("subscriptions")


async def test_a_broken_channel_is_named_with_its_way_out_and_mended_by_subscribing_again(room: Room) -> None:
    await room.says("subscribe offline")
    async with room.database.write() as connection:
        await broken_channels.record_broken(connection, OPS, "is_archived", NOW)
    assert "⚠️ broken: the channel is archived" in await room.says("subscriptions")
    assert "mended: this channel gets" in await room.says("subscribe offline")
    assert [one.broken for one in await room.live()] == [None]


async def test_what_was_done_is_in_the_audit_log(room: Room) -> None:
    await room.says("subscribe offline tag:oslo")
    await room.says("subscribe offline tag:oslo")
    await room.says("unsubscribe 1", OSLO)
    await room.clicks(ids.SUBSCRIPTION_UNDO)
    page = await AuditService(Context(room.database, lambda: NOW)).find(VERA, AuditQuery(), 10)
    assert {(one.subject, one.channel) for one in page.entries} == {("subscription 1", OPS)}
    assert [(one.action, one.before, one.after) for one in page.entries] == [
        ("subscription_undo", None, "offline tag:oslo"),
        ("unsubscribe", "offline tag:oslo", None),
        ("subscribe", None, "offline tag:oslo"),
    ]


async def test_the_text_of_every_answer_says_all_that_its_blocks_say(room: Room) -> None:
    for text in ("subscribe offline tag:oslo", "subscriptions", "unsubscribe 1"):
        await room.says(text)
        shown = room.answers.last
        plain = words(shown).replace("*", "").replace("`", "")
        assert all(line in shown.text for line in plain.splitlines())
