"""Every command, button and dialog, for every role and every limit: who is refused, and who is not.

One table says what each needs, and it is total: what the bot declares and the table has not fails. People are
what their ids give them: an id counts for its role and those below, and only among the gateways of its limit.
Each is tried at what all that comes in from Slack passes, behind the question who somebody is; those of
`test_authority` and `tests/system/test_access` come from outside.
"""

import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from secrets import token_hex

import pytest

from bot.demo.fleet.simulator import Device, FleetSimulator
from bot.demo.slack.workspace import OPS
from bot.domain.access import Action, Actor, Grant, Role, limits_of
from bot.domain.errors import BotError, NotAllowed, NotFound
from bot.domain.query import parse
from bot.domain.rollouts.lifecycle import ReasonNeeded, RolloutId, RolloutState
from bot.slack import ids
from bot.slack.fleet.views.renames_and_tags import drawn_of
from bot.slack.ids import CardRef, FreezeRef, GatewayRef, PageRef, PlanRef, Ref
from bot.slack.incoming.listeners import Click, CommandCall, Submission, SubmissionAnswer
from bot.storage.db.engine import Database
from bot.storage.db.tables import incidents
from bot.storage.sites import book as store
from tests.slack.shown import Answers, buttons
from tests.worlds.house import House, house

PLACES = ("lab", "bergen")
MODEL, OLD, NEW = "2011", "3.4.1", "9.0.0"
ANA, OLGA = "U0ANA00001", "U0OLGA0001"
NONE, VIEWER, OPERATOR, APPROVER, ADMIN = Role


class Among(StrEnum):
    """Where somebody may do it who has the role."""

    ALL = "any gateways"
    THEIRS = "the gateways of their limits"
    FLEET = "the whole fleet, so nobody with a limit"


# ---- people


def grants(*given: tuple[Role, str]) -> tuple[Grant, ...]:
    """What each of somebody's ids gives, and where; everywhere without a place."""
    limits = {place: parse(f"tag:{place}") if place else None for place in ("", *PLACES)}
    return tuple(Grant(role, limits[place]) for role, place in given)


PEOPLE: Mapping[str, tuple[Grant, ...]] = {
    "no member": (),
    "viewer": grants((VIEWER, "")),
    "operator": grants((OPERATOR, "")),
    "approver": grants((APPROVER, "")),
    "admin": grants((ADMIN, "")),
    "operator of the lab": grants((OPERATOR, "lab")),
    "operator who approves the lab": grants((OPERATOR, ""), (APPROVER, "lab")),
    "operator of the lab who approves": grants((OPERATOR, "lab"), (APPROVER, "")),
    "operator of Bergen who approves the lab": grants((OPERATOR, "bergen"), (APPROVER, "lab")),
    "approver of the lab and admin of Bergen": grants((APPROVER, "lab"), (ADMIN, "bergen")),
}


def actor_of(given: tuple[Grant, ...], user_id: str = ANA) -> Actor:
    return Actor(user_id, "Ana", max((one.role for one in given), default=NONE), limits=limits_of(given))


BOSS = actor_of(PEOPLE["admin"])


# ---- what is tried


@dataclass
class Bench:
    """A bot whose ticks are paused, with two places, and a rollout and an alert at each."""

    made: House
    database: Database
    rollouts: dict[str, str] = field(default_factory=dict)
    back: dict[str, str] = field(default_factory=dict)  # to an older version
    subscribed: list[str] = field(default_factory=list)
    numbers: "itertools.count[int]" = field(default_factory=itertools.count)

    async def calls(self, actor: Actor, text: str, trigger: str | None = None) -> Answers:
        word, _, rest = text.partition(" ")
        answers = Answers()
        await self.made.app.slack.arrivals.called(word, CommandCall(actor, OPS, rest, answers, trigger))
        return answers

    async def presses(self, actor: Actor, action_id: str, ref: Ref) -> Answers:
        answers = Answers()
        await self.made.app.slack.arrivals.pressed(Click(actor, OPS, action_id, ref, answers, "trigger"))
        return answers

    async def submits(
        self, actor: Actor, callback_id: str, ref: Ref, values: Mapping[str, str]
    ) -> SubmissionAnswer:
        return await self.made.app.slack.arrivals.submitted(Submission(actor, callback_id, ref, values))


Try = Callable[[Bench, Actor, str], Awaitable[object]]
Point = Callable[[Bench, str], Awaitable[Ref]]


@dataclass(frozen=True)
class Row:
    """One thing to do: the lowest role, among which gateways, and how it is tried at a place.

    Without the role nothing is prepared: what it would be about is never looked at.
    """

    role: Role
    among: Among
    tries: Try


def command(role: Role, among: Among, text: str, prepare: Point | None = None) -> Row:
    """``{id}`` is a gateway at the ``{place}``, ``{n}`` was never used, ``{ref}`` is of what is prepared."""

    async def tries(bench: Bench, actor: Actor, place: str) -> None:
        ref = await prepare(bench, place) if prepare is not None and actor.role >= role else None
        words = {"place": place, "id": spare(place), "n": next(bench.numbers)}
        await bench.calls(actor, text.format(ref=getattr(ref, "id", NOWHERE.id), **words))

    return Row(role, among, tries)


def _purpose(name: str) -> Action:
    return ids.PURPOSES.get(name, Action.READ)


def click(role: Role, among: Among, action_id: str, point: Point) -> Row:
    async def tries(bench: Bench, actor: Actor, place: str) -> None:
        ref = await point(bench, place) if actor.may(_purpose(action_id)) else NOWHERE
        await bench.presses(actor, action_id, ref)

    return Row(role, among, tries)


def submission(role: Role, among: Among, callback_id: str, point: Point, **values: str) -> Row:
    async def tries(bench: Bench, actor: Actor, place: str) -> None:
        ref = await point(bench, place) if actor.may(_purpose(callback_id)) else NOWHERE
        await bench.submits(actor, callback_id, ref, values)

    return Row(role, among, tries)


async def pastes_rows(bench: Bench, actor: Actor, place: str) -> SubmissionAnswer:
    """What the preview of the site book asks to be confirmed."""
    rows = {ids.CSV: f"site,note\n{place},{next(bench.numbers)}"}
    return await bench.submits(actor, ids.SITES_CSV, NOWHERE, rows)


async def pastes_names(bench: Bench, actor: Actor, place: str) -> None:
    rows = {ids.CSV: f"id,name\n{spare(place)},Roof {next(bench.numbers)}"}
    await bench.submits(actor, ids.NAMES_CSV, NOWHERE, rows)


async def renames_in_dialog(bench: Bench, actor: Actor, place: str) -> None:
    gateway = (await bench.made.app.fleet.gateway(spare(place))).gateway
    ref = GatewayRef(gateway.id, drawn_of([gateway.name or ""]))
    await bench.submits(actor, ids.GATEWAY_RENAME, ref, {ids.NAME: f"Roof {next(bench.numbers)}"})


async def tags_in_dialog(bench: Bench, actor: Actor, place: str) -> None:
    """One more, and its place stays."""
    gateway = (await bench.made.app.fleet.gateway(spare(place))).gateway
    ref = GatewayRef(gateway.id, drawn_of(gateway.tags))
    tags = "\n".join([place, f"new{next(bench.numbers)}"])
    await bench.submits(actor, ids.GATEWAY_TAGS, ref, {ids.TAGS: tags})


async def edits_site(bench: Bench, actor: Actor, place: str) -> None:
    async with bench.database.read() as connection:
        (site,) = (await store.named(connection, [place])).values()
    ref = PageRef("site", site.version, place)
    await bench.submits(actor, ids.SITE_EDIT, ref, {"note": f"a note {next(bench.numbers)}"})


async def confirms_rows(bench: Bench, actor: Actor, place: str) -> None:
    """What the same person proposed when they had every role."""
    ref: Ref = NOWHERE
    if actor.may(Action.DESCRIBE):
        preview = (await pastes_rows(bench, BOSS, place)).view
        assert preview is not None
        ref = ids.decode(preview["private_metadata"])
    await bench.submits(actor, ids.SITES_CONFIRM, ref, {})


# ---- what buttons and dialogs point at


NOWHERE = CardRef("99999", 1)


async def nothing(bench: Bench, place: str) -> Ref:
    return NOWHERE


async def page(bench: Bench, place: str) -> Ref:
    return PageRef("rollouts")


async def a_rollout(bench: Bench, place: str) -> Ref:
    return CardRef(bench.rollouts[place], await newest(bench, bench.rollouts[place]))


async def a_downgrade(bench: Bench, place: str) -> Ref:
    """One that still waits for approval."""
    status = await bench.made.app.rollouts.status(RolloutId(int(bench.back[place])))
    if status.rollout.state is not RolloutState.REQUESTED:
        await bench.presses(BOSS, ids.ROLLOUT_ABORT, CardRef(bench.back[place], status.rollout.last_event))
        bench.back[place] = await requested(bench, f"id:{gateway(place, 2)} to 3.3.0")
    return CardRef(bench.back[place], await newest(bench, bench.back[place]))


async def requested(bench: Bench, what: str) -> str:
    """The number of an update that somebody else asked for."""
    olga = actor_of(PEOPLE["admin"], OLGA)
    plan = (await bench.calls(olga, f"update {what}")).last
    said = await bench.presses(olga, ids.ROLLOUT_REQUEST, buttons(plan)[ids.ROLLOUT_REQUEST])
    found = re.search(r"R-(\d+)", said.last.text)
    assert found
    return found[1]


async def newest(bench: Bench, number: str) -> int:
    return (await bench.made.app.rollouts.status(RolloutId(int(number)))).rollout.last_event


async def a_query(bench: Bench, place: str) -> Ref:
    return PlanRef(model=MODEL, version=NEW, query=f"id:{spare(place)}")


async def a_plan(bench: Bench, place: str) -> Ref:
    drawn = (await bench.calls(BOSS, f"update id:{spare(place)} to {NEW}")).last
    return buttons(drawn)[ids.ROLLOUT_REQUEST]


async def a_form(bench: Bench, place: str) -> Ref:
    """What the dialog shows once all is chosen; see ``FORM``."""
    plan = await a_plan(bench, place)
    assert isinstance(plan, PlanRef)
    return PlanRef(plan.id, OPS, MODEL, "fw", ids.ROLLOUT_EVERYWHERE)


FORM = {
    ids.ROLLOUT_MODEL: MODEL,
    ids.ROLLOUT_VERSION: "fw",
    ids.ROLLOUT_PLACE: ids.ROLLOUT_EVERYWHERE,
}


async def a_freeze(bench: Bench, place: str) -> Ref:
    return FreezeRef(f"1.0.{next(bench.numbers)}", "a reason", OPS)


async def a_standing_freeze(bench: Bench, place: str) -> Ref:
    ref = FreezeRef(f"1.1.{next(bench.numbers)}", "it bricks")
    await bench.calls(BOSS, f"freeze {ref.subject} because {ref.reason}")
    return ref


async def a_gateway(bench: Bench, place: str) -> Ref:
    return GatewayRef(spare(place))


async def a_proposal(bench: Bench, place: str) -> Ref:
    said = await bench.calls(BOSS, f"tag tag:{place} +new{next(bench.numbers)}")
    return buttons(said.last)[ids.WRITE_CONFIRM]


async def a_change(bench: Bench, place: str) -> Ref:
    """Of somebody else's: what is one's own is taken back in any case."""
    other = actor_of(PEOPLE["admin"], OLGA)
    said = await bench.calls(other, f"rename {spare(place)} Roof {next(bench.numbers)}")
    return buttons(said.last)[ids.WRITE_UNDO]


async def a_subscription(bench: Bench, place: str) -> Ref:
    """The only one so far: a channel takes twenty."""
    for number in bench.subscribed:
        with contextlib.suppress(NotFound):
            await bench.calls(BOSS, f"unsubscribe {number}")
    said = await bench.calls(BOSS, f"subscribe offline tag:{place} -id:none{next(bench.numbers)}")
    ref = buttons(said.last)[ids.SUBSCRIPTION_UNDO]
    assert isinstance(ref, CardRef)
    bench.subscribed[:] = [ref.id]
    return ref


async def a_silence(bench: Bench, place: str) -> Ref:
    asked = PageRef("silence", 3, f"{token_hex(8)} tag:{place} for 1h")
    said = (await bench.presses(BOSS, ids.SILENCE_CONFIRM, asked)).last.text
    found = re.search(r"S-(\d+)", said)
    assert found, said
    return CardRef(found[1])


async def a_question(bench: Bench, place: str) -> Ref:
    return PageRef("silence", 3, f"{token_hex(8)} tag:{place} for 1h")


WORK = "tag:{place} sat 02:00-04:00 weekly because of the mast"


async def a_plan_of_work(bench: Bench, place: str) -> Ref:
    return PageRef("windows", 3, f"{token_hex(8)} {WORK.format(place=place)}")


async def a_window(bench: Bench, place: str) -> Ref:
    said = await bench.presses(BOSS, ids.MAINTENANCE_CONFIRM, await a_plan_of_work(bench, place))
    return buttons(said.last)[ids.MAINTENANCE_UNDO]


async def a_site(bench: Bench, place: str) -> Ref:
    """Drawn with the newest version of its entry."""
    drawn = (await bench.calls(BOSS, f"site {place}")).last
    return buttons(drawn)[ids.SITE_EDIT]


async def a_site_to_silence(bench: Bench, place: str) -> Ref:
    return PageRef("site", 3, place)


async def a_described_site(bench: Bench, place: str) -> Ref:
    said = await bench.calls(BOSS, f"describe {place} note {next(bench.numbers)}")
    return buttons(said.last)[ids.SITE_UNDO]


async def a_policy(bench: Bench, place: str) -> Ref:
    """Of one version each time: what is said already is not said twice."""
    asked = f"{token_hex(8)} bad 1.0.{next(bench.numbers)} for tag:{place} because it bricks"
    said = await bench.presses(BOSS, ids.POLICY_CONFIRM, PageRef("policy", 3, asked))
    return buttons(said.last)[ids.POLICY_END]


async def an_ended_policy(bench: Bench, place: str) -> Ref:
    said = await bench.presses(BOSS, ids.POLICY_END, await a_policy(bench, place))
    return buttons(said.last)[ids.POLICY_UNDO]


async def a_policy_to_say(bench: Bench, place: str) -> Ref:
    said = f"want 8.0.{next(bench.numbers)} for tag:{place}"
    return PageRef("policy", 3, f"{token_hex(8)} {said}")


async def an_alert(bench: Bench, place: str) -> Ref:
    return CardRef(str(1 + PLACES.index(place)), 1)


ALL, THEIRS, FLEET = Among
COMMANDS: Mapping[str, Row] = {
    "devices": command(VIEWER, ALL, "devices"),
    "device": command(VIEWER, ALL, "device {id}"),
    "tags": command(VIEWER, ALL, "tags"),
    "firmware": command(VIEWER, ALL, "firmware"),
    "policy": command(VIEWER, ALL, "policy"),
    "availability": command(VIEWER, ALL, "availability"),
    "worst": command(VIEWER, ALL, "worst"),
    "history": command(VIEWER, ALL, "history {id}"),
    "chart": command(VIEWER, ALL, "chart nonsense"),
    "rename": command(OPERATOR, THEIRS, "rename {id} Roof {n}"),
    "tag": command(OPERATOR, THEIRS, "tag tag:{place} +new{n}"),
    "undo": command(OPERATOR, ALL, "undo"),
    "update": command(OPERATOR, THEIRS, "update id:{id} to 9.0.0"),
    "rollouts": command(VIEWER, ALL, "rollouts"),
    "rollout": command(VIEWER, ALL, "rollout R-1"),
    "report": command(VIEWER, ALL, "report R-1"),
    "jobs": command(VIEWER, ALL, "jobs"),
    "job": command(VIEWER, ALL, "job"),
    "freeze": command(ADMIN, FLEET, "freeze firmware 2.0.{n} because it bricks"),
    "unfreeze": command(ADMIN, FLEET, "unfreeze firmware 3.0.0"),
    "alerts": command(VIEWER, ALL, "alerts"),
    "ack": command(OPERATOR, ALL, "ack A-99999"),
    "take": command(OPERATOR, ALL, "take A-99999"),
    "unack": command(OPERATOR, ALL, "unack A-99999"),
    "assign": command(OPERATOR, ALL, "assign A-99999 me"),
    "silence": command(OPERATOR, THEIRS, "silence tag:{place} for 1h"),
    "silences": command(VIEWER, ALL, "silences"),
    "unsilence": command(OPERATOR, THEIRS, "unsilence S-{ref}", a_silence),
    "maintenance": command(OPERATOR, THEIRS, f"maintenance {WORK}"),
    "windows": command(VIEWER, ALL, "windows"),
    "skip": command(OPERATOR, THEIRS, "skip M-{ref}", a_window),
    "end": command(OPERATOR, THEIRS, "end M-{ref}", a_window),
    "sites": command(VIEWER, ALL, "sites"),
    "site": command(VIEWER, ALL, "site {place}"),
    "describe": command(OPERATOR, THEIRS, "describe {place} note {n}"),
    "subscribe": command(OPERATOR, THEIRS, "subscribe offline tag:{place}"),
    "subscriptions": command(VIEWER, ALL, "subscriptions"),
    "unsubscribe": command(OPERATOR, THEIRS, "unsubscribe {ref}", a_subscription),
    "status": command(VIEWER, ALL, "status"),
    "settings": command(VIEWER, ALL, "settings"),
    "whoami": command(VIEWER, ALL, "whoami"),
    "notify": command(VIEWER, ALL, "notify on"),
    "audit": command(VIEWER, ALL, "audit done nothing-of-that-name"),
}
IN_THE_FORM = "rollout_form rollout_model rollout_version rollout_place rollout_when"
CLICKS: Mapping[str, Row] = {
    one: click(role, among, one, point)
    for role, among, point, names in (
        (VIEWER, ALL, page, "page_next page_previous open gateway_find refresh export_csv help chart"),
        (VIEWER, ALL, an_alert, "incident_details"),
        (OPERATOR, THEIRS, a_proposal, "write_confirm write_cancel"),
        (OPERATOR, THEIRS, a_change, "write_undo"),
        (OPERATOR, THEIRS, a_plan, "rollout_request"),
        (OPERATOR, THEIRS, a_query, "rollout_replan"),
        (OPERATOR, ALL, a_query, f"rollout_cancel {IN_THE_FORM}"),
        (OPERATOR, ALL, a_rollout, "rollout_pause rollout_abort rollout_end_waiting"),
        (OPERATOR, THEIRS, a_rollout, "rollout_resume rollout_promote rollout_retry_failed rollout_catch_up"),
        (APPROVER, ALL, a_rollout, "rollout_deny"),
        (APPROVER, THEIRS, a_rollout, "rollout_approve"),
        (ADMIN, FLEET, a_freeze, "freeze"),
        (ADMIN, FLEET, a_standing_freeze, "unfreeze"),
        (OPERATOR, ALL, an_alert, "incident_ack incident_silence incident_pause_rollout"),
        (OPERATOR, ALL, an_alert, "incident_take_over incident_give_back incident_assign"),
        (OPERATOR, ALL, page, "incident_ack_all"),
        (OPERATOR, ALL, a_gateway, "gateway_rename gateway_tags gateway_silence"),
        (OPERATOR, THEIRS, a_question, "silence_confirm"),
        (OPERATOR, THEIRS, a_silence, "silence_end"),
        (OPERATOR, THEIRS, a_plan_of_work, "maintenance_confirm"),
        (OPERATOR, THEIRS, a_window, "maintenance_skip maintenance_end maintenance_undo"),
        (OPERATOR, ALL, a_site, "site_edit site_silence sites_csv"),
        (OPERATOR, THEIRS, a_described_site, "site_undo"),
        (OPERATOR, THEIRS, a_policy_to_say, "policy_confirm"),
        (OPERATOR, THEIRS, a_policy, "policy_end"),
        (OPERATOR, THEIRS, an_ended_policy, "policy_undo"),
        (OPERATOR, THEIRS, a_subscription, "subscription_undo subscription_end"),
    )
    for one in names.split()
}
SUBMISSIONS: Mapping[str, Row] = {
    "rollout_form": submission(OPERATOR, THEIRS, "rollout_form", a_form, **FORM),
    "rollout_approve": submission(APPROVER, THEIRS, "rollout_approve", a_rollout, reason="why not"),
    "rollout_deny": submission(APPROVER, ALL, "rollout_deny", nothing, reason="not today"),
    "rollout_resume": submission(OPERATOR, THEIRS, "rollout_resume", a_rollout, reason="go on"),
    "gateway_find": submission(VIEWER, ALL, "gateway_find", nothing, query="MT1"),
    "gateway_rename": Row(OPERATOR, THEIRS, renames_in_dialog),
    "gateway_tags": Row(OPERATOR, THEIRS, tags_in_dialog),
    "gateway_silence": submission(OPERATOR, THEIRS, "gateway_silence", a_gateway, duration="1h"),
    "names_csv": Row(OPERATOR, THEIRS, pastes_names),
    "write_confirm": submission(OPERATOR, THEIRS, "write_confirm", a_proposal),
    "site_edit": Row(OPERATOR, THEIRS, edits_site),
    "site_silence": submission(OPERATOR, THEIRS, "site_silence", a_site_to_silence, duration="1h"),
    "sites_csv": Row(OPERATOR, THEIRS, pastes_rows),
    "sites_confirm": Row(OPERATOR, THEIRS, confirms_rows),
    "freeze": submission(ADMIN, FLEET, "freeze", a_freeze, reason="it bricks"),
    "policy_confirm": submission(OPERATOR, THEIRS, "policy_confirm", a_policy_to_say, reason="it bricks"),
    "incident_assign": submission(OPERATOR, ALL, "incident_assign", nothing, person=ANA),
    "incident_silence": submission(OPERATOR, THEIRS, "incident_silence", an_alert, duration="1h"),
}
# What the same command or button needs more for.
BESIDES: Mapping[str, Row] = {
    "`rename … to` a pattern": command(OPERATOR, THEIRS, "rename tag:{place} to {n}-{{n}}"),
    "`policy want`": command(OPERATOR, THEIRS, "policy want 7.0.{n} for tag:{place}"),
    "`policy bad`": command(OPERATOR, THEIRS, "policy bad 6.0.{n} for tag:{place} because it bricks"),
    "`policy end`": command(OPERATOR, THEIRS, "policy end P-{ref}", a_policy),
    "`subscribe … only here`": command(ADMIN, THEIRS, "subscribe offline tag:{place} only here"),
    "approving a downgrade": click(ADMIN, THEIRS, "rollout_approve", a_downgrade),
}
TABLE = {
    **{f"command {name}": row for name, row in COMMANDS.items()},
    **{f"button {name}": row for name, row in CLICKS.items()},
    **{f"dialog {name}": row for name, row in SUBMISSIONS.items()},
    **BESIDES,
}


def may_by_the_table(row: Row, given: tuple[Grant, ...], place: str) -> bool:
    """Whether one of their ids gives the role, and gives it there."""
    limits = [one.limit for one in given if one.role >= row.role]
    if row.among is Among.ALL:
        return bool(limits)
    there = (None,) if row.among is Among.FLEET else (None, parse(f"tag:{place}"))
    return any(limit in there for limit in limits)


# ---- the bench


def gateway(place: str, number: int) -> str:
    return f"{place}-{number}"


def spare(place: str) -> str:
    """A gateway that no rollout has."""
    return gateway(place, 9)


def portal() -> FleetSimulator:
    made = FleetSimulator(gateways=0)
    since = datetime.now(UTC) - timedelta(days=2)
    for place in PLACES:
        for number in (1, 2, 9):
            made.add_device(
                Device(
                    gateway(place, number), f"MT{place}{number}", MODEL, [place], True, since, OLD, "1.0.0"
                )
            )
    for version in ("3.3.0", NEW):
        made.add_firmware(MODEL, version)
    return made


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with house(tmp_path, portal()) as made, opened(tmp_path) as database:
        made.app.scheduler.pause()
        await made.app.fleet.take_in_listing()
        ready = Bench(made, database)
        for place in PLACES:
            ready.rollouts[place] = await requested(ready, f"id:{gateway(place, 1)} to {NEW}")
            ready.back[place] = await requested(ready, f"id:{gateway(place, 2)} to 3.3.0")
        await alerts(database)
        yield ready


@contextlib.asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Database]:
    database = Database.open(f"sqlite:///{folder}/meshbot.db")
    yield database
    await database.close()


async def alerts(database: Database) -> None:
    """One at each place."""
    now = datetime.now(UTC)
    async with database.write() as connection:
        for place in PLACES:
            await connection.execute(
                incidents.insert().values(
                    kind="offline",
                    site=place,
                    site_folded=place,
                    state="open",
                    version=1,
                    opened_at=now,
                    post_at=now,
                    reminded=0,
                )
            )


async def is_refused(tried: Awaitable[object]) -> bool:
    try:
        await tried
    except ReasonNeeded:
        return False
    except NotAllowed:
        return True
    except BotError:
        return False  # something else is in the way; who asks might have done it
    return False


async def is_as_written(bench: Bench, name: str, who: str, place: str) -> bool:
    row, given = TABLE[name], PEOPLE[who]
    refused = await is_refused(row.tries(bench, actor_of(given), place))
    return refused != may_by_the_table(row, given, place)


@pytest.mark.soak
async def test_every_cell_of_role_and_limit_is_as_written(bench: Bench) -> None:
    cells = [
        (name, who, place)
        for (name, row), who in itertools.product(TABLE.items(), PEOPLE)
        for place in (PLACES if row.among is Among.THEIRS else PLACES[:1])
    ]
    assert [cell for cell in cells if not await is_as_written(bench, *cell)] == []


async def test_the_table_is_total_and_an_action_counts_only_the_ids_that_give_its_role(bench: Bench) -> None:
    """Of all cells those of somebody who is nobody, and of one person in two roles with different limits."""
    arrivals = bench.made.app.slack.arrivals
    assert set(CLICKS) == set(arrivals.clicks)
    assert set(SUBMISSIONS) == set(arrivals.submissions)
    needs = {word: declared.needs for word, declared in arrivals.commands.items()}
    assert {word: row.role.word for word, row in COMMANDS.items()} == needs
    limited = [name for name, row in TABLE.items() if row.among is not Among.ALL]
    cells = [
        *((name, "no member", "bergen") for name in TABLE),
        *((name, "operator who approves the lab", "bergen") for name in limited),
    ]
    assert [cell for cell in cells if not await is_as_written(bench, *cell)] == []


def documented() -> list[str]:
    """The table for people: a row for each role and limit."""
    cells: dict[tuple[Role, Among], list[list[str]]] = {}
    named = (
        {f"`{name}`": row for name, row in COMMANDS.items()},
        {f"`{name}`": row for name, row in sorted(CLICKS.items())},
        {f"`{name}` in its dialog": row for name, row in sorted(SUBMISSIONS.items()) if name in CLICKS}
        | dict(BESIDES),
    )
    for column, rows in enumerate(named):
        for name, row in rows.items():
            cells.setdefault((row.role, row.among), [[], [], []])[column].append(name)
    lines = []
    for (role, among), (commands, clicks, others) in sorted(cells.items()):
        pressed = ", ".join(filter(None, [" ".join(clicks), *others]))
        lines.append(f"| {role.word} | {among} | {' '.join(commands)} | {pressed} |")
    return lines


def test_the_page_for_people_has_the_table() -> None:
    page = (Path(__file__).parents[2] / "docs" / "security.md").read_text(encoding="utf-8")
    table = page.partition("| role | among | commands | buttons and dialogs |")[2].partition("\n\n")[0]
    assert table.splitlines()[2:] == documented()
