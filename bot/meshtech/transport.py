"""How httpx's requests reach the vendor: over aiohttp, whose parser is compiled.

A page of a listing takes three fifths of the time that it takes over httpx's own layers. Decides nothing
about what is asked for or repeated; every error is one of httpx's, which says whether anything was sent.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

import aiohttp
import httpx
from yarl import URL

from bot.network import Network

_MOST_CONNECTIONS: Final = 20
_KEPT_FOR: Final = 30  # seconds
_READ_AT_ONCE: Final = 256 * 1024
_LONGEST_HEADER: Final = 64 * 1024  # bytes; a gateway in between may add long cookies and policies
# The first that fits. Of the first four nothing was sent.
_ERRORS: Final = (
    (aiohttp.ClientHttpProxyError, httpx.ProxyError),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (aiohttp.InvalidURL, httpx.UnsupportedProtocol),
    (TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientOSError, httpx.ReadError),
    (aiohttp.ClientError, httpx.RemoteProtocolError),
    (OSError, httpx.ReadError),
)


class VendorTransport(httpx.AsyncBaseTransport):
    """A pool of connections; each request goes its own way, directly or through the proxy."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = str(request.url)
        timeout = request.extensions["timeout"]
        with _translated():
            answer = await self._connections().request(
                request.method,
                URL(url, encoded=True),
                headers=request.headers,
                data=await request.aread() or None,
                allow_redirects=False,
                proxy=self._network.proxy_for_aiohttp(url),
                timeout=aiohttp.ClientTimeout(
                    connect=timeout["pool"], sock_connect=timeout["connect"], sock_read=timeout["read"]
                ),
            )
        return httpx.Response(answer.status, headers=answer.raw_headers, stream=_Body(answer))

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _connections(self) -> aiohttp.ClientSession:
        if self._session is None:  # made where the event loop runs
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=self._network.trust(), limit=_MOST_CONNECTIONS, keepalive_timeout=_KEPT_FOR
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("Content-Type",),
                read_bufsize=_READ_AT_ONCE,
                max_field_size=_LONGEST_HEADER,
                middlewares=(_once,),
            )
        return self._session


class _Body(httpx.AsyncByteStream):
    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _translated():
            async for part in self._answer.content.iter_any():
                yield part

    async def aclose(self) -> None:
        self._answer.release()


async def _once(request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
    """By itself aiohttp repeats a PUT whose connection was lost; an error of httpx it passes on."""
    with _translated():
        return await send(request)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, OSError) as error:  # a TimeoutError is an OSError
        ours = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
        raise ours(str(error)) from error
