"""TAXII's own part of HTTP: media types, queries, cursors, pages and errors."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
import sqlite3
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.stix.naming import MAX_TIME_MS, SPEC_VERSION, time_of

from tocsin_node.errors import NodeError

from ..problems import NOT_KEPT, Problem, problem_of
from .objects import Collection, Entry, Filters

MEDIA_TYPE = "application/taxii+json;version=2.1"
PREFIX = "/taxii2"
DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_FILTER_VALUES = 100
MAX_FILTER_CHARS = 8000
MAX_CONTENT_BYTES = 1024 * 1024
_MATCHES = ("id", "type", "version", "spec_version")
_KNOWN = frozenset(("added_after", "limit", "next", *(f"match[{name}]" for name in _MATCHES)))
_CURSOR = re.compile(r"[A-Za-z0-9_-]{1,64}")
_SLASHES = re.compile(r"/{2,}")


class SlashForms:
    """Takes paths of TAXII with or without a slash at the end, and with too many of them in between."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand on the one form that the routes have."""
        if scope["type"] == "http":
            # [TAXII] A path is the same with a slash at its end and without, and with two slashes for one.
            path = _SLASHES.sub("/", scope["path"].rstrip("/") + "/")
            if path.startswith(f"{PREFIX}/"):
                scope = dict(scope) | {"path": path, "raw_path": path.encode()}
        await self.app(scope, receive, send)


class TaxiiResponse(JSONResponse):
    """JSON under TAXII's media type."""

    media_type = MEDIA_TYPE

    def init_headers(self, headers: Mapping[str, str] | None = None) -> None:
        """As any other, and kept by no cache."""
        super().init_headers({**NOT_KEPT, **(headers or {})})


def install_errors(app: FastAPI) -> None:
    """Answer everything that is raised with TAXII's error message."""
    for kind in (Problem, RequestValidationError, HTTPException, DecodeError, NodeError, sqlite3.Error, Exception):
        app.add_exception_handler(kind, _refuse)


async def _refuse(request: Request, error: Exception) -> TaxiiResponse:
    problem = Problem(HTTPStatus.BAD_REQUEST, str(error)) if isinstance(error, DecodeError) else problem_of(error)
    # [TAXII] An error says title, description and http_status, all of them text.
    body = {
        "title": HTTPStatus(problem.status).phrase,
        "description": problem.detail,
        "http_status": str(int(problem.status)),
    }
    return TaxiiResponse(body, problem.status, problem.headers)


def check_accept(request: Request) -> None:
    """Raise Problem 406 where the client wants none of what we can give."""
    # [TAXII] Who accepts neither TAXII 2.1 nor whatever there is gets a 406, and who sends anything else a 415.
    wanted = request.headers.get("accept", "*/*")
    if not any(_is_ours(part, wild=True) for part in wanted.split(",")):
        raise Problem(HTTPStatus.NOT_ACCEPTABLE, f"this server speaks {MEDIA_TYPE}")


def check_content_type(request: Request) -> None:
    """Raise Problem 415 where what is sent is not TAXII 2.1."""
    if not _is_ours(request.headers.get("content-type", ""), wild=False):
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"content-type {MEDIA_TYPE} is wanted")


def _is_ours(media: str, *, wild: bool) -> bool:
    kind, *parameters = (part.strip().lower() for part in media.split(";"))
    if wild and kind in ("*/*", "application/*"):
        return True
    versions = [p.partition("=")[2].strip(' "') for p in parameters if p.partition("=")[0].strip() == "version"]
    return kind == "application/taxii+json" and versions in ([], ["2.1"])


async def read_json(request: Request, max_bytes: int = MAX_CONTENT_BYTES) -> Any:
    """The JSON body of a request; raises Problem 413, or DecodeError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        # [TAXII] A body of more than MAX_CONTENT_BYTES is refused with a 413, before it is read to its end.
        if len(body) > max_bytes:
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"more than {max_bytes} bytes")
    return parse_json(bytes(body))


def parse_json(data: bytes) -> Any:
    """JSON of strangers; raises DecodeError."""
    try:
        return json.loads(data, parse_constant=_no_number)
    except RecursionError as exc:
        raise DecodeError("the body is nested too deep") from exc
    except ValueError as exc:
        raise DecodeError("the body is not JSON in UTF-8") from exc


def _no_number(name: str) -> None:
    raise ValueError(name)


def filters_of(query: Mapping[str, str], *, ids: tuple[str, ...] = ()) -> Filters:
    """The match filters of a request; raises DecodeError about one that is not known or not valid."""
    # [TAXII] A filter that is not known is refused, as an answer without it would hold what was not asked for.
    for name in query:
        if name not in _KNOWN and name.startswith("match["):
            raise DecodeError(f"{name[:80]} is none of match[id], match[type], match[version] and match[spec_version]")
    if ids and "match[id]" in query:
        raise DecodeError("match[id] has no place where the path names the object")
    versions = _values(query, "match[version]") or ("last",)
    for version in versions:
        if version not in ("first", "last", "all"):
            time_of("match[version]", version)
    specs = _values(query, "match[spec_version]")
    return Filters(
        ids=ids or _values(query, "match[id]"),
        types=_values(query, "match[type]"),
        versions=versions,
        is_known_spec=not specs or SPEC_VERSION in specs,
    )


def _values(query: Mapping[str, str], name: str) -> tuple[str, ...]:
    text = query.get(name, "")
    values = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(text) > MAX_FILTER_CHARS or len(values) > MAX_FILTER_VALUES:
        raise DecodeError(f"{name} has more than {MAX_FILTER_VALUES} values or {MAX_FILTER_CHARS} characters")
    if name in query and not values:
        raise DecodeError(f"{name} is empty")
    return values


def limit_of(query: Mapping[str, str]) -> int:
    """How many objects a page may have; raises DecodeError."""
    text = query.get("limit", str(DEFAULT_LIMIT))
    if not re.fullmatch(r"[0-9]{1,9}", text) or int(text) < 1:
        raise DecodeError("limit is not a whole number of 1 or more")
    # [TAXII] Who asks for more than MAX_LIMIT objects gets MAX_LIMIT, and is told that there are more.
    return min(int(text), MAX_LIMIT)


def start_of(query: Mapping[str, str], collection: Collection, filters: Filters) -> int:
    """After which date_added a page begins; raises DecodeError."""
    after_ms = time_of("added_after", query["added_after"]) if "added_after" in query else -1
    if "next" not in query:
        return after_ms
    # [TAXII] A cursor is bound to its collection and match filters; limit and added_after may change between pages.
    cursor = query["next"]
    wrong = DecodeError("next is not a cursor of this collection and these match filters")
    try:
        if not _CURSOR.fullmatch(cursor):
            raise wrong
        data = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    except (binascii.Error, ValueError) as exc:
        raise wrong from exc
    # [TAXII] A cursor does not expire, and outlives restarts: it says where it stands, and nothing is remembered of it.
    if len(data) != 16 or data[8:] != _binding(collection, filters):
        raise wrong
    place_ms = int.from_bytes(data[:8], "big")
    # the binding is no secret: whoever makes a cursor himself may say any place
    if place_ms > MAX_TIME_MS:
        raise wrong
    return max(after_ms, place_ms)


def cursor_of(entry: Entry, collection: Collection, filters: Filters) -> str:
    """Where the page after this entry begins."""
    data = entry.added_ms.to_bytes(8, "big") + _binding(collection, filters)
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _binding(collection: Collection, filters: Filters) -> bytes:
    shape = [collection.id, sorted(filters.ids), sorted(filters.types), sorted(filters.versions), filters.is_known_spec]
    return hashlib.sha256(json.dumps(shape).encode()).digest()[:8]


def page_of(name: str, items: Sequence[bytes], entries: Sequence[Entry], following: str | None) -> Response:
    """A page of items that are JSON already, with the headers that say when its objects were added."""
    # [TAXII] A page says when its first and last object were added; an empty one is an empty map.
    if not entries:
        return TaxiiResponse({})
    more = f'"more":true,"next":"{following}",' if following else ""
    body = f'{{{more}"{name}":['.encode() + b",".join(items) + b"]}"
    headers = NOT_KEPT | {"X-TAXII-Date-Added-First": entries[0].added, "X-TAXII-Date-Added-Last": entries[-1].added}
    return Response(body, headers=headers, media_type=MEDIA_TYPE)
