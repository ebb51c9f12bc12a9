"""A throw-away PostgreSQL for the tests: one cluster for each test process, one database for each test.

It listens on a socket in its own directory only, so it needs no free port and no password, and it writes
nothing to disk for safety's sake: the cluster dies with the tests.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg

from bot.storage.db.tables import metadata
from tests.worlds.databases import make_schema

INSTALL = "apt-get install postgresql"
INSTALL_POOLER = "apt-get install pgbouncer"

# What makes a database durable makes tests slow; nothing here has to survive.
_FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "60",
    "shared_buffers": "32MB",
    "listen_addresses": "''",
}


def programs() -> Path | None:
    """The folder with ``initdb`` and ``pg_ctl``: the one on PATH, else Debian's newest."""
    on_path = shutil.which("initdb")
    if on_path and shutil.which("pg_ctl"):
        return Path(on_path).parent
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: float(path.parent.parent.name)
    )
    return found[-1].parent if found else None


def pooler() -> str | None:
    """PgBouncer, which Debian puts where only root looks."""
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@dataclass
class Cluster:
    """A running server, reached through the socket in ``directory``."""

    directory: Path
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))
    _empty: list[str] = field(default_factory=list)
    _with_schema: list[str] = field(default_factory=list)

    def url(self, database: str) -> str:
        return f"postgresql://postgres@/{database}?host={self.directory}"

    def pooled(self, url: str) -> str:
        """The same database through PgBouncer, where it runs."""
        return url.replace(f"host={self.directory}", f"host={self.directory / 'pooler'}&port=6432")

    @contextmanager
    def empty_database(self) -> Iterator[str]:
        """The URL of an empty database, emptied on the way out even if somebody is still connected.

        It is used again: making a database costs a copy of 7 MB, and dropping one a checkpoint.
        """
        name = self._empty.pop() if self._empty else self._create()
        try:
            yield self.url(name)
        finally:
            with self._alone_in(name) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")
            self._empty.append(name)

    @contextmanager
    def database_with_schema(self) -> Iterator[str]:
        """The URL of a database with our schema and no rows; it is used again, as above."""
        if self._with_schema:
            name = self._with_schema.pop()
        else:
            name = self._create()
            make_schema(self.url(name))
        try:
            yield self.url(name)
        finally:
            with self._alone_in(name) as connection:
                connection.execute("SET session_replication_role = replica")  # no trigger forbids it
                for table in metadata.tables.values():
                    connection.execute(f"DELETE FROM {table.name}".encode())
                for (sequence,) in connection.execute("SELECT sequencename FROM pg_sequences").fetchall():
                    connection.execute(f"ALTER SEQUENCE {sequence} RESTART".encode())
            self._with_schema.append(name)

    def _create(self) -> str:
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return name

    @contextmanager
    def _alone_in(self, name: str) -> Iterator[psycopg.Connection]:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            yield connection


@contextmanager
def running_cluster(bin_directory: Path) -> Iterator[Cluster]:
    """Make a cluster, start it, and remove every trace of it at the end."""
    # Not pytest's own temporary folder: a socket's path may be 107 bytes long at most, and a folder of
    # root's is closed to the user the server runs as.
    # In memory where there is such a folder: what it writes is of no use to anybody.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="meshbot-pg-", dir=memory))
    user = _server_user()
    if user is not None:
        os.chown(directory, user.pw_uid, user.pw_gid)
    data = directory / "data"
    initdb: list[str | Path] = [bin_directory / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N"]
    pg_ctl: list[str | Path] = [bin_directory / "pg_ctl", "-D", data, "-w", "-t", "60"]
    try:
        _run([*initdb, "-E", "UTF8", "--locale", "C"], user)
        with (data / "postgresql.auto.conf").open("a") as configuration:
            configuration.writelines(f"{name} = {value}\n" for name, value in _FAST.items())
            configuration.write(f"unix_socket_directories = '{directory}'\n")
        _run([*pg_ctl, "-l", directory / "log", "start"], user)
        try:
            yield Cluster(directory)
        finally:
            _run([*pg_ctl, "-m", "immediate", "stop"], user)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@contextmanager
def running_pooler(program: str, cluster: Cluster) -> Iterator[None]:
    """PgBouncer in transaction mode before a cluster, with fewer sessions there than the bot has here."""
    user, folder = _server_user(), cluster.directory / "pooler"
    folder.mkdir()
    if user is not None:
        os.chown(folder, user.pw_uid, user.pw_gid)
    settings = {
        "auth_type": "any",
        "pool_mode": "transaction",
        "default_pool_size": "4",
        "listen_port": "6432",
        "unix_socket_dir": str(folder),
        "log_connections": "0",
        "log_disconnections": "0",
        "log_stats": "0",
    }
    lines = [f"[databases]\n* = host={cluster.directory} user=postgres\n[pgbouncer]\n"]
    (folder / "pooler.ini").write_text(
        "".join([*lines, *(f"{key} = {one}\n" for key, one in settings.items())])
    )
    command = [program, folder / "pooler.ini"]
    with subprocess.Popen(command, cwd="/", stderr=subprocess.PIPE, text=True, **_as(user)) as process:  # type: ignore[call-overload]
        assert process.stderr is not None
        try:
            said = []
            for line in process.stderr:
                said.append(line)
                if "process up" in line:
                    break
            else:
                raise RuntimeError(f"{program} failed:\n{''.join(said)}")
            yield
        finally:
            process.kill()


def _server_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; then it runs as its own user, or else as nobody."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name: entry for entry in pwd.getpwall()}
    return known.get("postgres") or known["nobody"]


def _run(command: list[str | Path], user: pwd.struct_passwd | None) -> None:
    done = subprocess.run(  # type: ignore[call-overload] # the three names travel together
        command, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, **_as(user)
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{done.stdout}{done.stderr}")


def _as(user: pwd.struct_passwd | None) -> dict[str, object]:
    return {} if user is None else {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
