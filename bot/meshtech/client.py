"""Meshtech as the services see it: a method for each question, domain values for an answer.

Decides how pages become a list and when a list is broken. Remembered between two calls are counters, and how
bytes were read that may come again. Every error is one of ``bot/meshtech/errors.py``.
"""

import asyncio
import logging
import random
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from copy import copy
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from hashlib import sha256
from typing import Any, Self, TypeVar

import msgspec

from bot.domain.firmware import Firmware, FirmwareId, JobId, VendorJob
from bot.domain.gateways import Gateway, GatewayId
from bot.meshtech.auth import AuthStatus, MeshtechAuth
from bot.meshtech.errors import (
    Conflict,
    DeviceUnknown,
    ListingBroken,
    MeshtechError,
    RouteMissing,
    VendorRefused,
)
from bot.meshtech.models import (
    UNREADABLE,
    WireDevice,
    WireFirmware,
    WireJob,
    WirePage,
    from_json,
    label_texts,
    opened,
    page_from_json,
    read,
    read_json,
    read_page,
    text,
)
from bot.meshtech.requests import Counters, VendorCall, VendorSender, unreadable
from bot.meshtech.routes import MAX_RESULTS, Operation, RouteTable
from bot.network import DIRECT, Network

log = logging.getLogger(__name__)

MAX_PAGES = 50_000  # a hundred thousand gateways in pages of two
MOST_ITEMS = 1_000_000  # of any list
SAME_JOBS = 32  # of 500 gateways, in 200 kB each
SAME_JOB_BYTES = 1_000_000  # what is longer is read anew
_TOKEN_REFUSED = (400, 403, 404, 410, 414, 422)
_OLDEST = datetime.min.replace(tzinfo=UTC)
_Wire = TypeVar("_Wire", WireDevice, WireFirmware, WireJob)


class DevicePage:
    """One page of a device listing, undecoded.

    ``raw_items`` are the vendor's own bytes, one gateway each: equal bytes are an equal gateway, so only what
    is new need be decoded. They keep this page alive, not the ones before. ``digest`` is that of the whole.
    """

    __slots__ = ("__weakref__", "digest", "raw_items", "without_id")

    def __init__(self, raw_items: Sequence[msgspec.Raw], digest: bytes = b"") -> None:
        self.raw_items = raw_items
        self.digest = digest
        self.without_id = 0

    def decode(self, raw: msgspec.Raw) -> Gateway | None:
        """The gateway, or None when it has no id or is no object at all; such items are counted."""
        try:
            gateway = read(raw, WireDevice).to_domain()
        except UNREADABLE:
            gateway = None
        if gateway is None:
            self.without_id += 1
        return gateway


class MeshtechClient:
    """One service account's view of the portal. ``now`` returns aware UTC; close it with ``aclose``."""

    def __init__(
        self,
        auth_url: str,
        api_url: str,
        username: str,
        password: str,
        *,
        now: Callable[[], datetime],
        page_size: int,
        most_gateways: int,
        next_token_parameter: str,
        network: Network = DIRECT,
        max_pages: int = MAX_PAGES,
        routes: Mapping[str, str] | None = None,
        fields: Mapping[str, Mapping[str, str]] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        randomness: random.Random | None = None,
        connect_timeout: timedelta = timedelta(seconds=5),
        read_timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._routes = RouteTable(api_url, routes, fields)
        self._auth = MeshtechAuth(auth_url, username, password, now=now, network=network)
        self._page_size = page_size
        self._max_pages = max_pages
        self._most_gateways = most_gateways
        self._next_token = next_token_parameter
        # Asked every half minute, most jobs say what they said before, and in the same bytes.
        self._job = lru_cache(maxsize=SAME_JOBS)(self._read_job)
        self._sender = VendorSender(
            self._auth,
            network,
            now=now,
            sleep=sleep,
            randomness=randomness or random.Random(),  # noqa: S311 - jitter is no secret
            connect_timeout=connect_timeout,
            read_timeout=read_timeout,
        )

    def __repr__(self) -> str:
        return f"MeshtechClient({self._auth!r})"

    @property
    def counters(self) -> Counters:
        return self._sender.counters

    @property
    def routes(self) -> RouteTable:
        return self._routes

    def auth_status(self) -> AuthStatus:
        """How the shared log-in fares, for ``/mesh status``."""
        return self._auth.status()

    async def aclose(self) -> None:
        await self._sender.aclose()
        await self._auth.aclose()

    def beside(self) -> Self:
        """The same account over connections of its own: who waits there keeps nobody waiting here."""
        other = copy(self)
        other._sender = self._sender.beside()
        return other

    async def check(self) -> None:
        """Log in and read one page: raises what keeps the bot from working."""
        self._read_page(Operation.LIST_DEVICES, await self._page(Operation.LIST_DEVICES, None))

    async def device_pages(self) -> AsyncIterator[DevicePage]:
        """All gateways, a page at a time. A page that fails fails the listing."""
        without_id = count = 0
        async for items, body in self._pages(Operation.LIST_DEVICES):
            count += len(items)
            if count > self._most_gateways:
                raise ListingBroken(
                    f"Meshtech lists more than {self._most_gateways:,} gateways, more than the bot takes: "
                    "an administrator can raise MESHBOT_FLEET__MOST_GATEWAYS. Until then the fleet stays as "
                    "it was listed last."
                )
            page = DevicePage(items, sha256(body).digest())
            del items, body
            yield page
            without_id += page.without_id
            del page  # not kept while the next one comes
        if without_id:
            self.counters.devices_without_id += without_id
            log.warning("%d new or changed items of the listing have no id and were skipped", without_id)

    async def device(self, gateway: GatewayId) -> Gateway:
        """One gateway as it is now. Raises ``DeviceUnknown``."""
        body = await self._send(Operation.GET_DEVICE, identity=gateway)
        found: Gateway = self._one(Operation.GET_DEVICE, body, WireDevice)
        return found

    async def rename(self, gateway: GatewayId, name: str) -> None:
        await self._send(Operation.RENAME_DEVICE, {"name": name}, identity=gateway)

    async def labels(self) -> tuple[str, ...]:
        """Every label there is, on a device or not."""
        found: list[str] = []
        async for items, _ in self._pages(Operation.LIST_LABELS):
            found += label_texts([read_json(item) for item in items])
        return tuple(dict.fromkeys(found))

    async def create_label(self, label: str) -> None:
        """Make a label known; one that exists already is a success."""
        try:
            await self._send(Operation.CREATE_LABEL, {"label": label}, about=label)
        except (Conflict, VendorRefused) as error:
            _raise_unless_already(error)

    async def add_label(self, gateway: GatewayId, label: str) -> None:
        """Put an existing label on a device; one that is there already is a success."""
        in_path = "{label}" in self._routes[Operation.ADD_LABEL].template
        body = None if in_path else {"label": label}
        try:
            await self._send(Operation.ADD_LABEL, body, identity=gateway, label=label)
        except (Conflict, VendorRefused) as error:
            _raise_unless_already(error)

    async def remove_label(self, gateway: GatewayId, label: str) -> bool:
        """Take a label off a device. False when there was nothing to take off, which is no error."""
        try:
            await self._send(Operation.REMOVE_LABEL, identity=gateway, label=label)
        except DeviceUnknown:
            return False
        return True

    async def firmwares(self, model: str | None = None) -> AsyncIterator[Firmware]:
        """Every firmware, or those of one model, in the portal's order."""
        async for items, _ in self._pages(Operation.LIST_FIRMWARE):
            for item in items:
                firmware = self._read(Operation.LIST_FIRMWARE, item, WireFirmware).to_domain()
                if firmware is not None and model in (None, firmware.model):
                    yield firmware

    async def firmware(self, identity: FirmwareId) -> Firmware | None:
        """One file as the portal has it at this moment; None when it has none of that id.

        That is believed when two looks in a row do not find it: pages of a list that moves skip a row.
        """
        for _ in range(2):
            async for found in self.firmwares():
                if found.id == identity:
                    return found
        return None

    async def create_job(self, name: str, firmware: FirmwareId, gateways: Sequence[GatewayId]) -> JobId:
        """Have gateways updated. Never repeated.

        Raises ``OutcomeUnknown`` when the job may exist all the same: look for ``name`` in ``jobs`` first.
        """
        body = {"name": name, "firmwareId": firmware, "deviceIds": list(gateways)}
        answer = await self._send(Operation.CREATE_JOB, body, about=name)
        try:
            found = opened(self._json(Operation.CREATE_JOB, answer), "id")
        except UNREADABLE:
            raise unreadable(Operation.CREATE_JOB, "it is not JSON") from None
        identity = text(found.get("id") if isinstance(found, dict) else found)
        if identity is None:
            raise unreadable(Operation.CREATE_JOB, "it has no id")
        return JobId(identity)

    async def jobs(self) -> AsyncIterator[VendorJob]:
        """Every job without its devices, the newest first.

        Pages are fetched as they are needed where the portal has that order itself; where it has not, all are
        fetched and sorted.
        """
        gathered: list[VendorJob] = []
        streaming: bool | None = None
        async for items, _ in self._pages(Operation.LIST_JOBS):
            read_all = (self._read(Operation.LIST_JOBS, item, WireJob).to_domain() for item in items)
            page = [job for job in read_all if job is not None]
            if streaming is None:
                streaming = _is_newest_first(page)
            if not streaming:
                gathered += page
                continue
            for job in page:
                yield job
        for job in sorted(gathered, key=_made, reverse=True):
            yield job

    async def job(self, job: JobId) -> VendorJob:
        """One job with its devices. Raises ``JobUnknown``."""
        body = await self._send(Operation.GET_JOB, identity=job)
        return self._job(body) if len(body) <= SAME_JOB_BYTES else self._read_job(body)

    async def cancel_job(self, job: JobId) -> None:
        """Stop a job. Raises ``Conflict`` when it is over."""
        await self._send(Operation.CANCEL_JOB, identity=job)

    async def _send(
        self,
        operation: Operation,
        body: Mapping[str, Any] | None = None,
        *,
        identity: str = "",
        label: str = "",
        about: str = "",
        query: Mapping[str, str] | None = None,
    ) -> bytes:
        url = self._routes.url(operation, identity=identity, label=label, query=query)
        content = None if body is None else msgspec.json.encode(self._routes.to_theirs(operation, body))
        method = self._routes[operation].method
        return await self._sender.send(VendorCall(operation, method, url, content, about or identity))

    async def _pages(self, operation: Operation) -> AsyncIterator[tuple[list[msgspec.Raw], bytes]]:
        """The items of each page, and the bytes they came in."""
        token: str | None = None
        landmark: str | None = None
        count = 0
        for number in range(self._max_pages):
            body = await self._page(operation, token)
            page = self._read_page(operation, body)
            following = text(page.next_token)
            items = page.items or []
            del page
            count += len(items)
            if count > MOST_ITEMS:
                raise _broken(f"it has more than {MOST_ITEMS:,} items")
            yield items, body
            del items, body
            if following is None:
                return
            if following in (token, landmark):
                raise _broken("its pages go round in a circle")
            if number & (number - 1) == 0:
                landmark = following  # at pages 0, 1, 2, 4, 8…: finds any circle, remembers one token
            token = following
        raise _broken(f"it has no end after {self._max_pages} pages")

    async def _page(self, operation: Operation, token: str | None) -> bytes:
        query = {} if operation is Operation.LIST_LABELS else {MAX_RESULTS: str(self._page_size)}
        if token is not None:
            query[self._next_token] = token
        try:
            return await self._send(operation, query=query)
        except VendorRefused as error:
            if token is not None and error.status in _TOKEN_REFUSED:
                raise _broken("Meshtech no longer accepts its next page") from error
            if error.status != 403 and MAX_RESULTS in query:
                raise VendorRefused(
                    f"{error} If it is the size of the page, set MESHBOT_MESHTECH__PAGE_SIZE to less than "
                    f"{self._page_size}.",
                    status=error.status,
                    said=error.said,
                ) from error
            raise
        except RouteMissing as error:
            if token is not None:
                raise _broken("Meshtech no longer accepts its next page") from error
            raise

    def _read_page(self, operation: Operation, body: bytes) -> WirePage:
        try:
            if self._routes.translates(operation):
                return page_from_json(self._json(operation, body))
            return read_page(body)
        except msgspec.ValidationError:
            raise unreadable(operation, "there is no list of items in it") from None
        except UNREADABLE:
            raise unreadable(operation, "it is not JSON") from None

    def _json(self, operation: Operation, body: bytes) -> Any:
        return self._routes.to_ours(operation, read_json(body))

    def _read(self, operation: Operation, item: bytes | msgspec.Raw, struct: type[_Wire]) -> _Wire:
        """One item of a list, whose names are ours already; one that is no object is like one without id."""
        try:
            return read(item, struct)
        except UNREADABLE:
            log.warning("an item of %s is not an object and was skipped", operation)
            return struct()

    def _read_job(self, body: bytes) -> VendorJob:
        job: VendorJob = self._one(Operation.GET_JOB, body, WireJob)
        return job

    def _one(self, operation: Operation, body: bytes, struct: Any) -> Any:
        try:
            found = from_json(opened(self._json(operation, body), "id"), struct).to_domain()
        except UNREADABLE:
            raise unreadable(operation, "it is not a JSON object") from None
        if found is None:
            raise unreadable(operation, "it has no id")
        return found


def _broken(why: str) -> ListingBroken:
    return ListingBroken(f"The poll broke off: {why}. Nothing is lost; it begins anew next time.")


def _raise_unless_already(error: MeshtechError) -> None:
    said = error.said if isinstance(error, VendorRefused) else "already"
    if not re.search(r"\balready\b|\bexists\b", said, re.IGNORECASE):
        raise error


def _made(job: VendorJob) -> datetime:
    return job.created_at or _OLDEST


def _is_newest_first(page: Sequence[VendorJob]) -> bool:
    times = [_made(job) for job in page]
    return len(set(times)) > 1 and times == sorted(times, reverse=True)
