"""An answer with its body, read as far as an honest one goes: one without an end must not fill the memory."""

from dataclasses import dataclass, field
from typing import Final

import httpx

LARGEST: Final = 32 * 1024 * 1024  # bytes, unpacked; a page of 250 gateways has about 100,000


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


async def exchange(http: httpx.AsyncClient, request: httpx.Request) -> Answer:
    """Sends it and reads the whole answer. Raises TooLarge, and what httpx raises."""
    response = await http.send(request, stream=True)
    try:
        parts, size = [], 0
        async for part in response.aiter_bytes():
            size += len(part)
            if size > LARGEST:
                raise TooLarge(f"more than {LARGEST:,} bytes", request=request)
            parts.append(part)
    finally:
        await response.aclose()
    return Answer(response.status_code, response.headers, b"".join(parts))
