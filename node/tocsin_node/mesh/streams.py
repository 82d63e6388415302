"""Gossip streams to and from peers: opened once, watched, and started afresh when one is lost.

Stock retries some failures for ever and gives others up in silence, keeps a peer it forgot connected, and may
send on one connection while it hears on another: each leaves one side deaf.
Can go when the library's Pubsub passes tests/network/test_hardening.py without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import trio
from libp2p.abc import IHost, INetStream
from libp2p.io.exceptions import IncompleteReadError, IOException
from libp2p.network.connection.exceptions import RawConnError
from libp2p.network.exceptions import SwarmException
from libp2p.network.stream.exceptions import StreamError
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from libp2p.pubsub.pubsub import Pubsub
from libp2p.stream_muxer.exceptions import MuxedStreamError

from .hardening import MAX_RPC_BYTES, Conduct
from .rpc_queue import OutgoingRpcs, frame_rpc
from .upkeep import MeshRouter

STREAM_FAULTS = (StreamError, IOException, IncompleteReadError, RawConnError, MuxedStreamError, OSError)
# Opening our gossip stream to a peer: how often, and how long each may take.
MAX_REGISTRATIONS = 3
REGISTRATION_SECONDS = 5.0
# Own frames wait this long for slow peers, then queue behind what those have not taken yet.
MAX_ROOM_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class FastPath:
    """The parts of the fast path, each switchable from outside for measuring."""

    buffered_noise: bool = True
    buffered_yamux: bool = True
    buffered_rpcs: bool = True
    batched_writes: bool = True


class PeerStreams(Pubsub):  # type: ignore[misc]
    """The library's Pubsub with our keeping of streams."""

    router: MeshRouter

    def __init__(
        self, host: IHost, router: MeshRouter, *, topics: frozenset[str], conduct: Conduct, fast: FastPath
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            max_inbound_rpc_size=MAX_RPC_BYTES,
            max_subscriptions_per_peer=len(topics),
            allowed_topics=topics,
        )
        self.topics = topics
        self._conduct = conduct
        self._fast = fast
        self._inbound: dict[ID, INetStream] = {}
        self._registering: set[ID] = set()
        self._taken = trio.Event()
        self._waiting_room = trio.CancelScope()

    def stop_waiting(self) -> None:
        """End a wait_room under way: there is something to send that waits for nobody."""
        self._waiting_room.cancel()

    async def wait_room(self) -> None:
        """Wait until most peers took what was queued for them; a slow minority does not hold up the others."""
        with trio.move_on_after(MAX_ROOM_SECONDS) as self._waiting_room:
            while 2 * sum(1 for queue in self.peer_queues.values() if len(queue)) > len(self.peer_queues):
                self._taken = trio.Event()
                await self._taken.wait()

    def get_hello_packet(self) -> rpc_pb2.RPC:
        # Stock adds a signed peer record to every RPC; identify carries ours, the roster names the addresses.
        packet = rpc_pb2.RPC()
        for topic in self.topic_ids:
            packet.subscriptions.add(subscribe=True, topicid=topic)
        return packet

    async def _handle_new_peer_with_retry(self, peer_id: ID, timeout: float | None = None) -> None:
        # One at a time: two connections made at once would open two streams, and ending one looks like a fault.
        if peer_id in self._registering:
            return
        self._registering.add(peer_id)
        try:
            await self._register(peer_id)
        finally:
            self._registering.discard(peer_id)

    async def _register(self, peer_id: ID) -> None:
        # Stock retries some failures for ever and gives others up in silence, which leaves a peer deaf.
        for _ in range(MAX_REGISTRATIONS):
            with trio.move_on_after(REGISTRATION_SECONDS):
                try:
                    await self._handle_new_peer(peer_id)
                    return
                except Exception:  # noqa: BLE001 - the edge of one peer's registration; whatever failed, we dial again
                    self._conduct.count("gossip-stream-failed")
            if not self._peer_is_connected(peer_id):
                return
        await self.part_with(peer_id)

    async def _handle_new_peer(self, peer_id: ID) -> None:
        if self._is_registered(peer_id):
            return
        stream = await self.host.new_stream(peer_id, self.protocols)
        await stream.write(frame_rpc(self.get_hello_packet().SerializeToString()))
        if not self._is_current(peer_id, stream):
            raise SwarmException("the connection was replaced")
        self.router.add_peer(peer_id, stream.get_protocol())
        self.peers[peer_id] = stream
        queue: Any = OutgoingRpcs(lambda: self._taken.set())
        self.peer_queues[peer_id] = queue
        self.manager.run_task(self.handle_sending_messages, peer_id, stream, queue)
        self.manager.run_task(self._watch_connection, peer_id, stream)
        if peer_id in self._peer_added_events:
            self._peer_added_events.pop(peer_id).set()
        for topic in self.topics:
            if peer_id in self.peer_topics.get(topic, ()):
                self.router.welcome(peer_id, topic)

    async def _watch_connection(self, peer_id: ID, stream: INetStream) -> None:
        # A stream nobody writes to does not notice its end; what is sent next would be lost.
        await cast(Any, stream).muxed_conn.event_closed.wait()
        await self._lost_stream(peer_id, stream)

    def _is_registered(self, peer_id: ID) -> bool:
        stream = self.peers.get(peer_id)
        if stream is None or self._is_current(peer_id, stream):
            return stream is not None
        self._forget_sender(peer_id)
        return False

    def _is_current(self, peer_id: ID, stream: INetStream) -> bool:
        live = cast(Any, self.host.get_network()).connections.get(peer_id, ())
        return any(conn is cast(Any, stream).swarm_conn and _is_open(conn) for conn in live)

    def _forget_sender(self, peer_id: ID) -> None:
        self.peers.pop(peer_id, None)
        queue = self.peer_queues.pop(peer_id, None)
        if queue is not None:
            queue.close()
        self.router.remove_peer(peer_id)

    def _handle_dead_peer(self, peer_id: ID) -> None:
        self._inbound.pop(peer_id, None)
        self._forget_sender(peer_id)
        self._forget_all_subscriptions(peer_id)

    def take_over(self, peer_id: ID) -> None:
        """A new connection takes the place of the peer's old one: both sides introduce themselves again."""
        self._handle_dead_peer(peer_id)

    async def part_with(self, peer_id: ID) -> None:
        """End all connections with a peer."""
        self._handle_dead_peer(peer_id)
        with trio.CancelScope(shield=True), trio.move_on_after(2):
            await self.host.disconnect(peer_id)

    async def _lost_stream(self, peer_id: ID, stream: INetStream) -> None:
        """A gossip stream ended. Its connection ends with it, and both sides start afresh on the next.

        Stock forgets the peer's subscriptions and keeps the connection: one-way deafness.
        """
        if stream is self._inbound.get(peer_id):
            del self._inbound[peer_id]
            self._forget_all_subscriptions(peer_id)
        elif stream is not self.peers.get(peer_id):
            return
        conn = cast(Any, stream).swarm_conn
        if _is_open(conn):
            with trio.CancelScope(shield=True), trio.move_on_after(2):
                await conn.close()
        if not self._is_registered(peer_id) and self._peer_is_connected(peer_id) and self.manager.is_running:
            self.manager.run_task(self._handle_new_peer_with_retry, peer_id)

    async def handle_sending_messages(self, peer_id: ID, stream: INetStream, queue: Any) -> None:
        muxed = cast(Any, stream).muxed_stream
        try:
            while batch := await (queue.pop() if self._fast.batched_writes else queue.pop(0)):
                await muxed.write(batch)
        except STREAM_FAULTS:
            self._conduct.count("send-fault")
            await self._lost_stream(peer_id, stream)


def _is_open(conn: Any) -> bool:
    return not conn.is_closed and not conn.muxed_conn.is_closed
