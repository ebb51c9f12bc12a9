"""A proxy as offices have them: it wants a password, looks into what is encrypted, and knows the way out.

Behind it are names that nobody else knows, each a server on this machine that speaks plain HTTP.
"""

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import trustme

USER, PASSWORD = "bot@office", "s3cret/wørd€"
WRITTEN = "bot%40office:s3cret%2Fwørd%E2%82%AC"


@dataclass
class OfficeProxy:
    """``seen`` are the names that were asked for; ``authority`` is the file with its own authority."""

    behind: Mapping[str, int]
    authority: Path
    is_encrypted: bool = False  # the way to the proxy itself
    address: str = ""
    seen: list[str] = field(default_factory=list)

    def url(self, user_info: str = WRITTEN) -> str:
        return f"http{'s' if self.is_encrypted else ''}://{user_info}@{self.address}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request, *headers = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        host = request.split()[1].rpartition(":")[0]
        proof = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if f"proxy-authorization: basic {proof}".lower() not in map(str.lower, headers):
            refusal = "407 Proxy Authentication Required"
        elif host not in self.behind:
            refusal = "502 Bad Gateway"
        else:
            self.seen.append(host)
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await writer.start_tls(self.context)
            outside = await asyncio.open_connection("127.0.0.1", self.behind[host])
            await asyncio.gather(_copy(reader, outside[1]), _copy(outside[0], writer))
            return
        writer.write(f"HTTP/1.1 {refusal}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()

    def __post_init__(self) -> None:
        ours = trustme.CA()
        ours.cert_pem.write_to_path(str(self.authority))
        self.context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        ours.issue_cert("127.0.0.1", *self.behind).configure_cert(self.context)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while piece := await reader.read(65536):
            writer.write(piece)
            await writer.drain()
    finally:
        writer.close()


@asynccontextmanager
async def office(
    folder: Path, behind: Mapping[str, int], *, is_encrypted: bool = False, on: str = "127.0.0.1"
) -> AsyncIterator[OfficeProxy]:
    """It runs; the names are those of ``behind``, and the port that each leads to."""
    proxy = OfficeProxy(behind, folder / "office.pem", is_encrypted)
    conversations: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        conversations.add(task)
        task.add_done_callback(conversations.discard)
        try:
            await proxy.serve(reader, writer)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # they hung up, or the test is over
        finally:
            writer.close()

    server = await asyncio.start_server(serve, on, 0, ssl=proxy.context if is_encrypted else None)
    proxy.address = f"{on}:{server.sockets[0].getsockname()[1]}"
    try:
        yield proxy
    finally:
        server.close()
        for task in conversations:
            task.cancel()
        await asyncio.gather(*conversations, return_exceptions=True)
