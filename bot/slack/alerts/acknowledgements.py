"""Listeners for who has an alert: buttons, a dialog, and four words, which its thread knows too."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.acknowledgements import named_in
from bot.domain.alerts.incidents import Incident
from bot.domain.audit import called_so
from bot.domain.errors import InvalidInput
from bot.domain.incident_kinds import IncidentId
from bot.services.alerts.incidents import AlertService
from bot.services.alerts.notes import FOR_YOU, HANDED
from bot.slack import ids
from bot.slack.alerts.incidents import incident_id
from bot.slack.alerts.views import buttons, lists
from bot.slack.alerts.views import notes as views
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.views.blocks import Message

on = Declarations("Alerts")

_MENTION = re.compile(r"<@([UW][A-Z0-9]{1,30})(?:\|[^>]*)?>")
_ALL = re.compile(r"(?:all|everything)\b", re.IGNORECASE)
_WORDS: Mapping[str, str] = {
    **dict.fromkeys(("ack", "acknowledge", "mine"), "ack"),
    **dict.fromkeys(("take", "takeover"), "take"),
    **dict.fromkeys(("unack", "give", "release"), "unack"),
    "assign": "assign",
}
# What people write behind a word, and means nothing more: “take this over”, “give back”, “ack this”. Only in
# front, so that a note keeps its words; “ack this is the mast” is a note.
_FILLERS: Mapping[str, re.Pattern[str]] = {
    word: re.compile(rf"(?:{more}(?:this|it)\b\s*(?=$|because\b|a-\d|<@))", re.IGNORECASE)
    for word, more in {
        "ack": "",
        "take": r"(?:(?:this|it)\s+)?over\b[\s,:]*|",
        "unack": r"(?:(?:this|it)\s+)?back\b[\s,:]*|",
        "assign": r"(?:(?:this|it)\s+)?to\b\s*|",
    }.items()
}

PageOf = Callable[[Actor, int, str], Awaitable[Message]]


class HandListeners:
    """Translate only. ``page`` draws the list of alerts, ``actor_of`` finds who gets one, ``called`` how
    those are called who may be meant by a name that was typed.
    """

    def __init__(
        self,
        service: AlertService,
        modals: ViewCalls,
        *,
        actor_of: Callable[[str], Awaitable[Actor]],
        called: Callable[[Actor], Awaitable[Mapping[str, Sequence[str]]]],
        page: PageOf,
    ) -> None:
        self._service = service
        self._modals = modals
        self._actor_of = actor_of
        self._called = called
        self._page = page

    def feature(self) -> Feature:
        return on.of(
            self,
            notes={
                HANDED: self._drawn(views.handed),
                FOR_YOU: self._drawn(views.for_you),
            },
            in_threads={"incident": self.in_thread},
        )

    # ---- words
    async def in_thread(self, word: str, call: CommandCall) -> bool:
        """What somebody says of the alert in whose thread they say it, unless they name another."""
        assert call.about is not None
        if word not in _WORDS or ids.said_in_thread(*call.about, word, call.text) is None:
            return False
        await self._hand(_WORDS[word], call, incident_id(call.about[1]))
        return True

    @on.command(
        "ack <A-n, or all> [note]",
        "Acknowledge an alert, or all that nobody has",
        needs="operator",
        examples=("ack A-10 on my way", "ack all"),
        also=("acknowledge", "mine"),
    )
    async def ack(self, call: CommandCall) -> None:
        if not call.text:
            await call.respond.answer(await self._page(call.actor, 0, ""))
            return
        await self._hand("ack", call)

    @on.command(
        "take <A-n> [note]",
        "Take an alert over from whoever has it",
        needs="operator",
        examples=("take A-10",),
        also=("takeover",),
    )
    async def take(self, call: CommandCall) -> None:
        await self._hand("take", call)

    @on.command(
        "unack <A-n>",
        "Give an alert back: nobody has it, and reminders begin anew",
        needs="operator",
        examples=("unack A-10",),
        also=("give", "release"),
    )
    async def unack(self, call: CommandCall) -> None:
        await self._hand("unack", call)

    @on.command(
        "assign <A-n> <@person> [note]",
        "Give an alert to somebody, who gets a direct message",
        needs="operator",
        examples=("assign A-10 @ana the mast is down",),
    )
    async def assign(self, call: CommandCall) -> None:
        await self._hand("assign", call)

    async def _hand(self, what: str, call: CommandCall, here: IncidentId | None = None) -> None:
        actor, channel = call.actor, call.channel
        require(actor, Action.ACKNOWLEDGE)
        asked = named_in(_without_fillers(what, call.written or call.text))
        everything = _ALL.match(asked.rest) if what == "ack" and asked.incident is None else None
        if everything and (here is None or everything[0] == asked.rest):
            note = asked.rest[everything.end() :].strip()
            taken = await self._service.acknowledge_all(actor, None, channel, note)
            await call.respond.answer(views.taken_all(taken, 0))
            return
        number = asked.incident if asked.incident is not None else here
        if number is None:
            raise InvalidInput(f"Name the alert by its number: /mesh {what} A-10. /mesh alerts lists them.")
        note = _without_fillers(what, asked.rest) if asked.incident is not None else asked.rest
        match what:
            case "ack":
                done = await self._service.acknowledge(actor, number, None, channel, note)
            case "take":
                done = await self._service.take_over(actor, number, None, channel, note)
            case "unack":
                done = await self._service.give_back(actor, number, None, channel)
            case _:
                person, note = await self._person(actor, note)
                done = await self._service.assign(actor, number, None, person, channel, note)
        await call.respond.answer(views.in_hands_now(done, actor.user_id))

    async def _person(self, actor: Actor, text: str) -> tuple[Actor, str]:
        """Who is mentioned first, and what else was written."""
        if text.casefold() in {"me", "myself"}:
            return actor, ""
        found = _MENTION.search(text)
        if found is None:
            return await self._typed(actor, text)
        rest = f"{text[: found.start()]} {text[found.end() :]}"
        return await self._actor_of(found[1]), " ".join(rest.split())

    async def _typed(self, actor: Actor, text: str) -> tuple[Actor, str]:
        """Who is called as somebody typed it, where Slack made no mention of it."""
        before, _, after = text.partition("@")
        if not (words := after.split()):
            raise InvalidInput("Say to whom, by a mention: /mesh assign A-10 @ana.")
        people, length = called_so(words, await self._called(actor))
        if not people:
            raise InvalidInput(f"I know nobody called @{words[0]}. Choose a person from Slack's list.")
        if len(people) > 1:
            called = " ".join(words[:length])
            raise InvalidInput(f"{len(people)} people are called @{called}. Choose one from Slack's list.")
        return await self._actor_of(people[0]), " ".join([*before.split(), *words[length:]])

    # ---- buttons
    @on.click(ids.INCIDENT_ACK)
    async def acknowledged(self, click: Click) -> None:
        """The card changes by itself; an answer, whose button carries its place, is drawn again."""
        number, version = incident_id(click.card.id), click.card.version
        await self._service.acknowledge(click.actor, number, version, click.channel)
        await self._draw_again(click)

    @on.click(ids.INCIDENT_TAKE_OVER)
    async def taken_over(self, click: Click) -> None:
        number, version = incident_id(click.card.id), click.card.version
        await self._service.take_over(click.actor, number, version, click.channel)
        await self._draw_again(click)

    @on.click(ids.INCIDENT_GIVE_BACK)
    async def given_back(self, click: Click) -> None:
        number, version = incident_id(click.card.id), click.card.version
        await self._service.give_back(click.actor, number, version, click.channel)
        await self._draw_again(click)

    @on.click(ids.INCIDENT_ACK_ALL)
    async def acknowledged_all(self, click: Click) -> None:
        """Those that were drawn; the card of a mass outage draws none and means all that nobody has.

        The list is drawn again; cards and the home tab change by themselves.
        """
        asked = click.page
        drawn = lists.drawn_in(asked.question) if asked.question else None
        taken = await self._service.acknowledge_all(click.actor, drawn, click.channel)
        if asked.kind == lists.ALERTS:
            await click.respond.answer(await self._page(click.actor, click.page.offset, ""))
        await click.respond.add(views.taken_all(taken, len(drawn or taken) - len(taken)))

    @on.click(ids.INCIDENT_ASSIGN)
    async def ask(self, click: Click) -> None:
        incident = await self._service.incident(incident_id(click.card.id))
        await self._modals.open(click.trigger_id, buttons.assign_modal(incident, click.channel))

    @on.submission(ids.INCIDENT_ASSIGN)
    async def assigned(self, submission: Submission) -> SubmissionAnswer:
        """What cannot be is said at the field of the person."""
        values, card = submission.values, submission.card
        if ids.PERSON not in values:
            return SubmissionAnswer(errors={ids.PERSON: "Choose somebody."})
        person = await self._actor_of(values[ids.PERSON])
        await self._service.assign(
            submission.actor,
            incident_id(card.id),
            card.version,
            person,
            card.channel or None,
            values.get(ids.NOTE),
        )
        return SubmissionAnswer()

    async def _draw_again(self, click: Click) -> None:
        if (shown := click.card.answer) is not None:
            await click.respond.answer(await self._page(click.actor, shown.offset, shown.question))

    def _drawn(
        self, view: Callable[[Incident, Mapping[str, Any]], Message]
    ) -> Callable[[Mapping[str, Any]], Awaitable[Message]]:
        """Notes are drawn of the incident as it is by then."""

        async def draw(body: Mapping[str, Any]) -> Message:
            return view(await self._service.incident(IncidentId(int(body["incident"]))), body)

        return draw


def _without_fillers(what: str, text: str) -> str:
    found = _FILLERS[what].match(text)
    return text[found.end() :] if found else text
