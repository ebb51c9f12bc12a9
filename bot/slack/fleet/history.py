"""``availability``, ``worst`` and ``history``: how the fleet fared over a period, and what happened."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.domain.access import Actor
from bot.domain.errors import InvalidInput, NotFound
from bot.domain.fleet.availability import LONGEST, AvailabilityReport, GatewayUptime, WorstBy
from bot.domain.fleet.charts import DEFAULT_PERIOD, SHORTEST
from bot.domain.fleet.timeline import GatewayChanged
from bot.domain.gateways import KnownGateway
from bot.domain.query import Field, Query, exactly, parse
from bot.domain.times.written_times import in_one_unit, name_last_month, split_month, split_period
from bot.services.fleet.history import HistoryService
from bot.services.fleet.search import CHUNK, FleetService
from bot.slack.fleet.views import history as views
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.listeners import CommandCall, Declarations, Feature
from bot.slack.paging import ListFile, ListHandler, check_question
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import CsvFile
from bot.slack.views.paging import HISTORY, PagePosition, last_offset

_USAGE: Final = "Write it as /mesh availability tag:oslo 30d or /mesh worst often tag:oslo 30d."
_HISTORY: Final = "Write it as /mesh history MT10225 30d or /mesh history oslo."

OF_SITE: Final = timedelta(days=30)  # that the card of a site tells of

on = Declarations("Gateways")


class HistoryCommands:
    """Reads what was, for anybody who may read. ``zone`` is that of months."""

    def __init__(self, history: HistoryService, fleet: FleetService, *, zone: ZoneInfo) -> None:
        self._zone = zone
        self._history = history
        self._fleet = fleet

    def feature(self) -> Feature:
        return on.of(self)

    def lists(self) -> Mapping[str, ListHandler]:
        return {
            views.AVAILABILITY: ListHandler(self._sites_page, export=self._sites_file),
            views.WORST: ListHandler(self._worst_page, export=self._worst_file),
            HISTORY: ListHandler(self._timeline_page),
        }

    @on.command(
        "availability [query] [period or month]",
        "Show how much of the time gateways were online, by site",
        examples=("availability", "availability tag:oslo 30d", "availability 2026-11"),
        also=("uptime", "sla"),
    )
    async def availability(self, call: CommandCall) -> None:
        await call.respond.answer(await self._sites_page(call.actor, 0, call.text))

    @on.command(
        "worst [longest|often|flapping] [query] [period]",
        "List the gateways that were offline longest, most often, or flapped",
        examples=("worst", "worst often tag:oslo 30d", "worst flapping 24h"),
        also=("outages",),
    )
    async def worst(self, call: CommandCall) -> None:
        await call.respond.answer(await self._worst_page(call.actor, 0, call.text))

    @on.command(
        "history <gateway or site> [period]",
        "Tell what happened: outages, versions, names, tags, alerts, rollouts, silences, maintenance",
        examples=("history MT10225", "history oslo 30d"),
    )
    async def history(self, call: CommandCall) -> None:
        await call.respond.answer(await self._timeline_page(call.actor, 0, call.text))

    async def of_site(self, site: str) -> Sequence[str]:
        """What the card of a site says of its availability, and of its last alerts and rollouts."""
        query = exactly(Field.SITE, site)
        ids = await self._fleet.ids_matching(parse(query)) if query else []
        if query is None or not ids:
            return ()
        report = await self._history.availability(parse(query), OF_SITE)
        told = await self._history.timeline(site, ids, OF_SITE, is_site=True)
        return views.of_site(report, told)

    async def _timeline_page(self, _actor: Actor, offset: int, question: str) -> Message:
        text, period = split_period(question, SHORTEST, LONGEST, _HISTORY)
        period = period or DEFAULT_PERIOD
        wanted = unquoted(text)
        if not wanted:
            raise InvalidInput(f"Of which gateway or site? {_HISTORY}")
        check_question(wanted)
        try:
            known = await self._fleet.find(wanted)
        except NotFound:
            site = exactly(Field.SITE, wanted)
            ids = await self._fleet.ids_matching(parse(site)) if site else []
            if not ids:
                raise
            told = await self._history.timeline(wanted, ids, period, is_site=True)
        else:
            told = await self._history.timeline(
                known.gateway.label, [known.gateway.id], period, is_site=False
            )
            wanted = known.gateway.id
        page, place = views.timeline_page(told, offset, f"{wanted} {in_one_unit(period)}")
        changed = {one.event.gateway_id for one in page if isinstance(one, GatewayChanged)}
        gateways = await self._fleet.gateways(sorted(changed))
        names = {str(one.gateway.id): one.gateway.label for one in gateways}
        of = exactly(Field.SITE if told.is_site else Field.ID, wanted)
        return views.timeline(told, page, names, period, place, of)

    async def _sites_page(self, _actor: Actor, offset: int, question: str) -> Message:
        report, query, when = await self._report(question)
        return views.availability(report, query.text, offset, when)

    async def month(self, query: str, month: str, number: int) -> Message:
        """What a channel gets that subscribed: the availability in a month."""
        report, asked, when = await self._report(f"{query} {month}")
        return views.monthly(report, asked.text, when, number)

    async def _report(self, text: str) -> tuple[AvailabilityReport, Query, str]:
        """With the query, and the period or month of it as it may be asked for again."""
        text = name_last_month(text, self._history.today(self._zone))
        rest, month = split_month(text)
        if month is None:
            query, period = await self._asked(text)
            return await self._history.availability(query, period), query, in_one_unit(period)
        check_question(rest)
        query = await self._fleet.query_of(rest)
        return await self._history.availability_in(query, month, self._zone), query, month

    async def _sites_file(self, _actor: Actor, question: str) -> ListFile:
        report, _, _ = await self._report(question)
        file = CsvFile(views.AVAILABILITY_HEADING)
        file.add(views.availability_row(one) for one in report.sites)
        named = f"availability-{report.ends:%Y-%m-%d-%H%M}.csv"
        return ListFile(named, f"Availability {question}".strip(), file.content(), file.rows)

    async def _worst_page(self, _actor: Actor, offset: int, question: str) -> Message:
        by, rest = _order(question)
        query, period = await self._asked(rest)
        found, total = await self._history.worst(query, period, by, offset, views.WORST_PAGE)
        if total and not found:  # the list became shorter since the button was drawn
            offset = last_offset(total, views.WORST_PAGE)
            found, total = await self._history.worst(query, period, by, offset, views.WORST_PAGE)
        again = f"{by} {query.text} {in_one_unit(period)}"
        place = PagePosition(views.WORST, offset, total, views.WORST_PAGE, again)
        without_data = await self._history.without_data(query, period)
        return views.worst(found, await self._known(found), by, period, query.text, place, without_data)

    async def _worst_file(self, _actor: Actor, question: str) -> ListFile:
        by, rest = _order(question)
        query, period = await self._asked(rest)
        found, _ = await self._history.worst(query, period, by)
        file = CsvFile(views.WORST_HEADING)
        for start in range(0, len(found), CHUNK):
            some = found[start : start + CHUNK]
            known = await self._known(some)
            file.add([views.worst_row(one, known.get(one.id)) for one in some])
        return ListFile(f"worst-{by}.csv", f"Worst gateways {question}".strip(), file.content(), file.rows)

    async def _known(self, some: Sequence[GatewayUptime]) -> dict[str, KnownGateway]:
        return {one.gateway.id: one for one in await self._fleet.gateways([one.id for one in some])}

    async def _asked(self, text: str) -> tuple[Query, timedelta]:
        query, period = split_period(text, SHORTEST, LONGEST, _USAGE)
        check_question(query)
        return await self._fleet.query_of(query), period or DEFAULT_PERIOD


def _order(text: str) -> tuple[WorstBy, str]:
    word, _, rest = text.strip().partition(" ")
    is_order = word.casefold() in set(WorstBy)
    return (WorstBy(word.casefold()), rest) if is_order else (WorstBy.LONGEST, text)
