"""What the benchmarks stand on starts: they run so seldom that nobody else would notice."""

from pathlib import Path

from tests.benchmarks.rig.portal import fleet_of, portal


async def test_the_portal_of_the_benchmarks_starts_and_is_listed(tmp_path: Path) -> None:
    with portal(3) as vendor:
        async with fleet_of(vendor, tmp_path) as fleet:
            listing = await fleet.take_in_listing()
    assert listing is not None
    assert listing.gateways == 3
