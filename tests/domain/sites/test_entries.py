"""What an entry of the site book may say, and when one gets in."""

from datetime import UTC, datetime

import pytest

from bot.domain.errors import InvalidInput
from bot.domain.sites.entries import LONGEST, SiteField, access, called, checked

OSLO = "Europe/Oslo"
MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("Mo-Fr 07:00-16:00", "Mo-Fr 07:00-16:00 in Europe/Oslo"),
        ("mo,we 07:00-16:00,  sa 09:00-12:00 in utc", "Mo,We 07:00-16:00, Sa 09:00-12:00 in UTC"),
        ("Mon-Friday 7:00-16:00", "Mo-Fr 07:00-16:00 in Europe/Oslo"),
        ("00:00-24:00", "Mo-Su 00:00-00:00 in Europe/Oslo"),
        ("-", ""),
        ("  ", ""),
    ],
)
def test_hours_are_kept_with_their_zone_and_read_back_as_they_are(text: str, kept: str) -> None:
    assert checked(SiteField.HOURS, text, OSLO) == kept
    assert checked(SiteField.HOURS, kept, "UTC") == kept


@pytest.mark.parametrize(
    "text",
    [
        "always",
        "Mo-Fr 7-16",
        "Xx 07:00-16:00",
        "Moon 07:00-16:00",
        "Mo 25:00-26:00",
        "Mo 07:00-16:00 in Atlantis",
    ],
)
def test_hours_that_cannot_be_read_say_how_to_write_them(text: str) -> None:
    with pytest.raises(InvalidInput, match="Write Mo-Fr 07:00-16:00, Sa 09:00-12:00 in Europe/Oslo"):
        checked(SiteField.HOURS, text, OSLO)


@pytest.mark.parametrize(
    "link", ["https://wiki.example.com/{site}", "https://maps.example.com:8443/?q={site}&g={gateway}#a"]
)
def test_a_link_is_kept_as_it_is(link: str) -> None:
    assert checked(SiteField.MAP, link, OSLO) == link


@pytest.mark.parametrize(
    "link",
    [
        "http://wiki.example.com/",
        "javascript:alert(1)",
        "https://",
        "https://{site}.example.com/",
        "https://ana:secret@wiki.example.com/",
        "https://wiki.example.com/{password}",
        "https://wiki.example.com/a|b",
        "https://wiki.example.com:99999/",
        "https://wiki.example.com/ and more",
        "wiki",
    ],
)
def test_a_link_that_may_lead_astray_is_refused(link: str) -> None:
    with pytest.raises(InvalidInput):
        checked(SiteField.RUNBOOK, link, OSLO)


def test_a_text_is_one_line_of_bounded_length() -> None:
    assert checked(SiteField.NOTE, " key at\n the reception ", OSLO) == "key at the reception"
    with pytest.raises(InvalidInput, match="501 characters"):
        checked(SiteField.NOTE, "x" * (LONGEST + 1), OSLO)
    with pytest.raises(InvalidInput, match="control character"):
        checked(SiteField.NOTE, "a\x07b", OSLO)


def test_whom_to_call_is_an_id_behind_a_name() -> None:
    assert called({SiteField.CALL: "@oslo-field (S0OSLO0001)"}) == ("S0OSLO0001", "@oslo-field")
    assert called({SiteField.CALL: "Ana (the tall one) (U0ANA00001)"}) == ("U0ANA00001", "Ana (the tall one)")
    assert called({SiteField.NOTE: "(S0OSLO0001)"}) is None


@pytest.mark.parametrize(
    ("hours", "found"),
    [
        ("Mo-Fr 07:00-16:00 in Europe/Oslo", (True, datetime(2026, 11, 30, 15, 0, tzinfo=UTC))),
        ("Sa 09:00-12:00, Tu 08:00-09:00 in UTC", (False, datetime(2026, 12, 1, 8, 0, tzinfo=UTC))),
        ("Mo-Fr 07:00-10:00, Mo 09:30-11:00 in UTC", (True, datetime(2026, 11, 30, 11, 0, tzinfo=UTC))),
        ("Mo-Su 00:00-00:00 in UTC", (True, None)),
    ],
)
def test_access_is_open_or_shut_until_a_moment(hours: str, found: tuple[bool, datetime | None]) -> None:
    assert access({SiteField.HOURS: hours}, MONDAY) == found


def test_without_hours_nothing_is_known_of_access() -> None:
    assert access({}, MONDAY) is None
