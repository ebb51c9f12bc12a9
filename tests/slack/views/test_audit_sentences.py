"""The audit log in sentences: each action has one, and a refusal says what was tried."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import get_args

import pytest

from bot.domain.audit import BOT, AuditAction, AuditEntry, Outcome, TriedAction
from bot.domain.rollouts.events import Frozen, RecordedEvent, Unfrozen
from bot.services.rollouts.events import audit_action
from bot.slack import ids
from bot.slack.views.audit_sentences import DONE, audit_sentence
from bot.slack.views.blocks import date

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
ROLLOUT = "R-1: 3.5.0, 20 gateways"


def said(action: AuditAction, subject: str, actor: str = "U0ANA00001", **more: str) -> str:
    return audit_sentence(AuditEntry(NOW, actor, action, subject, Outcome.DONE, **more))


def test_every_action_has_a_sentence() -> None:
    assert set(DONE) == set(AuditAction)
    for action in AuditAction:
        assert said(action, ROLLOUT, before="a", after="b").startswith("<@U0ANA00001> "), action


def test_every_event_of_a_rollout_is_an_action() -> None:
    named = {audit_action(event) for event in get_args(RecordedEvent) if event not in {Frozen, Unfrozen}}
    assert named <= set(DONE)


@pytest.mark.parametrize(
    ("sentence", "shown"),
    [
        (
            said(AuditAction.APPROVE, ROLLOUT, channel="C0ROLLOUTS"),
            "<@U0ANA00001> approved R-1 (3.5.0, 20 gateways) in <#C0ROLLOUTS>",
        ),
        (
            said(AuditAction.DENY, ROLLOUT, reason="Not today."),
            "<@U0ANA00001> denied R-1 (3.5.0, 20 gateways): Not today",
        ),
        (
            said(AuditAction.TAG, "bmac-1", before="oslo", after="oslo\nroof"),
            "<@U0ANA00001> changed the tags of bmac-1 from oslo to oslo, roof",
        ),
        (said(AuditAction.PAUSE, ROLLOUT, BOT), "Meshbot paused R-1 (3.5.0, 20 gateways)"),
        (said(AuditAction.FREEZE, "everything", reason="fair"), "<@U0ANA00001> froze everything: fair"),
    ],
)
def test_an_act_reads_as_a_sentence(sentence: str, shown: str) -> None:
    assert sentence == shown


def test_a_time_in_an_entry_is_in_the_readers_zone() -> None:
    told = said(AuditAction.SILENCE, "S-1: tag:oslo", after="until 2026-03-02 12:00 UTC")
    assert told == f"<@U0ANA00001> silenced S-1 (tag:oslo) until {date(NOW)}"


def test_what_people_typed_is_shown_as_they_typed_it_though_it_looks_like_a_time() -> None:
    no_day = "2026-02-30 10:00 UTC"
    assert said(AuditAction.RENAME, "bmac-1", before="A", after=no_day).endswith(f"from A to {no_day}")
    typed = said(AuditAction.FREEZE, "everything", reason="since 2026-03-02 12:00 UTC")
    assert typed == "<@U0ANA00001> froze everything: since 2026-03-02 12:00 UTC"
    assert "`silence until 2026-03-02 12:00 UTC`" in refused("silence", "until 2026-03-02 12:00 UTC")


def test_a_time_in_the_words_of_a_refusal_is_in_the_readers_zone() -> None:
    entry = AuditEntry(NOW, "U0VERA0001", TriedAction("rename"), "MT1 Roof", Outcome.REFUSED)
    told = replace(entry, reason="Nothing may change before 2026-03-02 12:00 UTC.")
    assert audit_sentence(told).endswith(f": Nothing may change before {date(NOW)}")


def test_both_ends_of_an_opening_are_in_the_readers_zone() -> None:
    after = "the next opening is 2026-03-02 12:00 UTC to 2026-03-02 12:00 UTC"
    told = said(AuditAction.SKIP_MAINTENANCE, "M-1: tag:oslo", after=after)
    assert told == (
        "<@U0ANA00001> skipped an opening of maintenance M-1 (tag:oslo): "
        f"the next opening is {date(NOW)} to {date(NOW)}"
    )


def test_what_failed_is_not_said_to_be_done() -> None:
    failed = AuditEntry(NOW, "U0ANA00001", AuditAction.RENAME, "bmac-1", Outcome.FAILED, "A", "B")
    assert audit_sentence(failed) == "<@U0ANA00001> could not rename bmac-1 from A to B"


def refused(what: str, subject: str) -> str:
    entry = AuditEntry(NOW, "U0VERA0001", TriedAction(what), subject, Outcome.REFUSED, reason="Ask an admin.")
    return audit_sentence(entry)


def test_a_refusal_says_what_somebody_tried_and_what_they_read() -> None:
    assert refused("rename", "MT1 Roof") == (
        "<@U0VERA0001> was not allowed to use `rename MT1 Roof`: Ask an admin"
    )
    assert refused(ids.INCIDENT_ASSIGN, "A-1") == (
        "<@U0VERA0001> was not allowed to assign an alert (A-1): Ask an admin"
    )
    assert refused(ids.ROLLOUT_APPROVE, "R-1") == (
        "<@U0VERA0001> was not allowed to approve a firmware rollout (R-1): Ask an admin"
    )
