"""Times as people write them: durations (``1h30m``), moments (``mon 22:00``, in an IANA zone), months."""

import re
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from bot.domain.errors import InvalidInput

LONGEST = timedelta(days=3650)
FURTHEST = timedelta(days=30)  # of a start
WEEK = 7
_FORM = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_LAST = re.compile(
    r"\b(?:(?:for|over|in) )?(?:the )?(?:last|past) (?:(\d{1,4}) )?(hour|day|week)s?$",
    re.ASCII | re.IGNORECASE,
)
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
_NEAR_MONTH = re.compile(r"\b(?:(?:for|over|in) )?(?:the )?(last|this) month$", re.ASCII | re.IGNORECASE)
_PERIOD = re.compile(r"(?:\d+[wdhms])+", re.ASCII | re.IGNORECASE)


def parse_duration(text: str) -> timedelta:
    """Raises InvalidInput for what has no unit, is nothing, or is longer than ten years."""
    cleaned = "".join(text.split()).lower()
    match = _FORM.fullmatch(cleaned)
    if not cleaned or match is None:
        raise InvalidInput(f"“{text}” is not a duration: write it with a unit, such as 30m, 1h30m or 2d.")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    value = seconds + 60 * (minutes + 60 * (hours + 24 * (days + 7 * weeks)))
    if value > LONGEST.total_seconds():  # more than a timedelta holds, perhaps
        raise InvalidInput(f"“{text}” is too long: ten years are the most.")
    return timedelta(seconds=value)


def split_period(text: str, least: timedelta, most: timedelta, usage: str) -> tuple[str, timedelta | None]:
    """``tag:oslo 7d`` or ``tag:oslo last week``: the period at its end, and what is before it.

    Raises InvalidInput.
    """
    text = _LAST.sub(lambda found: f"{found[1] or 1}{found[2][0]}", text.strip())
    rest, _, last = text.rpartition(" ")
    if not _PERIOD.fullmatch(last):
        return text, None
    period = parse_duration(last)
    if not least <= period <= most:
        limits = f"{in_one_unit(least)} at least and {in_one_unit(most)} at most"
        raise InvalidInput(f"It goes back {limits}, not {last}. {usage}")
    return rest.strip(), period


def name_last_month(text: str, today: date) -> str:
    """``tag:oslo 2026-11`` for ``tag:oslo last month``, and the same of ``this month``."""

    def named(found: re.Match[str]) -> str:
        first = today.replace(day=1)
        return f"{first if found[1].lower() == 'this' else first - timedelta(days=1):%Y-%m}"

    return _NEAR_MONTH.sub(named, text.strip())


def split_month(text: str) -> tuple[str, str | None]:
    """``tag:oslo 2026-11``: the last word, where it is a month, and what is before it."""
    rest, _, last = text.strip().rpartition(" ")
    return (rest.strip(), last) if _MONTH.fullmatch(last) else (text.strip(), None)


def in_one_unit(length: timedelta) -> str:
    """``7d``, ``36h``, ``90m``: as ``parse_duration`` takes it."""
    seconds = int(length.total_seconds())
    units = (("d", 86_400), ("h", 3600), ("m", 60), ("s", 1))
    unit, size = next(one for one in units if not seconds % one[1])
    return f"{seconds // size}{unit}"


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
        return utc_of(first, time(0), zone), utc_of(month_after(first), time(0), zone)
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
