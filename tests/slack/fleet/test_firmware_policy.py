"""A firmware policy in Slack: said, seen wherever the fleet is, and brought to a plan by one button."""

from pathlib import Path

from bot.demo.slack import workspace
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import ADMIN, OPERATOR, VIEWER, PostedMessage
from tests.attacks.test_authority import NEW, OLD, lab
from tests.slack.home.test_tab import at_home
from tests.worlds.house import House


async def answer(made: House, user: str, text: str) -> PostedMessage:
    typed = await made.slack.command(user, workspace.OPS, text)
    assert (await typed.ack).ok
    await made.app.slack.guard.idle()
    (said,) = typed.responses
    return said


async def test_a_wanted_version_is_seen_everywhere_and_one_button_plans_the_update(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        asked = await answer(made, OPERATOR, f"policy want {NEW} because of the contract")
        assert "would hold for *4 of 4 gateways*" in message_text(asked)
        said = await made.click(OPERATOR, "policy_confirm", asked)
        assert "*P-1*" in said
        told = await made.card("is the version to run for all gateways: of the contract")
        assert OPERATOR in message_text(told)
        behind = f"4 of 4 behind `{NEW}`"
        for word in ("policy", "status", "firmware"):
            assert behind in await made.command(VIEWER, word)
        assert behind in await at_home(made, VIEWER)

        drawn = await answer(made, OPERATOR, "policy")
        assert "Update 4 gateways" in str(drawn.blocks)
        assert "rollout_replan" not in str((await answer(made, VIEWER, "policy")).blocks)
        planned = await made.click(OPERATOR, "rollout_replan", drawn)
        assert f"Plan: firmware {NEW} for 4 gateways" in planned


async def test_a_bad_version_has_a_reason_which_a_dialog_asks_for_and_its_end_has_an_undo(
    tmp_path: Path,
) -> None:
    async with lab(tmp_path) as made:
        asked = f"policy bad {OLD} for id:bmac-000000000000"
        assert (await (await made.slack.command(OPERATOR, workspace.OPS, asked)).ack).ok
        await made.app.slack.guard.idle()
        (dialog,) = made.slack.workspace.open_views(OPERATOR)
        assert "That holds for *1 of 4 gateways*" in str(dialog.body)
        typed = {"reason": {"reason": "CVE-2026-1"}, "link": {"link": "https://example.com/1"}}
        assert (await (await made.slack.submit(OPERATOR, dialog, typed)).ack).ok
        await made.app.slack.guard.idle()
        told = await made.card("is known to be bad")
        assert "CVE-2026-1, <https://example.com/1|more>" in str(told.blocks)
        assert f"1 on `{OLD}`, known to be bad" in await made.command(VIEWER, "status")

        assert "you need to be an operator" in await made.command(VIEWER, "policy end P-1")
        ended = await answer(made, OPERATOR, "policy end P-1")
        await made.card("*P-1* ended by")
        assert "none is known to be bad" in await made.command(VIEWER, "policy")
        assert "Undone" in await made.click(OPERATOR, "policy_undo", ended)
        assert f"`{OLD}` is known to be bad" in await made.command(VIEWER, "policy")


async def test_a_frozen_version_is_not_wanted(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        await made.command(ADMIN, f"freeze firmware {NEW} because it bricks")
        said = await made.command(OPERATOR, f"policy want {NEW} for tag:lab")
        assert f"{NEW} cannot be wanted: firmware {NEW} is frozen by" in said


async def test_a_reason_of_a_policy_calls_nobody_and_is_no_link(tmp_path: Path) -> None:
    async with lab(tmp_path) as made:
        dialogs = f"policy bad {OLD} for id:bmac-000000000000"
        assert (await (await made.slack.command(OPERATOR, workspace.OPS, dialogs)).ack).ok
        await made.app.slack.guard.idle()
        (dialog,) = made.slack.workspace.open_views(OPERATOR)
        typed = {"reason": {"reason": "<!channel> *all* <https://evil.example|the portal>"}}
        assert (await (await made.slack.submit(OPERATOR, dialog, typed)).ack).ok
        told = await made.card("is known to be bad")
        shown = f"{told.blocks} {told.text} {(await answer(made, VIEWER, 'policy')).blocks}"
        assert "channel" in shown
        assert [one for one in ("<!channel", "<https://evil", "*all*") if one in shown] == []
