"""Prometheus Alertmanager with one Slack receiver, where it is installed: a peer to measure storms by."""

import asyncio
import json
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import aiohttp

PROGRAM = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")
# All alerts are one group, told of at once: its own waiting is not counted either.
_CONFIG = """
route: {{receiver: slack, group_by: [alertname], group_wait: 0s, group_interval: 100ms, repeat_interval: 4h}}
receivers:
  - name: slack
    slack_configs:
      - api_url: {hook}
        channel: '#alerts'
        title: '{{{{ .Alerts.Firing | len }}}} gateways offline'
        text: >-
          {{{{ range $i, $one := .Alerts.Firing }}}}{{{{ if lt $i 10 }}}}
          {{{{ $one.Annotations.summary }}}} {{{{ end }}}}{{{{ end }}}}
"""


class Alertmanager:
    """A running one. ``post`` hands it alerts as Prometheus would, but all in one request."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]") -> None:
        self.pid = process.pid
        self._url = f"http://127.0.0.1:{port}"

    async def settle(self, session: aiohttp.ClientSession) -> None:
        """Returns when it is ready and has nothing to do."""
        for _ in range(600):
            try:
                async with session.get(f"{self._url}/-/ready") as answer:
                    if answer.status == 200:
                        break
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
        await asyncio.sleep(1)

    async def post(self, session: aiohttp.ClientSession, gateways: int) -> None:
        headers = {"Content-Type": "application/json"}
        async with session.post(
            f"{self._url}/api/v2/alerts", data=BytesIO(_alerts(gateways)), headers=headers
        ) as answer:
            assert answer.status == 200, await answer.text()


@contextmanager
def alertmanager(folder: Path, hook: str) -> Iterator[Alertmanager]:
    """Its data in ``folder``, its messages to ``hook``; it speaks to nobody but this machine."""
    assert PROGRAM is not None
    folder.mkdir()
    (folder / "config.yml").write_text(_CONFIG.format(hook=hook))
    port = _free_port()
    flags = {
        "config.file": f"{folder}/config.yml",
        "storage.path": f"{folder}/data",
        "web.listen-address": f"127.0.0.1:{port}",
        "cluster.listen-address": "",
    }
    with (folder / "log").open("wb") as log:
        command = [PROGRAM, *(f"--{name}={value}" for name, value in flags.items())]
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield Alertmanager(port, process)
    finally:
        process.terminate()
        process.wait(30)


def _alerts(gateways: int) -> bytes:
    started = datetime.now(UTC).isoformat()
    return json.dumps(
        [
            {
                "labels": {
                    "alertname": "GatewayOffline",
                    "gateway": f"bmac-{number:012x}",
                    "site": f"site-{number % 2000}",
                    "model": "2011",
                    "firmware": "3.4.1",
                },
                "annotations": {"summary": f"MT{number} is offline"},
                "startsAt": started,
            }
            for number in range(gateways)
        ]
    ).encode()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
