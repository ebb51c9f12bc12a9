"""Whose alerts are held, and for how long."""

from collections.abc import AsyncIterator, Sequence
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import select

from bot.domain.access import Action, Actor, Role, require_within
from bot.domain.alerts.silences import ReasonMissing
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale, Unconfirmed
from bot.domain.incident_kinds import IncidentId
from bot.domain.query import Query
from bot.services.alerts.held_gateways import by_gateway
from bot.services.alerts.silences import SilenceService
from bot.services.context import Context
from bot.slack import ids
from bot.slack.alerts.views.silences import card
from bot.storage.db.engine import Database
from bot.storage.db.tables import cards
from bot.storage.fleet import search
from tests.slack.shown import buttons
from tests.worlds.alerts import ANA, BEN, MINUTE, World
from tests.worlds.builders import alert_rules, limited, parsed
from tests.worlds.databases import sqlite_url


class Room:
    """A world whose alerts can be silenced."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.matched: list[str] = []
        self.service = SilenceService(
            Context(world.database, lambda: world.now),
            understand=parsed,
            matching=self._matching,
            within=self._within,
            channel="C0ALERTS",
            zone=ZoneInfo("UTC"),
        )
        world.silenced = self.service.silenced
        world.restart()

    async def _matching(self, query: Query) -> Sequence[str]:
        self.matched.append(query.text)
        async with self.world.database.read() as connection:
            return await search.ids(connection, query, self.world.now)

    async def _within(self, actor: Actor, action: Action, gateways: Sequence[str]) -> None:
        known = [self.world.known[one] for one in gateways]
        require_within(actor, action, known, self.world.now)

    async def silence(self, text: str, actor: Actor = ANA, seen: int | None = None) -> str:
        made, _ = await self.service.silence(actor, text, "C0OPS", seen)
        return made.title

    async def told(self, kind: str) -> list[str]:
        """Where this was said."""
        return [note.channel for note in await self.world.notes() if note.kind == kind]

    async def incident_ends_in(self, length: timedelta) -> None:
        incident = await self.world.only_incident()
        await self.service.silence_incident(ANA, incident.id, self.world.now + length, None, "C0ALERTS")


def voss(many: int) -> list[str]:
    """Gateways of which nothing is heard, so that a site is a small part of the fleet."""
    return [f"Voss/v{number}" for number in range(many)]


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    database = Database.open(sqlite_url(tmp_path))
    world = await World.begin(
        database, "Oslo/a", "Oslo/b", "Bergen/c", *voss(30), rules=alert_rules(startup_listings=0)
    )
    yield Room(world)
    await database.close()


async def test_a_silenced_gateway_opens_no_incident(room: Room) -> None:
    await room.silence("tag:oslo for 1h")
    room.world.goes("offline", "a", "c")
    await room.world.passes(7)
    assert [one.site for one in await room.world.live()] == ["Bergen"]


async def test_who_is_limited_to_a_part_of_the_fleet_silences_no_other(room: Room) -> None:
    olav = limited(ANA, "tag:oslo")
    with pytest.raises(NotAllowed, match="silence alerts only among the gateways of “tag:oslo”"):
        await room.silence("tag:oslo,bergen for 1h", olav)
    assert await room.silence("tag:oslo for 1h", olav) == "S-1"
    room.world.goes("offline", "c")
    await room.world.passes(7)
    incident = await room.world.only_incident()
    with pytest.raises(NotAllowed):
        await room.service.silence_incident(olav, incident.id, room.world.now + 9 * MINUTE, None, None)


async def test_what_is_still_dark_when_a_silence_ends_is_told_of(room: Room) -> None:
    await room.silence("tag:oslo for 30m")
    room.world.goes("offline", "a")
    await room.world.passes_quickly(minutes=29, listings=6)
    assert await room.world.live() == []
    await room.world.passes(2)
    assert [one.site for one in await room.world.live()] == ["Oslo"]


async def test_a_silence_that_is_ended_early_silences_no_more(room: Room) -> None:
    title = await room.silence("tag:oslo for 1h")
    room.world.goes("offline", "a")
    await room.world.passes(6)
    await room.service.unsilence(ANA, title, "C0OPS")
    await room.world.passes(1)
    assert len(await room.world.live()) == 1
    assert await room.service.active(ANA) == []
    with pytest.raises(NotFound):
        await room.service.unsilence(ANA, title, "C0OPS")


async def test_of_silences_that_are_alike_the_gateways_are_looked_for_once(room: Room) -> None:
    for _ in range(3):
        await room.silence("tag:oslo for 1h")
    room.matched.clear()
    begins = room.world.now
    held = by_gateway(await room.service.held_between(begins, begins + 60 * MINUTE), {"a", "nowhere"})
    assert (list(held), len(held["a"])) == (["a"], 3)
    assert room.matched == ["tag:oslo"]
    assert await room.service.count_active() == 3


async def test_a_silenced_gateway_does_not_flap_nor_join(room: Room) -> None:
    await room.silence("id:b for 4h")
    for state in ("offline", "online") * 3:
        room.world.goes(state, "b")
        await room.world.passes(2)
    room.world.goes("offline", "a", "b")
    await room.world.passes(7)
    assert (await room.world.only_incident()).tally.down == 1


async def test_a_site_is_silenced_from_the_card_of_its_incident(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    await room.incident_ends_in(timedelta(hours=1))
    room.world.goes("offline", "b")
    await room.world.passes(7)
    incident = await room.world.only_incident()
    assert incident.tally.down == 1
    assert incident.silenced is not None
    assert incident.silenced.user_id == ANA.user_id


async def test_a_site_whose_name_is_a_pattern_silences_its_own_gateways_and_no_others(room: Room) -> None:
    room.world.add("Os*/d")
    await room.world.passes(1)
    room.world.goes("offline", "d")
    await room.world.passes(7)
    await room.incident_ends_in(timedelta(hours=1))
    room.world.goes("offline", "a")
    await room.world.passes(7)
    assert {one.site for one in await room.world.live()} == {"Os*", "Oslo"}


async def test_a_site_knows_the_silences_that_hold_one_of_its_gateways(room: Room) -> None:
    await room.silence("id:a for 1h")
    await room.silence("tag:Bergen for 2h")
    assert [one.title for one in await room.service.at_site("Oslo")] == ["S-1"]
    assert await room.service.at_site('O*s"lo') == []
    room.world.now += timedelta(hours=1)
    assert await room.service.at_site("Oslo") == []


async def test_the_list_of_alerts_says_which_are_silenced_from_their_cards(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    await room.incident_ends_in(timedelta(hours=1))
    (listed,) = (await room.world.alerts.open_incidents()).incidents
    assert listed.silenced is not None
    room.world.now += timedelta(hours=1)
    (listed,) = (await room.world.alerts.open_incidents()).incidents
    assert listed.silenced is None


async def test_a_card_forgets_its_silence_when_that_is_over(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    await room.incident_ends_in(timedelta(hours=1))
    await room.service.tick()
    assert (await room.world.only_incident()).silenced is not None
    wanted = (await room.world.cards())[0].wanted
    room.world.now += timedelta(hours=1)
    assert (await room.world.only_incident()).silenced is None
    await room.service.tick()
    await room.service.tick()
    assert (await room.world.cards())[0].wanted == wanted + 1


async def test_what_is_silenced_while_it_gathers_is_not_posted_before_that_ends(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(5)
    assert await room.world.cards() == []
    await room.silence("tag:oslo for 30m")
    await room.world.passes(5)
    assert await room.world.cards() == []
    room.world.now += 30 * MINUTE
    await room.world.engine.tick()
    assert len(await room.world.cards()) == 1


async def test_what_gathers_is_posted_although_some_of_it_are_silenced(room: Room) -> None:
    room.world.goes("offline", "a", "b")
    await room.world.passes(5)
    await room.silence("id:a for 30m")
    await room.world.passes(1)
    assert len(await room.world.cards()) == 1


async def test_an_incident_that_is_over_cannot_be_silenced(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    incident = await room.world.only_incident()
    room.world.goes("online", "a")
    await room.world.passes(4)
    with pytest.raises(Stale):
        await room.service.silence_incident(ANA, incident.id, room.world.now + MINUTE, None, None)
    with pytest.raises(NotFound):
        await room.service.silence_incident(ANA, IncidentId(99), room.world.now + MINUTE, None, None)


async def test_a_card_is_not_silenced_for_more_than_four_hours_without_a_reason(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    with pytest.raises(InvalidInput, match="reason"):
        await room.incident_ends_in(timedelta(hours=5))


async def test_a_silence_is_announced_once_before_it_ends(room: Room) -> None:
    await room.silence("tag:oslo for 1h")
    room.world.now += 44 * MINUTE
    await room.service.tick()
    assert await room.told("silence_ending") == []
    room.world.now += 2 * MINUTE
    await room.service.tick()
    await room.service.tick()
    assert await room.told("silence_ending") == ["C0ALERTS", ANA.user_id]


async def test_the_end_of_a_silence_is_announced_wherever_a_card_shows_what_it_holds(room: Room) -> None:
    await room.world.subscribe("C0OSLO", "tag:oslo")
    await room.world.subscribe("C0BERGEN", "tag:bergen")
    room.world.goes("offline", "a", "c")
    await room.world.passes(7)
    await room.silence("tag:oslo for 30m")
    room.world.now += 16 * MINUTE
    await room.service.tick()
    assert await room.told("silence_ending") == ["C0ALERTS", "C0OSLO", ANA.user_id]


async def test_a_viewer_silences_nothing_and_sees_what_is_silenced(room: Room) -> None:
    vic = Actor("U0VIC", "Vic", Role.VIEWER)
    await room.silence("tag:oslo for 1h")
    with pytest.raises(NotAllowed):
        await room.service.silence(vic, "tag:oslo for 1h", "C0OPS")
    with pytest.raises(NotAllowed):
        await room.service.unsilence(vic, "S-1", "C0OPS")
    assert [one.title for one in await room.service.active(vic)] == ["S-1"]


# ---- a silence is what its author saw
async def test_a_silence_of_a_state_holds_the_gateways_that_match_as_it_is_made_and_no_others(
    room: Room,
) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(1)
    await room.silence("is:offline for 1h")
    room.world.goes("offline", "c")
    await room.world.passes(7)
    assert [one.site for one in await room.world.live()] == ["Bergen"]
    room.world.goes("online", "a")
    await room.world.passes(1)
    assert await room.service.silenced() == {"a"}, "that it is back makes it no other gateway"


@pytest.mark.parametrize("query", ["is:offline", "-is:online tag:oslo", "for:<1m"])
async def test_a_silence_of_a_state_in_which_nothing_is_is_refused(room: Room, query: str) -> None:
    room.world.now += timedelta(hours=2)
    with pytest.raises(InvalidInput, match="Nothing was silenced"):
        await room.silence(f"{query} for 1h", seen=0)
    assert await room.service.active(ANA) == []


async def test_a_silence_never_holds_more_than_its_author_may_silence(room: Room) -> None:
    olav = limited(ANA, "tag:oslo")
    await room.silence("name:roof* for 2h", olav, seen=0)
    room.world.add("Oslo/d", "Bergen/e", name="Roof")
    await room.world.passes(1)
    assert await room.service.silenced() == {"d"}


async def test_a_silence_from_a_card_never_holds_more_than_its_author_may_silence(room: Room) -> None:
    room.world.goes("offline", "a")
    await room.world.passes(7)
    olav, incident = limited(ANA, "tag:oslo -id:z*"), await room.world.only_incident()
    await room.service.silence_incident(olav, incident.id, room.world.now + 9 * MINUTE, None, None)
    room.world.add("Oslo/z")
    await room.world.passes(1)
    assert await room.service.silenced() == {"a", "b"}


async def test_who_is_limited_ends_only_silences_of_their_own_gateways(room: Room) -> None:
    olav = limited(BEN, "tag:oslo")
    await room.silence("tag:bergen for 1h")
    await room.silence("tag:nowhere for 1h", seen=0)
    await room.silence("tag:oslo for 1h")
    with pytest.raises(NotAllowed, match="touches others"):
        await room.service.unsilence(olav, "S-1", "C0OPS")
    with pytest.raises(NotAllowed, match="S-2 covers no gateway now"):
        await room.service.unsilence(olav, "S-2", "C0OPS")
    await room.service.unsilence(olav, "S-3", "C0OPS")
    assert [one.title for one in await room.service.active(ANA)] == ["S-1", "S-2"]


async def test_a_silence_that_covers_nothing_is_stored_after_a_second_yes_only(room: Room) -> None:
    with pytest.raises(Unconfirmed):
        await room.silence("tag:osol for 1h")
    assert await room.service.active(ANA) == []
    assert await room.silence("tag:osol for 1h", seen=0) == "S-1"


async def test_a_large_silence_is_stored_for_as_many_gateways_as_somebody_said_yes_to(room: Room) -> None:
    with pytest.raises(Unconfirmed) as asked:
        await room.silence("id:v1* for 1h")
    assert (asked.value.covered, asked.value.fleet) == (11, 33)
    room.world.add("Voss/v100")
    await room.world.passes(1)
    with pytest.raises(Unconfirmed):
        await room.silence("id:v1* for 1h", seen=11)
    assert await room.silence("id:v1* for 1h", seen=12) == "S-1"


async def test_more_than_half_of_the_fleet_is_not_silenced_without_a_reason(room: Room) -> None:
    with pytest.raises(ReasonMissing, match="more than half of the fleet"):
        await room.silence("site:voss for 1h", seen=30)
    assert await room.silence("site:voss for 1h because of the mast", seen=30) == "S-1"


# ---- it is said where the alerts are missed
async def shown(room: Room) -> list[tuple[str, int]]:
    """Where its card is wanted, and in which version."""
    async with room.world.database.read() as connection:
        wanted = select(cards.c.channel, cards.c.wanted).where(cards.c.kind == "silence").order_by(cards.c.id)
        return [(channel, version) for channel, version in await connection.execute(wanted)]


async def test_a_silence_is_said_in_the_channels_that_lose_the_alerts(room: Room) -> None:
    await room.world.subscribe("C0OSLO", "tag:oslo")
    await room.world.subscribe("C0BERGEN", "tag:bergen")
    await room.silence("id:a for 1h")
    assert await shown(room) == [("C0OSLO", 1), ("C0ALERTS", 1)]
    await room.service.unsilence(BEN, "S-1", "C0OPS")
    assert await shown(room) == [("C0OSLO", 2), ("C0ALERTS", 2)], "drawn anew, without its button"
    assert await room.told("silence_ended") == ["C0OSLO", "C0ALERTS"]


async def test_the_card_of_a_silence_whose_time_is_up_has_no_button_any_more(room: Room) -> None:
    await room.silence("tag:oslo for 1h because of paint")
    assert ids.SILENCE_END in buttons(card(*await room.service.shown("S-1")))
    room.world.now += timedelta(hours=1)
    await room.service.tick()
    assert await shown(room) == [("C0ALERTS", 2)]
    over = card(*await room.service.shown("S-1"))
    assert buttons(over) == {}
    assert "of paint. It held the alerts of tag:oslo." in over.text


async def test_what_is_down_and_silenced_is_listed_by_silence(room: Room) -> None:
    await room.silence("tag:oslo for 1h")
    await room.silence("tag:bergen for 1h")
    room.world.goes("offline", "a", "v1")
    await room.world.passes(1)
    (held,) = await room.service.down(ANA)
    assert (held.silence.title, held.down, held.first) == ("S-1", 1, ("a",))
