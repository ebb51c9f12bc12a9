"""What people type first, and what it leads to: an answer, a list or a button that is right."""

from datetime import timedelta
from pathlib import Path
from typing import Any

from bot.demo.fleet.simulator import FleetSimulator, SimulatorClock
from bot.demo.slack.workspace import ADMIN
from tests.slack.fleet.room import START, device
from tests.worlds.house import house

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
    "mute bergen for 1h": "holds the alerts of *2 gateways*",
    "silence bergen for 1h": "holds the alerts of *2 gateways*",
    "maintenance bergen sat 02:00-04:00 because of the mast": "holds the alerts of *2 gateways*",
    "windows": "maintenance",
    "whoami": "admin",
    "me": "admin",
    "roles": "admin",
    "notify": "notify off",
    "undo": "nothing of yours",
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
    away: dict[str, Any] = {"connected": False, "labels": ["bergen"], "firmware": "3.3.0", "model": "2012"}
    portal = FleetSimulator(gateways=0, clock=SimulatorClock(1, START))
    for number in range(6):
        changes = away if number > 3 else {}
        portal.add_device(device(number, changed_at=START - timedelta(hours=5), **changes))
    portal.labels = {"oslo", "bergen"}
    async with house(tmp_path, portal) as bot:
        await bot.app.fleet.refresh()
        said = {typed: await bot.command(ADMIN, typed) for typed in FIRST}

    wrong = {typed: said[typed][:300] for typed, leads_to in FIRST.items() if leads_to not in said[typed]}
    known = {typed for typed in FIRST if KNOWN & set(typed.casefold().split())}
    nowhere = {typed for typed in known if "No gateway matches" in said[typed]}
    assert len(FIRST) >= 60
    assert not wrong, "\n".join(f"{typed!r}: {answer!r}" for typed, answer in wrong.items())
    assert nowhere == NONE_FITS
