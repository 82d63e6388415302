"""A small real HTTP server on trio, whose handler says what goes wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

MAX_REQUEST_BYTES = 1024 * 1024


@dataclass
class Reply:
    """`raw`: what is sent in place of a whole answer, before the connection is closed."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes = b""


@dataclass(frozen=True)
class Call:
    target: str
    headers: dict[str, str]
    body: bytes


Handler = Callable[[Call], Awaitable[Reply | None]]
"""None closes the connection without an answer."""


@asynccontextmanager
async def serve_http(handler: Handler, up: trio.Event | None = None) -> AsyncIterator[str]:
    """Serve for as long as the context lasts, where an event is given from then on; yields the base URL."""
    door = trio.socket.socket()
    await door.bind(("127.0.0.1", 0))
    port = door.getsockname()[1]

    async def serve(stream: trio.SocketStream) -> None:
        async with stream:
            buffer = bytearray()
            while True:
                try:
                    call = await _read_call(stream, buffer)
                    reply = None if call is None else await handler(call)
                    if reply is None:
                        return
                    await stream.send_all(reply.raw or _encode(reply))
                    if reply.raw:
                        return
                except (trio.BrokenResourceError, trio.ClosedResourceError):
                    return

    if up is None:
        door.listen()

    async def listen() -> None:
        if up is not None:
            await up.wait()
            door.listen()
        await trio.serve_listeners(serve, [trio.SocketListener(door)])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(listen)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            nursery.cancel_scope.cancel()
            door.close()


async def _read_call(stream: trio.SocketStream, buffer: bytearray) -> Call | None:
    while (end := buffer.find(b"\r\n\r\n")) < 0:
        if not await _fill(stream, buffer):
            return None
    first, *lines = bytes(buffer[:end]).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    del buffer[: end + 4]
    size = int(headers.get("content-length", "0"))
    while len(buffer) < size:
        if not await _fill(stream, buffer):
            return None
    body = bytes(buffer[:size])
    del buffer[:size]
    return Call(first.split(" ")[1], headers, body)


async def _fill(stream: trio.SocketStream, buffer: bytearray) -> bool:
    chunk = await stream.receive_some(65_536)
    buffer += chunk
    return bool(chunk) and len(buffer) <= MAX_REQUEST_BYTES


def _encode(reply: Reply) -> bytes:
    headers = {"content-type": "application/json", "content-length": str(len(reply.body)), **reply.headers}
    lines = [f"HTTP/1.1 {reply.status} Test", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + reply.body
