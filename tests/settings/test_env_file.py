"""The ``.env`` file: what is written is read back, and nothing else in it changes."""

import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import StartupError
from bot.settings.definitions import load_settings
from bot.settings.env_file import names_in, write_settings
from tests.settings.test_settings import REQUIRED

PASSWORD = "MESHBOT_MESHTECH__PASSWORD"
BEFORE = """# ours
MESHBOT_TIMEZONE='UTC' # of the office

export MESHBOT_HTTP__PORT = 1
MESHBOT_HTTP__PORT=8080
MESHBOT_LOG__LEVEL="""


@given(st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1).map(str.strip).filter(bool))
def test_whatever_a_password_holds_is_read_back_as_it_was_given(
    tmp_path_factory: pytest.TempPathFactory, password: str
) -> None:
    file = tmp_path_factory.mktemp("env") / ".env"
    write_settings(file, {**REQUIRED, PASSWORD: "another"})
    write_settings(file, {PASSWORD: password})
    settings = load_settings({}, file, None)
    assert settings.meshtech.password.get_secret_value() == password


def test_only_the_line_that_counts_changes_and_comments_stay(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text(BEFORE)
    changes = {"MESHBOT_TIMEZONE": "Europe/Oslo", "MESHBOT_HTTP__PORT": "0", "MESHBOT_LOG__FORMAT": "console"}
    assert write_settings(file, changes)
    assert file.read_text() == (
        BEFORE.replace("'UTC'", "Europe/Oslo").replace("8080", "0") + "\nMESHBOT_LOG__FORMAT=console\n"
    )
    assert names_in(file) == {*changes, "MESHBOT_LOG__LEVEL"}
    assert not write_settings(file, changes)


@pytest.mark.parametrize(
    ("password", "written"),
    [('a b"d#e\\f', 'a b"d#e\\f'), ("a$b", "'a$b'"), ("a\\b #c'd\\", r"'a\b #c\'d\\'")],
)
def test_a_password_has_quotes_where_docker_compose_or_dotenv_would_change_it(
    tmp_path: Path, password: str, written: str
) -> None:
    write_settings(tmp_path / ".env", {PASSWORD: password})
    assert (tmp_path / ".env").read_text() == f"{PASSWORD}={written}\n"


def test_what_is_written_is_its_owner_s_alone_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "real").touch(0o644)
    (tmp_path / ".env").symlink_to("real")
    write_settings(tmp_path / ".env", {PASSWORD: "x"})
    assert stat.S_IMODE((tmp_path / "real").stat().st_mode) == 0o600
    assert sorted(one.name for one in tmp_path.iterdir()) == [".env", "real"]


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StartupError, match="cannot be written: "):
        write_settings(tmp_path / "nowhere" / ".env", {PASSWORD: "x"})
