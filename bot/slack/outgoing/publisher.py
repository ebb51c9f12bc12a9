"""Makes Slack show what the database wants: cards posted and edited, notes in their threads, each once.

A card is drawn in its newest state when its turn comes, so edits merge by themselves and a refused call loses
nothing. It decides neither what a card says nor when one is due; several processes may publish side by side.
"""

import asyncio
import contextlib
import hashlib
import json
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from bot.domain.errors import BotError, Unavailable
from bot.slack.incoming.guard import catch
from bot.slack.incoming.listeners import CardDrawing, NoteDrawing
from bot.slack.outgoing.lost_posts import find_post, is_told, missing_files
from bot.slack.outgoing.messages import NOTES_EVERY, MessageSender, said_twice, shown
from bot.slack.outgoing.pictures import uploaded
from bot.slack.outgoing.web_api import GONE, NO_PLACE, UNREACHABLE, SlackFailed, Sleep, WebApi
from bot.slack.views.blocks import Message, fit, message
from bot.storage.cards import broken_channels, card_outbox, note_outbox, outbox
from bot.storage.cards.card_outbox import CardClaim
from bot.storage.cards.note_outbox import Note, NoteClaim
from bot.storage.cards.outbox import Backlog
from bot.storage.db.engine import Database, Transaction, repeated
from bot.storage.db.leases import Release, Releases

log = logging.getLogger(__name__)

_WORKERS = 4
_IDLE = 1.0
_REMEMBERED = 5000


class Publisher:
    """``cards`` and ``notes`` draw them, by kind; ``sender`` tells how much was sent.

    ``owner`` names this process among the replicas, and no process before it.
    """

    def __init__(
        self,
        api: WebApi,
        database: Database,
        cards: Mapping[str, CardDrawing],
        notes: Mapping[str, NoteDrawing],
        *,
        owner: str,
        now: Callable[[], datetime],
        edit_every: timedelta,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._api = api
        self._database = database
        self._cards = cards
        self._notes = notes
        self._now = now
        self.sender = MessageSender(api, now=now, edit_every=edit_every, sleep=sleep)
        self._owner = owner
        self._at_work: set[CardClaim | NoteClaim] = set()  # whatever became of their leases meanwhile
        self._releases = Releases(database, now)
        self._drawn: OrderedDict[int, tuple[int, str]] = OrderedDict()
        self._awake = asyncio.Event()
        self._stopping = False
        self._running: asyncio.Task[None] | None = None

    def wake(self) -> None:
        """Something was committed that Slack is to show."""
        self._awake.set()

    async def stop(self, within: timedelta = timedelta(seconds=30)) -> None:
        """``run`` ends after the calls that are under way; what takes longer is given up, and found later."""
        self._stopping = True
        self._awake.set()
        if self._running is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._running, within.total_seconds())

    async def run(self) -> None:
        """Publishes whenever it is woken, and looks by itself every second, until ``stop``."""
        self._running = asyncio.current_task()
        while not self._stopping:
            self._awake.clear()
            problem = await catch(repeated(self.publish, resumes=True))
            if isinstance(problem, Exception):
                mystery = None if isinstance(problem, BotError) else problem
                log.error("publishing failed; I go on: %s", problem, exc_info=mystery)
            idle = self.sender.pause().total_seconds() or _IDLE
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._awake.wait(), min(idle, _IDLE))

    async def publish(self) -> None:
        """Shows everything that is due now."""
        await _logged(self._releases.repeat())
        async with self._database.read() as connection:
            now = self._now()
            pace = self.sender.pace(now, await card_outbox.count_live(connection, now - NOTES_EVERY))
            due = await outbox.count_due(connection, pace, now, _WORKERS)
        # No more workers than there is to do: what the others ask would keep a single card waiting.
        ended = await asyncio.gather(*(self._work() for _ in range(due)), return_exceptions=True)
        if errors := [error for error in ended if error is not None]:
            raise errors[0]

    async def backlog(self) -> Backlog:
        """What Slack does not show yet, for the metrics."""
        async with self._database.read() as connection:
            return await outbox.backlog(connection)

    async def prune(self, older_than: timedelta) -> None:
        """Forgets what has stood in Slack unchanged for so long that nobody will touch it again."""
        async with self._database.write() as connection:
            await outbox.forget(connection, self._now() - older_than)

    async def _work(self) -> None:
        while not self._stopping and (await self._next_card() or await self._next_notes()):
            pass

    async def _next_card(self) -> bool:
        now = self._now()
        async with self._database.write() as connection:
            pace = self.sender.pace(now, await card_outbox.count_live(connection, now - NOTES_EVERY))
            claim = await card_outbox.claim_card(connection, pace, self._owner, now, self._in_hand(CardClaim))
        if claim is None:
            return False
        async with self._working_on(claim):
            problem = await catch(self._show(claim))
            if isinstance(problem, Exception):
                await self._card_failed(claim, problem)
            else:
                self.sender.forget(claim.uid)
        return True

    @contextlib.asynccontextmanager
    async def _working_on(self, claim: CardClaim | NoteClaim) -> AsyncIterator[None]:
        """No other worker takes it meanwhile, and no other process while this one lives."""
        self._at_work.add(claim)
        try:
            async with outbox.kept(self._database, claim, self._now):
                yield
        finally:
            self._at_work.discard(claim)

    def _in_hand(self, kind: type[CardClaim | NoteClaim]) -> Collection[int]:
        """What nobody claims: it is at work, or could not be given back yet."""
        claims = {*self._at_work, *self._releases.owed}
        return [one.id for one in claims if isinstance(one, kind)]

    async def _give_back(self, claim: CardClaim | NoteClaim, release: Release) -> None:
        """Repeated with each ``publish`` while the database does not take it and the lease still runs."""
        await _logged(self._releases.give_back(claim, release))

    async def _next_notes(self) -> bool:
        now = self._now()
        async with self._database.write() as connection:
            pace = self.sender.pace(now)
            besides = self._in_hand(NoteClaim)
            claim = await note_outbox.claim_notes(connection, pace, self._owner, now, besides)
            claim = claim or await note_outbox.claim_edit(connection, pace, self._owner, now, besides)
        if claim is None:
            return False
        async with self._working_on(claim):
            problem = await catch(self._say(claim))
            if isinstance(problem, Exception):
                await self._notes_failed(claim, problem)
            else:
                self.sender.forget(claim.notes[0].uid)
        return True

    # ---- cards
    async def _show(self, claim: CardClaim) -> None:
        newest = await self._cards[claim.about.kind.value](claim.about.subject)
        drawn = replace(message(newest.text, newest.blocks), is_over=newest.is_over)
        if claim.ts is None:
            await self._post_card(claim, drawn)
        else:
            await self._edit_card(claim, claim.posted_channel or claim.channel, claim.ts, drawn)

    async def _post_card(self, claim: CardClaim, drawn: Message) -> None:
        if claim.attempted_at is not None:
            since = min(claim.attempted_at, self._now())  # of a clock that was set back since then
            found = await find_post(self._api, "card", claim.uid, claim.channel, None, since)
            if found:
                async with self._database.write() as connection:
                    await card_outbox.record_found(connection, claim, claim.channel, found)
                return
            if found is None:
                drawn = said_twice(drawn)
            else:
                async with self._database.write() as connection:
                    if not await card_outbox.record_not_found(connection, claim):
                        return  # looking took so long that another process posts it
                claim.attempted_at = None
        if drawn.is_over and claim.attempted_at is None:
            async with self._database.write() as connection:
                await card_outbox.withdraw(connection, claim)
            return
        await self.sender.wait_for_turn(claim.channel)
        async with self._database.write() as connection:
            held = await card_outbox.record_post_intent(connection, claim, self._now())
        if not held:
            return  # it took so long that another process posts it
        answer = await self.sender.post(claim.channel, drawn, _metadata("card", claim.uid))
        async with self._database.write() as connection:
            await card_outbox.record_shown(
                connection, claim, channel=answer["channel"], ts=answer["ts"], edited_at=self._now()
            )
            await broken_channels.mark_channel_working(connection, claim.channel)
        self._remember(claim, drawn)

    async def _edit_card(self, claim: CardClaim, channel: str, ts: str, drawn: Message) -> None:
        unchanged = self._drawn.get(claim.id) == (claim.shown, _digest(drawn))
        if not unchanged:
            await self.sender.edit(channel, ts, drawn)
        async with self._database.write() as connection:
            edited_at = None if unchanged else self._now()
            await card_outbox.record_shown(connection, claim, channel=channel, ts=ts, edited_at=edited_at)
        self._remember(claim, drawn)

    def _remember(self, claim: CardClaim, drawn: Message) -> None:
        """What a version looked like; another process may have drawn a later one, hence the version."""
        self._drawn[claim.id] = (claim.wanted, _digest(drawn))
        self._drawn.move_to_end(claim.id)
        while len(self._drawn) > _REMEMBERED:
            self._drawn.popitem(last=False)

    async def _card_failed(self, claim: CardClaim, error: Exception) -> None:
        if isinstance(error, SlackFailed) and error.code in GONE and claim.ts is not None:
            await self._give_back(
                claim,
                partial(self._repost, card_id=claim.id, ts=claim.ts, channel=claim.channel, error=error),
            )
            return
        if isinstance(error, SlackFailed) and error.code in NO_PLACE:
            self.sender.forget(claim.uid)
            await self._give_back(
                claim,
                partial(
                    self._break_card, card_id=claim.id, channel=claim.channel, error=error, owner=claim.owner
                ),
            )
            return
        what = f"card {claim.about.kind} {claim.about.subject}"
        after = self.sender.try_after(claim.uid, claim.channel, what, error)
        await self._give_back(
            claim,
            partial(card_outbox.record_failure, claim=claim, try_after=after, may_have_worked=_unsure(error)),
        )

    async def _repost(
        self, connection: Transaction, card_id: int, ts: str, channel: str, error: SlackFailed
    ) -> None:
        """Posts once more what somebody deleted; what is deleted again is left alone."""
        self._drawn.pop(card_id, None)
        if await card_outbox.record_gone(connection, card_id, ts, error.code):
            log.info("a card in %s is gone (%s); I post it again", channel, error.code)
        else:
            await self._break_card(connection, card_id, channel, error)

    async def _break_card(
        self,
        connection: Transaction,
        card_id: int,
        channel: str,
        error: SlackFailed,
        owner: str | None = None,
    ) -> None:
        log.warning("a card in %s cannot be shown: %s", channel, error.code)
        await card_outbox.record_broken(connection, card_id, f"{error.code}: {error}", owner)
        await self._break_channel(connection, channel, error)

    async def _break_channel(self, connection: Transaction, channel: str, error: SlackFailed) -> None:
        """Nothing can be posted there any more: that is told, and what it alone showed goes elsewhere."""
        if error.code in NO_PLACE and channel.startswith(("C", "G")):
            await broken_channels.record_broken(connection, channel, error.code, self._now())

    # ---- notes
    async def _say(self, claim: NoteClaim) -> None:
        drawn = await self._draw_notes(claim.notes)
        if drawn is None:  # those that can be drawn stand first in line now
            async with self._database.write() as connection:
                await note_outbox.record_notes_failure(connection, claim, self._now(), may_have_worked=True)
            return
        if claim.is_edit and claim.ts:
            await self.sender.edit(claim.channel, claim.ts, drawn)
            await self._complete(claim, claim.channel, claim.ts, drawn)
            return
        first, found = claim.notes[0].uid, claim.ts
        if found is None and claim.attempted_at is not None:
            since = min(claim.attempted_at, self._now())
            found = await find_post(self._api, "note", first, claim.channel, claim.thread_ts, since)
            if found is None:
                drawn = said_twice(drawn)
        if found:
            thread = claim.thread_ts or found
            missing = await missing_files(self._api, drawn.files, claim.channel, thread, found)
            await self._complete(claim, claim.channel, found, replace(drawn, files=missing), shown=False)
            return
        images = await uploaded(self._api, drawn.pictures)
        await self.sender.wait_for_turn(claim.channel)
        async with self._database.write() as connection:
            held = await note_outbox.record_notes_intent(connection, claim, self._now())
        if not held:
            return
        answer, shown = await self.sender.post_illustrated(
            claim.channel,
            drawn,
            images,
            metadata=_metadata("note", first),
            thread_ts=claim.thread_ts,
            reply_broadcast=True if claim.broadcast and claim.thread_ts else None,
        )
        channel, ts = answer["channel"], answer["ts"]
        for picture in (one for one in drawn.pictures if one not in shown):
            problem = await catch(self._api.send_file(channel, picture, claim.thread_ts or ts))
            if isinstance(problem, Exception):  # its words stand in the note
                log.warning("the picture %s could not be sent: %s", picture.name, problem)
        await self._complete(claim, channel, ts, drawn)

    async def _complete(
        self, claim: NoteClaim, channel: str, ts: str, drawn: Message, *, shown: bool = True
    ) -> None:
        """Its files follow into the thread. Raises SlackFailed when they are to be sent later.

        Not ``shown``: what stands there may be an older drawing.
        """
        files = () if claim.is_edit else drawn.files
        if files:
            async with self._database.write() as connection:
                await note_outbox.record_notes_said(connection, claim, ts)
        for file in files:
            try:
                await self._api.send_file(channel, file, thread_ts=claim.thread_ts or ts)
            except SlackFailed as error:
                if self._is_sent_again(channel, error):
                    raise
                log.warning("the file %s could not be sent: %s", file.name, error)
        async with self._database.write() as connection:
            await note_outbox.record_notes_posted(
                connection, claim, ts, channel=channel, is_over=drawn.is_over and shown, shown=shown
            )

    def _is_sent_again(self, channel: str, error: SlackFailed) -> bool:
        """Not what Slack refuses for good, nor what may stand there already while nobody can look."""
        if error.is_rate_limit or error.code == UNREACHABLE:
            return True
        is_shown = error.method == "files.completeUploadExternal"
        return error.may_have_worked and (is_told(self._api, channel) or not is_shown)

    async def _draw_notes(self, notes: Sequence[Note]) -> Message | None:
        """All of them as one message; None when one that cannot be drawn was put aside.

        Raises Unavailable for one that cannot be drawn now.
        """
        drawn: list[Message] = []
        for note in notes:
            one = await catch(self._draw_note(note))
            if isinstance(one, Message):
                drawn.append(one)
                continue
            if isinstance(one, Unavailable):
                raise one
            log.error("note %d of kind %s cannot be drawn", note.id, note.kind, exc_info=one)
            async with self._database.write() as connection:
                await note_outbox.record_note_broken(connection, note, f"{type(one).__name__}: {one}")
        return _merged(drawn) if len(drawn) == len(notes) else None

    async def _draw_note(self, note: Note) -> Message:
        drawn = self._notes[note.kind](note.body)
        return drawn if isinstance(drawn, Message) else await drawn

    async def _notes_failed(self, claim: NoteClaim, error: Exception) -> None:
        if claim.is_edit and isinstance(error, SlackFailed) and error.code in GONE | NO_PLACE:
            log.info("a note in %s cannot be edited any more: %s", claim.channel, error.code)
            await self._give_back(
                claim, partial(note_outbox.record_notes_posted, claim=claim, ts=claim.ts or "")
            )
            return
        if isinstance(error, SlackFailed) and error.code in GONE and claim.card_id and claim.thread_ts:
            await self._give_back(claim, partial(self._repost_above, claim=claim, error=error))
            return
        if isinstance(error, SlackFailed) and error.code in NO_PLACE:
            log.warning("a note in %s cannot be shown: %s", claim.channel, error.code)
            await self._give_back(claim, partial(self._break_notes, claim=claim, error=error))
            return
        after = self.sender.try_after(claim.notes[0].uid, claim.channel, f"note {claim.notes[0].id}", error)
        await self._give_back(
            claim,
            partial(
                note_outbox.record_notes_failure, claim=claim, try_after=after, may_have_worked=_unsure(error)
            ),
        )

    async def _repost_above(self, connection: Transaction, claim: NoteClaim, error: SlackFailed) -> None:
        """The card of its thread is gone; the notes follow when it is posted again."""
        await note_outbox.record_notes_failure(connection, claim, self._now(), may_have_worked=_unsure(error))
        if claim.card_id and claim.thread_ts:
            await self._repost(connection, claim.card_id, claim.thread_ts, claim.channel, error)

    async def _break_notes(self, connection: Transaction, claim: NoteClaim, error: SlackFailed) -> None:
        await note_outbox.record_notes_broken(connection, claim, f"{error.code}: {error}")
        await self._break_channel(connection, claim.channel, error)


async def _logged(giving_back: Awaitable[None]) -> None:
    problem = await catch(giving_back)
    if isinstance(problem, Exception):
        log.error("what I publish could not be given back: %s", problem)


def _unsure(error: Exception) -> bool:
    """Whether the post may stand in Slack all the same; an error of ours may have come after it."""
    refused = isinstance(error, SlackFailed) and error.method == "chat.postMessage"
    return not refused or (isinstance(error, SlackFailed) and error.may_have_worked)


def _metadata(what: str, uid: str) -> Mapping[str, Any]:
    return {"event_type": f"meshbot_{what}", "event_payload": {what: uid}}


def _digest(drawn: Message) -> str:
    return hashlib.sha256(json.dumps([drawn.text, list(drawn.blocks)]).encode()).hexdigest()


def _merged(drawn: Sequence[Message]) -> Message:
    blocks = [block for one in drawn for block in shown(one)]
    files = [file for one in drawn for file in one.files]
    pictures = [picture for one in drawn for picture in one.pictures]
    merged = message("\n".join(one.text for one in drawn), fit(blocks), files, pictures)
    return replace(merged, is_over=all(one.is_over for one in drawn))
