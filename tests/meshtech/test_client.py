"""Lists, jobs, tags: what the client makes of answers, and what it never does."""

import gc
import weakref
from typing import Any

import pytest

from bot.domain.firmware import DeviceProgress, FirmwareId, JobId, JobStatus
from bot.domain.gateways import GatewayId
from bot.meshtech.client import SAME_JOB_BYTES
from bot.meshtech.errors import (
    AnswerUnreadable,
    Conflict,
    DeviceUnknown,
    JobUnknown,
    ListingBroken,
    OutcomeUnknown,
    RateLimited,
    RouteMissing,
    VendorRefused,
    VendorUnavailable,
)
from tests.meshtech.vendor import Answer, World, device, page, world

GATEWAY = GatewayId("bmac-c0141f68fc3d")
FIRMWARE = FirmwareId("fw-1")


async def listed(pages: Any) -> list[Any]:
    return [item async for item in pages]


async def ids_of_all_gateways(meshtech: World) -> list[str]:
    found = [(one, raw) async for one in meshtech.client.device_pages() for raw in one.raw_items]
    return [gateway.id for one, raw in found if (gateway := one.decode(raw))]


async def test_a_listing_is_all_pages_in_their_order(meshtech: World) -> None:
    meshtech.api.then(page(device("a"), device("b"), token="1"), page(token="2"), page(device("c"), token=""))

    assert await ids_of_all_gateways(meshtech) == ["a", "b", "c"]


async def test_a_page_that_fails_fails_the_listing(meshtech: World) -> None:
    meshtech.api.then(page(device(), token="1"))
    meshtech.api.always = Answer(500)

    with pytest.raises(VendorUnavailable):
        await ids_of_all_gateways(meshtech)


@pytest.mark.parametrize("status", [400, 404, 410, 422])
async def test_an_expired_next_token_breaks_the_listing(meshtech: World, status: int) -> None:
    meshtech.api.then(page(device(), token="old"), Answer(status, {"message": "The token has expired"}))

    with pytest.raises(ListingBroken, match="begins anew"):
        await ids_of_all_gateways(meshtech)


async def test_a_next_token_that_no_address_holds_breaks_the_listing(meshtech: World) -> None:
    meshtech.api.then(page(device(), token="x" * 70_000))

    with pytest.raises(ListingBroken, match="begins anew"):
        await ids_of_all_gateways(meshtech)


async def test_a_refused_page_size_names_the_setting(meshtech: World) -> None:
    meshtech.api.always = Answer(400, {"title": "MaxResults must be at most 100"})

    with pytest.raises(VendorRefused, match=r"at most 100.*MESHBOT_MESHTECH__PAGE_SIZE to less than 250"):
        await meshtech.client.check()


@pytest.mark.parametrize("circle", [1, 2, 3, 5, 64, 100])
async def test_pages_that_go_round_in_a_circle_are_an_error(meshtech: World, circle: int) -> None:
    meshtech.api.always = lambda _: page(token=str(len(meshtech.api.seen) % circle))

    with pytest.raises(ListingBroken, match="circle"):
        await ids_of_all_gateways(meshtech)

    assert len(meshtech.api.seen) <= 4 * circle


async def test_a_token_that_says_only_the_same_again_is_an_error_at_once(meshtech: World) -> None:
    meshtech.api.then(page(token="a"), page(token="b"), page(token="c"))
    meshtech.api.always = page(token="d")

    with pytest.raises(ListingBroken, match="circle"):
        await ids_of_all_gateways(meshtech)

    assert len(meshtech.api.seen) == 5


async def test_a_list_without_end_is_an_error() -> None:
    async with world(max_pages=20) as meshtech:
        meshtech.api.always = lambda _: page(token=str(len(meshtech.api.seen)))

        with pytest.raises(ListingBroken, match="no end after 20 pages"):
            await ids_of_all_gateways(meshtech)


@pytest.mark.parametrize(
    "body", [b"<html>Maintenance</html>", b'{"items": [{"id": "a"', b"", b"{}", b'{"error": "x"}']
)
async def test_an_answer_that_is_no_list_is_never_an_empty_fleet(meshtech: World, body: bytes) -> None:
    meshtech.api.always = Answer(body=body)

    with pytest.raises(AnswerUnreadable, match="LIST_DEVICES cannot be read"):
        await ids_of_all_gateways(meshtech)


async def test_items_without_an_id_are_counted_for_the_metrics(meshtech: World) -> None:
    meshtech.api.then(page(device(), {}, token="1"), page({"id": None}, device("b")))

    async for one in meshtech.client.device_pages():
        for raw in one.raw_items:
            one.decode(raw)

    assert meshtech.client.counters.devices_without_id == 2


async def test_a_listing_keeps_no_page_that_was_read(meshtech: World) -> None:
    meshtech.api.then(*(page(device(), token=str(number)) for number in range(5)), page())
    alive: weakref.WeakSet[Any] = weakref.WeakSet()
    most = 0

    async for one in meshtech.client.device_pages():
        alive.add(one)
        gc.collect()
        most = max(most, len(alive))

    assert most == 1


async def test_one_gateway_is_read(meshtech: World) -> None:
    meshtech.api.always = Answer(body=device(friendlyName="N"))

    assert (await meshtech.client.device(GATEWAY)).name == "N"


async def test_an_unknown_gateway_is_named(meshtech: World) -> None:
    meshtech.api.always = Answer(404, {"message": "not found"})

    with pytest.raises(DeviceUnknown, match=GATEWAY):
        await meshtech.client.device(GATEWAY)
    with pytest.raises(DeviceUnknown, match=GATEWAY):
        await meshtech.client.rename(GATEWAY, "x")


@pytest.mark.parametrize("body", [b"<html>", b"[]", b"null", b"{}", b'{"id": null}'])
async def test_an_answer_that_is_no_gateway_is_an_error(meshtech: World, body: bytes) -> None:
    meshtech.api.always = Answer(body=body)

    with pytest.raises(AnswerUnreadable):
        await meshtech.client.device(GATEWAY)


@pytest.mark.parametrize(
    "body",
    [["a", "b"], {"items": ["a", "b"]}, [{"label": "a"}, {"label": "b"}], {"items": [{"label": "a"}, "b"]}],
)
async def test_labels_come_in_four_forms(meshtech: World, body: object) -> None:
    meshtech.api.always = Answer(body=body)

    assert await meshtech.client.labels() == ("a", "b")


ALREADY = [
    Answer(409),
    Answer(400, {"message": "Label already exists"}),
    Answer(422, {"title": "It exists."}),
]


@pytest.mark.parametrize("answer", ALREADY)
async def test_a_label_that_exists_already_is_a_success(meshtech: World, answer: Answer) -> None:
    meshtech.api.always = answer

    await meshtech.client.create_label("x")
    await meshtech.client.add_label(GATEWAY, "x")

    assert len(meshtech.api.seen) == 2


async def test_a_label_that_is_refused_is_an_error_with_the_vendors_words(meshtech: World) -> None:
    meshtech.api.always = Answer(400, {"message": "Label  is\ntoo long"})

    with pytest.raises(VendorRefused, match="It said: “Label is too long”") as caught:
        await meshtech.client.create_label("x")
    assert (caught.value.status, caught.value.said) == (400, "Label is too long")
    with pytest.raises(VendorRefused):
        await meshtech.client.add_label(GATEWAY, "x")


async def test_a_tag_that_is_gone_already_is_gone(meshtech: World) -> None:
    meshtech.api.then(Answer(200), Answer(404))

    assert await meshtech.client.remove_label(GATEWAY, "x") is True
    assert await meshtech.client.remove_label(GATEWAY, "x") is False


async def test_firmware_can_be_asked_for_by_model(meshtech: World) -> None:
    rows = [{"id": "1", "modelNumber": "2011"}, {"id": "2", "modelNumber": 2012}, {"modelNumber": "2012"}, 7]
    meshtech.api.always = page(*rows)

    assert [firmware.id async for firmware in meshtech.client.firmwares()] == ["1", "2"]
    assert [firmware.id async for firmware in meshtech.client.firmwares("2012")] == ["2"]


async def test_a_firmware_file_is_gone_only_when_two_looks_do_not_find_it(meshtech: World) -> None:
    skipped, whole = page({"id": "fw-2"}), page({"id": "fw-2"}, {"id": "fw-1"})
    meshtech.api.then(skipped, whole, skipped, skipped)

    found = await meshtech.client.firmware(FIRMWARE)

    assert found is not None
    assert await meshtech.client.firmware(FIRMWARE) is None


def job(number: int) -> dict[str, str]:
    return {"id": f"j{number}", "createdAt": f"2026-01-0{number}T00:00:00Z"}


async def test_jobs_that_come_newest_first_are_fetched_page_by_page(meshtech: World) -> None:
    meshtech.api.then(page(job(5), job(4), token="1"), page(job(3), job(2)))

    found = [(one.id, len(meshtech.api.seen)) async for one in meshtech.client.jobs()]

    assert found == [("j5", 1), ("j4", 1), ("j3", 2), ("j2", 2)]


async def test_jobs_that_come_in_another_order_are_sorted(meshtech: World) -> None:
    undated = {"id": "j0", "createdAt": None}
    meshtech.api.then(page(job(2), undated, job(3), token="1"), page(job(5), job(4)))

    assert [one.id async for one in meshtech.client.jobs()] == ["j5", "j4", "j3", "j2", "j0"]


async def test_a_job_is_read_with_its_gateways(meshtech: World) -> None:
    parts = [
        {"deviceId": "a", "status": "SUCCEEDED", "statusDetails": None, "updatedAt": "2026-01-01T00:00:00Z"},
        {"deviceId": "b", "status": "NEW_WORD"},
    ]
    whole = {
        "id": "j",
        "name": "n",
        "status": "IN_PROGRESS",
        "firmwareId": 7,
        "completedAt": None,
        "devices": parts,
    }
    meshtech.api.always = Answer(body=whole)

    found = await meshtech.client.job(JobId("j"))

    assert (found.name, found.status, found.firmware_id) == ("n", JobStatus.IN_PROGRESS, "7")
    assert [part.progress for part in found.devices] == [DeviceProgress.SUCCEEDED, DeviceProgress.UNKNOWN]


async def test_a_job_in_the_bytes_of_last_time_is_kept_unless_it_is_long(meshtech: World) -> None:
    kept = []
    for room in (0, SAME_JOB_BYTES):
        meshtech.api.always = Answer(body={"id": "j", "name": "n" * room})
        kept.append(await meshtech.client.job(JobId("j")) is await meshtech.client.job(JobId("j")))

    assert kept == [True, False]


async def test_an_unknown_job_is_named_and_one_that_is_over_cannot_be_cancelled(meshtech: World) -> None:
    meshtech.api.then(Answer(404), Answer(409, {"detail": "Job is COMPLETED"}))

    with pytest.raises(JobUnknown, match="j-1"):
        await meshtech.client.job(JobId("j-1"))
    with pytest.raises(Conflict, match="Job is COMPLETED"):
        await meshtech.client.cancel_job(JobId("j-1"))


@pytest.mark.parametrize("body", [{"id": "j"}, {"id": 7}, "j"])
async def test_a_new_jobs_id_is_returned(meshtech: World, body: Any) -> None:
    meshtech.api.always = Answer(body=body)

    assert await meshtech.client.create_job("n", FIRMWARE, [GATEWAY]) in ("j", "7")


@pytest.mark.parametrize(
    "answer",
    [
        Answer(lost=True),
        Answer(500),
        Answer(503, headers={"Retry-After": "1"}),
        Answer(504),
        Answer(408),
        Answer(200, b"<html>"),
        Answer(200, b'{"id": "j'),
        Answer(200, {}),
        Answer(200, {"id": None}),
        Answer(200, b"no gzip", {"Content-Encoding": "gzip"}),
        Answer(204),
    ],
)
async def test_a_job_whose_answer_was_lost_is_never_created_again(meshtech: World, answer: Answer) -> None:
    meshtech.api.then(answer)
    meshtech.api.always = Answer(body={"id": "second"})

    with pytest.raises(OutcomeUnknown, match="Look for it in the list of jobs"):
        await meshtech.client.create_job("n", FIRMWARE, [GATEWAY])

    assert len(meshtech.api.seen) == 1


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (Answer(429, headers={"Retry-After": "7"}), RateLimited),
        (Answer(400, {"message": "no such device"}), VendorRefused),
        (Answer(409), Conflict),
        (Answer(404), RouteMissing),
        (Answer(302, headers={"Location": "/login"}), RouteMissing),
    ],
)
async def test_a_job_that_was_refused_clearly_was_not_created(
    meshtech: World, answer: Answer, error: type[Exception]
) -> None:
    meshtech.api.always = answer

    with pytest.raises(error):
        await meshtech.client.create_job("n", FIRMWARE, [GATEWAY])

    assert len(meshtech.api.seen) == 1


async def test_a_job_that_could_not_be_sent_was_not_created() -> None:
    async with world(routes={"CREATE_JOB": "POST http://127.0.0.1:1/jobs"}) as meshtech:
        with pytest.raises(VendorUnavailable, match="Nothing was changed"):
            await meshtech.client.create_job("n", FIRMWARE, [GATEWAY])


async def test_a_job_refused_for_its_token_is_sent_once_more(meshtech: World) -> None:
    meshtech.api.then(Answer(401))
    meshtech.api.always = Answer(body={"id": "j"})

    assert await meshtech.client.create_job("n", FIRMWARE, [GATEWAY]) == "j"


async def test_a_job_of_10000_gateways_is_one_request(meshtech: World) -> None:
    meshtech.api.always = Answer(body={"id": "j"})
    gateways = [GatewayId(f"bmac-{number:012x}") for number in range(10_000)]

    await meshtech.client.create_job("n", FIRMWARE, gateways)

    assert meshtech.api.seen[0].json["deviceIds"] == gateways


async def test_an_answer_in_a_wrapper_is_read_as_if_it_had_none() -> None:
    names = {"LIST_DEVICES": {"items": "Items", "nextToken": "ContinuationToken"}, "GET_JOB": {"id": "jobId"}}
    async with world(fields=names) as meshtech:
        first = {"data": {"Items": [device("a")], "ContinuationToken": "1"}, "errors": []}
        meshtech.api.then(Answer(body=first), Answer(body={"data": {"Items": [device("b")]}}))
        assert await ids_of_all_gateways(meshtech) == ["a", "b"]

        meshtech.api.then(Answer(body={"status": "ok", "result": {"id": "job-7"}}))
        assert await meshtech.client.create_job("name", FIRMWARE, [GATEWAY]) == JobId("job-7")

        meshtech.api.then(Answer(body={"status": "ok", "data": {"jobId": "7", "status": "COMPLETED"}}))
        job = await meshtech.client.job(JobId("7"))
        assert (job.id, job.status) == (JobId("7"), JobStatus.COMPLETED)


async def test_an_object_in_an_answer_is_no_wrapper_for_its_id(meshtech: World) -> None:
    meshtech.api.then(Answer(body={"firmware": {"id": "fw-1"}}))

    with pytest.raises(AnswerUnreadable, match="it has no id"):
        await meshtech.client.job(JobId("7"))
