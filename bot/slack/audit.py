"""``audit``: who did, or was refused, what, and when."""

from collections.abc import Awaitable, Callable, Mapping, Sequence

from bot.domain.access import Actor
from bot.domain.audit import parse_audit, with_people
from bot.services.audit import AuditService
from bot.slack.incoming.requests import CommandCall, Declarations, Feature
from bot.slack.lists import ListFile, ListHandler, check_question
from bot.slack.views import audit as views
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import CsvFile

MOST_ROWS = 50_000  # of one file

NamesOf = Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[str]]]]
"""How people are called, by their ids."""


on = Declarations("The bot")


class AuditCommands:
    """Translate only: parse, one call of the service, render."""

    def __init__(self, service: AuditService, names: NamesOf) -> None:
        self._service = service
        self._names = names

    def feature(self) -> Feature:
        return on.of(self)

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.AUDIT: ListHandler(self._page, export=self._export)}

    @on.command(
        "audit [query]",
        "List who did, or was refused, what and when",
        examples=("audit @ana", "audit #ops", "audit R-7", "audit refused", "audit rename bmac-c0ffee000001"),
    )
    async def audit(self, call: CommandCall) -> None:
        question = " ".join((call.written or call.text).split())
        if any(word.startswith("@") for word in question.split()):
            question = with_people(question, await self._names(await self._service.actors(call.actor)))
        check_question(question)
        await call.respond.answer(await self._page(call.actor, 0, question))

    async def _page(self, actor: Actor, offset: int, question: str) -> Message:
        page = await self._service.find(actor, parse_audit(question), views.PAGE, offset)
        return views.entries(page.entries, page.total, page.offset, question)

    async def _export(self, actor: Actor, question: str) -> ListFile:
        query = parse_audit(question)
        file = CsvFile(views.CSV_HEADING)
        async for chunk in self._service.every(actor, query, MOST_ROWS):
            file.add(views.csv_row(one) for one in chunk)
        there_are_more = file.rows == MOST_ROWS < await self._service.total(actor, query)
        cut = f", the newest {MOST_ROWS:,}" if there_are_more else ""
        return ListFile("audit.csv", f"Audit log{cut}", file.content(), file.rows)
