"""A release: one version, whole packages, a workflow that takes nothing by name alone, known licences."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / ".github/workflows").iterdir()}
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
VERSION = PROJECT["version"]
CHECK = "sha256sum --check SHA256SUMS"
LOCKS = ("requirements.lock", "requirements-charts.lock", "requirements-dev.lock")


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==\S+", (ROOT / lock).read_text(encoding="utf-8"), re.MULTILINE))


def test_each_lock_has_what_the_smaller_one_has_in_the_same_versions() -> None:
    light, charts, everything = map(pins, LOCKS)
    assert light < charts < everything
    assert not [pin for pin in light if pin.startswith(("matplotlib==", "numpy=="))]


def test_the_version_stands_in_one_place() -> None:
    places = ["Dockerfile", "compose.yaml", "deploy/kubernetes.yaml", "Makefile", "bot/__init__.py"]
    assert [place for place in places if VERSION in (ROOT / place).read_text(encoding="utf-8")] == []


def test_every_version_of_python_that_it_is_for_is_tested() -> None:
    matrix = yaml.safe_load(WORKFLOWS["test.yml"])["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert matrix == [one.rpartition(" ")[2] for one in PROJECT["classifiers"]]


def test_what_a_workflow_takes_from_others_is_named_by_its_hash() -> None:
    for name, text in WORKFLOWS.items():
        taken = [one for one in re.findall(r"uses: (\S+)", text) if not one.startswith("./")]
        assert taken, name
        assert [one for one in taken if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", one)] == []


def test_nothing_is_released_untested_and_the_image_says_what_it_is_made_of() -> None:
    jobs = yaml.safe_load(WORKFLOWS["release.yml"])["jobs"]
    assert jobs.pop("test")["uses"] == "./.github/workflows/test.yml"
    assert {job["needs"] for job in jobs.values()} == {"test"}
    (build,) = [step["with"] for step in jobs["image"]["steps"] if "build-push" in step.get("uses", "")]
    assert (build["sbom"], build["provenance"]) == (True, "mode=max")
    assert build["platforms"] == "linux/amd64,linux/arm64"
    (tested,) = [job for job in yaml.safe_load(WORKFLOWS["test.yml"])["jobs"].values() if "strategy" in job]
    assert tested["steps"][-1] == {"run": ".ci/run"}
    for script in re.findall(r"(\.ci/[\w-]+)", "".join(WORKFLOWS.values())):
        assert (ROOT / script).is_file()


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """What the scripts of a release read and write."""
    shutil.copytree(ROOT / ".ci", tmp_path / ".ci")
    for name in ("CHANGELOG.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


def notes(tree: Path, tag: str) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, tree / ".ci/release-notes", tag)


def test_one_step_releases_the_changelog_which_is_what_the_release_says(tree: Path) -> None:
    said = notes(tree, f"v{VERSION}")
    assert (said.returncode, "release it first" in said.stderr) == (1, True)
    before = (tree / "CHANGELOG.md").read_text(encoding="utf-8")
    assert run(tree / ".ci/release-changelog").returncode == 0
    after = (tree / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(
        rf"^## \[Unreleased\]\n\n## \[{VERSION}\] - \d{{4}}-\d\d-\d\d\n\n### Added$", after, re.MULTILINE
    )
    said = notes(tree, f"v{VERSION}")
    assert said.returncode == 0
    assert said.stdout.strip() == before.partition("first version.\n\n")[2].strip()
    assert run(tree / ".ci/release-changelog").returncode == 1, "not twice"


def test_a_tag_that_is_not_the_version_is_refused(tree: Path) -> None:
    assert f"the tag is v{VERSION}" in notes(tree, "v9.9.9").stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist of a clone that lies beside them."""
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(["git", "clone", "--quiet", ROOT, folder / "clone"], check=True, timeout=60)
    build = "import setuptools.build_meta as b; b.build_sdist('..'); b.build_wheel('..')"
    made = subprocess.run(
        [sys.executable, "-c", build], cwd=folder / "clone", capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return folder


def test_the_sums_of_a_release_tell_a_file_that_did_not_arrive_as_it_was_built(
    built: Path, tmp_path: Path
) -> None:
    (command,) = re.findall(r"run: (sha256sum .+)$", WORKFLOWS["release.yml"], re.MULTILINE)
    subprocess.run(["sh", "-ec", command], cwd=built, check=True, timeout=60)
    arrived = [Path(shutil.copy(path, tmp_path)) for path in (*built.glob("*.*z"), *built.glob("*.whl"))]
    assert len(arrived) == 2
    shutil.copy(built / "SHA256SUMS", tmp_path)

    def check() -> int:
        return subprocess.run(["sh", "-c", CHECK], cwd=tmp_path, capture_output=True, check=False).returncode

    assert CHECK in (ROOT / "docs" / "releasing.md").read_text(encoding="utf-8").splitlines()
    assert check() == 0
    arrived[0].write_bytes(arrived[0].read_bytes()[:-1])
    assert check() != 0


def test_wheel_and_sdist_hold_everything_that_is_tracked(built: Path) -> None:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=built / "clone", capture_output=True, text=True, check=True
    )
    tracked = set(listed.stdout.split("\n")) - {""}
    with tarfile.open(built / f"meshbot-{VERSION}.tar.gz") as sdist:
        packed = {one.name.partition("/")[2] for one in sdist if one.isfile()}
    assert tracked - packed == set()
    assert {one for one in packed - tracked if ".egg-info/" not in one} == {"PKG-INFO", "setup.cfg"}
    about = f"meshbot-{VERSION}.dist-info/"
    with zipfile.ZipFile(built / f"meshbot-{VERSION}-py3-none-any.whl") as wheel:
        names, said = set(wheel.namelist()), wheel.read(f"{about}METADATA").decode()
    assert {one for one in names if not one.startswith(about)} == {
        one for one in tracked if one.startswith("bot/")
    }
    assert f"{about}licenses/LICENSE" in names
    assert "Provides-Extra: charts" in said


# ---- what is carried along
def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_image_is_built_on_a_base_that_a_digest_names() -> None:
    bases = re.findall(r"^FROM (\S+)", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(bases) == 2
    assert len(set(bases)) == 1
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+@sha256:[0-9a-f]{64}", bases[0])


def test_every_package_of_the_image_has_its_licence_in_the_list_and_no_other() -> None:
    lock = (ROOT / "requirements-charts.lock").read_text(encoding="utf-8")
    listed = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) +\| (.+?) +\|", listed, re.MULTILINE)
    licences = {canonical(name): licence for name, licence in rows if name != "Name"}
    assert set(licences) == {canonical(name) for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)}, (
        "make licences"
    )
    assert [name for name, licence in licences.items() if licence == "UNKNOWN"] == []


@pytest.mark.parametrize(
    ("found", "status", "exit_status", "said"),
    [
        ("No known vulnerabilities found", 0, 0, ""),
        ("Found 2 known vulnerabilities in 1 package", 1, 1, "make upgrade"),
        ("ERROR: idna: Dependency not found on PyPI and could not be audited", 1, 2, "Nothing was checked"),
        ("error: Failed to fetch: `https://index.example/pip-audit/`", 2, 2, "Nothing was checked"),
    ],
)
def test_an_audit_that_could_not_ask_did_not_pass(
    tmp_path: Path, found: str, status: int, exit_status: int, said: str
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(f"#!/bin/sh\ncat <<'END'\n{found}\nEND\nexit {status}\n")
    uv.chmod(0o755)
    done = subprocess.run(
        [ROOT / ".ci" / "audit"],
        env={**os.environ, "UV": str(uv)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (exit_status, found)
    assert said in done.stderr
