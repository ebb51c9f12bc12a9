"""What Prometheus reads, of the whole bot."""

from datetime import timedelta
from pathlib import Path

from bot.domain.access import Role
from bot.storage.cards.outbox import Backlog
from tests.system.test_access import house, person
from tests.worlds.house import House

OTTO = person(Role.OPERATOR, "member")


def value(made: House, name: str) -> float:
    (only,) = [
        sample.value
        for metric in made.app.metrics.collect()
        for sample in metric.samples
        if sample.name == name
    ]
    return float(only)


async def test_a_log_in_that_meshtech_refuses_is_seen_in_the_metrics(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.command(OTTO, "firmware")
        assert value(made, "meshbot_meshtech_logged_in") == 1
        made.portal.password = "another"
        made.portal.revoke_tokens()
        await made.command(OTTO, f"rename {next(iter(made.portal.devices))} Roof")
        assert value(made, "meshbot_meshtech_logged_in") == 0


async def test_a_token_that_slack_refuses_is_seen_in_the_metrics_and_makes_the_bot_not_ready(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as made:
        assert value(made, "meshbot_slack_token_valid") == 1
        made.slack.faults.fail("*", "account_inactive", times=100)
        await made.app.slack.people.actor(OTTO)
        assert value(made, "meshbot_slack_token_valid") == 0
        async with made.api.session.get(f"http://127.0.0.1:{made.app.port}/readyz") as answer:
            assert answer.status == 503
            assert "(account_inactive): the app was removed" in (await answer.json())["parts"]["slack"]
        made.slack.faults.clear()


async def test_a_scrape_asks_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        asked, told = len(made.portal.requests), len(made.slack.calls)
        assert {metric.name for metric in made.app.metrics.collect()} > {
            "meshbot_cards_waiting",
            "meshbot_ticks",
        }
        assert (len(made.portal.requests), len(made.slack.calls)) == (asked, told)


async def test_in_http_mode_there_is_no_metric_of_sockets(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        made.app.metrics.measured(Backlog(0, None, 0), None, None)
        names = {metric.name for metric in made.app.metrics.collect()}
    assert "meshbot_slack_sockets" not in names


async def test_a_tick_that_hangs_in_its_first_run_ages_from_the_start(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        scheduler = made.app.scheduler
        scheduler.started = made.app.clock.now() - timedelta(hours=1)
        scheduler.ticks["prune"].last_run = None
        ages = {
            sample.labels["tick"]: sample.value
            for metric in made.app.metrics.collect()
            for sample in metric.samples
            if sample.name == "meshbot_tick_age_seconds"
        }
    assert ages.keys() == scheduler.ticks.keys()
    assert ages["prune"] >= 3600
