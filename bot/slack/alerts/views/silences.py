"""Silences as messages, and the modal that makes one. Pure functions."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import CHOICES, ENDS, EndMissing, Silence, SilencedDown
from bot.domain.audit import BOT
from bot.slack import ids
from bot.slack.alerts.views.headline import where_plain
from bot.slack.ids import CardRef, GatewayRef, PageRef, Ref
from bot.slack.views.blocks import (
    Block,
    Message,
    View,
    actions,
    bold,
    button,
    code,
    context,
    count,
    date,
    mention,
    message,
    name,
    nothing_matches,
    section,
    sentence,
    status,
)
from bot.slack.views.modals import modal, moment_input, select, text_input
from bot.slack.views.paging import SITE, buttons, cut_page, rows_with
from bot.slack.views.undrawable import asks_first, row

SILENCES = "silences"  # the kind of the list
SILENCE_OF_ALERT = "silence_of_alert"  # of a question about the gateways of one alert
PAGE = 8
_LONGEST_ID = 140  # of a gateway, that an option's value holds
_ALONE = "gateway "  # before its id, in the choice of what a silence of its alert holds
_SILENCES_SHOWN = 5  # beside what is open
_WORDS = {"30m": "30 minutes", "1h": "1 hour", "4h": "4 hours", "12h": "12 hours", "24h": "24 hours"}


def silenced(silence: Silence, covered: int) -> Message:
    """The answer to whoever silenced."""
    many = "" if silence.gateways is not None else f" {count(covered, 'gateway')} now,"
    text = (
        f"{status('silenced')} as {bold(silence.title)}: {what(silence)},{many} until {date(silence.until)}. "
        "Nothing opens, repeats or escalates for them until then; I say so before it ends."
    )
    if not covered:
        text += f"\n{nothing_matches()}"
    return message(text, [section(text)])


def confirmation(text: str, question: PageRef, fleet: int) -> Message:
    """What a silence would cover, before it holds so much, or nothing; its button says yes to just that.

    The ``question`` is what its button carries, with how many gateways it covers.
    """
    yes = button("Silence", ids.SILENCE_CONFIRM, question, label="Silence them all the same")
    return asks_first(f"silence {text}", question, fleet, yes, "Nothing is silenced until you confirm it.")


def how_long(
    asked: EndMissing, covered: int, fleet: int, choices: Sequence[tuple[str, datetime, PageRef]]
) -> Message:
    """What a silence without an end would cover, and a button for each end that it may have."""
    many = f"{bold(count(covered, 'gateway'))} of {fleet:,}"
    said = f"{code(f'/mesh silence {asked.query}', 600)} would hold the alerts of {many}. For how long?"
    rows = [f"Until {date(until)}" for _, until, _ in choices]
    beside = [
        button(ENDS[end], ids.SILENCE_CONFIRM, question, label=f"Silence {asked.query} {end}")
        for end, _, question in choices
    ]
    longer = "" if asked.reason else " What lasts longer needs a reason: add “because …”."
    small = f"Nothing is silenced until you choose.{longer}"
    return message("\n".join([said, *rows, small]), [section(said), *rows_with(rows, beside), context(small)])


def unsilenced(silence: Silence) -> Message:
    return sentence(f"{silence.title} ended. Gateways still offline will alert after the next poll.")


def listed(silences: Sequence[Silence], offset: int, *, may_end: bool = False) -> Message:
    """A page of those that hold, the first to end first; ``may_end``: with a button that ends each."""
    if not silences:
        return sentence("No silence holds now.")
    page, place = cut_page(silences, SILENCES, offset, PAGE)
    title = f"{bold(place.says('silence'))}{place.in_order('the first to end first')}"
    rows = [row(line, one) for one in page]
    page_ref = PageRef(SILENCES, place.offset)
    ends = [end_button(one, page_ref) if may_end else None for one in page]
    return message("\n".join([title, *rows]), [section(title), *rows_with(rows, ends), *buttons(place)])


def end_button(silence: Silence, page: PageRef | None = None, text: str = "End") -> Block:
    """``page``: of the list to draw again; a card changes by itself."""
    ref = CardRef(str(silence.id), answer=page)
    return button(text, ids.SILENCE_END, ref, label=f"End the silence {silence.title}")


def line(silence: Silence) -> str:
    """A silence where several are shown."""
    ends = f"until {date(silence.until)}, by {mention(silence.by)}"
    return f"{bold(silence.title)} {what(silence)} {ends}{_why(silence)}"


def held(found: Sequence[Silence]) -> list[str]:
    """The first silences to end, a line for each, for those who look at a site."""
    more = len(found) - _SILENCES_SHOWN
    rest = [f"and {count(more, 'more silence')}"] if more > 0 else []
    return [*(f"{status('silenced')}: {row(line, one)}" for one in found[:_SILENCES_SHOWN]), *rest]


def down(found: Sequence[SilencedDown]) -> list[str]:
    """What is offline and silenced, a line for each silence, for those who look at what is open."""
    rows = [row(_down_line, one) for one in found[:_SILENCES_SHOWN]]
    more = len(found) - _SILENCES_SHOWN
    rest = [f"and {count(more, 'more silence')} with gateways that are offline"] if more > 0 else []
    return [f"{status('silenced')} and offline:", *rows, *rest] if rows else []


def _down_line(one: SilencedDown) -> str:
    return f"{line(one.silence)}. {offline(one.down, one.first)}"


def offline(down: int, first: Sequence[str]) -> str:
    """So many are offline and held, the first of them by name."""
    more = down - len(first)
    named = ", ".join(name(label, 40) for label in first)
    return f"Offline: {named}{f' and {more:,} more' if more else ''}."


def card(silence: Silence, covered: int) -> Message:
    """The channel loses alerts: whose, by whom, until when and why; a button ends it while it holds."""
    by, until = mention(silence.by), date(silence.until)
    reason = f": {name(silence.reason, 300)}" if silence.reason else ""
    if silence.ended_by is not None:
        whom = "" if silence.ended_by == BOT else f" by {mention(silence.ended_by)}"
        text = (
            f"{bold(silence.title)} by {by} ended {until}{whom}{reason}. "
            f"It held the alerts of {what(silence)}."
        )
        return message(text, [section(text)])
    text = (
        f"{status('silenced')}: {bold(silence.title)} by {by}, {count(covered, 'gateway')} until {until}"
        f"{reason}. The alerts of {what(silence)} do not come here."
    )
    return message(text, [section(text), *actions(end_button(silence, text="End silence"))])


def ended(body: Mapping[str, Any]) -> Message:
    """The channel gets them again."""
    by, title = mention(str(body["ended_by"])), bold(str(body["silence"]))
    text = f"🔔 {title} ended by {by}: the alerts of {_of_body(body)} come here again."
    return message(text, [section(text)])


def ending(body: Mapping[str, Any]) -> Message:
    """One is about to end."""
    until = datetime.fromisoformat(str(body["until"]))
    by, whose = mention(str(body["by"])), _of_body(body)
    text = f"{status('silenced')}: {body['silence']} by {by}, {whose}, ends {date(until)}."
    return message(text, [section(text)])


def silence_modal(incident: Incident, channel: str, covered: int, fleet: int) -> View:
    """How long, and why. A moment goes before a duration; ``channel`` is where the button was.

    Of an alert about one gateway it is that gateway alone, unless the whole site is chosen.
    """
    held = f"Alerts {name(where_plain(incident), 80)} are held for a while, seven days at most"
    one = incident.first[0] if incident.tally.total == len(incident.first) == 1 < covered else None
    one = one if one and len(one.id) <= _LONGEST_ID else None
    which = (
        [(_ALONE + one.id, one.label), ("site", f"All {count(covered, 'gateway')} at {incident.site}")]
        if one
        else []
    )
    return _dialog(
        f"{held}: {bold(count(covered, 'gateway'))} of {fleet:,}." if one is None else f"{held}.",
        ids.INCIDENT_SILENCE,
        CardRef(str(incident.id), incident.version, channel=channel),
        [select(ids.WHAT, "What", which, initial=which[0][0])] if which else [],
    )


def alone(chosen: str | None) -> str | None:
    """The id of the gateway that was chosen in the dialog of an alert."""
    return chosen.removeprefix(_ALONE) if chosen and chosen.startswith(_ALONE) else None


def gateway_dialog(gateway_id: str, channel: str) -> View:
    """The same for one gateway, from its card."""
    return _dialog(
        f"The alerts of {code(gateway_id, 100)} are held for a while, seven days at most.",
        ids.GATEWAY_SILENCE,
        GatewayRef(gateway_id, channel=channel),
    )


def site_dialog(site: str, covered: int, fleet: int) -> View:
    """The same for a site, from its card."""
    which = f"{bold(count(covered, 'gateway'))} of {fleet:,}, at {name(site)},"
    return _dialog(
        f"The alerts of {which} are held for a while, seven days at most.",
        ids.SITE_SILENCE,
        PageRef(SITE, covered, site),
    )


def silenced_dialog(silence: Silence, covered: int = 1) -> View:
    """In the place of the dialog: nothing else shows whoever silenced it that it is done."""
    shown = silenced(silence, covered)
    return modal("Silence", [*shown.blocks, *actions(end_button(silence))], callback_id="said")


def _dialog(held: str, callback_id: str, ref: Ref, which: Sequence[Block] = ()) -> View:
    why = "Why? Needed above 4 hours, and for more than half of the fleet"
    return modal(
        "Silence",
        [
            section(held),
            *which,
            select(ids.DURATION, "For", [(one, _WORDS[one]) for one in CHOICES], initial="1h"),
            moment_input(ids.UNTIL, "Or until, at most 7 days from now", optional=True),
            text_input(ids.REASON, why, optional=True, most=500),
        ],
        callback_id=callback_id,
        ref=ref,
        submit="Silence",
    )


def what(silence: Silence) -> str:
    """Whose alerts it holds."""
    kept = None if silence.gateways is None else len(silence.gateways)
    return (
        _whose(silence.query, silence.limits, kept)
        or f"the gateways of A-{silence.incident_id}{within(silence.limits)}"
    )


def _of_body(body: Mapping[str, Any]) -> str:
    """Whose alerts a silence holds, by a message about it."""
    limits, kept = body.get("limits", ()), body.get("kept")
    return _whose(str(body["query"]), limits, kept) or f"the gateways of an alert{within(limits)}"


def _whose(query: str, limits: Sequence[str], kept: int | None) -> str:
    """Empty for an empty query."""
    if not query:
        return ""
    if kept is not None:
        those = "the gateway that matches" if kept == 1 else f"the {kept:,} gateways that match"
        return f"{those} {code(query, 100)} at its beginning, and no others"
    return f"{code(query, 100)}{within(limits)}"


def within(limits: Sequence[str]) -> str:
    """What a query is narrowed to by the limits of whoever asked."""
    return f" within {' or '.join(code(limit, 100) for limit in limits)}" if limits else ""


def _why(silence: Silence) -> str:
    return f": {name(silence.reason, 100)}" if silence.reason else ""
