"""uvicorn's protocols with bounds: who asks too slowly, takes nothing, or has too many connections, is ended."""

from __future__ import annotations

import asyncio
import socket
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from .live.listeners import SEND_SECONDS
from .rates import network_of

# What a request line and its headers may take, and how long they may take to come.
MAX_HEAD_BYTES = 32 * 1024
HEAD_SECONDS = 10.0
# How long the whole body may take.
BODY_SECONDS = 30.0
# Of those that may be open at once, so many are of one address (of IPv6, of one network).
MAX_CONNECTIONS_OF_ADDRESS = 768
# Where a request's state holds what closes its connection at once.
ABORT = "tocsin.abort"


class BoundedProtocol(HttpToolsProtocol):
    """One connection. Between requests uvicorn's own keep-alive bound holds."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._since = 0.0
        self.network = ""
        # None while no head is being read
        self._head_bytes: int | None = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody connected: he is to ask."""
        super().connection_made(transport)
        self._since, self.network = self.loop.time(), _network(self.client)
        _bound_sending(transport)
        self._give(HEAD_SECONDS)
        self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more."""
        self._give(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Some of a request, or of several."""
        # uvicorn waits no more for an idle connection as soon as anything comes, though it be line ends and no request
        if self.timeout_keep_alive_task is not None:
            self._since = self.loop.time()
            self._give(HEAD_SECONDS)
        # [API] A request whose head is larger than MAX_HEAD_BYTES, or not there in HEAD_SECONDS, is not answered.
        if self._head_bytes is not None:
            # What is read at once may hold a small head and a body: it counts when more of the head follows.
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()
                return
            self._head_bytes += len(data)
        super().data_received(data)

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        super().on_message_begin()
        self._head_bytes = 0
        self._give(HEAD_SECONDS)
        self.scope["state"][ABORT] = self.transport.abort

    def on_headers_complete(self) -> None:
        """All before the body."""
        self._head_bytes = None
        # [API] A request whose body is not there in BODY_SECONDS is ended.
        self._give(BODY_SECONDS)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of a request."""
        self._give(None)
        super().on_message_complete()

    def handle_websocket_upgrade(self) -> None:
        """The connection goes on with another protocol."""
        self._give(None)
        super().handle_websocket_upgrade()

    def _make_room(self) -> None:
        # [API] Of all connections at once, MAX_CONNECTIONS_OF_ADDRESS at most are of one address.
        if len(self.connections) > MAX_CONNECTIONS_OF_ADDRESS:
            ours = sum(getattr(one, "network", "") == self.network for one in self.connections)
            if ours > MAX_CONNECTIONS_OF_ADDRESS:
                self.transport.abort()
                return
        # [API] Where no more can connect, who has asked nothing for longest makes room.
        if self.limit_concurrency is not None and len(self.connections) >= self.limit_concurrency:
            idle = [one for one in self.connections if isinstance(one, BoundedProtocol) and one._is_idle()]
            if idle:
                longest = min(idle, key=lambda one: one._since)
                # counted no more from now on, and not only once it is closed
                self.connections.discard(longest)
                longest.transport.abort()

    def _is_idle(self) -> bool:
        is_asking = self.cycle is not None and not self.cycle.response_complete
        return not is_asking and not self.transport.is_closing()

    def _give(self, seconds: float | None) -> None:
        """So much time from now on, or as much as it takes."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self.transport.abort)


class BoundedSocket(WebSocketsSansIOProtocol):
    """One WebSocket."""

    network = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A connection goes on as a WebSocket."""
        super().connection_made(transport)
        self.network = _network(self.client)

    def handle_ping(self) -> None:
        """Answer, but nobody who takes no answers: they would be kept for him without end."""
        answer = b"".join(self.conn.data_to_send())
        if self.writable.is_set():
            self.transport.write(answer)


def _network(client: tuple[str, int] | None) -> str:
    return network_of(client[0]) if client else ""


def _bound_sending(transport: asyncio.Transport) -> None:
    # Whatever he asked for, and while he is being left as well: the kernel ends it.
    connection = cast(socket.socket, transport.get_extra_info("socket"))
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(SEND_SECONDS * 1000))
