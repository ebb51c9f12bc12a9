"""What the image carries: from a named base, with known licences, and looked up for known weaknesses."""

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


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
