"""The plan of a rollout: which firmware, who gets it, who must approve."""

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
from bot.domain.rollouts.lifecycle import TargetClass
from bot.domain.rollouts.plan import Circumstances, has_drifted, is_downgrade, make_plan, plan_hash
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


def test_a_plan_names_the_versions_that_nobody_can_compare() -> None:
    fleet = [known(1, version="odd"), known(2, version=None), known(3, version="3.9.0"), known(4)]
    plan = make_plan("", firmware("3.5.0"), fleet, AROUND, rollout_rules())
    assert (plan.downgrades, plan.incomparable) == (3, ("", "odd"))
    assert make_plan("", firmware("f00"), fleet, AROUND, rollout_rules()).incomparable == (
        *("", "3.4.1", "3.9.0", "odd"),
    )


def of_day(day: int, name: str, version: str = "3.5.0") -> Firmware:
    made = NOW + timedelta(days=day)
    return replace(firmware(version), id=FirmwareId(name), file_name=name, created_at=made)


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


def test_a_downgrade_is_counted_of_those_that_take_part() -> None:
    newer = [known(1, version="3.6.0"), known(2, version="3.6.0", state=Connectivity.OFFLINE)]
    assert make_plan("", firmware(), newer, AROUND, rollout_rules()).downgrades == 2
    skipping = rollout_rules(wait_for_return=timedelta())
    assert make_plan("", firmware(), newer, AROUND, skipping).downgrades == 1


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
