"""What a digest says, in blocks and in plain words."""

from dataclasses import fields, replace
from datetime import timedelta
from typing import Any

import pytest

from bot.domain.alerts.incidents import Incident, MemberCounts
from bot.domain.alerts.silences import Silence, SilenceId
from bot.domain.digests import STALE, Digest, DigestPart, Listed
from bot.domain.gateways import Connectivity, Counts
from bot.domain.incident_kinds import IncidentId, IncidentKind, IncidentState
from bot.domain.rollouts.lifecycle import Rollout, RolloutState, TargetState
from bot.slack import ids
from bot.slack.home.views.digests import digest
from bot.slack.views.blocks import File, Message
from bot.slack.views.undrawable import UNDRAWN
from tests.slack.shown import NAMES, doors, sendable, words
from tests.worlds import builders
from tests.worlds.builders import NOW, known

BODY: dict[str, Any] = {"number": None, "query": "", "at": "08:00", "zone": "Europe/Oslo"}
QUIET = Digest("", NOW, Counts(240), NOW, STALE)
HOUR = timedelta(hours=1)


def drawn(found: Digest, *pictures: File, **body: Any) -> Message:
    return sendable(digest(found, BODY | body, pictures))


def dark(number: int = 1, name: str = "MT10225") -> Listed:
    since = NOW - timedelta(days=2)
    one = known(name=name, tags=(name,), connectivity=Connectivity.OFFLINE, since=since)
    return Listed([one] * min(number, 10), number)


def rollout(name: str = "Ana") -> Rollout:
    return builders.rollout(
        state=RolloutState.RUNNING,
        requester_name=name,
        query=name,
        model=name,
        firmware_version=name,
        planned=38,
        created_at=NOW,
        started_at=NOW,
    )


def silence(name: str = "Ana") -> Silence:
    return Silence(SilenceId(3), f"tag:{name}", None, "U0ANA00001", name, name, NOW, NOW + HOUR)


def incident(site: str = "Oslo") -> Incident:
    return Incident(
        IncidentId(1), IncidentKind.OFFLINE, site, IncidentState.OPEN, 1, NOW, NOW, MemberCounts(3, since=NOW)
    )


def test_a_quiet_day_is_one_line_without_a_picture() -> None:
    message = drawn(QUIET)
    assert message.text == "🟢 All 240 gateways are online, and nothing waits for anybody."
    assert len(message.blocks) == 1


def test_the_first_line_says_the_state_of_the_fleet() -> None:
    found = replace(QUIET, counts=Counts(240, 2), long_offline=dark(2))
    first = drawn(found).text.splitlines()[0]
    assert first == "🔴 238 of 240 gateways are online; 2 are offline for more than 24 h."


def test_ten_are_named_and_the_command_for_the_rest() -> None:
    found = replace(QUIET, query="tag:oslo", counts=Counts(240, 24), long_offline=dark(24))
    text = drawn(found).text
    assert text.count("MT10225 · for 2 d") == 10
    assert "and 14 more: /mesh devices tag:oslo is:offline for:&gt;24h" in text


def test_everything_that_waits_is_named() -> None:
    found = replace(
        QUIET,
        flapping=dark(1, "Roof"),
        incidents=[incident()],
        rollouts=[(rollout(), {TargetState.VERIFIED: 20, TargetState.WAITING: 17, TargetState.FAILED: 1})],
        catch_up=[(rollout(), 3)],
        silences=[silence()],
    )
    text = drawn(found).text
    for said in (
        "Roof",
        "Oslo",
        "20 of 38 verified, 17 waiting, 1 failed",
        "3 skipped gateways are online again: /mesh rollout R-7",
        "S-3 · tag:Ana · until",
    ):
        assert said in text
    assert "<@" not in text, "a digest wakes nobody"


def test_the_rows_of_each_part_can_be_opened_and_so_can_all_of_them() -> None:
    found = replace(QUIET, long_offline=dark(24), rollouts=[(rollout(), {})], silences=[silence()])
    leads = [(action, str(ref)) for action, ref in doors(drawn(found))]
    assert {action for action, _ in leads} == {ids.OPEN}
    assert [ref for _, ref in leads][1:] == [
        "page.devices.0.is:offline for:>24h",
        "page.rollout.0.7",
        "page.silences.0.",
    ]


def test_old_numbers_are_said_to_be_old() -> None:
    assert "There is no data from Meshtech since" in drawn(replace(QUIET, as_of=NOW - HOUR)).text
    assert "There is no data from Meshtech yet" in drawn(replace(QUIET, as_of=None)).text


def test_it_says_when_it_comes_and_how_to_be_rid_of_it() -> None:
    found = replace(QUIET, long_offline=dark())
    assert "Every day at 08:00 (Europe/Oslo). /mesh unsubscribe 4 ends it." in drawn(found, number=4).text
    assert "/mesh subscribe digest in a channel brings it there instead" in drawn(found).text


def test_the_words_of_its_pictures_are_in_its_text() -> None:
    picture = File("offline.png", b"png", "Gateways offline", "All <2> gateways: 0 offline now.")
    message = drawn(replace(QUIET, long_offline=dark()), picture)
    assert "All &lt;2&gt; gateways: 0 offline now." in message.text
    assert message.pictures == (picture,)


def test_a_part_that_is_missing_says_so_and_the_rest_is_told() -> None:
    text = drawn(replace(QUIET, rollouts=[(rollout(), {})], missing=(DigestPart.INCIDENTS,))).text
    assert f"Alerts nobody acknowledged:\n{UNDRAWN}\nRollouts under way:\n" in text


def test_every_part_of_a_digest_is_a_field_of_it_and_has_a_place_in_its_message() -> None:
    assert {one.name for one in fields(Digest)} == {
        *DigestPart,
        *("query", "now", "counts", "as_of", "stale_after", "missing", "left_out"),
    }
    message = drawn(replace(QUIET, missing=tuple(DigestPart)))
    assert message.text.count(UNDRAWN) == len(DigestPart)


def test_a_rollout_that_cannot_be_drawn_says_so_in_its_line() -> None:
    odd = replace(rollout(), firmware=None)  # type: ignore[arg-type]
    text = drawn(replace(QUIET, rollouts=[(odd, {}), (rollout(), {})])).text
    assert f"Rollouts under way:\n{UNDRAWN}\n" in text
    assert "R-7" in text


def test_a_chart_that_could_not_be_drawn_is_told() -> None:
    message = digest(replace(QUIET, long_offline=dark()), BODY, undrawn=True)
    assert "A chart could not be drawn." in message.text


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_names_are_shown_as_they_are(name: str) -> None:
    found = Digest(
        name,
        NOW,
        Counts(240, 30),
        NOW - HOUR,
        HOUR / 2,
        dark(30, name),
        dark(30, name),
        [incident(name)] * 9,
        [(rollout(name), {})] * 9,
        [(rollout(name), 3)] * 9,
        [silence(name)] * 9,
    )
    message = drawn(found, File("a.png", b"png", name, name))
    assert "<!channel" not in message.text + words(message)
