"""The daily digest with its charts, and what tells of a month; drawn when its turn to be posted comes."""

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

from bot.domain.digests import Digest
from bot.domain.errors import NotFound, Unavailable
from bot.domain.fleet.charts import DEFAULT_PERIOD
from bot.domain.query import parse
from bot.services.digests import DIGEST, MONTHLY, DigestService
from bot.slack.fleet.charts import ChartPictures
from bot.slack.home.views import digests as views
from bot.slack.incoming.guard import catch
from bot.slack.incoming.listeners import Feature
from bot.slack.views.blocks import File, Message, sentence
from bot.storage.db.unreadable_rows import noting_what_is_left_out

log = logging.getLogger(__name__)

Month = Callable[[str, str, int], Awaitable[Message]]
"""Draws what tells of a month: of which query, which month, for which subscription."""


class DigestNotes:
    """Draws the notes that come at their time."""

    def __init__(self, service: DigestService, charts: ChartPictures, *, month: Month) -> None:
        self._service = service
        self._month = month
        self._charts = charts

    def feature(self) -> Feature:
        return Feature(notes={DIGEST: self.draw, MONTHLY: self.draw_month})

    async def draw_month(self, body: Mapping[str, Any]) -> Message:
        """Where nothing matches any more, that is said."""
        try:
            return await self._month(str(body["query"]), str(body["month"]), int(body["number"]))
        except NotFound as error:
            return sentence(f"Subscription {body['number']} to the availability in {body['month']}: {error}")

    async def draw(self, body: Mapping[str, Any]) -> Message:
        """A quiet day has no pictures. Raises Unavailable when the database does not answer."""
        digest = await self._look(str(body["query"]))
        pictures = [] if digest.is_quiet else await self._pictures(digest.query, ZoneInfo(str(body["zone"])))
        drawn = [one for one in pictures if one is not None]
        undrawn = len(drawn) < len(pictures)
        return views.digest(digest, body, drawn, undrawn=undrawn)

    async def _look(self, query: str) -> Digest:
        """What can be told of it; what else there is says only that it is missing."""
        digest = await self._service.digest(query)
        for part, find in self._service.parts.items():
            with noting_what_is_left_out() as rows:
                found = await catch(find(digest))
            if isinstance(found, Unavailable):
                raise found
            if isinstance(found, Exception):
                log.error("a digest is told without its part %s", part, exc_info=found)
                digest = replace(digest, missing=(*digest.missing, part))
            else:
                digest = replace(digest, **{part.value: found})
                if rows:
                    digest = replace(digest, left_out={**digest.left_out, part: len(set(rows))})
        return digest

    async def _pictures(self, text: str, zone: ZoneInfo) -> list[File | None]:
        """None for each that cannot be drawn."""
        query = parse(text)
        charts = (self._charts.offline(query, DEFAULT_PERIOD, zone), self._charts.firmware(query))
        pictures: list[File | None] = []
        for chart in charts:
            drawn = await catch(chart)
            if isinstance(drawn, NotFound):  # there is nothing to draw yet
                continue
            if isinstance(drawn, Exception):
                log.error("a digest is told without a chart", exc_info=drawn)
            pictures.append(drawn if isinstance(drawn, File) else None)
        return pictures
