"""Which channel gets what no subscription asks for: one is for alerts, one for updates and their rules."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class DefaultChannels:
    """As the settings name them; None: there is none."""

    alerts: str | None
    rollouts: str | None

    @property
    def digests(self) -> str | None:
        return self.alerts

    @property
    def silences(self) -> str | None:
        """That a silence ends soon."""
        return self.alerts

    @property
    def maintenance(self) -> str | None:
        """That a maintenance window opens soon, or was changed."""
        return self.alerts

    @property
    def freezes(self) -> str | None:
        return self.rollouts

    @property
    def policies(self) -> str | None:
        """What is said and ended of the firmware policy."""
        return self.rollouts
