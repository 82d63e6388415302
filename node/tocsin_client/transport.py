"""What both clients tell httpx, and make of its errors."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypedDict

import httpx

from .asking import ANSWER_SECONDS
from .errors import BadAnswer, ClientError, Unreachable
from .following import STALE_SECONDS
from .key import FeedKey

CONNECT_SECONDS = 10.0
# [CLIENT] A stream on which nothing came for STALE_SECONDS, not even a sign of life, is begun anew.
LIVE_TIMEOUT = httpx.Timeout(STALE_SECONDS, connect=CONNECT_SECONDS)


def now_ms() -> int:
    """The time, UTC ms."""
    return time.time_ns() // 1_000_000


def check_url(url: str) -> str:
    """An address of a feed without its last slash; raises ClientError."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, UnicodeError) as exc:
        raise ClientError(f"{url[:120]!r} is no address of a feed ({exc})") from exc
    # [CLIENT] A key is never in an address: addresses stand in logs.
    if parsed.scheme not in ("http", "https") or not parsed.host or "%" in parsed.host or parsed.userinfo:
        raise ClientError("an address of a feed is http:// or https://, a host, and no name or password")
    return url.rstrip("/")


class Settings(TypedDict):
    """What an httpx client is made with."""

    base_url: str
    headers: dict[str, str]
    timeout: httpx.Timeout
    trust_env: bool
    follow_redirects: bool


def settings(url: str, key: FeedKey | None) -> Settings:
    """The arguments of a client."""
    # what is compressed could be of any length once it is opened
    headers = {"accept-encoding": "identity"} | ({} if key is None else key.header())
    timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    # [CLIENT] A key goes to the feed it was given for: no redirect and no proxy of the environment is followed.
    return {"base_url": url, "headers": headers, "timeout": timeout, "trust_env": False, "follow_redirects": False}


def unreachable(url: str, exc: Exception) -> Unreachable:
    """What an error of httpx says."""
    return Unreachable(f"{url}: no answer ({str(exc) or type(exc).__name__})")


class Body:
    """The body of an answer as it comes: so many bytes, within ANSWER_SECONDS."""

    def __init__(self, path: str, most: int) -> None:
        self._path = path
        self._most = most
        self._ends = time.monotonic() + ANSWER_SECONDS
        self.data = bytearray()

    def take(self, chunk: bytes) -> None:
        """The next part; raises BadAnswer where it is too much, and Unreachable where it takes too long."""
        self.data += chunk
        if len(self.data) > self._most:
            raise BadAnswer(f"{self._path}: an answer of more than {self._most} bytes")
        if time.monotonic() > self._ends:
            raise Unreachable(f"{self._path}: the answer was not there in {ANSWER_SECONDS:g} s")


def check_encoding(headers: Mapping[str, str]) -> None:
    """Raise BadAnswer where an answer is compressed: nobody asked for that."""
    if headers.get("content-encoding", "identity") != "identity":
        raise BadAnswer("an answer is compressed, which nobody asked for")
