"""The vendor's wire, tidy and odd."""

import json
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.domain.firmware import DeviceProgress, JobStatus
from bot.domain.gateways import Connectivity, Gateway, GatewayId
from bot.meshtech.client import DevicePage
from bot.meshtech.models import (
    LONGEST,
    UNREADABLE,
    WireDevice,
    WireFirmware,
    WireJob,
    from_json,
    instant,
    label_texts,
    read,
    read_page,
    text,
)
from tests.meshtech.vendor import device

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def gateway(**changes: Any) -> Gateway:
    found = read(json.dumps(device(**changes)).encode(), WireDevice).to_domain()
    assert found is not None
    return found


def test_the_documented_device_is_read_whole() -> None:
    assert gateway() == Gateway(
        id=GatewayId("bmac-c0141f68fc3d"),
        name="MT10225",
        model="2011",
        tags=("Kyiv-office",),
        connectivity=Connectivity.ONLINE,
        changed_at=datetime(2020, 12, 8, 8, 10, 8, 880000, UTC),
        firmware="3.4.1",
        hardware="1.0.0",
    )


@pytest.mark.parametrize("empty", [json.dumps(dict.fromkeys(device())), "{}"])
def test_everything_but_the_id_may_be_null_or_missing(empty: str) -> None:
    item = {**json.loads(empty), "id": "bmac-1", "soundLevel": {"unknown": [1]}}

    assert read(json.dumps(item).encode(), WireDevice).to_domain() == Gateway(GatewayId("bmac-1"))


def test_numbers_where_texts_are_expected_are_texts() -> None:
    odd = gateway(id=7, modelNumber=2011, imei=356938035643809, friendlyName=1.5)

    assert (odd.id, odd.model, odd.imei, odd.name) == ("7", "2011", "356938035643809", "1.5")


@pytest.mark.parametrize(
    ("field", "value"),
    [("friendlyName", ["x"]), ("labels", "x"), ("connectivity", "online"), ("bootMode", {}), ("imei", True)],
)
def test_a_field_of_the_wrong_type_loses_itself_only(field: str, value: object) -> None:
    odd, without = gateway(**{field: value}), gateway(**{field: None})

    assert odd == without


@pytest.mark.parametrize(
    ("connected", "timestamp", "state"),
    [
        (True, {}, "online"),
        ("true", [1], "online"),
        (0, None, "offline"),
        (None, "x", "unknown"),
        ("maybe", 1, "unknown"),
    ],
)
def test_an_odd_connectivity_keeps_what_can_be_read(connected: object, timestamp: object, state: str) -> None:
    assert gateway(connectivity={"connected": connected, "timestamp": timestamp}).connectivity == state


@pytest.mark.parametrize("value", ["", "  ", "\0", None, [], {}, True])
def test_a_blank_text_is_none(value: object) -> None:
    assert text(value) is None


def test_texts_that_no_database_takes_are_mended() -> None:
    spoiled = b'{"id": "a\\u0000b", "friendlyName": "half \\ud83d of it", "imei": "\xff"}'

    found = read(spoiled, WireDevice).to_domain()

    assert found == Gateway(GatewayId("ab"), name="half ? of it", imei="\N{REPLACEMENT CHARACTER}")


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("friendlyName", "name"),
        ("modelNumber", "model"),
        ("firmwareVersion", "firmware"),
        ("hardwareVersion", "hardware"),
        ("imei", "imei"),
        ("status", "status"),
        ("bootMode", "boot_mode"),
    ],
)
def test_a_text_longer_than_an_index_holds_is_cut(theirs: str, ours: str) -> None:
    found = from_json({"id": "a", theirs: "x" * (LONGEST + 1)}, WireDevice).to_domain()
    assert getattr(found, ours) == "x" * LONGEST


def test_a_tag_longer_than_an_index_holds_is_cut_and_an_id_is_none() -> None:
    assert label_texts(["x" * (LONGEST + 1)]) == ("x" * LONGEST,)
    assert WireDevice(id="x" * LONGEST).to_domain() is not None
    assert WireDevice(id="x" * (LONGEST + 1)).to_domain() is None


def test_one_spoiled_item_does_not_lose_the_page() -> None:
    page = DevicePage(read_page(b'{"items": [{"id": "\\ud83d"}, {"id": "b", "imei": NaN}]}').items or [])

    found = [page.decode(raw) for raw in page.raw_items]

    assert [one.id for one in found if one] == ["?", "b"]


def test_items_without_an_id_are_skipped_and_counted() -> None:
    page = DevicePage(
        read_page(b'{"items": [{}, {"id": null}, 7, null, {"id": " "}, {"id": "b"}]}').items or []
    )

    found = [page.decode(raw) for raw in page.raw_items]

    assert [one.id for one in found if one] == ["b"]
    assert page.without_id == 5


def test_the_raw_items_are_the_vendors_own_bytes() -> None:
    page = read_page(b'{"items": [{"id":  "a"},\n {"b": 1.0}], "nextToken": "x=="}')

    assert [bytes(raw) for raw in page.items or []] == [b'{"id":  "a"}', b'{"b": 1.0}']
    assert page.next_token == "x=="


@pytest.mark.parametrize(
    "body", [b'["a", "b"]', b'{"items": ["a", "b"]}', b'{"items": ["a", "b"], "more": 1}']
)
def test_a_bare_array_is_a_page(body: bytes) -> None:
    page = read_page(body)

    assert [bytes(raw) for raw in page.items or []] == [b'"a"', b'"b"']
    assert page.next_token is None


def test_null_items_are_an_empty_page() -> None:
    assert not read_page(b'{"items": null, "nextToken": null}').items


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"null",
        b'"x"',
        b"<html>",
        b'{"items": [1',
        b'{"items": {}}',
        b'{"data": []}',
        b"[" * 10**5,
    ],
)
def test_what_is_no_page_is_an_error_and_never_an_empty_fleet(body: bytes) -> None:
    with pytest.raises(UNREADABLE):
        read_page(body)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2020-12-08T08:10:08Z", "2020-12-08T08:10:08+00:00"),
        ("2020-12-08t08:10:08.8z", "2020-12-08T08:10:08.800000+00:00"),
        ("2020-12-08T08:10:08.1234567Z", "2020-12-08T08:10:08.123456+00:00"),
        ("2020-12-08T10:10:08+02:00", "2020-12-08T08:10:08+00:00"),
        ("2020-12-08T08:10:08.88", "2020-12-08T08:10:08.880000+00:00"),
        (" 2020-12-08 08:10:08 ", "2020-12-08T08:10:08+00:00"),
        (1607415008, "2020-12-08T08:10:08+00:00"),
        (1607415008880, "2020-12-08T08:10:08.880000+00:00"),
        ("0001-01-01T00:00:00", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("1970-01-01T00:00:00Z", None),
        (0, None),
        ("yesterday", None),
        ("", None),
        (None, None),
        (True, None),
        (10**40, None),
        (float("nan"), None),
        ([], None),
    ],
)
def test_a_timestamp_is_read_in_utc_or_is_none(value: object, expected: str | None) -> None:
    found = instant(value)

    assert (found.isoformat() if found else None) == expected


@given(
    st.datetimes(min_value=datetime(2000, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - Hypothesis' wish
    st.integers(0, 7),
    st.sampled_from(["Z", "", "+00:00"]),
)
def test_any_number_of_digits_of_a_second_is_understood(moment: datetime, digits: int, zone: str) -> None:
    fraction = f"{moment.microsecond:06}0"[:digits]
    second = moment.isoformat()[:19]
    written = f"{second}{'.' if digits else ''}{fraction}{zone}"

    found = instant(written)

    assert found is not None
    assert abs((found - moment).total_seconds()) < 10.0**-digits
    assert found.utcoffset() == moment.utcoffset()


@given(JSON)
def test_no_value_whatever_is_a_crash_as_a_timestamp_a_text_or_labels(value: Any) -> None:
    found = instant(value)
    assert found is None or found.tzinfo is UTC
    assert all("\0" not in one for one in (text(value) or "", *label_texts(value)))


@given(st.dictionaries(st.sampled_from([*device(), "connected"]), JSON), JSON)
def test_no_device_whatever_is_a_crash(changes: dict[str, Any], connected: Any) -> None:
    odd = device(**changes)
    if isinstance(odd["connectivity"], dict):
        odd["connectivity"]["connected"] = connected
    page = DevicePage([msgspec.Raw(json.dumps(odd).encode())])

    found = page.decode(page.raw_items[0])

    assert (found is None) == (page.without_id == 1)
    if found is not None:
        assert all(part.encode() for part in (found.id, found.label, *found.tags))


@given(JSON, JSON, JSON)
def test_no_job_or_firmware_whatever_is_a_crash(first: Any, second: Any, third: Any) -> None:
    odd = {"id": "x", "status": first, "createdAt": second, "version": first, "modelNumber": second}
    odd["devices"] = [{"deviceId": "d", "status": second, "statusDetails": third}, third]
    body = json.dumps(odd).encode()

    job, firmware = read(body, WireJob).to_domain(), read(body, WireFirmware).to_domain()

    assert job is not None
    assert job.id == "x"
    assert job.devices[0].device_id == "d"
    assert firmware is not None
    assert firmware.id == "x"


def test_labels_are_texts_or_objects_each_once() -> None:
    assert label_texts(["b", {"label": "a"}, "b", None, {"x": 1}, 7, "", [1]]) == ("b", "a", "7")


def test_an_unknown_word_is_kept_and_ends_nothing() -> None:
    job = read(
        b'{"id": 1, "status": "Paused", "devices": [{"deviceId": "d", "status": "REBOOTING"}]}', WireJob
    )

    found = job.to_domain()

    assert found is not None
    assert (found.word, found.status, found.status.terminal) == ("Paused", JobStatus.UNKNOWN, False)
    (part,) = found.devices
    assert (part.word, part.progress, part.progress.terminal) == ("REBOOTING", DeviceProgress.UNKNOWN, False)


@pytest.mark.parametrize(
    ("word", "progress"),
    [
        ("SUCCEEDED", "SUCCEEDED"),
        ("TimedOut", "TIMED_OUT"),
        ("in-progress", "IN_PROGRESS"),
        ("Cancelled", "CANCELED"),
    ],
)
def test_a_known_word_is_understood_in_any_case(word: str, progress: str) -> None:
    assert DeviceProgress.of(word) == progress


def test_every_word_but_the_waiting_ones_ends_a_gateways_part() -> None:
    waiting = {progress for progress in DeviceProgress if not progress.terminal}

    assert waiting == {DeviceProgress.QUEUED, DeviceProgress.IN_PROGRESS, DeviceProgress.UNKNOWN}
    assert {status for status in JobStatus if status.terminal} == {JobStatus.COMPLETED, JobStatus.CANCELED}


@pytest.mark.parametrize("wrapping", ["%s", '{"detailsMap": %s}'])
def test_details_given_as_an_object_read_as_a_line(wrapping: str) -> None:
    details = wrapping % '{"reason": "low battery", "step": 2}'
    body = f'{{"id": "j", "devices": [{{"deviceId": "d", "statusDetails": {details}}}]}}'

    found = read(body.encode(), WireJob).to_domain()

    assert found is not None
    assert found.devices[0].details == "reason: low battery, step: 2"
