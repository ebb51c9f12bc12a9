"""Megabytes of a process, by the kernel's own count."""

from pathlib import Path


def resident(pid: int | str = "self") -> float:
    return _read(pid, "VmRSS")


def peak(pid: int | str = "self") -> float:
    """The most since its start, or since ``forget_peak``."""
    return _read(pid, "VmHWM")


def forget_peak(pid: int | str = "self") -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def _read(pid: int | str, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024
