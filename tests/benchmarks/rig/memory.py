"""Megabytes and seconds of work of a process, by the kernel's own count."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path


def resident(pid: int | str = "self") -> float:
    return _read(pid, "VmRSS")


def peak(pid: int | str = "self") -> float:
    """The most since its start, or since ``forget_peak``."""
    return _read(pid, "VmHWM")


def forget_peak(pid: int | str = "self") -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def worked(pid: int | str = "self") -> float:
    """Seconds of the processor's time, in all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def turns() -> AsyncIterator[list[float]]:
    """How long the event loop worked before it came back to a timer of 1 ms, in ms of the processor's time:
    what others on the machine do is not in it, nor what other threads do.
    """
    found: list[float] = []

    async def watch() -> None:
        while True:
            began = time.thread_time()
            await asyncio.sleep(0.001)
            found.append((time.thread_time() - began) * 1000)

    watching = asyncio.create_task(watch())
    try:
        yield found
    finally:
        watching.cancel()


def _read(pid: int | str, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
