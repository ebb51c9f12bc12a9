"""What a portal's document of five megabytes costs, as a process of its own: JSON, and YAML."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.meshtech.test_documents import API, dotnet, large, settings

SECONDS, MEGABYTES = 5.0, 200.0  # of the processor's time, and at most in memory
READ = """
import asyncio, json, sys
from bot.meshtech.contract import compare, fetch
from bot.meshtech.routes import NEXT_TOKEN, RouteTable
from bot.network import DIRECT
from tests.benchmarks.rig.memory import peak, worked
where, api = sys.argv[1:]
found = compare(asyncio.run(fetch(where, DIRECT)), RouteTable(api), api_url=api, next_token=NEXT_TOKEN)
print(json.dumps([{name: value for one in found for name, value in one.settings.items()}, worked(), peak()]))
"""

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]


@pytest.mark.parametrize("kind", ["json", "yaml", "flow"])
def test_five_megabytes_are_compared_within_their_goals(kind: str, tmp_path: Path) -> None:
    path, text = tmp_path / f"large.{kind}", large(2100)
    if kind == "yaml":
        text = yaml.dump(json.loads(large(2900)), Dumper=yaml.CSafeDumper, sort_keys=False)
    elif kind == "flow":
        text = f"# what is JSON otherwise\n{text}"
    path.write_text(text)

    done = subprocess.run(
        [sys.executable, "-c", READ, str(path), API], capture_output=True, text=True, check=True
    )
    printed, seconds, megabytes = json.loads(done.stdout)

    print(f"\n{len(text) / 1e6:.1f} MB of {kind}: {seconds:.1f} s, at most {megabytes:.0f} MB")
    expected = settings(dotnet())
    assert {name.removeprefix("MESHBOT_MESHTECH__"): value for name, value in printed.items()} == expected
    assert seconds < SECONDS
    assert megabytes < MEGABYTES
