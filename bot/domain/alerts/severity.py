"""How bad an incident is, by one table: how many gateways are down, and which share of their place."""

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """For people: whether it is worth a trip, and whose."""

    CRITICAL = "critical"
    MAJOR = "major"
    MINOR = "minor"


@dataclass(frozen=True, slots=True)
class Step:
    """Reached by so many ``gateways``, or by this ``share`` of their place from ``least`` gateways on."""

    severity: Severity
    gateways: int
    share: float
    least: int


# The worst first; docs/how-it-decides.md has the same table.
STEPS = (
    Step(Severity.CRITICAL, gateways=50, share=1.0, least=10),
    Step(Severity.MAJOR, gateways=10, share=0.5, least=3),
)


def is_worse(one: Severity, other: Severity) -> bool:
    order = list(Severity)
    return order.index(one) < order.index(other)


def severity_of(down: int, of: int) -> Severity:
    """``of``: how many gateways their site, rollout or fleet has; 0 where that is not known."""
    share = min(down / of, 1.0) if of else 0.0
    for step in STEPS:
        if down >= step.gateways or (share >= step.share and down >= step.least):
            return step.severity
    return Severity.MINOR
