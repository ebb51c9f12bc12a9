"""What can go wrong, as a person reads it.

    BotError
    ├── InvalidInput      what was typed cannot be understood or done; the text says what would be right
    │   ├── Unconfirmed   it is about many gateways, or none: whoever asked has to say yes first
    │   └── Mistaken      rows of a file that cannot be taken; the text says why by line and column
    ├── NotFound          no gateway, rollout, job or incident answers to that name
    ├── NotAllowed        the role is missing; the text names it and who has it
    ├── AlreadyDone       the click repeats one's own: it was done the first time
    ├── Stale             somebody, or the fleet, was faster than this click
    ├── Unavailable       Meshtech, Slack or the database cannot answer now; trying again later may help
    │   └── RoleUnknown   Slack cannot say whether the role is there
    └── StartupError      a setting, a port or the database keeps the bot from starting

Each text is one or two whole sentences for a person and says what to do next. It is plain text: whoever
shows it in Slack escapes it. The vendor adapter adds its own children in ``bot/meshtech/errors.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class BotError(Exception):
    """Anything a person may read. ``str(error)`` is the sentence."""


class InvalidInput(BotError):
    """What was typed cannot be understood, or cannot be done to what it names."""


class Unconfirmed(InvalidInput):
    """It covers much, or nothing: whoever asked has to say yes to ``covered`` gateways of ``fleet``."""

    def __init__(self, covered: int, fleet: int) -> None:
        self.covered, self.fleet = covered, fleet
        super().__init__(f"That covers {covered:,} of {fleet:,} gateways now. Please confirm it.")


@dataclass(frozen=True, slots=True)
class Mistake:
    """What is wrong in a row of a file: in which line, under which column, and why."""

    line: int
    column: str
    why: str


class Mistaken(InvalidInput):
    """All that is wrong with the rows of a file; the text names the first few."""

    SHOWN = 5

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        self.mistakes = mistakes
        said = [f"Line {one.line}, {one.column}: {one.why}" for one in mistakes[: self.SHOWN]]
        more = len(mistakes) - len(said)
        super().__init__("\n".join([*said, *([f"… and {more} more."] if more else [])]))


class NotFound(BotError):
    """Nothing answers to the name or id that was given."""


class NotAllowed(BotError):
    """The actor lacks the role. The text names the role and who has it."""


class Stale(BotError):
    """The thing changed since it was drawn; the text says what it is now."""


class AlreadyDone(BotError):
    """This person did it a moment ago; the text says so, and nothing is wrong."""


class Unavailable(BotError):
    """Something outside cannot answer now. Nothing was changed, unless the text says so."""


class RoleUnknown(Unavailable):
    """Slack cannot say whether the actor has the role, which is refused until it can."""


class StartupError(BotError):
    """The bot cannot start; the text names the setting to mend."""
