"""An answer with its body, unpacked and read as far as an honest one goes.

One without an end must not fill the memory, and 590 bytes may unpack to 256 MiB. httpx unpacks every part
that it reads whole, also of an answer that it only passes by (a refused token, a redirect), so every client
of a foreign server is made here and unpacks in pieces instead.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

import httpx

from bot.meshtech.transport import VendorTransport
from bot.network import Network

LARGEST: Final = 32 * 1024 * 1024  # bytes, unpacked; a page of 250 gateways has about 100,000
_PIECE: Final = 256 * 1024  # unpacked at a time, in about a millisecond


class TooLarge(httpx.DecodingError):
    """There is more of it than any answer of the vendor's has."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One that was read. It may quote secrets, so a traceback that shows it shows its status only."""

    status: int
    headers: httpx.Headers = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        return httpx.codes.is_success(self.status)


def new_client(network: Network, **settings: Any) -> httpx.AsyncClient:
    """A client with httpx's own settings whose answers have a limit, those it passes by too."""
    settings.setdefault("transport", VendorTransport(network))
    http = httpx.AsyncClient(**settings, trust_env=False, event_hooks={"response": [_limit]})
    http.headers["Accept-Encoding"] = "gzip, deflate"
    return http


async def exchange(http: httpx.AsyncClient, request: httpx.Request) -> Answer:
    """Sends it and reads the whole answer. Raises TooLarge, and what httpx raises."""
    response = await http.send(request, stream=True)
    try:
        assert isinstance(response.stream, httpx.AsyncByteStream)
        # As it comes from below: httpx's own layers find nothing to unpack, and take a tenth of the time.
        body = b"".join([part async for part in response.stream])
        return Answer(response.status_code, response.headers, body)
    finally:
        await response.aclose()


async def _limit(response: httpx.Response) -> None:
    encoding = response.headers.pop("Content-Encoding", "").strip().lower()
    if encoding not in {"", "identity", "gzip", "x-gzip", "deflate"}:  # two layers of them neither
        raise httpx.DecodingError("it is packed in another way than the bot asks for")
    assert isinstance(response.stream, httpx.AsyncByteStream)
    response.stream = _Limited(response.stream, encoding)


class _Limited(httpx.AsyncByteStream):
    """A body unpacked in pieces up to the limit; the event loop turns in between."""

    def __init__(self, packed: httpx.AsyncByteStream, encoding: str) -> None:
        self._packed = packed
        self._encoding = encoding

    async def aclose(self) -> None:
        await self._packed.aclose()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        came = size = 0
        unpacker = None
        async for part in self._packed:
            if not came:
                unpacker = _unpacker(self._encoding, part)
            came += len(part)  # what unpacks to nothing has no end either
            if came > LARGEST:
                raise TooLarge(f"more than {LARGEST:,} bytes")
            if unpacker is None:
                yield part
                continue
            while part:
                piece, part = _next_piece(unpacker, part)
                size += len(piece)
                if size > LARGEST:
                    raise TooLarge(f"more than {LARGEST:,} bytes")
                yield piece
                if part:
                    await asyncio.sleep(0)
        if unpacker is not None:
            yield unpacker.flush()  # a few bytes at most: all that came went in above
            if not unpacker.eof:
                raise httpx.DecodingError("it cannot be unpacked to its end")


def _unpacker(encoding: str, first: bytes) -> "zlib._Decompress | None":
    """What unpacks it; a deflate without its frame is what many servers send."""
    if encoding in {"", "identity"}:
        return None
    if encoding == "deflate":
        return zlib.decompressobj(zlib.MAX_WBITS if first[:1] and first[0] & 15 == 8 else -zlib.MAX_WBITS)
    return zlib.decompressobj(zlib.MAX_WBITS | 16)


def _next_piece(unpacker: "zlib._Decompress", part: bytes) -> tuple[bytes, bytes]:
    """Some of it unpacked, and the rest of the part; what follows its end is nobody's."""
    if unpacker.eof:
        return b"", b""
    try:
        return unpacker.decompress(part, _PIECE), unpacker.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError("it cannot be unpacked") from error
