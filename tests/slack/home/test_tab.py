"""The home tab as people with different roles see it, in the whole bot."""

from pathlib import Path
from typing import Any

import pytest

from bot.demo.slack.limits import problems_of_view
from bot.demo.slack.workspace import OPS
from bot.domain.access import Actor, Role
from bot.domain.rollouts.lifecycle import Rollout, RolloutState
from bot.domain.rollouts.progress import DrawnPlan
from bot.slack import ids
from bot.slack.home.views import tab as views
from bot.slack.views.undrawable import UNDRAWN, left_out
from tests.slack.home.room import (
    Screen,
    home_of,
    maintenance_of,
    silences_of,
    spoil_one,
    spoil_rollouts,
)
from tests.system.test_access import house, person
from tests.worlds.databases import sqlite_url
from tests.worlds.house import House
from tests.worlds.rollouts import ADA, OLGA, PAUL, VERA, World, world

GUS = Actor("U0GUS", "Gus", Role.NONE)


def said(view: dict[str, Any]) -> str:
    return str(view["blocks"])


def buttons(view: dict[str, Any]) -> list[str]:
    return [
        one["action_id"]
        for block in view["blocks"]
        if block["type"] == "actions"
        for one in block["elements"]
    ]


async def seen(it: World, actor: Actor) -> dict[str, Any]:
    screen = Screen()
    home = home_of(it, screen, actor)
    await home.opened({"type": "app_home_opened", "user": actor.user_id, "tab": "home"})
    (view,) = screen.published
    assert problems_of_view(view) == []
    return view


async def at_home(made: House, user: str, click: str = "") -> str:
    """What somebody's home tab shows in the whole bot, and after a click on it."""
    if not click or user not in made.slack.workspace.homes:
        assert (await (await made.slack.open_home(user)).ack).ok
        await made.app.slack.guard.idle()
    if click:
        act = await made.slack.click_in_view(user, made.slack.workspace.homes[user], click)
        assert (await act.ack).ok
        await made.app.slack.guard.idle()
    return str(made.slack.workspace.homes[user].blocks)


@pytest.mark.on_both
async def test_the_fleet_is_seen_at_a_glance(database_url: str) -> None:
    async with world(database_url) as it:
        view = await seen(it, VERA)
        assert "8 gateways: 0 offline, 8 online" in said(view)
        assert "3.4.1" in said(view)
        assert "Nothing is open." in said(view)
        assert "/mesh help" in said(view)


async def test_a_viewer_s_home_has_no_button_that_refuses(database_url: str) -> None:
    async with world(database_url) as it:
        await it.requested()
        assert buttons(await seen(it, VERA)) == [ids.OPEN]


async def test_an_approver_sees_what_waits_for_them(database_url: str) -> None:
    async with world(database_url) as it:
        await it.requested()
        view = await seen(it, PAUL)
        assert "Waits for you" in said(view)
        assert "*R-1*: 8 gateways of model 2011 to 9.0.0" in said(view)
        assert buttons(view) == [ids.ROLLOUT_FORM, ids.ROLLOUT_APPROVE, ids.ROLLOUT_DENY, ids.OPEN]


async def test_the_requester_sees_their_rollout_and_cannot_approve_it(database_url: str) -> None:
    async with world(database_url) as it:
        await it.requested(actor=PAUL)
        view = await seen(it, PAUL)
        assert "Your rollouts" in said(view)
        assert ids.ROLLOUT_APPROVE not in buttons(view)


async def test_who_has_approved_is_not_asked_again(database_url: str) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        assert (await it.rollouts.status(rollout_id)).rollout.state is RolloutState.RUNNING
        assert ids.ROLLOUT_APPROVE not in buttons(await seen(it, ADA))


async def test_one_s_own_running_rollout_can_be_paused_from_there(database_url: str) -> None:
    async with world(database_url) as it:
        await it.running()
        assert buttons(await seen(it, OLGA)) == [ids.ROLLOUT_FORM, ids.ROLLOUT_PAUSE, ids.OPEN]


async def test_everybody_sees_what_is_scheduled_or_under_way_and_opens_it(database_url: str) -> None:
    async with world(database_url) as it:
        await it.running()
        view = await seen(it, VERA)
        assert "Scheduled and under way" in said(view)
        assert buttons(view) == [ids.OPEN]


async def test_what_is_silenced_is_told_with_who_why_and_until_when(database_url: str) -> None:
    async with world(database_url) as it:
        assert "Silences" not in said(await seen(it, VERA))
        await silences_of(it).silence(OLGA, "tag:oslo for 2h because of <!here> paint", "C0OPS", 8)
        shown = said(await seen(it, VERA))
        assert "*S-1* `tag:oslo` until" in shown
        assert f"by <@{OLGA.user_id}>" in shown
        assert "paint" in shown
        assert "<!here>" not in shown


async def test_planned_maintenance_is_told_with_who_why_and_when(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        assert "Maintenance" not in said(await seen(it, VERA))
        for _ in range(views.LISTED + 2):
            await maintenance_of(it).plan(OLGA, "tag:oslo sat 02:00-04:00 because <!here> paint", "C0OPS", 8)
        shown = said(await seen(it, VERA))
        assert "*M-1* `tag:oslo`. It is open from" in shown
        assert f"By <@{OLGA.user_id}>" in shown
        assert "<!here>" not in shown
        assert "and 2 more windows: `/mesh windows` lists them" in shown


@pytest.mark.parametrize("knows_files", [True, False])
async def test_the_chart_is_shown_and_where_slack_does_not_take_it_the_tab_is_shown_without(
    knows_files: bool, tmp_path: Path
) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        screen = Screen(has_chart=True, knows_files=knows_files)
        await home_of(it, screen, VERA).opened({"user": VERA.user_id})
        at_once, with_chart = screen.published
        assert "8 gateways: 0 offline, 8 online" in said(at_once)
        assert ("F0CHART001" in said(with_chart)) is knows_files


async def test_the_last_chart_stays_while_no_newer_one_can_be_drawn(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        screen = Screen(has_chart=True)
        tab = home_of(it, screen, VERA)
        await tab.opened({"user": VERA.user_id})
        screen.draws = False
        await tab.opened({"user": VERA.user_id})
        await tab.redraw()
        assert "F0CHART001" in said(screen.published[-1])


async def test_more_silences_than_fit_are_counted(database_url: str) -> None:
    async with world(database_url) as it:
        for _ in range(views.LISTED + 2):
            await silences_of(it).silence(OLGA, "tag:oslo for 2h because paint", "C0OPS", 8)
        assert "and 2 more silences: `/mesh silences`" in said(await seen(it, VERA))


async def test_a_part_that_cannot_be_read_says_so_and_the_rest_is_shown(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        await it.requested()
        await spoil_rollouts(it)
        view = await seen(it, PAUL)
        assert [block["text"]["text"] for block in view["blocks"] if block["type"] == "header"] == [
            *("The fleet", "Rollouts", "Open alerts")
        ]
        assert said(view).count(UNDRAWN) == 1
        assert "Nothing is open." in said(view)


async def test_a_row_that_storage_cannot_read_is_missing_with_a_line_and_the_rest_is_shown(
    tmp_path: Path,
) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        await it.requested()
        await spoil_one(it)
        view = await seen(it, PAUL)
        assert said(view).count(left_out(1)) == 1
        assert "Nothing is open." in said(view)


async def test_a_guest_reads_why_there_is_nothing(database_url: str) -> None:
    async with world(database_url) as it:
        view = await seen(it, GUS)
        assert "Guests and people from other organisations" in said(view)
        assert "gateways:" not in said(view)


async def test_it_is_drawn_again_for_ten_minutes_and_only_when_it_changed(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        screen = Screen()
        home = home_of(it, screen, PAUL)
        await home.opened({"user": PAUL.user_id, "tab": "home"})
        await it.passes(1)
        await home.redraw()
        assert len(screen.published) == 1, "only its age is another"
        await it.requested()
        await home.redraw()
        assert len(screen.published) == 2
        await it.passes(10)
        await it.rollouts.cancel(OLGA, (await it.rollouts.page(0)).lines[0].rollout.id)
        await home.redraw()
        assert len(screen.published) == 2, "it may have been closed long ago"


async def test_a_tab_that_cannot_be_drawn_keeps_no_other_from_being_drawn(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path)) as it:
        screen = Screen()
        home = home_of(it, screen, PAUL)
        for user in ("U0GONE0001", PAUL.user_id):
            await home.opened({"user": user})
        screen.gone.add("U0GONE0001")
        await it.requested()
        await home.redraw()
        assert screen.drawn_for == ["U0GONE0001", PAUL.user_id, PAUL.user_id]


async def test_the_window_for_an_update_opens_from_the_home_tab(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        otto = person(Role.OPERATOR, "member")
        await at_home(made, otto, ids.ROLLOUT_FORM)
        (view,) = made.slack.workspace.open_views(otto)
        assert "Update firmware" in str(view.body)


async def test_what_is_done_on_the_home_tab_shows_there_at_once(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await requested(made)
        ada = person(Role.ADMIN, "member")  # whatever it is, a downgrade too
        assert "Waits for you" in await at_home(made, ada)
        assert "Waits for you" not in await at_home(made, ada, ids.ROLLOUT_APPROVE)


async def test_what_somebody_else_did_meanwhile_shows_there_after_a_click_that_came_too_late(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as made:
        rollout = await requested(made)
        ada = person(Role.ADMIN, "member")
        assert "Waits for you" in await at_home(made, ada)
        otto = await made.app.slack.people.actor(person(Role.OPERATOR, "member"))
        await made.app.rollouts.cancel(otto, rollout.id)
        assert "Waits for you" not in await at_home(made, ada, ids.ROLLOUT_APPROVE)


async def requested(made: House) -> Rollout:
    """A rollout that an operator asked for."""
    await made.app.fleet.take_in_listing()
    offered = await made.app.fleet.firmware()
    models = {one.firmware.model for one in offered if one.gateways}
    other = next(one.firmware for one in offered if one.firmware.model in models and not one.gateways)
    otto = await made.app.slack.people.actor(person(Role.OPERATOR, "member"))
    plan = await made.app.rollouts.plan(otto, OPS, f"model:{other.model}", str(other.version))
    assert isinstance(plan, DrawnPlan)
    return await made.app.rollouts.request(otto, plan.id)


async def test_the_messages_tab_is_not_the_home_tab(database_url: str) -> None:
    async with world(database_url) as it:
        screen = Screen()
        await home_of(it, screen, VERA).opened({"user": VERA.user_id, "tab": "messages"})
        assert screen.published == []


def test_what_a_closed_home_says_rings_at_nobody() -> None:
    assert "<!channel>" not in said(views.closed("<!channel>"))
