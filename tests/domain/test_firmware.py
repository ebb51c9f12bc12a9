"""Which of two firmware versions is the newer, which are the same, and of which nobody can tell."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.firmware import FirmwareVersion, firmware_key, is_same_firmware
from bot.domain.rollouts.plan import is_downgrade

# From the oldest to the newest; those of one line have one place in the order.
LADDER = [
    ["0", "v0.0.0"],
    ["0.0.1"],
    ["3.4.1-beta.2", "3.4.1-BETA2"],
    ["3.4.1-beta.10"],
    ["3.4.1", "3.4.1.0", "V3.04.1"],
    ["3.5.0-alpha"],
    ["3.5.0-dev.7"],
    ["3.5.0-rc1", "3.5-rc.1", "v3.5.0rc1", "3.5.0_rc-1", "3.5.0-rc01"],
    ["3.5.0-rc1.1"],
    ["3.5.0-rc10"],
    ["3.5.0-snapshot"],
    ["3.5", "3.5.0", "3.05.0", "v3.5.0", " 3.5.0 "],
    ["3.6.0.2-rc1"],
    ["3.6.0.2"],
    ["3.6.0.10"],
    ["3.7.0", "v3.7.0"],
    ["3.9.0+g1a2b3c", "3.9.0", "3.9.0+"],
    ["3.10.0"],
    ["20260504.1"],
    [f"{10**8}", f"0{10**8}.0"],
    [f"{10**9}"],
    [f"{10**17 - 1}"],
    [f"{10**17}"],
    [f"{10**40}.1"],
    [f"{10**40}.1.0.0.0.0.0.7"],
]
UNORDERED = [
    *("", " ", "a1b2c3d", "9f3c2a1", "nightly", "latest", "v", "3.", ".5", "3..5", "3.5.0-", "3.5.x"),
    *("3.5.0-2", "3.5.0-12-g1a2b3c", "3.5.0-hotfix", "3.5.0a", "3.5.0-rc1-hotfix", "3.5.0 (final)"),
    *("٣.4.1", "３.４.１", "3.5.0+größe", "vv3.5", "-3.5", "1e9"),
]
ladder = st.sampled_from([(place, text) for place, texts in enumerate(LADDER) for text in texts])
numbers = st.lists(st.integers(0, 10**20), min_size=1, max_size=5)


def order_of(text: str) -> str:
    key = firmware_key(text)
    assert key is not None, text
    return key


@given(ladder, ladder)
def test_text_order_of_keys_is_the_order_of_versions(one: tuple[int, str], other: tuple[int, str]) -> None:
    keys = order_of(one[1]), order_of(other[1])
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (one[0] < other[0], one[0] == other[0])


@given(numbers, numbers)
def test_numbers_of_any_length_and_count_compare_as_numbers(one: list[int], other: list[int]) -> None:
    places = max(len(one), len(other))
    padded = [[*parts, *[0] * (places - len(parts))] for parts in (one, other)]
    keys = [order_of(".".join(map(str, parts))) for parts in (one, other)]
    assert (keys[0] < keys[1], keys[0] == keys[1]) == (padded[0] < padded[1], padded[0] == padded[1])


@pytest.mark.parametrize("text", [text for texts in LADDER for text in texts])
def test_a_key_has_only_digits_so_that_every_collation_agrees(text: str) -> None:
    assert order_of(text).isdecimal()
    assert order_of(text).isascii()


@pytest.mark.parametrize("text", UNORDERED)
def test_a_version_of_another_form_has_no_order_and_equals_its_own_letters_only(text: str) -> None:
    assert FirmwareVersion.parse(text) is None
    assert is_same_firmware(text, f" {text.upper()}")
    assert not is_same_firmware(text, "3.5.0")


def test_a_version_is_shown_as_it_is_written() -> None:
    assert [str(FirmwareVersion.parse(text)) for text in ("v3.05.0", "3.9.0+G1A2B3C", " 3.5 ")] == [
        *("v3.05.0", "3.9.0+G1A2B3C", "3.5")
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("3.5", "v3.5.0", True),
        ("3.05.0", "3.5.0", True),
        ("3.5.0-rc1", "3.5.0-RC.1", True),
        ("3.5.0-rc1", "3.5.0", False),
        ("3.9.0+g1a2b3c", "3.9.0", True),
        ("3.9.0+g1a2b3c", "v3.9+G1A2B3C", True),
        ("3.9.0+g1a2b3c", "3.9.0+g9f8e7d", False),
        ("a1b2c3d", "A1B2C3D", True),
        ("a1b2c3d", "a1b2c3d4", False),
        (None, "", True),
        (None, "3.5.0", False),
    ],
)
def test_two_texts_name_one_version_by_one_rule(one: str | None, other: str | None, *, same: bool) -> None:
    assert is_same_firmware(one, other) is same
    assert is_same_firmware(other, one) is same


@given(ladder, ladder)
def test_a_lower_version_is_a_downgrade(one: tuple[int, str], other: tuple[int, str]) -> None:
    assert is_downgrade(one[1], other[1]) is (other[0] < one[0])


@pytest.mark.parametrize(
    ("present", "wanted"),
    [*itertools.product(["a1b2c3d", "", None], ["3.5.0", "f00ba12"]), ("3.5.0", "f00ba12")],
)
def test_what_nobody_can_compare_counts_as_a_downgrade(present: str | None, wanted: str) -> None:
    assert is_downgrade(present, wanted)


@pytest.mark.parametrize("text", ["a1b2c3d", "3.9.0+g1a2b3c", "3.5.0-2"])
def test_a_version_is_no_downgrade_of_itself(text: str) -> None:
    assert not is_downgrade(text, text.upper())


def test_a_new_build_of_one_version_is_an_update_and_no_downgrade() -> None:
    assert not is_downgrade("3.9.0+g1a2b3c", "3.9.0+g9f8e7d")


def test_a_long_text_of_separators_is_read_in_no_time() -> None:
    assert FirmwareVersion.parse("1." * 50_000 + "x") is None
    assert FirmwareVersion.parse("1-rc" + "1." * 50_000 + "x") is None
