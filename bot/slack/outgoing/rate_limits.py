"""How fast Slack may be called: tokens for each channel, edits for all, and what a 429 asked for.

Pure arithmetic over the time it is given. Slack's rules: a message a second for a channel, short bursts
allowed; some workspaces take less, and say so with 429 (docs.slack.dev/apis/web-api/rate-limits).
"""

from collections import deque
from datetime import datetime, timedelta
from typing import Final

MESSAGE_EVERY: Final = timedelta(seconds=1)
BURST: Final = 3
EDITS_A_MINUTE: Final = 40
CARDS_AT_FULL_PACE: Final = 10
_MINUTE = timedelta(minutes=1)
_SLOW_EVERY: Final = timedelta(milliseconds=1010)
_SLOW_FOR: Final = timedelta(minutes=10)
_PATIENCE: Final = timedelta(seconds=5)
_AHEAD: Final = timedelta(seconds=1)
_REMEMBERED: Final = 5000


class NotYet(Exception):
    """Nothing may be posted for longer than one waits with a card in one's hands."""

    def __init__(self, wait: timedelta) -> None:
        super().__init__(f"no message is taken for {wait}")
        self.wait = wait


class Posts:
    """When the next message may be posted, and where. After a 429: one at a time, everywhere."""

    def __init__(self) -> None:
        self._due: dict[str, datetime] = {}  # the moment until which a channel's messages are paid for
        self._paused: dict[str, datetime] = {}
        self._slow_until: datetime | None = None
        self._next_of_all: datetime | None = None
        self._sent_at: datetime | None = None

    def full_channels(self, now: datetime) -> frozenset[str]:
        """The channels that take nothing now."""
        # What is further ahead than can be was set by a clock that was set back since.
        self._due = {channel: due for channel, due in self._due.items() if now < due < now + _MINUTE}
        self._paused = {channel: until for channel, until in self._paused.items() if until > now}
        full = {channel for channel, due in self._due.items() if due - now > (BURST - 1) * MESSAGE_EVERY}
        return frozenset(full | self._paused.keys())

    def wait(self, now: datetime) -> timedelta:
        """How long nothing may be posted anywhere."""
        if self._next_of_all is None or not self._is_slow(now):
            return timedelta(0)
        return max(timedelta(0), self._next_of_all - now)

    def pause(self, now: datetime) -> timedelta:
        """How long it is too early to take a message in hand: what is drawn just before is out on time."""
        return max(timedelta(0), self.wait(now) - _AHEAD)

    def take(self, channel: str, now: datetime) -> timedelta:
        """Reserves the next message of a channel; tells how long to wait before sending it, or NotYet."""
        wait = self.wait(now)
        if wait > _PATIENCE:
            raise NotYet(wait)
        if self._is_slow(now):
            self._next_of_all = now + wait + _SLOW_EVERY
        else:
            over = self._due.get(channel, now) - now - (BURST - 1) * MESSAGE_EVERY
            wait = max(wait, over)
        self._due[channel] = max(self._due.get(channel, now), now) + MESSAGE_EVERY
        return wait

    def too_soon(self, now: datetime) -> timedelta:
        """How long to wait after all: the message before was sent late, and Slack counts from that."""
        if self._sent_at is None or not self._is_slow(now) or now < self._sent_at:
            return timedelta(0)
        return max(timedelta(0), self._sent_at + _SLOW_EVERY - now)

    def sent(self, now: datetime) -> None:
        """A message goes out."""
        self._sent_at = now

    def refused(self, channel: str, now: datetime, retry_after: timedelta) -> None:
        """A 429: the channel waits as long as Slack said, and all others go slowly from now on."""
        self._paused[channel] = now + retry_after
        self._slow_until = now + _SLOW_FOR
        self._next_of_all = max(self._next_of_all or now, now + retry_after)

    def _is_slow(self, now: datetime) -> bool:
        return self._slow_until is not None and now < self._slow_until


class Edits:
    """When a card may be edited again. What a person clicked on waits for a 429 only."""

    def __init__(self, every: timedelta) -> None:
        self._every = every
        self._recent: deque[datetime] = deque()
        self._paused_until: datetime | None = None

    def every(self, live_cards: int) -> timedelta:
        """The time between two edits of a card: longer the more cards are live, so that the sum stays."""
        return self._every * max(1.0, live_cards / CARDS_AT_FULL_PACE)

    def may(self, now: datetime) -> bool:
        while self._recent and not timedelta() <= now - self._recent[0] < _MINUTE:
            self._recent.popleft()
        return self.may_urgently(now) and len(self._recent) < EDITS_A_MINUTE

    def may_urgently(self, now: datetime) -> bool:
        return self._paused_until is None or now >= self._paused_until

    def take(self, now: datetime) -> None:
        self._recent.append(now)

    def refused(self, now: datetime, retry_after: timedelta) -> None:
        self._paused_until = now + retry_after


class Retries:
    """How long each item that failed waits before its next try: longer each time, then every five minutes."""

    _STEPS: Final = (1, 2, 4, 10, 30, 60, 120, 300)

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def failed(self, key: str) -> timedelta:
        number = self._failures.pop(key, 0)
        self._failures[key] = number + 1
        if len(self._failures) > _REMEMBERED:  # another replica showed them, or nobody ever will
            del self._failures[next(iter(self._failures))]
        return timedelta(seconds=self._STEPS[min(number, len(self._STEPS) - 1)])

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)
