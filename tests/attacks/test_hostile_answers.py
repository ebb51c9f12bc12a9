"""What a portal, or somebody in its place, can do to the bot by what it answers."""

import asyncio
import gzip
import json
import re
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager

import httpx
import pytest

from bot.domain.errors import StartupError
from bot.domain.firmware import FirmwareId
from bot.domain.gateways import GatewayId
from bot.meshtech.contract import fetch
from bot.meshtech.errors import AnswerUnreadable, ListingBroken, LogInUnreachable, OutcomeUnknown
from bot.meshtech.response_bodies import LARGEST, TooLarge, exchange, new_client
from bot.network import DIRECT
from bot.settings.definitions import load_settings
from bot.settings.environment import SettingsError
from tests.meshtech.vendor import Answer, Server, World, device, page, running, world
from tests.settings.test_settings import REQUIRED

MiB = 1024 * 1024
MOST_MEMORY = LARGEST + 16 * MiB
GATEWAY = GatewayId("bmac-c0141f68fc3d")


def packed(size: int, layers: int) -> Answer:
    """So many blanks, packed so often."""
    body = b" " * size
    for _ in range(layers):
        body = gzip.compress(body, 9)
    return Answer(body=body, headers={"Content-Encoding": ", ".join(["gzip"] * layers)})


TWICE = packed(256 * MiB, 2)
ONCE = packed(64 * MiB, 1)


@contextmanager
def within(size: int) -> Iterator[None]:
    """Nothing in the block may take more memory than this."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


@pytest.fixture
async def meshtech() -> AsyncIterator[World]:
    async with world() as running_world:
        yield running_world


@pytest.mark.parametrize("answer", [TWICE, ONCE], ids=["two layers", "one layer"])
async def test_a_packed_answer_is_unpacked_within_the_limit(meshtech: World, answer: Answer) -> None:
    assert len(answer.body) < 100_000
    meshtech.api.always = answer

    with within(MOST_MEMORY), pytest.raises(AnswerUnreadable):
        await meshtech.client.check()
    with within(MOST_MEMORY), pytest.raises(OutcomeUnknown):
        await meshtech.client.create_job("R-7", FirmwareId("f"), [GATEWAY])


@pytest.mark.parametrize("answer", [TWICE, ONCE], ids=["two layers", "one layer"])
async def test_a_packed_answer_to_the_log_in_is_unpacked_within_the_limit(
    meshtech: World, answer: Answer
) -> None:
    meshtech.log_in.always = answer

    with within(MOST_MEMORY), pytest.raises(LogInUnreachable):
        await meshtech.client.check()


@pytest.mark.parametrize("answer", [TWICE, ONCE], ids=["two layers", "one layer"])
async def test_a_packed_refusal_is_unpacked_within_the_limit_before_the_token_is_renewed(
    meshtech: World, answer: Answer
) -> None:
    meshtech.api.then(Answer(401, answer.body, answer.headers), page(device()))

    with within(MOST_MEMORY), pytest.raises(AnswerUnreadable):
        await meshtech.client.check()


class _OnePart(httpx.AsyncByteStream):
    """A body that comes in one part."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


class _InOnePart(httpx.AsyncBaseTransport):
    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=dict(ONCE.headers), stream=_OnePart(ONCE.body))


async def test_the_event_loop_turns_while_an_answer_is_unpacked() -> None:
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async with new_client(DIRECT, transport=_InOnePart()) as http:
        counting = asyncio.create_task(count())
        with pytest.raises(TooLarge):
            await exchange(http, http.build_request("GET", "https://portal.example/"))
        counting.cancel()

    assert turns > LARGEST // MiB


@pytest.mark.parametrize(
    "body",
    [
        gzip.compress(json.dumps(page(device()).body).encode()),
        zlib.compress(json.dumps(page(device()).body).encode()),
        zlib.compress(json.dumps(page(device()).body).encode(), wbits=-15),
    ],
    ids=["gzip", "deflate", "deflate without its frame"],
)
async def test_an_honest_packed_answer_is_read(meshtech: World, body: bytes) -> None:
    kind = "gzip" if body.startswith(b"\x1f\x8b") else "deflate"
    meshtech.api.always = Answer(body=body, headers={"Content-Encoding": kind})

    await meshtech.client.check()


@pytest.mark.parametrize("encoding", ["br", "zstd", "gzip, gzip", "compress", "made-up"])
async def test_an_answer_packed_in_a_way_nobody_asked_for_is_refused(meshtech: World, encoding: str) -> None:
    meshtech.api.always = Answer(body=b"{}", headers={"Content-Encoding": encoding})

    with pytest.raises(AnswerUnreadable, match="packed in another way than the bot asks for"):
        await meshtech.client.check()


async def test_the_portal_is_told_which_packings_the_bot_takes(meshtech: World) -> None:
    meshtech.api.always = page(device())

    await meshtech.client.check()

    assert {seen.headers["Accept-Encoding"] for seen in (*meshtech.api.seen, *meshtech.log_in.seen)} == {
        "gzip, deflate"
    }


@pytest.mark.parametrize("answer", [TWICE, ONCE], ids=["two layers", "one layer"])
@pytest.mark.parametrize("status", [200, 302], ids=["the document", "on the way to it"])
async def test_an_openapi_document_is_unpacked_within_the_limit(answer: Answer, status: int) -> None:
    headers: Mapping[str, str] = {**answer.headers, "Location": "/elsewhere"}
    server = Server(Answer(status, answer.body, headers))

    async with running(server):
        with within(MOST_MEMORY), pytest.raises(StartupError, match="cannot be read"):
            await fetch(f"{server.url}/swagger.json", DIRECT)


async def test_an_openapi_document_without_end_is_not_read_to_its_end() -> None:
    server = Server(Answer(body=b" " * (LARGEST + 1)))

    async with running(server):
        with pytest.raises(StartupError, match="cannot be read"):
            await fetch(f"{server.url}/swagger.json", DIRECT)


async def test_an_openapi_document_nested_without_end_is_one_sentence() -> None:
    server = Server(Answer(body=b"[" * 500_000))

    async with running(server):
        with pytest.raises(StartupError, match="is neither JSON nor YAML"):
            await fetch(f"{server.url}/swagger.json", DIRECT)


async def test_an_openapi_document_is_found_behind_a_redirect() -> None:
    document = {"openapi": "3.0.1", "paths": {"/api/v1/devices": {"get": {}}}}
    server = Server(Answer(body=document))
    server.then(Answer(302, headers={"Location": "/there"}))

    async with running(server):
        assert await fetch(f"{server.url}/swagger.json", DIRECT) == document


# ---- who may be the portal at all
@pytest.mark.parametrize(
    "variables",
    [
        {"MESHTECH__AUTH_URL": "http://ops-api.meshtech.no"},
        {"MESHTECH__API_URL": "http://10.0.0.7:8080"},
        {"MESHTECH__API_URL": "http://127.0.0.1.example.com"},
        {"MESHTECH__ROUTES__LIST_JOBS": "GET http://jobs.example.com/jobs"},
        {"SLACK__API_URL": "http://slack.example.com/api/"},
    ],
    ids=["log-in host", "device host", "a name like an address", "a route", "Slack"],
)
def test_a_plain_http_address_is_refused_where_secrets_would_pass(variables: dict[str, str]) -> None:
    ((name, value),) = variables.items()

    with pytest.raises(SettingsError) as caught:
        load_settings({**REQUIRED, f"MESHBOT_{name}": value}, env_file=None, secrets_dir=None)

    assert re.fullmatch(rf"MESHBOT_{name} is not usable: .*https://.*this machine.*\.", str(caught.value))
    assert value not in str(caught.value)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "127.8.9.1", "localhost:9", "[::1]:8080"])
def test_plain_http_is_taken_on_this_machine(host: str) -> None:
    variables = {
        "MESHBOT_MESHTECH__AUTH_URL": f"http://{host}",
        "MESHBOT_MESHTECH__ROUTES__LIST_JOBS": f"GET http://{host}/jobs",
    }

    settings = load_settings({**REQUIRED, **variables}, env_file=None, secrets_dir=None)

    assert httpx.URL(settings.meshtech.auth_url).scheme == "http"


# ---- a fleet without end
async def test_a_listing_of_more_gateways_than_the_setting_allows_is_refused_with_its_name() -> None:
    async with world(most_gateways=3) as meshtech:
        meshtech.api.then(page(device("a"), device("b"), token="1"), page(device("c"), device("d")))

        with pytest.raises(ListingBroken, match="MESHBOT_FLEET__MOST_GATEWAYS") as caught:
            [one async for one in meshtech.client.device_pages()]

    assert "more than 3 gateways" in str(caught.value)


async def test_a_listing_of_as_many_gateways_as_the_setting_allows_is_taken() -> None:
    async with world(most_gateways=3) as meshtech:
        meshtech.api.then(page(device("a"), device("b"), token="1"), page(device("c")))

        pages = [one async for one in meshtech.client.device_pages()]

    assert sum(len(one.raw_items) for one in pages) == 3


async def test_one_page_with_more_gateways_than_the_setting_allows_is_not_looked_at() -> None:
    async with world(most_gateways=3) as meshtech:
        meshtech.api.then(page(*[device(str(number)) for number in range(4)]))

        with pytest.raises(ListingBroken):
            [one async for one in meshtech.client.device_pages()]
