"""Sessions of the dashboard: a cookie that no script can read stands for a key, in requests of our own pages alone."""

from __future__ import annotations

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from hashlib import sha256
from http import HTTPStatus

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Receive, Scope, Send

from ..problems import Problem

SESSION_SECONDS = 12 * 3600
MAX_SESSIONS = 256
MAX_SESSIONS_OF_KEY = 16
TOKEN_BYTES = 32
MAX_COOKIE_CHARS = 4096
# Opens nothing, so that whoever comes with a session that is over is told, and not shown the public's view instead.
_OVER = "Bearer the-session-is-over"
_WHERE = (
    "the dashboard takes a key over TLS or on this machine (an SSH tunnel will do), in a browser that says where its"
    " requests come from"
)


class Sessions:
    """What browsers signed in with, by the hash of their tokens; who signed in longest ago is forgotten first."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, tuple[str, float]] = OrderedDict()

    def begin(self, authorization: str) -> str:
        """A new session's token, for an Authorization header that opened something."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        # [API] Of one key MAX_SESSIONS_OF_KEY are open at once: nobody's signing in signs others out.
        own = [held for held, (shown, _) in self._open.items() if shown == authorization]
        if len(own) >= MAX_SESSIONS_OF_KEY:
            del self._open[own[0]]
        self._open[_hash(token)] = authorization, self._clock() + SESSION_SECONDS
        if len(self._open) > MAX_SESSIONS:
            self._open.popitem(last=False)
        return token

    def authorization(self, token: str) -> str:
        """The Authorization header that a session stands for; one that opens nothing, when it is over."""
        authorization, ends = self._open.get(_hash(token), (_OVER, 0.0))
        # [API] A session ends SESSION_SECONDS after its key was shown, with the feed, and when one signs out.
        return authorization if self._clock() < ends else _OVER

    def end(self, token: str) -> None:
        """Forget a session."""
        self._open.pop(_hash(token), None)


class CookieKeys:
    """Puts the key of a session into the requests of our own pages, so that behind it there are keys alone."""

    def __init__(self, app: ASGIApp, sessions: Sessions) -> None:
        self._app = app
        self._sessions = sessions

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            token = token_of(headers)
            # [API] A session counts only in requests of which the browser says that a page of this origin makes them.
            if token is not None and "authorization" not in headers and is_own_page(headers):
                scope = {**scope, "headers": list(scope["headers"])}
                MutableHeaders(scope=scope)["authorization"] = self._sessions.authorization(token)
        await self._app(scope, receive, send)


def check_own_page(headers: Headers) -> None:
    """Raises Problem 403 where a request does not come from a page of ours, over a way that nobody reads."""
    if not is_own_page(headers):
        raise Problem(HTTPStatus.FORBIDDEN, _WHERE)


def is_own_page(headers: Headers) -> bool:
    """Whether the browser says so: it does over TLS and to loopback alone, and no script can make it."""
    return headers.get("sec-fetch-site") == "same-origin"


def token_of(headers: Headers) -> str | None:
    """The token in a request's cookie."""
    text = headers.get("cookie", "")
    return None if len(text) > MAX_COOKIE_CHARS else cookie_parser(text).get(cookie_name(headers))


def cookie_name(headers: Headers) -> str:
    """Cookies know no ports: nodes that are reached at one address by several would sign one another out."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"tocsin_{port}" if port.isdecimal() and port.isascii() else "tocsin"


def _hash(token: str) -> bytes:
    return sha256(token.encode()).digest()
