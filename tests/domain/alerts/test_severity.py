"""How bad an incident is: by how many are down, and by which share of their place."""

import pytest

from bot.domain.alerts.severity import Severity, severity_of


@pytest.mark.parametrize(
    ("down", "of", "severity"),
    [
        (1, 1, Severity.MINOR),
        (2, 2, Severity.MINOR),
        (3, 18, Severity.MINOR),
        (3, 6, Severity.MAJOR),
        (9, 100, Severity.MINOR),
        (10, 100, Severity.MAJOR),
        (9, 9, Severity.MAJOR),
        (10, 10, Severity.CRITICAL),
        (18, 18, Severity.CRITICAL),
        (50, 10_000, Severity.CRITICAL),
        (12, 0, Severity.MAJOR),
        (12, 10, Severity.CRITICAL),
    ],
)
def test_a_severity_follows_from_how_many_are_down_and_of_how_many(
    down: int, of: int, severity: Severity
) -> None:
    assert severity_of(down, of) is severity
