"""What can go wrong between the bot and Meshtech, as a person reads it.

    BotError
    └── MeshtechError            anything below; each is also a child of one of the domain's own errors
        ├── VendorUnavailable    (Unavailable)   no answer, or a 5xx; another try may help
        │   └── LogInUnreachable                 the same of the log-in
        ├── LogInRefused         (Unavailable)   user name, password or token are not accepted
        ├── RateLimited          (Unavailable)   asked to slow down; nothing was done
        ├── OutcomeUnknown       (Unavailable)   a job may exist or not: search before repeating it
        ├── ListingBroken        (Unavailable)   the pages do not add up to a list; begin anew
        ├── AnswerUnreadable     (Unavailable)   an answer that is not what was agreed on
        ├── RouteMissing         (Unavailable)   the portal has no such operation: a setting can name another
        ├── VendorRefused        (InvalidInput)  Meshtech says no, in its own words
        ├── DeviceUnknown        (NotFound)      no such gateway
        ├── JobUnknown           (NotFound)      no such job
        └── Conflict             (Stale)         it exists already, or is in a state that forbids this

No text, and no exception chained to one, holds the password or a token.
"""

from datetime import datetime, timedelta

from bot.domain.errors import BotError, InvalidInput, NotFound, Stale, Unavailable


class MeshtechError(BotError):
    """Anything that went wrong while talking to Meshtech."""


class VendorUnavailable(MeshtechError, Unavailable):
    """Meshtech did not answer, or answered that it cannot."""

    def __init__(self, text: str, *, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class LogInUnreachable(VendorUnavailable):
    """The log-in did not answer. Until ``next_try`` nobody asks it again."""

    def __init__(self, text: str, next_try: datetime | None = None) -> None:
        super().__init__(text)
        self.next_try = next_try


class LogInRefused(MeshtechError, Unavailable):
    """The service account is not let in. Until ``next_try`` nobody asks again."""

    def __init__(self, text: str, next_try: datetime | None = None) -> None:
        super().__init__(text)
        self.next_try = next_try


class RateLimited(MeshtechError, Unavailable):
    """Too many requests. The request was not carried out; ``retry_after`` is Meshtech's own wish."""

    def __init__(self, text: str, retry_after: timedelta | None = None) -> None:
        super().__init__(text)
        self.retry_after = retry_after


class OutcomeUnknown(MeshtechError, Unavailable):
    """A request that must not be repeated was sent and its answer was lost."""


class ListingBroken(MeshtechError, Unavailable):
    """A listing ended before its last page; what came so far says nothing about what is missing."""


class AnswerUnreadable(MeshtechError, Unavailable):
    """The answer is not JSON, or not of the agreed form."""


class RouteMissing(MeshtechError, Unavailable):
    """The portal does not have the operation where the settings say it is."""


class VendorRefused(MeshtechError, InvalidInput):
    """Meshtech understood and said no. ``said`` is its own message, shortened, in one line."""

    def __init__(self, text: str, *, status: int, said: str = "") -> None:
        super().__init__(text)
        self.status = status
        self.said = said


class DeviceUnknown(MeshtechError, NotFound):
    """Meshtech has no gateway of that id."""


class JobUnknown(MeshtechError, NotFound):
    """Meshtech has no job of that id."""


class Conflict(MeshtechError, Stale):
    """The thing exists already, or is in a state that forbids the request."""
