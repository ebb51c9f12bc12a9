"""Every command and every button of the running bot, in a fleet with hostile names: what Slack gets to see.

Slack is the local one, which objects to whatever the real one would refuse, cut off or turn into a ping.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

import pytest

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.demo.slack.payloads import walk
from bot.demo.slack.text import message_text
from bot.demo.slack.wire_log import Interaction
from bot.demo.slack.workspace import (
    ADMIN,
    APPROVER,
    BOT_USER,
    FLEET_ALERTS,
    OPERATOR,
    OPS,
    ROLLOUTS,
    PostedMessage,
    View,
)
from tests.worlds.process import IN_TIME, PASSWORD, Outside, inside, outside

BEFORE_EIGHT = datetime(2026, 11, 25, 7, 50, tzinfo=UTC)
PING = "<!channel> *x* &lt; \u202e"
TAG = "<!channel> *x* &lt;"  # which can be typed
LONG = "M" * 300
ALERTS_AT_ONCE = {
    "CHANNELS__ALERTS": FLEET_ALERTS,
    "ALERTS__OFFLINE_AFTER": "0",
    "ALERTS__OFFLINE_LISTINGS": "1",
    "ALERTS__ONLINE_AFTER": "0",
    "ALERTS__ONLINE_LISTINGS": "1",
    "ALERTS__GROUP_WAIT": "0",
    "ALERTS__STARTUP_LISTINGS": "1",
}
PINGS = ("<!channel", "<!here", "<!everyone", "<!subteam")


def hostile_fleet() -> FleetSimulator:
    """Thirty gateways at sites and with names that are markup, or longer than anything should be."""
    portal = FleetSimulator(gateways=0, password=PASSWORD, clock=SimulatorClock(start=BEFORE_EIGHT))
    portal.pickup = portal.download = portal.reboot = (timedelta(0), timedelta(0))
    names = [PING, LONG, *(f"MT{10000 + number}" for number in range(28))]
    since = portal.clock.now() - timedelta(days=3)
    for number, name in enumerate(names):
        site, mac = (TAG, LONG, "oslo")[number % 3], f"bmac-{number:012x}"
        portal.labels.add(site)
        portal.add_device(
            Device(mac, name, ("2011", "2012")[number % 2], [site, "roof"], True, since, "3.4.1")
        )
    portal.add_firmware("2011", "9.0.0")
    portal.add_firmware("2012", "9.0.0")
    return portal


@asynccontextmanager
async def bot_in_slack(folder: Path, **variables: str) -> AsyncIterator[Outside]:
    """The whole bot inside this process, connected, with the fleet taken in."""
    async with outside(folder, hostile_fleet(), **variables) as world, inside(world):
        yield world


def from_the_bot(world: Outside) -> list[PostedMessage]:
    return [one for one in world.slack.workspace.messages.values() if one.user == BOT_USER]


def check_all(world: Outside) -> None:
    """Whatever the bot said: nothing Slack objects to, nothing without words, nothing that pings."""
    assert world.slack.problems == []
    assert not world.slack.rejected
    for message in from_the_bot(world):
        assert message.text.strip() or message.files
        for text in (message.text, *marked(message.blocks)):
            assert not [ping for ping in PINGS if ping in text], text


def marked(thing: Any) -> Iterator[str]:
    """Every text in which Slack reads markup."""
    if isinstance(thing, list):
        for one in thing:
            yield from marked(one)
    elif isinstance(thing, dict):
        if thing.get("type") == "mrkdwn":
            yield thing["text"]
        for one in thing.values():
            yield from marked(one)


# A command, and what its answer says in plain words.
COMMANDS = {
    "help": "What would you like to do?",
    "help all": "rollouts",
    "help update": "update model:2011 fw:&lt;3.5.0 to latest",
    "help query": "name:MT",
    "divices": "Did you mean devices",
    "status": "30 gateways",
    "devices": "of 30 gateways",
    "devices fw:<9.0.0 -model:2012": "of 15 gateways",
    'devices tag:"<!channel>*" is:online': "10 gateways",
    "devices fw:<": "has no order",
    f"device {LONG}": "MMMM",
    "device bmac-000000000000": "&lt;!channel&gt;",
    "device nobody": "nobody",
    "tags": "oslo",
    "firmware": "9.0.0",
    "firmware 2011": "9.0.0",
    "settings": "BOT_TOKEN",
    "availability model:2011": "available",
    "history MT10001 30d": "Nothing happened to MT10001",
    "worst often 30d": "No gateway was offline",
    "chart firmware model:2011": "3.4.1 on 15",
    "chart offline": "less than a minute",
    "chart pie": "offline and firmware",
    'subscribe offline tag:"<!channel>*"': 'each alert of tag:"&lt;!channel&gt;',
    "subscribe digest at 7:30 in europe/oslo": "07:30 (Europe/Oslo)",
    "subscribe alerts": "Did you mean",
    "subscriptions": "&lt;!channel&gt;",
    "unsubscribe 1": "no longer gets",
    "unsubscribe 9": "no subscription 9",
    "alerts": "alert",
    "rollouts": "rollout",
    "rollout R-7": "R-7",
    "jobs": "jobs",
    "job 12": "12",
    'rename MT10001 "<!channel> & *co*"': "&lt;!channel&gt; &amp;",
    "rename MT10002 http://example.com": "http://example.com",
    'tag MT10003 +"<!here> you" -roof': "&lt;!here&gt; you",
    "tag tag:oslo +checked": "10 gateways",
    "update tag:oslo to 9.0.0": "2011",
    "update tag:oslo model:2011 to 9.0.0": "9.0.0",
    "update tag:oslo to 1.2.3": "1.2.3",
    "update name:* to": "version",
}
# Slack sends an entity that somebody typed as one more; only so can it be told from what it stands for.
WITH_ENTITIES = {'devices tag:"<!channel>* &lt;"': "10 gateways", f"device {PING}": "&amp;lt;"}


@pytest.mark.parametrize("mangled", [False, True], ids=["as typed", "as Slack sends it from a Mac"])
async def test_each_command_is_answered_in_words_that_slack_takes(mangled: bool, tmp_path: Path) -> None:
    async with bot_in_slack(tmp_path) as world:
        said = {}
        expected = COMMANDS | WITH_ENTITIES
        for command in expected:
            typed = command if mangled else escape(command, quote=False)  # as Slack sends it from elsewhere
            act = await world.slack.command(OPERATOR, OPS, typed, mangled=mangled)
            said[command] = (await world.reply(act)).text
        wrong = [f"{one} -> {said[one]}" for one, words in expected.items() if words not in said[one]]
        assert wrong == []
        assert not [text for text in said.values() if "went wrong" in text]
        check_all(world)


@dataclass
class Desk:
    """People at work: every act is kept, and with it every button they got to see."""

    world: Outside
    acts: list[Interaction] = field(default_factory=list)
    clicked: set[str] = field(default_factory=set)

    async def asks(self, command: str, user: str = OPERATOR, *, shows: str = "") -> PostedMessage:
        """The answer that shows something: a long change tells its progress before."""
        self.acts.append(await self.world.slack.command(user, OPS, escape(command, quote=False)))
        return await self.world.reply(self.acts[-1], shows)

    async def clicks(
        self,
        message: PostedMessage,
        action_id: str,
        user: str = OPERATOR,
        *,
        shows: str = "",
        selected: str | None = None,
    ) -> Interaction:
        """Clicks, or chooses in a menu, and waits until the message itself shows something."""
        act = await self.world.slack.click(user, message, action_id, selected=selected)
        self.acts.append(act)
        self.clicked.add(action_id)
        assert (await act.ack).ok
        await self.world.shows(message, shows)
        return act

    async def refreshes(self, message: PostedMessage) -> None:
        before = message.edits
        await self.clicks(message, "refresh")
        await self.world.slack.wait_for(lambda: message.edits > before, IN_TIME)

    def drawn(self) -> set[str]:
        seen = [
            *(call.args for call in self.world.slack.calls),
            *(post for act in self.acts for post in act.posts),
        ]
        blocks = [block for one in seen for block in one.get("blocks") or []]
        return {one["action_id"] for _, one in walk(blocks) if "action_id" in one}


async def test_each_button_does_its_work_in_messages_that_slack_takes(tmp_path: Path) -> None:
    async with bot_in_slack(tmp_path, **ALERTS_AT_ONCE) as world:
        desk = Desk(world)
        await turns_pages(desk)
        await changes_and_takes_back(desk)
        await plans_and_decides(desk)
        await freezes(desk)
        await subscribes(desk)
        await sees_incidents(desk)
        assert desk.drawn() - desk.clicked == set()
        check_all(world)


async def subscribes(desk: Desk) -> None:
    answer = await desk.asks(f'subscribe offline -tag:"{TAG}"', shows="subscribed")
    await desk.clicks(answer, "subscription_undo", shows="has ended")


async def turns_pages(desk: Desk) -> None:
    listed = await desk.asks("devices")
    await desk.clicks(listed, "page_next", shows="11–20 of 30 gateways")
    await desk.clicks(listed, "page_previous", shows="1–10 of 30 gateways")
    sent = await desk.world.reply(await desk.clicks(listed, "export_csv"))
    assert "30 rows" in sent.text
    (file,) = desk.world.slack.workspace.files.values()
    assert file.complete
    one = await desk.asks("devices id:bmac-000000000000")
    card = await desk.clicks(one, "open", selected="page.device.0.bmac-000000000000")
    await looks_into(desk, (await desk.world.reply(card)))
    for command in ("devices", "tags", "firmware", "jobs", "alerts", "rollouts", "device bmac-000000000000"):
        shown = await desk.asks(command)
        if "Refresh" in message_text(shown):
            await desk.refreshes(shown)
    await desk.clicks(await desk.asks("firmware"), "open")


def is_filled(dialog: View) -> bool:
    """Not while it is looked up what there is to choose."""
    return "One moment" not in str(dialog.body)


async def looks_into(desk: Desk, card: PostedMessage) -> None:
    """What the card of a gateway leads to; the update's dialog is the same that a command opens."""
    slack = desk.world.slack
    for button, entered in (
        ("gateway_rename", {"name": {"name": f"{PING} 2"}}),
        ("gateway_tags", {"tags": {"tags": f"{TAG}\nspare"}}),
        ("gateway_silence", {}),
        ("rollout_form", {}),
    ):
        await desk.clicks(card, button)
        dialog = await slack.wait_for(lambda: slack.top_view(OPERATOR), IN_TIME)
        if entered:
            await (await slack.submit(OPERATOR, dialog, entered)).ack
        await slack.wait_for(partial(is_filled, dialog), IN_TIME)
        await slack.close(OPERATOR, dialog)


async def changes_and_takes_back(desk: Desk) -> None:
    renamed = await desk.asks(f'rename {LONG} "{PING}"', shows="renamed")
    assert "&lt;!channel&gt;" in renamed.text
    await desk.clicks(renamed, "write_undo", shows="back")
    asked = await desk.asks("tag tag:oslo +spare")
    before = asked.snapshot()
    await desk.clicks(asked, "write_cancel", shows="cancelled")
    late = await desk.clicks(before, "write_confirm")
    await desk.world.slack.wait_for(lambda: len(late.responses) == 2, IN_TIME)
    await desk.clicks(await desk.asks("tag tag:oslo +spare"), "write_confirm")


async def plans_and_decides(desk: Desk) -> None:
    world = desk.world
    choice = await desk.asks(f"update name:{LONG},MT* to 9.0.0")
    await desk.clicks(choice, "rollout_replan", shows="Plan: ")
    await desk.clicks(choice, "rollout_cancel", shows="dropped")
    for number, (action, decided) in enumerate(
        [
            ("rollout_cancel", "withdrawn"),
            ("rollout_deny", "denied"),
            ("rollout_approve", "15 of 15 verified"),
        ],
        1,
    ):
        plan = await desk.asks("update model:2011 to 9.0.0")
        assert "of 15 that match" in plan.text
        await desk.clicks(plan, "rollout_request", shows=f"R-{number}")
        card = await world.message(ROLLOUTS, f"R-{number}")
        await desk.clicks(card, action, OPERATOR if action == "rollout_cancel" else APPROVER)
        if action == "rollout_deny":
            modal = await world.slack.wait_for(lambda: world.slack.top_view(APPROVER), IN_TIME)
            await world.slack.submit(APPROVER, modal, {"reason": {"reason": f"{PING} no"}})
            assert "&lt;!channel&gt;" in (await world.message(OPERATOR, "no")).text
        await world.shows(card, decided)
    shown = await desk.asks("rollout R-3")
    await desk.clicks(shown, "export_csv")
    await world.slack.wait_for(lambda: len(world.slack.workspace.files) == 2, IN_TIME)
    (job,) = world.portal.jobs
    assert "R-3" in (await desk.asks(f"job {job}")).text
    await steers(desk)


async def steers(desk: Desk) -> None:
    """A rollout that takes its time is paused, resumed and aborted."""
    world = desk.world
    world.portal.pickup = (timedelta(hours=1), timedelta(hours=1))  # so that the abort calls all of them off
    await desk.clicks(await desk.asks("update model:2012 to 9.0.0"), "rollout_request", shows="R-4")
    card = await world.message(ROLLOUTS, "R-4")
    await desk.clicks(card, "rollout_approve", APPROVER)
    await world.shows(card, "running since")
    await desk.clicks(card, "rollout_pause")
    await world.shows(card, "paused")
    copy = await desk.asks("rollout R-4", shows="paused")
    await desk.clicks(copy, "rollout_resume", shows="running since")
    await world.shows(card, "running since")
    await desk.clicks(card, "rollout_abort")
    await world.shows(card, "Aborted by")


async def freezes(desk: Desk) -> None:
    world = desk.world
    asked = await desk.asks(f"freeze everything because {PING} fair", ADMIN, shows="Nothing is frozen yet")
    await desk.clicks(asked, "freeze", ADMIN, shows="Everything is frozen")
    assert "&lt;!channel&gt;" in (await world.message(ROLLOUTS, "froze everything")).text
    desk.acts.append(await world.slack.command(ADMIN, OPS, "freeze firmware 9.0.0"))
    modal = await world.slack.wait_for(lambda: world.slack.top_view(ADMIN), IN_TIME)
    await world.slack.submit(ADMIN, modal, {"reason": {"reason": f"{PING} bricks"}})
    await world.message(ROLLOUTS, "bricks")
    listed = await desk.asks("freeze", ADMIN, shows="fair")
    await desk.clicks(listed, "unfreeze", ADMIN)
    await world.message(ROLLOUTS, "unfroze everything")
    assert "no longer frozen" in (await desk.asks("unfreeze firmware 9.0.0", ADMIN)).text


async def sees_incidents(desk: Desk) -> None:
    world = desk.world
    cards = []
    for site, words in (("oslo", " oslo: "), (TAG, "!channel>"), (LONG, " MMMM")):
        world.portal.disconnect([one for one in world.portal.devices if is_at(world, one, site)])
        cards.append(await world.message(FLEET_ALERTS, words))
        await world.shows(cards[-1], "10 gateways")
    await silences_one(desk, cards[0])
    for card in cards:
        await desk.clicks(card, "incident_ack", shows="cknowledged by")
        details = await world.reply(await desk.clicks(card, "incident_details"))
        assert "10 gateways" in details.text
    edits = cards[0].edits
    await desk.clicks(cards[0], "incident_take_over", APPROVER)
    await world.slack.wait_for(lambda: cards[0].edits > edits, IN_TIME)
    await desk.clicks(cards[0], "incident_give_back", APPROVER, shows="gave it back")
    await desk.clicks(cards[0], "incident_assign")
    world.portal.connect(world.portal.devices)
    for card in cards:
        await world.shows(card, "were offline")
    told = ["silence", "its end"]
    assert len(world.in_channel(FLEET_ALERTS)) == len(cards) + len(told)


async def silences_one(desk: Desk, card: PostedMessage) -> None:
    await desk.clicks(card, "incident_silence")
    modal = await desk.world.slack.wait_for(lambda: desk.world.slack.top_view(OPERATOR), IN_TIME)
    choice = {"duration": {"duration": "30m"}, "reason": {"reason": f"{PING} mast"}}
    await desk.world.slack.submit(OPERATOR, modal, choice)
    await desk.world.shows(card, "silenced by")
    said = await desk.world.message(FLEET_ALERTS, "S-1")
    await desk.clicks(said, "silence_end")
    await desk.world.message(FLEET_ALERTS, "come here again")


async def test_a_fleet_that_goes_at_once_is_visibility_loss_first_and_then_a_storm(tmp_path: Path) -> None:
    """In a fleet without a past: gateways that went away before might flap."""
    async with bot_in_slack(tmp_path, **ALERTS_AT_ONCE) as world:
        world.portal.disconnect(world.portal.devices)
        storm = await world.message(FLEET_ALERTS, "at 3 sites")
        await world.message(FLEET_ALERTS, "an outage after all")  # which the loss of visibility turns into
        world.portal.connect(world.portal.devices)
        await world.shows(storm, "were offline")
        check_all(world)


async def test_a_digest_of_all_that_waits_is_one_message_that_slack_takes(tmp_path: Path) -> None:
    portal = hostile_fleet()
    for gateway in [one for one in portal.devices.values() if TAG in (one.labels or [])][:3]:
        gateway.connected = False
    portal.download = (timedelta(hours=1), timedelta(hours=1))
    async with outside(tmp_path, portal, **ALERTS_AT_ONCE) as world, inside(world) as app:
        desk = Desk(world)
        await world.message(FLEET_ALERTS, "3 of 10 gateways")
        asked = await desk.asks(f"silence tag:oslo for 12h because {PING}")
        await desk.clicks(asked, "silence_confirm", shows="S-1")
        plan = await desk.asks("update model:2012 tag:oslo to 9.0.0")
        await desk.clicks(plan, "rollout_request", shows="R-1")
        await desk.clicks(await world.message(ROLLOUTS, "R-1"), "rollout_approve", APPROVER)
        portal.clock.advance(timedelta(minutes=20))
        await world.has_listed()
        await app.digests.tick()
        digest = await world.message(FLEET_ALERTS, "27 of 30 gateways are online")
        for words in (
            "3 are offline for more than 24 h",
            "Alerts nobody acknowledged",
            "R-1",
            "S-1",
        ):
            assert words in digest.text
        assert "&lt;!channel&gt;" in digest.text
        check_all(world)


def is_at(world: Outside, device: str, site: str) -> bool:
    return site in (world.portal.devices[device].labels or [])


async def test_a_mention_in_a_thread_is_answered_in_that_thread(tmp_path: Path) -> None:
    async with bot_in_slack(tmp_path) as world:
        slack = world.slack
        parent = slack.workspace.add(PostedMessage(OPS, slack.workspace.next_ts(), "Is Oslo well?", APPROVER))
        for text, words in (
            ("devices tag:oslo", "10 gateways"),
            ("help", "What would you like to do?"),
            (f"device {LONG}", "MMM"),
            ("rename MT10003 Roof", "Roof"),
            ('subscribe offline tag:"oslo" -fw:<3.0.0', "each alert of tag:oslo -fw:"),
        ):
            assert words in (await mentioned(world, parent, text)).text
        listed = await mentioned(world, parent, "devices")
        await slack.click(OPERATOR, listed, "page_next")
        await world.shows(listed, "11–20 of")
        plan = await mentioned(world, parent, "update model:2011 to 9.0.0")
        await slack.click(OPERATOR, plan, "rollout_cancel")
        await world.shows(plan, "The plan is dropped")
        said = [one for one in slack.workspace.in_channel(OPS) if "this channel gets" not in one.text]
        assert said == [parent]
        check_all(world)


async def mentioned(world: Outside, parent: PostedMessage, text: str) -> PostedMessage:
    """What the bot says to it in the thread, where the mention itself stands as well."""
    slack = world.slack
    seen = len(slack.workspace.thread(parent))
    act = await slack.mention(OPERATOR, OPS, text, parent.ts, mangled=True)
    assert (await act.ack).ok
    await slack.wait_for(lambda: len(slack.workspace.thread(parent)) == seen + 2, IN_TIME)
    return slack.workspace.thread(parent)[-1]
