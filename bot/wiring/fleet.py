"""The column of the fleet: its services, and what it listens to in Slack."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from bot.domain.firmware import Firmware
from bot.domain.gateways import MISSED_POLLS
from bot.domain.query import EVERYTHING, Query
from bot.services.fleet.charts import ChartService
from bot.services.fleet.firmware_policy import PolicyService
from bot.services.fleet.history import HeldBetween, HistoryService
from bot.services.fleet.renames_and_tags import FleetWrites
from bot.services.fleet.renames_and_tags_runner import WriteRunner
from bot.services.fleet.search import FleetService
from bot.slack.fleet.charts import ChartListeners, ChartPictures
from bot.slack.fleet.firmware_policy import PolicyListeners
from bot.slack.fleet.history import HistoryCommands
from bot.slack.fleet.renames_and_tags import WriteCommands
from bot.slack.fleet.search import FleetCommands, Mention, SaidOfGateway
from bot.wiring.ground import Ground, Listeners


@dataclass(frozen=True, slots=True)
class Fleet:
    """Reading gateways, changing them, drawing them."""

    gateways: FleetService
    writes: FleetWrites
    runs: WriteRunner
    charts: ChartPictures
    policies: PolicyService

    async def covered(self, query: Query) -> int:
        """How many gateways a query names."""
        return (await self.gateways.counts(query)).total

    async def size(self) -> int:
        return await self.covered(EVERYTHING)

    async def offered_firmware(self) -> Sequence[Firmware]:
        return [one.firmware for one in await self.gateways.firmware()]

    async def tag_names(self) -> Sequence[str]:
        return [one.tag for one in await self.gateways.tags()]


def build_fleet(ground: Ground, *, frozen: Callable[[], Awaitable[Callable[[str], str | None]]]) -> Fleet:
    """``frozen`` is the rollouts'."""
    settings, context = ground.settings, ground.context
    gateways = FleetService(
        context,
        ground.client,
        questions=ground.questions,
        site_tag=settings.fleet.site_tag,
        owner=ground.owner,
        listing_every=settings.fleet.poll_every,
    )
    return Fleet(
        gateways,
        FleetWrites(context),
        WriteRunner(context, ground.peoples_client, owner=ground.owner, site_tag=settings.fleet.site_tag),
        ChartPictures(ChartService(context), now=context.now),
        PolicyService(
            context,
            understand=gateways.query_of,
            within=gateways.require_within,
            frozen=frozen,
            channel=ground.channels.policies,
        ),
    )


def fleet_listeners(
    fleet: Fleet,
    ground: Ground,
    *,
    incident_of: Mention,
    rollout_of: Mention,
    said_of_site: SaidOfGateway,
    held: HeldBetween,
) -> tuple[Listeners, HistoryCommands]:
    """``incident_of``, ``rollout_of`` and ``said_of_site`` say what the other columns have of a gateway.

    ``held`` tells when alerts were held. With the listeners themselves, which the sites ask about a site.
    """
    reading = FleetCommands(
        fleet.gateways,
        ground.modals,
        now=ground.now,
        incident_of=incident_of,
        rollout_of=rollout_of,
        said_of_site=said_of_site,
        policies=fleet.policies.states,
        portal=ground.portal,
    )
    policy = PolicyListeners(fleet.policies, ground.modals, renew=reading.renew)
    writing = WriteCommands(fleet.gateways, fleet.writes, fleet.runs, ground.modals, now=ground.now)
    charts = ChartListeners(fleet.charts, zone=ground.zone, takes=ground.api.newer_blocks.suits)
    unseen_after = MISSED_POLLS * ground.settings.fleet.poll_every
    history = HistoryCommands(
        HistoryService(ground.context, held=held, unseen_after=unseen_after), fleet.gateways, zone=ground.zone
    )
    features = (
        *(reading.feature(), policy.feature(), history.feature()),
        *(charts.feature(), writing.feature()),
    )
    return Listeners(features, {**reading.lists(), **policy.lists(), **history.lists()}), history
