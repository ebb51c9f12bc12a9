"""The documents say what is so: settings, commands, metrics and links are each compared with the code."""

import json
import re
import tomllib
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import cast

import pytest
from pydantic import BaseModel

from bot import shutdown
from bot.__main__ import main
from bot.app import App
from bot.domain import confirmations, digests, subscriptions, visibility_loss
from bot.domain.access import Role
from bot.domain.alerts import maintenance, reminders, severity, silences, storms
from bot.domain.alerts.incidents import GROWN_BY, GROWN_LEAST
from bot.domain.confirmations import CONFIRM_WITHIN
from bot.domain.fleet import availability, charts, timeline
from bot.domain.fleet.renames_and_tags import UNDO_WITHIN
from bot.domain.gateways import FLAPPING_CHANGES, FLAPPING_WITHIN, MISSED_POLLS
from bot.domain.rollouts import approvals, gateway_verdict, plan, stop_gates, waves
from bot.domain.rollouts.lifecycle import APPROVAL_LASTS, TargetClass
from bot.domain.sites import changes_and_undo, entries
from bot.domain.times.retention import FLEET_HISTORY, KEPT, PLAN_KEPT, WRITES_KEPT
from bot.meshtech.routes import ROUTES
from bot.services.alerts.maintenance import SHOWN_BEFORE
from bot.services.fleet import firmware_policy
from bot.services.rollouts import freezes
from bot.settings.definitions import DOCUMENTED, OPERATIONS, Settings
from bot.slack.incoming import identity_cache
from bot.slack.incoming.listeners import Command
from bot.slack.rollouts.views.card import waves_words
from bot.slack.rollouts.views.plan import AWAITED_WORDS, CLASS_WORDS
from bot.slack.views.modals import MOST_PASTED
from bot.storage.cards.outbox import Backlog
from bot.wiring.alerts import alert_rules
from bot.wiring.rollouts import rollout_rules
from tests.project.reference import with_tables
from tests.settings.test_settings import load
from tests.worlds.builders import NOW

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}


# ---- the demo
def test_the_tour_of_the_demo_types_what_the_readme_does() -> None:
    tour = (ROOT / "bot/demo/page/web/tour.js").read_text(encoding="utf-8")
    typed = re.findall(r"type: \(\) => `\$\{state\.choices\.slash\} ([^`]+)`", tour)
    steps = README.partition("## Try it")[2].partition("## ")[0]
    assert typed == re.findall(r"[Tt]ype `/mesh ([^`]+)`", steps)
    assert len(typed) == 3


def test_the_readme_is_read_in_a_few_minutes() -> None:
    assert len(README.splitlines()) <= 200


# ---- settings
def test_the_tables_of_settings_are_the_settings() -> None:
    text = DOCUMENTS["docs/settings.md"]
    assert text == with_tables(text), "make reference"
    listed = re.findall(r"^\| `(MESHBOT_[^`]+)`", text, re.MULTILINE)
    assert listed == [line.variable for line in load().describe()], "each group has its table"


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
        r"^Checked, but without effect in this version: (.*?)\.$",
        DOCUMENTS["docs/settings.md"],
        re.MULTILINE | re.DOTALL,
    )
    assert re.findall(r"`(\w+)`", paragraph[1] if paragraph else "") == idle


# ---- commands
@pytest.fixture
async def built() -> App:
    """The bot as the composition root builds it, with nothing connected."""
    app = App(load())
    await app.close()
    return app


@pytest.fixture
def commands(built: App) -> Mapping[str, Command]:
    """All that it listens to, by their words."""
    return built.slack.arrivals.commands


def test_the_table_of_commands_is_the_commands(commands: Mapping[str, Command]) -> None:
    table = DOCUMENTS["docs/commands.md"].partition("| command | role |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `(.+?)` \| (\w+) \|", table, re.MULTILINE)
    documented = {usage.replace("\\|", "|"): role for usage, role in rows}
    expected = {command.usage: command.needs for command in commands.values()}
    assert documented == {"help [topic]": "viewer", **expected}


def test_the_role_of_every_command_is_one(commands: Mapping[str, Command]) -> None:
    assert len(commands) > 10
    assert {command.needs.upper() for command in commands.values()} <= set(Role.__members__)


# ---- what monitoring relies on
async def test_every_metric_is_documented_and_no_other(built: App) -> None:
    built.metrics.measured(Backlog(0, None, 0), NOW, 0)
    names = {
        f"{metric.name}_total" if metric.type == "counter" else metric.name
        for metric in built.metrics.collect()
    }
    rows = re.findall(r"^\| `(meshbot_\w+)` \|", DOCUMENTS["docs/operations.md"], re.MULTILINE)
    assert sorted(rows) == sorted(names)
    assert set(re.findall(r"\bmeshbot_\w+", DOCUMENTS["docs/operations.md"])) <= names


def test_every_rule_for_prometheus_says_how_urgent_it_is() -> None:
    alerts = re.split(r"- alert: ", (ROOT / "docs" / "prometheus-alerts.yml").read_text(encoding="utf-8"))[1:]
    assert [one for one in alerts if not re.search(r"severity: (critical|warning)\n", one)] == []


def test_every_rule_for_prometheus_asks_for_a_metric_that_exists_and_says_what_to_do() -> None:
    rules = (ROOT / "docs" / "prometheus-alerts.yml").read_text(encoding="utf-8")
    named = set(re.findall(r"\bmeshbot_\w+", rules))
    assert named <= set(re.findall(r"^\| `(meshbot_\w+)` \|", DOCUMENTS["docs/operations.md"], re.MULTILINE))
    alerts = re.split(r"- alert: ", rules)[1:]
    assert [
        one.split()[0] for one in alerts if not re.search(r"expr: .+\n(.*\n)+? +summary: \".+\.\"", one)
    ] == []
    assert len(alerts) == 12


def test_the_dashboard_for_grafana_shows_every_metric_and_no_other() -> None:
    named = set(
        re.findall(r"\bmeshbot_\w+", (ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    )
    rows = re.findall(r"^\| `(meshbot_\w+)` \|", DOCUMENTS["docs/operations.md"], re.MULTILINE)
    assert named == set(rows)


def test_the_dashboard_for_grafana_asks_whichever_prometheus_is_chosen() -> None:
    board = json.loads((ROOT / "docs" / "grafana-dashboard.json").read_text(encoding="utf-8"))
    panels = board["panels"]
    asked = [one for panel in panels for one in (panel, *panel["targets"])]
    assert {one["datasource"]["uid"] for one in asked} == {"${datasource}"}
    assert all('job=~"$job"' in target["expr"] for panel in panels for target in panel["targets"])
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)


# ---- the vendor's operations
def test_the_table_of_operations_is_the_one_the_bot_uses() -> None:
    expected = [
        f"| `{operation}` | `{route.method} {route.template}` | "
        + f"{'documented' if route.documented else 'assumed'} | {_names(route.names)}|"
        for operation, route in ROUTES.items()
    ]
    assert re.findall(r"^\| `[A-Z_]+` \| `.*\|$", DOCUMENTS["docs/meshtech.md"], re.MULTILINE) == expected


def _names(names: frozenset[str]) -> str:
    return "".join(f"`{name}` " for name in sorted(names))


def test_the_routes_of_what_is_assumed_can_be_set_and_those_of_what_is_documented_cannot() -> None:
    assert set(OPERATIONS) == {str(operation) for operation, route in ROUTES.items() if not route.documented}
    assert set(DOCUMENTED) == {str(operation) for operation, route in ROUTES.items() if route.documented}


# ---- the house
def test_the_architecture_says_who_may_import_whom_as_the_contract_does() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    rows = next(contract["layers"] for contract in contracts if contract.get("containers") == ["bot"])
    assert re.sub(r"\w+", r"`\g<0>`", " → ".join(rows)) in " ".join(DOCUMENTS["docs/architecture.md"].split())


def test_the_map_names_every_package_and_no_other() -> None:
    picture = DOCUMENTS["docs/architecture.md"].partition("## The map")[2].split("```")[1]
    found: list[str] = []
    path: list[str] = []
    for indent, name in re.findall(r"^( *)(\w+)/", picture, re.MULTILINE):
        path = [*path[: len(indent) // 2], name]
        found.append("/".join(path))
    packages = [path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "bot").rglob("__init__.py")]
    assert sorted(found) == sorted(packages)


def test_the_map_names_every_module_at_the_top_and_no_other() -> None:
    picture = DOCUMENTS["docs/architecture.md"].partition("bot/\n")[2].partition("```")[0]
    found = " ".join(re.findall(r"^  (\w+(?: \w+)*)  ", picture, re.MULTILINE)).split()
    assert sorted(found) == sorted(
        path.stem for path in (ROOT / "bot").glob("*.py") if path.stem != "__init__"
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_documents_are_in_plain_words(document: str) -> None:
    assert re.findall(r"\bshall\b|what be(?:came|comes) of", DOCUMENTS[document], re.IGNORECASE) == []


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
def test_every_make_target_and_every_word_of_the_command_line_exists(
    document: str, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    words = set(re.findall(r"^    ([a-z-]+)(?= |$)", _help(capsys), re.MULTILINE))
    assert len(words) == 8
    options = {option for word in words for option in re.findall(r"--[\w-]+", _help(capsys, word))}
    text = DOCUMENTS[document]
    assert set(re.findall(r"`make (\w+)", text)) <= targets
    assert set(re.findall(r"`meshbot ([a-z-]+)", text)) <= words
    assert set(re.findall(r"`meshbot[^`]*?(--[\w-]+)", text)) <= options


def _help(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit):
        main([*words, "--help"])
    return capsys.readouterr().out


def test_the_plan_that_the_readme_shows_is_worded_as_the_bot_words_it() -> None:
    shown = " ".join(README.partition("Meshbot  Plan: ")[2].partition("```")[0].split())
    for said in (
        "firmware 3.5.0 for 41 gateways Query tag:oslo · 43 match · model 2011 ",
        *(f"• {number} {words[1]} " for words, number in _PLANNED.items()),
        waves_words((5, 5, 9, 19), rollout_rules(load())),
    ):
        assert said in shown, said


_PLANNED = {CLASS_WORDS[TargetClass.ELIGIBLE]: 38, CLASS_WORDS[TargetClass.ALREADY]: 2, AWAITED_WORDS: 3}


# ---- what is kept
def test_what_is_forgotten_when_is_what_the_code_forgets() -> None:
    text = DOCUMENTS["docs/operations.md"]
    for said in (
        f"| what happened to gateways, and the record of polls | {FLEET_HISTORY.days} days |",
        f"notes in their threads, after their last change | {KEPT.days} days |",
        f"after their end; silences, maintenance windows and firmware policies | {KEPT.days} days |",
        f"that nobody requested | {PLAN_KEPT.days} day after they have expired |",
        f"refuses to change one | {KEPT.days} days |",
        f"which Undo needs | {WRITES_KEPT.days} days |",
    ):
        assert said in text, said


# ---- the numbers
def test_the_numbers_in_prose_are_the_code_s() -> None:
    text = " ".join(f"{DOCUMENTS['docs/commands.md']} {DOCUMENTS['docs/operations.md']}".split())
    for said in (
        f"`{_hours(charts.DEFAULT_PERIOD) // 24}d` (where nothing is said) or up to `{charts.LONGEST.days}d`",
        f"of the last `{charts.DEFAULT_PERIOD.days}d`, or of up to `{availability.LONGEST.days}d`",
        f"Undo for {_minutes(UNDO_WITHIN)} minutes",
        f"its last word counts for {_minutes(identity_cache.TRUSTED)} minutes",
        f"what runs is finished ({shutdown.DRAIN.seconds} seconds at most)",
        f"what happened to gateways for {FLEET_HISTORY.days} days",
    ):
        assert said in text, said


# ---- how it decides
def _claims() -> list[str]:
    """Each number of the document in its words, from the loaded settings and from the constants."""
    settings = load()
    rules, alerts = rollout_rules(settings), alert_rules(settings)
    usual = [_of_fleet(end) for end in waves.DEFAULT_WAVES]
    small = [_of_fleet(end) for end in waves.SMALL_WAVES]
    long = re.fullmatch(r"is:offline for:>(\d+)h", digests.LONG.text)
    assert long is not None, "the query names a number of hours"
    return [
        f"after {plan.QUARANTINE_AFTER} failed attempts, for {_hours(plan.QUARANTINE)} hours",
        f"{_number(rules.approvals).capitalize()} approver must approve (`APPROVALS`), one more above "
        f"{rules.second_above_gateways} gateways or {_share(rules.second_above_share)} of a fleet of "
        f"{approvals.SHARE_COUNTS_FROM} or more (`SECOND_ABOVE`)",
        f"when more than {_share(plan.DRIFT_SHARE)} of them",
        f"After {_hours(rules.approval_expires)} hours (`APPROVAL_EXPIRES`)",
        f"{usual[0]} gateways, then up to {', '.join(usual[1:-1])} and {usual[-1]} of those that take part "
        f"(`WAVES`); with fewer than {waves.SMALL_BELOW} of them, {small[0]} gateway, then {small[1]}, "
        "then the rest",
        f"a reason of up to {freezes.MOST_REASON:,} characters",
        f"Hours are up to {entries.MOST_WINDOWS} windows such as `Mo-Fr 07:00-16:00`",
        f"A text has {entries.LONGEST} characters at most",
        f"{MOST_PASTED:,} characters and {changes_and_undo.MOST_AT_ONCE} sites at once",
        f"within {_minutes(CONFIRM_WITHIN)} minutes",
        "A month such as `2026-11`",
        f"up to {digests.LATE_IN_A_MONTH.days} days late",
        f"as a whole, for {WRITES_KEPT.days} days",
        f"stable for {_hours(waves.STABLE_CANARY)} hours",
        f"At most {_share(rules.per_site)} of a site",
        f"{rules.batch} in one job of Meshtech's (`BATCH`)",
        f"{_minutes(rules.soak)} minutes (`SOAK`)",
        f"{_minutes(rules.stable_for)} minutes (`STABLE_FOR`)",
        f"for {rules.wait_for_return.days} days from the start of the update (`WAIT_FOR_RETURN`",
        f"within {APPROVAL_LASTS.days} days of the start",
        f"{_minutes(rules.overdue_after)} minutes (`OVERDUE_AFTER`)",
        f"{_minutes(rules.return_within)} minutes (`RETURN_WITHIN`)",
        f"the job says succeeded, and {_minutes(rules.return_within)} minutes later the old version runs",
        f"until it is over for that gateway, {_hours(gateway_verdict.HELD_AT_MOST)} hours at most",
        f"{_share(stop_gates.PAUSE_SHARE)} of those finished or overdue have failed, once "
        f"{stop_gates.SHARE_AFTER} have finished",
        f"{stop_gates.IN_A_ROW} in a row did not return, or {stop_gates.AT_ONE_SITE} at one site",
        f"{stop_gates.COLLATERAL_LEAST} of them, and {_share(stop_gates.COLLATERAL_SHARE)} of the site's",
        f"{_share(stop_gates.STOP_SHARE)} failed",
        f"for {_minutes(alerts.offline_after)} minutes (`OFFLINE_AFTER`) and on {alerts.offline_listings} "
        "completed polls (`OFFLINE_LISTINGS`)",
        f"{_minutes(alerts.online_after)} minutes (`ONLINE_AFTER`) and {alerts.online_listings} polls "
        "(`ONLINE_LISTINGS`)",
        f"{alerts.group_wait.seconds} seconds (`GROUP_WAIT`)",
        f"{alerts.storm_gateways} gateways (`STORM_GATEWAYS`), or {_share(alerts.storm_share)} of the fleet "
        f"(`STORM_SHARE`) and at least {storms.LEAST}, that go within "
        f"{_number(_minutes(storms.WITHIN))} minutes",
        f"or within {_number(_minutes(storms.WITHIN))} minutes of that",
        *(
            f"| {step.severity} | {step.gateways} | "
            f"{'all' if step.share == 1 else _share(step.share)} of them, {step.least} at least |"
            for step in severity.STEPS
        ),
        f"become {_share(GROWN_BY)} more than when the channel was last told, and {GROWN_LEAST} at least",
        f"{FLAPPING_CHANGES} changes within {_minutes(FLAPPING_WITHIN)} minutes are flapping",
        f"for {silences.LONGEST.days} days at most, and above {_hours(silences.REASON_ABOVE)} hours",
        f"more than {confirmations.ASKED_ABOVE} gateways, or of more than "
        f"{_share(1 / confirmations.ASKED_PART)} of the fleet",
        f"announced {_minutes(silences.ANNOUNCED)} minutes before",
        f"appeared within {firmware_policy.NEW.days} day,",
        f"within {maintenance.FURTHEST.days} days. It asks first",
        f"{settings.alerts.announce_maintenance[0].days} day and "
        f"{_hours(settings.alerts.announce_maintenance[1])} hour before it opens (`ANNOUNCE_MAINTENANCE`)",
        f"opens within {SHOWN_BEFORE.days} day.",
        f"after {_minutes(reminders.FIRST)} and after {_minutes(reminders.SECOND)} minutes, then "
        f"{reminders.TIMES} times",
        f"asked every {_hours(reminders.ACKNOWLEDGED)} hours",
        f"{visibility_loss.FAILURES} polls in a row fail",
        f"at least {visibility_loss.FLEET} gateways",
        f"{visibility_loss.CONFIRM} further polls",
        f"{alerts.startup_listings} polls (`STARTUP_LISTINGS`)",
        f"at most {subscriptions.MOST} subscriptions",
        f"shows {charts.DEFAULT_PERIOD.days} days unless another period is given, from "
        f"{_hours(charts.SHORTEST)} hour to {charts.LONGEST.days} days",
        f"at most {charts.MOST_BUCKETS} spans",
        "half of a site's gateways offline for half of the span is 25 %",  # arithmetic
        f"the {charts.MOST_SITES} sites with the largest share",
        f"the {charts.MOST_MODELS} models with the most gateways share {charts.MOST_BARS} bars",
        f"look back {charts.DEFAULT_PERIOD.days} days unless another period is given, from "
        f"{_hours(charts.SHORTEST)} hour to {availability.LONGEST.days} days",
        f"{MISSED_POLLS} times `POLL_EVERY`",
        f"newest {timeline.MOST:,}, and says so",
        f"{FLAPPING_CHANGES} changes within {_minutes(FLAPPING_WITHIN)} minutes.",
        f"comes at {settings.alerts.usual_digest_at:%H:%M} (`DIGEST_AT`)",
        f"waits up to {_minutes(digests.PATIENCE)} minutes for a poll",
        f"comes late, up to {_hours(digests.LATE)} hours",
        f"offline for more than {long[1]} hours",
        f"end within {_hours(digests.ENDING)} hours;",
        f"charts of the last {charts.DEFAULT_PERIOD.days} days",
    ]


def test_every_number_of_how_it_decides_is_the_code_s() -> None:
    text = " ".join(DOCUMENTS["docs/how-it-decides.md"].split())
    assert [said for said in _claims() if said not in text] == []
    for said in sorted(_claims(), key=len, reverse=True):
        text = text.replace(said, "")
    assert (
        re.findall(rf".{{0,40}}(?:\d|\b(?:{'|'.join(_WORDS)}) (?:minutes|hours|days)).{{0,40}}", text) == []
    )


_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def _number(number: int) -> str:
    return _WORDS[number] if number < len(_WORDS) else str(number)


def _share(share: float | None) -> str:
    return f"{share or 0:.0%}".replace("%", " %")


def _of_fleet(end: object) -> str:
    return _share(end) if isinstance(end, float) else str(end)


def _minutes(length: timedelta) -> int:
    return int(length.total_seconds() // 60)


def _hours(length: timedelta) -> int:
    return _minutes(length) // 60
