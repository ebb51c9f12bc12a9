"""The panel beside the page: what a person makes happen to the make-believe fleet, the vendor and Slack.

It moves the two simulated servers and nothing else; the bot learns of it as it would in earnest.
"""

import random
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from bot.demo.fleet.simulator import Behaviour, FleetSimulator
from bot.demo.slack.server import SlackServer
from bot.demo.slack.workspace import OPS

Json = dict[str, Any]
Control = Callable[[Json], str]

SPEEDS = (1.0, 10.0, 60.0)
BEHAVIOURS: dict[Behaviour, str] = {
    Behaviour.GOOD: "good: every gateway takes it",
    Behaviour.BRICKS: "bad: some never come back",
    Behaviour.FAILS: "bad: gateways report failure",
    Behaviour.LIES: "bad: says it worked, changes nothing",
    Behaviour.SILENT: "bad: never finishes",
    Behaviour.DROPS_NEIGHBOURS: "bad: takes its neighbours down",
    Behaviour.REJECTS: "bad: gateways refuse it",
}
NEWER_BLOCKS = frozenset({"data_table", "data_visualization"})
_FLAPS, _FLAP_EVERY = 6, timedelta(seconds=20)
_MESSAGE_EVERY = 3.0  # seconds between two messages while Slack is slow


class NotPossibleError(ValueError):
    """What was asked of the panel makes no sense; the text says why."""


@dataclass
class World:
    """The make-believe world of one demo: both servers, and how to set its pace or begin it anew."""

    slack: SlackServer
    fleet: FleetSimulator
    on_speed: Callable[[float], None] = lambda _: None
    facts: Iterable[tuple[str, str, str]] = ()  # what a time is called, here, and in earnest
    commands: Iterable[tuple[str, str]] = ()  # usage and summary
    slash: str = "/mesh"
    first: str = OPS  # the channel that a window opens with
    on_reset: Callable[[], Awaitable[None]] | None = None
    _rng: random.Random = field(default_factory=lambda: random.Random(1))

    def state(self) -> Json:
        """What the panel shows."""
        self.fleet.tick()
        devices = self.fleet.devices.values()
        offline = sum(device.connected is False for device in devices)
        return {
            "now": self.fleet.clock.now().timestamp(),
            "speed": self.fleet.clock.speed,
            "gateways": len(devices),
            "offline": offline,
            "vendor_down": self.fleet.vendor_down,
            "slack_slow": self.slack.message_interval > 0,
            "slack_old": bool(self.slack.workspace.lacks),
            "bot": self.slack.connected > 0 or bool(self.slack.http_url),
            "jobs": sum(job.unfinished > 0 for job in self.fleet.jobs.values()),
        }

    def choices(self) -> Json:
        """What the panel offers, which stays as it is."""
        models = sorted({firmware.model for firmware in self.fleet.firmwares.values()})
        return {
            "sites": [label for label in self._sites() if self.fleet.at_site(label)],
            "models": models,
            "behaviours": [{"value": kind.value, "text": text} for kind, text in BEHAVIOURS.items()],
            "speeds": list(SPEEDS),
            "facts": [list(fact) for fact in self.facts],
            "commands": [list(command) for command in self.commands],
            "slash": self.slash,
            "first": self.first,
        }

    def change(self, what: str, options: Json) -> str:
        """Make something happen; a sentence that says what. Raises NotPossibleError."""
        changes: dict[str, Control] = {
            "gateway": self._gateway,
            "site": self._site,
            "half": self._half,
            "flap": self._flap,
            "vendor": self._vendor,
            "slack": self._slack,
            "old": self._old,
            "firmware": self._firmware,
            "speed": self._speed,
            "mend": self._mend,
        }
        if what not in changes:
            raise NotPossibleError(f"The panel knows no {what!r}.")
        return changes[what](options)

    def _sites(self) -> list[str]:
        first = (device.site for device in self.fleet.devices.values())
        return sorted({site for site in first if site}, key=str.casefold)

    def _online(self) -> list[str]:
        self.fleet.tick()
        online = [device.id for device in self.fleet.devices.values() if device.connected]
        if not online:
            raise NotPossibleError("No gateway is online any more: mend everything first.")
        return online

    def _gateway(self, options: Json) -> str:
        chosen = self._rng.choice(self._online())
        self.fleet.disconnect([chosen], for_=_length(options))
        return f"{self._name(chosen)} went offline{_until(options)}."

    def _site(self, options: Json) -> str:
        site = str(options.get("site") or "")
        if not self.fleet.at_site(site):
            raise NotPossibleError(f"There is no gateway at {site or 'no site'}: choose another one.")
        self.fleet.darken_site(site, _length(options))
        return f"{site} went offline, {_count(len(self.fleet.at_site(site)))}{_until(options)}."

    def _half(self, options: Json) -> str:
        online = self._online()
        chosen = self._rng.sample(online, len(online) // 2 + 1)
        self.fleet.disconnect(chosen, for_=_length(options))
        return f"Half the fleet went offline, {_count(len(chosen))}{_until(options)}."

    def _flap(self, _: Json) -> str:
        chosen = self._rng.choice(self._online())
        self.fleet.flap(chosen, _FLAP_EVERY, _FLAPS)
        seconds = int(_FLAP_EVERY.total_seconds())
        return f"{self._name(chosen)} goes off and on every {seconds} s, {_FLAPS} times."

    def _vendor(self, options: Json) -> str:
        self.fleet.vendor_down = bool(options.get("on"))
        return "Meshtech is cut off." if self.fleet.vendor_down else "Meshtech answers again."

    def _slack(self, options: Json) -> str:
        self.slack.message_interval = _MESSAGE_EVERY if options.get("on") else 0.0
        if not options.get("on"):
            return "Slack takes messages at its usual pace again."
        return f"Slack takes one new message in {_MESSAGE_EVERY:.0f} s; the others get a 429."

    def _old(self, options: Json) -> str:
        self.slack.workspace.lacks = NEWER_BLOCKS if options.get("on") else frozenset()
        if not options.get("on"):
            return "This Slack knows tables again; the bot asks anew after six hours, or when it starts."
        return "This Slack refuses its newer blocks: lists come in lines from now on."

    def _firmware(self, options: Json) -> str:
        model, behaviour = str(options.get("model") or ""), str(options.get("behaviour") or "good")
        if model not in {firmware.model for firmware in self.fleet.firmwares.values()}:
            raise NotPossibleError(f"There is no model {model or '(none)'}: choose another one.")
        if behaviour not in set(Behaviour):
            raise NotPossibleError(f"A firmware cannot be {behaviour!r}.")
        version = self._next_version(model)
        self.fleet.add_firmware(model, version, Behaviour(behaviour))
        command = f"{self.slash} update model:{model} to {version}"
        return f"Firmware {version} for model {model} is in the portal. Try {command}"

    def _speed(self, options: Json) -> str:
        speed = float(options.get("factor") or 0)
        if speed not in SPEEDS:
            raise NotPossibleError("Time goes by 1, 10 or 60 times as fast.")
        self.fleet.tick()
        self.fleet.clock.set_speed(speed)
        self.on_speed(speed)
        return f"Time goes by {speed:.0f} times as fast." if speed > 1 else "Time goes by as it does."

    def _mend(self, _: Json) -> str:
        self.fleet.tick()
        self.fleet.vendor_down, self.slack.message_interval = False, 0.0
        self.fleet.faults.clear()
        self.slack.faults.clear()
        down = [device.id for device in self.fleet.devices.values() if device.connected is False]
        self.fleet.connect(down)
        return f"All is well: {_count(len(down))} brought back, Meshtech and Slack answer."

    def _name(self, device_id: str) -> str:
        name = (self.fleet.devices[device_id].friendly_name or "").strip()
        return name if name and len(name) <= 40 else device_id

    def _next_version(self, model: str) -> str:
        of_model = [firmware.version for firmware in self.fleet.firmwares.values() if firmware.model == model]
        made = [version for version in of_model if version.startswith("3.7.")]
        return f"3.7.{len(made)}"


def _length(options: Json) -> timedelta | None:
    minutes = float(options.get("minutes") or 0)
    return timedelta(minutes=minutes) if 0 < minutes <= 24 * 60 else None


def _until(options: Json) -> str:
    length = _length(options)
    return f" for {length.total_seconds() / 60:.0f} min" if length else " until it is mended"


def _count(number: int) -> str:
    return "1 gateway" if number == 1 else f"{number} gateways"
