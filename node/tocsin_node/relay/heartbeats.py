"""Heartbeats: what we say of ourselves every fifteen seconds, and what we last heard of each peer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
import trio
from tocsin_protocol.errors import DecodeError
from tocsin_protocol.feed import FeedHead
from tocsin_protocol.heartbeat import HEARTBEAT_INTERVAL_MS, Heartbeat, decode_heartbeat, encode_heartbeat
from tocsin_protocol.log.witness import Growth
from tocsin_protocol.taxonomy import Category

from tocsin_node.meshlink import HeartbeatSeen, PublishHeartbeat
from tocsin_node.store.feeds import read_feeds
from tocsin_node.store.writer import Store

from .metrics import Metrics
from .network import Network
from .supervisor import MeshSupervisor

_log = structlog.get_logger("tocsin.heartbeats")


@dataclass(frozen=True, slots=True)
class Heard:
    """The last heartbeat of a publisher, and when it came (our UTC ms)."""

    beat: Heartbeat
    received_ms: int


class Heartbeats:
    """Sends ours and remembers the others'."""

    def __init__(
        self,
        store: Store,
        network: Network,
        supervisor: MeshSupervisor,
        metrics: Metrics,
        now_ms: Callable[[], int],
        heights: Callable[[], Sequence[tuple[str, int]]],
        coverage: Sequence[Category],
        logs: Callable[[], Awaitable[tuple[Growth | None, tuple[bytes, ...]]]],
    ) -> None:
        self._store = store
        self._network = network
        self._supervisor = supervisor
        self._metrics = metrics
        self._now_ms = now_ms
        self._heights = heights
        self._coverage = tuple(coverage)
        # What the next heartbeat shows of our log and the others'.
        self._logs = logs
        self._hurry = trio.Event()
        self.heard: dict[bytes, Heard] = {}

    def take(self, seen: HeartbeatSeen) -> Heartbeat | None:
        """Remember a peer's heartbeat; None where it is not one of a roster publisher."""
        publisher = self._network.index.publisher_of_peer(seen.peer_id)
        try:
            beat = decode_heartbeat(seen.heartbeat)
        except DecodeError as exc:
            _log.warning("heartbeat does not parse", peer=seen.peer_id, why=str(exc))
            self._metrics.dropped.labels("heartbeat-malformed").inc()
            return None
        if publisher is None:
            return None
        self.heard[publisher] = Heard(beat, self._now_ms())
        return beat

    def watching(self, category: Category) -> list[tuple[bytes, int]]:
        """The publishers that declare to watch for a category, and when each was last heard (our UTC ms)."""
        heard = dict(self.heard)  # decisions ask from the writer's thread
        return [(publisher, item.received_ms) for publisher, item in heard.items() if category in item.beat.coverage]

    def hurry(self) -> None:
        """Send the next one now: the roster has changed, and the others should ask for it."""
        self._hurry.set()

    async def run_heartbeats(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Send one every HEARTBEAT_INTERVAL_MS, and when told to hurry."""
        task_status.started()
        while True:
            await self._supervisor.up.wait()
            own = self._store.publisher
            feeds = [feed for feed in await self._store.writer.submit(read_feeds) if feed.publisher == own]
            log, cosigned = await self._logs()
            beat = Heartbeat(
                sent_ms=self._now_ms(),
                epoch=self._network.index.roster.epoch,
                heads=tuple(FeedHead(f.publisher, f.lane, f.head, f.head_digest) for f in feeds if f.head),
                heights=tuple(sorted(self._heights())),
                coverage=self._coverage,
                log=log,
                cosigned=cosigned,
            )
            self._supervisor.send(PublishHeartbeat(encode_heartbeat(beat)))
            with trio.move_on_after(HEARTBEAT_INTERVAL_MS / 1000):
                await self._hurry.wait()
            self._hurry = trio.Event()
