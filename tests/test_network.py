"""The way to the outside: through a proxy or directly, with whose certificates, and why it fails."""

import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from bot.app import App
from bot.demo.fleet.simulator import FleetSimulator
from bot.demo.slack import workspace
from bot.demo.slack.server import SlackServer
from bot.demo.slack.text import message_text
from bot.doctor import run as doctor
from bot.domain.errors import StartupError
from bot.network import Network
from tests.office import PASSWORD as PROXY_PASSWORD
from tests.office import OfficeProxy, office
from tests.settings.test_settings import load
from tests.worlds.process import IN_TIME, PASSWORD

SLACK, MESHTECH = "https://slack.com/api/", "https://iot-api.meshtech.no"


# ---- what the environment says
@pytest.mark.parametrize(
    ("environ", "through"),
    [
        ({}, None),
        ({"HTTPS_PROXY": "http://proxy:3128"}, "http://proxy:3128"),
        ({"https_proxy": "http://small:1", "HTTPS_PROXY": "http://large:1"}, "http://small:1"),
        ({"HTTPS_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ({"HTTPS_PROXY": "ana:p%40ss@proxy:3128/"}, "http://ana:p%40ss@proxy:3128/"),
        ({"HTTPS_PROXY": "https://[::1]:3128"}, "https://[::1]:3128"),
        ({"ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "http://all:1"}, "http://all:1"),
        ({"HTTP_PROXY": "http://proxy:3128"}, None),
        ({"HTTPS_PROXY": "proxy:1", "NO_PROXY": "localhost, slack.com"}, None),
        ({"HTTPS_PROXY": "proxy:1", "NO_PROXY": ".COM"}, None),
        ({"HTTPS_PROXY": "proxy:1", "NO_PROXY": "*"}, None),
        ({"HTTPS_PROXY": "proxy:1", "no_proxy": "slack.com:443"}, None),
        ({"HTTPS_PROXY": "proxy:1", "NO_PROXY": "slack.com:8443,lack.com,files.slack.com"}, "http://proxy:1"),
    ],
)
def test_a_proxy_is_found_where_other_programs_find_it(
    environ: Mapping[str, str], through: str | None
) -> None:
    network = Network.of(environ)
    assert network.proxy_for(SLACK) == network.proxy_for("wss://wss-primary.slack.com/link") == through
    assert network.proxy_for("http://127.0.0.1:8080") is None


@pytest.mark.parametrize(
    ("proxy", "rule"),
    [
        ("socks5://me:s3cret@proxy:1080", "names a SOCKS proxy, which the bot does not speak to"),
        ("SOCKS5H://proxy:1080", "or except slack.com from it in NO_PROXY"),
        ("ftp://proxy", "must be http://host:port"),
        ("http://me:s3@cret@proxy:1", "written like %40 for @"),
        ("me:s3/cret@proxy:1", "written like %40 for @"),
        ("me:s3cret\udcff@proxy:1", "must be http://host:port"),
        ("http://proxy:port", "must be http://host:port"),
        ("http://", "must be http://host:port"),
        ("http://proxy:99999", "must be http://host:port"),
        ("http://proxy:0", "must be http://host:port"),
        ("a..b:1", "must be http://host:port"),
        ("http://[:::]:1", "must be http://host:port"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_refused_in_words_where_it_is_needed(proxy: str, rule: str) -> None:
    network = Network.of({"HTTPS_PROXY": proxy, "NO_PROXY": "meshtech.no"})
    assert network.proxy_for(MESHTECH) is None
    with pytest.raises(StartupError) as refused:
        network.proxy_for(SLACK)
    assert str(refused.value).startswith("HTTPS_PROXY ")
    assert rule in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("excepted", "host", "is_direct"),
    [
        ("::1", "[::1]", True),
        ("[::1]", "[::1]", True),
        ("[0:0::1]:443", "[::1]", True),
        ("[::1]:8443", "[::1]", False),
        ("fd00::/8", "[fd12::7]", True),
        ("[fd00::]/8:8443", "[fd12::7]:8443", True),
        ("fd00::/8", "[fe12::7]", False),
        ("10.0.0.0/8", "10.200.3.4", True),
        ("10.0.0.7/8", "10.200.3.4:8443", True),
        ("10.0.0.0/8:443", "10.200.3.4:8443", False),
        ("10.0.0.0/8", "11.0.0.1", False),
        ("10.0.0.0/8", "fd12.example", False),
        ("10.0.0.4", "10.0.0.4", True),
        (".0.4", "10.0.0.4", False),
        ("portal.example.", "portal.example", True),
        ("portal.example", "portal.example.", True),
        (".portal.example.", "api.portal.example", True),
        ("*.portal.example", "api.portal.example", True),
        ("PORTAL.example:8443", "portal.EXAMPLE:8443", True),
        ("portal.example:8443", "portal.example", False),
        ("tal.example", "portal.example", False),
        (".", "portal.example.", False),
        ("[::1,]:443,/8,:", "[::1]", False),
        ("one.example  two.example,,portal.example", "portal.example", True),
        ("*", "[::1]:8443", True),
    ],
)
def test_a_host_is_excepted_by_name_address_or_network_with_or_without_a_port(
    excepted: str, host: str, is_direct: bool
) -> None:
    network = Network.of({"HTTPS_PROXY": "proxy:3128", "NO_PROXY": excepted})
    assert (network.proxy_for(f"https://{host}/x") is None) is is_direct


@pytest.mark.parametrize("proxy", ["http://ana:p%40ss@proxy:1", "ana:p%40ss@proxy:1"])
def test_a_proxy_s_password_is_a_secret(proxy: str) -> None:
    network = Network.of({"HTTPS_PROXY": proxy})
    assert network.secrets() == {"p%40ss", "p@ss"}
    assert network.way_to(SLACK) == "through http://ana@proxy:1"


@pytest.mark.parametrize(
    ("name", "value"),
    [("SSL_CERT_FILE", "nowhere.pem"), ("SSL_CERT_FILE", "empty.pem"), ("SSL_CERT_DIR", "empty.pem")],
)
def test_certificates_that_are_not_there_are_named(name: str, value: str, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").touch()
    with pytest.raises(StartupError, match=rf"{name} names {tmp_path}/{value}, w.*unset it"):
        Network.of({name: f"{tmp_path}/{value}"}).trust()


def test_folders_of_certificates_are_a_list_and_one_without_any_is_not_called_trusted(tmp_path: Path) -> None:
    empty, unhashed, hashed = (tmp_path / name for name in ("empty", "unhashed", "hashed"))
    for folder, file in ((empty, None), (unhashed, "office.pem"), (hashed, "5ed36f99.0")):
        folder.mkdir()
        if file:
            (folder / file).touch()
    network = Network.of({"SSL_CERT_DIR": f"{empty}:{hashed}:{unhashed}"})
    network.trust()
    assert network.unread() == (str(empty), str(unhashed))
    assert str(hashed) in network.trusted()
    assert {str(empty), str(unhashed)}.isdisjoint(network.trusted())
    with pytest.raises(StartupError, match=rf"SSL_CERT_DIR names {tmp_path}/gone, which is no folder"):
        Network.of({"SSL_CERT_DIR": f"{hashed}:{tmp_path}/gone"}).trust()


# ---- both outside worlds, at the wire
@dataclass
class Office:
    """Slack and the portal by names that only the proxy knows."""

    slack: SlackServer
    portal: FleetSimulator
    proxy: OfficeProxy
    variables: dict[str, str]

    async def wrong(self) -> tuple[list[str], list[str]]:
        """What doctor says, and of that what is wrong with the two."""
        said: list[str] = []
        await doctor.run(load(**self.variables), openapi=None, now=lambda: datetime.now(UTC), say=said.append)
        return said, [line for line in said if line.startswith(("WRONG", "FATAL"))]


@asynccontextmanager
async def in_office(
    folder: Path, *, is_encrypted: bool = False, on: str = "127.0.0.1"
) -> AsyncIterator[Office]:
    slack = SlackServer(known_as="https://slack.test/")
    portal = FleetSimulator(gateways=3, password=PASSWORD)
    await slack.start()
    await portal.start()
    ports = [urlsplit(url).port or 0 for url in (portal.auth_url, portal.api_url)]
    behind = {"slack.test": slack.port, "ops.test": ports[0], "iot.test": ports[1]}
    variables = {
        "SLACK__BOT_TOKEN": slack.bot_token,
        "SLACK__APP_TOKEN": slack.app_token,
        "SLACK__API_URL": slack.api_url,
        "MESHTECH__AUTH_URL": "https://ops.test",
        "MESHTECH__API_URL": "https://iot.test",
        "MESHTECH__USERNAME": portal.username,
        "MESHTECH__PASSWORD": PASSWORD,
        "DATABASE_URL": f"sqlite:///{folder}/meshbot.db",
        "HTTP__PORT": "0",
        "CHANNELS__ALERTS": workspace.FLEET_ALERTS,
        "CHANNELS__ROLLOUTS": workspace.ROLLOUTS,
        "ACCESS__OPERATORS": workspace.OPERATORS,
        "ACCESS__APPROVERS": workspace.APPROVERS,
    }
    try:
        async with office(folder, behind, is_encrypted=is_encrypted, on=on) as proxy:
            yield Office(slack, portal, proxy, variables)
    finally:
        await portal.stop()
        await slack.stop()


@pytest.mark.parametrize("is_encrypted", [False, True])
async def test_both_outside_worlds_go_through_a_proxy_with_an_authority_of_its_own(
    is_encrypted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_office(tmp_path, is_encrypted=is_encrypted) as world:
        monkeypatch.setenv("HTTPS_PROXY", world.proxy.url())
        monkeypatch.setenv("SSL_CERT_FILE", str(world.proxy.authority))
        app = App(load(**world.variables), clock=world.portal.clock)
        await app.start()
        try:
            await world.slack.wait_for(lambda: world.slack.connected, IN_TIME)
            await app.scheduler.run_now("listing")
            act = await world.slack.command(workspace.VIEWER, workspace.OPS, "devices")
            answer = await world.slack.wait_for(lambda: act.responses, IN_TIME)
            assert "3 gateways" in message_text(answer[0])
        finally:
            await app.stop()
        assert set(world.proxy.seen) == {"slack.test", "ops.test", "iot.test"}


async def test_doctor_says_which_proxy_and_which_authorities_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_office(tmp_path) as world:
        monkeypatch.setenv("HTTPS_PROXY", world.proxy.url())
        monkeypatch.setenv("SSL_CERT_FILE", str(world.proxy.authority))
        monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
        said, wrong = await world.wrong()
        assert wrong == []
        assert f"note   certificates: nothing in {tmp_path} is read, since" in "\n".join(said)
        shown = f"http://bot%40office@{world.proxy.address}"
        assert f"ok     network: slack.test and ops.test and iot.test through {shown} (HTTPS_PROXY)" in said
        (line,) = [line for line in said if line.startswith("ok     certificates: ")]
        assert f"the authorities in {world.proxy.authority}" in line
        assert "ok     Meshtech: the account logs in and lists gateways" in said
        assert PROXY_PASSWORD not in "".join(said)


@pytest.mark.parametrize("fault", ["password", "certificate", "lost", "refused", "unknown", "excepted"])
async def test_what_keeps_both_worlds_away_is_told_as_such(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_office(tmp_path) as world:
        proxy, way = world.proxy, "the proxy "
        monkeypatch.setenv("SSL_CERT_FILE", str(proxy.authority))
        monkeypatch.setenv("HTTPS_PROXY", proxy.url())
        match fault:
            case "password":
                monkeypatch.setenv("HTTPS_PROXY", proxy.url("bot:old"))
                way += f"http://bot@{proxy.address} does not take the name and password in HTTPS_PROXY (407)"
            case "certificate":
                monkeypatch.delenv("SSL_CERT_FILE")
                way = "its certificate is not trusted (unable to get local issuer certificate); where"
            case "lost":
                proxy.behind = {}
                way += f"http://bot%40office@{proxy.address} does not lead there (502)"
            case "refused":
                with closing(socket.create_server(("127.0.0.1", 0))) as gone:
                    address = f"127.0.0.1:{gone.getsockname()[1]}"
                monkeypatch.setenv("HTTPS_PROXY", address)
                way += f"http://{address} refuses the connection"
            case "unknown":
                monkeypatch.setenv("HTTPS_PROXY", "nowhere.invalid:1")
                way = "the name of the proxy http://nowhere.invalid:1 is not known to DNS"
            case "excepted":
                monkeypatch.setenv("NO_PROXY", ".test")
                way = ".test is not known to DNS"
        _, wrong = await world.wrong()
        assert len(wrong) == 2, wrong
        assert "Slack does not answer: " in wrong[0]
        assert "Meshtech's log-in at ops.test does not work now: " in wrong[1]
        for line in wrong:
            assert way in line
            assert PROXY_PASSWORD not in line


async def test_a_proxy_that_cannot_be_used_is_one_line_of_doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with in_office(tmp_path) as world:
        monkeypatch.setenv("ALL_PROXY", "socks5://proxy:1080")
        _, wrong = await world.wrong()
        assert wrong[0].startswith("FATAL  network: ALL_PROXY names a SOCKS proxy")
        with pytest.raises(StartupError, match="SOCKS"):
            App(load(**world.variables))
