"""Digests are wanted once a day and destination, and say what is so; on both databases."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from bot.domain.alerts.silences import SilenceRequest
from bot.domain.digests import LATE, PATIENCE, Digest, DigestPart
from bot.domain.subscriptions import parse_subscription
from bot.services.context import Context
from bot.services.digests import MONTHLY, DigestService
from bot.storage import subscriptions
from bot.storage.alerts import silences
from bot.storage.cards import broken_channels
from bot.storage.db.engine import Database, Transaction
from tests.worlds.alerts import ANA, MINUTE, World, rollout
from tests.worlds.builders import no_policies, whole_digest

OSLO = ZoneInfo("Europe/Oslo")
HOUR, DAY = 60 * MINUTE, timedelta(days=1)
EIGHT = datetime(2026, 11, 25, 7, tzinfo=UTC)  # in Oslo, in winter


class Morning:
    """A fleet that was listed all night; the clock stands at eight."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.service = self.another()

    def another(
        self, channel: str | None = "C0ALERTS", at: time | None = time(8), *, usual_at: time = time(8)
    ) -> DigestService:
        """One more process, or the same one after a restart."""
        return DigestService(
            Context(self.world.database, lambda: self.world.now),
            policies=no_policies,
            channel=channel,
            at=at,
            usual_at=usual_at,
            zone=OSLO,
            stable_for=10 * MINUTE,
            stale_after=15 * MINUTE,
        )

    async def listed(self, at: datetime) -> None:
        self.world.now = at
        await self.world.listing()

    async def subscribe(self, text: str, channel: str = "C0OPS") -> None:
        async with self.world.database.write() as connection:
            draft = parse_subscription(text)
            await subscriptions.add(connection, channel, draft, "U0ANA00001", self.world.now)

    async def digest(self, query: str) -> Digest:
        return await whole_digest(self.service, query)

    async def wanted(self) -> list[tuple[str, Any]]:
        return [(one.channel, one.body["query"]) for one in await self.world.notes() if one.kind == "digest"]


@pytest.fixture
async def morning(database_url: str) -> AsyncIterator[Morning]:
    database = Database.open(database_url)
    world = await World.begin(database, "Oslo/a", "Oslo/b", "Bergen/c")
    made = Morning(world)
    await made.listed(EIGHT - 3 * DAY)
    await made.listed(EIGHT)
    yield made
    await database.close()


async def test_every_part_of_a_digest_is_found_by_something(morning: Morning) -> None:
    assert {*morning.service.parts} == {*DigestPart}


@pytest.mark.on_both
async def test_a_digest_is_wanted_once_however_many_ticks_replicas_and_restarts_there_are(
    morning: Morning,
) -> None:
    for service in (morning.service, morning.service, morning.another(), morning.another()):
        await service.tick()
    assert await morning.wanted() == [("C0ALERTS", "")]


@pytest.mark.on_both
async def test_what_tells_of_a_month_is_wanted_once_on_the_first_of_the_next_by_replicas_that_tick_at_once(
    morning: Morning,
) -> None:
    await morning.subscribe("availability tag:oslo monthly at 07:30")
    first = datetime(2026, 12, 1, 6, 30, tzinfo=UTC)  # in Oslo
    for at in (EIGHT, first - MINUTE, first, first + DAY, first + 5 * DAY):
        await morning.listed(at)
        await asyncio.gather(morning.service.tick(), morning.another().tick())
        await morning.another().tick()
    notes = [one for one in await morning.world.notes() if one.kind == MONTHLY]
    assert [(one.channel, one.body["query"], one.body["month"]) for one in notes] == [
        ("C0OPS", "tag:oslo", "2026-11")
    ]


async def test_a_month_is_told_of_up_to_a_week_late_and_not_before_the_subscription(morning: Morning) -> None:
    await morning.subscribe("availability")
    await morning.listed(datetime(2026, 12, 7, 20, tzinfo=UTC))
    await morning.subscribe("availability model:2011")
    await morning.service.tick()
    await morning.listed(datetime(2027, 1, 8, 8, tzinfo=UTC))
    await morning.service.tick()
    notes = [one for one in await morning.world.notes() if one.kind == MONTHLY]
    assert [(one.body["query"], one.body["month"]) for one in notes] == [("", "2026-11")]


async def test_every_day_has_its_own(morning: Morning) -> None:
    for days in range(3):
        await morning.listed(EIGHT + days * DAY)
        await morning.service.tick()
    assert len(await morning.wanted()) == 3


@pytest.mark.parametrize("day", [date(2026, 3, 29), date(2026, 10, 25)])
async def test_a_change_of_clocks_brings_neither_two_nor_none(morning: Morning, day: date) -> None:
    midnight = datetime.combine(day, time(0), OSLO).astimezone(UTC)
    morning.world.now = midnight - 400 * DAY
    await morning.subscribe("digest at 08:00 in Europe/Oslo", "C0EIGHT")
    await morning.subscribe("digest at 02:30 in Europe/Oslo", "C0EARLY")
    service = morning.another(channel=None)
    for quarters in range(23 * 4):
        await morning.listed(midnight + quarters * 15 * MINUTE)
        await service.tick()
    assert sorted(channel for channel, _ in await morning.wanted()) == ["C0EARLY", "C0EIGHT"]


async def test_a_start_after_a_night_down_sends_it_late_but_not_too_late(morning: Morning) -> None:
    await morning.listed(EIGHT + DAY + LATE - MINUTE)
    await morning.another().tick()
    await morning.listed(EIGHT + 2 * DAY + LATE)
    await morning.another().tick()
    assert len(await morning.wanted()) == 1


async def test_a_listing_of_after_the_moment_is_waited_for_but_not_for_long(morning: Morning) -> None:
    morning.world.now = EIGHT + DAY + HOUR
    started = morning.another()
    await started.tick()
    assert await morning.wanted() == []
    morning.world.now += PATIENCE
    await started.tick()
    assert len(await morning.wanted()) == 1


async def test_a_subscription_without_a_time_gets_its_digest_at_the_usual_one(morning: Morning) -> None:
    service = morning.another(usual_at=time(9))
    morning.world.now = EIGHT - HOUR
    await morning.subscribe("digest site:oslo")
    await morning.listed(EIGHT)
    await service.tick()
    assert await morning.wanted() == [("C0ALERTS", "")]
    await morning.listed(EIGHT + HOUR)
    await service.tick()
    assert await morning.wanted() == [("C0ALERTS", ""), ("C0OPS", "site:oslo")]


async def test_a_digest_that_a_channel_subscribed_to_comes_besides_the_usual_one(morning: Morning) -> None:
    morning.world.now = EIGHT - HOUR
    await morning.subscribe("digest site:oslo")
    await morning.subscribe("digest at 09:30", "C0LATER")
    await morning.listed(EIGHT)
    await morning.service.tick()
    assert await morning.wanted() == [("C0OPS", "site:oslo"), ("C0ALERTS", "")]
    await morning.listed(EIGHT + 90 * MINUTE)
    await morning.service.tick()
    assert await morning.wanted() == [("C0OPS", "site:oslo"), ("C0ALERTS", ""), ("C0LATER", "")]


@pytest.mark.parametrize(
    ("text", "channel"), [("digest only here", "C0OPS"), ("digest at 08:00", "C0ALERTS")]
)
async def test_an_admins_only_here_or_the_default_channels_own_takes_the_place_of_the_usual_one(
    morning: Morning, text: str, channel: str
) -> None:
    morning.world.now = EIGHT - HOUR
    await morning.subscribe(text, channel)
    await morning.listed(EIGHT)
    await morning.service.tick()
    assert await morning.wanted() == [(channel, "")]


async def test_who_subscribes_after_the_moment_gets_the_first_one_tomorrow(morning: Morning) -> None:
    morning.world.now += MINUTE
    await morning.subscribe("digest")
    await morning.service.tick()
    assert await morning.wanted() == [("C0ALERTS", "")]
    await morning.listed(EIGHT + DAY)
    await morning.service.tick()
    assert ("C0OPS", "") in await morning.wanted()


@pytest.mark.on_both
async def test_a_fleet_that_was_not_known_at_eight_has_no_digest_today(database_url: str) -> None:
    database = Database.open(database_url)
    world = await World.begin(database, "Oslo/a")
    made = Morning(world)
    world.now = datetime.combine(world.now.date(), time(9), UTC)
    async with database.write() as connection:
        await connection.exec_driver_sql("DELETE FROM listings")
    await made.listed(world.now)
    await made.service.tick()
    assert await made.wanted() == []
    await database.close()


@pytest.mark.parametrize("silent", [{"channel": None}, {"at": None}])
async def test_without_a_channel_or_a_time_there_is_no_default_digest(
    morning: Morning, silent: dict[str, Any]
) -> None:
    await morning.another(**silent).tick()
    assert await morning.wanted() == []


async def test_a_broken_subscription_gets_none_and_does_not_keep_others_from_theirs(morning: Morning) -> None:
    morning.world.now = EIGHT - HOUR
    await morning.subscribe("digest")
    async with morning.world.database.write() as connection:
        await broken_channels.record_broken(connection, "C0OPS", "not_in_channel", morning.world.now)
    await morning.listed(EIGHT)
    await morning.service.tick()
    assert await morning.wanted() == [("C0ALERTS", "")]


async def silence(
    connection: Transaction,
    query: str,
    until: datetime,
    limits: Sequence[str] = (),
    gateways: Sequence[str] | None = None,
) -> None:
    asked = SilenceRequest(query, until)
    ana = ("U0ANA00001", "Ana")
    await silences.add(connection, asked, None, ana, EIGHT, limits=limits, gateways=gateways)


@pytest.mark.on_both
async def test_a_digest_tells_what_is_dark_what_waits_and_what_ends(morning: Morning) -> None:
    world = morning.world
    world.goes("offline", "a", at=EIGHT - 30 * HOUR)
    world.goes("offline", "b", at=EIGHT - 50 * HOUR)
    await rollout(world, "c", state="skipped")
    world.fleet["c"] = replace(world.fleet["c"], firmware="3.4.1")
    async with world.database.write() as connection:
        await connection.exec_driver_sql("UPDATE rollouts SET started_at = created_at")
        for ends in (EIGHT + 23 * HOUR, EIGHT + 2 * DAY):
            await silence(connection, "site:oslo", ends)
    await world.passes(7)

    found = await morning.digest("")

    assert [one.gateway.id for one in found.long_offline.first] == ["b", "a"]
    assert (found.counts.total, found.counts.online, found.long_offline.total) == (3, 1, 2)
    assert [one.site for one in found.incidents] == ["Oslo"]
    assert [(one.title, back) for one, back in found.catch_up] == [("R-1", 1)]
    assert [one.title for one, _ in found.rollouts] == ["R-1"]
    assert [one.title for one in found.silences] == ["S-1"]
    assert not found.is_quiet


async def test_an_alert_that_somebody_has_is_not_told(morning: Morning) -> None:
    morning.world.goes("offline", "a")
    await morning.world.passes(7)
    incident = await morning.world.only_incident()
    await morning.world.alerts.acknowledge(ANA, incident.id, incident.version)
    assert (await morning.digest("")).is_quiet


@pytest.mark.on_both
async def test_a_digest_of_a_query_tells_of_its_gateways_only(morning: Morning) -> None:
    world = morning.world
    world.goes("offline", "a", at=EIGHT - 30 * HOUR)
    await rollout(world, "a", state="waiting")
    async with world.database.write() as connection:
        await silence(connection, "site:oslo", EIGHT + HOUR)
    await world.passes(7)
    bergen, oslo = await morning.digest("site:bergen"), await morning.digest("site:oslo")
    assert (bergen.counts.total, bergen.is_quiet) == (1, True)
    assert [oslo.long_offline.total, len(oslo.incidents), len(oslo.rollouts), len(oslo.silences)] == [
        1,
        1,
        1,
        1,
    ]


@pytest.mark.on_both
async def test_no_fresh_listing_is_told(morning: Morning) -> None:
    morning.world.now += HOUR
    found = await morning.digest("")
    assert (found.is_stale, found.is_quiet, found.as_of) == (True, False, EIGHT)


async def test_a_digest_tells_of_a_silence_by_what_it_holds_and_not_by_its_query_alone(
    morning: Morning,
) -> None:
    async with morning.world.database.write() as connection:
        await silence(connection, "is:offline", EIGHT + HOUR, gateways=["a"])
        await silence(connection, "id:*", EIGHT + HOUR, limits=["site:oslo"])
    bergen, oslo = await morning.digest("site:bergen"), await morning.digest("site:oslo")
    assert [one.title for one in bergen.silences] == []
    assert [one.title for one in oslo.silences] == ["S-1", "S-2"]
