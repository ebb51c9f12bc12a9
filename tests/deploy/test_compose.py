"""With Docker: the README's commands, typed to Docker's own client, with podman for an engine.

Two images stand in for those of a registry: Debian's Python for Python's, and Debian's PostgreSQL for
PostgreSQL's. The Dockerfile is built on the first. The bot reaches Slack and the portal through a proxy here.
"""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bot.settings.env_file import write_settings
from tests.deploy.packages import ELSEWHERE, compose_client
from tests.project.test_readme import block_after
from tests.test_network import Office, in_office
from tests.worlds.process import IN_TIME

ONE, TWO = (line.partition("  #")[0].strip() for line in block_after("With Docker, in the clone"))
OURS = ("meshbot", "migrate", "replica")
NAMES = Path("/run/containers/networks/aardvark-dns")  # one for all of root's podmans
PYTHON = """
FROM scratch
COPY --from=debian / /
COPY --from=packages / /srv/packages
ENV PIP_NO_INDEX=1 PIP_FIND_LINKS=/srv/packages
"""
POSTGRESQL = """
FROM localhost/python
COPY start /
RUN install -d -o postgres /var/run/postgresql /var/lib/postgresql/data
USER postgres
ENTRYPOINT ["sh", "-e", "/start"]
"""
START = """
cd /usr/lib/postgresql/*/bin
data=/var/lib/postgresql/data
echo "$POSTGRES_PASSWORD" > /tmp/password
./initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --encoding=UTF8 --auth=scram-sha-256 "$data"
echo "host all all all scram-sha-256" >> "$data/pg_hba.conf"
echo "CREATE DATABASE $POSTGRES_USER" | ./postgres --single -D "$data" postgres
exec ./postgres -D "$data" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql
"""
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]  # not as many as there could be
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


@dataclass
class Engine:
    """podman with files of its own, and a clone in which somebody types what the README says.

    Its project has a name of its own, so that it does not meet the network of a test that was killed.
    """

    folder: Path
    clone: Path
    environ: dict[str, str]

    @property
    def program(self) -> list[str]:
        own = {"root": "storage", "runroot": "run", "network-config-dir": "networks"}
        return ["podman", *(f"--{option}={self.folder / name}" for option, name in own.items())]

    @property
    def project(self) -> str:
        return self.folder.name

    def podman(self, *words: str | Path) -> str:
        done = subprocess.run(
            [*self.program, *words],
            cwd=self.clone,
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + (done.stderr if "logs" in words else "")

    def build(self, name: str, recipe: str, *words: str | Path, **files: str) -> None:
        context = self.folder / Path(name).name
        context.mkdir()
        for file, text in {"Dockerfile": recipe, **files}.items():
            (context / file).write_text(text, encoding="utf-8")
        self.podman("build", "--tag", name, *words, context)

    def is_healthy(self, service: str, number: int = 1) -> bool:
        """Asks what systemd asks on a machine that has it: the container's own check."""
        try:
            self.podman("healthcheck", "run", f"{self.project}-{service}-{number}")
        except AssertionError:
            return False
        return True

    def type(self, command: str, *, waits_for: str = "") -> None:
        with (self.folder / "typed").open("w+") as said:
            typed = subprocess.Popen(
                command.split(), cwd=self.clone, env=self.environ, stdout=said, stderr=said, text=True
            )
            try:
                for _ in range(600):
                    if waits_for:
                        self.is_healthy(waits_for)
                    with suppress(subprocess.TimeoutExpired):
                        typed.wait(1)
                        break
            finally:
                typed.kill()
            said.seek(0)
            assert typed.wait() == 0, said.read() + self.podman("logs", "--names", *self.names("ps", "--all"))

    def names(self, *listing: str) -> list[str]:
        column = "{{.Names}}" if "ps" in listing else "{{.Name}}"
        return self.podman(*listing, f"--format={column}").split()

    def container(self, service: str, number: int = 1) -> dict[str, Any]:
        (found,) = json.loads(self.podman("inspect", f"{self.project}-{service}-{number}"))
        return dict(found)

    def left(self) -> list[str]:
        """What it runs or keeps but for its images, and whom it told the names of containers."""
        names = [*self.names("ps", "--all"), *self.names("network", "ls"), *self.names("volume", "ls")]
        resolved = [path.name for path in NAMES.glob(f"{self.project}*")]
        return sorted({*names} - {"podman"}) + resolved + running(f"{self.folder / 'run'}", but="service")


def running(word: str, *, but: str) -> list[str]:
    """The command lines with this word and not the other."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            line = path.read_text().replace("\0", " ")
            if word in line and but not in line:
                found.append(line)
    return found


@pytest.fixture(scope="module")
def images(
    debian: Path, packages: Path, repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """An engine with the images that others make; it makes ours from the Dockerfile when it needs it."""
    work = tmp_path_factory.mktemp("compose")
    folder = Path(tempfile.mkdtemp(prefix="meshbot-"))  # short, as podman wants it
    clone = work / "meshbot"
    subprocess.run(["git", "clone", "--quiet", repository, clone], check=True, timeout=60)
    recipe = (clone / "Dockerfile").read_text(encoding="utf-8")
    (clone / "Dockerfile").write_text(
        re.sub(r"^FROM \S+", "FROM localhost/python", recipe, flags=re.MULTILINE)
    )
    (work / "cli-plugins").mkdir()
    (work / "cli-plugins" / "docker-compose").symlink_to(compose_client(work / "tools"))
    (work / "containers.conf").write_text(CONFIGURATION)
    environ = {
        **ELSEWHERE,
        "CONTAINERS_CONF": str(work / "containers.conf"),
        "DOCKER_CONFIG": str(work),
        "DOCKER_HOST": f"unix://{folder / 'socket'}",
        "DOCKER_BUILDKIT": "0",  # podman builds in its own way
        "COMPOSE_FILE": f"compose.yaml:{folder / 'outside.yaml'}",
        "COMPOSE_PROJECT_NAME": folder.name,
    }
    engine = Engine(folder, clone, environ)
    service = subprocess.Popen(
        [*engine.program, "system", "service", "--time=0", environ["DOCKER_HOST"]],
        env=environ,
        stderr=subprocess.DEVNULL,
    )
    try:
        files = (f"--build-context=debian={debian}", f"--build-context=packages={packages}")
        engine.build("localhost/python", PYTHON, *files)
        engine.build("docker.io/library/postgres:17", POSTGRESQL, start=START)
        yield engine
    finally:
        service.terminate()
        service.wait(IN_TIME)
        subprocess.run(["umount", folder / "storage" / "overlay"], check=False, capture_output=True)
        shutil.rmtree(folder)


@pytest.fixture
def engine(images: Engine) -> Iterator[Engine]:
    """It runs nothing before and after."""
    try:
        yield images
        images.type("docker compose --profile postgresql down --volumes")
        assert images.left() == []
    finally:
        images.podman("rm", "--all", "--force", "--time=5", "--volumes")
        images.podman("network", "prune", "--force")
        images.podman("volume", "prune", "--force")


def lead_outside(engine: Engine, world: Office) -> None:
    """Writes the settings as the questions do, and for Docker the way through the proxy."""
    own = {name: text for name, text in world.variables.items() if name not in {"DATABASE_URL", "HTTP__PORT"}}
    write_settings(
        engine.clone / ".env",
        {"POSTGRES_PASSWORD": "letters1"} | {f"MESHBOT_{name}": text for name, text in own.items()},
    )
    outside = {
        "environment": {
            "HTTPS_PROXY": world.proxy.url().replace("0.0.0.0", "host.containers.internal"),
            "SSL_CERT_FILE": "/office.pem",
        },
        "volumes": [f"{world.proxy.authority}:/office.pem:ro"],
    }
    (engine.folder / "outside.yaml").write_text(json.dumps({"services": dict.fromkeys(OURS, outside)}))


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.containers
@pytest.mark.timeout(1800)  # it makes a Debian and three images
async def test_docker_starts_one_bot_that_may_do_nothing_else_and_stops_in_order(
    engine: Engine, tmp_path: Path
) -> None:
    async with in_office(tmp_path, on="0.0.0.0") as world:
        lead_outside(engine, world)
        await asyncio.to_thread(engine.type, ONE)
        await world.slack.wait_for(lambda: world.slack.connected == 2, IN_TIME)
        one = engine.container("meshbot")
        assert (one["Config"]["User"], one["HostConfig"]["ReadonlyRootfs"]) == ("10001", True)
        assert one["EffectiveCaps"] in (None, [])
        assert [volume["Destination"] for volume in one["Mounts"] if volume["Type"] == "volume"] == ["/data"]
        assert await asyncio.to_thread(engine.is_healthy, "meshbot")
        await asyncio.to_thread(engine.type, "docker compose stop")
        assert engine.container("meshbot")["State"]["ExitCode"] == 0
        await world.slack.wait_for(lambda: world.slack.connected == 0, IN_TIME)


@pytest.mark.soak
@pytest.mark.index
@pytest.mark.containers
@pytest.mark.timeout(1800)
async def test_docker_starts_two_replicas_once_their_database_is_migrated_and_stops_them_in_order(
    engine: Engine, tmp_path: Path
) -> None:
    async with in_office(tmp_path, on="0.0.0.0") as world:
        lead_outside(engine, world)
        await asyncio.to_thread(engine.type, TWO, waits_for="postgres")
        await world.slack.wait_for(lambda: world.slack.connected == 4, IN_TIME)
        assert engine.container("migrate")["State"]["ExitCode"] == 0
        for number in (1, 2):
            assert await asyncio.to_thread(engine.is_healthy, "replica", number)
        await asyncio.to_thread(engine.type, "docker compose stop replica")
        assert [engine.container("replica", number)["State"]["ExitCode"] for number in (1, 2)] == [0, 0]
        await world.slack.wait_for(lambda: world.slack.connected == 0, IN_TIME)
