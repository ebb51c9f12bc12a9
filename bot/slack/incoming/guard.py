"""Stands around every listener: what follows the acknowledgement is a tracked task, and no error escapes.

A listener that raises after its acknowledgement loses it, so nothing of ours runs inside Bolt's own call but
the acknowledgement and, for modals, the wait for a decision. A BotError becomes its sentence; anything else
an incident id that the asker and the log share.
"""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar

from structlog.contextvars import bind_contextvars

from bot.domain.access import Actor
from bot.domain.errors import BotError, NotAllowed, RoleUnknown, Stale
from bot.slack.incoming.concurrency import AT_ONCE, TooMany, Turns
from bot.slack.incoming.listeners import Responder, SubmissionAnswer
from bot.slack.incoming.signatures import IsNew, is_acted_on_here, of_one_process
from bot.slack.views.blocks import View, escape, section, sentence
from bot.slack.views.modals import modal
from bot.storage.db.engine import end_now, repeated, work_for_people

log = logging.getLogger(__name__)
T = TypeVar("T")

OnRefused = Callable[[Actor, str, str, str, str], Awaitable[None]]
"""Writes a refusal into the audit log: who, what they tried, on what, in which channel, what they read."""

Answering = Callable[[], AbstractAsyncContextManager[None]]
"""Around a request: who asked is answered when it ends, and not when it raises."""

# Seconds: the work would else run before its acknowledgement, and those of its neighbours, are on the wire.
_BEHIND_ACK = 0.001
_ID_LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
RESTARTING = (
    "I am restarting and take nothing new for a moment. Nothing was done; please try again in a minute."
)


@dataclass(slots=True)
class AttemptedAction:
    """What somebody tries to do. The actor is known only once Slack has said who they are."""

    what: str  # the word of a command, or the id of a button or modal
    channel: str
    respond: Responder
    actor: Actor | None = None
    user: str = ""
    about: str = ""  # on what: the rest of the command, or what the button points at
    answered: AsyncExitStack = field(default_factory=AsyncExitStack)  # of a modal: closed once it is


class Guard:
    """Runs the work of listeners, and can be told to take no more and to wait for what runs."""

    def __init__(
        self,
        on_refused: OnRefused,
        *,
        is_first: IsNew = of_one_process,
        answering: Answering = nullcontext,
        at_once: int = AT_ONCE,
    ) -> None:
        self._on_refused = on_refused
        self._answering = answering
        self._is_first = is_first
        self._turns = Turns(at_once)
        self._tasks: set[asyncio.Task[Any]] = set()
        self.draining = False

    @property
    def running(self) -> int:
        return len(self._tasks)

    def acknowledge_first(
        self, handle: Callable[[Mapping[str, Any]], None]
    ) -> Callable[..., Awaitable[None]]:
        """A listener for Bolt that acknowledges; then ``handle`` reads the payload and starts the work."""

        async def listener(ack: Callable[[], Awaitable[object]], body: Mapping[str, Any]) -> None:
            await ack()
            self._keep(self._begin(handle, body, self.draining))

        return listener

    def answer(
        self,
        attempt: AttemptedAction,
        work: Callable[[], Awaitable[None]],
        claim: Callable[[], Awaitable[bool]] | None = None,
    ) -> None:
        """Runs the work of a command or a click, already acknowledged; its errors are told to the asker.

        ``claim`` tells whether it is this replica's to do, and is asked once.
        """
        if self.draining:
            work, claim = _restarting(attempt), None
        self._keep(self._answer(attempt, work, claim))

    def observe(self, what: str, work: Callable[[], Awaitable[None]], user: str = "") -> None:
        """Runs the work of an event, which nobody waits for; its errors are logged. ``user``: whose it is."""
        self._keep(self._observe(what, work, user))

    def decide(
        self, attempt: AttemptedAction, title: str, work: Callable[[], Awaitable[SubmissionAnswer]]
    ) -> asyncio.Task[SubmissionAnswer]:
        """Runs the decision about a modal. The task never raises: an error becomes a view that says it.

        Once that is shown, ``attempt.answered`` is to be closed.
        """
        return self._keep(self._decide(attempt, title, _closed(title) if self.draining else work))

    async def idle(self) -> None:
        """Waits until nothing runs."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def drain(self, timeout: float) -> bool:
        """Takes nothing new, and waits for what runs; what does not end in time is cancelled (False)."""
        self.draining = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.idle(), timeout)
        left = set(self._tasks)
        if left:
            log.warning("%d listeners did not finish and were cancelled", len(left))
            await end_now(left)
        return not left

    def _keep(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself keeps only a weak reference
        task.add_done_callback(self._tasks.discard)
        return task

    async def _begin(
        self, handle: Callable[[Mapping[str, Any]], None], body: Mapping[str, Any], too_late: bool
    ) -> None:
        work_for_people()
        await asyncio.sleep(_BEHIND_ACK)
        if await self._is_acted_on_elsewhere(is_acted_on_here(self._is_first)):
            return
        # What was acknowledged before the drain began is still done.
        draining, self.draining = self.draining, too_late
        try:
            handle(body)
        except Exception:
            log.exception("a payload of type %s could not be read", body.get("type"))
        finally:
            self.draining = draining

    async def _is_acted_on_elsewhere(self, claim: Awaitable[bool]) -> bool:
        """Whether another replica has this request. Without an answer nothing holds it up."""
        elsewhere = await catch(claim) is False
        if elsewhere:
            log.warning("a request was sent to another replica before, and is not acted on")
        return elsewhere

    async def _answer(
        self,
        attempt: AttemptedAction,
        work: Callable[[], Awaitable[None]],
        claim: Callable[[], Awaitable[bool]] | None,
    ) -> None:
        _begin_work(attempt.what, attempt.user, attempt.channel)
        try:
            async with self._turns.of(attempt.user):
                if claim is not None and await self._is_acted_on_elsewhere(claim()):
                    return
                async with self._answering():
                    await repeated(work)
        except Exception as error:
            text = await self._sentence(attempt, error)
            if not (isinstance(error, TooMany) and error.is_told):
                await self._tell(attempt, text)

    async def _observe(self, what: str, work: Callable[[], Awaitable[None]], user: str) -> None:
        _begin_work(what, user)
        try:
            async with self._turns.of(user):
                await repeated(work)
        except BotError as error:
            log.warning("event %s: %s", what, error)
        except Exception:
            log.exception("event %s failed", what)

    async def _decide(
        self, attempt: AttemptedAction, title: str, work: Callable[[], Awaitable[SubmissionAnswer]]
    ) -> SubmissionAnswer:
        _begin_work(attempt.what, attempt.user, attempt.channel)
        try:
            async with self._turns.of(attempt.user):
                if await self._is_acted_on_elsewhere(is_acted_on_here(self._is_first)):
                    raise Stale("This was sent before, and is taken already.")
                async with AsyncExitStack() as stack:
                    await stack.enter_async_context(self._answering())
                    answer = await repeated(work)
                    attempt.answered = stack.pop_all()
                return answer
        except Exception as error:
            return SubmissionAnswer(view=said_view(title, await self._sentence(attempt, error)))

    async def _sentence(self, attempt: AttemptedAction, error: Exception) -> str:
        if not isinstance(error, BotError):
            incident = new_incident_id()
            log.error(
                "%s failed (error %s)", attempt.what, incident, exc_info=error, extra={"incident": incident}
            )
            return (
                f"Something went wrong on my side (error {incident}). Look whether it was done before you "
                "try again; whoever runs the bot finds that id in the log."
            )
        log.info("%s: %s", attempt.what, error, exc_info=error.__cause__)
        if isinstance(error, NotAllowed | RoleUnknown) and attempt.actor is not None:
            await self._audit(attempt, attempt.actor, str(error))
        return str(error)

    async def _audit(self, attempt: AttemptedAction, actor: Actor, reason: str) -> None:
        try:
            await self._on_refused(actor, attempt.what, attempt.about, attempt.channel, reason)
        except Exception:
            log.exception("a refusal of %s to %s could not be audited", attempt.what, actor.user_id)

    async def _tell(self, attempt: AttemptedAction, text: str) -> None:
        try:
            await attempt.respond.add(sentence(text))
        except Exception:
            log.exception("the answer to %s could not be delivered: %s", attempt.what, text)


def _begin_work(what: str, user: str = "", channel: str = "") -> None:
    """From here on every line of this task, whoever writes it, says which request it belongs to.

    What it asks of the database, it asks over the connections for people.
    """
    work_for_people()
    known = {"what": what, "user": user, "channel": channel}
    bind_contextvars(request=new_incident_id(), **{key: text for key, text in known.items() if text})


def _restarting(attempt: AttemptedAction) -> Callable[[], Awaitable[None]]:
    return lambda: attempt.respond.add(sentence(RESTARTING))


def _closed(title: str) -> Callable[[], Awaitable[SubmissionAnswer]]:
    async def refuse() -> SubmissionAnswer:
        return SubmissionAnswer(view=said_view(title, RESTARTING))

    return refuse


async def catch(work: Awaitable[T]) -> T | Exception:
    """What the work gives, or what it raises: for a loop that one bad item must not stop."""
    try:
        return await work
    except Exception as error:
        return error


def new_incident_id() -> str:
    """Eight letters and digits that cannot be misread on a telephone."""
    return "".join(secrets.choice(_ID_LETTERS) for _ in range(8))


def said_view(title: str, text: str) -> View:
    """A modal that only says something; ``text`` is escaped here."""
    return modal(title, [section(escape(text))], callback_id="said")
