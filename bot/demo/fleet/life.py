"""What happens in the simulated fleet: outages, jobs, reboots, and the firmware that goes wrong.

Nothing runs by itself: `tick` carries out whatever has fallen due on the clock, in order, each at its own
moment, so one seed and one sequence of calls always give one story. It knows nothing of HTTP; `PortalRefusal`
carries the status to answer with.
"""

import hashlib
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from functools import partial

from bot.demo.fleet.initial_fleet import (
    PLACES,
    SITES,
    default_share,
    firmware_id,
    starting_devices,
    starting_firmware,
)
from bot.demo.fleet.model import (
    Behaviour,
    Device,
    Devices,
    Job,
    JobTarget,
    PortalFirmware,
    PortalJobStatus,
    SimulatorClock,
    TargetStatus,
)

Action = Callable[[], object]
Span = tuple[timedelta, timedelta]
RESUME_AFTER = timedelta(minutes=1)  # a gateway that lost its link in the middle of a step goes on with it


class PortalRefusal(Exception):
    """The portal says no: the HTTP status and the sentence it answers with."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class SimulatedFleet:
    """Gateways, firmware and jobs, moved by `tick` along the clock."""

    def __init__(
        self, *, gateways: int, seed: int, clock: SimulatorClock, hostile_names: bool = False
    ) -> None:
        self.clock = clock
        self.seed = seed
        self.devices = Devices()
        self.firmwares: dict[str, PortalFirmware] = {}
        self.jobs: dict[str, Job] = {}
        self.labels: set[str] = {*SITES, *PLACES}
        self.starts: dict[str, list[str]] = {}
        self.pickup: Span = (timedelta(seconds=5), timedelta(seconds=30))
        self.download: Span = (timedelta(minutes=10), timedelta(minutes=15))
        self.reboot: Span = (timedelta(minutes=2), timedelta(minutes=4))
        self.behaviour_share: float | None = None  # when set, overrules the share of every firmware
        self.neighbours_share = 0.5
        self._moment = clock.now()
        self._due: list[tuple[datetime, int, Action]] = []
        self._sequence = itertools.count(1)
        self._holds: dict[str, set[int]] = {}  # why a gateway is offline: one number per cause
        self._queues: dict[str, deque[str]] = {}
        self._busy: dict[str, str] = {}  # device id -> the job it is in
        self._waiting: dict[str, Action] = {}  # what goes on once the gateway is back
        self._dropped: set[tuple[str, str]] = set()
        self._life = (0, random.Random(f"life {seed}"))
        for device in starting_devices(gateways, seed, self._moment, hostile_names=hostile_names):
            self.devices[device.id] = device
        for firmware in starting_firmware(seed, self._moment):
            self.firmwares[firmware.id] = firmware

    # Time

    def tick(self) -> None:
        """Carry out what has fallen due."""
        now = self.clock.now()
        while self._due and self._due[0][0] <= now:
            self._moment, _, action = heapq.heappop(self._due)
            action()
        self._moment = now

    def _after(self, delay: timedelta, action: Action) -> None:
        heapq.heappush(self._due, (self._moment + delay, next(self._sequence), action))

    # The fleet itself

    def add_device(self, device: Device) -> None:
        """A gateway is claimed."""
        self.tick()
        self.devices[device.id] = device

    def remove_device(self, device_id: str) -> None:
        """A gateway is released: it is out of the listing and out of its jobs."""
        self.tick()
        del self.devices[device_id]
        active = self._busy.pop(device_id, None)
        for job_id in (*([active] if active else []), *self._queues.pop(device_id, ())):
            self._mark(self.jobs[job_id], device_id, TargetStatus.REMOVED, "the device was removed")
        self._holds.pop(device_id, None)
        self._waiting.pop(device_id, None)

    def add_firmware(
        self,
        model: str,
        version: str,
        behaviour: Behaviour = Behaviour.GOOD,
        *,
        file_name: str | None = None,
        share: float | None = None,
    ) -> PortalFirmware:
        """Put a firmware into the portal; `share` of its gateways misbehave (8 % for BRICKS, else all)."""
        self.tick()
        name = file_name or f"gateway-{model}-{version}.bin"
        share = default_share(behaviour) if share is None else share
        description = "Release" if behaviour is Behaviour.GOOD else f"Simulated fault: {behaviour.value}"
        identity = firmware_id(model, version, name)
        firmware = PortalFirmware(identity, model, version, name, self._moment, description, behaviour, share)
        self.firmwares[identity] = firmware
        return firmware

    def firmware(self, model: str, version: str) -> PortalFirmware:
        """The firmware of this model and version; KeyError when there is none."""
        for firmware in reversed(self.firmwares.values()):
            if (firmware.model, firmware.version) == (model, version):
                return firmware
        raise KeyError(f"{model} {version}")

    def at_site(self, label: str) -> list[str]:
        """The ids of the gateways that carry this label."""
        return [device.id for device in self.devices.values() if label in (device.labels or ())]

    # Outages

    def disconnect(self, ids: Iterable[str], *, for_: timedelta | None = None) -> None:
        """These gateways go offline, for good or for a while."""
        self.tick()
        self._take_down(_ids(ids), for_)

    def connect(self, ids: Iterable[str]) -> None:
        """Somebody went there: these gateways are online, whatever kept them down."""
        self.tick()
        for device_id in _ids(ids):
            self._holds.pop(device_id, None)
            self._set_connected(self.devices[device_id], connected=True)

    def darken_site(self, label: str, for_: timedelta | None = None) -> None:
        self.disconnect(self.at_site(label), for_=for_)

    def flap(self, id: str, every: timedelta, times: int) -> None:  # noqa: A002 - the callers' word
        """The gateway goes offline and comes back `times` times, one change each `every`, the first now."""
        self.tick()
        for number in range(times):
            self._after(every * (2 * number), partial(self._take_down, [id], every))
        self.tick()

    def live(self, *, outages_per_hour: float) -> None:
        """Random small outages from now on, as in a fleet that lives; 0 ends them."""
        self.tick()
        self._life = (self._life[0] + 1, self._life[1])
        if outages_per_hour > 0:
            self._plan_outage(self._life[0], outages_per_hour)

    def _plan_outage(self, life: int, per_hour: float) -> None:
        wait = timedelta(hours=self._life[1].expovariate(per_hour))
        self._after(wait, partial(self._random_outage, life, per_hour))

    def _random_outage(self, life: int, per_hour: float) -> None:
        current, rng = self._life
        if life != current:
            return
        online = [device.id for device in self.devices.values() if device.connected]
        if online:
            chosen = self.devices[rng.choice(online)]
            mates = [i for i in self.at_site(chosen.site) if self.devices[i].connected] if chosen.site else []
            size = min(rng.choices((1, 2, 4), (85, 12, 3))[0], max(1, len(mates)))
            ids = [chosen.id] if size == 1 else rng.sample(mates, size)
            self._take_down(ids, timedelta(minutes=rng.uniform(2, 30)))
        self._plan_outage(life, per_hour)

    def _take_down(self, ids: list[str], for_: timedelta | None) -> int:
        cause = next(self._sequence)
        for device_id in ids:
            if device_id in self.devices:
                self._holds.setdefault(device_id, set()).add(cause)
                self._set_connected(self.devices[device_id], connected=False)
        if for_ is not None:
            self._after(for_, partial(self._lift, ids, cause))
        return cause

    def _lift(self, ids: list[str], cause: int) -> None:
        for device_id in ids:
            holds = self._holds.get(device_id)
            if not holds or cause not in holds:
                continue  # connected by hand meanwhile, or released
            holds.discard(cause)
            if not holds:
                del self._holds[device_id]
                if device_id in self.devices:
                    self._set_connected(self.devices[device_id], connected=True)

    def _set_connected(self, device: Device, *, connected: bool) -> None:
        if device.connected is not connected:
            device.connected = connected
            device.changed_at = self._moment
        if connected:
            waiting = self._waiting.pop(device.id, None)
            if waiting is not None:
                self._after(RESUME_AFTER, waiting)
            self._offer(device.id)

    # What people do in the portal

    def device(self, device_id: str) -> Device:
        try:
            return self.devices[device_id]
        except KeyError:
            raise PortalRefusal(404, f"Device '{device_id}' was not found.") from None

    def rename(self, device_id: str, name: str) -> None:
        self.device(device_id).friendly_name = name

    def create_label(self, label: str) -> None:
        if label in self.labels:
            raise PortalRefusal(409, f"Label '{label}' exists already.")
        self.labels.add(label)

    def add_label(self, device_id: str, label: str) -> None:
        device = self.device(device_id)
        if label not in self.labels:
            raise PortalRefusal(404, f"Label '{label}' was not found.")
        if label not in (device.labels or ()):
            device.labels = [*(device.labels or ()), label]

    def remove_label(self, device_id: str, label: str) -> None:
        device = self.device(device_id)
        if label not in (device.labels or ()):
            raise PortalRefusal(404, f"Device '{device_id}' has no label '{label}'.")
        device.labels = [other for other in device.labels or () if other != label]

    # Jobs

    def create_job(self, name: str, firmware_id: str, device_ids: Iterable[str]) -> Job:
        """A firmware job as from the portal; raises Refused(400) when it does not make sense."""
        self.tick()
        ids = list(dict.fromkeys(_ids(device_ids)))
        self._check_job(firmware_id, ids)
        digest = hashlib.sha256(f"job {self.seed} {len(self.jobs)}".encode()).hexdigest()
        identity = f"{digest[:8]}-{digest[8:12]}-{digest[12:16]}-{digest[16:20]}-{digest[20:32]}"
        targets = {device_id: JobTarget(TargetStatus.QUEUED, None, self._moment) for device_id in ids}
        job = Job(identity, name, firmware_id, self._moment, targets, unfinished=len(targets))
        self.jobs[identity] = job
        for device_id in ids:
            self._queues.setdefault(device_id, deque()).append(identity)
            self._offer(device_id)
        self.tick()  # without a pick-up time it starts at once
        return job

    def _check_job(self, firmware_id: str, ids: list[str]) -> None:
        firmware = self.firmwares.get(firmware_id)
        if firmware is None:
            raise PortalRefusal(400, f"Firmware '{firmware_id}' does not exist.")
        if not ids:
            raise PortalRefusal(400, "A job needs at least one device.")
        for device_id in ids:
            if device_id not in self.devices:
                raise PortalRefusal(400, f"Device '{device_id}' does not exist.")
            if (model := self.devices[device_id].model) != firmware.model:
                raise PortalRefusal(
                    400, f"Firmware '{firmware.file_name}' does not fit '{device_id}' (model {model})."
                )

    def cancel_job(self, job_id: str) -> None:
        """What is queued is canceled; what has started goes on."""
        self.tick()
        job = self.job(job_id)
        if job.status is PortalJobStatus.COMPLETED:
            raise PortalRefusal(409, f"Job '{job_id}' is completed and cannot be canceled.")
        for device_id, target in job.devices.items():
            if target.status is TargetStatus.QUEUED:
                self._queues[device_id].remove(job_id)
                self._mark(job, device_id, TargetStatus.CANCELED, "the job was canceled")
        job.status = PortalJobStatus.CANCELED
        job.completed_at = job.completed_at or self._moment

    def job(self, job_id: str) -> Job:
        try:
            return self.jobs[job_id]
        except KeyError:
            raise PortalRefusal(404, f"Job '{job_id}' was not found.") from None

    def _offer(self, device_id: str) -> None:
        if self._queues.get(device_id) and device_id not in self._busy:
            pause = self._between(self.pickup, f"pickup {self._queues[device_id][0]} {device_id}")
            self._after(pause, partial(self._pick_up, device_id))

    def _pick_up(self, device_id: str) -> None:
        queue, device = self._queues.get(device_id), self.devices.get(device_id)
        if not queue or device is None or device.connected is False or device_id in self._busy:
            return  # offered again when that changes
        job = self.jobs[queue.popleft()]
        if job.status is PortalJobStatus.SCHEDULED:
            job.status = PortalJobStatus.IN_PROGRESS
        behaviour = self._behaviour(job, device_id)
        if behaviour is Behaviour.REJECTS:
            self._mark(job, device_id, TargetStatus.REJECTED, "the device rejected the job")
            self._offer(device_id)
            return
        self._busy[device_id] = job.id
        self.starts.setdefault(device_id, []).append(job.id)
        self._mark(job, device_id, TargetStatus.IN_PROGRESS, "downloading")
        if behaviour is Behaviour.SILENT:
            return
        time = self._between(self.download, f"download {job.id} {device_id}")
        if behaviour is Behaviour.DROPS_NEIGHBOURS:
            self._after(time / 2, partial(self._drop_neighbours, job, device, time / 2 + self.reboot[1]))
        self._after(
            time, partial(self._when_online, job, device_id, partial(self._flash, job, device, behaviour))
        )

    def _flash(self, job: Job, device: Device, behaviour: Behaviour) -> None:
        if behaviour is Behaviour.FAILS:
            self._finish(job, device.id, TargetStatus.FAILED, "image checksum does not match")
            return
        self._mark(job, device.id, TargetStatus.IN_PROGRESS, "rebooting")
        cause = self._take_down([device.id], None)
        if behaviour is not Behaviour.BRICKS:
            time = self._between(self.reboot, f"reboot {job.id} {device.id}")
            self._after(time, partial(self._back, job, device, behaviour, cause))

    def _back(self, job: Job, device: Device, behaviour: Behaviour, cause: int) -> None:
        if self._busy.get(device.id) != job.id:
            return  # removed while it rebooted
        if behaviour is not Behaviour.LIES:
            device.firmware = self.firmwares[job.firmware_id].version
        self._lift([device.id], cause)
        done = partial(self._finish, job, device.id, TargetStatus.SUCCEEDED, None)
        self._when_online(job, device.id, done)

    def _when_online(self, job: Job, device_id: str, action: Action) -> None:
        if self._busy.get(device_id) != job.id:
            return  # removed meanwhile
        if device_id not in self.devices:
            self._finish(job, device_id, TargetStatus.REMOVED, "the device was removed")
        elif self.devices[device_id].connected is False:
            self._waiting[device_id] = partial(self._when_online, job, device_id, action)
        else:
            action()

    def _drop_neighbours(self, job: Job, device: Device, for_: timedelta) -> None:
        site = device.site
        if site is None or (job.id, site) in self._dropped:
            return
        self._dropped.add((job.id, site))
        untouched = [i for i in self.at_site(site) if i not in job.devices and i not in self._busy]
        online = [i for i in untouched if self.devices[i].connected]
        rng = random.Random(f"neighbours {self.seed} {job.id} {site}")
        self._take_down(rng.sample(online, round(len(online) * self.neighbours_share)), for_)

    def _finish(self, job: Job, device_id: str, status: TargetStatus, details: str | None) -> None:
        self._busy.pop(device_id, None)
        self._mark(job, device_id, status, details)
        self._offer(device_id)

    def _mark(self, job: Job, device_id: str, status: TargetStatus, details: str | None) -> None:
        job.devices[device_id] = JobTarget(status, details, self._moment)
        if not status.is_final:
            return
        job.unfinished -= 1
        if job.unfinished == 0 and job.status is not PortalJobStatus.CANCELED:
            job.status, job.completed_at = PortalJobStatus.COMPLETED, self._moment

    def _behaviour(self, job: Job, device_id: str) -> Behaviour:
        firmware = self.firmwares[job.firmware_id]
        share = firmware.share if self.behaviour_share is None else self.behaviour_share
        unlucky = self._lot(f"behaviour {device_id} {firmware.id}") < share
        return firmware.behaviour if unlucky else Behaviour.GOOD

    def _between(self, span: Span, salt: str) -> timedelta:
        return span[0] + (span[1] - span[0]) * self._lot(salt)

    def _lot(self, salt: str) -> float:
        """From 0 to 1, and the same for the same seed and salt, whatever else happened before."""
        digest = hashlib.blake2b(f"{self.seed} {salt}".encode(), digest_size=8).digest()
        return int.from_bytes(digest) / 2**64


def _ids(ids: Iterable[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)
