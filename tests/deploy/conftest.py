"""A fresh Debian, and the packages of the lock for its Python, for the tests of the ways to run."""

import subprocess
from pathlib import Path

import pytest

from tests.deploy.packages import ROOT, pip

RELEASE, PYTHON = "bookworm", "3.11"
PACKAGES = "ca-certificates,dbus,git,postgresql,python-is-python3,python3-pip,python3-venv,systemd-sysv"


@pytest.fixture(scope="session")
def debian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of a machine on which nothing was done yet; who uses it leaves it as it is."""
    root = tmp_path_factory.mktemp("debian") / "root"
    made = subprocess.run(
        ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", RELEASE, root],
        capture_output=True,
        text=True,
        check=False,
        timeout=1200,
    )
    assert made.returncode == 0, made.stdout[-2000:] + made.stderr
    return root


@pytest.fixture(scope="session")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the lock names, as files, so that a machine without an index installs it too."""
    folder = tmp_path_factory.mktemp("packages")
    lock = ROOT / "requirements-charts.lock"
    ours = ("--only-binary=:all:", "--python-version", PYTHON, "--require-hashes")
    pip("download", *ours, "--dest", folder, "-r", lock)
    return folder


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What somebody clones."""
    folder = tmp_path_factory.mktemp("repository")
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, folder], check=True, timeout=60)
    return folder
