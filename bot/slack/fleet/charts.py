"""``chart``: has charts drawn and sends them; and the latest one as a block, for others to show."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from bot.domain.errors import NotFound
from bot.domain.fleet.availability import span_of_month
from bot.domain.fleet.charts import DEFAULT_PERIOD, ChartKind, parse_chart
from bot.domain.query import EVERYTHING, Query, parse
from bot.domain.times.written_times import name_last_month
from bot.services.fleet.charts import ChartService
from bot.services.shared_work import Shared
from bot.slack import ids
from bot.slack.fleet.chart_process import Draw, drawn_apart
from bot.slack.fleet.views import charts as views
from bot.slack.incoming.listeners import Click, CommandCall, Declarations, Feature, Responder
from bot.slack.outgoing.pictures import uploaded
from bot.slack.outgoing.web_api import WebApi
from bot.slack.paging import check_question
from bot.slack.views.blocks import Block, File, Message, context, date

FRESH_FOR: Final = timedelta(minutes=10)
KEPT: Final = timedelta(seconds=30)  # a picture, for who asks for the same

on = Declarations("Gateways")


class ChartPictures:
    """Draws one at a time. Who asks for one that is being drawn, or was a moment ago, shares it."""

    def __init__(
        self, numbers: ChartService, *, now: Callable[[], datetime], draw: Draw = drawn_apart
    ) -> None:
        self._numbers = numbers
        self._now = now
        self._draw = draw
        self._turn = asyncio.Lock()
        self._pictures = Shared[File](now, KEPT)

    async def offline(
        self, query: Query, period: timedelta, zone: ZoneInfo, ends: datetime | None = None
    ) -> File:
        """Who was offline. Raises NotFound where there is nothing to draw, or to draw with; Unavailable."""

        async def drawn() -> File:
            async with self._turn:
                numbers = await self._numbers.offline(query, period, ends)
                return await self._draw(views.offline_picture, numbers, zone, query.text)

        return await self._pictures.get(("offline", query.text, period, zone.key, ends), drawn)

    def name_last_month(self, text: str, zone: ZoneInfo) -> str:
        return name_last_month(text, self._now().astimezone(zone).date())

    def span(
        self, period: timedelta | None, month: str | None, zone: ZoneInfo
    ) -> tuple[timedelta, datetime | None]:
        """How long a chart is of, and until when, where that is not now; ``month`` is one as ``2026-11``.
        Raises InvalidInput for one of another time.
        """
        if month is None:
            return period or DEFAULT_PERIOD, None
        begins, ends = span_of_month(month, zone, self._now())
        return ends - begins, ends

    async def offline_message(
        self, query: Query, period: timedelta, zone: ZoneInfo, ends: datetime | None = None
    ) -> Message:
        """The chart as Slack draws it. Raises NotFound when there is nothing to draw."""
        return views.offline_chart(await self._numbers.offline(query, period, ends), zone, query.text)

    async def firmware_message(self, query: Query, *, no_past: bool = False) -> Message:
        """The same of who runs which firmware now."""
        return views.firmware_chart(await self._numbers.firmware(query), query.text, no_past=no_past)

    async def firmware(self, query: Query) -> File:
        """Who runs which firmware now. Raises NotFound when nothing matches, and Unavailable."""

        async def drawn() -> File:
            async with self._turn:
                numbers = await self._numbers.firmware(query)
                return await self._draw(views.firmware_picture, numbers, query.text)

        return await self._pictures.get(("firmware", query.text), drawn)


def _never(_message: Message) -> bool:
    return False


class ChartListeners:
    """``zone`` is what the axis of time is written in; ``takes`` says whether Slack draws a chart itself."""

    def __init__(
        self, pictures: ChartPictures, *, zone: ZoneInfo, takes: Callable[[Message], bool] = _never
    ) -> None:
        self._pictures = pictures
        self._zone = zone
        self._takes = takes

    def feature(self) -> Feature:
        return on.of(self)

    @on.command(
        "chart <offline|firmware> [query] [period]",
        "Draw who was offline, or who runs which firmware",
        examples=(
            "chart offline",
            "chart offline tag:Kyiv-office 30d",
            "chart firmware model:2011",
        ),
        also=("graph", "plot", "charts"),
    )
    async def chart(self, call: CommandCall) -> None:
        """As Slack's own chart, in the answer. Where that is not taken, as a picture in the asker's direct
        messages: a file cannot be for one person only where others read along.
        """
        await self._send(call.text, call.respond, call.respond.answer)

    @on.click(ids.CHART)
    async def chart_beside(self, click: Click) -> None:
        """From a list or a message that tells in numbers what the chart shows."""
        await self._send(click.page.question, click.respond, click.respond.add)

    async def _send(self, text: str, respond: Responder, show: Callable[[Message], Awaitable[None]]) -> None:
        asked = parse_chart(self._pictures.name_last_month(text, self._zone))
        check_question(asked.query)
        query, is_now = parse(asked.query), asked.kind is ChartKind.FIRMWARE
        period, ends = self._pictures.span(asked.period, asked.month, self._zone)
        no_past = is_now and (asked.period is not None or asked.month is not None)
        shown = (
            await self._pictures.firmware_message(query, no_past=no_past)
            if is_now
            else await self._pictures.offline_message(query, period, self._zone, ends)
        )
        if self._takes(shown):
            await show(shown)
            if self._takes(shown):
                return
        picture = (
            await self._pictures.firmware(query)
            if is_now
            else await self._pictures.offline(query, period, self._zone, ends)
        )
        await respond.send_file(picture.name, picture.content, picture.title, picture.alt)
        await show(views.sent(picture, no_past=no_past))


class LatestChart:
    """The offline chart of the whole fleet as blocks: one upload in ten minutes, however many look at it.

    There are none where there is nothing to draw yet, or to draw with, or Slack took no file. The first call
    of ten minutes takes a second or two; those who call meanwhile wait and share it. Raises Unavailable.
    """

    def __init__(
        self, pictures: ChartPictures, api: WebApi, *, zone: ZoneInfo, now: Callable[[], datetime]
    ) -> None:
        self._pictures = pictures
        self._api = api
        self._zone = zone
        self._now = now
        self._latest = Shared[list[Block]](now, FRESH_FOR)

    async def blocks(self) -> list[Block]:
        try:
            return await self._latest.get("latest", self._draw)
        except NotFound:
            return []

    async def _draw(self) -> list[Block]:
        now = self._now()
        picture = await self._pictures.offline(EVERYTHING, DEFAULT_PERIOD, self._zone)
        images = (await uploaded(self._api, [picture])).values()
        return [*images, context(f"{picture.title}, as of {date(now)}")] if images else []
