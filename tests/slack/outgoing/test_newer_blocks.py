"""Slack's newer blocks: shown where they are taken; elsewhere nothing is lost, and that is remembered."""

from datetime import timedelta

import pytest

from bot.demo.slack import workspace
from bot.demo.slack.workspace import PostedMessage
from bot.slack.incoming.listeners import Command, CommandCall, Feature
from bot.slack.outgoing.newer_blocks import ASKED_AGAIN, NewerBlocks
from bot.slack.views.blocks import message, section
from bot.slack.views.paging import Door
from bot.slack.views.tables import Row, Table, text_cell, with_table
from tests.slack.incoming.connected import Bed, connected

OTTO, OPS = workspace.OPERATOR, workspace.OPS


async def say(call: CommandCall) -> None:
    row = Row("*MT1* is offline", [text_cell("MT1")], Door("device", "MT1", "MT1"))
    shown = with_table("MT1 is offline", [section("One gateway")], Table("Gateways", ["Gateway"], [row]), [])
    await call.respond.answer(shown)


FEATURE = Feature(commands={"say": Command("say", "Say it", say)})


async def typed(made: Bed) -> PostedMessage:
    act = await made.slack.command(OTTO, OPS, "say")
    (answer,) = await made.slack.wait_for(lambda: act.responses)
    return answer


async def mentioned(made: Bed) -> PostedMessage:
    parent = made.slack.workspace.add(PostedMessage(OPS, made.slack.workspace.next_ts(), "Well?", OTTO))
    await made.slack.mention(OTTO, OPS, "say", parent.ts)
    return (await made.slack.wait_for(lambda: made.slack.workspace.thread(parent)[1:]))[-1]


def kinds(answer: PostedMessage) -> list[str]:
    return [block["type"] for block in answer.blocks]


@pytest.mark.parametrize("asks", [typed, mentioned])
async def test_a_workspace_that_takes_tables_is_shown_one(asks: object) -> None:
    async with connected([FEATURE]) as (made, _):
        assert kinds(await asks(made)) == ["section", "data_table", "actions"]  # type: ignore[operator]


@pytest.mark.parametrize("asks", [typed, mentioned])
async def test_a_workspace_that_refuses_tables_is_shown_lines_at_once_and_not_asked_again(
    asks: object,
) -> None:
    async with connected([FEATURE]) as (made, _):
        made.slack.workspace.lacks = frozenset({"data_table"})
        for _ in range(2):
            assert kinds(await asks(made)) == ["section", "section"]  # type: ignore[operator]
        assert not made.api.newer_blocks.suits(message("text", newer=[section("x")]))


def test_a_refusal_is_believed_for_six_hours() -> None:
    now = [0.0]
    newer, table = NewerBlocks(lambda: now[0]), message("text", newer=[section("x")])
    assert newer.suits(table)
    assert not newer.suits(message("text"))
    newer.refused("unsupported type")
    now[0] = ASKED_AGAIN.total_seconds() - 1
    assert not newer.suits(table)
    now[0] = (ASKED_AGAIN + timedelta(seconds=1)).total_seconds()
    assert newer.suits(table)
