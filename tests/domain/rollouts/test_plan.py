"""The plan of a rollout: which firmware, who gets it, who must approve."""

import itertools
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.errors import InvalidInput
from bot.domain.firmware import Firmware, FirmwareId
from bot.domain.gateways import Connectivity, Gateway, GatewayId, KnownGateway
from bot.domain.rollouts.plan import (
    Circumstances,
    FirmwareChoice,
    TargetClass,
    approvals_needed,
    choose_firmware,
    has_drifted,
    is_downgrade,
    make_plan,
    plan_hash,
    skipped_for_latest,
    wave_sizes,
)
from tests.worlds.builders import rollout_rules

NOW = datetime(2026, 5, 4, 8, 0, tzinfo=UTC)
AROUND = Circumstances(NOW, fleet_size=10)


def firmware(version: str = "3.5.0", model: str | None = "2011") -> Firmware:
    return Firmware(FirmwareId(f"fw-{model}-{version}"), model, version)


def known(
    number: int = 1,
    *,
    model: str | None = "2011",
    version: str | None = "3.4.1",
    state: Connectivity = Connectivity.ONLINE,
    flapping: bool = False,
    site: str = "oslo",
    hardware: str | None = None,
    since: datetime = NOW - timedelta(days=2),
) -> KnownGateway:
    gateway = Gateway(
        GatewayId(f"bmac-{number:012x}"),
        f"MT{number}",
        model,
        ("oslo",),
        state,
        firmware=version,
        hardware=hardware,
    )
    return KnownGateway(gateway, site, since, 1, NOW, flapping=flapping)


@pytest.mark.parametrize(
    ("gateway", "cls"),
    [
        (known(), TargetClass.ELIGIBLE),
        (known(version=None), TargetClass.ELIGIBLE),
        (known(version="3.5.0"), TargetClass.ALREADY),
        (known(version="v3.5"), TargetClass.ALREADY),
        (known(version="3.5.0+g1a2b3c"), TargetClass.ALREADY),
        (known(version="3.5.0-rc1"), TargetClass.ELIGIBLE),
        (known(model="2012"), TargetClass.WRONG_MODEL),
        (known(model=None), TargetClass.WRONG_MODEL),
        (known(state=Connectivity.OFFLINE), TargetClass.OFFLINE),
        (known(state=Connectivity.UNKNOWN), TargetClass.OFFLINE),
        (known(flapping=True), TargetClass.FLAPPING),
    ],
)
def test_every_match_is_in_one_class_with_its_reason(gateway: KnownGateway, cls: TargetClass) -> None:
    plan = make_plan("tag:oslo", firmware(), [gateway], AROUND, rollout_rules())
    assert [target.cls for target in plan.targets] == [cls]
    assert (plan.targets[0].wave > 0) is (cls is TargetClass.ELIGIBLE)


def test_a_plan_without_a_match_is_refused() -> None:
    with pytest.raises(InvalidInput, match="No gateway matches"):
        make_plan("tag:nowhere", firmware(), [], AROUND, rollout_rules())


def test_the_hash_covers_the_firmware_and_who_gets_it_and_not_the_order() -> None:
    plan = make_plan("", firmware(), [known(1), known(2)], AROUND, rollout_rules())
    turned = make_plan("", firmware(), [known(2), known(1)], AROUND, rollout_rules())
    fewer = make_plan("", firmware(), [known(1)], AROUND, rollout_rules())
    other = make_plan("", firmware("3.6.0"), [known(1), known(2)], AROUND, rollout_rules())
    assert plan.hash == turned.hash
    assert len({plan.hash, fewer.hash, other.hash}) == 3
    moved = [replace(target, wave=2) for target in plan.targets]
    assert plan_hash(plan.firmware, moved, plan.wait_for) != plan.hash


ANOTHER: Mapping[str, Any] = {
    "id": "another",
    "model": "2012",
    "version": "3.6.0",
    "file_name": "b.bin",
    "created_at": NOW + timedelta(seconds=1),
    "size": "11",
    "checksum": "cafe",
}


@pytest.mark.parametrize("field", ANOTHER)
def test_the_hash_covers_all_that_the_portal_tells_of_the_file_and_a_change_says_what_differs(
    field: str,
) -> None:
    file = replace(firmware(), file_name="a.bin", created_at=NOW, size="10", checksum="beef")
    other = replace(file, **{field: ANOTHER[field]})
    plan = make_plan("", file, [known(1)], AROUND, rollout_rules())
    assert plan_hash(file, plan.targets, plan.wait_for) == plan.hash
    assert plan_hash(other, plan.targets, plan.wait_for) != plan.hash
    assert file.change(file) is None
    word = {"file_name": "name", "created_at": "time"}.get(field, field)
    said = file.change(other)
    assert said is not None
    assert said == (
        f"the file a.bin of firmware 3.5.0 is another one in the portal now: its {word} was "
        f"{file.marks[word]} and is {other.marks[word]}"
    )
    assert file.change(replace(file, description="new words")) is None
    assert file.change(None) == "the file a.bin of firmware 3.5.0 is no longer in the portal"


def test_gateways_that_take_no_part_do_not_change_the_hash() -> None:
    plan = make_plan("", firmware(), [known(1)], AROUND, rollout_rules())
    there = make_plan("", firmware(), [known(1), known(2, version="3.5.0")], AROUND, rollout_rules())
    assert plan.hash == there.hash


def test_who_is_waited_for_and_how_long_is_part_of_the_hash() -> None:
    alone = make_plan("", firmware(), [known(1)], AROUND, rollout_rules())
    wider = [known(1), known(2, state=Connectivity.OFFLINE)]
    plan = make_plan("", firmware(), wider, AROUND, rollout_rules())
    shorter = make_plan("", firmware(), wider, AROUND, rollout_rules(wait_for_return=timedelta(days=1)))
    assert len({alone.hash, plan.hash, shorter.hash}) == 3


def test_those_that_are_waited_for_count_for_how_many_must_approve() -> None:
    fleet = [known(1), *(known(number, state=Connectivity.OFFLINE) for number in range(2, 103))]
    assert make_plan("", firmware(), fleet, AROUND, rollout_rules()).approvals_needed == 2
    skipping = rollout_rules(wait_for_return=timedelta())
    skipped = make_plan("", firmware(), fleet, AROUND, skipping)
    assert (skipped.approvals_needed, skipped.awaited) == (1, ())


@pytest.mark.parametrize(
    ("eligible", "fleet", "needed"),
    [(100, 10_000, 1), (101, 10_000, 2), (6, 24, 1), (7, 24, 2), (19, 19, 1), (5, 20, 1), (6, 20, 2)],
)
def test_one_more_approves_above_a_hundred_gateways_or_a_quarter_of_the_fleet(
    eligible: int, fleet: int, needed: int
) -> None:
    assert approvals_needed(eligible, fleet, rollout_rules()) == needed


def test_a_share_is_compared_exactly() -> None:
    rules = rollout_rules(second_above_share=0.29)
    assert [approvals_needed(eligible, 100, rules) for eligible in (29, 30)] == [1, 2]


def test_with_no_approvals_the_requesters_confirmation_is_enough_at_any_size() -> None:
    assert approvals_needed(10_000, 10_000, rollout_rules(approvals=0)) == 0


def test_the_second_approval_can_be_turned_off() -> None:
    rules = rollout_rules(second_above_gateways=None, second_above_share=None)
    assert approvals_needed(10_000, 10_000, rules) == 1


@pytest.mark.parametrize(
    ("present", "wanted", "down"),
    [
        ("3.10.0", "3.4.1", True),
        ("3.4.1", "3.10.0", False),
        ("3.5.0", "3.5.0-beta.2", True),
        ("odd", "3.5.0", True),
        ("", "3.5.0", True),
        ("3.5.0", "f00ba12", True),
        ("v3.5", "3.5.0", False),
    ],
)
def test_a_downgrade_is_named_as_such(present: str, wanted: str, down: bool) -> None:
    assert is_downgrade(present, wanted) is down
    plan = make_plan("", firmware(wanted), [known(version=present)], AROUND, rollout_rules())
    assert plan.downgrades == int(down)


def test_latest_is_the_highest_release_that_has_an_order() -> None:
    versions = ("3.9.0", "v3.10", "3.9.9.9", "4.0.0-beta.1", "4.0.0-rc1", "f00ba12", "3.11.0-2")
    offered = [*map(firmware, versions), firmware("9.0.0", "2012"), firmware("abc", "2012")]
    chosen = choose_firmware("", "Latest", offered, {"2011": 3})
    assert isinstance(chosen, Firmware)
    assert chosen.version == "v3.10"
    assert skipped_for_latest("Latest", offered, ["2011"]) == ("3.11.0-2", "f00ba12")
    assert skipped_for_latest("3.9.0", offered, ["2011"]) == ()


def test_latest_of_several_models_says_what_was_skipped() -> None:
    offered = [firmware("3.9.0"), firmware("abc"), firmware("3.8.0", "2012"), firmware("def", "2013")]
    choice = choose_firmware("", "latest", offered, {"2011": 3, "2012": 1})
    assert isinstance(choice, FirmwareChoice)
    assert choice.skipped == ("abc",)


def test_latest_is_refused_where_nothing_has_an_order() -> None:
    with pytest.raises(
        InvalidInput, match=r"no release with an order for model 2011\. There is: f00ba12, abc"
    ):
        choose_firmware("", "latest", [firmware("abc"), firmware("f00ba12")], {"2011": 3})


@pytest.mark.parametrize(
    ("wanted", "meant"),
    [
        ("3.5", "v3.5.0"),
        ("3.05.0", "v3.5.0"),
        ("V3.5.0", "v3.5.0"),
        ("3.6.0", "3.6.0"),
        ("F00BA12", "f00ba12"),
    ],
)
def test_a_version_is_found_however_it_is_spelled_and_its_own_spelling_first(wanted: str, meant: str) -> None:
    offered = [*map(firmware, ("v3.5.0", "3.6", "3.6.0", "f00ba12"))]
    chosen = choose_firmware("", wanted, offered, {"2011": 3})
    assert isinstance(chosen, Firmware)
    assert chosen.version == meant


def test_a_plan_names_the_versions_that_nobody_can_compare() -> None:
    fleet = [known(1, version="odd"), known(2, version=None), known(3, version="3.9.0"), known(4)]
    plan = make_plan("", firmware("3.5.0"), fleet, AROUND, rollout_rules())
    assert (plan.downgrades, plan.incomparable) == (3, ("", "odd"))
    assert make_plan("", firmware("f00"), fleet, AROUND, rollout_rules()).incomparable == (
        *("", "3.4.1", "3.9.0", "odd"),
    )


def test_a_version_of_several_models_asks_which() -> None:
    offered = [firmware(), firmware(model="2012"), firmware(model="2020")]
    choice = choose_firmware("tag:oslo", "3.5.0", offered, {"2011": 3, "2012": 1})
    assert choice == FirmwareChoice("tag:oslo", "3.5.0", ((offered[0], 3), (offered[1], 1)))
    models = {"2011": 3, "2012": 1}
    assert choose_firmware("tag:oslo", "3.5.0", offered, models, model="2012") == offered[1]


def of_day(day: int, name: str, version: str = "3.5.0") -> Firmware:
    made = NOW + timedelta(days=day)
    return replace(firmware(version), id=FirmwareId(name), file_name=name, created_at=made)


@pytest.mark.parametrize("wanted", ["3.5.0", "3.5", "latest"])
def test_two_files_of_one_version_are_a_choice_the_newest_first(wanted: str) -> None:
    old, new = of_day(1, "old.bin"), of_day(2, "new.bin")
    choice = choose_firmware("tag:oslo", wanted, [old, new, firmware("3.4.1")], {"2011": 3})
    assert choice == FirmwareChoice("tag:oslo", wanted, ((new, 3), (old, 3)))
    assert choose_firmware("tag:oslo", wanted, [old, new], {"2011": 3}, file="old.bin") == old
    with pytest.raises(InvalidInput, match="no longer has that file"):
        choose_firmware("tag:oslo", wanted, [new], {"2011": 3}, file="old.bin")


def test_two_spellings_or_builds_of_what_is_wanted_are_a_choice_too() -> None:
    builds = [of_day(1, "a.bin", "3.9.0+a"), of_day(2, "b.bin", "3.9.0+b")]
    for wanted in ("3.9", "latest"):
        choice = choose_firmware("", wanted, builds, {"2011": 3})
        assert isinstance(choice, FirmwareChoice)
    assert choose_firmware("", "3.9.0+a", builds, {"2011": 3}) == builds[0]


def test_a_row_that_the_portal_lists_twice_is_one_file() -> None:
    assert choose_firmware("", "3.5.0", [firmware(), firmware()], {"2011": 3}) == firmware()


def test_an_unknown_version_names_what_there_is() -> None:
    offered = [firmware("3.4.1"), firmware("3.10.0"), firmware("3.6.0", "2012")]
    with pytest.raises(InvalidInput, match=r"no firmware 9\.9\.9 for model 2011.*3\.10\.0, 3\.4\.1\.$"):
        choose_firmware("", "9.9.9", offered, {"2011": 3})


@pytest.mark.parametrize("matching", [{}, {"2011": 1}])
def test_no_firmware_at_all_says_so(matching: dict[str, int]) -> None:
    with pytest.raises(InvalidInput, match="no firmware"):
        choose_firmware("", "latest", [firmware(model="2012")], matching)


def test_a_quarantined_gateway_is_left_alone() -> None:
    around = replace(AROUND, quarantined=frozenset({known().gateway.id}))
    plan = make_plan("", firmware(), [known()], around, rollout_rules())
    assert [target.cls for target in plan.targets] == [TargetClass.QUARANTINED]
    assert plan.waves == ()


@pytest.mark.parametrize("state", [Connectivity.ONLINE, Connectivity.OFFLINE])
def test_a_gateway_that_another_rollout_has_is_busy_also_when_it_is_waited_for(state: Connectivity) -> None:
    around = replace(AROUND, claimed=frozenset({known().gateway.id}))
    plan = make_plan("", firmware(), [known(state=state)], around, rollout_rules())
    assert [target.cls for target in plan.targets] == [TargetClass.BUSY]


def test_a_frozen_gateway_takes_part_and_waits() -> None:
    plan = make_plan("", firmware(), [known()], replace(AROUND, frozen=True), rollout_rules())
    assert [(target.cls, target.wave) for target in plan.targets] == [(TargetClass.FROZEN, 1)]


@pytest.mark.parametrize(
    ("eligible", "ends", "sizes"),
    [
        (400, None, (5, 15, 80, 100, 200)),
        (60, None, (5, 10, 15, 30)),
        (20, None, (5, 5, 10)),
        (19, None, (1, 4, 14)),
        (1, None, (1,)),
        (0, None, ()),
        (100, (0.07, 1.0), (7, 93)),
        (10, (3,), (3, 7)),
        (10, (20,), (10,)),
        (10, (5, 0.1, 1.0), (5, 5)),
    ],
)
def test_waves_are_cumulative_round_up_and_vanish_when_empty(
    eligible: int, ends: tuple[float, ...] | None, sizes: tuple[int, ...]
) -> None:
    assert wave_sizes(eligible, ends) == sizes


def test_canaries_differ_in_site_and_have_been_stable_for_a_day() -> None:
    sites = ["oslo", "bergen", "kyiv", "lviv", "narvik"]
    steady = [known(10 * n + k, site=site) for n, site in enumerate(sites) for k in range(4)]
    restless = [known(100 + n, site="aa", since=NOW - timedelta(hours=1)) for n in range(5)]
    plan = make_plan("", firmware(), [*restless, *steady], AROUND, rollout_rules())
    canaries = [target for target in plan.targets if target.wave == 1]
    assert sorted(target.site for target in canaries) == sorted(sites)


def test_a_gateway_is_a_canary_from_exactly_a_day_of_stability_on() -> None:
    day = timedelta(hours=24)
    pair = [known(1, since=NOW - day + timedelta(seconds=1)), known(2, since=NOW - day)]
    plan = make_plan("", firmware(), pair, AROUND, rollout_rules())
    assert [target.wave for target in plan.targets] == [2, 1]


def test_a_downgrade_is_counted_of_those_that_take_part() -> None:
    newer = [known(1, version="3.6.0"), known(2, version="3.6.0", state=Connectivity.OFFLINE)]
    assert make_plan("", firmware(), newer, AROUND, rollout_rules()).downgrades == 2
    skipping = rollout_rules(wait_for_return=timedelta())
    assert make_plan("", firmware(), newer, AROUND, skipping).downgrades == 1


def test_canaries_differ_in_hardware_and_present_firmware_from_site_to_site() -> None:
    old_and_new = [("1.0.0", "3.3.0"), ("1.0.0", "3.4.1"), ("2.0.0", "3.4.1")]
    numbers = itertools.count()
    fleet = [
        known(next(numbers), site=site, hardware=hardware, version=version)
        for site in ("oslo", "bergen", "kyiv", "lviv", "narvik")
        for hardware, version in old_and_new
        for _ in range(4)
    ]
    plan = make_plan("", firmware(), fleet, AROUND, rollout_rules())
    canaries = {target.gateway_id for target in plan.targets if target.wave == 1}
    kinds = {(one.gateway.hardware, one.gateway.firmware) for one in fleet if one.gateway.id in canaries}
    assert kinds == set(old_and_new)


def test_membership_of_waves_does_not_depend_on_the_order_of_the_matches() -> None:
    gateways = [known(n, site=f"s{n % 3}") for n in range(30)]
    plan = make_plan("", firmware(), gateways, AROUND, rollout_rules())
    assert make_plan("", firmware(), gateways[::-1], AROUND, rollout_rules()).hash == plan.hash


@pytest.mark.parametrize(
    ("planned", "changed", "drifted"), [(100, 5, False), (100, 6, True), (8, 1, False), (8, 2, True)]
)
def test_drift_is_more_than_five_percent_and_more_than_one(planned: int, changed: int, drifted: bool) -> None:
    assert has_drifted(planned, changed) is drifted


_VERSIONS = st.sampled_from([None, "3.4.1", "3.5.0", "3.5.0-beta.1", "odd"])


@given(
    st.lists(
        st.builds(
            known,
            st.integers(1, 10**9),
            model=st.sampled_from([None, "2011", "2012"]),
            version=_VERSIONS,
            state=st.sampled_from(Connectivity),
            flapping=st.booleans(),
        ),
        min_size=1,
        unique_by=lambda one: one.gateway.id,
    )
)
def test_counts_always_add_up_to_the_plan(matches: list[KnownGateway]) -> None:
    plan = make_plan("", firmware(), matches, AROUND, rollout_rules())
    assert sum(plan.counts().values()) == len(plan.targets) == len(matches)
    assert sum(plan.waves) == len(plan.eligible) == plan.counts()[TargetClass.ELIGIBLE]
