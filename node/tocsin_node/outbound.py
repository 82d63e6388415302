"""Requests of ours to other people's HTTP services: no redirects, no proxies from the environment, bounded answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from http.cookiejar import CookieJar, DefaultCookiePolicy

import httpx
import trio

MAX_CONNECTIONS = 16
"""Of one client, idle ones included."""
KEEP_ALIVE_S = 120
"""An alarm that comes after a quiet minute should not wait for a handshake."""


class _Body(httpx.AsyncByteStream):
    """A request body that is not a generator: httpx's own is left unfinished by a cancelled request, and warns."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._is_read = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._is_read = False
        return self

    async def __anext__(self) -> bytes:
        if self._is_read:
            raise StopAsyncIteration
        self._is_read = True
        return self._content


def open_client() -> httpx.AsyncClient:
    """A client that takes nothing from the environment; deadlines are the caller's, as trio's cancel scopes."""
    return httpx.AsyncClient(
        timeout=None,  # noqa: S113 - see above
        trust_env=False,
        follow_redirects=False,
        # Nobody's cookies are kept: each answer could bring hundreds, and every request would carry them all.
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        limits=httpx.Limits(
            max_connections=MAX_CONNECTIONS,
            max_keepalive_connections=MAX_CONNECTIONS,
            keepalive_expiry=KEEP_ALIVE_S,
        ),
    )


async def post_json(
    client: httpx.AsyncClient, url: str, content: bytes, *, max_bytes: int, headers: Mapping[str, str] | None = None
) -> tuple[int, bytes | None]:
    """Post a JSON body and return the status and the answer, None when it is longer than `max_bytes`.

    Raises httpx.HTTPError or httpx.InvalidURL without an answer.
    """
    # Not compressed: a small answer must not unfold into a large one before its size is looked at.
    fixed = {
        "content-type": "application/json",
        "content-length": str(len(content)),
        "accept-encoding": "identity",
    }
    request = client.build_request("POST", url, headers={**fixed, **(headers or {})})
    request.stream = _Body(content)
    response = await client.send(request, stream=True)
    raw = bytearray()
    try:
        # Cancelled, not left: httpx's nested generators end cleanly only when the innermost one does.
        with trio.CancelScope() as too_long:
            async for chunk in response.aiter_raw():
                if len(raw) + len(chunk) > max_bytes:
                    too_long.cancel()
                else:
                    raw += chunk
        return response.status_code, None if too_long.cancel_called else bytes(raw)
    finally:
        await response.aclose()
