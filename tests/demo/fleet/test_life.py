"""What happens in the simulated fleet: time is moved by hand, nothing is asked over HTTP."""

import json
from collections import Counter
from datetime import timedelta

import pytest

from bot.demo.fleet.model import encode
from bot.demo.fleet.simulator import (
    Behaviour,
    FleetSimulator,
    Job,
    PortalJobStatus,
    PortalRefusal,
    SimulatorClock,
    TargetStatus,
)
from tests.demo.fleet.portal import MINUTE, START

HOUR = 60 * MINUTE


@pytest.fixture
def portal() -> FleetSimulator:
    return FleetSimulator(gateways=60, clock=SimulatorClock(0, START))


def pass_time(portal: FleetSimulator, by: timedelta) -> None:
    portal.clock.advance(by)
    portal.tick()


def online(portal: FleetSimulator, count: int, model: str = "2011") -> list[str]:
    ids = [device.id for device in portal.devices.values() if device.connected and device.model == model]
    return ids[:count]


def flash(portal: FleetSimulator, ids: list[str], behaviour: Behaviour = Behaviour.GOOD) -> Job:
    firmware = portal.add_firmware("2011", "4.0.0", behaviour, share=1)
    return portal.create_job("job", firmware.id, ids)


def statuses(job: Job) -> list[TargetStatus]:
    return [target.status for target in job.devices.values()]


class TestClock:
    def test_a_change_of_speed_does_not_move_the_time_of_day(self) -> None:
        clock = SimulatorClock(0, START)
        clock.advance(HOUR)
        clock.set_speed(5000)
        clock.set_speed(0)
        assert START + HOUR <= clock.now() < START + 2 * HOUR

    def test_a_faster_clock_runs_faster(self) -> None:
        slow, fast = SimulatorClock(1, START), SimulatorClock(1e9, START)
        assert fast.now() - START > slow.now() - START

    def test_no_clock_runs_backwards(self) -> None:
        with pytest.raises(ValueError, match="backwards"):
            SimulatorClock().set_speed(-1)


class TestStart:
    def test_the_same_seed_gives_the_same_fleet(self) -> None:
        one, same, other = (
            FleetSimulator(gateways=300, seed=s, clock=SimulatorClock(0, START)) for s in (7, 7, 8)
        )
        assert one.devices == same.devices
        assert one.firmwares == same.firmwares
        assert not one.devices.keys() & other.devices.keys()

    def test_the_same_seed_gives_the_same_story(self) -> None:
        def story() -> bytes:
            portal = FleetSimulator(gateways=60, seed=3, clock=SimulatorClock(0, START))
            portal.live(outages_per_hour=30)
            job = portal.create_job("job", portal.firmware("2011", "3.6.0").id, online(portal, 20))
            for _ in range(12):
                pass_time(portal, 7 * MINUTE)
            return encode([job.wire(), *(device.wire() for device in portal.devices.values())])

        assert story() == story()

    @pytest.mark.parametrize("gateways", [0, 1, 19, 20, 99, 100, 2000])
    def test_a_fleet_has_the_size_asked_for(self, gateways: int) -> None:
        assert len(FleetSimulator(gateways=gateways).devices) == gateways

    def test_some_gateways_have_been_offline_for_long(self) -> None:
        portal = FleetSimulator(gateways=1000, clock=SimulatorClock(0, START))
        gone = [device for device in portal.devices.values() if device.connected is False]
        assert len(gone) == 40
        assert all(device.changed_at and device.changed_at < START - 11 * HOUR for device in gone)

    def test_names_are_hostile_only_where_somebody_asks_for_it(self) -> None:
        tame, wild = FleetSimulator(gateways=60), FleetSimulator(gateways=60, hostile_names=True)
        assert all((one.friendly_name or "MT1").startswith("MT1") for one in tame.devices.values())
        assert any("<!channel>" in (one.friendly_name or "") for one in wild.devices.values())

    def test_sites_are_uneven_and_names_may_be_hostile(self) -> None:
        portal = FleetSimulator(gateways=1000, hostile_names=True)
        sites = Counter(device.site for device in portal.devices.values())
        names = {device.friendly_name or "" for device in portal.devices.values()}
        assert sites["Kyiv-office"] > 3 * sites["trondheim"] > 0
        assert any("<!channel>" in name for name in names)
        assert max(map(len, names)) == 300

    def test_every_device_is_valid_json(self) -> None:
        for device in FleetSimulator(gateways=300).devices.values():
            assert json.loads(device.encoded()) == device.wire()


class TestOutages:
    def test_an_outage_ends_at_its_own_moment_however_late_one_looks(self, portal: FleetSimulator) -> None:
        (device_id,) = online(portal, 1)
        portal.disconnect([device_id], for_=10 * MINUTE)
        assert portal.devices[device_id].connected is False
        pass_time(portal, HOUR)
        device = portal.devices[device_id]
        assert (device.connected, device.changed_at) == (True, START + 10 * MINUTE)

    def test_of_two_outages_the_longer_counts(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        portal.disconnect(ids, for_=10 * MINUTE)
        portal.disconnect(ids, for_=30 * MINUTE)
        pass_time(portal, 20 * MINUTE)
        assert portal.devices[ids[0]].connected is False
        pass_time(portal, 10 * MINUTE)
        assert portal.devices[ids[0]].connected

    def test_a_dark_site_is_dark_as_a_whole_and_alone(self, portal: FleetSimulator) -> None:
        before = {device.id for device in portal.devices.values() if device.connected is False}
        portal.darken_site("oslo")
        after = {device.id for device in portal.devices.values() if device.connected is False}
        assert after == before | set(portal.at_site("oslo"))

    def test_a_flapping_gateway_goes_and_comes_as_often_as_asked(self, portal: FleetSimulator) -> None:
        (device_id,) = online(portal, 1)
        portal.flap(device_id, 5 * MINUTE, 2)
        states = [portal.devices[device_id].connected]
        for _ in range(5):
            pass_time(portal, 5 * MINUTE)
            states.append(portal.devices[device_id].connected)
        assert states == [False, True, False, True, True, True]

    def test_a_living_fleet_loses_gateways_and_gets_them_back(self, portal: FleetSimulator) -> None:
        before = {device.id: device.changed_at for device in portal.devices.values()}
        portal.live(outages_per_hour=60)
        pass_time(portal, 3 * HOUR)
        portal.live(outages_per_hour=0)
        pass_time(portal, HOUR)
        changed = [device for device in portal.devices.values() if device.changed_at != before[device.id]]
        assert len(changed) > 20
        assert all(device.connected for device in changed)


class TestJobs:
    def test_a_good_firmware_downloads_reboots_and_reports(self, portal: FleetSimulator) -> None:
        (device_id,) = online(portal, 1)
        portal.pickup, portal.download, portal.reboot = (MINUTE,) * 2, (10 * MINUTE,) * 2, (3 * MINUTE,) * 2
        job = flash(portal, [device_id])
        seen = []
        for minutes in (0, 2, 9, 3):
            pass_time(portal, minutes * MINUTE)
            device = portal.devices[device_id]
            seen.append((job.status, *statuses(job), device.connected, device.firmware == "4.0.0"))
        assert seen == [
            (PortalJobStatus.SCHEDULED, TargetStatus.QUEUED, True, False),
            (PortalJobStatus.IN_PROGRESS, TargetStatus.IN_PROGRESS, True, False),
            (PortalJobStatus.IN_PROGRESS, TargetStatus.IN_PROGRESS, False, False),
            (PortalJobStatus.COMPLETED, TargetStatus.SUCCEEDED, True, True),
        ]
        assert portal.starts == {device_id: [job.id]}

    def test_an_offline_gateway_stays_queued_until_it_connects(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        portal.disconnect(ids)
        job = flash(portal, ids)
        pass_time(portal, 5 * HOUR)
        assert (statuses(job), portal.starts) == ([TargetStatus.QUEUED], {})
        portal.connect(ids)
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.SUCCEEDED]

    def test_a_second_job_waits_for_the_first(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        first, second = flash(portal, ids), flash(portal, ids)
        pass_time(portal, MINUTE)
        assert statuses(first) + statuses(second) == [TargetStatus.IN_PROGRESS, TargetStatus.QUEUED]
        pass_time(portal, HOUR)
        assert second.status is PortalJobStatus.COMPLETED
        assert portal.starts[ids[0]] == [first.id, second.id]

    def test_a_link_lost_during_the_download_delays_it(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        job = flash(portal, ids)
        pass_time(portal, 5 * MINUTE)
        portal.disconnect(ids, for_=HOUR)
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.IN_PROGRESS]
        pass_time(portal, 6 * MINUTE)
        assert statuses(job) == [TargetStatus.SUCCEEDED]
        assert portal.starts[ids[0]] == [job.id]

    def test_a_link_lost_during_the_reboot_delays_the_report(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        portal.pickup, portal.download, portal.reboot = (
            (timedelta(),) * 2,
            (10 * MINUTE,) * 2,
            (3 * MINUTE,) * 2,
        )
        job = flash(portal, ids)
        pass_time(portal, 11 * MINUTE)
        portal.disconnect(ids, for_=HOUR)
        pass_time(portal, 10 * MINUTE)
        assert (statuses(job), portal.devices[ids[0]].connected) == ([TargetStatus.IN_PROGRESS], False)
        pass_time(portal, HOUR)
        assert (statuses(job), portal.devices[ids[0]].firmware) == ([TargetStatus.SUCCEEDED], "4.0.0")

    def test_a_gateway_that_vanishes_in_the_middle_of_a_job_does_not_hold_it_up(
        self, portal: FleetSimulator
    ) -> None:
        ids = online(portal, 2)
        job = flash(portal, ids)
        pass_time(portal, 5 * MINUTE)
        del portal.devices[ids[0]]
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.REMOVED, TargetStatus.SUCCEEDED]

    def test_a_released_gateway_is_removed_from_its_jobs(self, portal: FleetSimulator) -> None:
        ids = online(portal, 2)
        job = flash(portal, ids)
        pass_time(portal, MINUTE)
        portal.remove_device(ids[0])
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.REMOVED, TargetStatus.SUCCEEDED]
        assert job.status is PortalJobStatus.COMPLETED

    def test_a_canceled_job_never_starts_what_was_queued(self, portal: FleetSimulator) -> None:
        ids = online(portal, 3)
        job = flash(portal, ids)
        portal.cancel_job(job.id)
        pass_time(portal, HOUR)
        assert (statuses(job), job.status, portal.starts) == (
            [TargetStatus.CANCELED] * 3,
            PortalJobStatus.CANCELED,
            {},
        )

    def test_a_gateway_of_unknown_model_fits_nothing(self, portal: FleetSimulator) -> None:
        (device_id,) = online(portal, 1)
        portal.devices[device_id].model = None
        with pytest.raises(PortalRefusal, match="does not fit"):
            flash(portal, [device_id])


class TestBadFirmware:
    def test_what_fails_reports_it_and_stays_as_it_was(self, portal: FleetSimulator) -> None:
        (device_id,) = online(portal, 1)
        before = portal.devices[device_id].firmware
        job = flash(portal, [device_id], Behaviour.FAILS)
        pass_time(portal, HOUR)
        device = portal.devices[device_id]
        assert (statuses(job), job.status) == ([TargetStatus.FAILED], PortalJobStatus.COMPLETED)
        assert job.devices[device_id].details
        assert (device.connected, device.firmware) == (True, before)

    def test_what_bricks_never_comes_back(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        job = flash(portal, ids, Behaviour.BRICKS)
        pass_time(portal, 100 * HOUR)
        assert statuses(job) == [TargetStatus.IN_PROGRESS]
        assert portal.devices[ids[0]].connected is False

    def test_about_8_percent_brick_unless_told_otherwise(self) -> None:
        portal = FleetSimulator(gateways=1500, clock=SimulatorClock(0, START))
        ids = online(portal, 1000)
        portal.create_job("job", portal.firmware("2011", "3.6.0").id, ids)
        pass_time(portal, HOUR)
        bricked = [device_id for device_id in ids if not portal.devices[device_id].connected]
        assert 50 <= len(bricked) <= 110

    def test_one_share_for_all_overrules_the_firmwares_own(self, portal: FleetSimulator) -> None:
        portal.behaviour_share = 0.0
        job = flash(portal, online(portal, 5), Behaviour.FAILS)
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.SUCCEEDED] * 5

    def test_what_lies_says_succeeded_and_keeps_its_version(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        before = portal.devices[ids[0]].firmware
        job = flash(portal, ids, Behaviour.LIES)
        pass_time(portal, HOUR)
        assert statuses(job) == [TargetStatus.SUCCEEDED]
        assert (portal.devices[ids[0]].connected, portal.devices[ids[0]].firmware) == (True, before)

    def test_what_is_silent_stays_in_progress_and_online(self, portal: FleetSimulator) -> None:
        ids = online(portal, 1)
        job = flash(portal, ids, Behaviour.SILENT)
        pass_time(portal, 100 * HOUR)
        assert statuses(job) == [TargetStatus.IN_PROGRESS]
        assert portal.devices[ids[0]].connected

    def test_what_rejects_never_starts(self, portal: FleetSimulator) -> None:
        job = flash(portal, online(portal, 1), Behaviour.REJECTS)
        pass_time(portal, MINUTE)
        assert (statuses(job), portal.starts) == ([TargetStatus.REJECTED], {})

    def test_neighbours_drop_while_it_flashes_and_return(self, portal: FleetSimulator) -> None:
        site = "Kyiv-office"
        target = next(i for i in online(portal, 60) if portal.devices[i].site == site)
        up = {device.id for device in portal.devices.values() if device.connected} - {target}
        flash(portal, [target], Behaviour.DROPS_NEIGHBOURS)
        pass_time(portal, 9 * MINUTE)
        dropped = {device_id for device_id in up if not portal.devices[device_id].connected}
        pass_time(portal, HOUR)
        assert dropped
        assert {portal.devices[device_id].site for device_id in dropped} == {site}
        assert all(portal.devices[device_id].connected for device_id in up)
