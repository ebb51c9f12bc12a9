"""What people ask Meshtech, and how the bot spares it: one request for all who ask the same.

Nothing that decides is asked here: an answer may be some seconds old.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from bot.domain.firmware import Firmware, JobId, VendorJob
from bot.meshtech.client import MeshtechClient
from bot.services.shared_work import Shared

KEPT: Final = timedelta(seconds=10)


class VendorQuestions:
    """Asks as somebody of the people would; give it a client with connections of its own."""

    def __init__(self, client: MeshtechClient, now: Callable[[], datetime]) -> None:
        self._client = client
        self._answers = Shared[Any](now, KEPT)

    async def firmwares(self) -> Sequence[Firmware]:
        """Every firmware, in the portal's order."""
        found: Sequence[Firmware] = await self._answers.get("firmwares", self._firmwares)
        return found

    async def jobs(self, most: int) -> Sequence[VendorJob]:
        """So many jobs, the newest first, without their gateways."""
        found: Sequence[VendorJob] = await self._answers.get(("jobs", most), lambda: self._jobs(most))
        return found

    async def job(self, job: JobId) -> VendorJob:
        """One job with its gateways. Raises JobUnknown."""
        found: VendorJob = await self._answers.get(("job", job), lambda: self._client.job(job))
        return found

    async def _firmwares(self) -> Sequence[Firmware]:
        return [firmware async for firmware in self._client.firmwares()]

    async def _jobs(self, most: int) -> Sequence[VendorJob]:
        jobs: list[VendorJob] = []
        async for job in self._client.jobs():
            jobs.append(job)
            if len(jobs) == most:
                break
        return jobs
