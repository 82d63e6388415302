"""Listening: server-sent events, and the same over a WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from http import HTTPStatus
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Depends, Header, Query, Request, WebSocket
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect
from tocsin_protocol.audit import EntryKind
from tocsin_protocol.encoding import MAX_UINT
from tocsin_protocol.taxonomy import Severity

from ..access import Access, access_of
from ..context import feed_of
from ..live.events import Channel, LiveEvent, LiveFilter
from ..live.listeners import SEND_SECONDS, Cut, Listeners, Why
from ..paging import Name
from ..problems import Problem, problem_body
from ..protocol import ABORT
from ..queries import categories_of

router = APIRouter(tags=["live"])
POLICY_VIOLATION = 1008
TRY_AGAIN_LATER = 1013


class LiveQuery(BaseModel):
    """What is listened to; what is asked of signals leaves nothing else."""

    model_config = ConfigDict(extra="forbid")

    after: int | None = Field(None, ge=0, le=MAX_UINT, description="Resume behind this sequence; from now on without.")
    kind: list[EntryKind] = Field([], max_length=len(EntryKind), description="Only these kinds.")
    subject: Name | None = None
    category: Name | None = Field(None, description="A category or a family.")
    severity: Severity | None = Field(None, description="This one or worse.")

    def filter(self) -> LiveFilter:
        """The same as events are asked; raises Problem 400."""
        return LiveFilter(frozenset(self.kind), self.subject, categories_of(self.category), self.severity)


@router.get(
    "/live",
    response_class=Response,
    responses={200: {"description": "Events.", "content": {"text/event-stream": {"schema": {"type": "string"}}}}},
)
async def live(
    request: Request,
    access: Annotated[Access, Depends(access_of)],
    query: Annotated[LiveQuery, Query()],
    last_event_id: Annotated[int | None, Header(ge=0, le=MAX_UINT)] = None,
) -> Response:
    """Everything as it happens (server-sent events). The id of an event is its sequence in the record."""
    listeners: Listeners = request.app.state.listeners
    cursor = await listeners.begin(query.after if last_event_id is None else last_event_id)
    channel = Channel(access.scope, query.filter())
    return _EventStream(listeners, access, channel, cursor, listeners.check_room(access, request))


class _EventStream(Response):
    """An answer that goes on until its reader leaves, is too slow, or may listen no more."""

    media_type = "text/event-stream"

    def __init__(self, listeners: Listeners, access: Access, channel: Channel, cursor: int, who: str) -> None:
        super().__init__(None, headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        self._listeners = listeners
        self._access = access
        self._channel = channel
        self._cursor = cursor
        self._who = who

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [pair for pair in self.raw_headers if pair[0] != b"content-length"]
        # counted where it is sure to end: an answer that never begins has no end either
        with self._listeners.joined(self._who, self._channel.scope):
            await send({"type": "http.response.start", "status": self.status_code, "headers": headers})
            await _until_gone(_wait_gone(receive), self._stream(scope, send))

    async def _stream(self, scope: Scope, send: Send) -> None:
        try:
            # with its id, so that who loses the stream before the first event resumes from here
            await _send(send, f": tocsin live\nid: {self._cursor}\n\n".encode())
            async for cursor, text in self._listeners.chunks(self._access, self._channel, self._cursor, write_events):
                # the id goes on with what is not shown, so that resuming does not read it again
                await _send(send, text or f": still here\nid: {cursor}\n\n".encode())
        except Cut as cut:
            self._listeners.metrics.cuts.labels(cut.why.value).inc()
            await _send(send, _write_cut(cut))
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except TimeoutError:
            # [API] A reader who takes none of what was sent for SEND_SECONDS is disconnected.
            self._listeners.metrics.cuts.labels(Why.DEAF.value).inc()
            _abort(scope)


def write_events(taken: Sequence[tuple[LiveEvent, bytes]]) -> bytes:
    """Events as they are sent."""
    return b"".join(b"id: %d\nevent: %s\ndata: %s\n\n" % (e.sequence, e.kind.value.encode(), text) for e, text in taken)


@router.websocket("/live/ws")
async def live_socket(websocket: WebSocket, query: Annotated[LiveQuery, Query()]) -> None:
    """The same over a WebSocket: the `data` of each event is one message, and what one sends is not read."""
    listeners: Listeners = websocket.app.state.listeners
    try:
        # [API] A browser's page of another origin may not listen over a WebSocket: CORS does not stop it.
        _check_origin(websocket)
        access = await access_of(websocket)
        cursor = await listeners.begin(query.after)
        channel = Channel(access.scope, query.filter())
        who = listeners.check_room(access, websocket)
    except Problem as problem:
        await _refuse(websocket, problem)
        return
    with listeners.joined(who, channel.scope):
        await websocket.accept()
        await _until_gone(_wait_gone(websocket.receive), _serve_socket(websocket, listeners, access, channel, cursor))


async def _serve_socket(
    websocket: WebSocket, listeners: Listeners, access: Access, channel: Channel, cursor: int
) -> None:
    try:
        async for place, text in listeners.chunks(access, channel, cursor, write_messages):
            for message in text.split(b"\n")[:-1] or [b'{"kind":"quiet","sequence":%d}' % place]:
                async with asyncio.timeout(SEND_SECONDS):
                    await websocket.send_text(message.decode())
    except Cut as cut:
        listeners.metrics.cuts.labels(cut.why.value).inc()
        async with asyncio.timeout(SEND_SECONDS):
            await websocket.send_text(msgspec.json.encode(_cut(cut)).decode())
            await websocket.close(TRY_AGAIN_LATER)
    except (TimeoutError, WebSocketDisconnect, RuntimeError):
        # RuntimeError is starlette's word for a socket that closed between two messages
        return


def write_messages(taken: Sequence[tuple[LiveEvent, bytes]]) -> bytes:
    """Messages, one a line: JSON without line breaks."""
    return b"".join(text + b"\n" for _, text in taken)


async def _wait_gone(receive: Receive) -> None:
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def _until_gone(leaving: Coroutine[Any, Any, None], serving: Coroutine[Any, Any, None]) -> None:
    """Serve somebody until it ends or he has left."""
    tasks = {asyncio.ensure_future(leaving), asyncio.ensure_future(serving)}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


async def _send(send: Send, data: bytes) -> None:
    async with asyncio.timeout(SEND_SECONDS):
        await send({"type": "http.response.body", "body": data, "more_body": True})


def _abort(scope: Scope) -> None:
    """Close the connection without waiting for what is still to be sent: nobody takes it."""
    abort = scope.get("state", {}).get(ABORT)
    if abort is not None:
        abort()


def _cut(cut: Cut) -> dict[str, Any]:
    return {"kind": "cut", "reason": str(cut), "resume": cut.resume}


def _write_cut(cut: Cut) -> bytes:
    return b"event: cut\ndata: " + msgspec.json.encode(_cut(cut)) + b"\n\n"


def _check_origin(websocket: WebSocket) -> None:
    origin = websocket.headers.get("origin")
    if origin is None or origin in feed_of(websocket).config.feed.cors_origins:
        return
    if origin.partition("://")[2] != websocket.headers.get("host"):
        raise Problem(HTTPStatus.FORBIDDEN, "pages of other origins may not listen here")


async def _refuse(websocket: WebSocket, problem: Problem) -> None:
    body = msgspec.json.encode(problem_body(problem.status, problem.detail))
    headers = {"content-type": "application/problem+json", **problem.headers}
    await websocket.send_denial_response(Response(body, problem.status, headers))
