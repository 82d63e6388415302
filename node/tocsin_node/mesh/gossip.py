"""Gossip: the library's Pubsub, with every message validated where it is read.

Stock starts a task a message (no back-pressure, a raising validator ends the process, an asynchronous one lets
duplicates through), knows True and False only and holds False against the forwarder for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import trio
from libp2p.abc import IHost, INetStream
from libp2p.peer.id import ID
from libp2p.pubsub.pb import rpc_pb2
from tocsin_protocol.admission import Verdict

from .hardening import Conduct, MalformedRpc, decode_rpc
from .rpc_queue import Rank, RpcReader, frame_message, frame_rpc
from .seen import SeenIds
from .signatures import is_ed25519_id, is_signed, sign_message
from .streams import STREAM_FAULTS, FastPath, PeerStreams
from .upkeep import MeshRouter
from .waste import WasteLimit


class Ruling(NamedTuple):
    """The verdict on a message, and what it is passed on as."""

    verdict: Verdict
    rank: Rank = Rank.STANDARD


# (topic, `from` peer, data, forwarder) -> ruling; synchronous, called in the task that reads the forwarder.
Validator = Callable[[str, str, bytes, str], Ruling]

READ_BYTES = 64 * 1024
# A reading task gives the others their turn after this long.
TURN_SECONDS = 0.01
MAX_KNOWN_PEERS = 4_096


class MeshPubsub(PeerStreams):
    """The library's Pubsub with our reading, validating and sending."""

    def __init__(
        self,
        host: IHost,
        router: MeshRouter,
        *,
        validator: Validator,
        is_member: Callable[[bytes], bool],
        topics: frozenset[str],
        topic_fault: Callable[[str], str],
        conduct: Conduct,
        seen: SeenIds,
        fast: FastPath,
    ) -> None:
        super().__init__(host, router, topics=topics, conduct=conduct, fast=fast)
        # Stock counts from int(time.time()): a node restarted after a busy second repeats its ids and is mute.
        self.counter = time.time_ns()
        self._validator = validator
        self._is_member = is_member
        self._topic_fault = topic_fault
        self._seen = seen
        self.waste = WasteLimit()
        self._texts: dict[bytes, str] = {}

    # sending

    def publish_nowait(self, topic: str, data: bytes, rank: Rank = Rank.STANDARD) -> int:
        """Sign a message of our own and queue it to every subscribed peer; returns how many there were."""
        if not any(peer in self.peer_queues for peer in self.peer_topics.get(topic, ())):
            return 0
        message = rpc_pb2.Message(data=data, topicIDs=[topic], from_id=self.my_id.to_bytes(), seqno=self._next_seqno())
        sign_message(message, self.host.get_private_key())
        message_id = self._msg_id_constructor(message)
        framed = frame_message(message.SerializeToString())
        self._seen.add(message_id)
        self.router.mcache.remember(message_id, topic, framed, rank)
        return self.router.publish_framed(topic, framed, rank)

    async def publish(self, topic_id: str | list[str], data: bytes) -> None:
        for topic in [topic_id] if isinstance(topic_id, str) else topic_id:
            self.publish_nowait(topic, data)
        await trio.lowlevel.checkpoint()

    async def message_all_peers(self, raw_msg: bytes, announce: Any = None) -> None:
        rpc = rpc_pb2.RPC.FromString(raw_msg)
        rpc.ClearField("senderRecord")
        framed = frame_rpc(rpc.SerializeToString())
        for queue in self.peer_queues.values():
            queue.push(framed, Rank.CONTROL)
        await trio.lowlevel.checkpoint()

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
            self._conduct.count(self._topic_fault(topic))
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
        topics = message.topicIDs
        if len(topics) != 1 or topics[0] not in self.subscribed_topics_receive:
            self._conduct.count(self._topic_fault(topics[0] if len(topics) == 1 else ""))
            return
        message_id = self._msg_id_constructor(message)
        # [IGNORE] A message is not one already seen.
        if message_id in self._seen:
            self._conduct.count("duplicate")
            return
        # [IGNORE] A message is not our own.
        if message.from_id == self.my_id.to_bytes():
            self._conduct.count("own-message-returned")
            return
        forwarder = self.text_of(forwarder_id.to_bytes())
        # [REJECT] The `from` of a message is the peer id of an Ed25519 key.
        if not is_ed25519_id(message.from_id):
            self._conduct.count("bad-origin")
            self._reject(forwarder)
            return
        # [IGNORE] The `from` of a message is a roster peer.
        if not self._is_member(message.from_id):
            self._conduct.count("unknown-origin")
            return
        # [IGNORE] The peer that brought a message is within what it may waste.
        if self.waste.is_over(forwarder):
            self._conduct.count("forwarder-over-limit")
            if self.waste.pass_over(forwarder, len(message.data)):
                raise MalformedRpc("goes on bringing what is nothing new")
            return
        # Not marked as seen before this: a stranger's bad copy must not suppress the real message.
        # [REJECT] A message is signed by the peer its `from` names.
        if not is_signed(message):
            self._conduct.count("bad-gossip-signature")
            self._reject(forwarder)
            return
        self._seen.add(message_id)
        verdict, rank = self._judge(topics[0], self.text_of(message.from_id), message.data, forwarder)
        if verdict is Verdict.ACCEPT:
            framed = frame_message(message.SerializeToString())
            self.router.mcache.remember(message_id, topics[0], framed, rank)
            self.router.forward(topics[0], framed, forwarder_id, ID(message.from_id), rank)
            return
        self.waste.charge(forwarder, len(message.data))
        if verdict is Verdict.REJECT:
            self._reject(forwarder)

    def _judge(self, topic: str, origin: str, data: bytes, forwarder: str) -> Ruling:
        try:
            return self._validator(topic, origin, data, forwarder)
        except Exception:  # noqa: BLE001 - a fault of our own validator must not end the mesh
            self._conduct.count("validator-failed")
            return Ruling(Verdict.IGNORE)

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
