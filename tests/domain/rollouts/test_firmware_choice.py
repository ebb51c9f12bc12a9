"""Which firmware file somebody means."""

import pytest

from bot.domain.errors import InvalidInput
from bot.domain.firmware import Firmware
from bot.domain.rollouts.firmware_choice import FirmwareChoice, choose_firmware, skipped_for_latest
from tests.domain.rollouts.test_plan import firmware, of_day


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


def test_a_version_of_several_models_asks_which() -> None:
    offered = [firmware(), firmware(model="2012"), firmware(model="2020")]
    choice = choose_firmware("tag:oslo", "3.5.0", offered, {"2011": 3, "2012": 1})
    assert choice == FirmwareChoice("tag:oslo", "3.5.0", ((offered[0], 3), (offered[1], 1)))
    models = {"2011": 3, "2012": 1}
    assert choose_firmware("tag:oslo", "3.5.0", offered, models, model="2012") == offered[1]


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
