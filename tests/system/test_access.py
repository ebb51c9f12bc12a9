"""Who may do what, through Slack: every command, button and modal for every role and every kind of person.

What is written stands here and, for commands, in the README; what happens is what a person sees, and what
the audit log keeps of it. What the code has and nobody wrote down, or the reverse, fails the test.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from bot.app import App
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPS, TEAM, PostedMessage, User
from bot.domain.access import Actor, Role
from bot.domain.audit import AuditQuery, Outcome
from bot.slack.ids import CardRef
from bot.slack.outgoing.responses import Modals
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.slack.views import blocks, modals
from tests.settings.test_settings import load

ROLES = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN)
KINDS: Mapping[str, Mapping[str, object]] = {
    "member": {},
    "guest": {"is_restricted": True},
    "external": {"team_id": "T0OTHER001", "is_stranger": True},
    "unknown": {},  # the workspace has nobody of that id when the bot asks
}
# The lowest role that may press it, or submit the modal of that name.
BUTTONS: Mapping[Role, str] = {
    Role.VIEWER: "page_next page_previous refresh export_csv incident_details",
    Role.OPERATOR: "write_confirm write_cancel write_undo rollout_request rollout_replan rollout_cancel "
    "rollout_pause rollout_resume rollout_abort rollout_promote rollout_retry_failed rollout_catch_up "
    "rollout_form rollout_model rollout_version rollout_place incident_ack incident_silence "
    "incident_pause_rollout subscription_undo",
    Role.APPROVER: "rollout_approve rollout_deny",
}
WRITTEN = {button: role for role, buttons in BUTTONS.items() for button in buttons.split()}
README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
REFUSALS = ("you need to be", "Guests and people from other organisations cannot")
# Alone, the one quotes the refusals of others, and the other opens a window instead of answering.
QUIETLY = {"audit": "done nothing-of-that-name", "update": "oslo"}
AUDITOR = Actor("U0AUDITOR1", "auditor", Role.ADMIN)


def person(role: Role, kind: str) -> str:
    return f"U0{kind[:3].upper()}{role.name[:4]}"


@dataclass
class House:
    """The whole bot in this process, a workspace in which every kind of person has every role."""

    app: App
    slack: SlackServer
    portal: FleetSimulator
    api: WebApi

    async def command(self, user: str, word: str) -> str:
        typed = await self.slack.command(user, OPS, word)
        assert (await typed.ack).ok
        await self.app.slack.guard.idle()
        return "\n".join(message_text(one) for one in typed.responses)

    async def click(self, user: str, action_id: str, message: PostedMessage) -> str:
        clicked = await self.slack.click(user, message, action_id)
        assert (await clicked.ack).ok
        await self.app.slack.guard.idle()
        return "\n".join(message_text(one) for one in clicked.responses)

    async def submit(self, user: str, callback_id: str) -> str:
        """A modal that is on their screen, however it came there."""
        typed = await self.slack.command(user, OPS, "help")
        form = modals.modal("A form", [blocks.section("…")], callback_id=callback_id, ref=REF, submit="Go")
        await Modals(self.api).open(typed.trigger_id, form)
        (view,) = self.slack.workspace.open_views(user)
        await (await self.slack.submit(user, view)).ack
        await self.app.slack.guard.idle()
        said = str(view.body)
        await self.slack.close(user, view) if view.is_open else None
        return said

    async def refused(self) -> set[tuple[str, str]]:
        """Who was refused what, by the audit log."""
        page = await self.app.audit.find(AUDITOR, AuditQuery(outcomes=(Outcome.REFUSED,)), 10_000)
        return {(entry.actor, entry.action) for entry in page.entries}

    async def post_buttons(self, action_ids: list[str]) -> PostedMessage:
        """A card with all of them, each about something that does not exist."""
        rows = [action_ids[start : start + 5] for start in range(0, len(action_ids), 5)]
        card = [block for row in rows for block in blocks.actions(*(_button(one) for one in row))]
        sent = await self.api.call("chat.postMessage", channel=OPS, text="Every button", blocks=card)
        found = self.slack.workspace.find(OPS, sent["ts"])
        assert found is not None
        return found


REF = CardRef("99999", 1)


def _button(action_id: str) -> blocks.Block:
    return blocks.button("Press", action_id, REF)


@asynccontextmanager
async def house(folder: Path, **variables: str) -> AsyncIterator[House]:
    """``variables`` are further settings, named without their prefix."""
    slack, portal = SlackServer(), FleetSimulator(gateways=3)
    await slack.start()
    await portal.start()
    settings = load(
        SLACK__BOT_TOKEN=slack.bot_token,
        SLACK__APP_TOKEN=slack.app_token,
        SLACK__API_URL=slack.api_url,
        MESHTECH__USERNAME=portal.username,
        MESHTECH__PASSWORD=portal.password,
        MESHTECH__AUTH_URL=portal.auth_url,
        MESHTECH__API_URL=portal.api_url,
        DATABASE_URL=f"sqlite:///{folder}/meshbot.db",
        HTTP__PORT="0",
        CHANNELS__ALERTS=workspace.FLEET_ALERTS,
        ACCESS__OPERATORS=",".join(person(Role.OPERATOR, kind) for kind in KINDS),
        ACCESS__APPROVERS=",".join(person(Role.APPROVER, kind) for kind in KINDS),
        ACCESS__ADMINS=",".join(person(Role.ADMIN, kind) for kind in KINDS),
        **variables,
    )
    app, session = App(settings), new_session()
    await app.start()
    try:
        await slack.wait_for(lambda: slack.connected == 2)
        await _move_in(app, slack)
        yield House(app, slack, portal, WebApi(slack.bot_token, session, base_url=slack.api_url))
    finally:
        await app.stop()
        await session.close()
        await portal.stop()
        await slack.stop()


async def _move_in(app: App, slack: SlackServer) -> None:
    """Those who are unknown are asked for while nobody of their id is there, and act afterwards."""
    for kind, flags in KINDS.items():
        for role in ROLES:
            one = person(role, kind)
            if kind == "unknown":
                await app.slack.people.actor(one)
            slack.workspace.users[one] = User(one, one.lower(), one, **{"team_id": TEAM, **flags})  # type: ignore[arg-type]


def commands_as_written() -> dict[str, Role]:
    """The README's table of commands, without ``help``, which is the router's own."""
    table = README.partition("| command | role |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+).*?` \| (\w+) \|", table, re.MULTILINE)
    return {word: Role[role.upper()] for word, role in rows if word != "help"}


def may(role: Role, kind: str, needed: Role) -> bool:
    return kind == "member" and role >= needed


def everybody() -> Iterator[tuple[Role, str]]:
    return ((role, kind) for role in ROLES for kind in KINDS)


def is_refusal(said: str) -> bool:
    return any(words in said for words in REFUSALS)


@pytest.mark.timeout(600)
async def test_every_command_is_answered_or_refused_by_role_and_kind_of_person(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        seen, written = {}, {}
        assert set(made.app.slack.arrivals.commands) == set(commands_as_written())
        for word, needed in commands_as_written().items():
            for role, kind in everybody():
                said = await made.command(person(role, kind), f"{word} {QUIETLY.get(word, '')}")
                assert said, (word, role, kind)
                seen[word, role, kind] = not is_refusal(said)
                written[word, role, kind] = may(role, kind, needed)
        assert {key for key in seen if seen[key] != written[key]} == set()
        audited = await made.refused()
        assert {
            (person(role, kind), word) for (word, role, kind), yes in written.items() if not yes
        } == audited
        assert len(seen) >= 16 * 15, "every command, for four roles of four kinds of people"


@pytest.mark.timeout(600)
async def test_every_button_works_or_is_refused_by_role_and_kind_of_person(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        buttons = sorted(made.app.slack.arrivals.clicks)
        assert set(buttons) == set(WRITTEN)
        card = await made.post_buttons(buttons)
        seen, written = {}, {}
        for button in buttons:
            for role, kind in everybody():
                said = await made.click(person(role, kind), button, card)
                seen[button, role, kind] = not is_refusal(said)
                written[button, role, kind] = may(role, kind, WRITTEN[button])
        assert {key for key in seen if seen[key] != written[key]} == set()
        audited = await made.refused()
        assert {(person(role, kind), one) for (one, role, kind), yes in written.items() if not yes} == audited


@pytest.mark.timeout(600)
async def test_every_modal_is_taken_or_refused_by_role_and_kind_of_person(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        seen, written = {}, {}
        for modal in sorted(made.app.slack.arrivals.submissions):
            for role, kind in everybody():
                said = await made.submit(person(role, kind), modal)
                seen[modal, role, kind] = not is_refusal(said)
                written[modal, role, kind] = may(role, kind, WRITTEN[modal])
        assert {key for key in seen if seen[key] != written[key]} == set()
        refused = {(person(role, kind), one) for (one, role, kind), yes in written.items() if not yes}
        assert refused <= await made.refused()


async def test_help_has_the_headings_and_the_order_of_the_readme(tmp_path: Path) -> None:
    table = README.partition("| command | role |")[2].partition("\n\n")[0]
    written = re.findall(r"^\| (?:\*\*|`)(\w[\w ]*\w)", table, re.MULTILINE)
    async with house(tmp_path) as made:
        said = await made.command(person(Role.ADMIN, "member"), "help")
        shown = re.findall(r"^(?:\*|`/mesh )(\w[\w ]*\w)", said, re.MULTILINE)
        assert shown == [*written[1:], "Help", "help", "help query"]


async def test_help_on_a_command_that_takes_something_has_an_example(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        for word, command in made.app.slack.arrivals.commands.items():
            said = await made.command(person(Role.VIEWER, "member"), f"help {word}")
            assert command.usage == word or f"For example:\n`/mesh {word}" in said, word


async def test_help_shows_what_one_may_do_and_no_more(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        for role in ROLES:
            said = await made.command(person(role, "member"), "help")
            for word, command in made.app.slack.arrivals.commands.items():
                assert bool(re.search(rf"/mesh {word}[ `]", said)) == (role >= Role[command.needs.upper()]), (
                    word
                )


async def test_the_home_tab_is_drawn_for_who_opens_it(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        for role, kind in everybody():
            one = person(role, kind)
            assert (await (await made.slack.open_home(one)).ack).ok
            await made.app.slack.guard.idle()
            shown = str(made.slack.workspace.homes[one].blocks)
            assert ("The fleet" in shown) == (kind == "member")
