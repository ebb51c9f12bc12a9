"""The daily digest in words: one line for a quiet day, else what somebody should know, the worst first."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import Silence
from bot.domain.digests import Digest, DigestPart, Listed
from bot.domain.rollouts.lifecycle import Rollout, TargetState
from bot.slack.alerts.views import silences
from bot.slack.alerts.views.headline import headline, said_of, where_plain
from bot.slack.alerts.views.lists import ALERTS, INCIDENT
from bot.slack.fleet.views import firmware_policy
from bot.slack.fleet.views.search import device_line
from bot.slack.rollouts.views.card import ROLLOUT, state_words, tally_words
from bot.slack.rollouts.views.lists import ROLLOUTS
from bot.slack.views.blocks import (
    Block,
    File,
    Message,
    bold,
    code,
    context,
    count,
    date,
    escape,
    lines,
    message,
    name,
    section,
    status,
)
from bot.slack.views.paging import DEVICE, DEVICES, Door, open_menu
from bot.slack.views.undrawable import UNDRAWN, left_out, row

_TITLES: Final[Mapping[DigestPart, str]] = {  # in the order in which they are told
    DigestPart.LONG_OFFLINE: "Offline for more than 24 h",
    DigestPart.POLICIES: "Firmware policy",
    DigestPart.FLAPPING: "Flapping",
    DigestPart.INCIDENTS: "Alerts nobody acknowledged",
    DigestPart.ROLLOUTS: "Rollouts under way",
    DigestPart.CATCH_UP: "Could catch up",
    DigestPart.SILENCES: "Silences that end within a day",
}
_NO_CHARTS: Final = "⚠️ A chart could not be drawn."
_FEW = 5  # of incidents, rollouts and silences; there are ten gateways


def digest(
    found: Digest,
    body: Mapping[str, Any],
    pictures: Sequence[File] = (),
    *,
    undrawn: bool = False,
) -> Message:
    """``body`` is that of the note: whose digest it is, and when it comes. ``undrawn``: some picture is."""
    state = _state(found)
    if found.is_quiet:
        quiet = f"🟢 {state}, and nothing waits for anybody."
        return message(quiet, [section(quiet)])
    rows = {
        DigestPart.LONG_OFFLINE: _gateways(found.long_offline, found, "is:offline for:>24h"),
        DigestPart.POLICIES: [
            row(firmware_policy.short, one) for one in found.policies[: firmware_policy.SHOWN]
        ],
        DigestPart.FLAPPING: _gateways(found.flapping, found, "is:flapping"),
        DigestPart.INCIDENTS: _few([row(_incident, one) for one in found.incidents], "alerts"),
        DigestPart.ROLLOUTS: _few([row(_rollout, *one) for one in found.rollouts], "rollouts"),
        DigestPart.CATCH_UP: _few([row(_back, *one) for one in found.catch_up], "rollouts"),
        DigestPart.SILENCES: _few([row(_silence, one) for one in found.silences], "silences"),
    }
    for key, number in found.left_out.items():
        rows[key].append(left_out(number))
    parts = [(key, heads, [UNDRAWN] if key in found.missing else rows[key]) for key, heads in _TITLES.items()]
    doors = _doors(found)
    heading = f"{'🔴' if found.long_offline.total or found.incidents else '🟡'} {state}."
    stale = [_stale(found)] if found.is_stale else []
    blocks: list[Block] = [section(" ".join([bold(heading), *stale]))]
    for key, heads, told in parts:
        if told:
            blocks += [section(bold(heads), open_menu("Open…", doors[key]))]
            plain = key is not DigestPart.POLICIES or key in found.missing or key in found.left_out
            blocks += lines(told) if plain else firmware_policy.shown_beside(found.policies, may_update=True)
    said = [" ".join([heading, *stale])]
    said += [line for _, heads, told in parts if told for line in (f"{heads}:", *told)]
    said += [escape(one.alt) for one in pictures]
    foot = [*([_NO_CHARTS] if undrawn else []), _foot(body)]
    return message("\n".join([*said, *foot]), [*blocks, context(*foot)], pictures=pictures)


def _state(found: Digest) -> str:
    """``238 of 240 gateways are online; 2 are offline for more than 24 h``."""
    counts, of = found.counts, f" of {code(found.query)}" if found.query else ""
    if not counts.total:
        return f"There are no gateways{of}"
    verb = "is" if counts.online == 1 else "are"
    said = [f"{counts.online:,} of {count(counts.total, 'gateway')}{of} {verb} online"]
    if counts.online == counts.total:
        said = [f"All {count(counts.total, 'gateway')}{of} are online"]
    if long := found.long_offline.total:
        said.append(f"{long:,} {'is' if long == 1 else 'are'} offline for more than 24 h")
    if counts.unknown:
        said.append(f"of {counts.unknown:,} Meshtech does not say")
    return "; ".join(said)


def _stale(found: Digest) -> str:
    if found.as_of is None:
        return "⚠️ There is no data from Meshtech yet."
    return f"⚠️ There is no data from Meshtech since {date(found.as_of)}, so this is the state of that time."


def _doors(found: Digest) -> Mapping[DigestPart, Sequence[Door]]:
    """Where the rows of each part lead, and where there are more, to all of them."""

    def gateways(listed: Listed, narrower: str) -> list[Door]:
        shown = [Door(DEVICE, one.gateway.id, one.gateway.label) for one in listed.first]
        everything = Door(DEVICES, f"{found.query} {narrower}".strip(), f"All {listed.total:,}")
        return [*shown, *([everything] if listed.total > len(shown) else [])]

    def few(rows: Sequence[Door], everything: str) -> list[Door]:
        return [*rows[:_FEW], *([Door(everything, "", f"All {len(rows):,}")] if len(rows) > _FEW else [])]

    def rollouts(rows: Sequence[tuple[Rollout, object]]) -> list[Door]:
        return few([Door(ROLLOUT, str(one.id), one.title) for one, _ in rows], ROLLOUTS)

    alerts = [Door(INCIDENT, str(one.id), where_plain(one)) for one in found.incidents]
    return {
        DigestPart.LONG_OFFLINE: gateways(found.long_offline, "is:offline for:>24h"),
        DigestPart.POLICIES: [firmware_policy.ALL_POLICIES] if found.policies else [],
        DigestPart.FLAPPING: gateways(found.flapping, "is:flapping"),
        DigestPart.INCIDENTS: few(alerts, ALERTS),
        DigestPart.ROLLOUTS: rollouts(found.rollouts),
        DigestPart.CATCH_UP: rollouts(found.catch_up),
        DigestPart.SILENCES: [Door(silences.SILENCES, "", "All silences")] if found.silences else [],
    }


def _gateways(listed: Listed, found: Digest, narrower: str) -> list[str]:
    rows = [row(device_line, one, found.now) for one in listed.first]
    if more := listed.total - len(rows):
        question = f"/mesh devices {found.query} {narrower}".replace("  ", " ")
        rows.append(f"and {more:,} more: {code(question, 1200)}")
    return rows


def _few(rows: Sequence[str], word: str) -> list[str]:
    more = len(rows) - _FEW
    return [*rows[:_FEW], *([f"and {more:,} more: {code(f'/mesh {word}')}"] if more > 0 else [])]


def _incident(incident: Incident) -> str:
    return " · ".join([bold(headline(incident)), *said_of(incident)])


def _rollout(rollout: Rollout, counts: Mapping[TargetState, int]) -> str:
    """Without a mention: a digest wakes nobody."""
    what = f"{code(rollout.firmware_version)} for model {name(rollout.model, 40)}"
    state, by = status(*state_words(rollout, counts)), name(rollout.requester_name, 40)
    return f"{state} {bold(rollout.title)} · {what} · {tally_words(counts)} · by {by}"


def _back(rollout: Rollout, gateways: int) -> str:
    were = count(gateways, "skipped gateway is", "skipped gateways are")
    look = code(f"/mesh rollout {rollout.title}")
    return f"{bold(rollout.title)} · {were} online again: {look} lets them follow"


def _silence(silence: Silence) -> str:
    why = f": {name(silence.reason, 100)}" if silence.reason else ""
    until, by = date(silence.until), name(silence.by_name, 40)
    return f"🔕 {bold(silence.title)} · {silences.what(silence)} · until {until} · by {by}{why}"


def _foot(body: Mapping[str, Any]) -> str:
    """Why this is here, and how to be rid of it."""
    comes = f"Every day at {body['at']} ({body['zone']})."
    if body["number"] is None:
        return f"{comes} {code('/mesh subscribe digest')} in a channel brings it there instead."
    return f"{comes} {code('/mesh unsubscribe ' + str(body['number']))} ends it."
