"""``sites``, ``site`` and ``describe``: the site book in commands, dialogs and files."""

import re
from collections.abc import Mapping, Sequence

from bot.domain.access import Action, Actor, require
from bot.domain.errors import InvalidInput, Mistaken, Stale
from bot.domain.gateways import fold
from bot.domain.query import Field, exactly
from bot.domain.sites.entries import Site, SiteField
from bot.services.sites.book import SiteBook, SiteRow
from bot.slack import ids
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    SaidOfSite,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.paging import ListFile, ListHandler, check_question
from bot.slack.sites.views import book as views
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import CsvFile, read_csv
from bot.slack.views.paging import SITE

_CSV = "csv"  # behind ``sites``: change entries by a file
_FIELD = "|".join(SiteField)
_DESCRIBED = re.compile(
    rf'(?:"([^"]+)"|(.+?))\s+({_FIELD})\s+(?:is\s+|to\s+)?(.+)', re.IGNORECASE | re.DOTALL
)
_USAGE = (
    f"Write it as /mesh describe oslo call @oslo-field, with one of {', '.join(SiteField)}; a “-” clears it."
)

on = Declarations("Sites")


class SiteListeners:
    """Translate only: parse, one call of the service, render. ``said`` is what the other features tell."""

    def __init__(self, book: SiteBook, modals: ViewCalls, *, said: Sequence[SaidOfSite] = ()) -> None:
        self._book = book
        self._modals = modals
        self._said = said

    def feature(self) -> Feature:
        return on.of(self)

    def lists(self) -> Mapping[str, ListHandler]:
        return {
            views.SITES: ListHandler(self._page, export=self._export),
            SITE: ListHandler(self._card),
        }

    async def facts_of(self, site: str, gateway: str = "") -> Sequence[str]:
        """What the cards of alerts and gateways say of a site."""
        return views.facts_of(site, await self._book.entry_of(site), self._book.now(), gateway)

    @on.command(
        "sites [part of a name]",
        "List sites with whom to call, and change what is known of them by CSV",
        examples=("sites", "sites osl", "sites csv"),
    )
    async def sites(self, call: CommandCall) -> None:
        if call.text.strip().casefold() == _CSV:
            require(call.actor, Action.DESCRIBE)
            await self._modals.open(call.trigger_id, views.csv_dialog())
        else:
            check_question(call.text)
            await call.respond.answer(await self._page(call.actor, 0, unquoted(call.text)))

    @on.command(
        "site <name>",
        "Show one site: whom to call, access hours, links, gateways, alerts, availability",
        examples=("site oslo",),
    )
    async def site(self, call: CommandCall) -> None:
        wanted = unquoted(call.text)
        check_question(wanted)
        page = self._card if wanted else self._page
        await call.respond.answer(await page(call.actor, 0, wanted))

    @on.command(
        "describe <site> <owner|call|hours|note|runbook|map|portal> <text>",
        "Say whom to call for a site, when one gets in, and what else to know, with Undo",
        needs="operator",
        examples=(
            "describe oslo call @oslo-field",
            "describe oslo hours Mo-Fr 07:00-16:00 in Europe/Oslo",
            "describe oslo map https://maps.example.com/oslo",
        ),
    )
    async def describe(self, call: CommandCall) -> None:
        match = _DESCRIBED.fullmatch((call.written or call.text).strip())
        if match is None:
            raise InvalidInput(_USAGE)
        field = SiteField(match[3].casefold())
        row = SiteRow((match[1] or match[2]).strip(), {field: unquoted(match[4])})
        try:
            change = await self._book.describe(call.actor, row, call.channel)
        except Mistaken as wrong:
            raise InvalidInput(wrong.mistakes[0].why) from wrong
        await call.respond.answer(views.changed(change))

    @on.click(ids.SITE_UNDO)
    async def undo(self, click: Click) -> None:
        change = await self._book.undo(click.actor, click.card.id, click.channel or None)
        await click.respond.answer(views.changed(change))

    # ---- dialogs
    @on.click(ids.SITE_EDIT)
    async def ask(self, click: Click) -> None:
        site = await self._book.find(click.page.question)
        await self._modals.open(click.trigger_id, views.edit_dialog(site))

    @on.submission(ids.SITE_EDIT)
    async def edit(self, sent: Submission) -> SubmissionAnswer:
        said = {one: sent.values.get(one.value, "") for one in SiteField}
        row = SiteRow(sent.page.question, said)
        try:
            change = await self._book.describe(sent.actor, row, seen=sent.page.offset)
        except Mistaken as wrong:
            return SubmissionAnswer(errors={one.column: one.why for one in wrong.mistakes})
        except (InvalidInput, Stale) as error:
            return SubmissionAnswer(errors={SiteField.OWNER.value: str(error)})
        return SubmissionAnswer(view=views.done_dialog(change))

    @on.click(ids.SITES_CSV)
    async def ask_for_rows(self, click: Click) -> None:
        await self._modals.open(click.trigger_id, views.csv_dialog())

    @on.submission(ids.SITES_CSV)
    async def preview(self, sent: Submission) -> SubmissionAnswer:
        """What the rows would change, or all that is wrong with them."""
        try:
            read = read_csv(sent.values.get(ids.CSV, ""), views.COLUMNS, ["site"])
            rows = [
                SiteRow(
                    one.cells.get("site", ""),
                    {SiteField(name): text for name, text in one.cells.items() if name != "site"},
                    one.line,
                )
                for one in read
            ]
            change = await self._book.propose(sent.actor, rows)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.CSV: str(error)})
        return SubmissionAnswer(view=views.preview_dialog(change))

    @on.submission(ids.SITES_CONFIRM)
    async def confirm(self, sent: Submission) -> SubmissionAnswer:
        change = await self._book.confirm(sent.actor, sent.card.id)
        return SubmissionAnswer(view=views.done_dialog(change))

    # ---- what is drawn
    async def _card(self, actor: Actor, _offset: int, name: str) -> Message:
        site = await self._book.find(name)
        said = [line for tell in self._said for line in await tell(site.name)]
        devices = exactly(Field.SITE, site.name)
        may_edit = actor.may(Action.DESCRIBE)
        return views.card(site, self._book.now(), said, devices, may_edit=may_edit)

    async def _page(self, actor: Actor, offset: int, question: str) -> Message:
        found = await self._matching(actor, question)
        return views.listed(found, question, offset, may_edit=actor.may(Action.DESCRIBE))

    async def _export(self, actor: Actor, question: str) -> ListFile:
        file = CsvFile(views.COLUMNS)
        file.add(views.csv_row(one) for one in await self._matching(actor, question))
        made = self._book.now()
        return ListFile(f"sites-{made:%Y-%m-%d-%H%M}.csv", "Sites", file.content(), file.rows)

    async def _matching(self, actor: Actor, part: str) -> Sequence[Site]:
        """The sites that have the text in their names, in any case."""
        return [one for one in await self._book.every(actor) if fold(part) in fold(one.name)]
