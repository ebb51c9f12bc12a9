"""The documents say what is so: settings, commands, metrics and links are each compared with the code."""

import ast
import importlib
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from pydantic import BaseModel

from bot import app
from bot.app import App
from bot.domain import digests, visibility
from bot.domain.access import Role
from bot.domain.alerts import reminders, silences, storms
from bot.domain.alerts.incidents import GROWN_BY, AlertRules
from bot.domain.audit import KEPT
from bot.domain.fleet import charts
from bot.domain.gateways import FLAPPING_CHANGES, FLAPPING_WITHIN
from bot.domain.rollouts import plan, verdict
from bot.domain.rollouts.plan import RolloutRules, TargetClass
from bot.meshtech.routes import ROUTES
from bot.settings.model import NO_DEFAULT, OPERATIONS, Settings
from bot.slack.incoming.requests import Command
from bot.slack.rollouts.views.card import waves_words
from bot.slack.rollouts.views.lists import CLASS_WORDS
from bot.storage.retention import PLAN_KEPT
from tests.settings.test_settings import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
}

# These words stand for a default; everything else in that column is one.
NO_VALUE = {"": "empty", **{words: words for words in NO_DEFAULT}}


# ---- settings
def test_the_readme_s_table_of_settings_is_the_settings() -> None:
    expected = [
        f"| `{line.variable}` | {NO_VALUE.get(line.default, f'`{line.default}`')} | {line.meaning} |"
        for line in load().describe()
    ]
    assert re.findall(r"^\| `MESHBOT_.*\|$", README, re.MULTILINE) == expected


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_setting_named_in_prose_is_one(document: str) -> None:
    known = {line.variable.removesuffix("__<OPERATION>") for line in load().describe()}
    named = re.findall(r"MESHBOT_[A-Z_]*[A-Z](?!…|[A-Z_]|__…)", DOCUMENTS[document])
    assert [name for name in named if re.sub(r"(__ROUTES|__FIELDS)__\w+$", r"\1", name) not in known] == []


class Read:
    """Settings that remember which of them were asked for."""

    def __init__(self, inner: BaseModel, asked: set[str], path: str = "") -> None:
        self._inner, self._asked, self._path = inner, asked, path

    def __getattr__(self, name: str) -> object:
        value = getattr(self._inner, name)
        path = f"{self._path}{name}"
        self._asked.add(path)
        return Read(value, self._asked, f"{path}.") if isinstance(value, BaseModel) else value


async def test_a_setting_that_has_no_effect_yet_is_named_as_such() -> None:
    """An operator must not wait for a wave because a variable was accepted."""
    asked = {"log.level", "log.format"}  # by the command line, before the bot is built
    app = App(cast("Settings", Read(load(), asked)))
    await app.close()
    paths = [line.variable.removeprefix("MESHBOT_").lower().split("__")[:2] for line in load().describe()]
    idle = ["MESHBOT_" + "__".join(path).upper() for path in paths if ".".join(path) not in asked]
    paragraph = re.search(
        r"^Checked, but without effect in this version: (.*?)\.$", README, re.MULTILINE | re.DOTALL
    )
    assert re.findall(r"`(\w+)`", paragraph[1] if paragraph else "") == idle


# ---- commands
def _commands() -> Mapping[str, Command]:
    """Every ``"word": Command(…)`` in the code, however its usage and its role are written there."""
    found = {}
    for path in sorted((ROOT / "bot" / "slack").rglob("*.py")):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
                if isinstance(value, ast.Call) and ast.unparse(value.func) == "Command":
                    word = ast.literal_eval(ast.unparse(key or ast.Constant(None)))
                    source = re.sub(r"\bself\.\w+", "print", ast.unparse(value))
                    found[word] = eval(source, vars(module))
    return found


def test_the_readme_s_table_of_commands_is_the_commands() -> None:
    table = README.partition("| command | role |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \|", table, re.MULTILINE)
    documented = {usage.replace("\\|", "|"): role for usage, role in rows}
    expected = {command.usage: command.needs for command in _commands().values()}
    assert documented == {"help [topic]": "viewer", **expected}


def test_every_command_is_under_its_own_word_and_its_role_is_one() -> None:
    commands = _commands()
    assert len(commands) > 10
    assert [word for word, command in commands.items() if command.usage.split()[0] != word] == []
    assert {command.needs.upper() for command in commands.values()} <= set(Role.__members__)


# ---- what monitoring relies on
def test_every_metric_is_documented_and_no_other() -> None:
    source = (ROOT / "bot" / "metrics.py").read_text(encoding="utf-8")
    found = re.findall(r"(Counter|Gauge)MetricFamily\(\s*\"(\w+)\"", source)
    assert len(found) == source.count("MetricFamily("), "each is made with its name in place"
    names = {f"{name}_total" if kind == "Counter" else name for kind, name in found}
    rows = re.findall(r"^\| `(meshbot_\w+)` \|", DOCUMENTS["docs/operations.md"], re.MULTILINE)
    assert sorted(rows) == sorted(names)
    assert set(re.findall(r"\bmeshbot_\w+", DOCUMENTS["docs/operations.md"])) <= names


def test_every_rule_for_prometheus_asks_for_a_metric_that_exists_and_says_what_to_do() -> None:
    rules = (ROOT / "docs" / "prometheus-alerts.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmeshbot_\w+", rules))
    assert named <= set(re.findall(r"^\| `(meshbot_\w+)` \|", DOCUMENTS["docs/operations.md"], re.MULTILINE))
    alerts = re.split(r"- alert: ", rules)[1:]
    assert [
        one.split()[0] for one in alerts if not re.search(r"expr: .+\n(.*\n)+? +summary: \".+\.\"", one)
    ] == []
    assert len(alerts) == 8


# ---- the vendor's operations
def test_the_table_of_operations_is_the_one_the_bot_uses() -> None:
    expected = [
        f"| `{operation}` | `{route.method} {route.template}` | "
        + ("documented | |" if route.documented else f"assumed | {_names(route.names)}|")
        for operation, route in ROUTES.items()
    ]
    assert re.findall(r"^\| `[A-Z_]+` \| `.*\|$", DOCUMENTS["docs/meshtech.md"], re.MULTILINE) == expected


def _names(names: frozenset[str]) -> str:
    return "".join(f"`{name}` " for name in sorted(names))


def test_what_is_assumed_can_be_set_and_what_is_documented_cannot() -> None:
    assert set(OPERATIONS) == {str(operation) for operation, route in ROUTES.items() if not route.documented}


# ---- links
def _anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_link_leads_to_a_file_and_a_heading_that_exist(document: str) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)]+)\)", DOCUMENTS[document]):
        if "://" in target:
            continue
        name, _, anchor = target.partition("#")
        path = ((ROOT / document).parent / name).resolve() if name else ROOT / document
        if not path.is_file() or (anchor and anchor not in _anchors(path.read_text(encoding="utf-8"))):
            broken.append(target)
    assert broken == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_make_target_and_every_word_of_the_command_line_exists(document: str) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    entry = (ROOT / "bot" / "__main__.py").read_text(encoding="utf-8")
    words = set(re.findall(r"add_parser\(\"(\w+)\"", entry))
    text = DOCUMENTS[document]
    assert set(re.findall(r"`make (\w+)", text)) <= targets
    assert set(re.findall(r"`meshbot (\w+)", text)) <= words
    assert set(re.findall(r"`meshbot[^`]*?(--[\w-]+)", text)) <= set(re.findall(r"\"(--[\w-]+)\"", entry)) | {
        "--help"
    }


def test_the_plan_that_the_readme_shows_is_worded_as_the_bot_words_it() -> None:
    shown = " ".join(README.partition("Meshbot  Plan: ")[2].partition("```")[0].split())
    for said in (
        "firmware 3.5.0 for 38 gateways Query tag:oslo · 43 match · model 2011 ",
        *(f"• {number} {CLASS_WORDS[cls][1]} " for cls, number in _PLANNED.items()),
        waves_words((5, 5, 9, 19), RolloutRules()),
    ):
        assert said in shown, said


_PLANNED = {TargetClass.ELIGIBLE: 38, TargetClass.ALREADY: 2, TargetClass.OFFLINE: 3}


# ---- what is kept
def test_what_is_forgotten_when_is_what_the_code_forgets() -> None:
    text = DOCUMENTS["docs/operations.md"]
    for said in (
        f"| what happened to gateways, and the record of listings | {app.FLEET_HISTORY.days} days |",
        f"notes in their threads, after their last change | {KEPT.days} days |",
        f"after their end; silences | {KEPT.days} days |",
        f"that nobody requested | {PLAN_KEPT.days} day after they have expired |",
        f"refuses to change one | {KEPT.days} days |",
        f"which Undo needs | {app.WRITES_KEPT.days} days |",
    ):
        assert said in text, said


# ---- how it decides
def test_the_numbers_of_how_it_decides_are_the_code_s() -> None:
    text = " ".join(DOCUMENTS["docs/how-it-decides.md"].split())
    rules, alerts = RolloutRules(), AlertRules()
    for said in (
        f"after {plan.QUARANTINE_AFTER} failed attempts, for {_hours(plan.QUARANTINE)} hours",
        f"above {rules.second_above_gateways} gateways or {rules.second_above_share:.0%} of a fleet of "
        f"{plan.SHARE_COUNTS_FROM} or more".replace("%", " %"),
        f"when more than {plan.DRIFT_SHARE:.0%} of them".replace("%", " %"),
        f"After {_hours(rules.approval_expires)} hours (`APPROVAL_EXPIRES`)",
        f"with fewer than {plan.SMALL_BELOW} of them",
        f"stable for {_hours(plan.STABLE_CANARY)} hours",
        f"At most {rules.per_site:.0%} of a site".replace("%", " %"),
        f"{rules.batch} in one job",
        f"{_minutes(rules.soak)} minutes (`SOAK`)",
        f"{_minutes(rules.stable_for)} minutes (`STABLE_FOR`)",
        f"{_minutes(rules.overdue_after)} minutes (`OVERDUE_AFTER`)",
        f"{_minutes(rules.return_within)} minutes (`RETURN_WITHIN`)",
        f"{verdict.PAUSE_SHARE:.0%} of those finished or overdue".replace("%", " %"),
        f"once {verdict.SHARE_AFTER} have finished",
        f"{verdict.IN_A_ROW} in a row did not return, or {verdict.AT_ONE_SITE} at one site",
        f"{verdict.COLLATERAL_LEAST} of them, and {verdict.COLLATERAL_SHARE:.0%} of the site".replace(
            "%", " %"
        ),
        f"{verdict.STOP_SHARE:.0%} failed".replace("%", " %"),
        f"for {_minutes(alerts.offline_after)} minutes (`OFFLINE_AFTER`) and on {alerts.offline_listings}",
        f"{_minutes(alerts.online_after)} minutes (`ONLINE_AFTER`) and {alerts.online_listings} listings",
        f"{alerts.group_wait.seconds} seconds (`GROUP_WAIT`)",
        f"{alerts.storm_gateways} gateways (`STORM_GATEWAYS`), or {alerts.storm_share:.0%}".replace(
            "%", " %"
        ),
        f"and at least {storms.LEAST}, that go",
        f"become {GROWN_BY:.0%} more than when the channel was last told".replace("%", " %"),
        f"grown by {GROWN_BY:.0%}, it ends by itself".replace("%", " %"),
        f"{FLAPPING_CHANGES} changes within {_minutes(FLAPPING_WITHIN)} minutes are flapping",
        f"for {silences.LONGEST.days} days at most, and above {_hours(silences.REASON_ABOVE)} hours",
        f"announced {_minutes(silences.ANNOUNCED)} minutes before",
        f"after {_minutes(reminders.FIRST)} and after {_minutes(reminders.SECOND)} minutes, then "
        f"{reminders.TIMES} times",
        f"asked every {_hours(reminders.ACKNOWLEDGED)} hours",
        f"{visibility.FAILURES} listings in a row fail",
        f"at least {visibility.FLEET} gateways",
        f"{visibility.CONFIRM} further listings",
        f"{alerts.startup_listings} listings (`STARTUP_LISTINGS`)",
        f"shows {charts.DEFAULT_PERIOD.days} days unless another period is given, from "
        f"{_hours(charts.SHORTEST)} hour to {charts.LONGEST.days} days",
        f"at most {charts.MOST_BUCKETS} spans",
        f"waits up to {_minutes(digests.PATIENCE)} minutes for a listing",
        f"comes late, up to {_hours(digests.LATE)} hours",
        f"end within {_hours(digests.ENDING)} hours;",
        f"the {charts.MOST_SITES} sites with the largest share",
        f"the {charts.MOST_MODELS} models with the most gateways share {charts.MOST_BARS} bars",
    ):
        assert said in text, said


def _minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


def _hours(length: timedelta) -> int:
    return _minutes(length) // 60
