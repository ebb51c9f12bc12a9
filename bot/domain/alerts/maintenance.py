"""Maintenance windows: planned work on some gateways, once or again and again; meanwhile alerts are held.

A window is written in the local time of a zone, and local time is what counts at a clock change. Which days
follow which is the recurrence library's; here is what a person may write, what skips and ends do, and which
opening comes next.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import NewType
from zoneinfo import ZoneInfo

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, rrule
from dateutil.rrule import weekday as on_weekday

from bot.domain.alerts.silences import BECAUSE, LONGEST_TEXT
from bot.domain.audit import BOT
from bot.domain.errors import InvalidInput, Stale
from bot.domain.query import FARING, Query
from bot.domain.subscriptions import parse_zone
from bot.domain.times.update_windows import opening_of
from bot.domain.times.written_times import WEEK, WEEKDAY, no_such_time, read_local, utc_of

MaintenanceId = NewType("MaintenanceId", int)

FURTHEST = timedelta(days=366)  # the first opening from now
LAST_DAY_OF_ALL = 28  # every month has it
_TRIES = 3  # days of a name: the first may be over, the second left out by a clock change
USAGE = "Write it as /mesh maintenance tag:oslo sat 02:00-04:00 weekly because the mast is being painted."


class Every(StrEnum):
    """How often a window opens."""

    ONCE = "once"
    WEEK = "week"
    MONTH = "month"  # on the same day; where a month has no such day, on its last
    MONTH_BY_WEEKDAY = "month_by_weekday"  # on its second Saturday, say; a fifth is the last


class Change(StrEnum):
    """What a person did to a window last: that is what Undo takes back."""

    PLANNED = "planned"
    SKIPPED = "skipped"
    ENDED = "ended"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class Opening:
    """From when until when a window is open."""

    begins: datetime
    ends: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """When a window opens: ``first`` is local, without a zone. ``until`` is the last day on which it may
    begin, ``skipped`` are days on which it does not.
    """

    zone: str
    first: datetime
    ends: time
    every: Every = Every.ONCE
    until: date | None = None
    skipped: tuple[date, ...] = ()

    def openings(self, after: datetime) -> Iterator[Opening]:
        """Those that end after this moment, in order."""
        zone = ZoneInfo(self.zone)
        near = after.astimezone(zone).replace(tzinfo=None) - timedelta(days=2)
        for begin in self._rule().xafter(near, inc=True):
            if begin.date() in self.skipped:
                continue
            opening = opening_of(begin.date(), begin.time(), self.ends, zone)
            if opening is not None and opening[1] > after:
                yield Opening(*opening)

    def next_opening(self, after: datetime) -> Opening | None:
        return next(self.openings(after), None)

    def day_of(self, opening: Opening) -> date:
        """The day for which an opening is written: a clock change may have it begin on the next."""
        zone = ZoneInfo(self.zone)
        day = opening.begins.astimezone(zone).date()
        before = day - timedelta(days=1)
        return before if utc_of(before, self.first.time(), zone) == opening.begins else day

    @property
    def nth(self) -> int:
        """Which of its weekdays in the month the first day is; -1 is the last."""
        number = (self.first.day - 1) // WEEK + 1
        return number if number * WEEK <= LAST_DAY_OF_ALL else -1

    def _rule(self) -> rrule:
        first = self.first
        last = None if self.until is None else datetime.combine(self.until, time.max)
        match self.every:
            case Every.ONCE:
                return rrule(DAILY, dtstart=first, count=1)
            case Every.WEEK:
                return rrule(WEEKLY, dtstart=first, until=last)
            case Every.MONTH:
                days = range(min(first.day, LAST_DAY_OF_ALL), first.day + 1)
                return rrule(MONTHLY, dtstart=first, until=last, bymonthday=days, bysetpos=-1)
            case Every.MONTH_BY_WEEKDAY:
                day = on_weekday(first.weekday(), self.nth)
                return rrule(MONTHLY, dtstart=first, until=last, byweekday=day)


@dataclass(frozen=True, slots=True)
class MaintenanceRequest:
    """What somebody wants to plan."""

    query: str
    schedule: Schedule
    reason: str


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A window as it stands.

    ``opening`` is the one that is open or comes next, None once there is none; ``is_open`` says that it was
    told of as open. ``version`` rises with each change, ``decided`` with each of a person's. ``announced``
    is the moment before the opening for which it was announced last. ``limits`` are queries: its author may
    hold only what matches one of them.
    """

    id: MaintenanceId
    query: str
    limits: tuple[str, ...]
    by: str
    by_name: str
    reason: str
    created_at: datetime
    schedule: Schedule
    opening: Opening | None
    is_open: bool = False
    announced: datetime | None = None
    version: int = 1
    decided: int = 1
    last: Change = Change.PLANNED
    ended_by: str | None = None  # who, or the bot when its last opening was over
    ended_at: datetime | None = None

    @property
    def title(self) -> str:
        return f"M-{self.id}"

    def holds(self, now: datetime) -> bool:
        """Whether it holds alerts. Once it is open, or is to close, it does until it is closed: nothing slips
        between, and a clock that is set back opens nothing twice.
        """
        return self.opening is not None and (self.is_open or self.opening.begins <= now)

    @property
    def is_over(self) -> bool:
        return self.ended_by is not None

    @property
    def never_opened(self) -> bool:
        """Whether it ended before its first opening."""
        first = replace(self.schedule, skipped=()).next_opening(self.created_at)
        return self.ended_at is not None and (first is None or self.ended_at <= first.begins)

    @property
    def is_closing(self) -> bool:
        """Whether somebody closed it while it was open: the next poll tells what is down, and closes it."""
        if self.opening is None:
            return False
        return self.is_over or self.schedule.day_of(self.opening) in self.schedule.skipped

    @property
    def coming(self) -> Opening | None:
        """The opening that stays open or comes next; None where no opening follows."""
        if self.opening is None or not self.is_closing:
            return self.opening
        return None if self.is_over else self.schedule.next_opening(self.opening.ends)


@dataclass(frozen=True, slots=True)
class MaintenanceDown:
    """How many of an open window's gateways are offline now, with the labels of the first."""

    window: Maintenance
    down: int
    first: tuple[str, ...]


def openings_between(window: Maintenance, begins: datetime, ends: datetime) -> Iterator[Opening]:
    """When it was open between two moments: not before it was planned, nor after it ended.

    Of an opening that was skipped while it was open, nothing is known any more.
    """
    begins = max(begins, window.created_at)
    ends = min(ends, window.ended_at or ends)
    for opening in window.schedule.openings(begins):
        if opening.begins >= ends:
            return
        yield Opening(max(opening.begins, begins), min(opening.ends, ends))


# ---- what happens to one
def opened(window: Maintenance) -> Maintenance:
    return replace(window, is_open=True)


def closed(window: Maintenance, now: datetime) -> Maintenance:
    """Its opening is over; the next one is the next to end after now, so that none is made up for."""
    coming = None if window.is_over else window.schedule.next_opening(now)
    after = replace(window, opening=coming, is_open=False, announced=None)
    return after if coming or window.is_over else replace(after, ended_by=BOT, ended_at=now)


def skip(window: Maintenance, begins: datetime | None, now: datetime) -> Maintenance:
    """Without its next opening, or without the rest of the one that is open.

    ``begins``: the opening that the button was drawn with. Raises Stale when that is another one by now.
    """
    opening = _standing(window)
    if window.is_closing or (begins is not None and begins != opening.begins):
        raise Stale(
            f"That opening of {window.title} is over or skipped already. Its card shows the next one."
        )
    schedule = window.schedule
    schedule = replace(schedule, skipped=(*schedule.skipped, schedule.day_of(opening)))
    return _decided(replace(window, schedule=schedule), Change.SKIPPED, now)


def end(window: Maintenance, by: str, now: datetime) -> Maintenance:
    """No opening follows, and one that is open closes. Raises Stale when it has ended."""
    _standing(window)
    return _decided(replace(window, ended_by=by, ended_at=now), Change.ENDED, now)


def undo(window: Maintenance, decided: int, by: str, now: datetime) -> Maintenance:
    """Without the last thing that a person did to it. Raises Stale when something was done since."""
    if decided != window.decided or window.last is Change.UNDONE:
        raise Stale(f"Somebody changed {window.title} since then, so there is nothing to undo here.")
    match window.last:
        case Change.SKIPPED:
            schedule = replace(window.schedule, skipped=window.schedule.skipped[:-1])
            before = replace(window, schedule=schedule, ended_by=None, ended_at=None)
        case Change.ENDED:
            before = replace(window, ended_by=None, ended_at=None)
        case _:
            before = replace(window, ended_by=by, ended_at=now)
    return _decided(before, Change.UNDONE, now)


def _standing(window: Maintenance) -> Opening:
    if window.is_over or window.opening is None:
        raise Stale(f"{window.title} is over. /mesh windows lists those that are planned.")
    return window.opening


def _decided(window: Maintenance, what: Change, now: datetime) -> Maintenance:
    """After a person's change. What is open and is to be no more closes now: what is down then is told of."""
    before = window.opening
    coming = None if window.is_over else window.schedule.next_opening(now)
    same = coming is not None and before is not None and coming.begins == before.begins
    if before is not None and before.begins <= now and not same:
        coming, same = Opening(before.begins, min(before.ends, now)), True
    elif coming is None and not window.is_over:
        window = replace(window, ended_by=BOT, ended_at=now)
    return replace(
        window,
        opening=coming,
        is_open=window.is_open and same,
        announced=window.announced if same else None,
        decided=window.decided + 1,
        last=what,
    )


def announcement_due(opening: Opening, before: Sequence[timedelta], now: datetime) -> datetime | None:
    """The last moment before an opening at which it was to be announced; None before the first of them."""
    due = [moment for length in before if (moment := opening.begins - length) <= now]
    return max(due, default=None)


# ---- what a person may write
_DAY = rf"today|tonight|tomorrow|(?:next )?(?:{WEEKDAY})|\d{{4}}-\d{{1,2}}-\d{{1,2}}"
_FILLER = "(?:on|at|from)"
_TIME = r"\d{1,2}(?::\d{2})?(?: ?[ap]m)?"
_OPTION = r"weekly|monthly|every (?:week|month)|until \S+|in \S+"
_ASKED = re.compile(
    rf"(?P<query>.+?) (?:(?:{_FILLER}|(?P<weekly>every)(?= (?:{WEEKDAY}))) )?"
    rf"(?:(?P<day>{_DAY})(?: {_FILLER})? )?(?P<begins>{_TIME}) ?(?:-|–|—|to) ?(?P<ends>{_TIME})"
    rf"(?P<options>(?: (?:{_OPTION}))*)",
    re.ASCII | re.IGNORECASE,
)
_IS_A_DAY = re.compile(rf"{_DAY}|{_FILLER}|every", re.ASCII | re.IGNORECASE)
_IS_AN_OPTION = re.compile(_OPTION, re.IGNORECASE)


def parse_maintenance(text: str, zone: str, now: datetime) -> MaintenanceRequest:
    """``<query> <day> <HH:MM>-<HH:MM> [weekly|monthly] [until <date>] [in <zone>] because <reason>``.

    Raises InvalidInput.
    """
    if len(text) > LONGEST_TEXT:
        raise InvalidInput(f"That has {len(text)} characters; a window takes {LONGEST_TEXT} at most.")
    asked, *reason = BECAUSE.split(text.strip(), maxsplit=1)
    match = _ASKED.fullmatch(" ".join(asked.split()))
    if match is None:
        raise InvalidInput(f"A maintenance window needs gateways, a day, and from when until when. {USAGE}")
    if _IS_A_DAY.fullmatch(match["query"]):
        raise InvalidInput(f"A maintenance window needs gateways before its day. {USAGE}")
    if not reason:
        raise InvalidInput("A maintenance window needs a reason, for those who wonder: add “because …”.")
    options = _options(match["options"])
    schedule = _schedule(match, options, parse_zone(options["in"]) if "in" in options else zone, now)
    return MaintenanceRequest(match["query"], schedule, reason[0])


def check_names_gateways(query: Query) -> None:
    """Raises InvalidInput where it says how gateways fare: nobody knows that of the time when it opens."""
    faring = next((term for term in query.single_terms if term.field in FARING), None)
    if faring is not None:
        raise InvalidInput(
            f"{faring.text}: a maintenance window opens later, and how a gateway fares then is not known. "
            "Say which gateways they are, such as tag:oslo, site:oslo or model:2011."
        )


def parse_number(text: str) -> MaintenanceId:
    """``M-3`` or ``3``. Raises InvalidInput."""
    match = re.fullmatch(r"(?:m-?)?(\d{1,15})", text.strip(), re.IGNORECASE | re.ASCII)
    if match is None:
        raise InvalidInput("Name the window by its number, such as M-3; /mesh windows lists them.")
    return MaintenanceId(int(match[1]))


def _options(text: str) -> dict[str, str]:
    """By its first word, what stands behind it."""
    options: dict[str, str] = {}
    for match in _IS_AN_OPTION.finditer(text):
        word, _, rest = match[0].partition(" ")
        word = word.lower()
        if word == "every":
            word, rest = f"{rest.lower()}ly", ""
        if word in options or {"weekly", "monthly"} <= {word, *options}:
            raise InvalidInput(f"A maintenance window is weekly or monthly, and has one end. {USAGE}")
        options[word] = rest
    return options


def _schedule(match: re.Match[str], options: dict[str, str], zone: str, now: datetime) -> Schedule:
    """It opens first on the day that was said, or where that is over on the next that is called so."""
    today = now.astimezone(ZoneInfo(zone)).date()
    begins, ends = (read_local(match[end], today)[1] for end in ("begins", "ends"))
    if begins == ends:
        raise InvalidInput("A maintenance window is shorter than a day: choose another end.")
    said = " ".join(filter(None, [match["day"], match["begins"]]))
    day, _, step = read_local(said, today)
    for _ in range(_TRIES):
        try:
            opening = opening_of(day, begins, ends, ZoneInfo(zone))
        except OverflowError as error:  # near the first day of all, or the last
            raise no_such_time(said) from error
        if step is None or (opening is not None and opening[1] > now):
            break
        day += step
    if opening is None or opening[1] <= now:
        raise InvalidInput("That window would be over before it begins. Please choose a later day.")
    if opening[0] > now + FURTHEST:
        raise InvalidInput(f"That is too far away: {FURTHEST.days} days from now at most.")
    if match["weekly"] and "monthly" not in options:
        options["weekly"] = ""
    every = _every(options, by_weekday=bool(match["day"]) and step is not None)
    return Schedule(zone, datetime.combine(day, begins), ends, every, _until(options, every, day, today))


def _every(options: dict[str, str], *, by_weekday: bool) -> Every:
    if "weekly" in options:
        return Every.WEEK
    if "monthly" in options:
        return Every.MONTH_BY_WEEKDAY if by_weekday else Every.MONTH
    return Every.ONCE


def _until(options: dict[str, str], every: Every, first: date, today: date) -> date | None:
    if "until" not in options:
        return None
    if every is Every.ONCE:
        raise InvalidInput("Only a weekly or monthly window goes on until a day: add “weekly” or “monthly”.")
    last, _, _ = read_local(options["until"], today)
    if last < first:
        raise InvalidInput("That window would be over before it begins. Please choose a later last day.")
    return last
