"""Listeners for silences: three commands, the buttons of alerts and gateways, and their dialog."""

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

from bot.domain.access import Action, Actor, require
from bot.domain.alerts.incidents import Incident
from bot.domain.alerts.silences import EndMissing, ReasonMissing, offered, parse_silence
from bot.domain.confirmations import check_confirmed
from bot.domain.errors import InvalidInput
from bot.domain.incident_kinds import IncidentId
from bot.domain.times.written_times import parse_duration
from bot.services.alerts.silences import ENDED, ENDING, SilenceService
from bot.slack import ids
from bot.slack.alerts.incidents import incident_id
from bot.slack.alerts.views import silences as views
from bot.slack.ids import PageRef
from bot.slack.incoming.confirmations import NOT_ASKED, Yes, asking_first, name_of_a_question, yes_to
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Errand,
    Feature,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.paging import ListHandler
from bot.slack.views.blocks import Message, View
from bot.slack.views.modals import picked
from bot.slack.views.paging import Door, open_button

on = Declarations("Alerts")
_ERRANDS = (
    Errand(
        "Hold alerts during work",
        ("silence oslo for 2h",),
        open_button(Door(views.SILENCES, "", "silences"), "Show"),
    ),
)
_OF_THIS = re.compile(
    r"(?:this\b\s*)?((?:for|until)\s.+|(?:\d+[wdhms])+(?:\s+because\s.*)?|(?:because\s.*)?)",
    re.IGNORECASE | re.DOTALL,
)


class SilenceListeners:
    """Translate only: parse, one call of the service, render."""

    def __init__(
        self,
        service: SilenceService,
        modals: ViewCalls,
        *,
        incident: Callable[[IncidentId], Awaitable[Incident]],
        zone: ZoneInfo,
        now: Callable[[], datetime],
    ) -> None:
        self._service = service
        self._modals = modals
        self._incident = incident
        self._zone = zone
        self._now = now

    def feature(self) -> Feature:
        return on.of(
            self,
            cards={"silence": self.draw_card},
            notes={ENDED: views.ended, ENDING: views.ending},
            in_threads={"incident": self.in_thread},
            errands=_ERRANDS,
        )

    async def in_thread(self, word: str, call: CommandCall) -> bool:
        """``silence this for 2h``, without "this", or without an end, in the thread of an alert."""
        asked = _OF_THIS.fullmatch(call.text)
        if word not in {"silence", "mute"} or asked is None or call.about is None:
            return False
        said = await self._silence_alert(
            call.actor, incident_id(call.about[1]), f"this {asked[1]}".strip(), call.channel
        )
        await call.respond.answer(said)
        return True

    async def _silence_alert(
        self, actor: Actor, one: IncidentId, text: str, channel: str, yes: Yes = NOT_ASKED
    ) -> Message:
        async def act() -> Message:
            require(actor, Action.SILENCE)
            wanted = parse_silence(text, self._zone, self._now())
            covered, fleet = await self._service.coverage(actor, one)
            check_confirmed(covered, fleet, yes.seen)
            made = await self._service.silence_incident(
                actor, one, wanted.until, wanted.reason, channel, yes.asked_once
            )
            return views.silenced(made, covered)

        draw = partial(views.confirmation, text)
        try:
            return await asking_first(act(), draw, views.SILENCE_OF_ALERT, f"{one} {text}")
        except EndMissing as asked:
            coverage = await self._service.coverage(actor, one)
            return self._how_long(asked, *coverage, views.SILENCE_OF_ALERT, f"{one} ")

    def _how_long(self, asked: EndMissing, covered: int, fleet: int, kind: str, about: str = "") -> Message:
        """Each button is the yes to the same question, with an end of its own."""
        once = name_of_a_question()
        choices = [
            (end, until, PageRef(kind, covered, f"{once} {about}{asked.with_end(end)}"))
            for end, until in offered(asked, self._zone, self._now()).items()
        ]
        return views.how_long(asked, covered, fleet, choices)

    async def of_site(self, site: str) -> Sequence[str]:
        """What the card of a site says of silences."""
        return views.held(await self._service.at_site(site))

    def lists(self) -> Mapping[str, ListHandler]:
        return {views.SILENCES: ListHandler(self._page)}

    @on.command(
        "silence <query> [for <duration>] [because <reason>]",
        "Hold the alerts of some gateways for a while, or until a date",
        needs="operator",
        examples=("silence oslo", "silence oslo for 2h", "silence tag:oslo until 22:00 because of paint"),
        also=("mute",),
    )
    async def silence(self, call: CommandCall) -> None:
        await call.respond.answer(await self._silence(call.actor, call.text, call.channel))

    @on.click(ids.SILENCE_CONFIRM)
    async def confirm(self, click: Click) -> None:
        yes, text = yes_to(click.page)
        if click.page.kind == views.SILENCE_OF_ALERT:
            number, _, text = text.partition(" ")
            said = await self._silence_alert(click.actor, incident_id(number), text, click.channel, yes)
        else:
            said = await self._silence(click.actor, text, click.channel, yes)
        await click.respond.answer(said)

    async def _silence(self, actor: Actor, text: str, channel: str, yes: Yes = NOT_ASKED) -> Message:
        async def act() -> Message:
            made = await self._service.silence(actor, text, channel, yes.seen, yes.asked_once)
            return views.silenced(*made)

        try:
            return await asking_first(act(), partial(views.confirmation, text), views.SILENCES, text)
        except EndMissing as asked:
            coverage = await self._service.without_end(actor, asked)
            return self._how_long(asked, *coverage, views.SILENCES)

    @on.command("silences", "List silences", also=("mutes",))
    async def silences(self, call: CommandCall) -> None:
        await call.respond.answer(await self._page(call.actor, 0, ""))

    @on.command(
        "unsilence <S-n>",
        "End a silence early; alone, it lists those that hold",
        needs="operator",
        examples=("unsilence S-3",),
        also=("unmute",),
    )
    async def unsilence(self, call: CommandCall) -> None:
        if not call.text.strip():
            await call.respond.answer(await self._page(call.actor, 0, ""))
            return
        ended = await self._service.unsilence(call.actor, call.text, call.channel)
        await call.respond.answer(views.unsilenced(ended))

    @on.click(ids.SILENCE_END)
    async def end(self, click: Click) -> None:
        """From where it was said that it holds alerts back; a list is drawn again without it."""
        ended = await self._service.unsilence(click.actor, click.card.id, click.channel)
        if click.card.answer is not None:
            await click.respond.answer(await self._page(click.actor, click.card.answer.offset, ""))
        await click.respond.add(views.unsilenced(ended))

    @on.click(ids.INCIDENT_SILENCE)
    async def ask(self, click: Click) -> None:
        require(click.actor, Action.SILENCE)
        incident = await self._incident(incident_id(click.card.id))
        covered, fleet = await self._service.coverage(click.actor, incident.id)
        await self._modals.open(
            click.trigger_id, views.silence_modal(incident, click.channel, covered, fleet)
        )

    @on.click(ids.GATEWAY_SILENCE)
    async def ask_about_gateway(self, click: Click) -> None:
        await self._modals.open(click.trigger_id, views.gateway_dialog(click.gateway.id, click.channel))

    @on.click(ids.SITE_SILENCE)
    async def ask_about_site(self, click: Click) -> None:
        site = click.page.question
        covered, fleet = await self._service.coverage_of_site(click.actor, site)
        await self._modals.open(click.trigger_id, views.site_dialog(site, covered, fleet))

    @on.submission(ids.INCIDENT_SILENCE)
    async def silence_incident(self, submission: Submission) -> SubmissionAnswer:
        asked = submission.card

        async def act(until: datetime, reason: str | None) -> View | None:
            if alone := views.alone(submission.values.get(ids.WHAT)):
                return await self._silence_alone(submission.actor, alone, until, reason, asked.channel)
            one = incident_id(asked.id)
            await self._service.silence_incident(submission.actor, one, until, reason, asked.channel or None)
            return None

        return await self._silence_until(submission, act)

    @on.submission(ids.GATEWAY_SILENCE)
    async def silence_gateway(self, submission: Submission) -> SubmissionAnswer:
        asked = submission.gateway

        async def act(until: datetime, reason: str | None) -> View:
            return await self._silence_alone(submission.actor, asked.id, until, reason, asked.channel)

        return await self._silence_until(submission, act)

    @on.submission(ids.SITE_SILENCE)
    async def silence_site(self, submission: Submission) -> SubmissionAnswer:
        """The dialog said how many gateways it covers."""
        asked = submission.page

        async def act(until: datetime, reason: str | None) -> View:
            made, covered = await self._service.silence_site(
                submission.actor, asked.question, until, reason, seen=asked.offset
            )
            return views.silenced_dialog(made, covered)

        return await self._silence_until(submission, act)

    async def _silence_alone(
        self, actor: Actor, gateway_id: str, until: datetime, reason: str | None, channel: str
    ) -> View:
        made = await self._service.silence_gateway(actor, gateway_id, until, reason, channel or None)
        return views.silenced_dialog(made)

    async def _silence_until(
        self, sent: Submission, act: Callable[[datetime, str | None], Awaitable[View | None]]
    ) -> SubmissionAnswer:
        """What cannot be is said at the field that it is about."""
        moment, length = sent.values.get(ids.UNTIL), sent.values.get(ids.DURATION, "")
        try:
            until = picked(moment) if moment else self._now() + parse_duration(length)
            return SubmissionAnswer(view=await act(until, sent.values.get(ids.REASON)))
        except ReasonMissing as missing:
            return SubmissionAnswer(errors={ids.REASON: missing.sentence})
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.UNTIL if moment else ids.DURATION: str(error)})

    async def draw_card(self, subject: str) -> Message:
        return views.card(*await self._service.shown(subject))

    async def _page(self, actor: Actor, offset: int, _question: str) -> Message:
        standing = await self._service.active(actor)
        return views.listed(standing, offset, may_end=actor.may(Action.SILENCE))
