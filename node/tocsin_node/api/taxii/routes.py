"""The routes of TAXII 2.1."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from tocsin_node.clock import now_ms

from ..access import Access, Scope, access_of, any_access_of, requires
from ..context import Feed, feed_of
from ..problems import Problem
from .inbox import INBOX_ID, OWN_ALIASES, read_status, receive_objects
from .objects import Collection, Filters, has_object, read_body, read_collections, read_entries, taxii_time
from .projecting import circle_collections
from .wire import (
    MAX_CONTENT_BYTES,
    MEDIA_TYPE,
    PREFIX,
    TaxiiResponse,
    check_accept,
    check_content_type,
    cursor_of,
    filters_of,
    install_errors,
    limit_of,
    page_of,
    read_json,
    start_of,
)

ROOT = "tocsin"
DROPPED_HEADER = "X-Tocsin-Dropped-To"
STIX_TYPE = "application/stix+json;version=2.1"
# Objects of a page are read from disk until they have so many bytes together.
MAX_EXPORT_LAG_SECONDS = 300.0
MAX_PAGE_OBJECTS_BYTES = 8 * 1024 * 1024
_INBOX: dict[str, Any] = {
    "id": INBOX_ID,
    "title": "Inbox",
    "description": "Findings for this node's operator. What is sent here waits until he publishes or drops it.",
    "alias": "inbox",
    "can_read": False,
    "can_write": True,
    "media_types": [STIX_TYPE],
}

Allowed = Annotated[Access, Depends(access_of)]
Anyone = Annotated[Access, Depends(any_access_of)]
Writer = Annotated[Access, Depends(requires(Scope.SENDER))]
_WRITERS = frozenset((Scope.SENDER, Scope.OPERATOR))


def create_taxii(feed: Feed) -> FastAPI:
    """TAXII as an app of its own, to be mounted at PREFIX beneath `SlashForms`."""
    app = FastAPI(openapi_url=None, redirect_slashes=False, dependencies=[Depends(check_accept)])
    app.state.feed = feed
    install_errors(app)
    app.include_router(_about())
    app.include_router(_objects())
    with closing(feed.open_db()) as connection:
        circle_collections(connection)
    return app


def _about() -> APIRouter:
    router = APIRouter()

    @router.get("/")
    async def discovery(request: Request, access: Anyone) -> TaxiiResponse:
        """Where the API root is: a whole address, as some clients join nothing."""
        # [TAXII] Discovery names the API root by its whole address, under the host that the client asked.
        # What a proxy says of its client is believed here alone: who lies misleads himself.
        is_behind = request.headers.get("x-forwarded-proto") == "https"
        root = f"{'https' if is_behind else request.url.scheme}://{request.url.netloc}{PREFIX}/{ROOT}/"
        about = {"title": "Tocsin", "description": "Threat signals as STIX 2.1", "default": root, "api_roots": [root]}
        return TaxiiResponse(about)

    @router.get(f"/{ROOT}/")
    async def root(access: Anyone) -> TaxiiResponse:
        """The API root."""
        about = {"title": "Tocsin", "versions": [MEDIA_TYPE], "max_content_length": MAX_CONTENT_BYTES}
        return TaxiiResponse(about)

    @router.get(f"/{ROOT}/status/{{status_id}}/")
    def status(request: Request, status_id: str, access: Writer) -> TaxiiResponse:
        """What became of objects that this key sent."""
        with _open(request) as connection:
            found = read_status(connection, status_id, _holder(access))
        if found is None:
            raise Problem(HTTPStatus.NOT_FOUND, "there is no such status of this key")
        return TaxiiResponse(found)

    @router.get(f"/{ROOT}/collections/")
    def collections(request: Request, access: Anyone) -> TaxiiResponse:
        """The collections that this key may read or write."""
        with _open(request) as connection:
            listed = [_shown(c) for c in read_collections(connection) if _may_read(access, c)]
        if access.scope in _WRITERS:
            listed.append(_INBOX)
        return TaxiiResponse({"collections": listed})

    @router.get(f"/{ROOT}/collections/{{name}}/")
    def collection(request: Request, name: str, access: Anyone) -> TaxiiResponse:
        """One collection, by id or alias."""
        if _is_inbox(name, access):
            return TaxiiResponse(_INBOX)
        with _open(request) as connection:
            return TaxiiResponse(_shown(_readable(connection, name, access)))

    return router


def _objects() -> APIRouter:
    router = APIRouter(prefix=f"/{ROOT}/collections/{{name}}")

    @router.get("/objects/")
    def objects(request: Request, name: str, access: Allowed) -> Response:
        """Objects, in the order in which they were added."""
        return _page(request, name, access, "objects")

    @router.get("/manifest/")
    def manifest(request: Request, name: str, access: Allowed) -> Response:
        """The same, without their content."""
        return _page(request, name, access, "manifest")

    @router.get("/objects/{object_id}/")
    def an_object(request: Request, name: str, object_id: str, access: Allowed) -> Response:
        """Versions of one object."""
        return _page(request, name, access, "objects", object_id)

    @router.get("/objects/{object_id}/versions/")
    def versions(request: Request, name: str, object_id: str, access: Allowed) -> Response:
        """Which versions there are of one object."""
        return _page(request, name, access, "versions", object_id)

    @router.delete("/objects/{object_id}/")
    def delete(request: Request, name: str, object_id: str, access: Allowed) -> TaxiiResponse:
        """Nothing that was told is untold."""
        # [TAXII] Nothing can be deleted: what was taken back is revoked.
        _check_readable(request, name, access)
        raise Problem(HTTPStatus.FORBIDDEN, "nothing is deleted here: what is taken back is revoked")

    @router.post("/objects/", status_code=HTTPStatus.ACCEPTED)
    async def add(request: Request, name: str, access: Writer) -> TaxiiResponse:
        """Findings for the operator."""
        if not _is_inbox(name, access):
            await run_in_threadpool(_check_readable, request, name, access)
            raise Problem(HTTPStatus.FORBIDDEN, "only the collection `inbox` takes objects")
        check_content_type(request)
        document, holder, feed = await read_json(request), _holder(access), feed_of(request)

        def receive() -> dict[str, Any]:
            with closing(feed.open_db()) as connection:
                return receive_objects(connection, document, holder, now_ms())

        return TaxiiResponse(await run_in_threadpool(receive), HTTPStatus.ACCEPTED)

    return router


def _page(request: Request, name: str, access: Access, kind: str, object_id: str | None = None) -> Response:
    """One page of a collection's objects, manifest records or versions."""
    query = _single(request)
    filters = filters_of(query, ids=() if object_id is None else (object_id,))
    if kind == "versions":
        filters = Filters(filters.ids, filters.types, ("all",), filters.is_known_spec)
    limit = limit_of(query)
    with _open(request) as connection:
        collection = _readable(connection, name, access)
        if object_id is not None and not has_object(connection, collection, object_id):
            raise Problem(HTTPStatus.NOT_FOUND, "the collection holds no object of this id")
        start = start_of(query, collection, filters)
        if collection.alias in OWN_ALIASES:
            _check_exported(request, connection)
        found = read_entries(connection, collection, filters, start, limit + 1)
        entries = found[:limit]
        items: list[bytes] = []
        size = 0
        for entry in entries:
            if kind == "objects":
                # [TAXII] A page ends early, but has one object, where it would pass MAX_PAGE_OBJECTS_BYTES.
                text = read_body(connection, entry.body)
                if items and size + len(text) > MAX_PAGE_OBJECTS_BYTES:
                    break
                size += len(text)
                items.append(text)
            elif kind == "versions":
                items.append(json.dumps(entry.version).encode())
            else:
                record = {"id": entry.id, "date_added": entry.added, "version": entry.version, "media_type": STIX_TYPE}
                items.append(json.dumps(record).encode())
    entries = entries[: len(items)]
    following = cursor_of(entries[-1], collection, filters) if entries and len(found) > len(entries) else None
    page = page_of("versions" if kind == "versions" else "objects", items, entries, following)
    if max(start, 0) < collection.dropped_ms:
        page.headers[DROPPED_HEADER] = taxii_time(collection.dropped_ms)
    return page


def _single(request: Request) -> dict[str, str]:
    """The query, of which nothing stands twice."""
    items = request.query_params.multi_items()
    query = dict(items)
    if len(query) != len(items):
        raise Problem(HTTPStatus.BAD_REQUEST, "a parameter of the query stands there more than once")
    return query


@contextmanager
def _open(request: Request) -> Iterator[sqlite3.Connection]:
    with closing(feed_of(request).open_db()) as connection:
        yield connection


def _is_inbox(name: str, access: Access) -> bool:
    return access.scope in _WRITERS and name in (INBOX_ID, "inbox")


def _may_read(access: Access, collection: Collection) -> bool:
    return access.scope is not Scope.SENDER and access.may_see(collection.tlp)


def _check_readable(request: Request, name: str, access: Access) -> None:
    with _open(request) as connection:
        _readable(connection, name, access)


def _readable(connection: sqlite3.Connection, name: str, access: Access) -> Collection:
    """A collection that this access may read; raises Problem."""
    if _is_inbox(name, access):
        raise Problem(HTTPStatus.FORBIDDEN, "the collection `inbox` can be written, not read")
    # [TAXII] A collection above what a key may see is not there for it, no more than one that does not exist.
    for collection in read_collections(connection):
        if name in (collection.id, collection.alias) and _may_read(access, collection):
            return collection
    raise Problem(HTTPStatus.NOT_FOUND, "there is no such collection, or none for this key")


def _check_exported(request: Request, connection: sqlite3.Connection) -> None:
    """Raises Problem 503 while the collections are far behind the record."""
    # [TAXII] Nobody is given a page while an entry has waited MAX_EXPORT_LAG_SECONDS for its export.
    (done,) = connection.execute("SELECT sequence FROM taxii_progress").fetchone()
    with feed_of(request).source() as source:
        waiting = source.reader.audit(after=done, limit=1)
    if waiting and now_ms() - waiting[0].at_ms > MAX_EXPORT_LAG_SECONDS * 1000:
        text = "the record is still being exported: the collections lack what is new in it"
        raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, text, headers={"retry-after": "30"})


def _holder(access: Access) -> str:
    assert access.key_id is not None  # noqa: S101 - who may write has shown a key
    return access.key_id


def _shown(collection: Collection) -> dict[str, Any]:
    gone = f"; what was added up to {taxii_time(collection.dropped_ms)} is gone" if collection.dropped_ms else ""
    return {
        "id": collection.id,
        "title": collection.title,
        "description": collection.description + gone,
        "alias": collection.alias,
        "can_read": True,
        "can_write": False,
        "media_types": [STIX_TYPE],
    }
