"""Firmware and update jobs as the portal has them, whoever made them.

Decides what a vendor's status word means. A word that nobody knows is kept as it is, shown as it is, and
never counts as the end of anything. Knows neither the vendor's wire nor our own rollouts.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NewType, Self

from bot.domain.gateways import GatewayId

FirmwareId = NewType("FirmwareId", str)
JobId = NewType("JobId", str)


class _Word(StrEnum):
    """A vendor's vocabulary; ``UNKNOWN`` stands for every other word."""

    @classmethod
    def of(cls, word: str | None) -> Self:
        """The meaning of a word, whatever its case and separators: ``InProgress`` is ``IN_PROGRESS``."""
        wanted = _letters(word or "")
        return next((known for known in cls if _letters(known.value) == wanted), cls("UNKNOWN"))


class JobStatus(_Word):
    SCHEDULED = "SCHEDULED"
    IN_PROGRESS = "IN_PROGRESS"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"

    @property
    def terminal(self) -> bool:
        return self in {JobStatus.COMPLETED, JobStatus.CANCELED}


class DeviceProgress(_Word):
    """How far one gateway is in a job."""

    QUEUED = "QUEUED"
    IN_PROGRESS = "IN_PROGRESS"
    SUCCEEDED = "SUCCEEDED"
    FAILED = "FAILED"
    TIMED_OUT = "TIMED_OUT"
    REJECTED = "REJECTED"
    REMOVED = "REMOVED"
    CANCELED = "CANCELED"
    UNKNOWN = "UNKNOWN"

    @property
    def terminal(self) -> bool:
        return self not in {DeviceProgress.QUEUED, DeviceProgress.IN_PROGRESS, DeviceProgress.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Firmware:
    """One firmware file. ``model`` is the model number it fits; any field but ``id`` may be missing."""

    id: FirmwareId
    model: str | None = None
    version: str | None = None
    file_name: str | None = None
    created_at: datetime | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class JobDevice:
    """One gateway's part in a job; ``word`` is the vendor's own word for its progress."""

    device_id: GatewayId
    progress: DeviceProgress = DeviceProgress.UNKNOWN
    word: str | None = None
    details: str | None = None
    updated_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class VendorJob:
    """An update job. ``word`` is the vendor's own for its status; in a list of jobs ``devices`` is empty."""

    id: JobId
    name: str | None = None
    status: JobStatus = JobStatus.UNKNOWN
    word: str | None = None
    firmware_id: FirmwareId | None = None
    created_at: datetime | None = None
    completed_at: datetime | None = None
    devices: tuple[JobDevice, ...] = ()


def _letters(word: str) -> str:
    letters = "".join(filter(str.isalpha, word)).upper()
    return "CANCELED" if letters == "CANCELLED" else letters


@dataclass(frozen=True, slots=True, order=True)
class FirmwareVersion:
    """``major.minor.patch`` or ``major.minor.patch-beta.n``; a release sorts after its betas."""

    major: int
    minor: int
    patch: int
    release: bool = True
    beta: int = 0

    @classmethod
    def parse(cls, text: str) -> "FirmwareVersion | None":
        """None when the text has another form: such versions equal only themselves and have no order."""
        match = re.fullmatch(r"(\d{1,8})\.(\d{1,8})\.(\d{1,8})(?:-beta\.(\d{1,8}))?", text.strip(), re.ASCII)
        if match is None:
            return None
        major, minor, patch = (int(part) for part in match.groups()[:3])
        beta = match.group(4)
        return cls(major, minor, patch, beta is None, int(beta) if beta else 0)

    @property
    def key(self) -> str:
        """Digits only, of equal length, so that text order is version order under every collation."""
        return f"{self.major:08}{self.minor:08}{self.patch:08}{int(self.release)}{self.beta:08}"

    def __str__(self) -> str:
        base = f"{self.major}.{self.minor}.{self.patch}"
        return base if self.release else f"{base}-beta.{self.beta}"


def firmware_key(text: str | None) -> str | None:
    """The sortable form of a version, or None when it has no order."""
    version = FirmwareVersion.parse(text) if text else None
    return version.key if version else None
