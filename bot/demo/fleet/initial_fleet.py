"""The fleet the simulator starts with: the same for the same seed, uneven and a little untidy."""

import hashlib
import random
from datetime import datetime, timedelta

from bot.demo.fleet.model import Behaviour, Device, PortalFirmware

MODELS = ("2011", "2012", "2020")
SITES = {  # label -> share of the fleet
    "Kyiv-office": 22,
    "oslo": 19,
    "bergen": 16,
    "tromsø": 12,
    "stavanger": 10,
    "Lviv warehouse": 8,
    "trondheim": 6,
    "ålesund": 4,
    "test-tag": 2,
    "svalbard": 1,
}
PLACES = ("roof", "basement")
OFFLINE_SHARE = 0.04
HOSTILE_NAMES = (
    "<!channel> *x* &lt; \u202e",
    "M" * 300,
    "<@U0000000000>|<https://example.com|click me>",
    "`MT1` ~gone~ _x_ \n> quoted \x07",
    "   ",
    "Ґанок ☂️ 0️⃣ \U0001f9ea",
)
FIRMWARE = (
    ("3.3.0", Behaviour.GOOD, "Older release"),
    ("3.4.1", Behaviour.GOOD, "Current release"),
    ("3.5.0-beta.1", Behaviour.GOOD, "Beta of 3.5.0"),
    ("3.5.0", Behaviour.GOOD, "Newest release"),
    ("3.6.0", Behaviour.BRICKS, "Simulated fault: some gateways never return from their reboot"),
    ("3.6.1", Behaviour.FAILS, "Simulated fault: gateways report FAILED"),
    ("3.6.2", Behaviour.LIES, "Simulated fault: says SUCCEEDED, keeps the old version"),
    ("3.6.3", Behaviour.SILENT, "Simulated fault: never answers, stays IN_PROGRESS"),
    ("3.6.4", Behaviour.DROPS_NEIGHBOURS, "Simulated fault: other gateways of the site go offline meanwhile"),
    ("3.6.5", Behaviour.REJECTS, "Simulated fault: gateways reject the job"),
)


def starting_devices(count: int, seed: int, now: datetime, *, hostile_names: bool = False) -> list[Device]:
    """`count` gateways; from 20 on, some may carry hostile names, from 100 on, some have no connectivity."""
    rng = random.Random(f"fleet {seed}")
    sites, weights = tuple(SITES), tuple(SITES.values())
    macs = rng.sample(range(1 << 48), count)
    devices = [
        _device(rng, mac, rng.choices(sites, weights)[0], number, now) for number, mac in enumerate(macs)
    ]
    if count >= 20:
        chosen = rng.sample(devices, len(HOSTILE_NAMES))  # always: the rest of the fleet is the same
        for name, device in zip(HOSTILE_NAMES, chosen if hostile_names else (), strict=hostile_names):
            device.friendly_name = name
    if count >= 20 and hostile_names:
        devices[1].friendly_name = devices[0].friendly_name  # two may carry the same name
    if count >= 100:
        for device in rng.sample(devices, count // 100):
            device.connected = device.changed_at = None
    _take_some_offline(rng, devices, now)
    return devices


def starting_firmware(seed: int, now: datetime) -> list[PortalFirmware]:
    made = []
    for model in MODELS:
        for age, (version, behaviour, description) in enumerate(reversed(FIRMWARE), start=1):
            share = default_share(behaviour)
            at = now - timedelta(days=20 * age, minutes=int(model))
            name = f"gateway-{model}-{version}.bin"
            identity = firmware_id(model, version, name)
            made.append(PortalFirmware(identity, model, version, name, at, description, behaviour, share))
    return sorted(made, key=lambda firmware: firmware.created_at)


def firmware_id(model: str, version: str, file_name: str) -> str:
    return "fw-" + hashlib.sha256(f"{model} {version} {file_name}".encode()).hexdigest()[:12]


def default_share(behaviour: Behaviour) -> float:
    return 0.08 if behaviour is Behaviour.BRICKS else 1.0


def _device(rng: random.Random, mac: int, site: str, number: int, now: datetime) -> Device:
    labels = [site] if rng.random() > 0.02 else []
    if labels and rng.random() < 0.3:
        labels.append(rng.choice(PLACES))
    steady = (
        timedelta(days=rng.uniform(1.1, 90)) if rng.random() < 0.95 else timedelta(hours=rng.uniform(2, 24))
    )
    firmware = rng.choices(("3.4.1", "3.3.0", "3.5.0-beta.1", None), (74, 20, 5, 1))[0]
    return Device(
        id=f"bmac-{mac:012x}",
        friendly_name=f"MT1{number:04d}" if rng.random() > 0.01 else None,
        model=rng.choices((*MODELS, None), (70, 20, 10, 0.5))[0],
        labels=labels,
        connected=True,
        changed_at=now - steady,
        firmware=firmware,
        hardware=rng.choices(("1.0.0", "1.1.0", None), (80, 19, 1))[0],
        imei=f"35{rng.randrange(10**13):013d}" if rng.random() < 0.2 else None,
        status=rng.choices((None, "ACTIVE"), (80, 20))[0],
        boot_mode=rng.choices((None, "APPLICATION"), (70, 30))[0],
    )


def _take_some_offline(rng: random.Random, devices: list[Device], now: datetime) -> None:
    online = [device for device in devices if device.connected]
    for device in rng.sample(online, round(len(devices) * OFFLINE_SHARE)):
        device.connected = False
        device.changed_at = now - timedelta(days=rng.uniform(0.5, 60))
