"""What is pasted along with a command: formatting is no text, and no name holds an id."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.workspace import OPS
from bot.domain.query import parse
from bot.slack.incoming.command_router import in_plain_names, normalise, unnamed
from tests.worlds.process import PASSWORD, Outside, inside, outside


@pytest.mark.parametrize(
    ("pasted", "meant"),
    [
        ("`devices tag:oslo`", "devices tag:oslo"),
        ("devices `tag:oslo`", "devices tag:oslo"),
        ("```devices tag:oslo```", "devices tag:oslo"),
        ("rename `*a*_b_` `_c_`", "rename *a*_b_ _c_"),
        ("*devices tag:oslo*", "devices tag:oslo"),
        ("_devices_ tag:oslo", "devices tag:oslo"),
        ("~devices~ *tag:oslo*", "devices tag:oslo"),
        ("*_devices_* x", "devices x"),
        ("rename *MT 1* to", "rename MT 1 to"),
        ("rename _my_roof_1_ Roof", "rename my_roof_1 Roof"),
        ('rename "*MT 1*" Roof', 'rename "MT 1" Roof'),
        ("tag MT_1 +*vip*", "tag MT_1 +vip"),
        ('tag MT_1 +"the *new* one"', 'tag MT_1 +"the *new* one"'),
        ('tag MT_1 +"*a* and *b*"', 'tag MT_1 +"*a* and *b*"'),
        ('rename *"MT 1"* "_*x*_"', 'rename "MT 1" "x"'),
        ("devices name:MT* model:2*", "devices name:MT* model:2*"),
        ("devices name:*MT*", "devices name:*MT*"),
        ("rename my_roof_1 his_roof_2", "rename my_roof_1 his_roof_2"),
        ("rename a ~20 m~", "rename a 20 m"),
        ("rename a 2 * 3 * 4", "rename a 2 * 3 * 4"),
        ("\u202edevices\u202c \u2066tag:oslo\u2069", "devices tag:oslo"),
        ("dev\u200bices\u061c tag:\u200eoslo\u200d", "devices tag:oslo"),
        ("rename a می\u200cخواهم", "rename a می\u200cخواهم"),
        ("silence x for 1h because it’s ‘late’", 'silence x for 1h because it\'s "late"'),
        ("devices tag:‘Kyiv office’", 'devices tag:"Kyiv office"'),
        ("devices −tag:oslo id:bmac‑c0", "devices -tag:oslo id:bmac-c0"),
        ("devices tag：oslo", "devices tag:oslo"),
        ("devices fw:≤3.4.1 fw:≥3.0.0", "devices fw:<=3.4.1 fw:>=3.0.0"),
        ("rename a Tank ≤ 5：8", "rename a Tank ≤ 5：8"),
        ("devices fw:＜3.4.1 for:＞＝1h", "devices fw:<3.4.1 for:>=1h"),
        ("devices fw ≤3.4.1 version ＞ 3.0", "devices fw <=3.4.1 version > 3.0"),
        ("devices fw:＝3.4.1", "devices fw:=3.4.1"),
        ("update x to 3.5.0 at 22：00", "update x to 3.5.0 at 22:00"),
        ("audit ＠ana ＃ops", "audit @ana #ops"),
        ("rename a Tank＠Oslo ＜new＞", "rename a Tank＠Oslo ＜new＞"),
        ("devices tag:\u200doslo -\u200ctag:x\u200d,y", "devices tag:oslo -tag:x,y"),
        ("tag a +<!subteam^S0123|@night> +<!here|here> +<!channel>", "tag a +@night +@here +@channel"),
        ("rename a <!everyone> <!subteam^S0123>", "rename a @everyone @S0123"),
        ("rename a &lt;!channel&gt;", "rename a <!channel>"),
        ("silence a because <!date^1796000000^{date}|Monday>", "silence a because Monday"),
        ("rename a 👩\u200d🔧", "rename a 👩\u200d🔧"),
    ],
)
def test_formatting_that_was_pasted_along_is_no_text(pasted: str, meant: str) -> None:
    assert normalise(pasted) == meant


@pytest.mark.parametrize("pasted", ["fw:≤3.4", "`is:offline`", "−tag:‘Kyiv office’", "*name:MT*"])
def test_a_query_that_was_pasted_is_understood(pasted: str) -> None:
    parse(normalise(pasted))


def test_a_text_with_very_many_marks_is_read_at_once() -> None:
    assert normalise("*" * 3000 + "a" + " _" * 3000)


@pytest.mark.parametrize(
    ("written", "plain"),
    [
        ("<@U0ANA00001|ana> at <#C0OPS00001|ops>", "@ana at #ops"),
        ("<@U0ANA00001> at <#C0OPS00001>", "@Ana Berg at #C0OPS00001"),
        ("<@U0ZOE00001>", "@U0ZOE00001"),
        ("a < b > c <3", "a < b > c <3"),
    ],
)
def test_a_mention_has_the_name_that_people_read(written: str, plain: str) -> None:
    assert in_plain_names(written, {"U0ANA00001": "Ana Berg"}) == plain


def test_only_who_and_what_is_mentioned_by_an_id_alone_is_asked_about() -> None:
    text = "<@U0ANA00001|ana> <@U0BEN00001> <#C0OPS00001|ops> <#C0LAB00001> <#C0LAB00001|>"
    assert (unnamed(text, "@"), unnamed(text, "#")) == (["U0BEN00001"], ["C0LAB00001"])


# ---- the whole bot
@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[Outside]:
    async with outside(tmp_path, FleetSimulator(gateways=3, password=PASSWORD)) as made:
        yield made


@pytest.mark.parametrize(
    ("mention", "channel"),
    [("<@{}|otto>", "<#{}|ops>"), ("<@{}>", "<#{}>")],
    ids=["with a name", "by id alone"],
)
async def test_a_mention_in_a_new_name_is_never_stored_as_an_id(
    world: Outside, mention: str, channel: str
) -> None:
    async with inside(world):
        gateway = next(iter(world.portal.devices))
        told = f"{mention.format(workspace.OPERATOR)} {channel.format(OPS)}"
        said = await world.says(workspace.OPERATOR, f"rename {gateway} Desk of {told}")

    name = world.portal.devices[gateway].friendly_name or ""
    assert "<" not in name, said
    assert name.startswith("Desk of @")
    assert name.endswith("#ops")
    assert workspace.OPERATOR not in name


async def test_no_call_to_a_channel_or_a_group_is_stored_in_a_name_or_a_tag(world: Outside) -> None:
    calls = "<!here> <!channel> <!everyone> <!subteam^S0123|@ops> <!subteam^S0123>"
    async with inside(world):
        gateway = next(iter(world.portal.devices))
        await world.says(workspace.OPERATOR, f"rename {gateway} Desk {calls}")
        await world.says(workspace.OPERATOR, f'tag {gateway} +"near {calls}"')

    device = world.portal.devices[gateway]
    assert device.friendly_name == "Desk @here @channel @everyone @ops @S0123"
    assert "near @here @channel @everyone @ops @S0123" in (device.labels or [])


async def test_the_audit_is_asked_for_a_person_by_any_of_their_names(world: Outside) -> None:
    async with inside(world):
        gateway = next(iter(world.portal.devices))
        await world.says(workspace.OPERATOR, f"rename {gateway} Desk")
        person = world.slack.workspace.users[workspace.OPERATOR]
        names = {
            f"@{person.name}",
            f"@{person.real_name}",
            f"<@{workspace.OPERATOR}>",
            f"<#{OPS}|ops>",
            "#ops",
            f'"@{person.real_name}"',
            f"@“{person.real_name}”",
            f"‘@{person.real_name}’ #ops,",
            f"＠{person.name}, ＃ops",
            f"<@{workspace.OPERATOR}>, (<#{OPS}|ops>).",
        }
        answers = {name: await world.says(workspace.OPERATOR, f"audit {name}") for name in names}
        nobody = await world.says(workspace.OPERATOR, "audit @nobody")

    assert [name for name, answer in answers.items() if not ("rename" in answer and gateway in answer)] == []
    assert "Nobody called @nobody" in nobody
