"""Fast path, the multiplexer: Yamux 1.0.0 with one buffered reader and one coalescing writer a connection.

The library parses frames with two awaits each, takes three locks a frame, answers every small read with a
window update and writes each frame by itself. Here frames are parsed from a buffer, window updates go out
past half the window, and what several streams queue in one turn leaves in one write.
Spec: https://github.com/hashicorp/yamux/blob/master/spec.md. Can go when libp2p's Yamux does the same.
"""

from __future__ import annotations

import struct
from collections.abc import Awaitable, Callable
from typing import Any, cast

import trio
from libp2p.abc import IMuxedConn, IMuxedStream, ISecureConn
from libp2p.connection_types import ConnectionType
from libp2p.io.exceptions import IOException
from libp2p.network.connection.exceptions import RawConnError
from libp2p.peer.id import ID
from libp2p.stream_muxer.exceptions import MuxedConnUnavailable
from multiaddr import Multiaddr

from .yamux_stream import ACK, FIN, GO_AWAY, PING, RST, SYN, WINDOW_BYTES, WINDOW_UPDATE, BufferedStream

HEADER = struct.Struct("!BBHII")
HEADER_BYTES = 12
# Streams a peer may hold open at once: gossip, identify, ping and a few sync requests need less.
MAX_INBOUND_STREAMS = 32
# A write waits while more than this is queued for the socket, so a slow peer holds its own writers only. A peer
# that asks for answers (to a ping, to a new stream) beyond it is parted with.
MAX_QUEUED_BYTES = 512 * 1024
# What one write hands to the session: more would hold the loop while it is encrypted.
MAX_WRITE_BYTES = 128 * 1024


class YamuxFault(Exception):
    """The peer broke the protocol; the connection ends."""


class BufferedYamux(IMuxedConn):  # type: ignore[misc]
    """One Yamux connection; `start` runs it until it ends."""

    def __init__(
        self,
        secured_conn: ISecureConn,
        peer_id: ID,
        is_initiator: bool | None = None,
        on_close: Callable[[], Awaitable[Any]] | None = None,
    ) -> None:
        self.secured_conn = secured_conn
        self.peer_id = peer_id
        self.on_close = on_close
        self._is_initiator = secured_conn.is_initiator if is_initiator is None else is_initiator
        self._next_id = 1 if self._is_initiator else 2
        self.streams: dict[int, BufferedStream] = {}
        self.event_started = trio.Event()
        self.event_closed = trio.Event()
        self._accept_send, self._accept_receive = trio.open_memory_channel[BufferedStream](MAX_INBOUND_STREAMS)
        self._is_closing = False
        self._in = bytearray()
        self._body_left = 0
        self._body_stream: BufferedStream | None = None
        self._body_flags = 0
        self._out = bytearray()
        self._out_ready = trio.Event()
        self._out_room = trio.Event()

    @property
    def is_initiator(self) -> bool:
        return self._is_initiator

    @property
    def is_established(self) -> bool:
        return self.event_started.is_set() and not self.event_closed.is_set()

    @property
    def is_closed(self) -> bool:
        return self.event_closed.is_set()

    async def start(self) -> None:
        """Read and write until the connection ends, then tell every stream and the swarm."""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._run, self._run_writer, nursery.cancel_scope)
                nursery.start_soon(self._run, self._run_reader, nursery.cancel_scope)
                nursery.start_soon(self._run, self.event_closed.wait, nursery.cancel_scope)
                self.event_started.set()
        finally:
            with trio.CancelScope(shield=True):
                await self.close()

    async def _run(self, work: Callable[[], Awaitable[Any]], ends: trio.CancelScope) -> None:
        try:
            await work()
        except (IOException, RawConnError, OSError, YamuxFault, trio.ClosedResourceError):
            self._end()
        ends.cancel()

    async def close(self) -> None:
        """End the connection and all its streams."""
        self._end()
        if self._is_closing:
            return
        self._is_closing = True
        with trio.move_on_after(1) as scope:
            scope.shield = True
            await self.secured_conn.close()
        if self.on_close is not None:
            await self.on_close()

    def _end(self) -> None:
        # At once, so that whoever a failing stream wakes finds the connection closed.
        self.event_closed.set()
        self._accept_send.close()
        for stream in list(self.streams.values()):
            stream.fail()
        self.streams.clear()
        self._out_room.set()

    async def open_stream(self) -> BufferedStream:
        """Open a stream; raises MuxedConnUnavailable when the connection is over."""
        if self.event_closed.is_set():
            raise MuxedConnUnavailable("connection is closed")
        stream = BufferedStream(self._next_id, self)
        self._next_id += 2
        self.streams[stream.stream_id] = stream
        self.queue_frame(WINDOW_UPDATE, SYN, stream.stream_id, 0)
        return stream

    async def accept_stream(self) -> IMuxedStream:
        """Wait for the peer to open a stream; raises MuxedConnUnavailable when the connection is over."""
        try:
            return await self._accept_receive.receive()
        except trio.EndOfChannel as exc:
            raise MuxedConnUnavailable("connection is closed") from exc

    def forget_if_closed(self, stream: BufferedStream) -> None:
        if stream.closed:
            self.streams.pop(stream.stream_id, None)

    # sending

    def queue_frame(self, kind: int, flags: int, stream_id: int, length: int, body: bytes = b"") -> None:
        """Put one frame in the queue; the writer takes all that is there in one go."""
        self._out += HEADER.pack(0, kind, flags, stream_id, length)
        if body:
            self._out += body
        if not self._out_ready.is_set():
            self._out_ready.set()

    async def wait_room(self) -> None:
        """Wait while more than MAX_QUEUED_BYTES are queued; always a checkpoint."""
        while len(self._out) > MAX_QUEUED_BYTES and not self.event_closed.is_set():
            if self._out_room.is_set():
                self._out_room = trio.Event()
            await self._out_room.wait()

    async def _run_writer(self) -> None:
        while True:
            await self._out_ready.wait()
            data = bytes(self._out[:MAX_WRITE_BYTES])
            del self._out[: len(data)]
            if not self._out:
                self._out_ready = trio.Event()
            self._out_room.set()
            await self.secured_conn.write(data)

    # receiving

    async def _run_reader(self) -> None:
        while True:
            self._in += await self.secured_conn.read()
            self._take_frames()

    def _take_frames(self) -> None:
        data, position = self._in, 0
        while True:
            if self._body_left:
                piece = data[position : position + self._body_left]
                if not piece:
                    break
                position += len(piece)
                self._body_left -= len(piece)
                self._take_body(piece)
                continue
            if len(data) - position < HEADER_BYTES:
                break
            version, kind, flags, stream_id, length = HEADER.unpack_from(data, position)
            position += HEADER_BYTES
            if version != 0 or kind > GO_AWAY:
                raise YamuxFault(f"unknown Yamux frame: version {version}, type {kind}")
            self._take_frame(kind, flags, stream_id, length)
        if position:
            del data[:position]

    def _take_frame(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        if kind == PING:
            if flags & SYN:
                self._answer(PING, ACK, 0, length)
            return
        if kind == GO_AWAY:
            raise YamuxFault("the peer said go away")
        stream = self._accept(stream_id) if flags & SYN else self.streams.get(stream_id)
        if kind == WINDOW_UPDATE:
            if stream is not None:
                stream.send_window += length
                stream.wake()
                self._take_flags(stream, flags)
            return
        if length > WINDOW_BYTES or (stream is not None and length > stream.receive_window):
            raise YamuxFault(f"frame of {length} bytes does not fit the window")
        if stream is not None:
            stream.receive_window -= length
        self._body_stream, self._body_left, self._body_flags = stream, length, flags
        if not length:
            self._take_body(b"")

    def _take_body(self, piece: bytes | bytearray) -> None:
        stream = self._body_stream
        if stream is None:
            return
        if piece and not stream.was_reset:
            stream.buffer += piece
            stream.wake()
        if not self._body_left:
            self._take_flags(stream, self._body_flags)

    def _take_flags(self, stream: BufferedStream, flags: int) -> None:
        if flags & FIN:
            stream.recv_closed = True
            stream.wake()
        if flags & RST:
            stream.fail()
        if flags & (FIN | RST):
            self.forget_if_closed(stream)

    def _accept(self, stream_id: int) -> BufferedStream | None:
        if stream_id % 2 == self._next_id % 2 or stream_id in self.streams:
            raise YamuxFault(f"the peer opened stream {stream_id}, which is not its to open")
        stream = BufferedStream(stream_id, self)
        inbound = sum(1 for known in self.streams if known % 2 != self._next_id % 2)
        try:
            if inbound >= MAX_INBOUND_STREAMS:
                raise trio.WouldBlock
            self._accept_send.send_nowait(stream)
        except (trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
            self._answer(WINDOW_UPDATE, RST, stream_id, 0)
            return None
        self.streams[stream_id] = stream
        self._answer(WINDOW_UPDATE, ACK, stream_id, 0)
        return stream

    def _answer(self, kind: int, flags: int, stream_id: int, length: int) -> None:
        # Answers do not wait for room: a peer that asks and does not read would grow the queue without bound.
        if len(self._out) > MAX_QUEUED_BYTES:
            raise YamuxFault("the peer asks and does not read")
        self.queue_frame(kind, flags, stream_id, length)

    def get_transport_addresses(self) -> list[Multiaddr]:
        return cast("list[Multiaddr]", self.secured_conn.get_transport_addresses())

    def get_connection_type(self) -> ConnectionType:
        return self.secured_conn.get_connection_type()

    def get_remote_address(self) -> tuple[str, int] | None:
        return cast("tuple[str, int] | None", self.secured_conn.get_remote_address())
