"""The machine that the bot runs on, whose clock somebody sets; the portal's and Slack's are always right."""

from datetime import datetime, timedelta

from bot.demo.fleet.simulator import SimulatorClock
from bot.services.clock import WallClock
from bot.storage.db.engine import Database


class Machine:
    """``clock`` is what the bot goes by, and ``now`` the time that it has."""

    def __init__(self, world: SimulatorClock) -> None:
        self._world = world
        self._start = world.now()
        self._off = timedelta()
        self.clock = WallClock(self.wall, self.elapsed)
        self.now = self.clock.now

    def wall(self) -> datetime:
        return self._world.now() + self._off

    def elapsed(self) -> float:
        return (self._world.now() - self._start).total_seconds()

    def is_set(self, by: timedelta) -> None:
        """Its clock jumps; the bot has not looked at it yet."""
        self._off += by

    async def restarts(self, database: Database) -> None:
        """A process that has just started on it."""
        self.clock = WallClock(self.wall, self.elapsed)
        self.now = self.clock.now
        await self.clock.begin(database)
