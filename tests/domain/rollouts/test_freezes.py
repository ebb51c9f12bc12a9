"""What a freeze holds, and who starts through it."""

import pytest

from bot.domain.errors import NotAllowed, Stale
from bot.domain.rollouts import freezes
from bot.domain.rollouts.freezes import Freeze
from bot.domain.rollouts.lifecycle import ReasonNeeded
from tests.domain.rollouts.test_lifecycle import ADA, FREEZE, OLGA, running
from tests.worlds.builders import MONDAY as NOW


def test_only_an_admin_starts_through_a_freeze_and_says_why() -> None:
    held = running(held="everything is frozen by Ada: fair")
    with pytest.raises(NotAllowed, match="Only an admin"):
        freezes.resume(held, OLGA, NOW, None, FREEZE)
    with pytest.raises(ReasonNeeded):
        freezes.resume(held, ADA, NOW, " ", FREEZE)
    assert freezes.resume(held, ADA, NOW, "a security fix", FREEZE).through_freeze == "Ada: a security fix"


def test_what_holds_starts_and_is_no_freeze_cannot_be_overridden() -> None:
    held = running(held="outside the window; it opens Monday 09:00 (UTC)")
    with pytest.raises(Stale, match="is running, so it cannot be resumed now"):
        freezes.resume(held, ADA, NOW, "now, please", None)


def test_who_started_through_one_freeze_is_held_by_the_next() -> None:
    through = freezes.resume(running(), ADA, NOW, "a security fix", FREEZE)
    later = Freeze(through.firmware_version, "U0ADA", "Ada", "it bricks", NOW)
    assert not freezes.is_held(through, later)
    assert freezes.is_held(freezes.hold_anew(through), later)
    assert not freezes.is_held(running(), Freeze("1.2.3", "U0ADA", "Ada", "it bricks", NOW))
