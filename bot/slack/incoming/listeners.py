"""What a listener receives: a command, a click or a submission, already cleaned, with the actor identified.

Listeners translate only: parse, one service call, render. They never see Bolt.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Protocol, TypeVar

from bot.domain.access import Actor
from bot.domain.errors import InvalidInput
from bot.slack.ids import CardRef, FreezeRef, GatewayRef, PageRef, PlanRef, Ref
from bot.slack.views.blocks import Block, Message, View

L = TypeVar("L", bound=Callable[..., Awaitable[None]])
R = TypeVar("R", CardRef, GatewayRef, PageRef, PlanRef, FreezeRef)
S = TypeVar("S", bound=Callable[..., Awaitable["SubmissionAnswer"]])


class Responder(Protocol):
    """The way back to the person who asked (a response_url, or the asker's thread for a mention)."""

    async def answer(self, message: Message) -> None:
        """Shows it to the asker only. After a click on an answer of ours it takes that answer's place."""

    async def add(self, message: Message) -> None:
        """Shows it to the asker only, below; what was there stays. Refusals of a click on a card go here."""

    async def send_file(self, name: str, content: bytes, title: str, alt: str = "") -> None:
        """Sends the asker a file by direct message; ``alt`` says what a picture shows."""


SaidOfSite = Callable[[str], Awaitable[Sequence[str]]]
"""What another feature says of a site: lines of mrkdwn with its names escaped."""


@dataclass(frozen=True, slots=True)
class CommandCall:
    """``/mesh <word> <text>``: the text is normalised, the word is gone.

    In ``text`` people and channels have their names; ``written`` has them as Slack writes mentions. ``about``
    is the kind and the subject of the card in whose thread it was said.
    """

    actor: Actor
    channel: str
    text: str
    respond: Responder
    trigger_id: str | None = None
    written: str = ""
    about: tuple[str, str] | None = None


class _About:
    """What a button or a modal is about, as the listener expects it."""

    __slots__ = ()
    ref: Ref

    @property
    def card(self) -> CardRef:
        """Raises InvalidInput where it is about anything but one thing; so do the others."""
        return _of_type(self.ref, CardRef)

    @property
    def gateway(self) -> GatewayRef:
        return _of_type(self.ref, GatewayRef)

    @property
    def page(self) -> PageRef:
        return _of_type(self.ref, PageRef)

    @property
    def plan(self) -> PlanRef:
        return _of_type(self.ref, PlanRef)

    @property
    def freeze(self) -> FreezeRef:
        return _of_type(self.ref, FreezeRef)


@dataclass(frozen=True, slots=True)
class Click(_About):
    """A button, or a choice in a select, on a card, an answer, a modal or the home tab."""

    actor: Actor
    channel: str
    action_id: str
    ref: Ref
    respond: Responder
    trigger_id: str | None = None
    selected: str | None = None
    view_id: str | None = None  # of the modal or home tab it was in
    values: Mapping[str, str] = field(default_factory=dict)  # what else is entered there, by block id


@dataclass(frozen=True, slots=True)
class Submission(_About):
    """A modal was submitted. ``values`` maps block ids to what was entered; empty inputs are absent."""

    actor: Actor
    callback_id: str
    ref: Ref
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SubmissionAnswer:
    """What the modal does next: closes, or shows an error at each named block, or becomes another view."""

    errors: Mapping[str, str] = field(default_factory=dict)
    view: View | None = None


def _of_type(ref: Ref, kind: type[R]) -> R:
    if not isinstance(ref, kind):
        raise InvalidInput("I do not understand that button any more. Please run the command again.")
    return ref


ClickListener = Callable[[Click], Awaitable[None]]
SubmissionListener = Callable[[Submission], Awaitable[SubmissionAnswer]]
EventListener = Callable[[Mapping[str, Any]], Awaitable[None]]
ThreadListener = Callable[[str, CommandCall], Awaitable[bool]]
CardDrawing = Callable[[str], Awaitable[Message]]
NoteDrawing = Callable[[Mapping[str, Any]], Message | Awaitable[Message]]


class ViewCalls(Protocol):
    """Opens modals. Called with the trigger of a click or a command, before anything slow."""

    async def open(self, trigger_id: str | None, view: View) -> str:
        """The id of the view, by which it can be changed. Raises InvalidInput without a trigger."""

    async def update(self, view_id: str, view: View) -> None: ...

    async def publish(self, user_id: str, view: View) -> None:
        """Draws somebody's home tab."""


@dataclass(frozen=True, slots=True)
class Command:
    """One word after the slash command: how it is used, what it does, who may, and its listener."""

    usage: str  # e.g. "devices [query]"
    summary: str  # e.g. "List gateways, worst first"
    listener: Callable[..., Awaitable[None]]
    needs: str = "viewer"  # the lowest role that may use it, as its word
    examples: tuple[str, ...] = ()
    also: tuple[str, ...] = ()  # other words that people try for it

    @property
    def word(self) -> str:
        return self.usage.partition(" ")[0]


@dataclass(frozen=True, slots=True)
class Errand:
    """What people come to do, as ``help`` shows it: words to type, and a button that does or begins it."""

    title: str
    typed: tuple[str, ...]
    button: Block
    needs: str = "viewer"  # the lowest role that gets somewhere with the button


@dataclass(frozen=True, slots=True)
class Feature:
    """What a feature listens to, and how it draws its cards and notes; joined in ``dispatcher.py``.

    ``cards`` and ``notes`` map a card kind to a function of its subject, a note kind to one of its body.
    ``title`` is the heading of its commands in ``help``; features may share one. ``guess`` answers a text
    that begins with no command, or returns False. ``in_threads`` maps a card kind to what answers the words
    that mean this card in its thread, or returns False.
    """

    commands: Mapping[str, Command] = field(default_factory=dict)
    clicks: Mapping[str, ClickListener] = field(default_factory=dict)
    submissions: Mapping[str, SubmissionListener] = field(default_factory=dict)
    events: Mapping[str, EventListener] = field(default_factory=dict)
    cards: Mapping[str, CardDrawing] = field(default_factory=dict)
    notes: Mapping[str, NoteDrawing] = field(default_factory=dict)
    in_threads: Mapping[str, ThreadListener] = field(default_factory=dict)
    guess: Callable[[CommandCall], Awaitable[bool]] | None = None
    title: str = ""
    errands: Sequence[Errand] = ()


class Declarations:
    """The commands, clicks and submissions of a module, each declared where its listener is written.

    ``title`` is the heading of its commands in ``help``. The listeners are methods of one class; ``of`` makes
    the feature of an object of it.
    """

    def __init__(self, title: str = "") -> None:
        self.title = title
        self.commands: dict[str, Command] = {}
        self.clicks: dict[str, Callable[..., Awaitable[None]]] = {}
        self.submissions: dict[str, Callable[..., Awaitable[SubmissionAnswer]]] = {}

    def command(
        self,
        usage: str,
        summary: str,
        *,
        needs: str = "viewer",
        examples: tuple[str, ...] = (),
        also: tuple[str, ...] = (),
    ) -> Callable[[L], L]:
        """``usage`` begins with the word. Raises ValueError for a word that is declared already."""

        def declare(listener: L) -> L:
            command = Command(usage, summary, listener, needs, examples, also)
            _refuse_twice(self.commands, command.word)
            self.commands[command.word] = command
            return listener

        return declare

    def click(self, *action_ids: str) -> Callable[[L], L]:
        """Buttons and menus with one listener. Raises ValueError for one that is declared already."""

        def declare(listener: L) -> L:
            for action_id in action_ids:
                _refuse_twice(self.clicks, action_id)
                self.clicks[action_id] = listener
            return listener

        return declare

    def submission(self, callback_id: str) -> Callable[[S], S]:
        """A modal. Raises ValueError for one that is declared already."""

        def declare(listener: S) -> S:
            _refuse_twice(self.submissions, callback_id)
            self.submissions[callback_id] = listener
            return listener

        return declare

    def of(
        self,
        listeners: object,
        *,
        cards: Mapping[str, CardDrawing] | None = None,
        notes: Mapping[str, NoteDrawing] | None = None,
        in_threads: Mapping[str, ThreadListener] | None = None,
        guess: Callable[[CommandCall], Awaitable[bool]] | None = None,
        errands: Sequence[Errand] = (),
    ) -> Feature:
        return Feature(
            errands=errands,
            in_threads=in_threads or {},
            guess=guess,
            title=self.title,
            commands={
                word: replace(command, listener=partial(command.listener, listeners))
                for word, command in self.commands.items()
            },
            clicks={one: partial(listener, listeners) for one, listener in self.clicks.items()},
            submissions={one: partial(listener, listeners) for one, listener in self.submissions.items()},
            cards=cards or {},
            notes=notes or {},
        )


def _refuse_twice(declared: Mapping[str, object], name: str) -> None:
    if name in declared:
        raise ValueError(f"{name} is declared twice")
