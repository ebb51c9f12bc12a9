"""One word to one feature: a text made plain, help by role, and a wrong word met with the nearest."""

import re
from dataclasses import dataclass, field

import pytest

from bot.demo.slack.limits import problems_of_message
from bot.demo.slack.workspace import mangle
from bot.domain.access import Actor, Role
from bot.domain.errors import InvalidInput, NotAllowed
from bot.slack.incoming.command_router import CommandRouter, normalise, said_to
from bot.slack.incoming.listeners import Command, CommandCall, Declarations, Errand, Feature
from bot.slack.views.blocks import Message, button

FIND = Errand("Find a gateway", ("MT1",), button("List all", "page_next"))


@dataclass
class StatusAnswers:
    """A responder that keeps what it is told."""

    messages: list[Message] = field(default_factory=list)

    async def answer(self, message: Message) -> None:
        assert problems_of_message({"text": message.text, "blocks": list(message.blocks)}) == []
        self.messages.append(message)

    async def add(self, message: Message) -> None:
        await self.answer(message)

    async def send_file(self, name: str, content: bytes, title: str, alt: str = "") -> None:
        raise AssertionError("no file is sent here")


@dataclass
class Desk:
    """A router with three commands, and what they were called with."""

    role: Role = Role.OPERATOR
    calls: list[tuple[str, str]] = field(default_factory=list)

    async def says(self, text: str, about: tuple[str, str] | None = None) -> str:
        told = await self._told(text, about)
        return normalise(told.messages[-1].text) if told.messages else ""

    async def shows(self, text: str) -> list[str]:
        """The buttons of the answer."""
        blocks = (await self._told(text)).messages[-1].blocks
        found = [
            one for block in blocks for one in [block.get("accessory"), *block.get("elements", [])] if one
        ]
        return [one["text"]["text"] for one in found if one["type"] == "button"]

    async def _told(self, text: str, about: tuple[str, str] | None = None) -> StatusAnswers:
        told = StatusAnswers()
        actor = Actor("U0SOMEBODY", "Sam", self.role, holders={Role.ADMIN: "Ada"})
        word, rest = self.router.split(normalise(text))
        await self.router.route(word, CommandCall(actor, "C0OPS", rest, told, "trigger", about=about))
        return told

    @property
    def router(self) -> CommandRouter:
        devices = self._command("devices [query]", "List gateways, worst first", "viewer")
        rename = self._command("rename <id or name> <new name>", "Rename a gateway", "operator")
        freeze = self._command("freeze [because <reason>]", "Stop new starts", "admin")
        features = [
            Feature({"devices": devices}, title="Gateways", errands=[FIND]),
            Feature(
                {"freeze": freeze},
                title="Firmware updates",
                errands=[Errand("Go on", ("update",), button("Go", "go"), needs="operator")],
            ),
            Feature({"rename": rename}, title="Gateways"),
            Feature(clicks={}),
        ]
        return CommandRouter(features, "/mesh")

    def _command(self, usage: str, summary: str, needs: str) -> Command:
        async def listener(call: CommandCall) -> None:
            self.calls.append((usage.split()[0], call.text))
            assert call.trigger_id == "trigger"

        return Command(usage, summary, listener, needs, examples=(usage.split()[0] + " MT_1 & <x>",))


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("fw:&lt;3.4.1 &amp;&amp; x", "fw:<3.4.1 && x"),
        ("&amp;lt;", "&lt;"),
        ("tag:“Kyiv office” „x‟", 'tag:"Kyiv office" "x"'),
        ("tag MT_1 –old —new a–b", "tag MT_1 -old -new a–b"),
        ("name:<http://bmac-1.example|bmac-1.example>", "name:bmac-1.example"),
        ("<https://example.com/a?b=c&amp;d>", "https://example.com/a?b=c&d"),
        ("<mailto:a@example.com|a@example.com>", "a@example.com"),
        ("a\N{NO-BREAK SPACE}b\tc\nd", "a b c d"),
        ("\u2060*\u2060x\u2060*\u2060\ufeff", "*x*"),
        ("  devices  ", "devices"),
        ("a\0b \ud800", "ab ?"),
        ("<@U0123456789|ann> <#C0123456789|ops>", "<@U0123456789|ann> <#C0123456789|ops>"),
    ],
)
def test_what_slack_did_to_a_text_is_undone(sent: str, meant: str) -> None:
    assert normalise(sent) == meant


@pytest.mark.parametrize(
    "typed",
    ['devices tag:"Kyiv office" fw:<3.4.1', "rename MT_1 A & B <C>", "silence x for 1h because “why”"],
)
def test_what_was_typed_on_a_mac_arrives(typed: str) -> None:
    assert normalise(mangle(typed)) == typed.replace("“", '"').replace("”", '"')


def test_a_double_dash_is_a_dash() -> None:
    assert normalise(mangle("tag MT_1 --old")) == "tag MT_1 -old"


@pytest.mark.parametrize(
    "text",
    [
        "<@U0MESHBOT1> devices x",
        " <@U0MESHBOT1|meshbot>: devices x",
        "<@U0MESHBOT1>\u00a0, devices x",
        "Hello <@U0MESHBOT1>\ndevices x",
        "<@U0ANA> <@U0MESHBOT1> devices x",
        "devices x <@U0MESHBOT1>",
    ],
)
def test_what_is_said_to_the_bot_stands_behind_its_name_or_else_before_it(text: str) -> None:
    assert said_to("U0MESHBOT1", text) == "devices x"


def test_who_else_is_named_in_a_mention_is_part_of_what_is_said() -> None:
    assert said_to("U0MESHBOT1", "<@U0MESHBOT1> audit <@U0ANA>") == "audit <@U0ANA>"


async def test_the_first_word_calls_the_command_with_the_rest() -> None:
    desk = Desk()
    await desk.says("  DEVICES   tag:oslo  is:offline ")
    assert desk.calls == [("devices", "tag:oslo  is:offline")]


@pytest.mark.parametrize("text", ["", "help", "HELP", "?"])
async def test_nothing_and_help_show_what_people_come_to_do(text: str) -> None:
    said = await Desk().says(text)
    assert "Find a gateway: /mesh MT1" in said
    assert "/mesh devices [query]" not in said


async def test_a_job_has_a_button_for_those_who_get_somewhere_with_it() -> None:
    assert "Go on: /mesh update (needs the role operator)" in await Desk(Role.VIEWER).says("help")
    assert (await Desk(Role.VIEWER).shows("help")).count("Go") == 0
    assert (await Desk(Role.OPERATOR).shows("help")).count("Go") == 1


async def test_a_button_of_help_leads_to_all_commands_and_back_to_how_gateways_are_named() -> None:
    shown = await Desk().shows("help")
    assert shown[-2:] == ["All", "Show"]


@pytest.mark.parametrize(("kind", "word"), [("incident", "take over"), ("rollout", "pause")])
async def test_help_in_the_thread_of_a_card_says_what_is_about_it_there(kind: str, word: str) -> None:
    assert "In this thread these are about this" in await Desk().says("help", (kind, "7"))
    assert f"@meshbot {word}" in await Desk().says("help", (kind, "7"))
    assert "In this thread" not in await Desk().says("help")


@pytest.mark.parametrize("text", ["help all", "commands"])
async def test_all_commands_are_one_step_further(text: str) -> None:
    said = await Desk().says(text)
    assert "/mesh devices [query]" in said
    assert "List gateways, worst first" in said


async def test_help_shows_what_the_role_allows() -> None:
    said = await Desk(Role.VIEWER).says("help all")
    assert "/mesh devices" in said
    assert "/mesh rename" not in said
    assert "2 commands need a role you do not have" in said


async def test_help_has_a_heading_for_what_belongs_together_and_none_for_what_one_may_not_do() -> None:
    said = await Desk(Role.ADMIN).says("help all")
    assert re.findall(r"Gateways|Firmware updates|/mesh \w+", said)[:5] == [
        "Gateways",
        "/mesh devices",
        "/mesh rename",
        "Firmware updates",
        "/mesh freeze",
    ]
    assert "Firmware updates" not in await Desk(Role.OPERATOR).says("help all")


async def test_help_on_a_topic_shows_examples_and_the_role() -> None:
    said = await Desk(Role.VIEWER).says("help freeze")
    assert "/mesh freeze MT_1 & <x>" in said
    assert "Needs the role admin" in said


async def test_help_explains_queries() -> None:
    assert "fw:<3.4.1" in await Desk().says("help query")


async def test_help_on_an_unknown_topic_names_the_nearest() -> None:
    with pytest.raises(InvalidInput, match="Did you mean rename"):
        await Desk().says("help renam")


async def test_a_word_that_a_command_takes_leads_to_that_command() -> None:
    with pytest.raises(InvalidInput, match="Did you mean freeze"):
        await Desk().says("help reason")


async def test_an_unknown_word_is_answered_with_the_nearest_and_its_usage() -> None:
    said = await Desk().says("devcies tag:oslo")
    assert "Did you mean devices?" in said
    assert "/mesh devices [query]" in said


async def test_an_unknown_word_without_neighbours_points_to_help() -> None:
    assert "/mesh help" in await Desk().says("<!channel> *boom*")


@pytest.mark.parametrize("text", ["help", "devices", "nonsense"])
async def test_a_guest_is_refused_everything(text: str) -> None:
    desk = Desk(Role.NONE)
    with pytest.raises(NotAllowed, match="Guests"):
        await desk.says(text)
    assert desk.calls == []


async def test_a_command_above_the_role_is_refused_with_who_has_it() -> None:
    desk = Desk(Role.OPERATOR)
    with pytest.raises(NotAllowed, match=r"admin.*Ada"):
        await desk.says("freeze")
    assert desk.calls == []


def test_only_words_of_ours_are_logged() -> None:
    assert Desk().router.known("devices") == "devices"
    assert Desk().router.known("secret") == "help"


@pytest.mark.parametrize("word", ["mute", "quiet", "reboot", "menu"])
def test_a_word_has_one_owner(word: str) -> None:
    async def listener(call: CommandCall) -> None: ...

    mute = Command("mute", "Hold alerts", listener, also=("quiet",))
    other = Command("hush", "Hold them as well", listener, also=(word,))
    with pytest.raises(ValueError, match=f"{word} is claimed twice"):
        CommandRouter([Feature({"mute": mute}), Feature({"hush": other})], "/mesh")


def test_a_word_is_declared_once() -> None:
    on = Declarations("Gateways")

    @on.command("devices [query]", "List gateways")
    async def devices(_self: object, _call: CommandCall) -> None: ...

    with pytest.raises(ValueError, match="devices is declared twice"):
        on.command("devices", "List them again")(devices)
