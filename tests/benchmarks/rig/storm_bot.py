"""The bot in a process of its own, idle until a line on stdin has it take in a listing: what storms cost.

Moments are those of the monotonic clock, which is one for all processes of a machine.
"""

import asyncio
import gc
import json
import sys
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

from bot.domain.access import Actor
from bot.domain.gateways import ListingResult
from bot.meshtech.client import MeshtechClient
from bot.services.alerts.engine import AlertEngine
from bot.services.alerts.incidents import AlertService
from bot.services.context import Context
from bot.slack.alerts.incidents import AlertListeners
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.web_api import WebApi, new_session
from bot.storage.db.engine import Database
from tests.benchmarks.rig.memory import forget_peak, peak, resident, worked
from tests.benchmarks.rig.portal import PASSWORD, USERNAME
from tests.worlds.builders import PAGING, alert_rules, fleet_service

# Nobody waits for time to pass: the listing that shows the storm opens it. The work is the same.
RULES = alert_rules(
    offline_after=timedelta(),
    offline_listings=1,
    online_after=timedelta(),
    online_listings=1,
    group_wait=timedelta(),
    startup_listings=0,
)


@dataclass
class Report:
    """Megabytes, and the moment at which the listing was complete."""

    idle: float = 0.0
    peak: float = 0.0
    ended: float = 0.0
    worked: float = 0.0  # the processor's time from there on
    evaluated: float = 0.0  # these two: seconds from there on
    opened: float = 0.0
    watched: float = 0.0  # the processor's time for a tick while the storm goes on and nothing changes


async def live(database_url: str, auth_url: str, api_url: str, slack_url: str, channel: str) -> None:
    report, session, database = Report(), new_session(), Database.open(database_url)
    client = MeshtechClient(auth_url, api_url, USERNAME, PASSWORD, now=now, **PAGING)
    fleet = fleet_service(Context(database, now), client)
    engine = AlertEngine(Context(database, now), rules=RULES, default_channel=channel)
    alerts = AlertService(Context(database, now), rules=RULES, default_channel=channel)
    feature = AlertListeners(alerts, no_pause).feature()
    api = WebApi("xoxb-demo", session, base_url=slack_url, command="/mesh")
    await api.call("auth.test")
    publisher = Publisher(
        api, database, feature.cards, feature.notes, owner="bot", edit_every=timedelta(seconds=15), now=now
    )

    async def evaluate(taken: ListingResult) -> None:
        report.ended, began = time.monotonic(), worked()
        await engine.evaluate(taken.listing)
        report.evaluated = time.monotonic() - report.ended
        await engine.tick()
        report.opened = time.monotonic() - report.ended
        await publisher.publish()
        report.worked = worked() - began

    async def watch() -> float:
        began = time.process_time()
        await engine.tick()
        return time.process_time() - began

    fleet.tell(evaluate)
    for _ in range(2):
        await fleet.take_in_listing()
    for _ in range(2):  # an outage of few gateways, and its end: a bot that has lived for a day
        print("next", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        await fleet.take_in_listing()
    gc.collect()
    gc.freeze()  # as `meshbot run` does
    report.idle = resident()
    print("idle", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    forget_peak()
    await fleet.take_in_listing()
    report.peak = peak()
    report.watched = min([await watch() for _ in range(20)])
    print(json.dumps(asdict(report)), flush=True)
    await client.aclose()
    await session.close()
    await database.close()


def now() -> datetime:
    return datetime.now(UTC)


async def no_pause(_: Actor, __: int, ___: int | None, ____: str) -> None:
    """There are no rollouts here."""


if __name__ == "__main__":
    asyncio.run(live(*sys.argv[1:]))
