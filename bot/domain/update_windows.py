"""When gateways may be started: weekly windows and a start at a later time, in an IANA zone.

A window is written in local time, and local time is what counts on the two days of the year on which a clock
change makes a night an hour shorter or longer.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.domain.errors import InvalidInput
from bot.domain.written_times import parse_duration

STOP_BEFORE_END = timedelta(minutes=30)  # what is started later would still be flashing when the window ends
WEEK = 7
FURTHEST = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Window:
    """``Mo-Fr 22:00-05:00`` is five windows that begin on those days; one may end on the next day."""

    days: frozenset[int]  # 0 is Monday
    begins: time
    ends: time


_WINDOW = re.compile(r"(?:(?P<days>[A-Za-z,-]+) )?(?P<begins>\d\d:\d\d)-(?P<ends>\d\d:\d\d)")
_SHORT_DAYS = ("mo", "tu", "we", "th", "fr", "sa", "su")


def parse_window(text: str) -> Window:
    """``Mo-Fr 22:00-05:00``; the days may be a list, or be left out. Raises InvalidInput."""
    match = _WINDOW.fullmatch(" ".join(text.split()))
    if match is None:
        raise InvalidInput("a window is written like Mo-Fr 22:00-05:00")
    ends = "00:00" if match["ends"] == "24:00" else match["ends"]
    return Window(_window_days(match["days"] or "Mo-Su"), _window_time(match["begins"]), _window_time(ends))


def show_window(window: Window) -> str:
    """As it may be written."""
    return f"{_show_days(sorted(window.days))} {window.begins:%H:%M}-{window.ends:%H:%M}"


def _show_days(days: Sequence[int]) -> str:
    """``Mo-Fr`` of days that follow one another, else ``Mo,We``."""
    first, last = (_SHORT_DAYS[day].title() for day in (days[0], days[-1]))
    if len(days) > 2 and days[-1] - days[0] == len(days) - 1:
        return f"{first}-{last}"
    return ",".join(_SHORT_DAYS[day].title() for day in days)


def _window_days(text: str) -> frozenset[int]:
    days: set[int] = set()
    for item in filter(None, text.split(",")):
        first, _, last = item.partition("-")
        start, end = _window_day(first), _window_day(last or first)
        days.update((start + offset) % WEEK for offset in range((end - start) % WEEK + 1))
    return frozenset(days)


def _window_day(text: str) -> int:
    if text.lower() not in _SHORT_DAYS:
        raise InvalidInput("a day of a window is one of Mo, Tu, We, Th, Fr, Sa, Su")
    return _SHORT_DAYS.index(text.lower())


def _window_time(text: str) -> time:
    hour, minute = int(text[:2]), int(text[3:])
    if hour > 23 or minute > 59:
        raise InvalidInput("a time of a window is between 00:00 and 23:59, or 24:00 at its end")
    return time(hour, minute)


@dataclass(frozen=True, slots=True)
class MaintenanceOpening:
    """The opening of a maintenance window that is open or comes next, in which alone some update starts
    gateways; ``comes_again`` says that others may follow.
    """

    number: int
    begins: datetime
    ends: datetime
    comes_again: bool

    @property
    def title(self) -> str:
        return f"M-{self.number}"

    def has_time_left(self, now: datetime) -> bool:
        return now < _last_start(self.begins, self.ends)

    def blocker(self, now: datetime, zone: ZoneInfo) -> str | None:
        """Why no gateway is started now, in words; None while some may be."""
        if now >= self.begins:
            return None if self.has_time_left(now) else f"too little time is left in {self.title}"
        opens = self.begins.astimezone(zone)
        return f"{self.title} is not open; it opens {opens:%A %d %B %H:%M} ({zone.key})"


def may_start(window: Window | None, zone: ZoneInfo, now: datetime) -> bool:
    """Whether a gateway may be started now: inside a window, and not shortly before its end."""
    return window is None or any(begin <= now < last for begin, last in _around(window, zone, now))


def next_start(window: Window | None, zone: ZoneInfo, now: datetime) -> datetime:
    """The first moment from now on at which gateways may be started."""
    if window is None:
        return now
    return min(max(begin, now) for begin, last in _around(window, zone, now) if last > now)


def open_now(windows: Iterable[Window], zone: ZoneInfo, now: datetime) -> tuple[bool, datetime | None]:
    """Whether one of the windows is open now, and until when that stays so; None: always, or for ever."""
    for begin, end in _openings(windows, zone, now):
        if begin <= now < end:
            return True, end if end < now + timedelta(days=WEEK) else None
        if begin > now:
            return False, begin
    return False, None


def _around(window: Window, zone: ZoneInfo, now: datetime) -> list[tuple[datetime, datetime]]:
    """The windows near a moment, each up to the last moment at which something may be started."""
    return [(begin, _last_start(begin, end)) for begin, end in _openings([window], zone, now)]


def _openings(windows: Iterable[Window], zone: ZoneInfo, now: datetime) -> list[tuple[datetime, datetime]]:
    """From when until when some windows are open near a moment, in order.

    Windows that touch are one: nothing ends where the next begins.
    """
    today = now.astimezone(zone).date()
    days = [today + timedelta(days=shift) for shift in range(-1, 2 * WEEK + 2)]
    all_of = [
        opening_of(day, one.begins, one.ends, zone)
        for one in windows
        for day in days
        if day.weekday() in one.days
    ]
    near: list[tuple[datetime, datetime]] = []
    # One that a clock change leaves out is none: the next is a week later.
    for begin, end in sorted(opening for opening in all_of if opening is not None):
        if near and begin <= near[-1][1]:
            near[-1] = (near[-1][0], max(near[-1][1], end))
        else:
            near.append((begin, end))
    return near


def _last_start(begin: datetime, end: datetime) -> datetime:
    """A window of less than an hour is not eaten up by what is kept free at its end."""
    return end - min(STOP_BEFORE_END, (end - begin) / 2)


def opening_of(day: date, begins: time, ends: time, zone: ZoneInfo) -> tuple[datetime, datetime] | None:
    """The window that begins on this day, in UTC; None where a clock change leaves it out.

    One that does not end after it begins ends on the next day.
    """
    last = day if ends > begins else day + timedelta(days=1)
    begin, end = utc_of(day, begins, zone), _utc(last, ends, zone)
    return (begin, end) if begin < end else None


def utc_of(day: date, at: time, zone: ZoneInfo) -> datetime:
    """A local time in UTC. One that a clock change leaves out counts as if the clock had not changed."""
    return datetime.combine(day, at, zone).astimezone(UTC)


def _ahead(day: date, at: time, zone: ZoneInfo, now: datetime) -> datetime:
    """The same; of a time that a clock change repeats the second when the first has passed."""
    return next(
        (moment for fold in (0, 1) if (moment := utc_of(day, at.replace(fold=fold), zone)) > now), now
    )


def month_between(month: str, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """From when until when ``2026-11`` lasts. Raises InvalidInput for a month that is none."""
    try:
        first = date.fromisoformat(f"{month}-01")
        return utc_of(first, time(0), zone), _utc(month_after(first), time(0), zone)
    except (ValueError, OverflowError) as error:
        raise InvalidInput(f"There is no month “{month[:20]}”. Write it as 2026-11.") from error


def month_after(first: date) -> date:
    """The first day of the next month."""
    return (first + timedelta(days=31)).replace(day=1)


def later(now: datetime, by: timedelta, zone: ZoneInfo) -> datetime:
    """The same local time so many days later, though a week with a clock change has 169 hours."""
    return max(now + by, (now.astimezone(zone) + by).astimezone(UTC))


def parse_start(text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment that somebody names, in the future.

    ``22:00``, ``24:00``, ``10pm``, ``2026-12-01``, ``2026-12-01 22:00``, ``tomorrow 06:00``, ``mon 22:00``,
    ``tonight``, ``in 2h``. A bare time is its next occurrence, a bare date its midnight. Raises InvalidInput.
    """
    said = " ".join(text.split())
    if said[:3].lower() == "in ":
        moment: datetime = now + parse_duration(said[3:])
        return checked_start(moment, said, zone, now)
    today = now.astimezone(zone).date()
    day, at, step = read_local(said, today)
    try:
        moment = _ahead(day, at, zone, now)
    except OverflowError as error:  # of year 1 or 9999, which another zone does not have
        raise no_such_time(text) from error
    if step is not None:
        return moment if moment > now else utc_of(day + step, at, zone)
    return checked_start(moment, said, zone, now)


def read_local(text: str, today: date) -> tuple[date, time, timedelta | None]:
    """The day and the time that somebody names, and how much later the next are that are called so: a day of
    a bare time, a week of a weekday, nothing of a date. Raises InvalidInput.
    """
    match = _MOMENT.fullmatch(text)
    if match is None or not any(match.groups()):
        raise InvalidInput(f"I do not know the time “{text[:40]}”. Write {_HOW}.")
    try:
        day, at = _day(match, today), _time(match)
        if day and match["hour"] == "24":  # the end of that day
            day += timedelta(days=1)
    except (ValueError, OverflowError) as error:
        raise no_such_time(text) from error
    if day is None:
        return today, at, timedelta(days=1)
    return day, at, timedelta(days=WEEK) if match["weekday"] else None


def no_such_time(text: str) -> InvalidInput:
    """Why a time that has the right form is refused."""
    return InvalidInput(f"There is no such time as “{text[:40]}”. Write {_HOW}.")


def begins_with_a_moment(text: str) -> bool:
    """Whether it starts like a moment in words, which needs no "at" before it."""
    return _IN_WORDS.match(text) is not None


_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
WEEKDAY = "|".join(f"{day}(?:day|s|sday|nesday|rs|rsday|urday)?" for day in _DAYS)
_IN_WORDS = re.compile(rf"(?:in|today|tonight|tomorrow|(?:next )?(?:{WEEKDAY}))\b", re.IGNORECASE)
_MOMENT = re.compile(
    r"(?:(?P<year>\d{4})-(?P<month>\d{1,2})-(?P<day>\d{1,2})"
    rf"|(?P<near>today|tonight|tomorrow)|(?:next )?(?P<weekday>{WEEKDAY}))?"
    r"(?:(?:^|[T ]|(?<=\d) ?)(?:at )?(?P<hour>\d{1,2})(?::(?P<minute>\d{2}))?(?P<half> ?[ap]m)?)?",
    re.ASCII | re.IGNORECASE,
)
_TONIGHT = time(22)
_HOW = "22:00, tomorrow 06:00, mon 22:00, in 2h, 2026-12-01 or 2026-12-01 22:00"


def _day(match: re.Match[str], today: date) -> date | None:
    if match["year"]:
        return date(int(match["year"]), int(match["month"]), int(match["day"]))
    if match["weekday"]:
        return today + timedelta(days=(_DAYS.index(match["weekday"][:3].lower()) - today.weekday()) % WEEK)
    if match["near"]:
        return today + timedelta(days=match["near"].lower() == "tomorrow")
    return None


def _time(match: re.Match[str]) -> time:
    """Raises ValueError for an hour that is neither written with its minutes nor as am or pm."""
    if not match["hour"]:
        return _TONIGHT if (match["near"] or "").lower() == "tonight" else time(0)
    hour, half = int(match["hour"]), (match["half"] or "").strip().lower()
    if (hour, match["minute"], half) == (24, "00", ""):
        return time(0)
    if (half and not 1 <= hour <= 12) or (not half and not match["minute"]):
        raise ValueError(hour)
    return time(hour % 12 + 12 * (half == "pm") if half else hour, int(match["minute"] or 0))


def checked_start(moment: datetime, text: str, zone: ZoneInfo, now: datetime) -> datetime:
    """The moment that was written as ``text``. Raises InvalidInput for one that has passed or is too far."""
    if moment <= now:
        raise InvalidInput(f"{text[:40]} has passed. Give a time to come, or leave it out to start at once.")
    if moment > later(now, FURTHEST, zone):
        raise InvalidInput(f"{text[:40]} is too far away: {FURTHEST.days} days from now at most.")
    return moment
