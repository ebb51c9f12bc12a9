"""An update put together in a window: opened by ``update`` alone, drawn anew at each choice, requested."""

import asyncio
from pathlib import Path
from typing import Any

from bot.demo.fleet.faults import FaultKind
from bot.demo.slack.workspace import OPS, View
from bot.domain.access import Role
from bot.slack import ids
from tests.system.test_access import house, person
from tests.worlds.house import House

OTTO = person(Role.OPERATOR, "member")


async def opened(made: House) -> View:
    await made.app.fleet.take_in_listing()
    typed = await made.slack.command(OTTO, OPS, "update")
    await typed.ack
    await made.app.slack.guard.idle()
    (view,) = made.slack.workspace.open_views(OTTO)
    return view


async def something(made: House) -> tuple[str, str]:
    """A model that a gateway has, and the newest file for it."""
    offered = await made.app.fleet.firmware()
    model = max((one for one in offered if one.gateways), key=lambda one: one.gateways).firmware.model
    return str(model), next(one.firmware.id for one in offered if one.firmware.model == model)


async def choose(made: House, view: View, action_id: str, value: str) -> None:
    clicked = await made.slack.click_in_view(OTTO, view, action_id, selected=value)
    assert (await clicked.ack).ok
    await made.app.slack.guard.idle()


async def test_an_update_is_requested_without_typing(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        await choose(made, view, ids.ROLLOUT_VERSION, file)
        assert "Nothing is sent before it is approved" in str(view.body)
        await choose(made, view, ids.ROLLOUT_PLACE, ids.ROLLOUT_EVERYWHERE)
        assert "Plan: firmware" in str(view.body)
        await (await made.slack.submit(OTTO, view)).ack
        await made.app.slack.guard.idle()
        assert "is requested" in str(view.body)
        assert [line.rollout.requester for line in (await made.app.rollouts.page(0)).lines] == [OTTO]


async def test_a_start_that_has_passed_is_said_at_its_field(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        await choose(made, view, ids.ROLLOUT_VERSION, file)
        await choose(made, view, ids.ROLLOUT_PLACE, ids.ROLLOUT_EVERYWHERE)
        start = {ids.ROLLOUT_START: {ids.ROLLOUT_START: 1_000_000_000}}
        await (await made.slack.submit(OTTO, view, start)).ack
        await made.app.slack.guard.idle()
        assert ids.ROLLOUT_START in view.errors
        assert (await made.app.rollouts.page(0)).lines == ()


async def test_where_maintenance_is_planned_an_update_can_be_bound_to_it(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        await choose(made, view, ids.ROLLOUT_VERSION, file)
        assert ids.ROLLOUT_WHEN not in str(view.body)
        typed = await made.slack.command(OTTO, OPS, "maintenance name:* tomorrow 02:00-04:00 because of it")
        await typed.ack
        await made.app.slack.guard.idle()
        await made.click(OTTO, "maintenance_confirm", typed.responses[0])
        await choose(made, view, ids.ROLLOUT_PLACE, ids.ROLLOUT_EVERYWHERE)
        await choose(made, view, ids.ROLLOUT_WHEN, ids.IN_MAINTENANCE)
        assert "It starts gateways only in M-1" in str(view.body)
        in_an_hour = int(made.portal.clock.now().timestamp()) + 3_600
        start: dict[str, Any] = {ids.ROLLOUT_START: {ids.ROLLOUT_START: in_an_hour}}
        await (await made.slack.submit(OTTO, view, start)).ack
        assert "leave out the time" in view.errors[ids.ROLLOUT_START]
        start[ids.ROLLOUT_START][ids.ROLLOUT_START] = None
        await (await made.slack.submit(OTTO, view, start)).ack
        (line,) = (await made.app.rollouts.page(0)).lines
        assert line.rollout.maintenance == 1


async def test_a_window_half_filled_in_is_not_submitted(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, _ = await something(made)
        only = {ids.ROLLOUT_MODEL: {ids.ROLLOUT_MODEL: model}}
        await (await made.slack.submit(OTTO, view, only)).ack
        assert view.errors == {ids.ROLLOUT_MODEL: "Choose a model, a version and which gateways."}


async def test_what_is_requested_is_the_plan_that_was_shown_and_meshtech_is_not_asked_again(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        await choose(made, view, ids.ROLLOUT_VERSION, file)
        await choose(made, view, ids.ROLLOUT_PLACE, ids.ROLLOUT_EVERYWHERE)
        asked = len(made.portal.requests)
        await (await made.slack.submit(OTTO, view)).ack
        assert len(made.portal.requests) == asked
        (line,) = (await made.app.rollouts.page(0)).lines
        assert (line.rollout.model, line.rollout.firmware.id) == (model, file)


async def test_a_choice_whose_plan_is_not_shown_yet_is_shown_it_and_not_requested(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        await choose(made, view, ids.ROLLOUT_VERSION, file)
        other = {ids.ROLLOUT_PLACE: {ids.ROLLOUT_PLACE: ids.ROLLOUT_EVERYWHERE}}
        assert (await (await made.slack.submit(OTTO, view, other)).ack).ok
        assert "Look at the plan" in str(view.body)
        assert "Plan: firmware" in str(view.body)
        assert (await made.app.rollouts.page(0)).lines == ()
        await (await made.slack.submit(OTTO, view)).ack
        assert len((await made.app.rollouts.page(0)).lines) == 1


async def test_of_two_choices_in_a_row_the_window_shows_the_second(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        view = await opened(made)
        model, file = await something(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        made.slack.faults.rate_limit("views.update")
        first = await made.slack.click_in_view(OTTO, view, ids.ROLLOUT_VERSION, selected=file)
        second = await made.slack.click_in_view(
            OTTO, view, ids.ROLLOUT_PLACE, selected=ids.ROLLOUT_EVERYWHERE
        )
        await asyncio.gather(first.ack, second.ack)
        await made.app.slack.guard.idle()
        assert "Plan: firmware" in str(view.body)


async def test_of_two_files_of_one_version_the_window_offers_each_and_plans_the_chosen(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as made:
        model, file = await something(made)
        version = str(made.portal.firmwares[file].version)
        other = made.portal.add_firmware(model, version, file_name="other.bin")
        made.later(minutes=2)
        view = await opened(made)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        assert f"{version} · " in str(view.body)
        await choose(made, view, ids.ROLLOUT_VERSION, other.id)
        await choose(made, view, ids.ROLLOUT_PLACE, ids.ROLLOUT_EVERYWHERE)
        assert "File `other.bin`" in str(view.body)


async def test_the_window_says_why_it_offers_nothing(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        made.portal.faults.add("LIST_FIRMWARE", FaultKind.STATUS, times=None, status=403)
        view = await opened(made)
        assert "One moment" not in str(view.body)
        assert "Meshtech" in str(view.body)


async def test_names_too_long_for_a_menu_are_left_to_the_command(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        made.portal.add_firmware("M" * 300, "1.0.0")
        model, _ = await something(made)
        made.portal.add_firmware(model, "9.0.0-" + "x" * 300)
        view = await opened(made)
        assert model in str(view.body)
        await choose(made, view, ids.ROLLOUT_MODEL, model)
        assert "MMM" not in str(view.body)
        assert "xxx" not in str(view.body)
