"""Fast path: one stream of our Yamux, buffered, with window updates past half the window."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING

import trio
from libp2p.abc import IMuxedStream
from libp2p.stream_muxer.exceptions import MuxedStreamEOF, MuxedStreamError, MuxedStreamReset

if TYPE_CHECKING:
    from .yamux import BufferedYamux

DATA, WINDOW_UPDATE, PING, GO_AWAY = 0, 1, 2, 3
SYN, ACK, FIN, RST = 1, 2, 4, 8
# The protocol's initial window; ours never grows, so a stream never buffers more than this.
WINDOW_BYTES = 256 * 1024
# Frames of at most this many bytes: one Noise message holds a frame and its header.
MAX_FRAME_BYTES = 60 * 1024
# The most anything reads at once: a sync response.
MAX_READ_BYTES = 1024 * 1024


class BufferedStream(IMuxedStream):  # type: ignore[misc]
    """One Yamux stream."""

    def __init__(self, stream_id: int, conn: BufferedYamux) -> None:
        self.stream_id = stream_id
        self.muxed_conn = conn
        self.send_window = WINDOW_BYTES
        self.receive_window = WINDOW_BYTES
        self.recv_closed = False
        self.send_closed = False
        self.was_reset = False
        self.buffer = bytearray()
        self.changed = trio.Event()
        self._consumed = 0

    @property
    def closed(self) -> bool:
        return self.was_reset or (self.recv_closed and self.send_closed)

    def wake(self) -> None:
        """Wake whoever waits for data or window."""
        if not self.changed.is_set():
            self.changed.set()

    async def _wait_changed(self) -> None:
        if self.changed.is_set():
            self.changed = trio.Event()
        await self.changed.wait()

    async def read(self, n: int | None = None) -> bytes:
        """Return up to `n` bytes (None or -1: what is there), at least one.

        Raises MuxedStreamEOF after the peer's end, MuxedStreamReset after a reset, and MuxedStreamError for more
        than MAX_READ_BYTES: the library asks for whatever length a peer claims, and collects it in memory.
        """
        if n is not None and n > MAX_READ_BYTES:
            raise MuxedStreamError(f"{n} bytes claimed")
        while not self.buffer:
            if self.was_reset:
                raise MuxedStreamReset("stream was reset")
            if self.recv_closed:
                raise MuxedStreamEOF("stream is closed for receiving")
            await self._wait_changed()
        if n is None or n < 0 or n >= len(self.buffer):
            data = bytes(self.buffer)
            self.buffer.clear()
        else:
            data = bytes(self.buffer[:n])
            del self.buffer[:n]
        self._consumed += len(data)
        if self._consumed >= WINDOW_BYTES // 2 and not self.recv_closed:
            self.receive_window += self._consumed
            self.muxed_conn.queue_frame(WINDOW_UPDATE, 0, self.stream_id, self._consumed)
            self._consumed = 0
        return data

    async def write(self, data: bytes) -> None:
        """Queue all of `data` within the peer's window, waiting while the window or the queue is full.

        Raises MuxedStreamReset or MuxedStreamError when the stream can no longer carry it.
        """
        sent = 0
        while sent < len(data):
            if self.was_reset:
                raise MuxedStreamReset("stream was reset")
            if self.send_closed:
                raise MuxedStreamError("stream is closed for sending")
            if self.send_window <= 0:
                await self._wait_changed()
                continue
            piece = data[sent : sent + min(self.send_window, MAX_FRAME_BYTES)]
            self.send_window -= len(piece)
            self.muxed_conn.queue_frame(DATA, 0, self.stream_id, len(piece), piece)
            sent += len(piece)
            await self.muxed_conn.wait_room()

    async def close(self) -> None:
        """Half-close: the peer reads the end, we may still read."""
        if not self.send_closed and not self.was_reset:
            self.send_closed = True
            self.muxed_conn.queue_frame(WINDOW_UPDATE, FIN, self.stream_id, 0)
        self.muxed_conn.forget_if_closed(self)

    async def reset(self) -> None:
        """Abandon the stream in both directions."""
        if not self.closed:
            self.muxed_conn.queue_frame(WINDOW_UPDATE, RST, self.stream_id, 0)
        self.fail()
        self.muxed_conn.forget_if_closed(self)

    def fail(self) -> None:
        self.was_reset = True
        self.buffer.clear()
        self.wake()

    def set_deadline(self, ttl: int) -> None:
        raise MuxedStreamError("deadlines are the caller's: use a trio cancel scope")

    def get_remote_address(self) -> tuple[str, int] | None:
        return self.muxed_conn.get_remote_address()

    async def __aenter__(self) -> BufferedStream:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()
