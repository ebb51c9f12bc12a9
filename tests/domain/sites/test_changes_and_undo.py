"""When a change of the site book is taken back, and what it is called."""

from datetime import UTC, datetime

import pytest

from bot.domain.errors import Stale
from bot.domain.sites.changes_and_undo import ChangeState, SiteChange, SiteItem, require_undoable
from bot.domain.sites.entries import SiteField

MONDAY = datetime(2026, 11, 30, 9, 0, tzinfo=UTC)


def test_only_what_was_done_and_stands_as_it_was_left_is_undone() -> None:
    after = {SiteField.OWNER: "Telenor"}
    item = SiteItem("Oslo", {}, after)
    done = SiteChange("1", ChangeState.DONE, "U0ANA00001", MONDAY, (item,))
    require_undoable(done, {"Oslo": after})
    with pytest.raises(Stale, match="Oslo was changed again"):
        require_undoable(done, {"Oslo": {SiteField.OWNER: "Telia"}})
    with pytest.raises(Stale, match="never done"):
        require_undoable(
            SiteChange("1", ChangeState.PROPOSED, "U0ANA00001", MONDAY, (item,)), {"Oslo": after}
        )


def test_a_change_of_many_sites_names_the_first() -> None:
    items = tuple(SiteItem(name, {}, {}) for name in ("Alta", "Bodø", "Oslo", "Voss"))
    change = SiteChange("1", ChangeState.DONE, "U0ANA00001", MONDAY, items)
    assert change.title == "4 sites: Alta, Bodø, Oslo, …"
