"""The site book in the whole bot: over the wire, with Slack's own user groups, up to the card of an alert."""

from pathlib import Path

from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import FLEET_ALERTS, OPERATOR, OPERATORS, OPS, VIEWER, PostedMessage
from bot.slack import ids
from tests.system.test_audited import AT_ONCE
from tests.worlds.house import House, house


async def answer(made: House, text: str) -> PostedMessage:
    typed = await made.slack.command(OPERATOR, OPS, text)
    await typed.ack
    await made.app.slack.guard.idle()
    return typed.responses[-1]


async def test_what_is_known_of_a_site_is_written_shown_reminded_of_and_taken_back(tmp_path: Path) -> None:
    async with house(tmp_path, None, **AT_ONCE, CHANNELS__ALERTS=FLEET_ALERTS) as made:
        await made.app.fleet.take_in_listing()
        gateway, device = next(iter(made.portal.devices.items()))
        site = device.site
        assert "you need to be an operator" in await made.command(VIEWER, f'describe "{site}" owner Mine')
        assert f"@operators ({OPERATORS})" in await made.command(
            OPERATOR, f'describe "{site}" call <!subteam^{OPERATORS}|@operators>'
        )
        assert "U0VIEWER01" in await made.command(OPERATOR, f'describe "{site}" call <@{VIEWER}>')
        assert "knows no user group" in await made.command(OPERATOR, f'describe "{site}" call S0NOBODY01')
        assert f"({OPERATORS})" in await made.command(OPERATOR, f'describe "{site}" call @operators')

        shown = await answer(made, f"site {site}")
        await made.click(OPERATOR, ids.SITE_EDIT, shown)
        (view,) = made.slack.workspace.open_views(OPERATOR)
        sent = await made.slack.submit(OPERATOR, view, {"hours": {"hours": "Mo-Su 00:00-24:00"}})
        await sent.ack
        done = made.slack.top_view(OPERATOR)
        assert done is not None
        assert "site book is changed" in str(done.body)
        await made.slack.close(OPERATOR, done)

        asked = await answer(made, f"silence id:{gateway} for 10m")
        assert "S-1" in await made.click(OPERATOR, ids.SILENCE_CONFIRM, asked)
        assert "*S-1*" in message_text(await answer(made, f"site {site}"))
        await made.command(OPERATOR, "unsilence S-1")
        assert "*S-1*" not in message_text(await answer(made, f"site {site}"))

        made.portal.disconnect([gateway])
        card = await made.card("Nobody has acknowledged this yet", FLEET_ALERTS)
        assert "Call *@operators*" in str(card.blocks)
        assert "open around the clock" in str(card.blocks)
        assert "<!subteam" not in str(card.blocks), "a card calls nobody"
        made.later(minutes=11)
        reminder = await made.card("nobody has acknowledged this yet", FLEET_ALERTS)
        assert f"<!subteam^{OPERATORS}>" in str(reminder.blocks)

        listed = await answer(made, f"sites {site}")
        assert "Call @operators" in message_text(listed)
        undone = await made.click(OPERATOR, ids.SITE_UNDO, await answer(made, f'describe "{site}" call -'))
        assert "says of" in undone
        await made.slack.wait_for(lambda: "Call *@operators*" in str(card.blocks))
