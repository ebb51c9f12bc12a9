"""Who may do what, through Slack: every command, button and modal for every role and every kind of person.

Whoever is no member may do nothing, so each of those kinds is tried with the role that may do most.

What is written stands here and, for commands, in docs/commands.md; what happens is what a person sees, and
what the audit log keeps of it. What the code has and nobody wrote down, or the reverse, fails the test.
"""

import re
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import TEAM, User
from bot.domain.access import Role
from tests.worlds.house import House
from tests.worlds.house import house as opened

ROLES = (Role.VIEWER, Role.OPERATOR, Role.APPROVER, Role.ADMIN)
KINDS: Mapping[str, Mapping[str, object]] = {
    "member": {},
    "guest": {"is_restricted": True},
    "external": {"team_id": "T0OTHER001", "is_stranger": True},
    "unknown": {"visible": False},  # Slack describes them to nobody
}
# The lowest role that may press it, or submit the modal of that name.
BUTTONS: Mapping[Role, str] = {
    Role.VIEWER: "page_next page_previous open gateway_find refresh export_csv help chart incident_details",
    Role.OPERATOR: "write_confirm write_cancel write_undo rollout_request rollout_replan rollout_cancel "
    "rollout_pause rollout_resume rollout_abort rollout_promote rollout_retry_failed rollout_catch_up "
    "rollout_end_waiting "
    "rollout_form rollout_model rollout_version rollout_place rollout_when incident_ack incident_silence "
    "incident_ack_all incident_take_over incident_give_back incident_assign "
    "gateway_rename gateway_tags gateway_silence "
    "site_edit site_silence site_undo sites_csv "
    "incident_pause_rollout subscription_undo subscription_end silence_confirm silence_end "
    "maintenance_confirm maintenance_skip maintenance_end maintenance_undo "
    "policy_confirm policy_end policy_undo",
    Role.APPROVER: "rollout_approve rollout_deny",
    Role.ADMIN: "freeze unfreeze",
}
ONLY_DIALOGS = {"sites_confirm": Role.OPERATOR, "names_csv": Role.OPERATOR}  # whose name no button has
WRITTEN = {button: role for role, buttons in BUTTONS.items() for button in buttons.split()}
COMMANDS = (Path(__file__).parents[2] / "docs" / "commands.md").read_text(encoding="utf-8")
REFUSALS = ("you need to be", "Guests and people from other organisations cannot")
# Alone, the one quotes the refusals of others, and the other opens a window instead of answering.
QUIETLY = {"audit": "done nothing-of-that-name", "update": "oslo"}


def person(role: Role, kind: str) -> str:
    return f"U0{kind[:3].upper()}{role.name[:4]}"


@asynccontextmanager
async def house(folder: Path, **variables: str) -> AsyncIterator[House]:
    """Every kind of person has every role."""
    roles = {
        f"ACCESS__{role.name}S": ",".join(person(role, kind) for kind in KINDS)
        for role in (Role.OPERATOR, Role.APPROVER, Role.ADMIN)
    }
    async with opened(folder, None, **roles, CHANNELS__ROLLOUTS="", **variables) as made:
        _move_in(made.slack)
        yield made


def _move_in(slack: SlackServer) -> None:
    for kind, flags in KINDS.items():
        for role in ROLES:
            one = person(role, kind)
            slack.workspace.users[one] = User(one, one.lower(), one, **{"team_id": TEAM, **flags})  # type: ignore[arg-type]


def commands_as_written() -> dict[str, Role]:
    """The table in docs/commands.md, without ``help``, which is the router's own."""
    table = COMMANDS.partition("| command | role |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(\w+).*?` \| (\w+) \|", table, re.MULTILINE)
    return {word: Role[role.upper()] for word, role in rows if word != "help"}


def may(role: Role, kind: str, needed: Role) -> bool:
    return kind == "member" and role >= needed


def everybody() -> Iterator[tuple[Role, str]]:
    """Members of each role; of all others those whose role would let them do everything."""
    yield from ((role, "member") for role in ROLES)
    yield from ((Role.ADMIN, kind) for kind in KINDS if kind != "member")


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
                written[modal, role, kind] = may(role, kind, {**WRITTEN, **ONLY_DIALOGS}[modal])
        assert {key for key in seen if seen[key] != written[key]} == set()
        refused = {(person(role, kind), one) for (one, role, kind), yes in written.items() if not yes}
        assert refused <= await made.refused()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def readers(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A house in which people only look."""
    async with house(tmp_path_factory.mktemp("readers")) as made:
        yield made


@pytest.mark.asyncio(loop_scope="module")
async def test_help_has_the_headings_and_the_order_of_the_table(readers: House) -> None:
    table = COMMANDS.partition("| command | role |")[2].partition("\n\n")[0]
    written = re.findall(r"^\| (?:\*\*|`)(\w[\w ]*\w)", table, re.MULTILINE)
    said = await readers.command(person(Role.ADMIN, "member"), "help all")
    shown = re.findall(r"^(?:\*|`/mesh )(\w[\w ]*\w)", said, re.MULTILINE)
    assert shown == [*written[1:], "Help", "help all", "help", "help query"]


@pytest.mark.asyncio(loop_scope="module")
async def test_help_on_a_command_that_takes_something_has_an_example(readers: House) -> None:
    for word, command in readers.app.slack.arrivals.commands.items():
        said = await readers.command(person(Role.VIEWER, "member"), f"help {word}")
        assert command.usage == word or f"For example:\n`/mesh {word}" in said, word


@pytest.mark.asyncio(loop_scope="module")
async def test_help_shows_what_one_may_do_and_no_more(readers: House) -> None:
    for role in ROLES:
        said = await readers.command(person(role, "member"), "help all")
        for word, command in readers.app.slack.arrivals.commands.items():
            assert bool(re.search(rf"/mesh {word}[ `]", said)) == (role >= Role[command.needs.upper()]), word


@pytest.mark.asyncio(loop_scope="module")
async def test_the_home_tab_is_drawn_for_who_opens_it(readers: House) -> None:
    for role, kind in everybody():
        one = person(role, kind)
        assert (await (await readers.slack.open_home(one)).ack).ok
        await readers.app.slack.guard.idle()
        shown = str(readers.slack.workspace.homes[one].blocks)
        assert ("The fleet" in shown) == (kind == "member")
