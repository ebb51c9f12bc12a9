"""How the bot fares: whether it is ready, as ``/readyz`` answers, and what ``status`` tells people."""

import bot
from bot.domain.errors import Unavailable
from bot.domain.query import EVERYTHING
from bot.slack.home.views.status import OpenWork, Status
from bot.web import Readiness
from bot.wiring.alerts import Alerts
from bot.wiring.fleet import Fleet
from bot.wiring.ground import Ground
from bot.wiring.rollouts import Rollouts
from bot.wiring.slack import Slack


class Health:
    """Asks each part. ``is_stopping``: the bot takes no new work, and so is not ready."""

    def __init__(
        self, ground: Ground, fleet: Fleet, rollouts: Rollouts, alerts: Alerts, slack: Slack
    ) -> None:
        self._ground = ground
        self._fleet = fleet
        self._rollouts = rollouts
        self._alerts = alerts
        self._slack = slack
        self.is_stopping = False

    async def readiness(self) -> Readiness:
        """The database, which must take changes too, and Slack decide; trouble with the vendor is told."""
        parts: dict[str, object] = {}
        try:
            await self._ground.database.check()
            since = self._ground.database.unwritable_since
            parts["database"] = f"takes no changes since {since:%Y-%m-%d %H:%M:%S} UTC" if since else "ok"
            snapshot = await self._fleet.gateways.snapshot_status()
            as_of = snapshot.as_of
            age = None if as_of is None else int((self._ground.now() - as_of).total_seconds())
            parts["fleet"] = {"age_seconds": age, "failures": snapshot.consecutive_failures}
        except Unavailable as error:
            parts["database"] = str(error)
        is_connected = await self._slack.app.ready()
        parts["slack"] = "ok" if is_connected else self._ground.api.refused or "not connected"
        parts["meshtech"] = self._ground.client.auth_status().state.value
        if self.is_stopping:
            parts["stopping"] = True
        return Readiness(is_connected and parts["database"] == "ok" and not self.is_stopping, parts)

    async def status(self) -> Status:
        log_in = self._ground.client.auth_status()
        backlog = await self._slack.publisher.backlog()
        return Status(
            version=bot.__version__,
            unwritable_since=self._ground.database.unwritable_since,
            counts=await self._fleet.gateways.counts(EVERYTHING),
            snapshot=await self._fleet.gateways.snapshot_status(),
            log_in=log_in.state.value,
            log_in_since=log_in.since,
            log_in_next_try=log_in.next_try,
            log_in_error=log_in.last_error,
            poll_every=self._ground.settings.fleet.poll_every,
            sockets=await self.sockets(),
            token_refused=self._ground.api.refused,
            cards_waiting=backlog.waiting,
            work=await self._work(),
            cards_broken=backlog.broken,
            roles=self._ground.people.faults(),
        )

    async def sockets(self) -> int | None:
        """How many are open; None in HTTP mode."""
        return await self._slack.app.connected_count() if self._ground.settings.slack.app_token else None

    async def _work(self) -> OpenWork:
        alerts, unacknowledged = await self._alerts.incidents.count_open()
        return OpenWork(
            alerts,
            unacknowledged,
            await self._rollouts.requests.count_going_on(),
            await self._alerts.silences.count_active(),
            await self._rollouts.freezes.standing(),
            await self._fleet.policies.states(),
        )
