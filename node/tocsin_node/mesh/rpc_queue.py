"""Gossip RPCs as bytes: framing, reading from a buffer, and one outbound queue a peer.

Stock keeps 32 RPCs a peer and drops the rest without a word, copies and splits each RPC for each peer, reads
its length byte by byte and writes each RPC by itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum

import trio
from tocsin_protocol.taxonomy import CRITICAL

from .hardening import MAX_RPC_BYTES, MalformedRpc

# What may wait for one peer. Beyond it frames are dropped and counted; sync fetches them later.
MAX_QUEUED_BYTES = 8 * 1024 * 1024
MAX_QUEUED_RPCS = 8_192
# On top of both, for control and CRITICAL alone: however much else waits, a CRITICAL frame fits.
RESERVED_BYTES = 2 * 1024 * 1024
RESERVED_RPCS = 2_048
# What one write hands to the stream.
MAX_BATCH_BYTES = 64 * 1024
# RPC.publish is field 2, length-delimited.
PUBLISH_TAG = b"\x12"


class Rank(IntEnum):
    """What goes before what in a peer's queue."""

    CONTROL = 0
    CRITICAL = 1
    STANDARD = 2


def rank_of_lane(lane: int) -> Rank:
    """The rank of a frame of this lane."""
    return Rank.CRITICAL if lane == CRITICAL else Rank.STANDARD


def encode_uvarint(value: int) -> bytes:
    """An unsigned varint, shortest form."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def frame_rpc(rpc: bytes) -> bytes:
    """An RPC with its length in front."""
    return encode_uvarint(len(rpc)) + rpc


def frame_message(message: bytes) -> bytes:
    """A serialized pubsub message as a whole framed RPC: serialized once for all peers."""
    return frame_rpc(PUBLISH_TAG + encode_uvarint(len(message)) + message)


class RpcReader:
    """Cuts a byte stream into RPCs of at most MAX_RPC_BYTES."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The RPCs completed by `data`; raises MalformedRpc on a length out of bounds."""
        buffer = self._buffer
        buffer += data
        rpcs: list[bytes] = []
        position = 0
        while True:
            start, length = self._read_length(position)
            if start < 0 or len(buffer) - start < length:
                break
            rpcs.append(bytes(buffer[start : start + length]))
            position = start + length
        del buffer[:position]
        return rpcs

    def _read_length(self, position: int) -> tuple[int, int]:
        value = 0
        for shift, index in enumerate(range(position, min(position + 4, len(self._buffer)))):
            byte = self._buffer[index]
            value |= (byte & 0x7F) << (7 * shift)
            if byte < 0x80:
                if value > MAX_RPC_BYTES:
                    raise MalformedRpc(f"RPC of {value} bytes")
                return index + 1, value
        if len(self._buffer) - position >= 4:
            raise MalformedRpc("RPC length of more than three bytes")
        return -1, 0


class OutgoingRpcs:
    """What waits for one peer, by rank and then in order."""

    def __init__(self, on_taken: Callable[[], None]) -> None:
        self._on_taken = on_taken
        self._queues: tuple[deque[bytes], ...] = tuple(deque() for _ in Rank)
        self._bytes = 0
        self._ready = trio.Event()
        self._closed = False

    def __len__(self) -> int:
        return sum(map(len, self._queues))

    def push(self, framed: bytes, rank: Rank = Rank.STANDARD) -> bool:
        """Queue a framed RPC; false when the queue is full for its rank."""
        is_standard = rank is Rank.STANDARD
        full = len(self) >= MAX_QUEUED_RPCS + (0 if is_standard else RESERVED_RPCS)
        max_bytes = MAX_QUEUED_BYTES + (0 if is_standard else RESERVED_BYTES)
        if self._closed or full or self._bytes + len(framed) > max_bytes:
            return False
        self._queues[rank].append(framed)
        self._bytes += len(framed)
        if not self._ready.is_set():
            self._ready.set()
        return True

    async def pop(self, max_bytes: int = MAX_BATCH_BYTES) -> bytes:
        """Wait for RPCs and take as many as make `max_bytes`, at least one; empty when closed."""
        while not len(self):
            if self._closed:
                return b""
            self._ready = trio.Event()
            await self._ready.wait()
        batch: list[bytes] = []
        size = 0
        for queue in self._queues:
            while queue and (not batch or size + len(queue[0]) <= max_bytes):
                batch.append(queue.popleft())
                size += len(batch[-1])
        self._bytes -= size
        self._on_taken()
        return b"".join(batch)

    def close(self) -> None:
        self._closed = True
        for queue in self._queues:
            queue.clear()
        self._bytes = 0
        self._ready.set()
        self._on_taken()
