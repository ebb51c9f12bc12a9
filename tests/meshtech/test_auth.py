"""The rules of the shared token."""

import asyncio
import logging
import traceback
from datetime import timedelta

import httpx
import pytest

from bot.domain.errors import StartupError
from bot.domain.gateways import GatewayId
from bot.meshtech.auth import AuthState, MeshtechAuth, Secret
from bot.meshtech.errors import LogInRefused, LogInUnreachable, MeshtechError, VendorRefused
from tests.meshtech.vendor import (
    PASSWORD,
    START,
    USERNAME,
    Answer,
    Clock,
    Gate,
    Reply,
    World,
    device,
    jwt,
    page,
    token_answer,
    world,
)

GATEWAY = GatewayId("bmac-c0141f68fc3d")
WRONG_PASSWORD = Answer(401, {"message": f"{PASSWORD} is not the password of {USERNAME}"})


async def ask_50_times(meshtech: World) -> list[object]:
    return await asyncio.gather(*(meshtech.client.device(GATEWAY) for _ in range(50)), return_exceptions=True)


async def ask_every_10_seconds_for_an_hour(meshtech: World) -> list[BaseException]:
    failures: list[BaseException] = []
    for _ in range(360):
        try:
            await meshtech.client.check()
        except MeshtechError as error:
            failures.append(error)
        meshtech.clock.advance(seconds=10)
    return failures


async def test_a_log_in_is_the_documented_request(meshtech: World) -> None:
    meshtech.api.always = page()

    await meshtech.client.check()

    (seen,) = meshtech.log_in.seen
    assert (seen.method, seen.target) == ("POST", "/api/v1/auth/login")
    assert seen.headers["Content-Type"] == "application/json"
    assert "Authorization" not in seen.headers
    assert seen.json == {"username": USERNAME, "password": PASSWORD}


async def test_50_requests_on_a_cold_start_cause_one_log_in(meshtech: World) -> None:
    meshtech.api.always = meshtech.vendor.guarded(Answer(body=device()))

    answers = await ask_50_times(meshtech)

    assert all(getattr(answer, "id", None) == GATEWAY for answer in answers)
    assert len(meshtech.log_in.seen) == 1


async def test_50_requests_that_all_get_401_cause_one_log_in(meshtech: World) -> None:
    meshtech.api.always = meshtech.vendor.guarded(Answer(body=device()))
    await meshtech.client.device(GATEWAY)
    meshtech.vendor.revoked.update(meshtech.vendor.tokens)

    answers = await ask_50_times(meshtech)

    assert all(getattr(answer, "id", None) == GATEWAY for answer in answers)
    assert len(meshtech.log_in.seen) == 2


async def test_a_request_whose_token_was_replaced_meanwhile_takes_the_new_one(meshtech: World) -> None:
    late = Gate(Answer(401))
    meshtech.api.always = meshtech.vendor.guarded(Answer(body=device()))
    meshtech.api.then(late)
    slow = asyncio.create_task(meshtech.client.device(GATEWAY))
    await late.arrived.wait()
    meshtech.vendor.revoked.update(meshtech.vendor.tokens)
    await meshtech.client.device(GATEWAY)
    late.opened.set()

    await slow

    assert len(meshtech.log_in.seen) == 2


async def test_the_token_is_kept_for_25_minutes_and_replaced_then(meshtech: World) -> None:
    meshtech.api.always = page()
    await meshtech.client.check()
    meshtech.clock.advance(minutes=24, seconds=59)
    await meshtech.client.check()
    assert len(meshtech.log_in.seen) == 1

    meshtech.clock.advance(seconds=1)
    await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 2


@pytest.mark.parametrize(
    ("claims", "minutes"),
    [
        ({"exp": START.timestamp() + 20 * 60}, 15),
        ({"exp": START.timestamp() + 8 * 60}, 3),
        ({"exp": START.timestamp() + 4 * 60}, 2),  # five minutes before its end it did not exist
        ({"exp": START.timestamp() + 3600}, 25),
        ({"exp": START.timestamp() - 3600, "iat": START.timestamp() - 4800}, 15),  # a clock that is behind
        ({"exp": START.timestamp() - 3600}, 25),
        ({"exp": "soon"}, 25),
        ({}, 25),
    ],
)
async def test_a_token_is_replaced_five_minutes_before_its_own_end(
    meshtech: World, claims: dict[str, object], minutes: int
) -> None:
    meshtech.api.always = page()
    meshtech.vendor.claims = claims
    await meshtech.client.check()
    meshtech.clock.advance(minutes=minutes, seconds=-1)
    await meshtech.client.check()
    assert len(meshtech.log_in.seen) == 1

    meshtech.clock.advance(seconds=1)
    await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 2


@pytest.mark.parametrize(
    "token", ["opaque", "a.b.c", "a.!.c", "..", "a.W10.c", "a.bnVsbA.c", jwt(exp=10**400)]
)
async def test_a_token_that_is_no_jwt_is_used_all_the_same(meshtech: World, token: str) -> None:
    meshtech.log_in.always = Answer(body={"status": "SUCCESS", "authToken": token})
    meshtech.api.always = page()

    await meshtech.client.check()

    assert meshtech.api.seen[0].headers["Authorization"] == f"Bearer {token}"


async def test_a_token_that_ends_in_the_middle_of_a_listing_does_not_end_the_listing(meshtech: World) -> None:
    first = meshtech.vendor.guarded(page(device("a"), token="next"))
    second = meshtech.vendor.guarded(page(device("b")))
    meshtech.api.then(first, second)
    meshtech.api.always = second
    found = []

    async for items in meshtech.client.device_pages():
        found += [items.decode(raw) for raw in items.raw_items]
        meshtech.vendor.revoked.update(meshtech.vendor.tokens[:1])

    assert [gateway.id for gateway in found if gateway] == ["a", "b"]
    assert len(meshtech.log_in.seen) == 2


async def test_a_wrong_password_causes_a_handful_of_log_ins_in_an_hour(meshtech: World) -> None:
    meshtech.log_in.always = WRONG_PASSWORD

    failures = await ask_every_10_seconds_for_an_hour(meshtech)

    assert len(failures) == 360
    assert {type(failure) for failure in failures} == {LogInRefused}
    assert len(meshtech.log_in.seen) == 5  # at 0, 1, 6, 21 and 51 minutes
    assert meshtech.api.seen == []


async def test_a_refused_log_in_names_the_settings_and_the_next_try(meshtech: World) -> None:
    meshtech.log_in.always = WRONG_PASSWORD

    with pytest.raises(
        LogInRefused, match=r"MESHBOT_MESHTECH__PASSWORD; the next try is at 12:01:00 UTC"
    ) as caught:
        await meshtech.client.check()

    assert caught.value.next_try == START + timedelta(minutes=1)
    status = meshtech.client.auth_status()
    assert (status.state, status.since, status.next_try) == (AuthState.REFUSED, START, caught.value.next_try)


async def test_a_mended_password_is_noticed_at_the_next_try_and_forgets_the_back_off(meshtech: World) -> None:
    meshtech.api.always = page()
    meshtech.log_in.then(WRONG_PASSWORD)
    with pytest.raises(LogInRefused):
        await meshtech.client.check()
    meshtech.clock.advance(minutes=1)

    await meshtech.client.check()

    status = meshtech.client.auth_status()
    assert (status.state, status.since, status.next_try) == (AuthState.LOGGED_IN, meshtech.clock(), None)
    meshtech.log_in.then(WRONG_PASSWORD)
    meshtech.clock.advance(minutes=25)
    await meshtech.client.check()
    assert meshtech.client.auth_status().next_try == meshtech.clock() + timedelta(minutes=1)


async def test_a_log_in_that_cannot_be_reached_is_tried_again_within_seconds(meshtech: World) -> None:
    meshtech.api.always = page()
    meshtech.log_in.then(Answer(lost=True), Answer(503))
    for seconds in (1, 2):
        with pytest.raises(LogInUnreachable):
            await meshtech.client.check()
        with pytest.raises(LogInUnreachable):
            await meshtech.client.check()
        meshtech.clock.advance(seconds=seconds)

    await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 3
    assert meshtech.naps.taken == []


async def test_a_log_in_that_stays_away_is_tried_after_longer_and_longer(meshtech: World) -> None:
    meshtech.log_in.always = Answer(503)
    waits = []
    for _ in range(7):
        with pytest.raises(LogInUnreachable) as caught:
            await meshtech.client.check()
        assert caught.value.next_try is not None
        waits.append((caught.value.next_try - meshtech.clock()).total_seconds())
        meshtech.clock.advance(seconds=waits[-1])
    assert waits == [1, 2, 4, 8, 16, 30, 30]


async def test_the_pause_before_an_unreachable_log_in_never_exceeds_half_a_minute(meshtech: World) -> None:
    meshtech.log_in.always = Answer(503)

    await ask_every_10_seconds_for_an_hour(meshtech)

    assert 110 <= len(meshtech.log_in.seen) <= 130


@pytest.mark.parametrize(("asked", "kept"), [("600", 600), ("999999999", 1800)])
async def test_a_log_in_that_is_asked_to_wait_waits_half_an_hour_at_most(
    meshtech: World, asked: str, kept: int
) -> None:
    meshtech.api.always = page()
    meshtech.log_in.then(Answer(429, headers={"Retry-After": asked}))
    for seconds in (0, kept - 1):
        meshtech.clock.advance(seconds=seconds)
        with pytest.raises(LogInUnreachable):
            await meshtech.client.check()
    meshtech.clock.advance(seconds=1)

    await meshtech.client.check()


@pytest.mark.parametrize("trouble", [Answer(503), Answer(403)])
async def test_a_clock_that_is_set_back_does_not_keep_the_log_in_waiting(
    meshtech: World, trouble: Answer
) -> None:
    meshtech.api.always = page()
    meshtech.log_in.then(trouble)
    with pytest.raises(MeshtechError):
        await meshtech.client.check()
    meshtech.clock.advance(hours=-2)

    await meshtech.client.check()


async def test_a_refresh_that_fails_leaves_the_old_token_in_use_until_it_ends(meshtech: World) -> None:
    meshtech.api.always = page()
    await meshtech.client.check()
    meshtech.log_in.always = Answer(503)
    meshtech.clock.advance(minutes=26)
    await meshtech.client.check()

    meshtech.clock.advance(minutes=4)
    with pytest.raises(LogInUnreachable):
        await meshtech.client.check()


async def test_a_fresh_token_that_is_refused_is_an_error_a_person_can_act_on(meshtech: World) -> None:
    meshtech.api.always = Answer(401)

    with pytest.raises(LogInRefused, match="may use the API"):
        await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 2


async def test_fresh_tokens_that_are_always_refused_do_not_hammer_the_log_in(meshtech: World) -> None:
    meshtech.api.always = Answer(401)

    failures = await ask_every_10_seconds_for_an_hour(meshtech)

    assert len(failures) == 360
    assert len(meshtech.log_in.seen) <= 8


async def test_an_operation_that_is_always_refused_leaves_the_others_alone(meshtech: World) -> None:
    listing = meshtech.vendor.guarded(page())
    meshtech.api.always = lambda seen: listing(seen) if "devices?" in seen.target else Answer(401)
    for _ in range(10):
        with pytest.raises(LogInRefused):
            await meshtech.client.device(GATEWAY)

        await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 2


async def test_a_token_accepted_where_it_was_refused_ends_the_doubt(meshtech: World) -> None:
    meshtech.api.then(Answer(401), Answer(401))
    meshtech.api.always = meshtech.vendor.guarded(page())
    with pytest.raises(LogInRefused):
        await meshtech.client.check()
    await meshtech.client.check()
    meshtech.vendor.revoked.update(meshtech.vendor.tokens)

    await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 3


async def test_a_cancelled_request_does_not_cancel_the_log_in_the_others_wait_for(meshtech: World) -> None:
    gate = Gate(meshtech.vendor.new_token)
    meshtech.log_in.then(gate)
    meshtech.api.always = page()
    first, second = (asyncio.create_task(meshtech.client.check()) for _ in range(2))
    await gate.arrived.wait()

    first.cancel()
    await asyncio.wait([first])
    gate.opened.set()
    await second

    assert first.cancelled()
    assert len(meshtech.log_in.seen) == 1


async def test_a_log_in_nobody_waits_for_any_more_still_counts(meshtech: World) -> None:
    gate = Gate(meshtech.vendor.new_token)
    meshtech.log_in.then(gate)
    meshtech.api.always = page()
    only = asyncio.create_task(meshtech.client.check())
    await gate.arrived.wait()
    only.cancel()
    await asyncio.wait([only])
    gate.opened.set()

    await meshtech.client.check()

    assert len(meshtech.log_in.seen) == 1


async def test_closing_ends_a_log_in_under_way() -> None:
    async with world() as meshtech:
        gate = Gate(meshtech.vendor.new_token)
        meshtech.log_in.then(gate)
        waiting = asyncio.create_task(meshtech.client.check())
        await gate.arrived.wait()

        await meshtech.client.aclose()

        await asyncio.wait([waiting])
        assert waiting.cancelled()
        gate.opened.set()


async def test_a_log_in_that_never_ends_is_given_up(meshtech: World) -> None:
    never = Gate(meshtech.vendor.new_token)
    meshtech.log_in.always = never
    within = timedelta(seconds=0.1)
    auth = MeshtechAuth(meshtech.log_in.url, USERNAME, PASSWORD, now=meshtech.clock, within=within)

    async with httpx.AsyncClient(auth=auth) as http:
        with pytest.raises(LogInUnreachable, match="gave no answer"):
            await http.get(f"{meshtech.api.url}/x")

    await auth.aclose()
    never.opened.set()


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (Answer(body={"status": "FAILED", "authToken": None}), "it answered FAILED without a token"),
        (Answer(body={"status": PASSWORD, "authToken": ""}), "without a token"),
        (Answer(body={"status": "SUCCESS", "authToken": "two\nlines"}), "without a token"),
        (Answer(body={"status": "SUCCESS", "authToken": "snø"}), "without a token"),
        (Answer(302, headers={"Location": "/"}), "is MESHBOT_MESHTECH__AUTH_URL right"),
        (Answer(404), "is MESHBOT_MESHTECH__AUTH_URL right"),
        (Answer(422), "it answered 422"),
    ],
)
async def test_a_log_in_without_a_usable_token_is_refused(
    meshtech: World, answer: Answer, sentence: str
) -> None:
    meshtech.log_in.always = answer

    with pytest.raises(LogInRefused, match=sentence) as caught:
        await meshtech.client.check()

    assert PASSWORD not in str(caught.value)


@pytest.mark.parametrize("body", [b"<html>Sign in to the wireless", b"[]", b"", b'{"status": "SUC'])
async def test_a_log_in_answered_by_something_else_is_unreachable(meshtech: World, body: bytes) -> None:
    meshtech.log_in.always = Answer(body=body)

    with pytest.raises(LogInUnreachable, match="not the JSON"):
        await meshtech.client.check()


@pytest.mark.parametrize(
    "url",
    ["", "ops-api.meshtech.no", "ftp://host", "https://", "https://user:word@host", "https://host/?a=b"],
)
def test_an_address_that_is_none_names_its_setting(url: str) -> None:
    with pytest.raises(StartupError, match="MESHBOT_MESHTECH__AUTH_URL"):
        MeshtechAuth(url, USERNAME, PASSWORD, now=Clock())


def test_a_secret_shows_itself_to_nobody() -> None:
    assert [str(Secret("x")), f"{Secret('x')}", repr([Secret("x")])] == [
        "Secret(…)",
        "Secret(…)",
        "[Secret(…)]",
    ]


TROUBLES: dict[str, tuple[Reply | None, Reply]] = {
    "refused log-in": (WRONG_PASSWORD, page()),
    "unreadable log-in": (Answer(body=f'{{"authToken": "{PASSWORD}'.encode()), page()),
    "token with a line break": (Answer(body={"authToken": f"{PASSWORD}\n"}), page()),
    "lost log-in": (Answer(lost=True), page()),
    "refused token": (None, Answer(401)),
    "lost answer": (None, Answer(lost=True)),
    "error that quotes": (None, lambda seen: Answer(400, {"message": f"{PASSWORD} {dict(seen.headers)}"})),
    "unreadable answer": (None, Answer(body=b"<html>")),
    "bad packing": (None, Answer(body=b"no gzip", headers={"Content-Encoding": "gzip"})),
}


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_neither_password_nor_token_is_in_an_error_a_traceback_or_a_log(
    meshtech: World, trouble: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    log_in, answer = TROUBLES[trouble]
    meshtech.log_in.always = log_in or token_answer()
    meshtech.api.always = answer

    with pytest.raises(MeshtechError) as caught:
        await meshtech.client.check()

    with_locals = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    # The test's own frame knows the secrets; only what the adapter's frames show counts.
    del with_locals.stack[0]
    client = meshtech.client
    shown = [str(caught.value), repr(caught.value), "".join(with_locals.format()), caplog.text, repr(client)]
    shown += [repr(client.auth_status()), repr(client.counters), *traceback.format_exception(caught.value)]
    for secret in (PASSWORD, jwt(number=1)):
        assert not [text for text in shown if secret in text]


async def test_the_vendors_own_message_is_passed_on_without_secrets(meshtech: World) -> None:
    meshtech.api.always = lambda seen: Answer(422, {"message": f"bad token {seen.headers['Authorization']}"})

    with pytest.raises(VendorRefused) as caught:
        await meshtech.client.rename(GATEWAY, "new")

    assert caught.value.said == "bad token Bearer …"


async def test_the_auth_signs_a_request_of_any_client(meshtech: World) -> None:
    auth = MeshtechAuth(meshtech.log_in.url, USERNAME, PASSWORD, now=meshtech.clock)
    async with httpx.AsyncClient(auth=auth) as http:
        await http.get(f"{meshtech.api.url}/x")

    assert meshtech.api.seen[0].headers["Authorization"] == f"Bearer {meshtech.vendor.tokens[0]}"
    await auth.aclose()
