"""Which channels show a rollout."""

import pytest

from bot.domain.errors import InvalidInput
from bot.domain.rollouts.progress import DrawnPlan
from bot.domain.subscriptions import parse_subscription
from bot.services.rollouts.routing import LATELY
from bot.storage import subscriptions
from bot.storage.cards import broken_channels
from tests.worlds.rollouts import NEW, OLGA, World, world


async def subscribe(it: World, channel: str, query: str = "") -> None:
    async with it.database.write() as connection:
        draft = parse_subscription(f"rollouts {query}")
        await subscriptions.add(connection, channel, draft, "U0ANA00001", it.clock.now())


async def broke(it: World, channel: str) -> None:
    async with it.database.write() as connection:
        await broken_channels.record_broken(connection, channel, "is_archived", it.clock.now())


async def test_a_card_goes_to_each_channel_that_subscribed_to_one_of_its_gateways(database_url: str) -> None:
    async with world(database_url, sites=("oslo", "bergen")) as it:
        for channel, query in (("C0OSLO", "tag:oslo"), ("C0BERGEN", "tag:bergen"), ("C0ALL", "")):
            await subscribe(it, channel, query)
        await subscribe(it, "C0ALL", "tag:oslo")
        await it.requested("tag:oslo")
        assert sorted(await it.card_channels()) == ["C0ALL", "C0OSLO", "C0ROLLOUTS"]


async def test_an_admins_only_here_keeps_a_rollout_from_the_default_channel(database_url: str) -> None:
    async with world(database_url) as it:
        await subscribe(it, "C0OSLO", "tag:oslo only here")
        await subscribe(it, "C0ALL")
        await it.requested("tag:oslo")
        assert sorted(await it.card_channels()) == ["C0ALL", "C0OSLO"]


async def test_what_nobody_subscribed_to_goes_to_the_default_channel_or_where_it_was_asked_for(
    database_url: str,
) -> None:
    async with world(database_url, sites=("oslo", "bergen")) as it:
        await subscribe(it, "C0BERGEN", "tag:bergen")
        await it.requested("id:bmac-000000000000")
        it.channel = None
        it.rollouts, _ = it.restarted()
        await it.requested("id:bmac-000000000002")
        assert sorted(await it.card_channels()) == ["C0OPS", "C0ROLLOUTS"]


async def test_a_request_is_refused_where_its_card_could_be_shown_nowhere(database_url: str) -> None:
    async with world(database_url, sites=("oslo", "bergen")) as it:
        it.channel, it.foreign = None, {"C0OPS"}
        it.rollouts, _ = it.restarted()
        drawn = await it.plan("tag:oslo")
        with pytest.raises(InvalidInput, match="/invite"):
            await it.rollouts.request(OLGA, drawn.id)
        await subscribe(it, "C0OSLO", "tag:oslo")
        await it.requested("tag:oslo")
        assert await it.card_channels() == ["C0OSLO"]


async def test_a_request_from_no_channel_is_told_how_to_give_its_card_one(database_url: str) -> None:
    async with world(database_url) as it:
        it.channel = None
        it.rollouts, _ = it.restarted()
        drawn = await it.rollouts.plan(OLGA, None, "tag:oslo", NEW)
        assert isinstance(drawn, DrawnPlan)
        with pytest.raises(InvalidInput, match=r"in a channel that I am in.*MESHBOT_CHANNELS__ROLLOUTS"):
            await it.rollouts.request(OLGA, drawn.id)


@pytest.mark.on_both
async def test_a_rollout_whose_only_channel_broke_is_shown_elsewhere_once(database_url: str) -> None:
    async with world(database_url) as it:
        await subscribe(it, "C0OSLO", "tag:oslo only here")
        await it.requested("tag:oslo")
        assert await it.places.open_again() == 0
        await broke(it, "C0OSLO")
        assert await it.places.open_again() == 1
        assert await it.places.open_again() == 0
        assert sorted(await it.card_channels()) == ["C0OSLO", "C0ROLLOUTS"]


@pytest.mark.on_both
async def test_a_rollout_that_no_channel_can_show_waits_for_one(database_url: str) -> None:
    async with world(database_url) as it:
        await it.requested("tag:oslo")
        for channel in ("C0ROLLOUTS", "C0OPS"):
            await broke(it, channel)
        assert await it.places.open_again() == 0
        await subscribe(it, "C0ALL")
        assert await it.places.open_again() == 1


async def test_an_end_that_was_long_ago_is_not_shown_again(database_url: str) -> None:
    async with world(database_url) as it:
        rollout = await it.requested("tag:oslo")
        await it.rollouts.cancel(OLGA, rollout.id)
        it.clock.advance(LATELY + LATELY)
        await broke(it, "C0ROLLOUTS")
        assert await it.places.open_again() == 0
