"""Gossip: the library's Pubsub, with every message validated where it is read.

Stock starts a task a message (no back-pressure, a raising validator ends the process, an asynchronous one lets
duplicates through), knows True and False only and holds False against the forwarder for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
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
from tocsin_protocol.admission import Verdict

from .hardening import MAX_RPC_BYTES, Conduct, MalformedRpc, decode_rpc
from .rpc_queue import OutgoingRpcs, RpcReader, frame_message, frame_rpc
from .seen import SeenIds
from .signatures import is_signed, sign_message
from .upkeep import MeshRouter

# (topic, `from` peer, data, forwarder) -> verdict; synchronous, called in the task that reads the forwarder.
Validator = Callable[[str, str, bytes, str], Verdict]

STREAM_FAULTS = (StreamError, IOException, IncompleteReadError, RawConnError, MuxedStreamError, OSError)
READ_BYTES = 64 * 1024
# Opening our gossip stream to a peer: how often, and how long each may take.
MAX_REGISTRATIONS = 3
REGISTRATION_SECONDS = 5.0
# A reading task gives the others their turn after this long.
TURN_SECONDS = 0.01
MAX_KNOWN_PEERS = 4_096
# Own frames wait this long for slow peers, then queue behind what those have not taken yet.
MAX_ROOM_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class FastPath:
    """The parts of the fast path, each switchable from outside for measuring."""

    buffered_noise: bool = True
    buffered_yamux: bool = True
    buffered_rpcs: bool = True
    batched_writes: bool = True


def _is_open(conn: Any) -> bool:
    return not conn.is_closed and not conn.muxed_conn.is_closed


class MeshPubsub(Pubsub):  # type: ignore[misc]
    """The library's Pubsub with our reading, validating and sending."""

    router: MeshRouter

    def __init__(
        self,
        host: IHost,
        router: MeshRouter,
        *,
        validator: Validator,
        topics: frozenset[str],
        conduct: Conduct,
        seen: SeenIds,
        fast: FastPath,
    ) -> None:
        super().__init__(
            host,
            router,
            strict_signing=True,
            max_inbound_rpc_size=MAX_RPC_BYTES,
            max_subscriptions_per_peer=len(topics),
            allowed_topics=topics,
        )
        # Stock counts from int(time.time()): a node restarted after a busy second repeats its ids and is mute.
        self.counter = time.time_ns()
        self.topics = topics
        self._validator = validator
        self._conduct = conduct
        self._seen = seen
        self._fast = fast
        self._texts: dict[bytes, str] = {}
        self._inbound: dict[ID, INetStream] = {}
        self._registering: set[ID] = set()
        self._taken = trio.Event()

    # sending

    def publish_nowait(self, topic: str, data: bytes) -> int:
        """Sign a message of our own and queue it to every subscribed peer; returns how many there were."""
        if not any(peer in self.peer_queues for peer in self.peer_topics.get(topic, ())):
            return 0
        message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=self.my_id.to_bytes(), seqno=self._next_seqno())
        sign_message(message, self.host.get_private_key())
        message_id = self._msg_id_constructor(message)
        framed = frame_message(message.SerializeToString())
        self._seen.add(message_id)
        self.router.mcache.remember(message_id, topic, framed)
        return self.router.publish_framed(topic, framed)

    async def wait_room(self) -> None:
        """Wait until most peers took what was queued for them; a slow minority does not hold up the others."""
        with trio.move_on_after(MAX_ROOM_SECONDS):
            while 2 * sum(1 for queue in self.peer_queues.values() if len(queue)) > len(self.peer_queues):
                self._taken = trio.Event()
                await self._taken.wait()

    async def publish(self, topic_id: str | list[str], data: bytes) -> None:
        for topic in [topic_id] if isinstance(topic_id, str) else topic_id:
            self.publish_nowait(topic, data)
        await trio.lowlevel.checkpoint()

    def get_hello_packet(self) -> rpc_pb2.RPC:
        # Stock adds a signed peer record to every RPC; identify carries ours, the roster names the addresses.
        packet = rpc_pb2.RPC()
        for topic in self.topic_ids:
            packet.subscriptions.add(subscribe=True, topicid=topic)
        return packet

    async def message_all_peers(self, raw_msg: bytes, announce: Any = None) -> None:
        rpc = rpc_pb2.RPC.FromString(raw_msg)
        rpc.ClearField("senderRecord")
        framed = frame_rpc(rpc.SerializeToString())
        for queue in self.peer_queues.values():
            queue.push(framed, True)
        await trio.lowlevel.checkpoint()

    # peers

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

    # receiving

    async def stream_handler(self, stream: INetStream) -> None:
        peer_id = stream.muxed_conn.peer_id
        older = self._inbound.get(peer_id)
        self._inbound[peer_id] = stream
        if older is not None:
            with trio.move_on_after(1):
                await older.reset()
        try:
            await self.continuously_read_stream(stream)
        except MalformedRpc:
            self._conduct.count("malformed-rpc")
            self._conduct.bar(self.text_of(peer_id.to_bytes()))
            await self.part_with(peer_id)
        except STREAM_FAULTS:
            self._conduct.count("stream-closed")
            await self._lost_stream(peer_id, stream)
        except Exception:  # noqa: BLE001 - the edge of one peer's stream; an unforeseen fault ends this peer only
            self._conduct.count("gossip-fault")
            await self.part_with(peer_id)

    async def continuously_read_stream(self, stream: INetStream) -> None:
        peer_id = stream.muxed_conn.peer_id
        muxed = cast(Any, stream).muxed_stream
        reader = RpcReader()
        chunk_bytes = READ_BYTES if self._fast.buffered_rpcs else 1
        turn_ends = trio.current_time() + TURN_SECONDS
        while True:
            for data in reader.feed(await muxed.read(chunk_bytes)):
                self._take_rpc(peer_id, data)
                if trio.current_time() > turn_ends:
                    await trio.lowlevel.checkpoint()
                    turn_ends = trio.current_time() + TURN_SECONDS

    def _take_rpc(self, peer_id: ID, data: bytes) -> None:
        rpc = decode_rpc(data)
        for subscription in rpc.subscriptions:
            self.handle_subscription(peer_id, subscription)
        for message in rpc.publish:
            self._take_message(peer_id, message)
        if rpc.HasField("control"):
            self.router.take_control(rpc.control, peer_id)

    def handle_subscription(self, origin_id: ID, sub_message: rpc_pb2.RPC.SubOpts) -> None:
        topic = sub_message.topicid
        if topic not in self.topics:
            self._conduct.count("unknown-topic")
            return
        if not sub_message.subscribe:
            self._forget_subscription(origin_id, topic)
            self.router.mesh.get(topic, set()).discard(origin_id)
            return
        peers = self.peer_topics.setdefault(topic, set())
        if origin_id in peers:
            return
        peers.add(origin_id)
        if (origin_id, topic) in self._subscription_events:
            self._subscription_events.pop((origin_id, topic)).set()
        self.router.welcome(origin_id, topic)

    def _take_message(self, forwarder_id: ID, message: rpc_pb2.Message) -> None:
        message_id = self._msg_id_constructor(message)
        if message_id in self._seen:
            self._conduct.count("duplicate")
            return
        topics = message.topicIDs
        if len(topics) != 1 or topics[0] not in self.subscribed_topics_receive:
            self._conduct.count("unknown-topic")
            return
        forwarder = self.text_of(forwarder_id.to_bytes())
        if message.from_id == self.my_id.to_bytes():
            self._conduct.count("own-message-returned")
            return
        # Not marked as seen before this: a stranger's bad copy must not suppress the real message.
        if not is_signed(message):
            self._conduct.count("bad-gossip-signature")
            self._reject(forwarder)
            return
        self._seen.add(message_id)
        verdict = self._judge(topics[0], self.text_of(message.from_id), message.data, forwarder)
        if verdict is Verdict.ACCEPT:
            framed = frame_message(message.SerializeToString())
            self.router.mcache.remember(message_id, topics[0], framed)
            self.router.forward(topics[0], framed, forwarder_id, ID(message.from_id))
        elif verdict is Verdict.REJECT:
            self._reject(forwarder)

    def _judge(self, topic: str, origin: str, data: bytes, forwarder: str) -> Verdict:
        try:
            return self._validator(topic, origin, data, forwarder)
        except Exception:  # noqa: BLE001 - a fault of our own validator must not end the mesh
            self._conduct.count("validator-failed")
            return Verdict.IGNORE

    def _reject(self, forwarder: str) -> None:
        self._conduct.count("rejected")
        if self._conduct.hold_reject(forwarder):
            raise MalformedRpc("too many rejected messages")

    def text_of(self, peer: bytes) -> str:
        """A peer id as text, cached: base58 is slow."""
        text = self._texts.get(peer)
        if text is None:
            if len(self._texts) >= MAX_KNOWN_PEERS:
                self._texts.clear()
            text = self._texts[peer] = str(ID(peer))
        return text
