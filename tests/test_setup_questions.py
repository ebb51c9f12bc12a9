"""`meshbot init`: by its prompts and by its flags, from an empty folder to a card in a channel."""

import stat
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from bot.__main__ import ANSWERS, ask, main
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import message_text
from bot.domain.errors import StartupError
from bot.settings.definitions import load_settings
from bot.setup_questions import QUESTIONS, Init, answers_in, new_app_link
from bot.slack.manifest import manifest
from tests.worlds.process import APP_TOKEN, BOT_TOKEN, PASSWORD

ENTER, SPACE = "\r", " "
MOST_QUESTIONS = 12
FLAGS = {
    "bot-token": BOT_TOKEN,
    "app-token": APP_TOKEN,
    "username": "fleet@example.com",
    "password": PASSWORD,
    "alerts": "#fleet-alerts",
    "operators": "@operators",
    "approvers": f"@approvers,{workspace.ADMIN}",
}


def without(*flags: str) -> dict[str, str]:
    return {flag: answer for flag, answer in FLAGS.items() if flag not in flags}


@dataclass
class Desk:
    """Somebody at a terminal in an empty folder, with a workspace and an account."""

    folder: Path
    slack: SlackServer
    portal: FleetSimulator
    said: list[str] = field(default_factory=list)

    @property
    def env(self) -> Path:
        return self.folder / ".env"

    @property
    def text(self) -> str:
        return "\n".join(self.said)

    def run(
        self, given: Mapping[str, str] | None = None, http_url: str | None = None, command: str | None = None
    ) -> Init:
        """At the terminal."""
        run = Init(given or {}, may_ask=True, http_url=http_url, command=command)
        run.secrets_dir, run.say = None, self.said.append
        return run

    async def types(self, run: Init, *keys: str) -> int:
        """The exit status, when these keys are pressed."""
        with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
            keyboard.send_text("".join(keys))
            keyboard.close()  # so that a question more ends the run
            return await run.run()

    async def calls(self, given: Mapping[str, str]) -> int:
        """The exit status of a run that asks nothing."""
        return await Init(given, may_ask=False, secrets_dir=None, say=self.said.append).run()

    def cards(self, channel: str = workspace.FLEET_ALERTS) -> list[str]:
        return [message_text(one) for one in self.slack.workspace.in_channel(channel)]


@pytest.fixture
async def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    slack = SlackServer(bot_token=BOT_TOKEN, app_token=APP_TOKEN)
    portal = FleetSimulator(gateways=3, username="fleet@example.com", password=PASSWORD)
    await slack.start()
    await portal.start()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MESHBOT_SLACK__API_URL", slack.api_url)
    monkeypatch.setenv("MESHBOT_MESHTECH__AUTH_URL", portal.auth_url)
    monkeypatch.setenv("MESHBOT_MESHTECH__API_URL", portal.api_url)
    yield Desk(tmp_path, slack, portal)
    await portal.stop()
    await slack.stop()


ACCOUNT = (BOT_TOKEN, ENTER, APP_TOKEN, ENTER, "fleet@example.com", ENTER, PASSWORD, ENTER)
PLACES = ("fleet-al", ENTER, ENTER)
PEOPLE = ("operators", SPACE, ENTER, "approvers", SPACE, ENTER, "admins", SPACE, ENTER)


async def test_its_questions_lead_from_an_empty_folder_to_a_card_and_a_second_run_asks_none(
    desk: Desk,
) -> None:
    first, second = desk.run(), desk.run()
    assert await desk.types(first, *ACCOUNT, *PLACES, *PEOPLE) == 0, desk.text
    assert first.asked <= MOST_QUESTIONS
    assert [card for card in desk.cards() if "Meshbot can post here" in card]
    assert stat.S_IMODE(desk.env.stat().st_mode) == 0o600
    settings = load_settings(secrets_dir=None)
    assert settings.channels.alerts == workspace.FLEET_ALERTS
    assert settings.channels.rollouts is None
    assert settings.access.operators == (workspace.OPERATORS,)
    written, cards = desk.env.read_bytes(), len(desk.cards())

    assert await desk.types(second) == 0, desk.text
    assert second.asked == 0
    assert desk.env.read_bytes() == written
    assert len(desk.cards()) == cards
    assert desk.slack.problems == []


async def test_flags_answer_every_question(desk: Desk) -> None:
    assert await desk.calls({**FLAGS, "rollouts": workspace.ROLLOUTS, "admins": "@admins"}) == 0, desk.text
    assert load_settings(secrets_dir=None).access.approvers == (workspace.APPROVERS, workspace.ADMIN)
    assert set(QUESTIONS) == {flag for flag, *_ in ANSWERS}
    assert len(desk.cards()) == len(desk.cards(workspace.ROLLOUTS)) == 1


async def test_without_a_terminal_it_names_the_flags_that_are_missing(desk: Desk) -> None:
    with pytest.raises(StartupError, match="give --app-token, --password and --alerts") as caught:
        await desk.calls({"bot-token": BOT_TOKEN, "username": "fleet@example.com"})
    assert str(caught.value).count("\n") == 0
    assert not desk.env.exists()


@pytest.mark.parametrize(
    ("flag", "answer", "said"),
    [
        ("bot-token", "xoxb-another", "MESHBOT_SLACK__BOT_TOKEN (invalid_auth)"),
        ("bot-token", "bot", "begins with xoxb-"),
        ("app-token", "xapp-another", "MESHBOT_SLACK__APP_TOKEN (invalid_auth)"),
        ("password", "wrong", "MESHBOT_MESHTECH__PASSWORD"),
        ("alerts", "#random", "Say /invite @Meshbot there"),
        ("operators", workspace.GUEST, "has no role"),
    ],
)
async def test_a_wrong_answer_is_tried_at_once_and_not_written(
    desk: Desk, flag: str, answer: str, said: str
) -> None:
    with pytest.raises(StartupError, match=f"give .*--{flag}"):
        await desk.calls({**FLAGS, flag: answer})
    assert said in desk.text
    assert not desk.env.exists() or answer not in desk.env.read_text()
    assert desk.cards() == []


@pytest.mark.parametrize(("flag", "answer"), [("alerts", "#nowhere"), ("operators", "@nobody")])
async def test_a_name_that_slack_does_not_know_is_said(desk: Desk, flag: str, answer: str) -> None:
    with pytest.raises(StartupError, match=f"--{flag} {answer}: Slack shows nothing of that name"):
        await desk.calls({**FLAGS, flag: answer})


async def test_a_wrong_answer_is_asked_for_again(desk: Desk) -> None:
    wrong = ("xoxb-another", ENTER, *ACCOUNT[:4], "fleet@example.com", ENTER, "wrong", ENTER)
    run = desk.run()
    assert await desk.types(run, *wrong, ENTER, PASSWORD, ENTER, *PLACES, *PEOPLE) == 0, desk.text
    assert run.asked == MOST_QUESTIONS


async def test_a_channel_is_tried_again_once_the_bot_is_invited(desk: Desk) -> None:
    desk.slack.workspace.kick(workspace.FLEET_ALERTS)
    assert await desk.calls({**FLAGS, "alerts": workspace.OPS}) == 0
    with pytest.raises(StartupError, match="give --alerts"):
        await desk.calls({"alerts": "#fleet-alerts"})
    assert load_settings(secrets_dir=None).channels.alerts == workspace.OPS
    desk.slack.workspace.channels[workspace.FLEET_ALERTS].members.add(workspace.BOT_USER)
    assert await desk.calls({"alerts": "#fleet-alerts"}) == 0
    assert load_settings(secrets_dir=None).channels.alerts == workspace.FLEET_ALERTS


async def test_somebody_alone_may_approve_their_own(desk: Desk) -> None:
    run, alone = desk.run(), (ENTER, "(@ana)", SPACE, ENTER, ENTER, ENTER, "y")
    assert await desk.types(run, *ACCOUNT, *PLACES, *alone) == 0, desk.text
    assert load_settings(secrets_dir=None).rollouts.self_approval
    assert run.asked <= MOST_QUESTIONS


async def test_only_what_is_wrong_or_asked_for_changes_in_a_file_that_is_there(desk: Desk) -> None:
    await desk.calls(FLAGS)
    lines = desk.env.read_text().splitlines(keepends=True)
    lines = ["# ours\n", "MESHBOT_TIMEZONE='Europe/Oslo' # of the office\n", "\n", *lines[::-1]]
    before = "".join(lines).replace(BOT_TOKEN, "xoxb-revoked")
    desk.env.write_text(before)
    desk.env.chmod(0o644)
    run = desk.run({"admins": "@admins"})
    assert await desk.types(run, BOT_TOKEN, ENTER) == 0, desk.text
    assert run.asked == 1
    after = before.replace("xoxb-revoked", BOT_TOKEN).replace("__ADMINS=", f"__ADMINS={workspace.ADMINS}")
    assert desk.env.read_text() == after
    assert stat.S_IMODE(desk.env.stat().st_mode) == 0o600


async def test_what_the_environment_says_is_not_asked_for_and_cannot_be_changed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHBOT_MESHTECH__PASSWORD", PASSWORD)
    assert await desk.calls(without("password")) == 0
    assert "PASSWORD" not in desk.env.read_text()
    with pytest.raises(StartupError, match="MESHBOT_MESHTECH__PASSWORD stands in the environment"):
        await desk.calls({"password": "another"})


async def test_a_line_that_is_no_setting_is_said_before_anything_is_asked(desk: Desk) -> None:
    desk.env.write_text("MESHBOT_HTTP__PROT=1\n")
    with pytest.raises(StartupError, match="MESHBOT_HTTP__PORT"):
        await desk.types(desk.run())


async def test_where_slack_calls_the_bot_it_asks_for_the_signing_secret(desk: Desk) -> None:
    run = desk.run(
        without("app-token", "bot-token"), http_url="https://bot.example.com", command="/mesh-test"
    )
    assert await desk.types(run, BOT_TOKEN, ENTER, "5ecret", ENTER, ENTER, ENTER) == 0
    settings = load_settings(secrets_dir=None)
    assert settings.slack.app_token is None
    assert settings.slack.command == "/mesh-test"
    (link,) = [line for line in desk.said if line.startswith("https://")]
    (made,) = parse_qs(urlsplit(link).query)["manifest_json"]
    assert "https://bot.example.com/slack/events" in made
    assert "/mesh-test" in made


async def test_a_slack_that_does_not_answer_is_said_once_and_no_token_is_asked_for_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MESHBOT_SLACK__API_URL", "http://127.0.0.1:9/")
    run = desk.run()
    with pytest.raises(StartupError, match="No answer mends that"):
        await desk.types(run, *ACCOUNT)
    assert run.asked == 1
    assert [line for line in desk.said if "Slack does not answer" in line] == [desk.said[-1]]
    with pytest.raises(StartupError, match="No answer mends that"):
        await desk.calls(FLAGS)


async def test_an_answer_from_a_file_is_taken_as_it_stands(desk: Desk) -> None:
    file = desk.folder / "answers"
    answers = {**FLAGS, "password": "@gehe=im -x"}
    lines = "\n".join(f"{flag}={answer}" for flag, answer in answers.items())
    file.write_text(f"# ours\n\n{lines}\n")
    assert answers_in(str(file)) == answers


@pytest.mark.parametrize(
    "written", [b"--password geheim\n", b"geheim=1\n", b"password\ngeheim", b"geheim\xff"]
)
def test_a_file_of_answers_that_is_written_wrong_is_one_sentence_without_its_secrets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], written: bytes
) -> None:
    (tmp_path / "answers").write_bytes(written)
    assert main(["init", "--yes", "--answers", f"{tmp_path}/answers"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "geheim" not in said


def test_a_file_of_answers_that_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--yes", "--answers", "/nowhere"]) == 2
    assert "--answers /nowhere cannot be read: No such file" in capsys.readouterr().err


def test_a_flag_takes_a_name_that_begins_with_an_at_sign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "--yes", "--operators", "@operators"]) == 2
    assert capsys.readouterr().err.startswith("Nobody is asked here, so give --bot-token")


@pytest.mark.parametrize("keys", ["\x03", "\x04", ""], ids=["Ctrl-C", "Ctrl-D", "no more input"])
def test_whoever_leaves_in_the_middle_reads_a_sentence_and_the_status_is_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], keys: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with create_pipe_input() as keyboard, create_app_session(input=keyboard, output=DummyOutput()):
        keyboard.send_text(keys)
        keyboard.close()
        assert ask(Init({}, may_ask=True, secrets_dir=None, say=print)) == 130
    assert capsys.readouterr().err.startswith("Stopped.")


def test_the_link_fits_into_what_browsers_take() -> None:
    assert len(new_app_link(manifest("/mesh", http_url=f"https://{'bot.' * 20}example.com"))) < 4_000
