"""The messages of the last heartbeats, for who asks for one (IWANT).

tests/network/test_upkeep.py shows the fault of libp2p 0.8.1 it answers; can go when an upgrade passes without it.
"""

from __future__ import annotations

from typing import NamedTuple

from libp2p.pubsub.mcache import CacheEntry, MessageCache

from .rpc_queue import Rank

# What the message cache holds for IWANT; beyond it messages are not offered, sync still has them.
MAX_CACHED_BYTES = 32 * 1024 * 1024


class Held(NamedTuple):
    """A message as it goes out, and what it goes out as."""

    framed: bytes
    rank: Rank


class IdKeyedCache(MessageCache):  # type: ignore[misc]
    """The message cache, keyed by the id the network uses, holding each message framed as it goes out.

    Stock keys by `from` + `seqno` whatever id function is set; IHAVE and IWANT then ask for the same ids for ever.
    """

    def __init__(self, window_size: int = 3, history_size: int = 5) -> None:
        super().__init__(window_size, history_size)
        self._bytes = 0

    def remember(self, message_id: bytes, topic: str, framed: bytes, rank: Rank = Rank.STANDARD) -> None:
        """Keep a message for some heartbeats; drops it when the cache is full."""
        if message_id in self.msgs or self._bytes + len(framed) > MAX_CACHED_BYTES:
            return
        self.msgs[message_id] = Held(framed, rank)
        self._bytes += len(framed)
        self.history[0].append(CacheEntry(message_id, [topic]))

    def find(self, message_id: bytes) -> Held | None:
        """The framed RPC of a message and its rank, or None."""
        held: Held | None = self.msgs.get(message_id)
        return held

    def settled(self, topic: str) -> list[bytes]:
        """Ids of the heartbeat before this one: old enough not to be on their way still."""
        return [entry.mid for entry in self.history[1] if topic in entry.topics]

    def shift(self) -> None:
        for entry in self.history[-1]:
            held = self.find(entry.mid)
            self._bytes -= len(held.framed) if held else 0
        super().shift()
