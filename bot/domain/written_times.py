"""Durations as people write them: ``30m``, ``1h30m``, ``2d``."""

import re
from datetime import timedelta

from bot.domain.errors import InvalidInput

LONGEST = timedelta(days=3650)
_FORM = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)
_LAST = re.compile(
    r"\b(?:(?:for|over|in) )?(?:the )?(?:last|past) (?:(\d{1,4}) )?(hour|day|week)s?$",
    re.ASCII | re.IGNORECASE,
)
_MONTH = re.compile(r"\d{4}-\d{2}", re.ASCII)
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
