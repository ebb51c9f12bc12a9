"""The snapshot as rows: a query means the same in Python, on SQLite and on PostgreSQL."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from bot.domain.gateways import (
    FLAPPING_CHANGES,
    Connectivity,
    Counts,
    FleetEvent,
    FleetEventKind,
    KnownGateway,
    fold,
)
from bot.domain.query import EVERYTHING, Field, Query, parse
from bot.storage.db.engine import Database
from bot.storage.db.tables import fleet_events, gateway_claims, gateway_tags, gateways
from bot.storage.fleet import gateways as fleet
from bot.storage.fleet import search as fleet_search
from tests.worlds.builders import LONG_AGO, NOW, examples, known

pytestmark = pytest.mark.on_both

# What a database could take for something else: signs of LIKE and of quoting, case, Unicode. Few of them, so
# that what is looked for is often there.
LETTERS = ["a", "B", "Ø", "ø", "%", "_", "/", "\\", "'", "e\u0301", "É", "ẞ", "ss", "İ", "Σ", "ς", "[", "?"]
text = st.lists(st.sampled_from(LETTERS), min_size=1, max_size=3).map("".join)
spaced = st.builds("{} {}".format, text, text)
names = st.none() | text | spaced
tags = st.lists(text | spaced | st.just("none"), max_size=2, unique=True)
firmware = st.sampled_from(
    [
        *(None, "", "nightly", "3.4.1", "v3.4.1", "03.4.1", "3.4.1.2", "3.10.0"),
        *("3.4.1-beta.2", "3.4.1-beta.10", "3.4.1-Beta.2", "3.9.0+g1A", "3.9.0+g2", "3.9", "3.9.0+"),
    ]
)
ages = st.sampled_from([timedelta(0), timedelta(minutes=59), timedelta(hours=1), timedelta(days=3)])
rows = st.builds(
    known,
    name=names,
    model=st.sampled_from([None, "2011", "20A1", "x%"]),
    tags=tags.map(tuple),
    firmware=firmware,
    hardware=st.sampled_from([None, "1.0.0", "1.0"]),
    connectivity=st.sampled_from(Connectivity),
    since=ages.map(lambda age: NOW - age),
    flapping=st.booleans(),
    updating=st.booleans(),
)
fleets = st.lists(rows, min_size=5, max_size=9)
wild = st.builds("{}*".format, text) | st.builds("*{}".format, text) | st.builds("{}*{}".format, text, text)
values = text | wild | st.sampled_from(["*", "none", '"none"'])
terms = st.one_of(
    st.builds("{}{}:{}".format, st.sampled_from(["", "-"]), st.sampled_from(["tag", "name", "site"]), values),
    st.builds("{}{}".format, st.sampled_from(["", "-"]), values),
    st.builds('name:"{} {}"'.format, values, values),
    st.builds("tag:{},{}".format, values, values),
    st.builds("{}id:{}".format, st.sampled_from(["", "-"]), st.sampled_from(["gw-*", "GW-1", "*2"])),
    st.builds("{}model:{}".format, st.sampled_from(["", "-"]), st.sampled_from(["2011", "20*1", "x%", "*"])),
    st.builds("hw:{}".format, st.sampled_from(["1.0.0", "1*", "2"])),
    st.builds(
        "{}fw:{}{}".format,
        st.sampled_from(["", "-"]),
        st.sampled_from(["", "<", "<=", ">", ">=", "="]),
        st.sampled_from(["3.4.1", "3.10.0", "3.4.1-beta.2", "3.9", "3.9+g1a", "v3.4.1", "3.5.0-rc1"]),
    ),
    st.sampled_from(["fw:nightly", "fw:*", "-fw:3.4.*", "fw:<3.4.1,>=3.10.0"]),
    st.builds(
        "{}is:{}".format, st.sampled_from(["", "-"]), st.sampled_from([*Connectivity, "flapping,updating"])
    ),
    st.just(""),
    st.builds("{}for:{}1h".format, st.sampled_from(["", "-"]), st.sampled_from(["", "<", ">"])),
)

real = terms.filter(bool)


async def store(database: Database, found: Iterable[KnownGateway]) -> None:
    """Makes these the whole snapshot, with the events and claims that their marks stand for."""
    found = list(found)
    async with database.write() as connection:
        for table in (gateways, gateway_tags, fleet_events, gateway_claims):
            await connection.execute(delete(table))
        await fleet.save(connection, [(one, one.gateway.id.encode()) for one in found])
        await fleet.save_tags(connection, (), [one.gateway for one in found])
        for one in found:
            changes = FLAPPING_CHANGES if one.flapping else FLAPPING_CHANGES - 1
            await fleet.add_events(connection, [_went(one.gateway.id)] * changes)
            if one.updating:
                await connection.execute(
                    insert(gateway_claims).values(gateway_id=one.gateway.id, rollout_id=1, started_at=NOW)
                )


def _went(id_: str) -> FleetEvent:
    return FleetEvent(FleetEventKind.WENT_OFFLINE, id_, NOW - timedelta(minutes=59), 1)


async def search(database: Database, query: Query, offset: int = 0, limit: int = 100) -> Any:
    rows, counts, _ = await database.ask(
        lambda connection: fleet_search.page(connection, query, NOW, offset, limit)
    )
    return rows, counts


def numbered(found: Iterable[KnownGateway]) -> list[KnownGateway]:
    return [
        known(f"gw-{number}", of=one.gateway, **_own(one) | {"id": f"gw-{number}"})
        for number, one in enumerate(found)
    ]


def _own(one: KnownGateway) -> dict[str, Any]:
    return {name: getattr(one, name) for name in ("site", "since", "flapping", "updating", "first_seen")}


def counts_of(found: list[KnownGateway]) -> Counts:
    states = [one.gateway.connectivity for one in found]
    return Counts(len(found), states.count(Connectivity.OFFLINE), states.count(Connectivity.UNKNOWN))


def worst_first(one: KnownGateway) -> tuple[Any, ...]:
    rank = [Connectivity.OFFLINE, Connectivity.UNKNOWN, Connectivity.ONLINE].index(one.gateway.connectivity)
    return rank, LONG_AGO - one.since, fold(one.gateway.name or ""), one.gateway.id


@settings(max_examples=examples(20), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fleets.map(numbered),
    st.lists(
        terms | st.builds("{} {}".format, terms, terms) | st.builds("{} or {} {}".format, real, real, terms),
        min_size=5,
        max_size=15,
    ),
)
async def test_a_query_finds_the_same_gateways_in_every_database(
    database: Database, snapshot: list[KnownGateway], lines: list[str]
) -> None:
    await store(database, snapshot)
    for line in lines:
        query = parse(line)
        expected = sorted((one for one in snapshot if query.matches(one, NOW)), key=worst_first)
        found, counts = await search(database, query)
        assert found == expected, line
        assert counts == counts_of(expected), line


@pytest.mark.parametrize("sign", ["/", "%", "_", "\\", "'", "["])
async def test_what_a_database_finds_special_is_a_letter(database: Database, sign: str) -> None:
    names = {f"a{sign}b", "ab", "axb", f"a{sign}{sign}b"}
    await store(database, numbered(known(name=name) for name in sorted(names)))
    for line in (f"name:a{sign}*", f"name:*{sign}b", f"a{sign}"):
        expected = {name for name in names if parse(line).matches(known(name=name), NOW)}
        found, _ = await search(database, parse(line))
        assert {one.gateway.name for one in found} == expected == names - {"ab", "axb"}, line


async def test_a_row_comes_back_as_it_was_written(database: Database) -> None:
    full = known(
        name="Tromsø %_",
        tags=('a"b', "æ\n", "\\"),
        imei="1",
        status="s",
        boot_mode="b",
        timestamp_moves=2,
        missed=1,
        written_at=NOW,
    )
    bare = known("x", name=None, model=None, tags=(), firmware=None, hardware=None, changed_at=None)
    await store(database, [full, bare])
    async with database.read() as connection:
        assert list((await fleet.load(connection, ["x", full.gateway.id])).values()) == [full, bare]


async def test_more_gateways_than_a_statement_takes_values_are_loaded_at_once(database: Database) -> None:
    async with database.write() as connection:
        await fleet.save(connection, [(known("bmac-1"), b"1")])
        wanted = [*(f"absent-{number}" for number in range(70_000)), "bmac-1"]
        assert set(await fleet.load(connection, wanted, lock=True)) == {"bmac-1"}


async def test_saving_a_row_again_replaces_it(database: Database) -> None:
    await store(database, [known(name="old")])
    async with database.write() as connection:
        await fleet.save(connection, [(known(name="new"), b"1")])
        (found,) = (await fleet.load(connection, [known().gateway.id])).values()
    assert found.gateway.name == "new"


async def test_tags_that_differ_in_case_only_are_stored_once(database: Database) -> None:
    await store(database, [known(tags=("Oslo", "OSLO", "oslo"))])
    async with database.read() as connection:
        assert [count.gateways for count in await fleet_search.tags(connection)] == [1]


async def test_tags_of_a_gateway_are_found_as_they_are_now(database: Database) -> None:
    was, now = known(tags=("Oslo", "roof")), known(tags=("OSLO", "yard"))
    await store(database, [was])
    async with database.write() as connection:
        await fleet.save_tags(connection, [was.gateway], [now.gateway])
    async with database.read() as connection:
        assert [count.tag for count in await fleet_search.tags(connection)] == ["OSLO", "yard"]


async def test_pages_of_any_size_add_up_in_order(database: Database) -> None:
    snapshot = [known(f"gw-{number:02}", name=f"n{number % 7}") for number in range(25)]
    await store(database, snapshot)
    paged = [
        one for offset in range(0, 30, 10) for one in (await search(database, EVERYTHING, offset, 10))[0]
    ]
    assert paged == sorted(snapshot, key=worst_first)


async def test_what_most_gateways_match_is_paged_like_what_few_match(database: Database) -> None:
    snapshot = [
        known(
            f"gw-{number}",
            tags=("all", ("even", "odd")[number % 2]),
            connectivity=list(Connectivity)[number % 3],
            since=NOW - timedelta(minutes=number % 50),
        )
        for number in range(2_500)
    ]
    await store(database, snapshot)
    for line in (
        "tag:all",
        "tag:all tag:even",
        "tag:a*,odd -tag:even",
        "tag:all,none is:unknown",
        "-tag:odd",
    ):
        query = parse(line)
        expected = sorted((one for one in snapshot if query.matches(one, NOW)), key=worst_first)
        assert await search(database, query, 3, 5) == (expected[3:8], counts_of(expected)), line


async def test_of_the_offline_the_one_that_went_last_comes_first(database: Database) -> None:
    hours = {"a": 3, "b": 1, "c": 2}
    gone = [
        known(id_, connectivity=Connectivity.OFFLINE, since=NOW - timedelta(hours=h))
        for id_, h in hours.items()
    ]
    await store(database, [known("d"), *gone])
    found, counts = await search(database, EVERYTHING)
    assert [one.gateway.id for one in found] == ["b", "c", "a", "d"]
    assert (counts.total, counts.offline, counts.online) == (4, 3, 1)


async def test_removing_a_gateway_removes_its_tags(database: Database) -> None:
    await store(database, [known("a"), known("b")])
    async with database.write() as connection:
        await fleet.remove(connection, ["a"])
        assert [count.gateways for count in await fleet_search.tags(connection)] == [1]
    assert (await search(database, parse("tag:oslo")))[1].total == 1


async def test_changes_of_more_than_an_hour_ago_are_no_flapping(database: Database) -> None:
    await store(database, [known("a")])
    old = FleetEvent(FleetEventKind.CAME_BACK, "a", NOW - timedelta(minutes=61), 1)
    async with database.write() as connection:
        await fleet.add_events(connection, [old] * FLAPPING_CHANGES)
    assert (await search(database, parse("is:flapping")))[0] == []


@pytest.mark.parametrize("question", ["a," * 99 + "a", "a " * 99 + "a", "-tag:" + "a*," * 99 + "a*"])
async def test_the_longest_query_is_answered(database: Database, question: str) -> None:
    await store(database, [known(name="gate a", tags=())])
    async with database.read() as connection:
        assert len(await fleet_search.ids(connection, parse(question), NOW)) == 1


async def test_each_field_that_has_a_word_is_found(database: Database) -> None:
    there = known(name="MT-oslo 2011", model="2011", tags=("Oslo",), firmware="v3.5", site="Oslo")
    await store(database, [there])

    found = await database.ask(
        lambda connection: fleet_search.fields_with(connection, ["oslo", "2011", "3.5.0", "mt", "x", "%"])
    )

    assert found == {
        "oslo": [Field.TAG, Field.ANY],
        "2011": [Field.MODEL, Field.ANY],
        "3.5.0": [Field.FIRMWARE],
        "mt": [Field.ANY],
        "x": [],
        "%": [],
    }
