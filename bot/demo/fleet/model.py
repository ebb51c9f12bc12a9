"""The things of the simulated portal: a clock, gateways, firmware, jobs, and how each looks on the wire.

Only values and their JSON. What happens to them is in `life`, who asks for them in `simulator`.
"""

import json
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

Json = dict[str, Any]


class SimulatorClock:
    """Aware UTC that runs `speed` times faster than real time (0 stands still) and can be moved by hand."""

    def __init__(self, speed: float = 1.0, start: datetime | None = None) -> None:
        self._base = (start or datetime.now(UTC)).astimezone(UTC)
        self._since = time.monotonic()
        self._speed = speed

    def now(self) -> datetime:
        return self._base + timedelta(seconds=(time.monotonic() - self._since) * self._speed)

    @property
    def speed(self) -> float:
        return self._speed

    def set_speed(self, speed: float) -> None:
        """Run faster or slower from now on; the time of day does not jump."""
        if speed < 0:
            raise ValueError("A clock does not run backwards: give a speed of 0 or more.")
        self._base, self._since, self._speed = self.now(), time.monotonic(), speed

    def advance(self, by: timedelta) -> None:
        self._base += by


class Behaviour(StrEnum):
    """What a firmware does to the gateways that take it."""

    GOOD = "good"
    FAILS = "fails"  # the gateway reports FAILED
    BRICKS = "bricks"  # it never comes back from its reboot
    LIES = "lies"  # the job says SUCCEEDED, the version stays
    SILENT = "silent"  # it stays IN_PROGRESS for ever
    DROPS_NEIGHBOURS = "drops_neighbours"  # other gateways of its site go offline meanwhile
    REJECTS = "rejects"  # the gateway refuses the job


class PortalJobStatus(StrEnum):
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"


class TargetStatus(StrEnum):
    """A gateway's status within a job."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    REMOVED = "REMOVED"
    CANCELED = "CANCELED"

    @property
    def is_final(self) -> bool:
        return self not in (TargetStatus.QUEUED, TargetStatus.IN_PROGRESS)


@dataclass(slots=True)
class Device:
    """A gateway as the portal sees it. Change its attributes freely: its encoded JSON follows."""

    id: str
    friendly_name: str | None = None
    model: str | None = None
    labels: list[str] | None = field(default_factory=list)
    connected: bool | None = None
    changed_at: datetime | None = None
    firmware: str | None = None
    hardware: str | None = None
    imei: str | None = None
    status: str | None = None
    boot_mode: str | None = None
    _encoded: tuple[tuple[str, ...], bytes] | None = field(
        default=None, init=False, repr=False, compare=False
    )

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)
        if name != "_encoded":
            object.__setattr__(self, "_encoded", None)

    @property
    def site(self) -> str | None:
        """The first label: where the gateway hangs."""
        return self.labels[0] if self.labels else None

    def wire(self) -> Json:
        connectivity = None
        if self.connected is not None or self.changed_at is not None:
            connectivity = {"connected": self.connected, "timestamp": stamp(self.changed_at, self.id)}
        return {
            "id": self.id,
            "friendlyName": self.friendly_name,
            "modelNumber": self.model,
            "labels": self.labels,
            "bootMode": self.boot_mode,
            "connectivity": connectivity,
            "firmwareVersion": self.firmware,
            "hardwareVersion": self.hardware,
            "imei": self.imei,
            "status": self.status,
        }

    def encoded(self) -> bytes:
        """The JSON of `wire`, kept until something changes: a listing of 100,000 joins ready bytes."""
        labels = tuple(self.labels or ())  # a list can change under us without a word
        if self._encoded is None or self._encoded[0] != labels:
            self._encoded = (labels, encode(self.wire()))
        return self._encoded[1]


@dataclass(slots=True)
class PortalFirmware:
    id: str
    model: str
    version: str
    file_name: str
    created_at: datetime
    description: str
    behaviour: Behaviour = Behaviour.GOOD
    share: float = 1.0  # of the gateways that misbehave on it
    size: int | None = None
    checksum: str | None = None

    def wire(self) -> Json:
        return {
            "id": self.id,
            "modelNumber": self.model,
            "version": self.version,
            "fileName": self.file_name,
            "createdAt": stamp(self.created_at, self.id),
            "description": self.description,
            "size": self.size,
            "checksum": self.checksum,
        }


@dataclass(slots=True)
class JobTarget:
    status: TargetStatus
    details: str | None
    updated_at: datetime


@dataclass(slots=True)
class Job:
    id: str
    name: str
    firmware_id: str
    created_at: datetime
    devices: dict[str, JobTarget]
    status: PortalJobStatus = PortalJobStatus.SCHEDULED
    completed_at: datetime | None = None
    unfinished: int = 0

    def summary(self) -> Json:
        """As in the list of jobs: without the devices."""
        return {
            "id": self.id,
            "name": self.name,
            "status": self.status.value,
            "firmwareId": self.firmware_id,
            "createdAt": stamp(self.created_at, self.id),
            "completedAt": stamp(self.completed_at, self.id),
        }

    def wire(self) -> Json:
        devices = [
            {
                "deviceId": device_id,
                "status": target.status.value,
                "statusDetails": target.details,
                "updatedAt": stamp(target.updated_at, device_id),
            }
            for device_id, target in self.devices.items()
        ]
        return {**self.summary(), "devices": devices}


class Devices(dict[str, Device]):
    """Devices by id, with the sorted order in which the portal pages through them."""

    def __init__(self) -> None:
        super().__init__()
        self._order: list[str] | None = None

    def in_order(self) -> list[str]:
        if self._order is None or len(self._order) != len(self):
            self._order = sorted(self)
        return self._order

    def __setitem__(self, device_id: str, device: Device) -> None:
        if device_id not in self:
            self._order = None
        super().__setitem__(device_id, device)

    def __delitem__(self, device_id: str) -> None:
        self._order = None
        super().__delitem__(device_id)


def encode(document: object) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode(errors="replace")


def stamp(moment: datetime | None, salt: str) -> str | None:
    """ISO 8601 in UTC with 0 to 7 fractional digits, as .NET writes it; how many depends on the owner."""
    if moment is None:
        return None
    text = moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")
    digits = (zlib.crc32(salt.encode()) + moment.microsecond) % 8
    return f"{text[:19]}.{(text[20:] + '0')[:digits]}Z" if digits else f"{text[:19]}Z"


def renamed(document: Any, names: dict[str, str]) -> Any:
    """The same document with its keys renamed at every depth."""
    if isinstance(document, dict):
        return {names.get(key, key): renamed(value, names) for key, value in document.items()}
    if isinstance(document, list):
        return [renamed(value, names) for value in document]
    return document


def mapped(document: Any, change: Callable[[str, Any], Any]) -> Any:
    """The same document with `change(key, value)` for each value that is no dict and no list of dicts."""
    if isinstance(document, list):
        return [mapped(item, change) for item in document]
    if not isinstance(document, dict):
        return document
    return {
        key: mapped(value, change) if _is_nested(value) else change(key, value)
        for key, value in document.items()
    }


def _is_nested(value: Any) -> bool:
    return isinstance(value, dict) or (
        isinstance(value, list) and any(isinstance(item, dict) for item in value)
    )
