"""Gossipsub's mesh upkeep: the library's router with the cures that keep a small permissioned mesh whole.

Each cure names the fault of libp2p 0.8.1 it answers; tests/network/test_upkeep.py shows the fault on the
stock library. They can go one by one when an upgrade passes those tests without them.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import trio
from libp2p.custom_types import TProtocol
from libp2p.peer.id import ID
from libp2p.pubsub.gossipsub import GossipSub
from libp2p.pubsub.pb import rpc_pb2

from .hardening import Conduct
from .message_cache import IdKeyedCache
from .rpc_queue import Rank, frame_rpc

# 1.2 doubles the CPU (an IDONTWANT a message and peer), 1.0 knows no back-off.
PROTOCOL = TProtocol("/meshsub/1.1.0")
DEGREE, DEGREE_LOW, DEGREE_HIGH = 6, 4, 12
HEARTBEAT_SECONDS = 1
PRUNE_BACK_OFF_SECONDS = 3
# Grace on top of a back-off the other side named: clocks are truncated to seconds, and js penalises a GRAFT
# that comes a moment early.
BACK_OFF_SLACK_SECONDS = 2
LONGEST_BACK_OFF_SECONDS = 3600
# Message ids announced to, and asked of, one peer in one heartbeat.
MAX_IHAVE_IDS = 512
MAX_IWANT_IDS = 512
# How often one message is sent again to one peer that asks for it.
MAX_RETRANSMISSIONS = 3
LAZY_DEGREE = 6


class MeshRouter(GossipSub):  # type: ignore[misc]
    """The library's gossipsub router; every send is a non-blocking push to a bounded queue."""

    pubsub: Any

    def __init__(self, direct_peers: Iterable[ID], conduct: Conduct, is_seen: Callable[[bytes], bool]) -> None:
        super().__init__(
            protocols=[PROTOCOL],
            degree=DEGREE,
            degree_low=DEGREE_LOW,
            degree_high=DEGREE_HIGH,
            heartbeat_interval=HEARTBEAT_SECONDS,
            prune_back_off=PRUNE_BACK_OFF_SECONDS,
            # Stock drops what exceeds 10 messages/s of one forwarder, our own included; limits are per publisher.
            spam_protection_enabled=False,
            # Stock stretches a 1 s heartbeat to 30 s.
            adaptive_gossip_enabled=False,
            eclipse_protection_enabled=False,
        )
        # Without a scorer stock does no opportunistic grafting, which over-grafts, mass-prunes and partitions.
        self.scorer = None
        self.mcache: IdKeyedCache = IdKeyedCache()
        self.direct: set[ID] = set(direct_peers)
        self._conduct = conduct
        self._is_seen = is_seen
        self._asked: set[bytes] = set()
        self._asked_of: Counter[ID] = Counter()
        self._sent_again: Counter[tuple[ID, bytes]] = Counter()
        self._grafts_of: Counter[ID] = Counter()

    # forwarding

    def publish_framed(self, topic: str, framed: bytes, rank: Rank) -> int:
        """Queue a message of our own to everybody subscribed (stock floods nothing); returns to how many."""
        # [FORWARD] A message of our own goes to every peer that is subscribed to its topic.
        return sum(self._push(peer, framed, rank) for peer in self.pubsub.peer_topics.get(topic, ()))

    def forward(self, topic: str, framed: bytes, forwarder: ID, origin: ID, rank: Rank) -> None:
        """Queue somebody's message to who may lack it."""
        subscribed = self.pubsub.peer_topics.get(topic, set())
        # [FORWARD] What came straight from its origin goes on to our two neighbours on the ring.
        targets = self.direct & subscribed
        # [FORWARD] What came through somebody else, or lacks a neighbour to go to, goes to our mesh as well.
        if forwarder != origin or len(targets) < len(self.direct):
            targets |= self.mesh.get(topic, set()) & subscribed
        for peer in targets:
            # [FORWARD] Nothing goes back to the peer that brought it, or to its origin.
            if peer != forwarder and peer != origin:
                self._push(peer, framed, rank)

    def _push(self, peer: ID, framed: bytes, rank: Rank) -> bool:
        queue = self.pubsub.peer_queues.get(peer)
        if queue is None:
            return False
        if not queue.push(framed, rank):
            self._conduct.count("peer-queue-full")
            return False
        return True

    # joining the mesh

    def welcome(self, peer: ID, topic: str) -> None:
        """A peer is registered and subscribed: graft it while the mesh is short, offer it what is recent."""
        if peer not in self.pubsub.peer_queues or topic not in self.mesh:
            return
        control = rpc_pb2.ControlMessage()
        if self._may_graft(peer, topic) and len(self.mesh[topic]) < self.degree:
            self.mesh[topic].add(peer)
            control.graft.add(topicID=topic)
        recent = self.mcache.window(topic)[:MAX_IHAVE_IDS]
        if recent:
            control.ihave.add(topicID=topic, messageIDs=recent)
        self.send_control(peer, control)
        self._notify_mesh_peer_added(peer, topic)

    def _may_graft(self, peer: ID, topic: str) -> bool:
        return peer not in self.mesh[topic] and peer not in self.direct and not self._check_back_off(peer, topic)

    def _get_in_topic_gossipsub_peers_from_minus(
        self, topic: str, num_to_select: int, minus: Iterable[ID], backoff_check: bool = False
    ) -> list[ID]:
        # Stock grafts direct peers as well.
        chosen: list[ID] = super()._get_in_topic_gossipsub_peers_from_minus(
            topic, num_to_select, {*minus, *self.direct}, backoff_check
        )
        return chosen

    def _add_back_off(self, peer: ID, topic: str, is_unsubscribe: bool, backoff_duration: int = 0) -> None:
        duration = backoff_duration or (self.unsubscribe_back_off if is_unsubscribe else self.prune_back_off)
        until = int(time.time()) + min(duration, LONGEST_BACK_OFF_SECONDS) + BACK_OFF_SLACK_SECONDS
        known = self.back_off.setdefault(topic, {})
        known[peer] = max(known.get(peer, 0), until)

    def remove_peer(self, peer_id: ID) -> None:
        super().remove_peer(peer_id)
        self._asked_of.pop(peer_id, None)
        self._grafts_of.pop(peer_id, None)

    # heartbeat

    async def heartbeat(self) -> None:
        """Keep the mesh within its degrees and offer recent messages, once a second."""
        await trio.sleep(self.heartbeat_initial_delay)
        while True:
            self.beat()
            await trio.sleep(self.heartbeat_interval)

    def beat(self) -> None:
        """One heartbeat."""
        controls: dict[ID, rpc_pb2.ControlMessage] = {}
        for topic, peers in self.mesh.items():
            peers &= self.pubsub.peer_topics.get(topic, set())
        grafts, prunes = self.mesh_heartbeat()
        # Stock collects one growing GRAFT list for all peers.
        for peer, topics in grafts.items():
            for topic in topics:
                controls.setdefault(peer, rpc_pb2.ControlMessage()).graft.add(topicID=topic)
        for peer, topics in prunes.items():
            for topic in topics:
                # Stock notes no back-off for its own PRUNE and grafts again within a second.
                self._add_back_off(peer, topic, False)
                controls.setdefault(peer, rpc_pb2.ControlMessage()).prune.add(
                    topicID=topic, backoff=self.prune_back_off
                )
        for topic in self.mesh:
            self._offer(topic, controls)
        for peer, control in controls.items():
            self.send_control(peer, control)
        self.mcache.shift()
        self._asked.clear()
        self._asked_of.clear()
        self._grafts_of.clear()
        if len(self._sent_again) > 4 * MAX_IWANT_IDS:
            self._sent_again.clear()

    def _offer(self, topic: str, controls: dict[ID, rpc_pb2.ControlMessage]) -> None:
        # [FORWARD] What is recent is offered by its id in each heartbeat: outside our mesh now, inside a beat later.
        recent, settled = self.mcache.window(topic)[:MAX_IHAVE_IDS], self.mcache.settled(topic)[:MAX_IHAVE_IDS]
        # Peers in back-off included: stock leaves them out, and after a mass prune hears nothing for a minute.
        lazy = self.pubsub.peer_topics.get(topic, set()) - self.mesh[topic] - self.direct
        chosen = self.select_from_minus(max(LAZY_DEGREE, len(lazy) // 4), lazy, ())
        for peers, ids in ((chosen, recent), (self.mesh[topic] - self.direct, settled)):
            for peer in peers:
                if ids:
                    controls.setdefault(peer, rpc_pb2.ControlMessage()).ihave.add(topicID=topic, messageIDs=ids)

    # control messages

    def take_control(self, control: rpc_pb2.ControlMessage, sender: ID) -> None:
        """Act on a control message; its entries are already bounded."""
        answer = rpc_pb2.ControlMessage()
        for ihave in control.ihave:
            self._take_ihave(ihave, sender, answer)
        for iwant in control.iwant:
            self._take_iwant(iwant, sender)
        for graft in control.graft:
            self._take_graft(graft.topicID, sender, answer)
        for prune in control.prune:
            if prune.topicID in self.mesh:
                self.mesh[prune.topicID].discard(sender)
                self._add_back_off(sender, prune.topicID, False, prune.backoff)
        self.send_control(sender, answer)

    def _take_ihave(self, ihave: rpc_pb2.ControlIHave, sender: ID, answer: rpc_pb2.ControlMessage) -> None:
        if ihave.topicID not in self.mesh:
            return
        wanted = []
        for message_id in ihave.messageIDs:
            if self._asked_of[sender] >= MAX_IWANT_IDS:
                self._conduct.count("ihave-over-limit")
                break
            # Asked of one peer in a heartbeat, not of all that offer it.
            if message_id not in self._asked and not self._is_seen(message_id):
                self._asked.add(message_id)
                self._asked_of[sender] += 1
                wanted.append(message_id)
        if wanted:
            answer.iwant.add(messageIDs=wanted)

    def _take_iwant(self, iwant: rpc_pb2.ControlIWant, sender: ID) -> None:
        for message_id in iwant.messageIDs[:MAX_IWANT_IDS]:
            held = self.mcache.find(message_id)
            if held is None or self._sent_again[sender, message_id] >= MAX_RETRANSMISSIONS:
                continue
            self._sent_again[sender, message_id] += 1
            self._push(sender, held.framed, held.rank)

    def _take_graft(self, topic: str, sender: ID, answer: rpc_pb2.ControlMessage) -> None:
        self._grafts_of[sender] += 1
        if topic not in self.mesh or self._grafts_of[sender] > len(self.mesh) * 4:
            self._conduct.count("graft-refused")
            return
        if sender in self.mesh[topic]:
            return
        # A direct peer that grafts us is welcome: it may not have listed us, and refusing costs it a back-off.
        if self._check_back_off_of_theirs(sender, topic) or len(self.mesh[topic]) >= self.degree_high:
            self._add_back_off(sender, topic, False)
            answer.prune.add(topicID=topic, backoff=self.prune_back_off)
            self._conduct.count("graft-refused")
            return
        self.mesh[topic].add(sender)
        self._notify_mesh_peer_added(sender, topic)

    def _check_back_off_of_theirs(self, sender: ID, topic: str) -> bool:
        until: int = self.back_off.get(topic, {}).get(sender, 0)
        return until - BACK_OFF_SLACK_SECONDS - 1 > int(time.time())

    def send_control(self, peer: ID, control: rpc_pb2.ControlMessage) -> None:
        """Queue a control message ahead of messages; nothing when it is empty."""
        if control.ByteSize():
            self._push(peer, frame_rpc(rpc_pb2.RPC(control=control).SerializeToString()), Rank.CONTROL)

    async def emit_control_message(self, control_msg: rpc_pb2.ControlMessage, to_peer: ID) -> None:
        # The library's join and leave end here. Stock adds a freshly checked signed record to every RPC.
        self.send_control(to_peer, control_msg)
