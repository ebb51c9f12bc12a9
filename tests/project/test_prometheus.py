"""The rules for Prometheus, run by its own promtool: what goes wrong raises its rule, what is well none."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

RULES = Path(__file__).parents[2] / "docs" / "prometheus-alerts.yml"
TICK = 'job="meshbot",tick="{tick}",instance="{instance}"'

Series = dict[str, str]


def well(instance: str = "a", *, sockets: bool = True) -> Series:
    """Three hours of a bot that works, a value each minute."""
    of = f'{{job="meshbot",instance="{instance}"}}'
    series = {
        f"up{of}": "1x180",
        f"meshbot_listing_age_seconds{of}": "30x180",
        f"meshbot_meshtech_logged_in{of}": "1x180",
        f"meshbot_slack_token_valid{of}": "1x180",
        f"meshbot_cards_waiting{of}": "0x180",
        f"meshbot_cards_broken{of}": "0x180",
        f"meshbot_database_writable{of}": "1x180",
    }
    if sockets:
        series[f"meshbot_slack_sockets{of}"] = "2x180"
    for tick, seconds in (("listing", 60), ("prune", 3600)):
        labels = TICK.format(tick=tick, instance=instance)
        series |= {
            f"meshbot_tick_age_seconds{{{labels}}}": f"{seconds // 2}x180",
            f"meshbot_tick_interval_seconds{{{labels}}}": f"{seconds}x180",
            f"meshbot_tick_failing{{{labels}}}": "0x180",
            f'meshbot_ticks_total{{{labels},outcome="failed"}}': "0x180",
        }
    return series


def name(series: Series, metric: str, *labels: str) -> str:
    """The one series of a metric with these labels."""
    (found,) = [one for one in series if one.startswith(metric) and all(label in one for label in labels)]
    return found


def raised(folder: Path, series: Series, at: str, alert: str) -> bool:
    """Whether the rule is raised at that time, by promtool's word."""
    wrong: dict[str, Any] = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": one, "values": values} for one, values in series.items()],
                "alert_rule_test": [{"eval_time": at, "alertname": alert, "exp_alerts": []}],
            }
        ],
    }
    file = folder / "rules-test.yml"
    file.write_text(json.dumps(wrong), encoding="utf-8")  # which is YAML as well
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode == 0:
        return False
    assert f"alertname: {alert}" in done.stdout + done.stderr, done.stdout + done.stderr
    return True


ALERTS = [line.split()[-1] for line in RULES.read_text(encoding="utf-8").splitlines() if "- alert: " in line]
pytestmark = pytest.mark.promtool


@pytest.mark.parametrize("alert", ALERTS)
def test_a_bot_that_works_raises_no_rule(alert: str, tmp_path: Path) -> None:
    assert not raised(tmp_path, well("a") | well("b"), "2h", alert)


@pytest.mark.parametrize("alert", ALERTS)
def test_in_http_mode_no_rule_waits_for_sockets(alert: str, tmp_path: Path) -> None:
    assert not raised(tmp_path, well(sockets=False), "2h", alert)


def test_prometheus_understands_each_question_of_the_dashboard(tmp_path: Path) -> None:
    board = json.loads((RULES.parent / "grafana-dashboard.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    rules = [
        {"record": f"meshbot:{number}", "expr": expr.replace("$__rate_interval", "5m").replace("$job", ".+")}
        for number, expr in enumerate(asked)
    ]
    file = tmp_path / "dashboard.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "check", "rules", str(file)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_tick_that_hangs_raises_its_rule(tmp_path: Path) -> None:
    series = well()
    series[name(series, "meshbot_tick_age_seconds", "listing")] = "30+60x180"

    assert not raised(tmp_path, series, "5m", "MeshbotTickHangs")
    assert raised(tmp_path, series, "15m", "MeshbotTickHangs")


def test_a_replica_whose_target_is_down_raises_its_rule(tmp_path: Path) -> None:
    gone = {one: values.replace("x180", "x60") for one, values in well("b").items()}
    gone[name(gone, "up")] = "1x60 0x120"

    assert not raised(tmp_path, well("a") | gone, "1h", "MeshbotReplicaGone")
    assert raised(tmp_path, well("a") | gone, "1h10m", "MeshbotReplicaGone")
    assert raised(tmp_path, well("a") | gone, "2h50m", "MeshbotReplicaGone")


def test_a_replica_that_is_no_target_any_more_raises_its_rule(tmp_path: Path) -> None:
    gone = {one: values.replace("x180", "x60") for one, values in well("b").items()}

    assert raised(tmp_path, well("a") | gone, "1h15m", "MeshbotReplicaGone")


def test_a_token_that_slack_refuses_raises_its_rule(tmp_path: Path) -> None:
    series = well()
    series[name(series, "meshbot_slack_token_valid")] = "1x30 0x150"

    assert raised(tmp_path, series, "40m", "MeshbotTokenRefused")


def test_an_hourly_tick_that_fails_raises_its_rule(tmp_path: Path) -> None:
    series = well()
    series[name(series, "meshbot_tick_failing", "prune")] = "0x30 1x150"

    assert not raised(tmp_path, series, "40m", "MeshbotTickFails")
    assert raised(tmp_path, series, "50m", "MeshbotTickFails")


def test_a_tick_that_fails_now_and_then_raises_its_rule(tmp_path: Path) -> None:
    series = well()
    series[name(series, "meshbot_ticks_total", "listing")] = "0x60 1+1x120"

    assert raised(tmp_path, series, "1h30m", "MeshbotFailsAgainAndAgain")


def test_a_bot_that_is_gone_raises_its_rule(tmp_path: Path) -> None:
    gone = {one: values.replace("x180", "x60") for one, values in well().items()}

    assert raised(tmp_path, gone, "1h15m", "MeshbotGone")
