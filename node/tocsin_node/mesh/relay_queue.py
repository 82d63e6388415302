"""What waits to be written to the relay: bounded by bytes, CRITICAL signals and news of the mesh itself first."""

from __future__ import annotations

from collections import deque

import trio

from tocsin_node import meshlink
from tocsin_node.meshlink import Link, Message

# News for the relay that may wait here while it is busy; sync fetches what did not fit.
MAX_RELAY_QUEUE_BYTES = 32 * 1024 * 1024
# On top of it, for what is urgent alone: however much else waits, a CRITICAL signal fits.
RESERVED_RELAY_BYTES = 8 * 1024 * 1024
# Encoding more at once would hold the loop.
MAX_MESSAGES_A_WRITE = 128


class RelayQueue:
    """Two queues, the urgent one first; many messages go in one write."""

    def __init__(self) -> None:
        self._urgent: deque[tuple[Message, int]] = deque()
        self._other: deque[tuple[Message, int]] = deque()
        self._bytes = 0
        self._ready = trio.Event()

    def push(self, message: Message, is_urgent: bool = False) -> bool:
        """Queue a message; false when it does not fit."""
        size = _size_of(message)
        if self._bytes + size > MAX_RELAY_QUEUE_BYTES + (RESERVED_RELAY_BYTES if is_urgent else 0):
            return False
        (self._urgent if is_urgent else self._other).append((message, size))
        self._bytes += size
        if not self._ready.is_set():
            self._ready.set()
        return True

    async def run_writer(self, link: Link) -> None:
        """Write to the relay what is queued."""
        while True:
            await self._ready.wait()
            batch = self._take()
            await link.send(*[message for message, _ in batch])
            # Only now: what a slow relay has not read counts against the bound.
            self._bytes -= sum(size for _, size in batch)

    def _take(self) -> list[tuple[Message, int]]:
        batch: list[tuple[Message, int]] = []
        for queue in (self._urgent, self._other):
            while queue and len(batch) < MAX_MESSAGES_A_WRITE:
                batch.append(queue.popleft())
        if not self._urgent and not self._other:
            self._ready = trio.Event()
        return batch


def _size_of(message: Message) -> int:
    if isinstance(message, meshlink.Admitted):
        return 64 + sum(map(len, message.envelopes)) + sum(map(len, message.doubtful))
    if isinstance(message, meshlink.Answered):
        return 64 + len(message.response)
    if isinstance(message, meshlink.Asked):
        return 64 + len(message.request)
    if isinstance(message, meshlink.ProofSeen):
        return 64 + len(message.proof)
    if isinstance(message, meshlink.HeartbeatSeen):
        return 64 + len(message.heartbeat)
    return 64
