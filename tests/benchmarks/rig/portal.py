"""A simulated portal in a process of its own, so that its work is not counted in ours, and what lists it."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from bot.demo.fleet.simulator import FleetSimulator
from bot.meshtech.client import MeshtechClient
from bot.services.context import Context
from bot.services.fleet.search import FleetService
from bot.storage.db.engine import Database
from bot.storage.db.schema import migrate
from tests.worlds.builders import PAGING, fleet_service

USERNAME, PASSWORD = "demo", "demo-password"
SHARED = "uplink-7"


@dataclass
class Portal:
    """Where it listens, and how to have gateways changed in it."""

    auth_url: str
    api_url: str
    _process: "subprocess.Popen[str]"

    def change(self, gateways: int) -> None:
        """So many gateways get new names."""
        self._do("rename", gateways)

    def tag(self, gateways: int) -> None:
        """So many gateways get one more tag, SHARED."""
        self._do("tag", gateways)

    def disconnect(self, gateways: int) -> None:
        """So many gateways go offline, all others are online."""
        self._do("disconnect", gateways)

    def _do(self, what: str, gateways: int) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {gateways}\n")
        self._process.stdin.flush()
        self._process.stdout.readline()


@contextmanager
def portal(gateways: int) -> Iterator[Portal]:
    root = str(Path(__file__).parents[3])
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, str(gateways)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": root},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        auth_url, api_url = json.loads(process.stdout.readline())
        yield Portal(auth_url, api_url, process)
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()


@asynccontextmanager
async def fleet_of(vendor: Portal, folder: Path, page_size: int = 250) -> AsyncIterator[FleetService]:
    """The bot's own view of a portal, with its database in the folder."""
    database = Database.open(f"sqlite:///{folder}/fleet.db")
    await migrate(database)
    client = MeshtechClient(
        vendor.auth_url, vendor.api_url, USERNAME, PASSWORD, now=now, **PAGING | {"page_size": page_size}
    )
    yield fleet_service(Context(database, now), client)
    await client.aclose()
    await database.close()


def now() -> datetime:
    return datetime.now(UTC)


async def serve(gateways: int) -> None:
    """Each line on stdin says what to do to how many gateways; its end is ours."""
    simulator = FleetSimulator(gateways=gateways, username=USERNAME, password=PASSWORD)
    simulator.keep_requests(0)
    await simulator.start()
    print(json.dumps([simulator.auth_url, simulator.api_url]), flush=True)
    changes = itertools.count(1)
    while line := await asyncio.to_thread(sys.stdin.readline):
        what, number = line.split()
        chosen = list(simulator.devices)[: int(number)]
        if what == "disconnect":
            simulator.connect(simulator.devices)
            simulator.disconnect(chosen)
        for id_ in chosen:
            if what == "rename":
                simulator.rename(id_, f"changed {next(changes)}")
            elif what == "tag":
                device = simulator.device(id_)
                device.labels = [*(device.labels or ()), SHARED]
        for device in simulator.devices.values():
            device.encoded()  # so that the next listing does not wait for it
        print("done", flush=True)
    await simulator.stop()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
