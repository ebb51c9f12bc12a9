"""The card of an incident, and the words in which incidents are told of. Pure functions.

A card shows moments, never ages: it stays in the channel as it was drawn.
"""

from collections.abc import Sequence
from dataclasses import replace

from bot.domain.alerts.incidents import (
    AffectedGateway,
    AlertRules,
    Incident,
    Leave,
    MemberCounts,
    Share,
    Trait,
)
from bot.domain.alerts.reminders import next_question, next_reminder
from bot.domain.gateways import NO_SITE
from bot.domain.incident_kinds import Scope
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    button,
    code,
    confirm,
    context,
    count,
    date,
    duration,
    header,
    lines,
    mention,
    message,
    name,
    plain_name,
    section,
    status,
)
from bot.slack.views.incident_words import words_of

NAME = 40  # characters of a name or a site, so that a page fits whatever they hold
_OVER = "🟢 Over"


def card(incident: Incident, rules: AlertRules, groups: Sequence[str] = ()) -> Message:
    """The one message about an incident, from its first post to its end. ``groups``: who is reminded of what
    nobody acknowledges, by names that ring at nobody.
    """
    has_gateways = incident.kind.rules.trouble is not None
    if not incident.state.is_live:
        drawn = _closed_card(incident) if has_gateways else _visible_again_card(incident)
        return replace(drawn, is_over=True)
    return _open_card(incident, rules, groups) if has_gateways else _visibility_lost_card(incident, groups)


def _open_card(incident: Incident, rules: AlertRules, groups: Sequence[str]) -> Message:
    tally = incident.tally
    said = said_of(incident)
    shown = [down_line(one, incident) for one in incident.first if one.is_down]
    rest = more(tally.down - len(shown))
    taken = _in_whose_hands(incident, groups)
    happens = _happens(incident, rules)
    blocks: list[Block] = [
        header(f"{title(incident)} {where_plain(incident)}"),
        section(" ".join(said)),
        *lines([*shown, *rest]),
        section(taken),
        context(happens),
        *actions(acknowledge(incident), silence(incident), pause_rollout(incident), details(incident)),
    ]
    heading = f"{title(incident)} {where(incident)}."
    return message("\n".join([f"{heading} {' '.join(said)}", *shown, *rest, taken, happens]), blocks)


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


def _closed_card(incident: Incident) -> Message:
    tally = incident.tally
    follows = ["What is offline becomes an alert of its own."] if tally.still_down else []
    said = " ".join([_lasted(incident), *causes(incident), *released(tally), *follows])
    shown = [left_line(one, incident) for one in incident.first]
    rest = more(tally.total - len(shown))
    taken = who(incident)
    one, many = words_of(incident.kind).over
    state = one if tally.total == 1 else many
    heading = f"{_OVER}: {count(tally.total, 'gateway')}"
    if tally.still_down:
        heading = f"🔴 Quiet again: {tally.still_down:,} of {count(tally.total, 'gateway')}"
        state = "is offline" if tally.still_down == 1 else "are offline"
    blocks: list[Block] = [
        header(f"{heading} {where_plain(incident)} {state}"),
        section(said),
        *lines([*shown, *rest]),
        *([context(taken)] if taken else []),
        *actions(details(incident)),
    ]
    text = [f"{heading} {where(incident)} {state}. {said}", *shown, *rest]
    return message("\n".join([*text, taken] if taken else text), blocks)


def _visibility_lost_card(incident: Incident, groups: Sequence[str]) -> Message:
    heading = words_of(incident.kind).begin
    loss, begun = incident.loss, f"Since {date(incident.opened_at)}."
    held = "New alerts are held, and so are the rollouts: nothing is started, promoted or judged."
    if loss is not None and loss.lost:
        doubt = "So many do not go at once; it is likelier that the data is wrong."
        then = "When the polls are as before, this card says so; if three more say the same, it is an outage."
    else:
        doubt = "Run status to read what Meshtech answered."
        then = "When a poll succeeds again, this card says so."
    said, taken = f"{_lost(incident)} {begun} {doubt}", _in_whose_hands(incident, groups)
    buttons = actions(acknowledge(incident))
    blocks = [header(heading), section(said), section(taken), context(f"{held} {then}"), *buttons]
    return message("\n".join([f"{heading}. {said}", taken, f"{held} {then}"]), blocks)


def _visible_again_card(incident: Incident) -> Message:
    begun, ended = incident.opened_at, incident.resolved_at or incident.opened_at
    said = f"{_lost(incident)} From {date(begun)} to {date(ended)}, {duration(ended - begun)} in all."
    if incident.loss is not None and incident.loss.outage:
        heading = "🔴 An outage after all"
        then = (
            "Three more polls said the same: the alerts of those that are offline follow, and what Meshtech "
            "no longer lists counts as released."
        )
    else:
        heading = f"{_OVER}: data from Meshtech again"
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


# ---- words
def title(incident: Incident) -> str:
    tally = incident.tally
    gone = tally.back + tally.released + tally.taken
    number = f"{tally.down:,} of {count(tally.total, 'gateway')}" if gone else count(tally.down, "gateway")
    words = words_of(incident.kind)
    if incident.kind.rules.trouble is None:
        return words.begin
    return f"{words.begin}: {number}{words.counted}"


def where(incident: Incident) -> str:
    return _place(incident, name(incident.site, NAME))


def where_plain(incident: Incident) -> str:
    """For headings and labels, which are plain text."""
    return _place(incident, plain_name(incident.site, NAME))


def _place(incident: Incident, site: str) -> str:
    match incident.kind.rules.scope:
        case Scope.SITE:
            return "without a tag" if incident.site == NO_SITE else f"at {site}"
        case Scope.SITES:
            return f"at {count(incident.sites, 'site')}"
        case Scope.ROLLOUT:
            firmware = f" to {name(incident.firmware, NAME)}" if incident.firmware else ""
            return f"from rollout {site}{firmware}"
        case Scope.FLEET:
            return "of the whole fleet"


def said_of(incident: Incident) -> list[str]:
    """Since when, why, and how some ended."""
    return [since(incident), *causes(incident), *others(incident.tally)]


def since(incident: Incident) -> str:
    tally, words = incident.tally, words_of(incident.kind)
    if incident.kind.rules.trouble is not None and tally.since is None:
        return "Its gateways are being counted."
    said = (words.since_of_one if tally.total == 1 else None) or words.since
    return said.format(since=date(tally.since or incident.opened_at), opened=date(incident.opened_at))


def causes(incident: Incident) -> list[str]:
    """What they have in common, the best first. Of a storm, also that there is nothing."""
    if not incident.cause:
        nothing = words_of(incident.kind).nothing_shared
        return [nothing] if nothing and incident.state.is_live else []
    return [f"What they share: {', '.join(map(_share, incident.cause))}."]


def _share(share: Share) -> str:
    numbers = f"{share.gateways:,} of {share.of:,}"
    value = name(share.value, NAME)
    match share.trait:
        case Trait.TAG:
            return f"{bold(f'{numbers} at {value}')}"
        case Trait.MODEL:
            return f"{bold(f'{numbers} of model {value}')}"
        case Trait.FIRMWARE:
            return f"{bold(f'{numbers} on firmware {value}')}"
        case Trait.ROLLOUT:
            return f"{bold(f'{numbers} in rollout R-{value}')}"


def others(tally: MemberCounts) -> list[str]:
    back = [f"{count(tally.back, 'gateway is', 'gateways are')} back online."] if tally.back else []
    return [*back, *released(tally)]


def released(tally: MemberCounts) -> list[str]:
    """Of those that left without being back."""
    said = []
    if tally.taken:
        said.append(f"{count(tally.taken, 'gateway is', 'gateways are')} in the alert of a rollout now.")
    if tally.released:
        said.append(
            f"{count(tally.released, 'gateway is', 'gateways are')} no longer in the fleet (released)."
        )
    return said


def counts(tally: MemberCounts) -> str:
    gone = f", {tally.released:,} released" if tally.released else ""
    taken = f", {tally.taken:,} in the alert of a rollout" if tally.taken else ""
    return f"{tally.down:,} offline, {tally.back:,} back{gone}{taken}"


def _lasted(incident: Incident) -> str:
    begun, until = incident.tally.since, incident.tally.until or incident.resolved_at
    if begun is None or until is None:
        return "Over."
    word = "Flapping" if _lasts_online(incident) else "Offline"
    return f"{word} from {date(begun)} to {date(until)}, {duration(until - begun)} in all."


def who(incident: Incident) -> str:
    taken = incident.acknowledged
    silenced = incident.silenced
    silent = ""
    if silenced:
        why = f": {name(silenced.reason, 300)}" if silenced.reason else ""
        silent = f"{status('silenced')} by {mention(silenced.user_id)} until {date(silenced.until)}{why}."
    has = f"{status('acknowledged')} by {mention(taken.user_id)} {date(taken.at)}." if taken else ""
    return " ".join(filter(None, [has, silent]))


def in_hands(incident: Incident) -> str:
    """Who has it, or that nobody has; whose acknowledgement it outgrew."""
    lapse = incident.lapse
    if incident.acknowledged is not None or lapse is None:
        return who(incident) or "Nobody has acknowledged this yet."
    given = f"{mention(lapse.by.user_id)} acknowledged {count(lapse.gateways, 'gateway')} {date(lapse.by.at)}"
    outgrown = f"{given}; {lapse.more:,} more went offline since, so nobody has it now."
    return " ".join(filter(None, [outgrown, who(incident)]))


def down_line(one: AffectedGateway, incident: Incident) -> str:
    if _lasts_online(incident):
        return f"{status('flapping')} {_named(one)}, {_is_now(one)}"
    return f"{status('offline')} {_named(one)} since {date(one.offline_since)}"


def left_line(one: AffectedGateway, incident: Incident) -> str:
    if one.left_at is None:
        return down_line(one, incident)
    if one.left_as is Leave.RELEASED:
        return f"{status('released')} {_named(one)}: offline since {date(one.offline_since)}, then gone"
    if one.left_as is Leave.TAKEN:
        return f"{status('offline')} {_named(one)}: in the alert of its rollout since {date(one.left_at)}"
    if one.left_as is Leave.STILL_DOWN:
        return f"{status('offline')} {_named(one)} for the last hour"
    if _lasts_online(incident):
        return f"{status('online')} {_named(one)} for the last hour"
    away = duration(one.left_at - one.offline_since)
    return f"{status('back', 'online')} {_named(one)} since {date(one.left_at)}, after {away}"


def _lasts_online(incident: Incident) -> bool:
    """Whether its gateways go on and off, so that it matters how each is now."""
    trouble = incident.kind.rules.trouble
    return trouble is not None and trouble.rules.lasts_online


def _is_now(one: AffectedGateway) -> str:
    if one.state is None or one.changed_at is None:
        return "no longer in the fleet"
    return f"{one.state.value} since {date(one.changed_at)}"


def _named(one: AffectedGateway) -> str:
    return bold(name(one.label, NAME)) + (f" {code(one.id)}" if one.label != one.id else "")


def more(number: int) -> list[str]:
    return [f"… and {count(number, 'more', 'more')}: Details lists them all."] if number > 0 else []


# ---- buttons
def acknowledge(incident: Incident, page: PageRef | None = None) -> Block | None:
    """``page``: of the list to draw again. A card has none: it changes by itself."""
    if incident.acknowledged is not None:
        return None
    ref = CardRef(str(incident.id), incident.version, page)
    spoken = f"Acknowledge: {where_plain(incident)}"
    return button("Acknowledge", ids.INCIDENT_ACK, ref, style="primary", label=spoken)


def silence(incident: Incident) -> Block:
    ref = CardRef(str(incident.id), incident.version)
    return button("Silence", ids.INCIDENT_SILENCE, ref, label=f"Silence: {where_plain(incident)}")


def pause_rollout(incident: Incident) -> Block | None:
    """Where the rollout that explains it, or that it is about, still runs."""
    if incident.running_rollout is None:
        return None
    rollout = f"R-{incident.running_rollout}"
    return button(
        f"Pause rollout {rollout}",
        ids.INCIDENT_PAUSE_ROLLOUT,
        CardRef(str(incident.id), incident.rollout_entry),
        style="danger",
        confirm=confirm(
            f"Pause {rollout}?", "Nothing more is started; what has started is still judged.", "Pause"
        ),
    )


def details(incident: Incident) -> Block:
    ref = CardRef(str(incident.id), incident.version)
    return button("Details", ids.INCIDENT_DETAILS, ref, label=f"Details: {where_plain(incident)}")
