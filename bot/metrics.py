"""What Prometheus reads, gathered when it asks: nothing is counted twice, and nothing is kept here."""

from collections.abc import Callable, Iterator
from datetime import datetime

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from bot.meshtech.auth import AuthState
from bot.meshtech.client import MeshtechClient
from bot.scheduler import Scheduler
from bot.slack.outgoing.publisher import Publisher
from bot.slack.outgoing.web_api import WebApi
from bot.storage.cards.outbox import Backlog
from bot.storage.db.engine import Database


class BotMetrics(Collector):
    """Requests to the vendor, cards that wait, and how the ticks go.

    What only the database knows is handed over by ``measured`` from time to time: a scrape waits for nothing.
    """

    def __init__(
        self,
        client: MeshtechClient,
        api: WebApi,
        publisher: Publisher,
        scheduler: Scheduler,
        now: Callable[[], datetime],
        database: Database,
    ) -> None:
        self._client = client
        self._api = api
        self._publisher = publisher
        self._scheduler = scheduler
        self._now = now
        self._database = database
        self._backlog = Backlog(0, None, 0)
        self._as_of: datetime | None = None
        self._sockets: int | None = None

    def measured(self, backlog: Backlog, as_of: datetime | None, sockets: int | None) -> None:
        """``as_of`` is when the last completed listing was; in HTTP mode there are no sockets."""
        self._backlog, self._as_of, self._sockets = backlog, as_of, sockets

    def collect(self) -> Iterator[Metric]:
        yield from self._vendor()
        yield from self._slack()
        yield from self._ticks()
        writable = self._database.unwritable_since is None
        yield GaugeMetricFamily(
            "meshbot_database_writable", "0 while the database takes no changes", int(writable)
        )
        if self._as_of is not None:
            age = (self._now() - self._as_of).total_seconds()
            yield GaugeMetricFamily("meshbot_listing_age_seconds", "Age of the last completed poll", age)

    def _vendor(self) -> Iterator[Metric]:
        requests = CounterMetricFamily(
            "meshbot_meshtech_requests", "Requests to Meshtech", labels=["operation", "outcome"]
        )
        for (operation, outcome), number in self._client.counters.requests.items():
            requests.add_metric([str(operation), str(outcome)], number)
        yield requests
        bad = self._client.auth_status().state in {AuthState.REFUSED, AuthState.UNREACHABLE}
        yield GaugeMetricFamily(
            "meshbot_meshtech_logged_in", "0 while the log-in is refused or not answered", 0 if bad else 1
        )

    def _slack(self) -> Iterator[Metric]:
        if self._sockets is not None:
            yield GaugeMetricFamily("meshbot_slack_sockets", "Open connections to Slack", self._sockets)
        taken = self._api.refused is None
        yield GaugeMetricFamily(
            "meshbot_slack_token_valid", "0 while Slack refuses the bot token", int(taken)
        )
        waiting, broken = self._backlog.waiting, self._backlog.broken
        yield GaugeMetricFamily(
            "meshbot_cards_waiting", "Cards and notes that Slack does not show yet", waiting
        )
        yield GaugeMetricFamily("meshbot_cards_broken", "Cards and notes that Slack refuses", broken)
        calls = CounterMetricFamily("meshbot_slack_messages", "Messages sent to Slack", labels=["kind"])
        calls.add_metric(["post"], self._publisher.sender.posts)
        calls.add_metric(["edit"], self._publisher.sender.edits)
        calls.add_metric(["rejected"], self._publisher.sender.rejected)
        yield calls

    def _ticks(self) -> Iterator[Metric]:
        runs = CounterMetricFamily("meshbot_ticks", "Ticks that have run", labels=["tick", "outcome"])
        age = GaugeMetricFamily(
            "meshbot_tick_age_seconds",
            "Seconds since the last finished run of a tick began, or since the start",
            labels=["tick"],
        )
        interval = GaugeMetricFamily(
            "meshbot_tick_interval_seconds", "Seconds from one run of a tick to the next", labels=["tick"]
        )
        failing = GaugeMetricFamily(
            "meshbot_tick_failing", "1 while the last run of a tick failed", labels=["tick"]
        )
        now = self._now()
        for name, state in self._scheduler.ticks.items():
            runs.add_metric([name, "failed"], state.failures)
            runs.add_metric([name, "done"], state.runs - state.failures)
            interval.add_metric([name], state.every.total_seconds())
            failing.add_metric([name], int(state.last_error is not None))
            if (since := state.last_run or self._scheduler.started) is not None:
                age.add_metric([name], max((now - since).total_seconds(), 0))
        yield from (runs, age, interval, failing)
