"""Renaming, tagging and Undo, against a portal on the wire: what is done twice, half, or by two at once."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest

from bot.domain.access import Role
from bot.domain.errors import InvalidInput, NotAllowed, NotFound, Stale, Unavailable
from bot.domain.fleet.renames_and_tags import MOST_GATEWAYS, WriteState
from bot.domain.gateways import FleetEventKind
from bot.domain.query import EVERYTHING
from bot.storage.fleet.gateways import save
from tests.worlds.builders import OPERATOR, VIEWER, known
from tests.worlds.fleet import World, rename, tag, world


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Three gateways in Oslo, listed once."""
    async with world(database_url, "a", "b", "c") as running:
        await running.taken()
        yield running


async def test_a_new_name_is_in_the_portal_and_in_the_snapshot_at_once(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    assert (write.state, len(write.done)) == (WriteState.DONE, 1)
    assert fleet.portal.device("a").friendly_name == "Bergen 1"
    known = await fleet.fleet.find("Bergen 1")
    assert (known.gateway.id, known.written_at) == ("a", fleet.now())


async def test_a_listing_confirms_what_was_written_without_a_second_event(fleet: World) -> None:
    await rename(fleet, "a", "Bergen 1")
    assert await fleet.kinds() == []
    assert (await fleet.fleet.find("a")).written_at is None
    assert [event.kind for event in await fleet.events()] == [FleetEventKind.RENAMED]


async def test_a_write_that_the_vendor_forgot_is_corrected_by_the_next_listing(fleet: World) -> None:
    await rename(fleet, "a", "Bergen 1")
    fleet.portal.rename("a", "MT-a")
    assert await fleet.kinds() == [FleetEventKind.RENAMED]
    assert (await fleet.fleet.find("a")).gateway.name == "MT-a"


async def test_a_viewer_s_rename_is_refused(fleet: World) -> None:
    with pytest.raises(NotAllowed, match="Ola"):
        await fleet.writes.propose_rename(VIEWER, "C1", await fleet.fleet.find("a"), "x")


async def test_who_has_lost_the_role_since_neither_confirms_nor_takes_back(fleet: World) -> None:
    demoted = replace(VIEWER, user_id=OPERATOR.user_id)
    proposed = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    with pytest.raises(NotAllowed):
        await fleet.writes.confirm(demoted, proposed.id, proposed.version)
    done = await rename(fleet, "a", "Bergen 1")
    with pytest.raises(NotAllowed):
        await fleet.writes.undo(demoted, done.id)


async def test_nobody_writes_while_their_role_cannot_be_checked(fleet: World) -> None:
    doubtful = replace(OPERATOR, role=Role.VIEWER, possible=Role.OPERATOR)
    with pytest.raises(Unavailable):
        await fleet.writes.propose_tags(doubtful, None, EVERYTHING, ["x"], [])


async def test_what_was_done_is_audited_with_before_and_after(fleet: World) -> None:
    await rename(fleet, "a", "Bergen 1")
    (entry,) = await fleet.audit()
    assert (entry.actor, entry.subject, entry.before, entry.after, entry.channel) == (
        OPERATOR.user_id,
        "a",
        "MT-a",
        "Bergen 1",
        "C1",
    )


@pytest.mark.parametrize("name", ["", "  ", "two\nlines", "bell\x07", "x" * 129, "MT-a"])
async def test_a_name_that_cannot_be_is_refused(fleet: World, name: str) -> None:
    with pytest.raises(InvalidInput):
        await rename(fleet, "a", name)


async def test_a_name_in_use_is_allowed_with_a_warning(fleet: World) -> None:
    write = await rename(fleet, "a", "mt-B")
    assert write.done
    assert "Another gateway" in (write.warning or "")


async def test_undo_brings_the_old_name_back(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    undo = await fleet.writes.undo(OPERATOR, write.id)
    await fleet.runs.run(undo.id)
    assert fleet.portal.device("a").friendly_name == "MT-a"
    assert (await fleet.fleet.find("a")).gateway.name == "MT-a"
    assert [entry.action for entry in await fleet.audit()] == ["rename", "undo rename"]


async def test_undo_ends_after_ten_minutes(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    fleet.later(timedelta(minutes=9, seconds=59))
    assert write.may_be_undone(fleet.now())
    fleet.later(timedelta(seconds=1))
    assert not write.may_be_undone(fleet.now())
    with pytest.raises(Stale, match="10 minutes"):
        await fleet.writes.undo(OPERATOR, write.id)


@pytest.mark.on_both
async def test_a_change_is_taken_back_once(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    done = await asyncio.gather(
        *(fleet.writes.undo(OPERATOR, write.id) for _ in range(5)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Stale"] * 4 + ["Write"]


async def test_undo_leaves_alone_what_somebody_changed_since(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    await rename(fleet, "a", "Bergen 2")
    with pytest.raises(Stale, match="changed again since"):
        await fleet.writes.undo(OPERATOR, write.id)
    assert fleet.portal.device("a").friendly_name == "Bergen 2"


@pytest.mark.on_both
async def test_a_tag_on_one_gateway_is_put_on_at_once(fleet: World) -> None:
    write = await tag(fleet, "id:a", add=("roof",), remove=("OSLO",))
    assert write.title == "+roof -OSLO on MT-a"
    assert fleet.portal.device("a").labels == ["roof"]
    assert list(await fleet.snapshot("tag:roof site:roof")) == ["a"]


async def test_a_tag_that_nobody_has_is_created_first(fleet: World) -> None:
    await tag(fleet, "id:a", add=("Fremdes",))
    assert "Fremdes" in fleet.portal.labels


async def test_a_tag_is_written_as_other_gateways_have_it(fleet: World) -> None:
    fleet.portal.device("b").labels = ["oslo", "Kyiv-office"]
    await fleet.taken()
    await tag(fleet, "id:a", add=("kyiv-OFFICE",))
    assert fleet.portal.device("a").labels == ["oslo", "Kyiv-office"]


async def test_several_gateways_need_a_confirmation(fleet: World) -> None:
    write = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    assert (write.needs_confirmation, len(write.items)) == (True, 3)
    with pytest.raises(Stale, match="not been confirmed"):
        await fleet.runs.run(write.id)
    assert "roof" not in (fleet.portal.device("a").labels or ())


async def test_gateways_that_are_so_already_are_left_out(fleet: World) -> None:
    fleet.portal.device("b").labels = ["oslo", "roof"]
    await fleet.taken()
    write = await tag(fleet, "", add=("roof",))
    assert ([item.gateway_id for item in write.items], write.unchanged) == (["a", "c"], 1)


async def test_a_change_that_changes_nothing_is_refused(fleet: World) -> None:
    with pytest.raises(InvalidInput, match="All 3 gateways are already"):
        await tag(fleet, "", add=("oslo",))


@pytest.mark.parametrize(("add", "remove"), [((), ()), (("x",), ("X",)), (("a\nb",), ())])
async def test_a_change_of_tags_that_cannot_be_is_refused(
    fleet: World, add: tuple[str, ...], remove: tuple[str, ...]
) -> None:
    with pytest.raises(InvalidInput):
        await tag(fleet, "", add=add, remove=remove)


async def test_a_query_that_matches_nothing_is_answered_so(fleet: World) -> None:
    with pytest.raises(NotFound, match="tag:bergen"):
        await tag(fleet, "tag:bergen", add=("x",))


@pytest.mark.on_both
async def test_of_two_confirmations_at_once_one_counts(fleet: World) -> None:
    write = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    done = await asyncio.gather(
        *(fleet.writes.confirm(OPERATOR, write.id, write.version) for _ in range(5)), return_exceptions=True
    )
    assert sorted(type(one).__name__ for one in done) == ["Stale"] * 4 + ["Write"]


async def test_only_who_proposed_a_change_may_confirm_it(fleet: World) -> None:
    write = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    with pytest.raises(NotAllowed):
        await fleet.writes.confirm(replace(OPERATOR, user_id="U2"), write.id, write.version)


async def test_a_cancelled_change_cannot_be_confirmed(fleet: World) -> None:
    write = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    await fleet.writes.cancel(OPERATOR, write.id, write.version)
    with pytest.raises(Stale, match="cancelled"):
        await fleet.writes.confirm(OPERATOR, write.id, write.version)


async def test_a_proposal_expires_after_half_an_hour(fleet: World) -> None:
    write = await fleet.writes.propose_tags(OPERATOR, None, EVERYTHING, ["roof"], [])
    fleet.later(timedelta(minutes=30))
    with pytest.raises(Stale, match="30 minutes"):
        await fleet.writes.confirm(OPERATOR, write.id, write.version)


async def test_undo_of_a_change_that_half_failed_takes_back_the_other_half(fleet: World) -> None:
    fleet.portal.faults.add("ADD_LABEL", 403)
    write = await tag(fleet, "", add=("roof",))
    undo = await fleet.writes.undo(OPERATOR, write.id)
    assert [item.gateway_id for item in undo.items] == [item.gateway_id for item in write.done]
    await fleet.runs.run(undo.id)
    assert [fleet.portal.device(id_).labels for id_ in "abc"] == [["oslo"]] * 3


@pytest.mark.on_both
async def test_undo_leaves_a_gateway_alone_that_was_renamed_after_the_last_listing(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    fleet.portal.rename("a", "Somebody's")
    undo = await fleet.runs.run((await fleet.writes.undo(OPERATOR, write.id)).id)
    assert fleet.portal.device("a").friendly_name == "Somebody's"
    assert "was changed again since" in (undo.left[0].error or "")


async def test_undo_keeps_the_tags_that_others_put_on_since(fleet: World) -> None:
    write = await tag(fleet, "id:a", add=("roof",))
    await tag(fleet, "id:a", add=("north",))
    await fleet.runs.run((await fleet.writes.undo(OPERATOR, write.id)).id)
    assert fleet.portal.device("a").labels == ["oslo", "north"]


@pytest.mark.on_both
async def test_old_writes_are_forgotten(fleet: World) -> None:
    write = await rename(fleet, "a", "x")
    fleet.later(timedelta(days=8))
    await fleet.writes.prune(timedelta(days=7))
    with pytest.raises(NotFound):
        await fleet.writes.get(write.id)


async def test_an_undo_of_which_nothing_worked_may_be_tried_again(fleet: World) -> None:
    write = await rename(fleet, "a", "Bergen 1")
    fleet.portal.faults.add("RENAME_DEVICE", 403)
    failed = await fleet.runs.run((await fleet.writes.undo(OPERATOR, write.id)).id)
    assert failed.failed
    assert (await fleet.writes.get(write.id)).may_be_undone(fleet.now())
    await fleet.runs.run((await fleet.writes.undo(OPERATOR, write.id)).id)
    assert fleet.portal.device("a").friendly_name == "MT-a"


async def test_a_change_of_more_gateways_than_one_write_takes_is_refused(fleet: World) -> None:
    many = (known(f"x{number}") for number in range(MOST_GATEWAYS))
    async with fleet.database.write() as connection:
        await save(connection, ((one, one.gateway.id.encode()) for one in many))
    with pytest.raises(InvalidInput, match="10,003 gateways, and 10,000 are the most"):
        await tag(fleet, "", add=("roof",))
