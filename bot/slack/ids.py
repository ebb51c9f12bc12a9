"""Action, callback and block ids, which never change, and the codec of a button's value.

A value is a reference of one of five types: a thing with a state, a gateway, a page, a plan, a freeze. It
carries an opaque id and the version that was drawn, never a decision: what it means is read from the database
when it is clicked. A freeze is nowhere yet, so its value carries what was asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from bot.domain.access import Action
from bot.domain.errors import InvalidInput

# Cards
ROLLOUT_REQUEST: Final = "rollout_request"
ROLLOUT_CANCEL: Final = "rollout_cancel"
ROLLOUT_APPROVE: Final = "rollout_approve"
ROLLOUT_DENY: Final = "rollout_deny"
ROLLOUT_PAUSE: Final = "rollout_pause"
ROLLOUT_RESUME: Final = "rollout_resume"
ROLLOUT_ABORT: Final = "rollout_abort"
ROLLOUT_PROMOTE: Final = "rollout_promote"
ROLLOUT_RETRY_FAILED: Final = "rollout_retry_failed"
ROLLOUT_CATCH_UP: Final = "rollout_catch_up"
ROLLOUT_END_WAITING: Final = "rollout_end_waiting"
ROLLOUT_REPLAN: Final = "rollout_replan"
INCIDENT_ACK: Final = "incident_ack"
INCIDENT_ACK_ALL: Final = "incident_ack_all"
INCIDENT_TAKE_OVER: Final = "incident_take_over"
INCIDENT_GIVE_BACK: Final = "incident_give_back"
INCIDENT_ASSIGN: Final = "incident_assign"
INCIDENT_SILENCE: Final = "incident_silence"
INCIDENT_PAUSE_ROLLOUT: Final = "incident_pause_rollout"
INCIDENT_DETAILS: Final = "incident_details"
SILENCE_END: Final = "silence_end"
MAINTENANCE_SKIP: Final = "maintenance_skip"
MAINTENANCE_END: Final = "maintenance_end"

# Answers
WRITE_CONFIRM: Final = "write_confirm"
WRITE_CANCEL: Final = "write_cancel"
WRITE_UNDO: Final = "write_undo"
SUBSCRIPTION_UNDO: Final = "subscription_undo"
SILENCE_CONFIRM: Final = "silence_confirm"
MAINTENANCE_CONFIRM: Final = "maintenance_confirm"
MAINTENANCE_UNDO: Final = "maintenance_undo"
POLICY_CONFIRM: Final = "policy_confirm"
POLICY_END: Final = "policy_end"
POLICY_UNDO: Final = "policy_undo"
PAGE_NEXT: Final = "page_next"
PAGE_PREVIOUS: Final = "page_previous"
REFRESH: Final = "refresh"
EXPORT_CSV: Final = "export_csv"
HELP: Final = "help"
FREEZE: Final = "freeze"
UNFREEZE: Final = "unfreeze"
SUBSCRIPTION_END: Final = "subscription_end"
GATEWAY_RENAME: Final = "gateway_rename"
GATEWAY_TAGS: Final = "gateway_tags"
GATEWAY_SILENCE: Final = "gateway_silence"
GATEWAY_FIND: Final = "gateway_find"
NAMES_CSV: Final = "names_csv"
SITE_EDIT: Final = "site_edit"
SITE_SILENCE: Final = "site_silence"
SITE_UNDO: Final = "site_undo"
SITES_CSV: Final = "sites_csv"
SITES_CONFIRM: Final = "sites_confirm"
CHART: Final = "chart"
OPEN: Final = "open"  # shows what a row is about below the row's list
# These stand on answers only, also on one in a thread, where it is a message that everybody sees.
ON_ANSWERS: Final = frozenset(
    {
        WRITE_CONFIRM,
        WRITE_CANCEL,
        WRITE_UNDO,
        SUBSCRIPTION_UNDO,
        SILENCE_CONFIRM,
        INCIDENT_ACK_ALL,
        MAINTENANCE_CONFIRM,
        MAINTENANCE_UNDO,
        SITE_UNDO,
        POLICY_CONFIRM,
        POLICY_END,
        POLICY_UNDO,
        PAGE_NEXT,
        PAGE_PREVIOUS,
        REFRESH,
        EXPORT_CSV,
        HELP,
        FREEZE,
        ROLLOUT_REQUEST,
    }
)

# The dialog in which an update is put together: its choices, and the choice of the whole fleet
ROLLOUT_FORM: Final = "rollout_form"
ROLLOUT_MODEL: Final = "rollout_model"
ROLLOUT_VERSION: Final = "rollout_version"
ROLLOUT_PLACE: Final = "rollout_place"
ROLLOUT_WHEN: Final = "rollout_when"
ROLLOUT_START: Final = "rollout_start"
ROLLOUT_EVERYWHERE: Final = "everywhere"
IN_MAINTENANCE: Final = "maintenance"  # in place of when an update starts

# Inputs of modals: the block and its element share a name
REASON: Final = "reason"
LINK: Final = "link"
DURATION: Final = "duration"
WHAT: Final = "what"
UNTIL: Final = "until"
PERSON: Final = "person"
NOTE: Final = "note"
NAME: Final = "name"
TAGS: Final = "tags"
QUERY: Final = "query"
CSV: Final = "csv"

# Their value names a site as the question.
OF_A_SITE: Final = frozenset({SITE_EDIT, SITE_SILENCE})

# What each button, and the modal of the same name, is for: checked before its listener is asked. What is not
# named here only shows something.
PURPOSES: Final[Mapping[str, Action]] = {
    ROLLOUT_REQUEST: Action.REQUEST,
    ROLLOUT_REPLAN: Action.REQUEST,
    ROLLOUT_CANCEL: Action.CANCEL,
    ROLLOUT_APPROVE: Action.APPROVE,
    ROLLOUT_DENY: Action.DENY,
    ROLLOUT_PAUSE: Action.STEER,
    ROLLOUT_RESUME: Action.RESUME,
    ROLLOUT_ABORT: Action.STEER,
    ROLLOUT_PROMOTE: Action.RESUME,
    ROLLOUT_RETRY_FAILED: Action.RESUME,
    ROLLOUT_CATCH_UP: Action.RESUME,
    ROLLOUT_END_WAITING: Action.STEER,
    FREEZE: Action.FREEZE,
    ROLLOUT_FORM: Action.REQUEST,
    ROLLOUT_MODEL: Action.REQUEST,
    ROLLOUT_VERSION: Action.REQUEST,
    ROLLOUT_PLACE: Action.REQUEST,
    ROLLOUT_WHEN: Action.REQUEST,
    INCIDENT_ACK: Action.ACKNOWLEDGE,
    INCIDENT_ACK_ALL: Action.ACKNOWLEDGE,
    INCIDENT_TAKE_OVER: Action.ACKNOWLEDGE,
    INCIDENT_GIVE_BACK: Action.ACKNOWLEDGE,
    INCIDENT_ASSIGN: Action.ACKNOWLEDGE,
    INCIDENT_SILENCE: Action.SILENCE,
    INCIDENT_PAUSE_ROLLOUT: Action.STEER,
    WRITE_CONFIRM: Action.TAG,
    WRITE_CANCEL: Action.TAG,
    WRITE_UNDO: Action.UNDO,
    SUBSCRIPTION_UNDO: Action.SUBSCRIBE,
    SUBSCRIPTION_END: Action.SUBSCRIBE,
    UNFREEZE: Action.FREEZE,
    GATEWAY_RENAME: Action.RENAME,
    GATEWAY_TAGS: Action.TAG,
    NAMES_CSV: Action.RENAME,
    GATEWAY_SILENCE: Action.SILENCE,
    SILENCE_CONFIRM: Action.SILENCE,
    SILENCE_END: Action.SILENCE,
    MAINTENANCE_CONFIRM: Action.MAINTAIN,
    MAINTENANCE_SKIP: Action.MAINTAIN,
    MAINTENANCE_END: Action.MAINTAIN,
    MAINTENANCE_UNDO: Action.MAINTAIN,
    SITE_EDIT: Action.DESCRIBE,
    SITE_UNDO: Action.DESCRIBE,
    SITES_CSV: Action.DESCRIBE,
    SITES_CONFIRM: Action.DESCRIBE,
    SITE_SILENCE: Action.SILENCE,
    POLICY_CONFIRM: Action.POLICY,
    POLICY_END: Action.POLICY,
    POLICY_UNDO: Action.POLICY,
}

# The words that are a button of the card in whose thread somebody says them, by the kind of the card.
SAID_IN_THREADS: Final[Mapping[str, Mapping[str, str]]] = {
    "rollout": {
        "approve": ROLLOUT_APPROVE,
        "deny": ROLLOUT_DENY,
        "cancel": ROLLOUT_CANCEL,
        "pause": ROLLOUT_PAUSE,
        "resume": ROLLOUT_RESUME,
        "promote": ROLLOUT_PROMOTE,
        "abort": ROLLOUT_ABORT,
        "retry": ROLLOUT_RETRY_FAILED,
    },
    "incident": {
        "ack": INCIDENT_ACK,
        "acknowledge": INCIDENT_ACK,
        "mine": INCIDENT_ACK,
        "take": INCIDENT_TAKE_OVER,
        "takeover": INCIDENT_TAKE_OVER,
        "give": INCIDENT_GIVE_BACK,
        "release": INCIDENT_GIVE_BACK,
        "unack": INCIDENT_GIVE_BACK,
        "assign": INCIDENT_ASSIGN,
        "pause": INCIDENT_PAUSE_ROLLOUT,
    },
}


# Whatever is written behind their words belongs to them: a note, a person.
_WITH_WORDS: Final = frozenset({INCIDENT_ACK, INCIDENT_TAKE_OVER, INCIDENT_GIVE_BACK, INCIDENT_ASSIGN})
# But these begin much else as well: “take a look”, “give me the list”, “release notes”.
_OF_MANY_USES: Final = frozenset({"take", "give", "release"})
_MEANS_THE_CARD = re.compile(
    r"(?:(?:this|it)\b\s*)?(?:(?:over|back|because)\b.*|(?:a-\d+\b.*|\d+)?$)", re.IGNORECASE | re.DOTALL
)


def said_in_thread(kind: str, subject: str, word: str, rest: str) -> str | None:
    """The button that a word means about the card; None for what is about something else."""
    button = SAID_IN_THREADS.get(kind, {}).get(word)
    takes_words = button in _WITH_WORDS and (word not in _OF_MANY_USES or _MEANS_THE_CARD.fullmatch(rest))
    return button if takes_words or rest.casefold() in {"", "this", f"r-{subject}"} else None


@dataclass(frozen=True, slots=True)
class PageRef:
    """A page of a list, or an answer that is drawn anew: of which kind, from which row, of which question.

    The question is text from outside, checked by whoever reads it.
    """

    kind: str
    offset: int = 0
    question: str = ""

    def __str__(self) -> str:
        return f"page.{self.kind}.{self.offset}.{self.question}"


@dataclass(frozen=True, slots=True)
class CardRef:
    """One thing with a state: its id, and the version that was drawn, which is compared at the click.

    ``answer`` is the answer that the button stands on, drawn anew after the click; a card has none, since it
    changes by itself. ``channel`` is where a modal was asked for.
    """

    id: str
    version: int = 0
    answer: PageRef | None = None
    channel: str = ""

    def __str__(self) -> str:
        where = f".{self.channel}" if self.channel or self.answer else ""
        return f"card.{self.id}.{self.version}{where}" + (f".{self.answer}" if self.answer else "")


@dataclass(frozen=True, slots=True)
class GatewayRef:
    """One gateway, by its id, which is text from outside, and where the button was.

    ``drawn`` tells what a dialog began with from what is there when it is sent.
    """

    id: str
    drawn: int = 0
    channel: str = ""

    def __str__(self) -> str:
        return f"gateway.{self.channel}.{self.drawn}.{self.id}"


@dataclass(frozen=True, slots=True)
class PlanRef:
    """A plan of an update: its id once it is drawn, of which choices it is, and where it was asked for.

    ``file`` is the id of the firmware file, where a version means several; ``start`` is when it is to start,
    as ISO 8601 in UTC, where that was said, or ``IN_MAINTENANCE``.
    """

    id: str = ""
    channel: str = ""
    model: str = ""
    version: str = ""
    query: str = ""
    file: str = ""
    start: str = ""

    def __str__(self) -> str:
        chosen = (self.model, self.version, self.file, self.start, self.query)
        return f"plan.{self.id}.{self.channel}." + "\n".join(chosen)


@dataclass(frozen=True, slots=True)
class FreezeRef:
    """What somebody wants to freeze: the version, empty for everything, why, and where they asked.

    Where a freeze is to be ended, the reason is that of the one that was drawn.
    """

    version: str = ""
    reason: str = ""
    channel: str = ""

    @property
    def subject(self) -> str:
        return f"firmware {self.version}" if self.version else "everything"

    def __str__(self) -> str:
        return f"freeze.{self.channel}.{self.version}\n{self.reason}"


Ref = CardRef | GatewayRef | PageRef | PlanRef | FreezeRef

_ID = r"[A-Za-z0-9_-]{1,64}"
_PAGE = rf"page\.(?P<kind>{_ID})\.(?P<offset>\d{{1,9}})\.(?P<question>.{{0,1800}})"
_VALUE = re.compile(
    rf"(?P<page>{_PAGE})"
    rf"|card\.(?P<card>{_ID})\.(?P<drawn>\d{{1,18}})(?:\.(?P<asked_in>{_ID})?(?:\.(?P<answer>page\..+))?)?"
    rf"|gateway\.(?P<pressed_in>{_ID})?\.(?P<began>\d{{1,18}})\.(?P<gateway>.{{1,1800}})"
    rf"|(?P<plan>plan)\.(?P<id>{_ID})?\.(?P<channel>{_ID})?"
    r"\.(?P<model>[^\n]*)\n(?P<version>[^\n]*)\n(?P<file>[^\n]*)\n(?P<start>[^\n]*)\n(?P<query>.{0,1800})"
    rf"|(?P<freeze>freeze)\.(?P<frozen_in>{_ID})?\.(?P<frozen>\S*)\n(?P<reason>.{{0,1800}})",
    re.DOTALL,
)


_NUMBERED = {
    "rollout": "R",
    "incident": "A",
    "silence": "S",
    "maintenance": "M",
    "policy": "P",
}  # how people write the numbers of things


def about(action_id: str, ref: Ref) -> str:
    """What a button or modal points at, as the audit log calls it."""
    if isinstance(ref, FreezeRef):
        return ref.subject
    if isinstance(ref, PageRef):
        return ref.question if action_id in OF_A_SITE else ref.kind
    if not isinstance(ref, CardRef):
        return ref.id
    kind = action_id.partition("_")[0]
    if number(ref.id) is None:
        return ref.id
    letter = _NUMBERED.get(kind)
    return f"{letter}-{ref.id}" if letter else f"{kind} {ref.id}"


def number(text: str) -> int | None:
    """The number that an id from outside is; None when it is none, or larger than a database takes."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def decode(value: str) -> Ref:
    """The reference in a button's value. Raises InvalidInput when it is not one of ours."""
    match = _VALUE.fullmatch(value)
    if match is None:
        raise InvalidInput("I do not understand that button any more. Please run the command again.")
    found = match.groupdict(default="")
    if found["page"]:
        return PageRef(found["kind"], int(found["offset"]), found["question"])
    if found["plan"]:
        choices = (found[one] for one in ("id", "channel", "model", "version", "query", "file", "start"))
        return PlanRef(*choices)
    if found["freeze"]:
        return FreezeRef(found["frozen"], found["reason"], found["frozen_in"])
    if found["gateway"]:
        return GatewayRef(found["gateway"], int(found["began"]), found["pressed_in"])
    answer = decode(found["answer"]) if found["answer"] else None
    assert answer is None or isinstance(answer, PageRef), "the pattern takes nothing else"
    return CardRef(found["card"], int(found["drawn"]), answer, found["asked_in"])
