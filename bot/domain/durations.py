"""Durations as people write and read them: ``30m``, ``1h30m``, ``2d``."""

import re
from datetime import timedelta

from bot.domain.errors import InvalidInput

LONGEST = timedelta(days=3650)
_FORM = re.compile(r"(?:(\d{1,9})w)?(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?", re.ASCII)


def parse_duration(text: str) -> timedelta:
    """Raises InvalidInput for what has no unit, is nothing, or is longer than ten years."""
    cleaned = "".join(text.split()).lower()
    match = _FORM.fullmatch(cleaned)
    if not cleaned or match is None:
        raise InvalidInput(f"“{text}” is not a duration: write it with a unit, such as 30m, 1h30m or 2d.")
    weeks, days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    value = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if value > LONGEST:
        raise InvalidInput(f"“{text}” is too long: ten years are the most.")
    return value


def duration_text(value: timedelta) -> str:
    """The two largest units that are not zero: ``2d3h``, ``45s``; what is below a second is ``0s``."""
    seconds = int(abs(value).total_seconds())
    parts = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number:
            parts.append(f"{number}{unit}")
    return "".join(parts[:2]) or "0s"
