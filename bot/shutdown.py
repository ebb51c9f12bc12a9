"""How the bot ends: it takes no new work, lets what runs finish, and only then lets go of Slack."""

import asyncio
import contextlib
import logging
from datetime import timedelta

from bot.domain.errors import Unavailable
from bot.scheduler import Scheduler
from bot.services.audit import AuditService
from bot.slack.incoming.connection import SlackApp
from bot.slack.outgoing.publisher import Publisher

log = logging.getLogger(__name__)

DRAIN = timedelta(seconds=20)  # of what people asked for and of what runs by itself
LAST_CALLS = timedelta(seconds=4)  # of the publisher, after that


async def finish_work(
    slack: SlackApp, scheduler: Scheduler, publisher: Publisher, audit: AuditService
) -> None:
    """What is not done in time is cancelled; leases and the outbox remember it."""
    log.info("stopping")
    scheduler.pause()
    slack.stop_accepting()
    await asyncio.gather(slack.drain(DRAIN.total_seconds()), scheduler.shutdown(DRAIN))
    await publisher.stop(LAST_CALLS)
    with contextlib.suppress(Unavailable):  # the log has each of them
        await audit.catch_up(at_end=True)
