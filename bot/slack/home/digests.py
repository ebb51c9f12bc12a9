"""The daily digest as a message with its charts; it is drawn when its turn to be posted comes."""

import asyncio
from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.errors import NotFound
from bot.domain.fleet.charts import DEFAULT_PERIOD
from bot.domain.query import parse
from bot.services.digests import DIGEST, DigestService
from bot.services.fleet.charts import ChartService
from bot.slack.fleet.views import charts
from bot.slack.home.views import digests as views
from bot.slack.incoming.requests import Feature
from bot.slack.views.blocks import File, Message


class DigestNotes:
    """Draws one kind of note. ``command`` is what people type to look further."""

    def __init__(self, service: DigestService, numbers: ChartService, *, command: str) -> None:
        self._service = service
        self._numbers = numbers
        self._command = command

    def feature(self) -> Feature:
        return Feature(notes={DIGEST: self.draw})

    async def draw(self, body: Mapping[str, Any]) -> Message:
        """A quiet day has no pictures."""
        digest = await self._service.digest(str(body["query"]))
        zone = ZoneInfo(str(body["zone"]))
        pictures = [] if digest.is_quiet else await self._pictures(digest.query, zone)
        return views.digest(digest, body, self._command, pictures)

    async def _pictures(self, text: str, zone: ZoneInfo) -> list[File]:
        query = parse(text)
        try:
            offline = await self._numbers.offline(query, DEFAULT_PERIOD)
            firmware = await self._numbers.firmware(query)
        except NotFound:
            return []
        return [
            await asyncio.to_thread(charts.offline_picture, offline, zone, text),
            await asyncio.to_thread(charts.firmware_picture, firmware, text),
        ]
