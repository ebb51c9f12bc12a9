"""One operator's hour with `meshbot run`: over real sockets, in one process, from the first list to SIGTERM.

The hour goes by in seconds: the intervals are short and the portal's jobs quick. Each step waits for what a
person would see in Slack.
"""

import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import Device, FleetSimulator, SimulatorClock
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import (
    APPROVER,
    APPROVER_2,
    FLEET_ALERTS,
    OPERATOR,
    OPS,
    ROLLOUTS,
    VIEWER,
    PostedMessage,
)
from tests.system.test_crash import direct_message
from tests.worlds.process import IN_TIME, PASSWORD, Bot, Outside, inside, outside

BRIEF = (timedelta(seconds=0.2), timedelta(seconds=1))


FORTY = ["oslo"] * 12 + ["bergen"] * 8 + ["Kyiv-office"] * 20


def fleet(sites: Sequence[str] = FORTY, clock: SimulatorClock | None = None) -> FleetSimulator:
    """Gateways at these sites, all online, whose jobs take a second or two."""
    portal = FleetSimulator(gateways=0, password=PASSWORD, clock=clock)
    portal.pickup = portal.download = portal.reboot = BRIEF
    for number, site in enumerate(sites):
        portal.add_device(
            Device(
                id=f"bmac-{number:012x}",
                friendly_name=f"MT{10000 + number}",
                model="2011",
                labels=[site],
                connected=True,
                changed_at=portal.clock.now() - timedelta(days=3),
                firmware="3.4.1",
                hardware="1.0.0",
            )
        )
    return portal


@pytest.mark.timeout(600)  # it waits for many things, on a machine that may be busy
async def test_an_operator_s_hour(tmp_path: Path) -> None:
    async with outside(
        tmp_path,
        fleet(),
        CHANNELS__ALERTS=FLEET_ALERTS,
        ALERTS__OFFLINE_AFTER="2s",
        ALERTS__OFFLINE_LISTINGS="2",
        ALERTS__ONLINE_AFTER="1s",
        ALERTS__ONLINE_LISTINGS="2",
        ALERTS__GROUP_WAIT="1s",
        ALERTS__STARTUP_LISTINGS="1",
        ROLLOUTS__WAVES="1,100%",
    ) as world:
        bot = await world.run()
        await world.has_listed()
        await looks_around(world)
        await renames_and_takes_it_back(world)
        await tags_by_query(world)
        await updates_oslo(world)
        await is_denied(world)
        await sees_bergen_go_and_come_back(world)
        await is_ready(bot)
        await ends_well(world, bot)
        what_is_left(world)


async def looks_around(world: Outside) -> None:
    slack = world.slack
    listed = await world.answer(OPERATOR, "devices")
    assert "1–10 of 40 gateways" in message_text(listed)
    turned = await slack.click(OPERATOR, listed, "page_next")
    await world.shows(listed, "11–20 of 40 gateways")
    assert turned.responses == [listed], "paging replaces the answer"

    shown = re.findall(r"bmac-\w+", message_text(listed))
    assert len(shown) == 10
    world.portal.rename(shown[0], "Renamed in the portal")
    await world.has_listed()
    await slack.click(OPERATOR, listed, "refresh")
    await world.shows(listed, "Renamed in the portal")
    await slack.click(OPERATOR, listed, "page_previous")
    await world.shows(listed, "1–10 of 40 gateways")

    assert "MT10003" in await world.says(OPERATOR, "device MT10003")
    assert "logged in" in await world.says(VIEWER, "status")


async def renames_and_takes_it_back(world: Outside) -> None:
    device = world.portal.devices["bmac-000000000003"]
    act = await world.slack.command(OPERATOR, OPS, 'rename MT10003 "Roof, north"')
    done = await world.reply(act, "renamed")  # on a busy machine its progress is told before
    assert "MT10003" in message_text(done)
    assert "Roof, north" in message_text(done)
    assert device.friendly_name == "Roof, north"
    await world.slack.click(OPERATOR, done, "write_undo")
    await world.shows(done, "renamed back")
    assert device.friendly_name == "MT10003"
    assert "you need to be an operator" in await world.says(VIEWER, "rename MT10003 Mine")
    assert device.friendly_name == "MT10003"


async def tags_by_query(world: Outside) -> None:
    asked = await world.answer(OPERATOR, "tag tag:bergen +checked")
    assert "8 gateways" in message_text(asked)
    assert world.portal.at_site("checked") == [], "nothing before it is confirmed"
    await world.slack.click(OPERATOR, asked, "write_confirm")
    await world.shows(asked, "done")
    assert world.portal.at_site("checked") == world.portal.at_site("bergen")


async def updates_oslo(world: Outside) -> None:
    """Ana asks; she may not approve her own; Arne does; Otto promotes; one card tells all of it."""
    slack, portal = world.slack, world.portal
    plan = await world.answer(APPROVER, "update tag:oslo to 3.5.0")
    assert "12 gateways" in message_text(plan)
    assert not portal.jobs, "a plan sends nothing"
    await slack.click(APPROVER, plan, "rollout_request")
    card = await world.message(ROLLOUTS, "R-1")
    drawn = card.snapshot()

    refused = await world.reply(await slack.click(APPROVER, card, "rollout_approve"))
    assert refused.ephemeral_to == APPROVER
    assert "somebody else has to approve it" in message_text(refused)
    refused = await world.reply(await slack.click(OPERATOR, card, "rollout_approve"))
    assert "approver" in message_text(refused)
    assert not portal.jobs, "nor does a refused click"

    await slack.click(APPROVER_2, card, "rollout_approve")
    await world.shows(card, "canary done")
    assert len(portal.jobs) == 1, "after the canary a person promotes"
    await slack.click(OPERATOR, card, "rollout_promote")
    await world.shows(card, "finished")
    assert "11 of 11 verified" in message_text(card)
    assert {portal.devices[one].firmware for one in portal.at_site("oslo")} == {"3.5.0"}
    assert {len(jobs) for jobs in portal.starts.values()} == {1}
    assert card.edits > 1, "it was edited while it ran"
    late = await world.reply(await slack.click(APPROVER_2, drawn, "rollout_approve"))
    assert late.ephemeral_to == APPROVER_2, "a decision is made once"
    await world.message(APPROVER, " approved by ")


async def is_denied(world: Outside) -> None:
    """Otto's own idea is turned down, with a reason that the card and he himself get to read."""
    slack = world.slack
    plan = await world.answer(OPERATOR, "update tag:Kyiv-office to 3.5.0")
    await slack.click(OPERATOR, plan, "rollout_request")
    card = await world.message(ROLLOUTS, "R-2")
    await slack.click(APPROVER, card, "rollout_deny")
    modal = await slack.wait_for(lambda: slack.top_view(APPROVER), IN_TIME)
    submitted = await slack.submit(APPROVER, modal, {"reason": {"reason": "Not before the fair"}})
    assert (await submitted.ack).ok
    await world.shows(card, "Not before the fair")
    await world.message(OPERATOR, "Not before the fair")
    assert len(world.portal.jobs) == 2, "those of R-1"


async def sees_bergen_go_and_come_back(world: Outside) -> None:
    slack = world.slack
    world.portal.darken_site("bergen")
    card = await world.message(FLEET_ALERTS, "bergen")
    assert "8 gateways" in message_text(card)
    assert "bergen" in await world.says(OPERATOR, "alerts")
    await slack.click(OPERATOR, card, "incident_ack")
    await world.shows(card, "cknowledged by")
    world.portal.connect(world.portal.at_site("bergen"))
    await world.shows(card, "were offline")
    assert world.in_channel(FLEET_ALERTS) == [card], "its end is an edit, not another message"


async def is_ready(bot: Bot) -> None:
    status, body = await bot.get("/readyz")
    assert (status, body["status"]) == (200, "ok")


async def ends_well(world: Outside, bot: Bot) -> None:
    assert await world.stop(bot) == 0
    assert [entry["event"] for entry in bot.entries()][-2:] == ["stopping", "stopped"]
    await world.slack.wait_for(lambda: world.slack.connected == 0)
    assert [event.kind for event in world.slack.events][-2:] == ["socket closed"] * 2


def what_is_left(world: Outside) -> None:
    world.check_nothing_is_wrong()
    assert not world.slack.rejected
    assert len([card for card in world.in_channel(ROLLOUTS) if not card.is_reply]) == 2
    assert len(world.in_channel(FLEET_ALERTS)) == 1
    # Each heard how it was decided; the approver, whose rollout ran, of its canary and of its end as well.
    assert [len(world.in_channel(person)) for person in (APPROVER, OPERATOR)] == [3, 1]
    audited = world.rows("SELECT actor, action, outcome FROM audit ORDER BY id")
    expected = {
        (OPERATOR, "rename", "done"),
        (OPERATOR, "undo rename", "done"),
        (VIEWER, "rename", "refused"),
        (OPERATOR, "tag", "done"),
        (APPROVER, "rollout_request", "done"),
        (APPROVER, "rollout_approve", "refused"),
        (OPERATOR, "rollout_approve", "refused"),
        (APPROVER_2, "rollout_approve", "done"),
        (OPERATOR, "rollout_promote", "done"),
        (APPROVER, "rollout_deny", "done"),
        ("meshbot", "rollout_finished", "done"),
        (OPERATOR, "incident_ack", "done"),
    }
    assert expected <= set(audited)


@pytest.mark.timeout(240)  # on a machine that may be busy
async def test_a_plan_of_offline_gateways_is_approved_carried_out_as_they_return_and_ended(
    tmp_path: Path,
) -> None:
    portal = fleet(["oslo"] * 2, SimulatorClock(speed=1))
    first, _ = portal.devices
    portal.disconnect(list(portal.devices))
    async with outside(tmp_path, portal) as world, inside(world):
        plan = await world.answer(OPERATOR, "update tag:oslo to 3.5.0")
        assert "are offline: updated on their return" in message_text(plan)
        await world.slack.click(OPERATOR, plan, "rollout_request")
        card = await world.message(ROLLOUTS, "R-1")
        await world.shows(card, "waits up to 7 d for 2 gateways that are offline")
        await world.slack.click(APPROVER, card, "rollout_approve")
        await world.shows(card, "2 wait for their return, until")
        portal.connect([first])
        await world.shows(card, "1 waits for its return, until")
        await world.shows(card, "waiting for 1 gateway")
        await world.slack.click(OPERATOR, card, "rollout_end_waiting")
        await world.shows(card, "✅ finished")
        portal.connect(list(portal.devices))
        portal.clock.advance(timedelta(minutes=3))
        await world.has_listed()

        def told() -> PostedMessage | None:
            found = direct_message(world, OPERATOR)
            return found if found and "finished" in message_text(found) else None

        end = await world.slack.wait_for(told, IN_TIME)
        assert "Offline to the end, and not updated, was 1 gateway: MT10001 (oslo)." in message_text(end)
        assert {gateway: len(jobs) for gateway, jobs in portal.starts.items()} == {first: 1}
        world.check_nothing_is_wrong()
