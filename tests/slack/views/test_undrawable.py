"""What has many parts: a line stands for one that cannot be drawn, and the log says why."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from bot.domain.audit import AuditAction, AuditEntry, Outcome
from bot.slack.views import audit_list
from bot.slack.views.blocks import section
from bot.slack.views.undrawable import UNDRAWN, part

ENTRY = AuditEntry(datetime(2026, 3, 2, tzinfo=UTC), "U0ANA00001", AuditAction.RENAME, "bmac-1", Outcome.DONE)


def test_a_row_that_cannot_be_drawn_says_so_and_the_others_are_shown(
    caplog: pytest.LogCaptureFixture,
) -> None:
    odd = replace(ENTRY, outcome="unheard of")  # type: ignore[arg-type]
    rows = audit_list.entries([odd, ENTRY], 2, 0, "").text.splitlines()[1:]
    assert rows[0] == UNDRAWN
    assert "bmac-1" in rows[1]
    assert all(record.exc_info is not None for record in caplog.records)
    assert caplog.records


def test_so_does_a_part() -> None:
    assert part(lambda: [section(str(1 // 0))]) == [section(UNDRAWN)]
