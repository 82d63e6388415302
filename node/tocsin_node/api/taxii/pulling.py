"""Another's TAXII collection, read page by page: what it names waits for the operator."""

from __future__ import annotations

import sqlite3
import time
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.drafting import draft_of
from tocsin_protocol.stix.naming import time_of
from tocsin_protocol.stix.reading import check_object

from tocsin_node.clock import now_ms
from tocsin_node.errors import NodeError

from ..feed_db import transaction
from ..suggestions import suggest
from .objects import taxii_time
from .wire import MEDIA_TYPE, parse_json

MAX_PAGES = 1000
MAX_PAGE_BYTES = 16 * 1024 * 1024
MAX_PAGE_OBJECTS = 10_000
PAGE_LIMIT = 500
MAX_CURSOR_CHARS = 4096
TIMEOUT_SECONDS = 30.0
PAGE_SECONDS = 120.0
MAX_FAULTS_LISTED = 20
_LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost"))


@dataclass(slots=True)
class Pulled:
    """What was read; `faults` are the first of the objects that are none."""

    pages: int = 0
    objects: int = 0
    new: int = 0
    known: int = 0
    nothing: int = 0
    faulty: int = 0
    faults: list[str] = field(default_factory=list)


def pull_collection(
    connection: sqlite3.Connection, name: str, url: str, auth: httpx.Auth | tuple[str, str] | None, bearer: str | None
) -> Pulled:
    """Read what is new in the collection at `url` since the last time under this name; raises NodeError."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NodeError(f"{url[:200]!r}: the http or https address of a collection is wanted")
    if (auth or bearer) and parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise NodeError(f"{parts.hostname}: a key is not sent over http; https is wanted")
    # not compressed: a small page must not unfold into a large one before its size is looked at
    headers = {"accept": MEDIA_TYPE, "accept-encoding": "identity"} | (
        {"authorization": f"Bearer {bearer}"} if bearer else {}
    )
    pulled = Pulled()
    with httpx.Client(headers=headers, auth=auth, timeout=TIMEOUT_SECONDS, trust_env=False) as client:
        for _ in range(MAX_PAGES):
            if not _pull_page(connection, client, name, f"{url.rstrip('/')}/objects/", pulled):
                return pulled
    raise NodeError(f"{name}: more than {MAX_PAGES} pages; run it again to go on")


def _pull_page(connection: sqlite3.Connection, client: httpx.Client, name: str, url: str, pulled: Pulled) -> bool:
    row = connection.execute("SELECT added_after, cursor FROM taxii_sources WHERE name = ?", (name,)).fetchone()
    added_after, cursor = row or ("", "")
    query = {"limit": str(PAGE_LIMIT), "added_after": added_after, "next": cursor}
    page, last = _fetch(client, url, {key: value for key, value in query.items() if value})
    objects = page.get("objects", [])
    if not isinstance(objects, list) or len(objects) > MAX_PAGE_OBJECTS:
        raise NodeError(f"{url}: `objects` is not a list of up to {MAX_PAGE_OBJECTS}")
    following = page.get("next") if page.get("more") is True else ""
    if not isinstance(following, str) or len(following) > MAX_CURSOR_CHARS:
        raise NodeError(f"{url}: `next` is not a text of up to {MAX_CURSOR_CHARS} characters")
    # [TAXII] How far another's collection is read is written with what was read, and its own dates say where to go on.
    with transaction(connection):
        for value in objects:
            _take(connection, name, value, pulled)
        state = (name, added_after if following or not last else last, following)
        connection.execute("INSERT OR REPLACE INTO taxii_sources VALUES (?, ?, ?)", state)
    pulled.pages += 1
    pulled.objects += len(objects)
    return bool(following) and bool(objects)


def _fetch(client: httpx.Client, url: str, query: dict[str, str]) -> tuple[dict[str, Any], str]:
    """A page and the time at which its last object was added, as far as it is told."""
    ends = time.monotonic() + PAGE_SECONDS
    try:
        with client.stream("GET", url, params=query) as response:
            body = bytearray()
            for chunk in response.iter_raw():
                body += chunk
                if len(body) > MAX_PAGE_BYTES:
                    raise NodeError(f"{url}: a page has more than {MAX_PAGE_BYTES} bytes")
                if time.monotonic() > ends:
                    raise NodeError(f"{url}: a page takes more than {PAGE_SECONDS:.0f} s")
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise NodeError(f"{url}: does not answer ({exc})") from exc
    if response.status_code != httpx.codes.OK:
        raise NodeError(f"{url}: answers {response.status_code}")
    try:
        page = parse_json(bytes(body))
        last = response.headers.get("x-taxii-date-added-last", "")
        told = taxii_time(time_of("X-TAXII-Date-Added-Last", last)) if last else ""
    except DecodeError as exc:
        raise NodeError(f"{url}: is no answer of TAXII: {exc}") from exc
    if not isinstance(page, dict):
        raise NodeError(f"{url}: is no answer of TAXII: a map is wanted")
    return page, told


def _take(connection: sqlite3.Connection, name: str, value: Any, pulled: Pulled) -> None:
    try:
        draft = draft_of(check_object(value))
        if draft is None:
            pulled.nothing += 1
        elif suggest(connection, f"taxii:{name}", draft, now_ms()):
            pulled.new += 1
        else:
            pulled.known += 1
    except DecodeError as exc:
        pulled.faulty += 1
        if len(pulled.faults) < MAX_FAULTS_LISTED:
            named = value.get("id") if isinstance(value, dict) else None
            pulled.faults.append(f"{str(named)[:80]}: {exc}")
