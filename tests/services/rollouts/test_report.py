"""What a rollout's report tells besides its own course."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from bot.domain.gateways import GatewayId
from bot.domain.rollouts.events import AlertOutgrown, MoreAlerts, Person
from bot.domain.rollouts.lifecycle import RolloutState
from bot.storage.db.tables import incident_gateways, incidents
from bot.storage.rollouts.alerts_meanwhile import MOST
from tests.worlds.rollouts import MINUTE, World, world


async def test_a_report_tells_which_alerts_touched_it_while_it_ran_and_who_acknowledged_them(
    database_url: str,
) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        mine = next(iter(it.portal.devices))
        await alert(it, GatewayId(mine), dark_since=it.clock.now() + MINUTE, taken_by="U0OTTO")
        await alert(it, GatewayId(mine), dark_since=it.clock.now() - timedelta(days=1), taken_by="U0EARLY")
        await alert(it, GatewayId("elsewhere"), dark_since=it.clock.now() + MINUTE, taken_by="U0OTHER")
        await it.comes_to(rollout_id, RolloutState.FINISHED)
        told = [(one.event.kind, one.by and one.by.user_id) for one in await it.rollouts.timeline(rollout_id)]
        assert told == [
            *[("requested", "U0OLGA"), ("approved", "U0PAUL"), ("started", None)],
            *[("alert", None), ("acknowledged", "U0OTTO"), ("finished", None)],
        ]


@pytest.mark.on_both
async def test_a_report_tells_that_an_acknowledgement_ended_since_the_alert_outgrew_it(
    database_url: str,
) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        went = it.clock.now()
        outgrown: dict[str, Any] = {
            "lapsed_by": "U0OTTO",
            "lapsed_name": "Otto",
            "lapsed_given_at": went,
            "lapsed_gateways": 1,
            "lapsed_more": 4,
            "lapsed_at": went + MINUTE,
        }
        await alert(it, GatewayId(next(iter(it.portal.devices))), dark_since=went, **outgrown)
        _, taken, ended = (await it.rollouts.timeline(rollout_id))[-3:]
        assert (taken.event.kind, taken.by, taken.at) == ("acknowledged", Person("U0OTTO", "Otto"), went)
        assert (ended.by, ended.at) == (None, went + MINUTE)
        assert isinstance(ended.event, AlertOutgrown)
        assert (ended.event.had_by, ended.event.count) == ("U0OTTO", 4)


@pytest.mark.on_both
async def test_of_very_many_alerts_a_report_tells_the_first_and_how_many_more(database_url: str) -> None:
    async with world(database_url) as it:
        rollout_id = await it.running()
        mine = GatewayId(next(iter(it.portal.devices)))
        for _ in range(MOST + 2):
            await alert(it, mine, dark_since=it.clock.now())
        *_, last = await it.rollouts.timeline(rollout_id)
        assert (await it.events(rollout_id)).count("alert") == MOST
        assert last.event == MoreAlerts(2)


async def alert(
    it: World, gateway: GatewayId, *, dark_since: datetime, taken_by: str | None = None, **more: Any
) -> None:
    """One that is over: a gateway was dark, and somebody may have acknowledged it."""
    row = {
        "kind": "offline",
        "site": "oslo",
        "site_folded": "oslo",
        "state": "resolved",
        "version": 1,
        "opened_at": dark_since,
        "post_at": dark_since,
        "acknowledged_by": taken_by,
        "acknowledged_at": dark_since if taken_by else None,
        "resolved_at": dark_since + MINUTE,
        "reminded": 0,
        **more,
    }
    async with it.database.write() as connection:
        made = await connection.execute(insert(incidents).values(row).returning(incidents.c.id))
        await connection.execute(
            insert(incident_gateways).values(
                incident_id=made.scalar_one(),
                gateway_id=gateway,
                kind="offline",
                label=gateway,
                joined_at=dark_since,
                offline_since=dark_since,
                left_at=dark_since + MINUTE,
                left_as="back",
            )
        )
