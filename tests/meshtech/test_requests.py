"""What is sent again, when, and what a person reads when nothing helps."""

import asyncio
import gzip
import json
from datetime import timedelta
from email.utils import format_datetime

import httpx
import pytest

from bot.domain.errors import BotError
from bot.domain.firmware import FirmwareId, JobId
from bot.domain.gateways import GatewayId
from bot.meshtech import errors, response_bodies
from bot.meshtech.errors import (
    AnswerUnreadable,
    LogInUnreachable,
    MeshtechError,
    OutcomeUnknown,
    RateLimited,
    RouteMissing,
    VendorRefused,
    VendorUnavailable,
)
from bot.meshtech.models import retry_after
from bot.meshtech.requests import vendor_message
from bot.meshtech.response_bodies import LARGEST
from bot.meshtech.routes import Operation
from tests.meshtech.vendor import START, Answer, Gate, World, device, page, world

GATEWAY = GatewayId("bmac-c0141f68fc3d")


@pytest.mark.parametrize(
    "trouble",
    [Answer(500), Answer(502), Answer(503), Answer(504), Answer(408), Answer(429), Answer(lost=True)],
)
async def test_what_may_be_repeated_is_repeated(meshtech: World, trouble: Answer) -> None:
    meshtech.api.then(trouble, trouble, trouble)

    await meshtech.client.rename(GATEWAY, "x")

    assert len(meshtech.api.seen) == 4
    assert [seen.json for seen in meshtech.api.seen] == [{"name": "x"}] * 4


async def test_the_pauses_between_tries_grow_and_are_jittered(meshtech: World) -> None:
    meshtech.api.always = Answer(500)

    with pytest.raises(VendorUnavailable):
        await meshtech.client.check()

    first, second, third = meshtech.naps.taken
    assert 0.25 <= first <= 0.5 <= second <= 1 <= third <= 2
    assert len({first, second / 2, third / 4}) == 3


async def test_every_change_but_a_new_job_may_be_repeated(meshtech: World) -> None:
    client = meshtech.client
    for change in (
        lambda: client.rename(GATEWAY, "x"),
        lambda: client.create_label("x"),
        lambda: client.add_label(GATEWAY, "x"),
        lambda: client.remove_label(GATEWAY, "x"),
        lambda: client.cancel_job(JobId("j")),
    ):
        meshtech.api.then(Answer(503))
        meshtech.api.seen.clear()

        await change()

        assert len(meshtech.api.seen) == 2


@pytest.mark.parametrize("status", [429, 503])
async def test_the_vendors_wish_for_a_pause_is_kept(meshtech: World, status: int) -> None:
    date = format_datetime(START + timedelta(seconds=3 + 11), usegmt=True)
    meshtech.api.then(
        Answer(status, headers={"Retry-After": "3"}), Answer(status, headers={"Retry-After": date})
    )
    meshtech.api.always = page()

    await meshtech.client.check()

    assert meshtech.naps.taken == [3, 11]


async def test_who_is_asked_to_wait_long_says_so_instead(meshtech: World) -> None:
    meshtech.api.always = Answer(429, headers={"Retry-After": "3600"})

    with pytest.raises(RateLimited, match="try again in 3600 s") as caught:
        await meshtech.client.check()

    assert caught.value.retry_after == timedelta(hours=1)
    assert meshtech.naps.taken == []


async def test_nothing_of_a_kind_is_sent_before_the_end_of_the_pause_the_vendor_wished_for(
    meshtech: World,
) -> None:
    meshtech.api.then(Answer(429, headers={"Retry-After": "60"}))
    meshtech.api.always = Answer(200, {"id": "J-1"})
    for minute in (0, 0.5):
        meshtech.clock.advance(seconds=60 * minute)
        with pytest.raises(RateLimited, match=f"try again in {60 * (1 - minute):.0f} s"):
            await meshtech.client.create_job("n", FirmwareId("F-1"), [GATEWAY])
    assert len(meshtech.api.seen) == 1

    meshtech.clock.advance(seconds=30)
    assert await meshtech.client.create_job("n", FirmwareId("F-1"), [GATEWAY]) == "J-1"


async def test_a_clock_that_was_set_back_makes_no_pause_longer(meshtech: World) -> None:
    meshtech.api.then(Answer(429, headers={"Retry-After": "60"}))
    meshtech.api.always = page()
    with pytest.raises(RateLimited):
        await meshtech.client.check()

    meshtech.clock.advance(seconds=-3600)
    await meshtech.client.check()


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
async def test_a_clear_no_is_not_asked_again(meshtech: World, status: int) -> None:
    meshtech.api.always = Answer(status)

    with pytest.raises(MeshtechError):
        await meshtech.client.rename(GATEWAY, "x")

    assert len(meshtech.api.seen) == (2 if status == 401 else 1)
    assert meshtech.naps.taken == []


async def test_an_answer_that_never_ends_is_given_up() -> None:
    async with world(read_timeout=timedelta(seconds=0.1)) as meshtech:
        never = Gate(page())
        meshtech.api.always = never

        with pytest.raises(VendorUnavailable, match="gave no answer"):
            await meshtech.client.check()

        never.opened.set()


async def test_a_redirection_is_not_followed_and_no_token_goes_there(meshtech: World) -> None:
    elsewhere = f"{meshtech.log_in.url}/elsewhere"
    meshtech.api.always = Answer(302, headers={"Location": elsewhere})

    with pytest.raises(RouteMissing):
        await meshtech.client.check()

    assert meshtech.log_in.targets == ["POST /api/v1/auth/login"]


async def test_a_web_page_is_no_success(meshtech: World) -> None:
    meshtech.api.always = Answer(body=b"<html>Please log in</html>", headers={"Content-Type": "text/html"})

    with pytest.raises(AnswerUnreadable, match="web page"):
        await meshtech.client.rename(GATEWAY, "Roof")
    with pytest.raises(OutcomeUnknown):
        await meshtech.client.create_job("R-7", FirmwareId("f"), [GATEWAY])


async def test_a_cancelled_request_is_not_repeated(meshtech: World) -> None:
    never = Gate(page())
    meshtech.api.always = never
    asking = asyncio.create_task(meshtech.client.check())
    await never.arrived.wait()

    asking.cancel()
    await asyncio.wait([asking])
    never.opened.set()

    assert asking.cancelled()
    assert len(meshtech.api.seen) == 1


async def test_a_change_whose_answer_was_lost_says_that_it_may_have_been_made(meshtech: World) -> None:
    meshtech.api.always = Answer(lost=True)

    with pytest.raises(VendorUnavailable, match="may have been made all the same"):
        await meshtech.client.rename(GATEWAY, "x")


async def test_a_job_whose_answer_was_lost_is_not_created_again_whatever_its_method() -> None:
    async with world(routes={"CREATE_JOB": "PUT /api/v1/jobs"}) as meshtech:
        meshtech.api.always = Answer(lost=True)

        with pytest.raises(OutcomeUnknown):
            await meshtech.client.create_job("x", FirmwareId("f-1"), [GATEWAY])

        assert len(meshtech.api.seen) == 1


async def test_what_could_not_be_sent_says_that_nothing_was_changed() -> None:
    async with world(routes={"ADD_LABEL": "POST http://127.0.0.1:1/{id}"}) as meshtech:
        with pytest.raises(VendorUnavailable, match="Nothing was changed"):
            await meshtech.client.add_label(GATEWAY, "x")

        assert len(meshtech.naps.taken) == 3


@pytest.mark.parametrize("status", [404, 405, 501, 301])
async def test_a_missing_operation_names_the_setting_that_can_correct_it(
    meshtech: World, status: int
) -> None:
    meshtech.api.always = Answer(status)

    with pytest.raises(RouteMissing, match="MESHBOT_MESHTECH__ROUTES__LIST_LABELS"):
        await meshtech.client.labels()


async def test_a_missing_list_of_devices_points_to_the_address(meshtech: World) -> None:
    meshtech.api.always = Answer(404)

    with pytest.raises(RouteMissing, match="MESHBOT_MESHTECH__API_URL"):
        await meshtech.client.check()


async def test_what_the_account_may_not_do_is_said_so(meshtech: World) -> None:
    meshtech.api.always = Answer(403)

    with pytest.raises(VendorRefused, match="account may not do this"):
        await meshtech.client.rename(GATEWAY, "x")


async def test_requests_are_counted_by_operation_and_outcome(meshtech: World) -> None:
    meshtech.api.then(Answer(503), Answer(body=device()), Answer(404))
    await meshtech.client.device(GATEWAY)
    with pytest.raises(MeshtechError):
        await meshtech.client.device(GATEWAY)

    counters = meshtech.client.counters
    get = Operation.GET_DEVICE
    assert counters.requests == {(get, "vendor_unavailable"): 1, (get, "ok"): 1, (get, "device_unknown"): 1}
    assert (counters.last_failure, counters.last_error) == (
        START,
        "Meshtech answered 503. Try again in a minute.",
    )
    assert counters.last_success is not None
    assert counters.last_success > START


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"json": {"message": "m", "title": "t"}}, "m"),
        ({"json": {"title": "t", "detail": "d"}}, "d"),
        ({"json": {"title": "t", "detail": " "}}, "t"),
        ({"json": {"message": "two\nlines\x1b[31m"}}, "two lines [31m"),
        ({"json": {"message": ["x"]}}, ""),
        ({"json": {"message": "x" * 500}}, "x" * 199 + "…"),
        ({"json": "just text"}, "just text"),
        ({"json": [1]}, ""),
        ({"text": "plain"}, "plain"),
        ({"html": "<html>no</html>"}, ""),
        ({"content": b"\xff\xfe"}, ""),
        ({}, ""),
    ],
)
def test_the_vendors_message_is_one_short_line(answer: dict[str, object], message: str) -> None:
    response = httpx.Response(400, **answer)  # type: ignore[arg-type]
    assert vendor_message(response_bodies.Answer(400, response.headers, response.content)) == message


@pytest.mark.parametrize(
    ("value", "seconds"),
    [("0", 0), ("5", 5), (" 5 ", 5),
     ("Sun, 01 Mar 2026 12:00:30 GMT", 30), ("Sun, 01 Mar 2026 11:00:00 GMT", 0),
     ("-5", None), ("soon", None), ("", None), ("٣", None), ("1e9", None), ("9" * 30, None),
     (f"Sun, 01 Mar 2026 12:00:30 +{'9' * 20}", None)],
)  # fmt: skip
def test_retry_after_is_seconds_or_a_date(value: str, seconds: int | None) -> None:
    found = retry_after({"Retry-After": value}, START)

    assert found == (None if seconds is None else timedelta(seconds=seconds))


def test_every_error_is_one_that_the_bot_shows_to_people() -> None:
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and kind.__module__ == errors.__name__
    ]

    assert all(issubclass(kind, MeshtechError) and issubclass(kind, BotError) for kind in kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


# ---- answers of any size
TOO_MUCH = b" " * (LARGEST + 1)


@pytest.mark.parametrize(
    "answer",
    [
        Answer(body=TOO_MUCH),
        Answer(body=gzip.compress(TOO_MUCH, 1), headers={"Content-Encoding": "gzip"}),
        Answer(503, body=TOO_MUCH),
    ],
    ids=["plain", "packed", "an error"],
)
async def test_an_answer_without_bounds_is_not_read_to_its_end(meshtech: World, answer: Answer) -> None:
    meshtech.api.always = answer

    with pytest.raises(AnswerUnreadable, match="larger than 32 MiB"):
        await meshtech.client.check()
    with pytest.raises(OutcomeUnknown, match="larger than 32 MiB"):
        await meshtech.client.create_job("R-7", FirmwareId("f"), [GATEWAY])


async def test_a_page_that_is_too_large_names_the_setting_that_makes_it_smaller(meshtech: World) -> None:
    meshtech.api.always = Answer(body=TOO_MUCH)

    with pytest.raises(AnswerUnreadable, match="MESHBOT_MESHTECH__PAGE_SIZE"):
        await meshtech.client.check()


async def test_a_header_of_thirty_thousand_letters_is_read(meshtech: World) -> None:
    meshtech.api.then(Answer(body={"items": [], "nextToken": None}, headers={"X-Policy": "x" * 30_000}))
    assert await meshtech.client.labels() == ()


async def test_an_answer_as_large_as_may_be_is_read(meshtech: World) -> None:
    listed = json.dumps(page(device()).body).encode()
    meshtech.api.always = Answer(body=listed.ljust(LARGEST))

    await meshtech.client.check()


async def test_a_log_in_without_bounds_is_not_read_to_its_end(meshtech: World) -> None:
    meshtech.log_in.always = Answer(body=TOO_MUCH)

    with pytest.raises(LogInUnreachable, match="TooLarge"):
        await meshtech.client.check()
