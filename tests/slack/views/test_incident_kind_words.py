"""The words of each kind of incident."""

import pytest

from bot.domain.incident_kinds import IncidentKind
from bot.slack.views.incident_kind_words import words_of


@pytest.mark.parametrize("kind", IncidentKind)
def test_every_kind_has_words_for_its_card_and_for_rollouts(kind: IncidentKind) -> None:
    words = words_of(kind)
    assert "DATE" in words.since.format(since="DATE", opened="DATE")
    assert words.happened.format(site="Oslo")


@pytest.mark.parametrize("kind", IncidentKind)
def test_a_heading_begins_with_a_sign_and_says_what_it_is(kind: IncidentKind) -> None:
    words = words_of(kind)
    assert not words.sign.isascii()
    assert words.state if kind.rules.trouble else words.together
