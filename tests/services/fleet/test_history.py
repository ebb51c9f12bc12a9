"""Reports out of a real database: what listings left there is what counts."""

from collections.abc import AsyncIterator, Collection
from datetime import datetime, timedelta

import pytest
from sqlalchemy import insert

from bot.domain.errors import NotFound
from bot.domain.fleet.availability import WorstBy
from bot.domain.fleet.timeline import AlertsHeld, GatewayChanged, JoinedAlert, TakenAlong
from bot.domain.gateways import FleetEventKind, Held
from bot.domain.incident_kinds import IncidentKind
from bot.domain.query import EVERYTHING, parse
from bot.services.context import Context
from bot.services.fleet.history import HistoryService
from bot.storage.db.tables import incident_gateways, incidents, rollout_targets, rollouts
from tests.worlds.fleet import MINUTE, World, world

HOUR, DAY = timedelta(hours=1), timedelta(days=1)

pytestmark = pytest.mark.on_both


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """One gateway in Oslo, two in Bergen, seen for the first time; their names are odd, or there is none."""
    async with world(database_url, page_size=10) as made:
        made.device("a", labels=["oslo"], friendly_name='"],["\\\n')
        made.device("b", labels=["Bergen"], friendly_name=None)
        made.device("c", labels=["Bergen"])
        await made.taken()
        yield made


def history(fleet: World, planned: Held | None = None, seen_within: timedelta = DAY) -> HistoryService:
    async def work(begins: datetime, ends: datetime, wanted: Collection[str] | None) -> Held:
        return {id_: held for id_, held in (planned or {}).items() if wanted is None or id_ in wanted}

    return HistoryService(Context(fleet.database, fleet.now), held=work, unseen_after=seen_within)


async def goes(fleet: World, id_: str, *, online: bool | None) -> None:
    device = fleet.portal.device(id_)
    device.connected, device.changed_at = online, fleet.now()
    await fleet.taken()


async def shares(service: HistoryService, query: str = "") -> dict[str, float | None]:
    report = await service.availability(parse(query) if query else EVERYTHING, DAY)
    return {one.site: one.uptime.share for one in report.sites}


async def test_a_site_is_available_while_its_gateways_are_online(fleet: World) -> None:
    start = fleet.now()
    await goes(fleet, "b", online=False)
    fleet.later(HOUR - MINUTE)
    await goes(fleet, "b", online=True)
    fleet.later(HOUR - MINUTE)
    await fleet.taken()
    found = await shares(history(fleet))
    known = (fleet.now() - start) / HOUR
    assert found["oslo"] == 1
    assert found["Bergen"] == pytest.approx(1 - 1 / (2 * known), abs=0.01)
    assert await shares(history(fleet), "tag:oslo") == {"oslo": 1}
    assert list(found) == ["Bergen", "oslo"], "the worst comes first"


async def test_planned_work_and_time_without_polls_do_not_count(fleet: World) -> None:
    since = fleet.now()
    await goes(fleet, "b", online=False)
    fleet.later(HOUR)
    await goes(fleet, "b", online=True)
    planned = {"b": [(since - MINUTE, since + 2 * HOUR)]}
    assert (await shares(history(fleet, planned)))["Bergen"] == 1
    report = await history(fleet, seen_within=5 * MINUTE).availability(EVERYTHING, DAY)
    assert report.whole.uptime.offline <= 2 * MINUTE
    assert report.unseen == pytest.approx(DAY - (fleet.now() - since) + HOUR, abs=3 * MINUTE)


async def test_what_is_unknown_or_gone_does_not_count(fleet: World) -> None:
    await goes(fleet, "a", online=None)
    gone = fleet.portal.devices.pop("b")
    for _ in range(3):
        await fleet.taken()
    fleet.later(HOUR)
    fleet.portal.add_device(gone)
    await fleet.taken()
    fleet.later(HOUR)
    found = {one.site: one for one in (await history(fleet).availability(EVERYTHING, 4 * HOUR)).sites}
    assert found["oslo"].uptime.online <= 2 * MINUTE
    assert found["Bergen"].uptime.online == pytest.approx(3 * HOUR, abs=10 * MINUTE)


async def test_the_worst_gateways_are_named_with_what_they_did(fleet: World) -> None:
    await goes(fleet, "a", online=False)
    fleet.later(HOUR)
    for online in (False, True, False, True):
        await goes(fleet, "c", online=online)
    longest, total = await history(fleet).worst(EVERYTHING, DAY, WorstBy.LONGEST)
    assert ([one.id for one in longest], total) == (["a", "c"], 2)
    (often, *_), _ = await history(fleet).worst(EVERYTHING, DAY, WorstBy.OFTEN)
    assert (often.id, often.uptime.outages, often.uptime.flapping) == ("c", 2, 1)
    assert [one.id for one in (await history(fleet).worst(EVERYTHING, DAY, WorstBy.FLAPPING))[0]] == ["c"]


async def test_who_asks_for_nobody_is_told(fleet: World) -> None:
    with pytest.raises(NotFound, match="No gateway matches “tag:nowhere”"):
        await history(fleet).availability(parse("tag:nowhere"), DAY)


async def test_alerts_rollouts_and_silences_stand_on_the_same_line_of_time(fleet: World) -> None:
    await goes(fleet, "b", online=False)
    now = fleet.now()
    async with fleet.database.write() as connection:
        one = {"id": 7, "kind": "offline", "site": "Bergen", "site_folded": "bergen", "state": "open"}
        await connection.execute(insert(incidents).values(**one, opened_at=now, post_at=now))
        member = {"incident_id": 7, "kind": "offline", "label": "b", "joined_at": now, "offline_since": now}
        await connection.execute(insert(incident_gateways).values(gateway_id="b", **member))
    fleet.later(HOUR)
    planned = {"b": [(now + MINUTE, now + HOUR)], "c": [(now + MINUTE, now + HOUR)]}
    told = await history(fleet, planned).timeline("Bergen", ["b", "c"], DAY, is_site=True)
    assert not told.is_cut
    silenced, alert, change = told.happenings
    assert silenced == AlertsHeld(now + MINUTE, now + HOUR, 2)
    assert alert == JoinedAlert(now, 7, IncidentKind.OFFLINE, "Bergen", 1)
    assert isinstance(change, GatewayChanged)
    assert (change.event.kind, change.event.gateway_id) == (FleetEventKind.WENT_OFFLINE, "b")


async def test_a_rollout_stands_where_it_began_on_the_first_of_the_gateways(fleet: World) -> None:
    started = fleet.now()
    target = {"label": "a", "site": "oslo", "cls": "eligible", "wave": 1, "state": "verified"}
    async with fleet.database.write() as connection:
        await connection.execute(insert(rollouts).values(**rollout_row(started)))
        values = {"rollout_id": 3, "gateway_id": "a", "started_at": started, **target}
        await connection.execute(insert(rollout_targets).values(values))
    told = await history(fleet).timeline("a", ["a"], DAY, is_site=False)
    assert told.happenings == [TakenAlong(started, 3, "3.5.0", 1)]


def rollout_row(at: datetime) -> dict[str, object]:
    return {
        "id": 3,
        "uid": "u",
        "state": "done",
        "requester": "U1",
        "requester_name": "Ana",
        "query": "tag:oslo",
        "model": "2011",
        "firmware_id": "fw",
        "firmware_version": "3.5.0",
        "plan_hash": "h",
        "planned": 1,
        "approvals_needed": 1,
        "downgrades": 0,
        "created_at": at,
        "expires_at": at,
        "wave": 1,
        "reminded": False,
        "wait_seconds": 0,
    }
