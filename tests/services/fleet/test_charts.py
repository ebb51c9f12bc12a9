"""Charts out of a real database: what listings left there is what is drawn."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from bot.domain.errors import NotFound
from bot.domain.fleet.charts import DEFAULT_PERIOD
from bot.domain.query import EVERYTHING, parse
from bot.services.context import Context
from bot.services.fleet.charts import ChartService
from tests.worlds.fleet import MINUTE, World, world

HOUR = timedelta(hours=1)


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Two gateways at two sites, of two models; both seen for the first time."""
    async with world(database_url) as made:
        made.device("a", labels=["oslo"], firmware="3.4.1")
        made.device("b", labels=["Bergen"], model="2012", firmware="3.5.0")
        await made.taken()
        yield made


def charts(fleet: World) -> ChartService:
    return ChartService(Context(fleet.database, fleet.now))


async def goes(fleet: World, id_: str, *, online: bool) -> None:
    device = fleet.portal.device(id_)
    device.connected, device.changed_at = online, fleet.now()
    await fleet.taken()


async def test_an_outage_is_drawn_where_and_when_it_was(fleet: World) -> None:
    fleet.later(2 * HOUR)
    await goes(fleet, "b", online=False)
    fleet.later(HOUR - MINUTE)
    await goes(fleet, "b", online=True)
    fleet.later(HOUR - MINUTE)

    drawn = await charts(fleet).offline(EVERYTHING, DEFAULT_PERIOD)

    assert drawn.whole.mean == pytest.approx(0.5 / 4, abs=0.01)
    assert (drawn.whole.gateways, drawn.whole.offline, drawn.is_shortened) == (2, 0, True)
    (bergen,) = drawn.worst
    assert (bergen.name, bergen.peak()[0]) == ("Bergen", 1.0)
    assert drawn.edges[bergen.peak()[1]] - drawn.begins == pytest.approx(2 * HOUR, abs=5 * MINUTE)


@pytest.mark.on_both
async def test_a_query_draws_its_gateways_only(fleet: World) -> None:
    fleet.later(HOUR)
    await goes(fleet, "b", online=False)
    drawn = await charts(fleet).offline(parse("tag:oslo"), HOUR)
    assert (drawn.whole.gateways, drawn.whole.mean, drawn.sites) == (1, 0.0, 1)


@pytest.mark.on_both
async def test_what_happened_before_the_period_is_not_read_and_what_it_led_to_is_drawn(fleet: World) -> None:
    await goes(fleet, "b", online=False)
    fleet.later(5 * HOUR)
    drawn = await charts(fleet).offline(EVERYTHING, HOUR)
    assert (set(drawn.whole.shares), drawn.is_shortened) == ({0.5}, False)


@pytest.mark.on_both
async def test_firmware_is_counted_by_model_and_version(fleet: World) -> None:
    drawn = await charts(fleet).firmware(EVERYTHING)
    shown = {(model.model, one.version, one.gateways) for model in drawn.models for one in model.versions}
    assert shown == {("2011", "3.4.1", 1), ("2012", "3.5.0", 1)}


@pytest.mark.on_both
async def test_nothing_to_draw_is_said(fleet: World) -> None:
    nobody = parse("tag:nowhere")
    with pytest.raises(NotFound, match="No gateway matches"):
        await charts(fleet).offline(nobody, HOUR)
    with pytest.raises(NotFound, match="No gateway matches"):
        await charts(fleet).firmware(nobody)


async def test_a_fleet_that_was_seen_just_now_has_no_past(database_url: str) -> None:
    async with world(database_url, "a") as made:
        await made.taken()
        with pytest.raises(NotFound, match="less than a minute"):
            await charts(made).offline(EVERYTHING, HOUR)
