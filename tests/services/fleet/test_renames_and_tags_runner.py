"""Writes as they are carried out, against a portal on the wire: what fails, is cut short, or is slow."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from bot.domain.errors import Unavailable
from bot.domain.fleet.renames_and_tags import Write, WriteState
from bot.services.fleet.renames_and_tags_runner import ENDED
from bot.storage.db.tables import notes, writes
from tests.worlds.builders import OPERATOR
from tests.worlds.databases import sqlite_url
from tests.worlds.fleet import World, rename, tag, world


@pytest.fixture
async def fleet(database_url: str) -> AsyncIterator[World]:
    """Three gateways in Oslo, listed once."""
    async with world(database_url, "a", "b", "c") as running:
        await running.taken()
        yield running


async def test_a_gateway_that_fails_does_not_stop_the_others(fleet: World) -> None:
    fleet.portal.faults.add("ADD_LABEL", 403)
    write = await tag(fleet, "", add=("roof",))
    assert (len(write.done), len(write.failed)) == (2, 1)
    assert "may not do this" in (write.failed[0].error or "")
    assert [entry.outcome for entry in await fleet.audit()].count("failed") == 1


async def test_a_label_that_cannot_be_created_fails_its_gateways(fleet: World) -> None:
    fleet.portal.faults.add("CREATE_LABEL", 403)
    write = await tag(fleet, "", add=("roof",))
    assert len(write.failed) == 3


async def test_a_portal_that_shows_no_single_gateway_is_trusted(fleet: World) -> None:
    fleet.portal.faults.add("GET_DEVICE", 404, None)
    write = await rename(fleet, "a", "Bergen 1")
    assert write.done
    assert (await fleet.fleet.find("a")).gateway.name == "Bergen 1"


async def test_a_portal_that_still_shows_the_old_name_is_not_believed(fleet: World) -> None:
    fleet.portal.faults.add("RENAME_DEVICE", 200)  # says yes and does nothing
    write = await rename(fleet, "a", "Bergen 1")
    assert "still shows “MT-a”" in (write.failed[0].error or "")
    assert (await fleet.fleet.find("a")).gateway.name == "MT-a"


@pytest.mark.on_both
async def test_a_write_that_a_crash_cut_short_is_finished_once(fleet: World) -> None:
    hanging = fleet.portal.faults.add("ADD_LABEL", "hang", None, after=1)
    running = asyncio.create_task(tag(fleet, "", add=("roof",)))
    await hanging.reached.wait()
    running.cancel()
    await asyncio.wait([running])
    fleet.portal.faults.clear()
    _, again = fleet.process("second")
    assert await again.resume() == ()  # the lease of the dead process still runs
    fleet.later(timedelta(minutes=3))
    (write,) = await again.resume()
    assert len(write.done) == 3
    assert [fleet.portal.device(id_).labels for id_ in "abc"] == [["oslo", "roof"]] * 3
    assert len(await fleet.audit()) == len(await fleet.events()) == 3


@pytest.mark.on_both
async def test_who_asked_is_told_how_a_write_ended_that_nobody_waits_for(fleet: World) -> None:
    write = await fleet.writes.propose_rename(OPERATOR, None, await fleet.fleet.find("a"), "x")
    fleet.later()
    await fleet.runs.resume()
    (told,) = await fleet.rows(select(notes.c.channel, notes.c.kind, notes.c.body))
    assert told == (OPERATOR.user_id, ENDED, {"write": write.id})


@pytest.mark.on_both
async def test_who_waits_for_an_answer_gets_no_message_beside_it(fleet: World) -> None:
    await rename(fleet, "a", "x")
    assert await fleet.rows(select(notes.c.kind)) == []


@pytest.mark.on_both
async def test_what_two_processes_did_after_all_is_recorded_once(fleet: World) -> None:
    slow = fleet.portal.faults.add("RENAME_DEVICE", "slow")
    write = await fleet.writes.propose_rename(OPERATOR, None, await fleet.fleet.find("a"), "x")
    running = asyncio.create_task(fleet.runs.run(write.id))
    await slow.reached.wait()
    async with fleet.database.write() as connection:  # its lease has ended, and it lives
        await connection.execute(update(writes).values(owner="", lease_until=fleet.now()))
    _, again = fleet.process("second")
    assert len((await again.resume())[0].done) == 1
    slow.release()
    await running
    assert len(await fleet.audit()) == len(await fleet.events()) == 1


async def test_a_confirmed_write_that_was_never_started_is_started_by_the_tick(fleet: World) -> None:
    write = await fleet.writes.propose_rename(OPERATOR, None, await fleet.fleet.find("a"), "x")
    assert await fleet.runs.resume() == ()  # its own click is about to
    fleet.later()
    assert [one.id for one in await fleet.runs.resume()] == [write.id]


async def test_a_write_is_run_by_one_process(fleet: World) -> None:
    write = await fleet.writes.propose_rename(OPERATOR, None, await fleet.fleet.find("a"), "x")
    done = await asyncio.gather(*(fleet.runs.run(write.id) for _ in range(4)), return_exceptions=True)
    asked = [request for request in fleet.portal.requests if request.operation == "RENAME_DEVICE"]
    assert len(asked) == 1
    assert {type(one).__name__ for one in done} <= {"Write", "Stale"}


async def test_a_tag_that_no_address_can_name_fails_for_its_gateway_and_ends_the_write(fleet: World) -> None:
    await tag(fleet, "id:a", add=("..",))
    write = await tag(fleet, "id:a", remove=("..",))
    assert write.state is WriteState.DONE
    assert "cannot be asked" in (write.failed[0].error or "")


async def test_a_write_that_loses_the_database_midway_says_so_and_is_resumed(tmp_path: Path) -> None:
    async with world(sqlite_url(tmp_path), "a", "b") as fleet:
        await fleet.taken()
        hanging = fleet.portal.faults.add("ADD_LABEL", "hang")
        running = asyncio.create_task(tag(fleet, "", add=("roof",)))
        await hanging.reached.wait()
        await fleet.execute("ALTER TABLE write_items RENAME TO elsewhere")
        fleet.portal.faults.clear()
        with pytest.raises(Unavailable, match="database does not answer"):
            await running
        await fleet.execute("ALTER TABLE elsewhere RENAME TO write_items")
        fleet.later(timedelta(minutes=3))
        (write,) = await fleet.runs.resume()
    assert len(write.done) == 2


async def test_a_portal_that_asks_to_slow_down_gets_its_rest_and_every_gateway_is_done(fleet: World) -> None:
    fleet.portal.faults.add("ADD_LABEL", 429, 3, after=1, retry_after=90)
    write = await tag(fleet, "", add=("roof",))
    assert (len(write.done), len(write.failed)) == (3, 0)
    assert sum(fleet.rests) >= 90


async def test_a_process_does_not_run_its_own_write_twice_though_its_lease_ran_out(fleet: World) -> None:
    taken: list[Write] = []

    async def look() -> None:
        taken.extend(await fleet.runs.resume())

    fleet.on_rest = look
    fleet.portal.faults.add("CREATE_LABEL", 429, retry_after=290)
    await tag(fleet, "", add=("roof",))
    assert (len(fleet.rests) >= 5, taken) == (True, [])


async def test_a_portal_that_never_has_time_is_given_up_and_asked_no_more(fleet: World) -> None:
    for number in range(40):
        fleet.device(f"x{number}")
    await fleet.taken()
    fleet.portal.faults.add("ADD_LABEL", 429, None, retry_after=240)
    write = await tag(fleet, "", add=("roof",))
    asked = [one for one in fleet.portal.requests if one.operation == "ADD_LABEL"]
    assert (len(write.failed), len(asked) <= 8 * 3) == (43, True)
    assert "slow down" in (write.failed[-1].error or "")


async def test_who_waits_for_one_gateway_hears_at_once_that_the_portal_is_busy(fleet: World) -> None:
    fleet.portal.faults.add("RENAME_DEVICE", 429, None, retry_after=60)
    write = await rename(fleet, "a", "Bergen 1")
    assert "try again in 60 s" in (write.failed[0].error or "")
    assert fleet.rests == []


async def test_a_tag_is_taken_off_in_every_spelling(fleet: World) -> None:
    fleet.device("d", labels=["Roof", "ROOF", "oslo"])
    await fleet.taken()
    write = await tag(fleet, "id:d", remove=("roof",))
    assert (len(write.done), fleet.portal.device("d").labels) == (1, ["oslo"])


@pytest.mark.on_both
async def test_a_tag_taken_off_a_gateway_that_is_gone_is_not_called_done(fleet: World) -> None:
    fleet.portal.remove_device("a")
    write = await tag(fleet, "id:a", remove=("oslo",))
    assert "knows no gateway a" in (write.failed[0].error or "")
    assert [entry.outcome for entry in await fleet.audit()] == ["failed"]
