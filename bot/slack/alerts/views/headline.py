"""What is said about an incident, on its card, in lists and in notes. Pure functions."""

from bot.domain.alerts.acknowledgements import MOST_NOTE
from bot.domain.alerts.incidents import (
    Acknowledgement,
    AffectedGateway,
    Incident,
    Leave,
    MemberCounts,
    Share,
    Trait,
)
from bot.domain.alerts.severity import Severity
from bot.domain.gateways import NO_SITE
from bot.domain.incident_kinds import Scope
from bot.slack.views.blocks import (
    bold,
    code,
    count,
    date,
    duration,
    mention,
    name,
    plain_name,
    status,
)
from bot.slack.views.incident_kind_words import words_of
from bot.slack.views.portal_links import NO_PORTAL, Portal, linked

NAME = 40  # characters of a name or a site, so that a page fits whatever they hold


def headline(incident: Incident) -> str:
    """Sign, number, place and how many: what a phone shows first of a card and of every note about it."""
    return _headline(incident, name(incident.site, NAME))


def headline_plain(incident: Incident) -> str:
    """For headings and labels, which are plain text."""
    return _headline(incident, plain_name(incident.site, NAME))


def _headline(incident: Incident, site: str) -> str:
    words, tally = words_of(incident.kind), incident.tally
    begin = f"{words.sign} {incident.title} {_subject(incident, site)}"
    if incident.kind.rules.trouble is None:
        return begin
    if not incident.state.is_live:
        if tally.still_down:
            are = "is offline" if tally.still_down == 1 else "are offline"
            down = f"{tally.still_down:,} of {count(tally.total, 'gateway')}"
            return f"🔴 {incident.title} {_subject(incident, site)}: quiet again, {down} {are}"
        one, many = words.over
        was = one if tally.total == 1 else many
        return f"🟢 {incident.title} {_subject(incident, site)}: over, {count(tally.total, 'gateway')} {was}"
    return f"{begin}: {how_many(incident)} {words.state}"


def subject(incident: Incident) -> str:
    """``A-7 tromsø``: for the first words of what is said about it."""
    return f"{incident.title} {_subject(incident, name(incident.site, NAME))}"


def how_many(incident: Incident) -> str:
    """``3 of 18 gateways``: those that are down now, of all that its place has."""
    down = incident.tally.down
    if not incident.of:
        return count(down, "gateway")
    return f"{down:,} of {count(max(incident.of, down), 'gateway')}"


def _subject(incident: Incident, site: str) -> str:
    match incident.kind.rules.scope:
        case Scope.SITE:
            return site
        case Scope.SITES:
            together = words_of(incident.kind).together
            return f"{together}{count(incident.sites, 'site')}"
        case Scope.ROLLOUT:
            firmware = f" to {name(incident.firmware, NAME)}" if incident.firmware else ""
            return f"{site}{firmware}"
        case Scope.MAINTENANCE:
            return f"after maintenance {site}"
        case Scope.POLICY:
            return f"firmware {site}"
        case Scope.FLEET:
            return words_of(incident.kind).together


_SEVERITIES = {Severity.CRITICAL: "🟥", Severity.MAJOR: "🟧", Severity.MINOR: "🟨"}


def severity(incident: Incident) -> str:
    """How bad it is, and by which share of its place. Empty for what has no gateways, or none down, and for a
    bad version: how bad that is nobody can count.
    """
    tally, of = incident.tally, max(incident.of, incident.tally.down)
    if incident.kind.rules.scope in {Scope.FLEET, Scope.POLICY} or not tally.down:
        return ""
    worst = f"{_SEVERITIES[incident.severity]} {bold(incident.severity.value)}"
    if not incident.of:
        return f"{worst}."
    match incident.kind.rules.scope:
        case Scope.SITE if incident.site == NO_SITE:
            share = f"{tally.down:,} of {of:,} without a tag"
        case Scope.SITE:
            share = f"{tally.down:,} of {of:,}" + (": the whole site" if tally.down == of else " at the site")
        case Scope.ROLLOUT:
            share = f"{tally.down:,} of {of:,} in the rollout"
        case _:
            share = f"{tally.down:,} of {of:,} in the fleet, {tally.down / of:.0%}".replace("%", " %")
    return f"{worst}, {share}."


def where(incident: Incident) -> str:
    return _place(incident, name(incident.site, NAME))


def where_plain(incident: Incident) -> str:
    """For labels, which are plain text."""
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
        case Scope.MAINTENANCE:
            return f"after maintenance {site}"
        case Scope.POLICY:
            return f"on firmware {site}"
        case Scope.FLEET:
            return "of the whole fleet"


def said_of(incident: Incident) -> list[str]:
    """How bad it is, since when, why, and how some ended."""
    why = [*_why(incident), since(incident), *_worst_sites(incident), *causes(incident)]
    said = [severity(incident), *why, *others(incident)]
    return [one for one in said if one]


def _worst_sites(incident: Incident) -> list[str]:
    """Where the most are, when they are not all at one site."""
    if len(incident.worst_sites) < 2:
        return []
    named = ", ".join(f"{name(site, NAME)} {down:,}" for site, down in incident.worst_sites)
    rest = incident.sites - len(incident.worst_sites)
    return [f"By site: {named}, {count(rest, 'other site')}." if rest else f"By site: {named}."]


def _why(incident: Incident) -> list[str]:
    """Who says that the version is bad, and why."""
    if (policy := incident.policy) is None:
        return []
    why = name((policy.reason or "").rstrip("."), 300)
    more = f", {linked('more', policy.link)}" if policy.link else ""
    return [f"{bold(policy.title)} by {mention(policy.by)}: {why}{more}."]


def last_time(incident: Incident) -> str:
    """The last outage at its site. Empty where none is known."""
    past = incident.before
    if past is None:
        return ""
    lasted = f"{duration(past.until - past.since)}, {count(past.gateways, 'gateway')}"
    return f"The last time here: A-{past.id}, {date(past.since)}, for {lasted}."


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


def others(incident: Incident) -> list[str]:
    tally, (one, many) = incident.tally, words_of(incident.kind).left
    back = [f"{count(tally.back, f'gateway {one}', f'gateways {many}')}."] if tally.back else []
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


def counts(incident: Incident) -> str:
    tally, words = incident.tally, words_of(incident.kind)
    gone = f", {tally.released:,} released" if tally.released else ""
    taken = f", {tally.taken:,} in the alert of a rollout" if tally.taken else ""
    return f"{tally.down:,} {words.are}, {tally.back:,} {words.ended}{gone}{taken}"


def lasted(incident: Incident) -> str:
    begun, until = incident.tally.since, incident.tally.until or incident.resolved_at
    if begun is None or until is None:
        return "Over."
    word = words_of(incident.kind).lasted
    return f"{word} from {date(begun)} to {date(until)}, {duration(until - begun)} in all."


def who(incident: Incident) -> str:
    taken = incident.acknowledged
    silenced = incident.silenced
    silent = ""
    if silenced:
        why = f": {name(silenced.reason, 300)}" if silenced.reason else ""
        silent = f"{status('silenced')} by {mention(silenced.user_id)} until {date(silenced.until)}{why}."
    return " ".join(filter(None, [_has(taken) if taken is not None else "", silent]))


def _has(taken: Acknowledgement) -> str:
    note = f": {name(taken.note, MOST_NOTE)}" if taken.note else ""
    if taken.assigned_by is not None:
        by = mention(taken.assigned_by)
        given = status("assigned", "acknowledged")
        return f"{given} to {mention(taken.user_id)} by {by} {date(taken.at)}{note}."
    return f"{status('acknowledged')} by {mention(taken.user_id)} {date(taken.at)}{note}."


def in_hands(incident: Incident) -> str:
    """Who has it, or that nobody has; whose acknowledgement it outgrew, or who gave it back."""
    lapse = incident.lapse
    if incident.acknowledged is not None or lapse is None:
        return who(incident) or "Nobody has acknowledged this yet."
    given = f"{mention(lapse.by.user_id)} acknowledged {count(lapse.gateways, 'gateway')} {date(lapse.by.at)}"
    did = words_of(incident.kind).more
    ended = f"{given}; {lapse.more:,} more {did} since, so nobody has it now."
    if not lapse.more:
        ended = f"{mention(lapse.by.user_id)} gave it back {date(lapse.at)}: nobody has it now."
    return " ".join(filter(None, [ended, who(incident)]))


def down_line(one: AffectedGateway, incident: Incident, portal: Portal = NO_PORTAL) -> str:
    named = _named(one, portal)
    if shows_state(incident):
        return f"{status('flapping')} {named}, {_is_now(one)}"
    return f"{state_of_those_in(incident)} {named} since {date(one.offline_since)}"


def left_line(one: AffectedGateway, incident: Incident, portal: Portal = NO_PORTAL) -> str:
    if one.left_at is None:
        return down_line(one, incident, portal)
    named = _named(one, portal)
    if one.left_as is Leave.RELEASED:
        are = words_of(incident.kind).are
        return f"{status('released')} {named}: {are} since {date(one.offline_since)}, then gone"
    if one.left_as is Leave.TAKEN:
        return f"{status('offline')} {named}: in the alert of its rollout since {date(one.left_at)}"
    if one.left_as is Leave.STILL_DOWN:
        return f"{status('offline')} {named} for the last hour"
    if shows_state(incident):
        return f"{status('online')} {named} for the last hour"
    away = duration(one.left_at - one.offline_since)
    return f"{state_of_those_out(incident)} {named} since {date(one.left_at)}, after {away}"


def shows_state(incident: Incident) -> bool:
    """Whether its gateways go on and off, so that it matters how each is now."""
    trouble = incident.kind.rules.trouble
    return trouble is not None and trouble.rules.shows_state


def state_of_those_in(incident: Incident) -> str:
    if shows_state(incident):
        return status("flapping")
    is_bad = incident.kind.rules.scope is Scope.POLICY
    return status(words_of(incident.kind).are, "warning" if is_bad else "offline")


def state_of_those_out(incident: Incident) -> str:
    return status(words_of(incident.kind).ended, "online")


def _is_now(one: AffectedGateway) -> str:
    if one.state is None or one.changed_at is None:
        return "no longer in the fleet"
    return f"{one.state.value} since {date(one.changed_at)}"


def _named(one: AffectedGateway, portal: Portal) -> str:
    """Its id, which so stands near the beginning of a line where none ends, and its name."""
    named = linked(bold(name(one.label, NAME)), portal.gateway(one.id, one.site))
    return (f"{code(one.id)} " if one.label != one.id else "") + named


def more(number: int) -> list[str]:
    return [f"… and {count(number, 'more', 'more')}: Details lists them all."] if number > 0 else []
