"""``rename`` and ``tag``, and the buttons Confirm, Cancel and Undo: listeners that write.

They parse, propose, and carry out; who may and what it means for each gateway is decided below. A long run
shows its progress a few times: a response_url takes five answers.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from bot.domain.access import Action, require
from bot.domain.errors import InvalidInput, NotFound, Stale
from bot.domain.fleet.renames_and_tags import NewName, Write, is_pattern
from bot.domain.gateways import fold
from bot.domain.query import ALL, Field, Query
from bot.services.fleet.renames_and_tags import FleetWrites
from bot.services.fleet.renames_and_tags_runner import ENDED, WriteRunner
from bot.services.fleet.search import FleetService
from bot.slack import ids
from bot.slack.fleet.views import renames_and_tags as views
from bot.slack.incoming.command_router import unquoted
from bot.slack.incoming.concurrency import leave_turn
from bot.slack.incoming.listeners import (
    Click,
    CommandCall,
    Declarations,
    Feature,
    Responder,
    Submission,
    SubmissionAnswer,
    ViewCalls,
)
from bot.slack.views.blocks import Message
from bot.slack.views.csv_file import read_csv

log = logging.getLogger(__name__)

PROGRESS_AFTER = (timedelta(seconds=2), timedelta(seconds=15), timedelta(seconds=60))
RENAME = "rename <id, name or query> <new name>"
TAG = "tag <id, name or query> +tag … -tag …"
_TO = re.compile(r"^to\s+", re.IGNORECASE)
_WORD = re.compile(r'(?:[^\s"]|"[^"]*")+')


on = Declarations("Gateways")


class WriteCommands:
    """Renames and tags gateways, with a preview where there are several and Undo afterwards."""

    def __init__(
        self,
        fleet: FleetService,
        writes: FleetWrites,
        runs: WriteRunner,
        modals: ViewCalls,
        *,
        now: Callable[[], datetime],
        progress_after: Sequence[timedelta] = PROGRESS_AFTER,
    ) -> None:
        self._fleet = fleet
        self._writes = writes
        self._runs = runs
        self._modals = modals
        self._now = now
        self._progress_after = progress_after

    def feature(self) -> Feature:
        return on.of(self, notes={ENDED: self.draw_end})

    async def draw_end(self, body: Mapping[str, Any]) -> Message:
        """For who no longer waits for an answer, since the bot was stopped in the middle of their change."""
        return views.write(await self._writes.get(str(body["write"])), self._now())

    @on.command(
        RENAME,
        "Rename a gateway, or number the names of several, with Undo",
        needs="operator",
        examples=('rename MT10225 "Roof, north"', 'rename tag:oslo to "OSL-{n:03}"', "rename csv"),
    )
    async def rename(self, call: CommandCall) -> None:
        """``rename csv`` opens a dialog for the rows of a file."""
        if call.text.strip().casefold() == "csv":
            require(call.actor, Action.RENAME)
            await self._modals.open(call.trigger_id, views.names_dialog(call.channel))
            return
        if many := parse_names(call.text):
            query = await self._fleet.query_of(many[0])
            write = await self._writes.propose_names(call.actor, call.channel, query, many[1])
            await call.respond.answer(views.write(write, self._now()))
            return
        which, new_name = parse_rename(call.text)
        try:
            gateway = await self._fleet.find(which)
        except NotFound as error:
            if ":" not in which:
                raise
            raise InvalidInput(_same_name(which, new_name)) from error
        write = await self._writes.propose_rename(call.actor, call.channel, gateway, new_name)
        await self._carry_out(write, call.respond)

    @on.command(
        TAG,
        "Add and remove tags, with Undo",
        needs="operator",
        examples=('tag MT10225 +roof -"Kyiv office"', "tag tag:oslo is:offline +check"),
    )
    async def tag(self, call: CommandCall) -> None:
        change = parse_tag(call.text)
        which = await self._which(change.target)
        write = await self._writes.propose_tags(call.actor, call.channel, which, change.add, change.remove)
        if write.needs_confirmation:
            await call.respond.answer(views.write(write, self._now()))
        else:
            await self._carry_out(write, call.respond)

    @on.command("undo", "Take back your last rename or change of tags", needs="operator")
    async def undo_last(self, call: CommandCall) -> None:
        """Shows it with its Undo button: what was done since is seen first."""
        last = await self._writes.last_to_undo(call.actor)
        if last is None:
            raise NotFound(
                "There is no rename or change of tags of yours that can be taken back now. "
                "For anything else, press Undo below its answer."
            )
        await call.respond.answer(views.last(last, self._now()))

    @on.click(ids.WRITE_CONFIRM)
    async def confirm(self, click: Click) -> None:
        async with self._redrawn_when_stale(click):
            write = await self._writes.confirm(click.actor, click.card.id, click.card.version)
        await self._carry_out(write, click.respond)

    @on.click(ids.WRITE_CANCEL)
    async def cancel(self, click: Click) -> None:
        async with self._redrawn_when_stale(click):
            write = await self._writes.cancel(click.actor, click.card.id, click.card.version)
        await click.respond.answer(views.write(write, self._now()))

    @on.click(ids.WRITE_UNDO)
    async def undo(self, click: Click) -> None:
        async with self._redrawn_when_stale(click):
            write = await self._writes.undo(click.actor, click.card.id, click.channel)
        undone = await self._run(write, click.respond)
        before = await self._writes.get(click.card.id)
        if before.may_be_undone(self._now()):  # nothing of it worked: the button stays, the reason goes below
            await click.respond.answer(views.write(before, self._now()))
            await click.respond.add(views.write(undone, self._now()))
        else:
            await click.respond.answer(views.write(undone, self._now()))

    @on.click(ids.GATEWAY_RENAME, ids.GATEWAY_TAGS)
    async def ask(self, click: Click) -> None:
        """A dialog from the card of a gateway, filled in with what is there now."""
        gateway = (await self._fleet.gateway(click.gateway.id)).gateway
        dialog = views.rename_dialog if click.action_id == ids.GATEWAY_RENAME else views.tags_dialog
        await self._modals.open(click.trigger_id, dialog(gateway, click.channel))

    @on.submission(ids.GATEWAY_RENAME)
    async def rename_in_dialog(self, sent: Submission) -> SubmissionAnswer:
        known = await self._fleet.gateway(sent.gateway.id)
        if sent.gateway.drawn != views.drawn_of([known.gateway.name or ""]):
            now = f"“{known.gateway.name}”" if known.gateway.name else "without a name"
            return _not_as_it_was(ids.NAME, f"It was renamed meanwhile, and is {now}.")
        new_name, channel = sent.values.get(ids.NAME, ""), sent.gateway.channel or None
        try:
            write = await self._writes.propose_rename(sent.actor, channel, known, new_name)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.NAME: str(error)})
        return await self._carry_out_in_dialog(write)

    @on.submission(ids.NAMES_CSV)
    async def names_in_dialog(self, sent: Submission) -> SubmissionAnswer:
        """What the rows would change, or all that is wrong with them."""
        try:
            read = read_csv(sent.values.get(ids.CSV, ""), views.NAMES, views.NAMES)
            rows = [NewName(one.line, one.cells.get("id", ""), one.cells.get("name", "")) for one in read]
            write = await self._writes.propose_renames(sent.actor, sent.card.channel or None, rows)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.CSV: str(error)})
        return SubmissionAnswer(view=views.preview_dialog(write, self._now()))

    @on.submission(ids.WRITE_CONFIRM)
    async def confirm_in_dialog(self, sent: Submission) -> SubmissionAnswer:
        """It may take long: the dialog says so meanwhile."""
        write = await self._writes.confirm(sent.actor, sent.card.id, sent.card.version)
        return await self._carry_out_in_dialog(write)

    @on.submission(ids.GATEWAY_TAGS)
    async def tag_in_dialog(self, sent: Submission) -> SubmissionAnswer:
        """What is missing from the list goes, what is new in it comes."""
        gateway = (await self._fleet.gateway(sent.gateway.id)).gateway
        if sent.gateway.drawn != views.drawn_of(gateway.tags):
            return _not_as_it_was(ids.TAGS, "Its tags were changed meanwhile.")
        lines = map(str.strip, sent.values.get(ids.TAGS, "").splitlines())
        wanted = {fold(tag): tag for tag in lines if tag}
        there = {fold(tag): tag for tag in gateway.tags}
        add = [tag for key, tag in wanted.items() if key not in there]
        remove = [tag for key, tag in there.items() if key not in wanted]
        channel = sent.gateway.channel or None
        try:
            if not add and not remove:
                raise InvalidInput("These are the tags that it has. Add a line, or take one out.")
            write = await self._writes.propose_tags(sent.actor, channel, [gateway.id], add, remove)
        except InvalidInput as error:
            return SubmissionAnswer(errors={ids.TAGS: str(error)})
        return await self._carry_out_in_dialog(write)

    async def _carry_out_in_dialog(self, write: Write) -> SubmissionAnswer:
        return SubmissionAnswer(view=views.ended_dialog(await self._runs.run(write.id), self._now()))

    async def _which(self, target: str) -> Query | Sequence[str]:
        """One gateway by its id or exact name; else, or where a field is named, what it says as a query."""
        query = await self._fleet.query_of(target)
        if query == ALL or any(term.field is not Field.ANY for term in query.single_terms):
            return query
        try:
            return [(await self._fleet.find(unquoted(target))).gateway.id]
        except NotFound:
            if not (await self._fleet.counts(query)).total:
                raise  # it names the nearest, which a query cannot
            return query

    async def _carry_out(self, write: Write, respond: Responder) -> None:
        ended = await self._run(write, respond)
        await respond.answer(views.write(ended, self._now()))

    async def _run(self, write: Write, respond: Responder) -> Write:
        ended = asyncio.Event()
        progress = asyncio.create_task(self._show_progress(write, respond, ended))
        try:
            return await self._runs.run(write.id)
        finally:
            ended.set()
            # Progress that could not be shown does not stop the work, nor hide how it ended.
            (failure,) = await asyncio.gather(progress, return_exceptions=True)
            if failure is not None:
                log.info("the progress of write %s could not be shown", write.id, exc_info=failure)

    async def _show_progress(self, write: Write, respond: Responder, ended: asyncio.Event) -> None:
        for pause in self._progress_after:
            try:
                await asyncio.wait_for(ended.wait(), pause.total_seconds())
            except TimeoutError:
                leave_turn()  # it goes on by itself, also after a crash
                shown = await self._writes.get(write.id)
                if not shown.is_running:  # its result is answered next
                    return
                await respond.answer(views.write(shown, self._now()))
            else:
                return

    @asynccontextmanager
    async def _redrawn_when_stale(self, click: Click) -> AsyncIterator[None]:
        """Shows what is true now in place of buttons that have had their time; the guard says why.

        Not while it is carried out: who runs it shows how it ended, and this may reach Slack after that.
        """
        try:
            yield
        except Stale:
            write = await self._writes.get(click.card.id)
            undoing = write.undone_by and await self._writes.get(write.undone_by)
            if not write.is_running and not (undoing and undoing.is_running):
                await click.respond.answer(views.write(write, self._now()))
            raise


def _not_as_it_was(block_id: str, why: str) -> SubmissionAnswer:
    return SubmissionAnswer(errors={block_id: f"{why} Close this and open the gateway again."})


@dataclass(frozen=True, slots=True)
class TagChange:
    """``tag <target> +… -…``. The target stands as it was typed: it may be an id, a name or a query."""

    target: str
    add: tuple[str, ...]
    remove: tuple[str, ...]


def parse_rename(text: str) -> tuple[str, str]:
    """The gateway and its new name, which may follow "to". Raises InvalidInput."""
    text = text.strip()
    if text.startswith('"'):
        which, closing, rest = text[1:].partition('"')
        if not closing:
            raise InvalidInput(f"A quote is not closed: {text}. Put a second \" behind the gateway's name.")
    else:
        which, _, rest = text.partition(" ")
    which, new_name = which.strip(), unquoted(_TO.sub("", rest.strip(), count=1))
    if not which or not new_name:
        raise InvalidInput(
            f"I need a gateway and its new name: /mesh {RENAME}. Quotes hold a name with spaces."
        )
    return which, new_name


def _same_name(query: str, new_name: str) -> str:
    """Said where several gateways would get one name."""
    base = unquoted(new_name.removeprefix("to ")).partition("{")[0].rstrip("- ") or "OSL"
    return (
        f"No gateway is called {query}. A name for several gateways needs {{n}}, which counts them: "
        f'“/mesh rename {query} to "{base}-{{n:03}}"”.'
    )


def parse_names(text: str) -> tuple[str, str] | None:
    """A query and the pattern of new names, where the text has one; None for a rename of one gateway.

    Without "to" the query is the first word, as in a rename of one.
    """
    query, word, pattern = text.strip().rpartition(" to ")
    if not word and (first := _WORD.match(pattern)):
        query, pattern = first[0], pattern[first.end() :]
    query, pattern = query.strip(), unquoted(pattern.strip())
    return (query, pattern) if query and is_pattern(pattern) else None


def parse_tag(text: str) -> TagChange:
    """The gateways, and the tags to add and to remove. Raises InvalidInput naming the word."""
    if text.count('"') % 2:
        raise InvalidInput(f'A quote is not closed: {text}. Put a second " where the tag or name ends.')
    words = list(_WORD.finditer(text))
    first = next((word for word in words if word[0][0] in "+-"), None)
    if first is None or not text[: first.start()].strip():
        raise InvalidInput(
            f"I need gateways and at least one change: /mesh {TAG}. For example: /mesh tag MT10225 +roof. "
            "To list those with a tag: /mesh devices tag:roof."
        )
    changes = [word[0] for word in words if word.start() >= first.start()]
    add = _tags(changes, "+")
    remove = _tags(changes, "-")
    both = {fold(tag) for tag in add} & {fold(tag) for tag in remove}
    for tag in add:
        if fold(tag) in both:
            raise InvalidInput(f"{tag} is to be added and removed at once: leave one of them out.")
    return TagChange(text[: first.start()].strip(), add, remove)


def _tags(changes: Sequence[str], sign: str) -> tuple[str, ...]:
    tags: dict[str, str] = {}
    for change in changes:
        if change[0] not in "+-":
            raise InvalidInput(
                f'{change} is neither +tag nor -tag. A tag with spaces goes into quotes: +"Kyiv office".'
            )
        tag = change[1:].replace('"', "").strip()
        if not tag:
            raise InvalidInput(f"Behind {change} a tag is missing, for example {change[0]}roof.")
        if change[0] == sign:
            tags.setdefault(fold(tag), tag)
    return tuple(tags.values())
