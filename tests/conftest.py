"""What every test gets: a clean environment, databases, and plain words about tests that cannot run here.

PostgreSQL, Chromium and a package index are not asked of a newcomer: without them their tests are left out,
and the summary says so. In CI (``CI=true``) they are asked for, and their absence is a failure.
"""

import logging
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings as hypothesis_settings

from bot.demo.slack.wire_log import EventLog
from bot.storage.db.engine import Database
from tests.slack.manifest_rules import SLACKS_OWN
from tests.worlds import databases, postgres
from tests.worlds.databases import sqlite_url
from tests.worlds.leaks import Leaks

IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NETWORK = ("http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file", "ssl_cert_dir")


def find_browser() -> str | None:
    return next((path for name in _BROWSERS if (path := shutil.which(name))), None)


@cache
def package_index() -> bool | None:
    """Whether pip finds anything where it looks."""
    ask = "install --dry-run --no-deps --ignore-installed --quiet --retries 1 --timeout 10 idna"
    pip = subprocess.run([sys.executable, "-m", "pip", *ask.split()], capture_output=True, check=False)
    return pip.returncode == 0 or None


# A mark, what it needs, how to see whether that is here, how to get it.
_NEEDS: dict[str, tuple[str, Callable[[], object | None], str]] = {
    "postgres": ("PostgreSQL", postgres.programs, postgres.INSTALL),
    "pgbouncer": ("PgBouncer", postgres.pooler, postgres.INSTALL_POOLER),
    "browser": ("Chromium", find_browser, "apt-get install chromium"),
    "promtool": ("promtool", lambda: shutil.which("promtool"), "apt-get install prometheus"),
    "systemd": ("systemd", lambda: shutil.which("systemd-analyze"), "apt-get install systemd"),
    "machine": (
        "root, debootstrap and systemd-nspawn",
        lambda: os.geteuid() == 0 and shutil.which("debootstrap") and shutil.which("systemd-nspawn"),
        "as root, apt-get install debootstrap systemd-container",
    ),
    "containers": (
        "root, debootstrap, docker, podman, runc and iptables",
        lambda: (
            os.geteuid() == 0
            and all(map(shutil.which, ("debootstrap", "docker", "podman", "runc", "iptables")))
        ),
        "as root, apt-get install debootstrap docker.io podman runc iptables",
    ),
    "index": ("a package index", package_index, "pip must reach one: see pip config debug"),
}

_LEFT_OUT = pytest.StashKey[dict[str, int]]()


def pytest_configure(config: pytest.Config) -> None:
    """Nothing of the developer's own environment reaches a test, nor the programs a test starts."""
    config.stash[_LEFT_OUT] = {}
    for name in list(os.environ):
        if name == SLACKS_OWN:
            continue  # the schema of manifests, which a developer may hand to the tests
        if name.startswith(("MESHBOT_", "SLACK_")) or name.lower() in _NETWORK:
            del os.environ[name]
    # Random examples are for exploring (HYPOTHESIS_PROFILE=explore); a test suite gives one answer.
    hypothesis_settings.register_profile("steady", derandomize=True, deadline=None, max_examples=50)
    hypothesis_settings.register_profile("explore", deadline=None, max_examples=1000)
    hypothesis_settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--all-on-both", action="store_true", help="run every test with a database on PostgreSQL too"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with a database runs on SQLite, and on PostgreSQL too where it carries the mark ``on_both``.

    With ``--all-on-both`` every test does, but one that carries ``on_sqlite``.
    """
    marked = metafunc.definition.get_closest_marker
    on_both = marked("on_both") or (metafunc.config.getoption("all_on_both") and not marked("on_sqlite"))
    kinds = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)][: 2 if on_both else 1]
    for name in {"database_url", "empty_database_url"} & set(metafunc.fixturenames):
        metafunc.parametrize(name, kinds, indirect=True)


@pytest.hookimpl(trylast=True)  # after -m, so that nothing is asked for that nobody chose
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IN_CI:
        return  # kept, and each fails below
    for mark in _NEEDS:
        chosen = [item for item in items if item.get_closest_marker(mark)]
        if chosen and _is_missing(mark):
            config.hook.pytest_deselected(items=chosen)
            items[:] = [item for item in items if item not in chosen]
            config.stash[_LEFT_OUT][mark] = len(chosen)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark, (what, _, install) in _NEEDS.items():
        if item.get_closest_marker(mark) and _is_missing(mark):
            pytest.fail(f"{what} is not here, and CI asks for it: {install}", pytrace=False)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands what it left out to the process that prints the summary."""
    output: dict[str, Any] | None = getattr(session.config, "workeroutput", None)
    if output is not None:
        output["left_out"] = session.config.stash[_LEFT_OUT]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    # Every worker collects everything, so their counts are the same and are not added up.
    node.config.stash[_LEFT_OUT].update(getattr(node, "workeroutput", {}).get("left_out", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for mark, number in config.stash[_LEFT_OUT].items():
        what, _, install = _NEEDS[mark]
        tests = "1 test that needs" if number == 1 else f"{number} tests that need"
        terminalreporter.write_line(f"left out: {tests} {what} ({install})", yellow=True)


def _is_missing(mark: str) -> bool:
    _, find, _ = _NEEDS[mark]
    return find() is None


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A test that configures logging, as the command line does, leaves no trace of it to the next one."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    known = {name: one for name, one in root.manager.loggerDict.items() if isinstance(one, logging.Logger)}
    before = {name: (one.level, one.disabled, one.propagate) for name, one in known.items()}
    yield
    root.setLevel(level)
    root.handlers[:] = handlers
    for name, one in root.manager.loggerDict.items():
        if isinstance(one, logging.Logger):
            one_level, one.disabled, one.propagate = before.get(name, (logging.NOTSET, False, True))
            one.setLevel(one_level)


@pytest.fixture(autouse=True)
def no_secret_is_said(logging_as_it_was: None) -> Iterator[None]:
    """No token and no password is in a log line, or in anything that the demo's Slack is told."""
    leaks = Leaks()
    logging.getLogger("bot").setLevel(logging.INFO)
    logging.getLogger().addHandler(leaks)
    EventLog.listeners.append(leaks.told)
    yield
    EventLog.listeners.remove(leaks.told)
    assert leaks.found == []


@pytest.fixture(autouse=True)
def statements_compiled_once(request: pytest.FixtureRequest) -> Iterator[None]:
    """For whatever is not measured."""
    if request.node.get_closest_marker("bench"):
        yield
        return
    with databases.statements_compiled_once():
        yield


@pytest.fixture(scope="session")
def postgres_cluster() -> Iterator[postgres.Cluster]:
    """A PostgreSQL of this test process's own."""
    bin_directory = postgres.programs()
    assert bin_directory is not None, "a test that uses PostgreSQL is marked `postgres`"
    with postgres.running_cluster(bin_directory) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def _pooler(postgres_cluster: postgres.Cluster) -> Iterator[None]:
    program = postgres.pooler()
    assert program is not None, "a test that uses PgBouncer is marked `pgbouncer`"
    with postgres.running_pooler(program, postgres_cluster):
        yield


@pytest.fixture
def pooled_url(postgres_url: str, postgres_cluster: postgres.Cluster, _pooler: None) -> str:
    """A PostgreSQL database with our schema, through PgBouncer; marked `postgres` and `pgbouncer`."""
    return postgres_cluster.pooled(postgres_url)


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a PostgreSQL database with our schema; the test must carry the mark `postgres`."""
    with _cluster(request).database_with_schema() as url:
        yield url


@pytest.fixture
def empty_postgres_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The same without a schema."""
    with _cluster(request).empty_database() as url:
        yield url


def _cluster(request: pytest.FixtureRequest) -> postgres.Cluster:
    assert request.node.get_closest_marker("postgres"), "mark this test `postgres`"
    cluster: postgres.Cluster = request.getfixturevalue("postgres_cluster")
    return cluster


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database with our schema and no rows: on SQLite, or on PostgreSQL."""
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same without a schema."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/meshbot.db"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """That database, open."""
    opened = Database.open(database_url)
    yield opened
    await opened.close()
