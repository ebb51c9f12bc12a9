"""Whatever somebody does through Slack is in the audit log: who, what, where, and how it ended.

The list of what can be done is the domain's own, so an action that nobody shows here fails the test.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bot.demo.slack.text import message_text
from bot.demo.slack.workspace import OPS, PostedMessage
from bot.domain.access import Action, Role
from bot.domain.audit import AuditEntry, AuditQuery, Outcome
from bot.slack import ids
from tests.system.test_access import house, person
from tests.worlds.house import AUDITOR, House

OTTO, ADA = person(Role.OPERATOR, "member"), person(Role.ADMIN, "member")
VERA = person(Role.VIEWER, "member")
AT_ONCE = {
    "ALERTS__OFFLINE_AFTER": "0",
    "ALERTS__OFFLINE_LISTINGS": "1",
    "ALERTS__STARTUP_LISTINGS": "0",
    "ALERTS__GROUP_WAIT": "0",
    "FLEET__POLL_EVERY": "1s",
}


async def says(made: House, user: str, text: str) -> PostedMessage:
    """The answer to a command."""
    typed = await made.slack.command(user, OPS, text)
    await typed.ack
    await made.app.slack.guard.idle()
    return typed.responses[-1]


async def submits(made: House, user: str, **values: str) -> None:
    """Fills in the modal that is open."""
    (view,) = made.slack.workspace.open_views(user)
    await (await made.slack.submit(user, view, {name: {name: text} for name, text in values.items()})).ack
    await made.app.slack.guard.idle()


async def card(made: House, words: str) -> PostedMessage:
    """The newest card that says this, once it is there."""

    def found() -> PostedMessage | None:
        channels = made.slack.workspace.channels
        cards = [one for channel in channels for one in made.slack.workspace.in_channel(channel)]
        return next(
            (one for one in reversed(cards) if one.ephemeral_to is None and words in message_text(one)), None
        )

    return await made.slack.wait_for(found)


def gateway(made: House) -> str:
    return next(iter(made.portal.devices))


async def requested(made: House, user: str = OTTO, at: str = "") -> PostedMessage:
    """The newest card of an update to a version that nobody runs, asked for in a channel."""
    offered = await made.app.fleet.firmware()
    models = {one.firmware.model for one in offered if one.gateways}
    other = next(one.firmware for one in offered if one.firmware.model in models and not one.gateways)
    plan = await says(made, user, f"update model:{other.model} to {other.version} {at}")
    await made.click(user, ids.ROLLOUT_REQUEST, plan)
    newest = max((line.rollout for line in (await made.app.rollouts.page(0)).lines), key=lambda one: one.id)
    return await card(made, f"{newest.title}: firmware {other.version}")


# ---- one for each action: does it, and tells who did what, as the log names it; in the order of SHOWN
Done = tuple[str, str]


async def rename(made: House) -> Done:
    await says(made, OTTO, f"rename {gateway(made)} Roof north")
    return OTTO, "rename"


async def tag(made: House) -> Done:
    await says(made, OTTO, f"tag {gateway(made)} +attic")
    return OTTO, "tag"


async def undo(made: House) -> Done:
    await made.click(OTTO, ids.WRITE_UNDO, await says(made, OTTO, f"rename {gateway(made)} Roof south"))
    return OTTO, "undo rename"


async def request(made: House) -> Done:
    await requested(made)
    return OTTO, ids.ROLLOUT_REQUEST


async def approve(made: House) -> Done:
    await made.click(ADA, ids.ROLLOUT_APPROVE, await requested(made))
    return ADA, ids.ROLLOUT_APPROVE


async def override(made: House) -> Done:
    tomorrow = f"at {datetime.now(UTC) + timedelta(days=1):%Y-%m-%d %H:%M}"
    own = await requested(made, ADA, tomorrow)
    await made.click(ADA, ids.ROLLOUT_APPROVE, own)
    await submits(made, ADA, reason="nobody else is awake")
    await made.slack.wait_for(lambda: "nobody else is awake" in message_text(own))
    await made.click(ADA, ids.ROLLOUT_CANCEL, own)  # the next one needs its gateways
    return ADA, ids.ROLLOUT_APPROVE


async def deny(made: House) -> Done:
    await made.click(ADA, ids.ROLLOUT_DENY, await requested(made))
    await submits(made, ADA, reason="not today")
    return ADA, ids.ROLLOUT_DENY


async def withdraw(made: House) -> Done:
    await made.click(OTTO, ids.ROLLOUT_CANCEL, await requested(made))
    return OTTO, ids.ROLLOUT_CANCEL


async def steer(made: House) -> Done:
    await made.click(OTTO, ids.ROLLOUT_PAUSE, await card(made, "running"))
    return OTTO, ids.ROLLOUT_PAUSE


async def resume(made: House) -> Done:
    await made.click(OTTO, ids.ROLLOUT_RESUME, await card(made, "paused"))
    return OTTO, ids.ROLLOUT_RESUME


async def freeze(made: House) -> Done:
    await made.click(ADA, ids.FREEZE, await says(made, ADA, "freeze because of the trade fair"))
    return ADA, "freeze"


async def acknowledge(made: House) -> Done:
    made.portal.disconnect([gateway(made)])
    await made.click(OTTO, ids.INCIDENT_ACK, await card(made, "Nobody has acknowledged this yet"))
    return OTTO, ids.INCIDENT_ACK


async def silence(made: House) -> Done:
    asked = await says(made, OTTO, f"silence id:{gateway(made)} for 1h")
    await made.click(OTTO, ids.SILENCE_CONFIRM, asked)  # a tenth of a small fleet
    return OTTO, "silence"


async def maintenance(made: House) -> Done:
    work = f"maintenance id:{gateway(made)} sat 02:00-04:00 weekly because of paint"
    await made.click(OTTO, ids.MAINTENANCE_CONFIRM, await says(made, OTTO, work))
    return OTTO, "maintenance"


async def policy(made: House) -> Done:
    await made.click(OTTO, ids.POLICY_CONFIRM, await says(made, OTTO, "policy want 3.5.0"))
    return OTTO, "policy"


async def describe(made: House) -> Done:
    await says(made, OTTO, f"describe {made.portal.devices[gateway(made)].site} owner Telenor")
    return OTTO, ids.SITE_EDIT


async def subscribe(made: House) -> Done:
    await says(made, OTTO, "subscribe offline")
    return OTTO, "subscribe"


async def divert(made: House) -> Done:
    await says(made, ADA, "subscribe rollouts only here")
    return ADA, "subscribe"


SHOWN: Mapping[Action, Callable[[House], Awaitable[Done]]] = {
    Action.RENAME: rename,
    Action.TAG: tag,
    Action.UNDO: undo,
    Action.ACKNOWLEDGE: acknowledge,
    Action.SILENCE: silence,
    Action.MAINTAIN: maintenance,
    Action.DESCRIBE: describe,
    Action.POLICY: policy,
    Action.SUBSCRIBE: subscribe,
    Action.DIVERT: divert,
    Action.REQUEST: request,
    Action.CANCEL: withdraw,
    Action.DENY: deny,
    Action.OVERRIDE: override,
    Action.APPROVE: approve,
    Action.STEER: steer,
    Action.RESUME: resume,
    Action.FREEZE: freeze,
}


def test_every_action_but_looking_is_shown_here() -> None:
    assert set(SHOWN) == set(Action) - {Action.READ}


async def audited(made: House) -> list[AuditEntry]:
    return list((await made.app.audit.find(AUDITOR, AuditQuery(outcomes=(Outcome.DONE,)), 1000)).entries)


async def test_what_somebody_does_is_in_the_audit_log_with_the_channel(tmp_path: Path) -> None:
    async with house(tmp_path, **AT_ONCE) as made:
        await made.app.fleet.take_in_listing()
        for action, does in SHOWN.items():
            before = set(await audited(made))
            actor, name = await does(made)
            new = [
                one for one in set(await audited(made)) - before if (one.actor, one.action) == (actor, name)
            ]
            assert [bool(one.channel and one.subject) for one in new] == [True], action


async def refusals(made: House) -> Sequence[tuple[str, str]]:
    found = await made.app.audit.find(AUDITOR, AuditQuery(outcomes=(Outcome.REFUSED,)), 1000)
    return [(one.action, one.subject) for one in found.entries][::-1]


async def test_what_somebody_was_refused_is_in_the_audit_log_once_with_what_it_was_about(
    tmp_path: Path,
) -> None:
    async with house(tmp_path) as made:
        await made.app.fleet.take_in_listing()
        rollout = await requested(made)
        await says(made, VERA, "rename MT0001 Roof north")
        await made.click(VERA, ids.ROLLOUT_APPROVE, rollout)
        await made.click(VERA, ids.ROLLOUT_CANCEL, rollout)
        assert await refusals(made) == [
            ("rename", "MT0001 Roof north"),
            (ids.ROLLOUT_APPROVE, "R-1"),
            (ids.ROLLOUT_CANCEL, "R-1"),
        ]


async def test_a_role_that_was_lost_since_a_button_was_drawn_counts_at_the_click(tmp_path: Path) -> None:
    async with house(tmp_path) as made:
        await made.app.fleet.take_in_listing()
        answer = await says(made, OTTO, f"rename {gateway(made)} Roof north")
        made.slack.workspace.users[OTTO].is_restricted = True
        made.app.slack.people.forget(OTTO)
        assert "Guests and people from other organisations cannot" in await made.click(
            OTTO, ids.WRITE_UNDO, answer
        )
        assert (OTTO, ids.WRITE_UNDO) in await made.refused()
