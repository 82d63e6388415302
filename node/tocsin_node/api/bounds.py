"""Whose body is read, and how large it may be, whatever its request says of it."""

from __future__ import annotations

from http import HTTPStatus

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .access import check_key
from .problems import MEDIA_TYPE, Problem, problem_body
from .taxii.wire import PREFIX

MAX_BODY_BYTES = 2 * 1024 * 1024


class BoundedBody:
    """Refuses what is too large, before it is read where its length is told, and else as soon as it is."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        # [API] A body of more than MAX_BODY_BYTES is a 413.
        if _told(scope) > MAX_BODY_BYTES:
            await _refuse(send, Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TEXT))
            return
        # [API] Nothing is read of a body before its request has shown a key that opens something.
        # TAXII sees to that itself, and refuses in its own form.
        if _has_body(scope) and not scope["path"].startswith(f"{PREFIX}/"):
            try:
                check_key(HTTPConnection(scope))
            except Problem as problem:
                await _refuse(send, problem)
                return
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > MAX_BODY_BYTES:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, _TEXT)
            return message

        await self._app(scope, counted, send)


_TEXT = f"a body has at most {MAX_BODY_BYTES} bytes"


def _told(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and len(value) < 20:
            return int(value)
    return 0


def _has_body(scope: Scope) -> bool:
    return _told(scope) > 0 or any(name == b"transfer-encoding" for name, _ in scope["headers"])


async def _refuse(send: Send, problem: Problem) -> None:
    body = msgspec.json.encode(problem_body(problem.status, problem.detail))
    headers = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *((name.encode(), value.encode()) for name, value in problem.headers.items()),
    ]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
