"""Subscriptions as messages. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import Any

from bot.domain.subscriptions import Subscribed, Subscription, SubscriptionContext, Topic
from bot.slack import ids
from bot.slack.ids import CardRef, PageRef
from bot.slack.views.blocks import (
    Block,
    Message,
    actions,
    bold,
    button,
    channel,
    code,
    context,
    count,
    escape,
    lines,
    mention,
    message,
    section,
    status,
)
from bot.slack.views.paging import buttons, cut_page, rows_with
from bot.slack.views.undrawable import row

SUBSCRIPTIONS = "subscriptions"  # the kind of the list
PAGE = 10

_TIMED = {Topic.DIGEST, Topic.AVAILABILITY}  # what comes at a time, and no cards
_REASONS: Mapping[str, str] = {
    "channel_is_archived": "the channel is archived",
    "is_archived": "the channel is archived",
    "is_inactive": "the channel is archived",
    "channel_not_found": "the channel is gone, or I am not in it",
    "not_in_channel": "I am not in the channel",
}


def subscribed(done: Subscribed, around: SubscriptionContext, *, shared_outside: bool = False) -> Message:
    """The answer to whoever subscribed: what will come, for how many gateways, and where else."""
    one = done.subscription
    number = f"subscription {bold(str(one.id))}"
    if done.is_new:
        title = f"{status('subscribed', 'done')}: this channel gets {_what(one, around)} ({number})."
    elif done.has_changed:
        title = f"{status('changed', 'done')}: this channel gets {_what(one, around)} now ({number})."
    elif done.is_mended:
        title = f"{status('mended', 'done')}: this channel gets {_what(one, around)} again ({number})."
    else:
        said = f"This channel gets {_what(one, around)} already ({number}, by {mention(one.by)})."
        return message(said, [section(said)])
    rows = [_how_many(done), *_instead(one, around)]
    if shared_outside:
        rows.append(
            f"{status('warning')}: people of another organisation are in this channel, "
            "and read what comes here."
        )
    small = f"`/mesh unsubscribe {one.id}` ends it, `/mesh subscriptions` lists all."
    undo = actions(_undo(one)) if done.is_new else []
    text = "\n".join([title, *rows, small])
    return message(text, [section(title), *lines(rows), *undo, context(small)])


def unsubscribed(one: Subscription, around: SubscriptionContext) -> Message:
    """What does not come any more, and how it comes back."""
    title = (
        f"{status('ended', 'done')}: {channel(one.channel)} no longer gets {_what(one, around)} "
        f"(subscription {bold(str(one.id))})."
    )
    rows = [] if one.topic in _TIMED else ["The cards that are there stay, and are kept up to date."]
    small = f"To have it again, press Undo, or say “/mesh subscribe {code(one.words, 1200)}” there."
    text = "\n".join([title, *rows, small])
    return message(text, [section(title), *lines(rows), *actions(_undo(one)), context(small)])


def undone(one: Subscription, *, is_back: bool) -> Message:
    state = "is back" if is_back else "has ended"
    what = f"{code(one.words, 200)} in {channel(one.channel)}"
    said = f"Undone: subscription {bold(str(one.id))}, {what}, {state}."
    return message(said, [section(said)])


def told(body: Mapping[str, Any]) -> Message:
    """What a channel gains or loses by what somebody did, said there."""
    things = {
        Topic.OFFLINE: "the alerts of",
        Topic.ROLLOUTS: "the rollouts of",
        Topic.DIGEST: "a daily digest of",
        Topic.AVAILABILITY: "each month the availability of",
    }
    whose = code(str(body["query"]), 200) if body["query"] else "the whole fleet"
    topic = Topic(body["topic"])
    what, by = f"{things[topic]} {whose}", mention(str(body["by"]))
    number = f"📣 Subscription {bold(str(body['number']))}"
    usual = "the usual digest comes" if topic is Topic.DIGEST else f"{what} come"
    said = {
        "gains": f"{number} by {by}: this channel gets {what}.",
        "loses": f"{number} ended by {by}: this channel no longer gets {what}.",
        "kept": f"{number} by {by} is for {channel(str(body['channel']))} only: {usual} here no more.",
        "back": f"{number} changed by {by}: {usual} here again.",
    }[str(body["what"])]
    return message(said, [section(said)])


def broken(body: Mapping[str, Any], around: SubscriptionContext) -> Message:
    """An admin is told that nothing can be posted in a channel any more, and what to do."""
    where, numbers = str(body["channel"]), [str(one) for one in body["subscriptions"]]
    why = _why(str(body["reason"]))
    waits = count(len(numbers), "subscription waits", "subscriptions wait")
    title = f"{status('broken', 'warning')}: I cannot post in {channel(where)}, {waits}: {why}."
    rows = ["What it alone showed goes to the default channel, if there is one that works."]
    if numbers:
        rows.append(
            "To mend it: have the channel back, say /invite to me there, and subscribe again. Until then "
            f"these wait: {', '.join(numbers)}. `/mesh unsubscribe` ends them."
        )
    for place, variable in ((around.channels.alerts, "ALERTS"), (around.channels.rollouts, "ROLLOUTS")):
        if place == where:
            rows.append(
                f"It is the default channel in MESHBOT_CHANNELS__{variable}: have it back and say /invite to "
                "me there, or name another and start me again. "
                "`/mesh alerts` and `/mesh rollouts` list what there is."
            )
    return message("\n".join([title, *rows]), [section(title), *lines(rows)])


def listed(
    everyone: Sequence[Subscription],
    here: str,
    around: SubscriptionContext,
    offset: int,
    *,
    may_end: bool = False,
) -> Message:
    """A page of all, those of the asker's channel first; ``may_end``: with a button that ends each."""
    defaults = _defaults(around)
    if not everyone:
        said = "No channel has subscribed to anything yet: /mesh help subscribe shows how."
        return message(f"{said}\n{defaults}", [section(said), context(defaults)])
    page, place = cut_page(everyone, SUBSCRIPTIONS, offset, PAGE, here)
    number = sum(one.channel == here for one in everyone)
    mine = "all" if number == len(everyone) else number or "none"
    title = f"{bold(place.says('subscription'))}, {mine} of this channel"
    rows = [row(_line, one, here, around) for one in page]
    page_ref = PageRef(SUBSCRIPTIONS, place.offset, here)
    ends = [_end(one, page_ref) if may_end else None for one in page]
    return message(
        "\n".join([title, *rows, defaults]),
        [section(title), *rows_with(rows, ends), *buttons(place), context(defaults)],
    )


def _why(reason: str) -> str:
    """Slack's word for it, as a person says it."""
    return _REASONS.get(reason, f"Slack does not let me post there ({code(reason)})")


def _line(one: Subscription, here: str, around: SubscriptionContext) -> str:
    place = "here" if one.channel == here else f"in {channel(one.channel)}"
    at = f", {_when(one, around)}" if one.topic in _TIMED else ""
    only = " only" if one.only else ""
    said = f"{bold(str(one.id))} {one.topic} {_whose(one)}{at}, {place}{only}, by {mention(one.by)}"
    if one.broken is None:
        return said
    why = f"{status('broken', 'warning')}: {_why(one.broken)}"
    return f"{said}\n{why}. Mend that, then subscribe there again."


def _what(one: Subscription, around: SubscriptionContext) -> str:
    if one.topic is Topic.DIGEST:
        return f"a digest of {_whose(one)} {_when(one, around)}"
    if one.topic is Topic.AVAILABILITY:
        return f"the availability of {_whose(one)} {_when(one, around)}"
    thing = "alert" if one.topic is Topic.OFFLINE else "rollout"
    return f"a card for each {thing} of {_whose(one)}"


def _whose(one: Subscription) -> str:
    return code(one.query, 200) if one.query else "the whole fleet"


def _when(one: Subscription, around: SubscriptionContext) -> str:
    day = "every day" if one.topic is Topic.DIGEST else "on the first of each month, of the month before,"
    return f"{day} at {one.at or around.usual_at:%H:%M} ({escape(one.zone or around.zone)})"


def _how_many(done: Subscribed) -> str:
    return f"It covers {bold(count(done.covered, 'gateway'))} now; what joins later counts too."


def _instead(one: Subscription, around: SubscriptionContext) -> list[str]:
    """Which way cards take besides."""
    soon = ["What is open now comes in a moment."] if one.topic is Topic.OFFLINE else []
    default = around.default(one.topic)
    if default is None:
        if one.topic is Topic.OFFLINE:
            soon.append("An alert that no subscription matches is shown nowhere but in `/mesh alerts`.")
        if one.topic is Topic.ROLLOUTS:
            soon.append(
                "Their cards do not go to the channel in which they are requested, unless it subscribed."
            )
        return soon
    if default == one.channel:
        return soon
    thing = "The usual digest" if one.topic is Topic.DIGEST else "They"
    verb = "comes" if one.topic is Topic.DIGEST else "go"
    if one.only:
        return [*soon, f"{thing} {verb} to {channel(default)} no more."]
    return [*soon, f"{thing} {verb} to {channel(default)} as before."]


def _defaults(around: SubscriptionContext) -> str:
    channels = around.channels
    alerts = (
        f"alerts go to {channel(channels.alerts)}"
        if channels.alerts
        else "alerts are listed by `/mesh alerts` only"
    )
    rollouts = channel(channels.rollouts) if channels.rollouts else "the channel of their request"
    return f"Besides, {alerts}, and rollouts to {rollouts}, unless an admin subscribed with “only here”."


def _end(one: Subscription, page: PageRef) -> Block:
    ref = CardRef(str(one.id), one.version, page)
    return button("End", ids.SUBSCRIPTION_END, ref, label=f"End subscription {one.id}")


def _undo(one: Subscription) -> Block:
    ref = CardRef(str(one.id), one.version)
    return button("Undo", ids.SUBSCRIPTION_UNDO, ref, label=f"Undo for subscription {one.id}")
