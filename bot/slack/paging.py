"""Lists with pages: one set of buttons for every feature's lists, told apart by the kind in their value.

A button carries the kind of the list, the offset it leads to and the question that made the list; all three
come back from outside and are checked here or by the list itself. A feature adds a kind to the mapping that
the composition root gives ``list_clicks``; nothing of a list is kept in memory between two clicks.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput
from bot.slack import ids
from bot.slack.incoming.listeners import Click, ClickListener
from bot.slack.views.blocks import Message, count, sentence

QUESTION_LENGTH = 1500  # characters that surely fit a button's value beside the kind and the offset

ListView = Callable[[Actor, int, str], Awaitable[Message]]
"""Draws a page: for whom, from which offset, of which question. Behind the end, the last page is shown."""

OnExported = Callable[[Actor, str, str, int], Awaitable[None]]
"""Writes an export into the audit log: who, which kind of list, of which question, how many rows."""


@dataclass(frozen=True, slots=True)
class ListFile:
    """A whole list as a file; ``rows`` is how many it holds, its heading not counted."""

    name: str
    title: str
    content: bytes
    rows: int


@dataclass(frozen=True, slots=True)
class ListHandler:
    """One kind of list. ``renew`` comes before a refresh and says what kept it from being newer, if anything.

    ``export`` makes the file of a question.
    """

    page: ListView
    renew: Callable[[Actor], Awaitable[str | None]] | None = None
    export: Callable[[Actor, str], Awaitable[ListFile]] | None = None


def list_clicks(
    lists: Mapping[str, ListHandler], exported: OnExported | None = None
) -> Mapping[str, ClickListener]:
    """The listeners of the buttons that all lists share; an export is written down before it is sent."""

    async def turn(click: Click) -> None:
        handler = _handler(lists, click)
        await click.respond.answer(await handler.page(click.actor, click.page.offset, click.page.question))

    async def show(click: Click) -> None:
        """What a row is about, below the list; the list stays."""
        handler = _handler(lists, click)
        await click.respond.add(await handler.page(click.actor, click.page.offset, click.page.question))

    async def refresh(click: Click) -> None:
        handler = _handler(lists, click)
        trouble = await handler.renew(click.actor) if handler.renew is not None else None
        await click.respond.answer(await handler.page(click.actor, click.page.offset, click.page.question))
        if trouble:
            await click.respond.add(sentence(trouble))

    async def export(click: Click) -> None:
        handler = _handler(lists, click)
        if handler.export is None:
            raise InvalidInput("This list cannot be exported. Please run the command again.")
        file = await handler.export(click.actor, click.page.question)
        if exported is not None:
            await exported(click.actor, click.page.kind, click.page.question, file.rows)
        await click.respond.send_file(file.name, file.content, file.title)
        await click.respond.add(_sent(file))

    return {
        ids.PAGE_NEXT: turn,
        ids.PAGE_PREVIOUS: turn,
        ids.OPEN: show,
        ids.REFRESH: refresh,
        ids.EXPORT_CSV: export,
    }


def check_question(question: str) -> None:
    """Raises InvalidInput when a list of it could not be paged."""
    if len(question) > QUESTION_LENGTH:
        raise InvalidInput(
            f"That has {len(question)} characters; a list takes {QUESTION_LENGTH} at most. Ask for less."
        )


def _handler(lists: Mapping[str, ListHandler], click: Click) -> ListHandler:
    require(click.actor, Action.READ)
    handler = lists.get(click.page.kind)
    if handler is None:
        raise InvalidInput("I do not know that list any more. Please run the command again.")
    return handler


def _sent(file: ListFile) -> Message:
    rows = count(file.rows, "row")
    return sentence(f"I sent you {file.name} with {rows} as a direct message.")
