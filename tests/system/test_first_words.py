"""What people type first, and what it leads to: an answer, a list or a button that is right.

And how far they get with few words: five errands, counted in clicks and characters.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.demo.fleet.simulator import FleetSimulator, SimulatorClock
from bot.demo.slack import payloads
from bot.demo.slack.workspace import ADMIN, FLEET_ALERTS, OPERATOR, OPS, PostedMessage, View
from bot.slack import ids
from tests.slack.fleet.room import START, device
from tests.worlds.house import House, house

ONE = "*Id* `bmac-0001`"
OSLO, BERGEN, ALL = "4 gateways", "2 gateways", "6 gateways"

# What somebody types, and words of what it must lead to.
FIRST = {
    "": "Find a gateway",
    "help": "Find a gateway",
    "hi": "Find a gateway",
    "hello": "Find a gateway",
    "?": "Find a gateway",
    "commands": "What I can do",
    "help me": "Find a gateway",
    "devices": ALL,
    "list": ALL,
    "list devices": ALL,
    "ls": ALL,
    "gateways": ALL,
    "gateways oslo": OSLO,
    "all": ALL,
    "offline": BERGEN,
    "devices offline": BERGEN,
    "online": OSLO,
    "devices oslo": OSLO,
    "oslo": OSLO,
    "bergen": BERGEN,
    "devices OSLO offline": "No gateway matches `tag:OSLO is:offline`",
    "devices 2011": "I read “2011” as `model:2011`",
    "2012": BERGEN,
    "devices 3.3.0": BERGEN,
    "3.3.0": BERGEN,
    "v3.3.0": BERGEN,
    "devices offline for 24h": "No gateway matches `is:offline for:>24h`",
    "devices offline for 1h": BERGEN,
    "devices is:offline > 1h": BERGEN,
    "devices oslo or bergen": ALL,
    "oslo or bergen": ALL,
    "devices tag:oslo or is:offline": ALL,
    "devices oslo and online": OSLO,
    "devices firmware < 3.4": BERGEN,
    "find MT0001": "MT0001",
    "MT0001": ONE,
    "mt0001": ONE,
    "bmac-0001": ONE,
    "device MT0001": ONE,
    "gateway MT0001": ONE,
    "history MT0001": "Nothing happened to *MT0001*",
    "devices osl": "Did you mean `tag:oslo`?",
    "sites": "oslo",
    "tags": "bergen",
    "labels": "bergen",
    "versions": "3.4.1",
    "firmware": "3.4.1",
    "behind": "No version of firmware is wanted",
    "outdated": "No version of firmware is wanted",
    "alerts": "alert",
    "alert": "alert",
    "incidents": "alert",
    "ack": "alert",
    "jobs": "job",
    "rollouts": "rollout",
    "updates": "rollout",
    "audit tag": "entr",
    "update oslo to 3.4.1": "tag:oslo",
    "upgrade bergen to 3.4.1": "tag:bergen",
    "pause": "R-",
    "approve R-7": "R-7",
    "silences": "silence",
    "mute bergen for 1h": "would hold the alerts of *2 of",
    "silence bergen for 1h": "would hold the alerts of *2 of",
    "maintenance bergen sat 02:00-04:00 because of the mast": "would hold the alerts of *2 of",
    "windows": "maintenance",
    "whoami": "admin",
    "me": "admin",
    "roles": "admin",
    "notify": "notify off",
    "undo": "no rename or change of tags of yours",
    "follow": "Subscribe to what?",
    "watch": "Subscribe to what?",
    "assign": "alert",
    "assign A-1 to me": "alert",
    "take over": "alert",
    "give back": "alert",
    "mine": "alert",
    "note": "alert",
    "worst": "2 gateways* that had outages",
    "history": "MT10225",
    "history oslo": "Nothing happened to *oslo*",
    "maintenance": "No maintenance is planned",
    "planned work": "A maintenance window needs gateways, a day",
    "downtime": "No maintenance is planned",
    "site": "bergen",
    "site oslo": OSLO,
    "site:oslo": OSLO,
    "tag oslo": "devices tag:",
    "model 2012": BERGEN,
    "version 3.3.0": BERGEN,
    "firmware 3.3.0": "3.3.0",
    "count": ALL,
    "how many offline": BERGEN,
    "what is offline": BERGEN,
    "which gateways are offline": BERGEN,
    "who is offline": BERGEN,
    "show offline": BERGEN,
    "show oslo": OSLO,
    "down": BERGEN,
    "is oslo online": OSLO,
    "digest": "Subscribe to what?",
    "report": "R-",
    "rollback oslo to 3.3.0": "tag:oslo",
    "reboot MT0001": "cannot reboot",
    "restart": "cannot reboot",
    "unsilence": "silence",
    "log": "entr",
    "version": "3.4.1",
    "graph": "chart",
    "export": "CSV",
    "csv": "CSV",
    "rename MT0001 Roof": "Roof",
    "status": "Fleet",
    "ping": "Fleet",
    "settings": "MESHBOT_",
    "audit": "entry",
    "freeze": "rozen",
    "subscriptions": "subscri",
    "devcies": "devices",
}

# Words that this fleet knows; where each is known, and no gateway has both.
KNOWN = {"oslo", "bergen", "2011", "2012", "3.3.0", "v3.3.0", "offline", "online", "down"}
NONE_FITS = {"devices OSLO offline", "devices offline for 24h"}


async def test_what_people_type_first_leads_somewhere(tmp_path: Path) -> None:
    async with house(tmp_path, small_fleet(connected=False)) as bot:
        await bot.app.fleet.refresh()
        said = {typed: await bot.command(ADMIN, typed) for typed in FIRST}

    wrong = {typed: said[typed][:300] for typed, leads_to in FIRST.items() if leads_to not in said[typed]}
    known = {typed for typed in FIRST if KNOWN & set(typed.casefold().split())}
    nowhere = {typed for typed in known if "No gateway matches" in said[typed]}
    assert len(FIRST) >= 60
    assert not wrong, "\n".join(f"{typed!r}: {answer!r}" for typed, answer in wrong.items())
    assert nowhere == NONE_FITS


def small_fleet(**away: Any) -> FleetSimulator:
    """Four gateways at oslo, and two at bergen that are older."""
    away |= {"labels": ["bergen"], "firmware": "3.3.0", "model": "2012"}
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(1, START))
    for number in range(6):
        changes = away if number > 3 else {}
        portal.add_device(device(number, changed_at=START - timedelta(hours=5), **changes))
    portal.labels = {"oslo", "bergen"}
    return portal


AT_ONCE = {"ALERTS__OFFLINE_AFTER": "0", "ALERTS__OFFLINE_LISTINGS": "1", "ALERTS__GROUP_WAIT": "0"}
# An errand; how many clicks and characters it took when everything was written out, and takes now.
ERRANDS = {
    "find a bad gateway and rename it": ((0, 48), (4, 17)),
    "silence a site": ((1, 31), (1, 20)),
    "take over an alert": ((0, 14), (1, 0)),
    "update a site": ((1, 41), (1, 27)),
    "end a silence": ((0, 33), (1, 0)),
}


@dataclass
class Hand:
    """Somebody at work, whose clicks and characters are counted."""

    bot: House
    user: str
    clicks: int = 0
    characters: int = 0

    def counted(self) -> tuple[int, int]:
        counted, self.clicks, self.characters = (self.clicks, self.characters), 0, 0
        return counted

    async def types(self, command: str) -> PostedMessage:
        self.characters += len(f"/mesh {command}")
        act = await self.bot.slack.command(self.user, OPS, command)
        assert (await act.ack).ok
        await self.bot.app.slack.guard.idle()
        return act.responses[0]

    async def presses(self, message: PostedMessage, action_id: str, row: str | None = None) -> Any:
        """The button, and what it asks; of a menu, the menu and its row."""
        element = payloads.find_element(message.blocks, action_id)[1]
        self.clicks += 2 if row or "confirm" in element else 1
        act = await self.bot.slack.click(self.user, message, action_id, selected=row)
        assert (await act.ack).ok
        await self.bot.app.slack.guard.idle()
        return act.responses[0] if act.responses else None

    async def fills(self, dialog: View, **values: str) -> None:
        self.characters += sum(map(len, values.values()))
        self.clicks += 1
        typed = {name: {name: value} for name, value in values.items()}
        assert (await (await self.bot.slack.submit(self.user, dialog, typed)).ack).ok
        await self.bot.app.slack.guard.idle()


async def test_five_errands_take_less_than_when_all_was_written_out(tmp_path: Path) -> None:
    portal = small_fleet()
    async with house(tmp_path, portal, **AT_ONCE, ALERTS__STARTUP_LISTINGS="1") as bot:
        portal.disconnect(portal.at_site("bergen"))
        bot.later(minutes=1)
        await bot.app.scheduler.run_now("listing")
        alert = await bot.card("bergen", FLEET_ALERTS)
        ada, otto = Hand(bot, ADMIN), Hand(bot, OPERATOR)
        counted = {}

        await otto.types("devices is:offline")
        await otto.types("rename MT0004 Roof")
        before = otto.counted()
        found = await otto.types("offline")
        row = next(one for one in rows(found) if "MT0005" in one["text"]["text"])
        gateway = await otto.presses(found, ids.OPEN, row=row["value"])
        await otto.presses(gateway, ids.GATEWAY_RENAME)
        (dialog,) = bot.slack.workspace.open_views(OPERATOR)
        await otto.fills(dialog, name="Mast")
        counted["find a bad gateway and rename it"] = before, otto.counted()
        assert {"Roof", "Mast"} <= {one.friendly_name for one in portal.devices.values()}

        await otto.presses(await otto.types("silence tag:bergen for 1h"), ids.SILENCE_CONFIRM)
        before = otto.counted()
        await otto.types("silences")
        await otto.types("unsilence S-1")
        written_out = otto.counted()
        await otto.presses(await otto.types("silence bergen"), ids.SILENCE_CONFIRM)
        counted["silence a site"] = before, otto.counted()
        await otto.presses(await bot.card("S-2", FLEET_ALERTS), ids.SILENCE_END)
        counted["end a silence"] = written_out, otto.counted()
        assert "No silence holds now" in (await otto.types("silences")).text

        await otto.types("ack A-1")
        await ada.types("take A-1")
        before = ada.counted()
        otto.counted()
        await bot.slack.wait_for(lambda: f"acknowledged by <@{ADMIN}>" in str(alert.blocks))
        await otto.presses(alert, ids.INCIDENT_TAKE_OVER)
        counted["take over an alert"] = before, otto.counted()
        await bot.slack.wait_for(lambda: f"acknowledged by <@{OPERATOR}>" in str(alert.blocks))

        otto.counted()
        await otto.presses(await otto.types("update tag:oslo model:2011 to 3.6.5"), ids.ROLLOUT_REQUEST)
        before = otto.counted()
        await otto.presses(await bot.card("R-1"), ids.ROLLOUT_CANCEL)
        otto.counted()
        await otto.presses(await otto.types("update oslo to latest"), ids.ROLLOUT_REQUEST)
        counted["update a site"] = before, otto.counted()
        await bot.card("R-2")

    assert counted == ERRANDS
    assert [errand for errand, (was, now) in counted.items() if sum(now) >= sum(was)] == []


def rows(found: PostedMessage) -> list[Any]:
    """What stands in the menu below a list."""
    element = payloads.find_element(found.blocks, ids.OPEN)[1]
    return list(element["options"])
