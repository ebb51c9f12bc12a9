"""``audit``: who did, or was refused, what, and when."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from bot.domain.access import Actor
from bot.domain.audit import AuditQuery, parse_audit, with_channels, with_people
from bot.services.audit import AuditService
from bot.slack.incoming.listeners import CommandCall, Declarations, Feature
from bot.slack.paging import ListFile, ListHandler, check_question
from bot.slack.views import audit_list as views
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import CsvFile

MOST_ROWS = 50_000  # of one file
MOST_CHANNELS = 40  # that are asked for by a name: Slack tells of fifty a minute

NamesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]
"""How people are called, by their ids."""

ChannelNamesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
"""How channels are called, as far as Slack tells."""

IdsOf = Callable[[str], Sequence[str]]
"""The id that what somebody does is written down with, then the others that they have."""

on = Declarations("The bot")


class AuditCommands:
    """Translate only: parse, one call of the service, render."""

    def __init__(
        self, service: AuditService, names: NamesOf, *, channel_names: ChannelNamesOf, ids_of: IdsOf
    ) -> None:
        self._service = service
        self._names = names
        self._channel_names = channel_names
        self._ids_of = ids_of

    def feature(self) -> Feature:
        return on.of(self)

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.AUDIT: ListHandler(self._page, export=self._export)}

    @on.command(
        "audit [query]",
        "List who did, or was refused, what and when",
        also=("log", "changes"),
        examples=("audit @ana", "audit #ops", "audit R-7", "audit refused", "audit rename bmac-c0ffee000001"),
    )
    async def audit(self, call: CommandCall) -> None:
        question = " ".join((call.written or call.text).split())
        if re.search(r"(?<![\w<])@", question):
            question = with_people(question, await self._names(await self._service.actors(call.actor)))
        if re.search(r"(?<![\w<])#", question):
            channels = await self._service.channels(call.actor, MOST_CHANNELS)
            named = await self._channel_names(channels)
            question = with_channels(question, named, all_known=len(named) == len(channels))
        check_question(question)
        await call.respond.answer(await self._page(call.actor, 0, question))

    async def _page(self, actor: Actor, offset: int, question: str) -> Message:
        page = await self._service.find(actor, await self._query(question), views.PAGE, offset)
        return views.entries(page.entries, page.total, page.offset, question)

    async def _export(self, actor: Actor, question: str) -> ListFile:
        query = await self._query(question)
        file = CsvFile(views.CSV_HEADING)
        async for chunk in self._service.every(actor, query, MOST_ROWS):
            file.add(views.csv_row(one) for one in chunk)
        there_are_more = file.rows == MOST_ROWS < await self._service.total(actor, query)
        cut = f", the newest {MOST_ROWS:,}" if there_are_more else ""
        return ListFile("audit.csv", f"Audit log{cut}", file.content(), file.rows)

    async def _query(self, question: str) -> AuditQuery:
        """On Enterprise Grid somebody is chosen by one id, and written down with another."""
        query = parse_audit(question)
        await self._names(query.actors)  # so that all the ids of each are known, in this process too
        return replace(query, actors=tuple(one for user_id in query.actors for one in self._ids_of(user_id)))
