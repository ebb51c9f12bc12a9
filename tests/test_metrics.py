"""What Prometheus reads, of the whole bot."""

from pathlib import Path

from bot.domain.access import Role
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


async def test_a_scrape_asks_nobody(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        asked, told = len(made.portal.requests), len(made.slack.calls)
        assert {metric.name for metric in made.app.metrics.collect()} > {
            "meshbot_cards_waiting",
            "meshbot_ticks",
        }
        assert (len(made.portal.requests), len(made.slack.calls)) == (asked, told)
