"""`/tocsin/sync/1`: one length-prefixed request and one length-prefixed response a stream."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable

import trio
from libp2p.abc import INetStream
from libp2p.custom_types import TProtocol
from libp2p.host.exceptions import HostException
from libp2p.io.exceptions import IOException
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamEOF, StreamError
from libp2p.peer.id import ID
from tocsin_protocol.sync import MAX_SYNC_REQUEST_BYTES, MAX_SYNC_RESPONSE_BYTES

from .host import MeshHost
from .rpc_queue import encode_uvarint

SYNC_PROTOCOL = TProtocol("/tocsin/sync/1")
SYNC_SECONDS = 10.0
MAX_INBOUND_A_PEER = 4
MAX_PREFIX_BYTES = 3

# (peer, request) -> response; raises SyncError when there is none.
Answerer = Callable[[str, bytes], Awaitable[bytes]]


class SyncError(Exception):
    """No answer: the peer is gone, slow, or said something out of bounds. The message is the reason."""


async def read_prefixed(stream: INetStream, max_bytes: int) -> bytes:
    """Read one length-prefixed message of at most `max_bytes`; raises SyncError."""
    length, shift = 0, 0
    for _ in range(MAX_PREFIX_BYTES):
        byte = (await _read_exactly(stream, 1))[0]
        length |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    else:
        raise SyncError("length prefix is too long")
    if length > max_bytes:
        raise SyncError(f"message of {length} bytes where at most {max_bytes} are allowed")
    return await _read_exactly(stream, length)


async def _read_exactly(stream: INetStream, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = await stream.read(count - len(data))
        if not chunk:
            raise SyncError("stream ended early")
        data += chunk
    return bytes(data)


class SyncStreams:
    """Both sides of the protocol on one host."""

    def __init__(self, host: MeshHost, answer: Answerer) -> None:
        self._host = host
        self._answer = answer
        self._inbound: Counter[str] = Counter()
        host.host.set_stream_handler(SYNC_PROTOCOL, self._serve)

    async def ask(self, peer: str, request: bytes) -> bytes:
        """Send a request to a connected peer and return its response, within SYNC_SECONDS; raises SyncError."""
        if not self._host.is_allowed(peer) or ID.from_base58(peer) not in self._host.swarm.connections:
            raise SyncError("the peer is not connected")
        try:
            with trio.fail_after(SYNC_SECONDS):
                stream = await self._host.host.new_stream(ID.from_base58(peer), [SYNC_PROTOCOL])
                try:
                    await stream.write(encode_uvarint(len(request)) + request)
                    response = await read_prefixed(stream, MAX_SYNC_RESPONSE_BYTES)
                    await stream.close()
                    return response
                except BaseException:
                    with trio.CancelScope(shield=True), trio.move_on_after(1):
                        await stream.reset()
                    raise
        except trio.TooSlowError as exc:
            raise SyncError(f"no response within {SYNC_SECONDS:.0f} s") from exc
        except (SwarmException, HostException, StreamError, StreamEOF, IOException) as exc:
            raise SyncError(f"stream failed: {type(exc).__name__}") from exc

    async def _serve(self, stream: INetStream) -> None:
        peer = str(stream.muxed_conn.peer_id)
        if self._inbound[peer] >= MAX_INBOUND_A_PEER:
            self._host.conduct.count("sync-over-limit")
            await stream.reset()
            return
        self._inbound[peer] += 1
        try:
            with trio.fail_after(SYNC_SECONDS):
                request = await read_prefixed(stream, MAX_SYNC_REQUEST_BYTES)
                response = await self._answer(peer, request)
                await stream.write(encode_uvarint(len(response)) + response)
                await stream.close()
        except (SyncError, StreamError, StreamEOF, IOException, trio.TooSlowError):
            self._host.conduct.count("sync-failed")
            with trio.move_on_after(1):
                await stream.reset()
        finally:
            self._inbound[peer] -= 1
            if not self._inbound[peer]:
                del self._inbound[peer]
