"""Firmware and update jobs as the portal has them, whoever made them; and what is wanted or known to be bad.

Decides what a vendor's status word means, and which of two versions is the newer. A word that nobody knows
is kept as it is, shown as it is, and never counts as the end of anything. Knows neither the vendor's wire nor
our own rollouts.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from typing import NewType, Self

from bot.domain.gateways import GatewayId, fold

FirmwareId = NewType("FirmwareId", str)
PolicyId = NewType("PolicyId", int)
JobId = NewType("JobId", str)


class _Word(StrEnum):
    """A vendor's vocabulary; ``UNKNOWN`` stands for every other word."""

    @classmethod
    @lru_cache(maxsize=256)  # a job has the same few words for thousands of gateways
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
    size: str | None = None  # as the portal tells it
    checksum: str | None = None

    @property
    def marks(self) -> Mapping[str, str]:
        """What tells this file from any other, in words; what the portal does not tell is empty."""
        return {
            "id": self.id,
            "model": self.model or "",
            "version": self.version or "",
            "name": self.file_name or "",
            "time": self.created_at.isoformat() if self.created_at else "",
            "size": self.size or "",
            "checksum": self.checksum or "",
        }

    def change(self, now: "Firmware | None") -> str | None:
        """How the portal's row of this file is another ``now``, as a clause; None where it is the same."""
        named = f"the file {self.file_name or self.id} of firmware {self.version}"
        if now is None:
            return f"{named} is no longer in the portal"
        theirs = now.marks
        changes = [
            f"its {word} was {was or 'not told'} and is {theirs[word] or 'not told'}"
            for word, was in self.marks.items()
            if was != theirs[word]
        ]
        return f"{named} is another one in the portal now: {', '.join(changes)}" if changes else None


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


class PolicyKind(StrEnum):
    WANTED = "wanted"
    BAD = "bad"

    @property
    def word(self) -> str:
        """What the version is, behind its number."""
        return "known to be bad" if self is PolicyKind.BAD else "wanted"


@dataclass(frozen=True, slots=True)
class FirmwarePolicy:
    """What is said of a version on the gateways of ``query``, which is empty for all of them: they are to run
    it, or it is known to be bad.
    """

    id: PolicyId
    kind: PolicyKind
    version: str
    query: str
    by: str
    by_name: str
    created_at: datetime
    reason: str | None = None
    link: str | None = None
    ended_by: str | None = None

    @property
    def title(self) -> str:
        return f"P-{self.id}"

    @property
    def running_it(self) -> str:
        """The term of a query that whoever runs this version matches."""
        return f"fw:{self.version}" if firmware_key(self.version) else f'fw:"{self.version}"'

    def says(self) -> str:
        """What it says and why, as plain text: ``3.3.0 is known to be bad (P-2): CVE-2026-1``."""
        why = f": {self.reason.rstrip('.')}" if self.reason else ""
        return f"{self.version} is {self.kind.word} ({self.title}){why}"


def _letters(word: str) -> str:
    letters = "".join(filter(str.isalpha, word)).upper()
    return "CANCELED" if letters == "CANCELLED" else letters


# The words that mark what came before a release, in their order: that of the alphabet, as semver.org has it.
_STAGES = (
    *("alpha", "beta", "canary", "dev", "milestone", "nightly"),
    *("pre", "prerelease", "preview", "rc", "snapshot", "test"),
)
_VERSION = re.compile(
    r"v?(\d+(?:\.\d+)*)"
    rf"(?:[-._~]?({'|'.join(sorted(_STAGES, key=len, reverse=True))})[-._]?(\d*(?:[-._]\d+)*))?"
    r"(?:\+([0-9a-z._-]*))?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class FirmwareVersion:
    """A version that has an order: ``3.5``, ``v3.7.0``, ``3.6.0.2``, ``3.5.0-rc1``, ``3.9.0+g1a2b3c``.

    Parts that are missing are zero, pre-releases come before their release, and build data has no order. Only
    known words mark a pre-release: ``3.5.0-2`` comes before 3.5.0 by semver and after it by Debian, so nobody
    can tell. The package ``packaging`` has no key for a database and reads ``3.5.0-2`` by its own rule.
    """

    key: str  # sorts as text as the versions do
    build: str
    is_release: bool
    text: str = field(compare=False)  # as it was written

    @classmethod
    def parse(cls, text: str) -> "FirmwareVersion | None":
        """None when the text has another form: such versions equal only themselves and have no order."""
        return _parse(text)

    def is_same(self, other: "FirmwareVersion") -> bool:
        """Two builds of one version are not the same; one that names no build may be any of them."""
        return self.key == other.key and (not self.build or not other.build or self.build == other.build)

    def __str__(self) -> str:
        return self.text


@lru_cache(maxsize=4096)
def _parse(text: str) -> FirmwareVersion | None:
    match = _VERSION.fullmatch(fold(text))
    if match is None:
        return None
    numbers, stage, steps, build = match.groups()
    mark = _RELEASE if stage is None else f"{_BEFORE}{_STAGES.index(stage):02}{_numbers_key(steps)}{_END}"
    return FirmwareVersion(_numbers_key(numbers) + mark, build or "", stage is None, text.strip())


# Only digits, so that every collation sorts keys alike. What may follow a number: the end, or one more.
_BEFORE, _RELEASE, _END, _NUMBER = "0", "1", "1", "2"


def _numbers_key(text: str) -> str:
    """Each number behind the count of its digits, without the zeros that begin it or end the row."""
    numbers = [number.lstrip("0") for number in re.findall(r"\d+", text)]
    while numbers and not numbers[-1]:
        numbers.pop()
    return "".join(f"{_NUMBER}{_count_key(len(number))}{number}" for number in numbers)


def _count_key(count: int) -> str:
    """A count of any size, which sorts as text: 8 is ``8``, 9 is ``90``, 20 is ``992``."""
    return "9" * (count // 9) + str(count % 9)


def firmware_key(text: str | None) -> str | None:
    """The sortable form of a version, or None when it has no order."""
    version = FirmwareVersion.parse(text) if text else None
    return version.key if version else None


def is_same_firmware(one: str | None, other: str | None) -> bool:
    """Whether two texts name one version: by meaning where both have an order, else by their letters."""
    versions = FirmwareVersion.parse(one or ""), FirmwareVersion.parse(other or "")
    if versions[0] is not None and versions[1] is not None:
        return versions[0].is_same(versions[1])
    return fold(one or "") == fold(other or "")
