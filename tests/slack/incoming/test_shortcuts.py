"""Shortcuts: entries of Slack's own menus, each of which is a button that need not be looked for."""

from dataclasses import dataclass, field

from bot.demo.slack import workspace
from bot.demo.slack.workspace import BOT_USER, PostedMessage
from bot.slack import ids
from bot.slack.ids import CardRef
from bot.slack.incoming.listeners import Click, Feature
from bot.slack.manifest import SHORTCUTS
from bot.slack.views.blocks import actions, button, sentence
from tests.slack.incoming.connected import Bed, connected

OTTO, OPS = workspace.OPERATOR, workspace.OPS


@dataclass
class Pressed:
    clicks: list[Click] = field(default_factory=list)

    def feature(self) -> Feature:
        return Feature(clicks={ids.INCIDENT_ACK: self.press, ids.GATEWAY_FIND: self.press})

    async def press(self, click: Click) -> None:
        self.clicks.append(click)
        await click.respond.add(sentence("pressed"))


def card(made: Bed, by: str = BOT_USER) -> PostedMessage:
    blocks = actions(button("Acknowledge", ids.INCIDENT_ACK, CardRef("7", 3)))
    ts = made.slack.workspace.next_ts()
    return made.slack.workspace.add(PostedMessage(OPS, ts, "an alert", by, blocks=blocks))


async def test_a_shortcut_on_a_card_presses_its_button_with_the_version_that_was_drawn() -> None:
    pressed = Pressed()
    async with connected([pressed.feature()]) as (made, _):
        act = await made.slack.shortcut(OTTO, ids.INCIDENT_ACK, card(made))
        (answer,) = await made.slack.wait_for(lambda: act.responses)
        assert answer.text == "pressed"
        (click,) = pressed.clicks
        assert (click.ref, click.channel, click.actor.user_id) == (CardRef("7", 3), OPS, OTTO)


async def test_on_a_message_that_is_not_the_bot_s_it_does_nothing_and_says_so() -> None:
    pressed = Pressed()
    async with connected([pressed.feature()]) as (made, _):
        act = await made.slack.shortcut(OTTO, ids.INCIDENT_ACK, card(made, by=OTTO))
        (answer,) = await made.slack.wait_for(lambda: act.responses)
        assert "no card of an open alert" in answer.text
        assert pressed.clicks == []


async def test_a_global_shortcut_needs_no_message_and_is_answered_by_direct_message() -> None:
    pressed = Pressed()
    async with connected([pressed.feature()]) as (made, _):
        await made.slack.shortcut(OTTO, ids.GATEWAY_FIND)
        (answer,) = await made.slack.wait_for(lambda: made.slack.workspace.in_channel(OTTO))
        assert answer.text == "pressed"
        assert pressed.clicks[0].trigger_id


def test_names_begin_with_a_verb_and_fit_slack_s_menus() -> None:
    assert all(len(called) <= 24 and called.split()[0].istitle() for _, called, _ in SHORTCUTS.values())
