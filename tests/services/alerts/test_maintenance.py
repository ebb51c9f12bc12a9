"""Planned work: whose alerts wait, until when, and what is told at its end."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import func, select

from bot.domain.access import Action, Actor, require_within
from bot.domain.audit import AuditQuery
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale, Unconfirmed
from bot.domain.gateways import GatewayId, Held
from bot.domain.incident_kinds import IncidentKind
from bot.domain.query import Query
from bot.services.alerts.held_gateways import by_gateway
from bot.services.alerts.maintenance import CHANGED, SOON, MaintenanceService
from bot.services.alerts.silences import SilenceService
from bot.services.context import Context
from bot.storage import audit
from bot.storage.alerts import incidents
from bot.storage.cards.late_answers import answering
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards
from bot.storage.fleet import search
from tests.services.alerts.test_silences import voss
from tests.worlds.alerts import ANA, BEN, MINUTE, START, World
from tests.worlds.builders import alert_rules, limited, parsed
from tests.worlds.interleaved import Interleaved

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
OSLO = "tag:oslo 09:00-10:00 because the mast is painted"  # today: the world begins at 08:00
NINE, TEN = START + HOUR, START + 2 * HOUR


class Site:
    """A world in which work is planned."""

    def __init__(self, world: World) -> None:
        self.world = world
        context = Context(world.database, lambda: world.now)
        self.silences = SilenceService(
            context,
            understand=parsed,
            matching=self._matching,
            within=self._within,
            channel="C0ALERTS",
            zone=ZoneInfo("UTC"),
        )
        self.service = self.replica()

        async def held() -> set[str]:
            return {*await self.silences.silenced(), *await self.service.held()}

        world.silenced = held
        world.restart()

    def replica(self) -> MaintenanceService:
        """One process's service."""
        return MaintenanceService(
            Context(self.world.database, lambda: self.world.now),
            understand=parsed,
            matching=self._matching,
            within=self._within,
            channel="C0ALERTS",
            zone="UTC",
            before=(DAY, HOUR / 2),
            silenced=self.silences.silenced,
        )

    async def _matching(self, query: Query) -> Sequence[str]:
        async with self.world.database.read() as connection:
            return await search.ids(connection, query, self.world.now)

    async def _within(self, actor: Actor, action: Action, gateways: Sequence[str]) -> None:
        known = [self.world.known[one] for one in gateways]
        require_within(actor, action, known, self.world.now)

    async def plan(self, text: str = OSLO, actor: Actor = ANA, seen: int | None = None) -> str:
        made, _ = await self.service.plan(actor, text, "C0OPS", seen)
        return made.title

    async def until(self, moment: datetime, listings: int = 3) -> None:
        """Time passes, with a few polls and a tick after each."""
        step = (moment - self.world.now) / listings
        for _ in range(listings):
            self.world.now += step
            await self.minute(0)

    async def minute(self, many: int = 1) -> None:
        for _ in range(max(many, 1)):
            self.world.now += MINUTE if many else timedelta()
            await self.world.listing()
            await self.service.tick()
            await self.world.engine.tick()

    async def told(self, kind: str) -> list[str]:
        return [note.channel for note in await self.world.notes() if note.kind == kind]


@pytest.fixture
async def site(database: Database) -> Site:
    world = await World.begin(
        database, "Oslo/a", "Oslo/b", "Bergen/c", *voss(30), rules=alert_rules(startup_listings=0)
    )
    return Site(world)


async def test_alerts_are_held_inside_a_window_and_listed_as_held(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a", "c")
    await site.until(site.world.now + 7 * MINUTE)
    assert [one.site for one in await site.world.live()] == ["Bergen"]
    (held,) = await site.service.down(ANA)
    assert (held.window.title, held.down, held.first) == ("M-1", 1, ("a",))


@pytest.mark.on_both
async def test_what_is_still_down_at_its_end_alerts_at_once_as_one_card_that_names_the_window(
    site: Site,
) -> None:
    await site.plan("tag:oslo,bergen 09:00-10:00 because the mast is painted")
    await site.until(NINE)
    site.world.goes("offline", "a", "b", "c")
    await site.until(TEN - MINUTE)
    site.world.goes("online", "b")
    assert await site.world.live() == []
    await site.minute()
    incident = await site.world.only_incident()
    assert (incident.kind, incident.site) == (IncidentKind.MAINTENANCE, "M-1: the mast is painted")
    assert sorted(one.id for one in incident.first) == ["a", "c"]
    assert [card.channel for card in await site.world.cards()] == ["C0ALERTS"]
    assert await site.service.planned(ANA) == []


async def test_a_gateway_that_went_down_a_minute_before_the_end_alerts_at_once_too(site: Site) -> None:
    await site.plan()
    await site.until(TEN - MINUTE)
    site.world.goes("offline", "a")
    await site.minute()
    assert (await site.world.only_incident()).tally.down == 1


async def test_the_alert_ends_when_all_are_back_and_a_new_outage_is_one_of_its_site(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.until(TEN)
    site.world.goes("online", "a")
    await site.minute(5)
    assert await site.world.live() == []
    site.world.goes("offline", "a")
    await site.until(site.world.now + 7 * MINUTE)
    assert (await site.world.only_incident()).kind is IncidentKind.OFFLINE


async def test_nothing_is_told_at_the_end_where_all_are_back(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.until(site.world.now + 7 * MINUTE)
    site.world.goes("online", "a")
    await site.until(TEN + HOUR)
    assert await site.world.rows(select(cards).where(cards.c.kind == "incident")) == []


async def test_what_was_an_alert_before_the_window_stays_in_that_one(site: Site) -> None:
    await site.plan()
    site.world.goes("offline", "a")
    await site.until(site.world.now + 7 * MINUTE)
    before = await site.world.only_incident()
    await site.until(NINE)
    site.world.goes("offline", "b")
    await site.until(TEN)
    after = {one.kind: one for one in await site.world.live()}
    assert after[IncidentKind.OFFLINE].id == before.id
    assert [one.id for one in after[IncidentKind.MAINTENANCE].first] == ["b"]


async def test_what_another_window_or_a_silence_still_holds_is_told_of_when_that_ends(site: Site) -> None:
    await site.plan()
    await site.plan("id:a 09:00-11:00 because of its battery")
    await site.silences.silence(ANA, "id:b for 4h", "C0OPS")
    await site.until(NINE)
    site.world.goes("offline", "a", "b")
    await site.until(TEN)
    assert await site.world.live() == []
    await site.until(TEN + HOUR)
    incident = await site.world.only_incident()
    assert (incident.site, [one.id for one in incident.first]) == ("M-2: of its battery", ["a"])


async def test_a_window_is_closed_by_a_poll_that_began_after_its_end(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.until(TEN - MINUTE)
    site.world.now = TEN + MINUTE
    await site.service.tick()  # no poll yet
    assert await site.service.held() == {"a", "b"}
    await site.minute()
    assert (await site.world.only_incident()).kind is IncidentKind.MAINTENANCE


async def test_while_the_fleet_cannot_be_seen_a_window_holds_on(site: Site) -> None:
    await site.plan()
    await site.until(TEN - MINUTE)
    site.world.now = TEN
    for _ in range(3):
        await site.world.failed_listing()
    await site.service.tick()
    assert await site.service.held() == {"a", "b"}


@pytest.mark.on_both
async def test_of_two_replicas_one_closes_a_window(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.until(TEN - MINUTE)
    other = site.replica()
    site.world.now += MINUTE
    await site.world.listing()
    await asyncio.gather(site.service.tick(), other.tick())
    await site.world.engine.tick()
    assert (await site.world.only_incident()).tally.down == 1


async def test_after_a_crash_the_next_process_closes_it_and_tells(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.minute(2)
    site.world.now = TEN + 3 * HOUR
    site.service = site.replica()
    site.world.restart()
    await site.minute(3)
    assert (await site.world.only_incident()).kind is IncidentKind.MAINTENANCE


async def test_a_weekly_window_opens_again_and_again_until_its_last_day(site: Site) -> None:
    await site.plan("tag:oslo mon 09:00-10:00 weekly until 2026-05-12 because of patches")
    for week in (0, 1):
        await site.until(NINE + week * 7 * DAY)
        assert await site.service.held() == {"a", "b"}
        await site.until(TEN + week * 7 * DAY)
        assert await site.service.held() == set()
    (window, _) = await site.service.shown("M-1")
    assert (window.opening, window.ended_by) == (None, "meshbot")


async def test_a_window_is_announced_before_it_opens_each_time_once(site: Site) -> None:
    await site.world.subscribe("C0OSLO", "tag:oslo")
    await site.plan("tag:oslo 2026-05-06 09:00-10:00 because of patches")
    await site.until(START + DAY)
    assert await site.told(SOON) == []
    await site.until(START + 2 * DAY)
    assert await site.told(SOON) == ["C0OSLO", "C0ALERTS"]
    await site.until(START + 2 * DAY + HOUR / 2)
    await site.replica().tick()
    assert await site.told(SOON) == ["C0OSLO", "C0ALERTS"] * 2


async def test_a_window_that_is_planned_late_is_not_announced_for_what_has_passed(site: Site) -> None:
    await site.plan()
    await site.minute()
    assert await site.told(SOON) == []
    await site.until(NINE - HOUR / 2)
    assert await site.told(SOON) == ["C0ALERTS"]


async def test_the_channels_that_lose_the_alerts_have_a_card_of_it(site: Site) -> None:
    await site.world.subscribe("C0OSLO", "tag:oslo")
    await site.world.subscribe("C0VOSS", "tag:voss")
    await site.plan()
    found = await site.world.rows(select(cards).where(cards.c.kind == "maintenance"))
    assert {one.channel for one in found} == {"C0OSLO", "C0ALERTS"}


async def test_who_is_limited_to_a_part_of_the_fleet_plans_and_ends_within_it(site: Site) -> None:
    olav = limited(BEN, "tag:oslo")
    with pytest.raises(NotAllowed, match="plan maintenance only among the gateways of “tag:oslo”"):
        await site.plan("tag:oslo,bergen 09:00-10:00 because of paint", olav)
    assert await site.plan(OSLO, olav) == "M-1"
    await site.plan("tag:bergen 09:00-10:00 because of paint")
    with pytest.raises(NotAllowed):
        await site.service.end(olav, "M-2", "C0OPS")
    await site.plan("tag:none 09:00-10:00 because of paint", seen=0)
    with pytest.raises(NotAllowed, match="covers no gateway now"):
        await site.service.end(olav, "M-3", "C0OPS")
    await site.service.end(olav, "M-1", "C0OPS")


async def test_a_window_holds_only_within_the_limits_of_who_planned_it(site: Site) -> None:
    await site.plan("id:a 09:00-10:00 because of paint", limited(ANA, "tag:oslo"))
    site.world.sites["a"] = "Bergen"
    site.world.fleet["a"] = replace(site.world.fleet["a"], tags=("Bergen",))
    await site.until(NINE)
    assert await site.service.held() == set()


@pytest.mark.parametrize(("query", "covered"), [("tag:voss", 30), ("tag:oslo,bergen,voss", 33), ("tag:x", 0)])
async def test_what_covers_much_or_nothing_asks_first(site: Site, query: str, covered: int) -> None:
    text = f"{query} 09:00-10:00 because of paint"
    with pytest.raises(Unconfirmed, match=f"covers {covered} of 33"):
        await site.plan(text)
    assert await site.plan(text, seen=covered) == "M-1"


async def test_how_gateways_fare_names_none_for_later(site: Site) -> None:
    with pytest.raises(InvalidInput, match="is:offline"):
        await site.plan("is:offline 09:00-10:00 because of paint")


async def test_skipped_while_open_it_closes_now_and_tells_of_what_is_down(site: Site) -> None:
    await site.plan("tag:oslo mon 09:00-10:00 weekly because of patches")
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.minute(2)
    await site.service.skip(ANA, "M-1", "C0OPS")
    assert await site.service.held() == {"a", "b"}  # until a poll tells how they are
    await site.minute()
    assert (await site.world.only_incident()).kind is IncidentKind.MAINTENANCE
    (window,) = await site.service.planned(ANA)
    assert window.opening is not None
    assert window.opening.begins == NINE + 7 * DAY


async def test_an_ended_window_holds_nothing_and_undo_brings_it_back_once(site: Site) -> None:
    await site.plan()
    ended = await site.service.end(BEN, "1", "C0OPS")
    assert ended.ended_by == BEN.user_id
    assert await site.told(CHANGED) == ["C0ALERTS"]
    await site.service.undo(ANA, "1", "C0OPS", ended.decided)
    with pytest.raises(Stale):
        await site.service.undo(ANA, "1", "C0OPS", ended.decided)
    await site.until(NINE)
    assert await site.service.held() == {"a", "b"}


async def test_an_opening_is_skipped_once_by_two_who_click_at_once(site: Site) -> None:
    await site.plan("tag:oslo mon 09:00-10:00 weekly because of patches")
    await site.service.skip(ANA, "M-1", "C0OPS", NINE)
    with pytest.raises(Stale, match="over or skipped already"):
        await site.service.skip(BEN, "M-1", "C0OPS", NINE)
    with pytest.raises(NotFound, match="no maintenance window M-7"):
        await site.service.skip(ANA, "M-7", "C0OPS")


async def test_each_decision_is_in_the_audit_log_with_its_reason(site: Site) -> None:
    await site.plan()
    ended = await site.service.end(ANA, "M-1", "C0OPS")
    await site.service.undo(ANA, "M-1", "C0OPS", ended.decided)
    async with site.world.database.read() as connection:
        found = await audit.find(connection, AuditQuery(words=("m-1",)), 10, 0)
    assert [one.action for one in found] == ["maintenance_undo", "maintenance_end", "maintenance"]
    assert {one.reason for one in found} == {"the mast is painted"}
    assert found[-1].after == "the next opening is 2026-05-04 09:00 UTC to 2026-05-04 10:00 UTC"
    assert found[1].after == "no opening follows"


async def test_the_audit_log_and_the_note_of_a_window_skipped_while_open_tell_of_the_next_opening(
    site: Site,
) -> None:
    await site.plan("tag:oslo mon 09:00-10:00 weekly because of patches")
    await site.until(NINE)
    await site.service.skip(ANA, "M-1", "C0OPS")
    async with site.world.database.read() as connection:
        (found, _) = await audit.find(connection, AuditQuery(words=("m-1",)), 10, 0)
    assert found.after == "the next opening is 2026-05-11 09:00 UTC to 2026-05-11 10:00 UTC"
    (note,) = [one for one in await site.world.notes() if one.kind == CHANGED]
    assert (note.body["closing"], note.body["begins"]) == (True, (NINE + 7 * DAY).isoformat())


async def test_whoever_plans_skips_ends_or_undoes_hears_of_it_though_the_answer_is_lost(site: Site) -> None:
    async with answering(site.world.database, lambda: site.world.now):
        await site.plan("tag:oslo mon 09:00-10:00 weekly because of patches")
        await site.service.skip(ANA, "M-1", "C0OPS")
        ended = await site.service.end(ANA, "M-1", "C0OPS")
        await site.service.undo(ANA, "M-1", "C0OPS", ended.decided)
        owed = [one for one in await site.world.notes() if one.kind == audit.UNANSWERED]
    assert sorted(one.body["action"] for one in owed) == [
        "maintenance",
        "maintenance_end",
        "maintenance_skip",
        "maintenance_undo",
    ]


async def test_an_alert_tells_of_maintenance_of_its_gateways_that_is_near(site: Site) -> None:
    site.world.goes("offline", "a", "c")
    await site.until(site.world.now + 7 * MINUTE)
    await site.plan()
    await site.plan("tag:oslo 2026-05-20 09:00-10:00 because it is far")
    by_site = {one.site: one for one in await site.world.live()}
    assert [one.title for one in await site.service.of_incident(by_site["Oslo"].id)] == ["M-1"]
    assert await site.service.of_incident(by_site["Bergen"].id) == []
    assert [one.title for one in await site.service.at_site("Oslo")] == ["M-1"]
    assert await site.service.at_site("Bergen") == []


async def test_the_cards_of_alerts_are_drawn_again_when_a_window_opens(site: Site) -> None:
    site.world.goes("offline", "a")
    await site.until(site.world.now + 7 * MINUTE)
    await site.minute(2)
    await site.plan()
    wanted = select(func.sum(cards.c.wanted)).where(cards.c.kind == "incident")
    before = (await site.world.rows(wanted))[0][0]
    site.world.now = NINE
    await site.service.tick()
    assert (await site.world.rows(wanted))[0][0] > before


async def test_a_gateway_in_such_an_alert_knows_it(site: Site) -> None:
    await site.plan()
    await site.until(NINE)
    site.world.goes("offline", "a")
    await site.until(TEN)
    async with site.world.database.read() as connection:
        number = await incidents.live_incident_of(connection, GatewayId("a"))
    assert number == (await site.world.only_incident()).id


async def test_what_was_held_between_two_moments_is_known_afterwards(site: Site) -> None:
    title = await site.plan()
    await site.until(NINE + HOUR / 2)
    assert await held_between(site, START, TEN) == {"a": [(NINE, TEN)], "b": [(NINE, TEN)]}
    assert await held_between(site, START, TEN, {"b", "z"}) == {"b": [(NINE, TEN)]}
    await site.service.end(ANA, title, "C0OPS")
    assert (await held_between(site, START, TEN))["a"] == [(NINE, NINE + HOUR / 2)]
    assert await held_between(site, TEN, TEN + HOUR) == {}


async def held_between(site: Site, begins: datetime, ends: datetime, wanted: set[str] | None = None) -> Held:
    return by_gateway(await site.service.held_between(begins, ends), wanted)


# ---- a process that dies, and a clock that is set back


class Killed(Exception):
    """The process ends here."""


async def dies() -> None:
    raise Killed


async def test_a_process_that_dies_before_any_transaction_announces_opens_and_closes_a_window_once(
    database_url: str,
) -> None:
    """It dies a transaction later each time, and another goes on."""
    database = Interleaved.open(database_url)
    gateways = ["Oslo/a", "Oslo/b", *voss(30)]
    site = Site(await World.begin(database, *gateways, rules=alert_rules(startup_listings=0)))
    await site.world.subscribe("C0OSLO", "tag:oslo")
    await site.plan()
    for moment in (NINE - HOUR / 2, NINE, TEN):
        await site.until(moment - MINUTE)
        site.world.now = moment
        await site.world.listing()
        deaths = 0
        for transaction in range(30):
            database.before(transaction, dies)
            with suppress(Killed):
                await site.service.tick()
            if not database.has_acted():
                break
            deaths += 1
            site.service = site.replica()
        assert deaths > 1
        await site.world.engine.tick()
        site.world.goes("offline", *(["a"] if moment == NINE else []))
    assert await site.told(SOON) == ["C0OSLO", "C0ALERTS"]
    incident = await site.world.only_incident()
    assert (incident.kind, incident.tally.down) == (IncidentKind.MAINTENANCE, 1)
    assert len(await site.world.rows(select(cards).where(cards.c.kind == "incident"))) == 2  # in two channels
    await database.close()


async def test_a_clock_that_is_set_back_an_hour_announces_opens_and_closes_a_window_once(site: Site) -> None:
    await site.plan("tag:oslo mon 09:00-10:00 weekly because of patches")
    for moment in (NINE - HOUR / 4, NINE + HOUR / 4, TEN + HOUR / 4):
        await site.until(moment)
        site.world.goes("offline", *(["a"] if NINE < moment < TEN else []))
        site.world.now -= HOUR
        await site.minute(2)
        await site.until(moment)
    assert await site.told(SOON) == ["C0ALERTS"]
    incident = await site.world.only_incident()
    assert (incident.kind, incident.tally.down) == (IncidentKind.MAINTENANCE, 1)
    (window, _) = await site.service.shown("M-1")
    assert window.opening is not None
    assert window.opening.begins == NINE + 7 * DAY
