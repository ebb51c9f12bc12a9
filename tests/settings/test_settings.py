"""Settings: every way to write one, and the one sentence that answers a wrong one."""

from datetime import time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.times.update_windows import Window
from bot.settings import value_formats
from bot.settings.definitions import Settings, load_settings
from bot.settings.environment import SettingsError

REQUIRED = {
    "MESHBOT_SLACK__BOT_TOKEN": "xoxb-bot-secret",
    "MESHBOT_SLACK__APP_TOKEN": "xapp-app-secret",
    "MESHBOT_MESHTECH__USERNAME": "fleet@example.com",
    "MESHBOT_MESHTECH__PASSWORD": "hunter2-secret",
}


def load(**variables: str) -> Settings:
    """Settings with everything required in place; a name is given without its prefix."""
    given = {f"MESHBOT_{name}": text for name, text in variables.items()}
    return load_settings({**REQUIRED, **given}, env_file=None, secrets_dir=None)


def complaint(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load(**variables)
    return str(caught.value)


def test_the_required_settings_are_enough() -> None:
    settings = load()
    assert settings.slack.command == "/mesh"
    assert settings.slack.api_url == "https://slack.com/api/"
    assert settings.fleet.poll_every == timedelta(seconds=60)
    assert settings.http.port == 8080
    assert settings.database_url.get_secret_value() == "sqlite:///meshbot.db"
    assert settings.rollouts.waves is None


@pytest.mark.parametrize("missing", ["SLACK__BOT_TOKEN", "MESHTECH__USERNAME", "MESHTECH__PASSWORD"])
def test_a_missing_setting_is_named_with_what_to_set_it_to(missing: str) -> None:
    assert complaint(**{missing: ""}).startswith(f"MESHBOT_{missing} is missing: set it to the ")


def test_the_sentence_about_a_missing_password_reads_well() -> None:
    assert complaint(MESHTECH__PASSWORD="") == (
        "MESHBOT_MESHTECH__PASSWORD is missing: set it to the password of the shared Meshtech account."
    )


def test_neither_app_token_nor_signing_secret_is_refused() -> None:
    sentence = complaint(SLACK__APP_TOKEN="")
    assert sentence.startswith("MESHBOT_SLACK__APP_TOKEN is missing:")
    assert "MESHBOT_SLACK__SIGNING_SECRET" in sentence


def test_both_app_token_and_signing_secret_are_refused() -> None:
    assert "are both set" in complaint(SLACK__SIGNING_SECRET="shh")


def test_a_signing_secret_alone_is_http_mode() -> None:
    settings = load(SLACK__APP_TOKEN="", SLACK__SIGNING_SECRET="shh")
    assert settings.slack.app_token is None
    assert settings.slack.signing_secret is not None


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [
        ("SLACK__BOT_TOKN", "SLACK__BOT_TOKEN"),
        ("SLACK_BOT_TOKEN", "SLACK__BOT_TOKEN"),
        ("HTTP__PROT", "HTTP__PORT"),
        ("MESHTECH__ROUTES__GET_JOBS", "MESHTECH__ROUTES__GET_JOB"),
    ],
)
def test_an_unknown_variable_is_refused_with_the_nearest_name(unknown: str, nearest: str) -> None:
    sentence = complaint(**{unknown: "x"})
    assert sentence.startswith(f"MESHBOT_{unknown} is not a setting")
    assert f"(the nearest is MESHBOT_{nearest})" in sentence


def test_a_whole_group_as_one_variable_is_unknown() -> None:
    assert "MESHBOT_SLACK is not a setting" in complaint(SLACK='{"bot_token": "xoxb-1"}')


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("SERVICE_HOST", "10.96.3.7"),
        ("SERVICE_PORT", "80"),
        ("SERVICE_PORT_HTTP", "80"),
        ("PORT", "tcp://10.96.3.7:80"),
        ("PORT_80_TCP", "tcp://10.96.3.7:80"),
        ("PORT_80_TCP_PROTO", "tcp"),
        ("PORT_53_UDP_PORT", "53"),
        ("PORT_80_TCP_ADDR", "10.96.3.7"),
        ("HTTP_SERVICE_HOST", "10.96.3.8"),
        ("HTTP_PORT", "tcp://10.96.3.8:80"),
        ("HTTP_METRICS_SERVICE_PORT_9090", "9090"),
        ("ENV_PATH", "/usr/bin"),
        ("DB_ENV_MESHBOT_SLACK__BOT_TOKEN", "xoxb-of-another"),
        ("VERSION", "1.4.0"),
        ("SERVICE_HOST", "\udcff"),
        ("NAME", "/proxy/meshbot"),
        ("DB_NAME", "/app/db"),
        ("DB_PORT_5432_TCP_START", "tcp://172.17.0.5:5432"),
        ("DB_PORT_5432_TCP_PORT_END", "5440"),
        ("DB_PORT_5432_5440_TCP", "tcp://172.17.0.5:5432"),
        ("DB_PORT_5432_5440_TCP_PORT_START", "5432"),
    ],
)
def test_what_kubernetes_docker_and_images_name_after_a_service_stops_nothing(name: str, text: str) -> None:
    assert load(**{name: text}) == load()


@pytest.mark.parametrize(
    "name",
    [
        *("HTTP_PORT", "SERVICE_HOTS", "VERSIONS", "PORT", "PORT_X_TCP", "ENV"),
        *("NAME", "DB_NAME", "DB_PORT_5432_TCP_STRAT", "DB_PORT_TCP_START", "START"),
    ],
)
def test_a_misspelled_name_is_refused_as_ever(name: str) -> None:
    assert f"MESHBOT_{name} is not a setting" in complaint(**{name: "8081"})


def test_every_wrong_setting_is_named_at_once_each_on_a_line() -> None:
    lines = complaint(
        SLACK__BOT_TOKEN="",
        SLACK__APP_TOKEN="",
        MESHTECH__PASSWORD="",
        HTTP__PROT="1",
        HTTP__PORT="x",
        TIMEZONE="Nowhere",
    ).splitlines()
    assert [line.partition(" ")[0].removeprefix("MESHBOT_") for line in lines] == [
        *(
            "HTTP__PROT",
            "SLACK__BOT_TOKEN",
            "SLACK__APP_TOKEN",
            "MESHTECH__PASSWORD",
            "HTTP__PORT",
            "TIMEZONE",
        )
    ]


def test_a_wrong_app_token_is_not_also_called_missing() -> None:
    assert complaint(SLACK__APP_TOKEN="xoxb-wrong").count("\n") == 0


def test_variables_of_others_are_left_alone() -> None:
    assert load_settings({**REQUIRED, "MESHBOARD": "1", "SLACK_BOT_TOKEN": "x"}, None, None) == load()


def test_names_are_not_case_sensitive() -> None:
    assert load_settings({**REQUIRED, "meshbot_http__port": "9"}, None, None).http.port == 9


@pytest.mark.parametrize("text", ["", "  "])
def test_empty_is_unset(text: str) -> None:
    assert load(HTTP__PORT=text, ROLLOUTS__WINDOW=text, CHANNELS__ALERTS=text) == load()


def test_the_environment_wins_over_the_file_and_the_file_over_secrets(tmp_path: Path) -> None:
    (tmp_path / "MESHBOT_HTTP__PORT").write_text("1\n")
    (tmp_path / "MESHBOT_HTTP__HOST").write_text("1.1.1.1\n")
    (tmp_path / "meshbot_slack__command").write_text("/secret\n")
    env_file = tmp_path / ".env"
    env_file.write_text("MESHBOT_HTTP__PORT=2\nMESHBOT_HTTP__HOST=2.2.2.2\n")
    settings = load_settings({**REQUIRED, "MESHBOT_HTTP__PORT": "3"}, env_file, tmp_path)
    assert (settings.http.port, settings.http.host, settings.slack.command) == (3, "2.2.2.2", "/secret")


def test_an_env_file_is_taken_as_it_is_written(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("# the account\nexport MESHBOT_MESHTECH__PASSWORD='a$b ${HOME} #c'\nOTHER=1\n")
    settings = load_settings({**REQUIRED, "MESHBOT_MESHTECH__PASSWORD": ""}, env_file, None)
    assert settings.meshtech.password.get_secret_value() == "a$b ${HOME} #c"


def test_a_line_of_an_env_file_that_means_nothing_is_named(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("A=1\nMESHBOT_HTTP__PORT 8080\n")
    with pytest.raises(SettingsError, match=r"Line 2 of .*\.env is not of the form NAME=value: correct"):
        load_settings(REQUIRED, env_file, None)


def test_each_line_without_an_equals_sign_is_refused_with_its_number(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# mine\n\nMESHBOT_TIMEZONE\nexport HOME\n\n\nMESHBOT_LOG__LEVEL info\nOTHER=1 # fine\n")
    with pytest.raises(SettingsError) as caught:
        load_settings(REQUIRED, env_file=file, secrets_dir=None)
    assert [line.split(" ", 2)[:2] for line in str(caught.value).splitlines()] == [
        *(["Line", "3"], ["Line", "4"], ["Line", "7"]),
    ]


@pytest.mark.parametrize("text", ["hunter2 #7", "#7", " # 7", "a b\t#c"])
def test_a_password_that_a_comment_would_cut_is_explained(tmp_path: Path, text: str) -> None:
    file = tmp_path / ".env"
    file.write_text(f"\nMESHBOT_MESHTECH__PASSWORD={text}\n")
    with pytest.raises(SettingsError, match=r"Line 2 of .* single quotes") as caught:
        load_settings({**REQUIRED, "MESHBOT_MESHTECH__PASSWORD": ""}, env_file=file, secrets_dir=None)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("'hunter2 #7'", "hunter2 #7"), ('"a #b" # mine', "a #b"), ("hunter2#7", "hunter2#7")],
)
def test_a_password_may_hold_what_begins_a_comment_elsewhere(
    tmp_path: Path, written: str, meant: str
) -> None:
    file = tmp_path / ".env"
    file.write_text(f"MESHBOT_MESHTECH__PASSWORD={written}\nMESHBOT_TIMEZONE=UTC # a comment\n")
    given = {**REQUIRED, "MESHBOT_MESHTECH__PASSWORD": ""}
    settings = load_settings(given, env_file=file, secrets_dir=None)
    assert settings.meshtech.password.get_secret_value() == meant


def test_a_folder_where_the_env_file_should_be_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is a folder: put a file"):
        load_settings(REQUIRED, tmp_path, None)


def test_an_unknown_name_in_an_env_file_is_refused(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("MESHBOT_HTTP_PORT=8080\n")
    with pytest.raises(SettingsError, match="MESHBOT_HTTP_PORT is not a setting"):
        load_settings(REQUIRED, env_file, None)


def test_other_files_among_the_secrets_stay_unread(tmp_path: Path) -> None:
    (tmp_path / "certificate.der").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "kubernetes.io").mkdir()
    assert load_settings(REQUIRED, None, tmp_path) == load()


def test_a_secret_that_is_no_text_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / "MESHBOT_MESHTECH__PASSWORD").write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="cannot be read"):
        load_settings(REQUIRED, None, tmp_path)


def test_an_unknown_name_among_the_secrets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "MESHBOT_MESHTECH_PASSWORD").write_text("hunter2-secret")
    with pytest.raises(SettingsError, match="the nearest is MESHBOT_MESHTECH__PASSWORD"):
        load_settings(REQUIRED, None, tmp_path)


def test_a_file_where_the_folder_of_secrets_should_be_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text("hunter2-secret")
    with pytest.raises(SettingsError, match=r"^The folder of secrets cannot be used: [^\n]*\.$"):
        load_settings(REQUIRED, None, tmp_path / "secrets")


def test_a_folder_of_secrets_that_is_not_there_holds_none(tmp_path: Path) -> None:
    assert load_settings(REQUIRED, None, tmp_path / "secrets") == load()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("2h", 7200), ("1h30m", 5400), ("1d", 86400), ("45", 45), ("0.5s", 0.5)],
)
def test_a_duration_is_written_with_units_or_as_plain_seconds(text: str, seconds: float) -> None:
    assert load(JOBS__POLL_EVERY=text).jobs.poll_every == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["0", "-5m", "5 parsecs", "m", "30m1h", "1e3", "99999d"])
def test_a_duration_that_is_none_is_refused(text: str) -> None:
    assert complaint(JOBS__POLL_EVERY=text).startswith("MESHBOT_JOBS__POLL_EVERY is not usable: ")


def test_a_wait_may_be_nothing() -> None:
    assert load(ROLLOUTS__SOAK="0").rollouts.soak == timedelta(0)


@given(
    st.timedeltas(timedelta(0), timedelta(days=3000)).map(lambda d: timedelta(seconds=int(d.total_seconds())))
)
def test_a_duration_that_is_shown_can_be_read_again(value: timedelta) -> None:
    assert value_formats.duration(value_formats.show_duration(value)) == value


def test_a_share_is_a_fraction() -> None:
    assert load(ALERTS__STORM_SHARE="12.5%").alerts.storm_share == 0.125


@pytest.mark.parametrize("text", ["20", "0%", "101%", "0.2", "%"])
def test_a_share_without_percent_or_out_of_range_is_refused(text: str) -> None:
    assert "a share is written like 20%" in complaint(ROLLOUTS__PER_SITE=text)


def test_the_threshold_of_a_second_approval_is_a_number_and_a_share_or_off() -> None:
    assert load().rollouts.second_above == (100, 0.25)
    assert load(ROLLOUTS__SECOND_ABOVE="50, 10%").rollouts.second_above == (50, 0.1)
    assert load(ROLLOUTS__SECOND_ABOVE="off").rollouts.second_above is None


@pytest.mark.parametrize(
    ("text", "value", "shown"),
    [("100", (100, None), "100"), ("25%", (None, 0.25), "25%"), ("25%, 100", (100, 0.25), "100,25%")],
)
def test_the_threshold_may_be_a_number_alone_or_a_share_alone(
    text: str, value: tuple[int | None, float | None], shown: str
) -> None:
    assert load(ROLLOUTS__SECOND_ABOVE=text).rollouts.second_above == value
    assert value_formats.show_threshold(value) == shown


@pytest.mark.parametrize("text", ["100,200", "25%,50%", "ten", "100,25%,5", ",", "-1"])
def test_a_threshold_that_is_none_is_refused(text: str) -> None:
    assert "a number of gateways, a share or both" in complaint(ROLLOUTS__SECOND_ABOVE=text)


def test_waves_keep_counts_and_shares_apart() -> None:
    waves = load(ROLLOUTS__WAVES="1, 5%,100%").rollouts.waves
    assert waves == (1, 0.05, 1.0)
    assert [type(size) for size in waves or ()] == [int, float, float]


@pytest.mark.parametrize("text", ["0,100%", "50%,25%", "5,5,100%", "five", "100%,120%"])
def test_waves_that_do_not_grow_are_refused(text: str) -> None:
    assert "MESHBOT_ROLLOUTS__WAVES is not usable" in complaint(ROLLOUTS__WAVES=text)


@pytest.mark.parametrize(
    ("text", "days", "start", "end"),
    [
        ("Mo-Fr 22:00-05:00", (0, 1, 2, 3, 4), time(22), time(5)),
        ("sa-mo 00:00-24:00", (0, 5, 6), time(0), time(0)),
        ("We,Fr 08:30-12:00", (2, 4), time(8, 30), time(12)),
        ("22:00-05:00", (0, 1, 2, 3, 4, 5, 6), time(22), time(5)),
    ],
)
def test_a_window_is_days_and_two_times(text: str, days: tuple[int, ...], start: time, end: time) -> None:
    assert load(ROLLOUTS__WINDOW=text).rollouts.window == Window(frozenset(days), start, end)


@pytest.mark.parametrize(
    "text", ["Mo-Xx 22:00-05:00", "22-5", "Mo 25:00-26:00", "Mo-Fr", "Mo-Fr-Su 01:00-02:00"]
)
def test_a_window_that_is_none_is_refused(text: str) -> None:
    assert "MESHBOT_ROLLOUTS__WINDOW is not usable" in complaint(ROLLOUTS__WINDOW=text)


def test_lists_are_separated_by_commas() -> None:
    access = load(ACCESS__OPERATORS="U01ABC, S02DEF,,U01ABC").access
    assert access.operators == ("U01ABC", "S02DEF")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("ACCESS__ADMINS", "ana"),
        ("ALERTS__ESCALATE_TO", "U01ABC"),
        ("CHANNELS__ALERTS", "#alerts"),
        ("SLACK__COMMAND", "mesh"),
        ("SLACK__BOT_TOKEN", "xapp-1"),
        ("SLACK__APP_TOKEN", "xoxb-1"),
        ("SLACK__BOT_TOKEN", "xoxe.xoxb-1-rotates"),
        ("SLACK__API_URL", "slack.com"),
        ("SLACK__API_URL", "https:///api"),
        ("MESHTECH__PAGE_SIZE", "0"),
        ("HTTP__PORT", "65536"),
        ("DATABASE_URL", "mysql://db"),
        ("DATABASE_URL", "sqlite:///"),
        ("TIMEZONE", "Mars/Olympus"),
        ("TIMEZONE", "../etc/passwd"),
        ("LOG__LEVEL", "loud"),
        ("ROLLOUTS__SELF_APPROVAL", "maybe"),
        ("MESHTECH__ROUTES__GET_JOB", "FETCH /jobs"),
        ("MESHTECH__ROUTES__GET_JOB", "GET /jobs/{job}"),
        ("MESHTECH__FIELDS__CREATE_JOB", "deviceIds"),
    ],
)
def test_a_wrong_value_is_one_sentence_that_names_the_variable(variable: str, text: str) -> None:
    sentence = complaint(**{variable: text})
    assert sentence.startswith(f"MESHBOT_{variable} is not usable: ")
    assert sentence.endswith(".")
    assert "\n" not in sentence


def test_routes_and_field_names_are_given_by_operation() -> None:
    meshtech = load(
        MESHTECH__ROUTES__GET_JOB="get /v2/jobs/{id}",
        MESHTECH__ROUTES__LIST_JOBS="GET https://jobs.example.com/all",
        MESHTECH__FIELDS__CREATE_JOB="deviceIds=things, firmwareId=fw",
    ).meshtech
    assert meshtech.routes == {
        "GET_JOB": "GET /v2/jobs/{id}",
        "LIST_JOBS": "GET https://jobs.example.com/all",
    }
    assert meshtech.fields == {"CREATE_JOB": {"deviceIds": "things", "firmwareId": "fw"}}


def test_a_value_is_never_read_as_json() -> None:
    assert "ours=theirs" in complaint(MESHTECH__FIELDS__CREATE_JOB='{"deviceIds": "things"}')
    assert "comma-separated" in complaint(ACCESS__ADMINS='["U01ABC"]')


def test_addresses_are_brought_to_one_form() -> None:
    settings = load(SLACK__API_URL="http://127.0.0.1:9/api", MESHTECH__API_URL="http://127.0.0.1:8/")
    assert settings.slack.api_url == "http://127.0.0.1:9/api/"
    assert settings.meshtech.api_url == "http://127.0.0.1:8"


# What no host and port can be: each was once found out by a library, in words of its own.
NO_SERVER = (
    *("h:99999", "h:0", "h:-1", "h:port", "h:8:9", "h:８０", "a..b", ".a", f"{'a' * 64}.no", "256.1.1.1"),
    *("[::1", "::1]", "[:::]", "[::1]x", "[::1]:x", "[v1.x]", "h\\x", "h st", "h\u202est", "℀.no"),
)


@pytest.mark.parametrize("host", NO_SERVER, ids=ascii)
@pytest.mark.parametrize(
    ("variable", "before"),
    [
        ("SLACK__API_URL", "https://"),
        ("MESHTECH__AUTH_URL", "https://"),
        ("MESHTECH__API_URL", "http://"),
        ("MESHTECH__ROUTES__GET_JOB", "GET https://"),
        ("DATABASE_URL", "postgresql://me@"),
    ],
)
def test_an_address_whose_host_or_port_cannot_be_is_refused(variable: str, before: str, host: str) -> None:
    assert complaint(**{variable: f"{before}{host}/x"}).startswith(f"MESHBOT_{variable} is not usable: ")


@pytest.mark.parametrize("more", ["me:s3cret@x.example", "x.example/?key=s3cret", "x.example/#s3cret"])
def test_an_address_that_others_are_joined_to_has_no_user_name_query_or_fragment(more: str) -> None:
    sentence = complaint(MESHTECH__API_URL=f"https://{more}")
    assert "MESHBOT_MESHTECH__API_URL is not usable: it must be an address without" in sentence
    assert "s3cret" not in sentence


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load().http.port = 1  # type: ignore[misc]


def test_no_secret_is_printed_described_or_complained_about() -> None:
    url = "postgresql://bot:pg-secret@db/meshbot?sslpassword=key-secret"
    settings = load(DATABASE_URL=url)
    described = "\n".join(f"{line.variable} {line.value}" for line in settings.describe())
    assert "-secret" not in f"{settings!r} {settings} {described}"
    assert "postgresql://••••••@db/meshbot?••••••" in described
    assert "pg-secret" not in complaint(DATABASE_URL=url.replace("postgresql", "mysql"))
    assert "this" not in complaint(SLACK__BOT_TOKEN="not-this-secret")


@pytest.mark.parametrize(
    ("url", "rule"),
    [
        ("postgresql://me:s3cret@db:five/mesh", "its port, a number"),
        ("postgresql://me:s3cret@db:65536/mesh", "its port, a number"),
        ("postgresql://me:s3cret@db:54:32/mesh", "its port, a number"),
        ("postgresql://me:s3cret@db/mesh?port=x", "its port, a number"),
        ("postgresql://me:s3cret@one,two/mesh", "several hosts"),
        ("postgresql://me:s3cret@one:5432,two:5432/mesh", "several hosts"),
        ("postgresql://me:s3cret@/mesh?host=one,two", "several hosts"),
        ("postgresql://me:s3cret@/mesh?host=one:5432&host=two:5432", "several hosts"),
        ("postgresql://me:s3cret@/mesh?hostaddr=10.0.0.1,10.0.0.2", "several hosts"),
        ("postgresql://me:p@s3cret@db/mesh", "like %40 for @"),
        ("postgresql://me:p/s3cret@db/mesh", "like %40 for @"),
        ("postgresql://me:p?s3cret@db/mesh", "like %40 for @"),
        ("postgresql://me:p#s3cret@db/mesh", "like %40 for @"),
        ("postgresql://me:p[s3cret@db/mesh", "like %40 for @"),
        ("postgresql://db/mesh?user=me&password=p@s3cret", "like %40 for @"),
        ("postgresql://me:s3cret@db/mesh?port=5432&port=5433", "it has port more than once"),
        ("postgresql://me@db/mesh?password=s3cret&password=x", "it has password more than once"),
        ("postgresql://me:s3cret@db/mesh?prepare_threshold=0", "leave prepare_threshold out"),
        ("postgresql://me:s3cret@db/mesh?autocommit=true", "leave autocommit out"),
        ("postgresql://me:s3cret@db/mesh?plugin=x", "leave plugin out"),
        ("postgresql://me:s3cret%00@db:5432/mesh?sslmode=verify-full", "must not hold a NUL"),
        ("sqlite:///:memory:", "the path of a file"),
        ("sqlite:///%3Amemory%3A", "the path of a file"),
        ("sqlite:///mesh.db?timeout=abc", "the path of a file"),
    ],
)
def test_an_address_of_a_database_that_means_nothing_is_one_sentence_without_it(url: str, rule: str) -> None:
    sentence = complaint(DATABASE_URL=url)
    assert sentence.startswith("MESHBOT_DATABASE_URL is not usable: ")
    assert rule in sentence
    assert "s3cret" not in sentence


@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///mesh",
        "postgres://me@db/mesh",
        "postgresql://me:p%40%2F@[::1]:5433/mesh?sslmode=verify-full&target_session_attrs=read-write",
        "postgresql://me@/mesh?host=/var/run/postgresql&port=6432",
    ],
)
def test_an_address_of_a_database_may_be_any_that_its_own_library_knows(url: str) -> None:
    taken = load(DATABASE_URL=url).database_url.get_secret_value()
    assert taken == url.replace("postgres://", "postgresql://")  # which is another name of it


def test_everything_secret_is_known_to_whoever_redacts() -> None:
    settings = load(DATABASE_URL="postgresql://bot:p%2Fw@db/meshbot")
    assert {"xoxb-bot-secret", "xapp-app-secret", "hunter2-secret", "p%2Fw", "p/w"} <= set(settings.secrets())


def test_a_description_says_value_and_default_as_one_would_write_them() -> None:
    described = {line.variable: line for line in load(FLEET__POLL_EVERY="90").describe()}
    assert described["MESHBOT_FLEET__POLL_EVERY"].value == "1m30s"
    assert described["MESHBOT_FLEET__POLL_EVERY"].default == "60s"
    assert described["MESHBOT_ALERTS__GROUP_WAIT"].value == "60s"
    assert described["MESHBOT_ROLLOUTS__WAVES"].value == "5,5%,25%,50%,100%"
    assert described["MESHBOT_ROLLOUTS__SECOND_ABOVE"].value == "100,25%"
    assert all(line.meaning for line in described.values())


def test_scopes_are_ids_with_queries_whose_own_commas_stay_in_them() -> None:
    settings = load(ACCESS__SCOPES="S0123=tag:oslo,bergen,U0456=site:tromsø is:online")
    assert settings.access.scopes == (("S0123", "tag:oslo,bergen"), ("U0456", "site:tromsø is:online"))


@pytest.mark.parametrize("text", ["S0123", "S0123=", "S0123=tag:oslo,S0123=tag:bergen", "S0123=is:purple"])
def test_scopes_that_cannot_be_understood_are_refused(text: str) -> None:
    assert complaint(ACCESS__SCOPES=text).startswith("MESHBOT_ACCESS__SCOPES is not usable: ")


def test_a_mark_in_front_of_a_file_is_no_part_of_it(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MESHBOT_HTTP__PORT=2\n", encoding="utf-8-sig")
    (tmp_path / "MESHBOT_MESHTECH__PASSWORD").write_text("correct horse\n", encoding="utf-8-sig")
    settings = load_settings({**REQUIRED, "MESHBOT_MESHTECH__PASSWORD": ""}, tmp_path / ".env", tmp_path)
    assert (settings.http.port, settings.meshtech.password.get_secret_value()) == (2, "correct horse")


def test_bytes_that_are_no_text_are_refused_by_the_name_of_their_variable() -> None:
    with pytest.raises(SettingsError, match=r"^MESHBOT_MESHTECH__PASSWORD is not usable: it is not UTF-8"):
        load(MESHTECH__PASSWORD="secret-\udcff")


def test_what_somebody_must_set_has_nothing_to_fall_back_on() -> None:
    described = {line.variable: line for line in load().describe()}
    assert described["MESHBOT_MESHTECH__USERNAME"].fallback == ""
    assert described["MESHBOT_SLACK__APP_TOKEN"].fallback == ""
    assert described["MESHBOT_FLEET__POLL_EVERY"].fallback == "60s"


def test_where_no_digest_comes_by_itself_a_subscription_gets_one_at_the_default_time() -> None:
    assert load(ALERTS__DIGEST_AT="off").alerts.usual_digest_at == load().alerts.digest_at
    assert load(ALERTS__DIGEST_AT="09:30").alerts.usual_digest_at == time(9, 30)


def test_an_address_in_the_portal_holds_its_placeholder() -> None:
    assert load().portal.gateway_url == ""
    written = "https://p.example/{site}/g?id={gateway}"
    assert load(PORTAL__GATEWAY_URL=written).portal.gateway_url == written
    assert load(PORTAL__SITE_URL="http://127.0.0.1:8/{site}").portal.site_url == "http://127.0.0.1:8/{site}"


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("https://p.example/g", "must hold {gateway}"),
        ("https://p.example/{gateway}/{model}", "no other braces; it may hold {site} too"),
        ("https://p.example/<{gateway}>", "no other braces"),
        ("https://{gateway}.example/", "behind its host"),
        ("http://p.example/{gateway}", "must begin with https://"),
        ("javascript:alert('{gateway}')", "begins with https://"),
        ("https://p.example/{gateway} x", "ones that can be"),
        ("https://a@p.example/{gateway}", "without a user name"),
    ],
)
def test_an_address_in_the_portal_that_is_none_is_refused(text: str, rule: str) -> None:
    assert rule in complaint(PORTAL__GATEWAY_URL=text)
