"""The card of an incident. Pure functions.

A card shows moments, never ages: it stays in the channel as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.alerts.incidents import AlertRules, Incident
from bot.domain.alerts.reminders import next_question, next_reminder
from bot.domain.gateways import NO_SITE
from bot.domain.incident_kinds import Scope
from bot.slack.alerts.views.buttons import (
    acknowledge_everything,
    details,
    hands,
    pause_rollout,
    silence,
    update,
)
from bot.slack.alerts.views.headline import (
    NAME,
    causes,
    down_line,
    headline,
    headline_plain,
    in_hands,
    last_time,
    lasted,
    left_line,
    more,
    released,
    said_of,
    who,
)
from bot.slack.ids import PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    context,
    count,
    date,
    duration,
    header,
    lines,
    mention,
    message,
    name,
    section,
)
from bot.slack.views.incident_kind_words import words_of
from bot.slack.views.portal_links import NO_PORTAL, Portal, linked


def card(
    incident: Incident,
    rules: AlertRules,
    groups: Sequence[str] = (),
    portal: Portal = NO_PORTAL,
    page: PageRef | None = None,
    besides: Sequence[str] = (),
) -> Message:
    """The one message about an incident, from its first post to its end. ``groups``: who is reminded of what
    nobody acknowledges, by names that ring at nobody. ``page``: of the answer that shows it, if it is none.
    ``besides``: what is to be said of maintenance and of its site.
    """
    has_gateways = incident.kind.rules.trouble is not None
    if not incident.state.is_live:
        drawn = _closed_card(incident, portal) if has_gateways else _visible_again_card(incident)
        return replace(drawn, is_over=True)
    if not has_gateways:
        return _visibility_lost_card(incident, groups, page)
    return _open_card(incident, rules, groups, portal, page, besides)


def _open_card(
    incident: Incident,
    rules: AlertRules,
    groups: Sequence[str],
    portal: Portal,
    page: PageRef | None,
    besides: Sequence[str],
) -> Message:
    tally = incident.tally
    said = [*said_of(incident), *_history(incident, portal)]
    shown = [down_line(one, incident, portal) for one in incident.first if one.is_down]
    rest = more(tally.down - len(shown))
    taken = _in_whose_hands(incident, groups)
    happens = _happens(incident, rules)
    blocks: list[Block] = [
        header(headline_plain(incident)),
        section(" ".join(said)),
        *lines([*shown, *rest]),
        *lines(besides),
        section(taken),
        context(happens),
        *actions(
            *hands(incident, page),
            acknowledge_everything(incident),
            silence(incident),
            pause_rollout(incident),
            update(incident),
            details(incident),
        ),
    ]
    return message(
        "\n".join([f"{headline(incident)}. {' '.join(said)}", *shown, *rest, *besides, taken, happens]),
        blocks,
    )


def _history(incident: Incident, portal: Portal) -> list[str]:
    """What was here before, and where there is more."""
    site = incident.site if incident.kind.rules.scope is Scope.SITE and incident.site != NO_SITE else ""
    url = portal.site(site) if site else ""
    link = linked(f"{name(site, NAME)} in the portal", url) + "." if url else ""
    return [one for one in (last_time(incident), link) if one]


def _in_whose_hands(incident: Incident, groups: Sequence[str]) -> str:
    """Who has it, and who hears of it when, if nothing happens until then."""
    return " ".join(filter(None, [in_hands(incident), _reminds(incident, groups)]))


def _reminds(incident: Incident, groups: Sequence[str]) -> str:
    if not incident.kind.rules.is_reminded:
        return ""
    if incident.silenced is not None:
        return "Nobody is reminded before that."
    question = next_question(incident)
    if incident.acknowledged is not None and question is not None:
        return f"I ask {mention(incident.acknowledged.user_id)} {date(question)} whether it is still theirs."
    if not groups:
        return ""
    reminder = next_reminder(incident)
    if reminder is None:
        return "That was the last reminder: it waits for somebody to acknowledge it."
    named = ", ".join(name(one, NAME) for one in groups)
    return f"I remind {named} {date(reminder)} unless somebody acknowledges it."


def _happens(incident: Incident, rules: AlertRules) -> str:
    words = words_of(incident.kind)
    back = (
        f"A gateway counts as back after {duration(rules.online_after)} online and "
        f"{count(rules.online_listings, 'poll')}. When all are back, this card says so."
    )
    return " ".join(filter(None, [words.happens or back, words.later]))


def _closed_card(incident: Incident, portal: Portal) -> Message:
    tally = incident.tally
    follows = ["What is offline becomes an alert of its own."] if tally.still_down else []
    said = " ".join([lasted(incident), *causes(incident), *released(tally), *follows])
    shown = [left_line(one, incident, portal) for one in incident.first]
    rest = more(tally.total - len(shown))
    taken = who(incident)
    blocks: list[Block] = [
        header(headline_plain(incident)),
        section(said),
        *lines([*shown, *rest]),
        *([context(taken)] if taken else []),
        *actions(details(incident)),
    ]
    text = [f"{headline(incident)}. {said}", *shown, *rest]
    return message("\n".join([*text, taken] if taken else text), blocks)


def _visibility_lost_card(incident: Incident, groups: Sequence[str], page: PageRef | None) -> Message:
    heading = headline_plain(incident)
    loss, begun = incident.loss, f"Since {date(incident.opened_at)}."
    held = "New alerts are held, and so are the rollouts: nothing is started, promoted or judged."
    if loss is not None and loss.lost:
        doubt = "So many do not go at once; it is likelier that the data is wrong."
        then = "When the polls are as before, this card says so; if three more say the same, it is an outage."
    else:
        doubt = "`/mesh status` says what Meshtech answered."
        then = "When a poll succeeds again, this card says so."
    said, taken = f"{_lost(incident)} {begun} {doubt}", _in_whose_hands(incident, groups)
    buttons = actions(*hands(incident, page))
    blocks = [header(heading), section(said), section(taken), context(f"{held} {then}"), *buttons]
    return message("\n".join([f"{heading}. {said}", taken, f"{held} {then}"]), blocks)


def _visible_again_card(incident: Incident) -> Message:
    begun, ended = incident.opened_at, incident.resolved_at or incident.opened_at
    said = f"{_lost(incident)} From {date(begun)} to {date(ended)}, {duration(ended - begun)} in all."
    if incident.loss is not None and incident.loss.outage:
        heading = f"🔴 {incident.title} an outage after all"
        then = (
            "Three more polls said the same: the alerts of those that are offline follow, and what Meshtech "
            "no longer lists counts as released."
        )
    else:
        heading = f"🟢 {incident.title} data from Meshtech again"
        then = "Alerts and rollouts go on from what Meshtech says now."
    taken = who(incident)
    blocks = [header(heading), section(said), *([context(taken)] if taken else []), context(then)]
    return message("\n".join(filter(None, [f"{heading}. {said}", taken, then])), blocks)


def _lost(incident: Incident) -> str:
    loss = incident.loss
    if loss is None:
        return "Meshtech gave no data."
    if loss.lost:
        online = count(loss.online_before, "gateway")
        return f"{loss.lost:,} of {online} that were online went missing between two polls."
    return f"{count(loss.failures, 'poll')} in a row failed."
